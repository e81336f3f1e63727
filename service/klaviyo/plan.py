"""The three-way plan: base (the ledger), local (the segment now), remote (the list now).

It is a result in the database, ``pg_temp.klaviyo_plan``: showing it and carrying it out read the
same rows. The comparison is ``sql/fill_plan.sql``; nothing is compared in Python.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from uuid import UUID

import psycopg

from service.db import Connection, query
from service.errors import QuintileError
from service.spool import Row

ACTIONS = ("add", "remove", "confirm", "forget", "skip", "wait")


class MartsMissingError(QuintileError):
    """Segments have not been computed in this database yet."""

    advice = "Run: quintile build"


class SegmentGoneError(QuintileError):
    """The segment that feeds the list no longer exists in Shopify."""


def plan(
    conn: Connection,
    tenant_id: UUID,
    config: Mapping[str, object],
    remote: Iterable[Row],
) -> dict[str, int]:
    """Make the plan of one configuration, in the caller's transaction.

    Args:
        conn: A transaction of the tenant.
        tenant_id: Whose list.
        config: The configuration's ``config_id`` and ``segment_key``.
        remote: The list's profiles now: address, profile id.

    Returns:
        How many addresses each action of ``sql/fill_plan.sql`` befalls, and as ``unaddressable``
        how many members of the segment cannot be written to.

    Raises:
        MartsMissingError: dbt has not built the marts yet.
        SegmentGoneError: The Shopify segment is not there (any more).
    """
    parameters = {"tenant_id": tenant_id, **config}
    for name in ("create_members", "create_local", "create_remote", "create_plan"):
        conn.execute(query(f"klaviyo/sql/{name}"))
    with conn.cursor().copy(query("klaviyo/sql/copy_remote")) as copy:
        for profile in remote:
            copy.write_row(profile)
    try:
        _fill_members(conn, parameters)
        conn.execute(query("klaviyo/sql/fill_local"), parameters)
    except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege):
        # The first build makes the marts, and grants their schema to the service.
        raise MartsMissingError from None
    conn.execute(query("klaviyo/sql/fill_plan"), parameters)
    counts = {
        row["action"]: int(row["addresses"])
        for row in conn.execute(query("klaviyo/sql/count_plan")).fetchall()
    }
    return {name: counts.get(name, 0) for name in (*ACTIONS, "unaddressable")}


def settle(conn: Connection, tenant_id: UUID, config_id: object) -> None:
    """Carry out what of the plan concerns the ledger alone, in the plan's transaction.

    Addresses found on the list are confirmed and their profile ids learned; those that are neither
    in the segment nor on the list are forgotten.
    """
    parameters = {"tenant_id": tenant_id, "config_id": config_id}
    conn.execute(query("klaviyo/sql/confirm_found"), parameters)
    conn.execute(query("klaviyo/sql/forget_gone"), parameters)


def _fill_members(conn: Connection, parameters: Mapping[str, object]) -> None:
    kind, _, name = str(parameters["segment_key"]).partition(":")
    if kind == "rfm":
        conn.execute(query("klaviyo/sql/fill_members_rfm"), {**parameters, "segment": name})
        return
    named = {**parameters, "segment_id": name}
    row = conn.execute(query("klaviyo/sql/find_shopify_segment"), named).fetchone()
    if row is None or row["is_gone"]:
        raise SegmentGoneError
    conn.execute(query("klaviyo/sql/fill_members_shopify"), named)
