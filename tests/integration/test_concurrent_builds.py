"""Concurrent builds: both succeed, and leave what builds one after the other leave."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from psycopg import sql
from psycopg.rows import tuple_row

from service.builds.locks import build_lock
from service.builds.run import build
from service.core.config import Settings
from service.core.db import Connection, connect
from service.core.errors import BuildFailedError
from tests.cluster import wait_for_older_transactions
from tests.conftest import AS_OF, PROJECT_DIR, Cluster
from tests.warm_dbt import dbt

LARGE, SMALL = "northlight-goods", "kessel-und-korn"
LATER = AS_OF + timedelta(days=1)

# A day's changes of every tenant: changed, refunded and deleted orders.
CHANGE = """
    update shopify.orders
    set
        total_minor = total_minor + 100,
        refunded_minor = case when order_id like '%3' then total_minor else refunded_minor end,
        deleted_at = case when order_id like '%7' then now() end,
        landed_xid = default
    where order_id like any (array['%1', '%3', '%7'])
"""
BUILT = """
    select
        c.oid::regclass::text as name,
        array_agg(a.attname::text order by a.attnum) as columns
    from pg_class as c
    inner join pg_attribute as a on c.oid = a.attrelid
    where
        c.relnamespace::regnamespace::text in ('intermediate', 'marts')
        and c.relkind in ('r', 'v')
        -- Quadratic in days, unless two of them are selected.
        and c.relname <> 'rfm_segment_movements'
        and a.attnum > 0
        and not a.attisdropped
        -- A transaction id.
        and a.attname <> 'changes_from'
    group by c.oid
"""
# Builds must not write the catalog: two that write one of its rows at once fail.
VIEWS = """
    select oid, xmin::text from pg_class
    where relkind = 'v' and relnamespace::regnamespace::text in ('staging', 'marts')
    order by oid
"""
BLOCKED = """
    select count(*) as n from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock'
