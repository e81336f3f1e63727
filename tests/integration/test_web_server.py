"""The web server under load: slow clients, and more requests than it can answer."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import gevent
import httpx
import pytest
from werkzeug.exceptions import RequestTimeout

from service import web_server
from service.core.config import Settings
from service.core.db import admin_url, connect, connect_as_owner
from service.tenants.tenants import add_tenant
from tests.served import Served, served
from tests.web import client_of, running_app, token_for

SLOTS = 4
SLOW_CLIENTS = 20
CLIENTS = 16
REQUESTS_EACH = 5


@pytest.fixture
def headers(settings: Settings) -> dict[str, str]:
    """A tenant's credential."""
    with connect_as_owner(settings) as conn:
        tenant = add_tenant(conn, "north")
    return {"Authorization": f"Bearer {token_for(settings, tenant)}"}


@pytest.fixture
def running(settings: Settings) -> Iterator[Served]:
    """A service with few slots for requests, and one for a body."""
    with served(replace(settings, web_requests=SLOTS)) as service:
        yield service


def test_clients_that_send_slowly_block_no_others(running: Served, headers: dict[str, str]) -> None:
    with ExitStack() as stack:
        for _ in range(SLOW_CLIENTS):
            for begun in (
                b"GET /api/admin/tokens HTTP/1.1\r\nHost: h\r\nX",
                b"POST /admin/sign-in HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n{",
            ):
                stack.enter_context(_connect(running)).sendall(begun)
        assert httpx.get(f"{running.url}/healthz").json() == {"status": "ok"}
        assert httpx.get(f"{running.url}/api/admin/tokens", headers=headers).status_code == 200
        # Only clients with a body have to wait for others with a body.
        _expect_refusal(httpx.post(f"{running.url}/admin/sign-in", json={"code": "any"}))


def test_a_busy_service_answers_every_request(
    running: Served, settings: Settings, headers: dict[str, str]
) -> None:
    def ask(_client: int) -> list[httpx.Response]:
        with httpx.Client(base_url=running.url, headers=headers, timeout=60) as client:
            # A connection that is cut off is an exception.
            return [client.get("/api/admin/tokens") for _ in range(REQUESTS_EACH)]

    with connect(admin_url(settings)) as admin, ThreadPoolExecutor(CLIENTS) as threads:
        with admin.transaction():
            # Every credential is looked up here, so requests keep their slots.
            admin.execute("lock table app.api_tokens in access exclusive mode")
            asked = threads.map(ask, range(CLIENTS))
            _expect_refusal(_first_refusal(running, headers))
            assert httpx.get(f"{running.url}/healthz").status_code == 200
        answers = [answer for several in asked for answer in several]
    answered = [answer for answer in answers if answer.status_code == 200]
    assert len(answered) >= SLOTS
    for answer in answers:
        if answer.status_code != 200:
            _expect_refusal(answer)
    # Every slot is free again.
    with httpx.Client(base_url=running.url, headers=headers) as client:
        assert {client.get("/api/admin/tokens").status_code for _ in range(2 * SLOTS)} == {200}


def test_a_body_that_does_not_arrive_in_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow:
        def read(self, _size: int) -> bytes:
            gevent.sleep(60)
            return b"{}"

    def app(environ: dict[str, Any], _start_response: Any) -> list[bytes]:
        return [environ["wsgi.input"].read(2)]

    monkeypatch.setattr(web_server, "_BODY_SECONDS", 0.05)
    with socket.socket() as connection, pytest.raises(RequestTimeout):
        web_server.limit_time(app)(
            {"gunicorn.socket": connection, "wsgi.input": Slow()}, lambda *_: None
        )


def test_downloads_leave_database_connections_to_others(settings: Settings) -> None:
    few = replace(settings, pool_size=2)
    with connect_as_owner(settings) as conn:
        tenant = add_tenant(conn, "north")
    with running_app(few) as app:
        client = client_of(app, few, tenant)
        first = client.get("/api/admin/audit-log.csv")
        _expect_refusal(client.get("/api/admin/audit-log.csv"))
        assert client.get("/api/admin/tokens").status_code == 200
        first.close()
        assert client.get("/api/admin/audit-log.csv").status_code == 200


def _connect(service: Served) -> socket.socket:
    url = httpx.URL(service.url)
    return socket.create_connection((url.host, url.port or 80))


def _first_refusal(service: Served, headers: dict[str, str]) -> httpx.Response:
    until = time.monotonic() + 30
    with httpx.Client(base_url=service.url, headers=headers, timeout=60) as client:
        while time.monotonic() < until:
            # Without a credential it does not wait for the table, but it needs a slot.
            answer = client.get("/api/admin/tokens", headers={"Authorization": "none"})
            if answer.status_code == 503:
                return answer
            time.sleep(0.05)
    raise TimeoutError("nothing was refused")


def _expect_refusal(answer: Any) -> None:
    body = answer.json() if isinstance(answer, httpx.Response) else answer.get_json()
    assert answer.status_code == 503
    assert body["type"] == "/problems/overloaded"
    assert int(answer.headers["Retry-After"]) >= 1
