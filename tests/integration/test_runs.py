"""Runs: one of a kind at a time, with progress and a reason for failures."""

from __future__ import annotations

from uuid import UUID

import pytest

from service.core.db import Connection, Pool, tenant_transaction
from service.core.errors import AlreadyRunningError, InvalidInputError
from service.queue.enqueue import enqueue
from service.queue.runs import get_run, record_run, record_runs, start_run


def _start(pool: Pool, tenant_id: UUID, kind="build"):
    with tenant_transaction(pool, tenant_id) as conn:
        return start_run(conn, tenant_id, kind, "person")


def _read(pool: Pool, tenant_id: UUID, run_id: UUID):
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        run = get_run(conn, tenant_id, run_id)
    assert run is not None
    return run


def test_starting_a_run_twice_finds_the_first_one(pool: Pool, make_tenant) -> None:
    tenant_id = make_tenant()
    first, second = _start(pool, tenant_id), _start(pool, tenant_id)
    assert first.created
    assert not second.created
    assert second.run["run_id"] == first.run["run_id"]
    assert _start(pool, tenant_id, "shopify_sync").created
    assert _start(pool, make_tenant("other")).created


def test_a_run_records_its_progress_and_the_next_one_can_start(pool: Pool, make_tenant) -> None:
    tenant_id = make_tenant()
    run_id = _start(pool, tenant_id).run["run_id"]
    with record_run(pool, tenant_id, run_id) as recorder:
        recorder.phase("orders", total=3)
        recorder.advance(2)
        recorder.count(orders=2, calls=1)
        recorder.count(orders=1)
        recorder.write()
        running = _read(pool, tenant_id, run_id)
        assert (running["state"], running["phase"], running["done"], running["total"]) == (
            "running",
            "orders",
            2,
            3,
        )
    ended = _read(pool, tenant_id, run_id)
    assert ended["state"] == "succeeded"
    assert ended["counts"] == {"orders": 3, "calls": 1}
    assert ended["finished_at"] >= ended["started_at"]
    assert _start(pool, tenant_id).created


def test_an_expected_error_is_shown_with_its_advice(pool: Pool, make_tenant) -> None:
    tenant_id = make_tenant()
    run_id = _start(pool, tenant_id).run["run_id"]
    with pytest.raises(InvalidInputError), record_run(pool, tenant_id, run_id):
        raise InvalidInputError("The key was refused.", advice="Connect again.")
    run = _read(pool, tenant_id, run_id)
    assert (run["state"], run["error"], run["advice"]) == (
        "failed",
        "The key was refused.",
        "Connect again.",
    )


def test_an_unexpected_error_shows_no_details(pool: Pool, make_tenant) -> None:
    tenant_id = make_tenant()
    run_id = _start(pool, tenant_id).run["run_id"]
    with pytest.raises(RuntimeError), record_run(pool, tenant_id, run_id):
        raise RuntimeError("pk_live_do_not_show")
    run = _read(pool, tenant_id, run_id)
    assert run["state"] == "failed"
    assert "RuntimeError" in run["error"]
    assert "pk_live" not in str(run)


def test_a_run_is_done_by_one_process_only(pool: Pool, make_tenant) -> None:
    tenant_id = make_tenant()
    run_id = _start(pool, tenant_id).run["run_id"]
    with record_run(pool, tenant_id, run_id):
        with pytest.raises(AlreadyRunningError), record_run(pool, tenant_id, run_id):
            pytest.fail("two processes did one run")
        assert _read(pool, tenant_id, run_id)["state"] == "running"
    with pytest.raises(AlreadyRunningError), record_run(pool, tenant_id, run_id):
        pytest.fail("a run was done twice")


def test_a_dead_run_is_closed_and_the_next_one_starts(
    pool: Pool, make_tenant, owner: Connection
) -> None:
    tenant_id = make_tenant()
    run_id = _start(pool, tenant_id).run["run_id"]
    owner.execute(
        "update app.runs set state = 'running', started_at = now(), "
        "heartbeat_at = now() - interval '10 minutes' where tenant_id = %s",
        [tenant_id],
    )
    started = _start(pool, tenant_id)
    assert started.created
    dead = _read(pool, tenant_id, run_id)
    assert dead["state"] == "failed"
    assert "without finishing" in dead["error"]


def test_the_run_of_a_dead_process_can_be_taken_over(
    pool: Pool, make_tenant, owner: Connection
) -> None:
    tenant_id = make_tenant()
    run_id = _start(pool, tenant_id).run["run_id"]
    owner.execute(
        "update app.runs set state = 'running', started_at = now(), "
        "heartbeat_at = now() - interval '10 minutes' where tenant_id = %s",
        [tenant_id],
    )
    with record_run(pool, tenant_id, run_id):
        pass
    assert _read(pool, tenant_id, run_id)["state"] == "succeeded"


def test_shared_work_leaves_out_runs_of_other_processes(pool: Pool, make_tenant) -> None:
    busy, free = make_tenant("busy"), make_tenant("free")
    runs = {tenant: _start(pool, tenant).run["run_id"] for tenant in (busy, free)}
    with (
        record_run(pool, busy, runs[busy]),
        record_runs(pool, runs) as recorders,
    ):
        assert [recorder.tenant_id for recorder in recorders] == [free]
    assert _read(pool, free, runs[free])["state"] == "succeeded"


def test_a_job_is_queued_with_its_run_or_not_at_all(
    pool: Pool, make_tenant, superuser: Connection
) -> None:
    tenant_id = make_tenant()
    with pytest.raises(ZeroDivisionError), tenant_transaction(pool, tenant_id) as conn:
        enqueue(conn, tenant_id, "build")
        raise ZeroDivisionError
    assert superuser.execute("select * from jobs.procrastinate_jobs").fetchall() == []
    with tenant_transaction(pool, tenant_id) as conn:
        run = enqueue(conn, tenant_id, "build")
        assert enqueue(conn, tenant_id, "build")["run_id"] == run["run_id"]
    jobs = superuser.execute("select args from jobs.procrastinate_jobs").fetchall()
    assert jobs == [{"args": {"tenant_id": str(tenant_id), "run_id": str(run["run_id"])}}]


def test_a_run_can_be_queued_behind_a_running_one(pool: Pool, make_tenant) -> None:
    tenant_id = make_tenant()
    running = _start(pool, tenant_id).run["run_id"]
    with record_run(pool, tenant_id, running):
        assert not _start(pool, tenant_id).created
        with tenant_transaction(pool, tenant_id) as conn:
            behind = start_run(conn, tenant_id, "build", "person", behind_running=True)
            again = start_run(conn, tenant_id, "build", "person", behind_running=True)
        assert behind.created
        assert behind.run["run_id"] != running
        assert again.run["run_id"] == behind.run["run_id"]
        with pytest.raises(AlreadyRunningError), record_run(pool, tenant_id, behind.run["run_id"]):
            pytest.fail("two runs of a kind ran at once")
    with record_run(pool, tenant_id, behind.run["run_id"]):
        pass
    assert _read(pool, tenant_id, behind.run["run_id"])["state"] == "succeeded"
