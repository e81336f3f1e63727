"""The account's lists, to choose from: read live, with the last known size of each.

The size of a list that is synced is that of its last sync, as everywhere else. Klaviyo tells the
size of another list once a second and fifteen times a minute, syncs included. So these are stored,
and a page of lists reads only a few of the sizes that are missing or old.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from service.core.config import Settings
from service.core.db import Pool, tenant_transaction
from service.core.errors import InvalidInputError
from service.core.queries import query
from service.destinations.configs import (
    ConfigChange,
    NewConfig,
    change_config,
    create_config,
    find_config,
)
from service.klaviyo.account import read_list_name, read_list_names, read_list_size
from service.klaviyo.client import (
    KlaviyoClient,
    KlaviyoError,
    KlaviyoRefusedError,
    PagesDoNotAdvanceError,
    Resource,
)
from service.klaviyo.connection import open_connected_klaviyo

_LISTS = "/api/lists"
_LIST_ID = re.compile(r"[A-Za-z0-9]{1,64}")
# Sizes to read for a page, and in any minute, of the fifteen that Klaviyo allows.
_MOST_COUNTED = 3
_MOST_COUNTED_A_MINUTE = 10
# The longest wait for room in the account's limits while a person waits for the page.
_PATIENCE_SECONDS = 5.0


def read_lists(
    settings: Settings,
    pool: Pool,
    tenant_id: UUID,
    cursor: str | None,
    *,
    counts: bool,
    attempts: int,
) -> tuple[list[dict[str, Any]], str | None]:
    """A page of the account's lists, with sizes and the segments that feed each; the next cursor.

    ``counts`` reads a few sizes that are missing or old, one a second. ``attempts`` is how often a
    failing call is made at most.

    Raises:
        InvalidInputError: The cursor is not one of Klaviyo's.
        NotConnectedError: The tenant is not connected to Klaviyo.
        KlaviyoError: Klaviyo cannot be reached.
    """
    with open_connected_klaviyo(
        settings, pool, tenant_id, attempts=attempts, patience_seconds=_PATIENCE_SECONDS
    ) as client:
        parameters: dict[str, str | int] = {"fields[list]": "name,created,updated"}
        if cursor is not None:
            parameters["page[cursor]"] = cursor
        try:
            document = client.get(_LISTS, _LISTS, parameters)
        except KlaviyoError as error:
            if error.code == "invalid" and cursor is not None:
                raise InvalidInputError("Klaviyo has no such page of lists.") from None
            raise
        list_ids = [str(each["id"]) for each in document["data"]]
        ids: dict[str, Any] = {"tenant_id": tenant_id, "list_ids": list_ids}
        with tenant_transaction(pool, tenant_id, read_only=True) as conn:
            synced = conn.execute(query("destinations.count_lists"), ids).fetchall()
        sizes = {
            row["list_id"]: {"profile_count": row["profiles"], "counted_at": row["as_of"]}
            for row in synced
        }
        if counts:
            others = [list_id for list_id in list_ids if list_id not in sizes]
            _count(client, pool, tenant_id, ids | {"list_ids": others})
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        rows = conn.execute(query("klaviyo.list_known_lists"), ids).fetchall()
    known = {row["list_id"]: row | sizes.get(row["list_id"], {}) for row in rows}
    lists = [_describe(each, known.get(str(each["id"]), {})) for each in document["data"]]
    following = (document.get("links") or {}).get("next") or ""
    cursors = parse_qs(urlsplit(following).query).get("page[cursor]")
    if cursors and cursors[0] == cursor:
        raise PagesDoNotAdvanceError(_LISTS)
    return lists, cursors[0] if cursors else None


def create_list(settings: Settings, pool: Pool, tenant_id: UUID, name: str) -> dict[str, Any]:
    """Create a list in the account.

    Retried only after a refusal: if the answer was lost, a retry would create a second list.

    Raises:
        NotConnectedError: The tenant is not connected to Klaviyo.
        KlaviyoError: Klaviyo cannot be reached, or the key lacks the scope lists:write.
    """
    body = {"data": {"type": "list", "attributes": {"name": name}}}
    with open_connected_klaviyo(
        settings, pool, tenant_id, attempts=1, patience_seconds=_PATIENCE_SECONDS
    ) as client:
        try:
            document = client.post(_LISTS, _LISTS, body)
        except KlaviyoRefusedError:
            # It has created nothing, and one refusal may be a mistake.
            document = client.post(_LISTS, _LISTS, body)
    return _describe(document["data"], {"profile_count": 0})


def _count(client: KlaviyoClient, pool: Pool, tenant_id: UUID, ids: dict[str, Any]) -> None:
    """Read sizes that are missing or old, as far as there is room."""
    limits = {"most": _MOST_COUNTED, "most_a_minute": _MOST_COUNTED_A_MINUTE}
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        due = conn.execute(query("klaviyo.choose_lists_to_count"), ids | limits).fetchall()
    for row in due:
        try:
            size = read_list_size(client, row["list_id"])
        except KlaviyoError:
            # The page is shown without it; the next one tries again.
            return
        with tenant_transaction(pool, tenant_id) as conn:
            conn.execute(
                query("klaviyo.record_count"),
                {"tenant_id": tenant_id, "list_id": row["list_id"], "profile_count": size},
            )


def _describe(found: Resource, known: dict[str, Any]) -> dict[str, Any]:
    attributes = found["attributes"]
    return {
        "list_id": found["id"],
        "name": attributes["name"],
        "created_at": attributes.get("created"),
        "updated_at": attributes.get("updated"),
        "profile_count": known.get("profile_count"),
        "counted_at": known.get("counted_at"),
        "segment_keys": known.get("segment_keys") or [],
    }


# -- by id --------------------------------------------------------------------------------------


def map_list(
    settings: Settings, pool: Pool, tenant_id: UUID, segment_key: str, list_id: str
) -> str:
    """Sync a segment with a list, or resume that if it is paused; returns the list's name.

    Raises:
        InvalidInputError: There is no such list or segment; the advice names the lists.
        ConfigConflictError: The configuration conflicts with another one of the list.
        NotConnectedError: The tenant is not connected to Klaviyo.
        KlaviyoError: Klaviyo cannot be reached.
    """
    name = find_list_name(settings, pool, tenant_id, list_id)
    with tenant_transaction(pool, tenant_id) as conn:
        known = find_config(conn, tenant_id, segment_key, list_id)
        if known is None:
            create_config(conn, tenant_id, NewConfig(segment_key, list_id, name))
        else:
            change_config(conn, tenant_id, known, ConfigChange(is_paused=False))
    return name


def find_list_name(settings: Settings, pool: Pool, tenant_id: UUID, list_id: str) -> str:
    """The name of a list of the tenant's account.

    Raises:
        InvalidInputError: There is no such list; the advice names the lists.
        NotConnectedError: The tenant is not connected to Klaviyo.
        KlaviyoError: Klaviyo cannot be reached.
    """
    if not _LIST_ID.fullmatch(list_id):
        raise InvalidInputError(f"'{list_id}' is not the id of a Klaviyo list.", field="list_id")
    with open_connected_klaviyo(settings, pool, tenant_id) as client:
        name = read_list_name(client, list_id)
        if name is not None:
            return name
        known = ", ".join(f"{key} ({name})" for key, name in read_list_names(client).items())
    raise InvalidInputError(
        f"The Klaviyo account has no list '{list_id}'.",
        advice=f"Its lists: {known}",
        field="list_id",
    )
