"""RFM in customer metafields over the API, the commands, the worker and doctor."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient

from sandbox import Sandbox
from sandbox.shopify import ALL_SCOPES, Store
from service.builds.followups import queue_followups
from service.core.config import Settings
from service.core.credentials import disconnect, record_refused
from service.core.db import (
    Pool,
    connect,
    connect_as_owner,
    create_pool,
    tenant_transaction,
    transform_url,
)
from service.doctor.metafields import check_metafields
from service.queue.runs import record_runs, start_builds
from service.shopify.connection import connect_shopify
from service.tenants.tenants import add_tenant
from service.worker.run_once import run_once
from tests.command import quintile, quintile_process
from tests.metafields import Scored, held, score
from tests.web import client_of, running_app

PATH = "/api/admin/integrations/shopify/metafields"
CHAMPION: Scored = ("champions", 5, 5, 5)


def work(settings: Settings, pool: Pool) -> None:
    """Do what is queued, in a thread: a browser's test leaves an event loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(run_once, settings, pool).result()


@pytest.fixture
def here(built_settings: Settings, shop: Sandbox) -> Settings:
    return replace(built_settings, shopify_url=shop.shopify_url, shopify_bulk_patience_seconds=1)


@pytest.fixture
def pool(here: Settings) -> Iterator[Pool]:
    pool = create_pool(here)
    yield pool
    pool.close()


@pytest.fixture
def scores(store: Store) -> dict[str, Scored]:
    return {str(number): CHAMPION for number in list(store.customers)[:10]}


@pytest.fixture
def tenant(here: Settings, pool: Pool, store: Store, scores: dict[str, Scored]) -> UUID:
    with connect_as_owner(here) as owner:
        tenant_id = add_tenant(owner, "kessel", store.data.domain)
    connect_shopify(here, pool, tenant_id, store.data.domain, store.data.token)
    score(here, tenant_id, scores)
    return tenant_id


@pytest.fixture
def client(here: Settings, tenant: UUID) -> Iterator[FlaskClient]:
    with running_app(here) as app:
        yield client_of(app, here, tenant)


def changed(client: FlaskClient, **values: Any) -> dict[str, Any]:
    answer = client.put(PATH, json=values)
    assert answer.status_code == 200, answer.get_json()
    found: dict[str, Any] = answer.get_json()
    return found


def end_build(pool: Pool, tenant_id: UUID) -> None:
    """A build that changes nothing, as it ends."""
    with record_runs(pool, start_builds(pool, [tenant_id], "cli").mine) as recorders:
        queue_followups(pool, recorders)


def findings(settings: Settings) -> list[tuple[str, str]]:
    with connect_as_owner(settings) as conn:
        return [(each.message, each.advice) for each in check_metafields(conn)]


def test_it_is_off_until_it_is_turned_on(client: FlaskClient, store: Store) -> None:
    shown = client.get(PATH).get_json()
    assert (shown["is_enabled"], shown["state"], shown["has_scope"]) == (False, "off", True)
    assert shown["last_run"] is shown["problem"] is shown["changed_by"] is None
    assert shown["queries"][0] == {
        "segment": "champions",
        "label": "Champions",
        "query": "metafields.quintile.rfm_segment = 'champions'",
    }
    assert [each["key"] for each in shown["definitions"]] == [
        "rfm_segment",
        "rfm_recency",
        "rfm_frequency",
        "rfm_monetary",
    ]
    # There is nothing to sync, and nothing to remove.
    assert client.post(f"{PATH}/sync", json={}).status_code == 422
    assert changed(client, is_enabled=False)["last_run"] is None
    assert held(store) == {}


def test_a_worker_writes_after_it_was_turned_on_and_removes_after_it_was_turned_off(
    here: Settings,
    pool: Pool,
    client: FlaskClient,
    store: Store,
    scores: dict[str, Scored],
) -> None:
    shown = changed(client, is_enabled=True)
    assert shown["last_run"]["state"] == "queued"
    work(here, pool)
    shown = client.get(PATH).get_json()
    assert held(store) == scores
    assert (shown["state"], shown["written"], shown["pending"]) == ("on", len(scores), 0)
    assert shown["last_run"]["state"] == "succeeded"
    assert shown["last_run"]["counts"]["metafield_customers"] == len(scores)
    assert changed(client, is_enabled=False)["state"] == "removing"
    work(here, pool)
    shown = client.get(PATH).get_json()
    assert (shown["state"], shown["written"], held(store)) == ("off", 0, {})
    log = client.get("/api/admin/audit-log?action=metafields.changed").get_json()["data"]
    assert [(each["before"]["is_enabled"], each["after"]["is_enabled"]) for each in log] == [
        (True, False),
        (False, True),
    ]


