"""What each run is to do about each configuration, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from psycopg.types.json import Jsonb

from service.core.db import Connection, one
from service.core.queries import query
from service.destinations.configs import get_config, request_full_read
from service.notifications.outbox import announce
from service.queue.enqueue import Enqueueable, enqueue
from service.queue.runs import Trigger

RowState = Literal["succeeded", "failed", "stopped", "paused"]


@dataclass(frozen=True)
class Outcome:
    """How a configuration's turn ended.

    ``plan`` is as :func:`service.destinations.plan.Plan.describe` gives it;
    ``errors`` are how often each of
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


def request_sync(
    conn: Connection,
    tenant_id: UUID,
    config_ids: list[UUID] | None = None,
    trigger: Trigger = "person",
    *,
    is_dry_run: bool = False,
    reads_all: bool = False,
) -> dict[str, Any]:
    """Queue a sync of these configurations, or of all that are not paused; returns the run's row.

    What is asked for is added to a run that waits, and queued behind one that is going on.

    Args:
        conn: A transaction of the tenant, in which all of it happens.
        tenant_id: Whose lists.
        config_ids: Which configurations.
        trigger: Who asks.
        is_dry_run: Only plan; the plan is in the rows of app.klaviyo_sync_runs.
        reads_all: Read everybody on the lists, and not only who has joined since the last time.

    Raises:
        UnknownConfigError: The tenant has no configuration of some id.
    """
    for config_id in config_ids or []:
        get_config(conn, tenant_id, config_id)
    if reads_all:
        request_full_read(conn, tenant_id, config_ids)
    kind: Enqueueable = "klaviyo_plan" if is_dry_run else "klaviyo_sync"
    run = enqueue(conn, tenant_id, kind, trigger, behind_running=True)
    add_rows(conn, tenant_id, run["run_id"], config_ids, is_dry_run=is_dry_run)
    return run


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
    orphaned = conn.execute(query("destinations.close_orphaned_sync_runs"), parameters).fetchall()
    conn.execute(query("destinations.insert_sync_runs"), parameters)
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
    found = one(conn.execute(query("destinations.find_sync_request"), parameters).fetchone())
    if found["is_scheduled"] or not found["has_rows"]:
        add_rows(
            conn,
            tenant_id,
            run_id,
            only_scheduled=not found["is_for_all"],
            is_dry_run=found["is_dry_run"],
        )
    conn.execute(query("destinations.reopen_sync_runs"), parameters)
    return conn.execute(query("destinations.list_sync_runs"), parameters).fetchall()


def begin(
    conn: Connection, tenant_id: UUID, run_id: UUID, config_id: UUID
) -> dict[str, Any] | None:
    """Note that a configuration's turn has come; what is to be done about it as it is by now.

    A run may have begun long before; None when the configuration has been given up meanwhile.
    """
    parameters = {"tenant_id": tenant_id, "run_id": run_id, "config_id": config_id}
    conn.execute(query("destinations.begin_sync_run"), parameters)
    return conn.execute(query("destinations.list_sync_runs"), parameters).fetchone()


def finish(
    conn: Connection, tenant_id: UUID, run_id: UUID, config_id: UUID, outcome: Outcome
) -> None:
    """Note what became of a configuration in a run, and tell who wants to be told of a change.

    Best the last thing in its transaction: see :func:`service.notifications.outbox.announce`.
    """
    conn.execute(
        query("destinations.finish_sync_run"),
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
