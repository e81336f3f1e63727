"""Lists against a brute-force model: random segments, random edits on both sides, both directions.

The model has no ledger. It keeps sets for the whole list: the people on it, those that Quintile
added, and those that a person removed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from math import ceil
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, example, given, note, settings
from hypothesis import strategies as st

from sandbox import Sandbox
from sandbox.klaviyo import Account
from service.core.config import Settings
from service.core.db import (
    Connection,
    Pool,
    connect,
    connect_as_owner,
    create_pool,
    tenant_transaction,
)
from service.destinations.configs import Direction, NewConfig, create_config, delete_config
from service.klaviyo.connection import connect_klaviyo
from service.klaviyo.destination import LIMITS
from service.tenants.tenants import add_tenant
from tests.conftest import Cluster
from tests.klaviyo import sync_once

KEY = "pk_sandbox_for_the_model"
PEOPLE = range(6)
# Small, so that a few people need several calls.
SMALL = replace(LIMITS, import_profiles=2, remove_profiles=2)

_examples = count(1)

people = st.frozensets(st.sampled_from(PEOPLE))


@dataclass(frozen=True)
class Step:
    """What happens before a sync: the segments change, and a person edits the list."""

    segments: tuple[frozenset[int], frozenset[int]]
    added_by_hand: frozenset[int]
    removed_by_hand: frozenset[int]
    reads_all: bool


steps = st.builds(
    Step,
    segments=st.tuples(people, people),
    added_by_hand=st.frozensets(st.sampled_from(PEOPLE), max_size=2),
    removed_by_hand=st.frozensets(st.sampled_from(PEOPLE), max_size=2),
    reads_all=st.booleans(),
)


def step(
    one: set[int], two: set[int], on: set[int], off: set[int], *, reads_all: bool = False
) -> Step:
    return Step((frozenset(one), frozenset(two)), frozenset(on), frozenset(off), reads_all)


# One configuration added someone; a person removes and adds them again while the other one wants
# them. Neither configuration may remove them, in any order.
REMOVED_AND_ADDED_AGAIN = [
    step({1}, {1, 2, 4}, {3, 5}, {2}, reads_all=True),
    step({0, 3}, {0, 1, 2, 3, 4, 5}, {0, 3}, set()),
    step({4}, set(), set(), set()),
    step({1, 2}, {0}, {0, 3}, set()),
    step({5}, {0, 1, 2, 3, 4, 5}, set(), {1, 2}, reads_all=True),
    step(set(), {2, 3}, {1, 2}, {1}),
]


@dataclass
class Model:
    """The expected list, one set for each question.

    ``believed`` are the people on the list as far as reads show, which are not always full;
    ``unseen`` are those of them that Quintile added and has not read back yet.
    """

    direction: Direction
    has_been_read: bool = False
    on: set[int] = field(default_factory=set)
    believed: set[int] = field(default_factory=set)
    unseen: set[int] = field(default_factory=set)
    managed: set[int] = field(default_factory=set)
    kept_off: set[int] = field(default_factory=set)
    wanted: set[int] = field(default_factory=set)
    sent: set[int] = field(default_factory=set)
    segments: list[frozenset[int]] = field(default_factory=list)
    events: list[tuple[int, str, int]] = field(default_factory=list)

    def sync(self, segments: list[frozenset[int]], *, reads_all: bool) -> tuple[set[int], ...]:
        """What a sync does to the list: the people it adds, removes and updates."""
        # All of the list is read until someone has been found on it.
        reads_all = reads_all or not self.has_been_read
        self.has_been_read = self.has_been_read or bool(self.on)
        before = self.segments or [frozenset() for _ in segments]
        for number, (was, now) in enumerate(zip(before, segments, strict=True)):
            self.events += [(number, "Entered Segment", person) for person in now - was]
            self.events += [(number, "Left Segment", person) for person in was - now]
        wanted = set().union(*segments)
        seen = set(self.on) if reads_all else self.believed | self.on
        # People known to be on the list who are missing now were removed by a person: the members
        # so far, and those who left the segment before they were read back.
        self.kept_off |= (self.believed & (self.wanted | self.unseen) & wanted) - seen
        self.unseen = set() if reads_all else self.unseen - self.on
        self.kept_off -= seen
        if self.direction == "push":
            self.kept_off &= wanted
        self.managed &= seen
        removed = (self.managed & seen) - wanted - self.unseen
        added = wanted - seen - self.kept_off
        updated = (wanted & seen) - self.sent
        self.on = (self.on - removed) | added
        self.believed = (seen - removed) | added
        self.unseen |= added
        self.managed = (self.managed - removed) | added
        self.sent |= added | updated
        self.wanted = wanted
        self.segments = segments
        return added, removed, updated


@dataclass
class World:
    """A tenant and its account, which the examples use one after the other."""

    settings: Settings
    pool: Pool
    admin: Connection
    sandbox: Sandbox
    account: Account
    tenant_id: UUID


@pytest.fixture(scope="module")
def world(cluster: Cluster, built_template: str) -> Iterator[World]:
    account = Account(
        KEY,
        name="Kessel",
        currency="EUR",
        timezone="UTC",
        prefix="KK",
        rate_limit_scale=1000,
        job_seconds=0,
    )
    with (
        cluster.database(built_template) as base,
        Sandbox([], [account]) as sandbox,
        connect(base.database_url) as admin,
    ):
        # Full reads are made when the story says so, never by the schedule.
        here = replace(base, klaviyo_url=sandbox.klaviyo_url, schedule_klaviyo_members="0 0 1 1 *")
        with connect_as_owner(here) as owner:
            tenant_id = add_tenant(owner, "kessel", None)
        pool = create_pool(here)
        try:
            connect_klaviyo(here, pool, tenant_id, KEY)
            yield World(here, pool, admin, sandbox, account, tenant_id)
        finally:
            pool.close()


class Example:
    """A list with the segments that feed it and their people, for one example."""

    def __init__(self, world: World, direction: Direction, segments: int) -> None:
        self.world = world
        self.number = next(_examples)
        self.list = world.account.add_list(f"List {self.number}")
        self.segment_ids = [str(10 * self.number + n) for n in range(segments)]
        with tenant_transaction(world.pool, world.tenant_id) as conn:
            for segment_id in self.segment_ids:
                conn.execute(
                    "insert into shopify.cached_segments"
                    " (tenant_id, segment_id, name, query, synced_at)"
                    " values (%s, %s, 'VIP', 'x', now())",
                    [world.tenant_id, segment_id],
                )
        self.config_ids = [
            self._configure(f"shopify:{segment_id}", direction) for segment_id in self.segment_ids
        ]

    def _configure(self, segment_key: str, direction: Direction) -> UUID:
        """Create a configuration in its own transaction, because syncs are ordered by their age."""
        new = NewConfig(segment_key, self.list.id, self.list.name, direction, sends_events=True)
        with tenant_transaction(self.world.pool, self.world.tenant_id) as conn:
            return create_config(conn, self.world.tenant_id, new)

    def end(self) -> None:
        """Delete the configurations, so that the next example does not sync them."""
        with tenant_transaction(self.world.pool, self.world.tenant_id) as conn:
            for config_id in self.config_ids:
                delete_config(conn, self.world.tenant_id, config_id)

    def email(self, person: int) -> str:
        return f"p{person}-{self.number}@example.org"

    def fill_segments(self, segments: list[frozenset[int]]) -> None:
        with tenant_transaction(self.world.pool, self.world.tenant_id) as conn:
            for segment_id, members in zip(self.segment_ids, segments, strict=True):
                conn.execute(
                    "delete from shopify.segment_members where segment_id = %s", [segment_id]
                )
                for person in members:
                    conn.execute(
                        "insert into shopify.segment_members"
                        " (tenant_id, segment_id, customer_id, email) values (%s, %s, %s, %s)",
                        [self.world.tenant_id, segment_id, str(person), self.email(person)],
                    )

    def edit_list(self, added_by_hand: frozenset[int], removed_by_hand: frozenset[int]) -> None:
        account = self.world.account
        for person in added_by_hand:
            profile = account.upsert_profile({"email": self.email(person)})[0]
            account.join(self.list, [profile.id])
        for person in removed_by_hand:
            found = account.profile_by_email(self.email(person))
            if found is not None:
                self.list.members.pop(found.id, None)

    def sync(self, *, reads_all: bool) -> None:
        self.world.sandbox.clear_requests()
        sync_once(
            self.world.settings,
            self.world.pool,
            self.world.tenant_id,
            limits=SMALL,
            config_ids=self.config_ids,
            reads_all=reads_all,
        )
        # Time passes, so that the next full read covers what was sent.
        self.world.admin.execute(
            "update app.klaviyo_ledger set changed_at = changed_at - interval '1 hour'"
        )
        self.world.admin.execute(
            "update app.klaviyo_lists set full_read_at = full_read_at - interval '1 hour'"
        )

    def writes(self) -> list[str]:
        """The calls that change the list or profiles, without events."""
        return [
            request.method
            for request in self.world.sandbox.klaviyo_requests()
            if request.method != "GET" and "event" not in request.path
        ]

    def event_calls(self) -> int:
        """The calls that send events; so few are sent one by one."""
        return sum(
            request.method == "POST" and "event" in request.path
            for request in self.world.sandbox.klaviyo_requests()
        )

    def members(self) -> set[str]:
        return self.world.account.member_emails(self.list.id)

    def rows(self) -> list[dict[str, Any]]:
        with tenant_transaction(self.world.pool, self.world.tenant_id) as conn:
            return conn.execute(
                "select config_id, email, state, is_member from app.klaviyo_ledger"
                " where config_id = any(%s)",
                [self.config_ids],
            ).fetchall()

    def events(self) -> list[tuple[int, str, str]]:
        with tenant_transaction(self.world.pool, self.world.tenant_id) as conn:
            rows = conn.execute(
                "select config_id, metric, email from app.klaviyo_events where config_id = any(%s)",
                [self.config_ids],
            ).fetchall()
        return sorted(
            (self.config_ids.index(row["config_id"]), row["metric"], row["email"]) for row in rows
        )


@pytest.mark.parametrize("segments", [1, 2])
@pytest.mark.parametrize("direction", ["push", "bidirectional"])
@settings(
    # A sync is slow, so a failing story is shown as it is instead of being shrunk.
    phases=(Phase.explicit, Phase.generate),
    max_examples=12,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(story=st.lists(steps, min_size=3, max_size=6))
@example(story=REMOVED_AND_ADDED_AGAIN)
def test_lists_match_the_model(
    world: World, direction: Direction, segments: int, story: list[Step]
) -> None:
    played, model = Example(world, direction, segments), Model(direction)
    for number, each in enumerate(story):
        note(f"step {number}: {each}")
        now = list(each.segments[:segments])
        played.fill_segments(now)
        played.edit_list(each.added_by_hand, each.removed_by_hand)
        model.on = (model.on | each.added_by_hand) - each.removed_by_hand
        played.sync(reads_all=each.reads_all)
        events_before = len(model.events)
        added, removed, updated = model.sync(now, reads_all=each.reads_all)
        assert played.event_calls() == len(model.events) - events_before

        assert played.members() == {played.email(person) for person in model.on}
        kept_off = {row["email"] for row in played.rows() if row["state"] == "removed"}
        assert kept_off == {played.email(person) for person in model.kept_off}
        assert played.events() == sorted(
            (number, metric, played.email(person)) for number, metric, person in model.events
        )
        writes = played.writes()
        if segments == 1:
            assert writes.count("POST") == ceil(len(added) / 2) + ceil(len(updated) / 2)
            assert writes.count("DELETE") == ceil(len(removed) / 2)
        elif not added | updated | removed:
            assert writes == []
    # Without changes nothing is written, with a full read or without.
    for reads_all in (False, True):
        played.sync(reads_all=reads_all)
        added, removed, updated = model.sync(now, reads_all=reads_all)
        if not added | removed | updated:
            assert played.writes() == []
        assert played.event_calls() == 0
        assert played.members() == {played.email(person) for person in model.on}
    played.end()
