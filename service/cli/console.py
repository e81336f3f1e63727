"""Shared parts of the commands: output, options, progress, confirmation, result, exit code.

Exit codes: 0 success; 1 something failed; 2 wrong usage; 3 nothing failed, but another process is
already doing some or all of the work (:data:`BUSY`).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any
from uuid import UUID

import click
import psycopg
from click.core import ParameterSource

from service.core.config import Settings
from service.core.db import (
    Connection,
    Pool,
    connect_as_owner,
    find_tenant,
    open_pool,
    tenant_transaction,
)
from service.core.errors import AlreadyRunningError, InvalidInputError, QuintileError
from service.queue.runs import Kind, RunRecorder, get_run, record_run, start_run
from service.shopify.order_history import read_order_limit
from service.shopify.problems import read_problems
from service.tenants.audit import record_command

FAILED = 1
BUSY = 3

_LONGEST_SECRET = 10_000

tenant_option = click.option("--tenant", required=True, metavar="T", help="The tenant's name.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
# For commands that are jobs; see :class:`Result`.
result_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Finish with one JSON object on standard output: state, exit code, runs, counts.",
)


def echo(text: str) -> None:
    """Print a message on standard error; standard output is for data."""
    click.echo(text, err=True)


def print_json(value: Any) -> None:
    """Print a value as one line of JSON."""
    click.echo(json.dumps(value, default=str))


def print_lines(rows: Iterable[Any]) -> None:
    """Print rows as JSON lines."""
    for row in rows:
        print_json(row)


def describe_counts(counts: Mapping[str, int]) -> str:
    """Counters in words, such as ``1,234 orders, 3 deleted``."""
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items())


@contextmanager
def tenant_pool(settings: Settings, name: str) -> Iterator[tuple[Pool, UUID]]:
    """The service's pool, and the id of the tenant with this name.

    Raises:
        UnknownTenantError: There is no such tenant.
    """
    with connect_as_owner(settings) as conn:
        tenant_id = find_tenant(conn, name)
    with open_pool(settings) as pool:
        yield pool, tenant_id


@contextmanager
def tenant_connection(
    settings: Settings, name: str, *, read_only: bool = False
) -> Iterator[tuple[Connection, UUID]]:
    """A transaction of the tenant with this name; raises as :func:`tenant_pool`."""
    with (
        tenant_pool(settings, name) as (pool, tenant_id),
        tenant_transaction(pool, tenant_id, read_only=read_only) as conn,
    ):
        yield conn, tenant_id


def warn_order_limit(conn: Connection, name: str, tenant_id: UUID) -> None:
    """Warn if older orders are missing from the tenant's figures."""
    if limit := read_order_limit(conn, tenant_id):
        echo(f"Warning: {name}: {limit['in_words']} {limit['advice']}")


def warn_problems(conn: Connection, name: str, tenant_id: UUID) -> None:
    """Warn of what the tenant's shop does not give."""
    for problem in read_problems(conn, tenant_id):
        echo(f"Warning: {name}: {problem.in_words} {problem.advice}")


def read_secret(what: str, *, accepts_json: bool = False) -> str:
    """Read a secret from standard input; other users could see it in the arguments."""
    if sys.stdin.isatty():
        secret: str = click.prompt(what, hide_input=True)
    else:
        secret = sys.stdin.readline()
        if accepts_json and secret.lstrip().startswith("{"):
            secret += sys.stdin.read(_LONGEST_SECRET)
    if not secret.strip():
        raise InvalidInputError(f"Standard input is empty; enter the {what} there.")
    return secret.strip()


