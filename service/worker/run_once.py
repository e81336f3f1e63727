"""``quintile jobs work``: run the waiting jobs once, for installations without a worker."""

from __future__ import annotations

from typing import Any

from procrastinate.job_context import JobContext
from procrastinate.middleware import AsyncCallNext
from procrastinate.worker import Worker

from service.builds.followups import follow_plain_builds
from service.core.config import Settings
from service.core.db import Pool, connect, one, transform_url
from service.core.queries import query
from service.notifications.deliveries import enqueue_webhooks
from service.queue.retry import PostponedError
from service.worker.scheduler import close_dead_runs, requeue_stalled_jobs
from service.worker.tasks import worker_app

_CONCURRENCY = 4


def run_once(settings: Settings, pool: Pool) -> dict[str, int]:
    """Run every due job, several at once, until none is left.

    Jobs of dead workers are requeued first, and due outgoing webhooks and what follows plain dbt
    builds are queued. Schedules are not served. It may run beside workers, as the queue's locks
    apply to all of them.

    Returns:
        How many jobs were done, how many failed, and how many will be retried later.
    """
    counts = {"done": 0, "failed": 0, "postponed": 0}

    async def counted(call_next: AsyncCallNext, context: JobContext, worker: Worker) -> Any:  # noqa: ARG001
        try:
            result = await call_next()
        except PostponedError:
            counts["postponed"] += 1
            raise
        except Exception:
            counts["failed"] += 1
            raise
        counts["done"] += 1
        return result

    requeue_stalled_jobs(settings)
    close_dead_runs(settings, pool)
    follow_plain_builds(settings, pool)
    enqueue_webhooks(settings, pool)
    while True:
        ended = sum(counts.values())
        app = worker_app(settings, pool)
        with app.open():
            app.run_worker(
                wait=False,
                concurrency=_CONCURRENCY,
                delete_jobs="successful",
                worker_middleware=[counted],
            )
        # It ends while jobs wait for the lock of one that runs.
        enqueue_webhooks(settings, pool)
        if sum(counts.values()) == ended or not _has_due_jobs(settings):
            return counts


def _has_due_jobs(settings: Settings) -> bool:
    with connect(transform_url(settings)) as conn:
        return bool(one(conn.execute(query("worker.has_due_jobs")).fetchone())["has_due_jobs"])
