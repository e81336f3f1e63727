"""``/api/admin/segments/klaviyo``: pulled Klaviyo lists, which are segments too."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint

from service.api.access import state, tenant_id, transaction
from service.api.klaviyo_schemas import KlaviyoMembersPage, KlaviyoSegments
from service.api.paging import Keyset, SearchQuery, Text
from service.api.problems import NotFoundError
from service.core.db import Connection
from service.core.queries import query
from service.queue.schedules import read_schedule

blueprint = APIBlueprint("segments_klaviyo", __name__, tag="Segments")

PATH = "/api/admin/segments/klaviyo"
_BY_EMAIL = Keyset("klaviyo members", sort_email=Text, sort_profile_id=Text)


@blueprint.get(PATH)
@blueprint.output(KlaviyoSegments)
def list_klaviyo_segments() -> dict[str, Any]:
    """List the Klaviyo lists with a pull or bidirectional sync, sorted by name.

    Each is a segment with the key `klaviyo:<id>`, which you can sync to other lists.
    """
    with transaction() as conn:
        rows = _select(conn, None)
        parameters = {"tenant_id": tenant_id(), "list_ids": [row["id"] for row in rows]}
        counted = conn.execute(query("destinations.count_lists"), parameters).fetchall()
        schedule = read_schedule(conn, state().settings, tenant_id(), "klaviyo")
    sizes = {row["list_id"]: row for row in counted}
    return {
        "data": [
            {
                **row,
                "member_count": sizes.get(row["id"], {}).get("profiles"),
                "as_of": sizes.get(row["id"], {}).get("as_of"),
            }
            for row in rows
        ],
        "as_of": min((row["as_of"] for row in counted), default=None),
        "next_sync_at": schedule["next_at"],
        "schedule_state": schedule["state"],
    }


@blueprint.get(f"{PATH}/<list_id>/members")
@blueprint.input(SearchQuery, location="query", arg_name="page")
@blueprint.output(KlaviyoMembersPage)
def list_klaviyo_members(list_id: str, page: SearchQuery) -> dict[str, Any]:
    """List the profiles on a pulled list as of its last sync, sorted by e-mail address.

    `q` searches e-mail addresses. Profiles without an address come last.
    """
    with transaction() as conn:
        if "\0" in list_id or not _select(conn, list_id):
            raise NotFoundError("There is no pulled list with this id.")
        return _BY_EMAIL.read_page(
            conn,
            page,
            query("api.list_klaviyo_members"),
            tenant_id=tenant_id(),
            list_id=list_id,
            pattern=page.pattern,
        )


def _select(conn: Connection, list_id: str | None) -> list[dict[str, Any]]:
    parameters = {"tenant_id": tenant_id(), "list_id": list_id}
    return conn.execute(query("api.list_klaviyo_segments"), parameters).fetchall()
