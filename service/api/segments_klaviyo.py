"""``/api/admin/segments/klaviyo``: pulled Klaviyo lists, which are segments too."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apiflask import APIBlueprint

from service.api.access import state, tenant_id, transaction
from service.api.klaviyo_schemas import KlaviyoMembersPage, KlaviyoSegmentsPage
from service.api.paging import ONE_ROW, Keyset, PageQuery, SearchQuery, Text
from service.api.problems import NotFoundError
from service.core.db import Connection
from service.core.queries import query
from service.queue.schedules import read_schedule

blueprint = APIBlueprint("segments_klaviyo", __name__, tag="Segments")

PATH = "/api/admin/segments/klaviyo"
_BY_NAME = Keyset("klaviyo segments", sort_name=Text, id=Text)
_BY_EMAIL = Keyset("klaviyo members", sort_email=Text, sort_profile_id=Text)


def read_klaviyo_segments(conn: Connection, tenant: UUID, page: PageQuery) -> dict[str, Any]:
    """A page of the pulled lists, as :class:`KlaviyoSegmentsPage`.

    Raises:
        BadCursorError: The cursor is not one of this list.
    """
    listed = _select(conn, page, None)
    rows = listed["data"]
    parameters = {"tenant_id": tenant, "list_ids": [row["id"] for row in rows]}
    counted = conn.execute(query("destinations.count_lists"), parameters).fetchall()
    schedule = read_schedule(conn, state().settings, tenant, "klaviyo")
    next_at = schedule["next_at"]
    sizes = {row["list_id"]: row for row in counted}
    return {
        **listed,
        "data": [
            {
                **row,
                "next_sync_at": next_at if row["is_scheduled"] else None,
                "member_count": sizes.get(row["id"], {}).get("profiles"),
                "as_of": sizes.get(row["id"], {}).get("as_of"),
            }
            for row in rows
        ],
        "as_of": min((row["as_of"] for row in counted), default=None),
        "next_sync_at": next_at if any(row["is_scheduled"] for row in rows) else None,
        "schedule_state": schedule["state"],
    }


@blueprint.get(PATH)
@blueprint.input(PageQuery, location="query", arg_name="page")
@blueprint.output(KlaviyoSegmentsPage)
def list_klaviyo_segments(page: PageQuery) -> dict[str, Any]:
    """List the Klaviyo lists with a pull or bidirectional sync, sorted by name.

    Each is a segment with the key `klaviyo:<id>`, which you can sync to other lists.
    """
    with transaction() as conn:
        return read_klaviyo_segments(conn, tenant_id(), page)


@blueprint.get(f"{PATH}/<list_id>/members")
@blueprint.input(SearchQuery, location="query", arg_name="page")
@blueprint.output(KlaviyoMembersPage)
def list_klaviyo_members(list_id: str, page: SearchQuery) -> dict[str, Any]:
    """List the profiles on a pulled list as of its last sync, sorted by e-mail address.

    `q` searches e-mail addresses. Profiles without an address come last.
    """
    with transaction() as conn:
        if not _select(conn, ONE_ROW, list_id)["data"]:
            raise NotFoundError("There is no pulled list with this id.")
        return _BY_EMAIL.read_page(
            conn,
            page,
            query("api.list_klaviyo_members"),
            tenant_id=tenant_id(),
            list_id=list_id,
            pattern=page.pattern,
        )


def _select(conn: Connection, page: PageQuery, list_id: str | None) -> dict[str, Any]:
    statement = query("api.list_klaviyo_segments")
    return _BY_NAME.read_page(conn, page, statement, tenant_id=tenant_id(), list_id=list_id)
