# ruff: noqa: PLR2004 - the shares are the data, and the randomness is repeatable
"""Samples for creators and everything TikTok: free, refundable, paid, relayed.

Facts behind the shapes: TikTok Shop's connector writes samples as orders discounted by 100 % with
the tag `Free sample`; refundable samples are paid first; buyers carry relay addresses; some
connectors put every TikTok order on one "default customer".
"""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random

from .customers import HISTORY_DAYS, make_customer, moment, random_day
from .model import Channel, Customer, Order
from .names import ascii_slug
from .orders import (
    DRAFT_ORDER,
    ONLINE_STORE,
    Draft,
    apply_code,
    apply_free,
    basket,
    cancel,
    charge,
    fulfil,
    new_order,
    refund,
    settle,
)

TIKTOK = Channel("tiktok", "TikTok", "TikTok", "tiktok", "TikTok")
TIKTOK_SHOP = Channel("4555857", "TikTok Shop", None, "tiktok-shop", "TikTok Shop")
# An older connector: only the app says where the order came from.
TIKTOK_BY_APP = Channel("1662707", "TikTok Shop Connector", None, None, None)
_TIKTOK_CHANNELS = (TIKTOK, TIKTOK_SHOP, TIKTOK_BY_APP)

RELAY_DOMAINS = ("scs.tiktokw.us", "scs3.tiktok.com", "chat-seller-us.tiktok.com")
UGC_TAGS = ("ugc-sample", "UGC ", "creator-sample", "UGC-Sample", "ugc", "Creator-Sample")


# Days over which the orders are spread that somebody still has to look at.
_RECENT_DAYS = 80


def _some_time(draft: Draft) -> datetime:
    return moment(draft.rng, draft.spec, draft.anchor, random_day(draft.rng))


def handle_of(customer: Customer) -> str:
    """The creator's social handle, as a merchant would note it."""
    return f"@{ascii_slug(customer.first_name)}.{ascii_slug(customer.last_name)}"


def ugc_sample(draft: Draft, creator: Customer, at: datetime) -> Order:
    """Free goods to a creator, tagged by hand and therefore never twice the same way."""
    lines = basket(draft, draft.rng.choice((1, 1, 2)))
    apply_free(lines)
    order = new_order(draft, creator, at, lines, draft.rng.choice((DRAFT_ORDER, ONLINE_STORE)))
    order.tags = [draft.rng.choice(UGC_TAGS), *_handle_tag(draft.rng, creator)]
    order.note = f"Sample for {handle_of(creator)}"
    # Some merchants charge postage even on samples: shipping is not goods.
    order.shipping = draft.spec.shipping if draft.rng.random() < 0.15 else 0
    _ship_sample(draft, order)
    return order


def _handle_tag(rng: Random, creator: Customer) -> list[str]:
    return [handle_of(creator)] if rng.random() < 0.6 else []


def _ship_sample(draft: Draft, order: Order) -> None:
    if draft.rng.random() < 0.06:
        order.fulfillment_status = "ON_HOLD"
    else:
        fulfil(draft, order)


def refundable_sample(draft: Draft, creator: Customer, at: datetime) -> Order:
    """A sample the creator pays for and gets back once they have posted."""
    order = new_order(draft, creator, at, basket(draft, 1), ONLINE_STORE)
    order.tags = [draft.rng.choice(UGC_TAGS), "refundable"]
    order.note = f"Refund after post by {handle_of(creator)}"
    charge(draft, order)
    fulfil(draft, order)
    refund(draft, order, 1.0)
    return order


def tagged_but_paid(draft: Draft, creator: Customer, at: datetime) -> Order:
    """A paid order of a creator with the tag, which makes a sample at any price."""
    order = new_order(draft, creator, at, basket(draft, 2), ONLINE_STORE)
    order.tags = ["ugc"]
    charge(draft, order)
    fulfil(draft, order)
    return order


def tiktok_purchase(draft: Draft, buyer: Customer, at: datetime) -> Order:
    """An ordinary, paid order that came through TikTok."""
    lines = basket(draft, draft.rng.choice((1, 1, 2)))
    if draft.rng.random() < 0.4:
        apply_code(lines, 0.15)
    order = new_order(draft, buyer, at, lines, draft.rng.choice(_TIKTOK_CHANNELS))
    order.tags = ["TikTokOrder"]
    charge(draft, order)
    settle(draft, order)
    return order


def tiktok_sample(draft: Draft, buyer: Customer, at: datetime) -> Order:
    """A TikTok sample: free by a discount on each line or, from other connectors, on the order."""
    rng = draft.rng
    lines = basket(draft, 1)
    if rng.random() < 0.7:
        apply_free(lines)
    else:
        apply_code(lines, 1.0)
    order = new_order(draft, buyer, at, lines, rng.choice(_TIKTOK_CHANNELS))
    # One in eight comes without any tag: only the channel tells.
    order.tags = [] if rng.random() < 0.125 else [rng.choice(("Free sample", "free sample"))]
    _ship_sample(draft, order)
    return order


