"""The worker process: it is notified of jobs, and returns them to the queue when stopped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from sandbox import Fault, Sandbox
from sandbox.shopify import Store
from service.core.config import Settings
from service.core.db import Connection, Pool, tenant_transaction
from service.queue.defer import defer
from service.queue.enqueue import HOUSEKEEP_TASK, enqueue
from service.queue.runs import start_run
from service.shopify.connection import connect_shopify
from service.worker.tasks import worker_app
from tests.conftest import MakeTenant
from tests.shops import small_shop
from tests.worker import NO_SCHEDULES, stop, wait_until, worker_process

AN_HOUR = 3600.0


@pytest.fixture
def shop() -> Iterator[Sandbox]:
    with Sandbox([Store(small_shop())], []) as sandbox:
        sandbox.fail_shopify(Fault(delay=0.3, count=100_000))
        yield sandbox


@pytest.fixture
def here(shopify_settings: Settings) -> Settings:
    return replace(shopify_settings, **NO_SCHEDULES)


@pytest.fixture
def queued(here: Settings, pool: Pool, make_tenant: MakeTenant, shop: Sandbox) -> UUID:
    """A tenant with a queued sync of its store, which takes some seconds."""
    (store,) = shop.stores.values()
    tenant_id = make_tenant("kessel", store.data.domain)
    connect_shopify(here, pool, tenant_id, store.data.domain, store.data.token)
    with tenant_transaction(pool, tenant_id) as conn:
        enqueue(conn, tenant_id, "shopify_sync")
    return tenant_id


def run_of(owner: Connection) -> dict[str, Any]:
    (run,) = owner.execute("select * from app.runs").fetchall()
    return run


def job_states(owner: Connection) -> list[str]:
    rows = owner.execute("select status from jobs.procrastinate_jobs").fetchall()
    return [row["status"] for row in rows]


def is_reading(owner: Connection) -> bool:
    run = run_of(owner)
    return run["state"] == "running" and run["phase"] in ("customers", "orders")


@pytest.mark.usefixtures("queued")
def test_a_worker_without_grace_period_returns_its_run_to_the_queue(
    here: Settings, owner: Connection, tmp_path: Path
) -> None:
    without_grace = replace(here, worker_grace_seconds=0)
    with worker_process(without_grace, tmp_path / "first.log") as worker:
        wait_until(lambda: is_reading(owner), "the sync is running")
        assert stop(worker) == 0
    run = run_of(owner)
    assert (run["state"], run["attempts"], run["error"]) == ("queued", 0, None)
    assert job_states(owner) == ["todo"]
    # The next worker starts at once; it need not wait until the first one counts as dead.
    with worker_process(here, tmp_path / "second.log") as worker:
        wait_until(lambda: run_of(owner)["state"] == "succeeded", "the sync is done")
        assert stop(worker) == 0
    assert job_states(owner) == []


@pytest.mark.usefixtures("queued")
def test_a_stopped_worker_finishes_its_jobs_in_the_grace_period(
    here: Settings, owner: Connection, tmp_path: Path
) -> None:
    with worker_process(here, tmp_path / "worker.log") as worker:
        wait_until(lambda: is_reading(owner), "the sync is running")
        assert stop(worker) == 0
    assert run_of(owner)["state"] == "succeeded"
    assert job_states(owner) == []


@contextmanager
def worker_without_polling(settings: Settings, pool: Pool) -> Iterator[None]:
    """A worker that polls once an hour, so that it depends on notifications."""
    ready, over = threading.Event(), threading.Event()

    async def work() -> None:
        app = worker_app(settings, pool)
        async with app.open_async():
            working = asyncio.create_task(
                app.run_worker_async(
                    fetch_job_polling_interval=AN_HOUR,
                    install_signal_handlers=False,
                    concurrency=2,
                )
            )
            while not await _is_listening(app):
                await asyncio.sleep(0.05)
            ready.set()
            await asyncio.to_thread(over.wait)
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    thread = threading.Thread(target=lambda: asyncio.run(work()), daemon=True)
    thread.start()
    assert ready.wait(60)
    try:
        yield
    finally:
        over.set()
        thread.join()


async def _is_listening(app: Any) -> bool:
    row = await app.connector.execute_query_one_async(
        "select count(*) as listeners from pg_stat_activity"
        " where datname = current_database() and query ilike 'listen %%'"
    )
    return bool(row["listeners"])


def test_workers_are_notified_of_new_jobs_and_released_locks(
    settings: Settings, pool: Pool, make_tenant: MakeTenant, owner: Connection
) -> None:
    """So an idle worker starts a build on demand within a second."""
    tenant_id = make_tenant()
    with worker_without_polling(settings, pool):
        for _ in range(3):
            with tenant_transaction(pool, tenant_id) as conn:
                defer(
                    conn,
                    HOUSEKEEP_TASK,
                    queue="webhooks",
                    lock="one after the other",
                    priority=0,
                    tenant_id=str(tenant_id),
                )
        wait_until(lambda: job_states(owner) == ["succeeded"] * 3, "all jobs are done")


def test_a_worker_closes_a_dead_run(
    here: Settings, pool: Pool, make_tenant: MakeTenant, owner: Connection, tmp_path: Path
) -> None:
    tenant_id = make_tenant()
    with tenant_transaction(pool, tenant_id) as conn:
        start_run(conn, tenant_id, "build", "cli")
    owner.execute(
        "update app.runs set state = 'running', started_at = now() - interval '10 minutes',"
        " heartbeat_at = now() - interval '10 minutes'"
    )
    with worker_process(here, tmp_path / "worker.log") as worker:
        wait_until(lambda: run_of(owner)["state"] == "failed", "the run has failed")
        assert stop(worker) == 0
