"""``quintile migrate`` while the previous release serves, without interruption or loss of rows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from psycopg import sql
from psycopg.rows import tuple_row
from psycopg.types.json import Jsonb

import service.migrate
import service.worker.worker
from service.app import create_app
from service.builds.run import build
from service.core.config import Settings
from service.core.db import (
    Connection,
    Pool,
    app_url,
    connect,
    connect_as_owner,
    open_pool,
    tenant_transaction,
)
from service.core.errors import TablesInUseError
from service.core.queries import _statements, load_queries
from service.migrate import Migration, applied_migrations, known_migrations, migrate
from service.tenants.tenants import add_tenant
from tests.command import quintile
from tests.conftest import AS_OF, PROJECT_DIR, Cluster

pytestmark = pytest.mark.upgrade

# The last migration of each release; the next release adds its own.
RELEASED = ("0014_channels",)

# What the previous release relies on: a migration may add to these, and remove nothing.
PROMISES = {
    "column": """
        select
            format('%s.%I %s', c.oid::regclass, a.attname, format_type(a.atttypid, a.atttypmod))
        from pg_class as c
        inner join pg_attribute as a on c.oid = a.attrelid
        where
            c.relnamespace::regnamespace::text in ('shopify', 'app')
            and c.relkind in ('r', 'p', 'v')
            and a.attnum > 0
            and not a.attisdropped
    """,
    # An upsert names the index by its columns.
    "unique index": """
        select
            format(
                '%s %s %s',
                c.oid::regclass,
                (
                    select string_agg(a.attname, ',' order by a.attname)
                    from pg_attribute as a
                    where a.attrelid = i.indrelid and a.attnum = any(i.indkey)
                ),
                regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING ', '')
            )
        from pg_index as i
        inner join pg_class as c on i.indrelid = c.oid
        where i.indisunique and c.relnamespace::regnamespace::text in ('shopify', 'app')
    """,
    "right": """
        select format('%s %s %s', g.privilege_type, c.oid::regclass, g.grantee::regrole)
        from pg_class as c
        cross join aclexplode(c.relacl) as g
        where c.relnamespace::regnamespace::text in ('shopify', 'app', 'jobs') and g.grantee <> 0
        union all
        select
            format(
                '%s %s.%I %s', g.privilege_type, c.oid::regclass, a.attname, g.grantee::regrole
            )
        from pg_class as c
        inner join pg_attribute as a on c.oid = a.attrelid and not a.attisdropped
        cross join aclexplode(a.attacl) as g
        where c.relnamespace::regnamespace::text in ('shopify', 'app', 'jobs') and g.grantee <> 0
    """,
    "function": """
        select format('%s %s', oid::regprocedure, pg_get_function_result(oid))
        from pg_proc
        where pronamespace::regnamespace::text in ('shopify', 'app')
    """,
}
# What the previous release does not know about: relation, columns, and the requirement. A migration
# adds none to existing columns.
DEMANDS = {
    "column without a default": """
        select format('%s %I', c.oid::regclass, a.attname)
        from pg_class as c
        inner join pg_attribute as a on c.oid = a.attrelid
        where
            c.relnamespace::regnamespace::text in ('shopify', 'app')
            and c.relkind in ('r', 'p')
            and a.attnum > 0
            and not a.attisdropped
            and a.attnotnull
            and not a.atthasdef
            and a.attidentity = ''
    """,
    "constraint": """
        select
            format(
                '%s %s %s',
                c.conrelid::regclass,
                (
                    select string_agg(a.attname, ',' order by a.attname)
                    from pg_attribute as a
                    where a.attrelid = c.conrelid and a.attnum = any(c.conkey)
                ),
                pg_get_constraintdef(c.oid)
            )
        from pg_constraint as c
        where
            c.contype in ('c', 'f', 'u', 'x')
            and c.connamespace::regnamespace::text in ('shopify', 'app')
    """,
    "unique index": PROMISES["unique index"],
    "trigger": """
        select format('%s tenant_id %s', tgrelid::regclass, tgname)
        from pg_trigger
        where not tgisinternal
    """,
}
COLUMNS = """
    select format('%s.%s', c.oid::regclass, a.attname)
    from pg_class as c
    inner join pg_attribute as a on c.oid = a.attrelid
    where c.relnamespace::regnamespace::text in ('shopify', 'app') and a.attnum > 0
