"""Run ``dbt build`` in a subprocess, and record it in the tenants' runs."""

from __future__ import annotations

import json
import os
import re
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from uuid import UUID

from service.builds.dbt_runs import ColdDbt, Dbt, DbtRequest
from service.builds.followups import queue_followups
from service.builds.locks import build_lock, project_checksum
from service.builds.relations import are_recorded, read_relations, record
from service.core.config import PROJECT_DIR, Settings
from service.core.db import Pool, tenant_transaction, transform_url
from service.core.errors import BuildFailedError, InvalidInputError
from service.queue.retry import HandedBackError
from service.queue.runs import (
    INTERACTIVE,
    LostRunError,
    RunPolicy,
    RunRecorder,
    record_runs,
    repeat_in_thread,
)
from service.shopify.order_history import read_order_limit

# Receives the number of finished steps of dbt, and of all steps.
Report = Callable[[int, int], None]

# dbt numbers the steps that it starts: "16:33:29  79 of 89 START test …". Hooks are numbered apart.
_STEP = re.compile(r" (\d+) of (\d+) START (?!hook)")

_POLL_SECONDS = 0.5

# Parts of dbt's messages for transient errors of the database.
_TRANSIENT = (
    "terminating connection",
    "server closed the connection",
    "connection to server",
    "connection already closed",
    "SSL connection has been closed",
    "the database system is",
    "deadlock detected",
    # Of the database, or of this machine.
    "No space left on device",
    # CPython before 3.11.8, when two threads of dbt parse (python/cpython#106905).
    "AST constructor recursion depth mismatch",
)

# Vars that do not affect the manifest, only SQL. Of the second two, only whether they are given
# matters: a build of some tenants never recreates a table, and a backfill reads additional models.
_IGNORED_BY_MANIFEST = ("as_of", "has_build_lock", "are_relations_unchanged")
_EXAMPLES = {"backfill": ["2000-01-01"], "tenants": ["for example"]}

# Days begin earlier in other time zones, and clocks differ.
_MAX_AHEAD = timedelta(days=1)


def is_future(instant: datetime) -> bool:
    """Whether an instant is more than a day ahead."""
    return instant - datetime.now(UTC) > _MAX_AHEAD


def parse_as_of(text: str) -> datetime:
    """The instant of a build, from an ISO 8601 date or time; UTC if it has no offset.

    Raises:
        InvalidInputError: It is neither a date nor a time, or it is in the future: history would
            not record builds until then.
    """
    instant = _parse_instant(text)
    if is_future(instant):
        raise InvalidInputError(
            f"{text} is in the future.",
            advice="History would not record builds until then. Omit --as-of to build as of now.",
        )
    return instant


def _parse_instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInputError(
            f"'{text}' is not a date or time.", advice="For example 2026-12-31 or 2026-12-31T03:00Z"
        ) from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


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
    dbt: Dbt | None = None,
) -> None:
    """Build and test every model, for some tenants (by name) or for all.

    Builds of a tenant run one after the other (see :mod:`service.builds.locks`).

    Args:
        settings: What to run with.
        tenants: Names of tenants; all if empty.
        as_of: ISO 8601; now if not given.
        backfill: Earlier instants (ISO 8601); RFM history is replaced from the first one on.
        full_refresh: Recreate every table and view.
        quiet: Do not print dbt's output.
        report: Receives dbt's progress.
        stopping: Kills dbt when it is set.
        dbt: How dbt starts; as a new process if not given.

    Raises:
        BuildFailedError: dbt failed; the detail is the reason that it printed.
        HandedBackError: dbt was killed, because the process must stop.
    """
    dbt_vars: dict[str, object] = {"has_build_lock": True}
    if as_of is not None:
        dbt_vars["as_of"] = _parse_instant(as_of).isoformat()
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
        # dbt's caches must not be shared by builds that run at the same time, nor by two
        # installations of one checkout.
        directory = settings.home_dir / "dbt" / str(lock.slot)
        found = known = None
        if lock.shared is not None and not backfill:
            found = read_relations(lock.shared, project_checksum())
            known = found if are_recorded(lock.shared, found) else None
        if known is not None:
            dbt_vars["are_relations_unchanged"] = True
        parse_vars = manifest_vars(dbt_vars)
        arguments = [
            # dbt's artifacts and the queries in its log take a fifth of its time, and nothing
            # reads them: after an error the log has its message, and target/run the statement.
            *("--no-use-colors", "--warn-error", "--no-write-json", "--log-level-file", "info"),
            *("build", "--vars", json.dumps(dbt_vars)),
            # Unit tests check the code, not the data: `make test` and plain `dbt build` run them.
            *("--exclude-resource-type", "unit_test"),
            *(["--full-refresh"] if full_refresh else []),
        ]
        request = DbtRequest(
            directory=str(directory / "-".join(["manifest", *parse_vars])),
            manifest_vars=json.dumps(parse_vars),
            arguments=tuple(arguments),
            environment=_environment(settings, directory),
            guarantees="" if known is None else known.guarantees(),
        )
        if dbt is None or not lock.tenants:
            # A build of all runs alone, once for a release, and has a manifest of its own.
            dbt = default_dbt()
        stopping = stopping or Event()
        _run_dbt(request, dbt, quiet=quiet, report=report, stopping=stopping)
        # What this build has repaired, the next one looks at again.
        if lock.shared is not None and known is None and not backfill:
            left = read_relations(lock.shared, project_checksum())
            if left == found:
                record(lock.shared, left)


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
    dbt: Dbt | None = None,
) -> None:
    """As :func:`build`, recorded in queued runs (run ids by tenant).

    Raises:
        BuildFailedError: dbt failed, and so did the runs.
        PostponedError: The runs will be retried by the policy.
    """
    with record_runs(pool, runs, policy) as recorders:
        if runs and not recorders:
            # Another process has taken them all, and is building.
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
            dbt=dbt,
        )
        queue_followups(pool, recorders)


