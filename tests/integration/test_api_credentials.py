"""Tokens, sign-in links and sessions: what each may do, and how it ends."""

from __future__ import annotations

import csv
import inspect
import io
import json
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import jwt
import psycopg
import pytest
from apiflask import APIFlask
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from flask.testing import FlaskClient
from pytest_httpserver import HTTPServer

from service.api.access import PUBLIC_ENDPOINTS, needed_scope
from service.app import create_app
from service.core.config import Settings
from service.core.db import connect_as_owner, tenant_transaction
from service.core.errors import InvalidSettingError
from service.tenants.signing_keys import KeysUnavailableError, SigningKeys
from service.tenants.tenants import add_tenant
from service.tenants.tokens import SCOPES, Scope, create_token
from tests.command import quintile
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


@pytest.fixture
def patient_app(settings: Settings) -> Iterator[APIFlask]:
    """An application that does not count failures."""
    with running_app(replace(settings, failed_logins_per_minute=0)) as app:
        yield app


def test_every_route_refuses_every_credential_that_does_not_allow_it(
    patient_app: APIFlask, settings: Settings, tenant: UUID
) -> None:
    with connect_as_owner(settings) as conn:
        other = add_tenant(conn, "south", None)
        revoked = create_token(conn, tenant, "revoked").token
        conn.execute("update app.api_tokens set revoked_at = now()")
        expired = create_token(conn, tenant, "expired", days=1).token
        conn.execute("update app.api_tokens set expires_at = now() where label = 'expired'")
    foreign = token_for(settings, other).replace(other.hex, tenant.hex)
    tokens = {scope: scoped(settings, tenant, scope) for scope in SCOPES}
    client = patient_app.test_client()
    checked = 0
    for endpoint, method, path in closed_routes(patient_app):
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


# What needs more or less than reading needs `read` and changing `write`.
ADMIN = {
    "admin.settings_audit_log",
    "admin.settings_danger",
    "admin.settings_people",
    "admin.settings_tokens",
    "audit_log.export_audit_log",
    "audit_log.list_audit_log",
    "integrations.connect_shopify_store",
    "integrations.disconnect_shopify_store",
    "integrations.verify_shopify_connection",
    "integrations_klaviyo.connect_klaviyo_account",
    "integrations_klaviyo.disconnect_klaviyo_account",
    "integrations_klaviyo.verify_klaviyo_connection",
    "people.create_sign_in_link",
    "people.end_session",
    "people.end_sessions",
    "people.list_sessions",
    "privacy.download_privacy_export",
    "privacy.list_privacy_exports",
    "privacy.list_privacy_receipts",
    "set_aside_webhooks.confirm_held_webhook",
    "set_aside_webhooks.reject_held_webhook",
    "tokens.create_token",
    "tokens.list_tokens",
    "tokens.revoke_token",
    "tokens.show_token",
    "webhook_endpoints.add_webhook_endpoint",
    "webhook_endpoints.change_webhook_endpoint",
    "webhook_endpoints.delete_webhook_endpoint",
    "webhook_endpoints.redeliver_webhook",
    "webhook_endpoints.replay_webhooks",
    "webhook_endpoints.rotate_webhook_secret",
    "webhook_endpoints.test_webhook_endpoint",
}
READ = {
    "admin.sign_out",
    "samples_settings.match_channels",
    "samples_settings.preview_samples_settings",
}


def test_every_route_needs_the_scope_that_was_decided(app: APIFlask) -> None:
    for endpoint, method, _ in closed_routes(app):
        expected = "read" if method == "GET" or endpoint in READ else "write"
        expected = "admin" if endpoint in ADMIN else expected
        assert needed_scope(endpoint, method) == expected, (endpoint, method)
    assert {*ADMIN, *READ} <= set(app.view_functions)


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


def test_signing_in_again_ends_the_former_session(
    app: APIFlask, settings: Settings, tenant: UUID
) -> None:
    browser = signed_in(app, settings, tenant)
    cookie = browser.get_cookie("quintile_session")
    assert cookie is not None
    thief = app.test_client()
    thief.set_cookie("quintile_session", cookie.value)
    body = {"code": code_for(settings, tenant)}
    assert browser.post("/admin/sign-in/code", json=body, headers=OWN).status_code == 200
    assert thief.get("/api/admin/me").status_code == 401
    assert browser.get("/api/admin/me").status_code == 200


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


