"""``quintile migrate``: schemas, roles and row level security, from numbered SQL files.

A migration and its record commit together, under a lock that ends with the connection, so a killed
run leaves nothing to clean up. Migrations run while the previous release serves. They wait only
briefly for a table, because later queries on it queue behind them.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg
from psycopg import sql

from service.core.config import PROJECT_DIR, Settings
from service.core.db import (
    APP,
    TRANSFORM,
    Connection,
    admin_url,
    advisory_lock,
    connect,
    one,
    with_user,
)
from service.core.errors import (
    ForeignRolesError,
    MissingGrantError,
    NewerDatabaseError,
    QuintileError,
    TablesInUseError,
    UnsupportedDatabaseError,
)
from service.core.queries import query
from service.core.secrets import role_password
from service.queue.schema import apply_queue_schema

MINIMUM_SERVER_VERSION = 150000
_SQL_DIR = PROJECT_DIR / "sql"

# How long a statement waits for a table, while other queries queue behind it. After that the
# migration is rolled back and tried again.
_LOCK_TIMEOUT = "2s"
_PAUSE_SECONDS = 3.0
_MOST_ATTEMPTS = 200

Report = Callable[[str], None]


@dataclass(frozen=True)
class Migration:
    """One numbered file of ``sql/migrations``."""

    name: str
    path: Path

    @property
    def text(self) -> str:
        """The file's SQL."""
        return self.path.read_text(encoding="utf-8")

    @property
    def checksum(self) -> str:
        """SHA-256 of the file, to detect edits after it was applied."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def known_migrations() -> list[Migration]:
    """Every migration of this release, in order."""
    return [Migration(path.stem, path) for path in sorted((_SQL_DIR / "migrations").glob("*.sql"))]


def migrate(
    settings: Settings,
    report: Report = lambda _: None,
    *,
    reset_passwords: bool = False,
    migrations: Sequence[Migration] | None = None,
) -> list[str]:
    """Migrate the database to this release; return the names of the migrations applied now.

    Idempotent: a database that is up to date is only checked.

    Args:
        settings: The database, and the secret from which the roles' passwords are derived.
        report: Receives one sentence per step.
        reset_passwords: Replace passwords of the roles that this installation does not know.
        migrations: The migrations to apply; this release's when not given.

    Raises:
        UnsupportedDatabaseError: PostgreSQL is older than 15.
        NewerDatabaseError: The database has migrations that this release does not know.
        MissingGrantError: The admin lacks a right; the advice is the statement that grants it.
        ForeignRolesError: The roles have passwords that this installation does not know.
        TablesInUseError: A transaction used a table for a quarter of an hour; earlier migrations
            are applied.
        QuintileError: A migration was edited after it was applied, or isolation does not hold.
    """
    with connect(admin_url(settings)) as conn:
        _check_server_version(conn)
        with advisory_lock(conn, "migration", report):
            migrations = known_migrations() if migrations is None else migrations
            _check_not_newer(conn, migrations)
            existing = _existing_roles(conn)
            _create_roles(conn)
            _set_passwords(settings, conn, existing if not reset_passwords else set())
            conn.execute("set role quintile_owner")
            applied = _apply_as_owner(conn, report, migrations)
            conn.execute("reset role")
            _check_isolation(conn)
    return applied


def applied_migrations(conn: Connection) -> dict[str, str]:
    """Checksums of the applied migrations by name; empty before the first migration."""
    if one(conn.execute("select to_regclass('app.schema_migrations') as found").fetchone())[
        "found"
    ]:
        rows = conn.execute("select name, checksum from app.schema_migrations").fetchall()
        return {row["name"]: row["checksum"] for row in rows}
    return {}


def _check_server_version(conn: Connection) -> None:
    if conn.info.server_version < MINIMUM_SERVER_VERSION:
        major = conn.info.server_version // 10000
        raise UnsupportedDatabaseError(
            f"This is PostgreSQL {major}; Quintile needs 15 or newer.",
            advice="Views with row level security (security_invoker) came with PostgreSQL 15.",
        )


def _check_not_newer(conn: Connection, migrations: Sequence[Migration]) -> None:
    try:
        applied = applied_migrations(conn)
    except psycopg.errors.InsufficientPrivilege:
        conn.execute("set role quintile_owner")
        applied = applied_migrations(conn)
        conn.execute("reset role")
    known = {migration.name: migration for migration in migrations}
    unknown = sorted(set(applied) - set(known))
    if unknown:
        raise NewerDatabaseError(
            f"The database has migration {unknown[-1]}, which this release does not know.",
            advice="Run the release that migrated it, or a newer one.",
        )
    for name, checksum in applied.items():
        if known[name].checksum != checksum:
            raise QuintileError(
                f"Migration {name} has been edited since it was applied to this database.",
                advice="Undo the edit and write a new migration.",
            )


def _create_roles(conn: Connection) -> None:
    try:
        with conn.transaction():
            conn.execute(_file("rls/roles.sql"))
    except psycopg.errors.InsufficientPrivilege as error:
        raise _missing_grant(conn, error) from error


def _missing_grant(conn: Connection, error: psycopg.Error) -> MissingGrantError:
    """The right that the admin lacks, with the statement that grants it."""
    rights = one(conn.execute(query("core.admin_rights")).fetchone())
    admin, database = rights["quoted_admin"], rights["quoted_database"]
    if not rights["may_create_roles"]:
        statement = f"alter role {admin} createrole;"
    elif not rights["may_grant_create"]:
        statement = f"grant all on database {database} to {admin} with grant option;"
    else:
        statement = f"grant quintile_owner, quintile_transform, quintile_app to {admin};"
    reason = str(error).strip().splitlines()[0]
    return MissingGrantError(
        f"Role {rights['admin']} may not prepare this database: {reason}.",
        advice=f"As a role that may, run: {statement}",
    )


def _existing_roles(conn: Connection) -> set[str]:
    rows = conn.execute(query("core.existing_roles"), {"roles": [APP, TRANSFORM]}).fetchall()
    return {row["name"] for row in rows}


def _set_passwords(settings: Settings, conn: Connection, existing: set[str]) -> None:
    """Give the login roles their derived passwords, unless they already connect with them.

    Roles belong to the whole server. An existing role with another password may be used by another
    installation, or by this database under another secret: a new password would lock that one out.
    """
    given = {APP: settings.app_database_url, TRANSFORM: settings.transform_database_url}
    for role, own_url in given.items():
        if own_url or not settings.database_url:
            continue
        password = role_password(settings, role)
        try:
            psycopg.connect(with_user(settings.database_url, role, password)).close()
        except psycopg.OperationalError:
            taken = one(conn.execute(query("core.is_role_taken"), {"role": role}).fetchone())
            if role in existing and taken["is_taken"]:
                raise ForeignRolesError(
                    f"Role {role} exists already, with a password that this installation does not"
                    " know."
                ) from None
            _set_password(conn, role, password)


def _set_password(conn: Connection, role: str, password: str) -> None:
    # Only the verifier is sent, so the password cannot appear in the server's log.
    verifier = conn.pgconn.encrypt_password(
        password.encode(), role.encode(), b"scram-sha-256"
    ).decode()
    statement = sql.SQL("alter role {} password {}").format(
        sql.Identifier(role), sql.Literal(verifier)
    )
    try:
        conn.execute(statement)
    except psycopg.errors.InsufficientPrivilege:
        raise MissingGrantError(
            f"The admin may not set the password of {role}.",
            advice="Grant the admin CREATEROLE (and, from PostgreSQL 16, ADMIN on the role), or set"
            " QUINTILE_APP_DATABASE_URL and QUINTILE_TRANSFORM_DATABASE_URL.",
        ) from None


def _apply_as_owner(conn: Connection, report: Report, migrations: Sequence[Migration]) -> list[str]:
    conn.execute(query("core.create_schema_migrations"))
    _retry_while_locked(conn, report, lambda: conn.execute(_file("rls/protect.sql")))
    applied = applied_migrations(conn)
    pending = [migration for migration in migrations if migration.name not in applied]
    for migration in pending:
        report(f"applying {migration.name}")
        _retry_while_locked(conn, report, partial(_apply, conn, migration))
    _retry_while_locked(conn, report, lambda: apply_queue_schema(conn, report))
    _retry_while_locked(conn, report, lambda: conn.execute(_file("rls/queue.sql")))
    _retry_while_locked(conn, report, lambda: _replace_findings(conn))
    return [migration.name for migration in pending]


def _replace_findings(conn: Connection) -> None:
    try:
        with conn.transaction():
            conn.execute(_file("rls/findings.sql"))
    except psycopg.errors.InvalidTableDefinition:
        # The view of another release, whose columns have other collations.
        conn.execute("drop view app.isolation_findings")
        conn.execute(_file("rls/findings.sql"))


def _apply(conn: Connection, migration: Migration) -> None:
    conn.execute(sql.SQL(migration.text))
    conn.execute(
        "insert into app.schema_migrations (name, checksum) values (%s, %s)",
        [migration.name, migration.checksum],
    )


def _retry_while_locked(conn: Connection, report: Report, work: Callable[[], object]) -> None:
    """Do the work in one transaction; retry while other transactions hold its tables."""
    for attempt in range(1, _MOST_ATTEMPTS + 1):
        try:
            with conn.transaction():
                conn.execute(sql.SQL("set local lock_timeout = {}").format(_LOCK_TIMEOUT))
                work()
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
            if attempt == _MOST_ATTEMPTS:
                raise TablesInUseError from error
            report("a long transaction uses the table; trying again")
            # At random, to avoid colliding with a periodic job again and again.
            time.sleep(random.uniform(0.5, 1.5) * _PAUSE_SECONDS)  # noqa: S311
        else:
            return


def _check_isolation(conn: Connection) -> None:
    findings = conn.execute(
        "select relation, finding from app.isolation_findings where relation ~ %s",
        # The next build fixes dbt's tables, and an operator what others have granted elsewhere; a
        # migration must not fail because of them.
        [r"^(app|shopify|jobs)\.|^quintile_(owner|transform|app)$"],
    ).fetchall()
    if findings:
        first = findings[0]
        raise QuintileError(
            f"Isolation does not hold: {first['relation']}: {first['finding']}.",
            advice="quintile doctor lists every finding.",
        )


def _file(name: str) -> sql.SQL:
    return sql.SQL((_SQL_DIR / name).read_text(encoding="utf-8"))
