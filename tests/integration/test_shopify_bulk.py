"""Backfill by bulk operation: it loads the same rows as paging, whatever fails on the way."""

from __future__ import annotations

import hashlib
import json
import threading
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from pytest_httpserver import HTTPServer

from sandbox import Fault, Sandbox
from sandbox.shopify import Store
from sandbox.shopify.bulk import BulkFault, BulkOperation
from sandbox.shopify.store import ALL_SCOPES
from service.core.config import Settings
from service.core.db import Pool, connect_as_owner, create_pool, tenant_transaction
from service.core.logs import configure_logging
from service.shopify.backfill import load_blocks
from service.shopify.bulk import Result, with_search
from service.shopify.client import open_shopify
from service.shopify.connection import connect_shopify
from service.shopify.errors import ShopifyRefusedError, ShopifyUnavailableError
from service.shopify.jsonl import DamagedFileError, FileGoneError, check_file_url, read_blocks
from service.shopify.loading import mark_orders_deleted, read_watermark
from service.shopify.resources import ORDERS as BULK_ORDERS
from service.shopify.sync import sync_shopify
from service.tenants.tenants import add_tenant
from tests.conftest import Cluster, MakeTenant, NullProgress
from tests.shops import ORDERS, loaded_rows, row_versions, small_shop

BULK = "/bulk-operation-outputs/"


@pytest.fixture
def here(shopify_settings: Settings) -> Settings:
    """Bulk operations from one record on, with little patience."""
    return replace(
        shopify_settings,
        shopify_bulk_from=1,
        shopify_bulk_patience_seconds=1,
    )


Sync = Callable[[], dict[str, int]]


@pytest.fixture
def sync(here: Settings, pool: Pool, tenant: UUID) -> Sync:
    def run() -> dict[str, int]:
        progress = NullProgress()
        sync_shopify(here, pool, tenant, progress)
        return progress.counts

    return run


def rows(pool: Pool, tenant_id: UUID) -> dict[str, list[dict[str, Any]]]:
    """All loaded rows, without the watermarks, which differ between bulk and pages."""
    return {k: v for k, v in loaded_rows(pool, tenant_id).items() if k != "sync_watermarks"}


def noted(pool: Pool, tenant_id: UUID) -> list[dict[str, Any]]:
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        return conn.execute("select * from shopify.bulk_operations order by resource").fetchall()


def operations(store: Store, what: str = "orders") -> list[str]:
    """How the operations for a resource ended, oldest first."""
    named = f"query Bulk{what.capitalize()} "
    return [each.status for each in store.bulk.operations.values() if named in each.query]


@pytest.fixture(scope="module")
def paged(cluster: Cluster, migrated_template: str) -> dict[str, list[dict[str, Any]]]:
    """The rows that a sync without bulk operations loads."""
    store = Store(small_shop())
    with cluster.database(migrated_template) as settings, Sandbox([store], []) as shop:
        here = replace(settings, shopify_url=shop.shopify_url, shopify_bulk_from=10**9)
        with connect_as_owner(settings) as owner:
            tenant_id = add_tenant(owner, "kessel", store.data.domain)
        pool = create_pool(here)
        connect_shopify(here, pool, tenant_id, store.data.domain, store.data.token)
        sync_shopify(here, pool, tenant_id, NullProgress())
        found = rows(pool, tenant_id)
        assert not store.bulk.operations
        pool.close()
    return found


# -- loading ------------------------------------------------------------------------------------


def test_a_bulk_operation_loads_the_same_rows_as_paging(
    sync: Sync, pool: Pool, tenant: UUID, store: Store, paged: dict[str, Any]
) -> None:
    counts = sync()
    assert operations(store) == operations(store, "customers") == ["COMPLETED"]
    assert rows(pool, tenant) == paged
    assert len(paged["orders"]) == ORDERS
    assert counts["rejected"] == 0
    assert noted(pool, tenant) == []
    versions = row_versions(pool, tenant)
    assert sync()["written"] == 0
    assert row_versions(pool, tenant) == versions


