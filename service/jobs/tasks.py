"""The queue's tasks. Job arguments are ids, never names or secrets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Event
from typing import Any, Literal
from uuid import UUID

import procrastinate
import structlog
from procrastinate import PsycopgConnector, SyncPsycopgConnector
from procrastinate.jobs import Job
from psycopg.conninfo import make_conninfo

from service.core.config import Settings
from service.core.db import Connection, Pool, connect, one, query, tenant_transaction, transform_url
from service.core.errors import AlreadyRunningError, QuintileError
from service.jobs.build import recorded_build
from service.jobs.fair_queue import ASKED, BUILD_TASK, DUE_BUILD_TASK, SCHEDULED, TOLD, FairQueue
from service.jobs.housekeeping import housekeep
from service.jobs.retry import PostponedError, is_passing, next_try
from service.jobs.runs import Terms, Trigger, recorded, start_run
from service.jobs.together import build_due
from service.jobs.webhooks import NOTICES_TASK, PRIVACY_TASK
from service.jobs.webhooks import QUEUE as WEBHOOK_QUEUE
from service.klaviyo.sync import sync_klaviyo
from service.notifications.outbox import NOTIFY_TASK, send_notification
from service.notifications.outbox import QUEUE as NOTIFICATION_QUEUE
from service.privacy.requests import process_request
from service.shopify.sync import sync_shopify
from service.webhooks.work import process_notices

log = structlog.get_logger(__name__)

# Task names, by the kind of run they do.
TASKS: dict[str, str] = {
    "shopify_sync": "quintile.shopify_sync",
    "segments_sync": "quintile.segments_sync",
    "klaviyo_sync": "quintile.klaviyo_sync",
    "klaviyo_plan": "quintile.klaviyo_plan",
    "build": BUILD_TASK,
}
HOUSEKEEP_TASK = "quintile.housekeep"
Enqueueable = Literal["shopify_sync", "segments_sync", "klaviyo_sync", "klaviyo_plan", "build"]

_PRIORITIES: dict[Trigger, int] = {
    "person": ASKED,
    "cli": ASKED,
    "webhook": TOLD,
    "schedule": SCHEDULED,
}
# A run that another process is at is looked after again this often while a process may be silent.
_LOOKS = 12

# Deferring needs no connector of its own: the job goes in on the caller's connection.
_deferring = procrastinate.App(connector=SyncPsycopgConnector())


def enqueue(
    conn: Connection,
    tenant_id: UUID,
    kind: Enqueueable,
    trigger: Trigger = "person",
    *,
    behind_running: bool = False,
) -> dict[str, Any]:
    """Queue a run and its job in the caller's transaction; an unfinished run is returned as it is.

    One that a schedule has queued and a person wants now gets a job that goes first.
    ``behind_running`` is as in :func:`service.jobs.runs.start_run`.

    Returns:
        The run's row.
    """
    started = start_run(conn, tenant_id, kind, trigger, behind_running=behind_running)
    if started.created or (trigger == "person" and _hurry(conn, tenant_id, started.run)):
        is_due_build = kind == "build" and trigger == "schedule"
        defer(
            conn,
            DUE_BUILD_TASK if is_due_build else TASKS[kind],
            queue="builds" if kind == "build" else "syncs",
            # Nothing overlaps itself: one job of a kind at a time for a tenant, and one build of
            # all who are due.
            lock="due builds" if is_due_build else f"{kind} {tenant_id}",
            priority=_PRIORITIES[trigger],
            tenant_id=str(tenant_id),
            run_id=str(started.run["run_id"]),
        )
    return started.run


def _hurry(conn: Connection, tenant_id: UUID, run: dict[str, Any]) -> bool:
    """Whether a run waits that nobody has asked for yet, or that waits for another try."""
    if run["trigger"] == "person" and run["next_attempt_at"] is None:
        return False
    parameters = {"tenant_id": tenant_id, "run_id": run["run_id"], "asked": ASKED}
    return conn.execute(query("jobs/sql/hurry_run"), parameters).fetchone() is not None


def defer(
    conn: Connection, task: str, *, queue: str, lock: str, priority: int, **arguments: str
) -> None:
    """Queue a job in the caller's transaction."""
    # The queue's functions name its tables without a schema.
    conn.execute("set local search_path = jobs, pg_temp")
    _deferring.configure_task(
        task, connection=conn, queue=queue, lock=lock, priority=priority
    ).defer(**arguments)


