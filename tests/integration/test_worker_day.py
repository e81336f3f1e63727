"""A day of fifty tenants' schedules, served by two workers in compressed time.

The workers are processes with a clock that the test sets. It advances when every tenant has been
served, except for one whose store is slow and one whose store fails.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import make_server

from sandbox import Sandbox
from sandbox.klaviyo import Account
from sandbox.shopify import Store, create_shopify_app
from service.core.config import Settings
from service.core.db import Connection, connect, connect_as_owner, open_pool
from service.klaviyo.connection import connect_klaviyo
from service.queue.schedules import SCHEDULES, next_time, previous_time
from service.shopify.connection import connect_shopify
from service.tenants.tenants import add_tenant
from tests.conftest import Cluster
from tests.shops import small_shop
from tests.worker import stop, wait_until, worker_process, write_clock

TENANTS = 50
SLOW, FAILING = "slow", "failing"
SLOW_SECONDS = 1.0
# Fewer times a day than usual, to keep the test short; the hours of the two time zones differ.
CRONS = {
    "schedule_orders": "45 */6 * * *",
    "schedule_segments": "15 */12 * * *",
    "schedule_klaviyo": "0 */6 * * *",
    "schedule_build": "0 3 * * *",
    "schedule_housekeeping": "30 4 * * *",
}
DAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
ZONES = ("UTC", "Asia/Tokyo")
TIMES_A_DAY = {"shopify_sync": 4, "segments_sync": 2, "klaviyo_sync": 4, "build": 1}

Wsgi = Callable[[dict[str, Any], Any], Any]


class ByShop:
    """The stores, each under a path of its own; one is slow, and one can fail."""

    def __init__(self, stores: Wsgi) -> None:
        self.stores = stores
        self.is_failing = False

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        shop, _, path = environ["PATH_INFO"].lstrip("/").partition("/")
        if shop.startswith(SLOW):
            time.sleep(SLOW_SECONDS)
        if shop.startswith(FAILING) and self.is_failing:
            start_response("503 Service Unavailable", [])
            return [b""]
        return self.stores({**environ, "PATH_INFO": f"/{path}"}, start_response)


@contextmanager
def serving(app: Wsgi) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def names() -> list[str]:
    return [SLOW, FAILING, *(f"tenant{n:02}" for n in range(TENANTS - 2))]


def tiny_store(name: str) -> Store:
    data = small_shop()
    order = next(order for order in data.orders if order.customer_number)
    return Store(
        replace(
            data,
            domain=f"{name}.myshopify.com",
            token=f"shpat_{name}",
            orders=[order],
            customers=[c for c in data.customers if c.number == order.customer_number],
            segments=[replace(data.segments[1], is_large=False)],
        )
    )


@pytest.fixture
def here(cluster: Cluster, built_template: str) -> Iterator[tuple[Settings, ByShop]]:
    """Fifty tenants with a store and a Klaviyo account each, half of them in Tokyo."""
    stores = {name: tiny_store(name) for name in names()}
    accounts = {
        name: Account(f"pk_day_{name}", name=name, currency="EUR", timezone="UTC", prefix="DA")
        for name in names()
    }
    app = ByShop(create_shopify_app(stores.values()))
    with (
        cluster.database(built_template) as settings,
        Sandbox([], list(accounts.values())) as klaviyo,
        serving(app) as url,
    ):
        here = replace(
            settings,
            shopify_url=f"{url}/{{shop}}",
            klaviyo_url=klaviyo.klaviyo_url,
            run_attempts=2,
            run_retry_seconds=1,
            # The scheduler runs every twelfth of this.
            run_stale_seconds=6,
            **CRONS,
        )
        with connect_as_owner(here) as owner, open_pool(here) as pool:
            for n, name in enumerate(names()):
                store = stores[name]
                tenant_id = add_tenant(owner, name, store.data.domain)
                connect_shopify(here, pool, tenant_id, store.data.domain, store.data.token)
                connect_klaviyo(here, pool, tenant_id, accounts[name].key)
                owner.execute(
                    "update app.tenants set time_zone = %s, created_at = %s where tenant_id = %s",
                    [ZONES[n % 2], DAY - timedelta(seconds=1), tenant_id],
                )
        yield here, app


def times_of_day(settings: Settings) -> list[datetime]:
    """Every time of the day at which a schedule of any tenant is due."""
    found = set()
    for schedule in SCHEDULES:
        for zone in ZONES if schedule.is_local else ("UTC",):
            at = DAY - timedelta(seconds=1)
            while (at := next_time(schedule.cron(settings), zone, at)) < DAY + timedelta(days=1):
                if schedule.starts_work:
                    found.add(at)
    return sorted(found)


def is_served(conn: Connection, settings: Settings, now: datetime) -> bool:
    """Whether what is due is served, and runs of all but the two special tenants have ended."""
    for schedule in SCHEDULES:
        if not schedule.starts_work:
            continue
        for zone in ZONES:
            due = previous_time(schedule.cron(settings), zone if schedule.is_local else "UTC", now)
            if (
                due >= DAY
                and conn.execute(
                    "select from app.tenants as t left join app.schedules as s"
                    " on s.tenant_id = t.tenant_id and s.name = %s"
                    " where t.time_zone = %s and s.served_at is distinct from %s",
                    [schedule.name, zone, due],
                ).fetchall()
            ):
                return False
    left = (
        "select from app.runs as r inner join app.tenants as t using (tenant_id)"
        " where r.state in ('queued', 'running') and t.name not in (%s, %s)"
    )
    return not conn.execute(left, [SLOW, FAILING]).fetchall()


def test_two_workers_serve_fifty_tenants_for_a_day_without_overlap_or_starvation(
    here: tuple[Settings, ByShop], tmp_path: Path
) -> None:
    settings, stores = here
    clock, log = tmp_path / "clock", tmp_path / "worker.log"
    write_clock(clock, DAY)
    stores.is_failing = True
    with ExitStack() as stack:
        conn = stack.enter_context(closing(connect(settings.database_url)))
        workers = [stack.enter_context(worker_process(settings, log, clock)) for _ in range(2)]
        for now in times_of_day(settings):
            write_clock(clock, now)
            wait_until(
                lambda now=now: is_served(conn, settings, now), f"everything is served at {now}"
            )
        unfinished = "select from app.runs where state in ('queued', 'running')"
        wait_until(lambda: not conn.execute(unfinished).fetchall(), "the slow tenant is served")
        assert [stop(worker) for worker in workers] == [0, 0]
        runs = conn.execute(
            "select t.name, r.kind, r.state, r.attempts, r.started_at, r.finished_at"
            " from app.runs as r inner join app.tenants as t using (tenant_id)"
            " order by t.name, r.kind, r.started_at"
        ).fetchall()
        builds = len(conn.execute("select distinct as_of from marts.rfm_builds").fetchall())

    done = Counter((run["name"], run["kind"]) for run in runs if run["state"] == "succeeded")
    for name in names():
        for kind, times in TIMES_A_DAY.items():
            if name == FAILING and kind in ("shopify_sync", "segments_sync"):
                assert done[name, kind] == 0
            elif name == SLOW:
                # A run that is still running when it is due again is not repeated.
                assert 1 <= done[name, kind] <= times, (name, kind)
            else:
                assert done[name, kind] == times, (name, kind)
    failed = [run for run in runs if run["state"] == "failed"]
    assert {run["name"] for run in failed} == {FAILING}
    assert {run["attempts"] for run in failed} == {settings.run_attempts}
    for earlier, later in pairwise(runs):
        if (earlier["name"], earlier["kind"]) == (later["name"], later["kind"]):
            assert later["started_at"] >= earlier["finished_at"], f"{later} overlaps {earlier}"
    # Tenants that were due at the same time were built together.
    assert builds == len(ZONES)
