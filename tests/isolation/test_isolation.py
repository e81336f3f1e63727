"""Isolation of tenants with the service's role: no tenant, the wrong tenant, two tenants."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from service.builds.run import build
from service.core.config import Settings
from service.core.db import (
    Connection,
    Pool,
    app_url,
    connect,
    connect_as_owner,
    create_pool,
    tenant_transaction,
    transform_url,
)
from service.core.errors import OverprivilegedRoleError
from service.migrate import migrate
from tests.conftest import AS_OF, Cluster

READABLE = """
    select n.nspname as schema, c.relname as name
    from pg_class as c
    inner join pg_namespace as n on c.relnamespace = n.oid
    where
        c.relkind in ('r', 'p', 'v', 'm')
        and n.nspname in ('shopify', 'app', 'jobs', 'staging', 'intermediate', 'marts')
        and has_schema_privilege(n.oid, 'usage')
        and has_table_privilege(c.oid, 'select')
    order by 1, 2
"""
HAS_TENANT = """
    select n.nspname as schema, c.relname as name
    from pg_class as c
    inner join pg_namespace as n on c.relnamespace = n.oid
    inner join pg_attribute as a on c.oid = a.attrelid and a.attname = 'tenant_id'
    where c.relkind in ('r', 'p', 'v') and n.nspname in ('shopify', 'app', 'marts')
    order by 1, 2
