"""Runs: every sync, build and import has a row in app.runs, which records its progress and end."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

import psycopg
import structlog
from psycopg import sql
from psycopg.types.json import Jsonb

from service.core.config import Settings
from service.core.db import Connection, Pool, tenant_transaction
from service.core.errors import AlreadyRunningError, QuintileError
from service.core.failures import explain_failure
from service.core.metrics import count_run
from service.core.queries import query
from service.queue.retry import HandedBackError, PostponedError, is_transient, next_try, retry_until

Kind = Literal[
    "shopify_sync",
    "segments_sync",
    "klaviyo_sync",
    "klaviyo_plan",
    "metafields_sync",
    "build",
    "orders_import",
    "promo_codes",
]
Trigger = Literal["schedule", "person", "webhook", "cli"]

# After this long without a heartbeat, the process of a run counts as dead.
STALE_AFTER_SECONDS = 120
# Heartbeats in that time: a few may be lost.
_BEATS = 8
_REPORT_SECONDS = 0.5
# Runs that share their work report less often, as each report is a transaction.
_MAX_REPORTS_PER_SECOND = 20

log = structlog.get_logger(__name__)


class LostRunError(QuintileError):
    """Another process took the run over, because this one sent no heartbeat for too long."""


@dataclass(frozen=True)
class RunPolicy:
    """How a process does runs; the defaults are for a command, whose user sees failures at once.

    Args:
        stale_after: Seconds without a heartbeat after which the process of a run counts as dead.
        attempts: How often a run is started at most, if its failures are transient or its process
            dies.
        retry_after: Seconds from the first failure to the first retry, at most.
        end_timeout: Seconds for which writing the end of a run is retried without a database.
        stopping: Set when the process must give unfinished runs back to the queue.
    """

    stale_after: int = STALE_AFTER_SECONDS
    attempts: int = 1
    retry_after: float = 0.0
    end_timeout: float = 0.0
    stopping: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def for_worker(cls, settings: Settings, stopping: threading.Event) -> RunPolicy:
        """The policy of a worker, which retries runs by itself."""
        return cls(
            stale_after=settings.run_stale_seconds,
            attempts=settings.run_attempts,
            retry_after=settings.run_retry_seconds,
            end_timeout=settings.run_stale_seconds,
            stopping=stopping,
        )


INTERACTIVE = RunPolicy()


@dataclass(frozen=True)
class StartedRun:
    """A run, and whether this call created it or found it unfinished."""

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
        tenant_id: The tenant.
        kind: What the run does.
        trigger: What started it.
        behind_running: Queue a run behind a running one, which may have read old data. At most one
            run of a kind waits in any case.
    """
    parameters = {
        "tenant_id": tenant_id,
        "kind": kind,
        "trigger": trigger,
        "stale_after": STALE_AFTER_SECONDS,
        "blocking_states": ["queued"] if behind_running else ["queued", "running"],
    }
    conn.execute(query("queue.close_stale_run"), parameters)
    created = conn.execute(query("queue.start_run"), parameters).fetchone()
    if created is not None:
        return StartedRun(created, created=True)
    found = conn.execute(query("queue.find_unfinished_run"), parameters).fetchone()
    if found is None:
        # The other run ended between the two statements.
        return start_run(conn, tenant_id, kind, trigger, behind_running=behind_running)
    return StartedRun(found, created=False)


def get_run(conn: Connection, tenant_id: UUID, run_id: UUID) -> dict[str, Any] | None:
    """One run of this tenant."""
    parameters = {"tenant_id": tenant_id, "run_id": run_id}
    return conn.execute(query("queue.get_run"), parameters).fetchone()


