"""Load rows into schema shopify: one statement per table writes those that differ, of every source.

A page's rows are read from JSON. The rows of a bulk operation's file or a CSV file are copied into
temporary tables, and read from there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast
from uuid import UUID

from psycopg import sql
from psycopg.types.json import Jsonb

from service.core.db import Connection, Pool, one, tenant_transaction
from service.core.queries import query
from service.shopify.copying import as_copied, as_json, copy_rows
from service.shopify.erased import delete_erased_rejections, redact_erased
from service.shopify.parse import Node, Rejection, Row, sort_out
from service.shopify.resources import CUSTOMERS, ORDERS, Resource
from service.shopify.scopes import PRODUCTS_SCOPE, is_granted
from service.shopify.shop import ShopInfo
from service.shopify.withheld import kept_columns

# The first and the last position of incoming rows.
Span = tuple[int, int]
ALL: Span = (-1, 2**62)

# By watermark, raised when more fields of its records are read: then all are read again. 1: the
# current totals of orders. A token that may read products reads one more: 2: their product types.
_REVISIONS = {"orders": 1, "recent_orders": 1}
_REVISIONS_WITH_PRODUCTS = {"orders": 2, "recent_orders": 2}


def save_shop(conn: Connection, tenant_id: UUID, info: ShopInfo) -> None:
    """Take the tenant's currency, time zone and country from its shop."""
    conn.execute(
        query("shopify.update_tenant"),
        {
            "tenant_id": tenant_id,
            "currency": info.currency,
            "time_zone": info.time_zone,
            "country": info.country,
        },
    )


def read_clock(pool: Pool, tenant_id: UUID) -> datetime:
    """The database's time, which all processes share."""
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        row = one(conn.execute(query("shopify.read_clock")).fetchone())
    return cast("datetime", row["now"])


def load_customers(
    conn: Connection,
    tenant_id: UUID,
    rows: Sequence[Row],
    read_at: datetime,
    withheld: Collection[str] = (),
) -> int:
    """As :func:`load`, for customers."""
    return load(conn, tenant_id, CUSTOMERS, rows, read_at, withheld)


def load_orders(
    conn: Connection,
    tenant_id: UUID,
    rows: Sequence[Row],
    read_at: datetime,
    withheld: Collection[str] = (),
) -> int:
    """As :func:`load`, for orders."""
    return load(conn, tenant_id, ORDERS, rows, read_at, withheld)


def load(
    conn: Connection,
    tenant_id: UUID,
    resource: Resource,
    rows: Sequence[Row],
    read_at: datetime,
    withheld: Collection[str] = (),
) -> int:
    """Load the rows of a page and return how many were written.

    Args:
        conn: A transaction of the tenant.
        tenant_id: The tenant.
        resource: What the rows are.
        rows: The rows. A column that one lacks was not read, and the stored value stays.
        read_at: The database's time before they were read: rows marked as deleted since stay so.
        withheld: Fields that were left out of the query; what they would fill stays too.
    """
    if not rows:
        return 0
    written = _load_rows(
        conn,
        resource,
        resource.read_page,
        tenant_id=tenant_id,
        rows=Jsonb([omit_unread(row, withheld) for row in rows] if withheld else rows),
        source="api",
        read_at=read_at,
        is_partial=False,
    )
    source_ids = [row[f"{resource.entity}_id"] for row in rows]
    parameters = {"tenant_id": tenant_id, "entity": resource.entity, "source_ids": source_ids}
    conn.execute(query("shopify.clear_rejections"), parameters)
    redact_erased(conn, tenant_id)
    return written


@dataclass(frozen=True)
class Loaded:
    """How many records were read, rejected and written."""

    read: int
    rejected: int
    written: int


