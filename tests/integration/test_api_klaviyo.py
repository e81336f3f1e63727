"""Klaviyo over the API: lists, configurations, syncs and their records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from sandbox import Fault, Sandbox
from sandbox.klaviyo import Account
from service.core.config import Settings
from service.core.db import Pool, connect, connect_as_owner, tenant_transaction
from service.klaviyo.connection import connect_klaviyo
from service.klaviyo.destination import sync_klaviyo
from service.queue.runs import record_run
from service.tenants.tenants import add_tenant
from tests.web import (
    SUMMARIZED,
    add_scored_customers,
    add_shopify_segments,
    client_of,
    running_app,
)

KEY = "pk_sandbox_for_these_tests"
PATH = "/api/admin/integrations/klaviyo"
MEMBERS = [(str(number), "champions", "9.00") for number in range(1, 6)]


@pytest.fixture
def account() -> Account:
    made = Account(KEY, name="Kessel & Korn", currency="EUR", timezone="UTC", prefix="KK")
    for number in range(12):
        made.add_list(f"List {number:02}")
    return made


@pytest.fixture
def here(built_settings: Settings, klaviyo: Sandbox) -> Settings:
    return replace(built_settings, klaviyo_url=klaviyo.klaviyo_url)


@pytest.fixture
def tenant(here: Settings) -> UUID:
    with connect_as_owner(here) as conn:
        tenant_id = add_tenant(conn, "kessel", None)
    add_scored_customers(here, tenant_id, MEMBERS)
    return tenant_id


@pytest.fixture
def app(here: Settings) -> Iterator[APIFlask]:
    with running_app(here) as app:
        yield app


@pytest.fixture
def pool(app: APIFlask) -> Pool:
    pool: Pool = app.extensions["quintile"].pool
    return pool


@pytest.fixture
def client(app: APIFlask, here: Settings, tenant: UUID, pool: Pool) -> FlaskClient:
    connect_klaviyo(here, pool, tenant, KEY)
    return client_of(app, here, tenant)


@pytest.fixture
def first(account: Account) -> str:
    return str(account.list_names()[0]["id"])


def add(client: FlaskClient, **body: Any) -> dict[str, Any]:
    answer = client.post(f"{PATH}/config", json=body)
    assert answer.status_code == 201, answer.text
    config: dict[str, Any] = answer.get_json()
    return config


def work(here: Settings, pool: Pool, tenant: UUID, run: dict[str, Any]) -> None:
    """Carry out a run, as the worker would."""
    with record_run(pool, tenant, UUID(run["run_id"])) as recorder:
        sync_klaviyo(here, pool, tenant, recorder)


def sync(
    client: FlaskClient, here: Settings, pool: Pool, tenant: UUID, query: str = "", **body: Any
) -> dict[str, Any]:
    """Request a sync and carry it out; returns the run as it was answered."""
    answer = client.post(f"{PATH}/sync{query}", json=body)
    assert answer.status_code == 202, answer.text
    run: dict[str, Any] = answer.get_json()
    assert answer.headers["Location"] == f"/api/admin/runs/{run['run_id']}"
    work(here, pool, tenant, run)
    return run


def put_on(account: Account, list_id: str, *emails: str) -> None:
    """As a person does in Klaviyo."""
    with account.lock:
        for email in emails:
            profile, _ = account.upsert_profile({"email": email})
            account.join(account.lists[list_id], [profile.id])


def take_off(account: Account, list_id: str, email: str) -> None:
    """As a person does in Klaviyo."""
    profile = account.profile_by_email(email)
    assert profile is not None
    with account.lock:
        del account.lists[list_id].members[profile.id]


def test_lists_are_paged_with_stored_sizes_and_few_sizes_are_read_at_once(
    client: FlaskClient, account: Account, klaviyo: Sandbox
) -> None:
    uncounted = client.get(f"{PATH}/lists?count=false").get_json()["data"]
    assert {row["profile_count"] for row in uncounted} == {None}
    page = client.get(f"{PATH}/lists").get_json()
    names = [row["name"] for row in page["data"]]
    assert len(names) == 10
    counted = [row for row in page["data"] if row["profile_count"] is not None]
    assert len(counted) == 3
    assert all(row["profile_count"] == 0 and row["counted_at"] for row in counted)
    # The next request reads the next few sizes, and none that is known.
    again = client.get(f"{PATH}/lists").get_json()
    assert sum(row["profile_count"] is not None for row in again["data"]) == 6
    # On a busy machine a call may arrive in the next window and be refused; it is made again.
    answered = [request.path for request in klaviyo.klaviyo_requests() if request.status == 200]
    read = [path for path in answered if path.startswith("/api/lists/")]
    assert len(set(read)) == len(read) == 6
    rest = client.get(f"{PATH}/lists?cursor={page['next_cursor']}").get_json()
    assert rest["next_cursor"] is None
    assert sorted(names + [row["name"] for row in rest["data"]]) == sorted(
        str(row["name"]) for row in account.list_names()
    )
    assert client.get(f"{PATH}/lists?cursor=nonsense").status_code == 400


def test_a_created_list_can_be_synced_at_once(client: FlaskClient, account: Account) -> None:
    made = client.post(f"{PATH}/lists", json={"name": "  Made here  "})
    assert made.status_code == 201
    assert made.get_json()["name"] == "Made here"
    config = add(client, list_id=made.get_json()["list_id"], segment_key="rfm:champions")
    assert config["list_name"] == "Made here"
    assert "Made here" in {row["name"] for row in account.list_names()}
    assert client.post(f"{PATH}/lists", json={"name": "   "}).status_code == 422


@pytest.mark.parametrize("status", [401, 403])
def test_a_list_is_created_though_a_call_is_refused_once(
    client: FlaskClient, account: Account, klaviyo: Sandbox, pool: Pool, tenant: UUID, status: int
) -> None:
    klaviyo.fail_klaviyo(Fault(status=status))
    assert client.post(f"{PATH}/lists", json={"name": "Made here"}).status_code == 201
    assert [row["name"] for row in account.list_names()].count("Made here") == 1
    with tenant_transaction(pool, tenant) as conn:
        (row,) = conn.execute("select state from app.connections").fetchall()
    assert row["state"] == "active"


def test_a_configuration_is_created_changed_and_deleted(client: FlaskClient, first: str) -> None:
    assert client.get(f"{PATH}/config").get_json() == {"data": [], "next_cursor": None}
    config = add(client, list_id=first, segment_key="rfm:at_risk")
    names = ("segment_name", "list_name", "direction", "is_scheduled", "is_paused", "sends_events")
    assert [config[name] for name in names] == [
        *("At risk", "List 00", "push", True, False, False),
    ]
    assert (config["last_sync"], config["last_synced_at"], config["drift"]) == (None, None, None)
    assert config["next_sync_at"]
    path = f"{PATH}/config/{config['config_id']}"

    changed = client.patch(path, json={"sends_events": True, "is_scheduled": False}).get_json()
    assert (changed["sends_events"], changed["is_scheduled"]) == (True, False)
    assert changed["next_sync_at"] is None
    paused = client.patch(path, json={"is_paused": True}).get_json()
    assert (paused["is_paused"], paused["paused_by"]) == (True, "person")
    assert client.patch(path, json={"is_paused": False}).get_json()["paused_at"] is None
    assert client.get(path).get_json()["sends_events"] is True

    assert client.delete(path).status_code == 204
    for gone in (client.get(path), client.patch(path, json={}), client.delete(path)):
        assert (gone.status_code, gone.get_json()["type"]) == (404, "/problems/not-found")


def test_invalid_configurations_are_refused_with_the_reason(
    client: FlaskClient, here: Settings, tenant: UUID, first: str
) -> None:
    add_shopify_segments(here, tenant, ["One"])
    config = add(client, list_id=first, segment_key="shopify:1")
    assert config["segment_name"] == "One"
    refusals = {
        "fights": {"list_id": first, "segment_key": "shopify:1"},
        "no such segment": {"list_id": first, "segment_key": "shopify:77"},
        "no such list": {"list_id": "nowhere", "segment_key": "rfm:loyal"},
        "no segment at all": {"list_id": first},
        "pull with a segment": {
            "list_id": first,
            "segment_key": "rfm:loyal",
            "direction": "pull",
        },
        "no key": {"list_id": first, "segment_key": "rfm:loyal'; drop table x"},
    }
    for what, body in refusals.items():
        answer = client.post(f"{PATH}/config", json=body)
        assert answer.status_code == 422, what
        assert answer.get_json()["detail"], what
    assert len(client.get(f"{PATH}/config").get_json()["data"]) == 1
    # Several segments may feed one list.
    add(client, list_id=first, segment_key="rfm:loyal")


def test_a_preview_shows_what_the_sync_does_and_both_are_recorded(
    client: FlaskClient,
    here: Settings,
    pool: Pool,
    tenant: UUID,
    first: str,
    klaviyo: Sandbox,
    account: Account,
) -> None:
    config = add(client, list_id=first, segment_key="rfm:champions")
    path = f"{PATH}/config/{config['config_id']}"
    preview = sync(client, here, pool, tenant, "?dry_run=true")
    assert preview["kind"] == "klaviyo_plan"
    shown = client.get(f"{path}/runs/{preview['run_id']}").get_json()
    assert shown["is_dry_run"] is True
    assert shown["plan"]["add"]["count"] == 5
    assert {example["email"] for example in shown["plan"]["add"]["examples"]} == {
        f"c{number}@example.com" for number, *_ in MEMBERS
    }
    assert shown["plan"]["remove"]["count"] == 0
    # Saving the key has only tried its scopes.
    written = [r for r in klaviyo.klaviyo_requests() if r.method != "GET" and r.status < 400]
    assert written == []
    assert client.get(f"{path}/rows").get_json()["data"] == []
    assert client.get(path).get_json()["last_sync"] is None

    done = sync(client, here, pool, tenant, config_ids=[config["config_id"]])
    now = client.get(path).get_json()
    assert now["last_sync"]["run_id"] == done["run_id"]
    assert now["last_sync"]["state"] == "succeeded"
    assert (now["members_here"], now["members_there"]) == (5, 5)
    assert now["last_synced_at"]
    runs = client.get(f"{path}/runs").get_json()["data"]
    assert [(run["is_dry_run"], run["state"]) for run in runs] == [
        (False, "succeeded"),
        (True, "succeeded"),
    ]
    assert runs[0]["counts"]["added"] == 5
    assert runs[0]["calls"] > 0
    assert runs[0]["duration_seconds"] >= 0
    assert "plan" not in runs[0]
    only = client.get(f"{path}/runs?dry_runs=false&limit=1").get_json()
    assert [run["run_id"] for run in only["data"]] == [done["run_id"]]
    page = client.get(f"{path}/runs?limit=1").get_json()
    following = client.get(f"{path}/runs?limit=1&cursor={page['next_cursor']}").get_json()
    assert following["data"] == runs[1:]
    # The size of a synced list is known from the sync.
    lists = client.get(f"{PATH}/lists").get_json()["data"]
    row = next(row for row in lists if row["list_id"] == first)
    assert (row["profile_count"], row["segment_keys"]) == (5, ["rfm:champions"])
    assert client.get(f"{path}/runs/{uuid4()}").status_code == 404


def test_rows_are_searched_by_state_and_paged(
    client: FlaskClient, here: Settings, pool: Pool, tenant: UUID, first: str
) -> None:
    config = add(client, list_id=first, segment_key="rfm:champions")
    path = f"{PATH}/config/{config['config_id']}/rows"
    sync(client, here, pool, tenant)
    page = client.get(f"{path}?limit=2").get_json()
    emails = [row["email"] for row in page["data"]]
    while page["next_cursor"]:
        page = client.get(f"{path}?limit=2&cursor={page['next_cursor']}").get_json()
        emails += [row["email"] for row in page["data"]]
    assert emails == [f"c{number}@example.com" for number, *_ in MEMBERS]
    assert page["states"] == {"synced": 5}
    for q in ("C2@EX", "2"):
        assert "c2@example.com" in {
            row["email"] for row in client.get(f"{path}?q={q}").get_json()["data"]
        }
    assert client.get(f"{path}?q=%25").get_json()["data"] == []
    assert client.get(f"{path}?state=rejected").get_json()["data"] == []
    assert client.get(f"{path}?state=unheard").status_code == 422


def test_people_removed_by_hand_are_listed_and_restored(
    client: FlaskClient,
    here: Settings,
    pool: Pool,
    tenant: UUID,
    first: str,
    account: Account,
) -> None:
    config = add(client, list_id=first, segment_key="rfm:champions", direction="bidirectional")
    path = f"{PATH}/config/{config['config_id']}/rows"
    sync(client, here, pool, tenant)
    sync(client, here, pool, tenant, "?read_all=true")
    take_off(account, first, "c3@example.com")
    sync(client, here, pool, tenant, "?read_all=true")
    removed = client.get(f"{path}?state=removed").get_json()
    assert [row["email"] for row in removed["data"]] == ["c3@example.com"]
    refused = client.post(f"{path}/undo", json={"email": "c1@example.com"})
    assert refused.status_code == 422
    assert client.post(f"{path}/undo", json={"email": "c3@example.com"}).status_code == 204
    sync(client, here, pool, tenant)
    assert client.get(f"{path}?state=removed").get_json()["data"] == []
    assert "c3@example.com" in account.member_emails(first)


def test_a_mass_removal_stops_until_it_is_approved(
    client: FlaskClient,
    here: Settings,
    pool: Pool,
    tenant: UUID,
    first: str,
    account: Account,
) -> None:
    cautious = replace(here, klaviyo_removal_from=2)
    config = add(client, list_id=first, segment_key="rfm:champions")
    path = f"{PATH}/config/{config['config_id']}"
    assert client.post(f"{path}/confirm").status_code == 422
    sync(client, cautious, pool, tenant)
    with connect(here.database_url) as conn:
        conn.execute("delete from marts.customer_facts where customer_id <> '1'")
    sync(client, cautious, pool, tenant)
    stopped = client.get(path).get_json()["last_sync"]
    assert (stopped["state"], stopped["stopped_for"], stopped["removals"]) == (
        *("stopped", "removals", 4),
    )
    # Its own counts and plan: nothing was changed.
    assert stopped["counts"] == {"skipped": 0, "stopped": 1}
    assert stopped["planned"] == {"add": 0, "remove": 4, "update": 0, "skip": 0}
    assert len(account.member_emails(first)) == 5
    assert client.post(f"{path}/confirm").get_json() == {"confirmed_removals": 4}
    assert client.get(path).get_json()["confirmed_removals"] == 4
    sync(client, cautious, pool, tenant)
    assert account.member_emails(first) == {"c1@example.com"}
    assert client.get(path).get_json()["confirmed_removals"] is None


def sizes(client: FlaskClient, list_id: str) -> tuple[Any, ...]:
    """How many profiles each endpoint says that a list has."""
    [config] = [
        row for row in client.get(f"{PATH}/config").get_json()["data"] if row["list_id"] == list_id
    ]
    [segment] = client.get("/api/admin/segments/klaviyo").get_json()["data"]
    members = client.get(f"/api/admin/segments/klaviyo/{list_id}/members").get_json()["data"]
    lists = client.get(f"{PATH}/lists").get_json()["data"]
    [listed] = [row["profile_count"] for row in lists if row["list_id"] == list_id]
    times = {config["list_as_of"], segment["as_of"]}
    assert len(times) == 1
    return config["members_there"], segment["member_count"], len(members), listed


def test_the_next_sync_of_a_pulled_list_is_that_of_its_configuration(
    client: FlaskClient, first: str
) -> None:
    def next_times() -> set[str | None]:
        """What each page says of when the list is synced next."""
        page = client.get("/api/admin/segments/klaviyo").get_json()
        [listed] = client.get("/api/admin/segments?source=klaviyo").get_json()["data"]
        segment = client.get(f"/api/admin/segments/klaviyo:{first}").get_json()
        return {
            page["next_sync_at"],
            page["data"][0]["next_sync_at"],
            listed["next_refresh_at"],
            segment["next_refresh_at"],
            client.get(f"{PATH}/config/{config['config_id']}").get_json()["next_sync_at"],
        }

    config = add(client, list_id=first, direction="pull")
    (planned,) = next_times()
    assert planned is not None
    for change in ({"is_paused": True}, {"is_paused": False, "is_scheduled": False}):
        client.patch(f"{PATH}/config/{config['config_id']}", json=change)
        assert next_times() == {None}
    client.patch(f"{PATH}/config/{config['config_id']}", json={"is_scheduled": True})
    assert next_times() == {planned}


def test_every_page_says_the_same_size_of_a_list(
    client: FlaskClient,
    here: Settings,
    pool: Pool,
    tenant: UUID,
    first: str,
    account: Account,
) -> None:
    config = add(client, list_id=first, segment_key="rfm:champions", direction="bidirectional")
    unknown = client.get("/api/admin/segments/klaviyo").get_json()["data"][0]
    assert (unknown["member_count"], unknown["as_of"]) == (None, None)
    sync(client, here, pool, tenant)
    # What was sent has not been read back yet.
    assert sizes(client, first) == (5, 5, 5, 5)
    path = f"/api/admin/segments/klaviyo/{first}/members"
    page = client.get(f"{path}?limit=3").get_json()
    rest = client.get(f"{path}?limit=3&cursor={page['next_cursor']}").get_json()
    sent = page["data"] + rest["data"]
    assert [row["email"] for row in sent] == [f"c{number}@example.com" for number in range(1, 6)]
    assert {row["profile_id"] for row in sent} == {None}

    put_on(account, first, "hand@example.com")
    sync(client, here, pool, tenant, "?read_all=true")
    assert sizes(client, first) == (6, 6, 6, 6)
    assert None not in {row["profile_id"] for row in client.get(path).get_json()["data"]}

    with connect(here.database_url) as conn:
        conn.execute("delete from marts.customer_facts where customer_id in ('1', '2')")
    sync(client, here, pool, tenant)
    assert sizes(client, first) == (4, 4, 4, 4)
    # A list that feeds another is a segment of the same size, which the other list gets at once.
    other = account.list_names()[1]["id"]
    fed = add(client, list_id=other, segment_key=f"klaviyo:{first}")
    assert (fed["segment_members"], fed["has_segment_changed"]) == (4, None)
    sync(client, here, pool, tenant, config_ids=[fed["config_id"]])
    assert len(account.member_emails(other)) == 4
    assert config["segment_members"] == 5


def test_a_list_says_when_its_segment_has_changed_since_the_last_sync(
    client: FlaskClient,
    here: Settings,
    pool: Pool,
    tenant: UUID,
    first: str,
    account: Account,
) -> None:
    config = add(client, list_id=first, segment_key="rfm:champions")
    path = f"{PATH}/config/{config['config_id']}"
    assert (config["segment_members"], config["segment_as_of"]) == (5, "2026-07-01T00:00:00Z")
    assert (config["has_segment_changed"], config["planned_at"]) == (None, None)

    def now() -> tuple[Any, ...]:
        row = client.get(path).get_json()
        page = client.get("/api/admin/segments/rfm").get_json()
        [champions] = [each for each in page["data"] if each["segment"] == "champions"]
        assert row["segment_members"] == champions["customers"]
        assert row["segment_as_of"] == page["calculated_at"]
        return row["segment_members"], row["members_here"], row["has_segment_changed"]

    sync(client, here, pool, tenant)
    assert now() == (5, 5, False)
    with connect(here.database_url) as conn:
        # A build that changes nobody.
        conn.execute("update marts.rfm_builds set as_of = as_of + interval '1 day'")
        assert now() == (5, 5, False)
        conn.execute("delete from marts.customer_facts where customer_id in ('1', '2', '3')")
        conn.execute(SUMMARIZED, {"tenant_id": tenant, "at": "2026-07-02"})
        assert now() == (2, 5, True)
        conn.execute("update marts.customer_facts set email = upper(email)")
        assert now() == (2, 5, True)
    sync(client, here, pool, tenant)
    assert now() == (2, 2, False)
    with connect(here.database_url) as conn:
        # The same number of members, and another person.
        conn.execute(
            "update marts.customer_facts set email = 'new@example.com' where customer_id = '4'"
        )
    assert now() == (2, 2, True)
    sync(client, here, pool, tenant)
    assert now() == (2, 2, False)
    assert account.member_emails(first) == {"c5@example.com", "new@example.com"}


def test_a_shopify_segment_has_one_size_and_says_when_it_changed(
    client: FlaskClient, here: Settings, pool: Pool, tenant: UUID, first: str
) -> None:
    add_shopify_segments(here, tenant, ["VIPs"])
    with connect(here.database_url) as conn:
        statement = (
            "insert into shopify.segment_members (tenant_id, segment_id, customer_id, email)"
            " values (%s, '1', %s, %s)"
        )
        conn.execute(statement, [tenant, "1", "a@example.com"])
        conn.execute("update shopify.cached_segments set member_count = 1")
        config = add(client, list_id=first, segment_key="shopify:1")
        path = f"{PATH}/config/{config['config_id']}"
        sync(client, here, pool, tenant)
        known = client.get(path).get_json()
        [segment] = client.get("/api/admin/segments/shopify").get_json()["data"]
        assert known["segment_members"] == segment["member_count"] == 1
        assert known["segment_as_of"] == segment["synced_at"]
        assert known["has_segment_changed"] is False
        conn.execute(statement, [tenant, "2", "b@example.com"])
    assert client.get(path).get_json()["has_segment_changed"] is True


def test_a_list_without_a_run_of_its_schedule_says_why(
    client: FlaskClient, here: Settings, pool: Pool, tenant: UUID, first: str
) -> None:
    config = add(client, list_id=first, segment_key="rfm:champions", direction="bidirectional")
    path = f"{PATH}/config/{config['config_id']}"

    def states() -> set[tuple[str, bool]]:
        answers = [client.get(path), client.get("/api/admin/segments/klaviyo")]
        return {
            (answer.get_json()["schedule_state"], answer.get_json()["next_sync_at"] is None)
            for answer in answers
        }

    assert states() == {("active", False)}
    client.patch("/api/admin/schedules/klaviyo", json={"is_paused": True})
    assert states() == {("paused", True)}
    client.delete(PATH)
    assert states() == {("not_connected", True)}


def test_a_pulled_list_is_a_segment_with_its_members(
    client: FlaskClient,
    here: Settings,
    pool: Pool,
    tenant: UUID,
    first: str,
    account: Account,
) -> None:
    assert client.get("/api/admin/segments/klaviyo").get_json()["data"] == []
    put_on(account, first, *(f"{name}@example.com" for name in ("ada", "bob", "eve")))
    config = add(client, list_id=first, direction="pull")
    assert config["segment_key"] == f"klaviyo:{first}"
    sync(client, here, pool, tenant)
    [segment] = client.get("/api/admin/segments/klaviyo").get_json()["data"]
    assert (segment["id"], segment["name"], segment["member_count"]) == (first, "List 00", 3)
    assert segment["full_read_at"]
    path = f"/api/admin/segments/klaviyo/{first}/members"
    page = client.get(f"{path}?limit=2").get_json()
    rest = client.get(f"{path}?limit=2&cursor={page['next_cursor']}").get_json()
    assert [row["email"] for row in page["data"] + rest["data"]] == [
        *("ada@example.com", "bob@example.com", "eve@example.com"),
    ]
    found = client.get(f"{path}?q=BOB").get_json()["data"]
    assert [row["email"] for row in found] == ["bob@example.com"]
    assert client.get("/api/admin/segments/klaviyo/other/members").status_code == 404
    # It may feed another list, under its key.
    other = account.list_names()[1]["id"]
    fed = add(client, list_id=other, segment_key=f"klaviyo:{first}")
    assert fed["segment_name"] == "List 00"
    sync(client, here, pool, tenant)
    assert len(account.member_emails(other)) == 3


def test_without_a_connection_klaviyo_is_not_called(
    app: APIFlask, here: Settings, tenant: UUID, klaviyo: Sandbox
) -> None:
    client = client_of(app, here, tenant)
    body = {"list_id": "AAA", "segment_key": "rfm:loyal"}
    for answer in (
        client.get(f"{PATH}/lists"),
        client.post(f"{PATH}/lists", json={"name": "x"}),
        client.post(f"{PATH}/config", json=body),
        client.post(f"{PATH}/sync", json={}),
    ):
        assert (answer.status_code, answer.get_json()["type"]) == (409, "/problems/not-connected")
    assert client.get(f"{PATH}/config").status_code == 200
    assert klaviyo.klaviyo_requests() == []


def test_failures_and_refusals_of_klaviyo_are_reported_as_such(
    client: FlaskClient, klaviyo: Sandbox
) -> None:
    klaviyo.fail_klaviyo(Fault(status=503, count=2))
    unavailable = client.get(f"{PATH}/lists")
    assert unavailable.get_json()["type"] == "/problems/provider-unavailable"
    klaviyo.fail_klaviyo(Fault(status=401, count=2))
    refused = client.get(f"{PATH}/lists")
    assert refused.get_json()["type"] == "/problems/provider-refused"
    assert KEY not in unavailable.text + refused.text


def test_another_tenant_neither_sees_nor_changes_a_configuration(
    client: FlaskClient, app: APIFlask, here: Settings, first: str
) -> None:
    config = add(client, list_id=first, segment_key="rfm:champions")
    with connect_as_owner(here) as conn:
        other = client_of(app, here, add_tenant(conn, "other", None))
    path = f"{PATH}/config/{config['config_id']}"
    assert other.get(f"{PATH}/config").get_json()["data"] == []
    for answer in (
        other.get(path),
        other.patch(path, json={"is_paused": True}),
        other.delete(path),
        other.get(f"{path}/runs"),
        other.get(f"{path}/rows"),
        other.post(f"{path}/confirm"),
        other.post(f"{path}/rows/undo", json={"email": "c1@example.com"}),
    ):
        assert answer.status_code == 404
    assert client.get(path).get_json()["is_paused"] is False
