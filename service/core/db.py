"""Database connections by role, and transactions of one tenant.

There are three roles (``sql/rls/roles.sql``). The service connects as ``quintile_app``, which sees
the rows of one tenant per transaction and no rows outside one. Operators' commands act as
``quintile_owner``; dbt and the worker's scheduler, which need all tenants, as
``quintile_transform``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool

from service.core import embedded
from service.core.config import Settings
from service.core.errors import (
    DatabaseUnavailableError,
    InvalidSettingError,
    OverprivilegedRoleError,
    UnknownTenantError,
)
from service.core.queries import query
from service.core.secrets import role_password

TRANSFORM = "quintile_transform"
APP = "quintile_app"

# By their libpq names, in seconds; tcp_user_timeout is in milliseconds. Sockets ignore them.
_KEEPALIVES = {
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}

# Executions after which psycopg prepares a statement: never, unless execute() gets prepare=True.
_PREPARE_ON_REQUEST = 2**31

Connection = psycopg.Connection[DictRow]
Pool = ConnectionPool[Connection]


# -- URLs by role -------------------------------------------------------------------------------


def admin_url(settings: Settings) -> str:
    """URL of the database's admin; starts the embedded PostgreSQL if no URL is set."""
    return settings.database_url or embedded.start(settings.home_dir / "pg")


def app_url(settings: Settings) -> str:
    """URL of the service's role, quintile_app."""
    return settings.app_database_url or _as_role(settings, APP)


def transform_url(settings: Settings) -> str:
    """URL of quintile_transform, the role of dbt and of the worker's scheduler."""
    return settings.transform_database_url or _as_role(settings, TRANSFORM)


def _as_role(settings: Settings, role: str) -> str:
    # The embedded server trusts its socket, which only its own system user can open.
    password = role_password(settings, role) if settings.database_url else ""
    return with_user(admin_url(settings), role, password)


def with_user(url: str, user: str, password: str) -> str:
    """A database URL for another user, in one of the two forms that dbt's profile reads.

    Raises:
        InvalidSettingError: The URL cannot be parsed.
    """
    parts = url_parts(url)
    parts.pop("user", None)
    parts.pop("password", None)
    host, port = parts.pop("host", ""), parts.pop("port", "")
    database = quote(parts.pop("dbname", ""), safe="")
    userinfo = f"{quote(user, safe='')}:{quote(password, safe='')}" if password else quote(user)
    if host.startswith("/"):
        parts = {"host": host, **({"port": port} if port else {}), **parts}
        host = port = ""
    authority = f"{userinfo}@{host}{':' + port if port else ''}"
    suffix = f"?{urlencode(parts, safe='/')}" if parts else ""
    return f"postgresql://{authority}/{database}{suffix}"


def url_parts(url: str) -> dict[str, str]:
    """The parameters of a connection URL by their libpq names.

    Raises:
        InvalidSettingError: The URL cannot be parsed. Neither the message nor the cause repeats it,
            because it may hold a password.
    """
    try:
        return {key: str(value) for key, value in conninfo_to_dict(url).items()}
    except psycopg.Error:
        raise InvalidSettingError(
            "A database URL is invalid.",
            advice="The form is postgresql://user:password@host:5432/database. In the password,"
            " percent-encode special characters: % is %25, @ is %40, : is %3A, / is %2F, # is %23.",
        ) from None


def kept_alive(url: str) -> str:
    """The connection string with TCP keepalives, unless the URL has its own.

    A server that vanishes without closing its connections, as in a failover, is noticed after a
    minute. The system's defaults notice it after two hours.

    Raises:
        InvalidSettingError: The URL cannot be parsed.
    """
    return make_conninfo("", **{**_KEEPALIVES, **url_parts(url)})


def connect(url: str) -> Connection:
    """Open an autocommit connection with dictionary rows and without prepared statements.

    Raises:
        DatabaseUnavailableError: The server does not answer or refuses the password.
        InvalidSettingError: The URL cannot be parsed.
    """
    conninfo = kept_alive(url)
    try:
        return psycopg.connect(
            conninfo, autocommit=True, row_factory=dict_row, prepare_threshold=None
        )
    except psycopg.OperationalError as error:
        raise DatabaseUnavailableError(
            f"The database cannot be reached: {_why_unreachable(error)}.",
            advice="Is it running, and is QUINTILE_DATABASE_URL right?",
        ) from None


