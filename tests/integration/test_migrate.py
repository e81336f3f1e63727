"""``quintile migrate``: on our own server, on an older one, and without superuser rights."""

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
        said: list[str] = []
        assert migrate(settings, said.append) == [item.name for item in known_migrations()]
        assert said[0] == "applying 0001_tenants"
    finally:
        cluster.drop(name)


def test_a_newer_database_is_refused_in_a_sentence(settings: Settings, owner: Connection) -> None:
    owner.execute("insert into app.schema_migrations values ('9999_from_the_future', 'x')")
    with pytest.raises(NewerDatabaseError, match="9999_from_the_future") as caught:
        migrate(settings)
    assert "release" in caught.value.advice


def test_an_edited_migration_is_noticed(settings: Settings, owner: Connection) -> None:
    owner.execute("update app.schema_migrations set checksum = 'x' where name = '0001_tenants'")
    with pytest.raises(QuintileError, match="0001_tenants has been edited"):
        migrate(settings)


def test_a_failing_migration_leaves_the_former_state(
    settings: Settings, tmp_path: Path, owner: Connection
) -> None:
    """What the file did before it failed is undone, and it is not on record; mended, it goes on."""
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


def test_nobody_answers(tmp_path: Path) -> None:
    settings = Settings(
        database_url="postgresql://nobody@127.0.0.1:1/none", home=str(tmp_path), secret_key="x"
    )
    with pytest.raises(DatabaseUnavailableError, match="cannot be reached"):
        migrate(settings)


def test_an_unreadable_url(tmp_path: Path) -> None:
    settings = Settings(database_url="postgresql://a b c", home=str(tmp_path), secret_key="x")
    with pytest.raises((InvalidSettingError, DatabaseUnavailableError)):
        app_url(settings)


def test_an_unprepared_database_says_what_to_run(cluster) -> None:
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


# -- a server of the operating system, with passwords --------------------------------------------


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
        database_url=server.replace("/postgres", f"/{name}"), home=str(home), secret_key="x"
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


def test_an_older_server_with_passwords(server: str, tmp_path: Path) -> None:
    settings = _database(server, "plain", tmp_path)
    assert migrate(settings) != []
    assert migrate(settings) == []
    _assert_serves(settings)
    # No password of ours is one that the admin chose, and none is in the clear anywhere.
    assert "pass%25word" not in app_url(settings)


def test_another_secret_does_not_lock_the_first_installation_out(
    server: str, tmp_path: Path
) -> None:
    """Roles belong to the whole server: a second installation must not take them over unasked."""
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
    # Once the other database is gone nobody is left to be locked out.
    with connect(server) as conn:
        for name in ("plain", "shared"):
            conn.execute(f"drop database if exists {name} with (force)")  # type: ignore[call-overload]
    migrate(replace(elsewhere, secret_key="a third"))
    with open_pool(replace(elsewhere, secret_key="a third")):
        pass


def test_an_admin_who_is_no_superuser(server: str, tmp_path: Path) -> None:
    """As on managed PostgreSQL: CREATEROLE, and owner of the database."""
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
def test_an_admin_who_lacks_a_right_is_told_which(
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
    # What it says is enough: run it, and the migration goes through.
    with connect(server.replace("/postgres", "/lacking")) as conn:
        conn.execute(grant)  # type: ignore[call-overload]
        conn.execute("alter role lacking createrole")
        conn.execute("grant all on database lacking to lacking with grant option")
    assert migrate(settings) != []
    _assert_serves(settings)


def test_the_second_of_two_waits_for_the_first(settings: Settings) -> None:
    said: list[str] = []
    order: list[str] = []

    def second() -> None:
        with connect(settings.database_url) as conn, advisory_lock(conn, "test", said.append):
            order.append("second")

    thread = threading.Thread(target=second)
    with connect(settings.database_url) as conn:
        with advisory_lock(conn, "test", said.append):
            thread.start()
            while not said:
                time.sleep(0.01)
            order.append("first")
        thread.join(timeout=10)
    assert said == ["waiting for another test to finish"]
    assert order == ["first", "second"]


def test_a_process_that_dies_leaves_no_lock(settings: Settings) -> None:
    with connect(settings.database_url) as conn, advisory_lock(conn, "test", lambda _: None):
        conn.close()
    said: list[str] = []
    with connect(settings.database_url) as conn, advisory_lock(conn, "test", said.append):
        pass
    assert said == []