def load_nodes(
    conn: Connection,
    tenant_id: UUID,
    resource: Resource,
    nodes: Iterable[Node],
    read_at: datetime,
    *,
    withheld: Collection[str],
    missing: Mapping[str, Collection[str]],
    unserved: Sequence[Rejection],
) -> Loaded:
    """Parse and load what Shopify answered; what cannot be read or was not served is quarantined.

    Args:
        conn: A transaction of the tenant.
        tenant_id: The tenant.
        resource: What the nodes are.
        nodes: The records.
        read_at: As for :func:`load`.
        withheld: As for :func:`load`.
        missing: Optional fields that Shopify could not serve, by the record's id. The record is
            loaded without them, and asked for again.
        unserved: Records that Shopify could not serve.
    """
    rows, rejections = sort_out(nodes, resource.parse)
    incomplete = []
    for position, row in enumerate(rows):
        source_id = row[f"{resource.entity}_id"]
        if fields := missing.get(source_id):
            rows[position] = omit_unread(row, fields)
            reason = f"Shopify could not serve its {' and '.join(sorted(fields))}."
            node = {"id": f"gid://shopify/{resource.entity.capitalize()}/{source_id}"}
            incomplete.append(Rejection(source_id, reason, node))
    written = load(conn, tenant_id, resource, rows, read_at, withheld)
    quarantine(conn, tenant_id, resource.entity, rejections)
    record_unserved(conn, tenant_id, resource.entity, [*incomplete, *unserved])
    return Loaded(len(rows), len(rejections) + len(incomplete) + len(unserved), written)


def omit_unread(row: Row, fields: Collection[str]) -> Row:
    """A row without the columns that are empty because these fields were not read."""
    unread = kept_columns(fields)
    return {name: value for name, value in row.items() if value is not None or name not in unread}


def create_incoming(conn: Connection, resource: Resource) -> None:
    """Create temporary tables of incoming rows and of rejections, to be filled with COPY."""
    conn.execute(resource.create)
    conn.execute(query("shopify.create_incoming_rejections"))


def load_incoming(
    conn: Connection,
    tenant_id: UUID,
    resource: Resource,
    positions: Span = ALL,
    lines: Span = ALL,
    *,
    source: Literal["api", "csv"] = "api",
    read_at: datetime | None = None,
    is_partial: bool = False,
    withheld: Collection[str] = (),
) -> int:
    """Load incoming rows and return how many were written; call :func:`finish_incoming` at the end.

    Args:
        conn: A transaction of the tenant.
        tenant_id: The tenant.
        resource: What the rows are.
        positions: The first and the last position of the rows to load.
        lines: The first and the last position of the orders' lines.
        source: Where they come from: what the API says replaces what a file said.
        read_at: The database's time before they were read. Rows marked as deleted since stay so.
        is_partial: Whether lines may be missing: then only absent orders are added.
        withheld: Fields that were left out of the query; what they would fill stays.
    """
    if withheld:
        parameters = {"tenant_id": tenant_id, "position": positions[0]}
        conn.execute(resource.keep_stored, {**parameters, "kept": kept_columns(withheld)})
    return _load_rows(
        conn,
        resource,
        resource.read_incoming,
        tenant_id=tenant_id,
        source=source,
        read_at=read_at,
        is_partial=is_partial,
        first=positions[0],
        last=positions[1],
        first_line=lines[0],
        last_line=lines[1],
    )


def finish_incoming(conn: Connection, tenant_id: UUID, resource: Resource) -> int:
    """Quarantine what was rejected, redact what was erased; the number of rejected records."""
    conn.execute(resource.clear_rejections, {"tenant_id": tenant_id})
    rejected = _quarantine_incoming(conn, tenant_id)
    redact_erased(conn, tenant_id)
    return rejected


def mark_orders_deleted(conn: Connection, tenant_id: UUID, order_ids: Sequence[str]) -> int:
    """Mark orders that the store no longer has, and return how many were not marked yet."""
    return _written(
        conn,
        query("shopify.mark_orders_deleted"),
        {"tenant_id": tenant_id, "order_ids": list(order_ids)},
    )


def mark_customers_deleted(conn: Connection, tenant_id: UUID, customer_ids: Sequence[str]) -> int:
    """Mark customers that the store no longer has, and return how many were not marked yet.

    Their orders keep them until the store says otherwise.
    """
    return _written(
        conn,
        query("shopify.mark_customers_deleted"),
        {"tenant_id": tenant_id, "customer_ids": list(customer_ids)},
    )


def merge_customers(conn: Connection, tenant_id: UUID, kept_id: str, gone_id: str) -> int:
    """Follow a merge of two customers: ``gone_id``'s orders become ``kept_id``'s.

    Doing it twice changes nothing. Returns how many rows were written: the orders that moved, and
    the customer that is marked as deleted.
    """
    return _written(
        conn,
        query("shopify.merge_customers"),
        {"tenant_id": tenant_id, "kept_id": kept_id, "gone_id": gone_id},
    )


