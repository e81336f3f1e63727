"""``/api/admin/segments``: Shopify's segments as cached, and the RFM segments that dbt built."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apiflask import APIBlueprint
from pydantic import Field

from service.api.access import state, tenant_id, transaction
from service.api.paging import CUSTOMERS, SEGMENTS, SearchQuery, decode_cursor, split_page
from service.api.problems import NotBuiltError
from service.api.runs import answer_accepted
from service.api.schemas import (
    RfmCustomersPage,
    RfmSummary,
    Run,
    Segment,
    ShopifySegmentsPage,
)
from service.core.db import Connection, one
from service.core.errors import NotConnectedError
from service.core.queries import query
from service.queue.enqueue import enqueue
from service.queue.schedules import next_at
from service.shopify.order_history import read_order_limit

blueprint = APIBlueprint("segments", __name__, tag="Segments")


class CustomersQuery(SearchQuery):
    """Which page of the scored customers."""

    segment: Segment | None = Field(None, description="Only this segment's.")


def read_rfm_summary(conn: Connection, tenant: UUID) -> RfmSummary:
    """The six segments with their customers and revenue.

    Raises:
        NotBuiltError: The rules have not been loaded by a build.
    """
    rows = conn.execute(query("api.list_rfm_summary"), {"tenant_id": tenant}).fetchall()
    if not rows:
        raise NotBuiltError
    # The totals are computed beside the segments, in one statement, so that they always agree.
    totals = rows[0]
    return RfmSummary.model_validate(
        {
            "data": rows,
            "customers": totals["all_customers"],
            "revenue": totals["all_revenue"],
            "currency": totals["currency"],
            "calculated_at": totals["calculated_at"],
            "next_build_at": next_at(conn, state().settings, tenant, "build"),
            "order_limit": read_order_limit(conn, tenant),
        }
    )


@blueprint.get("/api/admin/segments")
@blueprint.input(SearchQuery, location="query", arg_name="page")
@blueprint.output(ShopifySegmentsPage)
def list_shopify_segments(page: SearchQuery) -> dict[str, Any]:
    """Shopify's customer segments, by name.

    `q` finds segments whose name or query contains the text. A segment that the store deleted
    stays, with `gone_at`.
    """
    after = decode_cursor(SEGMENTS, page.cursor)
    with transaction() as conn:
        rows = conn.execute(
            query("api.list_shopify_segments"),
            {
                "tenant_id": tenant_id(),
                "pattern": page.pattern,
                "after_name": after[1] if after else None,
                "after_id": after[2] if after else None,
                "row_limit": page.limit + 1,
            },
        ).fetchall()
        synced = one(
            conn.execute(
                query("api.find_shopify_segments_as_of"), {"tenant_id": tenant_id()}
            ).fetchone()
        )
        next_sync_at = next_at(conn, state().settings, tenant_id(), "segments")
    data, next_cursor = split_page(rows, page.limit, "segments", "sort_name", "id")
    return {
        "data": data,
        "next_cursor": next_cursor,
        "segments": synced["segments"],
        "unread": synced["unread"],
        "as_of": synced["as_of"],
        "next_sync_at": next_sync_at,
    }


@blueprint.get("/api/admin/segments/rfm")
@blueprint.output(RfmSummary)
def summarise_rfm_segments() -> RfmSummary:
    """The six RFM segments in order of priority, with size and revenue."""
    with transaction() as conn:
        return read_rfm_summary(conn, tenant_id())


@blueprint.get("/api/admin/segments/rfm/customers")
@blueprint.input(CustomersQuery, location="query", arg_name="page")
@blueprint.output(RfmCustomersPage)
def list_rfm_customers(page: CustomersQuery) -> dict[str, Any]:
    """Scored customers, highest net spend first.

    `q` finds customers whose e-mail address contains the text, or whose id is the text.
    """
    after = decode_cursor(CUSTOMERS, page.cursor)
    with transaction() as conn:
        rows = conn.execute(
            query("api.list_rfm_customers"),
            {
                "tenant_id": tenant_id(),
                "segment": page.segment,
                "q": page.q,
                "pattern": page.pattern,
                "after_total": after[1] if after else None,
                "after_id": after[2] if after else None,
                "row_limit": page.limit + 1,
            },
        ).fetchall()
        order_limit = read_order_limit(conn, tenant_id())
    data, next_cursor = split_page(rows, page.limit, "customers", "monetary_total", "customer_id")
    return {"data": data, "next_cursor": next_cursor, "order_limit": order_limit}


@blueprint.post("/api/admin/segments/rfm/calculate")
@blueprint.output(Run, status_code=202)
def calculate_rfm_segments() -> Any:
    """Start a build of this tenant's segments and samples; one that is unfinished is returned."""
    with transaction() as conn:
        run = enqueue(conn, tenant_id(), "build")
    return answer_accepted(run)


@blueprint.post("/api/admin/segments/sync")
@blueprint.output(Run, status_code=202)
def sync_shopify_segments() -> Any:
    """Start a sync of this tenant's Shopify segments; one that is unfinished is returned."""
    with transaction() as conn:
        connected = one(
            conn.execute(
                query("api.is_connected"), {"tenant_id": tenant_id(), "provider": "shopify"}
            ).fetchone()
        )
        if not connected["is_connected"]:
            raise NotConnectedError(
                "This tenant is not connected to a Shopify store.",
                advice="Ask your operator to connect the store first.",
            )
        run = enqueue(conn, tenant_id(), "segments_sync")
    return answer_accepted(run)
