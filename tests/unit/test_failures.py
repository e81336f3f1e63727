"""What commands and runs say of errors that are not Quintile's own."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from threading import Event
from typing import NoReturn

import click
import psycopg
import pytest
from click.testing import CliRunner

from service.builds.dbt_runs import ColdDbt, DbtRequest
from service.builds.run import _run_dbt
from service.cli.main import Group
from service.core.errors import BuildFailedError
from service.queue.runs import _describe

FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (FULL, "A disk of this machine is full."),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "A disk of this machine is full."),
        (psycopg.errors.DiskFull(), "The disk of the database is full."),
        (psycopg.errors.AdminShutdown(), "The connection to the database was lost."),
        (psycopg.InterfaceError(), "The connection to the database was lost."),
    ],
)
def test_a_failure_is_explained_by_a_command_and_in_its_run(error: Exception, what: str) -> None:
    @click.group(cls=Group)
    def commands() -> None:
        """Commands."""

    @commands.command("fail")
    def fail() -> NoReturn:
        raise error

    result = CliRunner().invoke(commands, ["fail"])
    assert result.exit_code == 1
    assert f"Error: {what}\n" in result.output
    assert _describe(error)[0] == what


def test_another_error_of_the_system_is_not_taken_for_a_full_disk() -> None:
    message, advice = _describe(FileNotFoundError(errno.ENOENT, "secret.txt"))
    assert message == "An unexpected error occurred (FileNotFoundError)."
    assert advice == "See the log for this run's id."


@pytest.mark.parametrize(
    ("printed", "is_transient"),
    [
        ("could not extend file base/5/1: No space left on device", True),
        ("[Errno 28] No space left on device: target/run_results.json", True),
        ("Compilation Error in model customers", False),
    ],
)
def test_a_build_that_finds_a_disk_full_is_retried(
    tmp_path: Path, printed: str, is_transient: bool
) -> None:
    request = DbtRequest(str(tmp_path), "{}", (), {**os.environ, "DBT_LOG_PATH": str(tmp_path)})
    dbt = ColdDbt(sys.executable, "-c", f"print({printed!r}); raise SystemExit(1)")
    with pytest.raises(BuildFailedError) as failed:
        _run_dbt(
            request,
            dbt,
            quiet=True,
            report=lambda _done, _total: None,
            stopping=Event(),
        )
    assert failed.value.is_transient is is_transient
