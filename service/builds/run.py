"""``quintile build``: a thin wrapper on ``dbt build``."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from uuid import UUID

from service.builds.locks import BuildLock, build_lock
from service.core.config import PROJECT_DIR, Settings
from service.core.db import Pool, tenant_transaction, transform_url
from service.core.errors import BuildFailedError, InvalidInputError
from service.queue.retry import HandedBackError
from service.queue.runs import INTERACTIVE, LostRunError, RunPolicy, RunRecorder, record_runs
from service.shopify.order_history import read_order_limit

Report = Callable[[int, int], None]

# dbt numbers its steps as it starts them: "16:33:29  79 of 89 START test …"; hooks apart.
_STEP = re.compile(r" (\d+) of (\d+) START (?!hook)")


_LOOK_SECONDS = 0.5

# How dbt tells of a database that went away, and of what may go well the next time.
_PASSING = (
    "terminating connection",
    "server closed the connection",
    "connection to server",
    "connection already closed",
    "SSL connection has been closed",
    "the database system is",
    "deadlock detected",
)

# Vars whose value is nothing to the manifest: they come in when SQL is made. Whether these two are
# given does matter: a build of some tenants never makes a table anew, and a backfill reads models
# that nothing else does.
_BEYOND_MANIFEST = ("as_of", "has_turn")
_FOR_EXAMPLE = {"backfill": ["2000-01-01"], "tenants": ["for example"]}

# A day begins earlier elsewhere, and clocks differ.
_LONGEST_AHEAD = timedelta(days=1)


def parse_instant(text: str) -> datetime:
    """An ISO 8601 date or time as an instant; UTC where no offset is given.

    Raises:
        InvalidInputError: It is neither.
    """
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInputError(
            f"'{text}' is not a date or time.", advice="For example 2026-12-31 or 2026-12-31T03:00Z"
        ) from None
    return given if given.tzinfo else given.replace(tzinfo=UTC)


def is_future(instant: datetime) -> bool:
    """Whether an instant is more than a day ahead."""
    return instant - datetime.now(UTC) > _LONGEST_AHEAD


def parse_as_of(text: str) -> datetime:
    """An instant that may become part of history, as :func:`parse_instant` reads it.

    Raises:
        InvalidInputError: It is no date or time, or it is in the future: every build until then
            would be a look back, which history does not record.
    """
    instant = parse_instant(text)
    if is_future(instant):
        raise InvalidInputError(
            f"{text} is in the future.",
            advice="Builds before it would not be recorded until then. Leave --as-of out for now.",
        )
    return instant


def build(
    settings: Settings,
    *,
    tenants: Sequence[str] = (),
    as_of: str | None = None,
    backfill: Sequence[str] = (),
    full_refresh: bool = False,
    quiet: bool = False,
    report: Report = lambda _done, _total: None,
    stopping: Event | None = None,
) -> None:
    """Build and test every model, for some tenants (by name) or for all.

    ``backfill`` are earlier instants (ISO 8601), from the first of which on RFM history is written
    again. Builds of different tenants run at the same time (see :mod:`service.builds.locks`); a
    second one of a tenant waits. ``report`` is told how many of dbt's steps are done, of how many.
    ``stopping`` ends dbt in whatever step it is.

    Raises:
        BuildFailedError: dbt did not succeed; the message is its last word on why.
        HandedBackError: dbt was ended, as the process is to stop.
    """
    dbt_vars: dict[str, object] = {"has_turn": True}
    if as_of is not None:
        dbt_vars["as_of"] = parse_instant(as_of).isoformat()
    if backfill:
        dbt_vars["backfill"] = list(backfill)
    with build_lock(
        settings,
        tenants,
        full_refresh=full_refresh,
        report=lambda text: print(text, file=sys.stderr),
    ) as lock:
        if lock.tenants:
            dbt_vars["tenants"] = list(lock.tenants)
        arguments = [
            *("--no-use-colors", "--warn-error", "build"),
            # Unit tests prove the code, not the data: `make test` and plain `dbt build` run them.
            *("--exclude-resource-type", "unit_test"),
            *("--vars", json.dumps(dbt_vars)),
            *(["--full-refresh"] if full_refresh else []),
        ]
        _run_dbt(
            arguments,
            manifest_vars(dbt_vars),
            settings,
            lock,
            quiet=quiet,
            report=report,
            stopping=stopping or Event(),
        )


def build_and_record(
    settings: Settings,
    pool: Pool,
    runs: Mapping[UUID, UUID],
    *,
    tenants: Sequence[str] = (),
    as_of: str | None = None,
    full_refresh: bool = False,
    quiet: bool = False,
    policy: RunPolicy = INTERACTIVE,
) -> None:
    """As :func:`build`, told in the tenants' runs (tenant ids and run ids of queued ones).

    Raises:
        BuildFailedError: dbt did not succeed; the runs say so too.
        PostponedError: By the policy, it is tried again.
    """
    with record_runs(pool, runs, policy) as recorders:
        if runs and not recorders:
            # Another process has taken them all meanwhile, and builds.
            return
        begin_building(pool, recorders)
        build(
            settings,
            tenants=tenants,
            as_of=as_of,
            full_refresh=full_refresh,
            quiet=quiet,
            report=report_to(recorders),
            stopping=policy.stopping,
        )


def begin_building(pool: Pool, recorders: Iterable[RunRecorder]) -> None:
    """Tell the runs of a build that it begins, and of what it can count."""
    for recorder in recorders:
        with tenant_transaction(pool, recorder.tenant_id, read_only=True) as conn:
            is_limited = read_order_limit(conn, recorder.tenant_id) is not None
        recorder.phase("models and tests")
        if is_limited:
            recorder.count(orders_limited_to_60_days=1)


def report_to(recorders: Sequence[RunRecorder]) -> Report:
    """Tell the runs of a build how far dbt is."""

    def report(done: int, total: int) -> None:
        for recorder in recorders:
            if not recorder.is_over:
                try:
                    recorder.reach(done, total)
                except LostRunError as error:
                    # A tenant that was erased, for example: the others go on.
                    recorder.end(error)
        if all(recorder.is_over for recorder in recorders):
            raise LostRunError

    return report


def manifest_vars(dbt_vars: Mapping[str, object]) -> dict[str, object]:
    """The vars that make the manifest of a build with these; the same for as many as can be."""
    return {
        name: _FOR_EXAMPLE.get(name, value)
        for name, value in sorted(dbt_vars.items())
        if value and name not in _BEYOND_MANIFEST
    }


def dbt_command() -> list[str]:
    """What starts dbt, without its arguments (see :mod:`service.builds.dbt_process`)."""
    return [sys.executable, "-m", "service.builds.dbt_process"]


def _run_dbt(
    arguments: list[str],
    vars_of_manifest: Mapping[str, object],
    settings: Settings,
    lock: BuildLock,
    *,
    quiet: bool,
    report: Report,
    stopping: Event,
) -> None:
    # Neither builds that run at the same time nor two installations that share a checkout may
    # share dbt's caches.
    directory = settings.home_dir / "dbt" / str(lock.slot)
    environment = {
        **os.environ,
        "QUINTILE_TRANSFORM_DATABASE_URL": transform_url(settings),
        "QUINTILE_DBT_THREADS": str(settings.dbt_threads),
        "DBT_PROFILES_DIR": str(PROJECT_DIR),
        "DBT_TARGET_PATH": str(directory / "target"),
        "DBT_LOG_PATH": str(directory / "logs"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }
    tail: deque[str] = deque(maxlen=60)
    total = 0
    with (
        subprocess.Popen(
            [
                *dbt_command(),
                str(directory / "-".join(["manifest", *vars_of_manifest])),
                json.dumps(vars_of_manifest),
                *arguments,
            ],
            cwd=PROJECT_DIR,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
        _ended_by(stopping, process),
    ):
        for line in process.stdout or ():
            tail.append(line.rstrip())
            step = _STEP.search(line)
            if step is not None:
                total = int(step[2])
                report(int(step[1]) - 1, total)
            if not quiet:
                sys.stderr.write(line)
        process.wait()
    if process.returncode != 0 and stopping.is_set():
        raise HandedBackError
    if process.returncode != 0:
        raise BuildFailedError(
            "The build of the models failed.",
            advice="The operator finds the reason in dbt's log.",
            detail=f"{_reason(tail)} (log: {directory / 'logs' / 'dbt.log'})",
            is_transient=any(words in line for line in tail for words in _PASSING),
        )
    # Steps that do nothing, such as an exposure, never start.
    report(total, total)


@contextmanager
def _ended_by(stopping: Event, process: subprocess.Popen[str]) -> Iterator[None]:
    """End dbt when the event is set: a step may take minutes in which dbt says nothing."""
    over = Event()

    def watch() -> None:
        while not over.wait(_LOOK_SECONDS):
            if stopping.is_set():
                # What is not committed is rolled back by the server.
                process.kill()
                return

    thread = Thread(target=watch, name="build-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _reason(tail: Iterable[str]) -> str:
    """The line of dbt's closing words that names the failure."""
    words = [line.partition("  ")[2].strip() or line.strip() for line in tail]
    for line in words:
        if "Error in " in line or "Failure in " in line or " Error" in line:
            return line
    return next((line for line in reversed(words) if line), "no output")
