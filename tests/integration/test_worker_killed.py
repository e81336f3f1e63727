"""``quintile worker``, killed during every kind of job: the outcome is the same as without kills.

One kind of job after the other is queued, and the worker is killed some time after the job has
started. The next worker resumes the job, and is killed in the next one. The delays come from a
random seed; a failure prints it, and KILL_SEED repeats it. Jobs that would end too soon wait for a
locked row.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Response

from sandbox import Fault, Sandbox
from sandbox.klaviyo import Account
from sandbox.shopify import Store
from service.builds.run import build
from service.core.config import Settings
from service.core.db import (
    Connection,
    Pool,
    connect,
    connect_as_owner,
    open_pool,
    tenant_transaction,
)
from service.destinations.sync_runs import request_sync
from service.klaviyo.connection import connect_klaviyo
from service.klaviyo.lists import map_list
from service.notifications.deliveries import send_test
from service.notifications.endpoints import add_endpoint
from service.notifications.jobs import COLLECT_TASK, DELIVER_TASK, defer_collection
from service.privacy.requests import add_request
from service.queue.defer import defer, defer_notices, defer_privacy
from service.queue.enqueue import HOUSEKEEP_TASK, PROBE_TASK, enqueue
from service.queue.priorities import PRIORITY_SCHEDULE
from service.queue.schedules import pause
from service.shopify.connection import connect_shopify
from service.shopify.sync import sync_shopify
from service.tenants.tenants import add_tenant
from service.worker.tasks import worker_app
from tests.conftest import Cluster, NullProgress
from tests.shops import loaded_rows, small_shop
from tests.web import BUILT, CALCULATED_AT
from tests.worker import NO_SCHEDULES, stop, wait_until, worker_process

pytestmark = pytest.mark.kill

SEED = int(os.environ.get("KILL_SEED") or time.time_ns() % 1_000_000)
NOTICES = 60
MEMBERS = 120
OLD = 500
# Short enough to wait for, long enough for heartbeats on a busy machine.
STALE_SECONDS = 5
# Every call takes this long, so that a kill hits the job before its end.
SLOW = Fault(delay=0.15, count=100_000)
SLOW_SECONDS = 0.5

Queue = Callable[["World", Connection, UUID], object]


@dataclass(frozen=True)
class Kind:
    """A kind of job: how it is queued, and the longest delay from its start to the kill.

    ``tenants`` are those for which it is queued; ``held_at`` locks a row that it waits for, if any.
    """

    name: str
    task: str
    queue: Queue
    longest_delay: float
    is_run: bool = True
    tenants: tuple[str, ...] = ()
    held_at: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return self.tenants or (self.name,)


def _run(kind: Any, trigger: Any = "person") -> Queue:
    return lambda _world, conn, tenant_id: enqueue(conn, tenant_id, kind, trigger)


def _queue_plan(_world: World, conn: Connection, tenant_id: UUID) -> None:
    request_sync(conn, tenant_id, is_dry_run=True)


def _queue_notices(_world: World, conn: Connection, tenant_id: UUID) -> None:
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


def _queue_redaction(_world: World, conn: Connection, tenant_id: UUID) -> None:
    webhook_id = add_request(conn, tenant_id, "customer_redact", _customer(), [])
    defer_privacy(conn, tenant_id, webhook_id)


def _queue_data_request(_world: World, conn: Connection, tenant_id: UUID) -> None:
    webhook_id = add_request(conn, tenant_id, "data_request", _customer(), [])
    defer_privacy(conn, tenant_id, webhook_id)


def _queue_shop_redaction(_world: World, conn: Connection, tenant_id: UUID) -> None:
    conn.execute(
        "insert into app.webhook_events (tenant_id, webhook_id, topic, kind, subject, notice,"
        " triggered_at, confirmed_by) values (%s, 'shop', 'shop/redact', 'shop_redact', '', '{}',"
        " now() + interval '3 days', 'store')",
        [tenant_id],
    )
    defer_privacy(conn, tenant_id, "shop")


def _queue_housekeeping(_world: World, conn: Connection, tenant_id: UUID) -> None:
    parameters = {"tenant_id": tenant_id, "old": OLD}
    conn.execute(
        "insert into app.webhook_events (tenant_id, webhook_id, topic, kind, subject, notice,"
        " state, triggered_at, finished_at)"
        " select %(tenant_id)s, 'old' || n, 'orders/updated', 'order', '', null, 'done',"
        " now() - interval '1 year', now() - interval '1 year'"
        " from generate_series(1, %(old)s) as n",
        parameters,
    )
    conn.execute(
        "insert into app.runs (tenant_id, kind, trigger, state, created_at, finished_at)"
        " select %(tenant_id)s, 'orders_import', 'cli', 'failed', now() - interval '1 year',"
        " now() - interval '1 year' from generate_series(1, %(old)s)",
        parameters,
    )
    defer(
        conn,
        HOUSEKEEP_TASK,
        queue="webhooks",
        lock=f"housekeeping {tenant_id}",
        priority=PRIORITY_SCHEDULE,
        tenant_id=str(tenant_id),
    )


def _queue_probe(_world: World, conn: Connection, tenant_id: UUID) -> None:
    conn.execute(
        "update app.connections set state = 'refused', state_reason = 'for this test',"
        " next_probe_at = now() + interval '1 day' where tenant_id = %s",
        [tenant_id],
    )
    # The recovery would start them, and no kill would hit those runs.
    for schedule in ("orders", "segments"):
        pause(conn, tenant_id, schedule, "this test")
    defer(
        conn,
        PROBE_TASK,
        queue="webhooks",
        lock=f"probe shopify {tenant_id}",
        priority=PRIORITY_SCHEDULE,
        tenant_id=str(tenant_id),
        provider="shopify",
    )


def _queue_collection(world: World, conn: Connection, tenant_id: UUID) -> None:
    url = world.receiver.url_for("/")
    add_endpoint(world.settings, conn, tenant_id, url, ["build.completed"])
    conn.execute(
        "insert into app.runs (tenant_id, kind, trigger, state, attempts, finished_at)"
        " values (%s, 'build', 'cli', 'succeeded', 2, now())",
        [tenant_id],
    )
    defer_collection(conn, tenant_id)


def _queue_delivery(world: World, conn: Connection, tenant_id: UUID) -> None:
    url = world.receiver.url_for("/")
    endpoint_id, _ = add_endpoint(world.settings, conn, tenant_id, url, ["sample.found"])
    send_test(conn, tenant_id, endpoint_id)


def _customer() -> str:
    return str(next(o.customer_number for o in small_shop().orders if o.customer_number))


_LOCK_ONE_ROW = (
    "select from {table} where tenant_id = (select t.tenant_id from app.tenants as t"
    " where t.name = '{name}') limit 1 for update"
)

KINDS = (
    Kind("orders", "quintile.shopify_sync", _run("shopify_sync"), 1.0),
    Kind("segments", "quintile.segments_sync", _run("segments_sync"), 1.0),
    Kind("klaviyo", "quintile.klaviyo_sync", _run("klaviyo_sync"), 0.5),
    Kind("plan", "quintile.klaviyo_plan", _queue_plan, 0.4),
    Kind("notices", "quintile.webhooks", _queue_notices, 0.6, is_run=False),
    Kind(
        "erasure",
        "quintile.privacy",
        _queue_redaction,
        0.5,
        is_run=False,
        held_at=_LOCK_ONE_ROW.format(table="app.webhook_events", name="erasure"),
    ),
    Kind(
        "request",
        "quintile.privacy",
        _queue_data_request,
        0.5,
        is_run=False,
        held_at=_LOCK_ONE_ROW.format(table="app.webhook_events", name="request"),
    ),
    Kind(
        "shop",
        "quintile.privacy",
        _queue_shop_redaction,
        0.5,
        is_run=False,
        held_at=_LOCK_ONE_ROW.format(table="shopify.orders", name="shop"),
    ),
    Kind(
        "housekeeping",
        HOUSEKEEP_TASK,
        _queue_housekeeping,
        0.5,
        is_run=False,
        held_at=_LOCK_ONE_ROW.format(table="app.runs", name="housekeeping"),
    ),
    Kind(
        "probe",
        PROBE_TASK,
        _queue_probe,
        0.5,
        is_run=False,
        held_at=_LOCK_ONE_ROW.format(table="app.connections", name="probe"),
    ),
    Kind(
        "collection",
        COLLECT_TASK,
        _queue_collection,
        0.5,
        is_run=False,
        held_at=_LOCK_ONE_ROW.format(table="app.webhook_progress", name="collection"),
    ),
    Kind("delivery", DELIVER_TASK, _queue_delivery, SLOW_SECONDS / 2, is_run=False),
    Kind("build", "quintile.build", _run("build"), 8.0),
    Kind(
        "due build",
        "quintile.build_due",
        _run("build", "schedule"),
        8.0,
        tenants=("due", "due too"),
    ),
)
# In test_promo_codes_killed and test_metafields_killed, at every call to Shopify.
KILLED_ELSEWHERE = {"quintile.promo_codes", "quintile.metafields_sync"}
KLAVIYO = ("klaviyo", "plan")
SYNCED = ("notices", "erasure", "request", "shop", "build", "due", "due too")
NAMES = tuple(name for kind in KINDS for name in kind.names)


@pytest.fixture(scope="module")
def template(cluster: Cluster, built_template: str) -> str:
    """A tenant for each kind of job, with the data that the job needs; nothing is queued."""
    name = cluster.create(built_template)
    with _shops() as shops:
        here = _settings(cluster.settings(name), shops)
        with connect_as_owner(here) as owner, open_pool(here) as pool:
            for tenant in NAMES:
                _prepare(here, owner, pool, tenant, shops)
    return cluster.keep(name)


def _domain(tenant: str) -> str:
    return f"{tenant.replace(' ', '-')}.myshopify.com"


def _shops() -> Sandbox:
    stores = [
        Store(replace(small_shop(), domain=_domain(name), token=f"shpat_killed_{number}"))
        for number, name in enumerate(NAMES)
    ]
    accounts = []
    for name in KLAVIYO:
        key = f"pk_killed_{name}"
        account = Account(key, name=name, currency="EUR", timezone="UTC", prefix="KI")
        account.add_list("Champions")
        accounts.append(account)
    return Sandbox(stores, accounts)


def _settings(settings: Settings, shops: Sandbox) -> Settings:
    return replace(
        settings,
        shopify_url=shops.shopify_url,
        klaviyo_url=shops.klaviyo_url,
        notify_private_addresses=1,
        run_stale_seconds=STALE_SECONDS,
        run_attempts=100,
        **NO_SCHEDULES,
    )


def _account(shops: Sandbox, tenant: str) -> Account:
    return next(account for account in shops.accounts.values() if account.name == tenant)


def _prepare(here: Settings, owner: Connection, pool: Pool, tenant: str, shops: Sandbox) -> None:
    domain = _domain(tenant)
    tenant_id = add_tenant(owner, tenant.replace(" ", "-"), domain)
    connect_shopify(here, pool, tenant_id, domain, shops.stores[domain].data.token)
    if tenant in SYNCED:
        sync_shopify(here, pool, tenant_id, NullProgress(), only="orders")
    if tenant in KLAVIYO:
        account = _account(shops, tenant)
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


@dataclass
class World:
    """Shops, a receiver of webhooks, and a database with the tenants."""

    settings: Settings
    shops: Sandbox
    receiver: HTTPServer
    log: Path
    tenants: dict[str, UUID] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.settings = _settings(self.settings, self.shops)
        with connect_as_owner(self.settings) as owner:
            rows = owner.execute("select name, tenant_id from app.tenants").fetchall()
        self.tenants = {row["name"].replace("-", " "): row["tenant_id"] for row in rows}

    def queue(self, kind: Kind) -> None:
        with open_pool(self.settings) as pool:
            for name in kind.names:
                with tenant_transaction(pool, self.tenants[name]) as conn:
                    kind.queue(self, conn, self.tenants[name])

    def finish(self) -> None:
        """Let one worker run everything that is queued."""
        with (
            closing(connect(self.settings.database_url)) as conn,
            worker_process(self.settings, self.log) as process,
        ):
            left = "select from jobs.procrastinate_jobs where status in ('todo', 'doing')"
            wait_until(lambda: not conn.execute(left).fetchall(), "the queue is empty")
            assert stop(process) == 0

    def kill_during(self, kind: Kind, delay: float) -> None:
        """Start a worker, and kill it this many seconds after it has started this kind of job."""
        begun = (
            "select from jobs.procrastinate_jobs where task_name = %s and status = 'doing'"
            " and args ->> 'tenant_id' = any(%s)"
        )
        if kind.is_run:
            begun += (
                " and exists (select from app.runs as r where r.state = 'running'"
                " and r.run_id::text = args ->> 'run_id')"
            )
        whose = [str(self.tenants[name]) for name in kind.names]
        with ExitStack() as stack:
            conn = stack.enter_context(closing(connect(self.settings.database_url)))
            if kind.held_at is not None:
                holder = stack.enter_context(closing(connect(self.settings.database_url)))
                stack.enter_context(holder.transaction())
                assert holder.execute(kind.held_at).rowcount == 1  # type: ignore[call-overload]
            process = stack.enter_context(worker_process(self.settings, self.log))
            wait_until(
                lambda: bool(conn.execute(begun, [kind.task, whose]).fetchall()),  # type: ignore[call-overload]
                kind.name,
            )
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
            process.wait()
            still = conn.execute(begun, [kind.task, whose]).fetchall()  # type: ignore[call-overload]
            assert still, f"killed too late, {delay} s into {kind.name}"

    def build_as_of(self, other: dict[str, Any]) -> None:
        """Build again as of another world's builds: scores depend on the instant."""
        for as_of in {row["as_of"] for row in other["built"]}:
            tenants = [row["name"] for row in other["built"] if row["as_of"] == as_of]
            build(self.settings, tenants=tenants, as_of=as_of.isoformat(), quiet=True)

    def outcome(self) -> dict[str, Any]:
        """Everything that jobs have written, without times."""
        with open_pool(self.settings) as pool:
            found: dict[str, Any] = {
                name: loaded_rows(pool, tenant_id) for name, tenant_id in self.tenants.items()
            }
        for name in KLAVIYO:
            account = _account(self.shops, name)
            found[f"members of {name}"] = account.member_emails(account.list_names()[0]["id"])
        received = [request.headers["webhook-id"] for request, _ in self.receiver.log]
        with connect(self.settings.database_url) as conn:
            for what, statement in _OUTCOMES.items():
                found[what] = conn.execute(statement).fetchall()
            found["delivered"] = conn.execute(
                "select topic, state from app.webhook_deliveries"
                " where delivery_id = any(%s::uuid[]) order by topic",
                [received],
            ).fetchall()
        for tables in (found[name] for name in NAMES):
            for row in tables["orders"] + tables["customers"]:
                row["deleted_at"] = row["deleted_at"] is not None
        return found


