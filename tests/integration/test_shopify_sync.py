"""Syncing a shop: what is loaded, what a second sync does, and which failures change nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import stamina

from sandbox import Fault, Sandbox
from sandbox.data.model import Fulfillment
from sandbox.shopify import Store
from sandbox.shopify.cost import LeakyBucket
from sandbox.shopify.store import ALL_SCOPES
from service.core.config import Settings
from service.core.credentials import MissingScopeError, find_connection
from service.core.db import Connection, Pool, connect_as_owner, create_pool, tenant_transaction
from service.core.errors import InvalidInputError, NotConnectedError
from service.core.vault import unseal
from service.shopify.connection import connect_shopify
from service.shopify.errors import ShopifyRefusedError, ShopifyUnavailableError
from service.shopify.loading import advance_watermark, read_watermark
from service.shopify.sync import sync_shopify
from service.tenants.tenants import add_tenant
from tests.conftest import Cluster, MakeTenant, NullProgress
from tests.shops import ORDERS, loaded_rows, row_versions, small_shop

ORDER_PAGES = 5


Sync = Callable[[], dict[str, int]]


@pytest.fixture
def sync(shopify_settings: Settings, pool: Pool, tenant: UUID) -> Sync:
    def run() -> dict[str, int]:
        progress = NullProgress()
        sync_shopify(shopify_settings, pool, tenant, progress)
        return progress.counts

    return run


@pytest.fixture(scope="module")
def undisturbed(cluster: Cluster, migrated_template: str) -> dict[str, list[dict[str, Any]]]:
    """The rows that a sync without failures loads."""
    store = Store(small_shop())
    with cluster.database(migrated_template) as settings, Sandbox([store], []) as shop:
        shopify_settings = replace(settings, shopify_url=shop.shopify_url)
        with connect_as_owner(settings) as owner:
            tenant_id = add_tenant(owner, "kessel", store.data.domain)
        pool = create_pool(shopify_settings)
        connect_shopify(shopify_settings, pool, tenant_id, store.data.domain, store.data.token)
        sync_shopify(shopify_settings, pool, tenant_id, NullProgress())
        rows = loaded_rows(pool, tenant_id)
        pool.close()
    return rows


# -- loading ------------------------------------------------------------------------------------


def test_the_next_version_is_read_like_this_one(
    shopify_settings: Settings, pool: Pool, tenant: UUID, store: Store
) -> None:
    """Of what 2026-10 changes, a sync sees the wording of segments' queries, which it keeps."""
    sync_shopify(shopify_settings, pool, tenant, NullProgress())
    before = loaded_rows(pool, tenant)
    number = max(store.segments)
    store.update_segment(number, query="last_order_date > -12m AND number_of_orders >= 1")
    here = replace(shopify_settings, shopify_api_version="2026-10")
    progress = NullProgress()
    sync_shopify(here, pool, tenant, progress)
    assert "unsupported_api_version" not in progress.counts
    after = loaded_rows(pool, tenant)
    assert after["orders"] == before["orders"]
    queries = {row["segment_id"]: row["query"] for row in after["cached_segments"]}
    assert queries[str(number)] == "last_order_date > -12m AND number_of_orders >= 1"
    members = [r for r in after["segment_members"] if r["segment_id"] == str(number)]
    assert len(members) == len(store.members_of(store.segments[number]).rows) > 0


@pytest.mark.parametrize("bulk_from", [1, 10**9], ids=["bulk", "pages"])
def test_an_order_in_many_parcels_is_delivered_with_the_last_one(
    shopify_settings: Settings, pool: Pool, tenant: UUID, store: Store, bulk_from: int
) -> None:
    """A page has room for ten fulfilments of an order; the eleventh may be under way."""
    here = replace(shopify_settings, shopify_bulk_from=bulk_from)
    first, second, *_ = (order.number for order in store.data.orders)
    start = datetime(2026, 6, 1, tzinfo=UTC)
    parcels = [
        Fulfillment(n, "SUCCESS", "DELIVERED", start + timedelta(n), start + timedelta(n + 1))
        for n in range(1, 26)
    ]
    # The order of the list is not documented.
    store.update_order(first, fulfillments=[*reversed(parcels)])
    store.update_order(
        second, fulfillments=[*parcels[:-1], replace(parcels[-1], delivered_at=None)]
    )
    sync_shopify(here, pool, tenant, NullProgress())
    rows = {row["order_id"]: row for row in loaded_rows(pool, tenant)["orders"]}
    assert rows[str(first)]["delivered_at"] == start + timedelta(26)
    assert rows[str(first)]["first_fulfilled_at"] == start + timedelta(1)
    assert rows[str(second)]["delivered_at"] is None
    assert rows[str(second)]["first_fulfilled_at"] == start + timedelta(1)


