"""A fair queue that survives restarts of the database.

procrastinate serves jobs in order of arrival and fails when the database goes away. Here the next
job is chosen by ``sql/fetch_job.sql``, under a lock that all workers share, and calls to the
database are retried.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar, cast

import psycopg
import structlog
from procrastinate import PsycopgConnector
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job, Status
from procrastinate.manager import JobManager, NotificationCallback
from psycopg.rows import dict_row

from service.core.config import Settings
from service.core.queries import query
from service.queue.priorities import BUILD_TASK, DUE_BUILD_TASK, PRIORITY_PERSON

log = structlog.get_logger(__name__)

T = TypeVar("T")

_MAX_PAUSE_SECONDS = 5.0


class FairQueue(JobManager):
    """procrastinate's job manager, which fetches jobs by the rules of ``fetch_job``."""

    def __init__(self, connector: PsycopgConnector, settings: Settings) -> None:
        super().__init__(connector)
        slots, builds = settings.worker_slots, settings.worker_builds
        self._psycopg = connector
        # Ids of the jobs that this worker has. The lock keeps update_heartbeat from returning a job
        # that is being fetched.
        self._held: set[int] = set()
        self._fetching = asyncio.Lock()
        self._rules = {
            "person_priority": PRIORITY_PERSON,
            "builds": [BUILD_TASK, DUE_BUILD_TASK],
            "tenant_slots": max(slots // 2, 1),
            "kind_slots": max(slots - 1, 1),
            "background_slots": max(slots - 1, 1),
            "build_slots": builds,
            "background_builds": max(builds - 1, 1),
        }

    async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> Job | None:
        """The next job by the rules; None if there is none, or the database does not answer."""
        parameters = {
            **self._rules,
            "queues": list(queues) if queues is not None else None,
            "worker_id": worker_id,
        }
        try:
            async with self._fetching:
                async with (
                    self._psycopg.pool.connection() as conn,
                    conn.cursor(row_factory=dict_row) as cursor,
                ):
                    await cursor.execute(query("worker.lock_fetch"))
                    await cursor.execute(query("worker.fetch_job"), parameters)
                    row = await cursor.fetchone()
                if row is None:
                    return None
                self._held.add(row["id"])
        except psycopg.OperationalError as error:
            log.warning("queue unavailable", error=type(error).__name__)
            await asyncio.sleep(1)
            return None
        return Job.from_row(cast("Any", row))

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:
        """Mark a job as ended, and wake workers that waited for its lock or its slot."""
        await self._end(job, lambda: JobManager.finish_job(self, job, status, delete_job))

    async def retry_job(self, job: Job, **changes: Any) -> None:  # type: ignore[override]
        """Put a job back into the queue, as :meth:`finish_job`."""
        await self._end(job, lambda: JobManager.retry_job(self, job, **changes))

    async def update_heartbeat(self, worker_id: int) -> None:
        """Write the worker's heartbeat; if that fails, the next one is soon enough.

        If the connection broke after a fetch had committed, jobs are marked as this worker's that
        it never got. They go back into the queue here, since no other worker would requeue them.
        """
        try:
            await super().update_heartbeat(worker_id)
            async with self._fetching:
                rows = await self.connector.execute_query_all_async(
                    query("worker.return_lost_jobs").as_string(),
                    worker_id=worker_id,
                    held=list(self._held),
                )
        except ConnectorException as error:
            log.warning("heartbeat failed", error=type(error.__cause__).__name__)
            return
        for row in rows:
            log.warning("returned a job that never arrived", job_id=row["id"])
        if rows:
            await self._wake_workers()

    async def listen_for_jobs(
        self, *, on_notification: NotificationCallback, queues: Iterable[str] | None = None
    ) -> None:
        """Listen for new jobs; connect again when the connection is lost."""
        listen = JobManager.listen_for_jobs
        while True:
            await _retry(lambda: listen(self, on_notification=on_notification, queues=queues))

    async def _end(self, job: Job, call: Callable[[], Awaitable[None]]) -> None:
        try:
            await _retry(call)
        finally:
            if job.id is not None:
                self._held.discard(job.id)
        await self._wake_workers()

    async def _wake_workers(self) -> None:
        text = query("queue.wake_workers").as_string()
        await _retry(lambda: self.connector.execute_query_async(text))


async def _retry(call: Callable[[], Awaitable[T]]) -> T:
    """Call until the database answers."""
    pause = 0.1
    while True:
        try:
            return await call()
        except ConnectorException as error:
            if not isinstance(error.__cause__, (psycopg.OperationalError, OSError)):
                raise
            log.warning("queue unavailable", error=type(error.__cause__).__name__)
        await asyncio.sleep(pause)
        pause = min(2 * pause, _MAX_PAUSE_SECONDS)
