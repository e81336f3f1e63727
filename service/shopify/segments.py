"""Shopify's own segments and their members, kept as the store has them.

The store changes while it is read, and a webhook may have one segment read while all of them are
being read. So every reading carries the database's time at which it began, and older news never
overwrites newer: a segment lands as of that time or not at all.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from itertools import islice
from uuid import UUID

from service.core.db import Connection, Pool, one, tenant_transaction
from service.core.queries import query
from service.core.spool import Spool, open_spool
from service.queue.progress import Progress
from service.shopify.client import (
    ShopifyClient,
    ShopifyError,
    ShopifyQueryError,
    ShopifyUnavailableError,
    pages,
)
from service.shopify.erased import delete_erased_members
from service.shopify.loading import clear_rejections, quarantine, read_clock
from service.shopify.parse import Rejection, Row, parse_member, parse_segment, sort_out

_SEGMENTS_PER_PAGE = 250
_MEMBERS_PER_PAGE = 1000
_TOO_LARGE = "USE_CUSTOMER_SEGMENT_MEMBERS_QUERY_CREATE_MUTATION"
_FIRST_LOOK_SECONDS = 0.2
_SLOWEST_LOOK_SECONDS = 5.0
# A cursor or a prepared query that expires half-way is cured by beginning again, once.
_READINGS = 2
# A store that changes while it is paged may list a few members less than it counts.
_CHURN = 0.01
# So many segments in a row that Shopify gives no answer for are Shopify's trouble, not theirs.
_SILENT_IN_A_ROW = 3
# Unreadable members of a segment are all counted; so many of them are kept with their reason.
_KEPT_REJECTIONS = 1000
_SAMPLED_MEMBERS = 3
# Statistics of a smaller list cost more than they save, thousands of times a sync.
_ANALYZED_FROM = 10_000
_COLUMNS = ("segment_id", "name", "query", "created_at", "last_edited_at")


class SegmentUnreadableError(ShopifyError):
    """A segment cannot be read for now; the members it had are kept."""


@dataclass(frozen=True)
class Source:
    """One sync: which shop is read, for whom it is landed, and who is told.

    ``patience`` is how many seconds Shopify may take to prepare one large segment.
    """

    client: ShopifyClient
    pool: Pool
    tenant_id: UUID
    progress: Progress
    patience: float = 600.0


class _Outcome(Enum):
    LANDED = "landed, or newer news had landed before"
    GONE = "the store does not have it any more"
    UNREAD = "set aside with the reason"


@dataclass
class _Reading:
    """What a segment's pages said beside its members: their count, and what cannot be read."""

    total: int = 0
    rejected: int = 0
    rejections: list[Rejection] = field(default_factory=list)


# -- all segments, or one -----------------------------------------------------------------------


def sync_segments(source: Source) -> None:
    """Read every segment with its members and retire those the store no longer has.

    A segment that cannot be read is set aside with the reason and keeps the members it had.

    Raises:
        ShopifyError: The shop cannot be read, or not one of its segments can.
    """
    progress = source.progress
    progress.phase("segments")
    read_at = read_clock(source.pool, source.tenant_id)
    with open_spool() as listed:
        unread = _list_segments(source, listed)
        progress.count(segments=len(listed))
        progress.phase("segment members", total=len(listed))
        reader = _Reader(source)
        for row in listed:
            segment = dict(zip(_COLUMNS, row, strict=True))
            if reader.sync_patiently(segment) is _Outcome.UNREAD:
                unread.append(str(segment["segment_id"]))
            progress.advance()
    reader.raise_if_none_could_be_read()
    _retire(source, read_at, unread_ids=unread)
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        conn.execute(
            query("shopify.record_segments_synced"),
            {"tenant_id": source.tenant_id, "read_at": read_at},
        )


def sync_one_segment(source: Source, segment_id: str) -> bool:
    """Read one segment again, as when a webhook names it; safe beside a sync of all.

    A segment that cannot be read is set aside with the reason and keeps the members it had.

    Args:
        source: The sync.
        segment_id: The number in the segment's global id, as text.

    Returns:
        Whether the store has it; if not, it has been marked gone.

    Raises:
        ShopifyError: The shop cannot be read.
    """
    read_at = read_clock(source.pool, source.tenant_id)
    found, unreadable = _find_segment(source.client, segment_id)
    outcome = _Outcome.GONE
    if found is not None:
        outcome = _Reader(source).sync(found)
    elif unreadable:
        _set_segments_aside(source, unreadable)
        outcome = _Outcome.UNREAD
    if outcome is _Outcome.GONE:
        _retire(source, read_at, segment_id=segment_id)
    return outcome is not _Outcome.GONE


def _list_segments(source: Source, listed: Spool) -> list[str]:
    """Spool the shop's segments and return the ids of those that make no sense."""
    for reading in range(_READINGS):
        listed.clear()
        unreadable: list[Rejection] = []
        try:
            for page in pages(source.client, "segments", "segments", first=_SEGMENTS_PER_PAGE):
                rows, rejections = sort_out(page["nodes"], parse_segment)
                for row in rows:
                    listed.append(tuple(row[column] for column in _COLUMNS))
                unreadable += rejections
            break
        except ShopifyQueryError:
            if reading == _READINGS - 1:
                raise
    _set_segments_aside(source, unreadable)
    return [rejection.source_id for rejection in unreadable]


