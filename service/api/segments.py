"""``/api/admin/segments``: Shopify segments and RFM segments."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from uuid import UUID

from apiflask import APIBlueprint
from psycopg.types.json import Jsonb
from pydantic import Field

from service.api.access import fetch_one, require_connection, state, tenant_id, transaction
from service.api.audit_log import record
from service.api.paging import Amount, Keyset, SearchQuery, Text
from service.api.problem_docs import can_answer
from service.api.problems import NotBuiltError
from service.api.runs import answer_accepted
from service.api.schemas import RfmCustomersPage, RfmSummary, Run, Segment, ShopifySegmentsPage
from service.core.db import Connection
from service.core.errors import InvalidInputError
from service.core.queries import query
from service.queue.enqueue import enqueue
from service.queue.schedules import next_at, read_schedule
from service.shopify.order_history import read_order_limit
from service.tenants.segment_rules import read_labels, read_segments

blueprint = APIBlueprint("segments", __name__, tag="Segments")

_BY_NAME = Keyset("segments", sort_name=Text, id=Text)
_BY_SPEND = Keyset("customers", window_minor=Amount, customer_id=Text)


class CustomersQuery(SearchQuery):
    """Which page of the scored customers."""

    segment: Segment | None = Field(None, description="Only customers in this segment.")

    def check_segment(self, conn: Connection, tenant: UUID) -> None:
        """Check that the segment exists, or has existed and still has customers.

        Raises:
            InvalidInputError: It does not.
        """
        labels = read_labels(conn, tenant)
        if self.segment is None or self.segment in labels:
            return
        parameters = {"tenant_id": tenant, "segment": self.segment}
        if conn.execute(query("api.find_customer_in_segment"), parameters).fetchone() is None:
            *others, last = (f"'{name}'" for name in labels)
            expected = f"{', '.join(others)} or {last}" if others else last
            raise InvalidInputError(f"This must be {expected}.", field="segment")


def read_rfm_summary(conn: Connection, tenant: UUID) -> RfmSummary:
    """The RFM segments with their sizes and revenue.

    Raises:
        NotBuiltError: There was no build yet.
    """
    segments = Jsonb([asdict(row) for row in read_segments(conn, tenant)])
    parameters = {"tenant_id": tenant, "segments": segments}
    rows = conn.execute(query("api.list_rfm_summary"), parameters, prepare=True).fetchall()
    if not rows:
        raise NotBuiltError
    # Each row has the totals: one statement calculates all figures, so they are consistent.
    totals = rows[0]
    return RfmSummary.model_validate(
        {
            **totals,
            "data": rows,
            "customers": totals["all_customers"],
            "revenue": totals["all_revenue"],
            "next_build_at": next_at(conn, state().settings, tenant, "build"),
            "order_limit": read_order_limit(conn, tenant),
        }
    )


@blueprint.get("/api/admin/segments/shopify")
@blueprint.input(SearchQuery, location="query", arg_name="page")
@blueprint.output(ShopifySegmentsPage)
def list_shopify_segments(page: SearchQuery) -> dict[str, Any]:
    """List Shopify customer segments, sorted by name.

    `q` searches names and queries. Segments that were deleted in Shopify are listed with `gone_at`.
    """
    with transaction() as conn:
        statement = query("api.list_shopify_segments")
        listed = _BY_NAME.read_page(
            conn, page, statement, prepare=True, tenant_id=tenant_id(), pattern=page.pattern
        )
        schedule = read_schedule(conn, state().settings, tenant_id(), "segments")
        return {
            **listed,
            **fetch_one(conn, query("api.find_shopify_segments_as_of")),
            "next_sync_at": schedule["next_at"],
            "schedule_state": schedule["state"],
        }


@blueprint.get("/api/admin/segments/rfm")
@blueprint.output(RfmSummary)
def summarise_rfm_segments() -> RfmSummary:
    """Get the RFM segments in priority order, with sizes and revenue."""
    with transaction() as conn:
        return read_rfm_summary(conn, tenant_id())


@blueprint.get("/api/admin/segments/rfm/customers")
@blueprint.input(CustomersQuery, location="query", arg_name="page")
@blueprint.output(RfmCustomersPage)
def list_rfm_customers(page: CustomersQuery) -> dict[str, Any]:
    """List scored customers, highest net spend first.

    `q` searches e-mail addresses and phone numbers for the text, and customer ids for the exact id.
    """
    with transaction() as conn:
        page.check_segment(conn, tenant_id())
        listed = _BY_SPEND.read_page(
            conn,
            page,
            query("api.list_rfm_customer_ids"),
            tenant_id=tenant_id(),
            segment=page.segment,
            q=page.q,
            pattern=page.pattern,
            screen=page.screen,
        )
        ids = [row["customer_id"] for row in listed["data"]]
        parameters = {"tenant_id": tenant_id(), "customer_ids": ids}
        statement = query("api.describe_rfm_customers")
        rows = conn.execute(statement, parameters, prepare=True).fetchall()
        limit = read_order_limit(conn, tenant_id())
        return {**listed, "data": rows, "order_limit": limit}


@blueprint.post("/api/admin/segments/rfm/calculate")
@blueprint.output(Run, status_code=202)
def calculate_rfm_segments() -> Any:
    """Start a build of your store's segments and samples, or return the unfinished one."""
    with transaction() as conn:
        record(conn, "build.started")
        return answer_accepted(enqueue(conn, tenant_id(), "build"))


@blueprint.post("/api/admin/segments/shopify/sync")
@blueprint.output(Run, status_code=202)
@can_answer("not-connected")
def sync_shopify_segments() -> Any:
    """Start a sync of your store's Shopify segments, or return the unfinished one."""
    with transaction() as conn:
        record(conn, "segments_sync.started")
        require_connection(conn, "shopify")
        return answer_accepted(enqueue(conn, tenant_id(), "segments_sync"))
