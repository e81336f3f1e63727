"""What becomes an outgoing webhook: changes by builds and Shopify syncs, in order, each once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from pytest_httpserver import HTTPServer
from werkzeug import Response

from service.builds.backfill import backfill
from service.builds.run import build_and_record
from service.core.config import Settings
from service.core.db import Connection, Pool, connect, tenant_transaction
from service.notifications import events
from service.notifications.deliveries import collect_events, enqueue_webhooks
from service.queue.runs import start_builds
from service.worker.run_once import run_once
from tests.conftest import Cluster, MakeTenant
from tests.integration.test_webhook_deliveries import (
    ENDPOINTS,
    add,
    log_of,
    make_due,
    message_of,
    work,
)
from tests.web import add_samples, add_shopify_segments, client_of, running_app

ALL_TOPICS = [
    "segment.customer_entered",
    "segment.customer_left",
    "sample.found",
    "sample.fulfilled",
    "build.completed",
]
SEGMENT_TOPICS = ALL_TOPICS[:2]
JULY = datetime(2026, 7, 1, 3, tzinfo=UTC)


@pytest.fixture
def settings(cluster: Cluster, built_template: str) -> Iterator[Settings]:
    """Settings with a database in which every mart exists and is empty."""
    with cluster.database(built_template) as settings:
        yield replace(settings, notify_private_addresses=1)


@pytest.fixture
def tenant(make_tenant: MakeTenant) -> UUID:
    return make_tenant()


@pytest.fixture
def client(app: APIFlask, settings: Settings, tenant: UUID) -> FlaskClient:
    return client_of(app, settings, tenant)


@pytest.fixture
def receiver() -> Iterator[HTTPServer]:
    with HTTPServer(host="127.0.0.1", port=0, threaded=True) as server:
        server.expect_request("/").respond_with_data("")
        yield server


Moves = dict[str, tuple[str | None, str | None]]


def built(conn: Connection, tenant: UUID, day: int, moves: Moves) -> datetime:
    """As if a build as of that day of July had found these moves; returns its as-of time."""
    as_of = JULY + timedelta(days=day - 1)
    conn.execute(
        """
        insert into marts.rfm_builds (
            tenant_id, as_of, window_starts_at, window_days, time_zone, currency,
            currency_exponent
        )
        values (%(tenant)s, %(as_of)s, %(as_of)s, 365, 'UTC', 'EUR', 2)
        on conflict (tenant_id) do update set as_of = excluded.as_of
        """,
        {"tenant": tenant, "as_of": as_of},
    )
    with conn.cursor() as cursor:
        cursor.executemany(
            "insert into marts.rfm_segment_transitions"
            " (tenant_id, customer_id, from_segment, to_segment, as_of)"
            " values (%s, %s, %s, %s, %s)",
            [(tenant, customer, *move, as_of) for customer, move in moves.items()],
        )
    return as_of


def ran(conn: Connection, tenant: UUID, state: str = "succeeded") -> str:
    """A run of a build that has ended, or is still running; returns its id."""
    row = conn.execute(
        """
        insert into app.runs (
            tenant_id, kind, trigger, state, started_at, heartbeat_at, finished_at
        )
        values (
            %(tenant)s, 'build', 'schedule', %(state)s, clock_timestamp(), clock_timestamp(),
            case when %(state)s <> 'running' then clock_timestamp() end
        )
        returning run_id
        """,
        {"tenant": tenant, "state": state},
    ).fetchone()
    assert row is not None
    return str(row["run_id"])


def entered_shopify(
    conn: Connection, tenant: UUID, changes: list[tuple[str, str, bool]], minute: int = 0
) -> None:
    """As if a sync had found these changes: segment, customer, and whether they entered."""
    with conn.cursor() as cursor:
        cursor.executemany(
            "insert into shopify.segment_changes"
            " (tenant_id, segment_id, customer_id, changed_at, has_entered)"
            " values (%s, %s, %s, %s, %s)",
            [
                (tenant, segment, customer, JULY + timedelta(minutes=minute), has_entered)
                for segment, customer, has_entered in changes
            ],
        )


def collected(settings: Settings, pool: Pool) -> None:
    """Let the worker collect what the scheduler finds, and deliver it."""
    for _ in range(3):
        enqueue_webhooks(settings, pool)
        work(settings, pool)
    assert enqueue_webhooks(settings, pool) == 0


def bodies(receiver: HTTPServer) -> list[dict[str, Any]]:
    """What has arrived since the last call, in order."""
    found = [message_of(request) for request, _ in receiver.log]
    receiver.clear_log()
    return found


def moves_in(messages: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Type, customer and segment of every change, in order."""
    return [
        (message["type"].rpartition("_")[2], change["customer_id"], change["segment_id"])
        for message in messages
        for change in message["data"]["changes"]
    ]


