"""Klaviyo as a destination: the interface of service.destinations, for one account."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

from service.core.config import Settings
from service.core.credentials import record_accepted
from service.core.db import Pool, tenant_transaction
from service.destinations.interface import (
    Event,
    FlowsUnknownError,
    Limits,
    ListProfile,
    Person,
    Result,
)
from service.destinations.sync import sync_lists
from service.klaviyo import events, imports, members
from service.klaviyo.account import read_list_name, read_live_flows
from service.klaviyo.client import KlaviyoClient, KlaviyoScopeError
from service.klaviyo.connection import open_connected_klaviyo
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


def sync_klaviyo(
    settings: Settings,
    pool: Pool,
    tenant_id: UUID,
    progress: RunProgress,
    *,
    limits: Limits = LIMITS,
) -> None:
    """Sync a tenant's Klaviyo lists: see :func:`service.destinations.sync.sync_lists`.

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

    sync_lists(settings, pool, tenant_id, progress, open_destination)


class KlaviyoDestination:
    """The lists of an account: each method as :class:`service.destinations.interface.Destination`.

    Args:
        client: The account.
        limits: How much one call may hold.
        events_bulk_from: How many events are worth a bulk job instead of a call each.
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
        return members.read_members(self.client, list_id, since)

    def read_suppressed(self, since: datetime | None) -> Iterator[ListProfile]:
        """Profiles that get no e-mail."""
        return members.read_suppressed(self.client, since)

    def read_list_name(self, list_id: str) -> str | None:
        """The name of a list."""
        return read_list_name(self.client, list_id)

    def read_live_flows(self, list_id: str) -> list[str]:
        """Names of the flows that start for a profile that joins the list."""
        try:
            return read_live_flows(self.client, list_id)
        except KlaviyoScopeError:
            raise FlowsUnknownError(
                "Whether the list starts flows cannot be told: the API key lacks the scope"
                " flows:read."
            ) from None

    def profile_size(self, person: Person) -> int:
        """Bytes of a person in an import."""
        return imports.profile_size(person)

    def import_profiles(
        self, people: Sequence[Person], list_id: str | None
    ) -> Iterator[Result[Person]]:
        """Write profiles, and add them to a list."""
        return imports.import_profiles(self.client, people, list_id)

    def remove_profiles(self, list_id: str, profile_ids: Sequence[str]) -> None:
        """Remove profiles from a list."""
        imports.remove_profiles(self.client, list_id, profile_ids)

    def send_events(self, pending: Sequence[Event]) -> Iterator[Result[Event]]:
        """Send events."""
        return events.send_events(self.client, pending, self._events_bulk_from)
