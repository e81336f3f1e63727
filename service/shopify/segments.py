"""Sync Shopify's own segments and their members.

The store changes while it is read, and a webhook may have one segment read while all are being
read. So every reading has the database's time at which it began, and an older reading never
overwrites a newer one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from itertools import islice
from uuid import UUID

from service.core.db import Connection, one, tenant_transaction
from service.core.queries import query
from service.core.spool import Spool, open_spool
from service.segments.sizes import record_shopify_size
from service.shopify.client import ShopifyClient
from service.shopify.erased import delete_erased_members
from service.shopify.errors import ShopifyError, ShopifyQueryError, ShopifyUnavailableError
from service.shopify.loading import quarantine, read_clock
from service.shopify.paging import Listing, pages, unserved
from service.shopify.parse import (
    Rejection,
    Row,
    parse_member,
    parse_segment,
    sort_out,
    source_id_of,
)
from service.shopify.source import Source
from service.shopify.withheld import kept_columns

_SEGMENTS = Listing("segments", "segments", ids="segment_ids")
_MEMBERS = Listing("segment_members", "customerSegmentMembers", ids="segment_member_ids")
_SEGMENTS_PER_PAGE = 250
_MEMBERS_PER_PAGE = 1000
_TOO_LARGE = "USE_CUSTOMER_SEGMENT_MEMBERS_QUERY_CREATE_MUTATION"
_LOST_QUERY = "Shopify lost the query that it was preparing."
_FIRST_POLL_SECONDS = 0.2
_SLOWEST_POLL_SECONDS = 5.0
# When a cursor expires or a prepared query is lost half-way, the segment is read again, once.
_READINGS = 2
# The share of members that may be missing because the store changed while it was paged.
_CHURN = 0.01
# After this many segments in a row without an answer, Shopify is taken for unavailable.
_UNANSWERED_IN_A_ROW = 3
# All unreadable members of a segment are counted; this many are kept with their reason.
_KEPT_REJECTIONS = 1000
_SAMPLED_MEMBERS = 3
# Statistics of a smaller list cost more than they save, with thousands of segments.
_ANALYZED_FROM = 10_000
# Of a spooled segment, as parse_segment returns it.
_COLUMNS = ("segment_id", "name", "query", "created_at", "last_edited_at")


class SegmentUnreadableError(ShopifyError):
    """A segment cannot be read now; its stored members are kept."""


class _Outcome(Enum):
    LOADED = "loaded, or a newer reading had been loaded before"
    GONE = "no longer in the store"
    UNREAD = "quarantined with the reason"


@dataclass
class _Reading:
    """What a segment's pages contain besides its members: their count, and rejections.

    ``unserved`` are the customers whose stored rows stay, because Shopify could not serve them.
    """

    total: int = 0
    rejected: int = 0
    rejections: list[Rejection] = field(default_factory=list)
    unserved: list[str] = field(default_factory=list)


# -- all segments, or one -----------------------------------------------------------------------


def sync_segments(source: Source) -> None:
    """Load every segment with its members, and retire those the store no longer has.

    A segment that cannot be read is quarantined and keeps its stored members.

    Raises:
        ShopifyError: The shop cannot be read, or none of its segments can.
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
            if reader.sync_next(segment) is _Outcome.UNREAD:
                unread.append(str(segment["segment_id"]))
            progress.advance()
    reader.raise_if_none_could_be_read()
    _retire(source, read_at, unread_ids=unread)
    source.execute(query("shopify.record_segments_synced"), read_at=read_at)


def sync_one_segment(source: Source, segment_id: str) -> bool:
    """Load one segment, for example after a webhook; safe during a sync of all.

    A segment that cannot be read is quarantined and keeps its stored members.

    Args:
        source: The sync.
        segment_id: The number in the segment's global id, as text.

    Returns:
        Whether the store has it; if not, it has been marked as gone.

    Raises:
        ShopifyError: The shop cannot be read.
    """
    read_at = read_clock(source.pool, source.tenant_id)
    found, unreadable = _find_segment(source.client, segment_id)
    outcome = _Outcome.GONE
    if found is not None:
        outcome = _Reader(source).sync(found)
    elif unreadable:
        _quarantine_segments(source, unreadable)
        outcome = _Outcome.UNREAD
    if outcome is _Outcome.GONE:
        _retire(source, read_at, segment_id=segment_id)
    return outcome is not _Outcome.GONE


