"""What a command tells the scheduler that runs it: an exit code and one JSON object.

Exit codes of every command: 0 done; 1 something failed; 2 the command line is wrong; 3 nothing
failed, but another process is at work on some or all of it (:data:`BUSY`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import click
import psycopg

from service.core.errors import AlreadyRunningError, QuintileError

FAILED = 1
BUSY = 3

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
            self.note(BUSY)
        elif run["state"] == "failed":
            self.note(FAILED)
        elif run["state"] != "succeeded":
            self.note(BUSY)

    def note(self, exit_code: int) -> None:
        """End with this exit code, unless something worse has happened: a failure is the worst."""
        self.exit_code = FAILED if FAILED in (self.exit_code, exit_code) else exit_code

    def note_error(self, error: QuintileError) -> None:
        """Tell of an error; the first one is the one that is told."""
        self.note(BUSY if isinstance(error, AlreadyRunningError) else FAILED)
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
def told(command: str, *, as_json: bool) -> Iterator[Result]:
    """Tell how a command ended, however it ends, and end with that exit code.

    Raises:
        SystemExit: Something failed, or is being done by another process.
    """
    result = Result(command)
    try:
        yield result
    except QuintileError as error:
        result.note_error(error)
        raise
    except psycopg.Error:
        # The command line says in its own words what a database error is about.
        result.note(FAILED)
        result.error = "The database did not do what was asked."
        raise
    except BaseException:
        result.note(FAILED)
        result.error = "The command was interrupted, or something unforeseen went wrong."
        raise
    finally:
        if as_json:
            click.echo(json.dumps(result.as_dict(), default=str))
    if result.exit_code:
        raise SystemExit(result.exit_code)
