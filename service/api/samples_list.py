"""Reading sample orders with one statement: a page, one order, or all as CSV."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self
from uuid import UUID

from psycopg import sql
from pydantic import AwareDatetime, Field, model_validator

from service.api.access import State
from service.api.paging import Bigint, PageQuery, Search, Text
from service.api.rfm import Day, check_days
from service.api.schemas import SampleSort, SampleStatus, SampleType
from service.api.sorting import Sort
from service.core.csv_stream import stream_csv
from service.core.db import Connection, one, tenant_transaction
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
    ordered_from: Day | None = Field(None, description="First day, in your store's time zone.")
    ordered_until: Day | None = Field(None, description="Last day, in your store's time zone.")
    sort: SampleSort = Field(
        "newest",
        description="newest or oldest order, highest goods value, or longest waiting first.",
    )

    @model_validator(mode="after")
    def _has_days_in_order(self) -> Self:
        check_days(self.ordered_from, self.ordered_until, "ordered_from")
        return self


class SamplesQuery(SampleFilters, PageQuery):
    """Which page of the sample orders."""


_SORTS: dict[SampleSort, Sort] = {
    "newest": Sort("samples newest", table="s", ordered_at=AwareDatetime, order_id=Text),
    "oldest": Sort(
        "samples oldest", table="s", is_descending=False, ordered_at=AwareDatetime, order_id=Text
    ),
    "value": Sort("samples value", table="s", goods_value_rank=Bigint, order_id=Text),
    "waiting": Sort("samples waiting", table="s", days_waiting_rank=Bigint, order_id=Text),
}


def list_samples(conn: Connection, tenant_id: UUID, page: SamplesQuery) -> dict[str, Any]:
    """A page of a tenant's sample orders, and the cursor of the next page.

    Raises:
        BadCursorError: The cursor is not valid for this sort order.
    """
    statement = query("api.list_sample_orders")
    return _SORTS[page.sort].read_page(conn, page, statement, **_parameters(tenant_id, page))


def count_samples(conn: Connection, tenant_id: UUID, filters: SampleFilters) -> int:
    """How many of a tenant's sample orders match the filters."""
    statement = Sort.count(query("api.list_sample_orders"))
    return int(one(conn.execute(statement, _parameters(tenant_id, filters)).fetchone())["rows"])


def find_sample(conn: Connection, tenant_id: UUID, order_id: str) -> dict[str, Any] | None:
    """One sample order with its note; None if the order is not a sample."""
    parameters = {**_parameters(tenant_id, SampleFilters.model_construct()), "order_id": order_id}
    found = conn.execute(_all("newest"), parameters).fetchone()
    if found is None:
        return None
    note = conn.execute(query("api.find_sample_note"), parameters).fetchone()
    return {**found, "note": note["note"] if note else None}


def export_samples(state: State, tenant_id: UUID, filters: SampleFilters) -> Iterator[bytes]:
    """All sample orders as a CSV file, in blocks, with formulas escaped."""
    with tenant_transaction(
        state.pool, tenant_id, read_only=True, timeout_ms=state.settings.statement_timeout_ms
    ) as conn:
        yield from stream_csv(
            conn,
            _all(filters.sort),
            _parameters(tenant_id, filters),
            _CSV_COLUMNS,
        )


def _all(sort: SampleSort) -> sql.Composed:
    return _SORTS[sort].statement(query("api.list_sample_orders"))


def _parameters(tenant_id: UUID, filters: SampleFilters) -> dict[str, Any]:
    return {
        "tenant_id": tenant_id,
        "order_id": None,
        "row_limit": None,
        "pattern": filters.pattern,
        **filters.model_dump(
            include={"type", "status", "creator_id", "ordered_from", "ordered_until"}
        ),
    }
