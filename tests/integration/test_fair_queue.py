"""Which job is next: people before schedules, tenants in turn, and no tenant with all slots."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from procrastinate.jobs import Job, Status

from service.core.config import Settings
from service.core.db import Connection, Pool, create_pool, tenant_transaction
from service.queue.defer import defer
from service.queue.priorities import (
    BUILD_TASK,
    DUE_BUILD_TASK,
    PRIORITY_PERSON,
    PRIORITY_SCHEDULE,
    PRIORITY_WEBHOOK,
)
from service.worker.tasks import worker_app
from tests.conftest import MakeTenant

SLOTS, BUILDS = 6, 2


@pytest.fixture
def here(settings: Settings) -> Settings:
    return replace(settings, worker_slots=SLOTS, worker_builds=BUILDS)


@pytest.fixture
def pool(here: Settings) -> Iterator[Pool]:
    pool = create_pool(here)
    yield pool
    pool.close()


class Queue:
    """The queue of one worker, which does not run the jobs.

    Calls run in a thread, because browser tests keep an event loop in the main one.
    """

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self.settings, self.pool = settings, pool
        self.worker_id = self.call(lambda queue: queue.register_worker())

    def add(
        self,
        tenant_id: UUID,
        task: str,
        *,
        priority: int = PRIORITY_SCHEDULE,
        lock: str | None = None,
    ) -> None:
        with tenant_transaction(self.pool, tenant_id) as conn:
            defer(
                conn,
                task,
                queue="q",
                lock=lock or f"{task} {tenant_id}",
                priority=priority,
                tenant_id=str(tenant_id),
            )

    def fetch(self) -> Job | None:
        return self.call(lambda queue: queue.fetch_job(None, self.worker_id))

    def fetch_all(self) -> list[Job]:
        found = []
        while (job := self.fetch()) is not None:
            found.append(job)
        return found

    def finish(self, job: Job) -> None:
        self.call(lambda queue: queue.finish_job(job, Status.SUCCEEDED, delete_job=True))

    def call(self, call: Callable):
        async def run():
            app = worker_app(self.settings, self.pool)
            async with app.open_async():
                return await call(app.job_manager)

        with ThreadPoolExecutor(max_workers=1) as executor:
            return executor.submit(asyncio.run, run()).result()


@pytest.fixture
def queue(here: Settings, pool: Pool) -> Queue:
    return Queue(here, pool)


def tenants_of(jobs: list[Job], names: dict[UUID, str]) -> list[str]:
    return [names[UUID(str(job.task_kwargs["tenant_id"]))] for job in jobs]


def test_peoples_jobs_go_before_scheduled_jobs(queue: Queue, make_tenant: MakeTenant) -> None:
    tenant_id = make_tenant()
    queue.add(tenant_id, "scheduled")
    queue.add(tenant_id, "asked", priority=PRIORITY_PERSON)
    assert [job.task_name for job in queue.fetch_all()] == ["asked", "scheduled"]


def test_tenants_are_served_in_turn(queue: Queue, make_tenant: MakeTenant) -> None:
    names = {make_tenant(name): name for name in ("many", "few", "one")}
    many, few, one = names
    for n in range(4):
        queue.add(many, f"task{n}")
    for n in range(2):
        queue.add(few, f"task{n}")
    queue.add(one, "task0")
    done = []
    while (job := queue.fetch()) is not None:
        done.append(job)
        queue.finish(job)
    assert tenants_of(done, names) == ["many", "few", "one", "many", "few", "many", "many"]


def test_a_tenant_gets_at_most_half_of_a_workers_slots(
    queue: Queue, make_tenant: MakeTenant
) -> None:
    names = {make_tenant(name): name for name in ("greedy", "modest")}
    greedy, modest = names
    for n in range(SLOTS):
        queue.add(greedy, f"task{n}", priority=PRIORITY_PERSON)
    queue.add(modest, "task0")
    assert sorted(tenants_of(queue.fetch_all(), names)) == ["greedy"] * (SLOTS // 2) + ["modest"]


def test_one_slot_is_kept_for_people(queue: Queue, make_tenant: MakeTenant) -> None:
    tenants = [make_tenant(f"tenant{n}") for n in range(SLOTS + 1)]
    for n, tenant_id in enumerate(tenants):
        queue.add(tenant_id, f"task{n}")
    assert len(queue.fetch_all()) == SLOTS - 1
    queue.add(tenants[0], "asked", priority=PRIORITY_PERSON)
    assert [job.task_name for job in queue.fetch_all()] == ["asked"]


def test_a_build_on_demand_does_not_wait_behind_the_daily_build(
    queue: Queue, make_tenant: MakeTenant
) -> None:
    first, second, third = (make_tenant(f"tenant{n}") for n in range(3))
    queue.add(first, DUE_BUILD_TASK, lock="due builds")
    queue.add(second, DUE_BUILD_TASK, lock="due builds")
    assert [job.task_name for job in queue.fetch_all()] == [DUE_BUILD_TASK]
    queue.add(third, BUILD_TASK, priority=PRIORITY_PERSON)
    queue.add(first, BUILD_TASK, priority=PRIORITY_PERSON)
    jobs = queue.fetch_all()
    assert [job.task_name for job in jobs] == [BUILD_TASK]
    queue.finish(jobs[0])
    assert [job.task_name for job in queue.fetch_all()] == [BUILD_TASK]


def test_one_build_is_kept_for_people(queue: Queue, make_tenant: MakeTenant) -> None:
    first, second, third = (make_tenant(f"tenant{n}") for n in range(3))
    queue.add(first, BUILD_TASK, priority=PRIORITY_WEBHOOK)
    queue.add(second, BUILD_TASK, priority=PRIORITY_WEBHOOK)
    assert len(queue.fetch_all()) == BUILDS - 1
    queue.add(third, BUILD_TASK, priority=PRIORITY_PERSON)
    (job,) = queue.fetch_all()
    assert job.task_kwargs["tenant_id"] == str(third)


def test_two_jobs_with_one_lock_never_run_at_once(queue: Queue, make_tenant: MakeTenant) -> None:
    tenant_id = make_tenant()
    queue.add(tenant_id, "task0", lock="same")
    queue.add(tenant_id, "task1", lock="same")
    (job,) = queue.fetch_all()
    queue.finish(job)
    assert len(queue.fetch_all()) == 1


def test_a_postponed_job_does_not_hold_its_lock(
    queue: Queue, make_tenant: MakeTenant, owner: Connection
) -> None:
    tenant_id = make_tenant()
    queue.add(tenant_id, "waits", lock="same")
    owner.execute("set search_path = jobs")
    owner.execute("update jobs.procrastinate_jobs set scheduled_at = now() + interval '1 hour'")
    queue.add(tenant_id, "goes", lock="same")
    assert [job.task_name for job in queue.fetch_all()] == ["goes"]


def test_jobs_of_an_erased_tenant_do_not_block_the_queue(
    queue: Queue, make_tenant: MakeTenant, owner: Connection
) -> None:
    erased, other = make_tenant("erased"), make_tenant("other")
    queue.add(erased, "task")
    queue.add(other, "task")
    owner.execute("delete from app.tenants where tenant_id = %s", [erased])
    assert len(queue.fetch_all()) == 2


def test_a_job_that_the_worker_never_received_is_returned(
    queue: Queue, make_tenant: MakeTenant, superuser: Connection
) -> None:
    """The connection broke after the fetch had committed."""
    tenant_id = make_tenant()
    for task in ("held", "lost"):
        queue.add(tenant_id, task)

    async def work(manager: Any) -> None:
        held = await manager.fetch_job(None, queue.worker_id)
        assert held.task_name == "held"
        await manager.connector.execute_query_async(
            "update procrastinate_jobs set status = 'doing', worker_id = %(worker_id)s"
            " where task_name = 'lost'",
            worker_id=queue.worker_id,
        )
        await manager.update_heartbeat(queue.worker_id)
        statuses = "select task_name, status from jobs.procrastinate_jobs order by id"
        assert superuser.execute(statuses).fetchall() == [
            {"task_name": "held", "status": "doing"},
            {"task_name": "lost", "status": "todo"},
        ]
        await manager.finish_job(held, Status.SUCCEEDED, delete_job=True)
        again = await manager.fetch_job(None, queue.worker_id)
        assert again.task_name == "lost"
        await manager.update_heartbeat(queue.worker_id)
        assert superuser.execute(statuses).fetchall() == [{"task_name": "lost", "status": "doing"}]

    queue.call(work)
