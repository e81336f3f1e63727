# ruff: noqa: PLR2004 - the shares are the data, and the randomness is repeatable
"""Customers and the moments at which each of them orders."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random

from .model import Customer
from .names import email_for
from .specs import StoreSpec

HISTORY_DAYS = 730
_MARKETING = ("SUBSCRIBED", "NOT_SUBSCRIBED", "UNSUBSCRIBED", "PENDING", "INVALID")
_MARKETING_WEIGHTS = (58, 30, 9, 2, 1)
_NO_EMAIL_SHARE = 0.015
_ONE_ORDER_SHARE = 0.68


@dataclass(frozen=True, slots=True)
class Shopper:
    """A customer and the times of their ordinary orders, oldest first."""

    customer: Customer
    order_times: tuple[datetime, ...]


def demand(day: float) -> float:
    """Relative demand on a day of the history: steady growth, a winter peak, a summer dip.

    The range is about 0.5 to 1.8. Day 0 opens the history; the phase follows the history, not the
    calendar, so that stores generated on any date look alike.
    """
    growth = 0.7 + 0.6 * day / HISTORY_DAYS
    season = 1 + 0.25 * math.cos(2 * math.pi * (day - 340) / 365)
    return growth * season


def random_day(rng: Random) -> float:
    """A day of the history, weighted by demand (rejection sampling)."""
    while True:
        day = rng.random() * HISTORY_DAYS
        if rng.random() * 1.8 < demand(day):
            return day


def moment(rng: Random, spec: StoreSpec, anchor: datetime, day: float) -> datetime:
    """An instant on `day` of the history, mostly in the store's waking hours, before `anchor`."""
    midnight = anchor - timedelta(days=HISTORY_DAYS - math.floor(day))
    hour = min(max(rng.gauss(15.5, 4.2), 0.0), 23.9)
    at = midnight + timedelta(seconds=round((hour - spec.utc_offset_hours) * 3600))
    return min(at, anchor - timedelta(seconds=rng.randrange(60, 86_400)))


def order_count(rng: Random) -> int:
    """How often a customer orders: most once, with a long tail (mean about 1.7)."""
    draw = rng.random()
    if draw < _ONE_ORDER_SHARE:
        return 1
    if draw < 0.84:
        return 2
    if draw < 0.91:
        return 3
    return min(4 + int(rng.expovariate(1 / 1.8)), 24)


def order_days(rng: Random, count: int) -> list[float]:
    """`count` days on which one customer orders, ascending.

    Repeat customers order every 20 to 110 days from a first order on, and half of them lapse:
    that is what makes At risk and Hibernating different from Champions and Loyal.
    """
    first = random_day(rng)
    if count == 1:
        return [first]
    span = min((count - 1) * rng.uniform(20, 110), HISTORY_DAYS - 1.0)
    first = min(first, HISTORY_DAYS - 1 - span)
    if rng.random() < 0.5:
        first = HISTORY_DAYS - 1 - span - abs(rng.gauss(0, 45))
    first = max(first, 0.0)
    later = sorted(first + rng.random() * span for _ in range(count - 1))
    return [first, *later]


def make_customer(rng: Random, spec: StoreSpec, serial: int, created_at: datetime) -> Customer:
    """A customer without orders yet; `serial` makes number and address unique."""
    first, last = rng.choice(spec.first_names), rng.choice(spec.last_names)
    has_email = rng.random() >= _NO_EMAIL_SHARE
    return Customer(
        number=spec.id_base + 2_000_000_000 + serial * 32_768,
        first_name=first,
        last_name=last,
        email=email_for(rng, first, last, serial) if has_email else None,
        marketing_state=rng.choices(_MARKETING, _MARKETING_WEIGHTS)[0],
        tags=["newsletter"] if rng.random() < 0.12 else [],
        created_at=created_at,
        updated_at=created_at,
    )


def make_shoppers(rng: Random, spec: StoreSpec, anchor: datetime) -> list[Shopper]:
    """All ordinary customers, then those who only subscribed, in the order they were created."""
    schedules = [
        tuple(sorted(moment(rng, spec, anchor, day) for day in order_days(rng, order_count(rng))))
        for _ in range(spec.customers)
    ]
    starts = [(times[0] - timedelta(minutes=rng.randrange(3, 600)), times) for times in schedules]
    starts += [
        (moment(rng, spec, anchor, random_day(rng)), ())
        for _ in range(spec.subscribers_without_orders)
    ]
    starts.sort(key=lambda start: start[0])
    return [
        Shopper(make_customer(rng, spec, serial, created_at), times)
        for serial, (created_at, times) in enumerate(starts, 1)
    ]


def as_creator(customer: Customer) -> Customer:
    """The same customer known to the merchant as a content creator."""
    return replace(customer, tags=[*customer.tags, "creator"])
