"""Which segment feeds which list."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import cache
from typing import cast
from uuid import UUID

from service.config import PROJECT_DIR, Settings
from service.connections import credential
from service.db import Connection, Pool, one, query, tenant_transaction
from service.errors import InvalidInputError
from service.klaviyo.account import read_list_name, read_list_names, read_list_size
from service.klaviyo.client import open_klaviyo

_LIST_ID = re.compile(r"[A-Za-z0-9]{1,64}")


@dataclass(frozen=True)
class PausedList:
    """A configuration that a sync has paused, and why."""

    segment_key: str
    list_id: str
    list_name: str
    paused_reason: str

    def message(self) -> str:
        """What has happened, in a sentence or two."""
        return (
            f"list '{self.list_name}', fed by {self.segment_key}, is paused. {self.paused_reason}"
        )

    def advice(self, tenant: str) -> str:
        """The commands by which an operator ends it."""
        return (
            "Map another list or segment, or this one again once it is back: "
            f"quintile tenants map-list {tenant} --segment KEY --list ID. To give it up: "
            f"quintile tenants unmap-list {tenant} --segment {self.segment_key} "
            f"--list {self.list_id}"
        )


def create_config(
    conn: Connection,
    tenant_id: UUID,
    segment_key: str,
    list_id: str,
    list_name: str,
    *,
    direction: str = "push",
) -> UUID:
    """Keep a list in step with a segment; asked again, it goes on if it was paused.

    Args:
        conn: A transaction of the tenant.
        tenant_id: Whose list.
        segment_key: ``rfm:<segment>`` or ``shopify:<segment id>``.
        list_id: Klaviyo's id of the list.
        list_name: What the list is called there.
        direction: ``push``; the others are not offered yet.

    Raises:
        InvalidInputError: There is no such segment, or the direction is not ``push``.
    """
    if direction != "push":
        raise InvalidInputError(
            f"Direction '{direction}' is not available: only push, from segment to list, is."
        )
    _check_segment(conn, tenant_id, segment_key)
    parameters = {
        "tenant_id": tenant_id,
        "segment_key": segment_key,
        "list_id": list_id,
        "list_name": list_name,
        "direction": direction,
    }
    row = one(conn.execute(query("klaviyo/sql/create_config"), parameters).fetchone())
    return cast("UUID", row["config_id"])


def map_list(
    settings: Settings, pool: Pool, tenant_id: UUID, segment_key: str, list_id: str
) -> str:
    """As :func:`create_config`, for a list that is looked up in Klaviyo; returns its name.

    Raises:
        InvalidInputError: There is no such list or segment; the advice names the lists.
        NotConnectedError: The tenant is not connected to Klaviyo.
        KlaviyoError: Klaviyo cannot be asked.
    """
    if not _LIST_ID.fullmatch(list_id):
        raise InvalidInputError(f"'{list_id}' is not the id of a Klaviyo list.")
    with open_klaviyo(settings, _api_key(settings, pool, tenant_id)) as client:
        name = read_list_name(client, list_id)
        if name is None:
            known = ", ".join(f"{key} ({name})" for key, name in read_list_names(client).items())
            raise InvalidInputError(
                f"The Klaviyo account has no list '{list_id}'.", advice=f"Its lists: {known}"
            )
    with tenant_transaction(pool, tenant_id) as conn:
        create_config(conn, tenant_id, segment_key, list_id, name)
    return name


def unmap_list(conn: Connection, tenant_id: UUID, segment_key: str, list_id: str) -> str:
    """Let a segment feed a list no longer, and forget what it held; returns the list's name.

    Who is on the list stays on it.

    Args:
        conn: A transaction of the tenant.
        tenant_id: Whose list.
        segment_key: ``rfm:<segment>`` or ``shopify:<segment id>``.
        list_id: Klaviyo's id of the list.

    Raises:
        InvalidInputError: The segment does not feed the list.
    """
    row = conn.execute(
        query("klaviyo/sql/delete_config"),
        {"tenant_id": tenant_id, "segment_key": segment_key, "list_id": list_id},
    ).fetchone()
    if row is None:
        raise InvalidInputError(f"Segment '{segment_key}' feeds no list '{list_id}'.")
    return cast("str", row["list_name"])


def paused_lists(conn: Connection, tenant_id: UUID) -> list[PausedList]:
    """The tenant's configurations that are not synced until a person has seen to them."""
    rows = conn.execute(query("klaviyo/sql/list_paused"), {"tenant_id": tenant_id}).fetchall()
    return [PausedList(**row) for row in rows]


def list_size(settings: Settings, pool: Pool, tenant_id: UUID, list_id: str) -> int:
    """How many profiles a list has over there.

    Raises:
        NotConnectedError: The tenant is not connected to Klaviyo.
        KlaviyoError: Klaviyo cannot be asked, or has no such list.
    """
    with open_klaviyo(settings, _api_key(settings, pool, tenant_id)) as client:
        return read_list_size(client, list_id)


def _api_key(settings: Settings, pool: Pool, tenant_id: UUID) -> str:
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        return credential(settings, conn, tenant_id, "klaviyo")


def _check_segment(conn: Connection, tenant_id: UUID, segment_key: str) -> None:
    kind, _, name = segment_key.partition(":")
    if kind == "rfm" and name in _rfm_segments():
        return
    if kind == "shopify":
        row = conn.execute(
            query("klaviyo/sql/find_shopify_segment"), {"tenant_id": tenant_id, "segment_id": name}
        ).fetchone()
        if row is not None and not row["is_gone"]:
            return
        raise InvalidInputError(
            f"The shop has no segment '{name}'.",
            advice="Sync the shop first: quintile sync shopify",
        )
    raise InvalidInputError(
        f"'{segment_key}' is not a segment.",
        advice="It is shopify:<segment id> or one of: "
        + ", ".join(f"rfm:{segment}" for segment in _rfm_segments()),
    )


@cache
def _rfm_segments() -> tuple[str, ...]:
    """The RFM segments there are, from the seed that dbt reads too."""
    path = PROJECT_DIR / "seeds" / "rfm_segments.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(row["segment"] for row in csv.DictReader(file))
