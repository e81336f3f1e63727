"""What holds for every route: revalidation and compression of answers."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from service.core.config import Settings
from service.core.db import connect, connect_as_owner, transform_url
from service.tenants.tenants import add_tenant
from service.tenants.tokens import create_token
from tests.served import Served, served
from tests.web import (
    add_explanations,
    add_history,
    add_samples,
    add_scored_customers,
    client_of,
    openapi_of,
    running_app,
    token_for,
)

ADMIN = "/api/admin"


@pytest.fixture
def settings(built_settings: Settings) -> Settings:
    return built_settings


@pytest.fixture
def tenant(settings: Settings) -> UUID:
    with connect_as_owner(settings) as conn:
        tenant_id = add_tenant(conn, "north", None)
    customers = [(str(number), "loyal", f"{number}.50") for number in range(1, 60)]
    add_scored_customers(settings, tenant_id, customers)
    add_explanations(settings, tenant_id)
    add_history(settings, tenant_id, {"2026-06-01": {"1": "new"}, "2026-07-01": {"1": "loyal"}})
    return tenant_id


@pytest.fixture
def service(settings: Settings, tenant: UUID) -> Iterator[Served]:
    with served(replace(settings, web_processes=1)) as running:
        yield running


def json_paths(app: APIFlask) -> list[str]:
    """Paths of the API that can be read without an id."""
    return sorted(
        rule.rule
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/")
        and "GET" in (rule.methods or ())
        and not rule.arguments
        and not rule.rule.endswith(".csv")
    )


def test_every_json_answer_can_be_revalidated(app: APIFlask, client: FlaskClient) -> None:
    checked = 0
    for path in json_paths(app):
        first = client.get(path)
        if first.status_code == 409:
            assert "ETag" not in first.headers, path  # Klaviyo is not connected
            continue
        assert first.status_code == 200, path
        assert first.headers["Cache-Control"] == "private, no-cache", path
        tag = first.headers["ETag"]
        assert tag.startswith('W/"'), path
        again = client.get(path, headers={"If-None-Match": f'"other", {tag}'})
        assert (again.status_code, again.data) == (304, b""), path
        assert again.headers["ETag"] == tag
        assert "Accept-Encoding" in again.headers["Vary"]
        assert "Content-Type" not in again.headers
        other = client.get(path, headers={"If-None-Match": 'W/"other"'})
        assert (other.status_code, other.data) == (200, first.data), path
        checked += 1
    assert checked > 20


def test_a_change_has_another_tag(client: FlaskClient) -> None:
    path = f"{ADMIN}/creators"
    tag = client.get(path).headers["ETag"]
    client.post(path, json={"handle": "ada"})
    changed = client.get(path, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != tag


def test_errors_changes_and_downloads_are_not_kept(client: FlaskClient) -> None:
    for method, path in (
        ("GET", "creators?limit=0"),
        ("POST", "creators"),
        ("GET", "samples.csv"),
        ("GET", "audit-log.csv"),
    ):
        answer = client.open(f"{ADMIN}/{path}", method=method, json={"handle": "ada"})
        assert answer.data
        assert answer.headers["Cache-Control"] == "no-store", path
        assert "ETag" not in answer.headers, path


def test_large_json_is_compressed_for_clients_that_accept_it(client: FlaskClient) -> None:
    path = f"{ADMIN}/segments/rfm/customers"
    plain = client.get(path)
    assert "Content-Encoding" not in plain.headers
    packed = client.get(path, headers={"Accept-Encoding": "br, gzip;q=0.8"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) == len(packed.data) < len(plain.data) / 3
    assert gzip.decompress(packed.data) == plain.data
    # One tag for both, so that a proxy that unpacks an answer may pass the tag on.
    assert packed.headers["ETag"] == plain.headers["ETag"]
    for answer in (plain, packed):
        assert "Accept-Encoding" in answer.headers["Vary"]
    for header in ("gzip;q=0", "br", "identity"):
        answer = client.get(path, headers={"Accept-Encoding": header})
        assert "Content-Encoding" not in answer.headers


def test_pages_are_compressed(client: FlaskClient) -> None:
    plain = client.get("/admin/segments")
    packed = client.get("/admin/segments", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.data


def test_small_answers_and_changes_are_not_compressed(client: FlaskClient) -> None:
    accepts = {"Accept-Encoding": "gzip"}
    creator = {"handle": "ada", "notes": "a" * 4000}
    assert "Content-Encoding" not in client.get(f"{ADMIN}/tokens", headers=accepts).headers
    answer = client.post(f"{ADMIN}/creators", json=creator, headers=accepts)
    assert answer.status_code == 201
    assert "Content-Encoding" not in answer.headers


def test_a_compressed_download_is_a_stream(
    settings: Settings, tenant: UUID, service: Served
) -> None:
    orders = [{"order_id": str(number), "evidence": "x" * 200} for number in range(3000)]
    add_samples(settings, tenant, orders)
    headers = {
        "Authorization": f"Bearer {token_for(settings, tenant)}",
        "Accept-Encoding": "gzip",
    }
    plain = httpx.get(
        f"{service.url}{ADMIN}/samples.csv", headers=headers | {"Accept-Encoding": ""}
    )
    with httpx.stream("GET", f"{service.url}{ADMIN}/samples.csv", headers=headers) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.headers["Transfer-Encoding"] == "chunked"
        blocks = list(answer.iter_raw())
    # The first block alone has rows: nothing waits for the whole file.
    first = zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(blocks[0])
    assert first.count(b"\n") > 100
    assert gzip.decompress(b"".join(blocks)) == plain.content
    assert plain.text.count("\n") == 3001


def test_conditional_requests_over_http(settings: Settings, tenant: UUID, service: Served) -> None:
    headers = {"Authorization": f"Bearer {token_for(settings, tenant)}"}
    with httpx.Client(base_url=service.url, headers=headers) as client:
        path = f"{ADMIN}/segments/rfm/customers"
        first = client.get(path)
        assert first.headers["Content-Encoding"] == "gzip"
        again = client.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert "Content-Encoding" not in again.headers
        assert client.head(path).headers["ETag"] == first.headers["ETag"]
        # The connection is still in step after an answer without a body.
        assert client.get(path).json() == first.json()


# -- paging -------------------------------------------------------------------------------------

# Not lists of objects: a row for each segment, day, score or status.
WHOLE = {
    f"{ADMIN}/segments/rfm",
    f"{ADMIN}/segments/rfm/grid",
    f"{ADMIN}/segments/rfm/history",
    f"{ADMIN}/segments/rfm/movements",
    f"{ADMIN}/segments/rfm/thresholds",
    f"{ADMIN}/samples/stats",
}


def rows_of(client: FlaskClient, path: str, limit: int) -> list[dict[str, object]]:
    """All rows of a list, read in pages."""
    rows: list[dict[str, object]] = []
    cursor = None
    while True:
        query = {"limit": limit} | ({"cursor": cursor} if cursor else {})
        page = client.get(path, query_string=query).get_json()
        assert len(page["data"]) <= limit
        rows += page["data"]
        cursor = page["next_cursor"]
        if cursor is None:
            return rows


def test_every_list_is_paged_alike(app: APIFlask, client: FlaskClient) -> None:
    paged = set()
    for path in json_paths(app):
        answer = client.get(path).get_json()
        if "data" not in answer or path in WHOLE:
            continue
        assert answer["next_cursor"] is None or isinstance(answer["next_cursor"], str), path
        for query, kind in (("limit=0", "invalid-input"), ("cursor=x", "bad-cursor")):
            refused = client.get(f"{path}?{query}").get_json()
            assert refused["type"] == f"/problems/{kind}", path
        paged.add(path)
    assert len(paged) > 12


def test_the_pages_of_a_list_have_each_row_once(
    app: APIFlask, client: FlaskClient, settings: Settings, tenant: UUID
) -> None:
    with connect_as_owner(settings) as conn:
        for number in range(7):
            create_token(conn, tenant, f"token {number}")
            conn.execute(
                """
                insert into app.klaviyo_sync_configs (
                    tenant_id, segment_key, list_id, list_name, direction
                )
                values (%s, %s, %s, %s, 'pull')
                """,
                [tenant, f"klaviyo:L{number}", f"L{number}", f"List {number % 3}"],
            )
            conn.execute(
                "insert into app.sessions (tenant_id, session_hash, person, scope, expires_at)"
                " values (%s, sha256(%s), 'Ada', 'read', now() + interval '1 hour')",
                [tenant, str(number).encode()],
            )
        # Rows of one transaction have the same time.
        conn.execute("update app.klaviyo_sync_configs set created_at = '2026-07-01'")
        conn.execute("update app.sessions set begun_at = '2026-07-01'")
        conn.execute("update app.api_tokens set created_at = '2026-07-01'")
    for tags in (["a"], ["b"], ["c"], ["d"], ["e"]):
        client.patch(f"{ADMIN}/samples/settings", json={"ugc_tags": tags})
    for path, key, number in (
        ("tokens", "token_id", 8),
        ("sessions", "session_id", 7),
        ("integrations/klaviyo/config", "config_id", 7),
        ("segments/klaviyo", "id", 7),
        ("samples/settings/history", "change_id", 5),
        ("schedules", "name", 6),
    ):
        whole = rows_of(client, f"{ADMIN}/{path}", 200)
        assert len({row[key] for row in whole}) == len(whole) == number, path
        for limit in (1, 2, 3):
            assert rows_of(client, f"{ADMIN}/{path}", limit) == whole, path


# -- input --------------------------------------------------------------------------------------


def test_no_parameter_is_ignored(app: APIFlask, client: FlaskClient) -> None:
    checked = 0
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<[^>]+>", str(uuid4()), rule.rule)
        if not path.startswith("/api/admin/"):
            continue
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            for query in ("nonsense=1", "limit=1&limit=2"):
                answer = client.open(f"{path}?{query}", method=method, json={}, buffered=True)
                assert answer.status_code == 422, (method, path, query)
                problem = answer.get_json()
                name = query.partition("=")[0]
                assert name in [error["parameter"] for error in problem["errors"]], problem
                assert name in problem["detail"]
                checked += 1
    assert checked > 200


def test_a_body_that_is_null_is_refused(client: FlaskClient) -> None:
    for body in ("null", " null\n"):
        answer = client.post(f"{ADMIN}/samples/settings/undo", data=body)
        assert answer.status_code == 422
        assert answer.get_json()["detail"] == "The body must be an object."
    # What is not there is not found, whatever the body.
    assert client.patch(f"{ADMIN}/tokens/1", data="null").status_code == 404


def test_nothing_has_an_address_with_a_nul_character(settings: Settings, tenant: UUID) -> None:
    with running_app(replace(settings, rate_limit_per_minute=0)) as app:
        client = client_of(app, settings, tenant)
        rules = [
            rule
            for rule in app.url_map.iter_rules()
            if rule.arguments and rule.endpoint != "admin.static" and "<uuid:" not in rule.rule
        ]
        assert len(rules) > 20
        for rule in rules:
            path = re.sub(r"<[^>]+>", "%00", rule.rule)
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                answer = client.open(path, method=method, json={} if method != "GET" else None)
                assert answer.status_code == 404, f"{method} {path}"


# Pydantic's own words, which speak of inputs, strings and instances.
NOT_FOR_PEOPLE = re.compile(
    r"[Ii]nput should|should (be|have|match)|Value error|Extra inputs|type="
)
WRONG_VALUES: tuple[object, ...] = (None, 1, 1.5, -1, True, [], [1], {"a": 1})
WRONG_TEXTS = ("", "\x00", "nonsense", "-1", "2026-13-45", "x" * 6000)


def test_a_column_that_changes_its_type_refuses_one_request(
    settings: Settings, tenant: UUID
) -> None:
    """The plan that a connection keeps is for the type before."""
    path = f"{ADMIN}/segments/rfm/customers"
    with running_app(replace(settings, pool_size=1)) as app:
        client = client_of(app, settings, tenant)
        before = client.get(path).get_json()
        with connect(transform_url(settings)) as conn:
            conn.execute("drop view marts.customer_rfm_segments cascade")
            conn.execute(
                "create view marts.customer_rfm_segments with (security_invoker) as"
                " select f.tenant_id, f.customer_id, f.email, f.phone, f.segment, f.r_score::bigint"
                " as r_score, f.f_score, f.m_score, '' as r_reason, '' as f_reason,"
                " '' as m_reason, 3 as recency_days, f.window_order_count as frequency_count,"
                " f.window_minor / 100 as monetary_total, 'EUR' as currency,"
                " null::text as previous_segment, '2026-01-01'::date as segment_changed_on,"
                " f.last_order_at from marts.customer_facts as f"
            )
            conn.execute("grant select on marts.customer_rfm_segments to quintile_app")
        refused = client.get(path)
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) > 0
        for _ in range(2):
            after = client.get(path).get_json()
            assert [row["customer_id"] for row in after["data"]] == [
                row["customer_id"] for row in before["data"]
            ]


def test_every_refused_value_is_named_and_explained(settings: Settings, tenant: UUID) -> None:
    told: dict[str, str] = {}
    # Nothing listens there: no value may reach Klaviyo itself.
    here = replace(settings, rate_limit_per_minute=0, klaviyo_url="http://127.0.0.1:9")
    with running_app(here) as app:
        client = client_of(app, settings, tenant)
        document = openapi_of(app)
        for path, method, operation in (
            (path, method, operation)
            for path, operations in document["paths"].items()
            for method, operation in operations.items()
            if path.startswith("/api/")
        ):
            url, where = re.sub(r"{[^}]+}", str(uuid4()), path), f"{method} {path}"
            for name in names_in(operation, "query"):
                for value in WRONG_TEXTS:
                    query = {name: value}
                    answer = client.open(url, method=method, query_string=query, buffered=True)
                    told |= refusals(answer, "parameter", where)
            for field in fields_in(document, operation):
                for value in (*WRONG_VALUES, *WRONG_TEXTS):
                    answer = client.open(url, method=method, json={field: value})
                    told |= refusals(answer, "pointer", where)
    assert len(told) > 40
    assert {text: where for text, where in told.items() if NOT_FOR_PEOPLE.search(text)} == {}
    # Sentences.
    assert [text for text in told if not re.match(r"[A-Z'].*\.$", text)] == []


def names_in(operation: dict[str, Any], location: str) -> list[str]:
    return [each["name"] for each in operation["parameters"] if each.get("in") == location]


def fields_in(document: dict[str, Any], operation: dict[str, Any]) -> list[str]:
    """The fields of a JSON body, and one that there is not."""
    content = operation.get("requestBody", {}).get("content", {})
    if "application/json" not in content:
        return []
    name = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
    return [*document["components"]["schemas"][name]["properties"], "nonsense"]


def refusals(answer: TestResponse, kind: str, where: str) -> dict[str, str]:
    """What a refusal says of each value, with where it was said."""
    if answer.status_code != 422:
        return {}
    problem = answer.get_json()
    if problem["type"] != "/problems/invalid-input" or "errors" not in problem:
        return {}
    for error in problem["errors"]:
        assert set(error) == {kind, "detail"}, (where, error)
        name = error[kind].removeprefix("#/").replace("/", ".")
        # A sentence that is not about "this" says itself what it is about.
        is_about_this = error["detail"].startswith("This ")
        assert name in problem["detail"] or not is_about_this, (where, problem)
    return {error["detail"]: where for error in problem["errors"]}


def test_no_route_fails_over_a_body_that_is_nested_too_deeply_or_holds_nul(
    settings: Settings, tenant: UUID
) -> None:
    """Each route that takes a body, from the URL map."""
    names = ("name", "label", "url", "handle", "key", "\0")
    nul = json.dumps(dict.fromkeys(names, "\0"))
    bodies = ("[" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000, nul)
    failed = []
    with running_app(settings) as app:
        client = client_of(app, settings, tenant)
        app.testing = False
        for rule in app.url_map.iter_rules():
            path = re.sub(r"<[^>]+>", "00000000-0000-0000-0000-000000000000", rule.rule)
            for method in sorted((rule.methods or set()) & {"POST", "PUT", "PATCH"}):
                for body in bodies:
                    answer = client.open(
                        path, method=method, data=body, content_type="application/json"
                    )
                    if answer.status_code >= 500:
                        failed.append((method, path, body[:20]))
    assert failed == []
