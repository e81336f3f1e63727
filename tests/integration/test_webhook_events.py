"""What becomes an outgoing webhook: changes by builds and by syncs, in order, each once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from pytest_httpserver import HTTPServer
from werkzeug import Response

from sandbox.klaviyo import Account
from service.builds.backfill import backfill
from service.builds.run import build_and_record
from service.core.config import Settings
from service.core.db import Connection, Pool, connect, tenant_transaction
from service.destinations.configs import NewConfig, create_config, delete_config
from service.klaviyo.connection import connect_klaviyo
from service.notifications import events
from service.notifications.deliveries import collect_events, enqueue_webhooks
from service.privacy.requests import add_request, process_now
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
from tests.klaviyo import sync_once
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


@pytest.fixture
def account() -> Account:
    """A Klaviyo account."""
    return Account(
        "pk_sandbox_for_these_tests",
        name="Kessel",
        currency="EUR",
        timezone="UTC",
        prefix="KK",
        rate_limit_scale=1000,
        job_seconds=0,
    )


Moves = dict[str, tuple[str | None, str | None]]


@dataclass(frozen=True)
class Play:
    """A tenant whose builds and syncs a test plays."""

    superuser: Connection
    tenant: UUID

    def built(self, day: int, moves: Moves) -> datetime:
        """As if a build as of that day of July had found these moves; returns its as-of time."""
        as_of = JULY + timedelta(days=day - 1)
        self.superuser.execute(
            """
            insert into marts.rfm_builds (
                tenant_id, as_of, window_starts_at, window_days, time_zone, currency,
                currency_exponent
            )
            values (%(tenant)s, %(as_of)s, %(as_of)s, 365, 'UTC', 'EUR', 2)
            on conflict (tenant_id) do update set as_of = excluded.as_of
            """,
            {"tenant": self.tenant, "as_of": as_of},
        )
        with self.superuser.cursor() as cursor:
            cursor.executemany(
                "insert into marts.rfm_segment_transitions"
                " (tenant_id, customer_id, from_segment, to_segment, as_of)"
                " values (%s, %s, %s, %s, %s)",
                [(self.tenant, customer, *move, as_of) for customer, move in moves.items()],
            )
        return as_of

    def ran(self, state: str = "succeeded") -> str:
        """A run of a build that has ended, or is still running; returns its id."""
        row = self.superuser.execute(
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
            {"tenant": self.tenant, "state": state},
        ).fetchone()
        assert row is not None
        return str(row["run_id"])

    def entered_shopify(
        self,
        changes: list[tuple[str, str, bool]],
        minute: int = 0,
        conn: Connection | None = None,
    ) -> None:
        """As if a sync had found these changes: segment, customer, and whether they entered."""
        with (conn or self.superuser).cursor() as cursor:
            cursor.executemany(
                "insert into shopify.segment_changes"
                " (tenant_id, segment_id, customer_id, changed_at, has_entered)"
                " values (%s, %s, %s, %s, %s)",
                [
                    (self.tenant, segment, customer, JULY + timedelta(minutes=minute), has_entered)
                    for segment, customer, has_entered in changes
                ],
            )

    def pulls(self, *lists: str) -> None:
        """As if these lists were pulled, and had been read once."""
        for list_id in lists:
            self.superuser.execute(
                """
                with config as (
                    insert into app.klaviyo_sync_configs (
                        tenant_id, segment_key, list_id, list_name, direction
                    )
                    values (
                        %(tenant)s, 'klaviyo:' || %(list)s, %(list)s, 'List ' || %(list)s, 'pull'
                    )
                )
                insert into app.klaviyo_lists (tenant_id, list_id, name)
                values (%(tenant)s, %(list)s, 'List ' || %(list)s)
                """,
                {"tenant": self.tenant, "list": list_id},
            )

    def entered_list(
        self,
        changes: list[tuple[str, str, bool]],
        minute: int = 0,
        conn: Connection | None = None,
    ) -> None:
        """As if a pull had found these changes: list, profile, and whether it entered.

        The profile's address is its id at example.com; that of one without an address starts with
        a dash.
        """
        with (conn or self.superuser).cursor() as cursor:
            cursor.executemany(
                "insert into app.klaviyo_list_changes"
                " (tenant_id, list_id, profile_id, email, changed_at, has_entered)"
                " values (%s, %s, %s, %s, %s, %s)",
                [
                    (
                        self.tenant,
                        list_id,
                        profile,
                        None if profile.startswith("-") else f"{profile.lower()}@example.com",
                        JULY + timedelta(minutes=minute),
                        has_entered,
                    )
                    for list_id, profile, has_entered in changes
                ],
            )

    def knows(self, customer: str, email: str) -> None:
        """As if a build had found this customer."""
        self.superuser.execute(
            "insert into marts.customer_facts (tenant_id, customer_id, email,"
            " is_excluded_from_rfm, lifetime_order_count, lifetime_minor, window_order_count,"
            " window_minor) values (%s, %s, %s, false, 0, 0, 0, 0)",
            [self.tenant, customer, email],
        )


@dataclass(frozen=True)
class Stage(Play):
    """Such a tenant, and a receiver of its messages."""

    settings: Settings
    pool: Pool
    client: FlaskClient
    receiver: HTTPServer

    def add(self, topics: list[str]) -> dict[str, Any]:
        """An endpoint at the receiver."""
        return add(self.client, self.receiver.url_for("/"), topics)

    def collected(self) -> None:
        """Let the worker collect what the scheduler finds, and deliver it."""
        for _ in range(3):
            enqueue_webhooks(self.settings, self.pool)
            work(self.settings, self.pool)
        assert enqueue_webhooks(self.settings, self.pool) == 0

    def add_samples(self, samples: list[dict[str, Any]]) -> None:
        """As if a build had found these samples."""
        add_samples(self.settings, self.tenant, samples)

    def log_of(self, endpoint: dict[str, Any]) -> list[dict[str, Any]]:
        """The log of the messages to an endpoint."""
        return log_of(self.client, endpoint_id=endpoint["endpoint_id"])

    def bodies(self) -> list[dict[str, Any]]:
        """What has arrived since the last call, in order."""
        return bodies(self.receiver)


@pytest.fixture
def stage(
    settings: Settings,
    pool: Pool,
    superuser: Connection,
    tenant: UUID,
    client: FlaskClient,
    receiver: HTTPServer,
) -> Stage:
    return Stage(superuser, tenant, settings, pool, client, receiver)


def bodies(receiver: HTTPServer) -> list[dict[str, Any]]:
    """What has arrived since the last call, in order."""
    found = [message_of(request) for request, _ in receiver.log]
    receiver.clear_log()
    return found


def moves_in(messages: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Type, customer (on a list: profile) and segment of every change, in order."""
    return [
        (
            message["type"].rpartition("_")[2],
            change.get("profile_id", change["customer_id"]),
            change["segment_id"],
        )
        for message in messages
        for change in message["data"]["changes"]
    ]


