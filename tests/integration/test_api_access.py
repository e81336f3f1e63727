"""Authentication, errors, and isolation of tenants in the API."""

from __future__ import annotations

import json
import re
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from apiflask import APIFlask
from flask import g
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from service.api.access import PUBLIC_ENDPOINTS, Login, transaction
from service.core.config import Settings
from service.core.db import connect, connect_as_owner, transform_url
from service.tenants.tenants import add_tenant
from service.tenants.tokens import Access
from tests.web import (
    add_samples,
    add_scored_customers,
    add_shopify_segments,
    client_of,
    code_for,
    running_app,
    token_for,
)

OWN = {"X-Quintile-Request": "1"}


@pytest.fixture
def settings(built_settings: Settings) -> Settings:
    return built_settings


@pytest.fixture
def tenant(settings: Settings) -> UUID:
    with connect_as_owner(settings) as conn:
        return add_tenant(conn, "north", None)


@pytest.fixture
def browser(app: APIFlask, settings: Settings, tenant: UUID) -> FlaskClient:
    """A client with a session instead of a token."""
    client = app.test_client()
    response = client.post(
        "/admin/sign-in", data={"token": token_for(settings, tenant)}, headers=OWN
    )
    assert response.status_code == 303
    return client


def problem_of(response: TestResponse) -> dict[str, object]:
    """The problem document of an error, after checking its shape."""
    assert response.content_type == "application/problem+json"
    body = response.get_json()
    assert {"type", "title", "status", "detail", "instance"} <= body.keys()
    assert body.keys() <= {"type", "title", "status", "detail", "instance", "advice", "errors"}
    assert body["status"] == response.status_code
    assert re.fullmatch(r"/problems/[a-z-]+", body["type"])
    assert body["instance"] == f"urn:uuid:{response.headers['X-Request-Id']}"
    return body


def every_route(app: APIFlask) -> list[tuple[str, str, str]]:
    """Endpoint, method and URL of every route."""
    return [
        (rule.endpoint, method, re.sub(r"<[^>]+>", str(uuid4()), rule.rule))
        for rule in app.url_map.iter_rules()
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    ]


def test_every_route_needs_a_login_but_the_public_ones(app: APIFlask) -> None:
    open_routes = {
        endpoint
        for endpoint, method, path in every_route(app)
        if app.test_client().open(path, method=method).status_code != 401
    }
    assert open_routes <= PUBLIC_ENDPOINTS
    assert set(app.view_functions) >= PUBLIC_ENDPOINTS


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer",
        "Bearer nonsense",
        f"Bearer qnt_{'0' * 32}_{'A' * 43}",
        f"Basic {'A' * 20}",
        "Bearer qsi_" + "0" * 32 + "_" + "A" * 43,
        "Bearer \x00",
    ],
)
def test_every_wrong_token_gets_the_same_message(app: APIFlask, authorization: str) -> None:
    response = app.test_client().get("/api/admin/me", headers={"Authorization": authorization})
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert problem_of(response)["detail"] == "An API token or a session is required."


def test_a_wrong_token_is_refused_despite_a_session(browser: FlaskClient) -> None:
    assert browser.get("/api/admin/me").status_code == 200
    response = browser.get("/api/admin/me", headers={"Authorization": "Bearer nonsense"})
    assert response.status_code == 401


def test_a_revoked_token_ends_its_requests_and_its_sessions(
    settings: Settings, client: FlaskClient, browser: FlaskClient
) -> None:
    assert client.get("/api/admin/me").status_code == 200
    assert browser.get("/api/admin/me").status_code == 200
    with connect_as_owner(settings) as conn:
        conn.execute("update app.api_tokens set revoked_at = now()")
    assert client.get("/api/admin/me").status_code == 401
    assert browser.get("/api/admin/me").status_code == 401


