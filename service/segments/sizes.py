"""The size of Shopify segments and pulled lists by day. RFM segments have it in marts."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from service.core.db import Connection, one
from service.core.queries import query
from service.segments.ids import SegmentId


def record_size(
    conn: Connection,
    tenant_id: UUID,
    segment: SegmentId,
    members: int,
    read_at: datetime,
    *,
    emailable: int | None = None,
) -> None:
    """Record a segment's size on the day of a reading in the tenant's time zone.

    It replaces the size of an earlier reading on the same day, which is kept as the size before.

    Args:
        conn: The tenant's transaction.
        tenant_id: The tenant.
        segment: The segment.
        members: Its members now.
        read_at: When the reading began. Recording the same reading again has no effect.
        emailable: Those with an address who accept e-mail marketing; None if not counted.
    """
    parameters = {
        "tenant_id": tenant_id,
        "segment_id": str(segment),
        "members": members,
        "emailable": emailable,
        "read_at": read_at,
    }
    conn.execute(query("segments.record_size"), parameters)


def record_shopify_size(
    conn: Connection, tenant_id: UUID, segment_id: str, members: int, read_at: datetime
) -> None:
    """Record how many members a Shopify segment has now, as :func:`record_size`."""
    parameters = {"tenant_id": tenant_id, "key": segment_id}
    counted = one(conn.execute(query("segments.count_emailable"), parameters).fetchone())
    segment = SegmentId("shopify", segment_id)
    record_size(conn, tenant_id, segment, members, read_at, emailable=counted["emailable"])


def record_list_size(conn: Connection, tenant_id: UUID, list_id: str, read_at: datetime) -> None:
    """Record how many profiles a pulled list has now, as :func:`record_size`."""
    parameters = {"tenant_id": tenant_id, "list_id": list_id}
    counted = one(conn.execute(query("segments.count_list_members"), parameters).fetchone())
    record_size(conn, tenant_id, SegmentId("klaviyo", list_id), counted["members"], read_at)