# -- RFM -----------------------------------------------------------------------------------------


def test_changes_of_rfm_segments_are_sent_after_each_build_but_not_the_first(stage: Stage) -> None:
    stage.add(SEGMENT_TOPICS)
    stage.built(1, {"ada": (None, "new"), "bo": (None, "loyal")})
    stage.collected()
    assert stage.bodies() == []

    as_of = stage.built(
        2,
        {"ada": ("new", "champions"), "bo": ("loyal", None), "cy": (None, "new")},
    )
    stage.collected()
    left, entered = stage.bodies()
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
    stage.built(-9, {"ada": (None, "loyal")})
    stage.built(2, {})
    stage.collected()
    assert stage.bodies() == []
    stage.built(3, {"ada": ("champions", "loyal")})
    stage.collected()
    assert moves_in(stage.bodies()) == [
        ("left", "ada", "rfm:champions"),
        ("entered", "ada", "rfm:loyal"),
    ]


def test_a_new_endpoint_receives_what_happens_from_then_on(stage: Stage) -> None:
    stage.built(1, {"ada": (None, "new")})
    stage.built(2, {"ada": ("new", "loyal")})
    stage.ran()
    stage.entered_shopify([("7", "ada", True)])
    stage.add_samples([{"order_id": "1"}, {"order_id": "2", "status": "fulfilled"}])
    first = stage.add(ALL_TOPICS)
    stage.collected()
    assert stage.bodies() == []

    # What has happened but was not collected yet is for the first endpoint only.
    stage.built(3, {"ada": ("loyal", "champions")})
    stage.add_samples([{"order_id": "3"}])
    second = stage.add(ALL_TOPICS)
    stage.collected()
    assert [len(stage.log_of(e)) for e in (first, second)] == [3, 0]

    # The same for one that is enabled again.
    url = f"/api/admin/webhooks/endpoints/{first['endpoint_id']}"
    stage.client.patch(url, json={"is_enabled": False})
    stage.built(4, {"ada": ("champions", "loyal")})
    stage.client.patch(url, json={"is_enabled": True})
    stage.collected()
    assert [len(stage.log_of(e)) for e in (first, second)] == [3, 2]
    stage.built(5, {"ada": ("loyal", "new")})
    stage.collected()
    assert [len(stage.log_of(e)) for e in (first, second)] == [5, 4]


