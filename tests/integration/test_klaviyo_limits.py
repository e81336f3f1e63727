"""Klaviyo's rate limits, which all processes and tenants of an account share."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import UUID

import pytest

from sandbox import Fault, Sandbox
from sandbox.klaviyo import ALL_SCOPES, Account
from sandbox.klaviyo.limits import LARGE, RateLimits
from service.core.config import Settings
from service.core.db import Connection, Pool, one, open_pool, tenant_transaction
from service.klaviyo.client import KlaviyoUnavailableError
from service.klaviyo.connection import connect_klaviyo, open_connected_klaviyo
from service.klaviyo.rate_limits import ReportedLimits, SharedWindows, WaitTooLongError
from tests.command import environment_of
from tests.conftest import PROJECT_DIR, MakeTenant

KEY, OTHER_KEY = "pk_sandbox_for_these_tests", "pk_sandbox_of_somebody_else"
HASH = b"the hash of an account"

# What each process does: it reads a list this many times.
ASKER = """
import sys
from uuid import UUID
from service.core.config import load_settings
from service.klaviyo.connection import open_connected_klaviyo
from service.core.db import open_pool

settings = load_settings()
with open_pool(settings) as pool:
    with open_connected_klaviyo(settings, pool, UUID(sys.argv[1])) as client:
        for _ in range(int(sys.argv[2])):
            client.get("/api/lists/{id}", "/api/lists/KK0001")
        print(client.calls)
