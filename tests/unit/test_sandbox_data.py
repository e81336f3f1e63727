"""The generated stores: repeatable, as large as promised, and with every case a store has."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import pytest

from sandbox.data import StoreData, anchor_at, generate_store, generate_stores
from sandbox.data.samples import RELAY_DOMAINS
from sandbox.data.specs import KESSEL, NORTHLIGHT

ROOT = Path(__file__).resolve().parents[2]
ANCHOR = anchor_at(date(2026, 7, 1))


@pytest.fixture(scope="module")
def stores() -> list[StoreData]:
    return generate_stores(1, ANCHOR)


@pytest.fixture(scope="module")
def larger(stores: list[StoreData]) -> StoreData:
    return stores[0]


def test_the_same_seed_and_anchor_give_the_same_store() -> None:
    assert generate_store(KESSEL, 7, ANCHOR) == generate_store(KESSEL, 7, ANCHOR)


def test_another_seed_gives_another_store() -> None:
    assert generate_store(KESSEL, 7, ANCHOR) != generate_store(KESSEL, 8, ANCHOR)


def test_data_does_not_depend_on_the_order_of_hashes() -> None:
    program = (
        "from datetime import date; from hashlib import sha256;"
        "from sandbox.data import anchor_at, generate_store;"
        "from sandbox.data.specs import KESSEL;"
        "store = generate_store(KESSEL, 1, anchor_at(date(2026, 7, 1)));"
        "print(sha256(repr(store).encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_sizes_are_those_promised(stores: list[StoreData]) -> None:
    larger, smaller = stores
    assert (larger.currency, smaller.currency) == ("USD", "EUR")
    assert larger.timezone != smaller.timezone
    assert len(larger.customers) >= 3000
    assert 12_000 <= len(larger.orders) <= 14_000
    assert 1_300 <= len(smaller.orders) <= 1_800
    assert (len(larger.segments), len(smaller.segments)) == (7, 4)


def test_history_is_two_years_and_ends_at_the_anchor(larger: StoreData) -> None:
    times = [order.processed_at for order in larger.orders]
    assert ANCHOR - timedelta(days=731) <= min(times) <= ANCHOR - timedelta(days=720)
    assert ANCHOR - timedelta(days=3) <= max(times) < ANCHOR
    assert all(order.processed_at <= order.updated_at <= ANCHOR for order in larger.orders)
    assert all(order.updated_at.microsecond == 0 for order in larger.orders)


def test_orders_are_numbered_in_time_order(larger: StoreData) -> None:
    assert [order.name for order in larger.orders[:3]] == ["#1001", "#1002", "#1003"]
    assert sorted(larger.orders, key=lambda o: o.processed_at) == larger.orders
    assert len({order.number for order in larger.orders}) == len(larger.orders)


def test_most_customers_order_once(stores: list[StoreData]) -> None:
    for store in stores:
        counts = Counter(o.customer_number for o in store.orders if o.customer_number)
        once = sum(count == 1 for count in counts.values()) / len(counts)
        assert 0.60 <= once <= 0.72
        assert max(counts.values()) >= 8


def test_addresses_are_unique_and_some_are_missing(larger: StoreData) -> None:
    emails = [customer.email for customer in larger.customers if customer.email]
    assert len(emails) == len(set(emails)) < len(larger.customers)
    states = Counter(customer.marketing_state for customer in larger.customers)
    assert set(states) == {"SUBSCRIBED", "NOT_SUBSCRIBED", "UNSUBSCRIBED", "PENDING", "INVALID"}


def test_every_kind_of_order_occurs(stores: list[StoreData]) -> None:
    for store in stores:
        orders = store.orders
        assert any(order.test for order in orders)
        assert any(order.customer_number is None and not order.test for order in orders)
        assert any(order.cancelled_at for order in orders)
        assert any(order.edited_away for order in orders)
        assert any(len(order.line_items) > 10 for order in orders)
        assert any(order.total == 0 and "replacement" in order.tags for order in orders)
        financial = {order.financial_status for order in orders}
        assert {"PAID", "REFUNDED", "PARTIALLY_REFUNDED", "VOIDED"} <= financial
        fulfilment = {order.fulfillment_status for order in orders}
        assert {"FULFILLED", "UNFULFILLED", "PARTIALLY_FULFILLED"} <= fulfilment


def test_samples_of_every_kind_occur(larger: StoreData) -> None:
    tags = Counter(tag for order in larger.orders for tag in order.tags)
    assert tags["Free sample"] > 20
    assert tags["UGC "] > 5
    refundable = [order for order in larger.orders if "refundable" in order.tags]
    assert all(order.refunded == order.total > 0 for order in refundable)
    free = [order for order in larger.orders if "Free sample" in order.tags]
    assert all(order.subtotal == 0 for order in free)
    tiktok = [o for o in larger.orders if "tiktok" in (o.channel.app_name or "").lower()]
    assert sum(order.subtotal > 0 for order in tiktok) > 200
    assert any(order.subtotal == 0 and not order.tags for order in tiktok)


def test_tiktok_buyers_are_relayed_and_one_is_the_default_customer(larger: StoreData) -> None:
    relayed = [c for c in larger.customers if (c.email or "").endswith(RELAY_DOMAINS)]
    assert len(relayed) == NORTHLIGHT.tiktok_buyers
    [default] = [c for c in larger.customers if c.last_name == "Default Customer"]
    theirs = [o for o in larger.orders if o.customer_number == default.number]
    assert len(theirs) >= NORTHLIGHT.default_customer_orders


def test_amounts_add_up(stores: list[StoreData]) -> None:
    for order in (order for store in stores for order in store.orders):
        assert order.subtotal >= 0
        assert order.total == order.subtotal + order.shipping + order.tax
        assert 0 <= order.refunded <= order.total
        assert 0 <= order.current_total <= order.total
        assert 0 <= order.current_subtotal <= order.subtotal