def test_text_of_every_kind_survives(sync: Sync, pool: Pool, tenant: UUID, store: Store) -> None:
    strange = 'a\\b\t"c"\r\nd {e,f} \\N \N{SYMBOL FOR NULL} \u2028 é \U0001f600'
    first, second, third = (order.number for order in store.data.orders[:3])
    store.update_order(first, note=strange, tags=[strange, "\N{SYMBOL FOR NULL}", ""])
    store.update_order(second, note="\N{SYMBOL FOR NULL}", name="")
    store.update_order(third, note="nu\0ll")
    sync()
    orders = {row["order_id"]: row for row in rows(pool, tenant)["orders"]}
    assert orders[str(first)]["note"] == strange
    assert orders[str(first)]["tags"] == [strange, "\N{SYMBOL FOR NULL}", ""]
    assert orders[str(second)]["note"] == "\N{SYMBOL FOR NULL}"
    assert orders[str(second)]["order_number"] == ""
    assert orders[str(third)]["note"] == "null"


def test_an_operation_that_finds_nothing_has_no_file(
    sync: Sync, pool: Pool, tenant: UUID, store: Store
) -> None:
    for order in store.data.orders:
        store.delete_order(order.number)
    with tenant_transaction(pool, tenant) as conn:
        # The operation of another release makes the sync start one, although there are no orders.
        conn.execute(
            "insert into shopify.bulk_operations (tenant_id, resource, operation_id, query_hash,"
            " began_at) values (%s, 'orders', 'gid://shopify/BulkOperation/1', 'other', now())",
            [tenant],
        )
    counts = sync()
    assert operations(store) == ["COMPLETED"]
    assert all(o.file is None for o in store.bulk.operations.values() if "BulkOrders" in o.query)
    assert counts["orders"] == 0
    assert rows(pool, tenant)["orders"] == []
    assert noted(pool, tenant) == []


def test_changes_during_the_operation_are_read_afterwards(
    here: Settings, pool: Pool, tenant: UUID, store: Store
) -> None:
    number = store.data.orders[0].number

    class _Meanwhile(NullProgress):
        """Changes an order once the file of the operation is being read."""

        def phase(self, name: str, total: int | None = None) -> None:
            super().phase(name, total)
            if name == "orders" and self.phases.count("orders") == 1:
                store.update_order(number, note="changed meanwhile")

    sync_shopify(here, pool, tenant, _Meanwhile())
    order = next(r for r in rows(pool, tenant)["orders"] if r["order_id"] == str(number))
    assert order["note"] == "changed meanwhile"


def test_older_orders_are_read_in_bulk_once_the_token_has_the_scope(
    sync: Sync, pool: Pool, tenant: UUID, store: Store
) -> None:
    store.scopes = ALL_SCOPES - {"read_all_orders"}
    sync()
    assert 0 < len(rows(pool, tenant)["orders"]) < ORDERS
    store.scopes = ALL_SCOPES
    store.upsert_customer(store.data.customers[0])  # the store looks again at what may be seen
    sync()
    assert len(rows(pool, tenant)["orders"]) == ORDERS
    assert operations(store) == ["COMPLETED"] * 2


def test_many_changes_are_read_in_bulk_from_the_watermark_on(
    sync: Sync, pool: Pool, tenant: UUID, store: Store
) -> None:
    sync()
    for order in store.data.orders[:5]:
        store.update_order(
            order.number, note="again", updated_at=store.clock() + timedelta(hours=1)
        )
    counts = sync()
    assert counts["written"] == 5
    last = list(store.bulk.operations.values())[-1]
    assert "updated_at:>=" in last.query
    assert last.roots < ORDERS


def test_an_unreadable_line_rejects_only_its_order(
    sync: Sync, pool: Pool, tenant: UUID, store: Store
) -> None:
    order = store.data.orders[7]
    store.update_order(
        order.number,
        line_items=[*order.line_items, replace(order.line_items[0], unit_price=10**30)],
    )
    counts = sync()
    found = rows(pool, tenant)
    assert counts["rejected"] >= 1
    assert len(found["orders"]) == ORDERS - 1
    (rejected,) = found["rejected_rows"]
    assert (rejected["entity"], rejected["source_id"]) == ("order", str(order.number))
    assert "too large" in rejected["reason"]

    store.update_order(order.number, line_items=order.line_items)
    sync()
    assert len(rows(pool, tenant)["orders"]) == ORDERS
    assert rows(pool, tenant)["rejected_rows"] == []


