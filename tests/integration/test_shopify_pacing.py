"""Pacing and failures: a tenant's processes share one bucket, and each failure is handled."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
import stamina

from sandbox import Fault, Sandbox
from sandbox.data import generate_store
from sandbox.data.specs import KESSEL
from sandbox.shopify import LeakyBucket, Store
from sandbox.shopify.tokens import CLIENT_ID
from service.core.config import Settings
from service.core.db import Connection, Pool, one, tenant_transaction
from service.core.queries import query
from service.shopify.client import open_shopify
from service.shopify.connection import connect_shopify, open_connected_shopify
from service.shopify.errors import (
    ShopifyError,
    ShopifyRefusedError,
    ShopifyUnavailableError,
    ShopifyUnknownOutcomeError,
)
from service.shopify.rate_limit import Reservation, SharedBucket, Throttle
from tests.command import environment_of
from tests.conftest import PROJECT_DIR, MakeTenant

SHOP = KESSEL.domain

# What each process does: it reads this many pages.
ASKER = """
import sys
from uuid import UUID
from service.core.config import load_settings
from service.shopify.connection import open_connected_shopify
from service.core.db import open_pool

settings = load_settings()
with (
    open_pool(settings) as pool,
    open_connected_shopify(settings, pool, UUID(sys.argv[1])) as client,
):
    for _ in range(int(sys.argv[2])):
        client.run("customers", first=100, after=None, query=None)
    print(client.calls)
