"""The official client works with the sandbox for every operation that Quintile uses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from klaviyo_api import KlaviyoAPI
from openapi_client.exceptions import ApiException

from sandbox import Sandbox
from sandbox.klaviyo import Account

NEWSLETTER, EMPTY = "NG0001", "NG0002"


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[KlaviyoAPI]:
    client = KlaviyoAPI(account_of(sandbox).key, max_retries=1, test_host=sandbox.klaviyo_url)
    yield client
    client.api_client.rest_client.pool_manager.clear()


def account_of(sandbox: Sandbox) -> Account:
    return next(iter(sandbox.accounts.values()))


def profile(email: str, **attributes: Any) -> dict[str, Any]:
    return {"type": "profile", "attributes": {"email": email, **attributes}}


def import_job(*profiles: dict[str, Any]) -> dict[str, Any]:
    return {
        "data": {
            "type": "profile-bulk-import-job",
            "attributes": {"profiles": {"data": list(profiles)}},
            "relationships": {"lists": {"data": [{"type": "list", "id": EMPTY}]}},
        }
    }


def event(email: str, unique_id: str) -> dict[str, Any]:
    return {
        "data": {
            "type": "event",
            "attributes": {
                "properties": {"segment": "champions"},
                "unique_id": unique_id,
                "backfill": True,
                "metric": {"data": {"type": "metric", "attributes": {"name": "Segment changed"}}},
                "profile": {"data": profile(email)},
            },
        }
    }


def test_accounts_and_lists_are_read_page_by_page(sandbox: Sandbox, client: KlaviyoAPI) -> None:
    account = account_of(sandbox)
    assert client.Accounts.get_accounts().data[0].attributes.preferred_currency == "USD"
    for number in range(7):
        account.add_list(f"Extra {number}")
    first = client.Lists.get_lists()
    # The client finds cursors in https links only, and this is loopback.
    [cursor] = parse_qs(urlsplit(first.links.next).query)["page[cursor]"]
    second = client.Lists.get_lists(page_cursor=cursor)
    names = [each.attributes.name for each in [*first.data, *second.data]]
    assert names == [each["name"] for each in account.list_names()]
    assert (len(first.data), second.links.next) == (10, None)


def test_a_list_is_created_and_counted(client: KlaviyoAPI) -> None:
    body = {"data": {"type": "list", "attributes": {"name": "Loyal, new"}}}
    made = client.Lists.create_list(body).data
    read = client.Lists.get_list(made.id, additional_fields_list=["profile_count"]).data
    assert (read.attributes.name, read.attributes.profile_count) == ("Loyal, new", 0)


def test_members_are_added_listed_and_removed(sandbox: Sandbox, client: KlaviyoAPI) -> None:
    created = [
        client.Profiles.create_profile({"data": profile(f"p{n}@example.com")}) for n in (1, 2)
    ]
    references = {"data": [{"type": "profile", "id": each.data.id} for each in created]}
    client.Lists.add_profiles_to_list(EMPTY, references)
    members = client.Lists.get_profiles_for_list(EMPTY, sort="joined_group_at").data
    assert {each.attributes.email for each in members} == {"p1@example.com", "p2@example.com"}
    joined = members[0].attributes.joined_group_at.isoformat()
    later = client.Lists.get_profiles_for_list(
        EMPTY, filter=f"greater-than(joined_group_at,{joined})"
    )
    assert later.data == []
    client.Lists.remove_profiles_from_list(EMPTY, {"data": references["data"][:1]})
    left = client.Lists.get_profile_ids_for_list(EMPTY).data
    assert [each.id for each in left] == [created[1].data.id]
    assert account_of(sandbox).member_emails(EMPTY) == {"p2@example.com"}


def test_a_duplicate_error_names_the_existing_profile(client: KlaviyoAPI) -> None:
    existing = client.Profiles.create_profile({"data": profile("twice@example.com")}).data.id
    with pytest.raises(ApiException) as caught:
        client.Profiles.create_profile({"data": profile("twice@example.com")})
    assert caught.value.status == 409
    assert existing in str(caught.value.body)


def test_a_profile_is_found_updated_and_cleared(client: KlaviyoAPI) -> None:
    body = {"data": profile("one@example.com", first_name="One", properties={"rfm": "loyal"})}
    client.Profiles.create_or_update_profile(body)
    [found] = client.Profiles.get_profiles(filter='equals(email,"one@example.com")').data
    change = {"type": "profile", "id": found.id, "attributes": {"first_name": None}}
    changed = client.Profiles.update_profile(found.id, {"data": change}).data.attributes
    assert (changed.first_name, changed.properties) == (None, {"rfm": "loyal"})


def test_a_bulk_import_reports_its_errors(sandbox: Sandbox, client: KlaviyoAPI) -> None:
    account = account_of(sandbox)
    account.fail_import_of("late@example.com")
    # The job advances only when it is read.
    account.job_seconds = 600
    job = client.Profiles.bulk_import_profiles(
        import_job(profile("fine@example.com"), profile("late@example.com"))
    ).data
    statuses = [job.attributes.status]
    while statuses[-1] != "complete":
        job = client.Profiles.get_bulk_import_profiles_job(job.id).data
        statuses.append(job.attributes.status)
    assert statuses == ["queued", "processing", "complete"]
    assert (job.attributes.completed_count, job.attributes.failed_count) == (1, 1)
    [failure] = client.Profiles.get_errors_for_bulk_import_profiles_job(job.id).data
    assert failure.attributes.original_payload["email"] == "late@example.com"
    assert account.member_emails(EMPTY) == {"fine@example.com"}


def test_events_are_recorded_once_per_unique_id(sandbox: Sandbox, client: KlaviyoAPI) -> None:
    for unique_id in ("a", "a", "b"):
        client.Events.create_event(event("buyer@example.com", unique_id))
    single = event("buyer@example.com", "c")["data"]["attributes"]
    group = {
        "profile": single.pop("profile"),
        "events": {"data": [{"type": "event", "attributes": single}]},
    }
    client.Events.bulk_create_events(
        {
            "data": {
                "type": "event-bulk-create-job",
                "attributes": {
                    "events-bulk-create": {
                        "data": [{"type": "event-bulk-create", "attributes": group}]
                    }
                },
            }
        }
    )
    recorded = account_of(sandbox).events.values()
    assert [each.unique_id for each in recorded] == ["a", "b", "c"]
    assert all(each.is_backfill for each in recorded)


def test_a_profile_is_deleted_for_privacy(sandbox: Sandbox, client: KlaviyoAPI) -> None:
    client.Profiles.create_profile({"data": profile("gone@example.com")})
    client.Data_Privacy.request_profile_deletion(
        {
            "data": {
                "type": "data-privacy-deletion-job",
                "attributes": {"profile": {"data": profile("gone@example.com")}},
            }
        }
    )
    assert account_of(sandbox).profile_by_email("gone@example.com") is None


def test_the_client_waits_and_retries_when_throttled(sandbox: Sandbox) -> None:
    patient = KlaviyoAPI(
        account_of(sandbox).key, max_retries=3, max_delay=5, test_host=sandbox.klaviyo_url
    )
    for _ in range(2):
        assert patient.Accounts.get_accounts().data
    assert [each.status for each in sandbox.klaviyo_requests()] == [200, 429, 200]
    patient.api_client.rest_client.pool_manager.clear()