def test_everything_is_loaded_as_the_store_has_it(
    sync: Sync, pool: Pool, tenant: UUID, store: Store
) -> None:
    counts = sync()
    rows = loaded_rows(pool, tenant)
    data = store.data
    assert counts["orders"] == len(rows["orders"]) == ORDERS
    assert counts["customers"] == len(rows["customers"]) == len(data.customers)
    assert counts["segments"] == len(rows["cached_segments"]) == len(data.segments)
    assert counts["segment_members"] == len(rows["segment_members"])
    assert counts["written"] == sum(
        len(rows[table]) for table in ("orders", "customers", "cached_segments", "segment_members")
    )
    assert counts["rejected"] == 0
    theirs = {str(order.number): order for order in data.orders}
    customers = {customer.number: customer for customer in data.customers}
    for row in rows["orders"]:
        order = theirs[row["order_id"]]
        customer = customers.get(order.customer_number or 0)
        assert row["order_number"] == order.name
        assert row["customer_id"] == (str(customer.number) if customer else None)
        assert row["currency"] == "EUR"
        assert row["total_minor"] == order.total
        assert row["subtotal_minor"] == order.subtotal
        assert row["refunded_minor"] == order.refunded
        assert row["current_total_minor"] == order.current_total
        assert row["current_subtotal_minor"] == order.current_subtotal
        assert row["processed_at"] == order.processed_at.replace(microsecond=0)
        assert row["is_test"] == order.test
        assert row["tags"] == order.tags
        assert row["note"] == order.note
        assert row["source"] == "api"
        assert row["fulfillment_status"] == order.fulfillment_status
        assert [line["quantity"] for line in row["line_items"]] == [
            line.quantity for line in order.line_items
        ]
        assert [line.get("product_type") for line in row["line_items"]] == [
            (line.product.product_type if line.product else "") or None for line in order.line_items
        ]
        assert sum(line["total_minor"] for line in row["line_items"]) == order.subtotal
    assert any(len(row["line_items"]) > 10 for row in rows["orders"])


def test_the_members_of_each_segment_are_loaded_large_or_not(
    sync: Sync, pool: Pool, tenant: UUID, store: Store
) -> None:
    sync()
    rows = loaded_rows(pool, tenant)
    for segment in store.data.segments:
        expected = {str(facts.customer.number) for facts in store.members_of(segment).rows}
        found = {
            row["customer_id"]
            for row in rows["segment_members"]
            if row["segment_id"] == str(segment.number)
        }
        cached = next(
            row for row in rows["cached_segments"] if row["segment_id"] == str(segment.number)
        )
        assert found == expected
        assert cached["member_count"] == len(expected)
        assert cached["gone_at"] is None
    assert any(segment.is_large for segment in store.data.segments)


def test_the_tenant_gets_the_shops_currency_and_time_zone(tenant: UUID, owner: Connection) -> None:
    row = owner.execute(
        "select currency, time_zone from app.tenants where tenant_id = %s", [tenant]
    ).fetchone()
    assert row == {"currency": "EUR", "time_zone": "Europe/Berlin"}


def test_a_second_sync_writes_nothing(sync: Sync, pool: Pool, tenant: UUID) -> None:
    sync()
    before = row_versions(pool, tenant)
    counts = sync()
    assert counts["written"] == 0
    assert counts["orders"] < ORDERS / 10
    assert row_versions(pool, tenant) == before


def test_another_tenant_sees_no_loaded_row(sync: Sync, pool: Pool, make_tenant: MakeTenant) -> None:
    sync()
    other = make_tenant("other")
    assert not any(loaded_rows(pool, other).values())


# -- changes ------------------------------------------------------------------------------------


def test_only_what_changed_is_read_and_written(
    sync: Sync, pool: Pool, tenant: UUID, store: Store
) -> None:
    sync()
    number = store.data.orders[0].number
    store.update_order(number, tags=["UGC "], note="rea\0d \U0001f600", refunded=150)
    counts = sync()
    assert counts["written"] == 1
    row = next(r for r in loaded_rows(pool, tenant)["orders"] if r["order_id"] == str(number))
    assert row["tags"] == ["UGC "]
    assert row["refunded_minor"] == 150
    assert row["note"] == "read \U0001f600"


