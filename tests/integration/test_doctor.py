"""The doctor: every finding, each with advice, and none for a sound installation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from service.core.config import Settings
from service.core.db import (
    Connection,
    Pool,
    connect,
    connect_as_owner,
    open_pool,
    tenant_transaction,
    transform_url,
)
from service.core.errors import QuintileError
from service.doctor.database import check_pools
from service.doctor.examine import examine, run_check
from service.doctor.finding import Finding
from service.doctor.host import check_clock, check_disk
from service.doctor.klaviyo import check_revision
from service.doctor.queue import check_freshness, check_queue, check_runs
from service.doctor.versions import check_versions
from service.queue.enqueue import enqueue
from service.queue.freshness import longest_gap
from service.queue.runs import record_run, start_run
from service.queue.schedules import pause, resume
from service.tenants.tenants import add_tenant, list_tenants
from tests.command import quintile
from tests.web import BUILT


def _connect(owner: Connection, tenant_id: UUID, provider: str, scopes: list[str]) -> None:
    owner.execute(
        "insert into app.connections (tenant_id, provider, sealed_secret, key_id, last_four,"
        " account_name, verified_at, scopes, connected_at)"
        " values (%s, %s, 'x', 'unknown', 'xxxx', 'A shop', now(), %s,"
        " now() - interval '5 hours')",
        [tenant_id, provider, scopes],
    )


@pytest.fixture
def queue(superuser: Connection) -> Connection:
    """The queue's triggers name its tables without a schema."""
    superuser.execute("set search_path = jobs, pg_temp")
    return superuser


def _bad(findings: list[Finding]) -> list[str]:
    assert all(finding.advice for finding in findings if finding.level != "ok")
    return [finding.message for finding in findings if finding.level != "ok"]


def test_a_fresh_installation_has_no_findings(settings: Settings) -> None:
    # A revision of this month, so that the test outlives the one in use.
    revision = f"{datetime.now(UTC):%Y-%m}-01"
    findings = examine(replace(settings, klaviyo_revision=revision))
    assert [finding for finding in findings if finding.level != "ok"] == []
    checks = {finding.check for finding in findings}
    assert checks >= {"database", "roles", "isolation", "worker", "clock", "disk"}


def test_more_connections_than_the_server_allows_are_a_warning(settings: Settings) -> None:
    many = replace(settings, web_processes=1000)
    assert _bad(list(check_pools(settings))) == []
    (warning,) = _bad(list(check_pools(many)))
    assert "connections" in warning
    # PgBouncer has a limit of its own.
    assert _bad(list(check_pools(replace(many, app_database_url="behind PgBouncer")))) == []


@pytest.mark.parametrize(
    ("revision", "today", "level", "says"),
    [
        ("2026-10-15", date(2026, 11, 1), "ok", "until 2028-10-15"),
        ("2026-10-15", date(2028, 4, 17), "ok", "until 2028-10-15"),
        ("2026-10-15", date(2028, 4, 18), "warning", "retires revision 2026-10-15"),
        ("2026-10-15", date(2028, 10, 14), "warning", "on 2028-10-15"),
        ("2026-10-15", date(2028, 10, 15), "error", "retired revision 2026-10-15"),
        ("2024-10-15.pre", date(2026, 11, 1), "error", "retired revision 2024-10-15.pre"),
        ("2026-13-01", date(2026, 11, 1), "error", "no revision"),
        ("latest", date(2026, 11, 1), "error", "no revision"),
    ],
)
def test_the_end_of_the_revision_of_klaviyos_api_is_near(
    revision: str, today: date, level: str, says: str
) -> None:
    (finding,) = check_revision(Settings(klaviyo_revision=revision), today)
    assert (finding.level, says in finding.message) == (level, True)
    assert ("Upgrade" in finding.advice) == (level != "ok")


def test_a_check_that_cannot_run_is_a_finding_and_the_others_run(
    settings: Settings, superuser: Connection
) -> None:
    superuser.execute("alter table jobs.procrastinate_workers rename to gone")
    findings = {finding.check: finding for finding in examine(settings)}
    assert findings["worker"].level == "error"
    assert "does not exist" in findings["worker"].message
    assert findings["worker"].advice
    assert findings["clock"].level == "ok"


def test_the_host_is_checked_without_a_database(settings: Settings) -> None:
    nowhere = replace(settings, database_url="postgresql://x@127.0.0.1:1/none")
    findings = {finding.check: finding for finding in examine(nowhere)}
    assert set(findings) == {"disk", "database"}
    assert (findings["database"].level, bool(findings["database"].advice)) == ("error", True)


def test_every_finding_has_the_same_json_fields(settings: Settings) -> None:
    (line,) = quintile(settings, "doctor", "--json").stdout.splitlines()
    document = json.loads(line)
    assert set(document) == {"findings"}
    for finding in document["findings"]:
        assert list(finding) == ["level", "check", "message", "advice"]
        assert finding["level"] in ("ok", "warning", "error")
    nowhere = replace(settings, database_url="postgresql://x@127.0.0.1:1/none")
    failed = json.loads(quintile(nowhere, "doctor", "--json", expect=1).stdout)
    assert "error" in {finding["level"] for finding in failed["findings"]}