def _list_segments(source: Source, listed: Spool) -> list[str]:
    """Spool the shop's segments and return the ids of those that cannot be read."""
    for reading in range(_READINGS):
        listed.clear()
        unreadable: list[Rejection] = []
        try:
            for page in pages(source.client, _SEGMENTS, first=_SEGMENTS_PER_PAGE):
                rows, rejections = sort_out(page.nodes, parse_segment)
                for row in rows:
                    listed.append(tuple(row.values()))
                unreadable += [*rejections, *page.unserved]
            break
        except ShopifyQueryError:
            if reading == _READINGS - 1:
                raise
    _quarantine_segments(source, unreadable)
    return [rejection.source_id for rejection in unreadable]


def _find_segment(client: ShopifyClient, segment_id: str) -> tuple[Row | None, list[Rejection]]:
    """The segment as the store has it now, or why it cannot be read; neither when it is gone."""
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
        parameters = {
            "tenant_id": source.tenant_id,
            "read_at": read_at,
            "segment_id": segment_id,
            "unread_ids": unread_ids or [],
        }
        retired = one(conn.execute(query("shopify.retire_segments"), parameters).fetchone())
        for gone_id in retired["segment_ids"]:
            record_shopify_size(conn, source.tenant_id, gone_id, 0, read_at)
    source.progress.count(written=retired["written"])


def _quarantine_segments(source: Source, rejections: list[Rejection]) -> None:
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        quarantine(conn, source.tenant_id, "segment", rejections)
    source.progress.count(rejected=len(rejections))


# -- the members of a segment -------------------------------------------------------------------


