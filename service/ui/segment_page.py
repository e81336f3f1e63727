"""The page of one segment of any source: definition, size over time, members, who came and went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from flask import render_template, request

from service.api.access import tenant_id, transaction
from service.api.segment_list import parse_id, read_segment, read_sizes
from service.api.segment_members import (
    ChangesQuery,
    MemberFilters,
    MembersQuery,
    read_changes,
    read_members,
)
from service.api.tenant import read_tenant
from service.core.db import Connection
from service.segments.ids import SegmentId
from service.tenants.segment_rules import read_segments
from service.ui.blueprint import blueprint
from service.ui.chart import FORMER_COLOUR, Chart, draw_lines
from service.ui.listing import read_listing

# What people read of the filters of the members.
FILTERS = {
    "q": "Search",
    "r_score": "Recency score",
    "f_score": "Frequency score",
    "m_score": "Spend score",
}

_EXPORTED = MemberFilters.model_fields.keys()


@blueprint.get("/segments/<segment_id>")
def segment(segment_id: str) -> str:
    """One segment: its customers, or who entered and left, depending on the ``tab`` parameter."""
    found = parse_id(segment_id)
    tab = "changes" if request.args.get("tab") == "changes" else "customers"
    with transaction() as conn:
        tenant = read_tenant(conn, tenant_id())
        row = read_segment(conn, tenant_id(), found)
        segments = {known.segment: known for known in read_segments(conn, tenant_id())}
        chart = _draw_sizes(conn, found, row)
        if tab == "changes":
            listing = read_listing(
                conn,
                ChangesQuery,
                lambda page: read_changes(conn, tenant_id(), found, page),
                sort="newest",
            )
        else:
            listing = read_listing(
                conn,
                MembersQuery,
                lambda page: read_members(conn, tenant_id(), found, page),
                sort="window_spend" if found.source == "rfm" else "spend",
            )
    rule = segments.get(found.key) if found.source == "rfm" else None
    return render_template(
        "segment.html",
        tenant=tenant,
        section="segments",
        segment=row,
        shape=list(segments).index(found.key) if rule else len(segments),
        labels={key: known.label for key, known in segments.items()},
        suggested_action=rule.suggested_action if rule else "",
        chart=chart,
        tab=tab,
        listing=listing,
        filters=FILTERS,
        # The file has the same filters and sort order.
        csv={
            name: listing.given[name]
            for name in MemberFilters.model_fields
            if name in listing.given
        },
    )


def _draw_sizes(conn: Connection, segment: SegmentId, row: dict[str, Any]) -> Chart | None:
    """The members over time; None before the second recorded day."""
    sizes: Sequence[dict[str, Any]] = []
    try:
        with conn.transaction():
            sizes = read_sizes(conn, tenant_id(), segment)
    except psycopg.errors.UndefinedTable:
        pass  # The first build makes the marts.
    return draw_lines(
        [size["recorded_on"] for size in sizes],
        [("Members", row["colour"] or FORMER_COLOUR, [size["members"] for size in sizes])],
    )
