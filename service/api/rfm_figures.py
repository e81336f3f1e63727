"""``/api/admin/segments/rfm/…`` and ``/api/admin/rejected-rows``: marts to read as they are."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

from apiflask import APIBlueprint
from pydantic import AwareDatetime, Field, StringConstraints

from service.api.access import tenant_id, transaction
from service.api.paging import Keyset, PageQuery, Text
from service.api.schemas import Instant, Money, Page, ResponseModel, Segment
from service.core.db import Connection
from service.core.queries import query

blueprint = APIBlueprint("rfm_figures", __name__, tag="Segments")

PATH = "/api/admin/segments/rfm"
_COHORTS = Keyset("cohorts", cohort_month=date, segment=Text)
_EXCLUDED = Keyset("excluded orders", sort_ordered_at=AwareDatetime, sort_id=Text)
_REJECTED = Keyset("rejected rows", rejected_at=AwareDatetime, entity=Text, source_id=Text)

Entity = Literal["order", "customer", "segment", "segment_member", "csv_line"]


class GridCell(ResponseModel):
    """Customers with one recency and frequency score."""

    r_score: int = Field(ge=1, le=5)
    f_score: int = Field(ge=1, le=5)
    segment: Segment | None = Field(description="Null if the segment depends on the spend.")
    segments_by_m_score: list[Segment] = Field(description="Of the monetary scores 1 to 5.")
    customers: int
    revenue: Money


class RfmGrid(ResponseModel):
    """The 25 combinations of recency and frequency scores, highest first."""

    data: list[GridCell] = Field(description="Empty before the first calculation.")
    currency: str | None
    calculated_at: Instant | None


class Cohort(ResponseModel):
    """Customers whose first order was in one month, by their segment now."""

    cohort_month: date = Field(description="First day of the month, in RFM's time zone.")
    segment: Segment = Field(description="none: not in the RFM window.")
    customers: int
    lifetime_revenue: Money
    window_revenue: Money
    currency: str | None


class CohortsPage(Page[Cohort]):
    """A page of cohorts, newest month first."""


class ExcludedQuery(PageQuery):
    """Which page of the orders that do not count."""

    reason: Annotated[
        str | None,
        Field(None, description="Only orders with this reason, such as `cancelled`."),
        StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$"),
    ]


class ExcludedOrder(ResponseModel):
    """An order that does not count, and every reason."""

    order_id: str | None = Field(description="Null for a line of a file without an order id.")
    line_number: int | None = Field(description="Line of the last imported file.")
    order_number: str | None
    customer_id: str | None
    primary_reason: str
    exclusion_reasons: list[str]
    detail: str | None = Field(description="Why the order could not be read.")
    net_amount: Money | None
    currency: str | None
    ordered_at: Instant | None


class ExcludedOrdersPage(Page[ExcludedOrder]):
    """A page of the orders that do not count, newest first."""


class RejectedQuery(PageQuery):
    """Which page of the records that could not be read."""

    entity: Entity | None = Field(None, description="Only records of this kind.")


class RejectedRow(ResponseModel):
    """A record that could not be read. It is tried again by the next sync or import."""

    entity: str
    source_id: str = Field(description="Shopify's id, or the line of the imported file.")
    reason: str
    rejected_at: Instant


class RejectedRowsPage(Page[RejectedRow]):
    """A page of the records that could not be read, newest first."""


def read_grid(conn: Connection, tenant: UUID) -> dict[str, Any]:
    """The 25 combinations of recency and frequency scores, as :class:`RfmGrid`."""
    rows = conn.execute(query("api.list_rfm_grid"), {"tenant_id": tenant}).fetchall()
    first = rows[0] if rows else {"currency": None, "calculated_at": None}
    return {"data": rows, **{name: first[name] for name in ("currency", "calculated_at")}}


@blueprint.get(f"{PATH}/grid")
@blueprint.output(RfmGrid)
def show_rfm_grid() -> dict[str, Any]:
    """Get customers and revenue of each combination of recency and frequency score."""
    with transaction() as conn:
        return read_grid(conn, tenant_id())


@blueprint.get(f"{PATH}/cohorts")
@blueprint.input(PageQuery, location="query", arg_name="page")
@blueprint.output(CohortsPage)
def list_rfm_cohorts(page: PageQuery) -> dict[str, Any]:
    """List customers by the month of their first order and their segment now."""
    with transaction() as conn:
        return _COHORTS.read_page(conn, page, query("api.list_rfm_cohorts"), tenant_id=tenant_id())


@blueprint.get(f"{PATH}/excluded-orders")
@blueprint.input(ExcludedQuery, location="query", arg_name="page")
@blueprint.output(ExcludedOrdersPage)
def list_excluded_orders(page: ExcludedQuery) -> dict[str, Any]:
    """List the orders that do not count in RFM, with every reason.

    Orders and lines of a file that could not be read come last.
    """
    with transaction() as conn:
        return _EXCLUDED.read_page(
            conn,
            page,
            query("api.list_excluded_orders"),
            tenant_id=tenant_id(),
            reason=page.reason,
        )


@blueprint.get("/api/admin/rejected-rows")
@blueprint.input(RejectedQuery, location="query", arg_name="page")
@blueprint.output(RejectedRowsPage)
def list_rejected_rows(page: RejectedQuery) -> dict[str, Any]:
    """List the records of Shopify and of imported files that could not be read, and why."""
    with transaction() as conn:
        return _REJECTED.read_page(
            conn,
            page,
            query("api.list_rejected_rows"),
            tenant_id=tenant_id(),
            entity=page.entity,
        )
