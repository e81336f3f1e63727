"""Outgoing webhooks: the worker is killed again and again, and receivers get all, in order.

The delays come from a random seed; a failure prints it, and KILL_SEED repeats it.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from service.core.config import Settings
from service.core.db import Connection
from tests.conftest import Cluster, MakeTenant
from tests.integration.test_webhook_deliveries import add, log_of, make_due
from tests.integration.test_webhook_events import ALL_TOPICS, Play, moves_in
from tests.web import add_samples, client_of
from tests.worker import NO_SCHEDULES, wait_until, worker_process

pytestmark = pytest.mark.kill

SEED = int(os.environ.get("KILL_SEED") or time.time_ns() % 1_000_000)
KILLS = int(os.environ.get("KILL_POINTS", "5"))
CUSTOMERS = [f"c{number}" for number in range(500)]
LONGEST_DELAY = 2.5
# Short enough to wait for, long enough for heartbeats on a busy machine.
STALE_SECONDS = 4
WORKERS = "select from jobs.procrastinate_workers"


@pytest.fixture
def settings(cluster: Cluster, built_template: str) -> Iterator[Settings]:
    with cluster.database(built_template) as settings:
        yield replace(
            settings,
            notify_private_addresses=1,
            run_stale_seconds=STALE_SECONDS,
            **NO_SCHEDULES,
        )


@pytest.fixture
def tenant(make_tenant: MakeTenant) -> UUID:
    return make_tenant()


@pytest.fixture
def client(app: APIFlask, settings: Settings, tenant: UUID) -> FlaskClient:
    return client_of(app, settings, tenant)


class Receiver:
    """A slow receiver; one that is down answers 503 until it is up."""

    def __init__(self, *, is_up: bool) -> None:
        self.is_up = is_up
        self.accepted: list[dict[str, Any]] = []

    def __call__(self, request: Request) -> Response:
        time.sleep(0.03)
        if not self.is_up:
            return Response(status=503)
        body = json.loads(request.get_data())
        assert body["id"] == request.headers["webhook-id"]
        self.accepted.append(body)
        return Response(status=204)

    def once(self) -> list[dict[str, Any]]:
        """What was accepted, without repetitions, in the order of the first arrivals."""
        return list({body["id"]: body for body in reversed(self.accepted)}.values())[::-1]


def change(conn: Connection, settings: Settings, tenant: UUID, day: int) -> None:
    """What a build and a sync would have found on a day."""
    segments = ("new", "loyal", "champions")
    before, after = segments[day % 3], segments[(day + 1) % 3]
    play = Play(conn, tenant)
    play.built(day, dict.fromkeys(CUSTOMERS, (before, after)))
    play.entered_shopify([("7", "c1", day % 2 == 0)], minute=day)
    play.entered_list([("L1", "p1", day % 2 == 0)], minute=day)
    add_samples(settings, tenant, [{"order_id": f"day {day}"}])
    play.ran()


def test_a_worker_killed_at_many_points_delivers_everything_in_order(
    settings: Settings,
    superuser: Connection,
    tenant: UUID,
    client: FlaskClient,
    tmp_path: Path,
) -> None:
    print(f"KILL_SEED={SEED}")
    rng = Random(SEED)  # noqa: S311 - repeatable on purpose
    good, down = Receiver(is_up=True), Receiver(is_up=False)
    days = range(2, 2 + KILLS)
    with HTTPServer(host="127.0.0.1", port=0, threaded=True) as server:
        server.expect_request("/good").respond_with_handler(good)
        server.expect_request("/down").respond_with_handler(down)
        for path in ("/good", "/down"):
            add(client, server.url_for(path), ALL_TOPICS)
        play = Play(superuser, tenant)
        play.pulls("L1")
        play.built(1, dict.fromkeys(CUSTOMERS, (None, "champions")))
        play.ran()

        def is_collected(day: int) -> bool:
            row = superuser.execute(
                "select extract(day from rfm_as_of)::int as day from app.webhook_progress"
            ).fetchone()
            return row is not None and row["day"] == day

        def is_done() -> bool:
            make_due(superuser)
            return log_of(client, state="pending") == [] and is_collected(days[-1])

        log = tmp_path / "worker.log"
        with worker_process(settings, log):
            wait_until(lambda: is_collected(1), "the first build counts as known")
        for day in days:
            with worker_process(settings, log) as process:
                wait_until(
                    lambda: bool(
                        superuser.execute("select from jobs.procrastinate_workers").rowcount
                    ),
                    "the worker runs",
                )
                change(superuser, settings, tenant, day)
                make_due(superuser)
                time.sleep(rng.uniform(0, LONGEST_DELAY))
                process.send_signal(signal.SIGKILL)
                process.wait()
        down.is_up = True
        with worker_process(settings, log):
            wait_until(is_done, "everything is delivered")

    for receiver in (good, down):
        messages = receiver.once()
        moves = moves_in([body for body in messages if body["type"].startswith("segment.")])
        for customer in CUSTOMERS:
            own = [move for move in moves if move[1] == customer and move[2].startswith("rfm")]
            # On each day the customer leaves the segment of the day before.
            segments = ["rfm:new", "rfm:loyal", "rfm:champions"]
            assert own == [
                step
                for day in days
                for step in (
                    ("left", customer, segments[day % 3]),
                    ("entered", customer, segments[(day + 1) % 3]),
                )
            ], f"{customer} with KILL_SEED={SEED}"
        for synced in ("shopify:7", "klaviyo:L1"):
            own = [move[0] for move in moves if move[2] == synced]
            assert own == ["entered" if day % 2 == 0 else "left" for day in days], synced
        found = [
            sample["order_id"]
            for body in messages
            if body["type"] == "sample.found"
            for sample in body["data"]["samples"]
        ]
        # Those of the first day that was collected are not known before.
        assert sorted(found) == sorted(f"day {day}" for day in days)
        completed = [body for body in messages if body["type"] == "build.completed"]
        assert len(completed) == len(days) + 1
    assert {row["state"] for row in log_of(client)} == {"delivered"}
