"""``/api/admin/segments/klaviyo``: lists of Klaviyo that are read here, which are segments too."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint

from service.api.access import state, tenant_id, transaction
from service.api.klaviyo_schemas import KlaviyoMembersPage, KlaviyoSegments
from service.api.paging import KLAVIYO_MEMBERS, SearchQuery, decode_cursor, split_page
from service.api.problems import NotFoundError
from service.core.db import Connection
from service.core.queries import query
from service.queue.schedules import next_at

blueprint = APIBlueprint("segments_klaviyo", __name__, tag="Segments")

PATH = "/api/admin/segments/klaviyo"


@blueprint.get(PATH)
@blueprint.output(KlaviyoSegments)
def list_klaviyo_segments() -> dict[str, Any]:
    """Lists of Klaviyo that are pulled or kept in step both ways, by name.

    Each is a segment with the key `klaviyo:<id>`, which may feed other lists.
    """
    with transaction() as conn:
        rows = _select(conn, None)
        next_sync_at = next_at(conn, state().settings, tenant_id(), "klaviyo")
    return {
        "data": rows,
        "as_of": min((row["synced_at"] for row in rows if row["synced_at"]), default=None),
        "next_sync_at": next_sync_at,
    }


@blueprint.get(f"{PATH}/<list_id>/members")
@blueprint.input(SearchQuery, location="query", arg_name="page")
@blueprint.output(KlaviyoMembersPage)
def list_klaviyo_members(list_id: str, page: SearchQuery) -> dict[str, Any]:
    """Who is on a list that is read here, by address, as of its last sync.

    `q` finds addresses that contain the text. A profile without an address comes last.
    """
    after = decode_cursor(KLAVIYO_MEMBERS, page.cursor)
    with transaction() as conn:
        if "\0" in list_id or not _select(conn, list_id):
            raise NotFoundError("No list of this id is read here.")
        rows = conn.execute(
            query("api.list_klaviyo_members"),
            {
                "tenant_id": tenant_id(),
                "list_id": list_id,
                "pattern": page.pattern,
                "after_email": after[1] if after else None,
                "after_id": after[2] if after else None,
                "row_limit": page.limit + 1,
            },
        ).fetchall()
    data, next_cursor = split_page(rows, page.limit, "klaviyo members", "sort_email", "profile_id")
    return {"data": data, "next_cursor": next_cursor}


def _select(conn: Connection, list_id: str | None) -> list[dict[str, Any]]:
    return conn.execute(
        query("api.list_klaviyo_segments"), {"tenant_id": tenant_id(), "list_id": list_id}
    ).fetchall()
