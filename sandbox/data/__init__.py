# ruff: noqa: PLR2004, S311 - the shares are the data, and the randomness is repeatable
"""Believable stores, generated. The same seed and anchor always give the same data."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from random import Random

from .customers import as_creator, make_shoppers, moment, random_day
from .model import (
    Channel,
    Customer,
    Fulfillment,
    LineItem,
    Order,
    Segment,
    SoldProduct,
    StoreData,
)
from .orders import Draft, purchase, replacement, test_order
from .samples import (
    creator_orders,
    default_customer,
    relay_buyers,
    tiktok_orders,
    unsettled_orders,
)
from .segments import make_segments
from .specs import KESSEL, NORTHLIGHT, StoreSpec

__all__ = [
    "Channel",
    "Customer",
    "Fulfillment",
    "LineItem",
    "Order",
    "Segment",
    "SoldProduct",
    "StoreData",
    "generate_store",
    "generate_stores",
]


def generate_stores(seed: int, anchor: datetime) -> list[StoreData]:
    """The two stores, larger first. `anchor` (UTC) is the instant at which the history ends."""
    return [generate_store(spec, seed, anchor) for spec in (NORTHLIGHT, KESSEL)]


def generate_store(spec: StoreSpec, seed: int, anchor: datetime) -> StoreData:
    """One store with two years of history before `anchor`.

    Each store draws from its own generator, so that changing one leaves the other alone.
    """
    rng = Random(f"{seed}/{spec.domain}")
    draft = Draft(spec, anchor, rng)
    shoppers = make_shoppers(rng, spec, anchor)
    orders = [purchase(draft, s.customer, at) for s in shoppers for at in s.order_times]
    orders += [purchase(draft, None, _some_time(draft)) for _ in range(spec.guest_orders)]
    orders += [test_order(draft, _some_time(draft)) for _ in range(spec.test_orders)]
    customers = [s.customer for s in shoppers]
    orders += [
        replacement(draft, rng.choice(customers), _some_time(draft))
        for _ in range(spec.replacement_orders)
    ]
    creators = _choose_creators(rng, spec, customers)
    orders += creator_orders(draft, creators)
    serial = len(customers) + 1
    buyers, default = relay_buyers(draft, serial + 1), default_customer(draft, serial)
    customers += [default, *buyers]
    orders += tiktok_orders(draft, buyers, default)
    orders += unsettled_orders(
        # A generator of its own leaves all other orders as they are.
        replace(draft, rng=Random(f"{seed}/{spec.domain}/unsettled")),
        creators,
        buyers,
    )
    _give_guests_addresses(rng, orders)
    _number_orders(spec, orders)
    _touch_customers(customers, orders)
    return StoreData(
        number=spec.id_base // 100_000,
        name=spec.name,
        domain=spec.domain,
        token=spec.token,
        email=spec.email,
        currency=spec.currency,
        country=spec.country,
        timezone=spec.timezone,
        plan="Shopify Plus",
        anchor=anchor,
        customers=customers,
        orders=orders,
        segments=make_segments(draft),
    )


def anchor_at(day: date) -> datetime:
    """Midnight UTC at the start of `day`."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _some_time(draft: Draft) -> datetime:
    return moment(draft.rng, draft.spec, draft.anchor, random_day(draft.rng))


def _choose_creators(rng: Random, spec: StoreSpec, customers: list[Customer]) -> list[Customer]:
    """Turn some customers into creators, in place in `customers`; returns them."""
    positions = sorted(rng.sample(range(len(customers)), k=spec.creators))
    for position in positions:
        customers[position] = as_creator(customers[position])
    return [customers[position] for position in positions]


def _give_guests_addresses(rng: Random, orders: list[Order]) -> None:
    """Most guests leave an address with the order although they have no account."""
    for order in orders:
        if order.customer_number is None and not order.test and rng.random() < 0.8:
            order.email = f"guest{rng.randrange(10**9)}@mail.example.com"


def _number_orders(spec: StoreSpec, orders: list[Order]) -> None:
    """Sort by time and number from #1001, as a store does."""
    orders.sort(key=lambda order: (order.processed_at, order.line_items[0].number))
    for position, order in enumerate(orders):
        order.number = spec.id_base + position * 32_768 + 7
        order.name = f"#{1001 + position}"


def _touch_customers(customers: list[Customer], orders: list[Order]) -> None:
    """A customer was created before their first order and last updated no earlier than it."""
    by_number = {customer.number: customer for customer in customers}
    for order in orders:
        if order.customer_number is None:
            continue
        customer = by_number[order.customer_number]
        first_seen = order.processed_at - timedelta(minutes=5)
        customer.created_at = min(customer.created_at, first_seen)
        customer.updated_at = max(customer.updated_at, order.updated_at)