# -- the file -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def file_lines() -> list[bytes]:
    """The lines of an operation's file, as the sandbox writes it."""
    store = Store(small_shop())
    with Sandbox([store], []) as shop:
        settings = Settings(shopify_url=shop.shopify_url)
        with open_shopify(settings, store.data.domain, store.data.token) as client:
            client.run("bulk_run", query=with_search("bulk_orders", None))
            (operation,) = store.bulk.operations.values()
            while operation.file is None:
                client.run("bulk_operation", id=operation.id)
            return operation.file.read_bytes().splitlines(keepends=True)


def is_child(line: bytes) -> bool:
    return b"__parentId" in line


def owner_of(line: bytes) -> str:
    node = json.loads(line)
    owner: str = node.get("__parentId") or node["id"]
    return owner


ARRANGEMENTS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "as they came": lambda lines: lines,
    "lines first": lambda lines: sorted(lines, key=is_child, reverse=True),
    "orders first": lambda lines: sorted(lines, key=is_child),
    "anywhere": lambda lines: sorted(lines, key=lambda x: hashlib.sha256(x).digest()),
    "one far away": lambda lines: sorted(lines, key=owner_of)[1:] + sorted(lines, key=owner_of)[:1],
}


@pytest.mark.parametrize("arrange", ARRANGEMENTS.values(), ids=ARRANGEMENTS)
@pytest.mark.parametrize("per_block", [1, 7, 60, 10**6])
def test_lines_may_be_anywhere_in_the_file(
    pool: Pool,
    make_tenant: MakeTenant,
    file_lines: list[bytes],
    paged: dict[str, Any],
    arrange: Callable[[list[bytes]], list[bytes]],
    per_block: int,
) -> None:
    tenant_id = make_tenant("demo")
    lines = arrange(file_lines)
    blocks = [b"".join(lines[i : i + per_block]) for i in range(0, len(lines), per_block)]
    counts = load_file(pool, tenant_id, blocks)
    assert counts["orders"] == ORDERS
    assert counts["rejected"] == 0
    assert rows(pool, tenant_id)["orders"] == paged["orders"]


def load_file(pool: Pool, tenant_id: UUID, blocks: list[bytes], **changes: Any) -> dict[str, int]:
    now = datetime.now(UTC)
    result = Result("", None, 0, is_partial=False, began_at=now, noted_at=now)
    with tenant_transaction(pool, tenant_id) as conn:
        return load_blocks(
            conn, tenant_id, BULK_ORDERS, iter(blocks), replace(result, **changes), NullProgress()
        )


def order_lines(number: int, amount: str, currency: str, **changes: Any) -> list[bytes]:
    """An order of one line as a bulk operation writes it."""
    money = {"shopMoney": {"amount": amount, "currencyCode": currency}}
    order = {
        "id": f"gid://shopify/Order/{number}",
        "tags": [],
        "test": False,
        "processedAt": "2026-06-01T12:00:00+02:00",
        "updatedAt": "2026-06-01T10:00:00Z",
        "totalPriceSet": money,
        "subtotalPriceSet": None,
        "totalRefundedSet": money,
        "currentTotalPriceSet": money,
        "currentSubtotalPriceSet": money,
        "fulfillments": [],
        "displayFulfillmentStatus": "TAKEN_BY_A_DRONE",
    }
    line = {
        "id": f"gid://shopify/LineItem/{number}1",
        "title": "Thing",
        "quantity": 1,
        "originalUnitPriceSet": money,
        "discountedTotalSet": money,
        "__parentId": order["id"],
        **changes,
    }
    return [json.dumps(each).replace("/", r"\/").encode() + b"\n" for each in (line, order)]


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [("120.0", "JPY", 120), ("1.234", "KWD", 1234), ("-5.5", "USD", -550), ("0.0", "EUR", 0)],
)
def test_amounts_are_exact_in_every_currency(
    pool: Pool, make_tenant: MakeTenant, amount: str, currency: str, minor: int
) -> None:
    tenant_id = make_tenant("demo")
    load_file(pool, tenant_id, [b"".join(order_lines(1, amount, currency))])
    (order,) = rows(pool, tenant_id)["orders"]
    assert (order["total_minor"], order["subtotal_minor"]) == (minor, minor)
    assert (order["current_total_minor"], order["current_subtotal_minor"]) == (minor, minor)
    assert order["line_items"][0]["unit_price_minor"] == minor
    assert order["processed_at"] == datetime(2026, 6, 1, 10, tzinfo=UTC)
    assert order["fulfillment_status"] == "TAKEN_BY_A_DRONE"


