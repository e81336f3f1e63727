"""Klaviyo as a destination: implements the interface of service.destinations for one account."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx

from service.core.config import Settings
from service.core.credentials import record_accepted
from service.core.db import Pool, tenant_transaction
from service.destinations.interface import (
    Event,
    FlowsUnknownError,
    Limits,
    ListNotFoundError,
    ListProfile,
    Person,
    Refusal,
    Result,
)
from service.destinations.sync import end_before_start, sync_lists
from service.klaviyo import events, imports
from service.klaviyo.account import read_list_name, read_live_flows
from service.klaviyo.client import (
    CONTENT_REFUSALS,
    KlaviyoClient,
    KlaviyoError,
    KlaviyoScopeError,
    Parameters,
    Resource,
)
from service.klaviyo.connection import open_connected_klaviyo, probe_refused_klaviyo
from service.queue.progress import RunProgress

# Klaviyo's own limits. An import takes 5 MB, less some room for what surrounds the profiles; an
# event takes a kilobyte or so, so a thousand stay far under the 5 MB of a job.
LIMITS = Limits(
    import_profiles=10_000,
    import_bytes=4_900_000,
    profile_bytes=100_000,
    remove_profiles=1_000,
    events=1_000,
)
_LIST_PROFILES = "/api/lists/{id}/profiles"
_PROFILES = "/api/profiles"
_SUPPRESSED_AT = "subscriptions.email.marketing.suppression.timestamp"
_FIELDS = "email,subscriptions,joined_group_at"
# How many addresses one call looks up, and bytes of them: servers accept URLs of some kilobytes.
_MOST_FOUND = 100
_MOST_FOUND_BYTES = 4_000
# A valid address without an owner (RFC 2606).
_HARMLESS = "nobody@example.com"
_BEFORE_ALL = datetime(2000, 1, 1, tzinfo=UTC)
# How much of what was read before is read again: joins do not appear in the order of their times.
_OVERLAP = timedelta(minutes=5)


def sync_klaviyo(
    settings: Settings,
    pool: Pool,
    tenant_id: UUID,
    progress: RunProgress,
    *,
    limits: Limits = LIMITS,
) -> None:
    """Sync a tenant's Klaviyo lists: see :func:`service.destinations.sync.sync_lists`.

    A key that was refused before is tried first, because without workers nothing else tries it.

    Raises:
        NotConnectedError: The tenant is not connected to Klaviyo.
        KlaviyoRefusedError: The key is not accepted; the connection now says so.
        KlaviyoUnavailableError: Klaviyo cannot be reached.
        MartsMissingError: dbt has not built the marts yet.
        KlaviyoError: Klaviyo did not do what was asked; what it accepted is recorded.
    """

    @contextmanager
    def open_destination() -> Iterator[KlaviyoDestination]:
        with open_connected_klaviyo(settings, pool, tenant_id) as client:
            yield KlaviyoDestination(client, limits, settings.klaviyo_events_bulk_from)
            if client.calls:
                with tenant_transaction(pool, tenant_id) as conn:
                    record_accepted(conn, tenant_id, "klaviyo")

    try:
        probe_refused_klaviyo(settings, pool, tenant_id)
    except KlaviyoError as error:
        end_before_start(pool, tenant_id, progress.run_id, error)
        raise
    sync_lists(settings, pool, tenant_id, progress, open_destination)


class KlaviyoDestination:
    """The lists of an account: each method as :class:`service.destinations.interface.Destination`.

    ``events_bulk_from`` is how many events are worth a bulk job instead of a call each.
    """

    def __init__(self, client: KlaviyoClient, limits: Limits, events_bulk_from: int) -> None:
        self.client = client
        self.limits = limits
        self._events_bulk_from = events_bulk_from

    @property
    def calls(self) -> int:
        """Requests made so far."""
        return self.client.calls

    def read_members(self, list_id: str, since: datetime | None) -> Iterator[ListProfile]:
        """The profiles on a list."""
        yield from self._read_list(list_id, _parameters(_FIELDS, "joined_group_at", since))

    def find_members(self, list_id: str, emails: Sequence[str]) -> Iterator[ListProfile]:
        """The profiles on a list that have one of these addresses.

        An address that Klaviyo refuses to look up is on no list.
        """
        waiting = list(_batches_to_find(emails))
        has_worked = False
        while waiting:
            some = waiting.pop()
            try:
                found = self._look_up(list_id, some)
            except KlaviyoError as error:
                if error.status not in CONTENT_REFUSALS:
                    raise
                if not has_worked:
                    # If a harmless address is refused too, the fault is not an address.
                    self._look_up(list_id, [_HARMLESS])
                    has_worked = True
                if len(some) > 1:
                    waiting += imports.halves(some)
            else:
                has_worked = True
                yield from found

    def _look_up(self, list_id: str, emails: Sequence[str]) -> list[ListProfile]:
        wanted = ",".join(json.dumps(email, ensure_ascii=False) for email in emails)
        parameters = _parameters(_FIELDS) | {"filter": f"any(email,[{wanted}])"}
        return list(self._read_list(list_id, parameters))

    def _read_list(self, list_id: str, parameters: Parameters) -> Iterator[ListProfile]:
        pages = self.client.pages(_LIST_PROFILES, f"/api/lists/{list_id}/profiles", parameters)
        try:
            for page in pages:
                for profile in page:
                    yield _list_profile(profile, profile["attributes"].get("joined_group_at"))
        except KlaviyoError as error:
            if error.status == httpx.codes.NOT_FOUND:
                raise ListNotFoundError("The list no longer exists in Klaviyo.") from None
            raise

    def read_suppressed(self, since: datetime | None) -> Iterator[ListProfile]:
        """Profiles that get no e-mail."""
        parameters = _parameters("email,subscriptions", _SUPPRESSED_AT, since or _BEFORE_ALL)
        for page in self.client.pages(_PROFILES, _PROFILES, parameters):
            for profile in page:
                times = [str(each.get("timestamp")) for each in _suppressions(profile)]
                yield _list_profile(profile, max(times, default=None))

    def read_list_name(self, list_id: str) -> str | None:
        """The name of a list."""
        return read_list_name(self.client, list_id)

    def read_live_flows(self, list_id: str) -> list[str]:
        """Names of the flows that start for a profile that joins the list."""
        try:
            return read_live_flows(self.client, list_id)
        except KlaviyoScopeError:
            raise FlowsUnknownError(
                "Whether the list starts flows is unknown: the API key lacks the scope flows:read."
            ) from None

    def profile_size(self, person: Person) -> int:
        """Bytes of a person in an import."""
        return imports.profile_size(person)

    def import_profiles(
        self, people: Sequence[Person], list_id: str | None
    ) -> Iterator[Result[Person]]:
        """Write profiles, and add them to a list."""
        return imports.import_profiles(self.client, people, list_id)

    def remove_profiles(self, list_id: str, profile_ids: Sequence[str]) -> Sequence[Refusal[str]]:
        """Remove profiles from a list."""
        return imports.remove_profiles(self.client, list_id, profile_ids)

    def send_events(self, pending: Sequence[Event]) -> Iterator[Result[Event]]:
        """Send events."""
        return events.send_events(self.client, pending, self._events_bulk_from)


def _batches_to_find(emails: Sequence[str]) -> Iterator[list[str]]:
    """Addresses in lists that fit into a URL each."""
    batch: list[str] = []
    size = 0
    for email in emails:
        # Quotes, a comma and their escapes.
        email_size = len(quote(email)) + 9
        if batch and (len(batch) == _MOST_FOUND or size + email_size > _MOST_FOUND_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(email)
        size += email_size
    if batch:
        yield batch


def _parameters(
    fields: str, time_field: str | None = None, since: datetime | None = None
) -> dict[str, str | int]:
    parameters: dict[str, str | int] = {
        "additional-fields[profile]": "subscriptions",
        "fields[profile]": fields,
        "page[size]": 100,
    }
    if time_field is not None:
        parameters["sort"] = time_field
    if since is not None:
        start = (since - _OVERLAP).astimezone(UTC).isoformat(timespec="microseconds")
        parameters["filter"] = f"greater-or-equal({time_field},{start})"
    return parameters


def _list_profile(profile: Resource, joined_at: str | None) -> ListProfile:
    email = profile["attributes"].get("email")
    return ListProfile(str(profile["id"]), email, _time(joined_at), bool(_suppressions(profile)))


def _time(value: str | None) -> str | None:
    """A time in ISO 8601; None for what is no time, as dates only save reading."""
    try:
        time = datetime.fromisoformat(value or "")
    except ValueError:
        return None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).isoformat()


def _suppressions(profile: Resource) -> list[dict[str, Any]]:
    subscriptions = profile["attributes"].get("subscriptions") or {}
    marketing = (subscriptions.get("email") or {}).get("marketing") or {}
    return list(marketing.get("suppression") or [])
