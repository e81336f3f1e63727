"""What people see of synced lists: the sizes of segment and list, and whether the segment changed.

Each size has one source, which every page, command and endpoint reads: an RFM segment's is the mart
of the last build, a Shopify segment's the last sync, a list's ``app.klaviyo_members``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg

from service.core.db import Connection
from service.core.queries import query
from service.tenants.segment_rules import read_labels


@dataclass(frozen=True)
class Segment:
    """A segment now. ``members`` and ``as_of`` are None before its first build or sync.

    ``members_key`` identifies the members' e-mail addresses.
    """

    name: str
    members: int | None = None
    members_key: Decimal | None = None
    as_of: datetime | None = None


def describe_segments(conn: Connection, tenant_id: UUID, keys: Iterable[str]) -> dict[str, Segment]:
    """The segments with these keys that exist, by key."""
    labels = read_labels(conn, tenant_id)
    parameters = {
        "tenant_id": tenant_id,
        "segment_keys": sorted(set(keys)),
        "rfm_segments": list(labels),
        "rfm_labels": list(labels.values()),
    }
    found = {f"rfm:{name}": Segment(label) for name, label in labels.items()}
    rows = conn.execute(query("destinations.describe_other_segments"), parameters).fetchall()
    try:
        with conn.transaction():
            rows += conn.execute(query("destinations.describe_rfm_segments"), parameters).fetchall()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege):
        # The first build makes the marts, and grants their schema to the service.
        pass
    for row in rows:
        is_known = row["as_of"] is not None
        found[row["segment_key"]] = Segment(
            row["segment_name"],
            row["members"] if is_known else None,
            row["members_key"] if is_known else None,
            row["as_of"],
        )
    return found


def describe_configs(
    conn: Connection, tenant_id: UUID, rows: Iterable[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Configurations (rows of the statement ``list_configs``) with the sizes of segment and list.

    Adds ``segment_name`` (None if there is no such segment any more), ``segment_members``,
    ``segment_as_of``, ``list_members``, ``list_as_of``, and ``has_segment_changed`` since the last
    plan: None if that is unknown, False for a pull, which plans nothing.
    """
    configs = list(rows)
    segments = describe_segments(conn, tenant_id, (row["segment_key"] for row in configs))
    parameters = {"tenant_id": tenant_id, "list_ids": [row["list_id"] for row in configs]}
    counted = conn.execute(query("destinations.count_lists"), parameters).fetchall()
    lists = {row["list_id"]: row for row in counted}
    return [
        _describe(row, segments.get(row["segment_key"]), lists.get(row["list_id"], {}))
        for row in configs
    ]


def _describe(
    row: dict[str, Any], segment: Segment | None, counted: dict[str, Any]
) -> dict[str, Any]:
    planned_key = row["planned_key"]
    has_changed: bool | None = None
    if row["direction"] == "pull":
        has_changed = False
    elif planned_key is not None and segment is not None and segment.members_key is not None:
        has_changed = segment.members_key != planned_key
    return {
        **{name: value for name, value in row.items() if name != "planned_key"},
        "segment_name": segment and segment.name,
        "segment_members": segment and segment.members,
        "segment_as_of": segment and segment.as_of,
        "list_members": counted.get("profiles"),
        "list_as_of": counted.get("as_of"),
        "has_segment_changed": has_changed,
    }
