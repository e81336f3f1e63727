"""Look up segments of every source by their ids."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from service.core.db import Connection
from service.core.queries import query
from service.segments.ids import SegmentId
from service.tenants.segment_rules import read_labels


@dataclass(frozen=True)
class FoundSegment:
    """A segment.

    Attributes:
        name: Its name.
        is_deleted: It existed, and the store or the account no longer has it, or the list is pulled
            no longer.
        is_listed: It is among the segments: a list that is pulled no longer is not.
    """

    name: str
    is_deleted: bool = False
    is_listed: bool = True


def find_segment(conn: Connection, tenant_id: UUID, segment: SegmentId) -> FoundSegment | None:
    """The segment with this id; None if the tenant never had it.

    An RFM segment exists by the saved rule, also before the next build. A list is a segment while
    it is pulled.
    """
    if segment.source == "rfm":
        label = read_labels(conn, tenant_id).get(segment.key)
        return None if label is None else FoundSegment(label)
    parameters = {"tenant_id": tenant_id, "source": segment.source, "key": segment.key}
    statement = query("segments.find_segment")
    row = conn.execute(statement, parameters, prepare=True).fetchone()
    return None if row is None else FoundSegment(**row)