def recorded(
    action: str,
    *,
    tenant: str = "name",
    subject: str | None = None,
    read: Callable[[Connection, UUID], Any] | None = None,
    without: Collection[str] = (),
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add a command that succeeded to the tenant's audit log, with the options that were given.

    For what has no transaction of its own; a command that has one records in it.

    Args:
        action: What it does, as ``noun.verb``.
        tenant: Which parameter has the tenant's name.
        subject: Which parameter names what is changed.
        read: Values to record before and after the command, instead of the options, on the owner's
            connection.
        without: Parameters that may hold personal data. Secrets are never parameters.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(settings: Settings, **given: Any) -> None:
            before = None
            if read is not None:
                with connect_as_owner(settings) as conn:
                    before = read(conn, find_tenant(conn, given[tenant]))
            command(settings, **given)
            values: Any = {
                name: value
                for name, value in given.items()
                if name not in (tenant, subject, *without) and _is_given(name)
            }
            named = given[subject] if subject is not None else None
            with connect_as_owner(settings) as conn:
                tenant_id = find_tenant(conn, given[tenant])
                after = values or None if read is None else read(conn, tenant_id)
                record_command(
                    conn, tenant_id, action, subject=named or "", before=before, after=after
                )

        return run

    return decorate


def _is_given(parameter: str) -> bool:
    source = click.get_current_context().get_parameter_source(parameter)
    return source is not ParameterSource.DEFAULT


def confirm_erasure(what: str, given: str | None, warning: str) -> None:
    """Ask a person to type what to erase, unless it was given.

    Raises:
        InvalidInputError: It was not confirmed.
    """
    if given is None:
        if not sys.stdin.isatty():
            raise InvalidInputError("Confirm the erasure.", advice=f"Add: --confirm {what}")
        echo(warning)
        given = click.prompt(f"Type {what} to continue", err=True)
    if given != what:
        raise InvalidInputError(f"'{given}' is not '{what}'; nothing was erased.")


@dataclass
class ConsoleProgress:
    """Shows the progress of a run on the terminal and records it."""

    recorder: RunRecorder
    label: str

    @property
    def run_id(self) -> UUID:
        """The run's id."""
        return self.recorder.run_id

    def phase(self, name: str, total: int | None = None) -> None:
        """Start a phase."""
        echo(f"{self.label}: {name}" + (f" ({total:,})" if total is not None else ""))
        self.recorder.phase(name, total)

    def advance(self, done: int = 1) -> None:
        """Add completed units."""
        self.recorder.advance(done)
        if sys.stderr.isatty():
            total = f" of {self.recorder.total:,}" if self.recorder.total else ""
            sys.stderr.write(f"\r  {self.recorder.done:,}{total}\x1b[K\r")
            sys.stderr.flush()

    def count(self, **counts: int) -> None:
        """Add to the run's counters."""
        self.recorder.count(**counts)


@contextmanager
def run_with_progress(
    pool: Pool, label: str, tenant_id: UUID, kind: Kind, result: Result
) -> Iterator[ConsoleProgress]:
    """Record a run of this command, show its progress, and add it to the result."""
    with tenant_transaction(pool, tenant_id) as conn:
        started = start_run(conn, tenant_id, kind, "cli")
    run_id = started.run["run_id"]
    try:
        if not started.created and started.run["state"] == "running":
            raise AlreadyRunningError(
                f"This has been running for {label} since {started.run['started_at']:%H:%M} UTC.",
                advice=f"Follow it: quintile runs follow {run_id}",
            )
        with record_run(pool, tenant_id, run_id) as recorder:
            yield ConsoleProgress(recorder, label)
        counts = describe_counts(recorder.counts)
        echo(f"{label}: done" + (f" ({counts})" if counts else ""))
    finally:
        with tenant_transaction(pool, tenant_id, read_only=True) as conn:
            result.add_run(label, get_run(conn, tenant_id, run_id))


_STATES = {0: "succeeded", FAILED: "failed", BUSY: "busy"}


@dataclass
class Result:
    """The outcome of a command: runs that it did or found, and counters."""

    command: str
    runs: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    exit_code: int = 0
    error: str | None = None
    advice: str | None = None
    _began: float = field(default_factory=time.monotonic)

    def add_run(self, tenant: str, run: Mapping[str, Any] | None, *, is_mine: bool = True) -> None:
        """Add a run in its current state, done by this command or by another process."""
        if run is None:
            # The tenant and its runs were erased while the command ran.
            return
        self.runs.append({"tenant": tenant, **run})
        if is_mine and run["state"] == "failed":
            self.set_exit_code(FAILED)
        elif not is_mine or run["state"] != "succeeded":
            self.set_exit_code(BUSY)

    def set_exit_code(self, exit_code: int) -> None:
        """Exit with this code, unless something failed before."""
        self.exit_code = FAILED if FAILED in (self.exit_code, exit_code) else exit_code

    def record_error(self, error: QuintileError) -> None:
        """Record an error; the result shows the first one."""
        self.set_exit_code(BUSY if isinstance(error, AlreadyRunningError) else FAILED)
        if self.error is None:
            self.error, self.advice = error.message, error.advice or None

    def as_dict(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {
            "command": self.command,
            "state": _STATES[self.exit_code],
            "exit_code": self.exit_code,
            "seconds": round(time.monotonic() - self._began, 3),
            "runs": self.runs,
            "counts": self.counts,
            "error": self.error,
            "advice": self.advice,
        }


@contextmanager
def report_result(command: str, *, as_json: bool) -> Iterator[Result]:
    """Report the outcome of a command, however it ends, and exit with its exit code.

    Raises:
        SystemExit: Something failed, or another process is doing the work.
    """
    result = Result(command)
    try:
        yield result
    except QuintileError as error:
        result.record_error(error)
        raise
    except BaseException as error:
        result.set_exit_code(FAILED)
        result.error = (
            "A database error occurred."
            if isinstance(error, psycopg.Error)
            else "The command was interrupted, or an unexpected error occurred."
        )
        raise
    finally:
        if as_json:
            print_json(result.as_dict())
    if result.exit_code:
        raise SystemExit(result.exit_code)