"""

# Accepted breaches, with the reason. Normally a migration has none: what the previous release needs
# is removed one release later (docs/migrations.md).
REVIEWED: dict[str, dict[str, str]] = {
    # Releases before 0007 were never deployed; they would not find the index of their upsert.
    "0007_runs": {
        "unique index is gone: app.runs kind,tenant_id btree (tenant_id, kind)"
        " WHERE (state = ANY (ARRAY['queued'::text, 'running'::text]))": "never deployed",
        "unique index is new: app.runs kind,state,tenant_id btree (tenant_id, kind, state)"
        " WHERE (state = ANY (ARRAY['queued'::text, 'running'::text]))": "wider than before",
    },
    "0010_connections": {
        "constraint is new: app.connections key_id,sealed_secret,state CHECK"
        " ((((state = 'disconnected'::text) = (sealed_secret IS NULL)) AND"
        " ((sealed_secret IS NULL) = (key_id IS NULL))))": "both columns could not be null before",
        "constraint is new: app.connections state CHECK ((state = ANY"
        " (ARRAY['active'::text, 'refused'::text, 'disconnected'::text])))": "one more than before",
    },
    "0013_segments": {
        "constraint is new: app.runs kind CHECK ((kind ~ '^[a-z]+(_[a-z]+)*$'::text))": (
            "holds for all that was allowed before"
        ),
    },
    "0015_klaviyo": {
        "constraint is new: app.klaviyo_ledger refused_hash,state CHECK"
        " (((refused_hash IS NULL) OR (state = 'rejected'::text)))": "it writes no refused_hash",
        "constraint is new: app.klaviyo_ledger state CHECK ((state = ANY (ARRAY['pending'::text,"
        " 'synced'::text, 'rejected'::text, 'kept'::text, 'removed'::text])))": "two more",
        "constraint is new: app.klaviyo_sync_configs direction,list_id,segment_key CHECK"
        " (((direction = 'pull'::text) = (segment_key = ('klaviyo:'::text || list_id))))": (
            "it refuses to pull"
        ),
        "constraint is new: app.klaviyo_sync_configs segment_key CHECK"
        " ((segment_key ~ '^(rfm:[a-z_]+|shopify:[0-9]+|klaviyo:[A-Za-z0-9]+)$'::text))": "wider",
    },
    "0019_runs": {
        "constraint is new: app.runs trigger CHECK ((trigger = ANY (ARRAY['schedule'::text,"
        " 'person'::text, 'cli'::text, 'webhook'::text])))": "one more than before",
    },
    "0021_rfm_settings": {
        "constraint is new: app.rfm_settings excluded_customer_ids CHECK"
        " (app.are_ids_valid(excluded_customer_ids))": "it trims ids and refuses empty ones",
    },
    "0030_rfm_windows": {
        "constraint is new: app.rfm_settings additional_window_days,window_days CHECK"
        " ((window_days <> ALL (additional_window_days)))": "it adds no windows",
    },
    "0034_segment_history": {
        "constraint is new: app.klaviyo_sync_configs segment_key CHECK ((segment_key ~"
        " '^(rfm:[a-z][a-z0-9_]*|shopify:[0-9]+|klaviyo:[A-Za-z0-9]+)$'::text))": "wider",
    },
    "0041_confirmed_webhooks": {
        "constraint is new: app.webhook_events finished_at,state CHECK (((state = ANY"
        " (ARRAY['queued'::text, 'held'::text])) = (finished_at IS NULL)))": (
            "the same for the states that it knows"
        ),
        "constraint is new: app.webhook_events state CHECK ((state = ANY (ARRAY['queued'::text,"
        " 'held'::text, 'done'::text, 'set_aside'::text])))": "one more than before",
    },
    "0052_announced_list_changes": {
        "constraint is new: app.webhook_deliveries after_snapshot,round,source,topic,until_snapshot"
        " CHECK ((((topic ~~ 'segment.%'::text) = (source IS NOT NULL))"
        " AND COALESCE((source = ANY (ARRAY['rfm'::text, 'shopify'::text, 'klaviyo'::text])), true)"
        " AND (COALESCE((source = ANY (ARRAY['shopify'::text, 'klaviyo'::text])), false)"
        " = (after_snapshot IS NOT NULL)) AND ((after_snapshot IS NULL) = (until_snapshot IS NULL))"
        " AND ((after_snapshot IS NULL) = (round IS NULL))))": "one source more than before",
    },
}

TABLES = """
    select
        c.oid::regclass::text as name,
        array_agg(a.attname::text order by a.attnum) as columns,
        (
            select array_agg(k.attname::text order by k.attnum)
            from pg_index as i
            inner join pg_attribute as k on i.indrelid = k.attrelid and k.attnum = any(i.indkey)
            -- A key with a nullable column is a unique one.
            where
                i.indrelid = c.oid
                and i.indisunique
                and (
                    i.indisprimary
                    or not exists (
                        select from pg_index as p where p.indrelid = c.oid and p.indisprimary
                    )
                )
        ) as key,
        has_table_privilege('quintile_app', c.oid, 'insert') as is_insertable,
        has_table_privilege('quintile_app', c.oid, 'update') as is_updatable
    from pg_class as c
    inner join pg_attribute as a on c.oid = a.attrelid
    where
        c.relnamespace::regnamespace::text in ('shopify', 'app')
        and c.relkind = 'r'
        and a.attnum > 0
        and not a.attisdropped
        and a.attgenerated = ''
        and has_table_privilege('quintile_app', c.oid, 'select')
        and exists (
            select from pg_attribute as t where t.attrelid = c.oid and t.attname = 'tenant_id'
        )
    group by c.oid
    order by c.oid::regclass::text