def test_topics_of_each_endpoint_apply_from_their_change_on(stage: Stage) -> None:
    endpoint = stage.add(["segment.customer_left"])
    stage.built(1, {"ada": (None, "new")})
    stage.ran()
    stage.collected()
    stage.built(2, {"ada": ("new", "loyal")})
    stage.add_samples([{"order_id": "1"}])
    stage.collected()
    assert [body["type"] for body in stage.bodies()] == ["segment.customer_left"]
    change = {"topics": ["sample.found", "segment.customer_left"]}
    stage.client.patch(f"/api/admin/webhooks/endpoints/{endpoint['endpoint_id']}", json=change)
    stage.built(3, {"ada": ("loyal", None)})
    stage.add_samples([{"order_id": "2"}])
    stage.collected()
    types = {body["type"] for body in stage.bodies()}
    assert types == {"segment.customer_left", "sample.found"}


def test_an_endpoint_can_be_limited_to_some_segments(stage: Stage) -> None:
    add_shopify_segments(stage.settings, stage.tenant, ["One", "Two"])
    shopify = stage.superuser.execute(
        "select segment_id from shopify.cached_segments order by name"
    ).fetchall()
    one, two = (row["segment_id"] for row in shopify)
    stage.pulls("L1", "L2")
    stage.superuser.execute(
        "insert into app.klaviyo_sync_configs"
        " (tenant_id, segment_key, list_id, list_name, direction)"
        " values (%s, 'rfm:loyal', 'pushed', 'Pushed', 'push')",
        [stage.tenant],
    )
    stage.superuser.execute(
        "insert into app.klaviyo_lists (tenant_id, list_id, name) values (%s, 'pushed', 'Pushed')",
        [stage.tenant],
    )
    body = {"url": stage.receiver.url_for("/"), "topics": SEGMENT_TOPICS}
    for unknown in ("rfm:unknown", "shopify:0", "klaviyo:L3", "klaviyo:pushed", "champions"):
        refused = stage.client.post(ENDPOINTS, json={**body, "segments": [unknown]})
        assert refused.status_code == 422, unknown
        assert refused.get_json()["errors"][0]["pointer"].startswith("#/segments")
    chosen = {**body, "segments": ["klaviyo:L1", "rfm:loyal", f"shopify:{one}"]}
    endpoint = stage.client.post(ENDPOINTS, json=chosen).get_json()
    assert endpoint["segments"] == chosen["segments"]
    stage.built(1, {"ada": (None, "new"), "bo": (None, "loyal")})
    stage.collected()
    stage.built(2, {"ada": ("new", "champions"), "bo": ("loyal", "champions")})
    stage.entered_shopify([(one, "ada", True), (two, "ada", True)])
    stage.entered_list([("L1", "P1", True), ("L2", "P2", True)])
    stage.built(3, {"ada": ("champions", "loyal")})
    stage.collected()
    messages = stage.bodies()
    assert sorted(moves_in(messages)) == [
        ("entered", "P1", "klaviyo:L1"),
        ("entered", "ada", "rfm:loyal"),
        ("entered", "ada", f"shopify:{one}"),
        ("left", "bo", "rfm:loyal"),
    ]
    assert len(messages) == 4

    # Other changes of the endpoint leave the choice as it is.
    url = f"{ENDPOINTS}/{endpoint['endpoint_id']}"
    same = stage.client.patch(url, json={"topics": SEGMENT_TOPICS}).get_json()
    assert same["segments"] == chosen["segments"]
    assert stage.client.patch(url, json={"segments": None}).get_json()["segments"] is None
    stage.built(4, {"ada": ("loyal", "new")})
    stage.collected()
    assert len(moves_in(stage.bodies())) == 2


def test_many_changes_come_in_batches_that_hold_each_once(stage: Stage) -> None:
    stage.add(SEGMENT_TOPICS)
    stage.built(1, {"ada": (None, "new")})
    stage.collected()
    customers = [f"c{number}" for number in range(1500)]
    stage.built(2, dict.fromkeys(customers, ("new", "loyal")))
    stage.entered_shopify([("7", customer, True) for customer in customers])
    stage.pulls("L1")
    stage.entered_list([("L1", customer, False) for customer in customers])
    stage.collected()
    messages = stage.bodies()
    for source, kind in (
        ("rfm", "left"),
        ("rfm", "entered"),
        ("shopify", "entered"),
        ("klaviyo", "left"),
    ):
        batches = [
            message
            for message in messages
            if message["data"]["source"] == source and message["type"].endswith(kind)
        ]
        assert [batch["data"]["batch"] for batch in batches] == list(range(1, 9))
        assert max(len(batch["data"]["changes"]) for batch in batches) < 300
        found = [who for _, who, _ in moves_in(batches)]
        assert sorted(found) == sorted(customers)


