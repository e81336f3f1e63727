"""The sandbox servers fail as planned, start on the port given, and log their requests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from sandbox import Fault, Sandbox, SandboxPortTakenError
from sandbox.data import anchor_at, generate_store
from sandbox.data.specs import KESSEL
from sandbox.faults import FaultPlan
from sandbox.klaviyo import Account
from sandbox.shopify import Store

# Plain HTTP on loopback: loading certificates for each call would take longer than the call.
HTTP = httpx.Client(verify=False)  # noqa: S501
ROOT = Path(__file__).resolve().parents[2]
KLAVIYO_HEADERS = {"Authorization": "Klaviyo-API-Key pk_sandbox_test", "revision": "2026-10-15"}


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    store = Store(generate_store(KESSEL, 1, anchor_at(date(2026, 7, 1))))
    account = Account(
        "pk_sandbox_test", name="Test", currency="EUR", timezone="Europe/Berlin", prefix="TT"
    )
    with Sandbox([store], [account]) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Iterator[Sandbox]:
    running.clear_requests()
    yield running
    running.reset_faults()


def ask_shopify(sandbox: Sandbox, timeout: float = 5) -> httpx.Response:
    return HTTP.post(
        f"{sandbox.shopify_url}/admin/api/2026-07/graphql.json",
        json={"query": "{ shop { name } }"},
        headers={"X-Shopify-Access-Token": KESSEL.token},
        timeout=timeout,
    )


def ask_klaviyo(sandbox: Sandbox, path: str = "/api/lists") -> httpx.Response:
    return HTTP.get(sandbox.klaviyo_url + path, headers=KLAVIYO_HEADERS)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_status_is_answered_as_the_api_would(status: int, sandbox: Sandbox) -> None:
    fault = Fault(status=status, retry_after=7)
    sandbox.fail_shopify(fault)
    sandbox.fail_klaviyo(fault)
    shopify, klaviyo = ask_shopify(sandbox), ask_klaviyo(sandbox)
    assert (shopify.status_code, klaviyo.status_code) == (status, status)
    assert shopify.headers["Retry-After"] == klaviyo.headers["Retry-After"] == "7"
    assert isinstance(shopify.json()["errors"], str)
    assert klaviyo.json()["errors"][0]["status"] == status
    assert ask_shopify(sandbox).status_code == 200


def test_a_connection_is_dropped(sandbox: Sandbox) -> None:
    sandbox.fail_shopify(Fault(drop=True))
    with pytest.raises(httpx.RemoteProtocolError):
        ask_shopify(sandbox)
    assert [each.status for each in sandbox.shopify_requests()] == [0]


def test_a_body_breaks_off(sandbox: Sandbox) -> None:
    sandbox.fail_shopify(Fault(truncate=True))
    with pytest.raises(httpx.RemoteProtocolError, match="complete message body"):
        ask_shopify(sandbox)


def test_an_html_page_comes_instead(sandbox: Sandbox) -> None:
    sandbox.fail_klaviyo(Fault(status=503, html=True))
    response = ask_klaviyo(sandbox)
    assert response.headers["Content-Type"].startswith("text/html")
    assert response.status_code == 503


def test_an_answer_is_delayed(sandbox: Sandbox) -> None:
    sandbox.fail_shopify(Fault(delay=0.4))
    with pytest.raises(httpx.ReadTimeout):
        ask_shopify(sandbox, timeout=0.2)
    sandbox.fail_shopify(Fault(delay=0.2))
    started = time.monotonic()
    assert ask_shopify(sandbox).status_code == 200
    assert time.monotonic() - started >= 0.2


def test_faults_befall_the_next_requests_on_their_path(sandbox: Sandbox) -> None:
    sandbox.fail_klaviyo(Fault(status=500, count=2, path="/profiles"))
    statuses = [ask_klaviyo(sandbox, f"/api/{name}").status_code for name in ("lists", "profiles")]
    assert statuses == [200, 500]
    assert [ask_klaviyo(sandbox, "/api/profiles").status_code for _ in "12"] == [500, 200]


def test_a_probable_fault_is_repeatable() -> None:
    def draw() -> list[bool]:
        plan = FaultPlan(seed=3)
        plan.add(Fault(status=500, count=100, probability=0.3))
        return [plan.take("/") is not None for _ in range(60)]

    assert draw() == draw()
    assert 5 < sum(draw()) < 35


def test_faults_are_planned_and_cleared_over_http(sandbox: Sandbox) -> None:
    control = f"{sandbox.shopify_url}/_sandbox/faults"
    assert HTTP.post(control, json=[{"status": 500, "count": 9}]).json() == {"planned": 1}
    assert ask_shopify(sandbox).status_code == 500
    assert HTTP.delete(control).status_code == 204
    assert ask_shopify(sandbox).status_code == 200
    assert HTTP.post(control, json=[{"staus": 500}]).status_code == 400


def test_a_misspelt_fault_is_refused() -> None:
    with pytest.raises(ValidationError):
        Fault(staus=500)  # type: ignore[call-arg]


def test_requests_are_logged_and_controls_are_not(sandbox: Sandbox) -> None:
    ask_klaviyo(sandbox)
    ask_klaviyo(sandbox, "/api/none")
    logged = HTTP.get(f"{sandbox.klaviyo_url}/_sandbox/requests").json()
    assert logged == [
        {"method": "GET", "path": "/api/lists", "status": 200},
        {"method": "GET", "path": "/api/none", "status": 404},
    ]


def test_a_taken_port_is_a_sentence(sandbox: Sandbox) -> None:
    port = int(sandbox.shopify_url.rsplit(":", 1)[1])
    with pytest.raises(SandboxPortTakenError, match=f"Port {port} on 127.0.0.1 is taken"):
        Sandbox([], [], klaviyo_port=port)


def test_it_runs_on_its_own_until_told_to_stop() -> None:
    program = "from sandbox import run_forever; run_forever(seed=2)"
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        described = json.loads(process.stdout.readline())
        try:
            assert {store["shop"] for store in described["shopify"]["stores"]} == {
                "northlight-goods.myshopify.com",
                "kessel-und-korn.myshopify.com",
            }
            assert described["klaviyo"]["accounts"][0]["lists"][0]["name"] == "Newsletter"
            assert HTTP.get(described["klaviyo"]["url"] + "/api/lists").status_code == 401
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == 0


def test_a_lost_answer_is_of_something_done(sandbox: Sandbox) -> None:
    account = next(iter(sandbox.accounts.values()))
    sandbox.fail_klaviyo(Fault(lose=True))
    body = {"data": {"type": "list", "attributes": {"name": "Made, response lost"}}}
    with pytest.raises(httpx.RemoteProtocolError):
        HTTP.post(
            sandbox.klaviyo_url + "/api/lists",
            json=body,
            headers={**KLAVIYO_HEADERS, "Content-Type": "application/vnd.api+json"},
        )
    assert "Made, response lost" in [each["name"] for each in account.list_names()]