def test_nobody_is_called_like_another_kind_of_actor(client: FlaskClient) -> None:
    for name in ("command line", " API token Checkout …abcd", "Sign-in link"):
        answer = client.post("/api/admin/sign-in-links", json={"person": name})
        assert answer.status_code == 422
        assert "is not a name" in answer.get_json()["detail"]
        assert client.post(TOKENS, json={"label": name}).status_code == 422


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


def changed_app(settings: Settings, **changes: object) -> AbstractContextManager[APIFlask]:
    return running_app(replace(settings, **changes))  # type: ignore[arg-type]


def test_a_credential_and_a_failing_address_have_limits(settings: Settings, tenant: UUID) -> None:
    token, other = token_for(settings, tenant), scoped(settings, tenant, "read")
    with changed_app(settings, rate_limit_per_minute=3, failed_logins_per_minute=2) as app:
        client = app.test_client()
        statuses = [client.get("/api/admin/me", headers=bearer(token)).status_code for _ in "1234"]
        assert statuses == [200, 200, 200, 429]
        refused = client.get("/api/admin/me", headers=bearer(token))
        assert refused.get_json()["type"] == "/problems/too-many-requests"
        assert 1 <= int(refused.headers["Retry-After"]) <= 120
        # Another credential of the tenant has its own limit.
        assert client.get("/api/admin/me", headers=bearer(other)).status_code == 200

        wrong = [client.get("/api/admin/me", headers=bearer("x")).status_code for _ in "123"]
        assert wrong == [401, 401, 429]
        refused = client.post("/admin/sign-in/code", json={"code": "x"}, headers=OWN)
        assert refused.status_code == 429
        # Others with this address are not locked out, and other addresses are not counted.
        body = {"code": code_for(settings, tenant)}
        assert client.post("/admin/sign-in/code", json=body, headers=OWN).status_code == 200
        for address, status in (("2001:db8::1", 401), ("2001:db8::2", 401), ("2001:db8::3", 429)):
            elsewhere = {"REMOTE_ADDR": address}
            answer = client.get("/api/admin/me", headers=bearer("x"), environ_overrides=elsewhere)
            assert answer.status_code == status


def test_a_trusted_proxy_names_the_client_and_its_scheme(settings: Settings, tenant: UUID) -> None:
    sent = {"X-Forwarded-For": "198.51.100.1, 192.0.2.1", "X-Forwarded-Proto": "https"}
    for proxies, is_https in ((0, False), (1, True)):
        with changed_app(settings, trusted_proxies=proxies, failed_logins_per_minute=1) as app:
            client = app.test_client()
            token = token_for(settings, tenant)
            data = {"token": token}
            answer = client.post("/admin/sign-in", data=data, headers=OWN | sent)
            assert answer.status_code == 303
            assert ("Secure" in answer.headers["Set-Cookie"]) is is_https
            assert ("Strict-Transport-Security" in answer.headers) is is_https
            # Only the address that the last trusted proxy saw counts, not what a client claims.
            wrong = [
                client.get(
                    "/api/admin/me",
                    headers=bearer("x") | {"X-Forwarded-For": f"{n}.0.0.1, 192.0.2.{last}"},
                ).status_code
                for n, last in ((1, 1), (2, 1), (3, 2))
            ]
            assert wrong == [401, 429, 401 if is_https else 429]


