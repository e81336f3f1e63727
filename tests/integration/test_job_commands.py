"""Jobs as commands: exit codes, the JSON result, and other processes doing the same work."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from service.core.config import Settings
from service.core.db import Connection, Pool, connect_as_owner, create_pool, tenant_transaction
from service.queue.enqueue import enqueue
from service.queue.retry import PostponedError
from service.queue.runs import RunPolicy, get_run, record_run, start_run
from service.shopify.errors import ShopifyUnavailableError
from service.tenants.sessions import begin_session
from service.tenants.tenants import add_tenant
from service.tenants.tokens import Access, create_sign_in_code
from service.worker.housekeeping import housekeep
from tests.command import environment_of, quintile, quintile_process
from tests.conftest import PROJECT_DIR


def _result(done: Any) -> dict[str, Any]:
    """The last line of standard output."""
    return json.loads(done.stdout.splitlines()[-1])


def _start(pool: Pool, tenant_id: UUID, kind: Any = "build", trigger: Any = "schedule") -> UUID:
    with tenant_transaction(pool, tenant_id) as conn:
        return start_run(conn, tenant_id, kind, trigger).run["run_id"]


def _fail(pool: Pool, tenant_id: UUID, kind: Any) -> UUID:
    run_id = _start(pool, tenant_id, kind, "webhook")
    with pytest.raises(ZeroDivisionError), record_run(pool, tenant_id, run_id):
        raise ZeroDivisionError
    return run_id


def test_runs_are_listed_newest_first_and_filtered(
    settings: Settings, pool: Pool, make_tenant
) -> None:
    one, two = make_tenant("one"), make_tenant("two")
    failed = _fail(pool, one, "shopify_sync")
    with record_run(pool, two, _start(pool, two)) as recorder:
        recorder.count(rows=1234)
    waiting = _start(pool, one, "klaviyo_sync", "person")

    def listed(*filters: str) -> list[str]:
        rows = json.loads(quintile_process(settings, "runs", "list", "--json", *filters).stdout)
        return [row["run_id"] for row in rows]

    assert listed("--tenant", "one") == [str(waiting), str(failed)]
    assert listed("--state", "failed") == [str(failed)]
    assert listed("--kind", "klaviyo_sync") == [str(waiting)]
    assert listed("--trigger", "webhook") == [str(failed)]
    assert listed("--limit", "1") == [str(waiting)]
    lines = quintile(settings, "runs").stdout.splitlines()
    assert len(lines) == 3
    assert "ZeroDivisionError" in lines[2]
    assert "1,234 rows" in lines[1]
    # The id that `quintile runs follow` needs.
    assert str(failed) in lines[2]


def test_a_run_is_followed_to_its_end(settings: Settings, pool: Pool, make_tenant) -> None:
    tenant_id = make_tenant("demo")
    run_id = _start(pool, tenant_id)
    with record_run(pool, tenant_id, run_id) as recorder:
        recorder.phase("orders", total=3)
        follower = subprocess.Popen(
            [sys.executable, "-m", "service", "runs", "follow", str(run_id), "--json"],
            cwd=PROJECT_DIR,
            env=environment_of(settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert follower.stderr is not None
        # The run ends only after the follower has seen it running.
        assert follower.stderr.readline() == "running: orders of 3\n"
    printed, _ = follower.communicate(timeout=60)
    assert follower.returncode == 0
    run = json.loads(printed.splitlines()[-1])
    assert (run["state"], run["tenant"]) == ("succeeded", "demo")


def test_following_a_failed_run_fails(settings: Settings, pool: Pool, make_tenant) -> None:
    run_id = _fail(pool, make_tenant("demo"), "build")
    done = quintile(settings, "runs", "follow", str(run_id), expect=1)
    assert "ZeroDivisionError" in done.stderr
    missing = quintile(settings, "runs", "follow", str(UUID(int=1)), expect=1)
    assert "There is no run" in missing.stderr


def test_a_run_that_will_be_retried_shows_the_error_and_time(
    settings: Settings, pool: Pool, make_tenant
) -> None:
    tenant_id = make_tenant("demo")
    run_id = _start(pool, tenant_id)
    policy = RunPolicy(attempts=3, retry_after=3600)
    with pytest.raises(PostponedError), record_run(pool, tenant_id, run_id, policy):
        raise ShopifyUnavailableError("Shopify does not answer.")
    (line,) = quintile(settings, "runs").stdout.splitlines()
    assert "queued" in line
    assert "Shopify does not answer. Attempt 2 follows at" in line


def test_a_run_of_a_silent_process_is_marked(
    settings: Settings, pool: Pool, make_tenant, owner: Connection
) -> None:
    tenant_id = make_tenant("demo")
    run_id = _start(pool, tenant_id)
    with record_run(pool, tenant_id, run_id) as recorder:
        recorder.phase("orders")
        assert "orders, not heard of" not in quintile(settings, "runs").stdout
        owner.execute("update app.runs set heartbeat_at = now() - interval '70 seconds'")
        assert "orders, not heard of for a while" in quintile(settings, "runs").stdout
        with tenant_transaction(pool, tenant_id, read_only=True) as conn:
            run = get_run(conn, tenant_id, run_id)
    assert run is not None
    assert run["is_silent"]


def test_attempts_are_counted(pool: Pool, make_tenant, owner: Connection) -> None:
    tenant_id = make_tenant()
    run_id = _start(pool, tenant_id)
    with record_run(pool, tenant_id, run_id):
        # As if this process were silent: another process takes over the run.
        owner.execute("update app.runs set heartbeat_at = now() - interval '1 hour'")
        with record_run(pool, tenant_id, run_id):
            pass
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        run = get_run(conn, tenant_id, run_id)
    assert run is not None
    assert run["attempts"] == 2


def test_housekeeping_keeps_the_last_successful_run(
    settings: Settings, pool: Pool, make_tenant, owner: Connection
) -> None:
    tenant_id, other = make_tenant(), make_tenant("other")
    old_good, newest_good = (_done(pool, tenant_id) for _ in range(2))
    old_bad = _fail(pool, tenant_id, "shopify_sync")
    others = _done(pool, other)
    owner.execute(
        "update app.runs set finished_at = finished_at - make_interval(days => %s)",
        [settings.run_days + 1],
    )
    recent_bad = _fail(pool, tenant_id, "shopify_sync")
    assert housekeep(settings, pool, [tenant_id, other])["runs"] == 2
    kept = {row["run_id"] for row in owner.execute("select run_id from app.runs").fetchall()}
    assert kept == {newest_good, recent_bad, others}
    assert not kept & {old_good, old_bad}


def _done(pool: Pool, tenant_id: UUID) -> UUID:
    run_id = _start(pool, tenant_id)
    with record_run(pool, tenant_id, run_id):
        pass
    return run_id


def test_the_housekeep_command_reports_what_it_deleted(
    settings: Settings, pool: Pool, make_tenant, owner: Connection
) -> None:
    access = Access(make_tenant(), "read", "person", "somebody")
    for hours in (-1, 1):
        begin_session(pool, access, timedelta(hours=hours))
        create_sign_in_code(owner, access.tenant_id, timedelta(hours=hours))
    result = _result(quintile_process(settings, "housekeep", "--json"))
    assert (result["state"], result["exit_code"]) == ("succeeded", 0)
    kinds = {
        *("webhooks", "exports", "notifications", "klaviyo_events", "runs", "jobs", "sessions"),
        *("idempotent_requests", "webhook_secrets", "segment_changes", "list_changes"),
        "promo_code_changes",
    }
    assert result["counts"] == dict.fromkeys(kinds, 0) | {"sessions": 1}
    for table in ("sessions", "sign_in_codes"):
        kept = owner.execute(f"select expires_at > now() as is_valid from app.{table}")  # type: ignore[arg-type]
        assert kept.fetchall() == [{"is_valid": True}]


def test_a_build_reports_its_runs_and_skips_tenants_that_are_being_built(
    built_settings: Settings,
) -> None:
    with connect_as_owner(built_settings) as conn:
        tenant_id, _ = add_tenant(conn, "demo"), add_tenant(conn, "other")
    pool = create_pool(built_settings)
    try:
        run_id = _start(pool, tenant_id)
        with record_run(pool, tenant_id, run_id):
            done = quintile(built_settings, "build", "--tenant", "demo", "--json", expect=3)
            assert "Running with dbt" not in done.stderr
            # The second build reports the running one.
            assert f"quintile runs follow {run_id}" in done.stderr
            (busy,) = _result(done)["runs"]
            assert (busy["tenant"], busy["state"], busy["run_id"]) == (
                *("demo", "running"),
                str(run_id),
            )
            assert _result(done)["state"] == "busy"
            partly = _result(quintile(built_settings, "build", "--json", expect=3))
    finally:
        pool.close()
    assert [(run["tenant"], run["state"]) for run in partly["runs"]] == [
        ("demo", "running"),
        ("other", "succeeded"),
    ]


def test_a_sync_reports_failure_and_a_running_sync_in_json(
    settings: Settings, pool: Pool, make_tenant, owner: Connection
) -> None:
    tenant_id = make_tenant("demo")
    owner.execute(
        "insert into app.connections (tenant_id, provider, sealed_secret, key_id, last_four) "
        "values (%s, 'klaviyo', 'x', 'unknown', 'xxxx')",
        [tenant_id],
    )
    failed = _result(quintile(settings, "sync", "klaviyo", "--json", expect=1))
    assert failed["state"] == "failed"
    assert "key ring" in failed["error"]
    assert failed["runs"][0]["error"] == failed["error"]
    run_id = _start(pool, tenant_id, "klaviyo_sync")
    with record_run(pool, tenant_id, run_id):
        busy = _result(quintile(settings, "sync", "klaviyo", "--json", expect=3))
    assert busy["state"] == "busy"
    assert [run["run_id"] for run in busy["runs"]] == [str(run_id)]
    unconnected = _result(quintile(settings, "sync", "shopify", "--json", expect=1))
    assert unconnected["runs"] == []
    assert "No tenant is connected" in unconnected["error"]


def test_an_import_reports_its_run(settings: Settings, make_tenant, tmp_path) -> None:
    make_tenant("demo")
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    header = "order_id,customer_id,processed_at,total,currency\n"
    good.write_text(f"{header}1,c,2026-01-01,10.00,EUR\n")
    bad.write_text(f"{header}1,c,yesterday,10.00,EUR\n")
    command = ("orders", "import", "--tenant", "demo", "--json")
    imported = _result(quintile(settings, *command, good))
    assert imported["runs"][0]["counts"]["written"] == 1
    assert _result(quintile(settings, *command, bad, expect=1))["state"] == "failed"


def test_jobs_work_processes_queued_jobs_and_schedules_none(
    settings: Settings, pool: Pool, make_tenant, superuser: Connection
) -> None:
    tenant_id = make_tenant("demo")
    with tenant_transaction(pool, tenant_id) as conn:
        run = enqueue(conn, tenant_id, "klaviyo_sync")
    result = _result(quintile_process(settings, "jobs", "work", "--json"))
    assert result["counts"] == {"done": 1, "failed": 0, "postponed": 0}
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        ended = get_run(conn, tenant_id, run["run_id"])
    assert ended is not None
    # The run fails because nothing is connected; the job itself is done.
    assert ended["state"] == "failed"
    jobs = superuser.execute("select task_name, status from jobs.procrastinate_jobs").fetchall()
    assert jobs == []


def test_jobs_work_closes_runs_that_have_no_process(
    settings: Settings, pool: Pool, make_tenant, owner: Connection
) -> None:
    run_id = _start(pool, make_tenant("demo"), trigger="cli")
    owner.execute("update app.runs set created_at = now() - interval '10 minutes'")
    quintile_process(settings, "jobs", "work")
    (run,) = owner.execute("select run_id, state from app.runs").fetchall()
    assert run == {"run_id": run_id, "state": "failed"}
