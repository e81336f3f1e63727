"""The three-way plan: base (the ledger), local (the segment now), remote (the list as last read).

The plan is a table, ``pg_temp.sync_plan``: a dry run shows it, a sync applies and carries it out,
from the same rows. ``sql/fill_plan.sql`` compares; nothing is compared in Python.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

import psycopg

from service.core.config import Settings
from service.core.db import Connection, one
from service.core.errors import QuintileError
from service.core.queries import query
from service.segments.find import find_segment
from service.segments.ids import parse_segment_id

ACTIONS = ("add", "remove", "update", "skip")
_SEGMENT_DELETED = {
    "rfm": "The RFM segment no longer exists.",
    "shopify": "The segment that feeds the list no longer exists in Shopify.",
    "klaviyo": "The list that feeds this one is no longer pulled, or was deleted.",
}
_FILL_MEMBERS = {
    "rfm": query("destinations.fill_members_rfm"),
    "shopify": query("destinations.fill_members_shopify"),
    "klaviyo": query("destinations.fill_members_klaviyo"),
}


class MartsMissingError(QuintileError):
    """Segments have not been computed in this database yet."""

    advice = "Recalculate under Segments, or run: quintile build"


class SegmentDeletedError(QuintileError):
    """The segment that feeds the list no longer exists."""


@dataclass(frozen=True)
class Stop:
    """Why a plan needs a person's approval before it is carried out."""

    reason: str
    message: str
    advice: str
    removals: int | None = None


@dataclass(frozen=True)
class Plan:
    """How many addresses each action concerns, with examples, and why it stops if it does.

    ``members`` is how many members of the segment get e-mail.
    """

    counts: Mapping[str, int]
    skips: Mapping[str, int]
    examples: Mapping[str, list[dict[str, Any]]]
    members: int
    segment_name: str
    stop: Stop | None

    def describe(self) -> dict[str, Any]:
        """The plan as the API, the UI and the CLI show it."""
        described: dict[str, Any] = {
            action: {"count": self.counts[action], "examples": self.examples.get(action, [])}
            for action in ACTIONS
        }
        described["skip"]["reasons"] = dict(self.skips)
        described["stop"] = None
        if self.stop is not None:
            stop = asdict(self.stop)
            described["stop"] = {"for": stop.pop("reason"), **stop}
            if self.stop.removals is None:
                del described["stop"]["removals"]
        return described


def plan(
    conn: Connection,
    settings: Settings,
    tenant_id: UUID,
    config: Mapping[str, Any],
    live_flows: list[str],
) -> Plan:
    """Make the plan of one configuration, in a transaction in which the list has been loaded.

    ``config`` is a row of the statement ``list_sync_runs``, ``live_flows`` are names of flows that
    the sync must not start.

    Raises:
        MartsMissingError: dbt has not built the marts yet.
        SegmentDeletedError: The segment does not exist, or not any more.
    """
    parameters = {"tenant_id": tenant_id, **config}
    create_members(conn)
    conn.execute(query("destinations.create_plan"))
    try:
        segment_name = _fill_segment(conn, tenant_id, config["config_id"], config["segment_key"])
        parameters["inactive"] = _fill_other_segments(conn, parameters)
        conn.execute(query("destinations.classify_members"), parameters)
        conn.execute(query("destinations.index_members"))
        conn.execute("analyze pg_temp.sync_members")
        conn.execute(query("destinations.fill_properties"), parameters)
    except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege):
        # The first build makes the marts, and grants their schema to the service.
        raise MartsMissingError from None
    conn.execute("analyze pg_temp.sync_properties")
    conn.execute(query("destinations.fill_plan"), parameters)
    counts: Counter[str] = Counter()
    skips: Counter[str] = Counter()
    examples: dict[str, list[dict[str, Any]]] = {}
    for row in conn.execute(query("destinations.count_plan"), parameters).fetchall():
        counts[row["action"]] += row["addresses"]
        if row["reason"] is not None:
            skips[row["reason"]] += row["addresses"]
        examples.setdefault(row["action"], []).extend(row["examples"])
    members = one(conn.execute(query("destinations.count_members"), parameters).fetchone())
    return Plan(
        counts=counts,
        skips=skips,
        examples=examples,
        members=members["members"],
        segment_name=segment_name,
        stop=_find_stop(conn, settings, parameters, counts, live_flows),
    )