def test_an_edit_without_a_refund_changes_what_the_order_is_worth(
    sync: Sync, pool: Pool, tenant: UUID, store: Store
) -> None:
    sync()
    order = next(o for o in store.data.orders if o.total > 500 and o.cancelled_at is None)
    left = replace(order, edited_away=500).current_total
    store.update_order(order.number, edited_away=500)
    assert sync()["written"] == 1
    rows = loaded_rows(pool, tenant)["orders"]
    row = next(r for r in rows if r["order_id"] == str(order.number))
    assert (row["total_minor"], row["current_total_minor"]) == (order.total, left)


def test_orders_that_an_earlier_release_read_are_read_again_once(
    sync: Sync, pool: Pool, tenant: UUID, owner: Connection
) -> None:
    """It read no current totals, and nothing else would ever ask for unchanged orders again."""
    sync()
    expected = loaded_rows(pool, tenant)["orders"]
    owner.execute("update shopify.sync_watermarks set revision = 0")
    owner.execute(
        "update shopify.orders set current_total_minor = null, current_subtotal_minor = null"
    )
    assert sync()["orders"] == ORDERS
    assert loaded_rows(pool, tenant)["orders"] == expected
    assert sync()["orders"] < ORDERS / 10


def test_a_killed_second_reading_goes_on_where_it_stopped(
    pool: Pool, tenant: UUID, owner: Connection
) -> None:
    """The old watermark is later than the pages of the new reading."""
    old, page = datetime(2026, 6, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC)
    owner.execute(
        "insert into shopify.sync_watermarks (tenant_id, resource, watermark, synced_at)"
        " values (%s, 'orders', %s, now())",
        [tenant, old],
    )
    with tenant_transaction(pool, tenant) as conn:
        assert read_watermark(conn, tenant, "orders") is None
        advance_watermark(conn, tenant, "orders", page)
        assert read_watermark(conn, tenant, "orders") == page
        advance_watermark(conn, tenant, "orders", page - timedelta(days=1))
        assert read_watermark(conn, tenant, "orders") == page


def test_an_older_record_does_not_overwrite_a_newer_one(
    sync: Sync, pool: Pool, tenant: UUID, store: Store
) -> None:
    sync()
    newest = max(store.data.orders, key=lambda order: order.updated_at)
    late = replace(newest, note="late", updated_at=newest.updated_at - timedelta(seconds=30))
    store.upsert_order(late)
    assert sync()["written"] == 0
    row = next(
        r for r in loaded_rows(pool, tenant)["orders"] if r["order_id"] == str(newest.number)
    )
    assert row["note"] == newest.note


def test_an_unreadable_order_is_quarantined_until_it_can_be_read(
    sync: Sync, pool: Pool, tenant: UUID, store: Store
) -> None:
    order = store.data.orders[7]
    huge = [replace(order.line_items[0], unit_price=10**30)]
    store.update_order(order.number, line_items=huge)
    counts = sync()
    rows = loaded_rows(pool, tenant)
    assert counts["rejected"] == 1
    assert len(rows["orders"]) == ORDERS - 1
    (rejected,) = rows["rejected_rows"]
    assert (rejected["entity"], rejected["source_id"]) == ("order", str(order.number))
    assert "too large" in rejected["reason"]
    assert rejected["payload"]["name"] == order.name

    store.update_order(order.number, line_items=order.line_items)
    sync()
    rows = loaded_rows(pool, tenant)
    assert len(rows["orders"]) == ORDERS
    assert rows["rejected_rows"] == []


def test_a_deleted_segment_is_marked_gone_and_emptied(
    sync: Sync, pool: Pool, tenant: UUID, store: Store
) -> None:
    sync()
    deleted, kept = store.data.segments[0], store.data.segments[1]
    store.delete_segment(deleted.number)
    store.update_segment(kept.number, name="Renamed", query="number_of_orders >= 2")
    sync()
    rows = loaded_rows(pool, tenant)
    gone = [row["segment_id"] for row in rows["cached_segments"] if row["gone_at"]]
    assert gone == [str(deleted.number)]
    assert str(deleted.number) not in {row["segment_id"] for row in rows["segment_members"]}
    renamed = next(r for r in rows["cached_segments"] if r["segment_id"] == str(kept.number))
    assert renamed["name"] == "Renamed"
    members = [r for r in rows["segment_members"] if r["segment_id"] == str(kept.number)]
    assert len(members) == renamed["member_count"]