# -- RFM -----------------------------------------------------------------------------------------


def test_changes_of_rfm_segments_are_sent_after_each_build_but_not_the_first(
    settings: Settings,
    pool: Pool,
    superuser: Connection,
    tenant: UUID,
    client: FlaskClient,
    receiver: HTTPServer,
) -> None:
    add(client, receiver.url_for("/"), SEGMENT_TOPICS)
    built(superuser, tenant, 1, {"ada": (None, "new"), "bo": (None, "loyal")})
    collected(settings, pool)
    assert bodies(receiver) == []

    as_of = built(
        superuser,
        tenant,
        2,
        {"ada": ("new", "champions"), "bo": ("loyal", None), "cy": (None, "new")},
    )
    collected(settings, pool)
    left, entered = bodies(receiver)
    assert left["type"] == "segment.customer_left"
    assert left["text"] == "demo: 2 customers left a segment."
    assert left["data"] == {
        "tenant": "demo",
        "source": "rfm",
        "batch": 1,
        "batches": 1,
        "is_replay": False,
        "changes": [
            {
                "customer_id": "ada",
                "segment_id": "rfm:new",
                "changed_at": "2026-07-02T03:00:00Z",
                "next_segment_id": "rfm:champions",
            },
            {
                "customer_id": "bo",
                "segment_id": "rfm:loyal",
                "changed_at": "2026-07-02T03:00:00Z",
                "next_segment_id": None,
            },
        ],
    }
    assert (entered["type"], entered["timestamp"]) == (
        "segment.customer_entered",
        as_of.isoformat().replace("+00:00", "Z"),
    )
    assert [
        (change["customer_id"], change["segment_id"], change["previous_segment_id"])
        for change in entered["data"]["changes"]
    ] == [("ada", "rfm:champions", "rfm:new"), ("cy", "rfm:new", None)]

    # A backfill writes rows of the past, a repeated build the same ones again.
    built(superuser, tenant, -9, {"ada": (None, "loyal")})
    built(superuser, tenant, 2, {})
    collected(settings, pool)
    assert bodies(receiver) == []
    built(superuser, tenant, 3, {"ada": ("champions", "loyal")})
    collected(settings, pool)
    assert moves_in(bodies(receiver)) == [
        ("left", "ada", "rfm:champions"),
        ("entered", "ada", "rfm:loyal"),
    ]


def test_a_new_endpoint_receives_what_happens_from_then_on(
    settings: Settings,
    pool: Pool,
    superuser: Connection,
    tenant: UUID,
    client: FlaskClient,
    receiver: HTTPServer,
) -> None:
    built(superuser, tenant, 1, {"ada": (None, "new")})
    built(superuser, tenant, 2, {"ada": ("new", "loyal")})
    ran(superuser, tenant)
    entered_shopify(superuser, tenant, [("7", "ada", True)])
    add_samples(settings, tenant, [{"order_id": "1"}, {"order_id": "2", "status": "fulfilled"}])
    first = add(client, receiver.url_for("/"), ALL_TOPICS)
    collected(settings, pool)
    assert bodies(receiver) == []

    # What has happened but was not collected yet is for the first endpoint only.
    built(superuser, tenant, 3, {"ada": ("loyal", "champions")})
    add_samples(settings, tenant, [{"order_id": "3"}])
    second = add(client, receiver.url_for("/"), ALL_TOPICS)
    collected(settings, pool)
    assert [len(log_of(client, endpoint_id=e["endpoint_id"])) for e in (first, second)] == [3, 0]

    # The same for one that is enabled again.
    url = f"/api/admin/webhooks/endpoints/{first['endpoint_id']}"
    client.patch(url, json={"is_enabled": False})
    built(superuser, tenant, 4, {"ada": ("champions", "loyal")})
    client.patch(url, json={"is_enabled": True})
    collected(settings, pool)
    assert [len(log_of(client, endpoint_id=e["endpoint_id"])) for e in (first, second)] == [3, 2]
    built(superuser, tenant, 5, {"ada": ("loyal", "new")})
    collected(settings, pool)
    assert [len(log_of(client, endpoint_id=e["endpoint_id"])) for e in (first, second)] == [5, 4]