def create_members(conn: Connection) -> None:
    """Create the temporary tables of a segment, its members and their properties."""
    conn.execute(query("destinations.create_segment"))
    conn.execute(query("destinations.create_members"))
    conn.execute(query("destinations.create_properties"))


def apply_plan(conn: Connection, tenant_id: UUID, config_id: UUID, made: Plan) -> None:
    """Apply the plan to the ledger, and record events about who entered or left the segment."""
    parameters = {
        "tenant_id": tenant_id,
        "config_id": config_id,
        "segment_name": made.segment_name,
    }
    conn.execute(query("destinations.apply_events"), parameters)
    conn.execute(query("destinations.delete_from_ledger"), parameters)
    conn.execute(query("destinations.apply_to_ledger"), parameters)


def _fill_segment(conn: Connection, tenant_id: UUID, config_id: UUID, segment_key: str) -> str:
    """Fill in a segment's members; returns its name."""
    segment = parse_segment_id(segment_key)
    found = find_segment(conn, tenant_id, segment)
    if found is None or found.is_deleted:
        raise SegmentDeletedError(_SEGMENT_DELETED[segment.source])
    parameters = {"tenant_id": tenant_id, "config_id": config_id, "segment": segment.key}
    conn.execute(_FILL_MEMBERS[segment.source], parameters)
    return found.name


def _fill_other_segments(conn: Connection, parameters: Mapping[str, Any]) -> list[UUID]:
    """Fill in the members of the list's other segments; returns the inactive configurations."""
    inactive = []
    rows = conn.execute(query("destinations.list_other_configs"), parameters).fetchall()
    for row in rows:
        if not row["is_paused"]:
            try:
                _fill_segment(conn, parameters["tenant_id"], row["config_id"], row["segment_key"])
            except SegmentDeletedError:
                pass
            else:
                continue
        inactive.append(row["config_id"])
    return inactive


# -- guards -------------------------------------------------------------------------------------


def _find_stop(
    conn: Connection,
    settings: Settings,
    parameters: Mapping[str, Any],
    counts: Mapping[str, int],
    live_flows: list[str],
) -> Stop | None:
    if counts["remove"] and (stop := _too_many_removals(conn, settings, parameters)):
        return stop
    if counts["add"] and live_flows:
        flows = ", ".join(f"'{name}'" for name in live_flows)
        return Stop(
            "flows",
            f"This first sync would add {counts['add']:,} people to the list and trigger {flows}"
            " for all of them.",
            "If all of them should get it, switch on “Trigger flows on the first sync”. If not,"
            " make the flow a draft, sync, and make it live again.",
        )
    return None


def _too_many_removals(
    conn: Connection, settings: Settings, parameters: Mapping[str, Any]
) -> Stop | None:
    found = one(conn.execute(query("destinations.count_list_removals"), parameters).fetchone())
    profiles, removals = found["profiles"], found["removals"]
    if profiles <= settings.klaviyo_removal_from:
        return None
    if removals * 100 <= profiles * settings.klaviyo_removal_share:
        return None
    if removals <= (parameters["confirmed_removals"] or 0):
        return None
    return Stop(
        "removals",
        f"This sync would remove {removals:,} of {profiles:,} profiles from the list, more than"
        f" {settings.klaviyo_removal_share} %.",
        "If the segment is right, approve the removals. If not, fix the segment: the next sync"
        " checks again.",
        removals,
    )