def test_a_customer_s_changes_arrive_in_order_although_one_fails(stage: Stage) -> None:
    answers = [200, 500, 200, 503] + [200] * 20
    with HTTPServer(host="127.0.0.1", port=0, threaded=True) as receiver:
        receiver.expect_request("/").respond_with_handler(
            lambda _: Response("", status=answers.pop(0))
        )
        add(stage.client, receiver.url_for("/"), [*SEGMENT_TOPICS, "sample.found"])
        stage.built(1, {"ada": (None, "new")})
        stage.ran()
        stage.collected()
        stage.built(2, {"ada": ("new", "loyal")})
        stage.built(3, {"ada": ("loyal", "champions")})
        stage.collected()
        stage.add_samples([{"order_id": "1"}])
        stage.built(4, {"ada": ("champions", None)})
        for _ in range(4):
            stage.collected()
            # What fails is not due at once, and holds up the messages behind it, but not others.
            make_due(stage.superuser)
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


def test_of_two_endpoints_one_that_is_down_does_not_hold_up_the_other(stage: Stage) -> None:
    down = add(stage.client, "http://127.0.0.1:1/", SEGMENT_TOPICS)
    stage.add(SEGMENT_TOPICS)
    stage.built(1, {"ada": (None, "new")})
    stage.collected()
    stage.built(2, {"ada": ("new", "loyal")})
    stage.collected()
    assert len(stage.bodies()) == 2
    rows = stage.log_of(down)
    assert [(row["state"], row["attempts"]) for row in rows] == [("pending", 0), ("pending", 1)]
    assert rows[1]["error"] == "The connection failed (ConnectError)."


# -- builds --------------------------------------------------------------------------------------


def test_changes_of_a_build_that_runs_or_failed_wait_for_the_next_success(stage: Stage) -> None:
    stage.add(ALL_TOPICS)
    stage.built(1, {"ada": (None, "new")})
    first = stage.ran()
    stage.collected()
    assert [body["data"]["run"]["run_id"] for body in stage.bodies()] == [first]

    run_id = stage.ran("running")
    stage.built(2, {"ada": ("new", "loyal")})
    stage.collected()
    collect_events(stage.pool, stage.tenant)
    stage.superuser.execute(
        "update app.runs set state = 'failed', finished_at = clock_timestamp() where run_id = %s",
        [run_id],
    )
    stage.collected()
    assert stage.bodies() == []

    second = stage.ran()
    stage.collected()
    messages = stage.bodies()
    (completed,) = [body for body in messages if body["type"] == "build.completed"]
    assert completed["data"]["run"]["run_id"] == second
    assert completed["text"] == "demo: segments and samples have been calculated."
    assert moves_in([body for body in messages if body is not completed]) == [
        ("left", "ada", "rfm:new"),
        ("entered", "ada", "rfm:loyal"),
    ]


# -- samples -------------------------------------------------------------------------------------


def test_samples_are_announced_once_when_found_and_once_when_fulfilled(stage: Stage) -> None:
    stage.add(["sample.found", "sample.fulfilled"])
    # The samples of the first build are not announced.
    stage.add_samples(
        [{"order_id": "old"}, {"order_id": "o2", "status": "fulfilled"}],
    )
    stage.built(1, {})
    stage.ran()
    stage.collected()
    assert stage.bodies() == []

    stage.add_samples([{"order_id": "a"}, {"order_id": "b", "status": "fulfilled"}])
    stage.built(2, {})
    stage.ran()
    stage.collected()
    found, fulfilled = sorted(stage.bodies(), key=lambda body: str(body["type"]))
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
    stage.superuser.execute("update marts.sample_orders set status = 'fulfilled'")
    stage.superuser.execute("delete from marts.sample_orders where order_id = 'b'")
    stage.built(3, {})
    stage.collected()
    stage.add_samples([{"order_id": "b", "status": "fulfilled"}])
    stage.built(4, {})
    stage.collected()
    (fulfilled,) = stage.bodies()
    assert {sample["order_id"] for sample in fulfilled["data"]["samples"]} == {"a", "old"}

    # A plain dbt build stores its samples after its scores, and records no run.
    stage.built(5, {})
    stage.collected()
    stage.add_samples([{"order_id": "c"}])
    stage.superuser.execute(
        """
        insert into marts.sample_stats (
            tenant_id, sample_type, samples, pending, partly_fulfilled, fulfilled, cancelled,
            last_30_days, previous_30_days, calculated_at
        )
        values (%s, 'all', 1, 1, 0, 0, 0, 1, 0, %s)
        """,
        [stage.tenant, JULY + timedelta(days=4)],
    )
    stage.collected()
    (found,) = stage.bodies()
    assert [sample["order_id"] for sample in found["data"]["samples"]] == ["c"]


