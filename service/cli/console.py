"""What every command shares: output, options, progress, confirmation, result and exit code.

Exit codes of every command: 0 done; 1 something failed; 2 the command line is wrong; 3 nothing
failed, but another process is at work on some or all of it (:data:`BUSY`).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import click
import psycopg

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
from service.queue.runs import Kind, RunRecorder, StartedRun, get_run, record_run, start_run
from service.shopify.order_history import read_order_limit

FAILED = 1
BUSY = 3

_LONGEST_SECRET = 10_000

tenant_option = click.option(
    "--tenant", "tenant", required=True, metavar="T", help="The tenant's name."
)


def echo(text: str) -> None:
    """Print for a person, on standard error: standard output is for data."""
    click.echo(text, err=True)


# -- one tenant ---------------------------------------------------------------------------------


@contextmanager
def tenant_pool(settings: Settings, name: str) -> Iterator[tuple[Pool, UUID]]:
    """The service's pool, and the id of the tenant with this name.

    Raises:
        UnknownTenantError: No tenant has this name.
    """
    with connect_as_owner(settings) as conn:
        tenant_id = find_tenant(conn, name)
    with open_pool(settings) as pool:
        yield pool, tenant_id


@contextmanager
def tenant_connection(
    settings: Settings, name: str, *, read_only: bool = False
) -> Iterator[tuple[Connection, UUID]]:
    """A transaction of the tenant with this name, as the service itself would have it.

    Raises:
        UnknownTenantError: No tenant has this name.
    """
    with (
        tenant_pool(settings, name) as (pool, tenant_id),
        tenant_transaction(pool, tenant_id, read_only=read_only) as conn,
    ):
        yield conn, tenant_id


def warn_order_limit(conn: Connection, name: str, tenant_id: UUID) -> None:
    """Wherever numbers leave that lack older orders; on stderr, beside them."""
    if limit := read_order_limit(conn, tenant_id):
        echo(f"Warning: {name}: {limit['in_words']} {limit['advice']}")


def read_secret(what: str, *, accepts_json: bool = False) -> str:
    """From standard input, never from argv, where every user of the machine could read it."""
    if sys.stdin.isatty():
        secret: str = click.prompt(what, hide_input=True)
    else:
        secret = sys.stdin.readline()
        if accepts_json and secret.lstrip().startswith("{"):
            secret += sys.stdin.read(_LONGEST_SECRET)
    if not secret.strip():
        raise InvalidInputError(f"Nothing came on standard input; it takes the {what}.")
    return secret.strip()


def confirm_erasure(what: str, given: str | None, warning: str) -> None:
    """Go on only when somebody has written down what is to be erased."""
    if given is None:
        if not sys.stdin.isatty():
            raise InvalidInputError("This needs to be confirmed.", advice=f"Add: --confirm {what}")
        click.echo(warning, err=True)
        given = click.prompt(f"Type {what} to go on", err=True)
    if given != what:
        raise InvalidInputError(f"'{given}' is not '{what}'; nothing was erased.")


# -- progress -----------------------------------------------------------------------------------


@dataclass
class ConsoleProgress:
    """Progress of a run on the terminal, and in its row."""

    recorder: RunRecorder
    label: str

    @property
    def run_id(self) -> UUID:
        """The run's id."""
        return self.recorder.run_id

    def phase(self, name: str, total: int | None = None) -> None:
        """Begin a phase."""
        echo(f"{self.label}: {name}" + (f" ({total:,})" if total is not None else ""))
        self.recorder.phase(name, total)

    def advance(self, done: int = 1) -> None:
        """So many more units are done."""
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
    """Record a run of the command line, show its progress, and add it to the result."""
    with tenant_transaction(pool, tenant_id) as conn:
        started = start_run(conn, tenant_id, kind, "cli")
    run_id = started.run["run_id"]
    try:
        with _shown(pool, label, tenant_id, started) as progress:
            yield progress
    finally:
        with tenant_transaction(pool, tenant_id, read_only=True) as conn:
            result.add_run(label, get_run(conn, tenant_id, run_id))


@contextmanager
def _shown(
    pool: Pool, label: str, tenant_id: UUID, started: StartedRun
) -> Iterator[ConsoleProgress]:
    run_id = started.run["run_id"]
    if not started.created and started.run["state"] == "running":
        raise AlreadyRunningError(
            f"This is already running for {label}, since {started.run['started_at']:%H:%M} UTC.",
            advice=f"It is run {run_id}; a dead one makes way after two minutes.",
        )
    with record_run(pool, tenant_id, run_id) as recorder:
        yield ConsoleProgress(recorder, label)
    counts = ", ".join(f"{count:,} {name}" for name, count in recorder.counts.items())
    echo(f"{label}: done" + (f" ({counts.replace('_', ' ')})" if counts else ""))


# -- result -------------------------------------------------------------------------------------

_STATES = {0: "succeeded", FAILED: "failed", BUSY: "busy"}

_json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="End with one JSON object on standard output: state, exit code, runs, counts.",
)


def result_option(command: Callable[..., None]) -> Callable[..., None]:
    """The option ``--json`` of every command that is a job."""
    return _json_option(command)


@dataclass
class Result:
    """What a command did: the runs it made or found, by tenant, and what it counted."""

    command: str
    runs: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    exit_code: int = 0
    error: str | None = None
    advice: str | None = None
    _began: float = field(default_factory=time.monotonic)

    def add_run(self, tenant: str, run: Mapping[str, Any] | None, *, is_mine: bool = True) -> None:
        """Tell of a run as it is now: one that this command did, or one of another process."""
        if run is None:
            # Its tenant was erased meanwhile, and the run with it.
            return
        self.runs.append({"tenant": tenant, **run})
        if not is_mine:
            self.set_exit_code(BUSY)
        elif run["state"] == "failed":
            self.set_exit_code(FAILED)
        elif run["state"] != "succeeded":
            self.set_exit_code(BUSY)

    def set_exit_code(self, exit_code: int) -> None:
        """End with this exit code, unless something worse has happened: a failure is the worst."""
        self.exit_code = FAILED if FAILED in (self.exit_code, exit_code) else exit_code

    def record_error(self, error: QuintileError) -> None:
        """Tell of an error; the first one is the one that is told."""
        self.set_exit_code(BUSY if isinstance(error, AlreadyRunningError) else FAILED)
        if self.error is None:
            self.error, self.advice = error.message, error.advice or None

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
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
    """Tell how a command ended, however it ends, and end with that exit code.

    Raises:
        SystemExit: Something failed, or is being done by another process.
    """
    result = Result(command)
    try:
        yield result
    except QuintileError as error:
        result.record_error(error)
        raise
    except psycopg.Error:
        # The command line says in its own words what a database error is about.
        result.set_exit_code(FAILED)
        result.error = "The database did not do what was asked."
        raise
    except BaseException:
        result.set_exit_code(FAILED)
        result.error = "The command was interrupted, or something unforeseen went wrong."
        raise
    finally:
        if as_json:
            click.echo(json.dumps(result.as_dict(), default=str))
    if result.exit_code:
        raise SystemExit(result.exit_code)