_OUTCOMES = {
    "runs": "select t.name, r.kind, r.state, r.error from app.runs as r"
    " inner join app.tenants as t using (tenant_id) order by t.name, r.kind",
    "events": "select webhook_id, state, reason from app.webhook_events"
    " where webhook_id not like 'operator:%' order by webhook_id",
    "receipts": "select kind, counts from app.privacy_receipts order by kind",
    "connections": "select t.name, c.provider, c.state from app.connections as c"
    " inner join app.tenants as t using (tenant_id) order by t.name, c.provider",
    "exports": "select count(*) as n from app.privacy_exports",
    "erased": "select name from app.tenants order by name",
    "scores": "select t.name, customer_id, recency_days, frequency_count, monetary_total, r_score,"
    " f_score, m_score, segment from marts.customer_rfm_segments"
    " inner join app.tenants as t using (tenant_id) order by t.name, customer_id",
    "samples": "select t.name, order_id, is_ugc, is_tiktok, status from marts.sample_orders"
    " inner join app.tenants as t using (tenant_id) order by t.name, order_id",
    "ledger": "select t.name, email, state from app.klaviyo_ledger"
    " inner join app.tenants as t using (tenant_id) order by t.name, email",
    # After a kill there is less to plan, except for a dry run.
    "lists": "select t.name, s.is_dry_run, s.state, s.error,"
    " case when s.is_dry_run then s.plan end as plan from app.klaviyo_sync_runs as s"
    " inner join app.tenants as t using (tenant_id) order by t.name",
    "built": "select t.name, b.as_of from marts.rfm_builds as b"
    " inner join app.tenants as t using (tenant_id) where b.as_of > '2026-07-02' order by t.name",
}


