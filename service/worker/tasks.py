"""The queue's tasks. Job arguments are ids, never names or secrets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Event
from typing import Any
from uuid import UUID

import procrastinate
import structlog
from procrastinate import PsycopgConnector
from procrastinate.jobs import Job
from psycopg.conninfo import make_conninfo

from service.builds.run import build_and_record
from service.builds.scheduled import build_due_tenants
from service.core.config import Settings
from service.core.db import Connection, Pool, connect, one, tenant_transaction, transform_url
from service.core.errors import AlreadyRunningError, QuintileError
from service.core.queries import query
from service.klaviyo.destination import sync_klaviyo
from service.notifications.outbox import NOTIFY_TASK, send_notification
from service.notifications.outbox import QUEUE as NOTIFICATION_QUEUE
from service.privacy.requests import process_request
from service.queue.defer import NOTICES_TASK, PRIVACY_TASK
from service.queue.defer import QUEUE as WEBHOOK_QUEUE
from service.queue.enqueue import HOUSEKEEP_TASK, TASKS, enqueue
from service.queue.priorities import DUE_BUILD_TASK
from service.queue.retry import PostponedError, is_transient, next_try
from service.queue.runs import RunPolicy, record_run
from service.shopify.sync import sync_shopify
from service.webhooks.process import process_notices
from service.worker.fair_queue import FairQueue
from service.worker.housekeeping import housekeep

log = structlog.get_logger(__name__)

# A run that another process is at is looked after again this often while a process may be silent.
_LOOKS = 12


@dataclass(frozen=True)
class Worker:
    """What the tasks need: the settings, the service's pool, and whether the process is to stop."""

    settings: Settings
    pool: Pool
    stopping: Event = field(default_factory=Event)

    @property
    def policy(self) -> RunPolicy:
        """On what policy runs are done here."""
        return RunPolicy.for_worker(self.settings, self.stopping)

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
                conn.execute(query("worker.find_tenant_name"), {"tenant_id": tenant_id}).fetchone()
            )
        build_and_record(
            self.settings,
            self.pool,
            {tenant_id: run_id},
            tenants=[row["name"]],
            quiet=True,
            policy=self.policy,
        )

    def build_due_tenants(self, tenant_id: UUID, run_id: UUID) -> None:
        """Build all tenants that are due, of whom this is one."""
        build_due_tenants(self.settings, self.pool, {tenant_id: run_id}, self.policy)

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
        with record_run(self.pool, tenant_id, run_id, self.policy) as progress:
            work(self.settings, self.pool, tenant_id, progress)

    def _wait(self, tenant_id: UUID, run_id: UUID) -> float | None:
        """Seconds until the run may be begun; None when it is over."""
        stale_after = self.settings.run_stale_seconds
        with tenant_transaction(self.pool, tenant_id, read_only=True) as conn:
            row = conn.execute(
                query("worker.seconds_until_run"),
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
        if is_last and not ("run_id" in job.task_kwargs and is_transient(exception)):
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
        (DUE_BUILD_TASK, worker.build_due_tenants),
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
