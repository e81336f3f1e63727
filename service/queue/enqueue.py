"""Queue a run: its row in ``app.runs`` and its job, in one transaction."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from service.core.db import Connection
from service.core.queries import query
from service.queue.defer import defer
from service.queue.priorities import (
    BUILD_TASK,
    DUE_BUILD_TASK,
    PRIORITY_PERSON,
    PRIORITY_SCHEDULE,
    PRIORITY_WEBHOOK,
)
from service.queue.runs import Trigger, start_run

# Task names by kind of run.
TASKS: dict[str, str] = {
    "shopify_sync": "quintile.shopify_sync",
    "segments_sync": "quintile.segments_sync",
    "klaviyo_sync": "quintile.klaviyo_sync",
    "klaviyo_plan": "quintile.klaviyo_plan",
    "metafields_sync": "quintile.metafields_sync",
    "build": BUILD_TASK,
    "promo_codes": "quintile.promo_codes",
}
HOUSEKEEP_TASK = "quintile.housekeep"
PROBE_TASK = "quintile.probe"
Enqueueable = Literal[
    "shopify_sync",
    "segments_sync",
    "klaviyo_sync",
    "klaviyo_plan",
    "metafields_sync",
    "build",
    "promo_codes",
]

_PRIORITIES: dict[Trigger, int] = {
    "person": PRIORITY_PERSON,
    "cli": PRIORITY_PERSON,
    "webhook": PRIORITY_WEBHOOK,
    "schedule": PRIORITY_SCHEDULE,
}


def enqueue(
    conn: Connection,
    tenant_id: UUID,
    kind: Enqueueable,
    trigger: Trigger = "person",
    *,
    behind_running: bool = False,
) -> dict[str, Any]:
    """Queue a run and its job in the caller's transaction, or find the unfinished run of this kind.

    If a person asks for a run that a schedule has queued, it gets a second job with a person's
    priority. ``behind_running`` is as in :func:`service.queue.runs.start_run`.

    Returns:
        The run's row.
    """
    started = start_run(conn, tenant_id, kind, trigger, behind_running=behind_running)
    if started.created or (trigger == "person" and _prioritize(conn, tenant_id, started.run)):
        is_due_build = kind == "build" and trigger == "schedule"
        defer(
            conn,
            DUE_BUILD_TASK if is_due_build else TASKS[kind],
            queue="builds" if kind == "build" else "syncs",
            # A tenant's jobs of one kind never overlap; all due builds are one shared build.
            lock="due builds" if is_due_build else f"{kind} {tenant_id}",
            priority=_PRIORITIES[trigger],
            tenant_id=str(tenant_id),
            run_id=str(started.run["run_id"]),
        )
    return started.run


def _prioritize(conn: Connection, tenant_id: UUID, run: dict[str, Any]) -> bool:
    """Let a queued run start now; whether it still needs a job that starts it now."""
    if run["trigger"] == "person" and run["next_attempt_at"] is None:
        return False
    parameters = {"tenant_id": tenant_id, "run_id": run["run_id"], "priority": PRIORITY_PERSON}
    return conn.execute(query("queue.prioritize_run"), parameters).fetchone() is not None
