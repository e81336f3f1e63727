"""Metrics: what is counted, who may read it, and that no tenant is named."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pytest_httpserver import HTTPServer

from service.cli.web import serve_command
from service.core.config import Settings
from service.core.db import Connection, Pool, connect_as_owner, tenant_transaction
from service.core.http import open_client
from service.core.metrics import process_metrics
from service.queue.enqueue import enqueue
from service.queue.runs import record_run, start_run
from service.tenants.tenants import add_tenant
from service.worker.metrics import InstallationCollector, serve_metrics
from tests.command import environment_of
from tests.conftest import PROJECT_DIR
from tests.web import add_explanations, running_app

TOKEN = "a token for the metrics"


def _numbers(text: str) -> dict[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _own() -> dict[tuple[str, ...], float]:
    return _numbers(process_metrics().decode())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_requests_are_counted_by_route_and_not_by_path(settings: Settings) -> None:
    key = ("quintile_http_request_seconds_count", "GET", "/problems/<slug>", "200")
    unknown = ("quintile_http_request_seconds_count", "other", "none", "404")
    before = _own()
    with running_app(settings) as app:
        client = app.test_client()
        client.get("/problems/not-found")
        client.get("/problems/bad-request")
        client.open("/nowhere/at/all", method="BREW")
        after = _numbers(client.get("/metrics").text)
    assert after[key] - before.get(key, 0) == 2
    assert after[unknown] - before.get(unknown, 0) == 1
    assert "bad-request" not in str(after)


@pytest.mark.parametrize(
    ("address", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("::1", {}, 200),
        ("10.0.0.7", {}, 401),
        ("127.0.0.1", {"X-Forwarded-For": "203.0.113.9"}, 401),
        ("127.0.0.1", {"Forwarded": "for=203.0.113.9"}, 401),
        ("127.0.0.1", {"X-Forwarded-Proto": "https"}, 401),
        ("127.0.0.1", {"CF-Connecting-IP": "203.0.113.9"}, 401),
        ("127.0.0.1", {"True-Client-IP": "203.0.113.9"}, 401),
        ("127.0.0.1", {"Host": "quintile.example.com"}, 401),
        ("127.0.0.1", {"Host": "127.0.0.1:8000"}, 200),
    ],
)
def test_without_a_token_only_the_local_machine_reads_metrics(
    settings: Settings, address: str, headers: dict[str, str], status: int
) -> None:
    with running_app(settings) as app:
        answer = app.test_client().get(
            "/metrics", environ_base={"REMOTE_ADDR": address}, headers=headers
        )
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("sent", "status"),
    [(f"Bearer {TOKEN}", 200), ("Bearer another", 401), (TOKEN, 401), ("Bearer é", 401), ("", 401)],
)
def test_with_a_token_metrics_require_it(settings: Settings, sent: str, status: int) -> None:
    with running_app(replace(settings, metrics_token=TOKEN)) as app:
        answer = app.test_client().get("/metrics", headers={"Authorization": sent})
    assert answer.status_code == status


def test_calls_and_throttled_calls_to_providers_are_counted(httpserver: HTTPServer) -> None:
    httpserver.expect_ordered_request("/").respond_with_data(status=429)
    httpserver.expect_ordered_request("/").respond_with_data("fine")
    before = _own()
    with open_client({}, provider="shopify") as client:
        client.get(httpserver.url_for("/"))
        client.get(httpserver.url_for("/"))
        with pytest.raises(httpx.ConnectError):
            client.get(f"http://127.0.0.1:{_free_port()}/")
    after = _own()
    for status, count in (("429", 1), ("200", 1), ("none", 1)):
        key = ("quintile_upstream_request_seconds_count", "shopify", status)
        assert after[key] - before.get(key, 0) == count
    throttled = ("quintile_upstream_throttled_total", "shopify")
    assert after[throttled] - before.get(throttled, 0) == 1


def test_runs_are_counted_by_kind_and_final_state(pool: Pool, make_tenant) -> None:
    tenant_id = make_tenant()
    before = _own()
    for kind, fails in (("build", False), ("shopify_sync", True)):
        with tenant_transaction(pool, tenant_id) as conn:
            run_id = start_run(conn, tenant_id, kind, "cli").run["run_id"]
        try:
            with record_run(pool, tenant_id, run_id):
                assert not fails
        except AssertionError:
            pass
    after = _own()
    for key in (("build", "succeeded"), ("shopify_sync", "failed")):
        name = ("quintile_run_seconds_count", *key)
        assert after[name] - before.get(name, 0) == 1


def _collected(settings: Settings) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in InstallationCollector(settings).collect()
        for sample in family.samples
    }


def test_lag_is_reported_by_size_and_not_by_tenant_name(
    settings: Settings, pool: Pool, make_tenant, owner: Connection, superuser: Connection
) -> None:
    late, fresh = make_tenant("late-tenant"), make_tenant("fresh-tenant")
    owner.execute(
        "update app.tenants set created_at = now() - interval '3 days' where tenant_id = %s",
        [late],
    )
    with tenant_transaction(pool, fresh) as conn:
        enqueue(conn, fresh, "build")
    superuser.execute("update jobs.procrastinate_events set at = now() - interval '90 seconds'")
    found = _collected(settings)
    assert found[("quintile_database_up",)] == 1
    assert found[("quintile_tenants", "unbuilt")] == 2
    assert found[("quintile_tenants_late", "build", "unbuilt")] == 1
    assert found[("quintile_lag_seconds", "build", "unbuilt")] == pytest.approx(3 * 86400, abs=600)
    assert found[("quintile_queue_jobs", "builds", "waiting")] == 1
    assert found[("quintile_queue_oldest_seconds", "builds")] >= 90
    assert found[("quintile_runs_unfinished", "build", "queued")] == 1
    assert found[("quintile_workers",)] == 0
    assert "late-tenant" not in str(found)
    named = _collected(replace(settings, metrics_tenant_names=1))
    assert named[("quintile_tenant_lag_seconds", "late-tenant", "build")] > 2 * 86400


def test_sizes_follow_the_customers_of_the_last_build(
    built_settings: Settings,
) -> None:
    with connect_as_owner(built_settings) as conn:
        for name, customers in (("a", 999), ("b", 1000), ("c", 50_000)):
            add_explanations(built_settings, add_tenant(conn, name), customers=customers)
        add_tenant(conn, "d")
    found = _collected(built_settings)
    sizes = {size: found[("quintile_tenants", size)] for size in ("unbuilt", "small", "medium")}
    assert sizes == {"unbuilt": 1, "small": 1, "medium": 1}
    assert found[("quintile_tenants", "large")] == 1
    assert found[("quintile_rows_written_total", "marts")] > 0


def test_an_unreachable_database_is_reported_as_down(settings: Settings) -> None:
    nowhere = replace(settings, transform_database_url="postgresql://127.0.0.1:1/none")
    assert _collected(nowhere) == {("quintile_database_up",): 0}


def test_the_workers_metrics_require_the_token(settings: Settings) -> None:
    here = replace(settings, worker_metrics_port=_free_port(), metrics_token=TOKEN)
    url = f"http://127.0.0.1:{here.worker_metrics_port}"
    with serve_metrics(here):
        assert httpx.get(f"{url}/metrics").status_code == 401
        assert httpx.get(f"{url}/else").status_code == 404
        answer = httpx.get(f"{url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    assert ("quintile_database_up",) in _numbers(answer.text)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/metrics")


@contextmanager
def _process(settings: Settings, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, cwd=PROJECT_DIR, env=environment_of(settings))
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def _answer_of(url: str) -> httpx.Response:
    """The first answer of a server that is starting."""
    until = time.monotonic() + 60
    while True:
        try:
            return httpx.get(url)
        except httpx.TransportError:
            assert time.monotonic() < until, "nothing answers"
            time.sleep(0.1)


def test_every_web_process_reports_the_requests_of_all(settings: Settings) -> None:
    here = replace(settings, port=_free_port(), web_processes=2)
    url = f"http://127.0.0.1:{here.port}"
    counted = ("quintile_http_request_seconds_count", "GET", "/problems/<slug>", "200")
    with _process(here, *serve_command(here)):
        _answer_of(f"{url}/healthz")
        # One connection each, so that both processes get requests.
        for _ in range(30):
            assert httpx.get(f"{url}/problems/not-found").status_code == 200
        seen = [_numbers(httpx.get(f"{url}/metrics").text)[counted] for _ in range(10)]
    assert seen == [30] * 10


def test_the_worker_serves_metrics_on_its_own_port(settings: Settings) -> None:
    here = replace(settings, worker_metrics_port=_free_port())
    with _process(here, sys.executable, "-m", "service", "worker"):
        answer = _answer_of(f"http://127.0.0.1:{here.worker_metrics_port}/metrics")
    assert re.search(r"^quintile_database_up 1\.0$", answer.text, re.MULTILINE)