def _find_segment(client: ShopifyClient, segment_id: str) -> tuple[Row | None, list[Rejection]]:
    """The segment as the store has it now, or why it makes no sense; neither when it is gone."""
    try:
        node = client.run("segment", id=_gid(segment_id))["segment"]
    except ShopifyQueryError as error:
        if "NOT_FOUND" not in error.codes:
            raise
        node = None
    rows, rejections = sort_out([node] if node else [], parse_segment)
    return next(iter(rows), None), rejections


def _retire(
    source: Source,
    read_at: datetime,
    *,
    segment_id: str | None = None,
    unread_ids: list[str] | None = None,
) -> None:
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        retired = one(
            conn.execute(
                query("shopify.retire_segments"),
                {
                    "tenant_id": source.tenant_id,
                    "read_at": read_at,
                    "segment_id": segment_id,
                    "unread_ids": unread_ids or [],
                },
            ).fetchone()
        )
    source.progress.count(written=retired["written"])


def _set_segments_aside(source: Source, rejections: list[Rejection]) -> None:
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        quarantine(conn, source.tenant_id, "segment", rejections)
    source.progress.count(rejected=len(rejections))


# -- the members of a segment -------------------------------------------------------------------


class _Reader:
    """Reads segments one after the other, and remembers what holds for all of them."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._are_ids_known = False
        self._has_landed = False
        self._silent = 0
        self._failure: ShopifyError | None = None

    def sync_patiently(self, segment: Row) -> _Outcome:
        """As :meth:`sync`; a segment that Shopify gives no answer for is set aside as well."""
        try:
            outcome = self.sync(segment)
        except ShopifyUnavailableError as error:
            self._silent += 1
            if self._silent == _SILENT_IN_A_ROW:
                raise
            return self._quarantine(segment, error)
        self._silent = 0
        return outcome

    def sync(self, segment: Row) -> _Outcome:
        """Land one segment with its members, as they were when this began."""
        source, segment_id = self.source, str(segment["segment_id"])
        read_at = read_clock(source.pool, source.tenant_id)
        with open_spool() as members:
            try:
                reading = self._read(segment_id, members)
                if reading is None:
                    return _Outcome.GONE
                self._check_ids(members)
            except (ShopifyQueryError, SegmentUnreadableError) as error:
                return self._quarantine(segment, error)
            with tenant_transaction(source.pool, source.tenant_id) as conn:
                written = _load(conn, source.tenant_id, segment, read_at, members, reading)
        # An empty segment proves nothing: there was nothing to misread.
        self._has_landed = self._has_landed or bool(members)
        source.progress.count(rejected=reading.rejected, written=written)
        return _Outcome.LANDED

    def raise_if_none_could_be_read(self) -> None:
        """One bad segment is set aside; when all are, something else is wrong."""
        if self._failure is not None and not self._has_landed:
            raise ShopifyError(
                f"No segment that has members could be read: {self._failure.message}",
                advice="The segments and members landed before are kept. quintile doctor says"
                " whether the connection works.",
            )

    def _quarantine(self, segment: Row, error: ShopifyError) -> _Outcome:
        self._failure = error
        rejection = Rejection(str(segment["segment_id"]), error.message, segment)
        _set_segments_aside(self.source, [rejection])
        return _Outcome.UNREAD

    def _read(self, segment_id: str, members: Spool) -> _Reading | None:
        """Spool the members; None when the store has deleted the segment meanwhile.

        Raises:
            ShopifyQueryError: Shopify refused a query twice.
            SegmentUnreadableError: What it answered cannot be what it has.
        """
        for attempt in range(1, _READINGS + 1):
            try:
                reading = self._read_once(segment_id, members)
            except ShopifyQueryError:
                self._begin_again(members)
                if _find_segment(self.source.client, segment_id) == (None, []):
                    return None
                if attempt == _READINGS:
                    raise
                continue
            missing = reading.total - len(members) - reading.rejected
            if missing <= 0 or (attempt == _READINGS and missing <= _CHURN * reading.total):
                break
            if attempt == _READINGS:
                raise SegmentUnreadableError(
                    f"Shopify counts {reading.total:,} members of segment {segment_id} and listed"
                    f" {len(members):,}."
                )
            self._begin_again(members)
        if reading.rejected and not members:
            raise SegmentUnreadableError(
                f"Not one of the {reading.rejected:,} members of segment {segment_id} can be read:"
                f" {reading.rejections[0].reason}."
            )
        return reading

    def _begin_again(self, members: Spool) -> None:
        self.source.progress.count(segment_members=-len(members))
        members.clear()

    def _read_once(self, segment_id: str, members: Spool) -> _Reading:
        try:
            return self._read_pages(segment_id, members, {"segmentId": _gid(segment_id)})
        except ShopifyQueryError as error:
            # Refused at the first page or not at all, so nothing has been spooled yet.
            if _TOO_LARGE not in error.codes and _TOO_LARGE not in error.message:
                raise
        query_id = self._prepare_query(segment_id)
        return self._read_pages(segment_id, members, {"queryId": query_id})

    def _read_pages(self, segment_id: str, members: Spool, of: dict[str, str]) -> _Reading:
        reading = _Reading()
        for page in self._member_pages(of):
            reading.total = int(page["totalCount"])
            rows, unreadable = sort_out((edge["node"] for edge in page["edges"]), parse_member)
            for row in rows:
                members.append(
                    (row["customer_id"], row["email"], row["display_name"], row["marketing_state"])
                )
            reading.rejected += len(unreadable)
            reading.rejections += [
                Rejection(f"{segment_id}/{item.source_id}", item.reason, item.payload)
                for item in unreadable[: _KEPT_REJECTIONS - len(reading.rejections)]
            ]
            self.source.progress.count(segment_members=len(rows))
        return reading

    def _member_pages(self, of: dict[str, str]) -> Iterator[Row]:
        return pages(
            self.source.client,
            "segment_members",
            "customerSegmentMembers",
            first=_MEMBERS_PER_PAGE,
            **of,
        )

    def _prepare_query(self, segment_id: str) -> str:
        """Have Shopify prepare a large segment and return the id to read it by.

        A query that a killed sync has left behind is not looked for: Shopify documents no limit on
        how many there are, and the answer of an old one would be old news.
        """
        client = self.source.client
        answer = client.run("segment_members_query_create", segmentId=_gid(segment_id))
        payload = answer["customerSegmentMembersQueryCreate"] or {}
        if problems := payload.get("userErrors"):
            raise ShopifyQueryError("; ".join(str(problem["message"]) for problem in problems))
        started = payload.get("customerSegmentMembersQuery")
        if not started:
            raise ShopifyQueryError("Shopify did not start to prepare the segment's members.")
        query_id = str(started["id"])
        give_up_at = time.monotonic() + self.source.patience
        pause = _FIRST_LOOK_SECONDS
        while not _is_prepared(client, query_id):
            if time.monotonic() > give_up_at:
                raise SegmentUnreadableError(
                    f"Shopify did not prepare the members of segment {segment_id} within"
                    f" {self.source.patience:,.0f} seconds."
                )
            time.sleep(pause)
            pause = min(pause * 2, _SLOWEST_LOOK_SECONDS)
        return query_id

    def _check_ids(self, members: Spool) -> None:
        """See whether members are numbered as customers are, which Shopify does not promise.

        A few members of one segment are looked up as customers: one whose address agrees is enough,
        for all segments of the sync.

        Raises:
            SegmentUnreadableError: None of them is the customer of that number.
        """
        if self._are_ids_known or not members:
            return
        first = list(islice(members, _MEMBERS_PER_PAGE))
        sample = [member for member in first if member[1] is not None] or first
        for customer_id, email, *_ in sample[:_SAMPLED_MEMBERS]:
            gid = f"gid://shopify/Customer/{customer_id}"
            customer = self.source.client.run("customer", id=gid)["customer"]
            if customer is None:
                continue
            address = (customer["defaultEmailAddress"] or {}).get("emailAddress")
            if email is None or (address or "").casefold() == email.casefold():
                self._are_ids_known = True
                return
        raise SegmentUnreadableError(
            f"Segment members are not numbered as customers: member {customer_id} is not"
            f" customer {customer_id}."
        )


def _load(
    conn: Connection,
    tenant_id: UUID,
    segment: Row,
    read_at: datetime,
    members: Spool,
    reading: _Reading,
) -> int:
    """Land what has been read, unless newer news has been landed; the number of rows written."""
    segment_id = str(segment["segment_id"])
    parameters = {
        "tenant_id": tenant_id,
        **segment,
        "member_count": reading.total,
        "read_at": read_at,
    }
    landed = one(conn.execute(query("shopify.load_segment"), parameters).fetchone())
    if not landed["landed"]:
        return 0
    conn.execute(query("shopify.create_incoming_members"))
    with conn.cursor().copy(query("shopify.copy_incoming_members")) as copy:
        for member in members:
            copy.write_row(member)
    if len(members) >= _ANALYZED_FROM:
        conn.execute(query("shopify.analyze_incoming_members"))
    changed = one(conn.execute(query("shopify.load_members"), parameters).fetchone())
    clear_rejections(conn, tenant_id, "segment", [segment_id])
    conn.execute(
        query("shopify.delete_member_rejections"),
        {**parameters, "source_ids": [item.source_id for item in reading.rejections]},
    )
    quarantine(conn, tenant_id, "segment_member", reading.rejections)
    delete_erased_members(conn, tenant_id, [segment_id])
    return int(landed["written"]) + int(changed["written"])


def _is_prepared(client: ShopifyClient, query_id: str) -> bool:
    state = client.run("segment_members_query", id=query_id)["customerSegmentMembersQuery"]
    if state is None:
        raise ShopifyQueryError("Shopify has lost the query it was preparing.")
    return bool(state["done"])


def _gid(segment_id: str) -> str:
    return f"gid://shopify/Segment/{segment_id}"