def test_topics_of_each_endpoint_apply_from_their_change_on(
    settings: Settings,
    pool: Pool,
    superuser: Connection,
    tenant: UUID,
    client: FlaskClient,
    receiver: HTTPServer,
) -> None:
    endpoint = add(client, receiver.url_for("/"), ["segment.customer_left"])
    built(superuser, tenant, 1, {"ada": (None, "new")})
    collected(settings, pool)
    built(superuser, tenant, 2, {"ada": ("new", "loyal")})
    add_samples(settings, tenant, [{"order_id": "1"}])
    collected(settings, pool)
    assert [body["type"] for body in bodies(receiver)] == ["segment.customer_left"]
    change = {"topics": ["sample.found", "segment.customer_left"]}
    client.patch(f"/api/admin/webhooks/endpoints/{endpoint['endpoint_id']}", json=change)
    built(superuser, tenant, 3, {"ada": ("loyal", None)})
    add_samples(settings, tenant, [{"order_id": "2"}])
    collected(settings, pool)
    types = {body["type"] for body in bodies(receiver)}
    assert types == {"segment.customer_left", "sample.found"}


def test_an_endpoint_can_be_limited_to_some_segments(
    settings: Settings,
    pool: Pool,
    superuser: Connection,
    tenant: UUID,
    client: FlaskClient,
    receiver: HTTPServer,
) -> None:
    add_shopify_segments(settings, tenant, ["One", "Two"])
    shopify = superuser.execute(
        "select segment_id from shopify.cached_segments order by name"
    ).fetchall()
    one, two = (row["segment_id"] for row in shopify)
    body = {"url": receiver.url_for("/"), "topics": SEGMENT_TOPICS}
    for unknown in ("rfm:unknown", "shopify:0", "klaviyo:L1", "champions"):
        refused = client.post(ENDPOINTS, json={**body, "segments": [unknown]})
        assert refused.status_code == 422, unknown
        assert refused.get_json()["errors"][0]["pointer"].startswith("#/segments")
    chosen = {**body, "segments": ["rfm:loyal", f"shopify:{one}"]}
    endpoint = client.post(ENDPOINTS, json=chosen).get_json()
    assert endpoint["segments"] == chosen["segments"]
    built(superuser, tenant, 1, {"ada": (None, "new"), "bo": (None, "loyal")})
    collected(settings, pool)
    built(superuser, tenant, 2, {"ada": ("new", "champions"), "bo": ("loyal", "champions")})
    entered_shopify(superuser, tenant, [(one, "ada", True), (two, "ada", True)])
    built(superuser, tenant, 3, {"ada": ("champions", "loyal")})
    collected(settings, pool)
    messages = bodies(receiver)
    assert sorted(moves_in(messages)) == [
        ("entered", "ada", "rfm:loyal"),
        ("entered", "ada", f"shopify:{one}"),
        ("left", "bo", "rfm:loyal"),
    ]
    assert len(messages) == 3

    # Other changes of the endpoint leave the choice as it is.
    url = f"{ENDPOINTS}/{endpoint['endpoint_id']}"
    same = client.patch(url, json={"topics": SEGMENT_TOPICS}).get_json()
    assert same["segments"] == chosen["segments"]
    assert client.patch(url, json={"segments": None}).get_json()["segments"] is None
    built(superuser, tenant, 4, {"ada": ("loyal", "new")})
    collected(settings, pool)
    assert len(moves_in(bodies(receiver))) == 2


