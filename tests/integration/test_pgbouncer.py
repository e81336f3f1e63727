"""The service behind PgBouncer in transaction mode."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from service.core.config import Settings
from service.core.db import connect, connect_as_owner, open_pool, tenant_transaction
from service.queue.enqueue import enqueue
from service.worker.tasks import worker_app
from tests.command import quintile
from tests.conftest import make_demo, pooled_settings, sandbox_settings
from tests.pgbouncer import SERVER_CONNECTIONS
from tests.web import client_of, running_app

if TYPE_CHECKING:
    from sandbox import Sandbox

APP_CONNECTIONS = """
    select count(*) as n from pg_stat_activity
    where usename = 'quintile_app' and datname = current_database()
"""


def tenants_of(settings: Settings) -> dict[str, UUID]:
    with connect_as_owner(settings) as owner:
        rows = owner.execute("select name, tenant_id from app.tenants").fetchall()
    return {row["name"]: row["tenant_id"] for row in rows}


@pytest.fixture
def pooled_demo(built_demo: Settings, pooler: str) -> Settings:
    return pooled_settings(built_demo, pooler)


def test_syncs_and_builds_give_the_same_results_as_without_pgbouncer(
    settings: Settings, pooler: str, sandbox: Sandbox, built_demo: Settings
) -> None:
    pooled = sandbox_settings(pooled_settings(settings, pooler), sandbox)
    make_demo(pooled, sandbox)
    for name in tenants_of(pooled):
        for export in ("segments", "samples"):
            lines = quintile(pooled, export, "export", "--tenant", name).stdout
            assert lines.count("\n") > 10
            assert lines == quintile(built_demo, export, "export", "--tenant", name).stdout


def test_every_endpoint_answers(pooled_demo: Settings) -> None:
    with running_app(pooled_demo) as app:
        tenant_id = tenants_of(pooled_demo)["northlight-goods"]
        client = client_of(app, pooled_demo, tenant_id)
        paths = sorted(
            rule.rule
            for rule in app.url_map.iter_rules()
            if rule.rule.startswith("/api/admin/")
            and "GET" in (rule.methods or ())
            and not rule.arguments
        )
        assert len(paths) > 15
        for path in paths:
            answer = client.get(path)
            # Some require parameters.
            assert answer.status_code in (200, 400, 422), (path, answer.text)
            assert client.get("/api/admin/me").get_json()["tenant_id"] == str(tenant_id)


def test_many_requests_share_few_connections_and_see_their_own_tenant(
    pooled_demo: Settings,
) -> None:
    tenants = sorted(tenants_of(pooled_demo).values())
    with open_pool(pooled_demo) as pool, ThreadPoolExecutor(max_workers=8) as executor:

        def sees_own_tenant(number: int) -> bool:
            tenant = tenants[number % len(tenants)]
            with tenant_transaction(pool, tenant) as conn:
                conn.execute("create temporary table seen (tenant_id uuid) on commit drop")
                conn.execute("insert into seen select tenant_id from app.tenants")
                return conn.execute("select tenant_id from seen").fetchall() == [
                    {"tenant_id": tenant}
                ]

        assert all(executor.map(sees_own_tenant, range(200)))
        with connect(pooled_demo.database_url) as admin:
            row = admin.execute(APP_CONNECTIONS).fetchone()
    assert row is not None
    assert 0 < row["n"] <= SERVER_CONNECTIONS


def test_statements_are_prepared_only_on_direct_connections(
    built_demo: Settings, pooled_demo: Settings
) -> None:
    """PgBouncer gives each transaction another server process, which has not prepared them."""
    tenant = tenants_of(built_demo)["northlight-goods"]
    prepared = "select count(*) as n from pg_prepared_statements"
    for settings, expected in ((built_demo, 1), (pooled_demo, 0)):
        with open_pool(settings) as pool, tenant_transaction(pool, tenant) as conn:
            conn.execute("select 1 as one", prepare=True)
            conn.execute("select 2 as two")
            assert conn.execute(prepared).fetchone() == {"n": expected}


def test_the_worker_runs_jobs_that_the_service_has_queued(pooled_demo: Settings) -> None:
    """Jobs are queued through PgBouncer; the worker connects to the database directly."""
    tenant_id = tenants_of(pooled_demo)["kessel-und-korn"]
    with open_pool(pooled_demo) as pool:
        with tenant_transaction(pool, tenant_id) as conn:
            run = enqueue(conn, tenant_id, "shopify_sync")

        def work() -> None:
            app = worker_app(pooled_demo, pool)
            with app.open():
                app.run_worker(wait=False, install_signal_handlers=False, queues=["syncs"])

        # In a thread: the browser tests keep an event loop in this one.
        with ThreadPoolExecutor(max_workers=1) as executor:
            executor.submit(work).result()
        with tenant_transaction(pool, tenant_id, read_only=True) as conn:
            state = "select state, error from app.runs where run_id = %s"
            done = conn.execute(state, [run["run_id"]]).fetchone()
    assert done == {"state": "succeeded", "error": None}
