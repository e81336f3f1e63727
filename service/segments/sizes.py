"""The size of Shopify segments and pulled lists by day. RFM segments have it in marts."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from service.core.db import Connection
from service.core.queries import query
from service.segments.ids import SegmentId


def record_size(
    conn: Connection, tenant_id: UUID, segment: SegmentId, members: int, at: datetime
) -> None:
    """Record a segment's size on the day of ``at`` in the tenant's time zone, over an earlier one.

    Args:
        conn: The tenant's transaction.
        tenant_id: The tenant.
        segment: The segment.
        members: Its members now.
        at: When it was synced.
    """
    parameters = {"tenant_id": tenant_id, "segment_id": str(segment), "members": members, "at": at}
    conn.execute(query("segments.record_size"), parameters)


def record_list_size(conn: Connection, tenant_id: UUID, list_id: str) -> None:
    """Record how many profiles a pulled list has now, as :func:`record_size`."""
    parameters = {"tenant_id": tenant_id, "list_id": list_id}
    conn.execute(query("segments.record_list_size"), parameters)