def test_every_build_is_followed_by_a_run_while_it_is_on(
    here: Settings,
    pool: Pool,
    tenant: UUID,
    client: FlaskClient,
    store: Store,
    scores: dict[str, Scored],
) -> None:
    end_build(pool, tenant)
    assert client.get("/api/admin/runs?kind=metafields_sync").get_json()["data"] == []
    changed(client, is_enabled=True)
    work(here, pool)
    first, *_ = scores
    score(here, tenant, {**scores, first: ("loyal", 4, 3, 3)})
    end_build(pool, tenant)
    work(here, pool)
    assert held(store)[first] == ("loyal", 4, 3, 3)
    runs = client.get("/api/admin/runs?kind=metafields_sync").get_json()["data"]
    assert [run["trigger"] for run in runs] == ["schedule", "person"]
    # A plain dbt build records no run; the worker finds it.
    score(here, tenant, {**scores, first: ("new", 5, 1, 3)})
    with connect(transform_url(here)) as conn:
        conn.execute("update marts.rfm_builds set as_of = as_of + interval '1 day'")
    work(here, pool)
    assert held(store)[first] == ("new", 5, 1, 3)
    # A run would fail while the store is not connected, so none is queued.
    with tenant_transaction(pool, tenant) as conn:
        disconnect(conn, tenant, "shopify", "a test")
    end_build(pool, tenant)
    runs = client.get("/api/admin/runs?kind=metafields_sync").get_json()["data"]
    assert len(runs) == 3


def test_a_person_can_have_all_values_written_again(
    here: Settings, pool: Pool, client: FlaskClient, store: Store, scores: dict[str, Scored]
) -> None:
    changed(client, is_enabled=True)
    work(here, pool)
    place = (int(next(iter(scores))), "quintile", "rfm_segment")
    store.change_metafields({place: "edited"})
    answer = client.post(f"{PATH}/sync", json={"rewrite": True})
    assert (answer.status_code, answer.get_json()["kind"]) == (202, "metafields_sync")
    work(here, pool)
    assert held(store) == scores


def test_a_scope_that_was_just_granted_is_read_before_it_is_turned_on(
    here: Settings, pool: Pool, client: FlaskClient, store: Store, tenant: UUID
) -> None:
    store.scopes = ALL_SCOPES - {"write_customers"}
    assert client.post("/api/admin/integrations/shopify/verify").status_code == 200
    assert client.get(PATH).get_json()["has_scope"] is False
    refused = client.put(PATH, json={"is_enabled": True})
    assert refused.status_code == 422
    assert "write_customers" in refused.get_json()["detail"]
    store.scopes = ALL_SCOPES
    shown = changed(client, is_enabled=True)
    assert (shown["has_scope"], shown["problem"]) == (True, None)


def test_a_scope_that_is_lost_is_a_problem_that_doctor_and_the_api_tell(
    here: Settings, pool: Pool, client: FlaskClient, store: Store, tenant: UUID
) -> None:
    changed(client, is_enabled=True)
    store.scopes = ALL_SCOPES - {"write_customers"}
    work(here, pool)
    shown = client.get(PATH).get_json()
    assert "write_customers" in shown["problem"]["in_words"]
    assert shown["last_run"]["state"] == "failed"
    ((message, advice),) = findings(here)
    assert message == f"kessel: {shown['problem']['in_words']}"
    assert "Give the app this Admin API scope" in advice
    # The connection itself is fine.
    assert client.get("/api/admin/integrations/shopify").get_json()["state"] == "active"