"""


def marts(settings: Settings) -> dict[str, object]:
    """A checksum of every relation that dbt built."""
    found = {}
    with connect(settings.database_url) as conn, conn.cursor(row_factory=tuple_row) as cursor:
        for row in conn.execute(BUILT).fetchall():
            statement = sql.SQL(
                "select count(*), md5(string_agg(md5(t::text), '' order by md5(t::text)))"
                " from (select {} from {}) as t"
            ).format(
                sql.SQL(", ").join(map(sql.Identifier, row["columns"])),
                sql.Identifier(*row["name"].split(".")),
            )
            found[row["name"]] = cursor.execute(statement).fetchone()
    return found


def build_later(settings: Settings, *tenants: str) -> None:
    try:
        build(settings, tenants=tenants, as_of=LATER.isoformat(), quiet=True)
    except BuildFailedError as error:
        pytest.fail(error.detail)


@pytest.fixture(scope="module")
def changed(cluster: Cluster, demo_template: str) -> str:
    """The demo, with changes that no build has read."""
    name = cluster.create(demo_template)
    with connect(cluster.settings(name).database_url) as conn:
        conn.execute(CHANGE)
    return cluster.keep(name)


@pytest.fixture(scope="module")
def expected(cluster: Cluster, changed: str) -> dict[str, object]:
    """The checksums after one build of all tenants."""
    with cluster.database(changed) as settings:
        before = marts(settings)
        build_later(settings)
        after = marts(settings)
    assert before["marts.customer_facts"] != after["marts.customer_facts"]
    assert len(after) > 20
    return after


@pytest.fixture
def news(cluster: Cluster, changed: str) -> Iterator[Settings]:
    with cluster.database(changed) as settings:
        with connect(settings.database_url) as conn:
            # Fail instead of waiting forever.
            guard = sql.SQL("alter database {} set lock_timeout = '10min'")
            conn.execute(guard.format(sql.Identifier(conn.info.dbname)))
        yield settings


@pytest.fixture
def admin(news: Settings) -> Iterator[Connection]:
    with connect(news.database_url) as conn:
        yield conn


def test_a_build_of_one_tenant_is_not_blocked_by_a_stuck_build_of_another(
    news: Settings, admin: Connection, expected: dict[str, object]
) -> None:
    """The other build has written its scores but not committed, and holds all its locks."""
    views = admin.execute(VIEWS).fetchall()
    with ThreadPoolExecutor(max_workers=1) as executor:
        with connect(news.database_url) as blocker, blocker.transaction():
            blocker.execute(
                "select from marts.rfm_builds as b inner join app.tenants as t using (tenant_id)"
                " where t.name = %s for update of b",
                [LARGE],
            )
            large = executor.submit(build_later, news, LARGE)
            while admin.execute(BLOCKED).fetchone() == {"n": 0}:
                assert not large.done()
                time.sleep(0.05)
            # Ends only if it has to wait for nothing.
            build_later(news, SMALL)
            assert not large.done()
            assert admin.execute(BLOCKED).fetchone() == {"n": 1}
        large.result()
    assert marts(news) == expected
    assert admin.execute(VIEWS).fetchall() == views


def test_concurrent_builds_leave_what_one_build_leaves(
    news: Settings, admin: Connection, expected: dict[str, object]
) -> None:
    # Otherwise the same changes would count once more in the second builds.
    wait_for_older_transactions(admin)
    with ThreadPoolExecutor(max_workers=2) as executor:
        list(executor.map(lambda tenant: build_later(news, tenant), (LARGE, SMALL)))
        assert marts(news) == expected
        # Again, without customers to measure.
        list(executor.map(lambda tenant: build_later(news, tenant), (SMALL, LARGE)))
        again = marts(news)
        assert again["intermediate.int_customers_touched"] == (0, None)
        assert {**expected, "intermediate.int_customers_touched": (0, None)} == again


def test_plain_dbt_creates_no_table_or_view_while_a_build_holds_its_lock(
    news: Settings, admin: Connection, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(max_workers=1) as executor:
        with build_lock(news, [SMALL], full_refresh=False, report=pytest.fail):
            admin.execute("drop view marts.customers")
            admin.execute("drop table marts.sample_stats")
            run = ("run", "--select", "customers", "sample_stats")
            plain = executor.submit(dbt, news.database_url, tmp_path, *run)
            while admin.execute(BLOCKED).fetchone() != {"n": 2}:
                assert not plain.done()
                time.sleep(0.05)
            made = "select to_regclass('marts.customers'), to_regclass('marts.sample_stats')"
            assert set((admin.execute(made).fetchone() or {}).values()) == {None}
        plain.result()
    assert None not in (admin.execute(made).fetchone() or {}).values()


# -- the dbt subprocess ----------------------------------------------------------------------------


class HandedBackError(Exception):
    """The worker must stop."""


def test_a_build_whose_progress_report_raises_ends_at_once(
    news: Settings, admin: Connection
) -> None:
    def report(done: int, total: int) -> None:
        raise HandedBackError

    with pytest.raises(HandedBackError):
        build(news, tenants=[SMALL], as_of=LATER.isoformat(), quiet=True, report=report)
    sessions = (
        "select count(*) as n from pg_stat_activity"
        " where datname = current_database() and usename = 'quintile_transform'"
    )
    while admin.execute(sessions).fetchone() != {"n": 0}:
        time.sleep(0.05)
    build_later(news, SMALL)


@pytest.mark.parametrize(("is_parent_gone", "exit_code"), [(True, 1), (False, 0)])
def test_the_dbt_subprocess_ends_with_its_parent(
    is_parent_gone: bool, exit_code: int, tmp_path: Path
) -> None:
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "service.builds.dbt_process", str(tmp_path), "{}", ""),
            *("--quiet", "list", "--select", "customer_facts", "--target-path", str(tmp_path)),
        ],
        cwd=PROJECT_DIR,
        env={**os.environ, "DBT_LOG_PATH": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    ) as process:
        if is_parent_gone and process.stdin:
            process.stdin.close()
        assert process.wait() == exit_code
