"""Stores at random, and what RFM says of them by definition.

The definition here is independent of the models: plain counting, customer by customer, order by
order, in exact integers. It is slow and short, and shares nothing with the SQL.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

AS_OF = datetime(2026, 7, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)

# Domains of known relays, those that only look like one, and some for settings.
RELAYS = ("scs.tiktokw.us", "scs12.tiktok.com", "es.relay.walmart.com")
LOOKALIKES = ("tiktok.com", "not-scs.tiktok.com", "scs.tiktok.com.example")
OWN = "brand.example"
OWN_RELAY, OWN_RELAY_RULE = "relay7.eu.market.example", "relay*.market.example"


@dataclass(frozen=True)
class Order:
    """One order; ``age`` is how long before AS_OF it was placed, amounts are minor units."""

    customer: str | None
    age: timedelta
    total: int
    refunded: int = 0
    current_total: int | None = None
    currency: str = "USD"
    status: str | None = "PAID"
    is_cancelled: bool = False
    is_test: bool = False
    is_sample: bool = False
    domain: str = "mail.example"


@dataclass(frozen=True)
class Store:
    """A tenant: its settings and its orders."""

    orders: tuple[Order, ...]
    window_days: int = 365
    minimum: int = 0
    is_sample_counted: bool = False
    excluded_customers: tuple[str, ...] = ()
    excluded_domains: tuple[str, ...] = ()
    relay_domains: tuple[str, ...] = ()
    additional_windows: tuple[int, ...] = ()

    def changed_into(self, other: Store, dice: random.Random) -> Store:
        """The store two days later: orders stay, become others, go and come; settings may change.

        Orders that stay are two days older.
        """
        kept = self.orders[: dice.randint(len(self.orders) // 2, len(self.orders))]
        came = other.orders[len(kept) : len(kept) + dice.randint(0, 3)]
        orders = tuple(
            dice.choice(other.orders)
            if dice.random() < 0.1
            else replace(order, age=order.age + timedelta(days=2))
            for order in kept
        )
        settings = self if dice.random() < 0.7 else other
        return replace(settings, orders=orders + came)

    def earlier(self, by: timedelta) -> Store:
        """The same orders, looked at so much earlier: the later ones are yet to come."""
        return replace(
            self, orders=tuple(replace(order, age=order.age - by) for order in self.orders)
        )


@dataclass
class Customer:
    """A scored customer."""

    last: timedelta
    orders: int
    spent: int
    scores: tuple[int, int, int] = (0, 0, 0)
    segment: str = ""


@dataclass
class Answer:
    """Scored customers, and the reasons of each order that does not count, by its index."""

    customers: dict[str, Customer] = field(default_factory=dict)
    excluded: dict[int, set[str]] = field(default_factory=dict)


def by_definition(store: Store) -> Answer:
    """What RFM says of the store."""
    answer = Answer()
    banned = {*RELAYS, *store.excluded_domains}
    if OWN_RELAY_RULE in store.relay_domains:
        banned.add(OWN_RELAY)
    addresses = {
        order.customer: order.domain
        for _, order in sorted(
            enumerate(store.orders), key=lambda each: (-each[1].age, str(each[0]))
        )
    }
    excluded = {customer for customer, domain in addresses.items() if domain in banned}
    excluded |= set(store.excluded_customers)
    for index, order in enumerate(store.orders):
        reasons = reasons_against(store, order, order.customer in excluded - {None})
        if reasons:
            answer.excluded[index] = reasons
            continue
        assert order.customer is not None
        found = answer.customers.setdefault(order.customer, Customer(order.age, 0, 0))
        found.last = min(found.last, order.age)
        found.orders += 1
        found.spent += net_of(order)
    everyone = list(answer.customers.values())
    for one in everyone:
        score(one, everyone)
    return answer


def net_of(order: Order) -> int:
    """What an order is worth after refunds, returns and edits."""
    left = order.total - order.refunded
    return left if order.current_total is None else min(left, order.current_total)


def reasons_against(store: Store, order: Order, is_nobody: bool) -> set[str]:
    """Every reason for not counting an order."""
    net = net_of(order)
    is_refunded = order.total > 0 and net <= 0
    reasons = {
        "test": order.is_test,
        "cancelled": order.is_cancelled,
        "voided": (order.status or "").upper() in ("VOIDED", "EXPIRED"),
        "sample": order.is_sample and not store.is_sample_counted,
        "refunded_in_full": is_refunded,
        "zero_value": not is_refunded and (order.total <= 0 or net < store.minimum),
        "foreign_currency": order.currency != "USD",
        "no_customer": order.customer is None,
        "excluded_customer": is_nobody,
        "outside_window": order.age <= timedelta(0) or order.age > timedelta(store.window_days),
    }
    return {reason for reason, holds in reasons.items() if holds}


def score(one: Customer, everyone: list[Customer]) -> None:
    """Tie-safe quintiles, as the design defines them, and the first segment whose rule fits."""
    n = len(everyone)
    later = sum(other.last < one.last for other in everyone)
    fewer = sum(other.orders < one.orders for other in everyone)
    lower = sum(other.spent < one.spent for other in everyone)
    r, f, m = 5 - 5 * later // n, 1 + 5 * fewer // n, 1 + 5 * lower // n
    one.scores = (r, f, m)
    rules = [
        ("champions", r >= 4 and f >= 4),
        ("loyal", r >= 3 and f >= 3),
        ("new", r >= 4 and f <= 2),
        ("at_risk", r <= 2 and f >= 3),
        ("hibernating", r <= 2 and f <= 2),
        ("potential", r == 3 and f <= 2),
    ]
    one.segment = next(name for name, fits in rules if fits)


# -- at random ----------------------------------------------------------------------------------

_AGES = st.one_of(
    st.integers(-2, 800).map(timedelta),
    # The window's two ends, to the second.
    st.sampled_from(
        [timedelta(0), SECOND, -SECOND, timedelta(365), timedelta(365) + SECOND, timedelta(30)]
    ),
)
# The largest amount that a column holds: sums of a few of them do not fit one.
LARGEST = 2**63 - 1
_AMOUNTS = st.one_of(st.integers(0, 5), st.integers(0, 100_000), st.sampled_from([10**15, LARGEST]))


@st.composite
def orders(draw: st.DrawFn) -> Order:
    """An order of which anything may be odd."""
    total = draw(_AMOUNTS)
    is_sample = draw(st.integers(0, 9)) == 0
    return Order(
        customer=draw(st.sampled_from(["a", "b", "c", "d", "e", "f", "g", None])),
        age=draw(_AGES),
        total=total,
        refunded=draw(st.one_of(st.just(0), st.integers(0, total), st.just(total))),
        current_total=draw(st.one_of(st.none(), st.integers(0, total), st.just(0), _AMOUNTS)),
        currency=draw(st.sampled_from(["USD"] * 9 + ["JPY"])),
        status=draw(
            st.sampled_from(["PAID", None, "PENDING", "REFUNDED", "VOIDED", "voided", "EXPIRED"])
        ),
        is_cancelled=draw(st.integers(0, 9)) == 0,
        is_test=draw(st.integers(0, 9)) == 0,
        is_sample=is_sample,
        domain=draw(
            st.sampled_from(["mail.example"] * 12 + [OWN, OWN_RELAY, *RELAYS, *LOOKALIKES])
        ),
    )


@st.composite
def small_stores(draw: st.DrawFn) -> Store:
    """A few orders, all of them odd, under odd settings."""
    window_days, *others = draw(st.permutations([1, 30, 365, 730]))
    return Store(
        orders=tuple(draw(st.lists(orders(), min_size=1, max_size=10))),
        window_days=window_days,
        additional_windows=tuple(others[: draw(st.integers(0, 3))]),
        minimum=draw(st.sampled_from([0, 0, 1, 1000])),
        is_sample_counted=draw(st.booleans()),
        excluded_customers=draw(st.sampled_from([(), (), ("a",), ("a", "x")])),
        excluded_domains=draw(st.sampled_from([(), (OWN,)])),
        relay_domains=draw(st.sampled_from([(), (OWN_RELAY_RULE,)])),
    )


@st.composite
def shaped_stores(draw: st.DrawFn) -> Store:
    """Sound orders of many customers: skewed, tied, or all alike; any number, one included."""
    size = draw(st.one_of(st.integers(1, 12), st.integers(13, 400)))
    most = draw(st.sampled_from([1, 2, 3, 12]))
    skew = draw(st.sampled_from([0.5, 1.5, 4.0]))
    distinct_days = draw(st.sampled_from([1, 5, 364]))
    distinct_amounts = draw(st.sampled_from([1, 3, 10**6, 10**15, LARGEST]))
    dice = random.Random(draw(st.integers(0, 2**32)))  # noqa: S311
    made = [
        Order(
            customer=f"c{number}",
            age=timedelta(days=dice.randrange(distinct_days), hours=1),
            total=min(1 + int(distinct_amounts * dice.random() ** skew), LARGEST),
        )
        for number in range(size)
        for _ in range(1 + int(most * dice.random() ** (1 + skew)))
    ]
    dice.shuffle(made)
    windows = draw(st.sampled_from([(), (90,), (180, 30)]))
    return Store(orders=tuple(made), additional_windows=windows)


def batches(size: int) -> st.SearchStrategy[list[Store]]:
    """So many stores, to be judged in one run of the models."""
    one = st.one_of(small_stores(), small_stores(), shaped_stores())
    return st.lists(one, min_size=size, max_size=size)
