"""``/api/admin/segments``: the segments of all sources, and one of them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import psycopg
from apiflask import APIBlueprint
from psycopg.types.json import Jsonb
from pydantic import Field

from service.api.access import state, tenant_id, transaction
from service.api.paging import Bigint, SearchQuery, Text
from service.api.problems import NotFoundError
from service.api.rfm import HISTORY_DAYS
from service.api.schemas import Instant, Page, ResponseModel, ScheduleState, Share
from service.api.sorting import Sort
from service.core.db import Connection
from service.core.errors import InvalidInputError
from service.core.queries import query
from service.queue.schedules import list_schedules
from service.segments.definitions import define_rfm_segments
from service.segments.find import find_segment
from service.segments.ids import SegmentId, Source, parse_segment_id
from service.tenants.segment_rules import read_rule

blueprint = APIBlueprint("segment_list", __name__, tag="Segments")

PATH = "/api/admin/segments"

# The schedule that refreshes the segments of each source.
_SCHEDULES: dict[Source, str] = {"rfm": "build", "shopify": "segments", "klaviyo": "klaviyo"}

SegmentSort = Literal["name", "members", "change"]

_SORTS: dict[SegmentSort, Sort] = {
    "name": Sort("segments by name", table="s", is_descending=False, sort_name=Text, id=Text),
    "members": Sort("segments by members", table="s", sort_members=Bigint, id=Text),
    "change": Sort("segments by change", table="s", sort_change=Bigint, id=Text),
}


class SegmentsQuery(SearchQuery):
    """Which page of the segments."""

    source: Source | None = Field(None, description="Only segments of this source.")
    sort: SegmentSort = Field(
        "name", description="By name, most members first, or largest change in 30 days first."
    )


class FedList(ResponseModel):
    """A Klaviyo list that a segment feeds."""

    config_id: UUID
    list_id: str
    list_name: str
    direction: Literal["push", "bidirectional"]
    is_paused: bool


class AnySegment(ResponseModel):
    """A segment of any source."""

    id: str = Field(
        description="rfm:<segment>, shopify:<segment id> or klaviyo:<list id>.",
        examples=["rfm:champions"],
    )
    source: Source
    name: str
    definition: str | None = Field(
        description="RFM: the scores, such as R 4-5, F 4-5. Shopify: the query. Klaviyo: null."
    )
    description: str | None = Field(description="Only for RFM segments.")
    colour: str | None = Field(description="sRGB colour as #rrggbb, only for RFM segments.")
    members: int | None = Field(description="Null until the segment was calculated or synced.")
    share: Share | None = Field(
        description="Share of the customers with a score (RFM), or of all customers of the last"
        " build. Null before a build, before the first build of a release that counts all"
        " customers, or if the build had fewer customers than the segment has members."
    )
    change: int | None = Field(
        description="RFM: members more or fewer than at the build before. Others: than at the sync"
        " before the last one. Null if there was none."
    )
    change_30_days: int | None = Field(
        description="Members more or fewer than on the newest recorded day that is at least 30 days"
        " older; null without one."
    )
    as_of: Instant | None = Field(description="The members are as of this time.")
    next_refresh_at: Instant | None = Field(
        description="Next scheduled build or sync; null while the schedule or the pulled list is"
        " paused, not connected or not scheduled."
    )
    schedule_state: ScheduleState
    gone_at: Instant | None = Field(
        description="When the segment or list was found deleted in Shopify or Klaviyo."
    )
    lists: list[FedList] = Field(description="Klaviyo lists that the segment feeds.")
    promo_codes: list[str] = Field(
        description="Promo codes aimed at it, also deactivated and expired ones."
    )


class SegmentsPage(Page[AnySegment]):
    """A page of the segments of all sources."""


class SegmentSize(ResponseModel):
    """The members of a segment on a day."""

    recorded_on: date
    members: int


class SegmentSizes(ResponseModel):
    """The members of a segment by recorded day, oldest first."""

    data: list[SegmentSize]


def read_sizes(conn: Connection, tenant: UUID, segment: SegmentId) -> list[dict[str, Any]]:
    """The members of a segment on each recorded day of the last year, oldest first."""
    statement = (
        query("api.list_rfm_sizes") if segment.source == "rfm" else query("api.list_synced_sizes")
    )
    parameters = {
        "tenant_id": tenant,
        "segment_id": str(segment),
        "key": segment.key,
        "since": datetime.now(UTC).date() - timedelta(days=HISTORY_DAYS),
    }
    return conn.execute(statement, parameters).fetchall()


class UnknownSegmentError(NotFoundError):
    """The tenant has no such segment."""

    def __init__(self) -> None:
        super().__init__(
            "There is no such segment.", advice="GET /api/admin/segments lists all segments."
        )


def parse_id(text: str) -> SegmentId:
    """The id in a route.

    Raises:
        NotFoundError: It cannot be the id of a segment.
    """
    try:
        return parse_segment_id(text)
    except InvalidInputError as error:
        raise NotFoundError(error.message) from None


def require_segment(conn: Connection, tenant: UUID, segment: SegmentId) -> None:
    """Check that the tenant has a segment, or had it and its members are still known.

    Raises:
        UnknownSegmentError: It never had it, or it is a list that is pulled no longer.
    """
    found = find_segment(conn, tenant, segment)
    if found is not None and found.is_listed:
        return
    if segment.source == "rfm":
        parameters = {"tenant_id": tenant, "segment": segment.key}
        if conn.execute(query("api.find_customer_in_segment"), parameters).fetchone() is not None:
            return
    raise UnknownSegmentError


def read_segment(conn: Connection, tenant: UUID, segment: SegmentId) -> dict[str, Any]:
    """One segment as in the list.

    Raises:
        UnknownSegmentError: The tenant has no such segment.
    """
    page = SegmentsQuery.model_construct(limit=1, source=segment.source)
    (found,) = list_segments_of(conn, tenant, page, segment)["data"] or [None]
    if found is None:
        raise UnknownSegmentError
    return dict(found)


def list_segments_of(
    conn: Connection, tenant: UUID, page: SegmentsQuery, segment: SegmentId | None = None
) -> dict[str, Any]:
    """A page of segments, or one segment, as :class:`SegmentsPage`."""
    rfm, customers = _read_rfm(conn, tenant)
    listed = _SORTS[page.sort].read_page(
        conn,
        page,
        query("api.list_segments"),
        prepare=True,
        tenant_id=tenant,
        rfm_segments=Jsonb(rfm),
        customers=customers,
        segment_id=segment and str(segment),
        source=page.source,
        pattern=page.pattern,
    )
    schedules = {row["name"]: row for row in list_schedules(conn, state().settings, tenant)}
    for row in listed["data"]:
        schedule = schedules[_SCHEDULES[row["source"]]]
        row["next_refresh_at"] = schedule["next_at"] if row.pop("is_scheduled") else None
        row["schedule_state"] = schedule["state"]
    return listed


def _read_rfm(conn: Connection, tenant: UUID) -> tuple[list[dict[str, Any]], int | None]:
    """RFM segments with their figures, and the number of customers; no figures before a build.

    The segments are those of the saved rule, then former ones that still have customers.
    """
    rule = read_rule(conn, tenant)
    figures: dict[str, dict[str, Any]] = {}
    customers: int | None = None
    try:
        with conn.transaction():
            statement = query("api.list_rfm_figures")
            rows = conn.execute(statement, {"tenant_id": tenant}, prepare=True).fetchall()
    except psycopg.errors.UndefinedTable:
        pass  # The first build makes the marts.
    else:
        figures = {row["segment"]: row for row in rows}
        customers = rows[0]["all_customers"] if rows else None
    definitions = define_rfm_segments(rule)
    known = [
        {
            "segment": row.segment,
            "label": row.label,
            "colour": row.colour,
            "description": row.description,
            "definition": definitions[row.segment],
            **_as_json(figures.pop(row.segment, {})),
        }
        for row in rule.segments
    ]
    former = [_as_json(row, *row) for row in figures.values() if row["members"]]
    return known + former, customers


def _as_json(figures: dict[str, Any], *also: str) -> dict[str, Any]:
    names = ("members", "share", "change", "change_30_days", "as_of", *also)
    return {
        name: str(value) if isinstance(value, datetime | Decimal) else value
        for name, value in figures.items()
        if name in names and value is not None
    }


@blueprint.get(PATH)
@blueprint.input(SegmentsQuery, location="query", arg_name="page")
@blueprint.output(SegmentsPage)
def list_segments(page: SegmentsQuery) -> dict[str, Any]:
    """List RFM segments, Shopify segments and pulled Klaviyo lists.

    `q` searches names and definitions. Segments that were deleted in Shopify or Klaviyo are listed
    with `gone_at`.
    """
    with transaction() as conn:
        return list_segments_of(conn, tenant_id(), page)


@blueprint.get(f"{PATH}/<segment_id>")
@blueprint.output(AnySegment)
def show_segment(segment_id: str) -> dict[str, Any]:
    """Get one segment of any source by its id, such as `rfm:champions`."""
    segment = parse_id(segment_id)
    with transaction() as conn:
        return read_segment(conn, tenant_id(), segment)


@blueprint.get(f"{PATH}/<segment_id>/sizes")
@blueprint.output(SegmentSizes)
def list_segment_sizes(segment_id: str) -> dict[str, Any]:
    """List the members of a segment on each recorded day of the last year."""
    segment = parse_id(segment_id)
    with transaction() as conn:
        require_segment(conn, tenant_id(), segment)
        return {"data": read_sizes(conn, tenant_id(), segment)}