"""
# Seeds and a calendar, which are the same for all tenants.
COMMON = {
    "rfm_segment_grid",
    "rfm_segments",
    "fulfillment_statuses",
    "relay_domains",
    "sample_words",
    "currency_exponents",
    "quintile_days",
}


def counts(conn: Connection, relations: list[dict[str, str]]) -> dict[str, int]:
    found = {}
    for relation in relations:
        statement = sql.SQL("select count(*) as n from {}").format(
            sql.Identifier(relation["schema"], relation["name"])
        )
        row = conn.execute(statement).fetchone()
        assert row is not None
        found[f"{relation['schema']}.{relation['name']}"] = row["n"]
    return found


@pytest.fixture
def demo_pool(built_demo: Settings):
    pool = create_pool(built_demo)
    yield pool
    pool.close()


@pytest.fixture
def demo_tenants(built_demo: Settings) -> list[UUID]:
    with connect_as_owner(built_demo) as conn:
        return [
            row["tenant_id"]
            for row in conn.execute("select tenant_id from app.tenants order by name").fetchall()
        ]


def test_without_a_tenant_the_service_sees_no_rows(
    built_demo: Settings, demo_pool: Pool, demo_tenants: list[UUID]
) -> None:
    with tenant_transaction(demo_pool, demo_tenants[0]) as conn:
        from service.queue.enqueue import enqueue

        enqueue(conn, demo_tenants[0], "build")
    with connect(app_url(built_demo)) as conn:
        relations = [row for row in conn.execute(READABLE).fetchall() if row["name"] not in COMMON]
        assert len(relations) >= 15
        assert {name for name, n in counts(conn, relations).items() if n} == set()


def test_with_a_tenant_the_service_sees_exactly_its_rows(
    built_demo: Settings, demo_pool: Pool, demo_tenants: list[UUID]
) -> None:
    """In every table with tenants that the service may read."""
    with connect_as_owner(built_demo) as owner:
        relations = owner.execute(HAS_TENANT).fetchall()
        expected = {
            tenant: {
                f"{r['schema']}.{r['name']}": owner.execute(
                    sql.SQL("select count(*) as n from {} where tenant_id = %s").format(
                        sql.Identifier(r["schema"], r["name"])
                    ),
                    [tenant],
                ).fetchone()["n"]
                for r in relations
                if r["schema"] != "marts"
            }
            for tenant in demo_tenants
        }
    seen_by_tenant = {}
    for tenant in demo_tenants:
        with tenant_transaction(demo_pool, tenant) as conn:
            readable = {(r["schema"], r["name"]) for r in conn.execute(READABLE).fetchall()}
            seen = counts(conn, [r for r in relations if (r["schema"], r["name"]) in readable])
            seen_by_tenant[tenant] = seen
            for name, expected_count in expected[tenant].items():
                if name in seen:
                    assert seen[name] == expected_count, name
    first, second = (seen_by_tenant[tenant] for tenant in demo_tenants)
    for name in ("shopify.orders", "marts.customer_rfm_segments", "marts.sample_orders"):
        assert first[name] > 0
        assert second[name] > 0
        assert first[name] != second[name]


def test_a_tenant_never_sees_the_id_of_another(demo_pool: Pool, demo_tenants: list[UUID]) -> None:
    a, b = demo_tenants
    with tenant_transaction(demo_pool, a) as conn:
        for table in ("shopify.orders", "marts.customer_rfm_segments", "app.tenants"):
            statement = sql.SQL("select distinct tenant_id from {}").format(
                sql.Identifier(*table.split("."))
            )
            assert {row["tenant_id"] for row in conn.execute(statement).fetchall()} == {a}
            foreign = sql.SQL("select count(*) as n from {} where tenant_id = %s").format(
                sql.Identifier(*table.split("."))
            )
            assert conn.execute(foreign, [b]).fetchone() == {"n": 0}


def test_an_unknown_tenant_sees_no_rows(demo_pool: Pool) -> None:
    with tenant_transaction(demo_pool, uuid4()) as conn:
        assert conn.execute("select count(*) as n from shopify.orders").fetchone() == {"n": 0}


def test_the_tenant_ends_with_its_transaction(settings: Settings, make_tenant) -> None:
    """A pooled connection keeps nothing of the tenant."""
    tenant_id = make_tenant("a")
    pool = create_pool(replace(settings, pool_size=1))
    try:
        with pool.connection() as conn:
            pid = conn.info.backend_pid
        with tenant_transaction(pool, tenant_id) as conn:
            assert conn.info.backend_pid == pid
            assert conn.execute("select count(*) as n from app.tenants").fetchone() == {"n": 1}
        with pool.connection() as conn:
            assert conn.info.backend_pid == pid
            assert conn.execute("select count(*) as n from app.tenants").fetchone() == {"n": 0}
        with pytest.raises(ZeroDivisionError), tenant_transaction(pool, tenant_id) as conn:
            raise ZeroDivisionError
        with pool.connection() as conn:
            assert conn.execute("select count(*) as n from app.tenants").fetchone() == {"n": 0}
    finally:
        pool.close()


def test_a_malformed_tenant_id_is_an_error(settings: Settings) -> None:
    with connect(app_url(settings)) as conn:
        conn.execute("set app.tenant_id = 'no uuid'")
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            conn.execute("select count(*) from app.tenants")


def test_a_tenant_cannot_write_rows_of_another(pool: Pool, make_tenant) -> None:
    a, b = make_tenant("a"), make_tenant("b")
    insert = "insert into shopify.customers (tenant_id, customer_id) values (%s, 'x')"
    with pytest.raises(psycopg.errors.InsufficientPrivilege), tenant_transaction(pool, a) as conn:
        conn.execute(insert, [b])
    with tenant_transaction(pool, b) as conn:
        conn.execute(insert, [b])
    with tenant_transaction(pool, a) as conn:
        moved = conn.execute("update shopify.customers set display_name = 'taken'")
        assert moved.rowcount == 0
        assert conn.execute("delete from shopify.customers").rowcount == 0


def test_a_tenant_cannot_queue_jobs_of_another(pool: Pool, make_tenant) -> None:
    a, b = make_tenant("a"), make_tenant("b")
    with tenant_transaction(pool, a) as conn:
        from service.queue.enqueue import enqueue

        enqueue(conn, a, "build")
        assert conn.execute("select count(*) as n from jobs.procrastinate_jobs").fetchone() == {
            "n": 1
        }
    with tenant_transaction(pool, b) as conn:
        assert conn.execute("select count(*) as n from jobs.procrastinate_jobs").fetchone() == {
            "n": 0
        }
    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        tenant_transaction(pool, a) as conn,
    ):
        conn.execute(
            "insert into jobs.procrastinate_jobs (queue_name, task_name, args) "
            "values ('syncs', 'quintile.build', jsonb_build_object('tenant_id', %s::text))",
            [str(b)],
        )


def test_the_service_cannot_gain_rights(settings: Settings) -> None:
    with connect(app_url(settings)) as conn:
        for role in ("quintile_owner", "quintile_transform", "postgres"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("alter table shopify.orders disable row level security")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("insert into app.tenants (name) values ('mine')")


@pytest.mark.parametrize(
    "grant",
    ["grant postgres to sneaky", "alter role sneaky createrole", "grant quintile_app to sneaky"],
)
def test_the_service_refuses_a_role_that_could_gain_rights(
    cluster: Cluster, settings: Settings, grant: str
) -> None:
    """Membership in any stronger role is refused; membership in quintile_app is harmless."""
    sneaky = replace(
        settings, app_database_url=settings.database_url.replace("postgres@", "sneaky@")
    )
    with cluster.changing_roles(), connect(settings.database_url) as conn:
        conn.execute("create role sneaky login")
        try:
            conn.execute(grant)  # type: ignore[call-overload]
            if "quintile_app" in grant:
                create_pool(sneaky).close()
            else:
                with pytest.raises(OverprivilegedRoleError):
                    create_pool(sneaky)
        finally:
            conn.execute("drop role sneaky")


@pytest.mark.parametrize("url", ["admin", "transform", "owner"])
def test_the_service_refuses_a_role_that_sees_all_tenants(
    cluster: Cluster, settings: Settings, url: str
) -> None:
    urls = {
        "admin": settings.database_url,
        "transform": transform_url(settings),
        "owner": settings.database_url.replace("postgres@", "quintile_owner@"),
    }
    with cluster.changing_roles(), connect(settings.database_url) as conn:
        conn.execute("alter role quintile_owner login")
        try:
            with pytest.raises(OverprivilegedRoleError, match="does not run as database role"):
                create_pool(replace(settings, app_database_url=urls[url]))
        finally:
            conn.execute("alter role quintile_owner nologin")


def test_dbt_sees_every_tenant(built_demo: Settings, demo_tenants: list[UUID]) -> None:
    """FORCE without a policy for dbt's role would make every data test pass on zero rows."""
    with connect(transform_url(built_demo)) as conn:
        for table in ("shopify.orders", "marts.customer_rfm_segments", "staging.stg_app__tenants"):
            statement = sql.SQL("select distinct tenant_id from {} order by 1").format(
                sql.Identifier(*table.split("."))
            )
            seen = {row["tenant_id"] for row in conn.execute(statement).fetchall()}
            assert seen == set(demo_tenants)


