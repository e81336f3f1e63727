"""The shared build: one dbt build of all tenants that are due, in which tenants fail separately."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from threading import Event
from uuid import UUID

import structlog

from service.builds.dbt_runs import Dbt
from service.builds.followups import queue_followups
from service.builds.locks import MAX_TENANTS
from service.builds.run import begin_building, build, report_to
from service.core.config import Settings
from service.core.db import Pool, advisory_lock, connect, transform_url
from service.core.errors import BuildFailedError
from service.core.queries import query
from service.queue.defer import enter_queue
from service.queue.retry import is_transient
from service.queue.runs import LostRunError, RunPolicy, RunRecorder, record_runs

log = structlog.get_logger(__name__)

# Held by the scheduler while it queues what is due.
SCHEDULER_LOCK = "scheduler"


def build_due_tenants(
    settings: Settings,
    pool: Pool,
    asked: Mapping[UUID, UUID],
    policy: RunPolicy,
    dbt: Dbt | None = None,
) -> None:
    """Build every tenant whose scheduled build is due, in one dbt build.

    Args:
        settings: What to run with.
        pool: The service's pool.
        asked: Tenant and run of the job that does this. Nothing is built if its run is not due.
        policy: How the runs are done.
        dbt: How dbt starts.

    Raises:
        PostponedError: The failure is transient; the runs will be retried.
    """
    with connect(transform_url(settings)) as conn:
        # Wait until the scheduler has queued every build that is due at the same time.
        parameters = {"stale_after": policy.stale_after}
        with advisory_lock(conn, SCHEDULER_LOCK, log.info, is_shared=True):
            rows = conn.execute(query("builds.list_due_builds"), parameters).fetchall()
        runs = {row["tenant_id"]: row["run_id"] for row in rows}
        if not asked.items() <= runs.items():
            return
        names = {row["tenant_id"]: row["name"] for row in rows}
        with record_runs(pool, runs, policy) as recorders:
            begin_building(pool, recorders)
            # A build of more tenants would run alone, and block builds on demand.
            for start in range(0, len(recorders), MAX_TENANTS):
                part = recorders[start : start + MAX_TENANTS]
                _build_together(settings, pool, part, names, policy.stopping, dbt)
        # The jobs of the other runs have nothing left to do.
        done = {"tenant_ids": [str(tenant_id) for tenant_id in runs]}
        with conn.transaction():
            enter_queue(conn)
            conn.execute(query("builds.delete_done_builds"), done)


def _build_together(
    settings: Settings,
    pool: Pool,
    recorders: list[RunRecorder],
    names: Mapping[UUID, str],
    stopping: Event,
    dbt: Dbt | None,
) -> None:
    """Build these tenants together; halve a build that fails, so that tenants fail alone.

    Raises:
        BuildFailedError: The failure is transient.
    """
    parts = deque([recorders])
    # Enough to find two tenants or more. If they do not suffice, it is probably the models.
    splits_left = 2 * len(recorders).bit_length()
    while parts:
        part = parts.popleft()
        failure: BuildFailedError | None = None
        try:
            build(
                settings,
                tenants=[names[recorder.tenant_id] for recorder in part],
                quiet=True,
                report=report_to(part),
                stopping=stopping,
                dbt=dbt,
            )
        except LostRunError:
            # Other processes have taken all runs of this part.
            continue
        except BuildFailedError as error:
            if is_transient(error):
                raise
            failure = error
        if failure is None:
            queue_followups(pool, part)
        if failure is None or len(part) == 1 or not splits_left:
            for recorder in part:
                recorder.end(failure)
        else:
            log.warning("shared build failed", tenants=len(part), detail=failure.detail)
            splits_left -= 1
            middle = len(part) // 2
            parts += [part[:middle], part[middle:]]
