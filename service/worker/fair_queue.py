"""The queue as the worker sees it: fair among tenants, and patient with a database that restarts.

procrastinate hands out jobs first come, first served, and gives up when the database goes away. The
choice of the next job is ours (``sql/fetch_job.sql``), made under a lock so that workers agree on
it, and every word with the database is repeated until it is heard.
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

_LONGEST_PAUSE_SECONDS = 5.0


class FairQueue(JobManager):
    """Hands jobs to one worker by the rules of the statement ``fetch_job``."""

    def __init__(self, connector: PsycopgConnector, settings: Settings) -> None:
        super().__init__(connector)
        slots, builds = settings.worker_slots, settings.worker_builds
        self._psycopg = connector
        self._held: set[int] = set()
        # While a job is being handed out, nobody may take it for one that nobody has got.
        self._handing_out = asyncio.Lock()
        self._rules = {
            "asked": PRIORITY_PERSON,
            "builds": [BUILD_TASK, DUE_BUILD_TASK],
            "tenant_slots": max(slots // 2, 1),
            "kind_slots": max(slots - 1, 1),
            "unasked_slots": max(slots - 1, 1),
            "build_slots": builds,
            "unasked_builds": max(builds - 1, 1),
        }

    async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> Job | None:
        """The job that is next by the rules, or None; None as well while there is no database."""
        parameters = {
            **self._rules,
            "queues": list(queues) if queues is not None else None,
            "worker_id": worker_id,
        }
        try:
            async with self._handing_out:
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
        """Mark a job as ended; whoever waited for its lock or its slot may look again."""
        try:
            await _until_answered(lambda: JobManager.finish_job(self, job, status, delete_job))
        finally:
            self._let_go(job)
        await self._wake_workers()

    async def retry_job(self, job: Job, **changes: Any) -> None:  # type: ignore[override]
        """Put a job back, as :meth:`finish_job`."""
        try:
            await _until_answered(lambda: JobManager.retry_job(self, job, **changes))
        finally:
            self._let_go(job)
        await self._wake_workers()

    async def update_heartbeat(self, worker_id: int) -> None:
        """Say that the worker lives; a word that is not heard is said again at the next beat.

        Jobs go back that the queue has marked as this worker's, and whose names were lost on the
        way when the database went away: while the worker lives, nobody else would take them up.
        """
        try:
            await super().update_heartbeat(worker_id)
            async with self._handing_out:
                rows = await self.connector.execute_query_all_async(
                    query("worker.return_lost_jobs").as_string(),
                    worker_id=worker_id,
                    held=list(self._held),
                )
        except ConnectorException as error:
            log.warning("heartbeat failed", error=type(error.__cause__).__name__)
            return
        for row in rows:
            log.warning("job handed back that never arrived", job_id=row["id"])
        if rows:
            await self._wake_workers()

    async def listen_for_jobs(
        self, *, on_notification: NotificationCallback, queues: Iterable[str] | None = None
    ) -> None:
        """Hear of new jobs at once, over a new connection when one is lost."""
        while True:
            await _until_answered(
                lambda: JobManager.listen_for_jobs(
                    self, on_notification=on_notification, queues=queues
                )
            )

    def _let_go(self, job: Job) -> None:
        if job.id is not None:
            self._held.discard(job.id)

    async def _wake_workers(self) -> None:
        text = query("queue.wake_workers").as_string()
        await _until_answered(lambda: self.connector.execute_query_async(text))


async def _until_answered(call: Callable[[], Awaitable[T]]) -> T:
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
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
