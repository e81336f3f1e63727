"""``/api/admin/segments/<segment_id>/…``: members, overlap and changes of any segment."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from apiflask import APIBlueprint
from flask import Response
from psycopg import sql
from pydantic import AwareDatetime, Field, StringConstraints

from service.api.access import State, fetch_one, state, tenant_id, transaction
from service.api.csv_answer import CSV_RESPONSES, answer_csv
from service.api.paging import Amount, Bigint, PageQuery, Search, Text
from service.api.rfm import MOVEMENT_DAYS
from service.api.schemas import Instant, Money, Page, RequestModel, ResponseModel, Segment, Time
from service.api.segment_list import PATH, UnknownSegmentError, parse_id, require_segment
from service.api.sorting import Sort
from service.core.csv_stream import stream_csv
from service.core.db import Connection, one, tenant_transaction
from service.core.errors import InvalidInputError
from service.core.queries import query
from service.segments.ids import SegmentId, parse_segment_id

blueprint = APIBlueprint("segment_members", __name__, tag="Segments")

MemberSort = Literal[
    "id",
    "window_spend",
    "spend",
    "orders",
    "last_order",
    "since",
    "r_score",
    "f_score",
    "m_score",
    "samples",
    "name",
    "email",
    "marketing_state",
]

_HIGHEST_FIRST: dict[MemberSort, Any] = {
    "window_spend": Amount,
    "spend": Amount,
    "orders": Bigint,
    "last_order": AwareDatetime,
    "since": AwareDatetime,
    "r_score": Bigint,
    "f_score": Bigint,
    "m_score": Bigint,
    "samples": Bigint,
}
_ALPHABETICALLY: tuple[MemberSort, ...] = ("name", "email", "marketing_state")
MEMBER_SORTS: dict[MemberSort, Sort] = {
    "id": Sort("members by id", table="s", is_descending=False, member_id=Text),
}
for _name, _kind in _HIGHEST_FIRST.items():
    _columns = {f"sort_{_name}": _kind, "member_id": Text}
    MEMBER_SORTS[_name] = Sort(f"members by {_name}", table="s", **_columns)
for _name in _ALPHABETICALLY:
    _columns = {f"sort_{_name}": Text, "member_id": Text}
    MEMBER_SORTS[_name] = Sort(f"members by {_name}", table="s", is_descending=False, **_columns)
_CHANGE_COLUMNS: dict[str, Any] = {"changed_at": AwareDatetime, "customer_id": Text}
ChangeSort = Literal["oldest", "newest"]
_CHANGE_SORTS: dict[ChangeSort, Sort] = {
    "oldest": Sort("segment changes", table="s", is_descending=False, **_CHANGE_COLUMNS),
    "newest": Sort("newest segment changes", table="s", **_CHANGE_COLUMNS),
}
# Parameters that leave members out.
_FILTERS = ("pattern", "r_score", "f_score", "m_score")
_CSV_COLUMNS = (
    "customer_id",
    "profile_id",
    "name",
    "email",
    "phone",
    "marketing_state",
    "orders",
    "spent",
    "window_orders",
    "window_spent",
    "currency",
    "last_order_at",
    "r_score",
    "f_score",
    "m_score",
    "rfm_segment",
    "in_segment_since",
    "samples",
)


class MemberFilters(Search):
    """Which members of a segment."""

    r_score: int | None = Field(None, ge=1, le=5, description="Only with this recency score.")
    f_score: int | None = Field(None, ge=1, le=5, description="Only with this frequency score.")
    m_score: int | None = Field(None, ge=1, le=5, description="Only with this monetary score.")
    sort: MemberSort = Field(
        "id",
        description="By id, which is the fastest; highest spend in the RFM window or of all time,"
        " most orders, newest order, newest in the segment, highest score or most samples first; or"
        " by name, e-mail address or marketing state.",
    )


class MembersQuery(MemberFilters, PageQuery):
    """Which page of the members of a segment."""


class ChangesQuery(PageQuery):
    """Which page of the changes of a segment."""

    since: Time | None = Field(
        None, description="Only changes after this time; the last 30 days by default."
    )
    sort: ChangeSort = Field("oldest", description="Oldest or newest change first.")


class OverlapQuery(RequestModel):
    """The other segment."""

    with_: Annotated[str, StringConstraints(max_length=100)] = Field(
        alias="with", description="Id of the other segment.", examples=["shopify:1234"]
    )


class SegmentMember(ResponseModel):
    """A member of a segment, with figures as of the last build."""

    member_id: str = Field(description="Unique in the segment: the customer's or profile's id.")
    customer_id: str | None = Field(description="Null for a profile that is no customer.")
    profile_id: str | None = Field(description="Klaviyo's id; null for other sources.")
    name: str | None
    email: str | None
    phone: str | None = Field(description="Only of a customer without an e-mail address.")
    marketing_state: str | None = Field(description="Shopify's e-mail marketing consent state.")
    orders: int | None = Field(
        description="Sales of all time; null for a member that the last build did not have."
    )
    spent: Money | None = Field(description="Net value of these sales.")
    window_orders: int | None = Field(description="Orders that count in the RFM window.")
    window_spent: Money | None = Field(description="Net value of these orders.")
    currency: str | None
    last_order_at: Instant | None
    r_score: int | None = Field(description="Null for a customer without a score.")
    f_score: int | None
    m_score: int | None
    rfm_segment: Segment | None
    in_segment_since: Instant | None = Field(
        description="Null: in the segment since before its first sync."
    )
    samples: int = Field(description="Samples sent to the customer.")


class MembersPage(Page[SegmentMember]):
    """A page of the members of a segment."""

    total: int | None = Field(
        description="Members that match the filters; only on the first page, null on others. Of an"
        " RFM segment without filters, as the last finished build counted them."
    )


class Overlap(ResponseModel):
    """Customers that two segments have in common. Profiles that are no customers count nowhere."""

    id: str
    with_id: str
    customers: int = Field(description="Customers in the segment.")
    with_customers: int = Field(description="Customers in the other segment.")
    both: int = Field(description="Customers in both.")


class SegmentChange(ResponseModel):
    """A customer who entered or left a segment."""

    customer_id: str = Field(description="For a list: the profile's id.")
    name: str | None
    email: str | None
    change: Literal["entered", "left"]
    changed_at: Instant = Field(description="As-of time of the build, or start of the sync.")
    rfm_segment: Segment | None = Field(
        description="RFM: the segment before entering, or after leaving; null for none."
    )


class ChangesPage(Page[SegmentChange]):
    """A page of the changes of a segment."""

    since: Instant = Field(description="The changes are after this time.")


def read_members(
    conn: Connection, tenant: UUID, segment: SegmentId, page: MembersQuery
) -> dict[str, Any]:
    """A page of a segment's members, as :class:`MembersPage`.

    Raises:
        BadCursorError: The cursor is not valid for this sort order.
    """
    sort, parameters = MEMBER_SORTS[page.sort], _parameters(tenant, segment, page)
    template = {
        "rfm": query("api.list_rfm_member_ids"),
        "shopify": query("api.list_shopify_member_ids"),
        "klaviyo": query("api.list_members"),
    }[segment.source]
    listed = sort.read_page(conn, page, template, **parameters)
    total = None
    if page.cursor is None:
        # A first page that is also the last one has been counted.
        is_all = listed["next_cursor"] is None
        matching = listed["data"][0].get("matching") if listed["data"] else None
        if is_all:
            total = len(listed["data"])
        elif matching is not None:
            total = matching
        else:
            total = _count(conn, segment, template, parameters)
    if segment.source != "klaviyo":
        ids = [row["member_id"] for row in listed["data"]]
        # The page's rows in its order; the view would not use the index that finds them.
        found = conn.execute(
            MEMBER_SORTS["spend"].statement(query("api.list_members")),
            {**parameters, "pattern": None, "member_ids": ids, "row_limit": None},
        ).fetchall()
        by_id = {row["member_id"]: row for row in found}
        listed["data"] = [by_id[member] for member in ids if member in by_id]
    return {**listed, "total": total}


def _count(
    conn: Connection, segment: SegmentId, template: sql.SQL, parameters: dict[str, Any]
) -> int:
    # Counting reads every member. Those of a whole RFM segment have been counted by the build.
    if segment.source == "rfm" and all(parameters[name] is None for name in _FILTERS):
        counted = conn.execute(query("api.count_rfm_members"), parameters).fetchone()
        if counted is not None:
            return int(counted["rows"])
    counted = conn.execute(Sort.count(template), {**parameters, "row_limit": None}).fetchone()
    return int(one(counted)["rows"])


def _parameters(tenant: UUID, segment: SegmentId, filters: MemberFilters) -> dict[str, Any]:
    return {
        "tenant_id": tenant,
        "source": segment.source,
        "key": segment.key,
        "member_ids": None,
        "q": filters.q,
        "pattern": filters.pattern,
        "screen": filters.screen,
        **filters.model_dump(include={"r_score", "f_score", "m_score"}),
    }


@blueprint.get(f"{PATH}/<segment_id>/customers")
@blueprint.input(MembersQuery, location="query", arg_name="page")
@blueprint.output(MembersPage)
def list_segment_members(segment_id: str, page: MembersQuery) -> dict[str, Any]:
    """List the members of a segment of any source.

    `q` searches names, e-mail addresses and phone numbers for the text, and ids for the exact id.
    """
    segment = parse_id(segment_id)
    with transaction() as conn:
        require_segment(conn, tenant_id(), segment)
        return read_members(conn, tenant_id(), segment, page)


@blueprint.get(f"{PATH}/<segment_id>/customers.csv")
@blueprint.input(MemberFilters, location="query", arg_name="filters")
@blueprint.doc(responses=CSV_RESPONSES)
def export_segment_members(segment_id: str, filters: MemberFilters) -> Response:
    """Download the members of a segment as a CSV file, with the same filters and sort order."""
    segment = parse_id(segment_id)
    with transaction() as conn:
        require_segment(conn, tenant_id(), segment)
    return answer_csv(
        _export(state(), tenant_id(), segment, filters),
        f"{segment.source}-{segment.key}.csv",
    )


def _export(
    app: State, tenant: UUID, segment: SegmentId, filters: MemberFilters
) -> Iterator[bytes]:
    with tenant_transaction(
        app.pool, tenant, read_only=True, timeout_ms=app.settings.statement_timeout_ms
    ) as conn:
        yield from stream_csv(
            conn,
            MEMBER_SORTS[filters.sort].statement(query("api.list_members")),
            {**_parameters(tenant, segment, filters), "row_limit": None},
            _CSV_COLUMNS,
        )


@blueprint.get(f"{PATH}/<segment_id>/overlap")
@blueprint.input(OverlapQuery, location="query", arg_name="asked")
@blueprint.output(Overlap)
def count_segment_overlap(segment_id: str, asked: OverlapQuery) -> dict[str, Any]:
    """Count the customers that a segment and another one, `with`, have in common."""
    segment, other = parse_id(segment_id), parse_segment_id(asked.with_, field="with")
    with transaction() as conn:
        require_segment(conn, tenant_id(), segment)
        try:
            require_segment(conn, tenant_id(), other)
        except UnknownSegmentError as error:
            raise InvalidInputError(error.message, advice=error.advice, field="with") from None
        counted = fetch_one(
            conn,
            query("api.count_overlap"),
            source=segment.source,
            key=segment.key,
            other_source=other.source,
            other_key=other.key,
        )
    return {**counted, "both": counted["in_both"], "id": str(segment), "with_id": str(other)}


def read_changes(
    conn: Connection, tenant: UUID, segment: SegmentId, page: ChangesQuery
) -> dict[str, Any]:
    """A page of who entered and left a segment, as :class:`ChangesPage`.

    Raises:
        BadCursorError: The cursor is not valid for this sort order.
    """
    # Of a whole day, so that the answer keeps its ETag.
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    since = page.since or today - timedelta(days=MOVEMENT_DAYS)
    statement = {
        "rfm": query("api.list_rfm_changes"),
        "shopify": query("api.list_shopify_changes"),
        "klaviyo": query("api.list_list_changes"),
    }[segment.source]
    listed = _CHANGE_SORTS[page.sort].read_page(
        conn, page, statement, tenant_id=tenant, key=segment.key, since=since
    )
    return {**listed, "since": since}


@blueprint.get(f"{PATH}/<segment_id>/changes")
@blueprint.input(ChangesQuery, location="query", arg_name="page")
@blueprint.output(ChangesPage)
def list_segment_changes(segment_id: str, page: ChangesQuery) -> dict[str, Any]:
    """List who entered and left a segment, and when, oldest first or by `sort`.

    RFM segments change with builds, Shopify segments with syncs and webhooks, pulled lists with
    syncs: who joined is found by the next one, who left by the next that reads the whole list.
    """
    segment = parse_id(segment_id)
    with transaction() as conn:
        require_segment(conn, tenant_id(), segment)
        return read_changes(conn, tenant_id(), segment, page)
