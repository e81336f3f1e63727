"""The connection to Klaviyo over the API: verified live, with its scopes, without the key."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from uuid import UUID

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from sandbox import Fault, Sandbox
from sandbox.klaviyo import ALL_SCOPES, Account
from service.core.config import Settings
from service.core.db import connect_as_owner, one
from service.tenants.tenants import add_tenant
from tests.command import quintile_process
from tests.web import client_of, running_app

PATH = "/api/admin/integrations/klaviyo"
KEY = "pk_sandbox_for_these_tests"
NEEDED = {"accounts:read", "lists:read", "lists:write", "profiles:read", "profiles:write"}


@pytest.fixture
def account() -> Account:
    return Account(
        KEY, name="Kessel & Korn", currency="EUR", timezone="UTC", prefix="KK", rate_limit_scale=50
    )


@pytest.fixture
def klaviyo(account: Account) -> Iterator[Sandbox]:
    other = Account(
        "pk_sandbox_of_others", name="Others", currency="EUR", timezone="UTC", prefix="OT"
    )
    with Sandbox([], [account, other]) as sandbox:
        yield sandbox


@pytest.fixture
def tenant(klaviyo_settings: Settings) -> UUID:
    with connect_as_owner(klaviyo_settings) as conn:
        return add_tenant(conn, "kessel", None)


@pytest.fixture
def app(klaviyo_settings: Settings) -> Iterator[APIFlask]:
    with running_app(klaviyo_settings) as app:
        yield app


@pytest.fixture
def client(app: APIFlask, klaviyo_settings: Settings, tenant: UUID) -> FlaskClient:
    return client_of(app, klaviyo_settings, tenant)


def test_connecting_an_account_returns_the_purpose_of_each_scope(
    client: FlaskClient, account: Account, klaviyo: Sandbox
) -> None:
    before = client.get(PATH).get_json()
    assert (before["state"], before["scopes"], before["key_last_four"]) == (None, [], None)
    account.add_key("pk_sandbox_without_flows", ALL_SCOPES - {"flows:read"})
    answer = client.post(PATH, json={"api_key": " pk_sandbox_without_flows\n"})
    assert answer.status_code == 200
    assert "pk_sandbox" not in answer.text
    body = answer.get_json()
    assert body == client.get(PATH).get_json()
    names = ("state", "account_id", "account_name", "key_last_four")
    assert [body[name] for name in names] == ["active", "KKSNDB", "Kessel & Korn", "lows"]
    granted = {each["scope"]: (each["is_needed"], each["is_granted"]) for each in body["scopes"]}
    assert granted == {
        **dict.fromkeys(NEEDED, (True, True)),
        "events:write": (False, True),
        "data-privacy:write": (False, True),
        "flows:read": (False, False),
    }
    assert all(each["purpose"] for each in body["scopes"])
    # Trying the scopes changed nothing.
    assert (account.profiles, account.lists, account.jobs, account.events) == ({}, {}, {}, {})
    tried = {(each.method, each.path) for each in klaviyo.klaviyo_requests()}
    assert len(tried) == 7


@pytest.mark.parametrize("scope", sorted(NEEDED))
def test_a_key_that_lacks_a_scope_is_refused_with_the_purpose_of_the_scope(
    client: FlaskClient, account: Account, scope: str
) -> None:
    client.post(PATH, json={"api_key": KEY})
    before = client.get(PATH).get_json()
    account.add_key("pk_sandbox_lacking", ALL_SCOPES - {scope})
    answer = client.post(PATH, json={"api_key": "pk_sandbox_lacking"})
    assert answer.status_code == 422
    body = answer.get_json()
    assert f"lacks {scope} (for " in body["detail"]
    assert body["errors"][0]["pointer"] == "#/api_key"
    assert "pk_sandbox" not in answer.text
    assert client.get(PATH).get_json() == before


def test_a_refused_key_does_not_replace_the_stored_one(client: FlaskClient) -> None:
    client.post(PATH, json={"api_key": KEY})
    before = client.get(PATH).get_json()
    answer = client.post(PATH, json={"api_key": "pk_nobody_has_this"})
    assert answer.status_code == 422
    assert answer.get_json()["type"] == "/problems/provider-refused"
    assert "pk_nobody" not in answer.text
    assert client.get(PATH).get_json() == before


@pytest.mark.parametrize("key", ["short", "has a space in it", "umläut_in_the_key"])
def test_an_impossible_key_is_never_sent(client: FlaskClient, klaviyo: Sandbox, key: str) -> None:
    assert client.post(PATH, json={"api_key": key}).status_code == 422
    assert klaviyo.klaviyo_requests() == []


def test_an_unreachable_account_is_reported_as_unreachable(
    client: FlaskClient, klaviyo: Sandbox
) -> None:
    klaviyo.fail_klaviyo(Fault(status=503, count=5))
    answer = client.post(PATH, json={"api_key": KEY})
    assert answer.status_code == 503
    assert answer.get_json()["type"] == "/problems/provider-unavailable"
    assert len(klaviyo.klaviyo_requests()) == 2


def test_replacing_a_key_deletes_the_former_one(
    client: FlaskClient, klaviyo_settings: Settings, account: Account
) -> None:
    client.post(PATH, json={"api_key": KEY})
    with connect_as_owner(klaviyo_settings) as conn:
        former = one(conn.execute("select sealed_secret from app.connections").fetchone())
    account.add_key("pk_sandbox_the_second", ALL_SCOPES)
    account.revoke_key(KEY)
    body = client.post(PATH, json={"api_key": "pk_sandbox_the_second"}).get_json()
    assert (body["state"], body["key_last_four"]) == ("active", "cond")
    assert client.post(f"{PATH}/verify").status_code == 200
    with connect_as_owner(klaviyo_settings) as conn:
        rows = conn.execute("select sealed_secret from app.connections").fetchall()
    assert len(rows) == 1
    assert rows[0] != former


def test_verifying_again_detects_a_refused_key_and_a_restored_one(
    client: FlaskClient, account: Account
) -> None:
    assert client.post(f"{PATH}/verify").status_code == 409
    client.post(PATH, json={"api_key": KEY})
    account.revoke_key(KEY)
    assert client.post(f"{PATH}/verify").get_json()["type"] == "/problems/provider-refused"
    body = client.get(PATH).get_json()
    assert (body["state"], "401" in body["state_reason"]) == ("refused", True)
    assert body["next_probe_at"] is not None
    account.add_key(KEY, ALL_SCOPES)
    assert client.post(f"{PATH}/verify").get_json()["state"] == "active"
    account.add_key(KEY, ALL_SCOPES - {"profiles:write"})
    assert client.post(f"{PATH}/verify").status_code == 422
    assert "lacks profiles:write" in client.get(PATH).get_json()["state_reason"]


def test_a_valid_key_resumes_what_a_refused_key_paused(
    client: FlaskClient, klaviyo_settings: Settings, tenant: UUID
) -> None:
    client.post(PATH, json={"api_key": KEY})
    with connect_as_owner(klaviyo_settings) as conn:
        conn.execute(
            """
            insert into app.klaviyo_sync_configs (
                tenant_id, segment_key, list_id, list_name, is_paused, paused_by, paused_at
            )
            values
            (%(tenant)s, 'rfm:champions', 'KK0001', 'A', true, 'key', now()),
            (%(tenant)s, 'rfm:loyal', 'KK0002', 'B', true, 'person', now())
            """,
            {"tenant": tenant},
        )
    client.post(PATH, json={"api_key": KEY})
    with connect_as_owner(klaviyo_settings) as conn:
        rows = conn.execute(
            "select segment_key from app.klaviyo_sync_configs where is_paused"
        ).fetchall()
    assert [row["segment_key"] for row in rows] == ["rfm:loyal"]


def test_another_account_is_accepted_only_while_no_list_is_synced(
    client: FlaskClient, klaviyo_settings: Settings, tenant: UUID
) -> None:
    client.post(PATH, json={"api_key": KEY})
    with connect_as_owner(klaviyo_settings) as conn:
        conn.execute(
            """
            insert into app.klaviyo_sync_configs (tenant_id, segment_key, list_id, list_name)
            values (%s, 'rfm:champions', 'KK0001', 'Champions')
            """,
            [tenant],
        )
        conn.execute(
            """
            insert into app.klaviyo_profiles (tenant_id, email, properties_hash)
            values (%s, 'ada@example.org', 'x')
            """,
            [tenant],
        )
    refused = client.post(PATH, json={"api_key": "pk_sandbox_of_others"})
    assert refused.status_code == 422
    assert "lists of Kessel & Korn are synced" in refused.get_json()["detail"]
    assert client.get(PATH).get_json()["account_name"] == "Kessel & Korn"
    with connect_as_owner(klaviyo_settings) as conn:
        conn.execute("delete from app.klaviyo_sync_configs")
    taken = client.post(PATH, json={"api_key": "pk_sandbox_of_others"})
    assert taken.get_json()["account_name"] == "Others"
    with connect_as_owner(klaviyo_settings) as conn:
        # The other account's profiles have not been sent any properties yet.
        assert conn.execute("select 1 from app.klaviyo_profiles").fetchone() is None


def test_disconnecting_deletes_the_key(client: FlaskClient, klaviyo_settings: Settings) -> None:
    client.post(PATH, json={"api_key": KEY})
    body = client.delete(PATH).get_json()
    assert (body["state"], body["key_last_four"], body["scopes"]) == ("disconnected", None, [])
    entry = client.get("/api/admin/audit-log?limit=1").get_json()["data"][0]
    assert entry["action"] == "klaviyo.disconnected"
    assert entry["before"]["is_connected"]
    assert len(entry["before"]["key_last_four"]) == 4
    assert (entry["after"]["is_connected"], entry["after"]["key_last_four"]) == (False, None)
    assert client.post(f"{PATH}/verify").status_code == 409
    assert client.delete(PATH).status_code == 200
    with connect_as_owner(klaviyo_settings) as conn:
        row = one(conn.execute("select sealed_secret, key_id from app.connections").fetchone())
    assert set(row.values()) == {None}
    assert client.post(PATH, json={"api_key": KEY}).get_json()["state"] == "active"


def test_the_key_is_never_logged_and_stored_only_encrypted(
    client: FlaskClient,
    klaviyo_settings: Settings,
    klaviyo: Sandbox,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    klaviyo.fail_klaviyo(Fault(drop=True), Fault(status=503))
    said = [client.post(PATH, json={"api_key": KEY}).text]
    klaviyo.fail_klaviyo(Fault(status=403, count=2))
    said += [client.post(PATH, json={"api_key": KEY}).text]
    klaviyo.reset_faults()
    said += [client.post(PATH, json={"api_key": KEY}).text, client.get(PATH).text]
    assert KEY not in "".join(said) + caplog.text
    with connect_as_owner(klaviyo_settings) as conn:
        stored = conn.execute("select * from app.connections").fetchall()
    assert stored
    assert KEY not in repr(stored)


def test_another_tenant_does_not_see_the_connection(
    client: FlaskClient, app: APIFlask, klaviyo_settings: Settings
) -> None:
    client.post(PATH, json={"api_key": KEY})
    with connect_as_owner(klaviyo_settings) as conn:
        other = client_of(app, klaviyo_settings, add_tenant(conn, "other", None))
    assert other.get(PATH).get_json()["state"] is None
    assert other.post(f"{PATH}/verify").status_code == 409


def test_commands_connect_and_disconnect_an_account(
    klaviyo_settings: Settings, tenant: UUID
) -> None:
    connected = quintile_process(
        klaviyo_settings, "tenants", "connect-klaviyo", "kessel", stdin=KEY
    )
    assert "connected Kessel & Korn" in connected.stderr
    assert KEY not in connected.stderr + connected.stdout
    gone = quintile_process(klaviyo_settings, "tenants", "disconnect-klaviyo", "kessel")
    assert "kessel is disconnected" in gone.stderr
