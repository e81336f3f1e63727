"""Runs: the row in app.runs that every sync, build and import leaves, and its life."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from service.core.metrics import count_run
from service.core.queries import query
from service.queue.retry import HandedBackError, PostponedError, is_transient, next_try, retry_until

Kind = Literal[
    "shopify_sync", "segments_sync", "klaviyo_sync", "klaviyo_plan", "build", "orders_import"
]
Trigger = Literal["schedule", "person", "webhook", "cli"]

# A run whose process has not been heard of for this long is taken to be dead.
STALE_AFTER_SECONDS = 120
# Heartbeats in that time: a few may be lost.
_BEATS = 8
_REPORT_SECONDS = 0.5
# What many runs share is told less often: each of them is a transaction.
_REPORTS_A_SECOND = 20

log = structlog.get_logger(__name__)


class LostRunError(QuintileError):
    """Another process has taken the run over, as this one was not heard of for too long."""


@dataclass(frozen=True)
class RunPolicy:
    """On what policy a process does runs; the defaults are those of a command somebody watches.

    Args:
        stale_after: Seconds of silence after which the process of a run is taken to be dead.
        attempts: How often a run is begun that fails for a reason that passes, or whose process
            dies; with 1, whoever started it is told of the failure at once.
        retry_after: Seconds to the first try after the first failure, about.
        patience: Seconds for which the end of a run is written again when the database is away.
        stopping: Set when the process is to hand back what it has not finished.
    """

    stale_after: int = STALE_AFTER_SECONDS
    attempts: int = 1
    retry_after: float = 0.0
    patience: float = 0.0
    stopping: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def for_worker(cls, settings: Settings, stopping: threading.Event) -> RunPolicy:
        """The policy of a worker, whose runs nobody need start again."""
        return cls(
            stale_after=settings.run_stale_seconds,
            attempts=settings.run_attempts,
            retry_after=settings.run_retry_seconds,
            patience=settings.run_stale_seconds,
            stopping=stopping,
        )


INTERACTIVE = RunPolicy()


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
    conn.execute(query("queue.close_stale_run"), parameters)
    created = conn.execute(query("queue.start_run"), parameters).fetchone()
    if created is not None:
        return StartedRun(created, created=True)
    found = conn.execute(query("queue.find_unfinished_run"), parameters).fetchone()
    if found is None:
        # The other run ended between the two statements: this one's turn.
        return start_run(conn, tenant_id, kind, trigger, behind_running=behind_running)
    return StartedRun(found, created=False)


def get_run(conn: Connection, tenant_id: UUID, run_id: UUID) -> dict[str, Any] | None:
    """One run of this tenant."""
    return conn.execute(
        query("queue.get_run"), {"tenant_id": tenant_id, "run_id": run_id}
    ).fetchone()


class RunRecorder:
    """Writes a run's progress: at most twice a second, and a sign of life now and then.

    Each call may raise HandedBackError, when the process is to stop, or LostRunError.
    """

    def __init__(
        self,
        pool: Pool,
        tenant_id: UUID,
        run_id: UUID,
        kind: str,
        attempt: int,
        policy: RunPolicy,
        sharing: int,
    ) -> None:
        self.pool = pool
        self.tenant_id = tenant_id
        self.run_id = run_id
        self.kind = kind
        self.attempt = attempt
        self.policy = policy
        self.named = {"tenant_id": str(tenant_id), "run_id": str(run_id)}
        self.phase_name: str | None = None
        self.done = 0
        self.total: int | None = None
        self.counts: Counter[str] = Counter()
        self.is_over = False
        self.next_attempt_at: datetime | None = None
        self._report_seconds = max(_REPORT_SECONDS, sharing / _REPORTS_A_SECOND)
        self._began = time.monotonic()
        self._written_at = 0.0
        self._lock = threading.Lock()

    def phase(self, name: str, total: int | None = None) -> None:
        """Begin a phase."""
        self.phase_name, self.done, self.total = name, 0, total
        self._go_on()
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
        """Write the progress now.

        Raises:
            LostRunError: The run is another process's by now.
        """
        with self._lock:
            self._written_at = time.monotonic()
            written = self._execute(
                query("queue.report_progress"), phase=self.phase_name, total=self.total
            )
        if not written:
            raise LostRunError

    def end(self, error: BaseException | None) -> None:
        """End the run: well, in failure, or for now, to be tried again or done by another process.

        What has ended already stays as it is.
        """
        if self.is_over:
            return
        self.is_over = True
        retry_until(lambda: self._end(error), self.policy.patience)

    def _end(self, error: BaseException | None) -> None:
        if isinstance(error, LostRunError):
            log.warning("run lost", **self.named)
        elif isinstance(error, HandedBackError):
            self._wait(datetime.now(UTC), None, is_counted=False)
        elif error is not None and is_transient(error) and self.attempt < self.policy.attempts:
            self._wait(next_try(self.attempt, self.policy.retry_after), error, is_counted=True)
        else:
            self._finish(error)

    def _wait(self, at: datetime, error: BaseException | None, *, is_counted: bool) -> None:
        """Put the run back into the queue, unless one of its kind waits there already."""
        message, advice = _words(error)
        try:
            self._execute(
                query("queue.postpone_run"),
                error=message,
                advice=advice,
                at=at,
                is_counted=is_counted,
            )
        except psycopg.errors.UniqueViolation:
            self._finish(error or HandedBackError("The run that waits behind it does its work."))
            return
        self.next_attempt_at = at
        log.warning("run postponed", until=at.isoformat(), error=message, **self.named)

    def _finish(self, error: BaseException | None) -> None:
        message, advice = _words(error)
        if isinstance(error, QuintileError) and error.detail:
            log.error("run failed", detail=error.detail, **self.named)
        elif error is not None and not isinstance(error, _FORESEEN):
            log.error("run failed", exc_info=error, **self.named)
        state = "failed" if error is not None else "succeeded"
        if not self._execute(query("queue.finish_run"), state=state, error=message, advice=advice):
            log.warning("run lost", **self.named)
            return
        count_run(self.kind, state, time.monotonic() - self._began)
        log.info("run finished", state=state, error=message, **self.counts, **self.named)

    def _execute(self, statement: sql.SQL, **parameters: Any) -> bool:
        """Change the run if it still is this process's; whether it is."""
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

    def _write_now_and_then(self) -> None:
        self._go_on()
        if time.monotonic() - self._written_at >= self._report_seconds:
            self.write()

    def _go_on(self) -> None:
        if self.policy.stopping.is_set():
            raise HandedBackError


