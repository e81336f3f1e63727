"""Checks of the database: version, migrations, roles and isolation."""

from __future__ import annotations

from collections.abc import Iterator

from service.core.config import Settings
from service.core.db import (
    Connection,
    admin_url,
    app_url,
    connect,
    one,
    refuse_overprivileged,
    transform_url,
)
from service.core.queries import query
from service.doctor.finding import Finding
from service.migrate import MINIMUM_SERVER_VERSION, applied_migrations, known_migrations

# Besides its pool: docs/operations.md.
_WORKER_CONNECTIONS = 6


def check_database(settings: Settings) -> Iterator[Finding]:
    """The server's version and pending migrations."""
    with connect(admin_url(settings)) as conn:
        version = conn.info.server_version
        message = f"PostgreSQL {version // 10000}.{version % 10000}"
        if version >= MINIMUM_SERVER_VERSION:
            yield Finding("ok", "database", message)
        else:
            yield Finding("error", "database", message, "Quintile needs PostgreSQL 15 or newer.")
        applied = applied_migrations(conn)
    pending = [item.name for item in known_migrations() if item.name not in applied]
    if pending:
        yield Finding("error", "migrations", f"{len(pending)} are pending", "Run: quintile migrate")
    else:
        yield Finding("ok", "migrations", f"all {len(applied)} applied")


def check_pools(settings: Settings) -> Iterator[Finding]:
    """That PostgreSQL allows as many connections as the web service, a worker and builds may use.

    Builds open one per thread and two more; a worker six besides its pool. PgBouncer limits the web
    service's itself.
    """
    with connect(admin_url(settings)) as conn:
        allowed = one(conn.execute(query("doctor.count_allowed_connections")).fetchone())["allowed"]
    web = 0 if settings.app_database_url else settings.web_processes * settings.pool_size
    builds = settings.worker_builds * (settings.dbt_threads + 2)
    needed = web + settings.pool_size + _WORKER_CONNECTIONS + builds
    message = f"up to {needed} connections of {allowed} that PostgreSQL allows"
    if needed <= allowed:
        yield Finding("ok", "pools", message)
    else:
        yield Finding(
            "warning",
            "pools",
            message,
            "Raise max_connections, or lower QUINTILE_POOL_SIZE or QUINTILE_WEB_PROCESSES.",
        )


def check_roles(settings: Settings) -> Iterator[Finding]:
    """That the service and dbt can connect, with no more rights than they need."""
    with connect(app_url(settings)) as conn:
        refuse_overprivileged(conn)
    yield Finding("ok", "roles", "the service connects as quintile_app, without further rights")
    with connect(transform_url(settings)):
        yield Finding("ok", "roles", "dbt connects as quintile_transform")


def check_isolation(conn: Connection) -> Iterator[Finding]:
    """That every relation with tenants' rows is under row level security."""
    rows = conn.execute("select relation, finding from app.isolation_findings").fetchall()
    advice = "For tables of the service: quintile migrate. For what dbt builds: quintile build."
    for row in rows:
        yield Finding("error", "isolation", f"{row['relation']}: {row['finding']}", advice)
    if not rows:
        yield Finding("ok", "isolation", "every relation with a tenant_id is protected")
