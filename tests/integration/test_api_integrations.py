"""The Shopify connection over the API."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from sandbox import Fault, Sandbox
from sandbox.data import generate_store
from sandbox.data.specs import KESSEL
from sandbox.shopify import ALL_SCOPES, Store
from sandbox.shopify.tokens import CLIENT_ID, CLIENT_SECRET
from service.core.config import Settings
from service.core.db import connect_as_owner, one
from service.tenants.tenants import add_tenant, change_tenant
from tests.command import quintile, quintile_process
from tests.web import add_explanations, add_scored_customers, client_of, running_app

PATH = "/api/admin/integrations/shopify"
SHOP, TOKEN = KESSEL.domain, KESSEL.token


@pytest.fixture
def store() -> Store:
    return Store(generate_store(KESSEL, 1, datetime(2026, 7, 1, tzinfo=UTC)))


@pytest.fixture
def here(built_settings: Settings, shop: Sandbox) -> Settings:
    return replace(
        built_settings,
        shopify_url=shop.shopify_url,
        shopify_client_id=CLIENT_ID,
        shopify_client_secret=CLIENT_SECRET,
    )


@pytest.fixture
def tenant(here: Settings) -> UUID:
    with connect_as_owner(here) as conn:
        return add_tenant(conn, "kessel", SHOP)


@pytest.fixture
def app(here: Settings) -> Iterator[APIFlask]:
    with running_app(here) as app:
        yield app


@pytest.fixture
def client(app: APIFlask, here: Settings, tenant: UUID) -> FlaskClient:
    return client_of(app, here, tenant)


def test_a_connected_store_is_shown_with_its_scopes_and_their_purpose(
    client: FlaskClient, store: Store
) -> None:
    # A scope that nothing uses is not asked for.
    store.scopes = ALL_SCOPES | {"read_themes"}
    before = client.get(PATH).get_json()
    assert (before["state"], before["scopes"], before["shop_domain"]) == (None, [], SHOP)
    answer = client.post(PATH, json={"access_token": TOKEN, "shop": f" {SHOP.upper()} "})
    assert answer.status_code == 200
    body = answer.get_json()
    assert TOKEN not in answer.text
    assert body == client.get(PATH).get_json()
    fields = ("state", "shop_name", "currency", "time_zone", "plan", "api_version")
    assert [body[name] for name in fields] == [
        *("active", KESSEL.name, "EUR", "Europe/Berlin", "Shopify Plus", "2026-07")
    ]
    assert body["token_last_four"] == TOKEN[-4:]
    assert (body["is_token_expiring"], body["order_limit"]) == (False, None)
    granted = {
        scope["scope"]: (scope["is_needed"], scope["is_granted"]) for scope in body["scopes"]
    }
    assert granted == {
        "read_orders": (True, True),
        "read_customers": (True, True),
        "read_all_orders": (False, True),
        "read_products": (False, True),
        "write_discounts": (False, True),
        "write_customers": (False, True),
        "read_customer_merge": (False, False),
    }
    assert all(scope["purpose"] for scope in body["scopes"])
    assert body["other_scopes"] == ["read_themes"]
    # The first syncs are queued once.
    client.post(PATH, json={"access_token": TOKEN})
    runs = client.get("/api/admin/runs").get_json()["data"]
    assert sorted((run["kind"], run["state"]) for run in runs) == [
        ("segments_sync", "queued"),
        ("shopify_sync", "queued"),
    ]


def test_an_expired_token_is_refreshed_for_the_verification(
    client: FlaskClient, shop: Sandbox
) -> None:
    issued = shop.tokens.issue(SHOP)
    pair = {name: issued[name] for name in ("access_token", "refresh_token", "expires_in")}
    body = client.post(PATH, json=pair).get_json()
    assert body["is_token_expiring"] is True
    shop.tokens.expire_access_tokens()
    answer = client.post(f"{PATH}/verify")
    assert answer.status_code == 200
    assert answer.get_json()["token_last_four"] != issued["access_token"][-4:]
    assert answer.get_json()["refresh_expires_at"]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (f"https://{SHOP}/admin", SHOP),
        ("https://admin.shopify.com/store/kessel-und-korn/orders", SHOP),
        ("kessel-und-korn", SHOP),
        ("www.kessel-und-korn.de", "Settings, Domains"),
        ("", "Settings, Domains"),
        ("evil.myshopify.com.example.com", "Settings, Domains"),
    ],
)
def test_a_wrong_shop_domain_is_refused_with_the_right_one(
    client: FlaskClient, shop: Sandbox, given: str, meant: str
) -> None:
    answer = client.post(PATH, json={"access_token": TOKEN, "shop": given or "   "})
    assert answer.status_code == 422
    assert meant in answer.get_json()["advice"]
    assert answer.get_json()["errors"][0]["pointer"] == "#/shop"
    assert shop.shopify_requests() == []


def test_a_refused_token_or_a_missing_scope_changes_nothing(
    client: FlaskClient, store: Store
) -> None:
    client.post(PATH, json={"access_token": TOKEN})
    before = client.get(PATH).get_json()
    refused = client.post(PATH, json={"access_token": "shpat_nobody_has_this"})
    assert refused.status_code == 422
    assert refused.get_json()["type"] == "/problems/provider-refused"
    store.scopes = ALL_SCOPES - {"read_orders"}
    lacking = client.post(PATH, json={"access_token": TOKEN})
    assert lacking.status_code == 422
    assert "read_orders (for orders" in lacking.get_json()["detail"]
    assert "shpat" not in refused.text + lacking.text
    assert client.get(PATH).get_json() == before


def test_an_unreachable_store_is_reported(client: FlaskClient, shop: Sandbox) -> None:
    shop.fail_shopify(Fault(status=503, count=5))
    answer = client.post(PATH, json={"access_token": TOKEN})
    assert answer.status_code == 503
    assert answer.get_json()["type"] == "/problems/provider-unavailable"
    assert len(shop.shopify_requests()) == 2


def test_verifying_updates_the_state_of_the_connection(client: FlaskClient, shop: Sandbox) -> None:
    assert client.post(f"{PATH}/verify").status_code == 409
    client.post(PATH, json={"access_token": TOKEN})
    shop.fail_shopify(Fault(status=403, count=2))
    assert client.post(f"{PATH}/verify").get_json()["type"] == "/problems/provider-refused"
    body = client.get(PATH).get_json()
    assert (body["state"], "403" in body["state_reason"]) == ("refused", True)
    pause = datetime.fromisoformat(body["next_probe_at"]) - datetime.now(UTC)
    assert timedelta(minutes=4) < pause <= timedelta(minutes=5)
    body = client.post(f"{PATH}/verify").get_json()
    assert (body["state"], body["next_probe_at"]) == ("active", None)
    # One refusal is not final, even when a person waits.
    shop.fail_shopify(Fault(status=403))
    assert client.post(f"{PATH}/verify").get_json()["state"] == "active"


def test_disconnecting_deletes_the_token_and_keeps_the_shop(
    client: FlaskClient, here: Settings, tenant: UUID
) -> None:
    client.post(PATH, json={"access_token": TOKEN})
    body = client.delete(PATH).get_json()
    assert (body["state"], body["token_last_four"], body["scopes"]) == ("disconnected", None, [])
    assert client.get("/api/admin/me").get_json()["is_shopify_connected"] is False
    assert client.post("/api/admin/segments/shopify/sync").status_code == 409
    assert client.post(f"{PATH}/verify").status_code == 409
    entries = client.get("/api/admin/audit-log").get_json()["data"]
    there = {"shop": SHOP, "is_connected": True, "token_last_four": TOKEN[-4:]}
    gone = {**there, "is_connected": False, "token_last_four": None}
    assert [
        (entry["action"], entry["subject"], entry["before"], entry["after"])
        for entry in entries
        if entry["action"].startswith("shopify.")
    ] == [
        ("shopify.disconnected", SHOP, there, gone),
        ("shopify.connected", SHOP, gone, there),
    ]
    assert client.delete(PATH).status_code == 200
    with connect_as_owner(here) as conn:
        row = one(conn.execute("select sealed_secret, key_id from app.connections").fetchone())
        assert set(row.values()) == {None}
        # The synced data belongs to this shop, so the tenant cannot get another.
        with pytest.raises(Exception, match="connected to"):
            change_tenant(conn, tenant, shop="other.myshopify.com")
    assert client.post(PATH, json={"access_token": TOKEN}).get_json()["state"] == "active"


def test_a_retired_api_version_is_reported(here: Settings, tenant: UUID) -> None:
    old = replace(here, shopify_api_version="2025-01")
    with running_app(old) as app:
        body = client_of(app, old, tenant).post(PATH, json={"access_token": TOKEN}).get_json()
    assert body["api_version"] == "2026-07"
    assert "no longer has version 2025-01" in body["api_version_problem"]
    synced = quintile(old, "sync", "shopify", "--tenant", "kessel")
    assert "1 unsupported api version" in synced.stderr
    done = quintile_process(old, "doctor")
    assert "no longer has version 2025-01 of its API and answers with 2026-07" in done.stdout


def test_an_unknown_api_version_is_an_error_with_advice(here: Settings, tenant: UUID) -> None:
    coming = replace(here, shopify_api_version="2031-01")
    with running_app(coming) as app:
        body = client_of(app, coming, tenant).post(PATH, json={"access_token": TOKEN}).get_json()
    assert "QUINTILE_SHOPIFY_API_VERSION" in body["advice"]


def test_a_limit_to_sixty_days_of_orders_is_reported_with_all_affected_figures(
    client: FlaskClient, here: Settings, store: Store, tenant: UUID
) -> None:
    store.scopes = ALL_SCOPES - {"read_all_orders"}
    add_scored_customers(here, tenant, [("1", "new", "1.50")])
    add_explanations(here, tenant)
    limit = client.post(PATH, json={"access_token": TOKEN}).get_json()["order_limit"]
    assert "only the last 60 days" in limit["in_words"]
    assert limit["window_days"] == 365
    for path in (
        "me",
        "segments/rfm",
        "segments/rfm/customers",
        "segments/rfm/thresholds",
        "segments/rfm/history",
        "segments/rfm/movements",
        "samples/stats",
    ):
        assert client.get(f"/api/admin/{path}").get_json()["order_limit"] == limit
    quality = client.get("/api/admin/segments/rfm/quality").get_json()
    assert quality["verdict"] == "insufficient"
    assert [reason["reason"] for reason in quality["reasons"]] == ["orders_limited"]
    for command in (("segments", "export"), ("samples", "export")):
        exported = quintile(here, *command, "--tenant", "kessel")
        assert "Warning: kessel: Without the scope read_all_orders" in exported.stderr
        assert "Warning" not in exported.stdout

    # An order older than the window ends the limit.
    with connect_as_owner(here) as conn:
        conn.execute(
            """
            insert into shopify.orders (
                tenant_id, order_id, customer_id, currency, processed_at, subtotal_minor,
                total_minor, is_test, source
            )
            values (
                %s, '1', '1', 'EUR', now() - interval '400 days', 100, 100, false, 'csv'
            )
            """,
            [tenant],
        )
    assert client.get("/api/admin/me").get_json()["order_limit"] is None
    assert client.get("/api/admin/segments/rfm/quality").get_json()["verdict"] == "sufficient"
    exported = quintile_process(here, "segments", "export", "--tenant", "kessel")
    assert "Warning" not in exported.stderr


def test_another_tenant_sees_nothing_of_it(
    client: FlaskClient, app: APIFlask, here: Settings
) -> None:
    client.post(PATH, json={"access_token": TOKEN})
    with connect_as_owner(here) as conn:
        other = client_of(app, here, add_tenant(conn, "other", "other.myshopify.com"))
    assert other.get(PATH).get_json()["state"] is None
    wrong = other.post(PATH, json={"access_token": TOKEN})
    assert wrong.status_code == 422
    assert "other.myshopify.com, not kessel" in wrong.get_json()["detail"]
