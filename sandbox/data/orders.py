# ruff: noqa: PLR2004 - the shares are the data, and the randomness is repeatable
"""Ordinary orders: baskets, prices, what happens to them afterwards."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from .model import Channel, Customer, Fulfillment, LineItem, Order, SoldProduct
from .products import Product
from .specs import StoreSpec

ONLINE_STORE = Channel("web", "Online Store", "Online Store", "online-store", "Online Store")
SHOP_APP = Channel("shop_app", "Shop", "Shop", "shop", "Shop")
POINT_OF_SALE = Channel("pos", "Point of Sale", "Point of Sale", "pos", "Point of Sale")
DRAFT_ORDER = Channel("shopify_draft_order", "Draft Orders", None, None, None)
_CHANNELS = (ONLINE_STORE, SHOP_APP, POINT_OF_SALE, DRAFT_ORDER)
_CHANNEL_WEIGHTS = (84, 8, 6, 2)

_CODES = (0.10, 0.15, 0.20)
_LATE_DAYS = 10


@dataclass(slots=True)
class Draft:
    """Issues ids while a store is generated, and knows the store and the end of its history."""

    spec: StoreSpec
    anchor: datetime
    rng: Random
    next_line: int = 0
    next_fulfillment: int = 0

    def line_number(self) -> int:
        """The id of the next line item."""
        self.next_line += 1
        return self.spec.id_base + 9_000_000_000_000 + self.next_line * 32

    def fulfillment_number(self) -> int:
        """The id of the next fulfilment."""
        self.next_fulfillment += 1
        return self.spec.id_base + 1_000_000_000_000 + self.next_fulfillment * 32


def line_item(draft: Draft, product: Product, quantity: int) -> LineItem:
    """`quantity` of a variant of `product`, undiscounted."""
    position = draft.rng.randrange(len(product.variants))
    catalogue_index = draft.spec.catalogue.index(product)
    return LineItem(
        number=draft.line_number(),
        title=product.title,
        variant_title=product.variants[position] or None,
        sku=f"{product.sku}-{position + 1:02d}",
        variant_number=draft.spec.id_base + 4_000_000_000_000 + catalogue_index * 64 + position,
        quantity=quantity,
        unit_price=product.price,
        product=SoldProduct(
            draft.spec.id_base + 3_000_000_000_000 + catalogue_index * 64,
            product.title,
            product.product_type,
        ),
    )


def basket(draft: Draft, lines: int) -> list[LineItem]:
    """`lines` lines of popular goods; a product may appear twice when there are many lines."""
    weights = [product.popularity for product in draft.spec.catalogue]
    chosen = draft.rng.choices(draft.spec.catalogue, weights, k=lines)
    return [
        line_item(draft, product, draft.rng.choices((1, 2, 3), (82, 14, 4))[0])
        for product in chosen
    ]


def basket_size(rng: Random) -> int:
    """Lines in an ordinary order: one to four, once in a few hundred a bulk order of 11 to 28."""
    if rng.random() < 0.003:
        return rng.randrange(11, 29)
    return rng.choices((1, 2, 3, 4), (58, 27, 11, 4))[0]


def apply_code(lines: list[LineItem], share: float) -> None:
    """Spread an order-level discount of `share` over the lines, in whole minor units."""
    for line in lines:
        line.code_discount = math.floor((line.original_total - line.line_discount) * share)


def apply_free(lines: list[LineItem]) -> None:
    """Discount every line by all it costs."""
    for line in lines:
        line.line_discount = line.original_total


def charge(draft: Draft, order: Order) -> None:
    """Add shipping and tax to an order according to what its goods cost after discounts."""
    goods = order.subtotal
    order.shipping = 0 if goods >= draft.spec.free_shipping_from else draft.spec.shipping
    order.tax = math.floor(goods * draft.spec.tax_rate)


def new_order(
    draft: Draft, customer: Customer | None, at: datetime, lines: list[LineItem], channel: Channel
) -> Order:
    """An order as placed: paid, not yet shipped, without its final number and name."""
    return Order(
        number=0,
        name="",
        customer_number=customer.number if customer else None,
        email=customer.email if customer else None,
        channel=channel,
        processed_at=at,
        created_at=at + timedelta(seconds=draft.rng.randrange(0, 20)),
        updated_at=at + timedelta(seconds=draft.rng.randrange(20, 60)),
        line_items=lines,
        fulfillment_status="UNFULFILLED",
    )


def purchase(draft: Draft, customer: Customer | None, at: datetime) -> Order:
    """An ordinary order, through to what became of it."""
    rng = draft.rng
    lines = basket(draft, basket_size(rng))
    if rng.random() < 0.22:
        apply_code(lines, rng.choice(_CODES))
    channel = rng.choices(_CHANNELS, _CHANNEL_WEIGHTS)[0]
    order = new_order(draft, customer, at, lines, channel)
    charge(draft, order)
    if rng.random() < 0.05:
        order.tags.append(rng.choice(("gift", "wholesale", "vip", "subscription")))
    settle(draft, order)
    return order


def hours_later(rng: Random, low: float, high: float) -> timedelta:
    """Between `low` and `high` hours, to the second, as Shopify reports times."""
    return timedelta(seconds=rng.randrange(round(low * 3600), round(high * 3600)))


def days_later(rng: Random, low: float, high: float) -> timedelta:
    """Between `low` and `high` days, to the second."""
    return hours_later(rng, low * 24, high * 24)


def touch(order: Order, at: datetime, anchor: datetime) -> datetime:
    """Record that something happened to the order at `at` (capped at the anchor); returns when."""
    capped = max(min(at, anchor), order.processed_at)
    order.updated_at = max(order.updated_at, capped)
    return capped


def fulfil(draft: Draft, order: Order, status: str = "FULFILLED") -> None:
    """Ship the order one to four days after it was placed, if the history reaches that far."""
    rng = draft.rng
    shipped = order.processed_at + hours_later(draft.rng, 12, 96)
    if shipped > draft.anchor:
        order.fulfillment_status = rng.choice(("UNFULFILLED", "IN_PROGRESS", "SCHEDULED"))
        return
    order.fulfillment_status = status
    delivered = shipped + days_later(draft.rng, 1.5, 6)
    arrived = delivered <= draft.anchor and rng.random() < 0.97
    order.fulfillments.append(
        Fulfillment(
            number=draft.fulfillment_number(),
            status="SUCCESS",
            display_status="DELIVERED" if arrived else "IN_TRANSIT",
            created_at=shipped,
            delivered_at=delivered if arrived else None,
        )
    )
    touch(order, delivered if arrived else shipped, draft.anchor)


def cancel(draft: Draft, order: Order) -> None:
    """Cancel the order within two days: either the payment was never captured, or it went back."""
    rng = draft.rng
    order.cancelled_at = touch(
        order, order.processed_at + hours_later(draft.rng, 1, 48), draft.anchor
    )
    if rng.random() < 0.5:
        order.financial_status = "VOIDED"
    else:
        order.financial_status = "REFUNDED"
        order.refunded = order.total
    order.fulfillment_status = rng.choice(("UNFULFILLED", "RESTOCKED"))


def refund(draft: Draft, order: Order, share: float) -> None:
    """Refund `share` of the total, one to five weeks after the order."""
    order.refunded = order.total if share >= 1 else math.floor(order.total * share)
    order.financial_status = "REFUNDED" if share >= 1 else "PARTIALLY_REFUNDED"
    touch(order, order.processed_at + days_later(draft.rng, 7, 35), draft.anchor)


def settle(draft: Draft, order: Order) -> None:
    """Decide what became of an ordinary order: shipped, cancelled, refunded, edited, pending."""
    rng = draft.rng
    draw = rng.random()
    if draw < 0.016:
        cancel(draft, order)
        return
    if draw < 0.020:
        order.financial_status = "VOIDED"
        touch(order, order.processed_at + days_later(draft.rng, 1, 8), draft.anchor)
        return
    if order.processed_at > draft.anchor - timedelta(days=_LATE_DAYS) and draw < 0.15:
        order.financial_status = rng.choice(("PENDING", "AUTHORIZED", "PARTIALLY_PAID"))
        order.fulfillment_status = rng.choice(("UNFULFILLED", "ON_HOLD"))
        return
    if draw < 0.022:
        order.financial_status = "EXPIRED"
        return
    fulfil(draft, order, "PARTIALLY_FULFILLED" if draw > 0.985 else "FULFILLED")
    if draw < 0.052:
        refund(draft, order, 1.0)
    elif draw < 0.082:
        refund(draft, order, rng.uniform(0.1, 0.7))
    elif draw < 0.092 and len(order.line_items) > 1:
        order.edited_away = order.line_items[-1].unit_price
        touch(order, order.processed_at + days_later(draft.rng, 0.2, 2), draft.anchor)


def replacement(draft: Draft, customer: Customer, at: datetime) -> Order:
    """A free replacement: an order of zero that is not a sample."""
    lines = basket(draft, 1)
    apply_free(lines)
    order = new_order(draft, customer, at, lines, DRAFT_ORDER)
    order.tags.append("replacement")
    order.note = "Replaces a parcel lost in transit"
    fulfil(draft, order)
    return order


def test_order(draft: Draft, at: datetime) -> Order:
    """An order placed by the merchant to try the checkout."""
    order = new_order(draft, None, at, basket(draft, 1), ONLINE_STORE)
    order.email = draft.spec.email
    order.test = True
    charge(draft, order)
    return order
