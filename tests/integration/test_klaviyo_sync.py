"""Syncs: approvals, concurrent changes, shared lists, pulls, events, pauses and killed runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import httpx
import pytest
import stamina

from sandbox import Fault, Sandbox
from sandbox.klaviyo import Account
from sandbox.klaviyo.state import ProfileList
from service.core.config import Settings
from service.core.db import (
    Connection,
    Pool,
    connect,
    connect_as_owner,
    create_pool,
    tenant_transaction,
)
from service.core.errors import InvalidInputError
from service.destinations.configs import (
    ConfigChange,
    ConfigConflictError,
    Direction,
    NewConfig,
    change_config,
    confirm_removals,
    create_config,
    delete_config,
    get_config,
    undo_removal,
)
from service.destinations.readings import is_full_read_due
from service.destinations.status import describe_configs
from service.destinations.sync_runs import (
    Outcome,
    add_rows,
    begin,
    finish,
    request_sync,
    rows_to_do,
)
from service.klaviyo import client as klaviyo_client
from service.klaviyo.client import KlaviyoError, KlaviyoRefusedError, KlaviyoUnavailableError
from service.klaviyo.connection import connect_klaviyo
from service.klaviyo.destination import LIMITS, sync_klaviyo
from service.queue.enqueue import enqueue
from service.queue.retry import HandedBackError
from service.queue.runs import Trigger, record_run, start_run
from service.queue.schedules import pause
from service.tenants.tenants import add_tenant
from tests.conftest import Cluster, NullProgress
from tests.klaviyo import begun_run, last_rows, sync_once
from tests.web import add_history, add_scored_customers

KEY = "pk_sandbox_for_these_tests"
LISTENER = """
    insert into app.webhook_endpoints (tenant_id, url, topics)
    values (%s, 'https://example.com/', '{klaviyo_sync.failed, klaviyo_sync.recovered}')
