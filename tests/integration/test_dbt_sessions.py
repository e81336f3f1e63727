"""dbt keeps its sessions between models and tests, and each finds its session as good as new."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from typing import Any, cast

import pytest
from dbt.adapters.contracts.connection import AdapterRequiredConfig, Connection, ConnectionState
from dbt.adapters.postgres.connections import PostgresCredentials
from psycopg.conninfo import conninfo_to_dict

from service.builds.dbt_process import KeptConnections
from service.builds.run import build
from service.core.config import Settings
from service.core.db import admin_url, connect, transform_url


class Profile:
    """What a connection manager reads of dbt's configuration."""

    def __init__(self, settings: Settings) -> None:
        given = conninfo_to_dict(transform_url(settings))
        self.credentials = PostgresCredentials(
            database=str(given["dbname"]),
            schema="marts",
            host=str(given["host"]),
            user=str(given["user"]),
            port=int(given.get("port") or 5432),
            password=str(given.get("password") or ""),
            role="quintile_transform",
        )


@pytest.fixture
def manager(settings: Settings) -> Iterator[KeptConnections]:
    profile = cast("AdapterRequiredConfig", Profile(settings))
    manager = KeptConnections(profile, multiprocessing.get_context("spawn"))
    yield manager
    manager.cleanup_all()


def _rows(connection: Connection, statement: str) -> Any:
    with connection.handle.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def test_a_released_session_is_as_good_as_new(manager: KeptConnections) -> None:
    connection = manager.set_connection_name("model.one")
    backend = _rows(connection, "select pg_backend_pid()")
    with connection.handle.cursor() as cursor:
        cursor.execute("create temporary table left_behind (id int); set enable_hashjoin = off")
        # As dbt commits: psycopg2 takes the session to be in a transaction still.
        cursor.execute("commit")
        cursor.execute("select pg_advisory_lock(1)")
        cursor.execute("create temporary table not_committed (id int)")
    manager.release()

    again = manager.set_connection_name("model.two")
    assert again.name == "model.two"
    assert _rows(again, "select pg_backend_pid()") == backend
    assert _rows(again, "select to_regclass('left_behind'), to_regclass('not_committed')") == [
        (None, None)
    ]
    assert _rows(again, "show enable_hashjoin") == [("on",)]
    assert _rows(again, "select current_user::text") == [("quintile_transform",)]
    # Of this session: other tests of the same server hold some, too.
    locks = "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"
    assert _rows(again, locks) == [(0,)]
    # The statements above have begun a transaction, as in a new session.
    with again.handle.cursor() as cursor:
        cursor.execute("lock table app.tenants in share mode")


def test_a_session_that_was_lost_is_replaced(manager: KeptConnections, settings: Settings) -> None:
    connection = manager.set_connection_name("model.one")
    ((backend,),) = _rows(connection, "select pg_backend_pid()")
    with connect(admin_url(settings)) as admin:
        admin.execute("select pg_terminate_backend(%s, 5000)", [backend])
    manager.release()
    assert connection.state == ConnectionState.CLOSED
    again = manager.set_connection_name("model.two")
    assert _rows(again, "select pg_backend_pid()") != [(backend,)]


def test_a_build_opens_few_sessions(built_settings: Settings) -> None:
    sessions = "select sessions as n from pg_stat_database where datname = current_database()"
    with connect(admin_url(built_settings)) as admin:
        admin.execute("select pg_stat_force_next_flush()")
        before = admin.execute(sessions).fetchone()
        build(built_settings, quiet=True)
        after = admin.execute(sessions).fetchone()
    assert before
    assert after
    # dbt's threads, those that look up relations, and those of the locks: not one for each of about
    # 180 models, seeds and tests.
    assert after["n"] - before["n"] < 20
