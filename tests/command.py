"""Run the ``quintile`` command as its user would."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

from service.core.config import Settings, environment_name
from tests.conftest import PROJECT_DIR


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


def quintile(
    settings: Settings,
    *arguments: str | Path,
    stdin: str = "",
    expect: int = 0,
) -> subprocess.CompletedProcess[str]:
    """Run one command; what it printed and the exit code are in the result."""
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
    return done


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