def test_isolation_holds_during_a_rebuild(
    built_demo: Settings, demo_pool: Pool, demo_tenants: list[UUID]
) -> None:
    """While every mart is rebuilt, readers always see exactly their tenant's rows."""
    a, _ = demo_tenants
    statement = "select tenant_id, count(*) as n from marts.{} group by tenant_id"
    marts = ("customer_rfm_segments", "sample_orders")
    over = threading.Event()
    seen: dict[str, set[tuple[UUID, int]]] = {mart: set() for mart in marts}
    without_tenant: list[int] = []

    def read() -> None:
        while not over.is_set():
            for mart in marts:
                query = sql.SQL(statement).format(sql.Identifier(mart))
                with tenant_transaction(demo_pool, a) as conn:
                    rows = conn.execute(query).fetchall()
                    seen[mart] |= {(row["tenant_id"], row["n"]) for row in rows} or {(a, 0)}
                with demo_pool.connection() as conn:
                    without_tenant.append(len(conn.execute(query).fetchall()))

    with ThreadPoolExecutor(max_workers=1) as executor:
        reading = executor.submit(read)
        try:
            build(built_demo, as_of=AS_OF.isoformat(), full_refresh=True, quiet=True)
        finally:
            over.set()
        reading.result()
    assert len(without_tenant) > 100
    assert set(without_tenant) == {0}
    for mart in marts:
        assert len(seen[mart]) == 1, seen[mart]
        assert next(iter(seen[mart]))[0] == a
        assert next(iter(seen[mart]))[1] > 0


# -- the view app.isolation_findings -------------------------------------------------------------