def test_a_line_of_an_unusual_form_is_read_as_json(pool: Pool, make_tenant: MakeTenant) -> None:
    first, second = make_tenant("first"), make_tenant("second")
    line, order = order_lines(1, "5.0", "USD")
    load_file(pool, first, [line + order])
    plain = line.replace(rb"\/", b"/").replace(b'"id"', b'"sku": "A/1", "id"')
    load_file(pool, second, [plain + order.replace(rb"\/", b"/")])
    (expected,), (found,) = (rows(pool, each)["orders"] for each in (first, second))
    assert found["line_items"][0].pop("sku") == "A/1"
    assert expected["line_items"][0].pop("sku") is None
    assert found == expected


@pytest.mark.parametrize("amount", ["1.005", "NaN", "1e3", "", "twelve"])
def test_an_order_with_an_invalid_amount_is_quarantined(
    pool: Pool, make_tenant: MakeTenant, amount: str
) -> None:
    tenant_id = make_tenant("demo")
    good = order_lines(2, "1.0", "USD")
    counts = load_file(pool, tenant_id, [b"".join([*order_lines(1, amount, "USD"), *good])])
    assert counts == {"orders": 1, "written": 1, "rejected": 1}
    (rejected,) = rows(pool, tenant_id)["rejected_rows"]
    assert rejected["source_id"] == "1"


@pytest.mark.parametrize("number", [2**63, 10**18, 10**17])
def test_a_line_whose_id_is_beyond_bigint_quarantines_its_order(
    pool: Pool, make_tenant: MakeTenant, number: int
) -> None:
    tenant_id = make_tenant("demo")
    line, order = order_lines(1, "1.0", "USD")
    large = line.replace(rb"LineItem\/11", rb"LineItem\/%d" % number)
    assert large != line
    counts = load_file(pool, tenant_id, [order + large, *order_lines(2, "1.0", "USD")])
    is_too_large = number > 2**63 - 1
    found = rows(pool, tenant_id)
    assert {each["order_id"] for each in found["orders"]} == ({"2"} if is_too_large else {"1", "2"})
    assert counts["rejected"] == len(found["rejected_rows"]) == is_too_large
    for rejected in found["rejected_rows"]:
        assert (rejected["source_id"], rejected["reason"]) == ("1", "the id of a line is too large")


def test_a_line_of_another_currency_quarantines_its_order(
    pool: Pool, make_tenant: MakeTenant
) -> None:
    tenant_id = make_tenant("demo")
    (_, order), (line, _) = order_lines(1, "1.0", "USD"), order_lines(1, "1.0", "EUR")
    counts = load_file(pool, tenant_id, [line, order])
    assert counts == {"orders": 1, "written": 0, "rejected": 1}
    assert rows(pool, tenant_id)["rejected_rows"][0]["reason"] == "amounts in USD and in EUR"


@pytest.mark.parametrize("has_subtotal", [True, False])
def test_lines_whose_sum_is_too_large_quarantine_only_an_order_that_needs_it(
    pool: Pool, make_tenant: MakeTenant, has_subtotal: bool
) -> None:
    tenant_id = make_tenant("demo")
    line, order = order_lines(1, "90000000000000000.00", "USD")
    second = line.replace(rb"LineItem\/11", rb"LineItem\/12")
    assert second != line
    if has_subtotal:
        fields = json.loads(order)
        fields["subtotalPriceSet"] = fields["totalPriceSet"]
        order = json.dumps(fields).encode() + b"\n"
    counts = load_file(pool, tenant_id, [order + line, second, *order_lines(2, "1.0", "USD")])
    found = rows(pool, tenant_id)
    assert {each["order_id"] for each in found["orders"]} == ({"1", "2"} if has_subtotal else {"2"})
    assert counts["rejected"] == len(found["rejected_rows"]) == (0 if has_subtotal else 1)
    for rejected in found["rejected_rows"]:
        assert (rejected["source_id"], rejected["reason"]) == (
            "1",
            "the sum of its lines is too large",
        )


def test_a_record_given_twice_is_loaded_once(pool: Pool, make_tenant: MakeTenant) -> None:
    tenant_id = make_tenant("demo")
    twice = order_lines(1, "1.0", "USD") * 2
    assert load_file(pool, tenant_id, [b"".join(twice)])["written"] == 1
    assert load_file(pool, tenant_id, twice)["written"] == 0
    assert len(rows(pool, tenant_id)["orders"][0]["line_items"]) == 1