@pytest.fixture
def world(cluster: Cluster, template: str, tmp_path: Path) -> Iterator[Callable[[], World]]:
    """Creates equal worlds."""

    def answer_slowly(_request: object) -> Response:
        time.sleep(SLOW_SECONDS)
        return Response(status=204)

    with ExitStack() as stack:

        def make() -> World:
            shops = _shops()
            stack.callback(shops.stop)
            receiver = stack.enter_context(HTTPServer(host="127.0.0.1", port=0, threaded=True))
            receiver.expect_request("/").respond_with_handler(answer_slowly)
            settings = stack.enter_context(cluster.database(template))
            return World(settings, shops, receiver, tmp_path / "worker.log")

        yield make


def test_every_task_is_among_the_killed_ones(settings: Settings, pool: Pool) -> None:
    tasks = {name for name in worker_app(settings, pool).tasks if name.startswith("quintile.")}
    assert {kind.task for kind in KINDS} | KILLED_ELSEWHERE == tasks


def test_a_worker_killed_in_every_kind_of_job_leaves_the_same_outcome(
    world: Callable[[], World],
) -> None:
    undisturbed = world()
    for kind in KINDS:
        undisturbed.queue(kind)
    undisturbed.finish()

    killed = world()
    killed.shops.fail_shopify(SLOW)
    killed.shops.fail_klaviyo(SLOW)
    rng = Random(SEED)  # noqa: S311 - repeatable on purpose
    for kind in KINDS:
        delay = round(rng.uniform(0, kind.longest_delay), 3)
        print(f"KILL_SEED={SEED}: killed {delay} s into {kind.name}")
        killed.queue(kind)
        killed.kill_during(kind, delay)
    killed.finish()
    found = killed.outcome()

    undisturbed.build_as_of(found)
    expected = undisturbed.outcome()
    assert {run["state"] for run in expected["runs"]} == {"succeeded"}
    assert [len(expected[f"members of {name}"]) for name in KLAVIYO] == [MEMBERS, 0]
    assert {row["name"] for row in expected["built"]} == {"build", "due", "due-too"}
    assert {row["name"] for row in expected["scores"]} > {"build", "due", "due-too"}
    assert {row["state"] for row in expected["connections"]} == {"active"}
    kinds = [row["kind"] for row in expected["receipts"]]
    assert kinds == ["customer_redact", "data_request", "shop_redact"]
    assert [event["state"] for event in expected["events"]] == ["done"] * NOTICES
    assert expected["delivered"] == [
        {"topic": topic, "state": "delivered"} for topic in ("build.completed", "test")
    ]
    for what, rows in expected.items():
        assert found[what] == rows, f"{what} after kills with KILL_SEED={SEED}"
    with connect(killed.settings.database_url) as conn:
        attempts = conn.execute("select kind, attempts from app.runs order by kind").fetchall()
    assert all(run["attempts"] > 1 for run in attempts), "a kill came too late"
