"""Reading sample orders: a page, one of them, or all as CSV; one statement for all three."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import sql
from pydantic import Field, TypeAdapter

from service.api.access import State
from service.api.paging import SAMPLES_BY_RANK, SAMPLES_BY_TIME, Search, decode_cursor, split_page
from service.api.problems import BadCursorError
from service.api.rfm import Day
from service.api.schemas import SampleSort, SampleStatus, SampleType
from service.core.csv_stream import stream_csv
from service.core.db import Connection, tenant_transaction
from service.core.queries import query

_CSV_COLUMNS = (
    "order_id",
    "order_number",
    "ordered_at",
    "types",
    "status",
    "days_waiting",
    "customer_id",
    "customer_name",
    "customer_email",
    "creator_handle",
    "creator_name",
    "goods_value",
    "currency",
    "channel",
    "tags",
    "evidence",
    "first_fulfilled_at",
    "delivered_at",
    "cancelled_at",
)


class SampleFilters(Search):
    """Which sample orders."""

    type: SampleType | None = Field(None, description="Only samples of this type.")
    status: SampleStatus | None = Field(None, description="Only samples with this status.")
    creator_id: UUID | None = Field(None, description="Only samples for this creator.")
    ordered_from: Day | None = Field(None, description="First day, in the tenant's time zone.")
    ordered_until: Day | None = Field(None, description="Last day, in the tenant's time zone.")
    sort: SampleSort = Field(
        "newest",
        description="newest or oldest order first, highest goods value, or longest waiting.",
    )


@dataclass(frozen=True)
class _Sort:
    """A sort key with an index that ends in the order's id, so that any page is found at once."""

    column: str
    order: sql.SQL
    after: sql.SQL
    positions: TypeAdapter[Any]


_SORTS: dict[SampleSort, _Sort] = {
    "newest": _Sort(
        "ordered_at",
        sql.SQL("s.ordered_at desc, s.order_id desc"),
        sql.SQL("(s.ordered_at, s.order_id) < (%(after_key)s::timestamptz, %(after_id)s)"),
        SAMPLES_BY_TIME,
    ),
    "oldest": _Sort(
        "ordered_at",
        sql.SQL("s.ordered_at, s.order_id"),
        sql.SQL("(s.ordered_at, s.order_id) > (%(after_key)s::timestamptz, %(after_id)s)"),
        SAMPLES_BY_TIME,
    ),
    "value": _Sort(
        "goods_value_rank",
        sql.SQL("s.goods_value_rank desc, s.order_id desc"),
        sql.SQL("(s.goods_value_rank, s.order_id) < (%(after_key)s::bigint, %(after_id)s)"),
        SAMPLES_BY_RANK,
    ),
    "waiting": _Sort(
        "days_waiting_rank",
        sql.SQL("s.days_waiting_rank desc, s.order_id desc"),
        sql.SQL("(s.days_waiting_rank, s.order_id) < (%(after_key)s::bigint, %(after_id)s)"),
        SAMPLES_BY_RANK,
    ),
}
_FIRST = sql.SQL("true")


def list_samples(
    conn: Connection,
    tenant_id: UUID,
    filters: SampleFilters,
    sort: SampleSort,
    cursor: str | None,
    limit: int,
) -> dict[str, Any]:
    """A page of a tenant's sample orders, and the next page's cursor.

    Raises:
        BadCursorError: The cursor is not one of this list in this order.
    """
    chosen, list_name = _SORTS[sort], f"samples {sort}"
    after = decode_cursor(chosen.positions, cursor)
    if after is not None and after[0] != list_name:
        raise BadCursorError
    rows = conn.execute(
        _statement(chosen, chosen.after if after else _FIRST),
        _parameters(
            tenant_id,
            filters,
            after_key=after[1] if after else None,
            after_id=after[2] if after else None,
            row_limit=limit + 1,
        ),
    ).fetchall()
    data, next_cursor = split_page(rows, limit, list_name, chosen.column, "order_id")
    return {"data": data, "next_cursor": next_cursor}


def find_sample(conn: Connection, tenant_id: UUID, order_id: str) -> dict[str, Any] | None:
    """One sample order with the note on it; None when it is no sample."""
    if "\0" in order_id:
        return None
    parameters = _parameters(tenant_id, None, order_id=order_id)
    found = conn.execute(_statement(_SORTS["newest"], _FIRST), parameters).fetchone()
    if found is None:
        return None
    note = conn.execute(query("api.find_sample_note"), parameters).fetchone()
    return {**found, "note": note["note"] if note else None}


def export_samples(
    state: State, tenant_id: UUID, filters: SampleFilters, sort: SampleSort
) -> Iterator[bytes]:
    """All sample orders as a CSV file, in blocks, with formulas escaped."""
    with tenant_transaction(
        state.pool, tenant_id, read_only=True, timeout_ms=state.settings.statement_timeout_ms
    ) as conn:
        yield from stream_csv(
            conn,
            _statement(_SORTS[sort], _FIRST),
            _parameters(tenant_id, filters),
            _CSV_COLUMNS,
            escape_formulas=True,
        )


def _statement(sort: _Sort, is_after: sql.SQL) -> sql.Composed:
    return query("api.list_sample_orders").format(is_after=is_after, sort_key=sort.order)


def _parameters(tenant_id: UUID, filters: SampleFilters | None, **others: Any) -> Mapping[str, Any]:
    return {
        "tenant_id": tenant_id,
        "order_id": None,
        "type": filters.type if filters else None,
        "status": filters.status if filters else None,
        "creator_id": filters.creator_id if filters else None,
        "ordered_from": filters.ordered_from if filters else None,
        "ordered_until": filters.ordered_until if filters else None,
        "pattern": filters.pattern if filters else None,
        "row_limit": None,
        **others,
    }
