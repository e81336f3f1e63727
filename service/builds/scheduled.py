"""The one dbt build of all tenants that are due, which one tenant's trouble does not spoil."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from uuid import UUID

import structlog

from service.builds.locks import MAX_TENANTS
from service.builds.run import begin_building, build, report_to
from service.core.config import Settings
from service.core.db import Pool, advisory_lock, connect, transform_url
from service.core.errors import BuildFailedError
from service.core.queries import query
from service.queue.defer import enter_queue
from service.queue.retry import is_transient
from service.queue.runs import RunPolicy, RunRecorder, record_runs

log = structlog.get_logger(__name__)

# What the fan-out and the build of what it has queued agree on.
SCHEDULER_LOCK = "scheduler"


def build_due_tenants(
    settings: Settings, pool: Pool, asked: Mapping[UUID, UUID], policy: RunPolicy
) -> None:
    """Build every tenant whose scheduled build waits, and whose turn it is, in one dbt build.

    Args:
        settings: What to run with.
        pool: The service's pool.
        asked: The tenant and run of the job that does this; nothing is done when it waits no more.
        policy: On what policy the runs are done.

    Raises:
        PostponedError: What went wrong will pass; the runs wait for it.
    """
    with connect(transform_url(settings)) as conn:
        # All who are due at the same time belong to one build.
        with advisory_lock(conn, SCHEDULER_LOCK, log.info, is_shared=True):
            rows = conn.execute(
                query("builds.list_due_builds"), {"stale_after": policy.stale_after}
            ).fetchall()
        runs = {row["tenant_id"]: row["run_id"] for row in rows}
        if not asked.items() <= runs.items():
            return
        names = {row["tenant_id"]: row["name"] for row in rows}
        with record_runs(pool, runs, policy) as recorders:
            if not recorders:
                return
            begin_building(pool, recorders)
            # A build of more would have everything to itself, and whoever asks for one would wait.
            for start in range(0, len(recorders), MAX_TENANTS):
                part = recorders[start : start + MAX_TENANTS]
                _Shared(settings, names, policy.stopping, _splits(len(part))).build(part)
        # Their own jobs would find nothing left to do.
        with conn.transaction():
            enter_queue(conn)
            conn.execute(
                query("builds.delete_done_builds"),
                {"tenant_ids": [str(tenant_id) for tenant_id in runs]},
            )


def _splits(tenants: int) -> int:
    """How many further builds it may take to find who spoils one: two for each halving, twice."""
    return 4 * tenants.bit_length()


@dataclass
class _Shared:
    """A build that many tenants share. One that fails is done again in two halves.

    So the tenants whose data or settings make it fail are found, and the others are built; after
    ``budget`` further builds it is no tenant's fault.
    """

    settings: Settings
    names: Mapping[UUID, str]
    stopping: Event
    budget: int

    def build(self, recorders: Sequence[RunRecorder]) -> None:
        """Build these tenants; those that cannot be end with the reason.

        Raises:
            BuildFailedError: It may succeed later for all of them.
        """
        try:
            build(
                self.settings,
                tenants=[self.names[recorder.tenant_id] for recorder in recorders],
                quiet=True,
                report=report_to(recorders),
                stopping=self.stopping,
            )
        except BuildFailedError as error:
            if is_transient(error):
                raise
            self._blame(recorders, error)
        else:
            for recorder in recorders:
                recorder.end(None)

    def _blame(self, recorders: Sequence[RunRecorder], error: BuildFailedError) -> None:
        if len(recorders) == 1 or self.budget <= 0:
            for recorder in recorders:
                recorder.end(error)
            return
        log.warning("shared build failed", tenants=len(recorders), detail=error.detail)
        self.budget -= 2
        middle = len(recorders) // 2
        self.build(recorders[:middle])
        self.build(recorders[middle:])
