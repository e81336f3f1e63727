"""How builds start dbt: as a new process, or as a fork of a process that has it in memory."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import structlog

from service.builds.locks import project_checksum
from service.core.config import PROJECT_DIR

log = structlog.get_logger(__name__)

# How long the server may take to start, and to fork. A build of a checkout that was never parsed
# takes ten seconds on a busy machine.
_START_SECONDS = 120
_FORK_SECONDS = 30
_POLL_SECONDS = 0.01


@dataclass(frozen=True)
class DbtRequest:
    """A run of dbt: what :mod:`service.builds.dbt_process` gets.

    ``directory`` caches the manifest, which ``manifest_vars`` (JSON) decide. ``guarantees`` (JSON)
    is empty for a complete build, else what :class:`service.builds.relations.Relations` says.
    """

    directory: str
    manifest_vars: str
    arguments: tuple[str, ...]
    # It has the database's URL.
    environment: Mapping[str, str] = field(repr=False)
    guarantees: str = ""
    project: str = str(PROJECT_DIR)


class DbtRun(Protocol):
    """A run of dbt, which ends with this process."""

    def lines(self) -> Iterable[str]:
        """What it prints, until it ends."""

    def kill(self) -> None:
        """End it; the database rolls back what is not committed."""

    def wait(self) -> int:
        """Its exit status, other than 0 when it was killed."""


class Dbt(Protocol):
    """A way to start dbt."""

    def start(self, request: DbtRequest) -> Any:
        """Run dbt in the project: a context manager that yields a :class:`DbtRun`."""


class ColdDbt:
    """Starts a new process for each run."""

    def __init__(self, *command: str) -> None:
        self._command = command or (sys.executable, "-m", "service.builds.dbt_process")

    @contextmanager
    def start(self, request: DbtRequest) -> Iterator[DbtRun]:
        """Start the process. It ends when its standard input closes."""
        with subprocess.Popen(
            [
                *(*self._command, request.directory, request.manifest_vars, request.guarantees),
                *request.arguments,
            ],
            cwd=request.project,
            env=request.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            yield _Process(process)


class _Process:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.kill = process.kill
        self.wait = process.wait

    def lines(self) -> Iterable[str]:
        return self._process.stdout or ()


class WarmDbt:
    """Forks each run from :mod:`service.builds.dbt_server`, which starts at the first one.

    Importing dbt and reading the manifest take half the time of a small tenant's build. The server
    does both once. It ends with this process, after ``idle_seconds`` without a run, and when a file
    of the project changes; the next run starts another. Runs do not depend on it once they are
    forked. If it does not work, runs start as new processes.

    Args:
        idle_seconds: How long the server stays in memory after a run has started.
        parsed: What the server parses when it starts: this request instead of the first one.
    """

    def __init__(self, idle_seconds: int, parsed: DbtRequest | None = None) -> None:
        self._idle_seconds = idle_seconds
        self._parsed = parsed
        self._lock = threading.Lock()
        self._server: _Server | None = None

    @contextmanager
    def start(self, request: DbtRequest) -> Iterator[DbtRun]:
        """Fork a run. Without the server, start a new process."""
        run = self._fork(request)
        if run is None:
            with ColdDbt().start(request) as cold:
                yield cold
            return
        with run:
            yield run

    def _fork(self, request: DbtRequest) -> ForkedRun | None:
        # The second time with a new server: the first one may end at this moment.
        for _ in range(2):
            try:
                return ForkedRun(self.socket(request), request)
            except OSError as error:
                log.info("the server of dbt does not work", error=str(error))
                self.close()
        return None

    def socket(self, request: DbtRequest) -> Path:
        """The socket of a running server.

        Raises:
            OSError: It does not start.
        """
        key = f"{project_checksum()} {_profiles_checksum()}"
        with self._lock:
            if self._server is not None and not self._server.serves(key):
                self._server.close()
                self._server = None
            if self._server is None:
                self._server = _Server(key, self._parsed or request, self._idle_seconds)
            return self._server.socket

    @property
    def pid(self) -> int | None:
        """The server's process id, if it has been started."""
        return None if self._server is None else self._server.pid

    def close(self) -> None:
        """End the server. Its runs go on."""
        with self._lock:
            if self._server is not None:
                self._server.close()
            self._server = None


class _Server:
    """A running server of dbt."""

    def __init__(self, key: str, parsed: DbtRequest, idle_seconds: int) -> None:
        # Only this user can enter the directory.
        self._directory = Path(tempfile.mkdtemp(prefix="quintile-dbt-"))
        self.socket = self._directory / "socket"
        self._key = key
        arguments = (str(self.socket), str(idle_seconds), parsed.directory, parsed.manifest_vars)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "service.builds.dbt_server", *arguments],
            cwd=parsed.project,
            # Runs leave semaphores of dbt to the tracker of resources, which says so at the end.
            env={
                **parsed.environment,
                "PYTHONWARNINGS": "ignore::UserWarning:multiprocessing.resource_tracker",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        self.pid = self._process.pid
        until = time.monotonic() + _START_SECONDS
        while not self.socket.exists():
            if self._process.poll() is not None or time.monotonic() > until:
                self.close()
                raise ConnectionError("it did not start")
            time.sleep(_POLL_SECONDS)

    def serves(self, key: str) -> bool:
        """Whether it runs, with this project in memory."""
        return self._process.poll() is None and self._key == key

    def close(self) -> None:
        """End it."""
        if self._process.stdin:
            self._process.stdin.close()
        if not self.socket.exists():
            # It has not come so far as to notice.
            self._process.kill()
        self._process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)


class ForkedRun:
    """A run that the server at this socket has forked; a context manager.

    Raises:
        OSError: It was not forked.
    """

    def __init__(self, path: Path, request: DbtRequest) -> None:
        self._connection = socket.socket(socket.AF_UNIX)
        read, write = os.pipe()
        self._output = os.fdopen(read, encoding="utf-8", errors="replace")
        self._status: int | None = None
        body = json.dumps({**asdict(request), "environment": dict(request.environment)}).encode()
        try:
            self._connection.settimeout(_FORK_SECONDS)
            self._connection.connect(str(path))
            socket.send_fds(self._connection, [len(body).to_bytes(4, "big")], [write])
            self._connection.sendall(body)
            has_started = bool(self._connection.recv(1))
            self._connection.settimeout(None)
        except BaseException:
            # The run ends when its connection does.
            self._close()
            raise
        finally:
            os.close(write)
        if not has_started:
            self._close()
            raise ConnectionError("it ended")

    def lines(self) -> Iterable[str]:
        """What it prints, until it ends."""
        return self._output

    def kill(self) -> None:
        """End it: it sees that nothing more will come."""
        # It may have ended.
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)

    def wait(self) -> int:
        """Its exit status; 1 when it ended without one."""
        if self._status is None:
            answer = self._connection.recv(1)
            self._status = answer[0] if answer else 1
        return self._status

    def __enter__(self) -> ForkedRun:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._status is None:
                self.kill()
                self.wait()
        finally:
            self._close()

    def _close(self) -> None:
        self._connection.close()
        self._output.close()


def _profiles_checksum() -> str:
    return hashlib.sha256((PROJECT_DIR / "profiles.yml").read_bytes()).hexdigest()