def _why_unreachable(error: psycopg.OperationalError) -> str:
    """PostgreSQL's reason without the host, which may hold part of a badly encoded password."""
    text = str(error)
    for words in (
        "password authentication failed",
        "Connection refused",
        "No such file or directory",
        "no pg_hba.conf entry",
        "timeout expired",
        "the database system is starting up",
        "too many clients",
    ):
        if words in text:
            return words
    if "does not exist" in text:
        return "it has no such database or role"
    return "its host is unknown or does not answer"


@contextmanager
def connect_as_owner(settings: Settings) -> Iterator[Connection]:
    """A connection of the admin that acts as quintile_owner, for operators' commands."""
    with connect(admin_url(settings)) as conn:
        try:
            conn.execute("set role quintile_owner")
            prepared = conn.execute("select to_regclass('app.tenants') as found").fetchone()
        except (psycopg.errors.InvalidParameterValue, psycopg.errors.InsufficientPrivilege):
            raise _not_migrated() from None
        if one(prepared)["found"] is None:
            raise _not_migrated()
        yield conn


# -- pool and tenant transactions ---------------------------------------------------------------


@contextmanager
def open_pool(settings: Settings) -> Iterator[Pool]:
    """The service's pool, as quintile_app; closed at the end of the block.

    Raises:
        OverprivilegedRoleError: The role may do more than quintile_app.
        DatabaseUnavailableError: The server does not answer, or the schema is missing.
    """
    pool = create_pool(settings)
    try:
        yield pool
    finally:
        pool.close()


def create_pool(settings: Settings) -> Pool:
    """Like :func:`open_pool`, for callers that close the pool themselves."""
    url = app_url(settings)
    with connect(url) as conn:
        refuse_overprivileged(conn)
    pool: Pool = ConnectionPool(
        kept_alive(url),
        min_size=1,
        max_size=settings.pool_size,
        # Seconds until a request without a connection fails.
        timeout=5,
        # Autocommit makes conn.transaction() a transaction; otherwise it is a savepoint in one that
        # outlives the tenant's block.
        kwargs={"autocommit": True, "row_factory": dict_row, "prepare_threshold": None},
        configure=_allow_preparing,
        check=_check_open,
        open=True,
    )
    return pool


def _allow_preparing(conn: Connection) -> None:
    """Let a direct connection keep the plans of statements that ask for it (``prepare=True``).

    PgBouncer's transaction mode gives each transaction another server process, which does not have
    them. It announces a process id of its own making; a server announces that of the process.
    """
    row = one(conn.execute(query("core.find_process")).fetchone())
    if row["process_id"] == conn.info.backend_pid:
        conn.prepare_threshold = _PREPARE_ON_REQUEST


def _check_open(conn: Connection) -> None:
    """Refuse an idle connection that the server has closed, without a round trip.

    The first call may only read the server's last message; the second then finds the end.

    Raises:
        psycopg.OperationalError: It is closed; the pool takes another one.
    """
    conn.pgconn.consume_input()
    conn.pgconn.consume_input()


def refuse_overprivileged(conn: Connection) -> None:
    """Refuse a role that row level security does not restrict.

    Raises:
        OverprivilegedRoleError: The role is a superuser, has BYPASSRLS, owns tables, or is a member
            of a stronger role.
        DatabaseUnavailableError: The database has not been migrated.
    """
    try:
        row = one(conn.execute(query("core.role_powers")).fetchone())
    except (psycopg.errors.UndefinedObject, psycopg.errors.InvalidSchemaName):
        raise _not_migrated() from None
    if not row["is_prepared"]:
        raise _not_migrated()
    if row["powers"]:
        raise OverprivilegedRoleError(
            f"The service does not run as database role {row['role']}: it {row['powers'][0]}.",
            advice="Connect as quintile_app, or leave QUINTILE_APP_DATABASE_URL empty.",
        )