def test_an_order_deleted_during_the_operation_stays_deleted(
    pool: Pool, make_tenant: MakeTenant
) -> None:
    tenant_id = make_tenant("demo")
    began = datetime.now(UTC)
    load_file(pool, tenant_id, order_lines(1, "1.0", "USD"))
    with tenant_transaction(pool, tenant_id) as conn:
        mark_orders_deleted(conn, tenant_id, ["1"])
    assert load_file(pool, tenant_id, order_lines(1, "1.0", "USD"), noted_at=began)["written"] == 0
    assert load_file(pool, tenant_id, order_lines(1, "1.0", "USD"))["written"] == 1


# -- failures -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        BulkFault(status="FAILED", error_code="INTERNAL_SERVER_ERROR"),
        BulkFault(status="FAILED", error_code="TIMEOUT", partial=0.4),
        BulkFault(status="FAILED", error_code="TIMEOUT", partial=0.0),
        BulkFault(status="EXPIRED"),
        BulkFault(status="CANCELED"),
        BulkFault(is_url_expired=True),
        BulkFault(has_no_file=True),
        BulkFault(extra_line='{"id": '),
        BulkFault(is_endless=True),
    ],
    ids=[
        "failed",
        "partial",
        "empty",
        "expired",
        "canceled",
        "url expired",
        "no file",
        "damaged",
        "endless",
    ],
)
def test_a_failed_operation_is_followed_by_another(
    sync: Sync, pool: Pool, tenant: UUID, store: Store, paged: dict[str, Any], fault: BulkFault
) -> None:
    store.bulk.faults += [BulkFault(), fault]  # the first one is the customers'
    sync()
    assert len(operations(store)) == 2
    assert operations(store)[-1] == "COMPLETED"
    assert rows(pool, tenant) == paged
    assert noted(pool, tenant) == []


def test_rows_of_a_failed_operation_are_kept_until_another_succeeds(
    here: Settings, pool: Pool, tenant: UUID, store: Store, paged: dict[str, Any]
) -> None:
    partial = BulkFault(status="FAILED", error_code="TIMEOUT", partial=0.5)
    store.bulk.faults += [BulkFault(), partial]

    class _Stop(NullProgress):
        def phase(self, name: str, total: int | None = None) -> None:
            super().phase(name, total)
            if self.phases.count("orders: waiting for Shopify") == 2:
                raise InterruptedError

    with pytest.raises(InterruptedError):
        sync_shopify(here, pool, tenant, _Stop())
    found = rows(pool, tenant)["orders"]
    assert 0 < len(found) < ORDERS
    with tenant_transaction(pool, tenant, read_only=True) as conn:
        assert read_watermark(conn, tenant, "orders") is None
    sync_shopify(here, pool, tenant, NullProgress())
    assert rows(pool, tenant) == paged


def test_a_partial_file_never_replaces_stored_orders(pool: Pool, make_tenant: MakeTenant) -> None:
    """A failed operation may have written an order and not yet its lines."""
    tenant_id = make_tenant("demo")
    line, order = order_lines(1, "1.0", "USD")
    load_file(pool, tenant_id, [line, order])
    assert load_file(pool, tenant_id, [order], is_partial=True)["written"] == 0
    assert len(rows(pool, tenant_id)["orders"][0]["line_items"]) == 1


def test_after_three_failed_operations_it_pages(
    sync: Sync, pool: Pool, tenant: UUID, store: Store, paged: dict[str, Any]
) -> None:
    store.bulk.faults += [BulkFault(), *[BulkFault(status="FAILED")] * 3]
    sync()
    assert operations(store) == ["FAILED"] * 3
    assert rows(pool, tenant) == paged
    assert noted(pool, tenant) == []


def test_without_a_free_slot_it_pages(
    sync: Sync, pool: Pool, tenant: UUID, store: Store, paged: dict[str, Any]
) -> None:
    occupy(store)
    sync()
    assert len(store.bulk.operations) == 5
    assert rows(pool, tenant) == paged


def occupy(store: Store) -> None:
    """Keep the shop's five slots busy with operations."""
    for number in range(5):
        gid = f"gid://shopify/BulkOperation/{number}"
        store.bulk.operations[gid] = BulkOperation(
            gid, "{ products }", store.now, is_grouped=False, fault=BulkFault(is_endless=True)
        )


