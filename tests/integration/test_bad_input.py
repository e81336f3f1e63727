"""What callers send that cannot be meant: no route fails over it, and no server process ends."""

from __future__ import annotations

import errno
import re
import socket
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx
import pytest

from service.core.config import PROJECT_DIR, Settings
from service.core.db import connect_as_owner
from service.tenants.tenants import add_tenant
from tests.served import Served, served
from tests.web import client_of, openapi_of, running_app

# Already written as they stand in a URL.
VALUES = (
    "%00",
    "a%00b",
    "x" * 6_000,
    "%FF%FE",
    "%ED%A0%80",
    "9" * 400,
    "-1",
    "1e999",
    "NaN",
    quote("\u0663\u00b2"),
    "2026-02-30",
    "9999-12-31T23:59:59%2B14:00",
    "0001-01-01T00:00:00-14:00",
    "%27%22%3B--%25",
)
ARGUMENT = re.compile(r"<(?:(\w+)[^:>]*:)?(\w+)>")
ID = "00000000-0000-0000-0000-000000000000"
READ_BY_PAGES = re.compile(r"""(?:args\.get\(|args\[)["'](\w+)["']""")


@pytest.fixture
def settings(built_settings: Settings) -> Settings:
    return built_settings


@pytest.fixture
def tenant(settings: Settings) -> UUID:
    with connect_as_owner(settings) as conn:
        return add_tenant(conn, "north", None)


def page_parameters() -> set[str]:
    """The names of query parameters that any page reads, from the source."""
    files = [*Path(PROJECT_DIR, "service", "ui").rglob("*.py")]
    files += Path(PROJECT_DIR, "service", "ui", "templates").glob("*.html")
    return {name for file in files for name in READ_BY_PAGES.findall(file.read_text())}


def query_parameters(document: dict[str, Any]) -> dict[str, set[str]]:
    """The query parameters of each path of the API."""
    return {
        path: {each["name"] for each in operation["parameters"] if each.get("in") == "query"}
        for path, operations in document["paths"].items()
        for operation in [operations.get("get", {"parameters": []})]
    }


def test_no_route_fails_over_a_parameter(settings: Settings, tenant: UUID) -> None:
    """Each route that reads, with each of its parameters, and pages with those of all pages."""
    here = replace(settings, rate_limit_per_minute=0, klaviyo_url="http://127.0.0.1:9")
    failed, asked = [], 0
    with running_app(here) as app:
        client = client_of(app, here, tenant)
        app.testing = False
        of_api = query_parameters(openapi_of(app))
        of_pages = page_parameters() | {"cursor", "limit", "sort", "q"}
        for rule in app.url_map.iter_rules():
            if "GET" not in (rule.methods or ()) or rule.endpoint == "admin.static":
                continue
            path = ARGUMENT.sub(ID, rule.rule)
            template = ARGUMENT.sub(r"{\2}", rule.rule)
            is_page = rule.rule.startswith("/admin")
            names = of_api.get(template, of_pages if is_page else set())
            # Pages read with what the API reads with, so a few values are enough.
            values = VALUES[:6] if is_page else VALUES
            urls = [f"{path}?{name}={value}" for name in sorted(names) for value in values]
            urls += [f"{path}?{value}={value}" for value in values]
            for url in urls:
                answer = client.get(url)
                asked += 1
                if answer.status_code >= 500:
                    failed.append((url[:120], answer.status_code))
                answer.close()
    assert failed == []
    assert asked > 2_000


def test_no_route_fails_over_a_part_of_its_path(settings: Settings, tenant: UUID) -> None:
    """Each argument of each route, with every method."""
    here = replace(settings, rate_limit_per_minute=0, klaviyo_url="http://127.0.0.1:9")
    failed, asked = [], 0
    with running_app(here) as app:
        client = client_of(app, here, tenant)
        app.testing = False
        for rule in app.url_map.iter_rules():
            if not rule.arguments or rule.endpoint == "admin.static":
                continue
            for value in VALUES:
                url = ARGUMENT.sub(value.replace("\\", ""), rule.rule)
                for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                    answer = client.open(url, method=method, json={})
                    asked += 1
                    if answer.status_code >= 500:
                        failed.append((method, url[:120], answer.status_code))
                    answer.close()
    assert failed == []
    assert asked > 500


# -- the wire -------------------------------------------------------------------------------------


HEAD = b"POST /webhooks/shopify HTTP/1.1\r\nHost: 127.0.0.1\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
NOT_HTTP = (
    CHUNKED + b"ZZ\r\nabc\r\n0\r\n\r\n",
    CHUNKED + b"-1\r\nabc\r\n0\r\n\r\n",
    CHUNKED + b"ffffffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    CHUNKED + b"3\r\nabcdef\r\n0\r\n\r\n",
    CHUNKED + b"\r\n",
    HEAD + b"Content-Length: x\r\n\r\n",
    HEAD + b"Content-Length: -1\r\n\r\n",
    HEAD + b"Content-Length: 99999999999999999999\r\n\r\n",
    HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    HEAD + b"X-Long: " + b"a" * 100_000 + b"\r\n\r\n",
    HEAD + b"X: \0\r\n\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"\0\xff\r\n\r\n",
)


def test_what_is_not_http_is_refused(settings: Settings) -> None:
    with served(replace(settings, web_processes=1)) as service:
        for sent in NOT_HTTP:
            answer = exchanged(service, sent)
            # Closed without a word, or refused.
            assert answer == b"" or re.match(rb"HTTP/1\.\d (4\d\d|505) ", answer), sent[:200]
            assert b"Traceback" not in answer
        assert httpx.get(f"{service.url}/healthz").status_code == 200


def exchanged(service: Served, sent: bytes) -> bytes:
    """What the service answers to these bytes, until it closes the connection."""
    url = httpx.URL(service.url)
    answer = b""
    with (
        # It may stop reading before everything is sent, which resets the connection.
        suppress(ConnectionError),
        socket.create_connection((url.host, url.port or 80), timeout=10) as connection,
    ):
        connection.sendall(sent)
        try:
            connection.shutdown(socket.SHUT_WR)
        except OSError as error:
            # Reset while it was sent. Not a ConnectionError, though it is about one.
            if error.errno != errno.ENOTCONN:
                raise
        while more := connection.recv(65536):
            answer += more
    return answer