# -- Shopify's segments --------------------------------------------------------------------------


def test_changes_of_shopify_segments_arrive_in_each_customer_s_order(stage: Stage) -> None:
    stage.add(SEGMENT_TOPICS)
    stage.entered_shopify([("7", "ada", True), ("7", "bo", True)], minute=1)
    stage.entered_shopify([("7", "ada", False), ("8", "bo", True)], minute=2)
    stage.entered_shopify([("7", "ada", True)], minute=3)
    stage.collected()
    moves = moves_in(stage.bodies())
    assert [move for move in moves if move[1] == "ada"] == [
        ("entered", "ada", "shopify:7"),
        ("left", "ada", "shopify:7"),
        ("entered", "ada", "shopify:7"),
    ]
    assert [move for move in moves if move[1] == "bo"] == [
        ("entered", "bo", "shopify:7"),
        ("entered", "bo", "shopify:8"),
    ]


def test_changes_that_a_long_transaction_commits_late_are_not_lost(stage: Stage) -> None:
    stage.add(SEGMENT_TOPICS)
    stage.pulls("L1")
    with closing(connect(stage.settings.database_url)) as slow:
        with slow.transaction():
            stage.entered_shopify([("7", "ada", True)], conn=slow)
            stage.entered_list([("L1", "P1", True)], conn=slow)
            stage.entered_shopify([("7", "bo", True)], minute=1)
            stage.entered_list([("L1", "P2", True)], minute=1)
            stage.collected()
            # It does not hold up the others either.
            assert moves_in(stage.bodies()) == [
                ("entered", "bo", "shopify:7"),
                ("entered", "P2", "klaviyo:L1"),
            ]
        stage.entered_shopify([("7", "cy", True)], minute=2)
    stage.collected()
    assert sorted(moves_in(stage.bodies())) == [
        ("entered", "P1", "klaviyo:L1"),
        ("entered", "ada", "shopify:7"),
        ("entered", "cy", "shopify:7"),
    ]


def test_transaction_numbers_of_another_server_do_not_stop_the_changes(stage: Stage) -> None:
    stage.add(SEGMENT_TOPICS)
    stage.superuser.execute(
        "update app.webhook_progress set shopify_snapshot = '999999999999:999999999999:'"
    )
    stage.collected()
    stage.entered_shopify([("7", "ada", True)])
    stage.collected()
    assert moves_in(stage.bodies()) == [("entered", "ada", "shopify:7")]


def test_changes_of_another_server_are_not_announced_when_their_number_comes(
    stage: Stage,
) -> None:
    # As after a restore on a server with smaller numbers.
    stage.pulls("L1")
    stage.entered_shopify([("7", "old", True)])
    stage.entered_list([("L1", "old", True)])
    number = stage.superuser.execute(
        """
        with list_changes as (
            update app.klaviyo_list_changes
            set landed_xid = (landed_xid::text::bigint + 60)::text::xid8
        )
        update shopify.segment_changes
        set landed_xid = (landed_xid::text::bigint + 60)::text::xid8
        returning landed_xid::text::bigint as landed_xid
        """
    ).fetchone()
    assert number is not None
    stage.add(SEGMENT_TOPICS)
    stage.collected()
    for _ in range(100):
        stage.superuser.execute("select pg_current_xact_id()")
    now = stage.superuser.execute("select pg_current_xact_id()::text::bigint as xid").fetchone()
    assert now is not None
    assert now["xid"] > number["landed_xid"]
    stage.entered_shopify([("7", "ada", True)], minute=1)
    stage.entered_list([("L1", "P1", True)], minute=1)
    stage.collected()
    assert moves_in(stage.bodies()) == [
        ("entered", "ada", "shopify:7"),
        ("entered", "P1", "klaviyo:L1"),
    ]


# -- pulled lists --------------------------------------------------------------------------------