def test_every_error_is_a_problem_document(client: FlaskClient, app: APIFlask) -> None:
    cases = [
        (client.get("/nowhere"), 404, "not-found"),
        (client.get("/api/admin/nowhere"), 404, "not-found"),
        (client.get(f"/api/admin/runs/{uuid4()}"), 404, "not-found"),
        (client.get("/api/admin/runs/not-a-uuid"), 404, "not-found"),
        (client.get("/problems/unheard-of"), 404, "not-found"),
        (client.delete("/api/admin/me"), 405, "method-not-allowed"),
        (client.get("/api/admin/segments?limit=0"), 422, "invalid-input"),
        (client.get("/api/admin/segments?limit=201"), 422, "invalid-input"),
        (client.get("/api/admin/segments?q=%00"), 422, "invalid-input"),
        (client.get("/api/admin/segments?unknown=1"), 422, "invalid-input"),
        (client.get("/api/admin/segments?q=a&q=b"), 422, "invalid-input"),
        (client.get("/api/admin/samples?type=other"), 422, "invalid-input"),
        (client.get("/api/admin/segments/rfm/customers?segment=x"), 422, "invalid-input"),
        (client.get("/api/admin/samples?cursor=x"), 400, "bad-cursor"),
        (client.post("/api/admin/segments/shopify/sync"), 409, "not-connected"),
        (client.post("/api/admin/integrations/shopify/sync"), 409, "not-connected"),
        (client.post("/admin/sign-in/code", data="{", headers=OWN), 415, "unsupported-media-type"),
        (client.post("/admin/sign-in/code", json=[], headers=OWN), 422, "invalid-input"),
        (
            client.post("/admin/sign-in/code", json={"code": "x"}, headers=OWN),
            401,
            "sign-in-failed",
        ),
        (client.post("/admin/sign-in/code", json={"code": "x"}), 403, "request-refused"),
        (app.test_client().get("/api/admin/me"), 401, "sign-in-required"),
    ]
    for response, status, slug in cases:
        assert (response.status_code, problem_of(response)["type"]) == (
            status,
            f"/problems/{slug}",
        ), response.request.path


def test_a_body_that_is_too_large_is_a_problem(client: FlaskClient) -> None:
    response = client.post(
        "/admin/sign-in/code", data=b"x" * 1_100_000, content_type="application/json", headers=OWN
    )
    assert response.status_code == 413
    assert problem_of(response)["type"] == "/problems/too-large"


def test_an_invalid_parameter_is_named(client: FlaskClient) -> None:
    errors = problem_of(client.get("/api/admin/samples?limit=many&type=ugc"))["errors"]
    assert isinstance(errors, list)
    assert [error["parameter"] for error in errors] == ["limit"]


