"""The Shopify client against a server that answers as the sandbox never would."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import stamina
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from service.core.config import Settings
from service.shopify.client import ShopifyClient, open_shopify
from service.shopify.errors import (
    ShopifyError,
    ShopifyMovedError,
    ShopifyQueryError,
    ShopifyRefusedError,
    ShopifyUnavailableError,
    ShopifyUnknownOutcomeError,
)
from service.shopify.paging import Listing, pages

PATH = "/admin/api/2026-07/graphql.json"
TOKEN = "shpat_for_these_tests"


@pytest.fixture
def client(httpserver: HTTPServer) -> Iterator[ShopifyClient]:
    settings = Settings(shopify_url=httpserver.url_for("").rstrip("/"))
    with (
        stamina.set_testing(True, attempts=3),
        open_shopify(settings, "x.myshopify.com", TOKEN) as client,
    ):
        yield client


def error(code: str, message: str = "no") -> dict[str, Any]:
    return {"errors": [{"message": message, "extensions": {"code": code}}]}


def test_the_shop_is_part_of_the_url_and_the_token_a_header(httpserver: HTTPServer) -> None:
    httpserver.expect_request(
        f"/x.myshopify.com{PATH}", headers={"X-Shopify-Access-Token": TOKEN}
    ).respond_with_json({"data": {"shop": {}}})
    settings = Settings(shopify_url=httpserver.url_for("/{shop}").replace("%7B", "{"))
    with open_shopify(settings, "x.myshopify.com", TOKEN) as client:
        assert client.run("shop") == {"shop": {}}
        assert TOKEN not in repr(client) + repr(vars(client))


def test_a_page_that_costs_too_much_is_split(client: ShopifyClient, httpserver: HTTPServer) -> None:
    asked: list[tuple[int, str | None]] = []

    def answer(request: Request) -> Response:
        variables = request.get_json()["variables"]
        asked.append((variables["first"], variables["after"]))
        body: dict[str, Any] = error("MAX_COST_EXCEEDED")
        if variables["first"] <= 60:
            info = {"hasNextPage": variables["after"] is None, "endCursor": "c"}
            body = {"data": {"customers": {"nodes": [], "pageInfo": info}}}
        return Response(json.dumps(body), content_type="application/json")

    httpserver.expect_request(PATH).respond_with_handler(answer)
    assert len(list(pages(client, Listing("customers", "customers"), first=250, query=None))) == 2
    assert asked == [(250, None), (125, None), (62, None), (31, None), (31, "c")]


def test_paging_that_makes_no_progress_is_an_error(
    client: ShopifyClient, httpserver: HTTPServer
) -> None:
    info = {"hasNextPage": True, "endCursor": "c"}
    httpserver.expect_request(PATH).respond_with_json(
        {"data": {"segments": {"nodes": [], "pageInfo": info}}}
    )
    with pytest.raises(ShopifyError, match="makes no progress"):
        list(pages(client, Listing("segments", "segments"), first=250))


@pytest.mark.parametrize(
    ("body", "status", "raised", "said"),
    [
        (error("ACCESS_DENIED", "needs read_orders"), 200, ShopifyRefusedError, "read_orders"),
        (error("undefinedField", "no such field"), 200, ShopifyQueryError, "no such field"),
        ({"errors": "Not Found"}, 404, ShopifyError, "does not have this shop"),
        ({"errors": "Unavailable Shop"}, 402, ShopifyError, "frozen"),
        ({"errors": "x"}, 423, ShopifyError, "locked"),
        ({"errors": "x"}, 400, ShopifyError, "400"),
        ({"errors": "a plain sentence"}, 200, ShopifyQueryError, "a plain sentence"),
        ({"errors": ["one", "two"]}, 200, ShopifyQueryError, "one; two"),
        ({"errors": {"query": "missing"}}, 200, ShopifyQueryError, "missing"),
    ],
)
def test_final_errors_have_a_type_and_are_not_retried(
    client: ShopifyClient,
    httpserver: HTTPServer,
    body: dict[str, Any],
    status: int,
    raised: type[ShopifyError],
    said: str,
) -> None:
    httpserver.expect_request(PATH).respond_with_json(body, status=status)
    with pytest.raises(raised, match=said) as caught:
        client.run("shop")
    assert client.calls == 1
    assert TOKEN not in str(caught.value) + caught.value.advice


@pytest.mark.parametrize(
    "body",
    [
        error("THROTTLED"),
        error("INTERNAL_SERVER_ERROR"),
        {"data": None},
        {},
        [],
        "text",
    ],
)
def test_unusable_answers_are_retried(
    client: ShopifyClient, httpserver: HTTPServer, body: Any
) -> None:
    httpserver.expect_ordered_request(PATH).respond_with_json(body)
    httpserver.expect_ordered_request(PATH).respond_with_json({"data": {"shop": {}}})
    assert client.run("shop") == {"shop": {}}
    assert client.calls == 2


@pytest.mark.parametrize(
    ("body", "status"),
    [(error("INTERNAL_SERVER_ERROR"), 200), ({"data": None}, 200), ("text", 200), ({}, 503)],
)
def test_a_change_with_an_unknown_outcome_is_not_repeated(
    client: ShopifyClient, httpserver: HTTPServer, body: Any, status: int
) -> None:
    httpserver.expect_request(PATH).respond_with_json(body, status=status)
    with pytest.raises(ShopifyUnknownOutcomeError, match="segment_members_query_create"):
        client.run("segment_members_query_create", is_repeatable=False, segmentId="s")
    assert client.calls == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (error("THROTTLED"), 200),
        *(({"errors": "x"}, status) for status in (401, 403, 429, 430)),
    ],
)
def test_a_change_that_was_certainly_not_made_is_retried(
    client: ShopifyClient, httpserver: HTTPServer, body: Any, status: int
) -> None:
    httpserver.expect_ordered_request(PATH).respond_with_json(body, status=status)
    httpserver.expect_ordered_request(PATH).respond_with_json({"data": {"done": True}})
    answer = client.run("segment_members_query_create", is_repeatable=False, segmentId="s")
    assert answer == {"done": True}
    assert client.calls == 2


PAGE = "<!DOCTYPE html><title>Attention Required! | Cloudflare</title>"


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_is_final_only_when_it_lasts(
    client: ShopifyClient, httpserver: HTTPServer, status: int
) -> None:
    refused = {"errors": "[API] Invalid API key or access token"}
    for _ in range(2):
        httpserver.expect_ordered_request(PATH).respond_with_json(refused, status=status)
    httpserver.expect_ordered_request(PATH).respond_with_json({"data": {"shop": {}}})
    assert client.run("shop") == {"shop": {}}
    assert client.calls == 3

    for _ in range(3):
        httpserver.expect_ordered_request(PATH).respond_with_json(refused, status=status)
    with pytest.raises(ShopifyRefusedError, match=str(status)) as raised:
        client.run("shop")
    assert client.calls == 6
    assert "connect-shopify" in raised.value.advice
    assert TOKEN not in str(raised.value) + raised.value.advice


def test_a_refusal_among_other_failures_is_not_final(
    client: ShopifyClient, httpserver: HTTPServer
) -> None:
    httpserver.expect_ordered_request(PATH).respond_with_json({}, status=503)
    for _ in range(2):
        httpserver.expect_ordered_request(PATH).respond_with_json({"errors": "x"}, status=401)
    with pytest.raises(ShopifyUnavailableError, match="401"):
        client.run("shop")
    assert client.calls == 3


@pytest.mark.parametrize(
    ("status", "body", "media_type"),
    [
        (401, PAGE, "text/html; charset=UTF-8"),
        (403, PAGE, "text/html; charset=UTF-8"),
        (403, "\n  <html>blocked</html>", "application/json"),
        (400, PAGE, "text/html"),
        (405, PAGE, "application/xhtml+xml"),
        (430, PAGE, "text/html"),
        (430, "{}", "application/json"),
        (520, "error code: 520", "text/plain"),
        (524, PAGE, "text/html"),
        (200, PAGE, "text/html"),
        (202, "", "text/plain"),
    ],
)
def test_a_gateways_answer_says_nothing_about_the_token(
    client: ShopifyClient, httpserver: HTTPServer, status: int, body: str, media_type: str
) -> None:
    answer = {"status": status, "content_type": media_type}
    httpserver.expect_ordered_request(PATH).respond_with_data(body, **answer)
    httpserver.expect_ordered_request(PATH).respond_with_json({"data": {"shop": {}}})
    assert client.run("shop") == {"shop": {}}
    for _ in range(3):
        httpserver.expect_ordered_request(PATH).respond_with_data(body, **answer)
    with pytest.raises(ShopifyUnavailableError, match="keeps failing"):
        client.run("shop")
    assert client.calls == 5


@pytest.mark.parametrize(
    ("location", "said", "advice"),
    [
        ("https://new-name.myshopify.com/admin", "to new-name.myshopify", "--shop new-name.my"),
        ("https://login.example.com/?next=x", r"to login\.example\.com", "does not follow"),
        ("https://evil.example/.myshopify.com", r"to evil\.example", "does not follow"),
        ("/elsewhere", "to localhost", "does not follow"),
        ("", "to an unknown address", "does not follow"),
    ],
)
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_and_has_advice(
    client: ShopifyClient,
    httpserver: HTTPServer,
    status: int,
    location: str,
    said: str,
    advice: str,
) -> None:
    headers = {"Location": location} if location else {}
    httpserver.expect_request(PATH).respond_with_data("", status=status, headers=headers)
    with pytest.raises(ShopifyMovedError, match=said) as raised:
        client.run("shop")
    assert str(status) in raised.value.message
    assert advice in raised.value.advice
    assert client.calls == 1


def test_it_gives_up_after_some_attempts(client: ShopifyClient, httpserver: HTTPServer) -> None:
    httpserver.expect_request(PATH).respond_with_data("<html>", content_type="text/html")
    with pytest.raises(ShopifyUnavailableError, match="not JSON"):
        client.run("shop")
    assert client.calls == 3


def test_an_unreachable_server_is_reported_with_the_kind_of_failure() -> None:
    # Nothing listens on port 9 (discard).
    settings = Settings(shopify_url="http://127.0.0.1:9")
    with (
        stamina.set_testing(True, attempts=2),
        open_shopify(settings, "x.myshopify.com", TOKEN) as client,
        pytest.raises(ShopifyUnavailableError, match="ConnectError"),
    ):
        client.run("shop")


def test_text_that_postgresql_cannot_store_is_removed(
    client: ShopifyClient, httpserver: HTTPServer
) -> None:
    httpserver.expect_request(PATH).respond_with_data(
        r'{"data": {"a\u0000": ["x\u0000y", "\ud83d\ude00", "half \ud83d.", 1, null]}}',
        content_type="application/json",
    )
    (texts,) = client.run("shop").values()
    assert texts == ["xy", "\U0001f600", "half \ufffd.", 1, None]
