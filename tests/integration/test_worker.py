"""The worker: runs queued jobs and schedules, and tenants fail separately."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from psycopg import sql

from service.core.config import Settings
from service.core.db import Pool, connect_as_owner, create_pool, tenant_transaction
from service.queue.enqueue import enqueue
from service.queue.runs import start_run
from service.queue.schedules import next_at, pause, previous_time, resume
from service.tenants.tenants import add_tenant
from service.worker.scheduler import enqueue_due
from service.worker.tasks import worker_app

# After every daily time, however late a test begins.
LATER = datetime.now(UTC) + timedelta(days=2)
MIDNIGHT = datetime(2026, 12, 1, tzinfo=UTC)


@pytest.fixture
def built_pool(built_settings: Settings) -> Iterator[Pool]:
    pool = create_pool(built_settings)
    yield pool
    pool.close()


def _add(settings: Settings, name: str, *connected: str) -> UUID:
    with connect_as_owner(settings) as owner:
        tenant_id = add_tenant(owner, name)
        for provider in connected:
            owner.execute(
                "insert into app.connections "
                "(tenant_id, provider, sealed_secret, key_id, last_four) "
                "values (%s, %s, 'x', 'unknown', 'xxxx')",
                [tenant_id, provider],
            )
    return tenant_id


def _runs(settings: Settings) -> list[dict]:
    with connect_as_owner(settings) as owner:
        return owner.execute(
            "select tenant_id, kind, trigger, state, error, advice from app.runs "
            "order by created_at"
        ).fetchall()


def _work(settings: Settings, pool: Pool) -> None:
    """Run what is queued, in a thread: browser tests keep an event loop in the main one."""

    def work() -> None:
        app = worker_app(settings, pool)
        with app.open():
            app.run_worker(wait=False, install_signal_handlers=False, queues=["syncs", "builds"])

    with ThreadPoolExecutor(max_workers=1) as executor:
        executor.submit(work).result()


def test_a_queued_build_is_built(built_settings: Settings, built_pool: Pool) -> None:
    tenant_id = _add(built_settings, "demo")
    with tenant_transaction(built_pool, tenant_id) as conn:
        conn.execute(
            "insert into shopify.orders (tenant_id, order_id, customer_id, processed_at, currency,"
            " total_minor, subtotal_minor, source)"
            " values (%s, '1', 'c', now() - interval '1 day', 'USD', 100, 100, 'csv')",
            [tenant_id],
        )
        enqueue(conn, tenant_id, "build")
    _work(built_settings, built_pool)
    assert [(run["state"], run["trigger"]) for run in _runs(built_settings)] == [
        ("succeeded", "person")
    ]
    with tenant_transaction(built_pool, tenant_id, read_only=True) as conn:
        rows = conn.execute(
            "select customer_id, f_score, r_score from marts.customer_rfm_segments"
        ).fetchall()
    assert rows == [{"customer_id": "c", "f_score": 1, "r_score": 5}]


def test_a_failed_run_has_its_error_and_does_not_stop_other_tenants(
    built_settings: Settings, built_pool: Pool
) -> None:
    """A key cannot be unsealed: the tenant's run fails, the other tenant's build runs."""
    broken, sound = _add(built_settings, "broken", "klaviyo"), _add(built_settings, "sound")
    with tenant_transaction(built_pool, broken) as conn:
        enqueue(conn, broken, "klaviyo_sync")
    with tenant_transaction(built_pool, sound) as conn:
        enqueue(conn, sound, "build")
    _work(built_settings, built_pool)
    by_tenant = {run["tenant_id"]: run for run in _runs(built_settings)}
    assert by_tenant[broken]["state"] == "failed"
    assert "key ring" in by_tenant[broken]["error"]
    assert by_tenant[sound]["state"] == "succeeded"


def test_the_scheduler_queues_every_connected_tenant_once(
    built_settings: Settings, built_pool: Pool
) -> None:
    first = _add(built_settings, "first", "shopify")
    unconnected = _add(built_settings, "unconnected")
    third = _add(built_settings, "third", "shopify", "klaviyo")
    enqueue_due(built_settings, built_pool, LATER)
    assert enqueue_due(built_settings, built_pool, LATER) == 0
    runs = _runs(built_settings)
    assert {run["trigger"] for run in runs} == {"schedule"}
    assert sorted((run["kind"], run["tenant_id"]) for run in runs) == sorted(
        [
            *(("shopify_sync", tenant) for tenant in (first, third)),
            *(("segments_sync", tenant) for tenant in (first, third)),
            *(("build", tenant) for tenant in (first, unconnected, third)),
            ("klaviyo_sync", third),
        ]
    )
    with connect_as_owner(built_settings) as owner:
        jobs = owner.execute(
            "select task_name, count(*) as jobs from jobs.procrastinate_jobs group by task_name"
        ).fetchall()
    assert {job["task_name"]: job["jobs"] for job in jobs} == {
        "quintile.shopify_sync": 2,
        "quintile.segments_sync": 2,
        "quintile.klaviyo_sync": 1,
        "quintile.build_due": 3,
        "quintile.housekeep": 3,
    }


def test_times_missed_without_a_worker_are_served_once(
    built_settings: Settings, built_pool: Pool
) -> None:
    tenant_id = _add(built_settings, "demo", "shopify")
    enqueue_due(built_settings, built_pool, LATER + timedelta(days=3))
    enqueue_due(built_settings, built_pool, LATER + timedelta(days=3, minutes=1))
    assert [run["kind"] for run in _runs(built_settings)].count("shopify_sync") == 1
    with tenant_transaction(built_pool, tenant_id, read_only=True) as conn:
        (served,) = conn.execute(
            "select served_at from app.schedules where name = 'orders'"
        ).fetchall()
    assert served["served_at"] == previous_time(
        built_settings.schedule_orders, until=LATER + timedelta(days=3)
    )


def test_builds_are_due_in_each_tenants_time_zone(
    built_settings: Settings, built_pool: Pool
) -> None:
    zones = {"auckland": "Pacific/Auckland", "berlin": "Europe/Berlin", "utc": "UTC"}
    tenants = {name: _add(built_settings, name) for name in zones}
    with connect_as_owner(built_settings) as owner:
        for name, zone in zones.items():
            owner.execute("update app.tenants set time_zone = %s where name = %s", [zone, name])
        owner.execute("update app.tenants set created_at = %s", [MIDNIGHT])

    def due(hours: float) -> set[str]:
        known = {run["tenant_id"] for run in _runs(built_settings)}
        enqueue_due(built_settings, built_pool, MIDNIGHT + timedelta(hours=hours))
        new = {run["tenant_id"] for run in _runs(built_settings) if run["kind"] == "build"} - known
        return {name for name, tenant_id in tenants.items() if tenant_id in new}

    assert due(0.5) == set()
    assert due(2.1) == {"berlin"}
    assert due(2.9) == set()
    assert due(3.1) == {"utc"}
    assert due(13.9) == set()
    assert due(14.1) == {"auckland"}


def test_a_resumed_schedule_continues_with_its_next_time(
    built_settings: Settings, built_pool: Pool
) -> None:
    paused, other = _add(built_settings, "paused"), _add(built_settings, "other")
    with tenant_transaction(built_pool, paused) as conn:
        pause(conn, paused, "build", "a test")
        assert next_at(conn, built_settings, paused, "build") is None
    enqueue_due(built_settings, built_pool, LATER)
    assert [run["tenant_id"] for run in _runs(built_settings)] == [other]
    with tenant_transaction(built_pool, paused) as conn:
        resume(conn, paused, "build")
        assert next_at(conn, built_settings, paused, "build") is not None
    enqueue_due(built_settings, built_pool, datetime.now(UTC))
    assert [run["tenant_id"] for run in _runs(built_settings)] == [other]
    enqueue_due(built_settings, built_pool, LATER)
    assert [run["tenant_id"] for run in _runs(built_settings)] == [other, paused]


def test_a_tenant_that_cannot_be_scheduled_does_not_stop_the_others(
    built_settings: Settings, built_pool: Pool
) -> None:
    broken, sound = _add(built_settings, "broken"), _add(built_settings, "sound")
    with connect_as_owner(built_settings) as owner:
        owner.execute(
            sql.SQL("alter table app.schedules add constraint stop check (tenant_id <> {})").format(
                broken
            )
        )
    enqueue_due(built_settings, built_pool, LATER)
    assert [run["tenant_id"] for run in _runs(built_settings)] == [sound]


def test_the_daily_build_is_one_build_of_all_due_tenants(
    built_settings: Settings, built_pool: Pool
) -> None:
    tenants = {_add(built_settings, name) for name in ("a", "b", "c")}
    enqueue_due(built_settings, built_pool, LATER)
    _work(built_settings, built_pool)
    runs = _runs(built_settings)
    assert {run["tenant_id"] for run in runs} == tenants
    assert {(run["kind"], run["state"], run["trigger"]) for run in runs} == {
        ("build", "succeeded", "schedule")
    }
    # One job has done it; the others are deleted, as they have nothing left to do.
    with connect_as_owner(built_settings) as owner:
        jobs = owner.execute(
            "select status from jobs.procrastinate_jobs where queue_name = 'builds'"
        ).fetchall()
    assert [job["status"] for job in jobs] == ["succeeded"]


def test_a_queued_run_without_a_job_does_not_block_the_next(
    built_settings: Settings, built_pool: Pool
) -> None:
    tenant_id = _add(built_settings, "demo")
    with tenant_transaction(built_pool, tenant_id) as conn:
        start_run(conn, tenant_id, "build", "schedule")
    with connect_as_owner(built_settings) as owner:
        owner.execute("update app.runs set created_at = now() - interval '10 minutes'")
    with tenant_transaction(built_pool, tenant_id) as conn:
        waiting = enqueue(conn, tenant_id, "build")
    assert sorted(run["state"] for run in _runs(built_settings)) == ["failed", "queued"]
    # A queued run with a job may wait as long as it takes.
    with connect_as_owner(built_settings) as owner:
        owner.execute(
            "update app.runs set created_at = now() - interval '10 minutes' where run_id = %s",
            [waiting["run_id"]],
        )
    with tenant_transaction(built_pool, tenant_id) as conn:
        assert enqueue(conn, tenant_id, "build")["run_id"] == waiting["run_id"]
