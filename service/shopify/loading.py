"""What has been read goes into schema shopify, a page at a time, and only where it differs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import cast
from uuid import UUID

from psycopg import sql
from psycopg.types.json import Jsonb

from service.core.db import Connection, Pool, one, tenant_transaction
from service.core.queries import query
from service.shopify.erased import delete_erased_rejections, redact_erased
from service.shopify.parse import Rejection, Row
from service.shopify.shop import ShopInfo


def save_shop(conn: Connection, tenant_id: UUID, info: ShopInfo) -> None:
    """Take the tenant's currency and time zone from its shop."""
    conn.execute(
        query("shopify.update_tenant"),
        {"tenant_id": tenant_id, "currency": info.currency, "time_zone": info.time_zone},
    )


def read_clock(pool: Pool, tenant_id: UUID) -> datetime:
    """The database's clock, by which is known what came before what."""
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        row = one(conn.execute(query("shopify.read_clock")).fetchone())
    return cast("datetime", row["now"])


def load_customers(
    conn: Connection, tenant_id: UUID, rows: Sequence[Row], read_at: datetime
) -> int:
    """Land customers and return how many rows were written.

    ``read_at`` is the database's time before they were read: whoever was marked as deleted since
    stays so.
    """
    return _load(conn, tenant_id, "customer", query("shopify.load_customers"), rows, read_at)


def load_orders(conn: Connection, tenant_id: UUID, rows: Sequence[Row], read_at: datetime) -> int:
    """Land orders and return how many rows were written; ``read_at`` as in load_customers."""
    return _load(conn, tenant_id, "order", query("shopify.load_orders"), rows, read_at)


def mark_orders_deleted(conn: Connection, tenant_id: UUID, order_ids: Sequence[str]) -> int:
    """Mark orders the store no longer has, and return how many were not marked yet."""
    return _written(
        conn,
        query("shopify.mark_orders_deleted"),
        {"tenant_id": tenant_id, "order_ids": list(order_ids)},
    )


def mark_customers_deleted(conn: Connection, tenant_id: UUID, customer_ids: Sequence[str]) -> int:
    """Mark customers the store no longer has, and return how many were not marked yet.

    Their orders stay whose they are until the store says otherwise.
    """
    return _written(
        conn,
        query("shopify.mark_customers_deleted"),
        {"tenant_id": tenant_id, "customer_ids": list(customer_ids)},
    )


def merge_customers(conn: Connection, tenant_id: UUID, kept_id: str, gone_id: str) -> int:
    """Follow a merge of two customers: ``gone_id``'s orders become ``kept_id``'s.

    Doing it twice changes nothing. Returns how many rows were written: orders that moved, and the
    customer who is marked as deleted.
    """
    return _written(
        conn,
        query("shopify.merge_customers"),
        {"tenant_id": tenant_id, "kept_id": kept_id, "gone_id": gone_id},
    )


def reassign_orders(conn: Connection, tenant_id: UUID) -> int:
    """Give imported orders of an address to its customer, if landed; how many rows changed."""
    adopted = conn.execute(query("shopify.reassign_orders"), {"tenant_id": tenant_id})
    return int(one(adopted.fetchone())["written"])


def purge_deleted(conn: Connection, tenant_id: UUID) -> int:
    """Remove what has been marked as deleted for a month, once a build has seen that it is gone."""
    built = one(conn.execute(query("shopify.has_builds")).fetchone())
    if not built["has_builds"]:
        return 0
    return _written(conn, query("shopify.purge_deleted"), {"tenant_id": tenant_id})


def quarantine(
    conn: Connection, tenant_id: UUID, entity: str, rejections: Sequence[Rejection]
) -> None:
    """Keep what could not be read, with the reason, until the same record is landed."""
    if not rejections:
        return
    rows = [
        {"source_id": item.source_id, "reason": item.reason, "payload": item.payload}
        for item in rejections
    ]
    conn.execute(
        query("shopify.quarantine"),
        {"tenant_id": tenant_id, "entity": entity, "rows": Jsonb(rows)},
    )
    delete_erased_rejections(conn, tenant_id)


def clear_rejections(conn: Connection, tenant_id: UUID, entity: str, source_ids: list[str]) -> None:
    """Forget the rejections of records that have landed after all."""
    conn.execute(
        query("shopify.clear_rejections"),
        {"tenant_id": tenant_id, "entity": entity, "source_ids": source_ids},
    )


def read_watermark(conn: Connection, tenant_id: UUID, resource: str) -> datetime | None:
    """How far a resource has been read; None before its first page."""
    row = conn.execute(
        query("shopify.read_watermark"), {"tenant_id": tenant_id, "resource": resource}
    ).fetchone()
    return None if row is None else cast("datetime | None", row["watermark"])


def advance_watermark(
    conn: Connection, tenant_id: UUID, resource: str, watermark: datetime | None
) -> None:
    """Note how far a resource has been read; it never goes back."""
    conn.execute(
        query("shopify.advance_watermark"),
        {"tenant_id": tenant_id, "resource": resource, "watermark": watermark},
    )


def _written(conn: Connection, statement: sql.SQL, parameters: dict[str, object]) -> int:
    """Run a statement that counts the rows it wrote."""
    return int(one(conn.execute(statement, parameters).fetchone())["written"])


def _load(
    conn: Connection,
    tenant_id: UUID,
    entity: str,
    statement: sql.SQL,
    rows: Sequence[Row],
    read_at: datetime,
) -> int:
    if not rows:
        return 0
    parameters = {"tenant_id": tenant_id, "rows": Jsonb(rows), "read_at": read_at}
    written = _written(conn, statement, parameters)
    clear_rejections(conn, tenant_id, entity, [row[f"{entity}_id"] for row in rows])
    redact_erased(conn, tenant_id)
    return written
