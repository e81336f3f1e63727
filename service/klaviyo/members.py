"""Reading the profiles on a list, and the profiles that Klaviyo sends no e-mail."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from service.destinations.interface import ListNotFoundError, ListProfile
from service.klaviyo.client import KlaviyoClient, KlaviyoError, Resource

_LIST_PROFILES = "/api/lists/{id}/profiles"
_PROFILES = "/api/profiles"
_SUPPRESSED_AT = "subscriptions.email.marketing.suppression.timestamp"
_BEFORE_ALL = datetime(2000, 1, 1, tzinfo=UTC)
# How much of what was read before is read again: joins do not appear in the order of their times.
_OVERLAP = timedelta(minutes=5)


def read_members(
    client: KlaviyoClient, list_id: str, since: datetime | None
) -> Iterator[ListProfile]:
    """The profiles on a list: all, or those that joined since this time.

    Raises:
        ListNotFoundError: There is no such list.
        KlaviyoError: The list cannot be read.
    """
    parameters = _parameters("email,subscriptions,joined_group_at", "joined_group_at", since)
    try:
        for page in client.pages(_LIST_PROFILES, f"/api/lists/{list_id}/profiles", parameters):
            for profile in page:
                joined_at = profile["attributes"].get("joined_group_at")
                yield _list_profile(profile, joined_at)
    except KlaviyoError as error:
        if error.status == httpx.codes.NOT_FOUND:
            raise ListNotFoundError("The list no longer exists in Klaviyo.") from None
        raise


def read_suppressed(client: KlaviyoClient, since: datetime | None) -> Iterator[ListProfile]:
    """The suppressed profiles: all, or those suppressed since this time.

    Raises:
        KlaviyoError: They cannot be read.
    """
    parameters = _parameters("email,subscriptions", _SUPPRESSED_AT, since or _BEFORE_ALL)
    for page in client.pages(_PROFILES, _PROFILES, parameters):
        for profile in page:
            times = [each["timestamp"] for each in _suppressions(profile)]
            yield _list_profile(profile, max(times, default=None))


def _parameters(fields: str, time_field: str, since: datetime | None) -> dict[str, str | int]:
    parameters: dict[str, str | int] = {
        "additional-fields[profile]": "subscriptions",
        "fields[profile]": fields,
        "page[size]": 100,
        "sort": time_field,
    }
    if since is not None:
        start = (since - _OVERLAP).astimezone(UTC).isoformat(timespec="microseconds")
        parameters["filter"] = f"greater-or-equal({time_field},{start})"
    return parameters


def _list_profile(profile: Resource, joined_at: str | None) -> ListProfile:
    email = profile["attributes"].get("email")
    return ListProfile(str(profile["id"]), email, joined_at, bool(_suppressions(profile)))


def _suppressions(profile: Resource) -> list[dict[str, Any]]:
    subscriptions = profile["attributes"].get("subscriptions") or {}
    marketing = (subscriptions.get("email") or {}).get("marketing") or {}
    return list(marketing.get("suppression") or [])
