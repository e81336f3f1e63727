"""A small shop for tests of Shopify syncs, and what a tenant's loaded rows are."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sandbox.data import StoreData, generate_store
from sandbox.data.specs import KESSEL
from service.core.db import Pool, tenant_transaction

ORDERS = 210

_CLOCKS = ("tenant_id", "landed_at", "landed_xid", "synced_at", "rejected_at", "entered_at")
_TABLES = {
    "customers": "customer_id",
    "orders": "order_id",
    "cached_segments": "segment_id",
    "segment_members": "segment_id, customer_id",
    "rejected_rows": "entity, source_id",
    "sync_watermarks": "resource",
    "sync_positions": "resource",
}


def small_shop() -> StoreData:
    """The smaller sandbox store, cut down to its latest orders and their customers."""
    data = generate_store(KESSEL, 1, datetime(2026, 7, 1, tzinfo=UTC))
    orders = sorted(data.orders, key=lambda order: order.processed_at)[-ORDERS:]
    buyers = {order.customer_number for order in orders}
    return replace(
        data,
        orders=orders,
        customers=[customer for customer in data.customers if customer.number in buyers],
        segments=[replace(data.segments[0], is_large=True), *data.segments[1:]],
    )


def loaded_rows(pool: Pool, tenant_id: UUID) -> dict[str, list[dict[str, Any]]]:
    """All loaded rows of a tenant, without the columns of our own clock."""
    with tenant_transaction(pool, tenant_id) as conn:
        return {
            table: [
                {name: value for name, value in row.items() if name not in _CLOCKS}
                for row in conn.execute(f"select * from shopify.{table} order by {key}")
            ]
            for table, key in _TABLES.items()
        }


def row_versions(pool: Pool, tenant_id: UUID) -> list[Any]:
    """The transaction that wrote each row, which changes when the row is written."""
    with tenant_transaction(pool, tenant_id) as conn:
        return [
            conn.execute(f"select xmin, ctid from shopify.{table} order by {key}").fetchall()
            for table, key in _TABLES.items()
            # These two have the time of the last look.
            if table not in ("cached_segments", "sync_watermarks")
        ]