def test_many_changes_come_in_batches_that_hold_each_once(
    settings: Settings,
    pool: Pool,
    superuser: Connection,
    tenant: UUID,
    client: FlaskClient,
    receiver: HTTPServer,
) -> None:
    add(client, receiver.url_for("/"), SEGMENT_TOPICS)
    built(superuser, tenant, 1, {"ada": (None, "new")})
    collected(settings, pool)
    customers = [f"c{number}" for number in range(1500)]
    built(superuser, tenant, 2, dict.fromkeys(customers, ("new", "loyal")))
    entered_shopify(superuser, tenant, [("7", customer, True) for customer in customers])
    collected(settings, pool)
    messages = bodies(receiver)
    for source, kind in (("rfm", "left"), ("rfm", "entered"), ("shopify", "entered")):
        batches = [
            message
            for message in messages
            if message["data"]["source"] == source and message["type"].endswith(kind)
        ]
        assert [batch["data"]["batch"] for batch in batches] == list(range(1, 9))
        assert max(len(batch["data"]["changes"]) for batch in batches) < 300
        found = [change["customer_id"] for b in batches for change in b["data"]["changes"]]
        assert sorted(found) == sorted(customers)


def test_a_customer_s_changes_arrive_in_order_although_one_fails(
    settings: Settings,
    pool: Pool,
    superuser: Connection,
    tenant: UUID,
    client: FlaskClient,
) -> None:
    answers = [200, 500, 200, 503] + [200] * 20
    with HTTPServer(host="127.0.0.1", port=0, threaded=True) as receiver:
        receiver.expect_request("/").respond_with_handler(
            lambda _: Response("", status=answers.pop(0))
        )
        add(client, receiver.url_for("/"), [*SEGMENT_TOPICS, "sample.found"])
        built(superuser, tenant, 1, {"ada": (None, "new")})
        ran(superuser, tenant)
        collected(settings, pool)
        built(superuser, tenant, 2, {"ada": ("new", "loyal")})
        built(superuser, tenant, 3, {"ada": ("loyal", "champions")})
        collected(settings, pool)
        add_samples(settings, tenant, [{"order_id": "1"}])
        built(superuser, tenant, 4, {"ada": ("champions", None)})
        for _ in range(4):
            collected(settings, pool)
            # What fails is not due at once, and holds up the messages behind it, but not others.
            make_due(superuser)
        accepted = [
            json.loads(request.get_data())
            for request, response in receiver.log
            if response.status_code == 200
        ]
    types = [message["type"] for message in accepted]
    assert types.count("sample.found") == 1
    assert types.index("sample.found") < len(types) - 1
    assert moves_in([m for m in accepted if m["type"] != "sample.found"]) == [
        ("left", "ada", "rfm:new"),
        ("entered", "ada", "rfm:loyal"),
        ("left", "ada", "rfm:loyal"),
        ("entered", "ada", "rfm:champions"),
        ("left", "ada", "rfm:champions"),
    ]


def test_of_two_endpoints_one_that_is_down_does_not_hold_up_the_other(
    settings: Settings,
    pool: Pool,
    superuser: Connection,
    tenant: UUID,
    client: FlaskClient,
    receiver: HTTPServer,
) -> None:
    down = add(client, "http://127.0.0.1:1/", SEGMENT_TOPICS)
    add(client, receiver.url_for("/"), SEGMENT_TOPICS)
    built(superuser, tenant, 1, {"ada": (None, "new")})
    collected(settings, pool)
    built(superuser, tenant, 2, {"ada": ("new", "loyal")})
    collected(settings, pool)
    assert len(bodies(receiver)) == 2
    rows = log_of(client, endpoint_id=down["endpoint_id"])
    assert [(row["state"], row["attempts"]) for row in rows] == [("pending", 0), ("pending", 1)]
    assert rows[1]["error"] == "The connection failed (ConnectError)."


