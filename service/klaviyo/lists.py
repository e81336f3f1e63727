"""The account's lists, for choosing among them: read live, their sizes from what is remembered.

Klaviyo tells a list's size once a second and fifteen times a minute, for all who ask, syncs
included. So sizes are kept, a sync's own count of a list serves as well, and a page of lists asks
for a few that are missing or old.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from service.core.config import Settings
from service.core.db import Connection, Pool, tenant_transaction
from service.core.errors import InvalidInputError
from service.core.queries import query
from service.destinations.configs import (
    ConfigChange,
    Direction,
    NewConfig,
    change_config,
    create_config,
    find_config,
)
from service.klaviyo.account import read_list_name, read_list_names, read_list_size
from service.klaviyo.client import KlaviyoClient, KlaviyoError, Resource
from service.klaviyo.connection import open_connected_klaviyo

_LISTS = "/api/lists"
_LIST_ID = re.compile(r"[A-Za-z0-9]{1,64}")
_FIELDS = "name,created,updated"
# Sizes to ask for while somebody waits, and in any minute, of the fifteen there are.
_MOST_COUNTED = 3
_MOST_COUNTED_A_MINUTE = 10
# How long to wait for room in the account's limits while somebody waits for the answer.
_PATIENCE_SECONDS = 5.0


@dataclass(frozen=True)
class ListsPage:
    """Lists of the account with what is known of each, and where the next ones are."""

    lists: list[dict[str, Any]]
    next_cursor: str | None


def read_lists(
    settings: Settings,
    pool: Pool,
    tenant_id: UUID,
    cursor: str | None,
    *,
    counts: bool,
    attempts: int,
) -> ListsPage:
    """A page of the account's lists, with sizes as of some time and the segments that feed each.

    Args:
        settings: The service's settings.
        pool: The service's pool.
        tenant_id: Whose account.
        cursor: Klaviyo's own cursor; None for the first page.
        counts: Ask for a few sizes that are missing or old, too: one a second.
        attempts: How often Klaviyo is asked at most.

    Raises:
        InvalidInputError: The cursor is not one of Klaviyo's.
        NotConnectedError: The tenant is not connected to Klaviyo.
        KlaviyoError: Klaviyo cannot be asked.
    """
    with open_connected_klaviyo(
        settings, pool, tenant_id, attempts=attempts, patience_seconds=_PATIENCE_SECONDS
    ) as client:
        parameters: dict[str, str | int] = {"fields[list]": _FIELDS}
        if cursor is not None:
            parameters["page[cursor]"] = cursor
        try:
            document = client.get(_LISTS, _LISTS, parameters)
        except KlaviyoError as error:
            if error.code == "invalid" and cursor is not None:
                raise InvalidInputError("Klaviyo does not know this cursor.") from None
            raise
        ids = [str(found["id"]) for found in document["data"]]
        if counts:
            _count(client, pool, tenant_id, ids)
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        known = {row["list_id"]: row for row in _known(conn, tenant_id, ids)}
    lists = [_described(found, known.get(str(found["id"]), {})) for found in document["data"]]
    return ListsPage(lists, _next_cursor(document))


def create_list(settings: Settings, pool: Pool, tenant_id: UUID, name: str) -> dict[str, Any]:
    """Make a list in the account.

    Asked once only: should the answer be lost, asking again would make a second one.

    Raises:
        NotConnectedError: The tenant is not connected to Klaviyo.
        KlaviyoError: Klaviyo cannot be asked, or the key lacks the scope lists:write.
    """
    body = {"data": {"type": "list", "attributes": {"name": name}}}
    with open_connected_klaviyo(
        settings, pool, tenant_id, attempts=1, patience_seconds=_PATIENCE_SECONDS
    ) as client:
        document = client.post(_LISTS, _LISTS, body)
    return _described(document["data"], {"profile_count": 0})


def _count(client: KlaviyoClient, pool: Pool, tenant_id: UUID, ids: list[str]) -> None:
    """Ask for the sizes that are missing or old, as far as there is room."""
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        due = conn.execute(
            query("klaviyo.choose_lists_to_count"),
            {
                "tenant_id": tenant_id,
                "list_ids": ids,
                "most": _MOST_COUNTED,
                "most_a_minute": _MOST_COUNTED_A_MINUTE,
            },
        ).fetchall()
    for row in due:
        try:
            size = read_list_size(client, row["list_id"])
        except KlaviyoError:
            # The lists are there without it; the next look asks again.
            return
        with tenant_transaction(pool, tenant_id) as conn:
            conn.execute(
                query("klaviyo.record_count"),
                {"tenant_id": tenant_id, "list_id": row["list_id"], "profile_count": size},
            )


def _known(conn: Connection, tenant_id: UUID, ids: list[str]) -> list[dict[str, Any]]:
    return conn.execute(
        query("klaviyo.list_known_lists"), {"tenant_id": tenant_id, "list_ids": ids}
    ).fetchall()


def _described(found: Resource, known: dict[str, Any]) -> dict[str, Any]:
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


def _next_cursor(document: dict[str, Any]) -> str | None:
    following = (document.get("links") or {}).get("next")
    if not following:
        return None
    cursors = parse_qs(urlsplit(following).query).get("page[cursor]")
    return cursors[0] if cursors else None


# -- by id ---------------------------------------------------------------------------------------


def map_list(
    settings: Settings,
    pool: Pool,
    tenant_id: UUID,
    segment_key: str,
    list_id: str,
    direction: Direction = "push",
) -> str:
    """As :func:`create_config`, for a list that is looked up in Klaviyo; returns its name.

    A configuration that is there already goes on if it was paused.

    Raises:
        InvalidInputError: There is no such list or segment; the advice names the lists.
        ConfigConflictError: Another configuration of the list would fight with it; the reason.
        NotConnectedError: The tenant is not connected to Klaviyo.
        KlaviyoError: Klaviyo cannot be asked.
    """
    name = find_list_name(settings, pool, tenant_id, list_id)
    with tenant_transaction(pool, tenant_id) as conn:
        known = find_config(conn, tenant_id, segment_key, list_id)
        if known is None:
            create_config(conn, tenant_id, NewConfig(segment_key, list_id, name, direction))
        else:
            change_config(conn, tenant_id, known, ConfigChange(is_paused=False))
    return name


def find_list_name(settings: Settings, pool: Pool, tenant_id: UUID, list_id: str) -> str:
    """The name of a list of the tenant's Klaviyo account.

    Raises:
        InvalidInputError: There is no such list; the advice names those there are.
        NotConnectedError: The tenant is not connected to Klaviyo.
        KlaviyoError: Klaviyo cannot be asked.
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


def list_size(settings: Settings, pool: Pool, tenant_id: UUID, list_id: str) -> int:
    """How many profiles a list has over there.

    Raises:
        NotConnectedError: The tenant is not connected to Klaviyo.
        KlaviyoError: Klaviyo cannot be asked, or has no such list.
    """
    with open_connected_klaviyo(settings, pool, tenant_id) as client:
        return read_list_size(client, list_id)