def begin_building(pool: Pool, recorders: Iterable[RunRecorder]) -> None:
    """Begin the phase of a build, and count tenants whose older orders Shopify does not show."""
    for recorder in recorders:
        with tenant_transaction(pool, recorder.tenant_id, read_only=True) as conn:
            is_limited = read_order_limit(conn, recorder.tenant_id) is not None
        try:
            recorder.phase("models and tests")
            if is_limited:
                recorder.count(orders_limited_to_60_days=1)
        except LostRunError as error:
            # For example, the tenant was erased; the other runs continue.
            recorder.end(error)


def report_to(recorders: Sequence[RunRecorder]) -> Report:
    """Report dbt's progress to the runs of a build."""

    def report(done: int, total: int) -> None:
        for recorder in recorders:
            if not recorder.is_over:
                try:
                    recorder.set_progress(done, total)
                except LostRunError as error:
                    # For example, the tenant was erased; the other runs continue.
                    recorder.end(error)
        if all(recorder.is_over for recorder in recorders):
            raise LostRunError

    return report


def manifest_vars(dbt_vars: Mapping[str, object]) -> dict[str, object]:
    """The vars to parse the manifest with: the same for as many builds as possible."""
    return {
        name: _EXAMPLES.get(name, value)
        for name, value in sorted(dbt_vars.items())
        if value and name not in _IGNORED_BY_MANIFEST
    }


def default_dbt() -> Dbt:
    """How builds start dbt unless they say otherwise."""
    return ColdDbt()


def _environment(settings: Settings, directory: Path) -> dict[str, str]:
    return {
        **os.environ,
        "QUINTILE_TRANSFORM_DATABASE_URL": transform_url(settings),
        "QUINTILE_DBT_THREADS": str(settings.dbt_threads),
        "DBT_PROFILES_DIR": str(PROJECT_DIR),
        # Production, whatever target the shell's own dbt commands use.
        "DBT_TARGET": "default",
        "DBT_TARGET_PATH": str(directory / "target"),
        "DBT_LOG_PATH": str(directory / "logs"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }


def _run_dbt(
    request: DbtRequest, dbt: Dbt, *, quiet: bool, report: Report, stopping: Event
) -> None:
    def kill_if_stopping() -> None:
        # Not only at the next line of output: a step may take minutes.
        if stopping.is_set():
            running.kill()

    tail: deque[str] = deque(maxlen=60)
    total = 0
    with (
        dbt.start(request) as running,
        repeat_in_thread("build-watch", _POLL_SECONDS, kill_if_stopping),
    ):
        for line in running.lines():
            tail.append(line.rstrip())
            step = _STEP.search(line)
            if step is not None:
                total = int(step[2])
                report(int(step[1]) - 1, total)
            if not quiet:
                sys.stderr.write(line)
        status = running.wait()
    if status != 0 and stopping.is_set():
        raise HandedBackError
    if status != 0:
        raise BuildFailedError(
            "The build of the models failed.",
            advice="Ask your operator: dbt's log has the reason.",
            detail=f"{_reason(tail)} (log: {request.environment['DBT_LOG_PATH']}/dbt.log)",
            is_transient=any(part in line for line in tail for part in _TRANSIENT),
        )
    # Some steps, such as exposures, never start.
    report(total, total)


def _reason(tail: Iterable[str]) -> str:
    """The line at the end of dbt's output that names the failure."""
    lines = [line.partition("  ")[2].strip() or line.strip() for line in tail]
    for line in lines:
        if "Error in " in line or "Failure in " in line or " Error" in line:
            return line
    return next((line for line in reversed(lines) if line), "no output")
