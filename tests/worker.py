"""Run ``quintile worker`` as a process, to watch, kill and stop it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from service.core.config import Settings
from service.worker.worker import run_worker
from tests.command import environment_of
from tests.conftest import PROJECT_DIR

# Longer than anything here takes on a busy machine.
TIMEOUT_SECONDS = 240
# Due on New Year's Day only, so that only the test queues jobs.
NEVER = "0 0 1 1 *"
NO_SCHEDULES = {
    f"schedule_{name}": NEVER for name in ("orders", "segments", "build", "klaviyo", "housekeeping")
}


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition that another process makes true."""
    until = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < until, f"timeout: {what}"
        time.sleep(0.01)


@contextmanager
def worker_process(
    settings: Settings, log: Path, clock: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A worker, killed at the end of the block unless it has ended.

    Args:
        settings: Its settings.
        log: Its output is appended here.
        clock: A file with the time for its schedules; real time if not given.
    """
    command = ["-m", "service", "worker"] if clock is None else ["-m", "tests.worker", str(clock)]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=PROJECT_DIR,
            env=environment_of(settings),
            stdout=output,
            stderr=output,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def stop(process: subprocess.Popen[bytes]) -> int:
    """Stop a worker as systemd does; returns its exit code."""
    process.send_signal(signal.SIGTERM)
    return process.wait(TIMEOUT_SECONDS)


def write_clock(clock: Path, now: datetime) -> None:
    """Set the time of workers with this clock."""
    new = clock.with_suffix(".new")
    new.write_text(now.isoformat())
    new.replace(clock)


def _main(clock: Path) -> None:
    from service.core.config import load_settings
    from service.core.logs import configure_logging

    settings = load_settings()
    configure_logging(settings)
    run_worker(settings, lambda: datetime.fromisoformat(clock.read_text()))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