def test_other_sites_scripts_and_frames_are_allowed_only_by_the_settings(
    settings: Settings, tenant: UUID
) -> None:
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "PATCH"}
    token = bearer(token_for(settings, tenant))
    with running_app(settings) as app:
        client = app.test_client()
        assert client.options("/api/admin/me", headers=asked).status_code == 401
        answer = client.get("/api/admin/me", headers=token | asked)
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    allowed = {"cors_origins": "https://app.example", "frame_ancestors": "https://app.example"}
    with changed_app(settings, **allowed) as app:
        client = app.test_client()
        preflight = client.options("/api/admin/me", headers=asked)
        assert preflight.status_code == 204
        assert preflight.headers["Access-Control-Allow-Origin"] == "https://app.example"
        assert "PATCH" in preflight.headers["Access-Control-Allow-Methods"]
        answer = client.get("/api/admin/me", headers=token | asked)
        assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert "frame-ancestors https://app.example;" in answer.headers["Content-Security-Policy"]
        foreign = client.get("/api/admin/me", headers=token | {"Origin": "https://evil.example"})
        assert "Access-Control-Allow-Origin" not in foreign.headers
        assert "Origin" in foreign.vary
        page = client.options("/admin/segments", headers=asked)
        assert "Access-Control-Allow-Origin" not in page.headers
        https = {"base_url": "https://localhost", "data": {"token": token_for(settings, tenant)}}
        cookie = client.post("/admin/sign-in", headers=OWN, **https).headers["Set-Cookie"]  # type: ignore[arg-type]
        assert {"Secure", "SameSite=None", "Partitioned"} <= set(cookie.split("; "))
    for setting in ("cors_origins", "frame_ancestors"):
        for wrong in (
            "https://app.example/path",
            "https://app.example;script-src",
            "https://*",
            "https://",
            "https://u@app.example",
            "https://app.example:443",
            "https://[::1",
            "ftp://app.example",
        ):
            with pytest.raises(InvalidSettingError, match="not an origin"):
                create_app(replace(settings, **{setting: wrong}))  # type: ignore[arg-type]


PLATFORM = {
    "jwt_issuer": "https://{shop}/admin",
    "jwt_audience": "our-app",
    "jwt_tenant_claim": "dest",
    "jwt_scope": "write",
    "jwt_secret": "a secret that the platform shares with us",
}


def claims(**changes: object) -> dict[str, object]:
    """Those of Shopify's session token for the shop north."""
    now = datetime.now(UTC)
    made = {
        "iss": "https://north.myshopify.com/admin",
        "dest": "https://north.myshopify.com",
        "aud": "our-app",
        "sub": "42",
        "exp": now + timedelta(minutes=1),
        "nbf": now - timedelta(seconds=1),
    }
    return {name: value for name, value in (made | changes).items() if value is not None}


def test_a_platforms_token_with_a_shared_secret(settings: Settings) -> None:
    with connect_as_owner(settings) as conn:
        north = add_tenant(conn, "north", "north.myshopify.com")
        add_tenant(conn, "south", "south.myshopify.com")

    def status(app: APIFlask, key: str = PLATFORM["jwt_secret"], **changes: object) -> int:
        token = jwt.encode(claims(**changes), key, "HS256")
        return app.test_client().get("/api/admin/me", headers=bearer(token)).status_code

    with changed_app(settings, **PLATFORM, failed_logins_per_minute=0) as app:
        token = jwt.encode(claims(), PLATFORM["jwt_secret"], "HS256")
        me = app.test_client().get("/api/admin/me", headers=bearer(token)).get_json()
        assert (me["name"], me["scope"], me["actor"]) == ("north", "write", "our-app 42")
        assert status(app, dest=str(north)) == 200
        refused: list[dict[str, object]] = [
            {"exp": datetime.now(UTC) - timedelta(minutes=1)},
            {"nbf": datetime.now(UTC) + timedelta(minutes=5)},
            {"exp": None},
            {"aud": "another-app"},
            {"aud": None},
            {"iss": "https://south.myshopify.com/admin"},
            {"dest": "https://south.myshopify.com"},
            {"dest": "https://nobody.myshopify.com"},
            {"dest": str(uuid4())},
            {"dest": "https://[x"},
            {"dest": "north\x00.myshopify.com"},
            {"dest": None},
        ]
        assert [status(app, **changes) for changes in refused] == [401] * len(refused)
        assert status(app, key="another secret of sufficient length") == 401
        unsigned = jwt.encode(claims(), None, "none")
        answer = app.test_client().get("/api/admin/me", headers=bearer(unsigned))
        assert answer.status_code == 401
        answer = app.test_client().get(TOKENS, headers=bearer(token))
        assert answer.get_json()["type"] == "/problems/missing-scope"
    with running_app(settings) as app:
        # Not configured: nothing is accepted.
        assert status(app) == 401