"""


def ask(conn: Connection, statement: str) -> set[str]:
    with conn.cursor(row_factory=tuple_row) as cursor:
        return {str(row[0]) for row in cursor.execute(statement).fetchall()}  # type: ignore[call-overload]


@dataclass(frozen=True)
class Contract:
    """What the schema after one migration promises to a release, and requires of it."""

    columns: set[str]
    promises: dict[str, set[str]]
    demands: dict[str, set[str]]

    @staticmethod
    def of(conn: Connection) -> Contract:
        return Contract(
            ask(conn, COLUMNS),
            {kind: ask(conn, statement) for kind, statement in PROMISES.items()},
            {kind: ask(conn, statement) for kind, statement in DEMANDS.items()},
        )

    def breaches(self, later: Contract) -> set[str]:
        """What breaks for a release made for this schema when the database has a later one."""
        gone = {
            f"{kind} is gone: {what}"
            for kind, promised in self.promises.items()
            for what in promised - later.promises[kind]
        }
        new = {
            f"{kind} is new: {what}"
            for kind, demanded in later.demands.items()
            for what in demanded - self.demands[kind]
            if self.is_about_known(kind, what)
        }
        return gone | new

    def is_about_known(self, kind: str, demand: str) -> bool:
        """Whether a requirement concerns what a release made for this schema writes.

        It writes no new columns, so a new column without a default concerns each of its inserts. A
        constraint on a new and an old column may refuse what it writes into the old one.
        """
        relation, columns = demand.split(" ")[:2]
        if kind == "column without a default":
            return f"{relation}.tenant_id" in self.columns
        names = set(columns.split(","))
        tied = (names - {"tenant_id"}) or names
        return any(f"{relation}.{column}" in self.columns for column in tied)


def test_every_migration_is_compatible_with_the_previous_release(cluster: Cluster) -> None:
    known = known_migrations()
    name = cluster.create()
    settings = cluster.settings(name)
    found: dict[str, set[str]] = {}
    try:
        with connect(settings.database_url) as conn:
            before: Contract | None = None
            for number, migration in enumerate(known, start=1):
                migrate(settings, migrations=known[:number])
                after = Contract.of(conn)
                found[migration.name] = before.breaches(after) if before else set()
                before = after
    finally:
        cluster.drop(name)
    unexpected = [
        f"{name}: {breach}"
        for name, breaches in found.items()
        for breach in sorted(breaches - set(REVIEWED.get(name, {})))
    ]
    assert not unexpected, "\n".join(unexpected)


# -- with data, under load ------------------------------------------------------------------------


@pytest.fixture
def former(cluster: Cluster) -> Iterator[Settings]:
    """An empty database as the release before migration 0041 left it."""
    name = cluster.create()
    settings = cluster.settings(name)
    try:
        migrate(settings, migrations=[m for m in known_migrations() if m.name < "0041"])
        yield settings
    finally:
        cluster.drop(name)


def test_erasures_that_a_person_has_decided_need_no_other_decision(former: Settings) -> None:
    """Those of operators, and those that had begun, when requests began to be confirmed."""
    with connect_as_owner(former) as conn:
        tenant_id = add_tenant(conn, "demo", None)
        for webhook_id, notice in (
            ("operator:1", {}),
            ("begun", {"done": {"landed": {}}}),
            ("of the store", {"done": {}}),
        ):
            conn.execute(
                "insert into app.webhook_events"
                " (tenant_id, webhook_id, topic, kind, subject, notice)"
                " values (%s, %s, 'customers/redact', 'customer_redact', '1', %s)",
                [tenant_id, webhook_id, Jsonb(notice)],
            )
        migrate(former)
        rows = conn.execute("select webhook_id, confirmed_by from app.webhook_events").fetchall()
    assert {row["webhook_id"]: row["confirmed_by"] for row in rows} == {
        "operator:1": "person",
        "begun": "person",
        "of the store": None,
    }


@dataclass(frozen=True)
class Table:
    """A table as the previous release knows it, with statements that use all its columns."""

    name: str
    columns: list[str]
    key: list[str]
    is_insertable: bool
    is_updatable: bool

    @property
    def listed(self) -> sql.Composed:
        return sql.SQL(", ").join(map(sql.Identifier, self.columns))

    @property
    def qualified(self) -> sql.Identifier:
        return sql.Identifier(*self.name.split("."))

    def read(self) -> sql.Composed:
        return sql.SQL("select {} from {}").format(self.listed, self.qualified)

    def write(self) -> sql.Composed:
        """Upsert every row unchanged."""
        values = [column for column in self.columns if column not in self.key]
        action = sql.SQL("nothing")
        if self.is_updatable and values:
            action = sql.SQL("update set {}").format(
                sql.SQL(", ").join(
                    sql.SQL("{0} = excluded.{0}").format(sql.Identifier(column))
                    for column in values
                )
            )
        return sql.SQL("insert into {} ({}) {} on conflict ({}) do {}").format(
            self.qualified,
            self.listed,
            self.read(),
            sql.SQL(", ").join(map(sql.Identifier, self.key)),
            action,
        )

    def digest(self) -> sql.Composed:
        return sql.SQL(
            "select md5(string_agg(md5(t::text), '' order by md5(t::text))) from ({}) as t"
        ).format(self.read())


def tables(conn: Connection) -> list[Table]:
    rows = conn.execute(TABLES).fetchall()
    return [Table(**row) for row in rows]


def digests(conn: Connection, known: list[Table]) -> dict[str, Any]:
    """Digests of the columns that a release knows, by table."""
    with conn.cursor(row_factory=tuple_row) as cursor:
        return {table.name: cursor.execute(table.digest()).fetchone() for table in known}


def copy_rows(source: Connection, target: Connection, known: list[Table]) -> None:
    """Copy the demo's rows into the columns that exist in the target."""
    with target.transaction():
        # Without foreign keys, because the tables are not ordered by them.
        target.execute("set local session_replication_role = replica")
        for table in known:
            parts = {"table": table.qualified, "columns": table.listed}
            export = sql.SQL("copy {table} ({columns}) to stdout").format(**parts)
            load = sql.SQL("copy {table} ({columns}) from stdin").format(**parts)
            with source.cursor().copy(export) as rows, target.cursor().copy(load) as loading:
                for row in rows:
                    loading.write(row)


