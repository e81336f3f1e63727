"""The Klaviyo client: requests, rate limits and errors."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
import stamina
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from service.core.config import Settings
from service.klaviyo.client import (
    KlaviyoClient,
    KlaviyoError,
    KlaviyoRefusedError,
    KlaviyoRevisionError,
    KlaviyoScopeError,
    KlaviyoUnavailableError,
    Problem,
    open_klaviyo,
)
from service.klaviyo.rate_limits import ReportedLimits

KEY = "pk_for_these_tests"


@pytest.fixture
def client(httpserver: HTTPServer) -> Iterator[KlaviyoClient]:
    settings = Settings(klaviyo_url=httpserver.url_for("/"))
    with stamina.set_testing(True, attempts=3), open_klaviyo(settings, KEY) as client:
        yield client


def test_every_request_has_the_key_and_the_revision(
    client: KlaviyoClient, httpserver: HTTPServer
) -> None:
    httpserver.expect_request(
        "/api/lists",
        query_string={"page[size]": "10"},
        headers={
            "Authorization": f"Klaviyo-API-Key {KEY}",
            "revision": "2026-10-15",
            "X-Klaviyo-Revision-Fall-Forward-Opt-Out": "1",
        },
    ).respond_with_json({"data": []})
    assert client.get("/api/lists", "/api/lists", {"page[size]": 10}) == {"data": []}
    assert KEY not in repr(client) + repr(vars(client))


def test_bodies_are_sent_as_json_api(client: KlaviyoClient, httpserver: HTTPServer) -> None:
    httpserver.expect_request(
        "/api/x",
        method="DELETE",
        headers={"Content-Type": "application/vnd.api+json"},
        json={"data": [1]},
    ).respond_with_data("", status=204)
    client.delete("/api/x", "/api/x", {"data": [1]})


def test_next_pages_are_read_only_from_the_same_server(
    client: KlaviyoClient, httpserver: HTTPServer
) -> None:
    httpserver.expect_ordered_request("/api/lists").respond_with_json(
        {
            "data": [{"id": "1"}],
            "links": {"next": httpserver.url_for("/api/lists?page[cursor]=x")},
        }
    )
    httpserver.expect_ordered_request(
        "/api/lists", query_string="page[cursor]=x"
    ).respond_with_json(
        {"data": [{"id": "2"}], "links": {"next": "https://elsewhere.example/api/lists"}}
    )
    read = []
    with pytest.raises(KlaviyoError, match="own server"):
        for page in client.pages("/api/lists", "/api/lists"):
            read += page
    assert read == [{"id": "1"}, {"id": "2"}]
    assert client.calls == 2


Page = tuple[list[str], str | None]


def serve_pages(httpserver: HTTPServer, pages: Callable[[int], Page]) -> None:
    """Serve ids and a cursor for each request, by how many were made before."""
    asked = count()

    def answer(_: Request) -> Response:
        ids, cursor = pages(next(asked))
        following = cursor and httpserver.url_for(f"/api/lists?page[cursor]={cursor}")
        return Response(
            json.dumps({"data": [{"id": each} for each in ids], "links": {"next": following}})
        )

    httpserver.expect_request("/api/lists").respond_with_handler(answer)


@pytest.mark.parametrize(
    ("pages", "most_calls"),
    [
        (lambda n: ([f"p{n}"], "same"), 2),
        (lambda n: ([f"p{n}"], "abc"[n % 3]), 4),
        (lambda n: ([f"p{n % 3}", "x"], f"cursor{n}"), 4),
        (lambda n: ([], f"cursor{n}"), 101),
        (lambda _: ([], "same"), 2),
        (lambda n: (["first"], None if n else "more"), 2),
    ],
    ids=[
        "the same cursor",
        "cursors in a circle",
        "the same pages under new cursors",
        "empty pages for ever",
        "an empty page of the same cursor",
        "the first page again",
    ],
)
def test_pages_that_do_not_advance_end_with_an_error(
    pages: Callable[[int], Page], most_calls: int, client: KlaviyoClient, httpserver: HTTPServer
) -> None:
    serve_pages(httpserver, pages)
    with pytest.raises(KlaviyoError, match="do not advance"):
        list(client.pages("/api/lists", "/api/lists"))
    assert client.calls <= most_calls


def test_some_empty_pages_do_not_end_a_collection(
    client: KlaviyoClient, httpserver: HTTPServer
) -> None:
    serve_pages(
        httpserver, lambda n: ([f"p{n}"] if n % 30 == 0 else [], f"c{n}" if n < 90 else None)
    )
    read = [each["id"] for page in client.pages("/api/lists", "/api/lists") for each in page]
    assert read == ["p0", "p30", "p60", "p90"]


@pytest.mark.parametrize("data", [None, {"id": "1"}, ["1"]])
def test_a_page_that_is_no_list_of_resources_is_an_error(
    data: object, client: KlaviyoClient, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/api/lists").respond_with_json({"data": data})
    with pytest.raises(KlaviyoError, match="no list of resources"):
        list(client.pages("/api/lists", "/api/lists"))


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 410, "response_json": {"errors": [{"code": "gone", "detail": "Retired."}]}},
        {"status": 410, "response_json": "Gone"},
        {
            "status": 400,
            "response_json": {"errors": [{"detail": "x", "source": {"parameter": "revision"}}]},
        },
    ],
    ids=["retired", "retired without a document", "unknown"],
)
def test_a_revision_that_is_not_served_asks_for_an_upgrade(
    answer: dict[str, Any], client: KlaviyoClient, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/api/x").respond_with_json(**answer)
    with pytest.raises(KlaviyoRevisionError, match="2026-10-15") as raised:
        client.get("/api/x", "/api/x")
    assert raised.value.advice.startswith("Upgrade Quintile")
    assert client.calls == 1


CHALLENGE = "<!DOCTYPE html><title>Just a moment...</title>"


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    "body", [CHALLENGE, "", '{"message": "Forbidden"}', '"denied"', '{"errors": "no"}']
)
def test_a_refusal_that_is_not_klaviyos_is_retried(
    body: str, status: int, client: KlaviyoClient, httpserver: HTTPServer
) -> None:
    """What stands before Klaviyo, such as a firewall, does not know the key."""
    for _ in range(2):
        httpserver.expect_ordered_request("/api/x").respond_with_data(body, status=status)
    httpserver.expect_ordered_request("/api/x").respond_with_json({"data": []})
    assert client.get("/api/x", "/api/x") == {"data": []}


def test_a_refusal_that_is_not_klaviyos_and_lasts_does_not_refuse_the_key(
    client: KlaviyoClient, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/api/x").respond_with_data(CHALLENGE, status=403)
    with pytest.raises(KlaviyoUnavailableError) as raised:
        client.get("/api/x", "/api/x")
    assert not isinstance(raised.value, KlaviyoRefusedError)


@pytest.mark.parametrize(
    "error",
    [{}, {"source": None}, {"source": "body"}, {"source": {"pointer": 7}, "meta": []}, "bad"],
)
def test_an_error_object_may_lack_its_members(
    error: object, client: KlaviyoClient, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/api/x").respond_with_json({"errors": [error]}, status=400)
    with pytest.raises(KlaviyoError, match="no reason given") as raised:
        client.get("/api/x", "/api/x")
    assert raised.value.pointer is None


def test_a_used_up_window_delays_only_its_operation(
    client: KlaviyoClient, httpserver: HTTPServer
) -> None:
    headers = {
        "RateLimit-Limit": "1, 1;w=1, 15;w=60",
        "RateLimit-Remaining": "0",
        "RateLimit-Reset": "1",
    }
    httpserver.expect_request("/api/a").respond_with_json({"data": []}, headers=headers)
    httpserver.expect_request("/api/b").respond_with_json({"data": []})
    client.get("/api/a", "/api/a")
    started = time.monotonic()
    client.get("/api/b", "/api/b")
    assert time.monotonic() - started < 0.9
    client.get("/api/a", "/api/a")
    assert time.monotonic() - started >= 0.9


def test_errors_have_code_detail_and_pointer(client: KlaviyoClient, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/api/x").respond_with_json(
        {
            "errors": [
                {"code": "invalid", "detail": "Bad address", "source": {"pointer": "/data/0"}},
                {"code": "invalid", "detail": "Worse address", "source": {}},
            ]
        },
        status=400,
    )
    with pytest.raises(KlaviyoError) as raised:
        client.post("/api/x", "/api/x", {})
    error = raised.value
    assert (error.status, error.code, error.detail) == (400, "invalid", "Bad address")
    assert error.pointer == "/data/0"
    assert error.problems[1] == Problem("invalid", "Worse address", None)
    assert client.calls == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_raises_its_own_error(
    client: KlaviyoClient, httpserver: HTTPServer, status: int
) -> None:
    httpserver.expect_request("/api/x").respond_with_json({"errors": []}, status=status)
    with pytest.raises(KlaviyoRefusedError, match="no reason given") as raised:
        client.get("/api/x", "/api/x")
    assert "profiles:write" in raised.value.advice
    assert KEY not in str(raised.value)
    assert client.calls == 3


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_is_an_error_of_the_key_only_if_every_attempt_was_refused(
    client: KlaviyoClient, httpserver: HTTPServer, status: int
) -> None:
    def refuse() -> None:
        httpserver.expect_ordered_request("/api/x").respond_with_json(
            {"errors": [{"detail": "Not now."}]}, status=status
        )

    refuse()
    refuse()
    httpserver.expect_ordered_request("/api/x").respond_with_json({"data": 1})
    assert client.get("/api/x", "/api/x") == {"data": 1}

    refuse()
    httpserver.expect_ordered_request("/api/x").respond_with_data("", status=503)
    refuse()
    with pytest.raises(KlaviyoUnavailableError, match=f"status {status}") as raised:
        client.get("/api/x", "/api/x")
    assert not isinstance(raised.value, KlaviyoRefusedError)


def test_a_failing_call_ends_after_the_last_attempt(
    client: KlaviyoClient, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/api/x").respond_with_data("<html>", content_type="text/html")
    with pytest.raises(KlaviyoUnavailableError, match="not JSON"):
        client.get("/api/x", "/api/x")
    assert client.calls == 3


@pytest.mark.parametrize(
    ("limit", "remaining", "reset", "expected"),
    [
        ("10, 10;w=1, 150;w=60", "149", "60", ReportedLimits(10, 150, False, 149, 60)),
        ("10, 10;w=1, 150;w=60", "9", "1", ReportedLimits(10, 150, True, 9, 1)),
        # More calls than a second allows cannot be those of the second.
        ("10, 10;w=1, 150;w=60", "11", "1", ReportedLimits(10, 150, False, 11, 1)),
        ("75, 75; w=1, 750; w=60", "0", "30", ReportedLimits(75, 750, False, 0, 30)),
        ("10", "9", "1", None),
        ("10, 10;w=1, 150;w=60", "", "", None),
        ("0, 0;w=1, 0;w=60", "0", "1", None),
    ],
)
def test_limits_are_read_from_the_headers(
    limit: str, remaining: str, reset: str, expected: ReportedLimits | None
) -> None:
    headers = {
        "RateLimit-Limit": limit,
        "RateLimit-Remaining": remaining,
        "RateLimit-Reset": reset,
    }
    assert ReportedLimits.read(headers) == expected


def test_a_missing_scope_is_named(client: KlaviyoClient, httpserver: HTTPServer) -> None:
    detail = "The API key is missing required scopes: lists:write, profiles:write"
    httpserver.expect_request("/api/x").respond_with_json(
        {"errors": [{"code": "permission_denied", "detail": detail}]}, status=403
    )
    with pytest.raises(KlaviyoScopeError) as raised:
        client.get("/api/x", "/api/x")
    assert raised.value.missing_scopes == ("lists:write", "profiles:write")
    # That does not pass.
    assert client.calls == 1