# -- failures -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=429, retry_after=1),
        Fault(status=500),
        Fault(status=503, html=True),
        Fault(drop=True),
        Fault(truncate=True),
        Fault(status=502, html=True, probability=0.2, count=3),
    ],
    ids=["429", "500", "503 page", "dropped", "truncated", "now and then"],
)
def test_transient_failures_change_nothing(
    sync: Sync,
    pool: Pool,
    tenant: UUID,
    shop: Sandbox,
    undisturbed: dict[str, Any],
    fault: Fault,
) -> None:
    shop.fail_shopify(fault)
    sync()
    assert loaded_rows(pool, tenant) == undisturbed


def test_being_throttled_changes_nothing(
    sync: Sync, pool: Pool, tenant: UUID, store: Store, undisturbed: dict[str, Any]
) -> None:
    store.bucket = LeakyBucket(700, 1500)
    # Another process has just used it up, which no answer of ours could have reported.
    assert store.bucket.take(700)
    sync()
    assert loaded_rows(pool, tenant) == undisturbed


def test_queries_wait_for_their_points_rather_than_being_throttled(
    sync: Sync, pool: Pool, tenant: UUID, store: Store, undisturbed: dict[str, Any]
) -> None:
    refused = []

    class Watched(LeakyBucket):
        def take(self, points: int) -> bool:
            taken = super().take(points)
            if not taken:
                refused.append(points)
            return taken

    store.bucket = Watched(450, 1000)
    sync()
    assert loaded_rows(pool, tenant) == undisturbed
    # Only the first query of a kind can be throttled, because its cost is not known yet.
    assert len(refused) <= 1


class _KilledError(Exception):
    pass


class _KilledAfter(NullProgress):
    """Dies at the n-th page of the orders, after it has been loaded."""

    def __init__(self, pages: int) -> None:
        super().__init__()
        self.pages = pages

    def advance(self, done: int = 1) -> None:
        if self.phases[-1] == "orders":
            self.pages -= 1
            if not self.pages:
                raise _KilledError


@pytest.mark.parametrize("pages", [1, 3, ORDER_PAGES])
def test_a_killed_sync_resumes_where_it_stopped(
    shopify_settings: Settings,
    pool: Pool,
    tenant: UUID,
    sync: Sync,
    undisturbed: dict[str, Any],
    pages: int,
) -> None:
    with pytest.raises(_KilledError):
        sync_shopify(shopify_settings, pool, tenant, _KilledAfter(pages))
    counts = sync()
    assert counts["orders"] < ORDERS - 40 * (pages - 1)
    assert loaded_rows(pool, tenant) == undisturbed


def test_it_gives_up_in_the_end_and_keeps_what_was_loaded(
    sync: Sync, pool: Pool, tenant: UUID, shop: Sandbox, store: Store
) -> None:
    sync()
    before = loaded_rows(pool, tenant)
    shop.fail_shopify(Fault(status=503, count=100))
    with (
        stamina.set_testing(True, attempts=3),
        pytest.raises(ShopifyUnavailableError, match="status 503") as raised,
    ):
        sync()
    assert store.data.token not in str(raised.value)
    assert loaded_rows(pool, tenant) == before


# -- connecting ---------------------------------------------------------------------------------


def connection(pool: Pool, tenant_id: UUID) -> dict[str, Any]:
    with tenant_transaction(pool, tenant_id) as conn:
        row = conn.execute("select * from app.connections").fetchone()
    assert row is not None
    return row


def test_a_token_no_longer_accepted_marks_the_connection(
    shopify_settings: Settings, sync: Sync, pool: Pool, tenant: UUID, shop: Sandbox, store: Store
) -> None:
    shop.fail_shopify(Fault(status=401, count=3))
    with (
        stamina.set_testing(True, attempts=3),
        pytest.raises(ShopifyRefusedError) as raised,
    ):
        sync()
    assert "connect-shopify" in raised.value.advice
    row = connection(pool, tenant)
    assert row["state"] == "refused"
    assert "401" in row["state_reason"]
    sync()
    assert connection(pool, tenant)["state"] == "active"
    assert connection(pool, tenant)["state_reason"] is None


