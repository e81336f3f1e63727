"""Commands in processes of their own, forked from one that has imported them.

A start takes hundredths of a second instead of one or two seconds.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from service.core.config import PROJECT_DIR, Settings
from tests.command import environment_of
from tests.warm_dbt import KeptDbt, server_socket

_CONTEXT = multiprocessing.get_context("forkserver")
# Longer than any flow takes on a busy machine.
_SECONDS = 120
# Waits between calls are as long in proportion, and a tenth as long in total.
_FIRST_WAIT_SECONDS = 0.05


@dataclass(frozen=True)
class Command:
    """A running command."""

    process: ForkServerProcess
    log: Path

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        if self.process.pid is not None and self.process.is_alive():
            os.kill(self.process.pid, signal.SIGKILL)

    def wait(self) -> int | None:
        """Its exit code, negative for a signal; None if it hangs, then it is killed."""
        self.process.join(_SECONDS)
        if self.process.is_alive():
            self.kill()
            self.process.join()
            return None
        return self.process.exitcode

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


def start(
    settings: Settings, arguments: Sequence[str], log: Path, tmp: Path | None = None
) -> Command:
    """Start ``quintile`` with these arguments.

    Args:
        settings: Its settings.
        arguments: Its arguments.
        log: Where its output goes.
        tmp: Its directory of temporary files, to which it then writes however little it has. A
            build then starts dbt as usual, which writes more than a warm one.
    """
    _CONTEXT.set_forkserver_preload(["tests.faults.preloaded"])
    log.unlink(missing_ok=True)
    environment = environment_of(settings)
    if tmp is not None:
        environment["TMPDIR"] = str(tmp)
    process = _CONTEXT.Process(
        target=_run,
        args=(
            list(arguments),
            environment,
            str(log),
            server_socket() if arguments[0] == "build" and tmp is None else None,
            tmp is not None,
        ),
    )
    process.start()
    return Command(process, log)


def _run(
    arguments: list[str],
    environment: dict[str, str],
    log: str,
    dbt_socket: Path | None,
    spools_on_disk: bool,
) -> None:
    from service.builds import run
    from service.cli.main import main
    from service.core import http, spool

    os.environ.clear()
    os.environ.update(environment)
    os.chdir(PROJECT_DIR)
    # Not probed again: Python passes over a directory that is full, and the disk fills later.
    tempfile.tempdir = environment.get("TMPDIR")
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if dbt_socket is not None:
        run.default_dbt = lambda: KeptDbt(dbt_socket)
    http._FIRST_WAIT_SECONDS = _FIRST_WAIT_SECONDS
    if spools_on_disk:
        spool._IN_MEMORY_BYTES = 1
    main(arguments, prog_name="quintile")
