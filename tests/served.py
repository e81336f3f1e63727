"""The web service as an operator runs it: gunicorn, in a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import IO

import httpx

from service.cli.web import serve_command
from service.core.config import PROJECT_DIR, Settings
from tests.command import environment_of

_START_SECONDS = 60


@dataclass(frozen=True)
class Served:
    """The running service."""

    url: str
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """End all of its processes at once, as a power cut does."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


@contextmanager
def served(settings: Settings) -> Iterator[Served]:
    """The service on a free port, until the end of the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = replace(settings, host="127.0.0.1", port=port)
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            serve_command(settings),
            cwd=PROJECT_DIR,
            env=environment_of(settings),
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
        running = Served(f"http://127.0.0.1:{port}", process)
        try:
            _wait_until_up(running, log)
            yield running
        finally:
            running.kill()


def _wait_until_up(running: Served, log: IO[bytes]) -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until and running.process.poll() is None:
        with suppress(httpx.TransportError):
            if httpx.get(f"{running.url}/healthz").status_code == httpx.codes.OK:
                return
        time.sleep(0.1)
    log.seek(0)
    raise TimeoutError(f"the service did not start: {log.read().decode()[-1000:]}")