def relay_buyers(draft: Draft, first_serial: int) -> list[Customer]:
    """Customers known only by an address TikTok relays."""
    buyers = []
    for serial in range(first_serial, first_serial + draft.spec.tiktok_buyers):
        buyer = make_customer(draft.rng, draft.spec, serial, _some_time(draft))
        digits = draft.rng.randrange(10**11, 10**12)
        buyer.email = f"{digits}{serial}@{draft.rng.choice(RELAY_DOMAINS)}"
        buyer.marketing_state = "NOT_SUBSCRIBED"
        buyer.tags = ["TikTok"]
        buyers.append(buyer)
    return buyers


def default_customer(draft: Draft, serial: int) -> Customer:
    """The default customer to which a connector assigns TikTok orders without one."""
    opened = draft.anchor - timedelta(days=HISTORY_DAYS)
    customer = make_customer(draft.rng, draft.spec, serial, opened)
    customer.first_name, customer.last_name = "TikTok", "Default Customer"
    customer.email = draft.spec.email.replace("@", "+tiktok@")
    customer.marketing_state, customer.tags = "NOT_SUBSCRIBED", ["TikTok"]
    return customer


def creator_orders(draft: Draft, creators: list[Customer]) -> list[Order]:
    """One to six free samples for each creator, and the paid kinds for some."""
    rng = draft.rng
    orders = [
        ugc_sample(draft, creator, _some_time(draft))
        for creator in creators
        for _ in range(rng.randrange(1, 7))
    ]
    orders += [
        refundable_sample(draft, rng.choice(creators), _some_time(draft))
        for _ in range(draft.spec.refundable_samples)
    ]
    orders += [
        tagged_but_paid(draft, rng.choice(creators), _some_time(draft))
        for _ in range(draft.spec.tagged_but_paid)
    ]
    return orders


def tiktok_orders(draft: Draft, buyers: list[Customer], default: Customer) -> list[Order]:
    """Each relayed buyer's purchase, the default customer's many, and the samples."""
    rng = draft.rng
    orders = [tiktok_purchase(draft, buyer, _some_time(draft)) for buyer in buyers]
    orders += [
        tiktok_purchase(draft, default, _some_time(draft))
        for _ in range(draft.spec.default_customer_orders)
    ]
    receivers = [*rng.sample(buyers, k=max(len(buyers) // 4, 1)), default]
    orders += [
        tiktok_sample(draft, rng.choice(receivers), _some_time(draft))
        for _ in range(draft.spec.tiktok_samples)
    ]
    return orders


def unsettled_orders(draft: Draft, creators: list[Customer], buyers: list[Customer]) -> list[Order]:
    """Recent orders that somebody has to look at: samples on their way, and almost samples."""
    rng = draft.rng
    orders = []
    for _ in range(draft.spec.unsettled_orders):
        orders += [
            _partly_sent(draft, rng.choice(creators)),
            _gift(draft, rng.choice(creators)),
            _symbolic_price(draft, rng.choice(buyers)),
        ]
    cancelled = ugc_sample(draft, rng.choice(creators), _recently(draft))
    cancel(draft, cancelled)
    return [*orders, cancelled, _sample_to_be_refunded(draft, rng.choice(buyers))]


def _recently(draft: Draft) -> datetime:
    day = HISTORY_DAYS - draft.rng.random() * _RECENT_DAYS
    return moment(draft.rng, draft.spec, draft.anchor, day)


def _partly_sent(draft: Draft, creator: Customer) -> Order:
    order = ugc_sample(draft, creator, _recently(draft))
    if order.fulfillments:
        order.fulfillment_status = "PARTIALLY_FULFILLED"
    return order


def _gift(draft: Draft, creator: Customer) -> Order:
    """A free order whose tag is none of the usual ones."""
    order = ugc_sample(draft, creator, _recently(draft))
    order.tags = [draft.rng.choice(("gifted-autumn", "influencer seeding"))]
    return order


def _symbolic_price(draft: Draft, buyer: Customer) -> Order:
    """A TikTok order for a few per cent of its price: no ordinary sale, and not free."""
    lines = basket(draft, 1)
    apply_code(lines, 0.97)
    order = new_order(draft, buyer, _recently(draft), lines, draft.rng.choice(_TIKTOK_CHANNELS))
    charge(draft, order)
    _ship_sample(draft, order)
    return order


def _sample_to_be_refunded(draft: Draft, buyer: Customer) -> Order:
    """A TikTok sample that was paid for and is not refunded yet."""
    order = new_order(draft, buyer, _recently(draft), basket(draft, 1), TIKTOK_SHOP)
    order.tags = ["tiktok-sample"]
    charge(draft, order)
    fulfil(draft, order)
    return order
