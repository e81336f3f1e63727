"""A PostgreSQL server of the operating system's packages, over TCP with passwords."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.migrate import MINIMUM_SERVER_VERSION

PASSWORD = "pass%word@with:signs"


def server_binaries() -> Path | None:
    """The oldest installed server that Quintile supports, the likeliest to disagree with 18."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"),
        key=lambda path: int(path.parts[-3]),
    )
    supported = [p.parent for p in found if int(p.parts[-3]) * 10000 >= MINIMUM_SERVER_VERSION]
    return supported[0] if supported else None


@contextmanager
def external_server() -> Iterator[str]:
    """Start a throw-away server and yield its superuser's URL."""
    binaries = server_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL 15+ server is installed (Debian: apt-get install postgresql)")
    home = Path(tempfile.mkdtemp(prefix="quintile-pg-"))
    # PostgreSQL does not run as root; its packages bring a user that it may run as.
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        shutil.chown(home, user)
    data = home / "data"
    password_file = home / "password"
    password_file.write_text(PASSWORD)
    if user:
        shutil.chown(password_file, user)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def run(command: str, *arguments: str) -> None:
        subprocess.run(
            [binaries / command, *arguments],
            user=user,
            cwd=home,
            check=True,
            stdout=subprocess.DEVNULL,
        )

    run("initdb", "-D", str(data), "-U", "admin", "-A", "scram-sha-256", "-E", "UTF8",
        f"--pwfile={password_file}")  # fmt: skip
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
    run("pg_ctl", "-w", "-D", str(data), "-l", str(home / "log"), "-o", options, "start")
    try:
        quoted = PASSWORD.replace("%", "%25").replace("@", "%40").replace(":", "%3A")
        yield f"postgresql://admin:{quoted}@127.0.0.1:{port}/postgres"
    finally:
        run("pg_ctl", "-w", "-D", str(data), "-m", "immediate", "stop")
        shutil.rmtree(home)