def test_it_waits_for_a_free_slot(
    here: Settings, pool: Pool, tenant: UUID, store: Store, paged: dict[str, Any]
) -> None:
    occupy(store)
    timer = threading.Timer(0.5, store.bulk.operations.clear)
    timer.start()
    patient = replace(here, shopify_bulk_patience_seconds=30)
    sync_shopify(patient, pool, tenant, NullProgress())
    timer.join()
    assert operations(store) == ["COMPLETED"]
    assert rows(pool, tenant) == paged


def test_an_operation_that_shopify_has_lost_is_started_again(
    sync: Sync, pool: Pool, tenant: UUID, store: Store, paged: dict[str, Any]
) -> None:
    document_hash = hashlib.sha256(with_search("bulk_orders", None).encode()).hexdigest()
    with tenant_transaction(pool, tenant) as conn:
        conn.execute(
            "insert into shopify.bulk_operations (tenant_id, resource, operation_id, query_hash,"
            " began_at) values (%s, 'orders', 'gid://shopify/BulkOperation/404', %s, now())",
            [tenant, document_hash],
        )
    sync()
    assert operations(store) == ["COMPLETED"]
    assert rows(pool, tenant) == paged


def test_a_missing_scope_of_a_bulk_operation_is_named_by_the_pages(
    sync: Sync, pool: Pool, tenant: UUID, store: Store
) -> None:
    denied = BulkFault(status="FAILED", error_code="ACCESS_DENIED")
    store.bulk.faults.append(denied)
    store.scopes = ALL_SCOPES - {"read_orders"}
    with pytest.raises(ShopifyRefusedError, match="read_orders"):
        sync()


@pytest.mark.parametrize(
    "faults",
    [
        [Fault(path=BULK, drop=True)],
        [Fault(path=BULK, truncate=True, count=3)],
        [Fault(path=BULK, status=503, count=2)],
        [Fault(path=BULK, truncate=True), Fault(path=BULK, status=500, html=True)],
        [Fault(path=BULK, truncate=True, count=4, probability=0.7)],
    ],
    ids=["dropped", "truncated", "503", "truncated, then a page", "now and then"],
)
@pytest.mark.parametrize("ranges", [True, False], ids=["with ranges", "without"])
def test_a_broken_download_is_resumed(
    sync: Sync,
    pool: Pool,
    tenant: UUID,
    shop: Sandbox,
    store: Store,
    paged: dict[str, Any],
    faults: list[Fault],
    ranges: bool,
) -> None:
    store.bulk.has_ranges = ranges
    shop.fail_shopify(*faults)
    sync()
    assert operations(store) == ["COMPLETED"]
    assert rows(pool, tenant) == paged


def test_a_broken_download_continues_at_the_byte_it_had_reached(
    store: Store, shop: Sandbox
) -> None:
    """The blocks together are the file, whatever the connection does."""
    text = b"".join(b'{"id":%d}\n' % number for number in range(20_000))
    url = serve(store, shop, text)
    for faults in ([], [Fault(path=BULK, truncate=True, count=4)]):
        shop.clear_requests()
        shop.fail_shopify(*faults)
        blocks = list(read_blocks(url, len(text), block_bytes=1_000, own=url))
        assert b"".join(blocks) == text
        assert all(block.endswith(b"\n") for block in blocks)
        assert len(shop.shopify_requests()) == 1 + len(faults) * 4


def test_a_compressed_file_is_read(store: Store, shop: Sandbox) -> None:
    text = b'{"id":1}\n' * 5_000
    url = serve(store, shop, text)
    store.bulk.is_compressed = True
    assert b"".join(read_blocks(url, len(text), block_bytes=1_000, own=url)) == text
    shop.fail_shopify(Fault(path=BULK, truncate=True))
    assert b"".join(read_blocks(url, len(text), block_bytes=1_000, own=url)) == text


def test_a_file_of_the_wrong_size_is_damaged(store: Store, shop: Sandbox) -> None:
    url = serve(store, shop, b'{"id":1}\n')
    with pytest.raises(DamagedFileError, match="more than 8 bytes"):
        list(read_blocks(url, 8, own=url))


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://storage.googleapis.com/file",
        "https://127.0.0.1/file",
        "https://evil.example/storage.googleapis.com",
        "https://notshopify.com/file",
        "https://storage.googleapis.com.evil.example/file",
        "https://user@evil.example:443@storage.googleapis.com/file",
        "file:///etc/passwd",
    ],
)
def test_a_file_is_fetched_from_shopify_only(url: str) -> None:
    with pytest.raises(FileGoneError, match="not on its servers"):
        next(read_blocks(url, None))


