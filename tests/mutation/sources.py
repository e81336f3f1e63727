"""A copy of the sources with a guard removed, and whether its tests notice."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from service.core.config import PROJECT_DIR
from tests.mutation import TEMPLATES
from tests.mutation.guards import GUARDS, Guard

# A guard against waiting is noticed by a test that does not end.
_SECONDS = 90
# For tests that make template databases, or build.
_SLOW_SECONDS = 1200
_FAILED = 1
# Python compares times of files in whole seconds to find out whether one has changed.
_times = count(1_000_000_000)


class UnclearError(Exception):
    """The tests did not run, or fail without a mutation."""


@contextmanager
def copied_sources() -> Iterator[Path]:
    """A copy of the checkout's files, as they are, without what is not tracked by git."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT_DIR,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    with tempfile.TemporaryDirectory(prefix="quintile-mutation-") as home:
        copy = Path(home, "project")
        for name in filter(None, listed.stdout.split("\0")):
            if (PROJECT_DIR / name).is_file():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(PROJECT_DIR / name, copy / name)
        shared = PROJECT_DIR.parent / "shared"
        if shared.is_dir():
            copy.with_name("shared").symlink_to(shared.resolve())
        try:
            yield copy
        finally:
            # The copy's cluster lies in memory.
            subprocess.run([sys.executable, "-m", "tests.cluster"], cwd=copy, check=True)


def mutated(text: str, guard: Guard) -> str:
    """The text of a guard's file without the guard.

    Raises:
        UnclearError: The guard's text is not there exactly once.
    """
    if text.count(guard.text) != 1:
        raise UnclearError(f"{guard.file}: {guard.text!r} is there {text.count(guard.text)} times")
    return text.replace(guard.text, guard.replacement)


def is_noticed(copy: Path, guard: Guard) -> bool:
    """Whether one of the guard's tests fails in the copy without the guard.

    Raises:
        UnclearError: The tests did not run.
    """
    file = copy / guard.file
    text = file.read_text()
    try:
        _write(file, mutated(text, guard))
        templates = f"without_{GUARDS.index(guard)}" if guard.has_own_templates else "unchanged"
        seconds = _SLOW_SECONDS if guard.is_slow else _SECONDS
        return bool(run_tests(copy, guard.tests, templates, seconds))
    finally:
        _write(file, text)


def run_tests(
    copy: Path,
    tests: Sequence[str],
    templates: str = "unchanged",
    seconds: int = _SLOW_SECONDS,
) -> str:
    """What pytest says of a test that fails, or does not end; empty if all pass.

    Args:
        copy: The copy of the sources.
        tests: Their names, in ``tests/``.
        templates: Whose template databases they use.
        seconds: How long they may take.

    Raises:
        UnclearError: They did not run.
    """
    options = ("-q", "-x", "-n", "0", "-p", "no:cacheprovider", "-p", "tests.mutation.templates")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("QUINTILE_")},
        "PYTHONPATH": str(copy),
        TEMPLATES: templates,
    }
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *(f"tests/{test}" for test in tests)],
            cwd=copy,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no end after {seconds} seconds"
    if done.returncode not in (0, _FAILED) or " skipped" in done.stdout:
        raise UnclearError(done.stdout[-2000:])
    return done.stdout if done.returncode else ""


def _write(file: Path, text: str) -> None:
    file.write_text(text)
    moment = next(_times)
    os.utime(file, (moment, moment))