def test_every_finding_has_advice(settings: Settings) -> None:
    def fail() -> Iterator[Finding]:
        raise QuintileError("It did not work.")
        yield

    (finding,) = run_check("check", fail)
    assert finding.advice
    (refused,) = run_check("webhooks", lambda: [Finding("error", "webhooks", "It was refused.")])
    assert refused.advice


@pytest.mark.parametrize(
    ("cron", "hours"),
    [
        ("*/30 * * * *", 0.5),
        ("45 * * * *", 1),
        ("0 */6 * * *", 6),
        ("0 3 * * *", 24),
        ("0 3 * * 1-5", 72),
        ("0 9-17 * * 1-5", 64),
        # Hundreds of times before the first night, and twelve times a year.
        ("* 9-17 * * 1-5", 63 + 1 / 60),
        ("0 3 1 * *", 31 * 24),
    ],
)
def test_the_longest_gap_of_a_schedule(cron: str, hours: float) -> None:
    assert longest_gap(cron) == pytest.approx(hours * 3600)


def test_freshness_follows_the_schedules(
    settings: Settings, pool: Pool, owner: Connection, make_tenant
) -> None:
    tenant_id = make_tenant("demo")
    _connect(owner, tenant_id, "shopify", [])
    _connect(owner, tenant_id, "klaviyo", [])
    late = _bad(list(check_freshness(settings)))
    assert [message.split(",")[0] for message in late] == [
        "demo: no Klaviyo sync for 5 hours",
        "demo: no Shopify sync for 5 hours",
    ]
    assert "QUINTILE_SCHEDULE_ORDERS" in late[1]
    # Segments are due every six hours: twelve have to pass.
    seldom = replace(settings, schedule_orders="0 */3 * * *", schedule_segments="0 * * * *")
    assert [m.split(",")[0] for m in _bad(list(check_freshness(seldom)))] == [
        "demo: no Klaviyo sync for 5 hours",
        "demo: no sync of Shopify segments for 5 hours",
    ]
    with tenant_transaction(pool, tenant_id) as conn:
        run_id = start_run(conn, tenant_id, "klaviyo_sync", "cli").run["run_id"]
    with record_run(pool, tenant_id, run_id):
        pass
    assert len(_bad(list(check_freshness(settings)))) == 1
    fine = {finding.message for finding in check_freshness(settings)}
    # Nothing is reported as done that never was.
    assert "demo: no build yet (a minute so far)" in fine
    assert "demo: last Klaviyo sync a minute ago" in fine
    with tenant_transaction(pool, tenant_id) as conn:
        pause(conn, tenant_id, "orders", "tests")
    assert _bad(list(check_freshness(settings))) == []
    # After it is resumed, nothing is late before its next time.
    with tenant_transaction(pool, tenant_id) as conn:
        resume(conn, tenant_id, "orders")
    assert _bad(list(check_freshness(settings))) == []
    owner.execute("update app.schedules set served_at = now() - interval '2 hours'")
    assert len(_bad(list(check_freshness(settings)))) == 1


def test_a_build_that_left_no_run_is_known(built_settings: Settings) -> None:
    """A plain `dbt build` leaves none; its figures have their time."""
    with connect_as_owner(built_settings) as owner:
        for name in ("plain", "later", "never"):
            add_tenant(owner, name)
        tenants = {row["name"]: row["tenant_id"] for row in list_tenants(owner)}
    now = datetime.now(UTC)
    with connect(transform_url(built_settings)) as conn:
        for name, age in (("plain", timedelta(hours=3)), ("later", timedelta(days=9))):
            conn.execute(BUILT, {"tenant_id": tenants[name], "at": now - age})
    with open_pool(built_settings) as pool:
        with tenant_transaction(pool, tenants["later"]) as conn:
            run_id = start_run(conn, tenants["later"], "build", "cli").run["run_id"]
        with record_run(pool, tenants["later"], run_id):
            pass
    found = {finding.message: finding.level for finding in check_freshness(built_settings)}
    assert found == {
        "later: last build a minute ago": "ok",
        "never: no build yet (a minute so far)": "ok",
        "plain: build without a run, as of 3 hours ago": "ok",
    }
    with connect(transform_url(built_settings)) as conn:
        conn.execute("update marts.rfm_builds set as_of = %s", [now - timedelta(days=9)])
    late = _bad(list(check_freshness(built_settings)))
    assert [message.split(",")[0] for message in late] == ["plain: no build for 9 days"]


