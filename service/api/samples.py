"""``/api/admin/samples``: the sample orders that dbt found, with the evidence."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint
from pydantic import Field

from service.api.access import state, tenant_id, transaction
from service.api.paging import SAMPLES, SearchQuery, decode_cursor, split_page
from service.api.schedule import next_time
from service.api.schemas import SampleOrdersPage, SampleStats, SampleStatus, SampleType
from service.db import one, query

blueprint = APIBlueprint("samples", __name__, tag="Samples")


class SamplesQuery(SearchQuery):
    """Which page of the sample orders."""

    type: SampleType | None = Field(None, description="Only samples of this type.")
    status: SampleStatus | None = Field(None, description="Only samples with this status.")


@blueprint.get("/api/admin/samples")
@blueprint.input(SamplesQuery, location="query", arg_name="page")
@blueprint.output(SampleOrdersPage)
def list_sample_orders(page: SamplesQuery) -> dict[str, Any]:
    """Sample orders, newest first.

    `q` finds orders whose number, customer name or e-mail address contains the text.
    """
    after = decode_cursor(SAMPLES, page.cursor)
    with transaction() as conn:
        rows = conn.execute(
            query("api/sql/sample_orders"),
            {
                "tenant_id": tenant_id(),
                "type": page.type,
                "status": page.status,
                "pattern": page.pattern,
                "after_at": after[1] if after else None,
                "after_id": after[2] if after else None,
                "row_limit": page.limit + 1,
            },
        ).fetchall()
    data, next_cursor = split_page(rows, page.limit, "samples", "ordered_at", "order_id")
    return {"data": data, "next_cursor": next_cursor}


@blueprint.get("/api/admin/samples/stats")
@blueprint.output(SampleStats)
def count_sample_orders() -> dict[str, Any]:
    """How many samples there are, by type and status."""
    with transaction() as conn:
        rows = conn.execute(query("api/sql/sample_stats"), {"tenant_id": tenant_id()}).fetchall()
        built = one(
            conn.execute(query("api/sql/sample_stats_as_of"), {"tenant_id": tenant_id()}).fetchone()
        )
    return {
        "data": rows,
        "as_of": built["as_of"],
        "next_build_at": next_time(state().settings.schedule_build),
    }