@dataclass(frozen=True)
class Worker:
    """What the tasks need: the settings, the service's pool, and whether the process is to stop."""

    settings: Settings
    pool: Pool
    stopping: Event = field(default_factory=Event)

    @property
    def terms(self) -> Terms:
        """On what terms runs are done here."""
        return Terms.of_worker(self.settings, self.stopping)

    def shopify_sync(self, tenant_id: UUID, run_id: UUID) -> None:
        """Sync one tenant's customers and orders."""
        self._record(partial(sync_shopify, only="orders"), tenant_id, run_id)

    def segments_sync(self, tenant_id: UUID, run_id: UUID) -> None:
        """Sync one tenant's Shopify segments."""
        self._record(partial(sync_shopify, only="segments"), tenant_id, run_id)

    def klaviyo_sync(self, tenant_id: UUID, run_id: UUID) -> None:
        """Sync one tenant's Klaviyo lists."""
        self._record(sync_klaviyo, tenant_id, run_id)

    def klaviyo_plan(self, tenant_id: UUID, run_id: UUID) -> None:
        """Plan a sync of one tenant's Klaviyo lists, and change nothing."""
        self._record(sync_klaviyo, tenant_id, run_id)

    def build(self, tenant_id: UUID, run_id: UUID) -> None:
        """Build one tenant's models."""
        with connect(transform_url(self.settings)) as conn:
            row = one(
                conn.execute(query("jobs/sql/tenant_name"), {"tenant_id": tenant_id}).fetchone()
            )
        recorded_build(
            self.settings,
            self.pool,
            {tenant_id: run_id},
            tenants=[row["name"]],
            quiet=True,
            terms=self.terms,
        )

    def build_due(self, tenant_id: UUID, run_id: UUID) -> None:
        """Build all tenants that are due, of whom this is one."""
        build_due(self.settings, self.pool, {tenant_id: run_id}, self.terms)

    def webhooks(self, tenant_id: str) -> None:
        """Work through one tenant's webhooks."""
        process_notices(self.settings, self.pool, UUID(tenant_id), _wake_sync)

    def privacy(self, tenant_id: str, webhook_id: str) -> None:
        """Meet one privacy request."""
        process_request(self.settings, self.pool, UUID(tenant_id), webhook_id)

    def notify(self, tenant_id: str, notification_id: str) -> None:
        """Send one notification."""
        send_notification(self.settings, self.pool, UUID(tenant_id), UUID(notification_id))

    def housekeep(self, tenant_id: str) -> None:
        """Delete what has been kept for long enough."""
        housekeep(self.settings, self.pool, [UUID(tenant_id)])

    def do(self, work: Callable[[UUID, UUID], None], tenant_id: str, run_id: str) -> None:
        """Do a run that is this job's, as soon as nobody else is at it.

        Raises:
            PostponedError: The queue is to try again later: it is not the run's time, another
                process is at it, or what went wrong will pass.
        """
        tenant, run = UUID(tenant_id), UUID(run_id)
        wait = self._wait(tenant, run)
        if wait is None:
            return
        if wait > 0:
            raise _postponed(wait)
        try:
            work(tenant, run)
        except PostponedError:
            raise
        except AlreadyRunningError:
            log.info("run is at work elsewhere", tenant_id=tenant_id, run_id=run_id)
        except QuintileError as error:
            # The run's row explains it already.
            log.warning("job failed", reason=error.message, tenant_id=tenant_id, run_id=run_id)
        # A run that another process took this very moment is that one's, if it lives.
        wait = self._wait(tenant, run)
        if wait is not None:
            raise _postponed(wait)

    def _record(
        self, work: Callable[[Settings, Pool, UUID, Any], None], tenant_id: UUID, run_id: UUID
    ) -> None:
        with recorded(self.pool, tenant_id, run_id, self.terms) as progress:
            work(self.settings, self.pool, tenant_id, progress)

    def _wait(self, tenant_id: UUID, run_id: UUID) -> float | None:
        """Seconds until the run may be begun; None when it is over."""
        stale_after = self.settings.run_stale_seconds
        with tenant_transaction(self.pool, tenant_id, read_only=True) as conn:
            row = conn.execute(
                query("jobs/sql/begin_wait"),
                {
                    "tenant_id": tenant_id,
                    "run_id": run_id,
                    "stale_after": stale_after,
                    "busy_seconds": stale_after / _LOOKS,
                },
            ).fetchone()
        return None if row is None else float(row["seconds"])