@dataclass(eq=False)
class RunRecorder:
    """Writes a run's progress, at most twice a second, and its end.

    Reporting raises HandedBackError when the process must stop, and LostRunError when another
    process has taken the run over.
    """

    pool: Pool
    tenant_id: UUID
    run_id: UUID
    kind: str
    attempt: int
    policy: RunPolicy
    shared_by: int
    phase_name: str | None = None
    done: int = 0
    total: int | None = None
    counts: Counter[str] = field(default_factory=Counter)
    is_over: bool = False
    next_attempt_at: datetime | None = None
    _started_at: float = field(default_factory=time.monotonic)
    _written_at: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def ids(self) -> dict[str, str]:
        """The run's ids, for the log."""
        return {"tenant_id": str(self.tenant_id), "run_id": str(self.run_id)}

    def phase(self, name: str, total: int | None = None) -> None:
        """Begin a phase."""
        self.phase_name, self.done, self.total = name, 0, total
        self._check_stopping()
        self.write()

    def advance(self, done: int = 1) -> None:
        """Add finished units to the phase."""
        self.done += done
        self._write_if_due()

    def set_progress(self, done: int, total: int) -> None:
        """Set the finished units of the phase, and their total."""
        self.done, self.total = done, total
        self._write_if_due()

    def count(self, **counts: int) -> None:
        """Add to the run's counters."""
        self.counts.update(counts)
        self._write_if_due()

    def write(self) -> None:
        """Write the progress now.

        Raises:
            LostRunError: Another process has taken the run over.
        """
        with self._lock:
            self._written_at = time.monotonic()
            statement = query("queue.report_progress")
            written = self._execute(statement, phase=self.phase_name, total=self.total)
        if not written:
            raise LostRunError

    def end(self, error: BaseException | None) -> None:
        """End the run: succeeded, failed, or back in the queue. Does nothing if it has ended."""
        if self.is_over:
            return
        self.is_over = True
        retry_until(lambda: self._end(error), self.policy.end_timeout)

    def _end(self, error: BaseException | None) -> None:
        if isinstance(error, LostRunError):
            log.warning("run lost", **self.ids)
        elif isinstance(error, HandedBackError):
            self._postpone(datetime.now(UTC), None, is_counted=False)
        elif error is not None and is_transient(error) and self.attempt < self.policy.attempts:
            self._postpone(next_try(self.attempt, self.policy.retry_after), error, is_counted=True)
        else:
            self._finish(error)

    def _postpone(self, at: datetime, error: BaseException | None, *, is_counted: bool) -> None:
        """Put the run back into the queue, unless one of its kind already waits there."""
        message, advice = _describe(error)
        try:
            self._execute(
                query("queue.postpone_run"),
                error=message,
                advice=advice,
                at=at,
                is_counted=is_counted,
            )
        except psycopg.errors.UniqueViolation:
            self._finish(error or HandedBackError("The queued run behind it does its work."))
            return
        self.next_attempt_at = at
        log.warning("run postponed", until=at.isoformat(), error=message, **self.ids)

    def _finish(self, error: BaseException | None) -> None:
        message, advice = _describe(error)
        if isinstance(error, QuintileError) and error.detail:
            log.error("run failed", detail=error.detail, **self.ids)
        elif error is not None and not isinstance(error, _EXPECTED):
            log.error("run failed", exc_info=error, **self.ids)
        state = "failed" if error is not None else "succeeded"
        if not self._execute(query("queue.finish_run"), state=state, error=message, advice=advice):
            log.warning("run lost", **self.ids)
            return
        count_run(self.kind, state, time.monotonic() - self._started_at)
        log.info("run finished", state=state, error=message, **self.counts, **self.ids)

    def _execute(self, statement: sql.SQL, **parameters: Any) -> bool:
        """Change the run, unless another process has taken it over; whether it was changed."""
        with tenant_transaction(self.pool, self.tenant_id) as conn:
            changed = conn.execute(
                statement,
                {
                    "tenant_id": self.tenant_id,
                    "run_id": self.run_id,
                    "attempt": self.attempt,
                    "done": self.done,
                    "counts": Jsonb(dict(self.counts)),
                    **parameters,
                },
            )
            return changed.rowcount > 0

    def _write_if_due(self) -> None:
        self._check_stopping()
        every_seconds = max(_REPORT_SECONDS, self.shared_by / _MAX_REPORTS_PER_SECOND)
        if time.monotonic() - self._written_at >= every_seconds:
            self.write()

    def _check_stopping(self) -> None:
        if self.policy.stopping.is_set():
            raise HandedBackError


@contextmanager
def record_run(
    pool: Pool, tenant_id: UUID, run_id: UUID, policy: RunPolicy = INTERACTIVE
) -> Iterator[RunRecorder]:
    """Start a queued run; at the end of the block it has succeeded, or failed with the error.

    Raises:
        AlreadyRunningError: Another process is doing it, or the run has ended.
        PostponedError: The run will be retried by the policy.
    """
    with record_runs(pool, {tenant_id: run_id}, policy) as recorders:
        if not recorders:
            raise AlreadyRunningError(advice=f"Follow it as run {run_id}.")
        with structlog.contextvars.bound_contextvars(**recorders[0].ids):
            yield recorders[0]


