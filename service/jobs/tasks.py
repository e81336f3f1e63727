"""The queue's tasks and schedules. Job arguments are ids, never names or secrets."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal
from uuid import UUID

import procrastinate
import structlog
from procrastinate import PsycopgConnector, SyncPsycopgConnector
from psycopg.conninfo import make_conninfo

from service.config import Settings
from service.db import (
    Connection,
    Pool,
    connect,
    one,
    query,
    tenant_transaction,
    transform_url,
)
from service.errors import AlreadyRunningError, QuintileError
from service.jobs.build import recorded_build
from service.jobs.runs import (
    STALE_AFTER_SECONDS,
    Trigger,
    recorded,
    start_builds,
    start_run,
)
from service.jobs.webhooks import NOTICES_TASK, PRIVACY_TASK
from service.jobs.webhooks import QUEUE as WEBHOOK_QUEUE
from service.klaviyo.records import add_rows
from service.klaviyo.sync import sync_klaviyo
from service.notifications.outbox import NOTIFY_TASK, send_notification
from service.notifications.outbox import QUEUE as NOTIFICATION_QUEUE
from service.privacy.requests import process_request
from service.shopify.sync import sync_shopify
from service.webhooks.housekeeping import purge_jobs, purge_tenant
from service.webhooks.work import process_notices

log = structlog.get_logger(__name__)

# Task names, by the kind of run they do.
TASKS: dict[str, str] = {
    "shopify_sync": "quintile.shopify_sync",
    "segments_sync": "quintile.segments_sync",
    "klaviyo_sync": "quintile.klaviyo_sync",
    "klaviyo_plan": "quintile.klaviyo_plan",
    "build": "quintile.build",
}
Enqueueable = Literal["shopify_sync", "segments_sync", "klaviyo_sync", "klaviyo_plan", "build"]
FannedOut = Literal["shopify_sync", "segments_sync", "klaviyo_sync"]

# Attempts after the first, for what keeps a job from beginning its run: a run that has begun ends
# in success or failure, and what a failure needs is told there.
_RETRY = procrastinate.RetryStrategy(max_attempts=3, exponential_wait=5)

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

    ``behind_running`` is as in :func:`service.jobs.runs.start_run`.

    Returns:
        The run's row.
    """
    started = start_run(conn, tenant_id, kind, trigger, behind_running=behind_running)
    if started.created:
        # The queue's functions name its tables without a schema.
        conn.execute("set local search_path = jobs, pg_temp")
        _deferring.configure_task(
            TASKS[kind],
            connection=conn,
            queue="builds" if kind == "build" else "syncs",
            # Nothing overlaps itself: one job of a kind at a time for a tenant.
            lock=f"{kind} {tenant_id}",
        ).defer(tenant_id=str(tenant_id), run_id=str(started.run["run_id"]))
    return started.run


@dataclass(frozen=True)
class Worker:
    """What the tasks need: the settings, and the service's pool."""

    settings: Settings
    pool: Pool

    def shopify_sync(self, tenant_id: str, run_id: str) -> None:
        """Sync one tenant's customers and orders."""
        self._do(tenant_id, run_id, partial(sync_shopify, only="orders"))

    def segments_sync(self, tenant_id: str, run_id: str) -> None:
        """Sync one tenant's Shopify segments."""
        self._do(tenant_id, run_id, partial(sync_shopify, only="segments"))

    def klaviyo_sync(self, tenant_id: str, run_id: str) -> None:
        """Sync one tenant's Klaviyo lists."""
        self._do(tenant_id, run_id, sync_klaviyo)

    def klaviyo_plan(self, tenant_id: str, run_id: str) -> None:
        """Plan a sync of one tenant's Klaviyo lists, and change nothing."""
        self._do(tenant_id, run_id, sync_klaviyo)

    def build_one(self, tenant_id: str, run_id: str) -> None:
        """Build one tenant's models."""
        with connect(transform_url(self.settings)) as conn:
            row = one(
                conn.execute(query("jobs/sql/tenant_name"), {"tenant_id": tenant_id}).fetchone()
            )
        runs = {UUID(tenant_id): UUID(run_id)}
        recorded_build(self.settings, self.pool, runs, tenants=[row["name"]], quiet=True)

    def build_all(self) -> None:
        """Build every tenant's models in one dbt build."""
        runs = start_builds(self.pool, self.tenants(""), "schedule")
        if runs:
            recorded_build(self.settings, self.pool, runs, quiet=True)

    def fan_out(self, kind: FannedOut) -> None:
        """Queue a sync for every tenant that is connected."""
        provider = "klaviyo" if kind == "klaviyo_sync" else "shopify"
        for tenant_id in self.tenants(provider):
            with tenant_transaction(self.pool, tenant_id) as conn:
                run = enqueue(conn, tenant_id, kind, "schedule")
                if kind == "klaviyo_sync" and run["state"] == "queued":
                    add_rows(conn, tenant_id, run["run_id"], only_scheduled=True)

    def webhooks(self, tenant_id: str) -> None:
        """Work through one tenant's webhooks."""
        process_notices(self.settings, self.pool, UUID(tenant_id), _wake_sync)

    def privacy(self, tenant_id: str, webhook_id: str) -> None:
        """Meet one privacy request."""
        process_request(self.settings, self.pool, UUID(tenant_id), webhook_id)

    def notify(self, tenant_id: str, notification_id: str) -> None:
        """Send one notification."""
        send_notification(self.settings, self.pool, UUID(tenant_id), UUID(notification_id))

    def housekeep(self) -> None:
        """Delete what has been kept for long enough."""
        for tenant_id in self.tenants(""):
            purge_tenant(self.settings, self.pool, tenant_id)
        purge_jobs(self.settings)

    def tenants(self, provider: str) -> list[UUID]:
        """Ids of all tenants, or of those with a working connection to a provider."""
        with connect(transform_url(self.settings)) as conn:
            rows = conn.execute(query("jobs/sql/list_tenants"), {"provider": provider}).fetchall()
        return [row["tenant_id"] for row in rows]

    def _do(
        self,
        tenant_id: str,
        run_id: str,
        work: Callable[[Settings, Pool, UUID, Any], None],
    ) -> None:
        # A run that somebody else has taken over meanwhile is not this job's any more.
        with (
            contextlib.suppress(AlreadyRunningError),
            recorded(self.pool, UUID(tenant_id), UUID(run_id)) as progress,
        ):
            work(self.settings, self.pool, UUID(tenant_id), progress)