@pytest.mark.parametrize(
    ("method", "path", "body", "errors"),
    [
        ("POST", "creators", {}, {"#/handle": "A creator needs a handle, a name or an"}),
        (
            *("POST", "creators"),
            {"handle": "two words", "email": "ada", "profile_url": "ftp://x"},
            {
                "#/handle": "A handle is one word without @ and /.",
                "#/email": "An e-mail address looks like name@example.com.",
                "#/profile_url": "A profile's address begins with https://.",
            },
        ),
        ("POST", "creators", {"name": " "}, {"#/name": "This must not be empty."}),
        (
            *("PATCH", "samples/settings"),
            {"ugc_tags": ["ok", "x" * 256]},
            {"#/ugc_tags/1": "This must have at most 255 characters."},
        ),
        (
            *("PATCH", "samples/settings"),
            {"channel_patterns": ["%"]},
            {"#/confirm_broad": "The pattern % matches every channel."},
        ),
        (
            *("PATCH", "samples/settings"),
            {"channel_patterns": ["tiktok\\"]},
            {"#/channel_patterns/0": "A pattern must not end in a single"},
        ),
        (
            *("PATCH", "segments/rfm/settings"),
            {"window_days": 1.5, "excluded_domains": ["x"]},
            {
                "#/window_days": "This must be a whole number.",
                "#/excluded_domains/0": "A domain looks like example.com.",
            },
        ),
        (
            *("POST", "webhooks/endpoints"),
            {"url": "", "topics": ["sample.found"]},
            {"#/url": "This must not be empty."},
        ),
        (
            *("POST", "webhooks/endpoints"),
            {"url": "http://x.example", "topics": ["sample.found"]},
            {"#/url": "The address must begin with https://."},
        ),
        (
            *("POST", "integrations/shopify"),
            {"access_token": "short"},
            {"#/access_token": "This must be 8 to 512 characters without spaces."},
        ),
        (
            *("POST", "integrations/klaviyo"),
            {"api_key": "short"},
            {"#/api_key": "This must be 8 to 512 characters without spaces."},
        ),
        (
            *("POST", "integrations/klaviyo/config"),
            {"list_id": "AB12"},
            {"#/segment_key": "Choose the segment to sync to the list."},
        ),
        ("POST", "integrations/klaviyo/config", {}, {"#/list_id": "This is required."}),
        (
            *("POST", "integrations/klaviyo/lists"),
            {"name": "  "},
            {"#/name": "This must not be empty."},
        ),
        ("GET", "samples?status=lost", None, {"status": "This must be 'pending', 'partial',"}),
        ("GET", "segments?q=" + "x" * 201, None, {"q": "This must have at most 200 characters."}),
        ("GET", "runs?state=odd", None, {"state": "This must be 'queued',"}),
        ("GET", "creators?limit=0", None, {"limit": "This must be 1 or more."}),
    ],
    ids=str,
)
def test_every_error_names_its_field_in_plain_words(
    client: FlaskClient, method: str, path: str, body: object, errors: dict[str, str]
) -> None:
    answer = client.open(f"/api/admin/{path}", method=method, json=body)
    assert answer.status_code == 422, answer.text
    found = problem_of(answer)
    assert isinstance(found["errors"], list)
    said = {each.get("pointer") or each["parameter"]: each["detail"] for each in found["errors"]}
    assert said.keys() == errors.keys()
    for name, start in errors.items():
        assert said[name].startswith(start), said[name]
    # The whole problem says what is wrong, too, and neither speaks of requests or Python types.
    assert next(iter(said.values())) in str(found["detail"])
    text = f"{found['detail']} {found.get('advice', '')}"
    assert not re.search(r"Input|string|items|Value|request|send|true\b|JSON|API", text), text


def test_a_wrong_method_gets_the_allowed_ones(client: FlaskClient) -> None:
    response = client.delete("/api/admin/me")
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


def test_a_problems_type_can_be_looked_up(app: APIFlask) -> None:
    response = app.test_client().get("/problems/bad-cursor")
    assert response.status_code == 200
    assert "belongs to another list" in response.text


def test_missing_marts_are_reported_as_not_built(settings: Settings, client: FlaskClient) -> None:
    with connect(transform_url(settings)) as conn:
        conn.execute("drop table marts.sample_orders")
    response = client.get("/api/admin/samples")
    assert response.status_code == 503
    problem = problem_of(response)
    assert (problem["type"], problem["advice"]) == ("/problems/not-built", "Run: quintile build")
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200


def test_the_service_is_not_ready_without_its_database(
    cluster: Any, settings: Settings, app: APIFlask
) -> None:
    client = app.test_client()
    assert client.get("/readyz").status_code == 200
    cluster.drop(settings.database_url.partition("@/")[2].partition("?")[0])
    response = client.get("/readyz")
    assert response.status_code == 503
    assert problem_of(response)["type"] == "/problems/database-unavailable"
    assert client.get("/healthz").status_code == 200


def test_an_unexpected_error_shows_only_its_id(
    settings: Settings, client: FlaskClient, capsys: pytest.CaptureFixture[str]
) -> None:
    with connect(transform_url(settings)) as conn:
        conn.execute("alter table marts.sample_orders rename column status to state")
    response = client.get("/api/admin/samples")
    assert response.status_code == 500
    problem = problem_of(response)
    assert "column" not in json.dumps(problem)
    log = capsys.readouterr().err
    assert response.headers["X-Request-Id"] in log
    assert "UndefinedColumn" in log