# -- builds --------------------------------------------------------------------------------------


def test_changes_of_a_build_that_runs_or_failed_wait_for_the_next_success(
    settings: Settings,
    pool: Pool,
    superuser: Connection,
    tenant: UUID,
    client: FlaskClient,
    receiver: HTTPServer,
) -> None:
    add(client, receiver.url_for("/"), ALL_TOPICS)
    built(superuser, tenant, 1, {"ada": (None, "new")})
    first = ran(superuser, tenant)
    collected(settings, pool)
    assert [body["data"]["run"]["run_id"] for body in bodies(receiver)] == [first]

    run_id = ran(superuser, tenant, "running")
    built(superuser, tenant, 2, {"ada": ("new", "loyal")})
    collected(settings, pool)
    collect_events(pool, tenant)
    superuser.execute(
        "update app.runs set state = 'failed', finished_at = clock_timestamp() where run_id = %s",
        [run_id],
    )
    collected(settings, pool)
    assert bodies(receiver) == []

    second = ran(superuser, tenant)
    collected(settings, pool)
    messages = bodies(receiver)
    (completed,) = [body for body in messages if body["type"] == "build.completed"]
    assert completed["data"]["run"]["run_id"] == second
    assert completed["text"] == "demo: segments and samples have been calculated."
    assert moves_in([body for body in messages if body is not completed]) == [
        ("left", "ada", "rfm:new"),
        ("entered", "ada", "rfm:loyal"),
    ]


# -- samples -------------------------------------------------------------------------------------


def test_samples_are_announced_once_when_found_and_once_when_fulfilled(
    settings: Settings,
    pool: Pool,
    superuser: Connection,
    tenant: UUID,
    client: FlaskClient,
    receiver: HTTPServer,
) -> None:
    add(client, receiver.url_for("/"), ["sample.found", "sample.fulfilled"])
    # The samples of the first build are not announced.
    add_samples(settings, tenant, [{"order_id": "old"}, {"order_id": "o2", "status": "fulfilled"}])
    built(superuser, tenant, 1, {})
    ran(superuser, tenant)
    collected(settings, pool)
    assert bodies(receiver) == []

    add_samples(settings, tenant, [{"order_id": "a"}, {"order_id": "b", "status": "fulfilled"}])
    built(superuser, tenant, 2, {})
    ran(superuser, tenant)
    collected(settings, pool)
    found, fulfilled = sorted(bodies(receiver), key=lambda body: str(body["type"]))
    assert (found["type"], found["text"]) == ("sample.found", "demo: 2 samples found.")
    assert found["data"]["samples"][0] == {
        "order_id": "a",
        "order_number": None,
        "is_ugc": True,
        "is_tiktok": False,
        "status": "pending",
        "ordered_at": "2026-07-01T00:00:00Z",
        "creator_id": None,
    }
    assert "ada@example.com" not in json.dumps(found)
    assert [sample["order_id"] for sample in fulfilled["data"]["samples"]] == ["b"]

    # Fulfilled later, and no longer a sample but one again.
    superuser.execute("update marts.sample_orders set status = 'fulfilled'")
    superuser.execute("delete from marts.sample_orders where order_id = 'b'")
    built(superuser, tenant, 3, {})
    collected(settings, pool)
    add_samples(settings, tenant, [{"order_id": "b", "status": "fulfilled"}])
    built(superuser, tenant, 4, {})
    collected(settings, pool)
    (fulfilled,) = bodies(receiver)
    assert {sample["order_id"] for sample in fulfilled["data"]["samples"]} == {"a", "old"}

    # A plain dbt build stores its samples after its scores, and records no run.
    built(superuser, tenant, 5, {})
    collected(settings, pool)
    add_samples(settings, tenant, [{"order_id": "c"}])
    superuser.execute(
        """
        insert into marts.sample_stats (
            tenant_id, sample_type, samples, pending, partly_fulfilled, fulfilled, cancelled,
            last_30_days, previous_30_days, calculated_at
        )
        values (%s, 'all', 1, 1, 0, 0, 0, 1, 0, %s)
        """,
        [tenant, JULY + timedelta(days=4)],
    )
    collected(settings, pool)
    (found,) = bodies(receiver)
    assert [sample["order_id"] for sample in found["data"]["samples"]] == ["c"]


