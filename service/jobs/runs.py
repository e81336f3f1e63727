"""Runs: the row in app.runs that every sync, build and import leaves, and its life."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import structlog
from psycopg.types.json import Jsonb

from service.db import Connection, Pool, one, query, tenant_transaction
from service.errors import AlreadyRunningError, QuintileError

Kind = Literal[
    "shopify_sync", "segments_sync", "klaviyo_sync", "klaviyo_plan", "build", "orders_import"
]
Trigger = Literal["schedule", "person", "cli"]

# A run whose process has not been heard of for this long is taken to be dead.
STALE_AFTER_SECONDS = 120
_HEARTBEAT_SECONDS = 15
_REPORT_SECONDS = 0.5

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class StartedRun:
    """A run, and whether this call made it or found it unfinished."""

    run: dict[str, Any]
    created: bool


def start_run(
    conn: Connection,
    tenant_id: UUID,
    kind: Kind,
    trigger: Trigger,
    *,
    behind_running: bool = False,
) -> StartedRun:
    """Queue a run, or find the unfinished one of this kind; a dead one is closed first.

    Args:
        conn: A transaction of the tenant.
        tenant_id: Whose run.
        kind: What is to be done.
        trigger: Who asks for it.
        behind_running: Queue one behind a run that is going on, which began before what is to be
            done now was known. One that is still waiting is enough in any case.
    """
    parameters = {
        "tenant_id": tenant_id,
        "kind": kind,
        "trigger": trigger,
        "stale_after": STALE_AFTER_SECONDS,
        "in_the_way": ["queued"] if behind_running else ["queued", "running"],
    }
    conn.execute(query("jobs/sql/close_stale_run"), parameters)
    created = conn.execute(query("jobs/sql/start_run"), parameters).fetchone()
    if created is not None:
        return StartedRun(created, created=True)
    found = conn.execute(query("jobs/sql/find_unfinished_run"), parameters).fetchone()
    if found is None:
        # The other run ended between the two statements: this one's turn.
        return start_run(conn, tenant_id, kind, trigger, behind_running=behind_running)
    return StartedRun(found, created=False)


def get_run(conn: Connection, tenant_id: UUID, run_id: UUID) -> dict[str, Any] | None:
    """One run of this tenant."""
    return conn.execute(
        query("jobs/sql/get_run"), {"tenant_id": tenant_id, "run_id": run_id}
    ).fetchone()


class RunRecorder:
    """Writes a run's progress: at most twice a second, and a sign of life every 15 seconds."""

    def __init__(self, pool: Pool, tenant_id: UUID, run_id: UUID) -> None:
        self.pool = pool
        self.tenant_id = tenant_id
        self.run_id = run_id
        self.named = {"tenant_id": str(tenant_id), "run_id": str(run_id)}
        self.phase_name: str | None = None
        self.done = 0
        self.total: int | None = None
        self.counts: Counter[str] = Counter()
        self._written_at = 0.0
        self._lock = threading.Lock()

    def phase(self, name: str, total: int | None = None) -> None:
        """Begin a phase."""
        self.phase_name, self.done, self.total = name, 0, total
        self.write()

    def advance(self, done: int = 1) -> None:
        """So many more units of the phase are done."""
        self.done += done
        self._write_now_and_then()

    def reach(self, done: int, total: int) -> None:
        """So many units of the phase are done by now, of so many."""
        self.done, self.total = done, total
        self._write_now_and_then()

    def count(self, **counts: int) -> None:
        """Add to the run's counters."""
        self.counts.update(counts)
        self._write_now_and_then()

    def write(self) -> None:
        """Write the progress now."""
        with self._lock:
            self._written_at = time.monotonic()
            with tenant_transaction(self.pool, self.tenant_id) as conn:
                conn.execute(
                    query("jobs/sql/report_progress"),
                    {
                        "tenant_id": self.tenant_id,
                        "run_id": self.run_id,
                        "phase": self.phase_name,
                        "done": self.done,
                        "total": self.total,
                        "counts": Jsonb(dict(self.counts)),
                    },
                )

    def _write_now_and_then(self) -> None:
        if time.monotonic() - self._written_at >= _REPORT_SECONDS:
            self.write()


