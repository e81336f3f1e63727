"""Doing the jobs that wait, once: for installations without a worker that runs all the time."""

from __future__ import annotations

from typing import Any

from procrastinate.job_context import JobContext
from procrastinate.middleware import AsyncCallNext
from procrastinate.worker import Worker

from service.core.config import Settings
from service.core.db import Pool
from service.queue.retry import PostponedError
from service.worker.scheduler import close_dead_runs, requeue_stalled_jobs
from service.worker.tasks import worker_app

_AT_ONCE = 4


def run_once(settings: Settings, pool: Pool) -> dict[str, int]:
    """Do every job that is due, several at once, until none is left.

    The queue's locks hold between this and any worker, so both may be at work. What a process that
    died has left is taken up too. Nothing is scheduled here.

    Returns:
        How many jobs were done, how many failed, and how many are to be tried again later.
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
    app = worker_app(settings, pool)
    with app.open():
        app.run_worker(
            wait=False,
            concurrency=_AT_ONCE,
            delete_jobs="successful",
            worker_middleware=[counted],
        )
    return counts
