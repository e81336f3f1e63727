"""``quintile migrate`` on the embedded server, on an older server, and without superuser rights."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from service.core.config import Settings
from service.core.db import (
    Connection,
    advisory_lock,
    app_url,
    connect,
    connect_as_owner,
    open_pool,
    tenant_transaction,
    transform_url,
)
from service.core.errors import (
    DatabaseUnavailableError,
    ForeignRolesError,
    InvalidSettingError,
    MissingGrantError,
    NewerDatabaseError,
    QuintileError,
)
from service.migrate import Migration, applied_migrations, known_migrations, migrate
from service.tenants.tenants import add_tenant
from tests.external import external_server


def test_migrating_twice_changes_nothing(settings: Settings) -> None:
    assert migrate(settings) == []


def test_a_fresh_database_gets_every_migration_in_order(cluster) -> None:
    name = cluster.create()
    settings = cluster.settings(name)
    try:
        reported: list[str] = []
        assert migrate(settings, reported.append) == [item.name for item in known_migrations()]
        assert reported[0] == "applying 0001_tenants"
    finally:
        cluster.drop(name)


def test_a_newer_database_is_refused_with_advice(settings: Settings, owner: Connection) -> None:
    owner.execute("insert into app.schema_migrations values ('9999_from_the_future', 'x')")
    with pytest.raises(NewerDatabaseError, match="9999_from_the_future") as caught:
        migrate(settings)
    assert "release" in caught.value.advice


def test_an_edited_migration_is_refused(settings: Settings, owner: Connection) -> None:
    owner.execute("update app.schema_migrations set checksum = 'x' where name = '0001_tenants'")
    with pytest.raises(QuintileError, match="0001_tenants has been edited"):
        migrate(settings)


def test_a_failed_migration_is_rolled_back_and_can_be_fixed(
    settings: Settings, tmp_path: Path, owner: Connection
) -> None:
    path = tmp_path / "9000_broken.sql"
    migrations = [*known_migrations(), Migration("9000_broken", path)]
    path.write_text("create table app.half (tenant_id uuid); select * from app.missing;")
    with pytest.raises(psycopg.errors.UndefinedTable):
        migrate(settings, migrations=migrations)
    found = owner.execute("select to_regclass('app.half') as found").fetchone()
    assert found == {"found": None}
    assert "9000_broken" not in applied_migrations(owner)

    path.write_text("create table app.whole (id int);")
    assert migrate(settings, migrations=migrations) == ["9000_broken"]
    assert migrate(settings, migrations=migrations) == []


def test_a_server_that_does_not_answer(tmp_path: Path) -> None:
    settings = Settings(
        database_url="postgresql://nobody@127.0.0.1:1/none",
        home=str(tmp_path),
        secret_key="a secret for tests 0123456789abcdef",
    )
    with pytest.raises(DatabaseUnavailableError, match="cannot be reached"):
        migrate(settings)


def test_an_invalid_url_is_refused(tmp_path: Path) -> None:
    settings = Settings(
        database_url="postgresql://a b c",
        home=str(tmp_path),
        secret_key="a secret for tests 0123456789abcdef",
    )
    with pytest.raises((InvalidSettingError, DatabaseUnavailableError)):
        app_url(settings)


def test_a_database_before_migration_has_advice(cluster) -> None:
    name = cluster.create()
    try:
        with (
            pytest.raises(DatabaseUnavailableError) as caught,
            open_pool(cluster.settings(name)),
        ):
            pass
        assert caught.value.advice == "Run: quintile migrate"
    finally:
        cluster.drop(name)


# -- the operating system's server, with passwords -----------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with external_server() as url:
        yield url


def _database(server: str, name: str, home: Path, *statements: str) -> Settings:
    with connect(server) as conn:
        conn.execute(f"create database {name}")  # type: ignore[call-overload]
        for statement in statements:
            conn.execute(statement)  # type: ignore[call-overload]
    return Settings(
        database_url=server.replace("/postgres", f"/{name}"),
        home=str(home),
        secret_key="a secret for tests 0123456789abcdef",
    )


def _assert_serves(settings: Settings) -> None:
    with connect_as_owner(settings) as owner:
        tenant_id = add_tenant(owner, "demo")
        assert owner.execute("select * from app.isolation_findings").fetchall() == []
    with open_pool(settings) as pool, tenant_transaction(pool, tenant_id) as conn:
        assert conn.execute("select name from app.tenants").fetchall() == [{"name": "demo"}]
    with connect(transform_url(settings)) as conn:
        assert conn.execute("select current_user::text as me").fetchone() == {
            "me": "quintile_transform"
        }


def test_migrating_an_older_server_with_passwords(server: str, tmp_path: Path) -> None:
    settings = _database(server, "plain", tmp_path)
    assert migrate(settings) != []
    assert migrate(settings) == []
    _assert_serves(settings)
    # The service's password is derived, not the admin's.
    assert "pass%25word" not in app_url(settings)


def test_a_second_installation_does_not_change_passwords_unless_asked(
    server: str, tmp_path: Path
) -> None:
    """Roles belong to the whole server, so new passwords would lock out the first installation."""
    first = _database(server, "shared", tmp_path)
    migrate(first, reset_passwords=True)
    second = replace(first, secret_key="another")
    with pytest.raises(ForeignRolesError, match="quintile_app exists already"):
        migrate(second)
    _assert_serves(first)
    elsewhere = _database(server, "elsewhere", tmp_path)
    with pytest.raises(ForeignRolesError):
        migrate(replace(elsewhere, secret_key="another"))
    migrate(second, reset_passwords=True)
    with open_pool(second):
        pass
    # Without the other databases there is no other installation to lock out.
    with connect(server) as conn:
        for name in ("plain", "shared"):
            conn.execute(f"drop database if exists {name} with (force)")  # type: ignore[call-overload]
    migrate(replace(elsewhere, secret_key="a third"))
    with open_pool(replace(elsewhere, secret_key="a third")):
        pass


def test_migrating_as_an_admin_who_is_not_superuser(server: str, tmp_path: Path) -> None:
    """As on managed PostgreSQL, the admin has CREATEROLE and owns the database."""
    with connect(server) as conn:
        for name in ("plain", "shared", "elsewhere"):
            conn.execute(f"drop database if exists {name} with (force)")  # type: ignore[call-overload]
        for role in ("quintile_app", "quintile_transform", "quintile_owner"):
            conn.execute(f"drop role if exists {role}")  # type: ignore[call-overload]
        conn.execute("create role managed login createrole password 'managed'")
    settings = _database(server, "managed", tmp_path, "alter database managed owner to managed")
    at = server.rpartition("@")[2].replace("/postgres", "/managed")
    settings = replace(settings, database_url=f"postgresql://managed:managed@{at}")
    assert migrate(settings) != []
    assert migrate(settings) == []
    _assert_serves(settings)


@pytest.mark.parametrize(
    ("rights", "grant"),
    [
        ("nocreaterole", "alter role lacking createrole;"),
        ("createrole", "grant all on database lacking to lacking with grant option;"),
    ],
)
def test_a_missing_right_is_reported_with_the_statement_that_grants_it(
    server: str, tmp_path: Path, rights: str, grant: str
) -> None:
    with connect(server) as conn:
        conn.execute("drop database if exists lacking with (force)")
        conn.execute("drop role if exists lacking")
        for name in ("plain", "managed"):
            conn.execute(f"drop database if exists {name} with (force)")  # type: ignore[call-overload]
        for role in ("quintile_app", "quintile_transform", "quintile_owner"):
            conn.execute(f"drop role if exists {role}")  # type: ignore[call-overload]
        conn.execute(f"create role lacking login {rights} password 'x'")  # type: ignore[call-overload]
    settings = _database(server, "lacking", tmp_path)
    at = server.rpartition("@")[2].replace("/postgres", "/lacking")
    settings = replace(settings, database_url=f"postgresql://lacking:x@{at}")
    with pytest.raises(MissingGrantError) as caught:
        migrate(settings)
    assert grant in caught.value.advice
    # The statement is enough for the migration to succeed.
    with connect(server.replace("/postgres", "/lacking")) as conn:
        conn.execute(grant)  # type: ignore[call-overload]
        conn.execute("alter role lacking createrole")
        conn.execute("grant all on database lacking to lacking with grant option")
    assert migrate(settings) != []
    _assert_serves(settings)


def test_the_second_process_waits_for_the_lock(settings: Settings) -> None:
    reported: list[str] = []
    order: list[str] = []

    def second() -> None:
        with connect(settings.database_url) as conn, advisory_lock(conn, "test", reported.append):
            order.append("second")

    thread = threading.Thread(target=second)
    with connect(settings.database_url) as conn:
        with advisory_lock(conn, "test", reported.append):
            thread.start()
            while not reported:
                time.sleep(0.01)
            order.append("first")
        thread.join(timeout=10)
    assert reported == ["waiting for another test to finish"]
    assert order == ["first", "second"]


def test_a_lock_ends_with_its_connection(settings: Settings) -> None:
    with connect(settings.database_url) as conn, advisory_lock(conn, "test", lambda _: None):
        conn.close()
    reported: list[str] = []
    with connect(settings.database_url) as conn, advisory_lock(conn, "test", reported.append):
        pass
    assert reported == []
