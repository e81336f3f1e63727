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

from service.builds.dbt_runs import Dbt
from service.builds.run import build_and_record
from service.builds.scheduled import build_due_tenants
from service.core.config import Settings
from service.core.db import (
    Connection,
    Pool,
    connect,
    kept_alive,
    one,
    tenant_transaction,
    transform_url,
)
from service.core.errors import AlreadyRunningError, QuintileError
from service.core.queries import query
from service.klaviyo.destination import sync_klaviyo
from service.notifications.deliveries import collect_events, deliver_due
from service.notifications.jobs import COLLECT_TASK, DELIVER_TASK
from service.notifications.jobs import QUEUE as NOTIFICATION_QUEUE
from service.privacy.requests import process_request
from service.promo_codes.apply import apply_promo_codes
from service.promo_codes.codes import ask_for_updates
from service.queue.defer import NOTICES_TASK, PRIVACY_TASK
from service.queue.defer import QUEUE as WEBHOOK_QUEUE
from service.queue.enqueue import HOUSEKEEP_TASK, PROBE_TASK, TASKS, enqueue
from service.queue.priorities import DUE_BUILD_TASK
from service.queue.retry import PostponedError, is_transient, next_try
from service.queue.runs import RunPolicy, record_run
from service.shopify.metafield_sync import sync_metafields
from service.shopify.sync import sync_shopify
from service.webhooks.process import process_notices
from service.worker.fair_queue import FairQueue
from service.worker.housekeeping import housekeep
from service.worker.probes import probe

log = structlog.get_logger(__name__)

# How often a job checks a run of another process before that process counts as dead.
_CHECKS = 12


@dataclass(frozen=True)
class Worker:
    """What the tasks need.

    That is the settings, the service's pool, an event that is set when they must stop, and how
    builds start dbt (as a new process if not given).
    """

    settings: Settings
    pool: Pool
    stopping: Event = field(default_factory=Event)
    dbt: Dbt | None = None

    @property
    def policy(self) -> RunPolicy:
        """How this worker does runs."""
        return RunPolicy.for_worker(self.settings, self.stopping)

    def shopify_sync(self, tenant_id: UUID, run_id: UUID) -> None:
        """Sync one tenant's customers and orders."""
        self._record(partial(sync_shopify, only="orders"), tenant_id, run_id)

    def segments_sync(self, tenant_id: UUID, run_id: UUID) -> None:
        """Sync one tenant's Shopify segments."""
        self._record(partial(sync_shopify, only="segments"), tenant_id, run_id)
        with tenant_transaction(self.pool, tenant_id) as conn:
            ask_for_updates(conn, tenant_id)

    def klaviyo_sync(self, tenant_id: UUID, run_id: UUID) -> None:
        """Sync one tenant's Klaviyo lists, or only plan it, as the sync request says."""
        self._record(sync_klaviyo, tenant_id, run_id)
        with tenant_transaction(self.pool, tenant_id) as conn:
            ask_for_updates(conn, tenant_id)

    def promo_codes(self, tenant_id: UUID, run_id: UUID) -> None:
        """Apply one tenant's promo codes to Shopify."""
        self._record(apply_promo_codes, tenant_id, run_id)

    def metafields_sync(self, tenant_id: UUID, run_id: UUID) -> None:
        """Write one tenant's RFM segments and scores to customer metafields, or remove them."""
        self._record(sync_metafields, tenant_id, run_id)

    def build(self, tenant_id: UUID, run_id: UUID) -> None:
        """Build one tenant's models."""
        parameters = {"tenant_id": tenant_id}
        with connect(transform_url(self.settings)) as conn:
            row = one(conn.execute(query("worker.find_tenant_name"), parameters).fetchone())
        build_and_record(
            self.settings,
            self.pool,
            {tenant_id: run_id},
            tenants=[row["name"]],
            quiet=True,
            policy=self.policy,
            dbt=self.dbt,
        )

    def build_due_tenants(self, tenant_id: UUID, run_id: UUID) -> None:
        """Build this tenant and all others that are due."""
        build_due_tenants(self.settings, self.pool, {tenant_id: run_id}, self.policy, self.dbt)

    def webhooks(self, tenant_id: str) -> None:
        """Process one tenant's webhooks."""
        process_notices(self.settings, self.pool, UUID(tenant_id), _wake_sync)

    def privacy(self, tenant_id: str, webhook_id: str) -> None:
        """Process one privacy request."""
        process_request(self.settings, self.pool, UUID(tenant_id), webhook_id)

    def collect_events(self, tenant_id: str) -> None:
        """Turn what one tenant's builds have changed into messages to its endpoints."""
        collect_events(self.pool, UUID(tenant_id))

    def deliver_webhooks(self, tenant_id: str, endpoint_id: str) -> None:
        """Send what waits for one endpoint."""
        deliver_due(self.settings, self.pool, UUID(tenant_id), UUID(endpoint_id))

    def housekeep(self, tenant_id: str) -> None:
        """Delete one tenant's old records."""
        housekeep(self.settings, self.pool, [UUID(tenant_id)])

    def probe(self, tenant_id: str, provider: str) -> None:
        """Try a refused connection again."""
        probe(self.settings, self.pool, UUID(tenant_id), provider)

    def do(self, work: Callable[[UUID, UUID], None], tenant_id: str, run_id: str) -> None:
        """Do the run of this job.

        Raises:
            PostponedError: The job must be retried later: the run is not due, another process is
                doing it, or the failure is transient.
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
            log.info("another process does the run", tenant_id=tenant_id, run_id=run_id)
        except QuintileError as error:
            # The run's row has the error.
            log.warning("job failed", reason=error.message, tenant_id=tenant_id, run_id=run_id)
        # If another process has just taken the run, check later whether it still lives.
        wait = self._wait(tenant, run)
        if wait is not None:
            raise _postponed(wait)

    def _record(
        self, work: Callable[[Settings, Pool, UUID, Any], None], tenant_id: UUID, run_id: UUID
    ) -> None:
        with record_run(self.pool, tenant_id, run_id, self.policy) as progress:
            work(self.settings, self.pool, tenant_id, progress)

    def _wait(self, tenant_id: UUID, run_id: UUID) -> float | None:
        """Seconds until the run may start; None if it has ended."""
        stale_after = self.settings.run_stale_seconds
        with tenant_transaction(self.pool, tenant_id, read_only=True) as conn:
            row = conn.execute(
                query("worker.seconds_until_run"),
                {
                    "tenant_id": tenant_id,
                    "run_id": run_id,
                    "stale_after": stale_after,
                    "busy_seconds": stale_after / _CHECKS,
                },
            ).fetchone()
        return None if row is None else float(row["seconds"])


def _postponed(seconds: float) -> PostponedError:
    return PostponedError(datetime.now(UTC) + timedelta(seconds=seconds))


def _wake_sync(conn: Connection, tenant_id: UUID) -> None:
    enqueue(conn, tenant_id, "shopify_sync", "webhook")


class _Retry(procrastinate.BaseRetryStrategy):
    """Retries a job when its work asks for it, and unexpected failures a few times.

    A run has only one job, so transient failures of such a job are retried without a limit: its
    attempts also count the times it waited for another process.
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


