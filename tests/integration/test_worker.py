"""The worker: does queued jobs, fans schedules out, and keeps one tenant's trouble to itself."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest

from service.config import Settings
from service.db import Pool, connect_as_owner, create_pool, tenant_transaction
from service.jobs.runs import start_run
from service.jobs.tasks import Worker, enqueue, worker_app
from service.tenants import add_tenant


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
    """Do what is queued. In a thread: the browser tests keep an event loop in this one."""

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


def test_a_failure_is_told_by_its_run_and_stops_nobody_else(
    built_settings: Settings, built_pool: Pool
) -> None:
    """A sealed key that does not open: that tenant's run fails, the other tenant's build runs."""
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


def test_the_fan_out_queues_every_connected_tenant_once(
    built_settings: Settings, built_pool: Pool
) -> None:
    first = _add(built_settings, "first", "shopify")
    _add(built_settings, "unconnected")
    third = _add(built_settings, "third", "shopify", "klaviyo")
    worker = Worker(built_settings, built_pool)
    worker.fan_out("shopify_sync")
    worker.fan_out("shopify_sync")
    runs = _runs(built_settings)
    assert {run["tenant_id"] for run in runs} == {first, third}
    assert len(runs) == 2
    assert {run["trigger"] for run in runs} == {"schedule"}
    with connect_as_owner(built_settings) as owner:
        jobs = owner.execute("select lock from jobs.procrastinate_jobs").fetchall()
    assert {job["lock"] for job in jobs} == {f"shopify_sync {first}", f"shopify_sync {third}"}
    # Segments have a schedule and a run of their own.
    worker.fan_out("segments_sync")
    assert [run["kind"] for run in _runs(built_settings)] == ["shopify_sync"] * 2 + [
        "segments_sync"
    ] * 2


def test_the_daily_build_is_one_build_for_all(built_settings: Settings, built_pool: Pool) -> None:
    tenants = {_add(built_settings, name) for name in ("a", "b", "c")}
    Worker(built_settings, built_pool).build_all()
    runs = _runs(built_settings)
    assert {run["tenant_id"] for run in runs} == tenants
    assert {(run["kind"], run["state"], run["trigger"]) for run in runs} == {
        ("build", "succeeded", "schedule")
    }


def test_the_schedules_are_the_settings(built_settings: Settings, built_pool: Pool) -> None:
    app = worker_app(built_settings, built_pool)
    crons = {
        periodic.periodic_id: periodic.cron
        for periodic in app.periodic_registry.periodic_tasks.values()
    }
    assert crons == {
        "segments": "0 */6 * * *",
        "shopify": "45 * * * *",
        "build": "0 3 * * *",
        "klaviyo": "*/30 * * * *",
        "housekeeping": "30 4 * * *",
        "stalled": "* * * * *",
    }


def test_a_run_left_waiting_by_a_dead_process_is_taken_up(
    built_settings: Settings, built_pool: Pool
) -> None:
    """Queued, with no job behind it, as a kill between the two leaves it."""
    tenant_id = _add(built_settings, "demo")
    with tenant_transaction(built_pool, tenant_id) as conn:
        start_run(conn, tenant_id, "build", "schedule")
    Worker(built_settings, built_pool).build_all()
    assert [run["state"] for run in _runs(built_settings)] == ["succeeded"]


def test_a_run_that_waits_in_vain_does_not_block_the_next(
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
    # One that a job stands behind may wait as long as it takes.
    with connect_as_owner(built_settings) as owner:
        owner.execute(
            "update app.runs set created_at = now() - interval '10 minutes' where run_id = %s",
            [waiting["run_id"]],
        )
    with tenant_transaction(built_pool, tenant_id) as conn:
        assert enqueue(conn, tenant_id, "build")["run_id"] == waiting["run_id"]