def test_a_query_that_takes_too_long_is_cut_off(settings: Settings, tenant: UUID) -> None:
    impatient = replace(settings, statement_timeout_ms=50)
    with (
        running_app(impatient) as app,
        closing(psycopg.connect(transform_url(settings))) as blocking,
    ):
        blocking.execute("lock table marts.sample_orders in access exclusive mode")
        response = client_of(app, settings, tenant).get("/api/admin/samples")
    assert response.status_code == 503
    assert problem_of(response)["type"] == "/problems/query-timeout"
    assert response.headers["Retry-After"] == "5"


def test_a_get_cannot_write(app: APIFlask, tenant: UUID) -> None:
    with app.test_request_context("/api/admin/me", method="GET"):
        g.login = Login(Access(tenant, "admin", "token", "tests"), "token")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), transaction() as conn:
            conn.execute("update app.tenants set currency = 'EUR'")


def test_one_tenant_sees_nothing_of_another(
    app: APIFlask, settings: Settings, tenant: UUID, client: FlaskClient
) -> None:
    with connect_as_owner(settings) as conn:
        other = add_tenant(conn, "south", None)
    add_scored_customers(settings, other, [("1", "champions", "10.00")])
    add_samples(settings, other, [{"order_id": "1"}])
    add_shopify_segments(settings, other, ["VIPs"])
    theirs = client_of(app, settings, other)
    run = theirs.post("/api/admin/segments/rfm/calculate").get_json()
    paths = {
        "/api/admin/segments/shopify": 1,
        "/api/admin/segments/rfm/customers": 1,
        "/api/admin/samples": 1,
        "/api/admin/runs": 1,
    }
    for path, rows in paths.items():
        assert len(theirs.get(path).get_json()["data"]) == rows, path
        assert client.get(path).get_json()["data"] == [], path
    assert client.get("/api/admin/segments/rfm").get_json()["customers"] == 0
    assert client.get("/api/admin/samples/stats").get_json()["data"][0]["total"] == 0
    assert client.get(f"/api/admin/runs/{run['run_id']}").status_code == 404
    assert theirs.get(f"/api/admin/runs/{run['run_id']}").status_code == 200
    assert client.get("/api/admin/me").get_json()["name"] == "north"


# -- sessions ---------------------------------------------------------------------------------


def test_a_token_opens_a_session_and_redirects_to_the_page(
    app: APIFlask, settings: Settings, tenant: UUID
) -> None:
    client = app.test_client()
    response = client.post(
        "/admin/sign-in",
        data={"token": token_for(settings, tenant), "next": "/admin/samples?type=ugc"},
        headers={"Origin": "http://localhost"},
    )
    assert response.status_code == 303
    assert response.headers["Location"] == "/admin/samples?type=ugc"
    cookie = response.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie
    assert client.get("/api/admin/me").get_json()["name"] == "north"


def test_https_gets_a_secure_cookie_and_hsts(
    app: APIFlask, settings: Settings, tenant: UUID
) -> None:
    response = app.test_client().post(
        "/admin/sign-in",
        data={"token": token_for(settings, tenant)},
        headers={"Origin": "https://localhost"},
        base_url="https://localhost",
    )
    assert "Secure" in response.headers["Set-Cookie"]
    assert response.headers["Strict-Transport-Security"].startswith("max-age=")


def test_the_origin_has_the_scheme_of_the_request_or_is_the_public_one(
    app: APIFlask, settings: Settings, tenant: UUID
) -> None:
    """A page that was sent in the clear must not act for one that was not."""
    data = {"token": token_for(settings, tenant)}
    for own, origin, status in (
        ("https://localhost", "http://localhost", 403),
        ("http://localhost", "https://localhost", 403),
        ("https://localhost", "https://localhost", 303),
    ):
        answer = app.test_client().post(
            "/admin/sign-in", data=data, headers={"Origin": origin}, base_url=own
        )
        assert answer.status_code == status
    # Behind a proxy that is not trusted, the public address says which origin is ours.
    with running_app(replace(settings, public_url="https://quintile.example.com")) as public:
        answer = public.test_client().post(
            "/admin/sign-in",
            data=data,
            headers={"Origin": "https://quintile.example.com"},
            base_url="http://quintile.example.com",
        )
        assert answer.status_code == 303