def _postponed(seconds: float) -> PostponedError:
    return PostponedError(datetime.now(UTC) + timedelta(seconds=seconds))


def _wake_sync(conn: Connection, tenant_id: UUID) -> None:
    enqueue(conn, tenant_id, "shopify_sync", "webhook")


class _Retry(procrastinate.BaseRetryStrategy):
    """A job comes back when its work says so; what keeps it from its work is tried a few times.

    The job of a run is its only one: it comes back for as long as what keeps it from the run will
    pass, however often it has come back before to wait for another process.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def get_retry_decision(
        self, *, exception: BaseException, job: Job
    ) -> procrastinate.RetryDecision | None:
        if isinstance(exception, PostponedError):
            return procrastinate.RetryDecision(retry_at=exception.at)
        log.error("job failed", task=job.task_name, job_id=job.id, exc_info=exception)
        is_last = job.attempts + 1 >= self._settings.run_attempts
        if is_last and not ("run_id" in job.task_kwargs and is_passing(exception)):
            return None
        at = next_try(job.attempts + 1, self._settings.run_retry_seconds)
        return procrastinate.RetryDecision(retry_at=at)


def worker_app(settings: Settings, pool: Pool, stopping: Event | None = None) -> procrastinate.App:
    """The queue with its tasks, for a process that does them.

    Args:
        settings: What to run with.
        pool: The service's pool.
        stopping: Set when runs are to be handed back.
    """
    conninfo = make_conninfo(transform_url(settings), options="-c search_path=jobs,pg_temp")
    connector = PsycopgConnector(conninfo=conninfo)
    app = procrastinate.App(connector=connector)
    app.job_manager = FairQueue(connector, settings)
    worker = Worker(settings, pool, stopping or Event())
    retry = _Retry(settings)
    for task, work in (
        (TASKS["shopify_sync"], worker.shopify_sync),
        (TASKS["segments_sync"], worker.segments_sync),
        (TASKS["klaviyo_sync"], worker.klaviyo_sync),
        (TASKS["klaviyo_plan"], worker.klaviyo_plan),
        (TASKS["build"], worker.build),
        (DUE_BUILD_TASK, worker.build_due),
    ):
        app.task(name=task, retry=retry)(partial(worker.do, work))
    for task, queue, each in (
        (NOTICES_TASK, WEBHOOK_QUEUE, worker.webhooks),
        (PRIVACY_TASK, WEBHOOK_QUEUE, worker.privacy),
        (HOUSEKEEP_TASK, WEBHOOK_QUEUE, worker.housekeep),
        (NOTIFY_TASK, NOTIFICATION_QUEUE, worker.notify),
    ):
        app.task(name=task, queue=queue, retry=retry)(each)
    return app
