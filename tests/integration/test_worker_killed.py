"""`quintile worker`, killed during every kind of job: what is left is what would have been.

A kind of job at a time is queued and, a while after it has begun, the worker is killed. The next
worker takes up what the last one left, and is killed in the next job. How long a while is comes
from a seed, which a failure prints.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pytest

from service.config import Settings
from service.connections import connect_klaviyo, connect_shopify
from service.db import Connection, Pool, connect, connect_as_owner, open_pool, tenant_transaction
from service.jobs.tasks import enqueue
from service.jobs.webhooks import defer_notices, defer_privacy
from service.klaviyo.configs import map_list
from service.privacy.requests import add_request
from service.sandbox import Fault, Sandbox
from service.sandbox.klaviyo import Account
from service.sandbox.shopify import Store
from service.shopify.sync import sync_shopify
from service.tenants import add_tenant
from tests.conftest import Cluster, NullProgress
from tests.integration.test_shopify_sync import landed, small_shop
from tests.web import BUILT, CALCULATED_AT
from tests.worker import NO_SCHEDULES, stop, wait_until, worker_process

SEED = int(os.environ.get("KILL_SEED", "20260701"))
NOTICES = 60
MEMBERS = 120
# Short enough to wait for, long enough for a busy machine to say that it lives.
STALE_SECONDS = 5
# A call takes this long at least, so that a kill hits a job and not its end.
SLOW = Fault(delay=0.15, count=100_000)

Queue = Callable[[Connection, UUID], object]


@dataclass(frozen=True)
class Kind:
    """A kind of job: how it is queued, and within how many seconds of its beginning to kill."""

    name: str
    task: str
    queue: Queue
    longest_delay: float
    is_run: bool = True


def _queue_notices(conn: Connection, tenant_id: UUID) -> None:
    with conn.cursor() as cursor:
        cursor.executemany(
            "insert into app.webhook_events (tenant_id, webhook_id, topic, kind, subject, notice,"
            " triggered_at) values (%s, %s, 'orders/updated', 'order', %s, '{}', now())",
            [
                (tenant_id, f"w{order.number}", str(order.number))
                for order in small_shop().orders[:NOTICES]
            ],
        )
    defer_notices(conn, tenant_id)


def _queue_redaction(conn: Connection, tenant_id: UUID) -> None:
    customer = _erased()
    webhook_id = add_request(conn, tenant_id, "customer_redact", customer, [])
    defer_privacy(conn, tenant_id, webhook_id)


def _erased() -> str:
    return str(next(o.customer_number for o in small_shop().orders if o.customer_number))


KINDS = (
    Kind("orders", "quintile.shopify_sync", lambda c, t: enqueue(c, t, "shopify_sync"), 1.0),
    Kind("segments", "quintile.segments_sync", lambda c, t: enqueue(c, t, "segments_sync"), 1.0),
    Kind("klaviyo", "quintile.klaviyo_sync", lambda c, t: enqueue(c, t, "klaviyo_sync"), 0.5),
    Kind("notices", "quintile.webhooks", _queue_notices, 0.6, is_run=False),
    Kind("erasure", "quintile.privacy", _queue_redaction, 0.2, is_run=False),
    Kind("build", "quintile.build", lambda c, t: enqueue(c, t, "build"), 8.0),
)


@pytest.fixture(scope="module")
def template(cluster: Cluster, built_template: str) -> str:
    """A tenant for each kind of job, with what the job needs; nothing is queued."""
    name = cluster.create(built_template)
    with _shops() as shops:
        here = _settings(cluster.settings(name), shops)
        with connect_as_owner(here) as owner, open_pool(here) as pool:
            for kind in KINDS:
                _prepare(here, owner, pool, kind, shops)
    return cluster.keep(name)


def _shops() -> Sandbox:
    stores = [
        Store(
            replace(small_shop(), domain=f"{kind.name}.myshopify.com", token=f"shpat_{kind.name}")
        )
        for kind in KINDS
    ]
    account = Account("pk_killed", name="Killed", currency="EUR", timezone="UTC", prefix="KI")
    account.add_list("Champions")
    return Sandbox(stores, [account])


def _settings(settings: Settings, shops: Sandbox) -> Settings:
    return replace(
        settings,
        shopify_url=shops.shopify_url,
        klaviyo_url=shops.klaviyo_url,
        run_stale_seconds=STALE_SECONDS,
        run_attempts=100,
        **NO_SCHEDULES,
    )


def _prepare(here: Settings, owner: Connection, pool: Pool, kind: Kind, shops: Sandbox) -> None:
    domain = f"{kind.name}.myshopify.com"
    tenant_id = add_tenant(owner, kind.name, domain)
    connect_shopify(here, pool, tenant_id, domain, shops.stores[domain].data.token)
    if kind.name in ("notices", "erasure", "build"):
        sync_shopify(here, pool, tenant_id, NullProgress(), only="orders")
    if kind.name == "klaviyo":
        (account,) = shops.accounts.values()
        connect_klaviyo(here, pool, tenant_id, account.key)
        with connect(here.database_url) as admin, admin.cursor() as cursor:
            admin.execute(BUILT, {"tenant_id": tenant_id, "at": CALCULATED_AT})
            cursor.executemany(
                "insert into marts.customer_facts (tenant_id, customer_id, email,"
                " is_excluded_from_rfm, lifetime_order_count, lifetime_minor, window_order_count,"
                " window_minor, last_order_at, r_score, f_score, m_score, segment) values (%s, %s,"
                " %s, false, 9, 9900, 9, 9900, '2026-06-01', 5, 5, 5, 'champions')",
                [(tenant_id, str(n), f"person{n}@example.org") for n in range(MEMBERS)],
            )
        map_list(here, pool, tenant_id, "rfm:champions", account.list_names()[0]["id"])


class World:
    """The shops, and a database with the tenants, in which jobs are done."""

    def __init__(self, settings: Settings, shops: Sandbox, log: Path) -> None:
        self.shops, self.log = shops, log
        self.settings = _settings(settings, shops)
        with connect_as_owner(settings) as owner:
            rows = owner.execute("select name, tenant_id from app.tenants").fetchall()
        self.tenants: dict[str, UUID] = {row["name"]: row["tenant_id"] for row in rows}

    def queue(self, kind: Kind) -> None:
        tenant_id = self.tenants[kind.name]
        with open_pool(self.settings) as pool, tenant_transaction(pool, tenant_id) as conn:
            kind.queue(conn, tenant_id)

    def finish(self) -> None:
        """Let one worker do all that is queued, undisturbed."""
        with (
            closing(connect(self.settings.database_url)) as conn,
            worker_process(self.settings, self.log) as process,
        ):
            left = "select from jobs.procrastinate_jobs where status in ('todo', 'doing')"
            wait_until(lambda: not conn.execute(left).fetchall(), "the queue is empty")
            assert stop(process) == 0

    def kill_during(self, kind: Kind, delay: float) -> None:
        """Start a worker and kill it so many seconds after it has begun a kind of job."""
        with (
            closing(connect(self.settings.database_url)) as conn,
            worker_process(self.settings, self.log) as process,
        ):
            begun = "select from jobs.procrastinate_jobs where task_name = %s and status = 'doing'"
            if kind.is_run:
                begun += (
                    " and exists (select from app.runs as r where r.state = 'running'"
                    " and r.run_id::text = args ->> 'run_id')"
                )
            wait_until(lambda: bool(conn.execute(begun, [kind.task]).fetchall()), kind.name)
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
            process.wait()

    def outcome(self) -> dict[str, Any]:
        """All that jobs have made, but for what clocks say."""
        (account,) = self.shops.accounts.values()
        with open_pool(self.settings) as pool:
            found: dict[str, Any] = {
                name: landed(pool, tenant_id) for name, tenant_id in self.tenants.items()
            }
            found["members"] = account.member_emails(account.list_names()[0]["id"])
        with connect(self.settings.database_url) as conn:
            for what, statement in _OUTCOMES.items():
                found[what] = conn.execute(statement).fetchall()
        for tables in (found[kind.name] for kind in KINDS):
            for row in tables["orders"] + tables["customers"]:
                row["deleted_at"] = row["deleted_at"] is not None
        return found


_OUTCOMES = {
    "runs": "select kind, state, error from app.runs order by kind",
    "events": "select webhook_id, state, reason from app.webhook_events"
    " where webhook_id not like 'operator:%' order by webhook_id",
    "receipts": "select kind, counts from app.privacy_receipts",
    "scores": "select customer_id, recency_days, frequency_count, monetary_total, r_score, f_score,"
    " m_score, segment from marts.customer_rfm_segments order by customer_id",
    "samples": "select order_id, is_ugc, is_tiktok, status from marts.sample_orders order by 1",
    "ledger": "select email, state from app.klaviyo_ledger order by email",
}


@pytest.fixture
def world(cluster: Cluster, template: str, tmp_path: Path) -> Iterator[Callable[[], World]]:
    """Makes worlds that are alike."""
    opened: list[tuple[Sandbox, Any]] = []

    def make() -> World:
        shops, database = _shops(), cluster.database(template)
        opened.append((shops, database))
        return World(database.__enter__(), shops, tmp_path / "worker.log")

    yield make
    for shops, database in opened:
        shops.stop()
        database.__exit__(None, None, None)


def test_a_worker_killed_in_every_kind_of_job_leaves_what_one_undisturbed_does(
    world: Callable[[], World],
) -> None:
    undisturbed = world()
    for kind in KINDS:
        undisturbed.queue(kind)
    undisturbed.finish()
    expected = undisturbed.outcome()
    assert {run["state"] for run in expected["runs"]} == {"succeeded"}
    assert len(expected["members"]) == MEMBERS
    assert expected["scores"]
    assert expected["receipts"]
    assert [event["state"] for event in expected["events"]] == ["done"] * NOTICES

    killed = world()
    killed.shops.fail_shopify(SLOW)
    killed.shops.fail_klaviyo(SLOW)
    rng = Random(SEED)  # noqa: S311 - repeatable on purpose
    for kind in KINDS:
        delay = round(rng.uniform(0, kind.longest_delay), 3)
        print(f"seed {SEED}: killed {delay} s into {kind.name}")
        killed.queue(kind)
        killed.kill_during(kind, delay)
    killed.finish()
    found = killed.outcome()
    for what, rows in expected.items():
        assert found[what] == rows, f"{what} after kills with seed {SEED}"
    with connect(killed.settings.database_url) as conn:
        attempts = conn.execute("select kind, attempts from app.runs order by kind").fetchall()
    assert all(run["attempts"] > 1 for run in attempts), "a kill came too late"
