"""The Klaviyo sandbox is as strict as Klaviyo: keys, revisions, bodies, limits, pages, jobs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from sandbox import Sandbox
from sandbox.klaviyo import Account
from sandbox.klaviyo.errors import ApiError
from sandbox.klaviyo.limits import Limit, RateLimits
from sandbox.klaviyo.operations import OPT_OUT_HEADER, RETIRED

# Plain HTTP on loopback: loading certificates for each call would take longer than the call.
HTTP = httpx.Client(verify=False)  # noqa: S501
KEY = "pk_sandbox_test"
FUTURE = datetime(2099, 1, 1, tzinfo=UTC)
HEADERS = {
    "Authorization": f"Klaviyo-API-Key {KEY}",
    "revision": "2026-10-15",
    "Content-Type": "application/vnd.api+json",
}


@dataclass
class Klaviyo:
    """A running sandbox with one account and one list, and how to call it."""

    sandbox: Sandbox
    account: Account
    list_id: str

    def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        url = self.sandbox.klaviyo_url + path
        return HTTP.request(method, url, content=content, headers=headers or HEADERS)

    def members(self, query: str = "") -> list[str]:
        path = f"/api/lists/{self.list_id}/profiles{query}"
        return [each["attributes"]["email"] for each in self.call("GET", path).json()["data"]]

    def add(self, count: int) -> list[str]:
        ids = [
            self.account.create_profile({"email": f"p{number:04d}@example.com"}).id
            for number in range(count)
        ]
        self.account.join(self.account.lists[self.list_id], ids)
        return ids

    def import_profiles(self, *attributes: dict[str, Any]) -> httpx.Response:
        profiles = [{"type": "profile", "attributes": each} for each in attributes]
        job = {
            "type": "profile-bulk-import-job",
            "attributes": {"profiles": {"data": profiles}},
            "relationships": {"lists": {"data": [{"type": "list", "id": self.list_id}]}},
        }
        return self.call("POST", "/api/profile-bulk-import-jobs", {"data": job})

    def finish(self, response: httpx.Response) -> dict[str, Any]:
        path = f"/api/profile-bulk-import-jobs/{response.json()['data']['id']}"
        self.call("GET", path)
        attributes: dict[str, Any] = self.call("GET", path).json()["data"]["attributes"]
        return attributes


@pytest.fixture
def klaviyo() -> Iterator[Klaviyo]:
    account = Account(KEY, name="Test", currency="EUR", timezone="Europe/Berlin", prefix="TT")
    made = account.add_list("Champions")
    with Sandbox([], [account]) as sandbox:
        yield Klaviyo(sandbox, account, made.id)


def error_of(response: httpx.Response) -> dict[str, Any]:
    assert response.headers["Content-Type"] == "application/vnd.api+json"
    error: dict[str, Any] = response.json()["errors"][0]
    assert {"id", "code", "title", "detail", "source"} <= set(error)
    return error


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"Authorization": ""}, 401, "not_authenticated"),
        ({"Authorization": f"Bearer {KEY}"}, 401, "not_authenticated"),
        ({"Authorization": "Klaviyo-API-Key pk_nobody"}, 401, "authentication_failed"),
        ({"revision": ""}, 400, "invalid"),
        ({"revision": "2026-07-16"}, 400, "invalid"),
        ({OPT_OUT_HEADER: "yes"}, 400, "invalid"),
        ({"revision": RETIRED[0], OPT_OUT_HEADER: "1"}, 410, "gone"),
    ],
)
def test_credentials_and_revision_are_checked(
    change: dict[str, str], status: int, code: str, klaviyo: Klaviyo
) -> None:
    response = klaviyo.call("GET", "/api/lists", headers={**HEADERS, **change})
    assert (response.status_code, error_of(response)["code"]) == (status, code)


def test_a_retired_revision_falls_forward_unless_the_caller_opts_out(klaviyo: Klaviyo) -> None:
    for headers in ({"revision": RETIRED[0]}, {OPT_OUT_HEADER: "1"}):
        response = klaviyo.call("GET", "/api/lists", headers={**HEADERS, **headers})
        assert response.status_code == 200


@pytest.mark.parametrize("sign", ["\ufeff", "\u00a0", "\u200b", "\u00ad", "\t"])
def test_an_address_with_an_invisible_character_is_refused(sign: str, klaviyo: Klaviyo) -> None:
    response = klaviyo.import_profiles({"email": f"a{sign}da@example.com"})
    assert (response.status_code, error_of(response)["code"]) == (400, "invalid")


def test_a_member_may_have_any_time_of_joining_or_none(klaviyo: Klaviyo) -> None:
    members = klaviyo.account.lists[klaviyo.list_id].members
    for profile_id, joined in zip(klaviyo.add(2), (None, FUTURE), strict=True):
        members[profile_id] = joined
    query = "?fields[profile]=email,joined_group_at&sort=joined_group_at"
    found = klaviyo.call("GET", f"/api/lists/{klaviyo.list_id}/profiles{query}").json()["data"]
    times = [each["attributes"]["joined_group_at"] for each in found]
    assert times == [None, FUTURE.isoformat()]


def test_a_revoked_key_is_refused(klaviyo: Klaviyo) -> None:
    klaviyo.account.revoke_key(KEY)
    assert klaviyo.call("GET", "/api/lists").status_code == 401


def test_a_key_without_the_scope_is_denied(klaviyo: Klaviyo) -> None:
    klaviyo.account.add_key("pk_reader", {"lists:read"})
    headers = {**HEADERS, "Authorization": "Klaviyo-API-Key pk_reader"}
    assert klaviyo.call("GET", "/api/lists", headers=headers).status_code == 200
    denied = klaviyo.call("GET", "/api/profiles", headers=headers)
    assert (denied.status_code, error_of(denied)["code"]) == (403, "permission_denied")


@pytest.mark.parametrize("path", ["/api/lists/", "/api/nothing", "/api/lists/none"])
def test_unknown_paths_and_ids_are_not_found(path: str, klaviyo: Klaviyo) -> None:
    response = klaviyo.call("GET", path)
    assert (response.status_code, error_of(response)["code"]) == (404, "not_found")


def test_bodies_need_the_json_api_content_type(klaviyo: Klaviyo) -> None:
    headers = {**HEADERS, "Content-Type": "application/json"}
    response = klaviyo.call("POST", "/api/lists", {}, headers)
    assert (response.status_code, error_of(response)["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"data": {"type": "list", "attributes": {}}}, "/data/attributes/name"),
        ({"data": {"type": "lists", "attributes": {"name": "x"}}}, "/data/type"),
        ({"data": {"type": "list", "attributes": {"name": ""}}}, "/data/attributes/name"),
        ({"data": {"type": "list", "attributes": {"name": "x", "nam": 1}}}, "/data/attributes/nam"),
    ],
)
def test_an_error_points_at_the_wrong_part_of_a_body(
    body: Any, pointer: str, klaviyo: Klaviyo
) -> None:
    response = klaviyo.call("POST", "/api/lists", body)
    assert response.status_code == 400
    assert error_of(response)["source"] == {"pointer": pointer}


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("/api/lists?page[size]=11", "page[size]"),
        ("/api/lists?page[size]=0", "page[size]"),
        ("/api/lists?page[cursor]=???", "page[cursor]"),
        ("/api/lists?limit=5", "limit"),
        ("/api/lists?sort=size", "sort"),
        ("/api/lists?filter=contains(name,'x')", "filter"),
        ("/api/profiles?page[size]=101", "page[size]"),
        ("/api/profiles?filter=equals(email", "filter"),
    ],
)
def test_an_error_names_the_wrong_parameter(path: str, parameter: str, klaviyo: Klaviyo) -> None:
    response = klaviyo.call("GET", path)
    assert response.status_code == 400
    assert error_of(response)["source"] == {"parameter": parameter}


def test_next_links_read_every_member_once(klaviyo: Klaviyo) -> None:
    expected = klaviyo.add(230)
    url, seen = f"/api/lists/{klaviyo.list_id}/relationships/profiles?page[size]=100", []
    pages = 0
    while url:
        answer = klaviyo.call("GET", url).json()
        seen += [each["id"] for each in answer["data"]]
        following = answer["links"]["next"]
        assert following is None or following.startswith(klaviyo.sandbox.klaviyo_url)
        url = (following or "").removeprefix(klaviyo.sandbox.klaviyo_url)
        pages += 1
    assert (sorted(seen), pages) == (sorted(expected), 3)


def test_members_are_filtered_and_sorted_by_join_time(klaviyo: Klaviyo) -> None:
    klaviyo.add(1)
    path = f"/api/lists/{klaviyo.list_id}/profiles"
    first = klaviyo.call("GET", path).json()["data"][0]["attributes"]["joined_group_at"]
    klaviyo.account.join(
        klaviyo.account.lists[klaviyo.list_id],
        [klaviyo.account.create_profile({"email": "later@example.com"}).id],
    )
    since = first.replace("+", "%2B")
    assert klaviyo.members(f"?filter=greater-than(joined_group_at,{since})") == [
        "later@example.com"
    ]
    assert klaviyo.members("?sort=joined_group_at") == ["p0000@example.com", "later@example.com"]
    both = '?filter=any(email,["p0000@example.com","LATER@example.com"])'
    assert len(klaviyo.members(both)) == 2


def test_joining_changes_neither_consent_nor_the_join_time_of_members(klaviyo: Klaviyo) -> None:
    [profile_id] = klaviyo.add(1)
    joined = dict(klaviyo.account.lists[klaviyo.list_id].members)
    body = {"data": [{"type": "profile", "id": profile_id}]}
    path = f"/api/lists/{klaviyo.list_id}/relationships/profiles"
    assert klaviyo.call("POST", path, body).status_code == 204
    assert klaviyo.account.lists[klaviyo.list_id].members == joined
    assert klaviyo.account.profiles[profile_id].consent == "NEVER_SUBSCRIBED"


def test_at_most_a_thousand_members_change_at_once(klaviyo: Klaviyo) -> None:
    body = {"data": [{"type": "profile", "id": str(number)} for number in range(1001)]}
    path = f"/api/lists/{klaviyo.list_id}/relationships/profiles"
    for method in ("POST", "DELETE"):
        response = klaviyo.call(method, path, body)
        assert (response.status_code, error_of(response)["source"]) == (400, {"pointer": "/data"})


def test_a_duplicate_profile_error_names_the_existing_profile(klaviyo: Klaviyo) -> None:
    existing = klaviyo.account.create_profile({"email": "a@example.com"}).id
    body = {"data": {"type": "profile", "attributes": {"email": "A@Example.com"}}}
    response = klaviyo.call("POST", "/api/profiles", body)
    error = error_of(response)
    assert (response.status_code, error["code"]) == (409, "duplicate_profile")
    assert error["meta"] == {"duplicate_profile_id": existing}


def test_one_bad_address_rejects_a_whole_import(klaviyo: Klaviyo) -> None:
    response = klaviyo.import_profiles({"email": "a@example.com"}, {"email": "no address"})
    assert response.status_code == 400
    pointer = "/data/attributes/profiles/data/1/attributes/email"
    assert error_of(response)["source"] == {"pointer": pointer}
    assert klaviyo.account.profile_by_email("a@example.com") is None


def test_an_import_creates_updates_and_adds_profiles_on_completion(klaviyo: Klaviyo) -> None:
    klaviyo.account.create_profile({"email": "a@example.com", "properties": {"k": 1, "old": 2}})
    queued = klaviyo.import_profiles(
        {"email": "a@example.com", "properties": {"k": None, "new": 3}}, {"email": "b@example.com"}
    )
    assert queued.status_code == 202
    assert klaviyo.account.member_emails(klaviyo.list_id) == set()
    done = klaviyo.finish(queued)
    assert (done["status"], done["completed_count"], done["failed_count"]) == ("complete", 2, 0)
    assert klaviyo.account.member_emails(klaviyo.list_id) == {"a@example.com", "b@example.com"}
    changed = klaviyo.account.profile_by_email("a@example.com")
    assert changed is not None
    # Null does not clear a property in a bulk import, unlike in other calls.
    assert changed.properties == {"k": 1, "old": 2, "new": 3}


def test_an_import_completes_without_being_polled(klaviyo: Klaviyo) -> None:
    klaviyo.account.job_seconds = 0
    klaviyo.import_profiles({"email": "a@example.com"})
    assert klaviyo.members() == ["a@example.com"]


def test_an_import_can_complete_with_failures(klaviyo: Klaviyo) -> None:
    klaviyo.account.fail_import_of("late@example.com")
    queued = klaviyo.import_profiles({"email": "a@example.com"}, {"email": "late@example.com"})
    done = klaviyo.finish(queued)
    assert (done["status"], done["completed_count"], done["failed_count"]) == ("complete", 1, 1)
    path = f"/api/profile-bulk-import-jobs/{queued.json()['data']['id']}/import-errors"
    [failure] = klaviyo.call("GET", path).json()["data"]
    assert failure["attributes"]["original_payload"] == {"email": "late@example.com"}


def test_imports_have_size_limits(klaviyo: Klaviyo) -> None:
    many = klaviyo.import_profiles(*({"email": f"p{n}@example.com"} for n in range(10_001)))
    assert error_of(many)["source"] == {"pointer": "/data/attributes/profiles/data"}
    large = klaviyo.import_profiles({"email": "a@example.com", "properties": {"x": "y" * 100_001}})
    assert error_of(large)["source"] == {"pointer": "/data/attributes/profiles/data/0"}
    whole = klaviyo.call("POST", "/api/profile-bulk-import-jobs", b" " * 5_000_001)
    assert whole.status_code == 413


def test_null_clears_a_property_by_patch_and_by_profile_import(klaviyo: Klaviyo) -> None:
    start = {"email": "a@example.com", "first_name": "A", "properties": {"k": 1}}
    profile_id = klaviyo.account.create_profile(start).id
    change = {"type": "profile", "id": profile_id, "attributes": {"first_name": None}}
    assert klaviyo.call("PATCH", f"/api/profiles/{profile_id}", {"data": change}).status_code == 200
    attributes = {"email": "a@example.com", "properties": {"k": None}}
    upsert = {"data": {"type": "profile", "attributes": attributes}}
    assert klaviyo.call("POST", "/api/profile-import", upsert).status_code == 200
    cleared = klaviyo.account.profiles[profile_id]
    assert (cleared.first_name, cleared.properties) == (None, {})


def test_rate_limits_apply_to_the_account_across_keys(klaviyo: Klaviyo) -> None:
    klaviyo.account.add_key("pk_other", {"accounts:read"})
    first = klaviyo.call("GET", "/api/accounts")
    assert first.headers["RateLimit-Limit"] == "1, 1;w=1, 15;w=60"
    assert first.headers["RateLimit-Remaining"] == "0"
    headers = {**HEADERS, "Authorization": "Klaviyo-API-Key pk_other"}
    second = klaviyo.call("GET", "/api/accounts", headers=headers)
    assert (second.status_code, error_of(second)["code"]) == (429, "throttled")
    assert int(second.headers["Retry-After"]) == 1
    assert "RateLimit-Remaining" not in second.headers


def test_reading_a_list_size_has_its_own_rate_limit(klaviyo: Klaviyo) -> None:
    path = f"/api/lists/{klaviyo.list_id}"
    counted = f"{path}?additional-fields[list]=profile_count"
    statuses = [klaviyo.call("GET", each).status_code for each in (counted, counted, path)]
    assert statuses == [200, 429, 200]


def test_windows_reopen_after_a_second_and_after_a_minute() -> None:
    clock = [100.0]
    limits, limit = RateLimits(clock=lambda: clock[0]), Limit(burst=2, steady=3)
    for _ in range(2):
        limits.spend("x", limit)
    with pytest.raises(ApiError) as burst:
        limits.spend("x", limit)
    assert burst.value.headers == {"Retry-After": "1"}
    clock[0] += 1
    assert limits.spend("x", limit)["RateLimit-Remaining"] == "0"
    with pytest.raises(ApiError) as steady:
        limits.spend("x", limit)
    assert steady.value.headers == {"Retry-After": "59"}
    clock[0] += 59
    limits.spend("x", limit)


def test_limits_can_be_scaled_for_tests() -> None:
    limits = RateLimits(scale=0.1)
    assert limits.spend("x", Limit(75, 750))["RateLimit-Limit"] == "7, 7;w=1, 75;w=60"
