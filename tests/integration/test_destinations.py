"""A second destination: the whole of a sync, with nothing of Klaviyo's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from service.core.config import Settings
from service.core.db import Pool, tenant_transaction
from service.destinations.configs import NewConfig, confirm_removals, create_config, get_config
from service.destinations.interface import (
    CredentialRefusedError,
    Destination,
    DestinationError,
    Event,
    Limits,
    ListNotFoundError,
    ListProfile,
    Person,
    Refusal,
    Result,
)
from service.destinations.sync import sync_lists
from service.queue.runs import record_run, start_run
from tests.conftest import MakeTenant

LIST = "newsletter"
JOINED_AT = "2026-06-01T00:00:00+00:00"


@dataclass
class Mailer:
    """A destination in memory, whose profiles' ids are their addresses in capitals."""

    members: dict[str, set[str]] = field(default_factory=lambda: {LIST: set()})
    suppressed: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    unremovable: set[str] = field(default_factory=set)
    flows: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    properties: dict[str, str | None] = field(default_factory=dict)
    batches: list[int] = field(default_factory=list)
    is_key_valid: bool = True
    calls: int = 0
    limits: Limits = field(
        default_factory=lambda: Limits(
            import_profiles=2,
            import_bytes=1_000_000,
            profile_bytes=10_000,
            remove_profiles=2,
            events=2,
        )
    )

    @contextmanager
    def open(self) -> Iterator[Destination]:
        self.calls = 0
        yield self

    def read_members(self, list_id: str, since: datetime | None) -> Iterator[ListProfile]:
        self._call()
        if list_id not in self.members:
            raise ListNotFoundError
        for email in sorted(self.members[list_id]):
            yield ListProfile(email.upper(), email, JOINED_AT, email in self.suppressed)

    def find_members(self, list_id: str, emails: Sequence[str]) -> Iterator[ListProfile]:
        self._call()
        for email in sorted(self.members[list_id] & set(emails)):
            yield ListProfile(email.upper(), email, JOINED_AT, email in self.suppressed)

    def read_suppressed(self, since: datetime | None) -> Iterator[ListProfile]:
        self._call()
        for email in sorted(self.suppressed):
            yield ListProfile(email.upper(), email, JOINED_AT, is_suppressed=True)

    def read_list_name(self, list_id: str) -> str | None:
        self._call()
        return list_id.title() if list_id in self.members else None

    def read_live_flows(self, list_id: str) -> list[str]:
        return self.flows

    def profile_size(self, person: Person) -> int:
        return len(person.email) + len(person.properties or "")

    def import_profiles(
        self, people: Sequence[Person], list_id: str | None
    ) -> Iterator[Result[Person]]:
        self._call()
        self.batches.append(len(people))
        for person in people:
            if person.email in self.refused:
                yield Result(refused=[Refusal(person, "bad_address", "It does not exist.")])
                continue
            if list_id is not None:
                self.members[list_id].add(person.email)
            self.properties[person.email] = person.properties
            yield Result([person])

    def remove_profiles(self, list_id: str, profile_ids: Sequence[str]) -> list[Refusal[str]]:
        self._call()
        self.batches.append(len(profile_ids))
        kept = [each for each in profile_ids if each.lower() in self.unremovable]
        self.members[list_id] -= {each.lower() for each in profile_ids if each not in kept}
        return [Refusal(each, "locked", "It may not leave.") for each in kept]

    def send_events(self, events: Sequence[Event]) -> Iterator[Result[Event]]:
        self._call()
        self.events += events
        yield Result(events)

    def _call(self) -> None:
        self.calls += 1
        if not self.is_key_valid:
            raise CredentialRefusedError("The key has expired.")


class Brand:
    """A tenant whose segment feeds the mailer's list."""

    def __init__(self, settings: Settings, pool: Pool, tenant_id: UUID, mailer: Mailer) -> None:
        self.settings, self.pool, self.tenant_id, self.mailer = settings, pool, tenant_id, mailer
        self.segment("ada", "bob", "cyd")
        with tenant_transaction(pool, tenant_id) as conn:
            new = NewConfig("shopify:1", LIST, "Newsletter", sends_events=True)
            self.config_id = create_config(conn, tenant_id, new)

    def segment(self, *names: str) -> None:
        """Make the Shopify segment hold exactly these people."""
        with tenant_transaction(self.pool, self.tenant_id) as conn:
            conn.execute(
                "insert into shopify.cached_segments"
                " (tenant_id, segment_id, name, query, synced_at)"
                " values (%s, '1', 'VIP', 'x', now()) on conflict do nothing",
                [self.tenant_id],
            )
            conn.execute(
                "delete from shopify.segment_members where tenant_id = %s", [self.tenant_id]
            )
            for name in names:
                conn.execute(
                    "insert into shopify.segment_members"
                    " (tenant_id, segment_id, customer_id, email) values (%s, '1', %s, %s)",
                    [self.tenant_id, name, email(name)],
                )

    def sync(self) -> dict[str, int]:
        """Sync as a worker does; returns what it counted."""
        with tenant_transaction(self.pool, self.tenant_id) as conn:
            run_id = start_run(conn, self.tenant_id, "klaviyo_sync", "cli").run["run_id"]
        with record_run(self.pool, self.tenant_id, run_id) as recorder:
            sync_lists(self.settings, self.pool, self.tenant_id, recorder, self.mailer.open)
        return dict(recorder.counts)

    def config(self) -> dict[str, Any]:
        with tenant_transaction(self.pool, self.tenant_id) as conn:
            return get_config(conn, self.tenant_id, self.config_id)

    def ledger(self) -> dict[str, str]:
        with tenant_transaction(self.pool, self.tenant_id) as conn:
            rows = conn.execute("select email, state from app.klaviyo_ledger").fetchall()
        return {row["email"]: row["state"] for row in rows}