def worker_app(
    settings: Settings, pool: Pool, stopping: Event | None = None, dbt: Dbt | None = None
) -> procrastinate.App:
    """Procrastinate's app with the tasks, for a process that runs them.

    When ``stopping`` is set, runs go back to the queue. ``dbt`` is how builds start it.
    """
    conninfo = make_conninfo(
        kept_alive(transform_url(settings)), options="-c search_path=jobs,pg_temp"
    )
    connector = PsycopgConnector(conninfo=conninfo)
    app = procrastinate.App(connector=connector)
    app.job_manager = FairQueue(connector, settings)
    worker = Worker(settings, pool, stopping or Event(), dbt)
    retry = _Retry(settings)
    for task, work in (
        (TASKS["shopify_sync"], worker.shopify_sync),
        (TASKS["segments_sync"], worker.segments_sync),
        (TASKS["klaviyo_sync"], worker.klaviyo_sync),
        (TASKS["klaviyo_plan"], worker.klaviyo_sync),
        (TASKS["promo_codes"], worker.promo_codes),
        (TASKS["metafields_sync"], worker.metafields_sync),
        (TASKS["build"], worker.build),
        (DUE_BUILD_TASK, worker.build_due_tenants),
    ):
        app.task(name=task, retry=retry)(partial(worker.do, work))
    for task, queue, process in (
        (NOTICES_TASK, WEBHOOK_QUEUE, worker.webhooks),
        (PRIVACY_TASK, WEBHOOK_QUEUE, worker.privacy),
        (HOUSEKEEP_TASK, WEBHOOK_QUEUE, worker.housekeep),
        (PROBE_TASK, WEBHOOK_QUEUE, worker.probe),
        (COLLECT_TASK, NOTIFICATION_QUEUE, worker.collect_events),
        (DELIVER_TASK, NOTIFICATION_QUEUE, worker.deliver_webhooks),
    ):
        app.task(name=task, queue=queue, retry=retry)(process)
    return app