TAMPER = {
    "alter table shopify.orders disable row level security": "not enabled",
    "alter table shopify.orders no force row level security": "not forced",
    "alter table shopify.orders alter column tenant_id drop not null": None,
    "drop policy tenant_isolation on shopify.orders": "tenant_isolation is missing",
    "drop policy all_tenants on shopify.orders": "all_tenants is missing",
    "alter policy tenant_isolation on shopify.orders using (true)": "tenant_isolation is missing",
    "alter policy tenant_isolation on shopify.orders to public": "tenant_isolation is missing",
    "alter policy all_tenants on shopify.orders to quintile_app": "all_tenants is missing",
    "create policy extra on shopify.orders for select using (true)": "unexpected policy extra",
    "create index by_email on shopify.orders (customer_email)": "does not lead with tenant_id",
    "alter table shopify.orders add unique (order_id)": "does not lead with tenant_id",
    "create view marts.leak as select tenant_id from shopify.orders": "security_invoker is off",
    "create materialized view marts.leak as select tenant_id from app.tenants": "materialized",
    "create table marts.bare (tenant_id uuid)": "not enabled",
    "create function app.peek() returns int security definer return 1": "SECURITY DEFINER",
    "alter role quintile_app bypassrls": "may bypass",
    "alter table jobs.procrastinate_jobs disable row level security": "of the job queue",
    "alter policy tenant_isolation on jobs.procrastinate_jobs using (true)": "of the job queue",
    "drop policy tenant_isolation on jobs.procrastinate_events": "of the job queue",
    "alter table shopify.rejected_rows owner to quintile_app": "own nothing",
    "alter table shopify.orders add column other_id text;"
    " alter table shopify.customers add unique (customer_id);"
    " alter table shopify.orders add foreign key (other_id)"
    " references shopify.customers (customer_id)": "foreign key",
    # What the service's role or everybody could reach in other ways.
    "create view marts.leak as select order_id from shopify.orders;"
    " alter view marts.leak owner to quintile_transform;"
    " grant select on marts.leak to quintile_app": "may SELECT",
    "create table marts.copy as select order_id, customer_email from shopify.orders;"
    " grant select on marts.copy to quintile_app": "may SELECT",
    "create materialized view marts.copy as select order_id from shopify.orders;"
    " grant select on marts.copy to quintile_app": "may SELECT",
    "create schema reports; create table reports.o as select tenant_id from shopify.orders;"
    " grant usage on schema reports to quintile_app; grant select on reports.o to quintile_app": (
        "may SELECT"
    ),
    "create schema reports; grant usage on schema reports to quintile_app": "on the schema",
    "create view public.v as select tenant_id, order_id from shopify.orders;"
    " grant select on public.v to quintile_app": "may SELECT",
    "create view marts.rfm_segments as select order_id from shopify.orders;"
    " alter view marts.rfm_segments owner to quintile_transform;"
    " grant select on marts.rfm_segments to quintile_app": "security_invoker is off",
    "create function public.peek() returns setof shopify.orders language sql security definer"
    " as 'select * from shopify.orders'": "SECURITY DEFINER",
    "grant truncate on shopify.orders to quintile_app": "may TRUNCATE",
    "grant references, trigger on shopify.orders to quintile_app": "may TRIGGER",
    "grant insert on app.api_tokens to quintile_app": "may INSERT",
    "grant update (token_hash) on app.api_tokens to quintile_app": "may UPDATE token_hash",
    "grant select on shopify.orders to public": "PUBLIC may SELECT",
    "grant quintile_transform to quintile_app": "a member of quintile_transform",
    "grant execute on function app.tenant_of_shop(text) to public": "PUBLIC may execute",
    "create table app.sink (x jsonb); create function app.t() returns trigger language plpgsql as"
    " 'begin insert into app.sink values (to_jsonb(new)); return new; end';"
    " create trigger t after insert on shopify.orders for each row execute function app.t()": (
        "unexpected trigger t"
    ),
    "create rule r as on insert to shopify.orders do also notify orders": "unexpected rule r",
    "create function app.f() returns int language sql as 'select 1'": "list of functions",
    "alter default privileges in schema marts grant select on tables to public": "new objects",
    "create function app.lk(text) returns bool language plpgsql cost 0.0000001 leakproof as"
    " 'begin return true; end'": "LEAKPROOF",
    "create role r2 login; grant quintile_transform to r2": "a member of quintile_transform",
    "grant create on schema public to public": "has CREATE on the schema",
    "do $$ begin execute format("
    "'grant create on database %I to quintile_app', current_database()); end $$": (
        "may create schemas in the database"
    ),
    "alter role quintile_app createrole": "may create databases or roles",
    "alter role quintile_app set app.tenant_id = '5a45606b-e2d8-450e-b10d-3db71336862e'": (
        "app.tenant_id"
    ),
    "create table app.foreign_owner (x int)": "not by quintile_owner",
}


def finds_breach(superuser: Connection, statement: str) -> bool:
    """Whether the isolation check finds what a statement of TAMPER does, which is rolled back."""
    expected = TAMPER[statement]
    with superuser.transaction(force_rollback=True):
        if expected is None:
            superuser.execute("alter table shopify.orders drop constraint orders_pkey")
            expected = "tenant_id may be null"
        superuser.execute(statement)  # type: ignore[call-overload]
        found = superuser.execute("select finding from app.isolation_findings").fetchall()
    return any(expected in row["finding"] for row in found)