def test_who_enters_and_leaves_a_pulled_list_is_announced_once(
    stage: Stage, klaviyo_settings: Settings, account: Account
) -> None:
    newsletter = account.add_list("Newsletter")
    ada, bo, phone_only = (
        account.create_profile(attributes).id
        for attributes in (
            {"email": "ada@example.com"},
            {"email": "bo@example.com"},
            {"phone_number": "+15005550001"},
        )
    )
    account.join(newsletter, [ada])
    connect_klaviyo(klaviyo_settings, stage.pool, stage.tenant, account.key)
    with tenant_transaction(stage.pool, stage.tenant) as conn:
        pulled = NewConfig(f"klaviyo:{newsletter.id}", newsletter.id, "Newsletter", "pull")
        config_id = create_config(conn, stage.tenant, pulled)
    stage.knows("9", "ada@example.com")
    stage.knows("8", "Ada@Example.com")
    stage.add(SEGMENT_TOPICS)
    sync_once(klaviyo_settings, stage.pool, stage.tenant)
    stage.collected()
    # The first reading is no change.
    assert stage.bodies() == []

    account.join(newsletter, [bo, phone_only])
    del newsletter.members[ada]
    sync_once(klaviyo_settings, stage.pool, stage.tenant, reads_all=True)
    stage.collected()
    left, entered = stage.bodies()
    assert left["text"] == "demo: 1 profile left a Klaviyo list."
    (change,) = left["data"].pop("changes")
    assert left["data"] == {
        "tenant": "demo",
        "source": "klaviyo",
        "batch": 1,
        "batches": 1,
        "is_replay": False,
    }
    assert change == {
        # The first of those who have the address, in whatever case.
        "customer_id": "8",
        "profile_id": ada,
        "segment_id": f"klaviyo:{newsletter.id}",
        "changed_at": left["timestamp"],
        "next_segment_id": None,
    }
    assert entered["text"] == "demo: 2 profiles entered a Klaviyo list."
    changes = entered["data"]["changes"]
    assert {(row["profile_id"], row["customer_id"]) for row in changes} == {
        (bo, None),
        (phone_only, None),
    }
    assert {row["previous_segment_id"] for row in changes} == {None}
    assert "@" not in json.dumps([left, entered])

    sync_once(klaviyo_settings, stage.pool, stage.tenant, reads_all=True)
    stage.collected()
    assert stage.bodies() == []
    # A list that is synced no longer leaves no profiles.
    with tenant_transaction(stage.pool, stage.tenant) as conn:
        delete_config(conn, stage.tenant, config_id)
    stage.collected()
    assert stage.bodies() == []


def test_an_erased_person_is_not_announced_as_having_left_a_list(
    stage: Stage, klaviyo_settings: Settings, account: Account
) -> None:
    newsletter = account.add_list("Newsletter")
    ada, bo = (
        account.create_profile({"email": f"{name}@example.com"}).id for name in ("ada", "bo")
    )
    connect_klaviyo(klaviyo_settings, stage.pool, stage.tenant, account.key)
    with tenant_transaction(stage.pool, stage.tenant) as conn:
        pulled = NewConfig(f"klaviyo:{newsletter.id}", newsletter.id, "Newsletter", "pull")
        create_config(conn, stage.tenant, pulled)
    stage.add(SEGMENT_TOPICS)
    sync_once(klaviyo_settings, stage.pool, stage.tenant)
    stage.collected()
    account.join(newsletter, [ada])
    sync_once(klaviyo_settings, stage.pool, stage.tenant)
    # The message that they entered waits, and is not sent either.
    collect_events(stage.pool, stage.tenant)
    with tenant_transaction(stage.pool, stage.tenant) as conn:
        request = add_request(conn, stage.tenant, "customer_redact", "9", ["ada@example.com"])
    process_now(klaviyo_settings, stage.pool, stage.tenant, request)
    account.join(newsletter, [bo])
    sync_once(klaviyo_settings, stage.pool, stage.tenant, reads_all=True)
    stage.collected()
    assert moves_in(stage.bodies()) == [("entered", bo, f"klaviyo:{newsletter.id}")]


def test_who_is_removed_from_a_two_way_list_is_announced_as_having_left(
    stage: Stage, klaviyo_settings: Settings, account: Account
) -> None:
    both = account.add_list("Both")
    add_shopify_segments(stage.settings, stage.tenant, ["One"])
    members = "insert into shopify.segment_members (tenant_id, segment_id, customer_id, email)"
    for name in ("ada", "bo"):
        stage.superuser.execute(
            f"{members} values (%s, '1', %s, %s || '@example.com')", [stage.tenant, name, name]
        )
    connect_klaviyo(klaviyo_settings, stage.pool, stage.tenant, account.key)
    with tenant_transaction(stage.pool, stage.tenant) as conn:
        create_config(conn, stage.tenant, NewConfig("shopify:1", both.id, "Both", "bidirectional"))
    stage.add(SEGMENT_TOPICS)
    for _ in range(2):
        sync_once(klaviyo_settings, stage.pool, stage.tenant, reads_all=True)
    stage.collected()
    # The first reading was of an empty list.
    assert [move[0] for move in moves_in(stage.bodies())] == ["entered", "entered"]
    stage.superuser.execute("delete from shopify.segment_members where customer_id = 'ada'")
    for _ in range(2):
        sync_once(klaviyo_settings, stage.pool, stage.tenant, reads_all=True)
    stage.collected()
    ada = account.profile_by_email("ada@example.com")
    assert ada is not None
    assert moves_in(stage.bodies()) == [("left", ada.id, f"klaviyo:{both.id}")]