"""


class Watched(LeakyBucket):
    """A bucket that counts what it refused and what was taken."""

    refused = 0
    taken = 0

    def take(self, points: int) -> bool:
        is_taken = super().take(points)
        self.refused += not is_taken
        self.taken += is_taken * points
        return is_taken


@pytest.fixture
def store() -> Store:
    return Store(generate_store(KESSEL, 1, datetime(2026, 7, 1, tzinfo=UTC)))


@pytest.fixture
def here(shopify_settings: Settings) -> Settings:
    return replace(shopify_settings, shopify_client_id=CLIENT_ID)


@pytest.fixture
def tenant(here: Settings, pool: Pool, make_tenant: MakeTenant, store: Store) -> UUID:
    tenant_id = make_tenant("kessel", SHOP)
    connect_shopify(here, pool, tenant_id, SHOP, store.data.token)
    return tenant_id


def bucket_of(owner: Connection) -> dict[str, float]:
    return one(owner.execute("select * from app.shopify_buckets").fetchone())


def test_processes_of_a_tenant_share_the_points_and_none_is_throttled(
    here: Settings, pool: Pool, make_tenant: MakeTenant, store: Store
) -> None:
    # The connection learns how large the bucket is, which never shrinks under a running sync.
    store.bucket = bucket = Watched(100, 60)
    tenant = make_tenant("kessel", SHOP)
    connect_shopify(here, pool, tenant, SHOP, store.data.token)

    def ask() -> int:
        done = subprocess.run(
            [sys.executable, "-c", ASKER, str(tenant), "12"],
            cwd=PROJECT_DIR,
            env=environment_of(here),
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        return int(done.stdout.splitlines()[-1])

    with ThreadPoolExecutor(2) as threads:
        calls = [each.result() for each in [threads.submit(ask) for _ in range(2)]]
    assert sum(calls) == 24
    assert bucket.refused == 0
    # More than the bucket ever held at once, so they did have to wait for each other.
    assert bucket.taken > 3 * bucket.maximum


def set_bucket(owner: Connection, available: float) -> None:
    owner.execute(
        "update app.shopify_buckets set maximum = 1000, restore_rate = 100, "
        "available = %s, outstanding = '{}', counted_at = clock_timestamp()",
        [available],
    )


def reserve(pool: Pool, tenant: UUID, points: float, counts_for: float = 60) -> dict[str, float]:
    parameters = {
        "tenant_id": tenant,
        "points": points,
        "maximum": 1000.0,
        "restore_rate": 50.0,
        "margin": 0.0,
        "counts_for": counts_for,
    }
    with tenant_transaction(pool, tenant) as conn:
        return one(conn.execute(query("shopify.reserve_points"), parameters).fetchone())


def wait_of(pool: Pool, tenant: UUID, place: float) -> float:
    parameters = {"tenant_id": tenant, "place": place, "margin": 0.0, "look_again": 0.5}
    with tenant_transaction(pool, tenant) as conn:
        row = one(conn.execute(query("shopify.read_wait"), parameters).fetchone())
    return float(row["wait_seconds"])


def test_points_reserved_by_a_dead_process_are_released_in_time(
    pool: Pool, tenant: UUID, owner: Connection
) -> None:
    for counts_for, expected in ((60, 0.5), (-1, 0.0)):
        set_bucket(owner, 1000)
        reserve(pool, tenant, 1000, counts_for)
        second = reserve(pool, tenant, 400)
        # Long enough for the points to be back, had the bucket any room for them.
        owner.execute("update app.shopify_buckets set counted_at = counted_at - interval '9 s'")
        assert wait_of(pool, tenant, second["place"]) == expected


def test_a_wait_gets_shorter_when_points_are_given_back(
    pool: Pool, tenant: UUID, owner: Connection
) -> None:
    set_bucket(owner, 0)
    first, second = reserve(pool, tenant, 400), reserve(pool, tenant, 300)
    # In order: the second waits for the first one's points as well as for its own.
    assert 3.5 < first["wait_seconds"] <= 4
    assert 6.5 < second["wait_seconds"] <= 7
    # A later reservation does not make the first wait longer.
    assert wait_of(pool, tenant, first["place"]) <= first["wait_seconds"]
    SharedBucket(pool, tenant).settle(Reservation(400, first["place"]), 40, None)
    assert 2.9 < wait_of(pool, tenant, second["place"]) <= 3.4
    assert wait_of(pool, tenant, first["place"]) < 0.5
    # Shopify's number of points holds when it is less than ours, and not when it is more.
    set_bucket(owner, 500)
    SharedBucket(pool, tenant).settle(Reservation(0), 0, Throttle(1000, 90, 100))
    assert bucket_of(owner)["available"] == 90
    SharedBucket(pool, tenant).settle(Reservation(0), 0, Throttle(1000, 1000, 100))
    assert bucket_of(owner)["available"] < 200
    # A larger bucket was as full as the one it was taken for.
    SharedBucket(pool, tenant).settle(Reservation(0), 0, Throttle(2000, 2000, 100))
    assert 1000 < bucket_of(owner)["available"] < 1300


def test_another_tenants_bucket_is_not_visible(
    pool: Pool, tenant: UUID, make_tenant: MakeTenant
) -> None:
    other = make_tenant("other")
    with tenant_transaction(pool, other) as conn:
        assert conn.execute("select from app.shopify_buckets").fetchall() == []


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=429, retry_after=0),
        Fault(status=500),
        Fault(status=502, html=True),
        Fault(status=200 + 303, html=True),
        Fault(drop=True),
        Fault(truncate=True),
        Fault(delay=1.0),
    ],
    ids=["429", "500", "html", "503", "drop", "truncate", "timeout"],
)
def test_a_transient_failure_is_retried(
    here: Settings, shop: Sandbox, store: Store, fault: Fault
) -> None:
    shop.fail_shopify(fault)
    with (
        stamina.set_testing(True, attempts=3),
        open_shopify(here, SHOP, store.data.token, timeout=0.5) as client,
    ):
        assert client.run("shop")["shop"]["name"] == KESSEL.name
        assert client.calls == 2


@pytest.mark.parametrize(
    "fault",
    [Fault(status=503, count=9), Fault(drop=True, count=9), Fault(truncate=True, count=9)],
    ids=["503", "drop", "truncate"],
)
def test_a_lasting_failure_ends_with_a_clear_message(
    here: Settings, shop: Sandbox, store: Store, fault: Fault
) -> None:
    shop.fail_shopify(fault)
    with (
        stamina.set_testing(True, attempts=3),
        open_shopify(here, SHOP, store.data.token) as client,
        pytest.raises(ShopifyUnavailableError, match="keeps failing") as caught,
    ):
        client.run("shop")
    assert client.calls == 3
    assert caught.value.advice


@pytest.mark.parametrize("fault", [Fault(drop=True), Fault(truncate=True), Fault(status=500)])
def test_a_change_whose_answer_was_lost_is_not_repeated(
    here: Settings, shop: Sandbox, store: Store, fault: Fault
) -> None:
    shop.fail_shopify(fault)
    segment = f"gid://shopify/Segment/{store.data.segments[0].number}"
    with (
        stamina.set_testing(True, attempts=3),
        open_shopify(here, SHOP, store.data.token) as client,
        pytest.raises(ShopifyUnknownOutcomeError),
    ):
        client.run("segment_members_query_create", is_repeatable=False, segmentId=segment)
    assert client.calls == 1


@pytest.mark.parametrize("status", [402, 423])
def test_a_frozen_shop_is_not_asked_again_and_has_advice(
    here: Settings, pool: Pool, tenant: UUID, shop: Sandbox, owner: Connection, status: int
) -> None:
    shop.clear_requests()
    shop.fail_shopify(Fault(status=status))
    with (
        pytest.raises(ShopifyError, match="frozen or locked") as caught,
        open_connected_shopify(here, pool, tenant) as client,
    ):
        client.run("shop")
    assert not isinstance(caught.value, ShopifyRefusedError)
    assert caught.value.advice
    assert [entry.status for entry in shop.shopify_requests()] == [status]
    row = one(owner.execute("select state, state_reason from app.connections").fetchone())
    assert (row["state"], row["state_reason"]) == ("active", None)
