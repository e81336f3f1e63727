"""Loaded orders and customers that the store deletes or merges."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from service.core.db import Pool, tenant_transaction
from service.shopify.loading import (
    load_customers,
    load_orders,
    mark_customers_deleted,
    mark_orders_deleted,
    merge_customers,
    read_clock,
)
from tests.conftest import MakeTenant

AT = "2026-06-01T10:00:00.000000+00:00"
READ_AT = datetime(2026, 6, 2, tzinfo=UTC)


def order_row(number: int, customer: str | None, **changes: Any) -> dict[str, Any]:
    """An order of 10.00 EUR as the parser returns it."""
    return {
        "order_id": str(number),
        "order_number": f"#{number}",
        "customer_id": customer,
        "customer_email": f"{customer}@example.com" if customer else None,
        "customer_name": customer,
        "processed_at": AT,
        "is_test": False,
        "currency": "EUR",
        "total_minor": 1000,
        "subtotal_minor": 1000,
        "refunded_minor": 0,
        "tags": [],
        "line_items": [],
        "shopify_updated_at": AT,
        **changes,
    }


def customer_row(number: str) -> dict[str, Any]:
    return {
        "customer_id": number,
        "email": f"{number}@example.com",
        "display_name": f"Customer {number}",
        "tags": [],
        "created_at": AT,
        "shopify_updated_at": AT,
    }


@pytest.fixture
def tenant(pool: Pool, make_tenant: MakeTenant) -> UUID:
    """A tenant with customers 1 and 2: order 11 is 1's, 21 and 22 are 2's, 31 is a guest's."""
    tenant_id = make_tenant("demo")
    with tenant_transaction(pool, tenant_id) as conn:
        load_customers(conn, tenant_id, [customer_row("1"), customer_row("2")], READ_AT)
        load_orders(
            conn,
            tenant_id,
            [
                order_row(number, customer)
                for number, customer in ((11, "1"), (21, "2"), (22, "2"), (31, None))
            ],
            READ_AT,
        )
    return tenant_id


def rows(pool: Pool, tenant_id: UUID, table: str, key: str) -> dict[str, dict[str, Any]]:
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        found = conn.execute(f"select * from shopify.{table} order by {key}").fetchall()
    return {row[key]: row for row in found}


def test_deleted_orders_are_marked_once_with_this_transaction(pool: Pool, tenant: UUID) -> None:
    before = rows(pool, tenant, "orders", "order_id")
    with tenant_transaction(pool, tenant) as conn:
        assert mark_orders_deleted(conn, tenant, ["21", "31", "404"]) == 2
    after = rows(pool, tenant, "orders", "order_id")
    assert [key for key, row in after.items() if row["deleted_at"]] == ["21", "31"]
    assert {key for key in after if after[key]["landed_xid"] != before[key]["landed_xid"]} == {
        "21",
        "31",
    }
    with tenant_transaction(pool, tenant) as conn:
        assert mark_orders_deleted(conn, tenant, ["21", "31"]) == 0
    assert rows(pool, tenant, "orders", "order_id") == after


def test_deleted_customers_are_marked_and_keep_their_orders(pool: Pool, tenant: UUID) -> None:
    orders = rows(pool, tenant, "orders", "order_id")
    with tenant_transaction(pool, tenant) as conn:
        assert mark_customers_deleted(conn, tenant, ["2"]) == 1
        assert mark_customers_deleted(conn, tenant, ["2"]) == 0
    assert rows(pool, tenant, "customers", "customer_id")["2"]["deleted_at"] is not None
    assert rows(pool, tenant, "orders", "order_id") == orders


def test_a_record_deleted_after_it_was_read_stays_deleted(pool: Pool, tenant: UUID) -> None:
    read_at = read_clock(pool, tenant)
    with tenant_transaction(pool, tenant) as conn:
        mark_orders_deleted(conn, tenant, ["21"])
        mark_customers_deleted(conn, tenant, ["2"])
    with tenant_transaction(pool, tenant) as conn:
        assert load_orders(conn, tenant, [order_row(21, "2")], read_at) == 0
        assert load_customers(conn, tenant, [customer_row("2")], read_at) == 0
    assert rows(pool, tenant, "orders", "order_id")["21"]["deleted_at"] is not None
    assert rows(pool, tenant, "customers", "customer_id")["2"]["deleted_at"] is not None


def test_a_deleted_record_that_the_store_shows_again_is_restored(pool: Pool, tenant: UUID) -> None:
    with tenant_transaction(pool, tenant) as conn:
        mark_orders_deleted(conn, tenant, ["21"])
        mark_customers_deleted(conn, tenant, ["2"])
    read_at = read_clock(pool, tenant)
    with tenant_transaction(pool, tenant) as conn:
        assert load_orders(conn, tenant, [order_row(21, "2")], read_at) == 1
        assert load_customers(conn, tenant, [customer_row("2")], read_at) == 1
    assert rows(pool, tenant, "orders", "order_id")["21"]["deleted_at"] is None
    assert rows(pool, tenant, "customers", "customer_id")["2"]["deleted_at"] is None


def test_a_merge_moves_the_orders_and_keeps_their_former_customer(pool: Pool, tenant: UUID) -> None:
    before = rows(pool, tenant, "orders", "order_id")
    with tenant_transaction(pool, tenant) as conn:
        assert merge_customers(conn, tenant, kept_id="1", gone_id="2") == 3
    after = rows(pool, tenant, "orders", "order_id")
    for key in ("21", "22"):
        assert after[key]["customer_id"] == "1"
        assert after[key]["customer_email"] == "1@example.com"
        assert after[key]["customer_name"] == "Customer 1"
        assert after[key]["former_customer_ids"] == ["2"]
        assert after[key]["landed_xid"] != before[key]["landed_xid"]
    assert {after[key] == before[key] for key in ("11", "31")} == {True}
    customers = rows(pool, tenant, "customers", "customer_id")
    assert customers["2"]["deleted_at"] is not None
    assert customers["1"]["deleted_at"] is None
    with tenant_transaction(pool, tenant) as conn:
        assert merge_customers(conn, tenant, kept_id="1", gone_id="2") == 0
        assert merge_customers(conn, tenant, kept_id="1", gone_id="1") == 0
    assert rows(pool, tenant, "orders", "order_id") == after


def test_a_merge_into_a_customer_not_yet_loaded_keeps_name_and_address(
    pool: Pool, tenant: UUID
) -> None:
    with tenant_transaction(pool, tenant) as conn:
        merge_customers(conn, tenant, kept_id="9", gone_id="2")
    order = rows(pool, tenant, "orders", "order_id")["21"]
    assert (order["customer_id"], order["customer_email"]) == ("9", "2@example.com")


def test_another_tenants_rows_are_not_changed(
    pool: Pool, tenant: UUID, make_tenant: MakeTenant
) -> None:
    other = make_tenant("other")
    before = rows(pool, tenant, "orders", "order_id")
    with tenant_transaction(pool, other) as conn:
        assert mark_orders_deleted(conn, tenant, ["21"]) == 0
        assert mark_customers_deleted(conn, tenant, ["2"]) == 0
        assert merge_customers(conn, tenant, "1", "2") == 0
    assert rows(pool, tenant, "orders", "order_id") == before
