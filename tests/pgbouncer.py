"""Running the system's PgBouncer in transaction mode in front of the tests' server."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.core.config import PROJECT_DIR
from service.core.db import APP, url_parts

# Only part of the socket's file name: no network port is opened.
_PORT = 6432
# Fewer than the service's pool, so that clients share connections.
SERVER_CONNECTIONS = 3


def find_pgbouncer() -> str | None:
    """The program; packages install it in a directory that is only in root's PATH."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin")


@contextmanager
def pgbouncer(server_url: str) -> Iterator[str]:
    """Start PgBouncer on a socket, for all databases of a server.

    Yields a URL for the service's role, with {database} in place of the database's name.
    """
    program = find_pgbouncer()
    if program is None:
        pytest.skip("PgBouncer is not installed (Debian: apt-get install pgbouncer)")
    server = Path(url_parts(server_url)["host"])
    home = Path(tempfile.mkdtemp(prefix="quintile-pgb-", dir="/tmp"))
    (home / "users").write_text(f'"{APP}" ""\n')
    _write_ini(home, server)
    # PgBouncer refuses to run as root, and only the server's user can open the server's socket.
    owner = server.stat().st_uid
    for path in (home, *home.iterdir()):
        os.chown(path, owner, -1)
    with subprocess.Popen(
        [program, "--quiet", str(home / "ini")],
        user=owner if os.geteuid() == 0 else None,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            url = f"postgresql://{APP}@/{{database}}?host={home}&port={_PORT}"
            _await_socket(process, home)
            yield url
        finally:
            process.terminate()
    shutil.rmtree(home)


def _write_ini(home: Path, server: Path) -> None:
    """The configuration in deploy/, with sockets instead of addresses and without passwords."""
    ini = configparser.ConfigParser(interpolation=None)
    ini.read(PROJECT_DIR / "deploy" / "pgbouncer.ini")
    assert ini["pgbouncer"]["pool_mode"] == "transaction"
    ini["databases"] = {"*": f"host={server}"}
    for option in ("server_tls_sslmode", "server_tls_ca_file"):
        del ini["pgbouncer"][option]
    ini["pgbouncer"].update(
        {
            "default_pool_size": str(SERVER_CONNECTIONS),
            "auth_type": "trust",
            "auth_file": str(home / "users"),
            "listen_addr": "",
            "listen_port": str(_PORT),
            "unix_socket_dir": str(home),
            "logfile": str(home / "log"),
            "pidfile": str(home / "pid"),
        }
    )
    with (home / "ini").open("w") as file:
        ini.write(file)


def _await_socket(process: subprocess.Popen[bytes], home: Path) -> None:
    while not (home / f".s.PGSQL.{_PORT}").exists():
        assert process.poll() is None, (home / "log").read_text()
        time.sleep(0.01)
