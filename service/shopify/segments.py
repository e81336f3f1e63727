"""Shopify's own segments and their members, kept as the store has them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from uuid import UUID

from service.db import Connection, Pool, one, query, tenant_transaction
from service.jobs.progress import Progress
from service.shopify.client import ShopifyClient, ShopifyError, ShopifyQueryError, pages
from service.shopify.landing import set_aside, take_back
from service.shopify.parse import Rejection, Row, parse_member, parse_segment, sort_out
from service.spool import Spool, open_spool

_SEGMENTS_PER_PAGE = 250
_MEMBERS_PER_PAGE = 1000
_TOO_LARGE = "USE_CUSTOMER_SEGMENT_MEMBERS_QUERY_CREATE_MUTATION"
_FIRST_LOOK_SECONDS = 0.2
_SLOWEST_LOOK_SECONDS = 5.0
_PREPARED_WITHIN_SECONDS = 600.0


@dataclass(frozen=True)
class Source:
    """One sync: which shop is read, for whom it is landed, and who is told."""

    client: ShopifyClient
    pool: Pool
    tenant_id: UUID
    progress: Progress


def sync_segments(source: Source) -> None:
    """Read every segment with its members and retire those the store no longer has.

    A segment that cannot be read is set aside and keeps the members it had.

    Raises:
        ShopifyError: The shop as a whole cannot be read.
    """
    pool, tenant_id, progress = source.pool, source.tenant_id, source.progress
    progress.phase("segments")
    segments, unreadable = _read_segments(source.client)
    with tenant_transaction(pool, tenant_id) as conn:
        set_aside(conn, tenant_id, "segment", unreadable)
    progress.count(rejected=len(unreadable))
    progress.phase("segment members", total=len(segments))
    present = [rejection.source_id for rejection in unreadable]
    for segment in segments:
        if _sync_segment(source, segment):
            present.append(segment["segment_id"])
        progress.advance()
    with tenant_transaction(pool, tenant_id) as conn:
        retired = one(
            conn.execute(
                query("shopify/sql/retire_segments"),
                {"tenant_id": tenant_id, "segment_ids": present},
            ).fetchone()
        )
    progress.count(segments=len(segments), written=retired["written"])


def _read_segments(client: ShopifyClient) -> tuple[list[Row], list[Rejection]]:
    segments: list[Row] = []
    rejections: list[Rejection] = []
    for page in pages(client, "segments", "segments", first=_SEGMENTS_PER_PAGE):
        readable, unreadable = sort_out(page["nodes"], parse_segment)
        segments += readable
        rejections += unreadable
    return segments, rejections


def _sync_segment(source: Source, segment: Row) -> bool:
    """Land one segment with its members; False when the store has just deleted it."""
    tenant_id, progress = source.tenant_id, source.progress
    segment_id: str = segment["segment_id"]
    with open_spool() as members:
        try:
            total, rejections = _read_members(source.client, segment_id, members)
        except ShopifyQueryError as error:
            if "NOT_FOUND" in error.codes:
                return False
            with tenant_transaction(source.pool, tenant_id) as conn:
                set_aside(
                    conn, tenant_id, "segment", [Rejection(segment_id, error.message, segment)]
                )
            progress.count(rejected=1)
            return True
        with tenant_transaction(source.pool, tenant_id) as conn:
            written = _land(conn, tenant_id, {**segment, "member_count": total}, members)
            set_aside(conn, tenant_id, "segment_member", rejections)
    progress.count(segment_members=len(members), rejected=len(rejections), written=written)
    return True


def _land(conn: Connection, tenant_id: UUID, segment: Row, members: Spool) -> int:
    parameters = {"tenant_id": tenant_id, **segment}
    written = one(conn.execute(query("shopify/sql/land_segment"), parameters).fetchone())
    conn.execute(query("shopify/sql/create_incoming_members"))
    with conn.cursor().copy(query("shopify/sql/copy_incoming_members")) as copy:
        for member in members:
            copy.write_row(member)
    changed = one(conn.execute(query("shopify/sql/land_members"), parameters).fetchone())
    take_back(conn, tenant_id, "segment", [segment["segment_id"]])
    return int(written["written"]) + int(changed["written"])


def _read_members(
    client: ShopifyClient, segment_id: str, members: Spool
) -> tuple[int, list[Rejection]]:
    """Spool the members and return how many the store counts, and those it cannot tell apart."""
    gid = f"gid://shopify/Segment/{segment_id}"
    try:
        return _read_pages(client, segment_id, members, {"segmentId": gid})
    except ShopifyQueryError as error:
        # Refused at the first page or not at all, so nothing has been spooled yet.
        if _TOO_LARGE not in error.codes and _TOO_LARGE not in error.message:
            raise
    return _read_pages(client, segment_id, members, {"queryId": _prepare_query(client, gid)})


def _read_pages(
    client: ShopifyClient, segment_id: str, members: Spool, source: dict[str, str]
) -> tuple[int, list[Rejection]]:
    total = 0
    rejections: list[Rejection] = []
    for page in pages(
        client, "segment_members", "customerSegmentMembers", first=_MEMBERS_PER_PAGE, **source
    ):
        total = int(page["totalCount"])
        rows, unreadable = sort_out((edge["node"] for edge in page["edges"]), parse_member)
        for row in rows:
            members.append(
                (row["customer_id"], row["email"], row["display_name"], row["marketing_state"])
            )
        rejections += [
            Rejection(f"{segment_id}/{item.source_id}", item.reason, item.payload)
            for item in unreadable
        ]
    return total, rejections


def _prepare_query(client: ShopifyClient, segment_gid: str) -> str:
    """Have Shopify prepare a large segment and return the id to read it by."""
    answer = client.run("segment_members_query_create", segmentId=segment_gid)
    payload = answer["customerSegmentMembersQueryCreate"] or {}
    if problems := payload.get("userErrors"):
        raise ShopifyQueryError("; ".join(str(problem["message"]) for problem in problems))
    started = payload.get("customerSegmentMembersQuery")
    if not started:
        raise ShopifyQueryError("Shopify did not start to prepare the segment's members.")
    query_id = str(started["id"])
    give_up_at = time.monotonic() + _PREPARED_WITHIN_SECONDS
    pause = _FIRST_LOOK_SECONDS
    while not _is_prepared(client, query_id):
        if time.monotonic() > give_up_at:
            raise ShopifyQueryError("Shopify did not prepare the segment within ten minutes.")
        time.sleep(pause)
        pause = min(pause * 2, _SLOWEST_LOOK_SECONDS)
    return query_id


def _is_prepared(client: ShopifyClient, query_id: str) -> bool:
    state = client.run("segment_members_query", id=query_id)["customerSegmentMembersQuery"]
    if state is None:
        raise ShopifyError("Shopify has lost the query it was preparing.")
    return bool(state["done"])