class PreviousRelease:
    """Reads and writes every table for every tenant, again and again."""

    def __init__(self, pool: Pool, tenants: list[UUID], known: list[Table]) -> None:
        self.pool = pool
        self.tenants = tenants
        self.known = known
        self.rounds = 0

    def once(self) -> None:
        for table in self.known:
            for tenant in self.tenants:
                with tenant_transaction(self.pool, tenant, timeout_ms=60_000) as conn:
                    conn.execute(table.read())
                    if table.is_insertable:
                        conn.execute(table.write())
        self.rounds += 1

    @contextmanager
    def serving(self) -> Iterator[None]:
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                self.once()

        with ThreadPoolExecutor(max_workers=1) as executor:
            serving = executor.submit(serve)
            try:
                yield
            finally:
                over.set()
            serving.result()


@pytest.mark.parametrize("level", [*RELEASED, "one before the last"])
def test_an_upgrade_under_load_keeps_all_rows_and_the_previous_release_working(
    level: str, cluster: Cluster, built_demo: Settings
) -> None:
    names = [migration.name for migration in known_migrations()]
    number = names.index(level) + 1 if level in names else len(names) - 1
    name = cluster.create()
    settings = cluster.settings(name)
    migrate(settings, migrations=known_migrations()[:number])
    try:
        with (
            connect(settings.database_url) as conn,
            connect(built_demo.database_url) as demo,
            open_pool(settings) as pool,
        ):
            known = tables(conn)
            copy_rows(demo, conn, known)
            tenants = [UUID(row) for row in ask(conn, "select tenant_id from app.tenants")]
            before = digests(conn, known)
            assert before["shopify.orders"] != (None,)
            previous = PreviousRelease(pool, tenants, known)
            previous.once()
            with previous.serving():
                assert migrate(settings) == names[number:]
            # It still works afterwards, because it is stopped only when the new one runs.
            previous.once()
            assert previous.rounds >= 3
            assert digests(conn, known) == before
            # The next sync reads orders again, with what the previous release left out.
            conn.execute("truncate shopify.orders")
            copy_rows(
                demo, conn, [table for table in tables(conn) if table.name == "shopify.orders"]
            )
        assert_reads_as_before(settings, built_demo)
    finally:
        cluster.drop(name)