def email(name: str) -> str:
    return f"{name}@example.org"


def emails(*names: str) -> set[str]:
    return set(map(email, names))


@pytest.fixture
def settings(built_settings: Settings) -> Settings:
    return replace(built_settings, klaviyo_removal_from=2)


@pytest.fixture
def mailer() -> Mailer:
    return Mailer()


@pytest.fixture
def brand(settings: Settings, pool: Pool, make_tenant: MakeTenant, mailer: Mailer) -> Brand:
    return Brand(settings, pool, make_tenant("kessel", None), mailer)


def test_events_that_are_neither_accepted_nor_refused_end_the_sync(
    brand: Brand, mailer: Mailer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailer, "send_events", lambda _events: iter([Result[Event]()]))
    with pytest.raises(DestinationError, match="neither accepted nor refused"):
        brand.sync()
    assert mailer.members[LIST] == emails("ada", "bob", "cyd")


def test_a_list_follows_its_segment(brand: Brand, mailer: Mailer) -> None:
    mailer.members[LIST] = emails("hand")
    counts = brand.sync()
    assert (counts["added"], counts["removed"], counts["events"]) == (3, 0, 3)
    assert mailer.members[LIST] == emails("ada", "bob", "cyd", "hand")
    assert mailer.batches == [2, 1]
    assert set(brand.ledger().values()) == {"synced"}
    properties = mailer.properties[email("ada")]
    assert properties is not None
    assert "quintile_rfm_segment" in properties
    brand.segment("ada", "bob", "cyd", "dee")
    assert brand.sync()["added"] == 1
    brand.segment("ada", "bob", "dee")
    counts = brand.sync()
    assert (counts["added"], counts["removed"]) == (0, 1)
    assert mailer.members[LIST] == emails("ada", "bob", "dee", "hand")
    assert [event["metric"] for event in mailer.events].count("Left Segment") == 1
    known = brand.config()
    assert known["local_members"] == 3
    # The list and the suppressed profiles are read, and nothing is written.
    assert brand.sync()["calls"] == 2


def test_a_profile_that_cannot_be_removed_stays_pending_with_the_reason(
    brand: Brand, mailer: Mailer, pool: Pool
) -> None:
    brand.sync()
    mailer.unremovable = emails("bob")
    brand.settings = replace(brand.settings, klaviyo_removal_from=100)
    brand.segment()
    counts = brand.sync()
    assert (counts["removed"], counts["rejected"]) == (2, 1)
    assert mailer.members[LIST] == emails("bob")
    with tenant_transaction(pool, brand.tenant_id) as conn:
        (kept,) = conn.execute("select * from app.klaviyo_ledger").fetchall()
    assert (kept["email"], kept["state"]) == (email("bob"), "pending")
    assert (kept["error_code"], kept["error_detail"]) == ("locked", "It may not leave.")
    mailer.unremovable = set()
    assert brand.sync()["removed"] == 1
    assert brand.ledger() == {}


def test_a_mass_removal_waits_for_approval(brand: Brand, mailer: Mailer, pool: Pool) -> None:
    brand.sync()
    brand.segment("ada")
    assert brand.sync()["stopped"] == 1
    assert mailer.members[LIST] == emails("ada", "bob", "cyd")
    with tenant_transaction(pool, brand.tenant_id) as conn:
        assert confirm_removals(conn, brand.tenant_id, brand.config_id) == 2
    assert brand.sync()["removed"] == 2
    assert mailer.members[LIST] == emails("ada")


def test_a_first_sync_does_not_start_live_flows(brand: Brand, mailer: Mailer) -> None:
    mailer.flows = ["Welcome"]
    assert brand.sync()["stopped"] == 1
    assert brand.config()["last_stopped_for"] == "flows"
    assert mailer.members[LIST] == set()


def test_refused_suppressed_and_too_large_people_are_left_out(brand: Brand, mailer: Mailer) -> None:
    mailer.refused = emails("ada")
    mailer.suppressed = emails("bob")
    counts = brand.sync()
    assert (counts["added"], counts["rejected"], counts["skipped"]) == (1, 1, 1)
    assert mailer.members[LIST] == emails("cyd")
    assert brand.ledger() == {email("ada"): "rejected", email("cyd"): "synced"}
    assert brand.config()["last_errors"] == {"bad_address": 1}
    mailer.limits = replace(mailer.limits, profile_bytes=10)
    brand.segment("cyd", "dee")
    assert brand.sync()["rejected"] == 1


def test_a_deleted_list_pauses_its_configuration(brand: Brand, mailer: Mailer) -> None:
    brand.sync()
    del mailer.members[LIST]
    assert brand.sync()["paused"] == 1
    assert brand.config()["paused_by"] == "sync"


def test_a_refused_credential_pauses_every_configuration(brand: Brand, mailer: Mailer) -> None:
    mailer.is_key_valid = False
    with pytest.raises(CredentialRefusedError):
        brand.sync()
    known = brand.config()
    assert (known["paused_by"], known["paused_reason"]) == ("key", "The key has expired.")