def test_the_hosts_of_shopifys_files_are_allowed() -> None:
    for host in ("storage.googleapis.com", "shopify-staged-uploads.storage.googleapis.com"):
        check_file_url(f"https://{host}/bulk/file?signature=x")


def test_a_file_that_grows_when_it_is_decompressed_is_not_held_in_memory(
    httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """200 KiB that become 200 MiB without a line's end."""
    packer = zlib.compressobj(9, wbits=31)
    packed = b"".join(packer.compress(b"\0" * 2**20) for _ in range(200)) + packer.flush()
    httpserver.expect_request("/file").respond_with_data(
        packed, headers={"Content-Encoding": "gzip"}
    )
    url = httpserver.url_for("/file")
    monkeypatch.setattr("service.shopify.jsonl._LONGEST_LINE_BYTES", 2**20)
    tracemalloc.start()
    try:
        with pytest.raises(DamagedFileError, match="too long"):
            list(read_blocks(url, None, 2**20, own=url))
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()


def serve(store: Store, shop: Sandbox, text: bytes) -> str:
    """Give an operation this file, and return its URL."""
    path = store.bulk.folder / "file.jsonl"
    path.write_bytes(text)
    gid = "gid://shopify/BulkOperation/1"
    store.bulk.operations[gid] = BulkOperation(
        gid, "", store.now, is_grouped=False, fault=BulkFault(), status="COMPLETED", file=path
    )
    return f"{shop.shopify_url}{BULK}{path.name}?Signature=secret"


def test_a_download_that_keeps_failing_is_given_up(
    sync: Sync, pool: Pool, tenant: UUID, shop: Sandbox, store: Store, paged: dict[str, Any]
) -> None:
    shop.fail_shopify(Fault(path=BULK, status=503, count=6))
    with pytest.raises(ShopifyUnavailableError, match="503") as raised:
        sync()
    assert "Signature" not in str(raised.value)
    # The operation is still recorded: the next sync only has to download.
    sync()
    assert operations(store, "customers") == ["COMPLETED"]
    assert rows(pool, tenant) == paged


def test_the_signed_url_is_never_logged(
    here: Settings, sync: Sync, shop: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    configure_logging(replace(here, log_level="DEBUG"))
    caplog.set_level("DEBUG")
    shop.fail_shopify(Fault(path=BULK, truncate=True), Fault(path=BULK, status=500))
    sync()
    assert caplog.records
    assert "Signature" not in caplog.text


# -- restarts -----------------------------------------------------------------------------------


class _KilledError(Exception):
    pass


class _KilledAt(NullProgress):
    """Dies when a phase begins for the n-th time."""

    def __init__(self, phase: str, times: int = 1) -> None:
        super().__init__()
        self.at, self.times = phase, times

    def phase(self, name: str, total: int | None = None) -> None:
        super().phase(name, total)
        if self.phases.count(self.at) == self.times:
            raise _KilledError


def test_a_restart_resumes_the_operation_under_way(
    here: Settings, pool: Pool, tenant: UUID, store: Store, paged: dict[str, Any]
) -> None:
    with pytest.raises(_KilledError):
        sync_shopify(here, pool, tenant, _KilledAt("orders"))
    (operation,) = noted(pool, tenant)
    assert (operation["resource"], operation["is_spent"]) == ("orders", False)
    assert rows(pool, tenant)["orders"] == []
    sync_shopify(here, pool, tenant, NullProgress())
    assert operations(store) == ["COMPLETED"]
    assert rows(pool, tenant) == paged


def test_a_restart_after_a_week_starts_a_new_operation(
    here: Settings, pool: Pool, tenant: UUID, store: Store, paged: dict[str, Any]
) -> None:
    with pytest.raises(_KilledError):
        sync_shopify(here, pool, tenant, _KilledAt("orders"))
    store.bulk.expire_files()
    sync_shopify(here, pool, tenant, NullProgress())
    assert operations(store) == ["COMPLETED"] * 2
    assert rows(pool, tenant) == paged
