"""Tokens, sign-in links and sessions: what each may do, and how it ends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from service.api import access
from service.api.access import PUBLIC_ENDPOINTS, needed_scope
from service.core.config import Settings
from service.core.db import connect_as_owner
from service.tenants.tenants import add_tenant
from service.tenants.tokens import SCOPES, Scope, create_token
from tests.web import code_for, running_app, token_for

OWN = {"X-Quintile-Request": "1"}
TOKENS = "/api/admin/tokens"
SESSIONS = "/api/admin/sessions"


@pytest.fixture
def settings(built_settings: Settings) -> Settings:
    return built_settings


@pytest.fixture
def tenant(settings: Settings) -> UUID:
    with connect_as_owner(settings) as conn:
        return add_tenant(conn, "north", None)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def scoped(settings: Settings, tenant: UUID, scope: Scope) -> str:
    with connect_as_owner(settings) as conn:
        return create_token(conn, tenant, scope, scope=scope).token


def closed_routes(app: APIFlask) -> Iterator[tuple[str, str, str]]:
    """Endpoint, method and URL of every route that needs a credential."""
    for rule in app.url_map.iter_rules():
        if rule.endpoint not in PUBLIC_ENDPOINTS:
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield rule.endpoint, method, re.sub(r"<[^>]+>", str(uuid4()), rule.rule)


def signed_in(
    app: APIFlask, settings: Settings, tenant: UUID, person: str | None = None
) -> FlaskClient:
    """A browser that opened a sign-in link."""
    client = app.test_client()
    body = {"code": code_for(settings, tenant, person=person)}
    assert client.post("/admin/sign-in/code", json=body, headers=OWN).status_code == 200
    return client


def test_every_route_refuses_every_credential_that_does_not_allow_it(
    app: APIFlask, settings: Settings, tenant: UUID
) -> None:
    with connect_as_owner(settings) as conn:
        other = add_tenant(conn, "south", None)
        revoked = create_token(conn, tenant, "revoked").token
        conn.execute("update app.api_tokens set revoked_at = now()")
        expired = create_token(conn, tenant, "expired", days=1).token
        conn.execute("update app.api_tokens set expires_at = now() where label = 'expired'")
    foreign = token_for(settings, other).replace(other.hex, tenant.hex)
    tokens = {scope: scoped(settings, tenant, scope) for scope in SCOPES}
    client = app.test_client()
    checked = 0
    for endpoint, method, path in closed_routes(app):
        for name, headers in {
            "none": {},
            "foreign": bearer(foreign),
            "expired": bearer(expired),
            "revoked": bearer(revoked),
        }.items():
            answer = client.open(path, method=method, headers=headers)
            assert answer.status_code == 401, (endpoint, method, name)
        needed = needed_scope(endpoint, method)
        for scope in SCOPES[: SCOPES.index(needed)]:
            answer = client.open(path, method=method, headers=bearer(tokens[scope]))
            assert answer.status_code == 403, (endpoint, method, scope)
            assert answer.get_json()["type"] == "/problems/missing-scope"
            checked += 1
        if method == "GET":
            answer = client.open(path, headers=bearer(tokens[needed]))
            assert answer.status_code not in (401, 403), endpoint
    assert checked > 40


def test_the_exceptions_of_scopes_name_what_exists(app: APIFlask) -> None:
    assert set(access._SCOPES) <= set(app.view_functions)
    assert {*access._ADMIN_BLUEPRINTS, *access._ADMIN_CHANGES} <= set(app.blueprints)


def test_a_token_is_created_listed_used_and_revoked(app: APIFlask, client: FlaskClient) -> None:
    body = {"label": "Checkout", "scope": "write", "expires_in_days": 30}
    answer = client.post(TOKENS, json=body)
    assert answer.status_code == 201
    created = answer.get_json()
    token = created.pop("token")
    assert created["state"] == "active"
    assert created["last_four"] == token[-4:]
    assert created["created_by"].startswith("API token tests …")
    visitor = app.test_client()
    assert visitor.get("/api/admin/me", headers=bearer(token)).status_code == 200
    assert visitor.get(TOKENS, headers=bearer(token)).status_code == 403

    listed = client.get(TOKENS).get_json()["data"]
    assert [row["label"] for row in listed] == ["Checkout", "tests"]
    assert listed[0]["last_used_on"] is not None
    assert token not in str(listed)

    revoked = client.delete(f"{TOKENS}/{created['token_id']}").get_json()
    assert revoked["state"] == "revoked"
    assert visitor.get("/api/admin/me", headers=bearer(token)).status_code == 401
    again = client.delete(f"{TOKENS}/{created['token_id']}").get_json()
    assert again["revoked_at"] == revoked["revoked_at"]
    assert client.delete(f"{TOKENS}/{uuid4()}").status_code == 404
    assert client.post(TOKENS, json={"label": " "}).status_code == 422
    assert client.post(TOKENS, json={"label": "x", "scope": "root"}).status_code == 422


def test_signing_out_ends_a_session_also_for_a_copied_cookie(
    app: APIFlask, settings: Settings, tenant: UUID
) -> None:
    browser = signed_in(app, settings, tenant)
    cookie = browser.get_cookie("quintile_session")
    assert cookie is not None
    thief = app.test_client()
    thief.set_cookie("quintile_session", cookie.value)
    assert thief.get("/api/admin/me").status_code == 200
    browser.post("/admin/sign-out", headers=OWN)
    assert thief.get("/api/admin/me").status_code == 401


def test_a_person_is_signed_out_everywhere_and_others_stay(
    app: APIFlask, settings: Settings, tenant: UUID, client: FlaskClient
) -> None:
    ada, again, bob = (signed_in(app, settings, tenant, name) for name in ("Ada", "Ada", "Bob"))
    unused = code_for(settings, tenant, person="Ada")
    listed = client.get(SESSIONS).get_json()["data"]
    assert [row["person"] for row in listed] == ["Bob", "Ada", "Ada"]
    assert client.delete(f"{SESSIONS}?person=Ada").get_json() == {"ended": 2}
    statuses = [each.get("/api/admin/me").status_code for each in (ada, again, bob)]
    assert statuses == [401, 401, 200]
    body = {"code": unused}
    answer = app.test_client().post("/admin/sign-in/code", json=body, headers=OWN)
    assert answer.status_code == 401
    (last,) = client.get(SESSIONS).get_json()["data"]
    assert client.delete(f"{SESSIONS}/{last['session_id']}").get_json() == {"ended": 1}
    assert client.delete(f"{SESSIONS}/{last['session_id']}").status_code == 404
    assert bob.get("/api/admin/me").status_code == 401


def test_everybody_is_signed_out_but_not_other_tenants(
    app: APIFlask, settings: Settings, tenant: UUID, client: FlaskClient
) -> None:
    with connect_as_owner(settings) as conn:
        other = add_tenant(conn, "south", None)
    here, there = signed_in(app, settings, tenant), signed_in(app, settings, other)
    assert client.delete(SESSIONS).get_json() == {"ended": 1}
    assert here.get("/api/admin/me").status_code == 401
    assert there.get("/api/admin/me").status_code == 200


def test_a_link_from_the_api_signs_in_with_its_scope_and_name(
    app: APIFlask, client: FlaskClient
) -> None:
    body = {"person": "Ada Byron", "scope": "read"}
    answer = client.post("/api/admin/sign-in-links", json=body)
    assert answer.status_code == 201
    address, _, code = answer.get_json()["link"].partition("#code=")
    assert address == "http://localhost/admin/sign-in"
    browser = app.test_client()
    browser.post("/admin/sign-in/code", json={"code": code}, headers=OWN)
    me = browser.get("/api/admin/me").get_json()
    assert (me["actor"], me["scope"]) == ("Ada Byron", "read")
    refused = browser.post("/api/admin/segments/rfm/calculate", headers=OWN)
    assert refused.status_code == 403
    assert refused.get_json()["detail"] == "This needs the scope write; yours is read."
    # Signing out needs no more than having signed in.
    assert browser.post("/admin/sign-out", headers=OWN).status_code == 303


def test_a_change_names_the_person(
    app: APIFlask, settings: Settings, tenant: UUID, client: FlaskClient
) -> None:
    browser = signed_in(app, settings, tenant, "Ada Byron")
    body = {"ugc_tags": ["gifted"]}
    assert browser.patch("/api/admin/samples/settings", json=body, headers=OWN).status_code == 202
    (change,) = client.get("/api/admin/samples/settings/history").get_json()["data"]
    assert change["changed_by"] == "Ada Byron"


def test_a_session_does_not_outlive_its_lifetime(settings: Settings, tenant: UUID) -> None:
    with running_app(settings) as app:
        browser = signed_in(app, settings, tenant)
        with connect_as_owner(settings) as conn:
            conn.execute("update app.sessions set expires_at = now()")
        assert browser.get("/api/admin/me").status_code == 401