def test_changes_of_lists_arrive_in_each_profile_s_order(stage: Stage) -> None:
    stage.add(SEGMENT_TOPICS)
    stage.pulls("L1", "L2")
    stage.entered_list([("L1", "P1", True), ("L1", "P2", True)], minute=1)
    stage.entered_list([("L1", "P1", False), ("L2", "P1", True)], minute=2)
    stage.entered_list([("L1", "P1", True)], minute=3)
    stage.collected()
    moves = moves_in(stage.bodies())
    assert [move[0] for move in moves if move[1:] == ("P1", "klaviyo:L1")] == [
        "entered",
        "left",
        "entered",
    ]
    assert sorted(moves) == [
        ("entered", "P1", "klaviyo:L1"),
        ("entered", "P1", "klaviyo:L1"),
        ("entered", "P1", "klaviyo:L2"),
        ("entered", "P2", "klaviyo:L1"),
        ("left", "P1", "klaviyo:L1"),
    ]


def test_a_list_that_is_synced_no_longer_takes_no_other_list_s_changes_along(
    stage: Stage,
) -> None:
    stage.add(SEGMENT_TOPICS)
    stage.pulls("L1", "L2")
    stage.entered_list([("L1", "P1", True)], minute=1)
    stage.entered_list([("L2", "P1", False)], minute=2)
    collect_events(stage.pool, stage.tenant)
    stage.superuser.execute("delete from app.klaviyo_lists where list_id = 'L1'")
    stage.collected()
    assert moves_in(stage.bodies()) == [("left", "P1", "klaviyo:L2")]


def test_customers_of_profiles_are_null_before_the_first_build(stage: Stage) -> None:
    stage.superuser.execute("drop table marts.customer_facts cascade")
    stage.add(SEGMENT_TOPICS)
    stage.pulls("L1")
    stage.entered_list([("L1", "P1", True), ("L1", "-", True)])
    stage.collected()
    (entered,) = stage.bodies()
    assert [row["customer_id"] for row in entered["data"]["changes"]] == [None, None]


def test_a_tenant_is_told_only_of_its_own_lists_and_customers(
    stage: Stage, app: APIFlask, make_tenant: MakeTenant
) -> None:
    other = make_tenant("other")
    theirs = Play(stage.superuser, other)
    add(client_of(app, stage.settings, other), stage.receiver.url_for("/other"), SEGMENT_TOPICS)
    stage.add(SEGMENT_TOPICS)
    for play, customer in ((stage, "mine"), (theirs, "theirs")):
        play.pulls("L1")
        play.knows(customer, "p1@example.com")
    stage.receiver.expect_request("/other").respond_with_data("")
    stage.entered_list([("L1", "P1", True)])
    stage.collected()
    (message,) = stage.bodies()
    assert message["data"]["tenant"] == "demo"
    assert [row["customer_id"] for row in message["data"]["changes"]] == ["mine"]
    theirs.entered_list([("L1", "P1", True), ("L1", "P2", True)])
    stage.collected()
    (message,) = stage.bodies()
    assert message["data"]["tenant"] == "other"
    assert [row["customer_id"] for row in message["data"]["changes"]] == ["theirs", None]


def test_changes_of_lists_from_before_they_were_announced_stay_unannounced(stage: Stage) -> None:
    endpoint = stage.add(SEGMENT_TOPICS)
    stage.pulls("L1")
    stage.entered_list([("L1", "P1", True)])
    stage.superuser.execute("update app.klaviyo_list_changes set landed_xid = null")
    stage.collected()
    since = {"since": (datetime.now(UTC) - timedelta(days=29)).isoformat()}
    stage.superuser.execute("update app.klaviyo_list_changes set changed_at = now()")
    answer = stage.client.post(f"{ENDPOINTS}/{endpoint['endpoint_id']}/replay", json=since)
    assert answer.get_json() == {"messages": 0}
    assert stage.bodies() == []


# -- replay --------------------------------------------------------------------------------------


