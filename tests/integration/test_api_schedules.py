"""Schedules over the API and the command line."""

from __future__ import annotations

import json
from uuid import UUID

from apiflask import APIFlask

from service.core.config import Settings
from service.core.db import Pool, tenant_transaction
from service.queue.runs import start_run
from service.queue.schedules import is_due, next_time, pause
from tests.command import quintile, quintile_process
from tests.conftest import MakeTenant
from tests.web import client_of

PATH = "/api/admin/schedules"


def connect_shop(pool: Pool, tenant_id: UUID) -> None:
    with tenant_transaction(pool, tenant_id) as conn:
        conn.execute(
            "insert into app.connections (tenant_id, provider, sealed_secret, key_id, last_four)"
            " values (%s, 'shopify', 'x', 'unknown', 'xxxx')",
            [tenant_id],
        )


def test_schedules_have_their_next_and_last_runs(
    app: APIFlask, settings: Settings, pool: Pool, make_tenant: MakeTenant
) -> None:
    tenant_id = make_tenant("north", time_zone="Asia/Tokyo")
    connect_shop(pool, tenant_id)
    with tenant_transaction(pool, tenant_id) as conn:
        run = start_run(conn, tenant_id, "build", "schedule").run
    found = client_of(app, settings, tenant_id).get(PATH).get_json()["data"]
    by_name = {schedule["name"]: schedule for schedule in found}
    assert list(by_name) == [
        *("orders", "segments", "build", "klaviyo", "klaviyo_members", "housekeeping")
    ]
    build = by_name["build"]
    assert (build["cron"], build["time_zone"]) == ("0 3 * * *", "Asia/Tokyo")
    assert build["next_at"].endswith("T18:00:00Z")
    assert build["last_run"]["run_id"] == str(run["run_id"])
    assert build["last_run"]["state"] == "queued"
    assert by_name["orders"]["is_connected"] is True
    assert by_name["orders"]["time_zone"] == "UTC"
    assert by_name["orders"]["last_run"] is None
    # Without a connection, a schedule is never due.
    assert by_name["klaviyo"]["is_connected"] is False
    assert by_name["klaviyo"]["next_at"] is None


def test_a_schedule_is_paused_and_resumed_for_one_tenant(
    app: APIFlask, settings: Settings, make_tenant: MakeTenant
) -> None:
    north, south = (
        client_of(app, settings, make_tenant(name, time_zone="UTC")) for name in ("north", "south")
    )
    paused = north.patch(f"{PATH}/build", json={"is_paused": True}).get_json()
    assert paused["is_paused"] is True
    assert paused["next_at"] is None
    assert paused["paused_by"].startswith("API token tests")
    # Pausing again keeps the first author.
    assert north.patch(f"{PATH}/build", json={"is_paused": True}).get_json() == paused
    assert all(not schedule["is_paused"] for schedule in south.get(PATH).get_json()["data"])
    resumed = north.patch(f"{PATH}/build", json={"is_paused": False}).get_json()
    assert resumed["is_paused"] is False
    assert resumed["paused_by"] is None
    assert resumed["next_at"] is not None
    entries = north.get("/api/admin/audit-log").get_json()["data"]
    assert [(entry["before"]["is_paused"], entry["after"]["is_paused"]) for entry in entries] == [
        (True, False),
        (True, True),
        (False, True),
    ]


def test_an_unknown_schedule_or_field_is_refused(
    app: APIFlask, settings: Settings, make_tenant: MakeTenant
) -> None:
    client = client_of(app, settings, make_tenant())
    assert client.patch(f"{PATH}/nightly", json={"is_paused": True}).status_code == 404
    assert client.patch(f"{PATH}/build", json={}).status_code == 422
    assert client.patch(f"{PATH}/build", json={"cron": "* * * * *"}).status_code == 422


def test_a_schedule_is_due_once_each_time_and_never_while_paused(
    settings: Settings, pool: Pool, make_tenant: MakeTenant
) -> None:
    tenant_id = make_tenant()
    name = "klaviyo_members"
    last = next_time(settings.schedule_klaviyo_members)
    with tenant_transaction(pool, tenant_id) as conn:
        assert is_due(conn, settings, tenant_id, name, None)
        assert not is_due(conn, settings, tenant_id, name, last)
        pause(conn, tenant_id, name, "a test")
        assert not is_due(conn, settings, tenant_id, name, None)


def test_the_command_line_lists_pauses_and_resumes(
    settings: Settings, make_tenant: MakeTenant
) -> None:
    make_tenant("north")
    tenant = ("--tenant", "north")
    quintile_process(settings, "schedules", "pause", "build", *tenant)
    listed = quintile_process(settings, "schedules", "list", *tenant).stdout
    assert "paused by command line" in next(line for line in listed.splitlines() if "build" in line)
    assert "not connected" in next(line for line in listed.splitlines() if "orders" in line)
    quintile_process(settings, "schedules", "resume", "build", *tenant)
    rows = json.loads(quintile(settings, "schedules", "list", *tenant, "--json").stdout)
    assert [row["is_paused"] for row in rows] == [False] * 6
    quintile(settings, "schedules", "pause", "nightly", *tenant, expect=2)