"""


@pytest.fixture
def account() -> Account:
    made = Account(
        KEY, name="Kessel", currency="EUR", timezone="UTC", prefix="KK", rate_limit_scale=9
    )
    made.add_key(OTHER_KEY, ALL_SCOPES)
    made.add_list("Champions")
    return made


@pytest.fixture
def tenants(
    klaviyo_settings: Settings, pool: Pool, make_tenant: MakeTenant, account: Account
) -> list[UUID]:
    """Two tenants with a key each of the same account."""
    made = [make_tenant("kessel", None), make_tenant("korn", None)]
    for tenant_id, key in zip(made, (KEY, OTHER_KEY), strict=True):
        connect_klaviyo(klaviyo_settings, pool, tenant_id, key)
    # 7 calls a second of the operation these tests use.
    account.limits = RateLimits(0.1)
    return made


def statuses(klaviyo: Sandbox) -> list[int]:
    return [each.status for each in klaviyo.klaviyo_requests()]


def test_processes_of_two_tenants_share_the_limits_of_an_account(
    klaviyo_settings: Settings, klaviyo: Sandbox, account: Account, tenants: list[UUID]
) -> None:
    # One call a second: processes that counted separately would be refused often.
    account.limits = RateLimits(0.014)
    klaviyo.clear_requests()

    def ask(tenant_id: UUID) -> int:
        done = subprocess.run(
            [sys.executable, "-c", ASKER, str(tenant_id), "4"],
            cwd=PROJECT_DIR,
            env=environment_of(klaviyo_settings),
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        return int(done.stdout.splitlines()[-1])

    with ThreadPoolExecutor(2) as threads:
        calls = [each.result() for each in [threads.submit(ask, each) for each in tenants]]
    # A call that is counted in one window and arrives in the next may be refused, rarely.
    assert statuses(klaviyo).count(200) == 8
    assert statuses(klaviyo).count(429) == sum(calls) - 8 <= 1


def test_calls_of_other_programs_are_learned_from_the_headers(
    klaviyo_settings: Settings, klaviyo: Sandbox, account: Account, pool: Pool, tenants: list[UUID]
) -> None:
    with open_connected_klaviyo(klaviyo_settings, pool, tenants[0]) as client:
        client.get("/api/lists/{id}", "/api/lists/KK0001")
        time.sleep(1)
        # Another program takes all but one of this second's calls.
        for _ in range(6):
            account.limits.spend("GET /api/lists/<id> Limit(burst=75, steady=750)", LARGE)
        klaviyo.clear_requests()
        for _ in range(3):
            client.get("/api/lists/{id}", "/api/lists/KK0001")
    assert statuses(klaviyo) == [200] * 3


def test_retry_after_applies_to_every_process(
    klaviyo_settings: Settings, klaviyo: Sandbox, pool: Pool, tenants: list[UUID]
) -> None:
    klaviyo.fail_klaviyo(Fault(status=429, retry_after=30))
    with (
        open_connected_klaviyo(klaviyo_settings, pool, tenants[0], attempts=1) as client,
        pytest.raises(KlaviyoUnavailableError, match="429"),
    ):
        client.get("/api/lists/{id}", "/api/lists/KK0001")
    klaviyo.clear_requests()
    with (
        open_connected_klaviyo(klaviyo_settings, pool, tenants[1], patience_seconds=1) as client,
        pytest.raises(KlaviyoUnavailableError, match=r"allowed in (29|30) seconds"),
    ):
        client.get("/api/lists/{id}", "/api/lists/KK0001")
    assert klaviyo.klaviyo_requests() == []
    # Another operation is not affected.
    with open_connected_klaviyo(klaviyo_settings, pool, tenants[1], patience_seconds=1) as client:
        client.get("/api/profiles", "/api/profiles")


def test_a_long_retry_after_fails_instead_of_calling_again(
    klaviyo_settings: Settings, klaviyo: Sandbox, pool: Pool, tenants: list[UUID]
) -> None:
    klaviyo.fail_klaviyo(Fault(status=429, retry_after=3600))
    klaviyo.clear_requests()
    with (
        open_connected_klaviyo(klaviyo_settings, pool, tenants[0]) as client,
        pytest.raises(KlaviyoUnavailableError, match="asks for a pause of 60 minutes"),
    ):
        client.get("/api/lists/{id}", "/api/lists/KK0001")
    assert statuses(klaviyo) == [429]
    # No other client calls either, even without a limit on its wait.
    with (
        open_connected_klaviyo(klaviyo_settings, pool, tenants[1]) as client,
        pytest.raises(KlaviyoUnavailableError, match=r"allowed in (3600|3599) seconds"),
    ):
        client.get("/api/lists/{id}", "/api/lists/KK0001")
    assert statuses(klaviyo) == [429]


def test_calls_keep_to_both_windows(pool: Pool, owner: Connection, make_tenant: MakeTenant) -> None:
    windows = SharedWindows(pool, make_tenant("kessel", None), HASH, patience_seconds=3)
    turn = windows.reserve("GET x")
    windows.record("GET x", turn, ReportedLimits(2, 3, False, 2, 60))
    began = time.monotonic()
    assert windows.reserve("GET x").burst_number == 2
    assert time.monotonic() - began < 1
    # The window of a second allows two calls, that of a minute three.
    assert windows.reserve("GET x").steady_number == 3
    assert time.monotonic() - began >= 0.9
    with pytest.raises(WaitTooLongError):
        windows.reserve("GET x")
    owner.execute("update app.klaviyo_windows set steady_ends_at = now(), burst_ends_at = now()")
    assert windows.reserve("GET x").steady_number == 1


def test_waiting_holds_no_database_connection(settings: Settings, make_tenant: MakeTenant) -> None:
    tenant_id = make_tenant("kessel", None)
    with open_pool(replace(settings, pool_size=1)) as pool, ThreadPoolExecutor(1) as threads:
        windows = SharedWindows(pool, tenant_id, HASH)
        windows.reserve("GET x")
        waiting = threads.submit(windows.reserve, "GET x")
        for _ in range(20):
            with tenant_transaction(pool, tenant_id) as conn:
                conn.execute("select 1")
        assert not waiting.done()
        assert waiting.result().burst_number == 1


def test_stored_windows_name_no_account_and_no_tenant(
    klaviyo_settings: Settings, pool: Pool, owner: Connection, tenants: list[UUID]
) -> None:
    for tenant_id in tenants:
        with open_connected_klaviyo(klaviyo_settings, pool, tenant_id) as client:
            client.get("/api/lists", "/api/lists")
    rows = owner.execute("select * from app.klaviyo_windows").fetchall()
    assert len(rows) == 1
    text = repr(rows)
    for secret in ("KKSNDB", KEY, OTHER_KEY, *map(str, tenants)):
        assert secret not in text
    found = one(owner.execute("select count(*) as findings from app.isolation_findings").fetchone())
    assert found["findings"] == 0
