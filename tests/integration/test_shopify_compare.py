"""Deletions and merges in the shop reach the loaded rows without a webhook."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from sandbox import Fault, Sandbox
from sandbox.shopify import Store
from sandbox.shopify.bulk import BulkFault
from sandbox.shopify.store import ALL_SCOPES
from service.builds.run import build
from service.core.config import Settings
from service.core.db import Connection, Pool, connect_as_owner, open_pool, tenant_transaction
from service.shopify.compare import Comparison, ComparisonRefusedError
from service.shopify.connection import connect_shopify
from service.shopify.loading import load_orders, mark_orders_deleted, purge_deleted
from service.shopify.sync import sync_shopify
from service.tenants.tenants import add_tenant
from tests.cluster import wait_for_older_transactions
from tests.command import quintile
from tests.conftest import MakeTenant, NullProgress
from tests.integration.test_shopify_deletions import READ_AT, order_row
from tests.shops import loaded_rows, row_versions


@pytest.fixture
def here(shopify_settings: Settings) -> Settings:
    return replace(shopify_settings, shopify_bulk_patience_seconds=1)


@pytest.fixture
def tenant(here: Settings, pool: Pool, make_tenant: MakeTenant, store: Store) -> UUID:
    """A tenant that has been synced once."""
    tenant_id = make_tenant("kessel", store.data.domain)
    connect_shopify(here, pool, tenant_id, store.data.domain, store.data.token)
    sync_shopify(here, pool, tenant_id, NullProgress())
    return tenant_id


Sync = Callable[..., dict[str, int]]


@pytest.fixture
def sync(here: Settings, pool: Pool, tenant: UUID) -> Sync:
    def run(comparison: Comparison = Comparison.NOW) -> dict[str, int]:
        progress = NullProgress()
        sync_shopify(here, pool, tenant, progress, comparison=comparison)
        return progress.counts

    return run


def orders(pool: Pool, tenant_id: UUID) -> dict[str, dict[str, Any]]:
    return {row["order_id"]: row for row in loaded_rows(pool, tenant_id)["orders"]}


def deleted(pool: Pool, tenant_id: UUID, table: str = "orders") -> list[str]:
    key = {"orders": "order_id", "customers": "customer_id"}[table]
    return [row[key] for row in loaded_rows(pool, tenant_id)[table] if row["deleted_at"]]


def test_nothing_differs_and_nothing_is_written(sync: Sync, pool: Pool, tenant: UUID) -> None:
    versions = row_versions(pool, tenant)
    assert sync().get("reread", 0) == 0
    assert row_versions(pool, tenant) == versions


def test_deleted_orders_and_customers_are_marked(
    sync: Sync, pool: Pool, tenant: UUID, store: Store
) -> None:
    numbers = [order.number for order in store.data.orders[:3]]
    for number in numbers:
        store.delete_order(number)
    buyers = {order.customer_number for order in store.data.orders}
    lonely = next(c.number for c in store.data.customers if c.number in buyers)
    store.delete_customer(lonely)
    counts = sync()
    assert deleted(pool, tenant) == sorted(map(str, numbers))
    assert deleted(pool, tenant, "customers") == [str(lonely)]
    assert counts["deleted"] == 4
    theirs = [o for o in orders(pool, tenant).values() if str(lonely) in o["former_customer_ids"]]
    assert theirs
    assert {order["customer_id"] for order in theirs} == {None}
    versions = row_versions(pool, tenant)
    sync()
    assert row_versions(pool, tenant) == versions


def test_a_merge_of_customers_is_followed(
    sync: Sync, pool: Pool, tenant: UUID, store: Store
) -> None:
    gone, kept = _two_buyers(store)
    theirs = [key for key, row in orders(pool, tenant).items() if row["customer_id"] == str(gone)]
    store.merge_customers(kept, gone)
    sync()
    assert theirs
    for key in theirs:
        row = orders(pool, tenant)[key]
        assert row["customer_id"] == str(kept)
        assert row["former_customer_ids"] == [str(gone)]
    assert deleted(pool, tenant, "customers") == [str(gone)]


def _two_buyers(store: Store) -> tuple[int, int]:
    first, second, *_ = dict.fromkeys(
        order.customer_number for order in store.data.orders if order.customer_number
    )
    return first, second


def test_a_change_that_the_search_missed_is_read(
    sync: Sync, pool: Pool, tenant: UUID, store: Store
) -> None:
    """For example because the index lags by more than the overlap."""
    number = store.data.orders[0].number
    at = store.data.orders[0].updated_at + timedelta(seconds=5)
    assert at < store.clock() - timedelta(hours=1)
    store.update_order(number, note="missed", updated_at=at)
    new = replace(store.data.orders[1], number=4242, name="#4242", updated_at=at)
    store.upsert_order(new)
    assert sync(Comparison.WHEN_DUE)["written"] == 0
    assert sync()["reread"] == 2
    assert orders(pool, tenant)[str(number)]["note"] == "missed"
    assert orders(pool, tenant)["4242"]["order_number"] == "#4242"


def test_orders_of_a_csv_file_do_not_count_as_missing(
    sync: Sync, pool: Pool, tenant: UUID, owner: Connection
) -> None:
    with tenant_transaction(pool, tenant) as conn:
        conn.execute(
            "insert into shopify.orders (tenant_id, order_id, processed_at, currency, total_minor,"
            " subtotal_minor, source, shopify_updated_at) values"
            " (%s, '1', '2020-01-01', 'EUR', 1, 1, 'csv', '2020-01-01')",
            [tenant],
        )
    sync()
    assert deleted(pool, tenant) == []


def test_with_sixty_days_of_orders_only_recent_ones_count_as_missing(
    sync: Sync, pool: Pool, tenant: UUID, store: Store
) -> None:
    store.scopes = ALL_SCOPES - {"read_all_orders"}
    store.upsert_customer(store.data.customers[0])  # the store looks again at what may be seen
    newest = max(store.data.orders, key=lambda order: order.processed_at)
    oldest = min(store.data.orders, key=lambda order: order.processed_at)
    assert oldest.processed_at < store.clock() - timedelta(days=30)
    for order in (newest, oldest):
        store.delete_order(order.number)
    sync()
    assert deleted(pool, tenant) == [str(newest.number)]


@pytest.mark.parametrize(
    "fault",
    [
        BulkFault(status="FAILED", error_code="TIMEOUT", partial=0.1),
        BulkFault(status="EXPIRED"),
        BulkFault(extra_line="<html>"),
        BulkFault(is_url_expired=True),
    ],
    ids=["partial", "expired", "damaged", "url expired"],
)
def test_a_partial_listing_marks_nothing_as_deleted(
    sync: Sync, pool: Pool, tenant: UUID, store: Store, fault: BulkFault
) -> None:
    store.bulk.faults += [fault] * 3
    versions = row_versions(pool, tenant)
    sync()
    assert row_versions(pool, tenant) == versions
    with tenant_transaction(pool, tenant) as conn:
        assert conn.execute("select from shopify.bulk_operations").fetchall() == []
    number = store.data.orders[0].number
    store.delete_order(number)
    store.bulk.faults += [fault, BulkFault(), fault]
    sync()
    assert deleted(pool, tenant) == [str(number)]


def test_a_listing_without_most_of_the_orders_marks_nothing_as_deleted(
    here: Settings, pool: Pool, tenant: UUID, store: Store
) -> None:
    """All counts agree, and yet most orders are missing; refetched, the shop has them."""
    hidden = store.data.orders[:20]
    for order in hidden:
        store.delete_order(order.number)

    class _Restoring(NullProgress):
        def phase(self, name: str, total: int | None = None) -> None:
            if name == "ids of orders":
                for order in hidden:
                    store.upsert_order(order)

    sync_shopify(here, pool, tenant, _Restoring(), comparison=Comparison.NOW)
    assert deleted(pool, tenant) == []


def test_too_many_missing_orders_are_only_marked_on_request(
    sync: Sync, pool: Pool, tenant: UUID, store: Store
) -> None:
    gone = [order.number for order in store.data.orders[:80]]
    for number in gone:
        store.delete_order(number)
    with pytest.raises(
        ComparisonRefusedError, match=r"lists only 1\d\d of 2\d\d loaded orders"
    ) as raised:
        sync()
    assert "--accept-deletions" in raised.value.advice
    assert deleted(pool, tenant) == []
    sync(Comparison.NOW_AND_BELIEVE)
    assert len(deleted(pool, tenant)) == 80


def test_a_killed_comparison_is_finished_by_the_next_sync(
    here: Settings, sync: Sync, pool: Pool, tenant: UUID, store: Store
) -> None:
    for order in store.data.orders[:3]:
        store.delete_order(order.number)

    class _Killed(NullProgress):
        def phase(self, name: str, total: int | None = None) -> None:
            if name == "orders one by one":
                raise InterruptedError

    with pytest.raises(InterruptedError):
        sync_shopify(here, pool, tenant, _Killed(), comparison=Comparison.NOW)
    assert deleted(pool, tenant) == []
    sync(Comparison.WHEN_DUE)
    assert len(deleted(pool, tenant)) == 3


def test_it_compares_once_a_day(
    here: Settings, sync: Sync, pool: Pool, tenant: UUID, store: Store, owner: Connection
) -> None:
    sync(Comparison.WHEN_DUE)
    assert not store.bulk.operations
    owner.execute(
        "update shopify.sync_watermarks set synced_at = now() - interval '25 hours'"
        " where resource = 'comparison'"
    )
    progress = NullProgress()
    never = replace(here, shopify_compare_hours=0)
    sync_shopify(never, pool, tenant, progress)
    assert not store.bulk.operations
    sync(Comparison.WHEN_DUE)
    assert len(store.bulk.operations) == 2
    sync(Comparison.WHEN_DUE)
    assert len(store.bulk.operations) == 2


def test_refetching_resumes_after_a_failure(
    sync: Sync, pool: Pool, tenant: UUID, store: Store, shop: Sandbox
) -> None:
    for order in store.data.orders[:5]:
        store.delete_order(order.number)
    shop.fail_shopify(Fault(status=502, html=True, probability=0.2, count=4))
    sync()
    assert len(deleted(pool, tenant)) == 5


# -- purge --------------------------------------------------------------------------------------


def test_deleted_rows_are_purged_after_a_month_and_a_build(
    built_settings: Settings,
) -> None:
    with connect_as_owner(built_settings) as owner, open_pool(built_settings) as pool:
        tenant_id = add_tenant(owner, "demo")
        with tenant_transaction(pool, tenant_id) as conn:
            load_orders(conn, tenant_id, [order_row(number, "1") for number in (1, 2, 3)], READ_AT)
        as_of = datetime(2026, 7, 1, tzinfo=UTC).isoformat()
        build(built_settings, as_of=as_of, quiet=True)
        with tenant_transaction(pool, tenant_id) as conn:
            mark_orders_deleted(conn, tenant_id, ["1", "2"])
        owner.execute(
            "update shopify.orders set deleted_at = now() - interval '31 days' where order_id = '1'"
        )
        assert _purge(pool, tenant_id) == 0, "no build has seen it"
        wait_for_older_transactions(owner)
        build(built_settings, as_of=as_of, quiet=True)
        assert _purge(pool, tenant_id) == 1
        with tenant_transaction(pool, tenant_id, read_only=True) as conn:
            left = conn.execute("select order_id from shopify.orders order by 1").fetchall()
        assert [row["order_id"] for row in left] == ["2", "3"]


def _purge(pool: Pool, tenant_id: UUID) -> int:
    with tenant_transaction(pool, tenant_id) as conn:
        return purge_deleted(conn, tenant_id)


# -- the command --------------------------------------------------------------------------------


def test_the_command_compares_now_and_accepts_deletions_on_request(
    here: Settings, pool: Pool, tenant: UUID, store: Store
) -> None:
    for order in store.data.orders[:80]:
        store.delete_order(order.number)
    refused = quintile(here, "sync", "shopify", "--tenant", "kessel", "--compare", expect=1)
    assert "--accept-deletions" in refused.stderr
    assert deleted(pool, tenant) == []
    quintile(here, "sync", "shopify", "--tenant", "kessel", "--compare", "--accept-deletions")
    assert len(deleted(pool, tenant)) == 80


@pytest.mark.parametrize("options", [("klaviyo", "--compare"), ("shopify", "--accept-deletions")])
def test_options_that_do_not_fit_together_are_refused(
    here: Settings, options: tuple[str, str]
) -> None:
    refused = quintile(here, "sync", *options, expect=1)
    assert "--compare is for orders and customers" in refused.stderr
