"""Who may write what dbt builds, and when.

Builds of different tenants run at the same time. Builds of one tenant take turns, and so does what
else writes its rows, such as an erasure. Whoever may change tables and views has everything alone:
the first build of a release, ``--full-refresh``, and builds of more tenants than are locked one by
one. The locks belong to a connection, so a process that dies leaves nothing to clean up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import psycopg

from service.core.config import PROJECT_DIR, Settings
from service.core.db import Connection, advisory_lock, connect, one, transform_url
from service.core.queries import query

Report = Callable[[str], None]

# The server keeps each lock in shared memory, which has room for some 6,400 unless told otherwise.
MAX_TENANTS = 1000
# Directories for dbt's files; one is free for every build that may run.
_SLOTS = 1000
_PROJECT = "quintile"


@dataclass(frozen=True)
class BuildLock:
    """What a build may do now: the tenants it may write, all when none is named.

    ``slot`` numbers the directory that no other build works in meanwhile.
    """

    tenants: tuple[str, ...]
    slot: int


@contextmanager
def build_lock(
    settings: Settings, tenants: Sequence[str], *, full_refresh: bool, report: Report
) -> Iterator[BuildLock]:
    """Wait until a build of these tenants (of all when none is named) may run, and hold that.

    Tenants that were erased meanwhile are left out of the lock, unless none would be left.
    """
    project = {"project": _PROJECT, "checksum": project_checksum()}
    with connect(transform_url(settings)) as conn:
        while True:
            if not full_refresh:
                with advisory_lock(conn, "build", report, is_shared=True):
                    ids = _tenants_beside_others(conn, tenants, project)
                    if ids:
                        _lock_tenants(conn, ids, report)
                        names = tuple(_find(conn, tenants, ids).values())
                        yield BuildLock(names or tuple(tenants), _take_slot(conn))
                        return
            with advisory_lock(conn, "build", report):
                # Who had everything before this one may have brought it up to date.
                if full_refresh or not _tenants_beside_others(conn, tenants, project):
                    yield BuildLock(tuple(tenants), _take_slot(conn))
                    conn.execute(query("builds.record_project_built"), project)
                    return


@contextmanager
def tenant_lock(settings: Settings, tenant_id: UUID, report: Report) -> Iterator[Connection]:
    """Wait until no build writes this tenant's rows, and let none begin: dbt's connection."""
    with (
        connect(transform_url(settings)) as conn,
        advisory_lock(conn, "build", report, is_shared=True),
    ):
        _lock_tenants(conn, [tenant_id], report)
        yield conn


def project_checksum() -> str:
    """SHA-256 of all that decides how dbt's tables and views look."""
    files = [path for name in ("models", "macros", "seeds") for path in _files(PROJECT_DIR / name)]
    digest = hashlib.sha256()
    for path in [PROJECT_DIR / "dbt_project.yml", *files]:
        digest.update(f"{path.relative_to(PROJECT_DIR).as_posix()}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.suffix in (".sql", ".yml", ".csv"))


def _tenants_beside_others(
    conn: Connection, tenants: Sequence[str], project: dict[str, str]
) -> list[UUID]:
    """Whom to lock for a build that runs beside others; nobody when it has to be alone."""
    ids = list(_find(conn, tenants))
    if len(ids) > MAX_TENANTS:
        return []
    if not one(conn.execute(query("builds.is_project_built"), project).fetchone())["is_built"]:
        return []
    if not tenants and one(conn.execute(query("builds.has_erased_tenants")).fetchone())["is_so"]:
        # A build of tenants by name would leave the rows of others.
        return []
    return ids


def _find(
    conn: Connection, tenants: Sequence[str], ids: Sequence[UUID] | None = None
) -> dict[UUID, str]:
    rows = conn.execute(
        query("builds.list_build_tenants"),
        {"names": list(tenants) or None, "tenant_ids": ids},
    ).fetchall()
    return {row["tenant_id"]: row["name"] for row in rows}


def _lock_tenants(conn: Connection, ids: Sequence[UUID], report: Report) -> None:
    parameters = {"tenant_ids": list(ids)}
    conn.execute("set lock_timeout = '500ms'")
    try:
        conn.execute(query("builds.lock_builds"), parameters)
    except psycopg.errors.LockNotAvailable:
        report("waiting for another build of the same tenant to finish")
        conn.execute("set lock_timeout = 0")
        # The locks it has got are kept and counted twice: they end with the connection.
        conn.execute(query("builds.lock_builds"), parameters)
    conn.execute("reset lock_timeout")


def _take_slot(conn: Connection) -> int:
    row = conn.execute(query("builds.take_slot"), {"slots": _SLOTS}).fetchone()
    return int(one(row)["slot"])
