"""``quintile worker``: a process that runs jobs, several at once, and serves schedules."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from threading import Event

import procrastinate
import psycopg
import structlog

from service.builds.dbt_runs import WarmDbt
from service.builds.followups import follow_plain_builds
from service.core.config import Settings
from service.core.db import Pool, open_pool
from service.core.errors import DatabaseUnavailableError
from service.core.queries import load_queries
from service.notifications.deliveries import enqueue_webhooks
from service.worker.metrics import serve_metrics
from service.worker.probes import enqueue_probes
from service.worker.scheduler import close_dead_runs, enqueue_due, requeue_stalled_jobs
from service.worker.tasks import worker_app

log = structlog.get_logger(__name__)

Clock = Callable[[], datetime]

_now = partial(datetime.now, UTC)
# Heartbeats in the time after which a silent process counts as dead.
_BEATS = 12
_MAX_BEAT_SECONDS = 10.0
# For jobs whose notification was lost.
_POLL_SECONDS = 5.0
# How long jobs have to notice that they must stop.
_HAND_BACK_SECONDS = 10.0
# Threads besides those of jobs: for the scheduler, and for the end of a job.
_SPARE_THREADS = 2


def run_worker(settings: Settings, clock: Clock = _now) -> None:
    """Run jobs and serve schedules until SIGTERM or SIGINT.

    Then running jobs have ``worker_grace_seconds`` to end. After that, runs go back to the queue
    when they next report progress. Ten seconds later the process exits, and other workers requeue
    its remaining jobs, as after a kill.

    Args:
        settings: What to run with.
        clock: The time for the schedules.

    Raises:
        DatabaseUnavailableError: The database does not answer when the worker starts. Later, the
            worker waits for it.
    """
    load_queries()
    with open_pool(settings) as pool, serve_metrics(settings), _warm_dbt(settings) as dbt:
        asyncio.run(_work(settings, pool, clock, dbt))


@contextmanager
def _warm_dbt(settings: Settings) -> Iterator[WarmDbt | None]:
    """What keeps dbt in memory between builds; it starts with the first one."""
    if not settings.dbt_idle_seconds:
        yield None
        return
    dbt = WarmDbt(settings.dbt_idle_seconds)
    try:
        yield dbt
    finally:
        dbt.close()


async def _work(settings: Settings, pool: Pool, clock: Clock, dbt: WarmDbt | None) -> None:
    loop = asyncio.get_running_loop()
    # Jobs are threads: each slot needs one.
    threads = ThreadPoolExecutor(settings.worker_slots + _SPARE_THREADS)
    loop.set_default_executor(threads)
    signalled, stopping = asyncio.Event(), Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signal_number, signalled.set)
    beat_seconds = min(settings.run_stale_seconds / _BEATS, _MAX_BEAT_SECONDS)
    app = worker_app(settings, pool, stopping, dbt)
    async with app.open_async():
        scheduling = asyncio.create_task(_schedule(settings, pool, clock, beat_seconds))
        working = asyncio.create_task(_run_jobs(app, settings, beat_seconds))
        waiting = asyncio.create_task(signalled.wait())
        await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
        scheduling.cancel()
        if waiting.done():
            log.info("stopping", grace_seconds=settings.worker_grace_seconds)
            working.cancel()
            _, unfinished = await asyncio.wait({working}, timeout=settings.worker_grace_seconds)
            if unfinished:
                stopping.set()
                _, unfinished = await asyncio.wait({working}, timeout=_HAND_BACK_SECONDS)
            if unfinished:
                log.warning("jobs left unfinished; another worker will requeue them")
                # Threads that do not end would keep the process alive, and its jobs running.
                os._exit(1)
        with suppress(asyncio.CancelledError):
            await working
    log.info("stopped")


async def _run_jobs(app: procrastinate.App, settings: Settings, beat_seconds: float) -> None:
    await app.run_worker_async(
        concurrency=settings.worker_slots,
        fetch_job_polling_interval=_POLL_SECONDS,
        update_heartbeat_interval=beat_seconds,
        # requeue_stalled_jobs decides when a worker is dead, and needs its row until then.
        stalled_worker_timeout=24 * 3600,
        install_signal_handlers=False,
        delete_jobs="successful",
    )


async def _schedule(settings: Settings, pool: Pool, clock: Clock, every_seconds: float) -> None:
    """Run the scheduler every few seconds."""
    while True:
        try:
            await asyncio.to_thread(requeue_stalled_jobs, settings)
            await asyncio.to_thread(close_dead_runs, settings, pool)
            now = clock()
            await asyncio.to_thread(enqueue_due, settings, pool, now)
            await asyncio.to_thread(enqueue_probes, settings, pool, now)
            await asyncio.to_thread(enqueue_webhooks, settings, pool)
            await asyncio.to_thread(follow_plain_builds, settings, pool)
        except (psycopg.OperationalError, DatabaseUnavailableError) as error:
            log.warning("schedules wait for the database", error=type(error).__name__)
            # Give living workers time for a heartbeat before any of them counts as dead.
            await asyncio.sleep(every_seconds)
        except Exception:
            log.exception("schedules not served")
        await asyncio.sleep(every_seconds)
