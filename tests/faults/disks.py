"""Small disks that can be filled, and a PostgreSQL of the harness on one.

A disk is a tmpfs, which only root can mount.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import psycopg
from psycopg import sql

from service.core import embedded
from tests.cluster import _SERVER_SETTINGS, Cluster

NO_SPACE = "No space left on device"
_MIB = 2**20
# The embedded PostgreSQL asks for half of it.
_SERVER_DISK_MIB = 1024
_TMP_DISK_MIB = 64
_WAL = "64MB"
# Of 16 MiB, more than are kept in reserve.
_MOST_LOG_FILES = 30
_RECOVERY_SECONDS = 60


@dataclass(frozen=True)
class Disk:
    """A file system of a limited size."""

    path: Path

    @property
    def _filler(self) -> Path:
        return self.path / "filler"

    def fill(self) -> None:
        """Leave no byte free."""
        with self._filler.open("wb") as file:
            free = shutil.disk_usage(self.path).free
            if free:
                os.posix_fallocate(file.fileno(), 0, free)

    def free(self) -> None:
        """Give the space back."""
        self._filler.unlink(missing_ok=True)


@cache
def can_mount() -> bool:
    """Whether this user may mount a disk."""
    try:
        with _mounted(1):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@contextmanager
def tmp_disk() -> Iterator[Disk]:
    """A disk for the temporary files of a process."""
    with _mounted(_TMP_DISK_MIB) as disk:
        yield disk


@contextmanager
def _mounted(mib: int) -> Iterator[Disk]:
    path = Path(tempfile.mkdtemp(prefix="quintile-disk-"))
    path.chmod(0o755)
    try:
        options = f"size={mib}m,mode=0777"
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)],
            check=True,
            capture_output=True,
        )
        try:
            yield Disk(path)
        finally:
            subprocess.run(["umount", "--lazy", str(path)], check=True, capture_output=True)
    finally:
        path.rmdir()


@dataclass(frozen=True)
class Server:
    """A PostgreSQL of the harness's own, and its disk if it has one."""

    cluster: Cluster
    data_dir: Path
    disk: Disk | None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def complaints(self) -> int:
        """How often it has found its disk full."""
        return (self.data_dir / "log").read_text(errors="replace").count(NO_SPACE)

    def use_up_log(self) -> None:
        """Use up the files that its log has in reserve, until it stops for want of space."""
        with suppress(psycopg.Error), closing(psycopg.connect(self.cluster.admin_url)) as conn:
            conn.autocommit = True
            for _ in range(_MOST_LOG_FILES):
                conn.execute("select pg_current_xact_id(), pg_switch_wal()")

    def relieve(self) -> None:
        """Free its disk, and start it if it has stopped, as an operator does."""
        with self._lock:
            if self.disk is not None:
                self.disk.free()
            until = time.monotonic() + _RECOVERY_SECONDS
            is_up = False
            while not is_up:
                try:
                    embedded.start(self.data_dir)
                    is_up = True
                except psycopg.OperationalError:
                    # It runs, and recovers from its crash.
                    if time.monotonic() > until:
                        raise
                    time.sleep(0.1)


@contextmanager
def own_server() -> Iterator[Server]:
    """Start a PostgreSQL that nothing else uses."""
    home = Path(tempfile.mkdtemp(prefix="quintile-faults-"))
    home.chmod(0o755)
    try:
        if not can_mount():
            with _started(home / "pg", home, None) as server:
                yield server
            return
        with _mounted(_SERVER_DISK_MIB) as disk, _started(disk.path / "pg", home, disk) as server:
            yield server
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _started(data_dir: Path, home: Path, disk: Disk | None) -> Iterator[Server]:
    url = embedded.start(data_dir)
    try:
        with closing(psycopg.connect(url, autocommit=True)) as conn:
            for name, value in {**_SERVER_SETTINGS, "max_wal_size": _WAL}.items():
                change = sql.SQL("alter system set {} = {}")
                conn.execute(change.format(sql.Identifier(name), sql.Literal(value)))
        embedded.stop(data_dir)
        url = embedded.start(data_dir)
        admin_url = url.replace(f"/{embedded.DATABASE}?", "/postgres?")
        yield Server(Cluster(admin_url, home, 1), data_dir, disk)
    finally:
        if disk is not None:
            disk.free()
        embedded.stop(data_dir)
