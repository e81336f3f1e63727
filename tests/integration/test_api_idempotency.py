"""A request with an Idempotency-Key changes something once, however often it is sent."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from sandbox import Fault, Sandbox
from sandbox.klaviyo import Account
from service.core.config import Settings
from service.core.db import (
    Connection,
    connect,
    connect_as_owner,
    create_pool,
    one,
    tenant_transaction,
)
from service.klaviyo.connection import connect_klaviyo
from service.privacy.requests import add_request, process_now
from service.tenants.keys import new_key
from service.tenants.tenants import add_tenant
from service.worker.housekeeping import housekeep
from tests.served import served
from tests.web import client_of, running_app, token_for

ADMIN = "/api/admin"
CREATORS = f"{ADMIN}/creators"
KEY = "pk_sandbox_for_these_tests"
REPLAYED = "Idempotent-Replayed"


@pytest.fixture
def account() -> Account:
    return Account(KEY, name="Kessel & Korn", currency="EUR", timezone="UTC", prefix="KK")


@pytest.fixture
def settings(built_settings: Settings, klaviyo: Sandbox) -> Settings:
    return replace(built_settings, klaviyo_url=klaviyo.klaviyo_url)


@pytest.fixture
def tenant(settings: Settings) -> UUID:
    with connect_as_owner(settings) as conn:
        return add_tenant(conn, "north", None)


@pytest.fixture
def owner(settings: Settings) -> Iterator[Connection]:
    with closing(connect(settings.database_url)) as conn:
        yield conn


def key(text: str | None = None) -> dict[str, str]:
    return {"Idempotency-Key": text or str(uuid4())}


def count(conn: Connection, table: str) -> int:
    return int(one(conn.execute(f"select count(*) as n from {table}").fetchone())["n"])


def end_leases(conn: Connection) -> None:
    """Let the time pass after which a claim counts as abandoned."""
    conn.execute("update app.idempotent_requests set claimed_at = claimed_at - interval '61 s'")


def changing_routes(app: APIFlask, methods: set[str]) -> Iterator[tuple[str, str]]:
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/api/"):
            for method in sorted((rule.methods or set()) & methods):
                yield method, re.sub(r"<[^>]+>", str(uuid4()), rule.rule)


def test_every_post_honours_its_key(app: APIFlask, client: FlaskClient) -> None:
    checked = 0
    for method, path in changing_routes(app, {"POST", "PATCH", "PUT", "DELETE"}):
        sent = key()
        first = client.open(path, method=method, json={}, headers=sent)
        assert first.status_code < 500, path
        assert REPLAYED not in first.headers
        again = client.open(path, method=method, json={}, headers=sent)
        # Of a problem, too: its instance is that of the first request.
        assert (again.status_code, again.data) == (first.status_code, first.data), path
        assert again.headers[REPLAYED] == "true", path
        assert again.headers.get("Location") == first.headers.get("Location"), path
        assert again.headers["X-Request-Id"] != first.headers["X-Request-Id"]
        other = client.open(path, method=method, json={"other": 1}, headers=sent)
        assert other.status_code == 422, path
        assert other.get_json()["type"] == "/problems/key-reused", path
        checked += 1
    assert checked > 30


def test_what_is_created_or_started_is_so_once(client: FlaskClient, owner: Connection) -> None:
    sent = key()
    answers = [client.post(CREATORS, json={"handle": "ada"}, headers=sent) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 201]
    assert len({answer.data for answer in answers}) == 1
    assert count(owner, "app.creators") == 1
    assert count(owner, "app.audit_log") == 1

    # Without a key, or with another one, it is another request.
    refused = client.post(CREATORS, json={"handle": "ada"}, headers=key())
    assert refused.status_code == 422

    run = client.post(f"{ADMIN}/segments/rfm/calculate", headers=sent | key())
    owner.execute("update app.runs set state = 'succeeded', finished_at = now()")
    assert count(owner, "app.runs") == 1
    path = f"{ADMIN}/segments/rfm/calculate"
    sent = key()
    started = client.post(path, headers=sent)
    owner.execute("update app.runs set state = 'succeeded', finished_at = now()")
    assert client.post(path, headers=sent).get_json() == started.get_json()
    assert run.get_json() != started.get_json()
    assert count(owner, "app.runs") == 2


def test_a_secret_is_shown_again_and_stored_sealed(
    app: APIFlask, client: FlaskClient, owner: Connection
) -> None:
    hook, token = key("hook"), key("token")
    endpoint = {"url": "https://example.com/hook", "topics": ["sample.found"]}
    endpoint = {"url": "https://example.com/hook", "topics": ["build.completed"]}
    secrets = {
        client.post(f"{ADMIN}/webhooks/endpoints", json=endpoint, headers=hook).get_json()["secret"]
        for _ in range(2)
    }
    tokens = {
        client.post(f"{ADMIN}/tokens", json={"label": "Checkout"}, headers=token).get_json()[
            "token"
        ]
        for _ in range(2)
    }
    assert (len(secrets), len(tokens)) == (1, 1)
    assert count(owner, "app.api_tokens") == 2  # and the tests' own
    assert len(client.get(f"{ADMIN}/webhooks/endpoints").get_json()["data"]) == 1
    stored = str(owner.execute("select * from app.idempotent_requests").fetchall())
    assert secrets.pop() not in stored
    (secret,) = tokens
    assert secret not in stored
    assert secret.encode().hex() not in stored
    visitor = app.test_client()
    assert visitor.get(f"{ADMIN}/me", headers={"Authorization": f"Bearer {secret}"}).is_json


def test_erasing_a_person_deletes_the_answers_but_repeats_nothing(
    app: APIFlask, client: FlaskClient, settings: Settings, owner: Connection, tenant: UUID
) -> None:
    sent, refused = key(), key()
    creator = {"handle": "ada", "name": "Ada"}
    assert client.post(CREATORS, json=creator, headers=sent).status_code == 201
    assert client.post(CREATORS, json={}, headers=refused).status_code == 422
    pool = app.extensions["quintile"].pool
    with tenant_transaction(pool, tenant) as conn:
        request = add_request(conn, tenant, "customer_redact", "1", ["ada@example.com"])
    process_now(settings, pool, tenant, request)
    kept = owner.execute(
        "select status, headers, key_id, sealed_secret from app.idempotent_requests"
    )
    assert [set(row.values()) for row in kept] == [{None}, {None}]
    end_leases(owner)
    lost = client.post(CREATORS, json=creator, headers=sent)
    assert (lost.status_code, lost.get_json()["type"]) == (409, "/problems/answer-lost")
    assert client.post(CREATORS, json={}, headers=refused).status_code == 422
    assert count(owner, "app.creators") == 1


def test_a_list_is_created_once_also_when_its_answer_is_lost(
    app: APIFlask,
    client: FlaskClient,
    settings: Settings,
    tenant: UUID,
    account: Account,
    klaviyo: Sandbox,
) -> None:
    connect_klaviyo(settings, app.extensions["quintile"].pool, tenant, KEY)
    path = f"{ADMIN}/integrations/klaviyo/lists"
    sent = key()
    first = client.post(path, json={"name": "Champions"}, headers=sent)
    assert first.status_code == 201
    assert client.post(path, json={"name": "Champions"}, headers=sent).data == first.data
    assert len(account.lists) == 1

    # Klaviyo creates the list and the connection breaks: nobody knows what happened.
    klaviyo.fail_klaviyo(Fault(lose=True, path="/api/lists"))
    sent = key()
    lost = client.post(path, json={"name": "Loyal"}, headers=sent)
    assert lost.status_code == 503
    again = client.post(path, json={"name": "Loyal"}, headers=sent)
    assert again.status_code == 409
    assert again.get_json()["type"] == "/problems/answer-lost"
    assert len(account.lists) == 2


def test_a_failed_request_can_be_repeated(
    settings: Settings, tenant: UUID, owner: Connection
) -> None:
    sent = key()
    with running_app(replace(settings, statement_timeout_ms=300)) as app:
        client = client_of(app, settings, tenant)
        with owner.transaction():
            owner.execute("lock table app.creators in access exclusive mode")
            failed = client.post(CREATORS, json={"handle": "ada"}, headers=sent)
        assert failed.status_code == 503
        assert count(owner, "app.idempotent_requests") == 0
        repeated = client.post(CREATORS, json={"handle": "ada"}, headers=sent)
    assert repeated.status_code == 201
    assert REPLAYED not in repeated.headers


@pytest.mark.parametrize("text", ["", '""', "a b", "ä", 'a"b', '"a', "x" * 256, "a\\b"])
def test_a_key_that_is_none_is_refused_by_name(client: FlaskClient, text: str) -> None:
    answer = client.post(CREATORS, json={"handle": "ada"}, headers={"Idempotency-Key": text})
    assert answer.status_code == 422
    problem = answer.get_json()
    assert problem["detail"].startswith("Idempotency-Key: This must be 1 to 255 visible")
    assert problem["errors"][0]["header"] == "Idempotency-Key"


def test_the_quoted_and_the_plain_key_are_the_same(client: FlaskClient) -> None:
    first = client.post(CREATORS, json={"handle": "ada"}, headers=key("a-b:1"))
    again = client.post(CREATORS, json={"handle": "ada"}, headers=key('"a-b:1"'))
    assert again.headers[REPLAYED] == "true"
    assert again.data == first.data


def test_a_key_belongs_to_its_credential_and_tenant(
    app: APIFlask, client: FlaskClient, settings: Settings, tenant: UUID
) -> None:
    with connect_as_owner(settings) as conn:
        other = add_tenant(conn, "south", None)
    sent = key("the-same")
    assert client.post(CREATORS, json={"handle": "ada"}, headers=sent).status_code == 201
    colleague, stranger = (client_of(app, settings, each) for each in (tenant, other))
    # The colleague's request is their own: the handle is taken.
    answer = colleague.post(CREATORS, json={"handle": "ada"}, headers=sent)
    assert answer.status_code == 422
    assert answer.get_json()["type"] == "/problems/invalid-input"
    answer = stranger.post(CREATORS, json={"handle": "ada"}, headers=sent)
    assert (answer.status_code, REPLAYED in answer.headers) == (201, False)


def test_reading_takes_no_key(client: FlaskClient, owner: Connection) -> None:
    assert client.get(CREATORS, headers=key()).status_code == 200
    assert count(owner, "app.idempotent_requests") == 0


def test_keys_are_kept_for_a_day(
    client: FlaskClient, settings: Settings, tenant: UUID, owner: Connection
) -> None:
    sent, kept = key(), key()
    made = client.post(CREATORS, json={"handle": "ada"}, headers=sent).get_json()
    client.post(CREATORS, json={"handle": "bea"}, headers=kept)
    owner.execute("update app.idempotent_requests set claimed_at = now() - interval '25 h'")
    # Before housekeeping has run, too.
    client.delete(f"{CREATORS}/{made['creator_id']}")
    again = client.post(CREATORS, json={"handle": "ada"}, headers=sent)
    assert (again.status_code, REPLAYED in again.headers) == (201, False)
    with closing(create_pool(settings)) as pool:
        assert housekeep(settings, pool, [tenant])["idempotent_requests"] == 1
    assert count(owner, "app.idempotent_requests") == 1


def test_an_answer_sealed_with_a_removed_key_is_lost(settings: Settings, tenant: UUID) -> None:
    token = token_for(settings, tenant)
    sent = {"Authorization": f"Bearer {token}", **key()}
    with running_app(replace(settings, encryption_keys=new_key("old"))) as app:
        first = app.test_client().post(CREATORS, json={"handle": "ada"}, headers=sent)
        assert first.status_code == 201
    with running_app(settings) as app:
        again = app.test_client().post(CREATORS, json={"handle": "ada"}, headers=sent)
    assert again.get_json()["type"] == "/problems/answer-lost"


# -- at the same time ---------------------------------------------------------------------------


def started(send: Callable[[], Any], conn: Connection, waiting: str) -> threading.Thread:
    """Send a request in the background, until its database session waits for this kind of lock."""
    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    wait_for_lock(conn, waiting)
    return thread


def wait_for_lock(conn: Connection, kind: str, sessions: int = 1) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        waiting = one(
            conn.execute(
                "select count(*) as n from pg_stat_activity where wait_event_type = 'Lock'"
                " and wait_event = %s and datname = current_database()",
                [kind],
            ).fetchone()
        )
        if waiting["n"] >= sessions:
            return
        time.sleep(0.02)
    raise TimeoutError("no session waits")


def test_a_repeat_of_a_running_request_is_told_so(
    app: APIFlask, client: FlaskClient, settings: Settings, tenant: UUID, owner: Connection
) -> None:
    sent, answers = key(), []
    with closing(connect(settings.database_url)) as blocker, blocker.transaction():
        blocker.execute("lock table app.creators in share row exclusive mode")
        thread = started(
            lambda: answers.append(client.post(CREATORS, json={"handle": "ada"}, headers=sent)),
            owner,
            "relation",
        )
        repeat = app.test_client()
        repeat.environ_base.update(client.environ_base)
        refused = repeat.post(CREATORS, json={"handle": "ada"}, headers=sent)
        assert refused.status_code == 409
        assert refused.get_json()["type"] == "/problems/key-in-use"
        assert refused.headers["Retry-After"] == "1"
    thread.join(20)
    assert answers[0].status_code == 201
    again = client.post(CREATORS, json={"handle": "ada"}, headers=sent)
    assert again.data == answers[0].data


def test_many_at_once_change_something_once(
    app: APIFlask, client: FlaskClient, owner: Connection
) -> None:
    def send(number: int) -> tuple[int, str]:
        each = app.test_client()
        each.environ_base.update(client.environ_base)
        answer = each.post(
            CREATORS, json={"handle": f"ada{number % 4}"}, headers=key(f"key-{number % 4}")
        )
        return answer.status_code, answer.get_json().get("type", "")

    with ThreadPoolExecutor(8) as threads:
        answers = set(threads.map(send, range(80)))
    assert answers <= {(201, ""), (409, "/problems/key-in-use")}
    assert count(owner, "app.creators") == 4


def test_a_process_that_took_too_long_does_not_commit(
    app: APIFlask, client: FlaskClient, settings: Settings, owner: Connection
) -> None:
    sent: dict[str, str] = key()
    answers: dict[str, Any] = {}

    def send(name: str) -> None:
        each = app.test_client()
        each.environ_base.update(client.environ_base)
        answers[name] = each.post(CREATORS, json={"name": "Ada"}, headers=sent)

    with closing(connect(settings.database_url)) as blocker, blocker.transaction():
        blocker.execute("lock table app.creators in share row exclusive mode")
        slow = started(lambda: send("slow"), owner, "relation")
        end_leases(owner)
        quick = threading.Thread(target=lambda: send("quick"), daemon=True)
        quick.start()
        wait_for_lock(owner, "relation", sessions=2)
    slow.join(20)
    quick.join(20)
    assert answers["slow"].status_code == 409
    assert answers["quick"].status_code == 201
    assert count(owner, "app.creators") == 1
    assert client.post(CREATORS, json={"name": "Ada"}, headers=sent).data == answers["quick"].data


# -- killed -------------------------------------------------------------------------------------


@pytest.fixture
def paused_before_answer(owner: Connection) -> None:
    """Storing an answer waits while another session has the lock 42."""
    owner.execute(
        """
        create function app.wait_for_the_test() returns trigger language plpgsql as $$
        begin
            if new.status is not null then
                perform pg_advisory_xact_lock_shared(42);
            end if;
            return new;
        end $$;
        create trigger wait_for_the_test before update on app.idempotent_requests
        for each row execute function app.wait_for_the_test();
        """
    )


@pytest.mark.kill
def test_killed_before_the_change_it_is_carried_out_by_a_repeat(
    settings: Settings, tenant: UUID, owner: Connection
) -> None:
    headers = {"Authorization": f"Bearer {token_for(settings, tenant)}", **key()}

    def post(url: str) -> httpx.Response:
        return httpx.post(f"{url}{CREATORS}", json={"handle": "ada"}, headers=headers, timeout=30)

    with served(settings) as running:
        with closing(connect(settings.database_url)) as blocker, blocker.transaction():
            blocker.execute("lock table app.creators in share row exclusive mode")
            thread = started(lambda: dropped(post, running.url), owner, "relation")
            running.kill()
        thread.join(20)
    with served(settings) as running:
        assert post(running.url).json()["type"] == "/problems/key-in-use"
        end_leases(owner)
        answer = post(running.url)
        assert (answer.status_code, REPLAYED in answer.headers) == (201, False)
        assert post(running.url).headers[REPLAYED] == "true"
    assert count(owner, "app.creators") == 1


@pytest.mark.kill
def test_killed_after_the_change_it_is_not_carried_out_again(
    settings: Settings, tenant: UUID, owner: Connection, paused_before_answer: None
) -> None:
    headers = {"Authorization": f"Bearer {token_for(settings, tenant)}", **key()}

    def post(url: str) -> httpx.Response:
        return httpx.post(f"{url}{CREATORS}", json={"handle": "ada"}, headers=headers, timeout=30)

    with served(settings) as running:
        with closing(connect(settings.database_url)) as blocker, blocker.transaction():
            blocker.execute("select pg_advisory_xact_lock(42)")
            thread = started(lambda: dropped(post, running.url), owner, "advisory")
            assert count(owner, "app.creators") == 1
            terminate = (
                "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = %s"
            )
            running.kill()
            # Its session would otherwise wait on, and store the answer of a dead process.
            owner.execute(terminate, ["advisory"])
        thread.join(20)
    with served(settings) as running:
        assert post(running.url).json()["type"] == "/problems/key-in-use"
        end_leases(owner)
        for _ in range(2):
            answer = post(running.url)
            assert answer.status_code == 409
            assert answer.json()["type"] == "/problems/answer-lost"
    assert count(owner, "app.creators") == 1


@pytest.mark.kill
def test_killed_at_any_time_each_request_changes_something_once(
    settings: Settings, tenant: UUID, owner: Connection
) -> None:
    headers = {"Authorization": f"Bearer {token_for(settings, tenant)}"}
    pending = {f"creator{number}" for number in range(300)}
    outcomes: dict[str, str] = {}

    def send(client: httpx.Client, name: str) -> None:
        with suppress(httpx.TransportError):
            answer = client.post(CREATORS, json={"name": name}, headers=key(name))
            kind = answer.json().get("type", "")
            if answer.status_code == 201 or kind == "/problems/answer-lost":
                outcomes[name] = kind
                pending.discard(name)
            else:
                assert kind == "/problems/key-in-use"

    when = random.Random(1)  # noqa: S311 - repeatable, not a secret
    for attempt in range(6):
        with (
            served(settings) as running,
            httpx.Client(base_url=running.url, headers=headers) as client,
            ThreadPoolExecutor(4) as threads,
        ):
            if attempt < 5:
                threading.Timer(when.uniform(0.05, 0.4), running.kill).start()
            list(threads.map(partial(send, client), sorted(pending)))
        end_leases(owner)
    assert not pending
    made = owner.execute("select name, count(*) as n from app.creators group by name").fetchall()
    assert {row["name"]: row["n"] for row in made} == dict.fromkeys(outcomes, 1)


def dropped(post: Callable[[str], httpx.Response], url: str) -> None:
    with pytest.raises(httpx.TransportError):
        post(url)


def test_the_service_may_not_use_other_tenants_keys(app: APIFlask, tenant: UUID) -> None:
    pool = app.extensions["quintile"].pool
    with pool.connection() as conn:
        assert conn.execute("select count(*) as n from app.idempotent_requests").fetchone() == {
            "n": 0
        }
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(
                "insert into app.idempotent_requests"
                " (tenant_id, credential, request_key, claim_id, fingerprint)"
                " values (%s, 'x', 'x', gen_random_uuid(), decode(repeat('00', 32), 'hex'))",
                [tenant],
            )