def assert_reads_as_before(settings: Settings, original: Settings) -> None:
    """A build after the upgrade gives the same results as in a database without an upgrade."""
    build(settings, as_of=AS_OF.isoformat(), quiet=True)
    for tenant in ("northlight-goods", "kessel-und-korn"):
        for export in ("segments", "samples"):
            arguments = (export, "export", "--tenant", tenant)
            lines = quintile(settings, *arguments).stdout
            assert lines.count("\n") > 10
            assert lines == quintile(original, *arguments).stdout


@pytest.mark.parametrize("process", ["web", "worker"])
def test_a_process_reads_all_statements_at_its_start(
    process: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it could read a statement of the next release, after its checkout is upgraded."""
    _statements.cache_clear()
    load_queries.cache_clear()
    if process == "web":
        create_app(settings).extensions["quintile"].pool.close()
    else:
        monkeypatch.setattr(service.worker.worker.asyncio, "run", lambda work: work.close())
        service.worker.worker.run_worker(settings)
    packages = list((PROJECT_DIR / "service").glob("*/sql"))
    assert _statements.cache_info().currsize == len(packages) > 10


# -- locks ----------------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.migrate, "_LOCK_TIMEOUT", "50ms")
    monkeypatch.setattr(service.migrate, "_PAUSE_SECONDS", 0.05)


@pytest.fixture
def altering(tmp_path: Path) -> list[Migration]:
    """One more migration, which needs an exclusive lock on shopify.orders."""
    path = tmp_path / "9000_more.sql"
    path.write_text("alter table shopify.orders add column more text;")
    return [*known_migrations(), Migration(path.stem, path)]


@pytest.mark.usefixtures("impatient")
def test_a_migration_that_waits_for_a_long_transaction_does_not_block_queries(
    settings: Settings, altering: list[Migration], owner: Connection
) -> None:
    reported: list[str] = []
    with (
        connect(settings.database_url) as long,
        connect(app_url(settings)) as service_connection,
        ThreadPoolExecutor(max_workers=1) as executor,
    ):
        service_connection.execute("set statement_timeout = '30s'")
        with long.transaction():
            long.execute("select count(*) from shopify.orders")
            migrating = executor.submit(migrate, settings, reported.append, migrations=altering)
            while len(reported) < 5:
                # Without the lock timeout this would wait behind the migration for ever.
                service_connection.execute("select count(*) from shopify.orders")
            assert not migrating.done()
        assert migrating.result() == ["9000_more"]
    assert set(reported) == {
        "applying 9000_more",
        "a long transaction uses the table; trying again",
    }
    assert "9000_more" in applied_migrations(owner)


@pytest.mark.usefixtures("impatient")
def test_a_migration_that_never_gets_its_lock_fails_and_changes_nothing(
    settings: Settings,
    altering: list[Migration],
    owner: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service.migrate, "_MOST_ATTEMPTS", 3)
    with connect(settings.database_url) as long, long.transaction():
        long.execute("select count(*) from shopify.orders")
        with pytest.raises(TablesInUseError, match="uses a table") as caught:
            migrate(settings, migrations=altering)
    assert "pg_stat_activity" in caught.value.advice
    assert "9000_more" not in applied_migrations(owner)