# -- Shopify's segments --------------------------------------------------------------------------


def test_changes_of_shopify_segments_arrive_in_each_customer_s_order(
    settings: Settings,
    pool: Pool,
    superuser: Connection,
    tenant: UUID,
    client: FlaskClient,
    receiver: HTTPServer,
) -> None:
    add(client, receiver.url_for("/"), SEGMENT_TOPICS)
    entered_shopify(superuser, tenant, [("7", "ada", True), ("7", "bo", True)], minute=1)
    entered_shopify(superuser, tenant, [("7", "ada", False), ("8", "bo", True)], minute=2)
    entered_shopify(superuser, tenant, [("7", "ada", True)], minute=3)
    collected(settings, pool)
    moves = moves_in(bodies(receiver))
    assert [move for move in moves if move[1] == "ada"] == [
        ("entered", "ada", "shopify:7"),
        ("left", "ada", "shopify:7"),
        ("entered", "ada", "shopify:7"),
    ]
    assert [move for move in moves if move[1] == "bo"] == [
        ("entered", "bo", "shopify:7"),
        ("entered", "bo", "shopify:8"),
    ]


def test_changes_that_a_long_transaction_commits_late_are_not_lost(
    settings: Settings,
    pool: Pool,
    superuser: Connection,
    tenant: UUID,
    client: FlaskClient,
    receiver: HTTPServer,
) -> None:
    add(client, receiver.url_for("/"), SEGMENT_TOPICS)
    with closing(connect(settings.database_url)) as slow:
        with slow.transaction():
            entered_shopify(slow, tenant, [("7", "ada", True)])
            entered_shopify(superuser, tenant, [("7", "bo", True)], minute=1)
            collected(settings, pool)
            # It does not hold up the others either.
            assert moves_in(bodies(receiver)) == [("entered", "bo", "shopify:7")]
        entered_shopify(superuser, tenant, [("7", "cy", True)], minute=2)
    collected(settings, pool)
    assert sorted(moves_in(bodies(receiver))) == [
        ("entered", customer, "shopify:7") for customer in ("ada", "cy")
    ]


def test_transaction_numbers_of_another_server_do_not_stop_the_changes(
    settings: Settings,
    pool: Pool,
    superuser: Connection,
    tenant: UUID,
    client: FlaskClient,
    receiver: HTTPServer,
) -> None:
    add(client, receiver.url_for("/"), SEGMENT_TOPICS)
    superuser.execute(
        "update app.webhook_progress set shopify_snapshot = '999999999999:999999999999:'"
    )
    collected(settings, pool)
    entered_shopify(superuser, tenant, [("7", "ada", True)])
    collected(settings, pool)
    assert moves_in(bodies(receiver)) == [("entered", "ada", "shopify:7")]


def test_changes_of_another_server_are_not_announced_when_their_transaction_number_comes(
    settings: Settings,
    pool: Pool,
    superuser: Connection,
    tenant: UUID,
    client: FlaskClient,
    receiver: HTTPServer,
) -> None:
    # As after a restore on a server with smaller numbers.
    entered_shopify(superuser, tenant, [("7", "old", True)])
    number = superuser.execute(
        "update shopify.segment_changes"
        " set landed_xid = (landed_xid::text::bigint + 60)::text::xid8"
        " returning landed_xid::text::bigint as landed_xid"
    ).fetchone()
    assert number is not None
    add(client, receiver.url_for("/"), SEGMENT_TOPICS)
    collected(settings, pool)
    for _ in range(100):
        superuser.execute("select pg_current_xact_id()")
    now = superuser.execute("select pg_current_xact_id()::text::bigint as xid").fetchone()
    assert now is not None
    assert now["xid"] > number["landed_xid"]
    entered_shopify(superuser, tenant, [("7", "ada", True)], minute=1)
    collected(settings, pool)
    assert moves_in(bodies(receiver)) == [("entered", "ada", "shopify:7")]


