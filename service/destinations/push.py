"""Carrying out a plan: batches to the destination, and its answers to the ledger.

Each call is recorded as pending before it is made and by its results afterwards, so a run that ends
between the two is completed by the next sync.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar
from uuid import UUID

from psycopg import sql
from psycopg.types.json import Jsonb

from service.core.db import Pool, tenant_transaction
from service.core.queries import query
from service.destinations.configs import lock_config
from service.destinations.interface import (
    Destination,
    DestinationError,
    Event,
    Person,
    Refusal,
)
from service.queue.progress import Progress

T = TypeVar("T")

# Add to the list; update people on it; refresh the properties of people who are on no list;
# remove from the list.
Purpose = Literal["add", "update", "refresh", "remove"]
_COUNTERS: Mapping[Purpose, str] = {
    "add": "added",
    "update": "updated",
    "refresh": "refreshed",
    "remove": "removed",
}


@dataclass(frozen=True)
class Target:
    """The list of one configuration, and how to write to it."""

    destination: Destination
    pool: Pool
    tenant_id: UUID
    config_id: UUID
    list_id: str

    def execute(self, *statements: sql.SQL, locks: bool = False, **parameters: object) -> None:
        """Run statements about the configuration in one transaction.

        Args:
            statements: Statements that write.
            locks: Check first that the configuration is still to be synced.
            parameters: What they need besides the tenant, the configuration and the list.

        Raises:
            SyncCancelledError: With ``locks``: it has been paused or deleted.
        """
        ids = {"tenant_id": self.tenant_id, "config_id": self.config_id, "list_id": self.list_id}
        with tenant_transaction(self.pool, self.tenant_id) as conn:
            if locks:
                lock_config(conn, self.tenant_id, self.config_id)
            for statement in statements:
                conn.execute(statement, {**ids, **parameters})


def remove_people(target: Target, people: Iterable[Person], progress: Progress) -> None:
    """Remove people from the list and then from the ledger; counts ``removed``.

    Raises:
        DestinationError: A batch was not accepted; it stays pending and is repeated by the next
            sync.
        SyncCancelledError: The configuration was paused or deleted during the sync.
    """
    for batch in _batches(people, target.destination.limits.remove_profiles):
        emails = [person.email for person in batch]
        profile_ids = [str(person.profile_id) for person in batch]
        # If these were still "synced" after a crash, the next sync would take those who are back in
        # the segment for removals by hand.
        target.execute(
            query("destinations.mark_removing"), locks=True, emails=emails, profile_ids=profile_ids
        )
        refusals = target.destination.remove_profiles(target.list_id, profile_ids)
        reasons = {refusal.refused: refusal for refusal in refusals}
        left = [
            Refusal(person, reason.code, reason.detail)
            for person in batch
            if (reason := reasons.get(str(person.profile_id))) is not None
        ]
        removed = [person.email for person in batch if str(person.profile_id) not in reasons]
        # Those stay pending and are tried again by the next sync.
        _record_refused(target, left, "remove", progress)
        target.execute(
            query("destinations.delete_removed"),
            query("destinations.consume_confirmed"),
            emails=removed,
            removals=len(removed),
        )
        progress.count(removed=len(removed))
        progress.advance(len(batch))


def import_people(
    target: Target,
    people: Iterable[Person],
    purpose: Purpose,
    progress: Progress,
    *,
    is_list_known: bool = False,
) -> None:
    """Write people's properties, and add them to the list if that is the purpose.

    Additions are looked up on the list first, unless all of it has just been read
    (``is_list_known``): people who were added by hand are not taken for Quintile's. Refused
    people are recorded with the reason; the rest of their batch continues. Additions and
    updates do not share a call, because it would add people again who were removed by hand since
    the list was read. Counts ``added``, ``updated`` or ``refreshed``, and ``rejected``.

    Raises:
        DestinationError: A batch was not accepted; it stays pending and is repeated by the next
            sync.
        SyncCancelledError: The configuration was paused or deleted during the sync.
    """
    limits, size = target.destination.limits, target.destination.profile_size
    list_id = target.list_id if purpose == "add" else None
    for planned in _batches(people, limits.import_profiles, limits.import_bytes, size):
        batch = planned
        if purpose == "add" and not is_list_known:
            present = _find_present(target, batch)
            batch = [person for person in planned if person.email not in present]
            there = [person for person in planned if person.email in present]
            import_people(target, there, "update", progress)
            if not batch:
                continue
        if purpose == "add":
            target.execute(
                query("destinations.mark_pending"),
                locks=True,
                emails=[person.email for person in batch],
                customer_ids=[person.customer_id for person in batch],
            )
        fitting: list[Person] = []
        too_large: list[Refusal[Person]] = []
        for person in batch:
            if size(person) <= limits.profile_bytes:
                fitting.append(person)
            else:
                detail = f"A profile may take {limits.profile_bytes} bytes."
                too_large.append(Refusal(person, "profile_too_large", detail))
        _record_refused(target, too_large, purpose, progress)
        if fitting:
            for result in target.destination.import_profiles(fitting, list_id):
                if result.unsent and purpose == "add":
                    unsent = [person.email for person in result.unsent]
                    target.execute(query("destinations.mark_unsent"), emails=unsent)
                _record_refused(target, result.refused, purpose, progress)
                _record_accepted(target, result.accepted, purpose, progress)
        progress.advance(len(batch))


def send_events(target: Target, progress: Progress) -> None:
    """Send the configuration's pending events; counts ``events`` and ``events_rejected``.

    Raises:
        DestinationError: They were not accepted; what was accepted is recorded.
    """
    parameters = {
        "tenant_id": target.tenant_id,
        "config_id": target.config_id,
        "most": target.destination.limits.events,
    }
    while True:
        with tenant_transaction(target.pool, target.tenant_id, read_only=True) as conn:
            events = conn.execute(query("destinations.list_pending_events"), parameters).fetchall()
        if not events:
            return
        settled = 0
        for result in target.destination.send_events(events):
            _record_events(target, result.accepted, result.refused, progress)
            settled += len(result.accepted) + len(result.refused)
        if not settled:
            raise DestinationError("The events were neither accepted nor refused.")


def _find_present(target: Target, batch: Sequence[Person]) -> set[str]:
    """The addresses of a batch that are on the list already; the ledger then says so."""
    emails = [person.email for person in batch]
    found = list(target.destination.find_members(target.list_id, emails))
    if not found:
        return set()
    with tenant_transaction(target.pool, target.tenant_id) as conn:
        lock_config(conn, target.tenant_id, target.config_id)
        rows = conn.execute(
            query("destinations.record_found"),
            {
                "tenant_id": target.tenant_id,
                "config_id": target.config_id,
                "list_id": target.list_id,
                "emails": emails,
                "customer_ids": [person.customer_id for person in batch],
                "profile_ids": [profile.profile_id for profile in found],
                "found": [profile.email for profile in found],
                "joined": [profile.joined_at for profile in found],
                "suppressed": [profile.is_suppressed for profile in found],
            },
        ).fetchall()
    return {row["email"] for row in rows}


def _record_accepted(
    target: Target, people: Sequence[Person], purpose: Purpose, progress: Progress
) -> None:
    """Record that the destination has these people, and the properties that were sent."""
    if not people:
        return
    statements = {
        "add": [query("destinations.mark_synced")],
        "update": [query("destinations.mark_updated")],
        "refresh": [],
        "remove": [],
    }[purpose]
    target.execute(
        *statements,
        query("destinations.record_sent"),
        emails=[person.email for person in people],
        properties_hashes=[person.properties_hash for person in people],
    )
    progress.count(**{_COUNTERS[purpose]: len(people)})


def _record_refused(
    target: Target, refusals: Sequence[Refusal[Person]], purpose: Purpose, progress: Progress
) -> None:
    """Record that these people were refused: they wait until there is something else to send.

    People who were on the list already stay on it, so only additions become ``rejected``.
    """
    if not refusals:
        return
    is_new = purpose == "add"
    rows = [
        {
            "email": refusal.refused.email,
            "code": refusal.code,
            "detail": refusal.detail,
            "properties_hash": refusal.refused.properties_hash,
            "is_new": is_new,
        }
        for refusal in refusals
    ]
    is_sent = purpose in ("update", "refresh")
    known = [refusal.refused for refusal in refusals] if is_sent else []
    target.execute(
        query("destinations.mark_rejected"),
        query("destinations.record_sent"),
        refusals=Jsonb(rows),
        emails=[person.email for person in known],
        properties_hashes=[person.properties_hash for person in known],
    )
    progress.count(rejected=len(refusals))


def _record_events(
    target: Target,
    sent: Sequence[Event],
    refusals: Sequence[Refusal[Event]],
    progress: Progress,
) -> None:
    if sent:
        event_ids = [event["event_id"] for event in sent]
        target.execute(query("destinations.mark_events_sent"), event_ids=event_ids)
        progress.count(events=len(sent))
    if refusals:
        rows = [
            {"event_id": str(each.refused["event_id"]), "code": each.code, "detail": each.detail}
            for each in refusals
        ]
        target.execute(query("destinations.mark_events_rejected"), refusals=Jsonb(rows))
        progress.count(events_rejected=len(refusals))


def _batches(
    rows: Iterable[T],
    most_rows: int,
    most_bytes: int | None = None,
    size_of: Callable[[T], int] = lambda _: 0,
) -> Iterator[list[T]]:
    """Rows in order, in lists that keep within both limits."""
    batch: list[T] = []
    size = 0
    for row in rows:
        row_size = size_of(row)
        is_full = len(batch) == most_rows or (
            most_bytes is not None and size + row_size > most_bytes
        )
        if batch and is_full:
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += row_size
    if batch:
        yield batch
