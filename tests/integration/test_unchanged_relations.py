"""Builds leave out what cannot have changed since a complete build, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from psycopg import sql

from service.builds.dbt_runs import DbtRequest, DbtRun
from service.builds.locks import project_checksum
from service.builds.relations import are_recorded, read_relations
from service.builds.run import build
from service.core.config import PROJECT_DIR, Settings
from service.core.db import Connection, admin_url, connect, transform_url
from service.core.errors import BuildFailedError
from tests.warm_dbt import server

TENANT = "kessel-und-korn"
_STARTED = re.compile(r"START (sql view|sql incremental|seed|test) .*?([\w.]+) \.*")


@dataclass
class Recorded:
    """dbt, with what a build has started: kinds and names."""

    tests: set[str] = field(default_factory=set)
    kinds: set[str] = field(default_factory=set)

    @contextmanager
    def start(self, request: DbtRequest) -> Iterator[DbtRun]:
        with server().start(request) as run:
            yield _Copied(run, self)

    def see(self, line: str) -> None:
        found = _STARTED.search(line)
        if found:
            self.kinds.add(found[1])
            if found[1] == "test":
                self.tests.add(found[2])


class _Copied:
    def __init__(self, run: DbtRun, recorded: Recorded) -> None:
        self._run = run
        self._recorded = recorded
        self.kill = run.kill
        self.wait = run.wait

    def lines(self) -> Iterator[str]:
        for line in self._run.lines():
            self._recorded.see(line)
            yield line


def built(settings: Settings) -> Recorded:
    recorded = Recorded()
    build(settings, tenants=[TENANT], quiet=True, dbt=recorded)
    return recorded


def is_recorded(settings: Settings) -> bool:
    with connect(transform_url(settings)) as conn:
        return are_recorded(conn, read_relations(conn, project_checksum()))


@pytest.fixture
def admin(built_demo: Settings) -> Iterator[Connection]:
    with connect(admin_url(built_demo)) as conn:
        yield conn


def forget(admin: Connection) -> None:
    admin.execute("delete from app.built_project where project = 'quintile relations'")


def test_only_what_is_guaranteed_is_left_out(built_demo: Settings, admin: Connection) -> None:
    forget(admin)
    complete = built(built_demo)
    assert complete.kinds == {"sql view", "sql incremental", "seed", "test"}
    assert is_recorded(built_demo)
    quick = built(built_demo)
    assert quick.kinds == {"sql incremental", "test"}
    assert quick.tests < complete.tests

    seeds = {path.stem for path in (PROJECT_DIR / "seeds").glob("*.csv")}
    left_out = complete.tests - quick.tests
    of_tables = {name for name in left_out if not any(f"_{seed}_" in name for seed in seeds)}
    # What reads a view, calculates or lists values runs in every build.
    assert all(name.startswith("unique_") for name in of_tables)
    for kept in (
        "assert_isolation_holds",
        "assert_scores_equal_counting_rule",
        "unique_within_tenant_stg_shopify__orders_order_id",
        "unique_within_tenant_customers_customer_id",
        "accepted_values_rfm_thresholds_metric__recency__frequency__monetary",
        "not_null_customer_facts_segment",
    ):
        assert kept in quick.tests
    assert "unique_within_tenant_customer_facts_customer_id" in of_tables
    assert len(of_tables) > 15

    with connect(transform_url(built_demo)) as conn:
        guaranteed = read_relations(conn, project_checksum())
    tables = sorted(guaranteed.unique_keys, key=len, reverse=True)
    for name in of_tables:
        tested = name.removeprefix("unique_").removeprefix("within_tenant_")
        table = next(table for table in tables if tested.startswith(table.split(".")[1]))
        refuses_duplicates(admin, table)


def refuses_duplicates(admin: Connection, table: str) -> None:
    """A second row with the same key is refused, whatever the guarantees were read from."""
    name = sql.Identifier(*table.split("."))
    columns = sql.SQL("select * from {} limit 1").format(name)
    if admin.execute(columns).fetchone() is None:
        # The demo has no such rows; a row of nulls and defaults would prove nothing.
        index = "select from pg_index where indrelid = %s::regclass and indisunique and indisvalid"
        assert admin.execute(index, [table]).fetchone() is not None
        return
    again = sql.SQL("insert into {0} select * from {0} limit 1").format(name)
    with pytest.raises(psycopg.errors.UniqueViolation), admin.transaction():
        admin.execute(again)


@pytest.mark.parametrize(
    "change",
    [
        "drop index marts.{index}",
        "alter table marts.creators alter column platform drop not null",
        "alter table marts.creators alter column samples type numeric",
        "alter table marts.creators add column more text",
        "revoke select on marts.creators from quintile_app",
        "grant select on marts.creators to pg_monitor",
        "revoke select (platform) on marts.creators from quintile_app;"
        " grant update (platform) on marts.creators to quintile_app",
        "comment on column marts.creators.platform is 'other'",
        "alter table marts.creators no force row level security",
        "drop policy {policy} on marts.creators",
        "create or replace view staging.stg_app__tenants as {view} limit 1",
        "alter view staging.stg_app__tenants set (security_invoker = false)",
        "update marts.rfm_segments set label = 'Other' where segment = 'champions'",
        "delete from marts.sample_words where word = (select min(word) from marts.sample_words)",
        "alter table shopify.orders add column more text",
        "alter table marts.creators rename to old; create table marts.creators (like marts.old)",
    ],
)
def test_every_change_of_a_relation_is_seen(
    built_demo: Settings, admin: Connection, change: str
) -> None:
    names = admin.execute(
        "select (select polname from pg_policy where polrelid = 'marts.creators'::regclass"
        " order by polname limit 1) as policy,"
        " (select indexrelid::regclass::text from pg_index"
        " where indrelid = 'marts.creators'::regclass limit 1) as index,"
        " rtrim(pg_get_viewdef('staging.stg_app__tenants'), ';') as view"
    ).fetchone()
    assert names
    names["index"] = names["index"].removeprefix("marts.").strip('"')
    names["policy"] = f'"{names["policy"]}"'
    names["index"] = f'"{names["index"]}"'
    before = read_relations(admin, project_checksum())
    with admin.transaction(force_rollback=True):
        admin.execute(change.format(**names).encode())
        changed = read_relations(admin, project_checksum())
    assert changed.checksum != before.checksum
    assert read_relations(admin, project_checksum()) == before
    assert read_relations(admin, "of another release").checksum != before.checksum


def test_a_broken_guarantee_is_found_by_its_test(built_demo: Settings, admin: Connection) -> None:
    built(built_demo)
    built(built_demo)
    assert is_recorded(built_demo)
    indexes: list[Any] = admin.execute(
        "select indexrelid::regclass::text as name from pg_index"
        " where indrelid = 'marts.sample_orders'::regclass and indisunique"
    ).fetchall()
    for index in indexes:
        admin.execute(sql.SQL("drop index {}").format(sql.SQL(index["name"])))
    # A build writes differences only, so both rows stay.
    admin.execute("insert into marts.sample_orders select * from marts.sample_orders")
    with pytest.raises(BuildFailedError) as failed:
        built(built_demo)
    assert "sample_orders" in str(failed.value.detail)
    assert not is_recorded(built_demo)


def test_the_checksum_has_the_rows_of_every_seed() -> None:
    path = PROJECT_DIR / "service" / "builds" / "sql" / "relations.sql"
    read = set(re.findall(r"from marts\.(\w+) as s\b", path.read_text(encoding="utf-8")))
    assert read == {path.stem for path in (PROJECT_DIR / "seeds").glob("*.csv")}
