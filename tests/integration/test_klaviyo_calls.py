"""Carrying out a plan in Klaviyo: imports, removals and events, with a result for each row."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import unquote
from uuid import UUID

import httpx
import pytest
import stamina

from sandbox import Fault, Sandbox
from sandbox.klaviyo import ALL_SCOPES, Account
from service.core.config import Settings
from service.core.db import Connection, Pool, one, tenant_transaction
from service.destinations.interface import Person
from service.destinations.push import Target, import_people, remove_people, send_events
from service.klaviyo.account import read_live_flows
from service.klaviyo.client import (
    KlaviyoClient,
    KlaviyoError,
    KlaviyoRevisionError,
    KlaviyoUnavailableError,
    open_klaviyo,
)
from service.klaviyo.connection import connect_klaviyo
from service.klaviyo.events import EventsNotAllowedError
from service.klaviyo.rate_limits import LocalWindows
from service.worker.housekeeping import housekeep
from tests.conftest import MakeTenant, NullProgress
from tests.klaviyo import add_and_update, klaviyo_target, via

KEY = "pk_sandbox_for_these_tests"


@pytest.fixture
def account() -> Account:
    made = Account(
        KEY, name="Kessel", currency="EUR", timezone="UTC", prefix="KK", rate_limit_scale=50
    )
    made.add_list("Champions")
    return made


@pytest.fixture
def tenant(klaviyo_settings: Settings, pool: Pool, make_tenant: MakeTenant) -> UUID:
    tenant_id = make_tenant("kessel", None)
    connect_klaviyo(klaviyo_settings, pool, tenant_id, KEY)
    return tenant_id


@pytest.fixture
def target(
    klaviyo_settings: Settings, pool: Pool, tenant: UUID, account: Account, klaviyo: Sandbox
) -> Iterator[Target]:
    list_id = account.list_names()[0]["id"]
    with tenant_transaction(pool, tenant) as conn:
        config = one(
            conn.execute(
                """
                insert into app.klaviyo_sync_configs (tenant_id, segment_key, list_id, list_name)
                values (%s, 'rfm:champions', %s, 'Champions')
                returning config_id
                """,
                [tenant, list_id],
            ).fetchone()
        )
    klaviyo.clear_requests()
    with open_klaviyo(klaviyo_settings, KEY) as client:
        yield klaviyo_target(client, pool, tenant, config["config_id"], list_id)


def row(email: str, *, segment: str = "champions", profile_id: str | None = None) -> Person:
    properties = json.dumps({"quintile_rfm_segment": segment})
    return Person(email, "customer", profile_id, properties, f"hash of {segment}")


def ledger(target: Target) -> dict[str, dict[str, Any]]:
    with tenant_transaction(target.pool, target.tenant_id) as conn:
        rows = conn.execute("select * from app.klaviyo_ledger").fetchall()
    return {each["email"]: each for each in rows}


def states(target: Target) -> dict[str, str]:
    return {email: each["state"] for email, each in ledger(target).items()}


def hashes(target: Target) -> dict[str, str]:
    with tenant_transaction(target.pool, target.tenant_id) as conn:
        rows = conn.execute("select email, properties_hash from app.klaviyo_profiles").fetchall()
    return {each["email"]: each["properties_hash"] for each in rows}


def add_to_ledger(target: Target, email: str, state: str) -> None:
    with tenant_transaction(target.pool, target.tenant_id) as conn:
        conn.execute(
            """
            insert into app.klaviyo_ledger (tenant_id, config_id, email, customer_id, state)
            values (%s, %s, %s, 'customer', %s)
            """,
            [target.tenant_id, target.config_id, email, state],
        )


def writes(klaviyo: Sandbox) -> list[str]:
    return [each.path for each in klaviyo.klaviyo_requests() if each.method != "GET"]


def properties_of(account: Account, email: str) -> dict[str, Any]:
    profile = account.profile_by_email(email)
    assert profile is not None
    return profile.properties


# -- imports ------------------------------------------------------------------------------------


def test_additions_and_updates_are_sent_with_their_properties(
    target: Target, account: Account, klaviyo: Sandbox, null_progress: NullProgress
) -> None:
    add_to_ledger(target, "kept@example.org", "kept")
    add_and_update(
        target,
        [row("ada@example.org"), row("bob@example.org")],
        [row("kept@example.org", segment="loyal")],
        null_progress,
    )
    assert writes(klaviyo) == ["/api/profile-bulk-import-jobs"] * 2
    assert states(target) == {
        "ada@example.org": "synced",
        "bob@example.org": "synced",
        "kept@example.org": "kept",
    }
    # An update does not add people again who were removed since the list was read.
    assert account.member_emails(target.list_id) == {"ada@example.org", "bob@example.org"}
    assert properties_of(account, "ada@example.org") == {"quintile_rfm_segment": "champions"}
    assert properties_of(account, "kept@example.org") == {"quintile_rfm_segment": "loyal"}
    assert hashes(target) == {
        "ada@example.org": "hash of champions",
        "bob@example.org": "hash of champions",
        "kept@example.org": "hash of loyal",
    }
    assert null_progress.counts == {"added": 2, "updated": 1}


def test_a_batch_keeps_within_klaviyos_limits(
    target: Target, account: Account, klaviyo: Sandbox, null_progress: NullProgress
) -> None:
    people = [row(f"person{n}@example.org") for n in range(25)]
    add_and_update(via(target, import_profiles=10), people, [], null_progress)
    assert len(writes(klaviyo)) == 3
    klaviyo.clear_requests()
    one_profile = len('{"type":"profile","attributes":{"email":"","properties":}},') + sum(
        len(str(people[0][n])) for n in (0, 3)
    )
    add_and_update(via(target, import_bytes=one_profile * 5), people, [], null_progress)
    assert 5 <= len(writes(klaviyo)) <= 7
    assert len(account.member_emails(target.list_id)) == 25


def test_people_on_no_list_are_updated_without_a_list(
    target: Target, account: Account, null_progress: NullProgress
) -> None:
    import_people(target, [row("gone@example.org", segment="none")], "refresh", null_progress)
    assert properties_of(account, "gone@example.org") == {"quintile_rfm_segment": "none"}
    assert account.member_emails(target.list_id) == set()
    assert states(target) == {}
    assert hashes(target) == {"gone@example.org": "hash of none"}


def test_a_bad_address_rejects_only_its_own_row(
    target: Target, account: Account, klaviyo: Sandbox, null_progress: NullProgress
) -> None:
    people = [row(f"person{n}@example.org") for n in range(20)]
    people[7] = row("b..b@example.org")
    add_and_update(target, people, [], null_progress)
    assert len(writes(klaviyo)) == 2
    assert len(account.member_emails(target.list_id)) == 19
    refused = ledger(target)["b..b@example.org"]
    assert (refused["state"], refused["error_code"]) == ("rejected", "invalid")
    assert "Invalid email address" in refused["error_detail"]
    assert refused["refused_hash"] == "hash of champions"
    assert "b..b@example.org" not in hashes(target)
    assert null_progress.counts == {"added": 19, "rejected": 1}


def test_a_profile_that_fails_inside_an_import_rejects_only_its_own_row(
    target: Target, account: Account, null_progress: NullProgress
) -> None:
    account.fail_import_of("late@example.org")
    add_to_ledger(target, "late@example.org", "pending")
    add_and_update(target, [row("ada@example.org"), row("late@example.org")], [], null_progress)
    assert states(target) == {"ada@example.org": "synced", "late@example.org": "rejected"}
    # It is accepted the next time it is sent.
    account._unimportable.clear()
    add_and_update(target, [row("late@example.org", segment="loyal")], [], null_progress)
    kept = ledger(target)["late@example.org"]
    assert (kept["state"], kept["error_code"], kept["refused_hash"]) == ("synced", None, None)


def test_a_refused_update_does_not_change_the_state_of_people_on_the_list(
    target: Target, account: Account, null_progress: NullProgress
) -> None:
    account.fail_import_of("ada@example.org")
    add_to_ledger(target, "ada@example.org", "synced")
    add_and_update(target, [], [row("ada@example.org", segment="loyal")], null_progress)
    kept = ledger(target)["ada@example.org"]
    assert (kept["state"], kept["error_code"], kept["refused_hash"]) == ("synced", "invalid", None)
    # Not sent again until the properties change.
    assert hashes(target) == {"ada@example.org": "hash of loyal"}
    account._unimportable.clear()
    add_and_update(target, [], [row("ada@example.org")], null_progress)
    assert ledger(target)["ada@example.org"]["error_code"] is None


def test_a_profile_that_is_too_large_is_rejected_alone(
    target: Target, account: Account, klaviyo: Sandbox, null_progress: NullProgress
) -> None:
    large = json.dumps({"quintile_rfm_segment": "ä" * 50_000}, ensure_ascii=False)
    huge = Person("huge@example.org", "customer", None, large, "hash of much")
    add_and_update(
        target, [row("ada@example.org"), huge, row("bob@example.org")], [], null_progress
    )
    assert [each.status for each in klaviyo.klaviyo_requests()].count(400) == 0
    assert states(target) == {
        "ada@example.org": "synced",
        "bob@example.org": "synced",
        "huge@example.org": "rejected",
    }
    assert ledger(target)["huge@example.org"]["error_code"] == "profile_too_large"


def client_through(
    klaviyo: Sandbox, intercept: Callable[[str], httpx.Response | None], *, method: str = "POST"
) -> KlaviyoClient:
    """A client whose calls are answered by ``intercept``, or by the sandbox if it returns None.

    It is asked with the body or, if there is none, with the address.
    """

    class Intercepted(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            asked = request.read().decode() or unquote(str(request.url))
            answer = intercept(asked) if request.method == method else None
            return answer or super().handle_request(request)

    headers = {"Authorization": f"Klaviyo-API-Key {KEY}", "revision": "2026-10-15"}
    http = httpx.Client(headers=headers, transport=Intercepted())
    return KlaviyoClient(http, klaviyo.klaviyo_url, windows=LocalWindows())


def refusing_vaguely(klaviyo: Sandbox, *, is_refused: str) -> KlaviyoClient:
    """A client whose imports are refused without a pointer while they contain an address."""

    def refuse(body: str) -> httpx.Response | None:
        error = {"code": "invalid", "detail": "No.", "source": {"pointer": "/data/"}}
        return httpx.Response(400, json={"errors": [error]}) if is_refused in body else None

    return client_through(klaviyo, refuse)


def refusing_look_ups(klaviyo: Sandbox, status: int, *addresses: str) -> KlaviyoClient:
    """A client whose look-ups are refused while they contain one of these addresses."""

    def refuse(url: str) -> httpx.Response | None:
        if not any(address in url for address in addresses):
            return None
        error = {"code": "invalid", "detail": "No.", "source": {"parameter": "filter"}}
        return httpx.Response(status, json={"errors": [error]})

    return client_through(klaviyo, refuse, method="GET")


@pytest.mark.parametrize("status", [400, 409, 413, 422])
@pytest.mark.parametrize("refused", [("p3@",), ("p0@", "p1@", "p9@")], ids=len)
def test_an_address_that_cannot_be_looked_up_is_on_no_list(
    target: Target, account: Account, klaviyo: Sandbox, status: int, refused: tuple[str, ...]
) -> None:
    emails = [f"p{number}@example.org" for number in range(10)]
    profiles = [account.upsert_profile({"email": email})[0] for email in emails]
    account.join(account.lists[target.list_id], [profile.id for profile in profiles])
    through = via(target, refusing_look_ups(klaviyo, status, *refused))
    found = [each.email for each in through.destination.find_members(target.list_id, emails)]
    assert sorted(map(str, found)) == [each for each in emails if not each.startswith(refused)]
    # Nor if it is looked up alone.
    (first, *_) = (each for each in emails if each.startswith(refused))
    assert list(through.destination.find_members(target.list_id, [first])) == []


def test_a_person_who_cannot_be_looked_up_is_added(
    target: Target, account: Account, klaviyo: Sandbox, null_progress: NullProgress
) -> None:
    people = [row(f"p{number}@example.org") for number in range(4)]
    through = via(target, refusing_look_ups(klaviyo, 400, "p2@"))
    import_people(through, people, "add", null_progress)
    assert set(states(target).values()) == {"synced"}
    assert account.member_emails(target.list_id) == {person.email for person in people}


@pytest.mark.parametrize("emails", [["a@example.org"], ["a@example.org", "b@example.org"]], ids=len)
def test_a_look_up_that_is_always_refused_is_an_error(
    target: Target, klaviyo: Sandbox, emails: list[str]
) -> None:
    through = via(target, refusing_look_ups(klaviyo, 400, "@example."))
    with pytest.raises(KlaviyoError, match="status 400: No"):
        list(through.destination.find_members(target.list_id, emails))
    assert through.destination.calls == 2


def test_an_address_of_another_profile_is_sent_with_that_profiles_id(
    target: Target, account: Account, klaviyo: Sandbox, null_progress: NullProgress
) -> None:
    existing = account.create_profile({"email": "bob@example.org"}).id

    def conflict(body: str) -> httpx.Response | None:
        error = {
            "code": "duplicate_profile",
            "detail": "A profile already exists.",
            "source": {"pointer": "/data/attributes/profiles/data/1"},
            "meta": {"duplicate_profile_id": existing},
        }
        return None if existing in body else httpx.Response(409, json={"errors": [error]})

    through = via(target, client_through(klaviyo, conflict))
    add_and_update(through, [row("ada@example.org"), row("bob@example.org")], [], null_progress)
    assert set(states(target).values()) == {"synced"}
    assert existing in account.lists[target.list_id].members
    assert properties_of(account, "bob@example.org") == {"quintile_rfm_segment": "champions"}


def test_a_refusal_without_a_pointer_is_narrowed_down(
    target: Target, account: Account, klaviyo: Sandbox, null_progress: NullProgress
) -> None:
    people = [row(f"person{n:02}@example.org") for n in range(40)]
    vague = via(target, refusing_vaguely(klaviyo, is_refused="person13@"))
    add_and_update(vague, people, [], null_progress)
    assert len(account.member_emails(target.list_id)) == 39
    refused = ledger(target)["person13@example.org"]
    assert (refused["state"], refused["error_detail"]) == ("rejected", "No.")


@pytest.mark.parametrize(
    ("status", "source"),
    [
        (400, None),
        (400, {}),
        (400, {"pointer": "/data/attributes/profiles/data/99999/attributes/email"}),
        (400, {"pointer": "/data/attributes/profiles/data/-/attributes/email"}),
        (400, {"pointer": "data.attributes.profiles.data[3].attributes.email"}),
        (400, {"pointer": "/data/attributes/email"}),
        (409, {"pointer": "/data/attributes"}),
        (413, {"pointer": "/data/"}),
        (422, {"pointer": "/data/"}),
    ],
)
def test_a_refusal_without_a_usable_pointer_costs_only_the_bad_profile(
    status: int,
    source: Any,
    target: Target,
    account: Account,
    klaviyo: Sandbox,
    null_progress: NullProgress,
) -> None:
    def refuse(body: str) -> httpx.Response | None:
        error = {"code": "invalid", "detail": "No.", "source": source}
        return httpx.Response(status, json={"errors": [error]}) if "person3@" in body else None

    people = [row(f"person{n}@example.org") for n in range(9)]
    add_and_update(via(target, client_through(klaviyo, refuse)), people, [], null_progress)
    assert len(account.member_emails(target.list_id)) == 8
    assert states(target)["person3@example.org"] == "rejected"


@pytest.mark.parametrize(
    "source",
    [{"pointer": "/data/relationships/lists/data/0/id"}, {"parameter": "page[size]"}],
    ids=["the list", "a parameter"],
)
def test_a_refusal_about_the_call_is_not_split(
    source: dict[str, str],
    target: Target,
    klaviyo: Sandbox,
    null_progress: NullProgress,
) -> None:
    calls = []

    def refuse(body: str) -> httpx.Response:
        calls.append(body)
        error = {"code": "invalid", "detail": "No.", "source": source}
        return httpx.Response(400, json={"errors": [error]})

    people = [row(f"person{n}@example.org") for n in range(9)]
    with pytest.raises(KlaviyoError, match=r"No\."):
        add_and_update(via(target, client_through(klaviyo, refuse)), people, [], null_progress)
    assert len(calls) == 1
    assert set(states(target).values()) == {"pending"}


def test_a_retired_revision_splits_no_import_and_asks_for_an_upgrade(
    klaviyo_settings: Settings, target: Target, null_progress: NullProgress
) -> None:
    retired = replace(klaviyo_settings, klaviyo_revision="2024-10-15")
    with (
        open_klaviyo(retired, KEY) as client,
        pytest.raises(KlaviyoRevisionError, match="2024-10-15") as raised,
    ):
        add_and_update(via(target, client), [row("ada@example.org")], [], null_progress)
    assert "Upgrade" in raised.value.advice


def test_a_refusal_of_all_profiles_rejects_none_of_them(
    target: Target, klaviyo: Sandbox, null_progress: NullProgress
) -> None:
    people = [row(f"person{n:02}@example.org") for n in range(8)]
    vague = via(target, refusing_vaguely(klaviyo, is_refused="@example.org"))
    with pytest.raises(KlaviyoError, match=r"No\."):
        add_and_update(vague, people, [], null_progress)
    assert set(states(target).values()) == {"pending"}


def test_a_deleted_list_rejects_no_profile(
    target: Target, account: Account, null_progress: NullProgress
) -> None:
    account.lists.clear()
    with pytest.raises(KlaviyoError, match="does not exist"):
        add_and_update(target, [row("ada@example.org")], [], null_progress)
    assert states(target) == {"ada@example.org": "pending"}


def test_removals_are_sent_a_thousand_at_a_time(
    target: Target, account: Account, klaviyo: Sandbox, null_progress: NullProgress
) -> None:
    people = [row(f"person{n}@example.org") for n in range(1001)]
    add_and_update(target, people, [], null_progress)
    klaviyo.clear_requests()
    leaving = []
    for email, *_ in people:
        profile = account.profile_by_email(str(email))
        assert profile is not None
        leaving.append(row(str(email), profile_id=profile.id))
    with tenant_transaction(target.pool, target.tenant_id) as conn:
        conn.execute("update app.klaviyo_ledger set is_member = false")
    remove_people(target, leaving, null_progress)
    assert len(writes(klaviyo)) == 2
    assert account.member_emails(target.list_id) == set()
    assert states(target) == {}


def leaving(target: Target, account: Account, count: int) -> list[Person]:
    """This many people on the list who have left the segment."""
    people = []
    for number in range(count):
        profile = account.create_profile({"email": f"person{number}@example.org"})
        account.join(account.lists[target.list_id], [profile.id])
        add_to_ledger(target, f"person{number}@example.org", "synced")
        people.append(row(f"person{number}@example.org", profile_id=profile.id))
    with tenant_transaction(target.pool, target.tenant_id) as conn:
        conn.execute("update app.klaviyo_ledger set is_member = false")
    return people


def test_a_profile_that_klaviyo_deleted_does_not_block_other_removals(
    target: Target, account: Account, klaviyo: Sandbox, null_progress: NullProgress
) -> None:
    people = leaving(target, account, 3)
    gone = str(people[1][2])

    def refuse(body: str) -> httpx.Response | None:
        error = {
            "code": "not_found",
            "detail": f"A profile with id {gone} does not exist.",
            "source": {"pointer": "/data/1/id"},
        }
        return httpx.Response(404, json={"errors": [error]}) if gone in body else None

    through = via(target, client_through(klaviyo, refuse, method="DELETE"))
    remove_people(through, people, null_progress)
    assert list(account.lists[target.list_id].members) == [gone]
    assert states(target) == {}
    assert null_progress.counts == {"removed": 3}


@pytest.mark.parametrize("status", [404, 400])
@pytest.mark.parametrize("pointer", ["/data/", "/data/77/id", None])
def test_a_removal_refused_without_a_usable_pointer_is_split(
    status: int,
    pointer: str | None,
    target: Target,
    account: Account,
    klaviyo: Sandbox,
    null_progress: NullProgress,
) -> None:
    people = leaving(target, account, 9)
    bad = str(people[5].profile_id)

    def refuse(body: str) -> httpx.Response | None:
        error = {"code": "invalid", "detail": "No.", "source": {"pointer": pointer}}
        return httpx.Response(status, json={"errors": [error]}) if bad in body else None

    through = via(target, client_through(klaviyo, refuse, method="DELETE"))
    remove_people(through, people, null_progress)
    assert list(account.lists[target.list_id].members) == [bad]
    if status == 404:
        # Klaviyo does not know the profile, so it is on no list.
        assert states(target) == {}
        assert null_progress.counts == {"removed": 9}
    else:
        assert states(target) == {people[5].email: "pending"}
        assert ledger(target)[people[5].email]["error_detail"] == "No."
        assert null_progress.counts == {"removed": 8, "rejected": 1}


def test_a_profile_that_klaviyo_deleted_does_not_block_a_removal_of_its_own(
    target: Target, account: Account, klaviyo: Sandbox, null_progress: NullProgress
) -> None:
    def refuse(_: str) -> httpx.Response:
        return httpx.Response(404, json={"errors": [{"code": "not_found", "detail": "No."}]})

    people = leaving(target, account, 1)
    remove_people(
        via(target, client_through(klaviyo, refuse, method="DELETE")), people, null_progress
    )
    assert states(target) == {}


def test_a_removal_refused_for_another_reason_fails(
    target: Target, account: Account, null_progress: NullProgress
) -> None:
    people = leaving(target, account, 2)
    del account.lists[target.list_id]
    with pytest.raises(KlaviyoError, match="does not exist"):
        remove_people(target, people, null_progress)
    assert set(states(target).values()) == {"pending"}


# -- slow and cancelled imports ------------------------------------------------------------------


def job_in(klaviyo: Sandbox, status: str, *, times: int) -> KlaviyoClient:
    """A client that gets this status of an import this many times."""
    looks = iter(range(times))

    class Intercepted(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            answer = super().handle_request(request)
            if request.method != "GET" or next(looks, None) is None:
                return answer
            document = json.loads(answer.read())
            document["data"]["attributes"]["status"] = status
            return httpx.Response(200, json=document)

    headers = {"Authorization": f"Klaviyo-API-Key {KEY}", "revision": "2026-10-15"}
    http = httpx.Client(headers=headers, transport=Intercepted())
    return KlaviyoClient(http, klaviyo.klaviyo_url, windows=LocalWindows())


def test_a_slow_import_is_waited_for(
    target: Target, klaviyo: Sandbox, null_progress: NullProgress
) -> None:
    slow = via(target, job_in(klaviyo, "processing", times=4))
    add_and_update(slow, [row("ada@example.org")], [], null_progress)
    assert states(target) == {"ada@example.org": "synced"}


@pytest.mark.parametrize("times", [1, 3])
def test_an_import_that_is_not_found_at_first_is_looked_for_again(
    times: int,
    target: Target,
    account: Account,
    klaviyo: Sandbox,
    null_progress: NullProgress,
) -> None:
    missing = Fault(status=404, path="/api/profile-bulk-import-jobs/", count=times)
    klaviyo.fail_klaviyo(missing)
    add_and_update(target, [row("ada@example.org")], [], null_progress)
    assert states(target) == {"ada@example.org": "synced"}


def test_the_errors_of_an_import_that_are_not_found_at_first_are_read_again(
    target: Target, account: Account, klaviyo: Sandbox, null_progress: NullProgress
) -> None:
    account.fail_import_of("bad@example.org")
    klaviyo.fail_klaviyo(Fault(status=404, path="/import-errors", count=2))
    people = [row("ada@example.org"), row("bad@example.org")]
    add_and_update(target, people, [], null_progress)
    assert states(target) == {"ada@example.org": "synced", "bad@example.org": "rejected"}


def test_an_import_that_is_never_found_leaves_its_people_pending(
    target: Target,
    klaviyo: Sandbox,
    null_progress: NullProgress,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.klaviyo.imports._FOUND_WITHIN_SECONDS", 0.5)
    klaviyo.fail_klaviyo(Fault(status=404, path="/api/profile-bulk-import-jobs/", count=100))
    with pytest.raises(KlaviyoError, match="status 404"):
        add_and_update(target, [row("ada@example.org")], [], null_progress)
    assert states(target) == {"ada@example.org": "pending"}


def test_people_of_an_import_whose_errors_come_late_are_not_called_synced(
    target: Target, account: Account, klaviyo: Sandbox, null_progress: NullProgress
) -> None:
    """The job counts one failure, and the list of errors is empty at first."""
    account.fail_import_of("bad@example.org")
    answers = iter([httpx.Response(200, json={"data": [], "links": {"next": None}})])

    def answer_early(url: str) -> httpx.Response | None:
        return next(answers, None) if "/import-errors" in url else None

    late = via(target, client_through(klaviyo, answer_early, method="GET"))
    people = [row("ada@example.org"), row("bad@example.org")]
    add_and_update(late, people, [], null_progress)
    assert set(states(target).values()) == {"pending"}
    assert hashes(target) == {}
    add_and_update(late, people, [], null_progress)
    assert states(target) == {"ada@example.org": "synced", "bad@example.org": "rejected"}


def test_an_import_that_does_not_end_leaves_its_people_pending(
    target: Target,
    account: Account,
    klaviyo: Sandbox,
    null_progress: NullProgress,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.klaviyo.imports._IMPORTED_WITHIN_SECONDS", 0.5)
    stuck = via(target, job_in(klaviyo, "queued", times=100))
    with pytest.raises(KlaviyoError, match="has not finished an import"):
        add_and_update(stuck, [row("ada@example.org")], [], null_progress)
    assert states(target) == {"ada@example.org": "pending"}
    assert hashes(target) == {}


def test_a_cancelled_import_is_not_recorded_as_done(
    target: Target, account: Account, klaviyo: Sandbox, null_progress: NullProgress
) -> None:
    cancelled = via(target, job_in(klaviyo, "cancelled", times=1))
    people = [row("ada@example.org"), row("bob@example.org")]
    with pytest.raises(KlaviyoError, match="cancelled an import"):
        add_and_update(cancelled, people, [], null_progress)
    assert set(states(target).values()) == {"pending"}
    assert hashes(target) == {}
    assert null_progress.counts == {}
    add_and_update(target, people, [], null_progress)
    assert set(states(target).values()) == {"synced"}


# -- events -------------------------------------------------------------------------------------


def add_events(target: Target, count: int, *, email: str = "p{}@example.org") -> None:
    with tenant_transaction(target.pool, target.tenant_id) as conn, conn.cursor() as cursor:
        cursor.executemany(
            """
            insert into app.klaviyo_events (
                tenant_id, config_id, email, metric, properties, is_backfill, occurred_at
            )
            values (%s, %s, %s, 'Entered Segment', '{"segment": "champions"}', %s,
                '2026-07-01 10:00:00+00')
            """,
            [
                (target.tenant_id, target.config_id, email.format(n), n % 2 == 0)
                for n in range(count)
            ],
        )


def event_states(target: Target) -> dict[str, int]:
    with tenant_transaction(target.pool, target.tenant_id) as conn:
        rows = conn.execute(
            "select state, count(*) as events from app.klaviyo_events group by state"
        ).fetchall()
    return {each["state"]: each["events"] for each in rows}


def test_few_events_are_sent_one_by_one_and_many_in_bulk_jobs(
    target: Target, account: Account, klaviyo: Sandbox, null_progress: NullProgress
) -> None:
    add_events(target, 4)
    send_events(target, null_progress)
    assert writes(klaviyo) == ["/api/events"] * 4
    klaviyo.clear_requests()
    add_events(target, 25, email="q{}@example.org")
    send_events(via(target, events=10), null_progress)
    assert writes(klaviyo) == ["/api/event-bulk-create-jobs"] * 3
    assert null_progress.counts == {"events": 29}
    assert event_states(target) == {"sent": 29}
    klaviyo.clear_requests()
    send_events(target, null_progress)
    assert writes(klaviyo) == []
    sent = list(account.events.values())
    assert len(sent) == 29
    assert {each.metric for each in sent} == {"Entered Segment"}
    assert {each.time.isoformat() for each in sent} == {"2026-07-01T10:00:00+00:00"}
    assert sum(each.is_backfill for each in sent) == 15
    assert sent[0].properties == {"segment": "champions"}
    with tenant_transaction(target.pool, target.tenant_id) as conn:
        rows = conn.execute("select event_id from app.klaviyo_events").fetchall()
    assert {each.unique_id for each in sent} == {str(each["event_id"]) for each in rows}


@pytest.mark.parametrize("bulk_from", [1, 100], ids=["bulk", "single"])
def test_an_event_whose_answer_was_lost_is_recorded_once(
    target: Target, account: Account, pool: Pool, null_progress: NullProgress, bulk_from: int
) -> None:
    add_events(target, 6)
    with tenant_transaction(pool, target.tenant_id) as conn:
        before = [each["event_id"] for each in conn.execute("select * from app.klaviyo_events")]
    send_events(via(target, events_bulk_from=bulk_from), null_progress)
    # As after a crash between Klaviyo's answer and its record, for some of them.
    with tenant_transaction(pool, target.tenant_id) as conn:
        conn.execute(
            """
            update app.klaviyo_events set state = 'pending', sent_at = null
            where event_id = any(%s)
            """,
            [before[:4]],
        )
    add_events(target, 2, email="new{}@example.org")
    send_events(via(target, events_bulk_from=bulk_from), null_progress)
    assert event_states(target) == {"sent": 8}
    assert len(account.events) == 8


@pytest.mark.parametrize("bulk_from", [1, 100], ids=["bulk", "single"])
def test_a_refused_event_rejects_only_its_own_row(
    target: Target, account: Account, null_progress: NullProgress, bulk_from: int
) -> None:
    add_events(target, 5)
    add_events(target, 1, email="b..b@example.org")
    send_events(via(target, events_bulk_from=bulk_from), null_progress)
    assert event_states(target) == {"sent": 5, "rejected": 1}
    assert null_progress.counts == {"events": 5, "events_rejected": 1}
    with tenant_transaction(target.pool, target.tenant_id) as conn:
        refused = one(
            conn.execute("select * from app.klaviyo_events where state = 'rejected'").fetchone()
        )
    assert refused["error_code"] == "invalid"
    assert "Invalid email address" in refused["error_detail"]
    assert len(account.events) == 5


@pytest.mark.parametrize("status", [400, 409, 413, 422])
@pytest.mark.parametrize("bulk_from", [1, 100], ids=["bulk", "single"])
def test_an_event_refused_with_another_status_rejects_only_its_own_row(
    target: Target,
    account: Account,
    klaviyo: Sandbox,
    null_progress: NullProgress,
    status: int,
    bulk_from: int,
) -> None:
    def refuse(body: str) -> httpx.Response | None:
        error = {"code": "odd", "detail": "No."}
        return httpx.Response(status, json={"errors": [error]}) if "odd@" in body else None

    add_events(target, 3)
    add_events(target, 1, email="odd@example.org")
    through = via(target, client_through(klaviyo, refuse), events_bulk_from=bulk_from)
    send_events(through, null_progress)
    assert event_states(target) == {"sent": 3, "rejected": 1}
    assert len(account.events) == 3


def test_events_wait_and_an_error_is_raised_without_the_scope(
    klaviyo_settings: Settings, target: Target, account: Account, null_progress: NullProgress
) -> None:
    account.add_key("pk_sandbox_without_events", ALL_SCOPES - {"events:write"})
    add_events(target, 2)
    with (
        open_klaviyo(klaviyo_settings, "pk_sandbox_without_events") as client,
        pytest.raises(EventsNotAllowedError),
    ):
        send_events(via(target, client), null_progress)
    assert event_states(target) == {"pending": 2}


def test_old_sent_events_are_deleted(
    klaviyo_settings: Settings,
    target: Target,
    pool: Pool,
    owner: Connection,
    null_progress: NullProgress,
) -> None:
    add_events(target, 3)
    send_events(target, null_progress)
    add_events(target, 1, email="waiting{}@example.org")
    owner.execute(
        """
        update app.klaviyo_events set sent_at = now() - interval '31 days'
        where state = 'sent' and email <> 'p0@example.org'
        """
    )
    owner.execute("update app.klaviyo_events set occurred_at = now() - interval '90 days'")
    housekeep(klaviyo_settings, pool, [target.tenant_id])
    assert event_states(target) == {"sent": 1, "pending": 1}


# -- flows --------------------------------------------------------------------------------------


def test_the_live_flows_of_a_list_are_read(
    klaviyo_settings: Settings, target: Target, account: Account
) -> None:
    other = account.add_list("Other").id
    account.add_flow("Welcome", target.list_id)
    account.add_flow("Someday", target.list_id, status="draft")
    account.add_flow("Elsewhere", other)
    with open_klaviyo(klaviyo_settings, KEY) as client:
        assert read_live_flows(client, target.list_id) == ["Welcome"]


# -- failures -----------------------------------------------------------------------------------


def test_batches_accepted_before_a_failure_are_recorded(
    target: Target, account: Account, klaviyo: Sandbox, null_progress: NullProgress
) -> None:
    people = [row(f"person{n}@example.org") for n in range(4)]

    class FailsAfterTwo(NullProgress):
        def advance(self, done: int = 1) -> None:
            klaviyo.fail_klaviyo(Fault(status=503, count=100))

    with stamina.set_testing(True, attempts=2), pytest.raises(KlaviyoUnavailableError):
        add_and_update(via(target, import_profiles=2), people, [], FailsAfterTwo())
    assert sorted(states(target).values()) == ["pending", "pending", "synced", "synced"]
    klaviyo.reset_faults()
    add_and_update(via(target, import_profiles=2), people, [], null_progress)
    assert set(states(target).values()) == {"synced"}
    assert len(account.member_emails(target.list_id)) == 4
