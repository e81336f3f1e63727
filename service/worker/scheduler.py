"""The scheduler: queue what is due, and clean up after dead processes."""

from __future__ import annotations

from datetime import datetime
from typing import Any
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
from service.queue.enqueue import HOUSEKEEP_TASK, enqueue
from service.queue.priorities import PRIORITY_SCHEDULE
from service.queue.runs import STALE_AFTER_SECONDS
from service.queue.schedules import BY_NAME, newest_times

log = structlog.get_logger(__name__)

# A worker counts as dead later than its runs, so that the run of a requeued job can be started.
_WORKER_STALE_FACTOR = 1.25


def enqueue_due(settings: Settings, pool: Pool, now: datetime) -> int:
    """Queue what is due for each tenant, once for all workers.

    The due time is recorded as served in the transaction that queues the work. A tenant that fails
    does not stop the others, and is retried at the next call.

    Returns:
        How many schedules of tenants were served.
    """
    served = 0
    with connect(transform_url(settings)) as conn, advisory_lock(conn, SCHEDULER_LOCK, log.debug):
        for due in _find_due(conn, settings, now):
            try:
                served += _serve(pool, due)
            except Exception:
                ids = {"tenant_id": str(due["tenant_id"]), "schedule": due["name"]}
                log.exception("schedule not served", due_at=due["due_at"].isoformat(), **ids)
    return served


def requeue_stalled_jobs(settings: Settings) -> int:
    """Put jobs of dead workers back into the queue; returns how many."""
    seconds = settings.run_stale_seconds * _WORKER_STALE_FACTOR
    with connect(transform_url(settings)) as conn, conn.transaction():
        enter_queue(conn)
        rows = conn.execute(query("worker.requeue_stalled_jobs"), {"seconds": seconds}).fetchall()
        conn.execute(query("queue.wake_workers"))
    for row in rows:
        log.warning("requeued a job of a dead worker", job_id=row["id"], task=row["task_name"])
    return len(rows)


def close_dead_runs(settings: Settings, pool: Pool) -> int:
    """Close runs that have no process and no job, such as those of killed commands.

    Otherwise they would be shown as running, and block queued runs of their kind.

    Returns:
        How many were closed.
    """
    # Commands send heartbeats for the default, whatever is set here.
    stale_after = {"stale_after": max(settings.run_stale_seconds, STALE_AFTER_SECONDS)}
    with connect(transform_url(settings)) as conn:
        rows = conn.execute(query("worker.list_dead_runs"), stale_after).fetchall()
    closed = 0
    for row in rows:
        with tenant_transaction(pool, row["tenant_id"]) as conn:
            run = conn.execute(query("worker.close_dead_run"), row | stale_after).fetchone()
        if run is not None:
            count_run(run["kind"], "failed", run["seconds"])
            ids = {"tenant_id": str(row["tenant_id"]), "run_id": str(row["run_id"])}
            log.warning("closed a dead run", kind=run["kind"], **ids)
            closed += 1
    return closed


def _find_due(conn: Connection, settings: Settings, now: datetime) -> list[dict[str, Any]]:
    """Tenants and their schedules that have come due since they were last served."""
    times = newest_times(conn, settings, now)
    return conn.execute(
        query("worker.find_due_schedules"),
        {
            "names": [time.schedule.name for time in times],
            "providers": [time.schedule.provider for time in times],
            "zones": [time.time_zone for time in times],
            "times": [time.at for time in times],
            "now": now,
        },
    ).fetchall()


def _serve(pool: Pool, due: dict[str, Any]) -> bool:
    """Queue one tenant's work; False if another worker has, or the schedule was just paused."""
    tenant_id: UUID = due["tenant_id"]
    schedule = BY_NAME[due["name"]]
    with tenant_transaction(pool, tenant_id) as conn:
        parameters = {"tenant_id": tenant_id, "name": schedule.name, "due_at": due["due_at"]}
        if conn.execute(query("worker.serve_schedule"), parameters).fetchone() is None:
            return False
        if schedule.kind is not None:
            enqueue(conn, tenant_id, schedule.kind, "schedule")
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