def test_the_token_is_stored_encrypted_and_shown_nowhere(
    shopify_settings: Settings,
    sync: Sync,
    pool: Pool,
    tenant: UUID,
    shop: Sandbox,
    store: Store,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    shop.fail_shopify(Fault(drop=True), Fault(status=500))
    sync()
    token = store.data.token
    assert "stamina" in caplog.text or caplog.records
    assert token not in caplog.text
    row = connection(pool, tenant)
    assert token.encode() not in row["sealed_secret"]
    assert row["last_four"] == token[-4:]
    assert unseal(shopify_settings, tenant, "shopify", row) == token


def test_missing_scopes_are_named_with_their_purpose(
    shopify_settings: Settings, pool: Pool, make_tenant: MakeTenant, store: Store
) -> None:
    store.scopes = ALL_SCOPES - {"read_orders"}
    tenant_id = make_tenant("kessel", store.data.domain)
    with pytest.raises(MissingScopeError, match=r"read_orders \(for orders"):
        connect_shopify(shopify_settings, pool, tenant_id, store.data.domain, store.data.token)
    with tenant_transaction(pool, tenant_id) as conn, pytest.raises(NotConnectedError):
        find_connection(conn, tenant_id, "shopify")


def test_a_scope_revoked_later_is_named_by_the_sync(
    sync: Sync, pool: Pool, tenant: UUID, store: Store
) -> None:
    store.scopes = ALL_SCOPES - {"read_orders"}
    with pytest.raises(ShopifyRefusedError, match="read_orders"):
        sync()
    assert connection(pool, tenant)["state"] == "refused"


def test_a_token_limited_to_sixty_days_is_reported(
    shopify_settings: Settings, sync: Sync, pool: Pool, tenant: UUID, store: Store
) -> None:
    store.scopes = ALL_SCOPES - {"read_all_orders"}
    info = connect_shopify(shopify_settings, pool, tenant, store.data.domain, store.data.token)
    assert not info.has_all_orders
    counts = sync()
    assert counts["orders_limited_to_60_days"] == 1
    assert 0 < counts["orders"] < ORDERS

    # With the scope, the orders that could not be seen are read although they did not change.
    store.scopes = ALL_SCOPES
    store.upsert_customer(store.data.customers[0])  # the store looks again at what may be seen
    assert "orders_limited_to_60_days" not in sync()
    assert len(loaded_rows(pool, tenant)["orders"]) == ORDERS


def test_another_shop_is_refused(
    shopify_settings: Settings, pool: Pool, make_tenant: MakeTenant, store: Store, tenant: UUID
) -> None:
    with pytest.raises(InvalidInputError, match=r"shop is kessel-und-korn.*, not other"):
        connect_shopify(shopify_settings, pool, tenant, "other.myshopify.com", store.data.token)
    elsewhere = make_tenant("elsewhere", "elsewhere.myshopify.com")
    with pytest.raises(InvalidInputError, match=r"elsewhere\.myshopify\.com, not kessel"):
        connect_shopify(
            shopify_settings, pool, elsewhere, "elsewhere.myshopify.com", store.data.token
        )
    nowhere = make_tenant("nowhere")
    with pytest.raises(NotConnectedError, match="no shop"):
        connect_shopify(shopify_settings, pool, nowhere, store.data.domain, store.data.token)


@pytest.mark.parametrize(
    "token", ["", "short", "with space in it", "bad\nline-token", "tökentöken"]
)
def test_an_invalid_token_is_refused_and_not_quoted(
    shopify_settings: Settings, pool: Pool, tenant: UUID, store: Store, token: str
) -> None:
    with pytest.raises(InvalidInputError, match="access token") as raised:
        connect_shopify(shopify_settings, pool, tenant, store.data.domain, token)
    assert not token or token not in str(raised.value)


def test_a_wrong_token_is_not_stored(
    shopify_settings: Settings, pool: Pool, make_tenant: MakeTenant, store: Store
) -> None:
    tenant_id = make_tenant("kessel", store.data.domain)
    with stamina.set_testing(True, attempts=2), pytest.raises(ShopifyRefusedError):
        connect_shopify(
            shopify_settings, pool, tenant_id, store.data.domain, "shpat_nobody_has_this"
        )
    with tenant_transaction(pool, tenant_id) as conn, pytest.raises(NotConnectedError):
        find_connection(conn, tenant_id, "shopify")