class _Reader:
    """Reads segments one after the other, and keeps what is known about all of them."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._are_ids_known = False
        self._has_loaded = False
        self._unanswered = 0
        self._failure: ShopifyError | None = None

    def sync_next(self, segment: Row) -> _Outcome:
        """As :meth:`sync`; a segment without an answer from Shopify is quarantined too."""
        try:
            outcome = self.sync(segment)
        except ShopifyUnavailableError as error:
            self._unanswered += 1
            if self._unanswered == _UNANSWERED_IN_A_ROW:
                raise
            return self._quarantine(segment, error)
        self._unanswered = 0
        return outcome

    def sync(self, segment: Row) -> _Outcome:
        """Load one segment with its members, as they were when this began."""
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
                kept = kept_columns(source.client.withheld)
                written = _load(conn, source.tenant_id, segment, read_at, members, reading, kept)
        # An empty segment does not prove that members can be read.
        self._has_loaded = self._has_loaded or bool(members)
        source.progress.count(rejected=reading.rejected, written=written)
        return _Outcome.LOADED

    def raise_if_none_could_be_read(self) -> None:
        """Raise when every segment was quarantined, because then something else is wrong."""
        if self._failure is not None and not self._has_loaded:
            raise ShopifyError(
                f"No segment that has members could be read: {self._failure.message}",
                advice="The segments and members loaded before are kept. quintile doctor checks"
                " the connection.",
            )

    def _quarantine(self, segment: Row, error: ShopifyError) -> _Outcome:
        self._failure = error
        rejection = Rejection(str(segment["segment_id"]), error.message, segment)
        _quarantine_segments(self.source, [rejection])
        return _Outcome.UNREAD

    def _read(self, segment_id: str, members: Spool) -> _Reading | None:
        """Spool the members; None when the store has deleted the segment.

        Raises:
            ShopifyQueryError: Shopify refused a query twice.
            SegmentUnreadableError: The answer is incomplete or has no readable member.
        """
        for reading_number in range(1, _READINGS + 1):
            is_last = reading_number == _READINGS
            try:
                reading = self._read_once(segment_id, members)
            except ShopifyQueryError:
                self._begin_again(members)
                if _find_segment(self.source.client, segment_id) == (None, []):
                    return None
                if is_last:
                    raise
                continue
            missing = reading.total - len(members) - reading.rejected
            if missing <= (_CHURN * reading.total if is_last else 0):
                break
            if is_last:
                raise SegmentUnreadableError(
                    f"Shopify counts {reading.total:,} members of segment {segment_id} and listed"
                    f" {len(members):,}."
                )
            self._begin_again(members)
        if reading.rejected and not members:
            raise SegmentUnreadableError(
                f"None of the {reading.rejected:,} members of segment {segment_id} can be read:"
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
            # This refusal comes with the first page, so nothing has been spooled yet.
            if _TOO_LARGE not in error.codes and _TOO_LARGE not in error.message:
                raise
        try:
            query_id = self._prepare_query(segment_id)
            return self._read_pages(segment_id, members, {"queryId": query_id})
        except ShopifyUnavailableError as error:
            # That is what Shopify answers when it no longer has the query: recorded with 2026-04.
            if "INTERNAL_SERVER_ERROR" in error.codes:
                raise ShopifyQueryError(_LOST_QUERY) from None
            raise

    def _read_pages(self, segment_id: str, members: Spool, of: dict[str, str]) -> _Reading:
        reading = _Reading()
        for page in pages(self.source.client, _MEMBERS, first=_MEMBERS_PER_PAGE, **of):
            reading.total = int(page.total or 0)
            # A member without an address would be taken off lists: the stored row is better.
            rows, unreadable = sort_out(
                (node for node in page.nodes if source_id_of(node) not in page.missing),
                parse_member,
            )
            for row in rows:
                members.append(tuple(row.values()))
            failed = page.unserved + [
                unserved(node["id"], "Shopify could not serve all of its fields")
                for node in page.nodes
                if source_id_of(node) in page.missing
            ]
            reading.unserved += [item.source_id for item in failed]
            unreadable += failed
            reading.rejected += len(unreadable)
            reading.rejections += [
                Rejection(f"{segment_id}/{item.source_id}", item.reason, item.payload)
                for item in unreadable[: _KEPT_REJECTIONS - len(reading.rejections)]
            ]
            self.source.progress.count(segment_members=len(rows))
        return reading

    def _prepare_query(self, segment_id: str) -> str:
        """Have Shopify prepare a large segment's members, and return the id of the result.

        The query of a killed sync is not resumed: Shopify documents no limit on their number, and
        its result would be older.
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
        pause = _FIRST_POLL_SECONDS
        while not _is_prepared(client, query_id):
            if time.monotonic() > give_up_at:
                raise SegmentUnreadableError(
                    f"Shopify did not prepare the members of segment {segment_id} within"
                    f" {self.source.patience:,.0f} seconds."
                )
            time.sleep(pause)
            pause = min(pause * 2, _SLOWEST_POLL_SECONDS)
        return query_id

    def _check_ids(self, members: Spool) -> None:
        """Check that members' ids are customers' ids, which Shopify does not document.

        A few members of one segment are looked up as customers. One with the same e-mail address is
        enough for all segments of the sync.

        Raises:
            SegmentUnreadableError: None of them is the customer with that id.
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
            address = (customer.get("defaultEmailAddress") or {}).get("emailAddress")
            if email is None or (address or "").casefold() == email.casefold():
                self._are_ids_known = True
                return
        raise SegmentUnreadableError(
            f"The ids of segment members are not those of customers: member {customer_id} is not"
            f" customer {customer_id}."
        )


def _load(
    conn: Connection,
    tenant_id: UUID,
    segment: Row,
    read_at: datetime,
    members: Spool,
    reading: _Reading,
    kept: list[str],
) -> int:
    """Load what has been read, unless a newer reading has been loaded; how many rows it wrote.

    ``kept`` are columns that were not read: stored values stay.
    """
    segment_id = str(segment["segment_id"])
    parameters = {
        "tenant_id": tenant_id,
        **segment,
        "member_count": reading.total,
        "read_at": read_at,
    }
    loaded = one(conn.execute(query("shopify.load_segment"), parameters).fetchone())
    if not loaded["loaded"]:
        return 0
    conn.execute(query("shopify.create_incoming_members"))
    with conn.cursor().copy(query("shopify.copy_incoming_members")) as copy:
        for member in members:
            copy.write_row(member)
    if kept:
        conn.execute(query("shopify.keep_stored_members"), {**parameters, "kept": kept})
    if reading.unserved:
        customer_ids = {"customer_ids": reading.unserved}
        conn.execute(query("shopify.keep_unserved_members"), {**parameters, **customer_ids})
    if len(members) >= _ANALYZED_FROM:
        conn.execute(query("shopify.analyze_incoming_members"))
    is_first = {"is_first": loaded["is_first"]}
    changed = one(
        conn.execute(query("shopify.load_members"), {**parameters, **is_first}).fetchone()
    )
    conn.execute(
        query("shopify.clear_segment_rejections"),
        {**parameters, "source_ids": [item.source_id for item in reading.rejections]},
    )
    quarantine(conn, tenant_id, "segment_member", reading.rejections)
    delete_erased_members(conn, tenant_id, [segment_id])
    record_shopify_size(conn, tenant_id, segment_id, reading.total, read_at)
    return int(loaded["written"]) + int(changed["written"])


def _is_prepared(client: ShopifyClient, query_id: str) -> bool:
    state = client.run("segment_members_query", id=query_id)["customerSegmentMembersQuery"]
    if state is None:
        raise ShopifyQueryError(_LOST_QUERY)
    return bool(state["done"])


def _gid(segment_id: str) -> str:
    return f"gid://shopify/Segment/{segment_id}"
