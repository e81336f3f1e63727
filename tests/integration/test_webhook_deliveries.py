"""Outgoing webhooks: endpoints, signatures, retries, and never a private network."""

from __future__ import annotations

import ipaddress
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from apiflask import APIFlask
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from flask.testing import FlaskClient
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from service.api.webhook_messages import MESSAGES
from service.core.config import Settings
from service.core.db import (
    Connection,
    Pool,
    connect,
    connect_as_owner,
    one,
    tenant_transaction,
    transform_url,
)
from service.core.errors import InvalidInputError
from service.core.vault import seal
from service.doctor.endpoints import check_endpoints
from service.doctor.examine import examine
from service.migrate import known_migrations, migrate
from service.notifications import delivery
from service.notifications.address import (
    UnreachableAddressError,
    check_url,
    is_public,
    look_up,
)
from service.notifications.deliveries import enqueue_webhooks
from service.notifications.endpoints import MAX_ENDPOINTS, add_endpoint, open_endpoint
from service.notifications.events import announce
from service.tenants.keys import rotate_keys
from service.tenants.tenants import add_tenant
from service.tenants.tokens import Scope, create_token
from service.worker.housekeeping import housekeep
from service.worker.metrics import InstallationCollector
from service.worker.run_once import run_once
from service.worker.tasks import worker_app
from tests.conftest import PROJECT_DIR, Cluster, MakeTenant
from tests.web import client_of, running_app

ENDPOINTS = "/api/admin/webhooks/endpoints"
DELIVERIES = "/api/admin/webhooks/deliveries"
SYNC_TOPICS = ["klaviyo_sync.failed", "klaviyo_sync.recovered"]


@pytest.fixture
def here(settings: Settings) -> Settings:
    return replace(settings, notify_private_addresses=1)


@pytest.fixture
def app(here: Settings) -> Iterator[APIFlask]:
    with running_app(here) as app:
        yield app


@pytest.fixture
def tenant(make_tenant: MakeTenant) -> UUID:
    return make_tenant()


@pytest.fixture
def client(app: APIFlask, here: Settings, tenant: UUID) -> FlaskClient:
    return client_of(app, here, tenant)


@pytest.fixture
def receiver() -> Iterator[HTTPServer]:
    with HTTPServer(host="127.0.0.1", port=0, threaded=True) as server:
        yield server


def config(owner: Connection, tenant: UUID, list_id: str = "L1") -> UUID:
    row = owner.execute(
        """
        insert into app.klaviyo_sync_configs (tenant_id, segment_key, list_id, list_name)
        values (%s, 'rfm:champions', %s, 'VIP')
        returning config_id
        """,
        [tenant, list_id],
    ).fetchone()
    return UUID(str(one(row)["config_id"]))


def run(owner: Connection, tenant: UUID, outcomes: dict[UUID, str], **values: Any) -> UUID:
    """A finished run, with the state of each of its configurations."""
    row = owner.execute(
        """
        insert into app.runs (tenant_id, kind, trigger, state, finished_at)
        values (%s, 'klaviyo_sync', 'schedule', 'succeeded', now())
        returning run_id
        """,
        [tenant],
    ).fetchone()
    run_id = UUID(str(one(row)["run_id"]))
    for config_id, state in outcomes.items():
        owner.execute(
            """
            insert into app.klaviyo_sync_runs (
                tenant_id, run_id, config_id, segment_key, list_id, list_name, direction, state,
                stopped_for, error, advice, is_dry_run, finished_at
            )
            values (
                %(tenant)s, %(run)s, %(config)s, 'rfm:champions', 'L1', 'VIP', 'push', %(state)s,
                case %(state)s when 'stopped' then 'removals' end, %(error)s, 'Do this.',
                %(is_dry_run)s, now()
            )
            """,
            {
                "tenant": tenant,
                "run": run_id,
                "config": config_id,
                "state": state,
                "error": None if state == "succeeded" else "It went wrong.",
                "is_dry_run": False,
                **values,
            },
        )
    return run_id


def announced(pool: Pool, tenant: UUID, run_id: UUID) -> int:
    with tenant_transaction(pool, tenant) as conn:
        return announce(conn, tenant, run_id)


def work(settings: Settings, pool: Pool) -> None:
    """Run queued jobs, in a thread because the browser tests keep an event loop in this one."""

    def do() -> None:
        app = worker_app(settings, pool)
        with app.open():
            app.run_worker(wait=False, install_signal_handlers=False, queues=["notifications"])

    with ThreadPoolExecutor(max_workers=1) as executor:
        executor.submit(do).result()


def add(client: FlaskClient, url: str, topics: list[str] = SYNC_TOPICS) -> dict[str, Any]:
    """A new endpoint, as the API returns it."""
    answer = client.post(ENDPOINTS, json={"url": url, "topics": topics})
    assert answer.status_code == 201, answer.text
    endpoint: dict[str, Any] = answer.get_json()
    assert answer.headers["Location"].endswith(f"{ENDPOINTS}/{endpoint['endpoint_id']}")
    return endpoint


def message_of(request: Request) -> dict[str, Any]:
    """A message that has arrived, which is as the OpenAPI document says."""
    message: dict[str, Any] = json.loads(request.get_data())
    described = MESSAGES[message["type"]].model_validate(message)
    assert described.model_dump(mode="json") == message
    return message