def test_a_proxy_on_another_machine_is_believed_about_https_if_it_is_trusted(
    settings: Settings, tenant: UUID
) -> None:
    data = {"token": token_for(settings, tenant)}
    for hops, origin in ((1, "https://quintile.example.com"), (0, "http://quintile.example.com")):
        with running_app(replace(settings, trusted_proxies=hops)) as app:
            answer = app.test_client().post(
                "/admin/sign-in",
                data=data,
                headers={"Origin": origin, "X-Forwarded-Proto": "https"},
                base_url="http://quintile.example.com",
                environ_base={"REMOTE_ADDR": "172.17.0.1"},
            )
        assert answer.status_code == 303
        assert ("Secure" in answer.headers["Set-Cookie"]) is bool(hops)
        assert ("Strict-Transport-Security" in answer.headers) is bool(hops)


def test_a_wrong_token_shows_the_form_again(app: APIFlask) -> None:
    response = app.test_client().post(
        "/admin/sign-in", data={"token": "qnt_wrong"}, headers={"Origin": "http://localhost"}
    )
    assert response.status_code == 401
    assert "not valid" in response.text
    assert "qnt_wrong" not in response.text
    assert "Set-Cookie" not in response.headers


def test_a_code_works_once(app: APIFlask, settings: Settings, tenant: UUID) -> None:
    code = code_for(settings, tenant)
    client = app.test_client()
    response = client.post("/admin/sign-in/code", json={"code": code}, headers=OWN)
    assert response.get_json() == {"next": "/admin"}
    assert client.get("/api/admin/me").status_code == 200
    again = app.test_client().post("/admin/sign-in/code", json={"code": code}, headers=OWN)
    assert again.status_code == 401
    assert "quintile tenants sign-in-link" in str(problem_of(again)["advice"])


def test_a_code_that_is_too_old_does_not_work(
    app: APIFlask, settings: Settings, tenant: UUID
) -> None:
    code = code_for(settings, tenant, lifetime=timedelta(seconds=-1))
    response = app.test_client().post("/admin/sign-in/code", json={"code": code}, headers=OWN)
    assert response.status_code == 401


@pytest.mark.parametrize(
    "ending",
    [
        "delete from app.sessions",
        "update app.sessions set expires_at = now()",
    ],
)
def test_a_session_that_a_code_opened_ends(
    app: APIFlask, settings: Settings, tenant: UUID, ending: str
) -> None:
    client = app.test_client()
    client.post("/admin/sign-in/code", json={"code": code_for(settings, tenant)}, headers=OWN)
    assert client.get("/api/admin/me").status_code == 200
    with connect_as_owner(settings) as conn:
        conn.execute(ending)
    assert client.get("/api/admin/me").status_code == 401


def test_a_modified_session_cookie_is_refused(app: APIFlask, browser: FlaskClient) -> None:
    cookie = browser.get_cookie("quintile_session")
    assert cookie is not None
    thief = app.test_client()
    thief.set_cookie("quintile_session", cookie.value[:-3] + "AAA")
    assert thief.get("/api/admin/me").status_code == 401


def test_a_session_can_change_data_only_from_our_own_pages(browser: FlaskClient) -> None:
    path = "/api/admin/segments/rfm/calculate"
    own, foreign = {"Origin": "http://localhost"}, {"Origin": "https://evil.example"}
    assert browser.post(path).status_code == 403
    assert browser.post(path, headers=own).status_code == 403
    assert browser.post(path, headers=OWN | foreign).status_code == 403
    assert browser.post(path, headers=OWN | {"Origin": "null"}).status_code == 403
    assert browser.post("/admin/sign-out", data={}, headers=foreign).status_code == 403
    assert browser.post(path, headers=OWN | own).status_code == 202
    assert browser.post(path, headers=OWN).status_code == 202