def test_a_replay_sends_what_was_announced_since_a_time(stage: Stage) -> None:
    endpoint = stage.add(ALL_TOPICS)
    other = add(stage.client, stage.receiver.url_for("/other"), ALL_TOPICS)
    today = datetime.now(UTC)
    day = (today - JULY).days
    first_as_of = stage.built(day - 9, {"ada": (None, "new")})
    stage.ran()
    stage.collected()
    stage.add_samples([{"order_id": "1"}])
    run_id = stage.ran()
    minute = int((today - JULY).total_seconds() // 60)
    for back, move in ((7, ("new", "loyal")), (5, ("loyal", "new")), (2, ("new", "champions"))):
        stage.built(day - back, {"ada": move})
        stage.entered_shopify([("7", "ada", back != 5)], minute=minute - back * 24 * 60)
        stage.collected()
    # Stored after the segment's, so that what is too old here is newer than what is not there.
    stage.pulls("L1")
    for back in (7, 5, 2):
        stage.entered_list([("L1", "P1", back != 5)], minute=minute - back * 24 * 60)
    stage.collected()
    announced = stage.bodies()
    url = f"/api/admin/webhooks/endpoints/{endpoint['endpoint_id']}/replay"

    since = today - timedelta(days=7)
    answer = stage.client.post(url, json={"since": since.isoformat()})
    assert answer.status_code == 202
    # Not two at once.
    assert stage.client.post(url, json={"since": since.isoformat()}).status_code == 409
    stage.collected()
    replayed = stage.bodies()
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
    assert [move for move in moves if move[2].startswith("klaviyo")] == [
        ("left", "P1", "klaviyo:L1"),
        ("entered", "P1", "klaviyo:L1"),
    ]
    others = [body for body in replayed if body not in segments]
    assert {body["type"] for body in others} == {"sample.found", "build.completed"}
    runs = [body["data"]["run"]["run_id"] for body in others if "run" in body["data"]]
    assert runs[-1] == run_id
    assert [row["is_replay"] for row in stage.log_of(other)].count(True) == 0
    # The first build is never announced, however early the replay starts.
    stage.client.post(url, json={"since": (today - timedelta(days=29)).isoformat()})
    stage.collected()
    times = [body["timestamp"] for body in stage.bodies()]
    assert len(times) > len(replayed)
    assert first_as_of.isoformat().replace("+00:00", "Z") not in times
    for wrong in (today - timedelta(days=31), today + timedelta(hours=1)):
        refused = stage.client.post(url, json={"since": wrong.isoformat()})
        assert refused.get_json()["errors"][0]["pointer"] == "#/since"


# -- robustness ----------------------------------------------------------------------------------


def test_what_no_longer_exists_is_not_sent(stage: Stage) -> None:
    stage.add(SEGMENT_TOPICS)
    stage.built(1, {"ada": (None, "new")})
    stage.collected()
    stage.built(2, {"ada": ("new", None)})
    collect_events(stage.pool, stage.tenant)
    stage.superuser.execute("delete from marts.rfm_segment_transitions where as_of > %s", [JULY])
    work(stage.settings, stage.pool)
    (row,) = log_of(stage.client)
    assert (row["state"], row["attempts"]) == ("failed", 1)
    assert row["error"] == "What it was about no longer exists."
    assert stage.bodies() == []


def test_collecting_twice_at_the_same_time_announces_once(stage: Stage) -> None:
    stage.add(SEGMENT_TOPICS)
    stage.built(1, {"ada": (None, "new")})
    stage.collected()
    stage.built(2, {"ada": ("new", None)})
    with tenant_transaction(stage.pool, stage.tenant) as first:
        assert events.collect(first, stage.tenant) == 1
        with (
            tenant_transaction(stage.pool, stage.tenant, timeout_ms=300) as second,
            pytest.raises(psycopg.errors.QueryCanceled),
        ):
            events.collect(second, stage.tenant)
    stage.collected()
    assert len(stage.bodies()) == 1


def test_erasing_a_tenant_leaves_nothing_of_its_webhooks(stage: Stage) -> None:
    from service.privacy.tenant import erase_tenant

    stage.add(ALL_TOPICS)
    stage.built(1, {"ada": (None, "new")})
    stage.add_samples([{"order_id": "1"}])
    collect_events(stage.pool, stage.tenant)
    erase_tenant(stage.settings, stage.tenant, "test", JULY)
    for table in ("endpoints", "secrets", "deliveries", "progress", "samples", "sync_states"):
        rows = stage.superuser.execute(f"select * from app.webhook_{table}").fetchall()
        assert rows == []
    assert enqueue_webhooks(stage.settings, stage.pool) == 0
    work(stage.settings, stage.pool)


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