@pytest.mark.parametrize("statement", TAMPER, ids=lambda statement: statement[:60])
def test_every_breach_is_a_finding(superuser: Connection, statement: str) -> None:
    assert finds_breach(superuser, statement)


def test_protect_restores_the_policies_of_a_table(settings: Settings) -> None:
    with connect(settings.database_url) as conn:
        conn.execute("alter table shopify.orders disable row level security")
        conn.execute("alter policy tenant_isolation on shopify.orders using (true)")
        conn.execute("set role quintile_owner")
        conn.execute("call app.protect('shopify.orders')")
        conn.execute("reset role")
        assert conn.execute("select * from app.isolation_findings").fetchall() == []
    migrate(settings)


def test_migrate_restores_the_policies_of_the_queue(settings: Settings) -> None:
    with connect(settings.database_url) as conn:
        conn.execute("alter table jobs.procrastinate_jobs disable row level security")
        conn.execute("alter policy tenant_isolation on jobs.procrastinate_jobs using (true)")
        migrate(settings)
        assert conn.execute("select * from app.isolation_findings").fetchall() == []


def test_migrate_replaces_the_view_of_findings_and_drops_only_another_release_s(
    settings: Settings, owner: Connection
) -> None:
    number = "select 'app.isolation_findings'::regclass::oid as number"
    before = owner.execute(number).fetchone()
    migrate(settings)
    assert owner.execute(number).fetchone() == before
    owner.execute("drop view app.isolation_findings")
    owner.execute("create view app.isolation_findings as select 1 as former")
    migrate(settings)
    assert owner.execute("select relation, finding from app.isolation_findings").fetchall() == []


def test_protect_takes_no_lock_when_nothing_is_to_do(settings: Settings, owner: Connection) -> None:
    with owner.transaction():
        owner.execute("call app.protect('shopify.orders')")
        locks = owner.execute(
            "select mode from pg_locks where relation = 'shopify.orders'::regclass "
            "and pid = pg_backend_pid()"
        ).fetchall()
    assert [lock["mode"] for lock in locks if lock["mode"] != "AccessShareLock"] == []


def test_protect_refuses_a_relation_without_a_tenant(superuser: Connection) -> None:
    with (
        superuser.transaction(force_rollback=True),
        pytest.raises(psycopg.errors.RaiseException, match="has no tenant_id"),
    ):
        superuser.execute("create table app.global (id int)")
        superuser.execute("call app.protect('app.global')")


# -- the look-up of a webhook's tenant ------------------------------------------------------------


def test_the_look_up_by_shop_returns_only_an_id_and_only_to_the_service(
    settings: Settings, make_tenant
) -> None:
    tenant_id = make_tenant("a", "shop-a.myshopify.com")
    statement = "select app.tenant_of_shop(%s) as tenant_id"
    with connect(app_url(settings)) as conn:
        found = conn.execute(statement, ["shop-a.myshopify.com"]).fetchone()
        assert found == {"tenant_id": tenant_id}
        assert conn.execute(statement, ["shop-b.myshopify.com"]).fetchone() == {"tenant_id": None}
        assert conn.execute("select count(*) as n from app.tenants").fetchone() == {"n": 0}
    with (
        connect(transform_url(settings)) as conn,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        conn.execute(statement, ["shop-a.myshopify.com"])


@pytest.mark.parametrize(
    "statement",
    [
        "create or replace function app.tenant_of_shop(shop text) returns uuid language sql stable"
        " security definer set search_path = ''"
        " as 'select tenant_id from app.tenants where shop_domain = shop or true'",
        "alter function app.tenant_of_shop(text) reset search_path",
        "alter function app.tenant_of_shop(text) owner to postgres",
    ],
    ids=["another body", "no search path", "another owner"],
)
def test_an_altered_look_up_function_is_a_finding(settings: Settings, statement: str) -> None:
    with connect(settings.database_url) as conn:
        findings = "select finding from app.isolation_findings where relation like '%tenant_of%'"
        assert conn.execute(findings).fetchall() == []
        conn.execute(statement)  # type: ignore[call-overload]
        found = [row["finding"] for row in conn.execute(findings).fetchall()]
    assert any("SECURITY DEFINER" in finding for finding in found), found
