"""What each run is to do about each configuration, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from psycopg.types.json import Jsonb

from service.core.db import Connection, one
from service.core.queries import query
from service.notifications.outbox import announce

RowState = Literal["succeeded", "failed", "stopped", "paused"]


@dataclass(frozen=True)
class Outcome:
    """How a configuration's turn ended.

    ``plan`` is as :func:`service.klaviyo.plan.describe` gives it; ``errors`` are how often each of
    Klaviyo's error codes came, beside those of single addresses, which the ledger has.
    """

    state: RowState = "succeeded"
    stopped_for: str | None = None
    error: str | None = None
    advice: str | None = None
    plan: Mapping[str, Any] | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)
    calls: int = 0


def add_rows(
    conn: Connection,
    tenant_id: UUID,
    run_id: UUID,
    config_ids: list[UUID] | None = None,
    *,
    only_scheduled: bool = False,
    is_dry_run: bool = False,
) -> None:
    """Say which configurations a run is to sync.

    Args:
        conn: A transaction of the tenant.
        tenant_id: Whose run.
        run_id: The run, which has not ended.
        config_ids: These; None for all that are not paused.
        only_scheduled: Of all, only those that the schedule syncs.
        is_dry_run: Only plan, and change nothing.
    """
    parameters = {
        "tenant_id": tenant_id,
        "run_id": run_id,
        "config_ids": config_ids,
        "only_scheduled": only_scheduled,
        "is_dry_run": is_dry_run,
    }
    orphaned = conn.execute(query("klaviyo.close_orphaned_sync_runs"), parameters).fetchall()
    conn.execute(query("klaviyo.insert_sync_runs"), parameters)
    # Whoever was to tell of it is dead.
    for dead_run_id in {row["run_id"] for row in orphaned}:
        announce(conn, tenant_id, dead_run_id)


def rows_to_do(conn: Connection, tenant_id: UUID, run_id: UUID) -> list[dict[str, Any]]:
    """What the run has yet to do.

    A run that the clock started does what is scheduled, whatever a person added to it while it
    waited; one of which nobody has said what to do does all that is not paused, if a command began
    it. Of other such runs the configurations they were for have been given up since. A run that is
    to plan plans, and no more.
    """
    parameters = {"tenant_id": tenant_id, "run_id": run_id, "config_id": None}
    found = one(conn.execute(query("klaviyo.find_sync_request"), parameters).fetchone())
    if found["is_scheduled"] or not found["has_rows"]:
        add_rows(
            conn,
            tenant_id,
            run_id,
            only_scheduled=not found["means_all"],
            is_dry_run=found["is_dry_run"],
        )
    conn.execute(query("klaviyo.reopen_sync_runs"), parameters)
    return conn.execute(query("klaviyo.list_sync_runs"), parameters).fetchall()


def begin(
    conn: Connection, tenant_id: UUID, run_id: UUID, config_id: UUID
) -> dict[str, Any] | None:
    """Note that a configuration's turn has come; what is to be done about it as it is by now.

    A run may have begun long before; None when the configuration has been given up meanwhile.
    """
    parameters = {"tenant_id": tenant_id, "run_id": run_id, "config_id": config_id}
    conn.execute(query("klaviyo.begin_sync_run"), parameters)
    return conn.execute(query("klaviyo.list_sync_runs"), parameters).fetchone()


def record_plan(
    conn: Connection, tenant_id: UUID, run_id: UUID, config_id: UUID, plan: Mapping[str, Any]
) -> None:
    """Note what is about to be done."""
    conn.execute(
        query("klaviyo.record_plan"),
        {"tenant_id": tenant_id, "run_id": run_id, "config_id": config_id, "plan": Jsonb(plan)},
    )


def finish(
    conn: Connection, tenant_id: UUID, run_id: UUID, config_id: UUID, outcome: Outcome
) -> None:
    """Note what became of a configuration in a run, and tell who wants to be told of a change.

    Best the last thing in its transaction: see :func:`service.notifications.outbox.announce`.
    """
    conn.execute(
        query("klaviyo.finish_sync_run"),
        {
            "tenant_id": tenant_id,
            "run_id": run_id,
            "config_id": config_id,
            "state": outcome.state,
            "stopped_for": outcome.stopped_for,
            "error": outcome.error,
            "advice": outcome.advice,
            "plan": None if outcome.plan is None else Jsonb(outcome.plan),
            "counts": Jsonb(dict(outcome.counts)),
            "errors": Jsonb(dict(outcome.errors)),
            "calls": outcome.calls,
        },
    )
    announce(conn, tenant_id, run_id)
