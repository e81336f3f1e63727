"""Run the ``quintile`` command, in this process or in one of its own."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import structlog
from click.testing import CliRunner

from service.cli.main import main
from service.core.config import PROJECT_DIR, Settings, environment_name


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment that says the same as these settings."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("QUINTILE_")}
    return {
        **inherited,
        **{
            environment_name(item.name): str(getattr(settings, item.name))
            for item in fields(Settings)
        },
    }


@dataclass(frozen=True)
class Done:
    """What a command printed, and its exit code."""

    stdout: str
    stderr: str
    returncode: int


def quintile(settings: Settings, *arguments: str | Path, stdin: str = "", expect: int = 0) -> Done:
    """Run one command in this process, which starts faster than one of its own."""
    with _undisturbed(), contextlib.chdir(PROJECT_DIR):
        result = CliRunner().invoke(
            main,
            list(map(str, arguments)),
            input=stdin,
            env=environment_of(settings),
            prog_name="quintile",
        )
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == expect, result.output
    return Done(result.stdout, result.stderr, result.exit_code)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep this process's logging as it is: a command sets up its own."""
    loggers = [logging.getLogger(name) for name in (None, *logging.root.manager.loggerDict)]
    before = [(logger, logger.level, logger.handlers[:], logger.propagate) for logger in loggers]
    structured = structlog.get_config()
    try:
        yield
    finally:
        structlog.configure(**structured)
        for logger, level, handlers, propagate in before:
            logger.setLevel(level)
            logger.handlers[:] = handlers
            logger.propagate = propagate


def quintile_process(
    settings: Settings, *arguments: str | Path, stdin: str = "", expect: int = 0
) -> Done:
    """Run one command as its user does."""
    done = subprocess.run(
        [sys.executable, "-m", "service", *map(str, arguments)],
        cwd=PROJECT_DIR,
        env=environment_of(settings),
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return Done(done.stdout, done.stderr, done.returncode)


# The high-water mark of a process counts from its own beginning, unlike getrusage's, which counts
# the memory of the process it was forked from.
_MEASURED = """
import re, sys
from pathlib import Path
from service.cli.main import main
main(sys.argv[1:], standalone_mode=False)
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


def peak_of(settings: Settings, *arguments: str | Path) -> int:
    """Run one command; its peak of resident memory in KiB. Linux only."""
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, *map(str, arguments)],
        cwd=PROJECT_DIR,
        env=environment_of(settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return int(done.stdout.splitlines()[-1])
