"""Locks of builds.

Builds of different tenants run at the same time. A build of a tenant waits for other writers of
its rows: other builds, and erasures. A build that may change tables or views runs alone: the first
one of a release, ``--full-refresh``, and builds of more tenants than are locked one by one. Locks
belong to a connection, so a process that dies leaves nothing to clean up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

import psycopg

from service.core.config import PROJECT_DIR, Settings
from service.core.db import Connection, advisory_lock, connect, one, transform_url
from service.core.queries import query

Report = Callable[[str], None]

# PostgreSQL keeps locks in shared memory, by default enough for about 6,400.
MAX_TENANTS = 1000
# Directories for dbt's files: more than there are builds at once.
_SLOTS = 1000
_PROJECT = "quintile"


@dataclass(frozen=True)
class BuildLock:
    """The tenants that a build may write (all if empty), and a slot.

    ``slot`` is the number of a directory for dbt's files that no other build uses. ``shared`` is
    the connection that holds the locks of a build that runs beside others, so that nothing creates
    or replaces a table or view; None if the build runs alone and may do that.
    """

    tenants: tuple[str, ...]
    slot: int
    shared: Connection | None = None


@contextmanager
def build_lock(
    settings: Settings, tenants: Sequence[str], *, full_refresh: bool, report: Report
) -> Iterator[BuildLock]:
    """Hold the locks for a build of these tenants, or of all if none is given.

    Tenants that were erased while it waited are left out, unless none would be left. ``report``
    receives a sentence when the build has to wait.
    """
    project = {"project": _PROJECT, "checksum": project_checksum()}
    with connect(transform_url(settings)) as conn:
        while True:
            if not full_refresh:
                with advisory_lock(conn, "build", report, is_shared=True):
                    ids = _tenants_to_lock(conn, tenants, project)
                    if ids:
                        _lock_tenants(conn, ids, report)
                        names = tuple(_find_tenants(conn, tenants, ids).values())
                        yield BuildLock(names or tuple(tenants), _take_slot(conn), conn)
                        return
            with advisory_lock(conn, "build", report):
                # Another build may have updated tables and views while this one waited.
                if full_refresh or not _tenants_to_lock(conn, tenants, project):
                    yield BuildLock(tuple(tenants), _take_slot(conn))
                    conn.execute(query("builds.record_project_built"), project)
                    return


@contextmanager
def tenant_lock(settings: Settings, tenant_id: UUID, report: Report) -> Iterator[Connection]:
    """Keep builds from writing a tenant's rows; yields a connection as quintile_transform.

    A plain ``dbt build`` has no locks of tenants, but takes one for each table that it writes. That
    one comes last here, because a plain build that creates a table takes it after the first one.
    """
    with (
        connect(transform_url(settings)) as conn,
        advisory_lock(conn, "build", report, is_shared=True),
    ):
        _lock_tenants(conn, [tenant_id], report)
        with advisory_lock(conn, "plain build", report):
            yield conn


def project_checksum() -> str:
    """SHA-256 of every file that decides which tables and views dbt makes."""
    files = [
        path
        for name in ("models", "macros", "seeds")
        for path in sorted((PROJECT_DIR / name).rglob("*"))
        if path.suffix in (".sql", ".yml", ".csv")
    ]
    digest = hashlib.sha256()
    for path in [PROJECT_DIR / "dbt_project.yml", *files]:
        digest.update(f"{path.relative_to(PROJECT_DIR).as_posix()}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _tenants_to_lock(
    conn: Connection, tenants: Sequence[str], project: dict[str, str]
) -> list[UUID]:
    """The tenants to lock for a build; none when it has to run alone."""
    ids = list(_find_tenants(conn, tenants))
    if len(ids) > MAX_TENANTS:
        return []
    if not one(conn.execute(query("builds.is_project_built"), project).fetchone())["is_built"]:
        return []
    has_erased = query("builds.has_erased_tenants")
    if not tenants and one(conn.execute(has_erased).fetchone())["has_erased"]:
        # A build of tenants by name would keep the rows of erased ones.
        return []
    return ids


def _find_tenants(
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
        # The locks taken so far are held twice; all end with the connection.
        conn.execute(query("builds.lock_builds"), parameters)
    conn.execute("reset lock_timeout")


def _take_slot(conn: Connection) -> int:
    row = conn.execute(query("builds.take_slot"), {"slots": _SLOTS}).fetchone()
    return int(one(row)["slot"])
