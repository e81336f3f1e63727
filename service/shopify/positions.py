"""How far a shop's index of changes has been read.

Shopify lists records in the order in which its index has them. A record may be newer than its place
there: it has just changed, or is dated in the future. So while pages are read, the position is
Shopify's cursor. The watermark moves when the last page has been read, and only as far as the
oldest of the last few records, which the index surely has reached.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from service.core.db import Connection, tenant_transaction
from service.core.queries import query
from service.shopify.loading import advance_watermark, watermark_parameters
from service.shopify.paging import Page
from service.shopify.parse import times_of
from service.shopify.source import Source

# Of this many records at the end of the index, one at least is taken to be dated as it is listed.
_LAST_RECORDS = 10


@dataclass(frozen=True)
class Position:
    """A place in the index.

    ``search`` is what is being paged, ``began_at`` when that began by the database's clock,
    ``cursor`` the last page's end, and ``latest`` when the last records before it had changed.
    """

    search: str | None
    began_at: datetime
    cursor: str | None = None
    latest: tuple[datetime, ...] = ()

    def behind(self, page: Page) -> Position:
        """The position behind a page."""
        times = times_of([*page.nodes, *page.listed])
        latest = (*self.latest, *times)[-_LAST_RECORDS:]
        return replace(self, cursor=page.cursor or self.cursor, latest=latest)

    def watermark(self) -> datetime | None:
        """Up to when everything was read, if this is the end; None if nothing was.

        A record that changed before an interruption may have been listed after it, so the time at
        which the reading began is the limit.
        """
        return min(*self.latest, self.began_at) if self.latest else None


def find_position(source: Source, resource: str) -> Position | None:
    """Where an earlier sync stopped; None if it had read all."""
    parameters = watermark_parameters(source.tenant_id, resource, source.client.scopes)
    with tenant_transaction(source.pool, source.tenant_id, read_only=True) as conn:
        found = conn.execute(query("shopify.find_position"), parameters).fetchone()
    return None if found is None else Position(**{**found, "latest": tuple(found["latest"])})


def delete_position(source: Source, resource: str) -> None:
    """Delete the position, to read from the watermark again."""
    source.execute(query("shopify.delete_position"), resource=resource)


def advance(
    conn: Connection,
    tenant_id: UUID,
    resource: str,
    position: Position,
    *,
    is_end: bool,
    scopes: Collection[str],
    is_complete: bool,
) -> None:
    """Record a position, in the transaction that loads its page; at the end, the watermark.

    ``scopes`` are those that the records were read with. ``is_complete`` says whether they were
    read with all fields that these allow.
    """
    parameters = watermark_parameters(tenant_id, resource, scopes)
    if is_end or not is_complete:
        watermark = position.watermark() if is_end else None
        advance_watermark(
            conn, tenant_id, resource, watermark, scopes=scopes, is_complete=is_complete
        )
    if is_end:
        conn.execute(query("shopify.delete_position"), parameters)
    elif position.cursor is not None:
        conn.execute(
            query("shopify.save_position"),
            {
                **parameters,
                "search": position.search,
                "cursor": position.cursor,
                "latest": list(position.latest),
                "began_at": position.began_at,
            },
        )