"""


@pytest.fixture(scope="module")
def account() -> Account:
    """One account for all tests here; each test uses its own lists and addresses."""
    return Account(
        KEY,
        name="Kessel",
        currency="EUR",
        timezone="UTC",
        prefix="KK",
        rate_limit_scale=1000,
        job_seconds=0,
    )


@pytest.fixture(scope="module")
def sandbox(account: Account) -> Iterator[Sandbox]:
    with Sandbox([], [account]) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def here(cluster: Cluster, built_template: str, sandbox: Sandbox) -> Iterator[Settings]:
    with cluster.database(built_template) as settings:
        yield replace(
            settings, klaviyo_url=sandbox.klaviyo_url, schedule_klaviyo_members="0 0 1 1 *"
        )


@pytest.fixture(scope="module")
def pool(here: Settings) -> Iterator[Pool]:
    pool = create_pool(here)
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def admin(here: Settings) -> Iterator[Connection]:
    with connect(here.database_url) as conn:
        yield conn


class Brand:
    """A connected tenant, with helpers for its tests."""

    def __init__(
        self, here: Settings, pool: Pool, sandbox: Sandbox, account: Account, number: int
    ) -> None:
        self.here, self.pool, self.sandbox, self.account = here, pool, sandbox, account
        self.number = number
        with connect_as_owner(here) as owner:
            self.tenant_id = add_tenant(owner, f"brand-{number}", None)
        connect_klaviyo(here, pool, self.tenant_id, KEY)
        self.list = account.add_list(f"List {number}")

    def email(self, name: str) -> str:
        return f"{name}-{self.number}@example.org"

    def segment(self, segment_id: str, *names: str | None) -> str:
        """Make a Shopify segment contain exactly these people; returns its key."""
        with tenant_transaction(self.pool, self.tenant_id) as conn:
            conn.execute(
                "insert into shopify.cached_segments"
                " (tenant_id, segment_id, name, query, synced_at)"
                " values (%s, %s, 'VIP ' || %s, 'x', now()) on conflict do nothing",
                [self.tenant_id, segment_id, segment_id],
            )
            conn.execute("delete from shopify.segment_members where segment_id = %s", [segment_id])
            with conn.cursor() as cursor:
                cursor.executemany(
                    "insert into shopify.segment_members"
                    " (tenant_id, segment_id, customer_id, email) values (%s, %s, %s, %s)",
                    [
                        (self.tenant_id, segment_id, f"c-{name}", name and self.email(name))
                        for name in names
                    ],
                )
        return f"shopify:{segment_id}"

    def map(
        self,
        segment_key: str,
        to: ProfileList | None = None,
        direction: Direction = "push",
        **options: bool,
    ) -> UUID:
        to = to or self.list
        with tenant_transaction(self.pool, self.tenant_id) as conn:
            return create_config(
                conn, self.tenant_id, NewConfig(segment_key, to.id, to.name, direction, **options)
            )

    def change(self, config_id: UUID, **changes: Any) -> dict[str, Any]:
        with tenant_transaction(self.pool, self.tenant_id) as conn:
            return change_config(conn, self.tenant_id, config_id, ConfigChange(**changes))

    def config(self, config_id: UUID) -> dict[str, Any]:
        with tenant_transaction(self.pool, self.tenant_id) as conn:
            return get_config(conn, self.tenant_id, config_id)

    def sync(self, **options: Any) -> dict[str, int]:
        self.sandbox.clear_requests()
        return sync_once(self.here, self.pool, self.tenant_id, **options)

    def rows(self) -> list[dict[str, Any]]:
        return last_rows(self.pool, self.tenant_id)

    def writes(self) -> list[tuple[str, str]]:
        return [(r.method, r.path) for r in self.sandbox.klaviyo_requests() if r.method != "GET"]

    def members(self, of: ProfileList | None = None) -> set[str]:
        """Names of the people on the list."""
        emails = self.account.member_emails((of or self.list).id)
        return {email.split("@")[0].removesuffix(f"-{self.number}") for email in emails}

    def put_on(self, *names: str, to: ProfileList | None = None) -> None:
        profiles = [self.account.upsert_profile({"email": self.email(n)})[0] for n in names]
        self.account.join(to or self.list, [profile.id for profile in profiles])

    def take_off(self, *names: str, of: ProfileList | None = None) -> None:
        for name in names:
            profile = self.account.profile_by_email(self.email(name))
            assert profile is not None
            del (of or self.list).members[profile.id]

    def read(self) -> set[str]:
        """Names of the people whom the syncs have read on the list."""
        with tenant_transaction(self.pool, self.tenant_id) as conn:
            rows = conn.execute(
                "select email from app.klaviyo_list_profiles where list_id = %s", [self.list.id]
            ).fetchall()
        return {row["email"].split("-")[0] for row in rows}

    def list_changes(self) -> list[tuple[str, bool]]:
        """Who entered (True) and left the pulled list since its first reading, in order."""
        with tenant_transaction(self.pool, self.tenant_id) as conn:
            rows = conn.execute(
                "select email, has_entered from app.klaviyo_list_changes where list_id = %s"
                " order by changed_at, email",
                [self.list.id],
            ).fetchall()
        return [(row["email"].split("-")[0], row["has_entered"]) for row in rows]

    def sizes(self) -> list[tuple[int, int | None]]:
        """Members of the pulled list by day, now and at the reading before."""
        with tenant_transaction(self.pool, self.tenant_id) as conn:
            rows = conn.execute(
                "select members, previous_members from app.segment_sizes where segment_id = %s"
                " order by recorded_on",
                [f"klaviyo:{self.list.id}"],
            ).fetchall()
        return [(row["members"], row["previous_members"]) for row in rows]

    def date(self, joined: datetime | None, *names: str) -> None:
        """Let Klaviyo report that these people joined at this time."""
        for name in names:
            profile = self.account.profile_by_email(self.email(name))
            assert profile is not None
            self.list.members[profile.id] = joined

    def ledger(self, config_id: UUID) -> dict[str, str]:
        with tenant_transaction(self.pool, self.tenant_id) as conn:
            rows = conn.execute(
                "select email, state from app.klaviyo_ledger where config_id = %s order by email",
                [config_id],
            ).fetchall()
        return {row["email"].split("-")[0]: row["state"] for row in rows}

    def events(self) -> list[tuple[str, str, bool]]:
        """Events in Klaviyo: name, metric, whether they are backfill."""
        mine = {
            profile.id: profile.email
            for profile in self.account.profiles.values()
            if profile.email and profile.email.endswith(f"-{self.number}@example.org")
        }
        return sorted(
            (mine[event.profile_id].split("-")[0], event.metric, event.is_backfill)
            for event in self.account.events.values()
            if event.profile_id in mine
        )


_numbers = iter(range(1000, 100_000))


@pytest.fixture
def brand(here: Settings, pool: Pool, sandbox: Sandbox, account: Account) -> Brand:
    return Brand(here, pool, sandbox, account, next(_numbers))


# -- approvals ----------------------------------------------------------------------------------


def crowd(count: int) -> list[str]:
    return [f"p{number}" for number in range(count)]


def test_a_mass_removal_needs_approval(brand: Brand) -> None:
    brand.here = replace(brand.here, klaviyo_removal_from=10)
    key = brand.segment("1", *crowd(20))
    config_id = brand.map(key)
    brand.sync()
    # A fifth may be removed without approval.
    brand.segment("1", *crowd(16))
    assert brand.sync()["removed"] == 4
    brand.segment("1")
    assert brand.sync()["stopped"] == 1
    assert brand.writes() == []
    assert brand.members() == set(crowd(16))
    assert set(brand.ledger(config_id).values()) == {"synced"}
    (row,) = brand.rows()
    assert (row["state"], row["stopped_for"]) == ("stopped", "removals")
    assert "16 of 16" in row["error"]
    assert row["plan"]["stop"]["removals"] == 16
    assert brand.config(config_id)["drift"] == 16

    with tenant_transaction(brand.pool, brand.tenant_id) as conn:
        assert confirm_removals(conn, brand.tenant_id, config_id) == 16
    assert brand.sync()["removed"] == 16
    assert brand.members() == set()
    assert brand.config(config_id)["confirmed_removals"] is None
    with (
        tenant_transaction(brand.pool, brand.tenant_id) as conn,
        pytest.raises(InvalidInputError, match="did not stop"),
    ):
        confirm_removals(conn, brand.tenant_id, config_id)


def test_a_stopped_sync_does_not_update_the_people_it_would_remove(
    brand: Brand, here: Settings, account: Account, admin: Connection
) -> None:
    brand.here = replace(brand.here, klaviyo_removal_from=10)
    customers = [f"{brand.number}{n:02}" for n in range(20)]
    add_scored_customers(here, brand.tenant_id, [(each, "champions", "10") for each in customers])
    champions = brand.map("rfm:champions")
    other = brand.map(brand.segment("1", "ada"), account.add_list("Other"))
    assert brand.sync()["added"] == 21
    # As when orders are missing and a build puts everyone in another segment.
    admin.execute(
        "update marts.customer_facts set segment = 'at_risk' where tenant_id = %s",
        [brand.tenant_id],
    )
    assert brand.sync()["stopped"] == 1
    assert brand.writes() == []
    brand.sync(config_ids=[other])
    assert brand.writes() == []
    profile = account.profile_by_email(f"c{customers[0]}@example.com")
    assert profile is not None
    assert profile.properties["quintile_rfm_segment"] == "champions"
    with tenant_transaction(brand.pool, brand.tenant_id) as conn:
        assert confirm_removals(conn, brand.tenant_id, champions) == 20
    counts = brand.sync()
    # They are on no list any more, so their new properties are counted for none.
    assert (counts["removed"], counts["refreshed"]) == (20, 20)
    assert "updated" not in counts


def test_more_removals_than_approved_stop_again_and_a_fixed_segment_continues(brand: Brand) -> None:
    brand.here = replace(brand.here, klaviyo_removal_from=10)
    key = brand.segment("1", *crowd(20))
    config_id = brand.map(key)
    brand.sync()
    brand.segment("1", *crowd(10))
    brand.sync()
    with tenant_transaction(brand.pool, brand.tenant_id) as conn:
        confirm_removals(conn, brand.tenant_id, config_id)
    brand.segment("1", *crowd(5))
    assert brand.sync()["stopped"] == 1
    assert len(brand.members()) == 20
    brand.segment("1", *crowd(21))
    counts = brand.sync()
    assert (counts["added"], counts["removed"], counts.get("stopped", 0)) == (1, 0, 0)
    assert brand.rows()[0]["state"] == "succeeded"


def test_removals_of_two_configurations_of_a_list_are_added_up(brand: Brand) -> None:
    brand.here = replace(brand.here, klaviyo_removal_from=10)
    people = crowd(20)
    brand.map(brand.segment("1", *people[:10]))
    brand.map(brand.segment("2", *people[10:]))
    brand.sync()
    brand.segment("1", *people[:7])
    brand.segment("2", *people[10:17])
    assert brand.sync()["stopped"] == 2
    assert len(brand.members()) == 20


def test_a_dry_run_shows_what_would_stop_a_sync(brand: Brand) -> None:
    brand.here = replace(brand.here, klaviyo_removal_from=10)
    brand.map(brand.segment("1", *crowd(20)))
    brand.sync()
    brand.segment("1", *crowd(2))
    brand.sync(is_dry_run=True)
    (row,) = brand.rows()
    assert (row["state"], row["plan"]["stop"]["for"]) == ("succeeded", "removals")
    assert row["plan"]["remove"]["count"] == 18
    assert len(row["plan"]["remove"]["examples"]) == 10


def test_a_first_sync_triggers_flows_only_if_configured(brand: Brand, account: Account) -> None:
    flow = account.add_flow("Welcome to the club", brand.list.id)
    config_id = brand.map(brand.segment("1", "ada", "bob"))
    assert brand.sync()["stopped"] == 1
    (row,) = brand.rows()
    assert (row["state"], row["stopped_for"]) == ("stopped", "flows")
    assert "add 2 people" in row["error"]
    assert "'Welcome to the club'" in row["error"]
    assert brand.members() == set()
    assert brand.writes() == []

    brand.change(config_id, fires_flows_on_first_sync=True)
    assert brand.sync()["added"] == 2
    # For people added later the flow may start.
    brand.change(config_id, fires_flows_on_first_sync=False)
    brand.segment("1", "ada", "bob", "cyd")
    assert brand.sync()["added"] == 1
    assert flow.status == "live"


def test_a_draft_flow_does_not_stop_a_sync_and_a_key_without_the_scope_gives_advice(
    brand: Brand, account: Account
) -> None:
    account.add_flow("Not yet", brand.list.id, status="draft")
    brand.map(brand.segment("1", "ada"))
    brand.sync(is_dry_run=True)
    assert brand.rows()[0]["plan"]["stop"] is None
    scopes = account.keys[KEY]
    account.add_key(KEY, scopes - {"flows:read"})
    try:
        assert brand.sync()["added"] == 1
    finally:
        account.add_key(KEY, scopes)
    (row,) = brand.rows()
    assert row["state"] == "succeeded"
    assert "flows:read" in row["advice"]


def test_an_approval_covers_the_rest_after_a_sync_fails_during_the_removals(
    brand: Brand, monkeypatch: pytest.MonkeyPatch
) -> None:
    brand.here = replace(brand.here, klaviyo_removal_from=10)
    config_id = brand.map(brand.segment("1", *crowd(20)))
    brand.sync()
    brand.segment("1", *crowd(2))
    assert brand.sync()["stopped"] == 1
    with tenant_transaction(brand.pool, brand.tenant_id) as conn:
        assert confirm_removals(conn, brand.tenant_id, config_id) == 18
    limits = replace(LIMITS, remove_profiles=4)
    before_call(monkeypatch, "DELETE", 3, _die)
    with pytest.raises(_KilledError):
        brand.sync(limits=limits)
    monkeypatch.undo()
    assert len(brand.members()) == 12
    # The approval covers only the removals that are left.
    assert brand.config(config_id)["confirmed_removals"] == 10
    assert brand.sync(limits=limits)["removed"] == 10
    assert brand.members() == set(crowd(2))
    assert brand.config(config_id)["confirmed_removals"] is None


@pytest.mark.parametrize(
    ("people", "leaving", "stops"),
    [(100, 60, False), (101, 20, False), (101, 21, True), (200, 40, False), (200, 41, True)],
)
def test_more_than_a_fifth_of_more_than_a_hundred_needs_approval(
    brand: Brand, people: int, leaving: int, *, stops: bool
) -> None:
    brand.map(brand.segment("1", *crowd(people)))
    brand.sync()
    brand.segment("1", *crowd(people - leaving))
    assert brand.sync().get("stopped", 0) == stops
    assert len(brand.members()) == people - leaving * (not stops)


def test_a_sync_makes_the_fewest_possible_calls(brand: Brand) -> None:
    everybody = crowd(10_001)
    brand.map(brand.segment("1", *everybody), sends_events=True)
    assert brand.sync()["added"] == 10_001
    imports, jobs = "/api/profile-bulk-import-jobs", "/api/event-bulk-create-jobs"
    # The 10,001st event is sent alone.
    alone = ("POST", "/api/events")
    assert Counter(brand.writes()) == {("POST", imports): 2, ("POST", jobs): 10, alone: 1}
    brand.sync()
    brand.sync(reads_all=True)
    assert brand.writes() == []
    with tenant_transaction(brand.pool, brand.tenant_id) as conn:
        conn.execute(
            "delete from shopify.segment_members where email = any(%s)",
            [[brand.email(name) for name in everybody[:1001]]],
        )
    assert brand.sync()["removed"] == 1001
    members = f"/api/lists/{brand.list.id}/relationships/profiles"
    assert Counter(brand.writes()) == {("DELETE", members): 2, ("POST", jobs): 1, alone: 1}
    assert len(brand.members()) == 9000


# -- changes during a sync ----------------------------------------------------------------------


def before_call(
    monkeypatch: pytest.MonkeyPatch, method: str, number: int, act: Callable[[], None]
) -> None:
    """Do something right before the call of a method with this number."""
    real_send, calls = klaviyo_client.send, count(1)

    def send(http: httpx.Client, how: str, url: str, **content: Any) -> httpx.Response:
        if how == method and next(calls) == number:
            act()
        return real_send(http, how, url, **content)

    monkeypatch.setattr(klaviyo_client, "send", send)


def _die() -> None:
    raise _KilledError


def test_a_dry_run_of_a_configuration_deleted_meanwhile_writes_nothing(brand: Brand) -> None:
    other = brand.map(brand.segment("1", "ada"))
    deleted = brand.map(brand.segment("2", "bob"))
    brand.sandbox.clear_requests()
    with begun_run(brand.pool, brand.tenant_id, [deleted], is_dry_run=True) as recorder:
        with tenant_transaction(brand.pool, brand.tenant_id) as conn:
            delete_config(conn, brand.tenant_id, deleted)
        sync_klaviyo(brand.here, brand.pool, brand.tenant_id, recorder)
    assert brand.writes() == []
    assert brand.members() == set()
    assert brand.ledger(other) == {}


def test_a_sync_of_a_configuration_deleted_meanwhile_syncs_no_other(
    brand: Brand,
) -> None:
    brand.map(brand.segment("1", "ada"), is_scheduled=False)
    deleted = brand.map(brand.segment("2", "bob"))
    with begun_run(brand.pool, brand.tenant_id, [deleted]) as recorder:
        with tenant_transaction(brand.pool, brand.tenant_id) as conn:
            delete_config(conn, brand.tenant_id, deleted)
        sync_klaviyo(brand.here, brand.pool, brand.tenant_id, recorder)
    assert brand.members() == set()


def test_a_configuration_added_to_a_scheduled_run_is_synced_too(
    brand: Brand, account: Account
) -> None:
    scheduled = brand.map(brand.segment("1", "ada"))
    by_hand = brand.map(brand.segment("2", "bob"), account.add_list("By hand"), is_scheduled=False)
    with tenant_transaction(brand.pool, brand.tenant_id) as conn:
        run_id = enqueue(conn, brand.tenant_id, "klaviyo_sync", "schedule")["run_id"]
        assert request_sync(conn, brand.tenant_id, [by_hand])["run_id"] == run_id
        found = rows_to_do(conn, brand.tenant_id, run_id)
        assert {row["config_id"] for row in found} == {scheduled, by_hand}


def test_a_list_paused_before_its_sync_is_not_written_to(
    brand: Brand, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = account.add_list("Second")
    brand.map(brand.segment("1", "ada"))
    second = brand.map(brand.segment("2", "bob"), target)
    before_call(monkeypatch, "POST", 1, lambda: brand.change(second, is_paused=True) and None)
    brand.sync()
    assert (brand.members(), brand.members(target)) == ({"ada"}, set())
    assert [row["state"] for row in brand.rows()] == ["succeeded", "paused"]


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize("deletes", [False, True], ids=["paused", "deleted"])
def test_a_list_paused_or_deleted_during_its_sync_is_not_written_to_any_more(
    brand: Brand,
    account: Account,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    *,
    deletes: bool,
) -> None:
    limits = replace(LIMITS, import_profiles=2, remove_profiles=2)
    config_id = brand.map(brand.segment("1", *crowd(6)))
    after = brand.map(brand.segment("2", "ada"), account.add_list("After"))
    if method == "DELETE":
        brand.sync()
        brand.segment("1")
        brand.segment("2", "ada", "bob")

    def act() -> None:
        if deletes:
            with tenant_transaction(brand.pool, brand.tenant_id) as conn:
                delete_config(conn, brand.tenant_id, config_id)
        else:
            brand.change(config_id, is_paused=True)

    before_call(monkeypatch, method, 1, act)
    brand.sync(limits=limits)
    # The call that was being made is the last.
    assert len(brand.members()) == (2 if method == "POST" else 4)
    assert set(brand.ledger(after).values()) == {"synced"}
    states = [row["state"] for row in brand.rows()]
    assert states == (["succeeded"] if deletes else ["paused", "succeeded"])
    if not deletes:
        monkeypatch.undo()
        brand.change(config_id, is_paused=False)
        brand.sync(limits=limits)
        assert len(brand.members()) == (6 if method == "POST" else 0)


def test_configurations_left_by_a_dead_process_are_reported_as_failed(brand: Brand) -> None:
    config_id = brand.map(brand.segment("1", "ada"))
    with tenant_transaction(brand.pool, brand.tenant_id) as conn:
        conn.execute(LISTENER, [brand.tenant_id])
        run_id = start_run(conn, brand.tenant_id, "klaviyo_sync", "cli").run["run_id"]
        add_rows(conn, brand.tenant_id, run_id)
        begin(conn, brand.tenant_id, run_id, config_id)
        # As a worker ends the run of a dead process.
        conn.execute(
            "update app.runs set state = 'failed', finished_at = now() where run_id = %s", [run_id]
        )
    brand.sync()
    with tenant_transaction(brand.pool, brand.tenant_id) as conn:
        sent = conn.execute(
            "select topic, run_id = %s as is_dead from app.webhook_deliveries order by position",
            [run_id],
        ).fetchall()
    assert [tuple(row.values()) for row in sent] == [
        ("klaviyo_sync.failed", True),
        ("klaviyo_sync.recovered", False),
    ]


def test_a_pause_by_a_person_sends_no_notification(brand: Brand) -> None:
    config_id = brand.map(brand.segment("1", "ada"))
    with tenant_transaction(brand.pool, brand.tenant_id) as conn:
        conn.execute(LISTENER, [brand.tenant_id])
    brand.change(config_id, is_paused=True)
    brand.sync(config_ids=[config_id])
    (row,) = brand.rows()
    assert row["state"] == "paused"
    with tenant_transaction(brand.pool, brand.tenant_id) as conn:
        assert conn.execute("select from app.webhook_deliveries").fetchall() == []


def test_a_stopping_process_records_no_failure(brand: Brand) -> None:
    brand.map(brand.segment("1", "ada"))

    class Stopping(NullProgress):
        def count(self, **counts: int) -> None:
            raise HandedBackError

    with tenant_transaction(brand.pool, brand.tenant_id) as conn:
        run_id = start_run(conn, brand.tenant_id, "klaviyo_sync", "cli").run["run_id"]
    progress = Stopping()
    progress.run_id = run_id
    with pytest.raises(HandedBackError):
        sync_klaviyo(brand.here, brand.pool, brand.tenant_id, progress)
    (row,) = brand.rows()
    assert (row["state"], row["error"]) == ("running", None)
    # The next process continues the run.
    progress = NullProgress()
    progress.run_id = run_id
    sync_klaviyo(brand.here, brand.pool, brand.tenant_id, progress)
    (row,) = brand.rows()
    assert row["state"] == "succeeded"
    assert brand.members() == {"ada"}


def test_lists_are_renamed_as_in_klaviyo(brand: Brand, account: Account) -> None:
    target = account.add_list("Target")
    brand.put_on("ada")
    pull = brand.map(f"klaviyo:{brand.list.id}", direction="pull")
    push = brand.map(f"klaviyo:{brand.list.id}", target, sends_events=True)
    # The push reads the name of the list that feeds it even without the pull.
    brand.sync(config_ids=[push])
    (event,) = [e for e in account.events.values() if e.properties["list_id"] == target.id]
    assert event.properties["segment_name"] == brand.list.name
    brand.list.name, target.name = "Renamed", "Renamed too"
    brand.sync(reads_all=True)
    assert [brand.config(each)["list_name"] for each in (pull, push)] == [
        "Renamed",
        "Renamed too",
    ]
    with tenant_transaction(brand.pool, brand.tenant_id) as conn:
        rows = conn.execute("select list_id, name from app.klaviyo_lists").fetchall()
    names = {row["list_id"]: row["name"] for row in rows}
    assert (names[brand.list.id], names[target.id]) == ("Renamed", "Renamed too")


def test_a_list_that_feeds_another_cannot_stop_being_a_segment(
    brand: Brand, account: Account
) -> None:
    both_ways = brand.map(brand.segment("1", "ada"), direction="bidirectional")
    fed = brand.map(f"klaviyo:{brand.list.id}", account.add_list("Fed"))
    with pytest.raises(ConfigConflictError, match="feeds list 'Fed'"):
        brand.change(both_ways, direction="push")
    brand.map(f"klaviyo:{brand.list.id}", direction="pull")
    brand.change(both_ways, direction="push")
    # The other list gets at once whom this sync adds to the one that feeds it.
    assert brand.sync()["added"] == 2
    assert not brand.config(fed)["is_paused"]


# -- several configurations of a list -----------------------------------------------------------


def test_moving_between_segments_of_a_list_needs_no_call(
    brand: Brand,
) -> None:
    first = brand.map(brand.segment("1", "ada", "bob"))
    second = brand.map(brand.segment("2", "cyd"))
    brand.sync()
    brand.segment("1", "bob", "cyd")
    brand.segment("2", "ada")
    counts = brand.sync()
    assert (counts["added"], counts["removed"]) == (0, 0)
    assert brand.writes() == []
    assert brand.members() == {"ada", "bob", "cyd"}
    brand.sync()
    assert brand.ledger(first) == {"bob": "synced", "cyd": "synced"}
    assert brand.ledger(second) == {"ada": "synced"}
    # People in neither segment are removed, even if the other configuration had added them.
    brand.segment("2")
    assert brand.sync()["removed"] == 1
    assert brand.members() == {"bob", "cyd"}


def test_people_of_a_paused_configuration_are_not_removed_by_another(brand: Brand) -> None:
    brand.map(brand.segment("1", "ada", "bob"))
    second = brand.map(brand.segment("2", "ada"))
    brand.sync()
    brand.sync()
    brand.change(second, is_paused=True)
    brand.segment("1", "bob")
    brand.segment("2")
    assert brand.sync()["removed"] == 0
    assert brand.members() == {"ada", "bob"}
    brand.change(second, is_paused=False)
    assert brand.sync()["removed"] == 1
    assert brand.members() == {"bob"}


def test_conflicting_configurations_are_refused_with_the_reason(
    brand: Brand, account: Account
) -> None:
    other = account.add_list("Other")
    third = account.add_list("Third")
    key = brand.segment("1", "ada")
    pushing = brand.map(key)
    with pytest.raises(ConfigConflictError, match="already synced with list"):
        brand.map(key)
    with pytest.raises(ConfigConflictError, match="already has a push sync"):
        brand.map(brand.segment("2"), direction="bidirectional")
    # It may change its direction only while it is alone on the list.
    brand.change(pushing, direction="bidirectional")
    brand.change(pushing, direction="push")
    brand.map(brand.segment("2"))
    with pytest.raises(ConfigConflictError):
        brand.change(pushing, direction="bidirectional")

    pulled = brand.map(f"klaviyo:{brand.list.id}", direction="pull")
    fed = brand.map(f"klaviyo:{brand.list.id}", other)
    brand.map(f"klaviyo:{other.id}", other, direction="pull")
    brand.map(f"klaviyo:{other.id}", third)
    brand.map(f"klaviyo:{third.id}", third, direction="pull")
    with pytest.raises(ConfigConflictError, match="already feeds this segment"):
        brand.map(f"klaviyo:{third.id}", brand.list)
    with pytest.raises(InvalidInputError, match="cannot feed itself"):
        brand.map(f"klaviyo:{other.id}", other)
    with pytest.raises(InvalidInputError, match="takes no other"):
        brand.map(key, other, direction="pull")
    with pytest.raises(InvalidInputError, match="writes nothing"):
        brand.map(f"klaviyo:{third.id}", third, direction="pull", sends_events=True)
    with pytest.raises(InvalidInputError, match="No list 'X' is pulled"):
        brand.map("klaviyo:X", other)
    with (
        tenant_transaction(brand.pool, brand.tenant_id) as conn,
        pytest.raises(ConfigConflictError, match="feeds list 'Other'"),
    ):
        delete_config(conn, brand.tenant_id, pulled)
    with tenant_transaction(brand.pool, brand.tenant_id) as conn:
        delete_config(conn, brand.tenant_id, fed)
        delete_config(conn, brand.tenant_id, pulled)


# -- pull and bidirectional ---------------------------------------------------------------------


def test_a_pulled_list_is_mirrored_and_feeds_another(brand: Brand, account: Account) -> None:
    target = account.add_list("Target")
    brand.put_on("ada", "bob")
    phone_only = account.create_profile({"phone_number": f"+1500555{brand.number}"})
    account.join(brand.list, [phone_only.id])
    pull = brand.map(f"klaviyo:{brand.list.id}", direction="pull")
    brand.map(f"klaviyo:{brand.list.id}", target)
    counts = brand.sync()
    assert counts["added"] == 2
    assert brand.members(target) == {"ada", "bob"}
    assert brand.members() == {"ada", "bob"}
    known = brand.config(pull)
    assert (known["local_members"], known["drift"]) == (2, 0)
    with tenant_transaction(brand.pool, brand.tenant_id) as conn:
        [described] = describe_configs(conn, brand.tenant_id, [known])
    assert described["list_members"] == 3
    rows = brand.rows()
    assert [row["plan"]["add"]["count"] for row in rows] == [3, 2]
    assert rows[1]["plan"]["skip"]["reasons"] == {"no_address": 1}

    assert rows[0]["counts"] == {"joined": 3}
    brand.take_off("ada")
    brand.put_on("cyd")
    # Joins are noticed at once, departures at the next full read. The first reading is no change.
    assert brand.list_changes() == []
    assert brand.sync()["added"] == 1
    assert brand.members(target) == {"ada", "bob", "cyd"}
    assert brand.sync(reads_all=True)["removed"] == 1
    assert brand.members(target) == {"bob", "cyd"}
    assert brand.list_changes() == [("cyd", True), ("ada", False)]
    assert brand.sizes() == [(3, 4)]
    assert [path for _, path in brand.writes()] == [
        f"/api/lists/{target.id}/relationships/profiles"
    ]


def test_a_pull_writes_nothing_to_klaviyo_and_its_dry_run_stores_nothing(brand: Brand) -> None:
    brand.put_on("ada")
    brand.map(f"klaviyo:{brand.list.id}", direction="pull")
    brand.sync(is_dry_run=True)
    assert brand.rows()[0]["plan"]["add"] == {
        "count": 1,
        "examples": [{"email": brand.email("ada")}],
    }
    with tenant_transaction(brand.pool, brand.tenant_id) as conn:
        assert conn.execute("select from app.klaviyo_lists").fetchall() == []
    brand.sync()
    assert brand.writes() == []


def test_joins_are_read_without_a_full_read(brand: Brand, account: Account) -> None:
    brand.put_on(*crowd(250))
    for profile_id in brand.list.members:
        brand.list.members[profile_id] = brand.list.created.replace(year=2020)
    brand.map(f"klaviyo:{brand.list.id}", direction="pull")
    # One call reads the name of the list.
    assert brand.sync()["calls"] == 1 + 3
    brand.put_on("new")
    assert brand.sync()["calls"] == 1 + 2
    assert brand.sync()["calls"] == 1
    assert brand.rows()[0]["plan"]["add"]["count"] == 0
    assert brand.sync(reads_all=True)["calls"] == 1 + 3


def test_a_scheduled_run_syncs_scheduled_configurations_and_a_command_all(
    brand: Brand, account: Account
) -> None:
    scheduled = brand.map(brand.segment("1", "ada"))
    by_hand = brand.map(brand.segment("2", "eve"), account.add_list("By hand"), is_scheduled=False)

    def to_do(trigger: Trigger) -> set[UUID]:
        with tenant_transaction(brand.pool, brand.tenant_id) as conn:
            run_id = start_run(conn, brand.tenant_id, "klaviyo_sync", trigger).run["run_id"]
        with (
            record_run(brand.pool, brand.tenant_id, run_id),
            tenant_transaction(brand.pool, brand.tenant_id) as conn,
        ):
            return {row["config_id"] for row in rows_to_do(conn, brand.tenant_id, run_id)}

    assert to_do("schedule") == {scheduled}
    assert to_do("cli") == {scheduled, by_hand}
    brand.change(scheduled, is_paused=True)
    assert to_do("schedule") == set()


def test_a_retried_run_repeats_failed_configurations(brand: Brand) -> None:
    config_id = brand.map(brand.segment("1", "ada"))
    failed = Outcome("failed", error="Klaviyo keeps failing.", advice="Wait.")
    with begun_run(brand.pool, brand.tenant_id) as recorder:
        named = (brand.tenant_id, recorder.run_id)
        with tenant_transaction(brand.pool, brand.tenant_id) as conn:
            begin(conn, *named, config_id)
            finish(conn, *named, config_id, failed)
        assert [row["state"] for row in last_rows(brand.pool, brand.tenant_id)] == ["failed"]
        sync_klaviyo(brand.here, brand.pool, brand.tenant_id, recorder)
    (row,) = last_rows(brand.pool, brand.tenant_id)
    assert (row["state"], row["error"], row["advice"]) == ("succeeded", None, None)
    assert brand.email("ada") in brand.account.member_emails(brand.list.id)


def test_bidirectional_keeps_removed_people_off_until_the_removal_is_undone(
    brand: Brand,
) -> None:
    config_id = brand.map(brand.segment("1", "ada", "bob"), direction="bidirectional")
    brand.put_on("hand")
    brand.sync()
    brand.sync()
    brand.take_off("ada")
    assert brand.sync(reads_all=True)["skipped"] == 1
    assert brand.rows()[0]["plan"]["skip"]["reasons"] == {"removed_by_person": 1}
    # Unlike in a push, leaving the segment and returning does not change that.
    brand.segment("1", "bob")
    brand.sync()
    assert brand.ledger(config_id) == {"ada": "removed", "bob": "synced"}
    brand.segment("1", "ada", "bob")
    assert brand.sync()["added"] == 0
    assert brand.members() == {"bob", "hand"}

    with tenant_transaction(brand.pool, brand.tenant_id) as conn:
        undo_removal(conn, brand.tenant_id, config_id, brand.email("ada").upper())
        with pytest.raises(InvalidInputError, match="was not removed"):
            undo_removal(conn, brand.tenant_id, config_id, brand.email("bob"))
    assert brand.sync()["added"] == 1
    assert brand.members() == {"ada", "bob", "hand"}


def test_full_reads_are_due_by_the_schedule(brand: Brand, here: Settings) -> None:
    now = datetime.now(UTC)
    an_hour_ago = now - timedelta(minutes=61)
    hourly = replace(here, schedule_klaviyo_members="0 * * * *")
    half_a_year_off = replace(here, schedule_klaviyo_members=f"0 0 1 {(now.month + 5) % 12 + 1} *")
    tenant_id = brand.tenant_id
    with tenant_transaction(brand.pool, tenant_id) as conn:
        assert is_full_read_due(conn, hourly, tenant_id, None)
        assert is_full_read_due(conn, hourly, tenant_id, an_hour_ago)
        assert not is_full_read_due(conn, half_a_year_off, tenant_id, an_hour_ago)
        pause(conn, tenant_id, "klaviyo_members", "person")
        assert not is_full_read_due(conn, hourly, tenant_id, an_hour_ago)
        # Without a first read there is nothing to compare with.
        assert is_full_read_due(conn, hourly, tenant_id, None)


# -- changed addresses --------------------------------------------------------------------------


def rename(brand: Brand, name: str, becomes: str) -> None:
    """Change an address in Klaviyo, as a person or another program does."""
    found = brand.account.profile_by_email(brand.email(name))
    assert found is not None
    profile = brand.account.profiles[found.id]
    brand.account.change_profile(profile, {"email": brand.email(becomes)})


def test_an_address_changed_in_the_shop_removes_the_old_and_adds_the_new(
    brand: Brand,
) -> None:
    config_id = brand.map(brand.segment("1", "ada", "bob"), sends_events=True)
    brand.sync()
    brand.sync()
    with tenant_transaction(brand.pool, brand.tenant_id) as conn:
        conn.execute(
            "update shopify.segment_members set email = %s where customer_id = 'c-ada'",
            [brand.email("ada.new").upper()],
        )
    counts = brand.sync()
    assert (counts["added"], counts["removed"]) == (1, 1)
    assert brand.members() == {"ada.new", "bob"}
    assert brand.ledger(config_id) == {"ada.new": "synced", "bob": "synced"}
    assert brand.events()[1:3] == [
        ("ada", "Left Segment", False),
        ("ada.new", "Entered Segment", False),
    ]


@pytest.mark.parametrize("direction", ["push", "bidirectional"])
def test_people_whose_address_was_changed_in_klaviyo_are_removed_with_the_segment(
    brand: Brand, direction: Direction
) -> None:
    config_id = brand.map(brand.segment("1", "ada", "bob"), direction=direction)
    brand.sync()
    brand.sync()
    rename(brand, "ada", "ada.new")
    # They were not removed, and an import of the old address would create a second profile.
    counts = brand.sync(reads_all=True)
    assert (counts["added"], counts.get("skipped", 0)) == (0, 0)
    assert brand.writes() == []
    assert brand.ledger(config_id) == {"ada": "synced", "bob": "synced"}
    brand.segment("1", "bob")
    assert brand.sync(reads_all=True)["removed"] == 1
    assert brand.members() == {"bob"}
    assert brand.ledger(config_id) == {"bob": "synced"}


def test_an_address_changed_in_klaviyo_creates_no_second_profile(
    brand: Brand, here: Settings, account: Account, admin: Connection
) -> None:
    customer = str(brand.number)
    add_scored_customers(here, brand.tenant_id, [(customer, "champions", "10")])
    brand.map("rfm:champions")
    brand.sync()
    brand.sync()
    found = account.profile_by_email(f"c{customer}@example.com")
    assert found is not None
    account.change_profile(account.profiles[found.id], {"email": brand.email("new")})
    admin.execute(
        "update marts.customer_facts set m_score = 1 where tenant_id = %s", [brand.tenant_id]
    )
    brand.sync(reads_all=True)
    assert brand.writes() == []
    assert account.profile_by_email(f"c{customer}@example.com") is None


def test_people_whose_address_was_changed_on_both_sides_stay_managed(brand: Brand) -> None:
    config_id = brand.map(brand.segment("1", "ada", "bob"))
    brand.sync()
    brand.sync()
    rename(brand, "ada", "new")
    brand.segment("1", "new", "bob")
    counts = brand.sync(reads_all=True)
    assert (counts["added"], counts["removed"]) == (0, 0)
    assert brand.members() == {"new", "bob"}
    assert brand.ledger(config_id) == {"bob": "synced", "new": "synced"}
    brand.segment("1", "bob")
    assert brand.sync()["removed"] == 1
    assert brand.members() == {"bob"}


def test_merged_profiles_are_removed_when_neither_member_is_left(brand: Brand) -> None:
    config_id = brand.map(brand.segment("1", "ada", "bob"))
    brand.sync()
    brand.sync()
    # Merged in Klaviyo: one profile is left, with the address of the other.
    brand.take_off("bob")
    rename(brand, "bob", "nobody")
    rename(brand, "ada", "bob")
    assert brand.sync(reads_all=True)["added"] == 0
    assert brand.members() == {"bob"}
    brand.segment("1", "ada")
    assert brand.sync(reads_all=True)["removed"] == 0
    assert brand.members() == {"bob"}
    brand.segment("1")
    assert brand.sync(reads_all=True)["removed"] == 1
    assert brand.members() == set()
    assert brand.ledger(config_id) == {}


# -- people who are left out --------------------------------------------------------------------


def test_everyone_left_out_is_reported_with_the_reason(
    brand: Brand, account: Account, admin: Connection
) -> None:
    elsewhere = account.add_list("Elsewhere")
    brand.put_on("sue", to=elsewhere)
    account.suppress(brand.email("sue"))
    brand.map(f"klaviyo:{elsewhere.id}", elsewhere, direction="pull")
    brand.map(brand.segment("1", "ada", "eve", "sue", "bot", None))
    with tenant_transaction(brand.pool, brand.tenant_id) as conn:
        conn.execute(
            "insert into shopify.segment_members (tenant_id, segment_id, customer_id, email) values"
            " (%(t)s, '1', 'c-ada2', upper(%(e)s)), (%(t)s, '1', 'c-x', 'x@scs.tiktokw.us'),"
            " (%(t)s, '1', 'c-y', 'no address')",
            {"t": brand.tenant_id, "e": brand.email("ada")},
        )
        conn.execute("update app.rfm_settings set excluded_customer_ids = '{c-bot}'")
        conn.execute(
            "insert into app.erasure_keys (tenant_id, erasure_key) values (%s, 'key')",
            [brand.tenant_id],
        )
        conn.execute(
            "insert into app.erased_subjects (tenant_id, digest)"
            " values (%s, app.erasure_digest('key', 'customer', app.customer_id_of_address(%s)))",
            [brand.tenant_id, brand.email("eve")],
        )
    assert brand.sync()["skipped"] == 7
    assert brand.rows()[1]["plan"]["skip"]["reasons"] == {
        "duplicate": 1,
        "excluded": 1,
        "invalid": 1,
        "no_address": 1,
        "redacted": 1,
        "relay": 1,
        "suppressed": 1,
    }
    assert brand.members() == {"ada"}
    # Erased people are not read back from a list either.
    brand.put_on("eve", to=elsewhere)
    brand.sync(reads_all=True)
    with tenant_transaction(brand.pool, brand.tenant_id) as conn:
        rows = conn.execute("select email from app.klaviyo_list_profiles").fetchall()
    assert {row["email"] for row in rows} == {brand.email("ada"), brand.email("sue")}


def test_suppressed_people_are_left_out_on_any_list(brand: Brand, account: Account) -> None:
    account.upsert_profile({"email": brand.email("sue")})
    account.suppress(brand.email("sue").upper())
    config_id = brand.map(brand.segment("1", "ada", "sue", "tom"))
    brand.sync(is_dry_run=True)
    skipped = {
        "count": 1,
        "reasons": {"suppressed": 1},
        "examples": [{"email": brand.email("sue"), "customer_id": "c-sue", "reason": "suppressed"}],
    }
    assert brand.rows()[0]["plan"]["skip"] == skipped
    brand.sync()
    assert brand.rows()[0]["plan"]["skip"] == skipped
    assert brand.members() == {"ada", "tom"}
    # People suppressed while they are on the list stay on it.
    account.suppress(brand.email("tom"))
    brand.sync()
    assert brand.writes() == []
    assert brand.ledger(config_id) == {"ada": "synced", "tom": "synced"}
    # Without the suppression they are added.
    sue = account.profile_by_email(brand.email("sue"))
    assert sue is not None
    account.profiles[sue.id].suppressed_at = None
    assert brand.sync(reads_all=True)["added"] == 1
    with tenant_transaction(brand.pool, brand.tenant_id) as conn:
        delete_config(conn, brand.tenant_id, config_id)
        assert conn.execute("select from app.klaviyo_list_profiles").fetchall() == []


# -- events and properties ----------------------------------------------------------------------


def test_entering_and_leaving_sends_one_event_each(brand: Brand) -> None:
    config_id = brand.map(brand.segment("1", "ada", "bob"), sends_events=True)
    brand.put_on("bob")
    brand.sync()
    brand.sync()
    assert brand.events() == [
        ("ada", "Entered Segment", True),
        ("bob", "Entered Segment", True),
    ]
    brand.segment("1", "ada", "cyd")
    brand.sync()
    assert brand.events()[2:] == [
        ("bob", "Left Segment", False),
        ("cyd", "Entered Segment", False),
    ]
    # Switching events off and on again sends none for existing members.
    brand.change(config_id, sends_events=False)
    brand.segment("1", "ada", "cyd", "dee")
    brand.sync()
    brand.change(config_id, sends_events=True)
    brand.segment("1", "ada", "dee")
    brand.sync()
    assert [event for event in brand.events() if event[0] in ("cyd", "dee")] == [
        ("cyd", "Entered Segment", False),
        ("cyd", "Left Segment", False),
    ]


def test_events_of_the_first_sync_trigger_flows_only_if_configured(brand: Brand) -> None:
    brand.map(brand.segment("1", "ada"), sends_events=True, fires_flows_on_first_sync=True)
    brand.sync()
    assert brand.events() == [("ada", "Entered Segment", False)]


def test_profiles_and_events_carry_segments_and_scores(
    brand: Brand, here: Settings, account: Account
) -> None:
    customer = str(brand.number)
    add_scored_customers(here, brand.tenant_id, [(customer, "champions", "10")])
    add_history(
        here,
        brand.tenant_id,
        {"2026-05-01": {customer: "loyal"}, "2026-06-15": {customer: "champions"}},
    )
    brand.map("rfm:champions", sends_events=True)
    brand.sync()
    profile = account.profile_by_email(f"c{customer}@example.com")
    assert profile is not None
    assert profile.properties == {
        "quintile_rfm_segment": "champions",
        "quintile_rfm_previous_segment": "loyal",
        "quintile_rfm_segment_changed_on": "2026-06-15",
        "quintile_r_score": 5,
        "quintile_f_score": 5,
        "quintile_m_score": 5,
        "quintile_samples_received": 0,
    }
    (event,) = [e for e in account.events.values() if e.profile_id == profile.id]
    assert event.properties == {
        "segment": "rfm:champions",
        "segment_name": "Champions",
        "list_id": brand.list.id,
        "list_name": brand.list.name,
        **profile.properties,
    }


def test_people_on_no_list_any_more_are_updated_without_being_added(
    brand: Brand, here: Settings, account: Account, admin: Connection
) -> None:
    customer = str(brand.number)
    add_scored_customers(here, brand.tenant_id, [(customer, "champions", "10")])
    brand.map("rfm:champions")
    brand.sync()
    admin.execute(
        "update marts.customer_facts set segment = 'at_risk', r_score = 1 where tenant_id = %s",
        [brand.tenant_id],
    )
    # The first read was of an empty list.
    brand.sync()
    assert account.member_emails(brand.list.id) == set()
    profile = account.profile_by_email(f"c{customer}@example.com")
    assert profile is not None
    assert profile.properties["quintile_rfm_segment"] == "at_risk"
    assert profile.properties["quintile_r_score"] == 1
    admin.execute(
        "update marts.customer_facts set r_score = 2 where tenant_id = %s", [brand.tenant_id]
    )
    brand.sync()
    assert brand.writes() == [("POST", "/api/profile-bulk-import-jobs")]
    assert account.member_emails(brand.list.id) == set()
    brand.sync()
    assert brand.writes() == []


def test_refused_properties_are_counted_among_the_errors_of_the_run(
    brand: Brand, account: Account
) -> None:
    config_id = brand.map(brand.segment("1", "ada", "bob"))
    brand.put_on("bob")
    account.fail_import_of(brand.email("bob"))
    assert brand.sync()["rejected"] == 1
    (row,) = brand.rows()
    assert (row["counts"]["added"], row["errors"]) == (1, {"invalid": 1})
    assert brand.ledger(config_id) == {"ada": "synced", "bob": "kept"}
    brand.sync()
    assert brand.rows()[0]["errors"] == {}


# -- what pauses a configuration ----------------------------------------------------------------


def test_a_refused_key_pauses_all_configurations_until_another_is_saved(
    brand: Brand, here: Settings, pool: Pool, account: Account
) -> None:
    config_id = brand.map(brand.segment("1", "ada"))
    paused_by_person = brand.map(brand.segment("2", "bob"))
    brand.change(paused_by_person, is_paused=True)
    key = f"pk_sandbox_{brand.number}_revoked"
    account.add_key(key, account.keys[KEY])
    connect_klaviyo(here, pool, brand.tenant_id, key)
    account.revoke_key(key)
    with stamina.set_testing(True, attempts=2), pytest.raises(KlaviyoRefusedError):
        brand.sync()
    known = brand.config(config_id)
    assert (known["is_paused"], known["paused_by"], known["last_state"]) == (True, "key", "paused")
    assert "does not accept" in known["paused_reason"]
    assert key not in known["paused_reason"]
    connect_klaviyo(here, pool, brand.tenant_id, KEY)
    assert not brand.config(config_id)["is_paused"]
    assert brand.config(paused_by_person)["is_paused"]
    assert brand.sync()["added"] == 1
    assert brand.members() == {"ada"}


def test_a_sync_tries_a_refused_key_first(brand: Brand, here: Settings, account: Account) -> None:
    """Without workers nothing else does."""
    config_id = brand.map(brand.segment("1", "ada"))
    key = f"pk_sandbox_{brand.number}_suspended"
    scopes = account.keys[KEY]
    account.add_key(key, scopes)
    connect_klaviyo(here, brand.pool, brand.tenant_id, key)
    account.revoke_key(key)
    with stamina.set_testing(True, attempts=2):
        for config_ids in (None, None, [config_id]):
            with pytest.raises(KlaviyoRefusedError, match="status 401") as raised:
                brand.sync(config_ids=config_ids)
            assert "tries it again by itself, next at" in raised.value.advice
            assert "connect-klaviyo" in raised.value.advice
            assert brand.config(config_id)["paused_by"] == "key"
        assert [row["state"] for row in brand.rows()] == ["paused"]
        # Klaviyo lets the key in again, without all it needs.
        account.add_key(key, scopes - {"lists:write"})
        with pytest.raises(KlaviyoRefusedError, match="lacks lists:write"):
            brand.sync()
        account.add_key(key, scopes)
        brand.sandbox.fail_klaviyo(Fault(status=503, count=2))
        with pytest.raises(KlaviyoUnavailableError):
            brand.sync()
        assert brand.config(config_id)["is_paused"]
    assert brand.sync()["added"] == 1
    assert not brand.config(config_id)["is_paused"]
    assert brand.members() == {"ada"}


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("path", ["/profiles", "/api/profile-bulk-import-jobs"])
def test_a_refusal_that_passes_pauses_nothing(brand: Brand, status: int, path: str) -> None:
    config_id = brand.map(brand.segment("1", "ada"))
    brand.sandbox.fail_klaviyo(Fault(status=status, path=path))
    with stamina.set_testing(True, attempts=2):
        assert brand.sync()["added"] == 1
    assert status in [each.status for each in brand.sandbox.klaviyo_requests()]
    assert not brand.config(config_id)["is_paused"]
    with tenant_transaction(brand.pool, brand.tenant_id) as conn:
        (row,) = conn.execute("select state from app.connections").fetchall()
    assert row["state"] == "active"
    assert brand.members() == {"ada"}


def test_a_deleted_list_pauses_the_lists_it_feeds(brand: Brand, account: Account) -> None:
    target = account.add_list("Target")
    brand.put_on("ada")
    pull = brand.map(f"klaviyo:{brand.list.id}", direction="pull")
    push = brand.map(f"klaviyo:{brand.list.id}", target)
    brand.sync()
    del account.lists[brand.list.id]
    assert brand.sync()["paused"] == 2
    assert {brand.config(each)["paused_by"] for each in (pull, push)} == {"sync"}
    assert brand.members(target) == {"ada"}


# -- killed runs --------------------------------------------------------------------------------


class _KilledError(BaseException):
    pass


class _KillingPool:
    """A pool whose process dies at a given transaction."""

    def __init__(self, pool: Pool, moments: Iterator[None]) -> None:
        self._pool, self._moments = pool, moments

    def connection(self) -> Any:
        next(self._moments)
        return self._pool.connection()


def _moments(until: int) -> Iterator[None]:
    """This many steps, then the process dies."""
    for _ in range(until):
        yield
    raise _KilledError


def _prepare_changes(brand: Brand) -> list[UUID]:
    """A list with changes to make: additions, removals, transfers, and a removal by hand."""
    configs = [
        brand.map(brand.segment("1", "ada", "bob", "cyd", "dee"), sends_events=True),
        brand.map(brand.segment("2", "eve"), sends_events=True),
    ]
    brand.put_on("hand")
    brand.sync()
    brand.sync()
    brand.take_off("dee")
    brand.segment("1", "dee", "fay", "gus", "hal", "hand")
    brand.segment("2", "ada", "eve", "ivy")
    return configs


def _outcome(brand: Brand, configs: list[UUID]) -> tuple[Any, ...]:
    return (
        brand.members(),
        [brand.ledger(config_id) for config_id in configs],
        brand.events(),
    )


@pytest.mark.kill
def test_a_run_killed_at_any_point_and_repeated_ends_the_same(
    here: Settings,
    pool: Pool,
    sandbox: Sandbox,
    account: Account,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = replace(LIMITS, import_profiles=2, remove_profiles=1)
    unharmed = Brand(here, pool, sandbox, account, next(_numbers))
    configs = _prepare_changes(unharmed)
    for _ in range(2):
        unharmed.sync(limits=limits, reads_all=True)
    expected = _outcome(unharmed, configs)
    assert expected[0] == {"ada", "eve", "fay", "gus", "hal", "hand", "ivy"}

    real_send = klaviyo_client.send
    until, has_survived = 0, False
    while not has_survived:
        brand = Brand(here, pool, sandbox, account, next(_numbers))
        configs = _prepare_changes(brand)
        moments = _moments(until)

        def dying_send(http: httpx.Client, method: str, url: str, **content: Any) -> httpx.Response:
            next(moments)  # noqa: B023 - used up before the next is made
            return real_send(http, method, url, **content)

        monkeypatch.setattr(klaviyo_client, "send", dying_send)
        try:
            with begun_run(pool, brand.tenant_id) as run:
                sync_klaviyo(here, _KillingPool(pool, moments), brand.tenant_id, run, limits=limits)
            has_survived = True
        except _KilledError:
            pass
        monkeypatch.undo()
        for _ in range(2):
            brand.sync(limits=limits, reads_all=True)
        assert _outcome(brand, configs) == expected, f"killed at moment {until}"
        until += 9
    assert until > 50


# -- people whom a person added, whatever dates Klaviyo reports ----------------------------------

NOW = datetime.now(UTC)
DATES: dict[str, datetime | None] = {
    "a year ahead": NOW + timedelta(days=365),
    "an hour ahead": NOW + timedelta(hours=1),
    "none": None,
    "a year ago": NOW - timedelta(days=365),
    "before all": datetime(1, 1, 1, tzinfo=UTC),
    "at the end of time": datetime(9999, 12, 31, tzinfo=UTC),
}


@pytest.mark.parametrize("others", DATES)
@pytest.mark.parametrize("by_hand", DATES)
def test_people_added_by_hand_stay_whatever_dates_are_reported(
    brand: Brand, others: str, by_hand: str
) -> None:
    """Those whom Quintile added are removed all the same."""
    brand.put_on("cyd")
    config_id = brand.map(brand.segment("1", "ada"))
    brand.sync()
    brand.date(DATES[others], "ada", "cyd")
    brand.sync()
    brand.put_on("hand")
    brand.date(DATES[by_hand], "hand")
    brand.sync()
    brand.segment("1", "ada", "hand")
    brand.sync()
    assert brand.ledger(config_id) == {"ada": "synced", "hand": "kept"}
    brand.segment("1")
    brand.sync()
    assert {"cyd", "hand"} <= brand.members()
    brand.sync(reads_all=True)
    assert brand.members() == {"cyd", "hand"}


@pytest.mark.parametrize("date", DATES)
def test_people_put_back_by_hand_after_their_removal_stay(brand: Brand, date: str) -> None:
    config_id = brand.map(brand.segment("1", "ada", "bob"))
    brand.sync()
    brand.sync()
    brand.segment("1", "bob")
    assert brand.sync()["removed"] == 1
    brand.put_on("ada")
    brand.date(DATES[date], "ada")
    brand.sync()
    brand.segment("1", "ada", "bob")
    assert brand.sync()["added"] == 0
    assert brand.ledger(config_id) == {"ada": "kept", "bob": "synced"}
    brand.segment("1")
    brand.sync()
    assert brand.members() == {"ada"}


def test_people_on_the_list_unseen_get_properties_and_are_no_addition(brand: Brand) -> None:
    brand.put_on("cyd")
    brand.map(brand.segment("1", "ada"), sends_events=True)
    brand.sync()
    brand.put_on("hand")
    brand.date(None, "hand")
    brand.segment("1", "ada", "hand", "new")
    counts = brand.sync()
    assert (counts["added"], counts["updated"]) == (1, 1)
    profile = brand.account.profile_by_email(brand.email("hand"))
    assert profile is not None
    assert profile.properties["quintile_rfm_segment"] == "none"
    assert ("hand", "Entered Segment", False) in brand.events()
    brand.sync()
    assert brand.writes() == []


def test_additions_are_looked_up_only_if_the_list_was_not_read(brand: Brand) -> None:
    brand.put_on("cyd")
    brand.map(brand.segment("1", *crowd(150)))
    brand.sync()
    path = f"/api/lists/{brand.list.id}/profiles"
    assert [each.path for each in brand.sandbox.klaviyo_requests()].count(path) == 1
    brand.segment("1", *crowd(300))
    brand.sync()
    # Two pages of the joins since, and 150 additions, a hundred to a call.
    assert [each.path for each in brand.sandbox.klaviyo_requests()].count(path) == 2 + 2


def test_a_future_date_that_a_former_release_recorded_hides_nobody(brand: Brand) -> None:
    brand.put_on("cyd")
    brand.map(f"klaviyo:{brand.list.id}", direction="pull")
    brand.sync()
    with tenant_transaction(brand.pool, brand.tenant_id) as conn:
        conn.execute("update app.klaviyo_lists set joins_read_to = now() + interval '1 year'")
    brand.put_on("new")
    brand.sync()
    assert brand.read() == {"cyd", "new"}


def test_a_full_read_corrects_how_far_joins_have_been_read(brand: Brand) -> None:
    brand.put_on("cyd")
    brand.map(f"klaviyo:{brand.list.id}", direction="pull")
    brand.sync()
    brand.date(NOW - timedelta(days=2), "cyd")
    brand.sync(reads_all=True)
    brand.put_on("new")
    brand.date(NOW - timedelta(days=1), "new")
    brand.sync()
    assert brand.read() == {"cyd", "new"}


class _KilledBeforeSending(NullProgress):
    def __init__(self, run_id: UUID) -> None:
        super().__init__()
        self.run_id = run_id

    def phase(self, name: str, total: int | None = None) -> None:
        if name == "changes":
            raise _KilledError


def test_people_who_were_planned_and_never_sent_are_not_quintiles(brand: Brand) -> None:
    config_id = brand.map(brand.segment("1", "ada", "bob"))
    with pytest.raises(_KilledError), begun_run(brand.pool, brand.tenant_id) as run:
        sync_klaviyo(brand.here, brand.pool, brand.tenant_id, _KilledBeforeSending(run.run_id))
    assert brand.ledger(config_id) == {"ada": "pending", "bob": "pending"}
    brand.put_on("ada")
    brand.sync()
    assert brand.ledger(config_id) == {"ada": "kept", "bob": "synced"}
    brand.segment("1")
    brand.sync()
    assert brand.members() == {"ada"}


@pytest.mark.parametrize("leaves", [False, True], ids=["stays in the segment", "leaves it"])
def test_people_whose_import_was_refused_are_not_quintiles(brand: Brand, *, leaves: bool) -> None:
    config_id = brand.map(brand.segment("1", "ada", "bob"))
    refusal = Fault(status=400, path="/api/profile-bulk-import-jobs", count=100)
    brand.sandbox.fail_klaviyo(refusal)
    with pytest.raises(KlaviyoError, match="status 400"):
        brand.sync()
    brand.sandbox.reset_faults()
    brand.put_on("ada")
    if not leaves:
        brand.sync()
        assert brand.ledger(config_id) == {"ada": "kept", "bob": "synced"}
    brand.segment("1")
    brand.sync()
    assert brand.members() == {"ada"}
    assert brand.ledger(config_id) == {}


@pytest.mark.parametrize("date", DATES)
def test_people_whose_imports_answer_was_lost_are_quintiles(brand: Brand, date: str) -> None:
    brand.put_on("cyd")
    config_id = brand.map(brand.segment("1", "bob"))
    brand.sync()
    brand.segment("1", "ada", "bob")
    brand.sandbox.fail_klaviyo(Fault(lose=True, path="/api/profile-bulk-import-jobs", count=100))
    with stamina.set_testing(True, attempts=1), pytest.raises(KlaviyoUnavailableError):
        brand.sync()
    brand.sandbox.reset_faults()
    brand.put_on("ada")
    brand.date(DATES[date], "ada")
    brand.sync()
    assert brand.ledger(config_id) == {"ada": "synced", "bob": "synced"}
    brand.segment("1")
    brand.sync()
    assert brand.members() == {"cyd"}


def test_people_of_two_segments_put_back_by_hand_stay(brand: Brand) -> None:
    """One segment's sync removes them while the other's has not planned yet."""
    first = brand.map(brand.segment("1", "ada", "bob"))
    second = brand.map(brand.segment("2", "ada", "bob"))
    brand.sync()
    brand.sync()
    brand.segment("1", "bob")
    brand.segment("2", "bob")
    brand.sync(config_ids=[first])
    assert brand.members() == {"bob"}
    brand.put_on("ada")
    brand.date(None, "ada")
    brand.segment("2", "ada", "bob")
    brand.sync(config_ids=[second])
    assert brand.ledger(second) == {"ada": "kept", "bob": "synced"}
    brand.segment("1")
    brand.segment("2")
    brand.sync()
    assert brand.members() == {"ada"}


def test_a_list_that_is_deleted_before_its_additions_are_looked_up_pauses(brand: Brand) -> None:
    brand.put_on("cyd")
    config_id = brand.map(brand.segment("1", "ada"))
    brand.sync()
    brand.segment("1", "ada", "bob")

    class Deletes(NullProgress):
        def __init__(self, run_id: UUID) -> None:
            super().__init__()
            self.run_id = run_id

        def phase(self, name: str, total: int | None = None) -> None:
            if name == "changes":
                del brand.account.lists[brand.list.id]

    with begun_run(brand.pool, brand.tenant_id) as run:
        sync_klaviyo(brand.here, brand.pool, brand.tenant_id, Deletes(run.run_id))
    assert brand.config(config_id)["is_paused"]