@contextmanager
def record_run(
    pool: Pool, tenant_id: UUID, run_id: UUID, policy: RunPolicy = INTERACTIVE
) -> Iterator[RunRecorder]:
    """Do the work of a queued run: it ends succeeded, or failed with the error's sentence.

    Raises:
        AlreadyRunningError: Another process is at it, or the run is over.
        PostponedError: By the policy, what failed is tried again.
    """
    with record_runs(pool, {tenant_id: run_id}, policy) as recorders:
        if not recorders:
            raise AlreadyRunningError(advice=f"Follow it as run {run_id}.")
        bound = {"tenant_id": str(tenant_id), "run_id": str(run_id)}
        with structlog.contextvars.bound_contextvars(**bound):
            yield recorders[0]


@contextmanager
def record_runs(
    pool: Pool, runs: Mapping[UUID, UUID], policy: RunPolicy = INTERACTIVE
) -> Iterator[list[RunRecorder]]:
    """As :func:`recorded`, for one piece of work that many tenants' runs share.

    A run that another process has taken meanwhile is left out; there may be none left.
    """
    recorders = [
        recorder
        for tenant_id, run_id in runs.items()
        if (recorder := _begin(pool, tenant_id, run_id, policy, len(runs))) is not None
    ]
    try:
        # Often enough for whoever goes by the usual time, too.
        with _heartbeat(recorders, min(policy.stale_after, STALE_AFTER_SECONDS) / _BEATS):
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
    """Runs by tenant: those to be done here, and those that another process is at."""

    mine: dict[UUID, UUID]
    others: dict[UUID, UUID]


def start_builds(pool: Pool, tenants: Iterable[UUID], trigger: Trigger) -> Builds:
    """Queue a build of each tenant, or find the one that waits or is under way."""
    builds = Builds({}, {})
    for tenant_id in tenants:
        with tenant_transaction(pool, tenant_id) as conn:
            run = start_run(conn, tenant_id, "build", trigger).run
        runs = builds.mine if run["state"] == "queued" else builds.others
        runs[tenant_id] = run["run_id"]
    return builds


_START_AGAIN = "Start it again; it takes up where it was."
_FORESEEN = (QuintileError, KeyboardInterrupt, SystemExit)


def _begin(
    pool: Pool, tenant_id: UUID, run_id: UUID, policy: RunPolicy, sharing: int
) -> RunRecorder | None:
    """Take a run; None when another process has it, or when it has killed too many."""
    parameters = {"tenant_id": tenant_id, "run_id": run_id, "stale_after": policy.stale_after}
    try:
        with tenant_transaction(pool, tenant_id) as conn:
            begun = conn.execute(query("queue.begin_run"), parameters).fetchone()
    except psycopg.errors.UniqueViolation:
        # One of its kind began this very moment.
        return None
    if begun is None:
        return None
    recorder = RunRecorder(
        pool, tenant_id, run_id, begun["kind"], begun["attempts"], policy, sharing
    )
    if 1 < policy.attempts < begun["attempts"]:
        recorder.end(_DIED_TOO_OFTEN)
        return None
    log.info("run started", kind=begun["kind"], attempt=begun["attempts"], **recorder.named)
    return recorder


_DIED_TOO_OFTEN = QuintileError(
    "The process that did this run ended each time without finishing it.",
    advice="The worker may have too little memory; its log and the system's say more.",
)


def _words(error: BaseException | None) -> tuple[str | None, str | None]:
    """What is shown of an error: what happened, and what to do about it."""
    if error is None:
        return None, None
    if isinstance(error, QuintileError):
        return error.message, error.advice or None
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        return "The run was interrupted.", "Start it again; it takes up where it was."
    if isinstance(error, psycopg.OperationalError):
        return (
            "The connection to the database was lost.",
            "Start it again if it is not tried again.",
        )
    # The text of an unforeseen error may hold anything: it goes to the log, not to the page.
    return (
        f"Something unforeseen went wrong ({type(error).__name__}).",
        "The log has the details under this run's id.",
    )


@contextmanager
def _heartbeat(recorders: Sequence[RunRecorder], every_seconds: float) -> Iterator[None]:
    """Write a sign of life while a long step reports nothing of its own."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(every_seconds):
            try:
                for recorder in recorders:
                    if not recorder.is_over:
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