def test_a_refused_access_token_is_a_problem_although_no_run_has_failed(
    here: Settings, pool: Pool, client: FlaskClient, tenant: UUID
) -> None:
    changed(client, is_enabled=True)
    work(here, pool)
    # Another job finds out, so that no run is queued until a person connects the store again.
    with tenant_transaction(pool, tenant) as conn:
        record_refused(conn, tenant, "shopify", "Invalid API key or access token.")
    end_build(pool, tenant)
    shown = client.get(PATH).get_json()
    assert (shown["last_run"]["state"], shown["pending"]) == ("succeeded", 0)
    assert "refuses the access token" in shown["problem"]["in_words"]
    ((message, advice),) = findings(here)
    assert message == f"kessel: {shown['problem']['in_words']}"
    assert "new access token" in advice
    answer = client.post(f"{PATH}/sync", json={})
    assert (answer.status_code, answer.get_json()["type"]) == (409, "/problems/not-connected")
    assert answer.get_json()["detail"].startswith(shown["problem"]["in_words"])


def test_a_store_that_was_disconnected_can_keep_its_values(
    here: Settings,
    pool: Pool,
    client: FlaskClient,
    store: Store,
    tenant: UUID,
    scores: dict[str, Scored],
) -> None:
    changed(client, is_enabled=True)
    work(here, pool)
    client.delete("/api/admin/integrations/shopify")
    ((message, advice),) = findings(here)
    assert "the store is not connected" in message
    assert "keep the values" in advice
    shown = changed(client, is_enabled=False)
    assert (shown["state"], "removed" in shown["problem"]["in_words"]) == ("removing", True)
    assert client.post(f"{PATH}/sync", json={}).status_code == 409
    shown = changed(client, is_enabled=False, keep_values=True)
    assert (shown["state"], shown["problem"], shown["written"]) == ("off", None, 0)
    assert findings(here) == []
    assert held(store) == scores


def test_refused_customers_are_told_with_the_reason(
    here: Settings, pool: Pool, client: FlaskClient, store: Store, scores: dict[str, Scored]
) -> None:
    gone = next(iter(scores))
    store.delete_customer(int(gone))
    changed(client, is_enabled=True)
    work(here, pool)
    shown = client.get(PATH).get_json()
    (refusal,) = shown["refusals"]
    assert (shown["refused"], refusal["customers"], refusal["customer_ids"]) == (1, 1, [gone])
    assert refusal["reason"] == "Owner does not exist"
    ((message, advice),) = findings(here)
    assert message == "kessel: Shopify refused the metafields of 1 customer"
    assert advice.endswith("quintile metafields status --tenant kessel")


def test_another_tenants_metafields_are_not_shown(
    here: Settings, pool: Pool, client: FlaskClient, scores: dict[str, Scored]
) -> None:
    changed(client, is_enabled=True)
    work(here, pool)
    with connect_as_owner(here) as owner:
        other = add_tenant(owner, "other")
    with running_app(here) as app:
        shown = client_of(app, here, other).get(PATH).get_json()
    assert (shown["is_enabled"], shown["written"], shown["has_scope"]) == (False, 0, None)


def test_the_commands_do_the_same(
    here: Settings, tenant: UUID, store: Store, scores: dict[str, Scored]
) -> None:
    done = quintile(here, "metafields", "sync", "--tenant", "kessel", expect=1)
    assert "turned off for kessel" in done.stderr
    quintile_process(here, "metafields", "on", "--tenant", "kessel")
    done = quintile_process(here, "metafields", "sync", "--tenant", "kessel", "--json")
    assert json.loads(done.stdout)["state"] == "succeeded"
    assert held(store) == scores
    done = quintile_process(here, "metafields", "status", "--tenant", "kessel")
    assert done.stdout.startswith("on: 10 customers written, 0 pending, 0 refused\n")
    assert "Champions: metafields.quintile.rfm_segment = 'champions'" in done.stdout
    shown = json.loads(
        quintile(here, "metafields", "status", "--tenant", "kessel", "--json").stdout
    )
    assert (shown["state"], shown["written"], shown["problem"]) == ("on", 10, None)
    quintile_process(here, "metafields", "off", "--tenant", "kessel")
    quintile(here, "metafields", "sync", "--tenant", "kessel")
    assert held(store) == {}
    quintile(here, "metafields", "on", "--tenant", "kessel")
    quintile(here, "metafields", "sync", "--tenant", "kessel", "--rewrite")
    done = quintile(here, "metafields", "off", "--tenant", "kessel", "--keep-values")
    assert done.stderr == "off for kessel\n"
    assert held(store) == scores
