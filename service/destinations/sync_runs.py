"""The records of a run: which configurations it syncs, and the outcome of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from psycopg.types.json import Jsonb

from service.core.db import Connection, one
from service.core.queries import query
from service.destinations.configs import get_config, request_full_read
from service.notifications.events import announce
from service.queue.enqueue import Enqueueable, enqueue
from service.queue.runs import Trigger

RowState = Literal["succeeded", "failed", "stopped", "paused"]


@dataclass(frozen=True)
class Outcome:
    """How the sync of a configuration ended.

    ``plan`` is from :meth:`service.destinations.plan.Plan.describe`; ``errors`` counts the
    destination's error codes, without those of single addresses, which the ledger has.
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

    They are added to a run that waits, or else to a new run behind the one that is running. A dry
    run only plans; the plan is in the rows of app.klaviyo_sync_runs. ``reads_all`` reads all
    profiles on the lists, not only those that joined since the last sync.

    Raises:
        UnknownConfigError: The tenant has no configuration with some id.
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
    """Add configurations to a run that has not ended.

    Without ``config_ids`` all that are not paused, or those of them that the schedule syncs.
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
    # The processes that should have announced these have died.
    for dead_run_id in {row["run_id"] for row in orphaned}:
        announce(conn, tenant_id, dead_run_id)


def rows_to_do(conn: Connection, tenant_id: UUID, run_id: UUID) -> list[dict[str, Any]]:
    """The configurations that the run has still to sync.

    A scheduled run syncs the scheduled configurations, and those that a person added to it while it
    waited. A run without configurations that a command started syncs all that are not paused. Any
    other run without configurations had some that were deleted since.
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
    """Record that the sync of a configuration begins; returns the configuration as it is now.

    None if it was deleted since the run was requested.
    """
    parameters = {"tenant_id": tenant_id, "run_id": run_id, "config_id": config_id}
    conn.execute(query("destinations.begin_sync_run"), parameters)
    return conn.execute(query("destinations.list_sync_runs"), parameters).fetchone()


def finish(
    conn: Connection, tenant_id: UUID, run_id: UUID, config_id: UUID, outcome: Outcome
) -> None:
    """Record the outcome of a configuration, and send a notification if its state changed.

    Should be last in its transaction: see :func:`service.notifications.events.announce`.
    """
    conn.execute(
        query("destinations.finish_sync_run"),
        {
            "tenant_id": tenant_id,
            "run_id": run_id,
            "config_id": config_id,
            **vars(outcome),
            "plan": None if outcome.plan is None else Jsonb(outcome.plan),
            "counts": Jsonb(outcome.counts),
            "errors": Jsonb(outcome.errors),
        },
    )
    announce(conn, tenant_id, run_id)