# -- replay --------------------------------------------------------------------------------------


def test_a_replay_sends_what_was_announced_since_a_time(
    settings: Settings,
    pool: Pool,
    superuser: Connection,
    tenant: UUID,
    client: FlaskClient,
    receiver: HTTPServer,
) -> None:
    endpoint = add(client, receiver.url_for("/"), ALL_TOPICS)
    other = add(client, receiver.url_for("/other"), ALL_TOPICS)
    today = datetime.now(UTC)
    day = (today - JULY).days
    first_as_of = built(superuser, tenant, day - 9, {"ada": (None, "new")})
    ran(superuser, tenant)
    collected(settings, pool)
    add_samples(settings, tenant, [{"order_id": "1"}])
    run_id = ran(superuser, tenant)
    for back, move in ((7, ("new", "loyal")), (5, ("loyal", "new")), (2, ("new", "champions"))):
        built(superuser, tenant, day - back, {"ada": move})
        entered_shopify(
            superuser,
            tenant,
            [("7", "ada", back != 5)],
            minute=int((today - JULY).total_seconds() // 60) - back * 24 * 60,
        )
        collected(settings, pool)
    announced = bodies(receiver)
    url = f"/api/admin/webhooks/endpoints/{endpoint['endpoint_id']}/replay"

    since = today - timedelta(days=7)
    answer = client.post(url, json={"since": since.isoformat()})
    assert answer.status_code == 202
    # Not two at once.
    assert client.post(url, json={"since": since.isoformat()}).status_code == 409
    collected(settings, pool)
    replayed = bodies(receiver)
    assert len(replayed) == answer.get_json()["messages"]
    assert {body["data"]["is_replay"] for body in replayed} == {True}
    assert not {body["id"] for body in replayed} & {body["id"] for body in announced}
    segments = [body for body in replayed if body["type"].startswith("segment.")]
    moves = moves_in(segments)
    assert [move for move in moves if move[2].startswith("rfm")] == [
        ("left", "ada", "rfm:loyal"),
        ("entered", "ada", "rfm:new"),
        ("left", "ada", "rfm:new"),
        ("entered", "ada", "rfm:champions"),
    ]
    assert [move for move in moves if move[2].startswith("shopify")] == [
        ("left", "ada", "shopify:7"),
        ("entered", "ada", "shopify:7"),
    ]
    others = [body for body in replayed if body not in segments]
    assert {body["type"] for body in others} == {"sample.found", "build.completed"}
    runs = [body["data"]["run"]["run_id"] for body in others if "run" in body["data"]]
    assert runs[-1] == run_id
    assert [row["is_replay"] for row in log_of(client, endpoint_id=other["endpoint_id"])].count(
        True
    ) == 0
    # The first build is never announced, however early the replay starts.
    client.post(url, json={"since": (today - timedelta(days=29)).isoformat()})
    collected(settings, pool)
    times = [body["timestamp"] for body in bodies(receiver)]
    assert len(times) > len(replayed)
    assert first_as_of.isoformat().replace("+00:00", "Z") not in times
    for wrong in (today - timedelta(days=31), today + timedelta(hours=1)):
        refused = client.post(url, json={"since": wrong.isoformat()})
        assert refused.get_json()["errors"][0]["pointer"] == "#/since"


# -- robustness ----------------------------------------------------------------------------------


def test_what_no_longer_exists_is_not_sent(
    settings: Settings,
    pool: Pool,
    superuser: Connection,
    tenant: UUID,
    client: FlaskClient,
    receiver: HTTPServer,
) -> None:
    add(client, receiver.url_for("/"), SEGMENT_TOPICS)
    built(superuser, tenant, 1, {"ada": (None, "new")})
    collected(settings, pool)
    built(superuser, tenant, 2, {"ada": ("new", None)})
    collect_events(pool, tenant)
    superuser.execute("delete from marts.rfm_segment_transitions where as_of > %s", [JULY])
    work(settings, pool)
    (row,) = log_of(client)
    assert (row["state"], row["attempts"]) == ("failed", 1)
    assert row["error"] == "What it was about no longer exists."
    assert bodies(receiver) == []


def test_collecting_twice_at_the_same_time_announces_once(
    settings: Settings,
    pool: Pool,
    superuser: Connection,
    tenant: UUID,
    client: FlaskClient,
    receiver: HTTPServer,
) -> None:
    add(client, receiver.url_for("/"), SEGMENT_TOPICS)
    built(superuser, tenant, 1, {"ada": (None, "new")})
    collected(settings, pool)
    built(superuser, tenant, 2, {"ada": ("new", None)})
    with tenant_transaction(pool, tenant) as first:
        assert events.collect(first, tenant) == 1
        with (
            tenant_transaction(pool, tenant, timeout_ms=300) as second,
            pytest.raises(psycopg.errors.QueryCanceled),
        ):
            events.collect(second, tenant)
    collected(settings, pool)
    assert len(bodies(receiver)) == 1


def test_erasing_a_tenant_leaves_nothing_of_its_webhooks(
    settings: Settings,
    pool: Pool,
    superuser: Connection,
    tenant: UUID,
    client: FlaskClient,
    receiver: HTTPServer,
) -> None:
    from service.privacy.tenant import erase_tenant

    add(client, receiver.url_for("/"), ALL_TOPICS)
    built(superuser, tenant, 1, {"ada": (None, "new")})
    add_samples(settings, tenant, [{"order_id": "1"}])
    collect_events(pool, tenant)
    erase_tenant(settings, tenant, "test", JULY)
    for table in ("endpoints", "secrets", "deliveries", "progress", "samples", "sync_states"):
        rows = superuser.execute(f"select * from app.webhook_{table}").fetchall()
        assert rows == []
    assert enqueue_webhooks(settings, pool) == 0
    work(settings, pool)


def test_a_real_build_is_announced_without_a_permanent_worker(
    built_demo: Settings,
) -> None:
    settings = replace(built_demo, notify_private_addresses=1)
    with (
        running_app(settings) as app,
        connect(settings.database_url) as conn,
        HTTPServer(host="127.0.0.1", port=0, threaded=True) as receiver,
    ):
        receiver.expect_request("/").respond_with_data("")
        rows = conn.execute("select tenant_id, name from app.tenants order by name").fetchall()
        tenant, name = rows[0]["tenant_id"], rows[0]["name"]
        client = client_of(app, settings, tenant)
        pool = app.extensions["quintile"].pool
        add(client, receiver.url_for("/"), ALL_TOPICS)
        as_of = conn.execute(
            "select as_of from marts.rfm_builds where tenant_id = %s", [tenant]
        ).fetchone()
        assert as_of is not None

        def calculate(days: int) -> None:
            runs = start_builds(pool, [tenant], "cli").mine
            later = (as_of["as_of"] + timedelta(days=days)).isoformat()
            build_and_record(settings, pool, runs, tenants=[name], as_of=later, quiet=True)
            run_once(settings, pool)
            run_once(settings, pool)

        calculate(40)
        first = bodies(receiver)
        assert [body["type"] for body in first].count("build.completed") == 1
        changes = conn.execute(
            "select count(from_segment) + count(to_segment) as n"
            " from marts.rfm_segment_transitions where tenant_id = %s and as_of > %s",
            [tenant, as_of["as_of"]],
        ).fetchone()
        assert changes is not None
        assert changes["n"] > 10
        segments = [body for body in first if body["type"].startswith("segment.")]
        assert len(moves_in(segments)) == changes["n"]
        # A backfill of the past, and the same build again.
        backfill(
            settings,
            first=(as_of["as_of"] - timedelta(days=20)).date(),
            last=as_of["as_of"].date(),
            tenants=[name],
            quiet=True,
        )
        run_once(settings, pool)
        calculate(40)
        assert {body["type"] for body in bodies(receiver)} <= {"build.completed"}