def test_a_page_of_a_store_changes_nothing_with_a_session_of_another(
    browser: FlaskClient, settings: Settings, tenant: UUID
) -> None:
    """Another tab has signed in to another store, with the same cookie."""
    path = "/api/admin/creators"
    page = OWN | {"X-Quintile-Tenant": str(tenant)}
    assert browser.post(path, json={"handle": "ada"}, headers=page).status_code == 201
    with connect_as_owner(settings) as conn:
        other = add_tenant(conn, "south", None)
    browser.post("/admin/sign-in", data={"token": token_for(settings, other)}, headers=OWN)
    assert browser.post(path, json={"handle": "bob"}, headers=page).status_code == 401
    assert browser.get(path, headers=page).status_code == 401
    now = OWN | {"X-Quintile-Tenant": str(other)}
    assert browser.get(path, headers=now).get_json()["data"] == []


def test_a_token_can_change_data_without_the_header(client: FlaskClient) -> None:
    assert client.post("/api/admin/segments/rfm/calculate").status_code == 202


def test_signing_out_ends_the_session(browser: FlaskClient) -> None:
    response = browser.post("/admin/sign-out", headers=OWN)
    assert response.status_code == 303
    assert browser.get_cookie("quintile_session") is None
    assert browser.get("/api/admin/me").status_code == 401


def test_a_session_that_has_ended_leaves_no_cookie(
    browser: FlaskClient, settings: Settings
) -> None:
    with connect_as_owner(settings) as conn:
        conn.execute("delete from app.sessions")
    assert browser.get("/api/admin/me").status_code == 401
    assert browser.get_cookie("quintile_session") is None


def test_a_page_without_a_session_shows_the_sign_in_form_and_returns(app: APIFlask) -> None:
    response = app.test_client().get(
        "/admin/samples?type=ugc", headers={"Accept": "text/html,*/*;q=0.8"}
    )
    assert response.status_code == 401
    assert 'value="/admin/samples?type=ugc"' in response.text


def test_a_missing_page_is_an_html_page(browser: FlaskClient) -> None:
    response = browser.get("/admin/nowhere", headers={"Accept": "text/html,*/*;q=0.8"})
    assert response.status_code == 404
    assert response.content_type.startswith("text/html")


# -- headers and logs ---------------------------------------------------------------------------


def test_every_response_has_the_security_headers(client: FlaskClient) -> None:
    for path in ("/api/admin/me", "/admin/sign-in", "/nowhere", "/healthz"):
        headers = client.get(path).headers
        policy = headers["Content-Security-Policy"]
        for part in ("default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
            assert part in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        kept = "private, no-cache" if path == "/api/admin/me" else "no-store"
        assert headers["Cache-Control"] == kept
        assert "Strict-Transport-Security" not in headers
    assert client.get("/api/admin/me").headers["Referrer-Policy"] == "no-referrer"


def test_the_log_has_a_line_per_request_and_no_secret(
    settings: Settings, tenant: UUID, capsys: pytest.CaptureFixture[str]
) -> None:
    token, code = token_for(settings, tenant), code_for(settings, tenant)
    with running_app(replace(settings, log_format="json", log_level="DEBUG")) as app:
        client = app.test_client()
        client.get(
            "/api/admin/samples?q=ada@example.com", headers={"Authorization": f"Bearer {token}"}
        )
        client.post("/admin/sign-in", data={"token": token}, headers=OWN)
        client.post("/admin/sign-in/code", json={"code": code}, headers=OWN)
    log = capsys.readouterr().err
    lines = [json.loads(line) for line in log.splitlines()]
    access = [line for line in lines if line["event"] == "request"]
    assert [(line["method"], line["path"], line["status"]) for line in access] == [
        ("GET", "/api/admin/samples", 200),
        ("POST", "/admin/sign-in", 303),
        ("POST", "/admin/sign-in/code", 200),
    ]
    assert access[0]["tenant_id"] == str(tenant)
    assert all(line["request_id"] for line in access)
    for secret in (token, token[-43:], code, code[-43:], "ada@example.com"):
        assert secret not in log