@contextmanager
def recorded(pool: Pool, tenant_id: UUID, run_id: UUID) -> Iterator[RunRecorder]:
    """Do the work of a queued run: it ends succeeded, or failed with the error's sentence.

    Raises:
        AlreadyRunningError: Another process is at it, or the run is over.
    """
    with recorded_together(pool, {tenant_id: run_id}) as recorders:
        if not recorders:
            raise AlreadyRunningError(advice=f"Follow it as run {run_id}.")
        bound = {"tenant_id": str(tenant_id), "run_id": str(run_id)}
        with structlog.contextvars.bound_contextvars(**bound):
            yield recorders[0]


@contextmanager
def recorded_together(pool: Pool, runs: Mapping[UUID, UUID]) -> Iterator[list[RunRecorder]]:
    """As :func:`recorded`, for one piece of work that many tenants' runs share.

    A run that another process has taken meanwhile is left out; there may be none left.
    """
    recorders = [
        RunRecorder(pool, tenant_id, run_id)
        for tenant_id, run_id in runs.items()
        if _begin(pool, tenant_id, run_id)
    ]
    with _heartbeat(recorders):
        try:
            yield recorders
        except BaseException as error:
            for recorder in recorders:
                _finish(recorder, error)
            raise
    for recorder in recorders:
        _finish(recorder, None)


def start_builds(pool: Pool, tenants: Iterable[UUID], trigger: Trigger) -> dict[UUID, UUID]:
    """Queue a build of each tenant, or find the one that waits; tenant ids and run ids.

    A tenant that is being built by another process right now is left out.
    """
    runs: dict[UUID, UUID] = {}
    for tenant_id in tenants:
        with tenant_transaction(pool, tenant_id) as conn:
            started = start_run(conn, tenant_id, "build", trigger)
        if started.run["state"] == "queued":
            runs[tenant_id] = started.run["run_id"]
    return runs


def _begin(pool: Pool, tenant_id: UUID, run_id: UUID) -> bool:
    with tenant_transaction(pool, tenant_id) as conn:
        begun = conn.execute(
            query("jobs/sql/begin_run"),
            {"tenant_id": tenant_id, "run_id": run_id, "stale_after": STALE_AFTER_SECONDS},
        ).fetchone()
    if begun is not None:
        log.info("run started", kind=begun["kind"], tenant_id=str(tenant_id), run_id=str(run_id))
    return begun is not None


def _finish(recorder: RunRecorder, error: BaseException | None) -> None:
    message = advice = None
    if isinstance(error, QuintileError):
        message, advice = error.message, error.advice or None
        if error.detail:
            log.error("run failed", detail=error.detail, **recorder.named)
    elif isinstance(error, (KeyboardInterrupt, SystemExit)):
        message, advice = "The run was interrupted.", "Start it again; it takes up where it was."
    elif error is not None:
        # The text of an unforeseen error may hold anything: it goes to the log, not to the page.
        message = f"Something unforeseen went wrong ({type(error).__name__})."
        advice = "The log has the details under this run's id."
        log.error("run failed", exc_info=error, **recorder.named)
    with tenant_transaction(recorder.pool, recorder.tenant_id) as conn:
        finished = one(
            conn.execute(
                query("jobs/sql/finish_run"),
                {
                    "tenant_id": recorder.tenant_id,
                    "run_id": recorder.run_id,
                    "state": "failed" if error is not None else "succeeded",
                    "done": recorder.done,
                    "counts": Jsonb(dict(recorder.counts)),
                    "error": message,
                    "advice": advice,
                },
            ).fetchone()
        )
    log.info(
        "run finished",
        state=finished["state"],
        error=message,
        **recorder.counts,
        **recorder.named,
    )


@contextmanager
def _heartbeat(recorders: Sequence[RunRecorder]) -> Iterator[None]:
    """Write a sign of life while a long step reports nothing of its own."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(_HEARTBEAT_SECONDS):
            try:
                for recorder in recorders:
                    recorder.write()
            except Exception:
                # The database may be restarting; the work itself will find out if it is gone.
                log.warning("heartbeat failed", exc_info=True)

    thread = threading.Thread(target=beat, name="run-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