def _wake_sync(conn: Connection, tenant_id: UUID) -> None:
    enqueue(conn, tenant_id, "shopify_sync", "schedule")


def worker_app(settings: Settings, pool: Pool) -> procrastinate.App:
    """The queue with its tasks and schedules, for the worker process."""
    conninfo = make_conninfo(transform_url(settings), options="-c search_path=jobs,pg_temp")
    app = procrastinate.App(connector=PsycopgConnector(conninfo=conninfo))
    worker = Worker(settings, pool)
    for kind, queue, work in (
        ("shopify_sync", "syncs", worker.shopify_sync),
        ("segments_sync", "syncs", worker.segments_sync),
        ("klaviyo_sync", "syncs", worker.klaviyo_sync),
        ("klaviyo_plan", "syncs", worker.klaviyo_plan),
        ("build", "builds", worker.build_one),
    ):
        app.task(name=TASKS[kind], queue=queue, retry=_RETRY)(_explained(work))
    app.task(name=NOTICES_TASK, queue=WEBHOOK_QUEUE, retry=_RETRY)(worker.webhooks)
    app.task(name=PRIVACY_TASK, queue=WEBHOOK_QUEUE, retry=_RETRY)(worker.privacy)
    app.task(name=NOTIFY_TASK, queue=NOTIFICATION_QUEUE, retry=_RETRY)(worker.notify)
    _schedule(app, settings.schedule_housekeeping, "housekeeping", worker.housekeep)
    _schedule(app, settings.schedule_segments, "segments", lambda: worker.fan_out("segments_sync"))
    _schedule(app, settings.schedule_orders, "shopify", lambda: worker.fan_out("shopify_sync"))
    _schedule(app, settings.schedule_klaviyo, "klaviyo", lambda: worker.fan_out("klaviyo_sync"))
    _schedule(app, settings.schedule_build, "build", worker.build_all)

    @app.periodic(cron="* * * * *", periodic_id="stalled")
    @app.task(name="quintile.retry_stalled", queue="schedule", queueing_lock="stalled")
    async def retry_stalled(timestamp: int) -> None:  # noqa: ARG001
        """Take up again the jobs of workers that were killed."""
        for job in await app.job_manager.get_stalled_jobs(
            # Later than a run counts as dead, so that the job may take its run over.
            seconds_since_heartbeat=STALE_AFTER_SECONDS + 30
        ):
            log.warning("taking up a stalled job", job_id=job.id, task=job.task_name)
            await app.job_manager.retry_job(job)

    return app


def _schedule(app: procrastinate.App, cron: str, name: str, work: Callable[[], None]) -> None:
    @app.periodic(cron=cron, periodic_id=name)
    @app.task(
        name=f"quintile.schedule_{name}",
        queue="schedule",
        queueing_lock=f"schedule {name}",
        retry=_RETRY,
    )
    def scheduled(timestamp: int) -> None:  # noqa: ARG001
        work()


def _explained(work: Callable[[str, str], None]) -> Callable[..., None]:
    """A failure that the run's row explains already ends the job quietly."""

    def task(tenant_id: str, run_id: str) -> None:
        try:
            work(tenant_id, run_id)
        except QuintileError as error:
            log.warning("job failed", reason=error.message, tenant_id=tenant_id, run_id=run_id)

    return task