def reassign_orders(conn: Connection, tenant_id: UUID) -> int:
    """Give imported orders the loaded customer with their address; how many rows changed."""
    return _written(conn, query("shopify.reassign_orders"), {"tenant_id": tenant_id})


def purge_deleted(conn: Connection, tenant_id: UUID) -> int:
    """Delete rows that were marked as deleted a month ago and that a build has seen since."""
    built = one(conn.execute(query("shopify.has_builds")).fetchone())
    if not built["has_builds"]:
        return 0
    return _written(conn, query("shopify.purge_deleted"), {"tenant_id": tenant_id})


def quarantine(
    conn: Connection, tenant_id: UUID, entity: str, rejections: Sequence[Rejection]
) -> None:
    """Keep records that could not be read, with the reason, until they are loaded."""
    if not rejections:
        return
    conn.execute(query("shopify.create_incoming_rejections"))
    copy_rows(
        conn,
        query("shopify.copy_incoming_rejections"),
        [
            as_copied((0, entity, item.source_id, item.reason, as_json(item.payload)))
            for item in rejections
        ],
    )
    _quarantine_incoming(conn, tenant_id)


def _quarantine_incoming(conn: Connection, tenant_id: UUID) -> int:
    kept = one(conn.execute(query("shopify.quarantine"), {"tenant_id": tenant_id}).fetchone())
    delete_erased_rejections(conn, tenant_id)
    return int(kept["rejected"])


def read_watermark(
    conn: Connection, tenant_id: UUID, resource: str, scopes: Collection[str] = ()
) -> datetime | None:
    """How far a resource has been read; None before its first page.

    Also None if fewer fields were read than a token with these scopes reads now: by an earlier
    release, or before the token got a scope.
    """
    row = conn.execute(
        query("shopify.read_watermark"), watermark_parameters(tenant_id, resource, scopes)
    ).fetchone()
    return None if row is None else cast("datetime | None", row["watermark"])


def advance_watermark(
    conn: Connection,
    tenant_id: UUID,
    resource: str,
    watermark: datetime | None,
    *,
    scopes: Collection[str] = (),
    is_complete: bool = True,
) -> None:
    """Record how far a resource has been read; it never goes back.

    ``scopes`` are those that it was read with. ``is_complete`` says whether it was read with all
    fields that they allow.
    """
    conn.execute(
        query("shopify.advance_watermark"),
        {
            **watermark_parameters(tenant_id, resource, scopes),
            "watermark": watermark,
            "is_complete": is_complete,
        },
    )


def record_unserved(
    conn: Connection, tenant_id: UUID, entity: str, rejections: Sequence[Rejection]
) -> None:
    """Quarantine records that Shopify could not serve, to be asked for again by the next sync."""
    if not rejections:
        return
    quarantine(conn, tenant_id, entity, rejections)
    conn.execute(
        query("shopify.record_unserved"),
        {
            "tenant_id": tenant_id,
            "entity": entity,
            "source_ids": [rejection.source_id for rejection in rejections],
        },
    )


def watermark_parameters(
    tenant_id: UUID, resource: str, scopes: Collection[str] = ()
) -> dict[str, object]:
    """What names a watermark: the tenant, the resource and the revision of its fields."""
    has_products = is_granted(PRODUCTS_SCOPE, scopes)
    revisions = _REVISIONS_WITH_PRODUCTS if has_products else _REVISIONS
    return {
        "tenant_id": tenant_id,
        "resource": resource,
        "revision": revisions.get(resource, 0),
    }


def _load_rows(conn: Connection, resource: Resource, read: sql.SQL, **parameters: object) -> int:
    """Write the rows that another statement reads; how many were written."""
    statement = resource.load.format(incoming=sql.SQL("({})").format(read))
    return _written(conn, statement, parameters)


def _written(
    conn: Connection, statement: sql.SQL | sql.Composed, parameters: Mapping[str, object]
) -> int:
    """Run a statement that counts the rows it wrote."""
    return int(one(conn.execute(statement, parameters).fetchone())["written"])