def show(client: FlaskClient, endpoint: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = client.get(f"{ENDPOINTS}/{endpoint['endpoint_id']}").get_json()
    return shown


def log_of(client: FlaskClient, **filters: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = client.get(DELIVERIES, query_string=filters).get_json()["data"]
    return rows


def send_test(
    client: FlaskClient, settings: Settings, pool: Pool, endpoint: dict[str, Any]
) -> dict[str, Any]:
    """The log's row of a test message, after the worker has run."""
    answer = client.post(f"{ENDPOINTS}/{endpoint['endpoint_id']}/test")
    assert (answer.status_code, answer.get_json()["state"]) == (202, "pending")
    work(settings, pool)
    sent: dict[str, Any] = client.get(answer.headers["Location"]).get_json()
    return sent


def make_due(owner: Connection) -> None:
    """Let everything that waits be due, as if time had passed."""
    owner.execute(
        "update app.webhook_deliveries set next_attempt_at = now() where state = 'pending'"
    )
    owner.execute("update app.webhook_endpoints set retry_at = null")


def receivers_check() -> Callable[[str, dict[str, str], bytes], bool]:
    """The check of signatures in docs/api.md."""
    page = (PROJECT_DIR / "docs" / "api.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {}
    exec(code[1], names)  # noqa: S102 - the example that readers run
    check: Callable[[str, dict[str, str], bytes], bool] = names["is_genuine"]
    return check


def headers_of(request: Request) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


# -- Klaviyo's topics ----------------------------------------------------------------------------


def test_only_changes_of_lists_are_sent_and_messages_are_signed(
    here: Settings,
    pool: Pool,
    owner: Connection,
    tenant: UUID,
    client: FlaskClient,
    receiver: HTTPServer,
) -> None:
    receiver.expect_request("/hook", method="POST").respond_with_data("thanks")
    endpoint = add(client, receiver.url_for("/hook"))
    first, second = config(owner, tenant, "L1"), config(owner, tenant, "L2")

    # None of a configuration that works from the start, nor of a dry run.
    assert announced(pool, tenant, run(owner, tenant, {first: "succeeded"})) == 0
    assert announced(pool, tenant, run(owner, tenant, {first: "failed"}, is_dry_run=True)) == 0
    # One fails: sent once, however often and in whatever way it fails.
    failed = run(owner, tenant, {first: "failed", second: "succeeded"})
    assert announced(pool, tenant, failed) == 1
    assert announced(pool, tenant, failed) == 0
    assert announced(pool, tenant, run(owner, tenant, {first: "stopped"})) == 0
    assert announced(pool, tenant, run(owner, tenant, {first: "paused"})) == 0
    # The other fails while the first recovers.
    assert announced(pool, tenant, run(owner, tenant, {first: "succeeded", second: "paused"})) == 2
    assert announced(pool, tenant, run(owner, tenant, {first: "succeeded"})) == 0

    work(here, pool)
    bodies = [message_of(request) for request, _ in receiver.log]
    sent = {(body["type"], body["data"]["configuration"]["config_id"]) for body in bodies}
    assert sent == {
        ("klaviyo_sync.failed", str(first)),
        ("klaviyo_sync.failed", str(second)),
        ("klaviyo_sync.recovered", str(first)),
    }
    failure = next(body for body in bodies if body["data"]["run"]["run_id"] == str(failed))
    assert failure["data"]["run"]["run_error"] == "It went wrong."
    assert failure["text"] == (
        "demo: Klaviyo list 'VIP' (rfm:champions) is out of sync. It went wrong. Do this."
    )
    is_genuine = receivers_check()
    for request, _ in receiver.log:
        headers, body = headers_of(request), request.get_data()
        assert json.loads(body)["id"] == headers["webhook-id"]
        assert is_genuine(endpoint["secret"], headers, body)
        assert not is_genuine(endpoint["secret"], headers, body + b" ")
        assert not is_genuine(endpoint["secret"], headers | {"webhook-id": "another"}, body)
        assert not is_genuine("whsec_c2VjcmV0", headers, body)
    assert {row["state"] for row in log_of(client)} == {"delivered"}
    assert {row["response_status"] for row in log_of(client)} == {200}


def test_an_error_is_sent_without_the_address_that_it_quotes(
    here: Settings,
    pool: Pool,
    owner: Connection,
    tenant: UUID,
    client: FlaskClient,
    receiver: HTTPServer,
) -> None:
    receiver.expect_request("/").respond_with_data("")
    add(client, receiver.url_for("/"))
    quoting = "Klaviyo refused 'ada.o'neil+vip@mail.example' (<ADA@Mail.example>, email:ä@b.de)."
    failed = run(owner, tenant, {config(owner, tenant): "failed"}, error=quoting)
    owner.execute("update app.klaviyo_sync_runs set advice = 'Ask ada@mail.example.'")
    announced(pool, tenant, failed)
    work(here, pool)
    ((request, _),) = receiver.log
    body = json.loads(request.get_data())
    assert "@" not in json.dumps(body)
    assert body["data"]["run"]["run_error"] == (
        "Klaviyo refused '[e-mail address]' (<[e-mail address]>, email:[e-mail address])."
    )
    assert body["text"].endswith("email:[e-mail address]). Ask [e-mail address].")


def test_each_endpoint_knows_lists_that_fail_and_receives_its_topics(
    pool: Pool, owner: Connection, tenant: UUID, client: FlaskClient
) -> None:
    failing = config(owner, tenant)
    first = add(client, "https://one.example/", ["klaviyo_sync.failed"])
    assert announced(pool, tenant, run(owner, tenant, {failing: "failed"})) == 1
    # A new endpoint is told what the first one knows.
    add(client, "https://two.example/")
    assert announced(pool, tenant, run(owner, tenant, {failing: "failed"})) == 1
    assert announced(pool, tenant, run(owner, tenant, {failing: "failed"})) == 0
    # Another URL is another receiver; the same one is not.
    url = f"{ENDPOINTS}/{first['endpoint_id']}"
    assert client.patch(url, json={"url": "https://three.example/"}).status_code == 200
    assert announced(pool, tenant, run(owner, tenant, {failing: "failed"})) == 1
    assert client.patch(url, json={"url": "https://three.example/"}).status_code == 200
    assert announced(pool, tenant, run(owner, tenant, {failing: "failed"})) == 0
    # The first does not want to hear of recoveries, but of the next failure.
    assert announced(pool, tenant, run(owner, tenant, {failing: "succeeded"})) == 1
    assert announced(pool, tenant, run(owner, tenant, {failing: "failed"})) == 2


def test_without_an_endpoint_nothing_is_stored(
    pool: Pool, owner: Connection, tenant: UUID, client: FlaskClient
) -> None:
    assert announced(pool, tenant, run(owner, tenant, {config(owner, tenant): "failed"})) == 0
    assert client.get(ENDPOINTS).get_json() == {"data": [], "next_cursor": None}
    unknown = f"{ENDPOINTS}/{tenant}"
    for answer in (
        client.get(unknown),
        client.patch(unknown, json={"is_enabled": False}),
        client.delete(unknown),
        client.post(f"{unknown}/test"),
        client.post(f"{unknown}/rotate-secret", json={}),
        client.post(f"{unknown}/replay", json={"since": datetime.now(UTC).isoformat()}),
        client.get(f"{DELIVERIES}/{tenant}"),
        client.post(f"{DELIVERIES}/{tenant}/redeliver"),
    ):
        assert answer.status_code == 404


# -- endpoints and secrets -----------------------------------------------------------------------


def test_endpoints_are_limited_and_their_topics_in_order(client: FlaskClient) -> None:
    for number in range(MAX_ENDPOINTS):
        endpoint = add(client, f"https://{number}.example/", ["sample.found", "build.completed"])
    listed = client.get(ENDPOINTS, query_string={"limit": 15}).get_json()
    rest = client.get(ENDPOINTS, query_string={"limit": 15, "cursor": listed["next_cursor"]})
    urls = [row["url"] for row in listed["data"] + rest.get_json()["data"]]
    assert urls == [f"https://{number}.example/" for number in range(MAX_ENDPOINTS)]
    topics = ["build.completed", "segment.customer_left", "build.completed"]
    answer = client.patch(f"{ENDPOINTS}/{endpoint['endpoint_id']}", json={"topics": topics})
    assert answer.get_json()["topics"] == ["segment.customer_left", "build.completed"]
    more = {"url": "https://more.example/", "topics": ["sample.found"]}
    assert client.post(ENDPOINTS, json=more).status_code == 422
    for wrong in ([], ["test"], ["segment.unknown"]):
        assert client.post(ENDPOINTS, json={**more, "topics": wrong}).status_code == 422


def test_a_secret_is_shown_once_and_stored_sealed(
    here: Settings, pool: Pool, owner: Connection, tenant: UUID, client: FlaskClient
) -> None:
    endpoint = add(client, "https://example.com/a")
    secret = endpoint["secret"]
    shown = client.get(ENDPOINTS)
    assert secret not in shown.text
    assert shown.get_json()["data"][0]["secret_last_four"] == secret[-4:]
    stored = one(owner.execute("select * from app.webhook_secrets").fetchone())
    assert secret.encode() not in bytes(stored["sealed_secret"])

    client.post(f"{ENDPOINTS}/{endpoint['endpoint_id']}/rotate-secret", json={})
    newer = replace(here, encryption_keys="new:a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=")
    rotation = rotate_keys(newer, pool, {"demo": tenant})
    assert (rotation.resealed, dict(rotation.in_use)) == (2, {"new": 2})
    with tenant_transaction(pool, tenant) as conn:
        opened = open_endpoint(newer, conn, tenant, UUID(endpoint["endpoint_id"]))
    assert opened.secrets[1] == secret


def test_messages_carry_both_signatures_until_the_former_secret_expires(
    here: Settings,
    pool: Pool,
    owner: Connection,
    tenant: UUID,
    client: FlaskClient,
    receiver: HTTPServer,
) -> None:
    receiver.expect_request("/").respond_with_data("")
    endpoint = add(client, receiver.url_for("/"))
    url = f"{ENDPOINTS}/{endpoint['endpoint_id']}/rotate-secret"
    rotated = client.post(url, json={}).get_json()
    until = datetime.fromisoformat(rotated["former_secret_expires_at"]) - datetime.now(UTC)
    assert timedelta(hours=23) < until < timedelta(hours=25)
    is_genuine = receivers_check()

    def accepted_secrets() -> list[bool]:
        send_test(client, here, pool, endpoint)
        request, _ = receiver.log[-1]
        signed = headers_of(request), request.get_data()
        return [is_genuine(known["secret"], *signed) for known in (endpoint, rotated)]

    assert accepted_secrets() == [True, True]
    owner.execute("update app.webhook_secrets set expires_at = now() where expires_at is not null")
    assert accepted_secrets() == [False, True]
    # After a leak, the former one stops at once.
    leaked, rotated = rotated, client.post(url, json={"keep_hours": 0}).get_json()
    endpoint |= {"secret": leaked["secret"]}
    assert accepted_secrets() == [False, True]
    assert show(client, endpoint)["former_secret_expires_at"] is None
    # So does one that was replaced before the leak was known.
    for keep_hours, is_kept in ((24, True), (0, False)):
        client.post(url, json={"keep_hours": keep_hours})
        assert bool(show(client, endpoint)["former_secret_expires_at"]) is is_kept
    counts = housekeep(here, pool, [tenant])
    assert counts["webhook_secrets"] == 4


def test_endpoints_and_messages_of_a_tenant_are_hidden_from_others(
    app: APIFlask, here: Settings, client: FlaskClient, make_tenant: MakeTenant
) -> None:
    endpoint = add(client, "https://one.example/")
    url = f"{ENDPOINTS}/{endpoint['endpoint_id']}"
    delivery_id = client.post(f"{url}/test").get_json()["delivery_id"]
    other = client_of(app, here, make_tenant("other"))
    assert other.get(ENDPOINTS).get_json()["data"] == []
    assert log_of(other) == []
    assert other.delete(url).status_code == 404
    assert other.post(f"{url}/rotate-secret", json={}).status_code == 404
    assert other.post(f"{DELIVERIES}/{delivery_id}/redeliver").status_code == 404
    assert client.get(url).status_code == 200


def test_the_audit_log_has_changes_of_endpoints_without_their_path(client: FlaskClient) -> None:
    endpoint = add(client, "https://hooks.example/T0/secret-part")
    url = f"{ENDPOINTS}/{endpoint['endpoint_id']}"
    client.patch(url, json={"url": "https://hooks.example/T0/another-part"})
    client.patch(url, json={"url": "https://hooks.example/T0/another-part"})
    client.post(f"{url}/rotate-secret", json={})
    client.delete(url)
    audit = client.get("/api/admin/audit-log")
    assert [row["action"] for row in audit.get_json()["data"]] == [
        "webhook_endpoint.deleted",
        "webhook_endpoint.secret_rotated",
        "webhook_endpoint.changed",
        "webhook_endpoint.added",
    ]
    assert "-part" not in audit.text
    assert "hooks.example" in audit.text


def test_only_the_scope_admin_sees_more_of_an_address_than_its_host(
    app: APIFlask, here: Settings, owner: Connection, tenant: UUID, client: FlaskClient
) -> None:
    address = "https://hooks.example:8443/T0/secret-part?key=secret-part"
    endpoint = add(client, address)
    url = f"{ENDPOINTS}/{endpoint['endpoint_id']}"
    scopes: tuple[Scope, ...] = ("read", "write")
    for scope in scopes:
        token = create_token(owner, tenant, scope, scope=scope).token
        answers = [
            app.test_client().get(path, headers={"Authorization": f"Bearer {token}"})
            for path in (ENDPOINTS, url)
        ]
        listed, shown = (answer.get_json() for answer in answers)
        assert listed["data"] == [shown]
        assert shown == {**show(client, endpoint), "url": "https://hooks.example:8443"}
    assert show(client, endpoint)["url"] == address
    assert client.get(ENDPOINTS).get_json()["data"][0]["url"] == address


def test_the_upgrade_keeps_the_address_its_secret_and_what_waits(
    cluster: Cluster, receiver: HTTPServer
) -> None:
    receiver.expect_request("/").respond_with_data("")
    known = known_migrations()
    number = [migration.name for migration in known].index("0037_webhook_endpoints")
    name = cluster.create()
    try:
        settings = replace(cluster.settings(name), notify_private_addresses=1)
        migrate(settings, migrations=known[:number])
        with connect_as_owner(settings) as owner:
            tenant = add_tenant(owner, "demo", None)
            secret = "whsec_c2VjcmV0"
            owner.execute(
                "insert into app.notification_hooks (tenant_id, url, sealed_secret, key_id,"
                " last_four) values (%s, %s, %s, %s, 'XJl0')",
                [
                    tenant,
                    receiver.url_for("/"),
                    *reversed(seal(settings, tenant, "notifications", secret).values()),
                ],
            )
            failing = config(owner, tenant)
            for topic, state in (("recovered", "delivered"), ("failed", "pending")):
                owner.execute(
                    "insert into app.notifications (tenant_id, topic, config_id, run_id, state,"
                    " created_at, finished_at) values (%(tenant)s, %(topic)s, %(config)s, %(run)s,"
                    " %(state)s, clock_timestamp(),"
                    " case when %(state)s = 'delivered' then now() end)",
                    {
                        "tenant": tenant,
                        "topic": f"klaviyo_sync.{topic}",
                        "config": failing,
                        "run": run(owner, tenant, {failing: "failed"}),
                        "state": state,
                    },
                )
        with connect(transform_url(settings)) as conn, conn.transaction():
            conn.execute("set local search_path = jobs")
            conn.execute(
                "select procrastinate_defer_jobs_v1(array[('notifications', 'quintile.notify', 0,"
                " null, null, %s::jsonb, null)::procrastinate_job_to_defer_v1])",
                [json.dumps({"tenant_id": str(tenant), "notification_id": str(tenant)})],
            )
        migrate(settings)
        with running_app(settings) as app:
            client, pool = client_of(app, settings, tenant), app.extensions["quintile"].pool
            (endpoint,) = client.get(ENDPOINTS).get_json()["data"]
            assert endpoint["topics"] == SYNC_TOPICS
            assert (endpoint["pending"], endpoint["secret_last_four"]) == (1, "XJl0")
            # It knows that the list fails.
            with connect_as_owner(settings) as owner:
                again = run(owner, tenant, {failing: "failed"})
            assert announced(pool, tenant, again) == 0
            # One job delivers it, another one begins the tenant's progress.
            assert enqueue_webhooks(settings, pool) == 2
            work(settings, pool)
            assert {row["state"] for row in log_of(client)} == {"delivered"}
            ((request, _),) = receiver.log
            assert json.loads(request.get_data())["type"] == "klaviyo_sync.failed"
            assert receivers_check()(secret, headers_of(request), request.get_data())
        with connect(transform_url(settings)) as conn:
            jobs = conn.execute("select task_name, status from jobs.procrastinate_jobs").fetchall()
        assert [job for job in jobs if job["status"] != "succeeded"] == []
    finally:
        cluster.drop(name)


# -- delivery ------------------------------------------------------------------------------------


def test_a_test_message_is_sent_by_the_worker_and_redirects_are_not_followed(
    here: Settings, pool: Pool, client: FlaskClient, receiver: HTTPServer
) -> None:
    receiver.expect_oneshot_request("/").respond_with_data("")
    receiver.expect_oneshot_request("/").respond_with_data(
        "", status=302, headers={"Location": receiver.url_for("/elsewhere")}
    )
    endpoint = add(client, receiver.url_for("/"))
    arrived = send_test(client, here, pool, endpoint)
    assert (arrived["state"], arrived["attempts"], arrived["error"]) == ("delivered", 1, None)
    refused = send_test(client, here, pool, endpoint)
    assert (refused["state"], refused["response_status"], refused["error"]) == (
        "failed",
        302,
        "The receiver answered with status 302.",
    )
    # A test says nothing about the deliveries.
    assert show(client, endpoint)["failing_since"] is None
    assert [request.path for request, _ in receiver.log] == ["/", "/"]


def test_a_failing_receiver_is_retried_for_about_a_day(
    here: Settings,
    pool: Pool,
    owner: Connection,
    tenant: UUID,
    client: FlaskClient,
    receiver: HTTPServer,
) -> None:
    receiver.expect_request("/").respond_with_data("no", status=500)
    endpoint = add(client, receiver.url_for("/"))
    announced(pool, tenant, run(owner, tenant, {config(owner, tenant): "failed"}))
    waits = []
    for _ in range(20):
        work(here, pool)
        (row,) = log_of(client)
        if row["state"] != "pending":
            break
        waits.append(datetime.fromisoformat(row["next_attempt_at"]) - datetime.now(UTC))
        assert enqueue_webhooks(here, pool) == 0
        make_due(owner)
        assert enqueue_webhooks(here, pool) == 1
    assert (row["state"], row["attempts"]) == ("failed", 7)
    assert row["error"] == "The receiver answered with status 500."
    assert len(receiver.log) == 7
    # Each wait is longer than the one before; together they last about a day.
    assert waits == sorted(waits)
    assert timedelta(hours=20) < sum(waits, timedelta()) < timedelta(hours=30)
    shown = show(client, endpoint)
    assert shown["failing_since"] is not None
    assert shown["last_error"] == "The receiver answered with status 500."

    # Once more by hand, with the same id.
    receiver.clear()
    receiver.expect_request("/").respond_with_data("")
    answer = client.post(f"{DELIVERIES}/{row['delivery_id']}/redeliver")
    assert answer.status_code == 202
    work(here, pool)
    (row,) = log_of(client)
    assert (row["state"], row["attempts"], row["error"]) == ("delivered", 1, None)
    assert headers_of(receiver.log[0][0])["webhook-id"] == row["delivery_id"]
    assert show(client, endpoint)["failing_since"] is None


def test_a_receiver_that_asks_to_wait_is_left_alone_for_as_long(
    here: Settings,
    pool: Pool,
    owner: Connection,
    tenant: UUID,
    client: FlaskClient,
    receiver: HTTPServer,
) -> None:
    receiver.expect_request("/").respond_with_data("", status=429, headers={"Retry-After": "7200"})
    add(client, receiver.url_for("/"))
    announced(pool, tenant, run(owner, tenant, {config(owner, tenant): "failed"}))
    work(here, pool)
    (row,) = log_of(client)
    wait = datetime.fromisoformat(row["next_attempt_at"]) - datetime.now(UTC)
    assert timedelta(minutes=115) < wait <= timedelta(hours=2)


@contextmanager
def dripping(seconds: float) -> Iterator[tuple[str, list[float]]]:
    """A server that sends a header's bytes one by one; its URL, and how long each call lasted."""
    lasted: list[float] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                began = time.monotonic()
                with connection:
                    try:
                        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                        while time.monotonic() - began < seconds:
                            connection.sendall(b"x")
                            time.sleep(0.05)
                    except OSError:
                        pass
                lasted.append(time.monotonic() - began)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/", lasted
        server.shutdown(socket.SHUT_RDWR)


def test_a_receiver_that_drips_bytes_holds_neither_the_worker_nor_other_endpoints(
    here: Settings,
    pool: Pool,
    owner: Connection,
    tenant: UUID,
    client: FlaskClient,
    receiver: HTTPServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "DEADLINE_SECONDS", 1.0)
    receiver.expect_request("/").respond_with_data("")
    with dripping(30) as (url, lasted):
        slow, good = add(client, url), add(client, receiver.url_for("/"))
        for list_id in ("L1", "L2", "L3"):
            failing = config(owner, tenant, list_id)
            announced(pool, tenant, run(owner, tenant, {failing: "failed"}))
        began = time.monotonic()
        work(here, pool)
        # The other messages to the slow one do not wait for an answer each.
        assert time.monotonic() - began < 10
        rows = log_of(client, endpoint_id=slow["endpoint_id"])
        assert sorted(row["attempts"] for row in rows) == [0, 0, 1]
        assert {row["error"] for row in rows} == {
            None,
            "There was no answer within 1 seconds.",
        }
        assert len(lasted) <= 1
    rows = log_of(client, endpoint_id=good["endpoint_id"])
    assert [row["state"] for row in rows] == ["delivered"] * 3
    assert len(receiver.log) == 3


def test_a_name_server_that_does_not_answer_counts_against_the_deadline(
    here: Settings, pool: Pool, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "DEADLINE_SECONDS", 1.0)
    endpoint = add(client, "https://slow.example/")
    resolve = socket.getaddrinfo

    def wait(host: Any, *rest: Any, **options: Any) -> Any:
        time.sleep(6 if host == "slow.example" else 0)
        return resolve("127.0.0.1" if host == "slow.example" else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", wait)
    began = time.monotonic()
    sent = send_test(client, here, pool, endpoint)
    assert time.monotonic() - began < 5
    assert sent["error"] == "There was no answer within 1 seconds."


def test_a_store_has_two_calls_at_the_same_time_at_most(
    here: Settings, pool: Pool, client: FlaskClient, receiver: HTTPServer
) -> None:
    running, most = 0, 0
    lock = threading.Lock()

    def answer(_request: Request) -> Response:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.3)
        with lock:
            running -= 1
        return Response(status=204)

    receiver.expect_request("/").respond_with_handler(answer)
    for _ in range(8):
        endpoint = add(client, receiver.url_for("/"))
        client.post(f"{ENDPOINTS}/{endpoint['endpoint_id']}/test")
    run_once(here, pool)
    assert {row["state"] for row in log_of(client)} == {"delivered"}
    assert len(receiver.log) == 8
    assert most <= 2


def test_an_endpoint_that_is_gone_is_disabled_until_it_is_enabled_again(
    here: Settings,
    pool: Pool,
    owner: Connection,
    tenant: UUID,
    client: FlaskClient,
    receiver: HTTPServer,
) -> None:
    receiver.expect_request("/").respond_with_data("", status=410)
    endpoint = add(client, receiver.url_for("/"))
    url = f"{ENDPOINTS}/{endpoint['endpoint_id']}"
    failing = [config(owner, tenant, list_id) for list_id in ("L1", "L2")]
    announced(pool, tenant, run(owner, tenant, dict.fromkeys(failing, "failed")))
    work(here, pool)
    shown = show(client, endpoint)
    assert (shown["is_enabled"], shown["disabled_reason"]) == (False, "gone")
    assert shown["pending"] == 0
    assert {row["error"] for row in log_of(client)} == {
        "The receiver answered with status 410.",
        "The endpoint was disabled.",
    }
    assert len(receiver.log) == 1
    # Nothing is stored, repeated or replayed for it, but it can be tested.
    assert announced(pool, tenant, run(owner, tenant, {failing[0]: "succeeded"})) == 0
    assert client.post(f"{url}/replay", json={"since": now_text()}).status_code == 422
    row = log_of(client)[0]
    assert client.post(f"{DELIVERIES}/{row['delivery_id']}/redeliver").status_code == 422
    receiver.clear()
    receiver.expect_request("/").respond_with_data("")
    assert send_test(client, here, pool, endpoint)["state"] == "delivered"

    enabled = client.patch(url, json={"is_enabled": True}).get_json()
    assert (enabled["is_enabled"], enabled["disabled_reason"]) == (True, None)
    assert announced(pool, tenant, run(owner, tenant, {failing[0]: "succeeded"})) == 1
    work(here, pool)
    assert log_of(client)[0]["state"] == "delivered"


def test_what_was_stored_while_an_endpoint_was_being_disabled_is_not_sent_later(
    here: Settings,
    pool: Pool,
    owner: Connection,
    tenant: UUID,
    client: FlaskClient,
    receiver: HTTPServer,
) -> None:
    receiver.expect_request("/").respond_with_data("")
    endpoint = add(client, receiver.url_for("/"))
    url = f"{ENDPOINTS}/{endpoint['endpoint_id']}"
    failed = run(owner, tenant, {config(owner, tenant): "failed"})
    with tenant_transaction(pool, tenant) as conn:
        assert announce(conn, tenant, failed) == 1
        # Commits before the message does.
        client.patch(url, json={"is_enabled": False})
    client.post(f"{url}/test")
    for _ in range(2):
        # The second one has no effect.
        client.patch(url, json={"is_enabled": True})
    work(here, pool)
    assert [message_of(request)["type"] for request, _ in receiver.log] == ["test"]
    assert {(row["topic"], row["state"], row["error"]) for row in log_of(client)} == {
        ("test", "delivered", None),
        ("klaviyo_sync.failed", "failed", "The endpoint was disabled."),
    }


def now_text() -> str:
    return datetime.now(UTC).isoformat()


def test_an_endpoint_can_be_deleted_while_it_is_called(
    here: Settings,
    pool: Pool,
    owner: Connection,
    tenant: UUID,
    client: FlaskClient,
    receiver: HTTPServer,
) -> None:
    def delete(_request: Request) -> Response:
        owner.execute("delete from app.webhook_endpoints")
        return Response(status=500)

    receiver.expect_request("/").respond_with_handler(delete)
    add(client, receiver.url_for("/"))
    announced(pool, tenant, run(owner, tenant, {config(owner, tenant): "failed"}))
    assert run_once(here, pool) == {"done": 1, "failed": 0, "postponed": 0}
    assert len(receiver.log) == 1
    assert log_of(client) == []


def test_an_endpoint_that_fails_for_days_is_disabled(
    here: Settings,
    pool: Pool,
    owner: Connection,
    tenant: UUID,
    client: FlaskClient,
    receiver: HTTPServer,
) -> None:
    receiver.expect_request("/").respond_with_data("", status=500)
    endpoint = add(client, receiver.url_for("/"))

    def is_enabled_after(days: int, attempts: int) -> bool:
        """Whether it is after another attempt, so many days after the first one that failed."""
        owner.execute(
            "update app.webhook_endpoints set failing_since = now() - make_interval(days => %s)",
            [days],
        )
        owner.execute(
            "update app.webhook_deliveries set attempts = %s where state = 'pending'", [attempts]
        )
        make_due(owner)
        enqueue_webhooks(here, pool)
        work(here, pool)
        is_enabled: bool = show(client, endpoint)["is_enabled"]
        return is_enabled

    announced(pool, tenant, run(owner, tenant, {config(owner, tenant): "failed"}))
    assert is_enabled_after(days=4, attempts=6)
    assert log_of(client)[0]["state"] == "failed"
    # After days without a message, one that can still be repeated does not disable it.
    announced(pool, tenant, run(owner, tenant, {config(owner, tenant, "L2"): "failed"}))
    assert is_enabled_after(days=9, attempts=0)
    assert is_enabled_after(days=9, attempts=5)
    assert not is_enabled_after(days=9, attempts=6)
    assert show(client, endpoint)["disabled_reason"] == "failing"


def test_a_secret_that_cannot_be_opened_fails_the_delivery(
    here: Settings, pool: Pool, owner: Connection, client: FlaskClient, receiver: HTTPServer
) -> None:
    endpoint = add(client, receiver.url_for("/"))
    owner.execute("update app.webhook_secrets set key_id = 'lost'")
    sent = send_test(client, here, pool, endpoint)
    assert sent["state"] == "failed"
    assert "sealed with key 'lost'" in sent["error"]
    assert receiver.log == []


def test_the_log_is_paged_filtered_and_purged(
    here: Settings,
    pool: Pool,
    owner: Connection,
    tenant: UUID,
    client: FlaskClient,
    receiver: HTTPServer,
) -> None:
    receiver.expect_request("/").respond_with_data("")
    first, second = add(client, receiver.url_for("/")), add(client, "https://127.0.0.1:1/")
    for _ in range(3):
        for endpoint in (first, second):
            send_test(client, here, pool, endpoint)
    rows, cursor = [], None
    while True:
        page = client.get(
            DELIVERIES, query_string={"limit": 2, **({"cursor": cursor} if cursor else {})}
        ).get_json()
        rows += page["data"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len({row["delivery_id"] for row in rows}) == 6
    assert rows == log_of(client)
    assert [row["state"] for row in log_of(client, state="failed")] == ["failed"] * 3
    assert len(log_of(client, endpoint_id=first["endpoint_id"], topic="test")) == 3
    assert log_of(client, topic="sample.found") == []
    owner.execute("update app.webhook_deliveries set finished_at = now() - interval '9 days'")
    assert housekeep(replace(here, webhook_days=8), pool, [tenant])["notifications"] == 6
    assert log_of(client) == []


# -- addresses -----------------------------------------------------------------------------------


def test_tls_verifies_the_host_name_although_the_address_is_resolved_before(
    here: Settings,
    pool: Pool,
    client: FlaskClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with HTTPServer(host="127.0.0.1", port=0, ssl_context=tls(tmp_path)) as receiver:
        receiver.expect_request("/").respond_with_data("")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        # A process reads the certificates once; this one may have done so.
        monkeypatch.setattr("service.core.http._tls", httpx.create_ssl_context)
        for name, outcome in (("localhost", "delivered"), ("127.0.0.1", "failed")):
            endpoint = add(client, f"https://{name}:{receiver.port}/")
            assert send_test(client, here, pool, endpoint)["state"] == outcome
        assert [request.host for request, _ in receiver.log] == [f"localhost:{receiver.port}"]


def test_the_address_that_was_checked_is_called(
    here: Settings,
    pool: Pool,
    client: FlaskClient,
    receiver: HTTPServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name that resolves differently the second time leads nowhere else."""
    receiver.expect_request("/").respond_with_data("")
    endpoint = add(client, f"http://rebinding.example:{receiver.port}/")
    resolve = socket.getaddrinfo
    answers = iter(["127.0.0.1"])

    def rebind(host: Any, *rest: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        found = next(answers, "127.0.0.2") if name == "rebinding.example" else host
        return resolve(found, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebind)
    assert send_test(client, here, pool, endpoint)["state"] == "delivered"
    assert [request.host for request, _ in receiver.log] == [f"rebinding.example:{receiver.port}"]
    assert list(answers) == []


def tls(folder: Path) -> ssl.SSLContext:
    """A server's TLS context, with a certificate for the name localhost only."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "ftp://example.com/",
        "https://",
        "https://user:password@example.com/",
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://10.1.2.3/",
        "https://localhost:8000/",
        "https://db.internal/",
        f"https://example.com/{'a' * 500}",
        f"https://{'a' * 64}.example.com/",
        "example.com",
        "https://exa mple.com",
    ],
)
def test_an_address_in_a_private_network_is_refused(url: str) -> None:
    # Unusual forms of an IP address are refused when they are resolved.
    with pytest.raises((InvalidInputError, UnreachableAddressError)):
        look_up(check_url(url, may_be_private=False).split("/")[2], 443, may_be_private=False)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "[::ffff:10.0.0.1]", "169.254.169.254", "10.1.2.3"]
)
def test_an_address_in_a_private_network_is_not_stored(host: str) -> None:
    with pytest.raises(InvalidInputError, match="private network"):
        check_url(f"https://{host}/", may_be_private=False)
    assert check_url(f"https://{host}/", may_be_private=True)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("1.1.1.1", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("10.0.0.1", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),  # noqa: S104 - an address to refuse, not one to listen on
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("ff02::1", False),
        ("fec0::1", False),
        ("::127.0.0.1", False),
        ("192.0.0.192", False),
        ("192.88.99.1", False),
        ("168.63.129.16", False),
    ],
)
def test_public_addresses(address: str, expected: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is expected


@pytest.mark.parametrize("addresses", [["1.1.1.1", "10.0.0.1"], ["10.0.0.1", "1.1.1.1"]])
def test_a_name_with_one_private_address_is_refused(
    addresses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [(2, 1, 6, "", (address, 443)) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(UnreachableAddressError, match="private network"):
        look_up("several.example", 443, may_be_private=False)


def test_a_name_that_resolves_to_a_private_address_is_refused_when_sending(
    settings: Settings, pool: Pool, tenant: UUID, receiver: HTTPServer
) -> None:
    url = f"https://localhost:{receiver.port}/"
    with running_app(settings) as app:
        client = client_of(app, settings, tenant)
        refused = client.post(ENDPOINTS, json={"url": url, "topics": SYNC_TOPICS})
        assert refused.status_code == 422
        assert refused.get_json()["errors"][0]["pointer"] == "#/url"
        # As if a public name were changed to a private address later.
        with tenant_transaction(pool, tenant) as conn:
            open_to_all = replace(settings, notify_private_addresses=1)
            add_endpoint(open_to_all, conn, tenant, url, ["klaviyo_sync.failed"])
        (endpoint,) = client.get(ENDPOINTS).get_json()["data"]
        answer = send_test(client, settings, pool, endpoint)
        changed = client.patch(f"{ENDPOINTS}/{endpoint['endpoint_id']}", json={"url": url})
        assert changed.status_code == 422
    assert answer["error"] == "The address is in a private network."
    assert receiver.log == []


def test_doctor_and_metrics_show_endpoints_that_fail(
    here: Settings, owner: Connection, client: FlaskClient
) -> None:
    assert [*check_endpoints(owner)] == []
    failing, gone = add(client, "https://one.example/secret"), add(client, "https://two.example/")
    add(client, "https://three.example/")
    owner.execute(
        "update app.webhook_endpoints set failing_since = now() - interval '3 hours'"
        " where endpoint_id = %s",
        [failing["endpoint_id"]],
    )
    owner.execute(
        "update app.webhook_endpoints set is_enabled = false, disabled_at = now(),"
        " disabled_reason = 'gone' where endpoint_id = %s",
        [gone["endpoint_id"]],
    )
    client.post(f"{ENDPOINTS}/{failing['endpoint_id']}/test")
    findings = [finding for finding in examine(here) if finding.check == "endpoints"]
    assert [(finding.level, finding.message) for finding in findings] == [
        ("warning", "demo: the webhook endpoint at one.example has failed for 3 hours"),
        (
            "warning",
            "demo: the webhook endpoint at two.example was disabled, because it answered 410",
        ),
    ]
    metrics = {metric.name: metric for metric in InstallationCollector(here).collect()}
    for name in ("quintile_webhooks_pending", "quintile_webhook_endpoints_failing"):
        assert [sample.value for sample in metrics[name].samples] == [1]