@contextmanager
def tenant_transaction(
    pool: Pool,
    tenant_id: UUID,
    *,
    read_only: bool = False,
    timeout_ms: int = 0,
) -> Iterator[Connection]:
    """A transaction that sees one tenant's rows: the only way to act for a tenant.

    The tenant is set for this transaction only, so a pooled connection keeps nothing of it.

    Args:
        pool: The service's pool.
        tenant_id: The tenant whose rows are visible.
        read_only: Refuse writes, as for a GET.
        timeout_ms: Maximum duration of a statement in milliseconds; 0 for no limit.

    Raises:
        psycopg.OperationalError: The connection was lost, or what it had prepared is out of date.
    """
    with suppress(psycopg.Rollback), pool.connection() as conn:
        psycopg.ClientCursor(conn).execute(
            query("core.begin_as_tenant"), _begin_parameters(tenant_id, read_only, timeout_ms)
        )
        try:
            yield conn
        except psycopg.errors.FeatureNotSupported as error:
            if error.diag.source_function != "RevalidateCachedQuery":
                raise
            # A build or a migration has changed a column's type. The pool opens another one.
            conn.close()
            raise psycopg.OperationalError("a prepared statement is out of date") from error
        # Unlike the end of the pool's block, this fails if the connection was lost.
        conn.commit()


def find_as_tenant(
    pool: Pool, tenant_id: UUID, statement: sql.SQL, parameters: Mapping[str, Any]
) -> DictRow | None:
    """The row of one statement in a read-only transaction of its own, in one round trip.

    For what every request looks up.
    """
    steps = (query("core.begin_as_tenant"), statement, sql.SQL("commit"))
    values = {**parameters, **_begin_parameters(tenant_id, read_only=True, timeout_ms=0)}
    with pool.connection() as conn:
        cursor = psycopg.ClientCursor(conn)
        cursor.execute(sql.SQL(";\n").join(steps), values)
        # The results of `begin` and of the settings are before it.
        cursor.nextset()
        cursor.nextset()
        return cursor.fetchone()


def _begin_parameters(tenant_id: UUID, read_only: bool, timeout_ms: int) -> dict[str, str]:
    return {
        "current_tenant_id": str(tenant_id),
        "read_only": "on" if read_only else "off",
        "timeout": str(timeout_ms),
    }


@contextmanager
def advisory_lock(
    conn: Connection, work: str, report: Callable[[str], None], *, is_shared: bool = False
) -> Iterator[None]:
    """Hold the database's lock for a piece of work; wait for other processes that hold it.

    Processes that take it shared can hold it together. The lock belongs to the connection, so a
    process that dies leaves nothing to clean up.

    Args:
        conn: An autocommit connection; it keeps the lock until the block ends.
        work: What the lock is for; part of its name.
        report: Receives one sentence when the lock is not free at once.
        is_shared: Exclude only processes that want the lock for themselves.
    """
    parameters = {"work": f"quintile {work}", "is_shared": is_shared}
    if not one(conn.execute(query("core.try_lock"), parameters).fetchone())["is_locked"]:
        report(f"waiting for another {work} to finish")
        conn.execute(query("core.lock"), parameters)
    try:
        yield
    finally:
        # A lost connection has released the lock already.
        with suppress(psycopg.OperationalError):
            conn.execute(query("core.unlock"), parameters)


# -- rows ---------------------------------------------------------------------------------------


def find_tenant(conn: Connection, name: str) -> UUID:
    """Id of the tenant with this name, on a connection that sees all tenants.

    Raises:
        UnknownTenantError: No tenant has this name; the advice lists the existing ones.
    """
    rows = conn.execute("select tenant_id, name from app.tenants order by name").fetchall()
    tenants: dict[str, UUID] = {row["name"]: row["tenant_id"] for row in rows}
    if name in tenants:
        return tenants[name]
    names = ", ".join(tenants) or "none yet"
    raise UnknownTenantError(
        f"There is no tenant '{name}'.",
        advice=f"Tenants: {names}. To add one: quintile tenants add {name}",
    )


def rows_of_marts(
    conn: Connection, statement: sql.SQL, parameters: Mapping[str, Any]
) -> list[DictRow]:
    """Rows of a statement that reads marts, or none before a first build has made them.

    Args:
        conn: A transaction; an absent mart does not end it.
        statement: The statement.
        parameters: Its parameters.
    """
    try:
        with conn.transaction():
            return conn.execute(statement, parameters).fetchall()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege):
        # A build also grants the schema to the service.
        return []


def one(row: DictRow | None) -> dict[str, Any]:
    """The row of a statement that always returns one row."""
    if row is None:
        raise LookupError("the statement returned no row")
    return row


def _not_migrated() -> DatabaseUnavailableError:
    return DatabaseUnavailableError(
        "The database has not been prepared for Quintile.", advice="Run: quintile migrate"
    )