def test_jobs_that_wait_too_long_are_found(
    settings: Settings, pool: Pool, queue: Connection, make_tenant
) -> None:
    tenant_id = make_tenant("demo")
    with tenant_transaction(pool, tenant_id) as conn:
        enqueue(conn, tenant_id, "build")
    assert _bad(list(check_queue(settings))) == []
    queue.execute("update jobs.procrastinate_events set at = now() - interval '20 minutes'")
    (finding,) = list(check_queue(settings))
    assert (finding.level, finding.message) == (
        "error",
        "1 jobs wait, the oldest for 20 minutes",
    )
    assert "quintile worker" in finding.advice
    queue.execute("insert into jobs.procrastinate_workers default values")
    assert [finding.level for finding in check_queue(settings)] == ["ok", "warning"]
    # Postponed jobs are not due.
    queue.execute("update jobs.procrastinate_jobs set scheduled_at = now() + interval '1 hour'")
    assert _bad(list(check_queue(settings))) == []


def test_jobs_of_dead_workers_and_failed_jobs_are_found(
    settings: Settings, pool: Pool, queue: Connection, make_tenant
) -> None:
    tenant_id = make_tenant("demo")
    with tenant_transaction(pool, tenant_id) as conn:
        enqueue(conn, tenant_id, "build")
    queue.execute(
        "with dead as (insert into jobs.procrastinate_workers (last_heartbeat)"
        " values (now() - interval '1 hour') returning id)"
        " update jobs.procrastinate_jobs set status = 'doing', worker_id = dead.id from dead"
    )
    assert _bad(list(check_queue(settings))) == ["1 jobs belong to a worker that died"]
    queue.execute("update jobs.procrastinate_jobs set status = 'failed', worker_id = null")
    (message,) = _bad(list(check_queue(settings)))
    assert message.startswith("1 jobs failed within a day")
    assert "quintile.build" in message


def test_the_run_of_a_dead_process_is_found(
    pool: Pool, owner: Connection, make_tenant, settings: Settings
) -> None:
    tenant_id = make_tenant("demo")
    with tenant_transaction(pool, tenant_id) as conn:
        run_id = start_run(conn, tenant_id, "build", "cli").run["run_id"]
    owner.execute(
        "update app.runs set state = 'running', heartbeat_at = now() - interval '7 minutes'"
    )
    assert _bad(list(check_runs(settings, owner))) == [
        f"demo: build {run_id} has sent no heartbeat for 7 minutes"
    ]


@pytest.mark.parametrize(
    ("seconds", "level"), [(0, "ok"), (9, "ok"), (12, "warning"), (-12, "warning"), (900, "error")]
)
def test_clocks_that_differ_are_found(owner: Connection, seconds: int, level: str) -> None:
    (finding,) = check_clock(owner, lambda: datetime.now(UTC) + timedelta(seconds=seconds))
    assert finding.level == level
    assert bool(finding.advice) == (level != "ok")


@pytest.mark.parametrize(
    ("version", "today", "said"),
    [
        ("2026-07", "2026-11-29", ""),
        ("2026-07", "2027-04-01", ""),
        ("2026-07", "2027-04-02", "supported until 2027-07-01, 90 more days"),
        ("2026-07", "2027-06-30", "supported until 2027-07-01, 1 more day"),
        ("2026-07", "2027-07-01", "has not been supported since 2027-07-01"),
        ("2025-10", "2026-11-29", "has not been supported since 2026-10-01"),
        ("2026-10", "2026-11-29", ""),
        ("unstable", "2026-11-29", ""),
    ],
)
def test_a_version_that_nears_its_end_is_found(version: str, today: str, said: str) -> None:
    pinned = Settings(shopify_api_version=version)
    messages = _bad(list(check_versions(pinned, date.fromisoformat(today))))
    assert len(messages) == bool(said)
    assert said in "".join(messages)


def test_the_doctor_looks_at_the_version_that_is_asked_for(settings: Settings) -> None:
    last_year = datetime.now(UTC).year - 1
    old = replace(settings, shopify_api_version=f"{last_year}-01")
    (finding,) = [found for found in examine(old) if found.check == "versions"]
    assert finding.level == "warning"
    assert "Update Quintile" in finding.advice


def test_a_full_disk_is_found(settings: Settings) -> None:
    assert _bad(list(check_disk(settings))) == []
    assert all("GiB are free" in text for text in _bad(list(check_disk(settings, 2**60))))
    assert _bad(list(check_disk(settings, 2**60)))


def test_a_missing_scope_is_found(settings: Settings, owner: Connection, make_tenant) -> None:
    from service.core.vault import seal

    tenant_id = make_tenant("demo", "demo.myshopify.com")
    _connect(owner, tenant_id, "shopify", ["read_orders"])
    sealed = seal(settings, tenant_id, "shopify", "shpat_x")
    owner.execute(
        "update app.connections set sealed_secret = %s, key_id = %s",
        [sealed["sealed_secret"], sealed["key_id"]],
    )
    finding, optional = (found for found in examine(settings) if found.check == "scopes")
    assert isinstance(finding, Finding)
    assert finding.level == "error"
    assert "read_customers is not granted" in finding.message
    assert "connect-shopify demo" in finding.advice
    # A store can do without it.
    assert optional.level == "ok"
    assert "read_products is not granted, so order lines have no product type" in optional.message
    assert "RFM by product type" in optional.advice