def test_a_platforms_token_with_public_keys(
    settings: Settings, tenant: UUID, httpserver: HTTPServer
) -> None:
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("ours", "theirs")}
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    published = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(keys["ours"].public_key()))
    document = {"keys": [{"kty": "odd", "kid": "odd"}, published | {"kid": "ours"}]}
    httpserver.expect_request("/keys").respond_with_json(document)
    changes = {
        "jwt_issuer": "https://id.example",
        "jwt_audience": "our-app",
        "jwt_jwks_url": httpserver.url_for("/keys"),
        "failed_logins_per_minute": 0,
    }
    given = claims(iss="https://id.example", tenant_id=str(tenant))
    with changed_app(settings, **changes) as app:

        def status(token: str) -> int:
            return app.test_client().get("/api/admin/me", headers=bearer(token)).status_code

        assert status(jwt.encode(given, keys["ours"], "ES256", {"kid": "ours"})) == 200
        assert status(jwt.encode(given, keys["theirs"], "ES256", {"kid": "ours"})) == 401
        assert status(jwt.encode(given, keys["ours"], "ES256", {"kid": "unknown"})) == 401
        # What is public is no shared secret.
        assert status(jwt.encode(given, published["x"], "HS256", {"kid": "ours"})) == 401
        # Nor does another kind of key with a known id end in an error.
        assert status(jwt.encode(given, other, "RS256", {"kid": "ours"})) == 401
        # Keys are read once, and not for tokens that could not be valid.
        assert len(httpserver.log) == 1
    for answer_of_keys in ("not JSON", '{"keys": []}', "[]"):
        httpserver.clear()
        httpserver.expect_request("/keys").respond_with_data(answer_of_keys)
        with changed_app(settings, **changes) as app:
            old = claims(iss="https://id.example", tenant_id=str(tenant), aud="another-app")
            assert status(jwt.encode(old, keys["ours"], "ES256", {"kid": "ours"})) == 401
            assert httpserver.log == []
            token = jwt.encode(given, keys["ours"], "ES256", {"kid": "ours"})
            answers = [app.test_client().get("/api/admin/me", headers=bearer(token)) for _ in "12"]
            assert [answer.status_code for answer in answers] == [503, 503]
            assert answers[0].get_json()["type"] == "/problems/platform-unavailable"
            # It is not tried again at once.
            assert len(httpserver.log) == 1


def test_keys_that_were_read_stay_in_use_while_they_cannot_be_read(httpserver: HTTPServer) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    published = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    httpserver.expect_ordered_request("/keys").respond_with_json(
        {"keys": [published | {"kid": "ours"}]}
    )
    httpserver.expect_ordered_request("/keys").respond_with_data("down", status=503)
    keys = SigningKeys(httpserver.url_for("/keys"), pause_seconds=0)
    assert keys.find("ours") is not None
    with pytest.raises(KeysUnavailableError):
        keys.find("new")
    assert keys.find("ours") is not None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"jwt_jwks_url": "https://id.example/keys"}, "not both"),
        ({"jwt_issuer": ""}, "need QUINTILE_JWT_ISSUER"),
        ({"jwt_scope": "all"}, "QUINTILE_JWT_SCOPE must be one of read, write, admin"),
        ({"jwt_secret": "x"}, "at least 32 bytes"),
        ({"jwt_secret": ""}, "need QUINTILE_JWT_JWKS_URL or QUINTILE_JWT_SECRET"),
        ({"jwt_secret": "", "jwt_jwks_url": "http://id.example"}, "must be an https:// address"),
    ],
    ids=str,
)
def test_incomplete_settings_of_a_platform_are_refused(
    settings: Settings, changes: dict[str, str], message: str
) -> None:
    with pytest.raises(InvalidSettingError, match=message):
        create_app(replace(settings, **PLATFORM | changes))  # type: ignore[arg-type]


AUDIT = "/api/admin/audit-log"


