"""Refused connections: what passes is not final, and what is final is tried again now and then."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import stamina

from sandbox import Fault, Sandbox
from sandbox.klaviyo import ALL_SCOPES as KLAVIYO_SCOPES
from sandbox.klaviyo import Account
from sandbox.shopify import ALL_SCOPES, Store
from sandbox.shopify.tokens import CLIENT_ID, CLIENT_SECRET
from service.core.config import Settings
from service.core.credentials import FIRST_PROBE_PAUSE, record_refused
from service.core.db import Connection, Pool, connect, one, tenant_transaction, transform_url
from service.doctor.examine import examine
from service.klaviyo.connection import connect_klaviyo, open_connected_klaviyo, verify_klaviyo
from service.klaviyo.lists import map_list
from service.queue.schedules import list_schedules, pause
from service.shopify.connection import connect_shopify, open_connected_shopify
from service.shopify.errors import ShopifyRefusedError, ShopifyUnavailableError
from service.shopify.sync import sync_shopify
from service.worker.probes import LONGEST_PAUSE, enqueue_probes
from service.worker.run_once import run_once
from service.worker.scheduler import _find_due
from tests.conftest import MakeTenant, NullProgress
from tests.shops import ORDERS, loaded_rows

KEY = "pk_sandbox_refusals"


@pytest.fixture(autouse=True)
def _without_pauses() -> Iterator[None]:
    with stamina.set_testing(True, attempts=4):
        yield


@pytest.fixture
def here(shopify_settings: Settings) -> Settings:
    # A build is not what these tests look at.
    return replace(shopify_settings, schedule_build="0 0 1 1 *")


def connection(owner: Connection, tenant_id: UUID, provider: str = "shopify") -> dict[str, Any]:
    found = owner.execute(
        "select * from app.connections where tenant_id = %s and provider = %s",
        [tenant_id, provider],
    ).fetchone()
    return one(found)


def next_times(pool: Pool, here: Settings, tenant_id: UUID) -> dict[str, datetime | None]:
    with tenant_transaction(pool, tenant_id) as conn:
        return {row["name"]: row["next_at"] for row in list_schedules(conn, here, tenant_id)}


def due(here: Settings, after: timedelta) -> set[str]:
    """What schedules would start if nothing happened until then."""
    with connect(transform_url(here)) as conn:
        return {row["name"] for row in _find_due(conn, here, datetime.now(UTC) + after)}


def queued(owner: Connection) -> list[tuple[str, str]]:
    rows = owner.execute(
        "select task_name, args ->> 'provider' as provider from jobs.procrastinate_jobs"
        " where status = 'todo' order by id"
    ).fetchall()
    return [(row["task_name"], row["provider"]) for row in rows]


def run_kinds(owner: Connection, tenant_id: UUID) -> dict[str, str]:
    rows = owner.execute(
        "select kind, state from app.runs where tenant_id = %s", [tenant_id]
    ).fetchall()
    return {row["kind"]: row["state"] for row in rows}


def refuse(pool: Pool, here: Settings, tenant_id: UUID) -> None:
    """Sync while the store refuses every call."""
    with pytest.raises(ShopifyRefusedError):
        sync_shopify(here, pool, tenant_id, NullProgress())


# -- what passes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=401),
        Fault(status=403),
        Fault(status=401, html=True),
        Fault(status=403, html=True),
        Fault(status=403, html=True, count=3),
        Fault(status=401, count=3),
        Fault(status=430),
        Fault(status=430, html=True),
        Fault(status=400, html=True),
        Fault(status=520, html=True, count=2),
    ],
    ids=lambda fault: f"{fault.status}{'-page' if fault.html else ''}-{fault.count}",
)
def test_a_refusal_that_passes_disturbs_nothing(
    here: Settings, pool: Pool, tenant: UUID, shop: Sandbox, owner: Connection, fault: Fault
) -> None:
    shop.fail_shopify(fault)
    sync_shopify(here, pool, tenant, NullProgress())
    row = connection(owner, tenant)
    assert (row["state"], row["state_reason"]) == ("active", None)
    assert len(loaded_rows(pool, tenant)["orders"]) == ORDERS
    times = next_times(pool, here, tenant)
    assert times["orders"] is not None
    assert times["segments"] is not None


def test_a_gateways_page_never_refuses_the_token_however_long_it_lasts(
    here: Settings, pool: Pool, tenant: UUID, shop: Sandbox, owner: Connection
) -> None:
    shop.fail_shopify(Fault(status=403, html=True, count=99))
    with pytest.raises(ShopifyUnavailableError, match="a gateway in front of it") as raised:
        sync_shopify(here, pool, tenant, NullProgress())
    assert raised.value.is_transient
    assert connection(owner, tenant)["state"] == "active"
    assert {"orders", "segments"} <= due(here, timedelta(days=1))
    shop.reset_faults()
    sync_shopify(here, pool, tenant, NullProgress())
    assert len(loaded_rows(pool, tenant)["orders"]) == ORDERS


def test_a_token_that_expires_is_renewed_once_and_survives_a_refusal(
    here: Settings,
    pool: Pool,
    make_tenant: MakeTenant,
    store: Store,
    shop: Sandbox,
    owner: Connection,
) -> None:
    here = replace(here, shopify_client_id=CLIENT_ID, shopify_client_secret=CLIENT_SECRET)
    tenant_id = make_tenant("kessel", store.data.domain)
    issued = json.dumps(shop.tokens.issue(store.data.domain))
    connect_shopify(here, pool, tenant_id, store.data.domain, issued)
    shop.clear_requests()
    # The token, the one it was renewed to, and one attempt more are refused.
    shop.fail_shopify(Fault(status=401, count=3, path="graphql.json"))
    with open_connected_shopify(here, pool, tenant_id) as client:
        assert client.run("shop")
    paths = [entry.path.rpartition("/")[2] for entry in shop.shopify_requests()]
    assert paths == ["graphql.json", "access_token", *["graphql.json"] * 3]
    # A refusal of the refresh passes too.
    shop.tokens.expire_access_tokens()
    shop.fail_shopify(Fault(status=403, path="access_token"))
    with open_connected_shopify(here, pool, tenant_id) as client:
        assert client.run("shop")
    assert connection(owner, tenant_id)["state"] == "active"


# -- what lasts ---------------------------------------------------------------------------------


def test_a_refusal_that_lasts_says_when_it_is_tried_again(
    here: Settings, pool: Pool, tenant: UUID, store: Store, owner: Connection
) -> None:
    sync_shopify(here, pool, tenant, NullProgress())
    store.is_installed = False
    with pytest.raises(ShopifyRefusedError) as raised:
        sync_shopify(here, pool, tenant, NullProgress())
    row = connection(owner, tenant)
    assert row["state"] == "refused"
    assert "401" in row["state_reason"]
    at = f"{row['next_probe_at'].astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    assert "connect-shopify" in raised.value.advice
    assert f"by itself, next at {at}" in raised.value.advice
    (finding,) = [f for f in examine(here) if f.check == "connections" and f.level != "ok"]
    assert finding.level == "error"
    assert f"next at {at}" in finding.advice
    assert "connect-shopify kessel" in finding.advice

    # Its schedules wait for the probe, and then go on.
    times = next_times(pool, here, tenant)
    assert times["orders"] is not None
    assert times["orders"] > row["next_probe_at"]
    hourly = replace(here, schedule_orders="* * * * *")
    owner.execute("delete from app.schedules")
    owner.execute("update app.tenants set created_at = now() - interval '1 day'")
    assert "orders" not in due(hourly, timedelta(minutes=4))
    assert "orders" in due(hourly, timedelta(minutes=6))


def test_a_refused_connection_recovers_by_itself(
    here: Settings, pool: Pool, tenant: UUID, store: Store, owner: Connection
) -> None:
    store.is_installed = False
    refuse(pool, here, tenant)
    store.is_installed = True
    now = datetime.now(UTC)
    assert enqueue_probes(here, pool, now) == 0
    later = now + FIRST_PROBE_PAUSE
    # Once for all workers.
    assert [enqueue_probes(here, pool, later) for _ in range(2)] == [1, 0]
    assert queued(owner) == [("quintile.probe", "shopify")]
    run_once(here, pool)
    row = connection(owner, tenant)
    assert (row["state"], row["state_reason"]) == ("active", None)
    # What it missed is queued at once.
    run_once(here, pool)
    assert run_kinds(owner, tenant) == {"shopify_sync": "succeeded", "segments_sync": "succeeded"}
    assert len(loaded_rows(pool, tenant)["orders"]) == ORDERS
    assert enqueue_probes(here, pool, later + timedelta(days=9)) == 0


def test_a_paused_schedule_is_not_started_by_a_recovery(
    here: Settings, pool: Pool, tenant: UUID, store: Store, owner: Connection
) -> None:
    store.is_installed = False
    refuse(pool, here, tenant)
    store.is_installed = True
    with tenant_transaction(pool, tenant) as conn:
        pause(conn, tenant, "segments", "a person")
    enqueue_probes(here, pool, datetime.now(UTC) + FIRST_PROBE_PAUSE)
    for _ in range(2):
        run_once(here, pool)
    assert run_kinds(owner, tenant) == {"shopify_sync": "succeeded"}


def test_a_revoked_token_is_tried_less_and_less_often(
    here: Settings, pool: Pool, tenant: UUID, store: Store, shop: Sandbox, owner: Connection
) -> None:
    store.is_installed = False
    refuse(pool, here, tenant)
    # Further refusals, as of webhooks, change nothing.
    at = connection(owner, tenant)["next_probe_at"]
    refuse(pool, here, tenant)
    assert connection(owner, tenant)["next_probe_at"] == at
    pauses = []
    for _ in range(6):
        shop.clear_requests()
        assert enqueue_probes(here, pool, at) == 1
        run_once(here, pool)
        assert len(shop.shopify_requests()) == 4
        row = connection(owner, tenant)
        assert row["state"] == "refused"
        pauses.append(row["next_probe_at"] - at)
        at = row["next_probe_at"]
    minutes = [pause.total_seconds() / 60 for pause in pauses]
    assert minutes == [20, 80, 320, 360, 360, 360]
    assert pauses[-1] == LONGEST_PAUSE
    assert run_kinds(owner, tenant) == {}
    # After a new token the count begins again.
    store.is_installed = True
    connect_shopify(here, pool, tenant, store.data.domain, store.data.token)
    store.is_installed = False
    refuse(pool, here, tenant)
    pause = connection(owner, tenant)["next_probe_at"] - datetime.now(UTC)
    assert pause <= FIRST_PROBE_PAUSE


def test_a_missing_scope_is_noticed_when_it_is_granted(
    here: Settings, pool: Pool, tenant: UUID, store: Store, owner: Connection
) -> None:
    store.scopes = ALL_SCOPES - {"read_orders"}
    refuse(pool, here, tenant)
    at = connection(owner, tenant)["next_probe_at"]
    # The store answers, but that is not all that a sync needs.
    enqueue_probes(here, pool, at)
    run_once(here, pool)
    row = connection(owner, tenant)
    assert row["state"] == "refused"
    assert "lacks read_orders (for orders" in row["state_reason"]
    store.scopes = ALL_SCOPES
    enqueue_probes(here, pool, row["next_probe_at"])
    run_once(here, pool)
    assert connection(owner, tenant)["state"] == "active"


def test_a_connection_refused_before_an_upgrade_is_due_at_once(
    here: Settings, pool: Pool, tenant: UUID, owner: Connection
) -> None:
    """The previous release writes no time of a probe."""
    owner.execute("update app.connections set state = 'refused', state_reason = 'then'")
    assert next_times(pool, here, tenant)["orders"] is not None
    assert enqueue_probes(here, pool, datetime.now(UTC)) == 1
    run_once(here, pool)
    assert connection(owner, tenant)["state"] == "active"


def test_a_store_without_the_app_and_a_disconnected_one_are_left_alone(
    here: Settings, pool: Pool, tenant: UUID, owner: Connection
) -> None:
    with tenant_transaction(pool, tenant) as conn:
        record_refused(conn, tenant, "shopify", "for this test")
    owner.execute("update app.connections set uninstalled_at = now()")
    later = datetime.now(UTC) + timedelta(days=1)
    assert enqueue_probes(here, pool, later) == 0
    assert next_times(pool, here, tenant)["orders"] is None
    owner.execute(
        "update app.connections set uninstalled_at = null, state = 'disconnected',"
        " sealed_secret = null, key_id = null"
    )
    assert enqueue_probes(here, pool, later) == 0
    with tenant_transaction(pool, tenant) as conn:
        assert record_refused(conn, tenant, "shopify", "too late") is None
    assert connection(owner, tenant)["state"] == "disconnected"


def test_one_tenants_refusal_does_not_reach_another(
    here: Settings, pool: Pool, tenant: UUID, make_tenant: MakeTenant, owner: Connection
) -> None:
    other = make_tenant("other", "other.myshopify.com")
    owner.execute(
        "insert into app.connections (tenant_id, provider, sealed_secret, key_id, last_four)"
        " values (%s, 'shopify', 'x', 'k', 'xxxx')",
        [other],
    )
    with tenant_transaction(pool, tenant) as conn:
        record_refused(conn, other, "shopify", "not mine")
        record_refused(conn, tenant, "shopify", "mine")
    assert connection(owner, other)["state"] == "active"
    assert enqueue_probes(here, pool, datetime.now(UTC) + timedelta(hours=1)) == 1
    # A probe that cannot even open its credential leaves the others' alone.
    with tenant_transaction(pool, other) as conn:
        record_refused(conn, other, "shopify", "broken")
    assert enqueue_probes(here, pool, datetime.now(UTC) + timedelta(hours=1)) == 1
    assert run_once(here, pool)["failed"] == 0
    assert connection(owner, tenant)["state"] == "active"
    assert connection(owner, other)["state"] == "refused"


def test_a_klaviyo_key_recovers_by_itself_with_its_lists(
    settings: Settings, pool: Pool, make_tenant: MakeTenant, owner: Connection
) -> None:
    account = Account(KEY, name="Kessel", currency="EUR", timezone="UTC", prefix="KK")
    account.add_list("Champions")
    with Sandbox([], [account]) as klaviyo:
        here = replace(settings, klaviyo_url=klaviyo.klaviyo_url)
        tenant_id = make_tenant("kessel")
        connect_klaviyo(here, pool, tenant_id, KEY)
        map_list(here, pool, tenant_id, "rfm:champions", account.list_names()[0]["id"])
        account.revoke_key(KEY)
        with (
            pytest.raises(Exception, match="401"),
            open_connected_klaviyo(here, pool, tenant_id) as client,
        ):
            verify_klaviyo(pool, tenant_id, client)
        at = connection(owner, tenant_id, "klaviyo")["next_probe_at"]
        assert enqueue_probes(here, pool, at) == 1
        run_once(here, pool)
        assert connection(owner, tenant_id, "klaviyo")["state"] == "refused"
        account.add_key(KEY, KLAVIYO_SCOPES)
        at = connection(owner, tenant_id, "klaviyo")["next_probe_at"]
        assert enqueue_probes(here, pool, at) == 1
        run_once(here, pool)
        assert connection(owner, tenant_id, "klaviyo")["state"] == "active"
        assert "klaviyo_sync" in run_kinds(owner, tenant_id)
