"""Notifications: changes only, signed, retried, and never to a private network."""

from __future__ import annotations

import base64
import ipaddress
import json
import re
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from apiflask import APIFlask
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from flask.testing import FlaskClient
from pytest_httpserver import HTTPServer
from werkzeug import Response

from service.core.config import Settings
from service.core.db import Connection, Pool, one, tenant_transaction
from service.core.errors import InvalidInputError
from service.notifications.address import (
    UnreachableAddressError,
    check_url,
    is_public,
    look_up,
)
from service.notifications.hooks import find_hook, set_hook
from service.notifications.outbox import announce, send_notification
from service.tenants.keys import rotate_keys
from service.worker.housekeeping import housekeep
from service.worker.tasks import worker_app
from tests.conftest import PROJECT_DIR, MakeTenant
from tests.web import client_of, running_app

PATH = "/api/admin/notifications"


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
    with HTTPServer(host="127.0.0.1", port=0) as server:
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


def receivers_check() -> Callable[[str, dict[str, str], bytes], bool]:
    """The check of signatures in docs/klaviyo.md."""
    page = (PROJECT_DIR / "docs" / "klaviyo.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {}
    exec(code[1], names)  # noqa: S102 - the example that readers run
    check: Callable[[str, dict[str, str], bytes], bool] = names["is_genuine"]
    return check


def test_only_changes_are_notified_and_notifications_are_signed(
    here: Settings,
    pool: Pool,
    owner: Connection,
    tenant: UUID,
    client: FlaskClient,
    receiver: HTTPServer,
) -> None:
    receiver.expect_request("/hook", method="POST").respond_with_data("thanks")
    answer = client.post(PATH, json={"url": receiver.url_for("/hook")}).get_json()
    first, second = config(owner, tenant, "L1"), config(owner, tenant, "L2")

    # No notification of a configuration that works from the start, nor of a dry run.
    assert announced(pool, tenant, run(owner, tenant, {first: "succeeded"})) == 0
    assert announced(pool, tenant, run(owner, tenant, {first: "failed"}, is_dry_run=True)) == 0
    # One fails: notified once, however often and in whatever way it fails.
    failed = run(owner, tenant, {first: "failed", second: "succeeded"})
    assert announced(pool, tenant, failed) == 1
    assert announced(pool, tenant, failed) == 0
    assert announced(pool, tenant, run(owner, tenant, {first: "stopped"})) == 0
    assert announced(pool, tenant, run(owner, tenant, {first: "paused"})) == 0
    # The other fails while the first recovers.
    assert announced(pool, tenant, run(owner, tenant, {first: "succeeded", second: "paused"})) == 2
    assert announced(pool, tenant, run(owner, tenant, {first: "succeeded"})) == 0

    work(here, pool)
    bodies = [json.loads(request.get_data()) for request, _ in receiver.log]
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
    # The check of signatures in docs/klaviyo.md.
    is_genuine = receivers_check()
    for request, _ in receiver.log:
        headers, body = dict(request.headers), request.get_data()
        headers = {name.lower(): value for name, value in headers.items()}
        assert json.loads(body)["id"] == headers["webhook-id"]
        assert is_genuine(answer["secret"], headers, body)
        assert not is_genuine(answer["secret"], headers, body + b" ")
        assert not is_genuine(answer["secret"], headers | {"webhook-id": "another"}, body)
        assert not is_genuine("whsec_c2VjcmV0", headers, body)
    shown = client.get(PATH).get_json()
    assert {row["state"] for row in shown["data"]} == {"delivered"}
    assert shown["url"] == receiver.url_for("/hook")


def test_the_secret_is_shown_once_stored_sealed_and_rotated(
    here: Settings, pool: Pool, owner: Connection, tenant: UUID, client: FlaskClient
) -> None:
    first = client.post(PATH, json={"url": "https://example.com/a"}).get_json()["secret"]
    second = client.post(PATH, json={"url": "https://example.com/a"}).get_json()["secret"]
    assert first != second
    shown = client.get(PATH)
    assert first not in shown.text
    assert second not in shown.text
    assert shown.get_json()["secret_last_four"] == second[-4:]
    stored = one(owner.execute("select * from app.notification_hooks").fetchone())
    assert second.encode() not in bytes(stored["sealed_secret"])

    key = base64.b64encode(b"k" * 32).decode()
    newer = replace(here, encryption_keys=f"new:{key}")
    rotation = rotate_keys(newer, pool, {"demo": tenant})
    assert (rotation.resealed, dict(rotation.in_use)) == (1, {"new": 1})
    with tenant_transaction(pool, tenant) as conn:
        hook = find_hook(newer, conn, tenant)
    assert hook is not None
    assert hook.secret == second


def test_a_failing_receiver_is_retried_for_about_a_day(
    here: Settings,
    pool: Pool,
    owner: Connection,
    tenant: UUID,
    receiver: HTTPServer,
    superuser: Connection,
) -> None:
    answers = [500] * 20
    receiver.expect_request("/").respond_with_handler(
        lambda _: Response("no", status=answers.pop())
    )
    with tenant_transaction(pool, tenant) as conn:
        set_hook(here, conn, tenant, receiver.url_for("/"))
    announced(pool, tenant, run(owner, tenant, {config(owner, tenant): "failed"}))
    waits = []
    for _ in range(20):
        work(here, pool)
        job = superuser.execute(
            """
            update jobs.procrastinate_jobs as j
            set scheduled_at = null
            from jobs.procrastinate_jobs as was
            where j.id = was.id and j.status = 'todo' and j.task_name = 'quintile.notify'
            returning was.scheduled_at
            """
        ).fetchone()
        if job is None:
            break
        waits.append(job["scheduled_at"] - datetime.now(UTC))
    row = one(owner.execute("select * from app.notifications").fetchone())
    assert (row["state"], row["attempts"]) == ("failed", 7)
    assert row["error"] == "The receiver answered with status 500."
    assert len(receiver.log) == 7
    # Each wait is longer than the one before; together they last about a day.
    assert waits == sorted(waits)
    assert timedelta(hours=20) < sum(waits, timedelta()) < timedelta(hours=30)
    # A late job has nothing to do.
    send_notification(here, pool, tenant, row["notification_id"])
    assert len(receiver.log) == 7


def test_a_new_address_is_notified_of_a_known_failure(
    here: Settings, pool: Pool, owner: Connection, tenant: UUID
) -> None:
    failing = config(owner, tenant)
    for url in ("https://one.example", "https://two.example"):
        with tenant_transaction(pool, tenant) as conn:
            set_hook(here, conn, tenant, url)
        assert announced(pool, tenant, run(owner, tenant, {failing: "failed"})) == 1
        assert announced(pool, tenant, run(owner, tenant, {failing: "failed"})) == 0
    # A new secret for the same address is not another address.
    with tenant_transaction(pool, tenant) as conn:
        set_hook(here, conn, tenant, "https://two.example")
    assert announced(pool, tenant, run(owner, tenant, {failing: "failed"})) == 0


def test_without_an_address_no_notification_is_stored(
    pool: Pool, owner: Connection, tenant: UUID, client: FlaskClient
) -> None:
    assert announced(pool, tenant, run(owner, tenant, {config(owner, tenant): "failed"})) == 0
    assert client.get(PATH).get_json() == {
        "url": None,
        "secret_last_four": None,
        "set_at": None,
        "data": [],
    }
    assert client.post(f"{PATH}/test").status_code == 404


def test_a_test_notification_is_sent_at_once_and_its_result_returned(
    client: FlaskClient, receiver: HTTPServer
) -> None:
    receiver.expect_oneshot_request("/").respond_with_data("")
    receiver.expect_oneshot_request("/").respond_with_data("", status=302)
    client.post(PATH, json={"url": receiver.url_for("/")})
    arrived = client.post(f"{PATH}/test").get_json()
    assert (arrived["state"], arrived["attempts"], arrived["error"]) == ("delivered", 1, None)
    # A redirect is not followed: it could lead anywhere.
    refused = client.post(f"{PATH}/test").get_json()
    assert (refused["state"], refused["error"]) == (
        "failed",
        "The receiver answered with status 302.",
    )
    assert client.delete(PATH).status_code == 204
    assert client.get(PATH).get_json()["data"] == []


def test_tls_verifies_the_host_name_although_the_address_is_resolved_before(
    client: FlaskClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HTTPServer(host="127.0.0.1", port=0, ssl_context=tls(tmp_path)) as receiver:
        receiver.expect_request("/").respond_with_data("")
        for name, outcome in (("localhost", "delivered"), ("127.0.0.1", "failed")):
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
            client.post(PATH, json={"url": f"https://{name}:{receiver.port}/"})
            assert client.post(f"{PATH}/test").get_json()["state"] == outcome
        assert [request.host for request, _ in receiver.log] == [f"localhost:{receiver.port}"]


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
        "example.com",
        "https://exa mple.com",
    ],
)
def test_an_address_in_a_private_network_is_refused(url: str) -> None:
    # Unusual forms of an IP address are refused when they are resolved.
    with pytest.raises((InvalidInputError, UnreachableAddressError)):
        look_up(check_url(url, may_be_private=False).split("/")[2], 443, may_be_private=False)


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
    ],
)
def test_public_addresses(address: str, expected: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is expected


def test_a_name_that_resolves_to_a_private_address_is_refused_when_sending(
    settings: Settings, tenant: UUID, receiver: HTTPServer
) -> None:
    with running_app(settings) as app:
        client = client_of(app, settings, tenant)
        refused = client.post(PATH, json={"url": f"https://localhost:{receiver.port}/"})
        assert refused.status_code == 422
        assert refused.get_json()["errors"][0]["pointer"] == "#/url"
        # As if a public name were changed to a private address later.
        with tenant_transaction(app.extensions["quintile"].pool, tenant) as conn:
            open_to_all = replace(settings, notify_private_addresses=1)
            set_hook(open_to_all, conn, tenant, f"https://localhost:{receiver.port}/")
        answer = client.post(f"{PATH}/test").get_json()
    assert answer["error"] == "The address is in a private network."
    assert receiver.log == []


def test_old_notifications_are_deleted_except_the_newest_of_a_configuration(
    here: Settings, pool: Pool, owner: Connection, tenant: UUID
) -> None:
    with tenant_transaction(pool, tenant) as conn:
        set_hook(here, conn, tenant, "https://one.example")
    failing = config(owner, tenant)
    for state in ("failed", "succeeded", "failed"):
        announced(pool, tenant, run(owner, tenant, {failing: state}))
    owner.execute(
        "update app.notifications set state = 'delivered', finished_at = now() - interval '9 days'"
    )
    housekeep(replace(here, webhook_days=8), pool, [tenant])
    rows = owner.execute("select topic from app.notifications").fetchall()
    assert [row["topic"] for row in rows] == ["klaviyo_sync.failed"]
    assert announced(pool, tenant, run(owner, tenant, {failing: "failed"})) == 0


def test_notifications_of_a_tenant_are_hidden_from_other_tenants(
    app: APIFlask, here: Settings, client: FlaskClient, make_tenant: MakeTenant
) -> None:
    client.post(PATH, json={"url": "https://one.example/"})
    other = client_of(app, here, make_tenant("other"))
    assert other.get(PATH).get_json()["url"] is None
    assert other.delete(PATH).status_code == 204
    assert client.get(PATH).get_json()["url"] == "https://one.example/"