def test_a_change_is_in_the_audit_log_with_who_before_and_after(
    app: APIFlask, settings: Settings, tenant: UUID, client: FlaskClient
) -> None:
    browser = signed_in(app, settings, tenant, "Ada Byron")
    body = {"window_days": 180, "excluded_customer_ids": ["4711"]}
    answer = browser.patch("/api/admin/segments/rfm/settings", json=body, headers=OWN)
    assert answer.status_code == 202
    creator = {"handle": "ada", "email": "ada@example.com"}
    assert client.post("/api/admin/creators", json=creator).status_code == 201
    made = client.post(TOKENS, json={"label": "=Checkout"}).get_json()
    quintile(
        *(settings, "tenants", "set", "north", "--window-days", "90", "--count-samples"),
        *("--exclude-customer", "4711"),
    )
    quintile(settings, "schedules", "pause", "klaviyo", "--tenant", "north")

    listed = client.get(AUDIT).get_json()["data"]
    assert [(row["actor"].split(" …")[0], row["action"]) for row in listed] == [
        ("command line", "schedule.paused"),
        ("command line", "tenant.changed"),
        ("API token tests", "token.created"),
        ("API token tests", "creator.added"),
        ("Ada Byron", "rfm_settings.changed"),
    ]
    changed = listed[-1]
    assert (changed["before"]["window_days"], changed["after"]["window_days"]) == (365, 180)
    paused, set_by_command = listed[:2]
    assert paused["subject"] == "klaviyo"
    assert (paused["before"], paused["after"]) == ({"is_paused": False}, {"is_paused": True})
    names = ("window_days", "is_sample_counted", "excluded_customer_ids")
    assert [set_by_command["before"][name] for name in names] == [180, False, 1]
    assert [set_by_command["after"][name] for name in names] == [90, True, 1]
    kinds = [row["actor_kind"] for row in listed]
    assert kinds == ["command", "command", "token", "token", "person"]
    # Neither secrets nor personal data of creators.
    assert made["token"] not in str(listed)
    assert "ada@example.com" not in str(listed)
    assert "4711" not in str(listed)

    first = client.get(f"{AUDIT}?limit=2").get_json()
    second = client.get(f"{AUDIT}?limit=2&cursor={first['next_cursor']}").get_json()
    assert first["data"] + second["data"] == listed[:4]
    assert client.get(f"{AUDIT}?actor=Ada Byron").get_json()["data"] == [changed]
    assert client.get(f"{AUDIT}?action=tenant.changed").get_json()["data"] == [listed[1]]
    assert client.get(f"{AUDIT}?since=2100-01-01T00:00:00Z").get_json()["data"] == []
    lines = list(csv.DictReader(io.StringIO(client.get(f"{AUDIT}.csv").text)))
    assert [line["action"] for line in lines] == [row["action"] for row in listed]
    assert json.loads(lines[-1]["after"])["window_days"] == 180

    # The address may hold a secret.
    hook = {"url": "https://hooks.example/T0/secret-part", "topics": ["sample.found"]}
    assert client.post("/api/admin/webhooks/endpoints", json=hook).status_code == 201
    newest, *others = client.get(AUDIT).get_json()["data"]
    assert newest["action"] == "webhook_endpoint.added"
    assert newest["after"]["host"] == "hooks.example"
    assert "secret-part" not in str(newest)
    assert others == listed
    listed = [newest, *others]

    # What fails, or changes nothing, leaves no entry.
    client.patch("/api/admin/segments/rfm/settings", json={"window_days": 0})
    client.delete(f"/api/admin/creators/{uuid4()}")
    quintile(settings, "tenants", "set", "north", "--shop", "bad", expect=1)
    assert client.get(AUDIT).get_json()["data"] == listed


def test_the_audit_log_can_only_grow_and_is_of_one_tenant(
    app: APIFlask, settings: Settings, tenant: UUID, client: FlaskClient
) -> None:
    client.post(TOKENS, json={"label": "x"})
    with connect_as_owner(settings) as conn:
        other = add_tenant(conn, "south", None)
    visitor = bearer(token_for(settings, other))
    assert app.test_client().get(AUDIT, headers=visitor).get_json()["data"] == []
    for statement in (
        "update app.audit_log set actor = 'x'",
        "delete from app.audit_log",
        "insert into app.audit_log (made_at) values (now())",
    ):
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege),
            tenant_transaction(app.extensions["quintile"].pool, tenant) as conn,
        ):
            conn.execute(statement)  # type: ignore[call-overload]


def test_every_change_through_the_api_is_recorded(app: APIFlask) -> None:
    saves_nothing = {
        "samples_settings.match_channels",
        "samples_settings.preview_samples_settings",
    }
    not_recorded = [
        endpoint
        for endpoint, method, path in closed_routes(app)
        if method != "GET"
        and path.startswith("/api/")
        and endpoint not in saves_nothing
        # Samples' settings are saved in one place, for a change and its undo.
        and not re.search(
            r"\b(record|recording|_save)\(", inspect.getsource(app.view_functions[endpoint])
        )
    ]
    assert not_recorded == []
