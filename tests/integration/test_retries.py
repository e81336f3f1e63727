"""Retries: what is retried, which process owns a run, and how runs return to the queue."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from procrastinate.jobs import Job

from service.builds import scheduled
from service.builds.run import begin_building
from service.core.config import Settings
from service.core.db import Connection, Pool, tenant_transaction
from service.core.errors import BuildFailedError, InvalidInputError
from service.queue.enqueue import enqueue
from service.queue.retry import PostponedError, is_transient, next_try
from service.queue.runs import (
    LostRunError,
    RunPolicy,
    _send_heartbeats,
    get_run,
    record_run,
    record_runs,
    start_run,
)
from service.shopify.errors import ShopifyUnavailableError, ShopifyUnknownOutcomeError
from service.worker.scheduler import close_dead_runs, requeue_stalled_jobs
from service.worker.tasks import Worker, worker_app
from tests.conftest import MakeTenant

WORKER = RunPolicy(attempts=3, retry_after=60)


@pytest.fixture
def settings(built_settings: Settings) -> Settings:
    """A built database: what follows a build reads it."""
    return built_settings


def start(pool: Pool, tenant_id: UUID) -> UUID:
    with tenant_transaction(pool, tenant_id) as conn:
        run_id: UUID = start_run(conn, tenant_id, "shopify_sync", "schedule").run["run_id"]
    return run_id


def read(pool: Pool, tenant_id: UUID, run_id: UUID) -> dict[str, Any]:
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        run = get_run(conn, tenant_id, run_id)
    assert run is not None
    return run


def fail(pool: Pool, tenant_id: UUID, run_id: UUID, error: Exception, policy: RunPolicy) -> None:
    with record_run(pool, tenant_id, run_id, policy):
        raise error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ShopifyUnavailableError(), True),
        (psycopg.errors.AdminShutdown(), True),
        (psycopg.errors.DeadlockDetected(), True),
        (BuildFailedError(is_transient=True), True),
        (BuildFailedError(), False),
        (psycopg.errors.DiskFull(), True),
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (FileNotFoundError(errno.ENOENT, "x"), False),
        # The change may have been made, and must not be made twice.
        (ShopifyUnknownOutcomeError(), False),
        (InvalidInputError("x"), False),
        (KeyError("x"), False),
    ],
)
def test_transient_errors_are_recognized(error: Exception, expected: bool) -> None:
    assert is_transient(error) is expected


def test_retry_waits_grow_and_are_random() -> None:
    waits = [
        [(next_try(attempt, 15) - datetime.now(UTC)).total_seconds() for _ in range(50)]
        for attempt in (1, 2, 3, 9)
    ]
    for found, longest in zip(waits, (15, 60, 240, 3600), strict=True):
        assert all(longest / 2 - 1 <= wait <= longest for wait in found)
        assert len({round(wait, 3) for wait in found}) > 1


def test_a_transient_failure_is_retried_and_then_fails_the_run(
    pool: Pool, make_tenant: MakeTenant
) -> None:
    tenant_id = make_tenant()
    run_id = start(pool, tenant_id)
    for attempt in (1, 2):
        with pytest.raises(PostponedError) as postponed:
            fail(pool, tenant_id, run_id, ShopifyUnavailableError(), WORKER)
        run = read(pool, tenant_id, run_id)
        assert (run["state"], run["attempts"]) == ("queued", attempt)
        assert "could not be reached" in run["error"]
        assert run["next_attempt_at"] == postponed.value.at
        assert run["finished_at"] is None
    with pytest.raises(ShopifyUnavailableError):
        fail(pool, tenant_id, run_id, ShopifyUnavailableError(), WORKER)
    run = read(pool, tenant_id, run_id)
    assert (run["state"], run["attempts"], run["next_attempt_at"]) == ("failed", 3, None)
    assert run["advice"]


def test_a_successful_retry_clears_the_error(pool: Pool, make_tenant: MakeTenant) -> None:
    tenant_id = make_tenant()
    run_id = start(pool, tenant_id)
    with pytest.raises(PostponedError):
        fail(pool, tenant_id, run_id, ShopifyUnavailableError(), WORKER)
    with record_run(pool, tenant_id, run_id, WORKER):
        assert read(pool, tenant_id, run_id)["error"] is None
    run = read(pool, tenant_id, run_id)
    assert (run["state"], run["error"], run["advice"]) == ("succeeded", None, None)


def test_a_permanent_failure_is_not_retried(pool: Pool, make_tenant: MakeTenant) -> None:
    tenant_id = make_tenant()
    run_id = start(pool, tenant_id)
    with pytest.raises(InvalidInputError):
        fail(pool, tenant_id, run_id, InvalidInputError("The file is empty."), WORKER)
    run = read(pool, tenant_id, run_id)
    assert (run["state"], run["error"], run["attempts"]) == ("failed", "The file is empty.", 1)


def test_a_command_fails_at_once_without_retries(pool: Pool, make_tenant: MakeTenant) -> None:
    tenant_id = make_tenant()
    run_id = start(pool, tenant_id)
    with pytest.raises(ShopifyUnavailableError), record_run(pool, tenant_id, run_id):
        raise ShopifyUnavailableError
    assert read(pool, tenant_id, run_id)["state"] == "failed"


def test_a_stopping_process_returns_its_run_to_the_queue(
    pool: Pool, make_tenant: MakeTenant
) -> None:
    tenant_id = make_tenant()
    run_id = start(pool, tenant_id)
    stopping = threading.Event()
    policy = RunPolicy(attempts=3, stopping=stopping)
    with pytest.raises(PostponedError), record_run(pool, tenant_id, run_id, policy) as progress:
        progress.phase("orders", 100)
        stopping.set()
        progress.advance()
        raise AssertionError("the run continues")
    run = read(pool, tenant_id, run_id)
    assert (run["state"], run["attempts"], run["error"]) == ("queued", 0, None)
    with record_run(pool, tenant_id, run_id, WORKER):
        pass
    assert read(pool, tenant_id, run_id)["state"] == "succeeded"


def test_a_process_that_lost_its_run_cannot_write_to_it(
    pool: Pool, make_tenant: MakeTenant, owner: Connection
) -> None:
    tenant_id = make_tenant()
    run_id = start(pool, tenant_id)
    with pytest.raises(LostRunError), record_run(pool, tenant_id, run_id, WORKER) as dead:
        owner.execute("update app.runs set heartbeat_at = now() - interval '10 minutes'")
        with record_run(pool, tenant_id, run_id, WORKER) as living:
            living.count(orders=7)
            living.write()
            with pytest.raises(LostRunError):
                dead.write()
            assert read(pool, tenant_id, run_id)["counts"] == {"orders": 7}
        dead.write()
    run = read(pool, tenant_id, run_id)
    assert (run["state"], run["counts"], run["attempts"]) == ("succeeded", {"orders": 7}, 2)


def test_a_run_whose_process_dies_too_often_fails(
    pool: Pool, make_tenant: MakeTenant, owner: Connection
) -> None:
    tenant_id = make_tenant()
    run_id = start(pool, tenant_id)
    owner.execute("update app.runs set attempts = 3")
    with (
        pytest.raises(Exception, match="already running"),
        record_run(pool, tenant_id, run_id, WORKER),
    ):
        raise AssertionError("the run was started")
    run = read(pool, tenant_id, run_id)
    assert run["state"] == "failed"
    assert "without finishing" in run["error"]


def test_a_persons_request_starts_a_postponed_run_now(pool: Pool, make_tenant: MakeTenant) -> None:
    tenant_id = make_tenant()
    run_id = start(pool, tenant_id)
    with pytest.raises(PostponedError):
        fail(pool, tenant_id, run_id, ShopifyUnavailableError(), WORKER)
    with tenant_transaction(pool, tenant_id) as conn:
        assert enqueue(conn, tenant_id, "shopify_sync", "person")["run_id"] == run_id
        (job,) = conn.execute("select priority from jobs.procrastinate_jobs").fetchall()
    assert job["priority"] > 0
    assert read(pool, tenant_id, run_id)["next_attempt_at"] is None


def test_repeated_requests_queue_one_more_job(pool: Pool, make_tenant: MakeTenant) -> None:
    tenant_id = make_tenant()
    with tenant_transaction(pool, tenant_id) as conn:
        scheduled = enqueue(conn, tenant_id, "build", "schedule")
        for _ in range(3):
            assert enqueue(conn, tenant_id, "build")["run_id"] == scheduled["run_id"]
        jobs = conn.execute(
            "select task_name, priority from jobs.procrastinate_jobs order by priority"
        ).fetchall()
    assert jobs == [
        {"task_name": "quintile.build_due", "priority": 0},
        {"task_name": "quintile.build", "priority": 10},
    ]


def test_the_job_of_a_run_is_retried_without_limit_while_the_database_is_away(
    settings: Settings, pool: Pool
) -> None:
    """Its attempts also count how often it waited for another process."""
    tasks = worker_app(settings, pool).tasks

    def decide(task: str, error: Exception, **arguments: str) -> Any:
        job = Job(
            id=1,
            queue="q",
            lock=None,
            queueing_lock=None,
            task_name=task,
            task_kwargs={"tenant_id": "t", **arguments},
            attempts=2000,
        )
        found = tasks[task].get_retry_exception(exception=error, job=job)
        return found and found.retry_decision

    shutdown = psycopg.errors.AdminShutdown()
    retry = decide("quintile.build", shutdown, run_id="r")
    assert 0 < (retry.retry_at - datetime.now(UTC)).total_seconds() <= 3600
    assert decide("quintile.build", KeyError("x"), run_id="r") is None
    assert decide("quintile.housekeep", shutdown) is None


# -- dead runs --------------------------------------------------------------------------------


def make_silent(owner: Connection, minutes: int) -> None:
    """As if no process had sent a heartbeat for this long."""
    owner.execute(
        "update app.runs set created_at = created_at - make_interval(mins => %(minutes)s),"
        " heartbeat_at = heartbeat_at - make_interval(mins => %(minutes)s)",
        {"minutes": minutes},
    )


def test_the_run_of_a_killed_command_is_closed_and_blocks_nothing(
    settings: Settings, pool: Pool, make_tenant: MakeTenant, owner: Connection
) -> None:
    tenant_id = make_tenant()
    killed = start(pool, tenant_id)
    owner.execute(
        "update app.runs set state = 'running', started_at = now(), heartbeat_at = now(),"
        " attempts = 1"
    )
    with tenant_transaction(pool, tenant_id) as conn:
        behind = enqueue(conn, tenant_id, "shopify_sync", behind_running=True)["run_id"]
    assert close_dead_runs(settings, pool) == 0
    make_silent(owner, 10)
    assert close_dead_runs(settings, pool) == 1
    assert close_dead_runs(settings, pool) == 0
    run = read(pool, tenant_id, killed)
    assert (run["state"], run["error"]) == (
        "failed",
        "The process of this run ended without finishing it.",
    )
    assert run["advice"]
    done: list[UUID] = []

    def work(_tenant_id: UUID, run_id: UUID) -> None:
        with record_run(pool, tenant_id, run_id, WORKER):
            done.append(run_id)

    Worker(settings, pool).do(work, str(tenant_id), str(behind))
    assert done == [behind]


def test_a_run_whose_job_failed_is_closed(
    settings: Settings, pool: Pool, make_tenant: MakeTenant, superuser: Connection
) -> None:
    tenant_id = make_tenant()
    with tenant_transaction(pool, tenant_id) as conn:
        run_id = enqueue(conn, tenant_id, "build")["run_id"]
    make_silent(superuser, 10)
    assert close_dead_runs(settings, pool) == 0
    superuser.execute("set search_path = jobs")
    superuser.execute("update jobs.procrastinate_jobs set status = 'failed'")
    assert close_dead_runs(settings, pool) == 1
    assert read(pool, tenant_id, run_id)["state"] == "failed"


def test_a_run_of_a_living_process_is_not_closed(
    settings: Settings, pool: Pool, make_tenant: MakeTenant, owner: Connection
) -> None:
    tenant_id = make_tenant()
    run_id = start(pool, tenant_id)
    with record_run(pool, tenant_id, run_id) as recorder:
        make_silent(owner, 10)
        recorder.write()
        # Heartbeats of commands do not follow this setting.
        assert close_dead_runs(replace(settings, run_stale_seconds=1), pool) == 0
    assert read(pool, tenant_id, run_id)["state"] == "succeeded"


def test_a_job_is_postponed_while_another_process_does_its_run(
    settings: Settings, pool: Pool, make_tenant: MakeTenant
) -> None:
    """It is not dropped, as the other process may die, and it does not start the run."""
    tenant_id = make_tenant()
    run_id = start(pool, tenant_id)
    worker = Worker(settings, pool)

    def never(_tenant_id: UUID, _run_id: UUID) -> None:
        raise AssertionError("the run was started")

    with record_run(pool, tenant_id, run_id):
        with pytest.raises(PostponedError) as postponed:
            worker.do(never, str(tenant_id), str(run_id))
        assert postponed.value.at > datetime.now(UTC)
    worker.do(never, str(tenant_id), str(run_id))


def test_a_queued_run_waits_for_the_running_one(
    settings: Settings, pool: Pool, make_tenant: MakeTenant
) -> None:
    tenant_id = make_tenant()
    first = start(pool, tenant_id)
    worker = Worker(settings, pool)
    done: list[UUID] = []
    with record_run(pool, tenant_id, first):
        with tenant_transaction(pool, tenant_id) as conn:
            second = enqueue(conn, tenant_id, "shopify_sync", behind_running=True)["run_id"]
        with pytest.raises(PostponedError):
            worker.do(lambda _tenant, run: done.append(run), str(tenant_id), str(second))
    assert done == []


def test_only_jobs_of_dead_workers_are_requeued(
    settings: Settings, pool: Pool, make_tenant: MakeTenant, superuser: Connection
) -> None:
    for name in ("living", "dead", "unknown"):
        tenant_id = make_tenant(name)
        with tenant_transaction(pool, tenant_id) as conn:
            enqueue(conn, tenant_id, "shopify_sync")
    superuser.execute("set search_path = jobs")
    superuser.execute(
        "insert into jobs.procrastinate_workers (last_heartbeat)"
        " values (now()), (now() - interval '10 minutes')"
    )
    superuser.execute("update jobs.procrastinate_jobs set status = 'doing'")
    superuser.execute(
        "update jobs.procrastinate_jobs as j set worker_id = w.id"
        " from jobs.procrastinate_workers as w where w.id = j.id and w.id < 3"
    )
    assert requeue_stalled_jobs(settings) == 2
    assert requeue_stalled_jobs(settings) == 0
    rows = superuser.execute("select status from jobs.procrastinate_jobs order by id").fetchall()
    assert [row["status"] for row in rows] == ["doing", "todo", "todo"]


def test_tenants_that_fail_a_shared_build_are_found_and_the_others_are_built(
    settings: Settings, pool: Pool, make_tenant: MakeTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenants = {make_tenant(f"tenant{n:02}"): f"tenant{n:02}" for n in range(20)}
    bad = {"tenant03", "tenant17"}
    built: list[str] = []

    def dbt(_settings: Settings, *, tenants: list[str], **_: object) -> None:
        if bad & set(tenants):
            raise BuildFailedError("The build of the models failed.", detail="bigint out of range")
        built.extend(tenants)

    monkeypatch.setattr(scheduled, "build", dbt)
    runs = {}
    for tenant_id in tenants:
        with tenant_transaction(pool, tenant_id) as conn:
            runs[tenant_id] = enqueue(conn, tenant_id, "build", "schedule")["run_id"]
    tenant_id, run_id = next(iter(runs.items()))
    worker = Worker(settings, pool)
    worker.do(worker.build_due_tenants, str(tenant_id), str(run_id))
    states = {
        tenants[tenant_id]: read(pool, tenant_id, run_id)["state"]
        for tenant_id, run_id in runs.items()
    }
    assert {name for name, state in states.items() if state == "failed"} == bad
    assert sorted(built) == sorted(set(states) - bad)
    assert set(states.values()) == {"failed", "succeeded"}


def test_a_tenant_whose_run_is_lost_does_not_stop_the_others(
    settings: Settings,
    pool: Pool,
    make_tenant: MakeTenant,
    owner: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lost, other = make_tenant("lost"), make_tenant("other")

    def dbt(
        _settings: Settings, *, tenants: list[str], report: Callable[[int, int], None], **_: object
    ) -> None:
        if tenants == ["lost"]:
            take_over = "update app.runs set attempts = attempts + 1 where tenant_id = %s"
            owner.execute(take_over, [lost])
        # Progress is written twice a second.
        time.sleep(0.6)
        report(1, 2)

    monkeypatch.setattr(scheduled, "build", dbt)
    monkeypatch.setattr(scheduled, "MAX_TENANTS", 1)
    runs = {}
    for tenant_id in (lost, other):
        with tenant_transaction(pool, tenant_id) as conn:
            runs[tenant_id] = enqueue(conn, tenant_id, "build", "schedule")["run_id"]
    scheduled.build_due_tenants(settings, pool, runs, WORKER)
    assert read(pool, lost, runs[lost])["state"] == "running"
    assert read(pool, other, runs[other])["state"] == "succeeded"


def test_a_run_that_is_lost_stops_neither_heartbeats_nor_the_build_of_others(
    pool: Pool, make_tenant: MakeTenant, owner: Connection
) -> None:
    lost, other = make_tenant("lost"), make_tenant("other")
    runs = {}
    for tenant_id in (lost, other):
        with tenant_transaction(pool, tenant_id) as conn:
            runs[tenant_id] = start_run(conn, tenant_id, "build", "cli").run["run_id"]
    with record_runs(pool, runs) as recorders:
        owner.execute("update app.runs set attempts = attempts + 1 where tenant_id = %s", [lost])
        owner.execute("update app.runs set heartbeat_at = now() - interval '1 hour'")
        recorders.sort(key=lambda recorder: recorder.tenant_id != lost)
        _send_heartbeats(recorders)
        late = "select tenant_id from app.runs where heartbeat_at < now() - interval '1 minute'"
        assert owner.execute(late).fetchall() == [{"tenant_id": lost}]
        begin_building(pool, recorders)
        assert [recorder.is_over for recorder in recorders] == [True, False]
    assert read(pool, other, runs[other])["state"] == "succeeded"


def test_a_shared_build_of_too_many_tenants_is_done_in_parts(
    settings: Settings, pool: Pool, make_tenant: MakeTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build of more tenants would run alone, and block builds on demand."""
    calls: list[list[str]] = []

    def dbt(_settings: Settings, *, tenants: list[str], **_: object) -> None:
        calls.append(tenants)

    monkeypatch.setattr(scheduled, "build", dbt)
    monkeypatch.setattr(scheduled, "MAX_TENANTS", 2)
    runs = {}
    for n in range(5):
        tenant_id = make_tenant(f"tenant{n}")
        with tenant_transaction(pool, tenant_id) as conn:
            runs[tenant_id] = enqueue(conn, tenant_id, "build", "schedule")["run_id"]
    tenant_id, run_id = next(iter(runs.items()))
    worker = Worker(settings, pool)
    worker.do(worker.build_due_tenants, str(tenant_id), str(run_id))
    assert [len(tenants) for tenants in calls] == [2, 2, 1]
    assert {read(pool, tenant, run)["state"] for tenant, run in runs.items()} == {"succeeded"}


def test_a_build_that_fails_for_all_tenants_is_repeated_a_few_times_only(
    settings: Settings, pool: Pool, make_tenant: MakeTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def dbt(_settings: Settings, *, tenants: list[str], **_: object) -> None:
        calls.append(tenants)
        raise BuildFailedError("The build of the models failed.", detail="Compilation Error")

    monkeypatch.setattr(scheduled, "build", dbt)
    runs = {}
    for n in range(40):
        tenant_id = make_tenant(f"tenant{n:02}")
        with tenant_transaction(pool, tenant_id) as conn:
            runs[tenant_id] = enqueue(conn, tenant_id, "build", "schedule")["run_id"]
    tenant_id, run_id = next(iter(runs.items()))
    worker = Worker(settings, pool)
    worker.do(worker.build_due_tenants, str(tenant_id), str(run_id))
    assert len(calls) < 40
    assert {read(pool, tenant, run)["state"] for tenant, run in runs.items()} == {"failed"}
