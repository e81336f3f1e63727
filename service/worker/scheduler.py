"""What the clock starts: schedules that have come due, and what dead processes have left."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

import structlog

from service.builds.scheduled import SCHEDULER_LOCK
from service.core.config import Settings
from service.core.db import (
    Connection,
    Pool,
    advisory_lock,
    connect,
    tenant_transaction,
    transform_url,
)
from service.core.metrics import count_run
from service.core.queries import query
from service.queue.defer import QUEUE, defer, enter_queue
from service.queue.enqueue import HOUSEKEEP_TASK, Enqueueable, enqueue
from service.queue.priorities import PRIORITY_SCHEDULE
from service.queue.runs import STALE_AFTER_SECONDS
from service.queue.schedules import BY_NAME, newest_times

log = structlog.get_logger(__name__)

# Workers are given this much longer than runs to be heard of, in parts of the time that runs have:
# when a dead worker's job is taken up, its run is known to be dead as well.
_GRACE_PARTS = 4


def enqueue_due(settings: Settings, pool: Pool, now: datetime) -> int:
    """Queue what has come due for each tenant, once, however many workers ask.

    A tenant for whom that fails does not keep the others from being served; it is tried again at
    the next call. The time a schedule came due counts as served in the transaction that queues the
    work. Schedules that are only asked about (``klaviyo_members``) start nothing here.

    Returns:
        How many schedules of tenants were served.
    """
    served = 0
    with connect(transform_url(settings)) as conn, advisory_lock(conn, SCHEDULER_LOCK, log.debug):
        for due in _find_due(conn, settings, now):
            try:
                served += _serve(pool, due)
            except Exception:
                log.exception("schedule not served", tenant_id=str(due["tenant_id"]), **_named(due))
    return served


def requeue_stalled_jobs(settings: Settings) -> int:
    """Put jobs of workers that have not been heard of for too long back into the queue.

    Returns:
        How many.
    """
    seconds = settings.run_stale_seconds * (1 + 1 / _GRACE_PARTS)
    with connect(transform_url(settings)) as conn, conn.transaction():
        enter_queue(conn)
        rows = conn.execute(query("worker.requeue_stalled_jobs"), {"seconds": seconds}).fetchall()
        conn.execute(query("queue.wake_workers"))
    for row in rows:
        log.warning("took up a job of a dead worker", job_id=row["id"], task=row["task_name"])
    return len(rows)


def close_dead_runs(settings: Settings, pool: Pool) -> int:
    """Tell of runs that nobody does and nobody will, such as those of a command that was killed.

    They would be shown as running, and keep what waits behind them, until somebody starts another
    of their kind.

    Returns:
        How many.
    """
    # Commands say that they live as often as the usual time asks for, whatever is set here.
    stale_after = {"stale_after": max(settings.run_stale_seconds, STALE_AFTER_SECONDS)}
    with connect(transform_url(settings)) as conn:
        rows = conn.execute(query("worker.list_dead_runs"), stale_after).fetchall()
    closed = 0
    for row in rows:
        with tenant_transaction(pool, row["tenant_id"]) as conn:
            run = conn.execute(query("worker.close_dead_run"), row | stale_after).fetchone()
        if run is not None:
            count_run(run["kind"], "failed", run["seconds"])
            log.warning("closed a run that nobody does", kind=run["kind"], **_ids(row))
            closed += 1
    return closed


def _find_due(conn: Connection, settings: Settings, now: datetime) -> list[dict[str, Any]]:
    """Tenants and the schedules that have come due for them since they were served last."""
    times = newest_times(conn, settings, now)
    return conn.execute(
        query("worker.find_due_schedules"),
        {
            "names": [time.schedule.name for time in times],
            "providers": [time.schedule.provider for time in times],
            "zones": [time.time_zone for time in times],
            "times": [time.at for time in times],
        },
    ).fetchall()


def _serve(pool: Pool, due: dict[str, Any]) -> bool:
    """Queue one tenant's work; False when it has been served or paused meanwhile."""
    tenant_id: UUID = due["tenant_id"]
    schedule = BY_NAME[due["name"]]
    with tenant_transaction(pool, tenant_id) as conn:
        parameters = {"tenant_id": tenant_id, "name": schedule.name, "due_at": due["due_at"]}
        if conn.execute(query("worker.serve_schedule"), parameters).fetchone() is None:
            return False
        if schedule.kind is not None:
            enqueue(conn, tenant_id, cast("Enqueueable", schedule.kind), "schedule")
        else:
            defer(
                conn,
                HOUSEKEEP_TASK,
                queue=QUEUE,
                lock=f"{schedule.name} {tenant_id}",
                priority=PRIORITY_SCHEDULE,
                tenant_id=str(tenant_id),
            )
    return True


def _ids(row: dict[str, Any]) -> dict[str, str]:
    return {"tenant_id": str(row["tenant_id"]), "run_id": str(row["run_id"])}


def _named(due: dict[str, Any]) -> dict[str, str]:
    return {"schedule": due["name"], "due_at": due["due_at"].isoformat()}
