"""Builds on demand start at once, also while scheduled builds are running."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient

from service.core.config import Settings
from service.core.db import Connection, connect, connect_as_owner, open_pool, tenant_transaction
from service.queue.enqueue import enqueue
from tests.web import client_of, running_app
from tests.worker import NO_SCHEDULES, stop, wait_until, worker_process

SCHEDULED, PERSON = "northlight-goods", "kessel-und-korn"
BLOCKED = """
    select count(*) as n from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock'
"""


@pytest.fixture
def here(built_demo: Settings) -> Settings:
    return replace(built_demo, **NO_SCHEDULES)


@pytest.fixture
def admin(here: Settings) -> Iterator[Connection]:
    with connect(here.database_url) as conn:
        yield conn


@pytest.fixture
def tenants(here: Settings) -> dict[str, UUID]:
    with connect_as_owner(here) as owner:
        rows = owner.execute("select name, tenant_id from app.tenants").fetchall()
    return {row["name"]: row["tenant_id"] for row in rows}


@pytest.fixture
def client(here: Settings, tenants: dict[str, UUID]) -> Iterator[FlaskClient]:
    with running_app(here) as app:
        yield client_of(app, here, tenants[PERSON])


@contextmanager
def stuck(here: Settings, tenant_id: UUID) -> Iterator[None]:
    """Lock a row that a build of this tenant has to write, so that it waits there."""
    with closing(connect(here.database_url)) as blocker, blocker.transaction():
        held = blocker.execute(
            "select from marts.rfm_builds where tenant_id = %s for update", [tenant_id]
        )
        assert held.rowcount == 1
        yield


def queue_scheduled_build(here: Settings, tenant_id: UUID) -> UUID:
    with open_pool(here) as pool, tenant_transaction(pool, tenant_id) as conn:
        run_id: UUID = enqueue(conn, tenant_id, "build", "schedule")["run_id"]
    return run_id


def read(admin: Connection, run_id: object) -> dict[str, Any]:
    row = admin.execute(
        "select state, attempts, error, extract(epoch from started_at - created_at)::float8 as"
        " waited from app.runs where run_id = %s",
        [run_id],
    ).fetchone()
    assert row is not None
    return row


def is_stuck(admin: Connection) -> bool:
    return admin.execute(BLOCKED).fetchone() != {"n": 0}


def test_a_build_on_demand_starts_within_a_second_beside_the_daily_build(
    here: Settings,
    admin: Connection,
    tenants: dict[str, UUID],
    client: FlaskClient,
    tmp_path: Path,
) -> None:
    with worker_process(here, tmp_path / "worker.log") as worker:
        with stuck(here, tenants[SCHEDULED]):
            daily = queue_scheduled_build(here, tenants[SCHEDULED])
            wait_until(lambda: is_stuck(admin), "the daily build is under way")
            answer = client.post("/api/admin/segments/rfm/calculate")
            assert answer.status_code == 202
            asked = answer.get_json()["run_id"]
            assert answer.headers["Location"] == f"/api/admin/runs/{asked}"
            wait_until(lambda: read(admin, asked)["state"] == "running", "it begins")
            assert read(admin, asked)["waited"] < 1
            # A second request returns the run in progress.
            assert client.post("/api/admin/segments/rfm/calculate").get_json()["run_id"] == asked
            wait_until(lambda: read(admin, asked)["state"] != "running", "it ends")
            assert read(admin, asked)["state"] == "succeeded"
            assert read(admin, daily)["state"] == "running"
        wait_until(lambda: read(admin, daily)["state"] != "running", "the daily build ends")
        assert read(admin, daily)["state"] == "succeeded"
        assert stop(worker) == 0


def test_a_silent_build_returns_to_the_queue_when_the_worker_stops(
    here: Settings, admin: Connection, tenants: dict[str, UUID], tmp_path: Path
) -> None:
    """A step of dbt may take minutes, without any output."""
    without_grace = replace(here, worker_grace_seconds=0)
    with (
        worker_process(without_grace, tmp_path / "worker.log") as worker,
        stuck(here, tenants[SCHEDULED]),
    ):
        run_id = queue_scheduled_build(here, tenants[SCHEDULED])
        wait_until(lambda: is_stuck(admin), "the build has come to the row")
        assert stop(worker) == 0
        run = read(admin, run_id)
        assert (run["state"], run["attempts"], run["error"]) == ("queued", 0, None)
        jobs = admin.execute("select status from jobs.procrastinate_jobs").fetchall()
        assert jobs == [{"status": "todo"}]