@contextmanager
def record_runs(
    pool: Pool, runs: Mapping[UUID, UUID], policy: RunPolicy = INTERACTIVE
) -> Iterator[list[RunRecorder]]:
    """As :func:`record_run`, for work that runs of several tenants share (run ids by tenant).

    Runs that another process has taken are left out, so the list may be empty.
    """
    recorders = [
        recorder
        for tenant_id, run_id in runs.items()
        if (recorder := _begin(pool, tenant_id, run_id, policy, len(runs))) is not None
    ]
    # Processes with another policy judge by STALE_AFTER_SECONDS.
    every_seconds = min(policy.stale_after, STALE_AFTER_SECONDS) / _BEATS
    try:
        with repeat_in_thread("run-heartbeat", every_seconds, lambda: _send_heartbeats(recorders)):
            yield recorders
    except BaseException as error:
        for recorder in recorders:
            recorder.end(error)
        waiting = [item.next_attempt_at for item in recorders if item.next_attempt_at is not None]
        if waiting:
            raise PostponedError(min(waiting)) from error
        raise
    for recorder in recorders:
        recorder.end(None)


@dataclass(frozen=True)
class Builds:
    """Run ids by tenant: those that this process does, and those that others are doing."""

    mine: dict[UUID, UUID]
    others: dict[UUID, UUID]


def start_builds(pool: Pool, tenants: Iterable[UUID], trigger: Trigger) -> Builds:
    """Queue a build of each tenant, or find the one that is queued or running."""
    builds = Builds({}, {})
    for tenant_id in tenants:
        with tenant_transaction(pool, tenant_id) as conn:
            run = start_run(conn, tenant_id, "build", trigger).run
        runs = builds.mine if run["state"] == "queued" else builds.others
        runs[tenant_id] = run["run_id"]
    return builds


def _begin(
    pool: Pool, tenant_id: UUID, run_id: UUID, policy: RunPolicy, shared_by: int
) -> RunRecorder | None:
    """Start a run; None when another process has it, or too many processes died doing it."""
    parameters = {"tenant_id": tenant_id, "run_id": run_id, "stale_after": policy.stale_after}
    try:
        with tenant_transaction(pool, tenant_id) as conn:
            begun = conn.execute(query("queue.begin_run"), parameters).fetchone()
    except psycopg.errors.UniqueViolation:
        # Another run of this kind began at the same moment.
        return None
    if begun is None:
        return None
    kind, attempt = begun["kind"], begun["attempts"]
    recorder = RunRecorder(pool, tenant_id, run_id, kind, attempt, policy, shared_by)
    if 1 < policy.attempts < attempt:
        recorder.end(_DIED_TOO_OFTEN)
        return None
    log.info("run started", kind=kind, attempt=attempt, **recorder.ids)
    return recorder


_START_AGAIN = "Start it again; it resumes where it stopped."
_EXPECTED = (QuintileError, KeyboardInterrupt, SystemExit)
_DIED_TOO_OFTEN = QuintileError(
    "The process of this run ended each time without finishing it.",
    advice="The worker may have too little memory; see its log and the system log.",
)


def _describe(error: BaseException | None) -> tuple[str | None, str | None]:
    """What people see of an error: message and advice."""
    if error is None:
        return None, None
    if isinstance(error, QuintileError):
        return error.message, error.advice or None
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        return "The run was interrupted.", _START_AGAIN
    if (explained := explain_failure(error)) is not None:
        return explained
    # The text of an unexpected error may hold anything, so only the log has it.
    name = type(error).__name__
    return f"An unexpected error occurred ({name}).", "See the log for this run's id."


def _send_heartbeats(recorders: Sequence[RunRecorder]) -> None:
    for recorder in recorders:
        try:
            if not recorder.is_over:
                recorder.write()
        except Exception:
            # The database may be restarting; if the run is lost, the work itself notices. The
            # others must be heard of.
            log.warning("heartbeat failed", exc_info=True, **recorder.ids)


@contextmanager
def repeat_in_thread(name: str, every_seconds: float, call: Callable[[], object]) -> Iterator[None]:
    """Call again and again in a thread, first after ``every_seconds``, until the block ends."""
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(every_seconds):
            call()

    thread = threading.Thread(target=repeat, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
