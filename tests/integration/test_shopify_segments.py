"""Shopify's segments: each is read completely or not at all, however the store changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from threading import Timer
from typing import Any

import pytest
import stamina
from psycopg.types.json import Jsonb

from sandbox.shopify import Store
from sandbox.shopify.store import SegmentFaults
from service.core.config import Settings
from service.core.db import Connection, Pool, one, tenant_transaction
from service.core.queries import query
from service.doctor.examine import examine
from service.promo_codes.segments import list_targets
from service.queue.enqueue import enqueue
from service.shopify import segments
from service.shopify.client import open_shopify
from service.shopify.connection import connect_shopify
from service.shopify.errors import ShopifyError, ShopifyQueryError, ShopifyUnavailableError
from service.shopify.segments import sync_one_segment, sync_segments
from service.shopify.source import Source
from service.worker.tasks import Worker
from tests.command import quintile
from tests.conftest import MakeTenant, NullProgress

Row = dict[str, Any]


@pytest.fixture
def source(
    shopify_settings: Settings, pool: Pool, make_tenant: MakeTenant, store: Store
) -> Iterator[Source]:
    tenant_id = make_tenant("kessel", store.data.domain)
    connect_shopify(shopify_settings, pool, tenant_id, store.data.domain, store.data.token)
    with open_shopify(shopify_settings, store.data.domain, store.data.token) as client:
        yield Source(client, pool, tenant_id, NullProgress())


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of ten members, so that there are several."""
    monkeypatch.setattr(segments, "_MEMBERS_PER_PAGE", 10)


class Acting(NullProgress):
    """Does something to the store once, when the first page of a segment has been read."""

    def __init__(self, act: Callable[[], object]) -> None:
        super().__init__()
        self.act: Callable[[], object] | None = act

    def count(self, **counts: int) -> None:
        super().count(**counts)
        if counts.get("segment_members") and self.act is not None:
            act, self.act = self.act, None
            act()


def loaded(source: Source) -> dict[str, Row]:
    """The cached segments by id, each with its members' ids."""
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        rows = conn.execute(
            """
            select s.*, array(
                select m.customer_id from shopify.segment_members as m
                where m.segment_id = s.segment_id
                order by m.customer_id
            ) as members
            from shopify.cached_segments as s
            """
        ).fetchall()
    return {row["segment_id"]: row for row in rows}


def rejected(source: Source) -> dict[tuple[str, str], str]:
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        rows = conn.execute("select * from shopify.rejected_rows").fetchall()
    return {(row["entity"], row["source_id"]): row["reason"] for row in rows}


def members_of(store: Store, number: int) -> list[str]:
    facts = store.members_of(store.segments[number]).rows
    return sorted(str(member.customer.number) for member in facts)


def assert_in_step(source: Source, store: Store) -> None:
    """Check that exactly the store's segments are loaded, as they are now."""
    rows = {key: row for key, row in loaded(source).items() if row["gone_at"] is None}
    assert set(rows) == {str(number) for number in store.segments}
    for number, segment in store.segments.items():
        row = rows[str(number)]
        assert (row["name"], row["query"]) == (segment.name, segment.query)
        assert row["members"] == members_of(store, number)
        assert row["member_count"] == len(row["members"])


def direct(store: Store) -> int:
    """The segment with the most members that is read without an asynchronous query."""
    numbers = [number for number, segment in store.segments.items() if not segment.is_large]
    return max(numbers, key=lambda number: len(members_of(store, number)))


def large(store: Store) -> int:
    return next(number for number, segment in store.segments.items() if segment.is_large)


# -- one segment at a time ----------------------------------------------------------------------


def test_one_segment_is_read_again_without_the_others(source: Source, store: Store) -> None:
    sync_segments(source)
    before = loaded(source)
    number = direct(store)
    store.update_segment(number, name="Renamed", query="number_of_orders >= 2")
    assert sync_one_segment(source, str(number))
    after = loaded(source)
    assert after[str(number)]["name"] == "Renamed"
    assert after[str(number)]["members"] == members_of(store, number)
    assert {**after, str(number): None} == {**before, str(number): None}


def test_one_segment_that_is_new_or_large_is_loaded(source: Source, store: Store) -> None:
    for number in (direct(store), large(store)):
        assert sync_one_segment(source, str(number))
        assert loaded(source)[str(number)]["members"] == members_of(store, number)


def changes(source: Source, number: int) -> dict[bool, list[str]]:
    """Customers who left (False) and entered (True) a segment, by the recorded changes."""
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        rows = conn.execute(
            "select customer_id, has_entered from shopify.segment_changes where segment_id = %s"
            " order by customer_id",
            [str(number)],
        ).fetchall()
    return {
        way: [row["customer_id"] for row in rows if row["has_entered"] is way]
        for way in (False, True)
    }


def test_who_enters_and_leaves_is_recorded_but_not_at_the_first_reading(
    source: Source, store: Store
) -> None:
    sync_segments(source)
    number = direct(store)
    before = members_of(store, number)
    assert changes(source, number) == {False: [], True: []}
    store.update_segment(number, query="number_of_orders >= 2")
    after = members_of(store, number)
    assert set(before) - set(after)
    assert set(before) & set(after)
    sync_one_segment(source, str(number))
    left, entered = sorted(set(before) - set(after)), sorted(set(after) - set(before))
    assert changes(source, number) == {False: left, True: entered}

    # Nothing changes: nothing is recorded. Then everybody is back, with the time of it.
    sync_one_segment(source, str(number))
    assert changes(source, number) == {False: left, True: entered}
    store.update_segment(
        number, query=next(s.query for s in store.data.segments if s.number == number)
    )
    sync_one_segment(source, str(number))
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        rows = conn.execute(
            "select customer_id, entered_at from shopify.segment_members where segment_id = %s",
            [str(number)],
        ).fetchall()
    assert {row["customer_id"] for row in rows if row["entered_at"] is not None} == set(left)


def answer_webhooks(source: Source, number: int, members: dict[str, bool]) -> None:
    """Load what the store answers to webhooks about these customers and a segment."""
    for customer_id, is_member in members.items():
        membership = {"segment_id": str(number), "is_member": is_member}
        with tenant_transaction(source.pool, source.tenant_id) as conn:
            conn.execute(
                query("webhooks.load_memberships"),
                {
                    "tenant_id": source.tenant_id,
                    "customer_id": customer_id,
                    "memberships": Jsonb([membership]),
                    "is_withheld": True,
                    **dict.fromkeys(("email", "display_name", "marketing_state")),
                },
            )


def test_what_a_webhook_changes_during_a_reading_stays(source: Source, store: Store) -> None:
    sync_segments(source)
    number = direct(store)
    joins, leaves = "77", members_of(store, number)[0]

    def change_memberships() -> None:
        answer_webhooks(source, number, {joins: True, leaves: False})

    acting = replace(source, progress=Acting(change_memberships))
    sync_one_segment(acting, str(number))
    row = loaded(source)[str(number)]
    expected = sorted({*members_of(store, number), joins} - {leaves})
    assert row["members"] == expected
    assert row["member_count"] == len(expected)
    assert changes(source, number) == {False: [leaves], True: [joins]}
    # The next reading has them as the store does.
    sync_one_segment(source, str(number))
    assert_in_step(source, store)


def test_what_a_webhook_confirms_during_a_reading_stays(source: Source, store: Store) -> None:
    number = direct(store)
    sync_segments(source)
    before = members_of(store, number)
    store.update_segment(number, query="number_of_orders >= 2")
    after = members_of(store, number)
    # Who has left at the moment of the reading is back afterwards, and the other way round: what
    # the webhooks about both find is what is stored already.
    returns, goes = next(each for each in before if each not in after), after[0]
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        conn.execute("delete from shopify.segment_members where customer_id = %s", [goes])

    def confirm_memberships() -> None:
        answer_webhooks(source, number, {returns: True, goes: False})

    acting = replace(source, progress=Acting(confirm_memberships))
    sync_one_segment(acting, str(number))
    row = loaded(source)[str(number)]
    assert row["members"] == sorted({*after, returns} - {goes})
    assert row["member_count"] == len(row["members"])
    left, entered = {*before} - {*after, returns}, {*after} - {*before, goes}
    assert changes(source, number) == {False: sorted(left), True: sorted(entered)}
    # A later reading knows better, and needs no confirmation any more.
    sync_one_segment(source, str(number))
    assert loaded(source)[str(number)]["members"] == after
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        assert conn.execute("select * from shopify.segment_confirmations").fetchall() == []


def test_sizes_are_recorded_by_day_and_end_with_the_segment(source: Source, store: Store) -> None:
    def sizes() -> list[tuple[int, int, int | None]]:
        with tenant_transaction(source.pool, source.tenant_id) as conn:
            rows = conn.execute(
                # Days are those of the store, which may be ahead of the server's.
                "select members, (now() at time zone t.time_zone)::date - recorded_on as days,"
                " previous_members from app.segment_sizes inner join app.tenants as t"
                " using (tenant_id) where segment_id = %s order by recorded_on",
                [f"shopify:{number}"],
            ).fetchall()
        return [tuple(row.values()) for row in rows]

    number = direct(store)
    sync_segments(source)
    members = len(members_of(store, number))
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        conn.execute("update app.segment_sizes set recorded_on = recorded_on - 1")
    sync_segments(source)
    assert sizes() == [(members, 1, None), (members, 0, members)]
    store.update_segment(number, query="number_of_orders >= 2")
    sync_one_segment(source, str(number))
    fewer = len(members_of(store, number))
    assert fewer < members
    assert sizes() == [(members, 1, None), (fewer, 0, members)]
    recorded = changes(source, number)
    store.delete_segment(number)
    sync_one_segment(source, str(number))
    assert sizes() == [(members, 1, None), (0, 0, fewer)]
    assert changes(source, number) == recorded


def test_a_sync_counts_the_members_who_accept_marketing(source: Source, store: Store) -> None:
    def emailable() -> tuple[int | None, int]:
        with tenant_transaction(source.pool, source.tenant_id) as conn:
            targets = {row.id: row for row in list_targets(conn, source.tenant_id, 5000)}
            stored = one(
                conn.execute(
                    "select emailable from app.segment_sizes where segment_id = %s", [segment]
                ).fetchone()
            )
        assert targets[segment].emailable is not None
        return stored["emailable"], int(targets[segment].emailable)

    number = direct(store)
    segment = f"shopify:{number}"
    store.update_segment(number, query="number_of_orders >= 1")
    everybody = [row.customer for row in store.members_of(store.segments[number]).rows]
    for customer in everybody:
        store.update_customer(customer.number, marketing_state="UNSUBSCRIBED")
    members = [customer for customer in everybody if customer.email]
    for customer in members[:3]:
        store.update_customer(customer.number, marketing_state="SUBSCRIBED")
    store.update_customer(members[2].number, email=None)
    sync_one_segment(source, str(number))
    assert emailable() == (2, 2)
    # What has changed since then counts at the next sync, and the release before stored nothing.
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        conn.execute("update shopify.segment_members set marketing_state = 'SUBSCRIBED'")
    assert emailable() == (2, 2)
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        conn.execute("update app.segment_sizes set emailable = null")
    assert emailable() == (None, len(members) - 1)
    store.delete_segment(number)
    sync_one_segment(source, str(number))
    assert emailable() == (0, 0)


def test_members_come_with_their_address_and_marketing_state(source: Source, store: Store) -> None:
    number = direct(store)
    first = store.members_of(store.segments[number]).rows[0].customer.number
    store.update_customer(first, email=None)
    sync_one_segment(source, str(number))
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        rows = conn.execute("select * from shopify.segment_members").fetchall()
    assert {
        (row["customer_id"], row["display_name"], row["email"], row["marketing_state"])
        for row in rows
    } == {
        (
            str(member.customer.number),
            member.customer.display_name,
            member.customer.email,
            member.customer.marketing_state if member.customer.email else None,
        )
        for member in store.members_of(store.segments[number]).rows
    }


def test_one_segment_that_is_gone_is_marked_and_emptied(source: Source, store: Store) -> None:
    sync_segments(source)
    number = direct(store)
    store.delete_segment(number)
    assert not sync_one_segment(source, str(number))
    row = loaded(source)[str(number)]
    assert row["gone_at"] is not None
    assert (row["members"], row["member_count"]) == ([], 0)
    assert not sync_one_segment(source, "999999999999")
    assert_in_step(source, store)


def test_a_segment_that_is_back_is_no_longer_gone(source: Source, store: Store) -> None:
    sync_segments(source)
    number = direct(store)
    segment = store.segments[number]
    store.delete_segment(number)
    sync_one_segment(source, str(number))
    store.add_segment(segment)
    sync_one_segment(source, str(number))
    assert_in_step(source, store)


def test_a_reading_that_began_earlier_does_not_overwrite_a_later_one(
    source: Source, store: Store
) -> None:
    sync_segments(source)
    number = direct(store)

    def read_meanwhile() -> None:
        store.update_segment(number, name="Newer", query="number_of_orders >= 3")
        sync_one_segment(replace(source, progress=NullProgress()), str(number))

    slow = replace(source, progress=Acting(read_meanwhile))
    sync_one_segment(slow, str(number))
    assert loaded(source)[str(number)]["name"] == "Newer"
    assert_in_step(source, store)


def test_a_segment_deleted_during_a_slow_reading_stays_gone(source: Source, store: Store) -> None:
    sync_segments(source)
    number = direct(store)

    def delete_meanwhile() -> None:
        store.delete_segment(number)
        sync_one_segment(replace(source, progress=NullProgress()), str(number))

    sync_one_segment(replace(source, progress=Acting(delete_meanwhile)), str(number))
    assert loaded(source)[str(number)]["gone_at"] is not None


def test_a_segment_created_while_all_are_read_is_not_marked_as_gone(
    source: Source, store: Store
) -> None:
    made = replace(store.segments[direct(store)], number=77, name="Made meanwhile")

    def make() -> None:
        store.add_segment(made)
        sync_one_segment(replace(source, progress=NullProgress()), "77")

    sync_segments(replace(source, progress=Acting(make)))
    assert_in_step(source, store)


# -- a store that changes, and a Shopify that fails -----------------------------------------------


def test_a_segment_deleted_between_two_pages_is_gone(
    source: Source, store: Store, small_pages: None
) -> None:
    sync_segments(source)
    number = direct(store)
    sync_segments(replace(source, progress=Acting(lambda: store.delete_segment(number))))
    # The first segment read was another one, or this one: gone in either case.
    assert loaded(source)[str(number)]["gone_at"] is not None
    assert_in_step(source, store)
    assert rejected(source) == {}


def test_a_large_segment_deleted_while_it_is_prepared_is_gone(source: Source, store: Store) -> None:
    sync_segments(source)
    number = large(store)
    store.segment_faults = SegmentFaults(looks_needed=10**6)

    def delete() -> None:
        store.lose_members_queries()
        store.delete_segment(number)

    began = Timer(0.5, delete)
    began.start()
    with stamina.set_testing(True, attempts=3):
        assert not sync_one_segment(source, str(number))
    began.join()
    assert_in_step(source, store)


def test_members_that_change_while_they_are_paged_are_corrected_by_the_next_sync(
    source: Source, store: Store, small_pages: None
) -> None:
    number = direct(store)
    leaving = store.members_of(store.segments[number]).rows[3].customer.number

    sync_one_segment(
        replace(source, progress=Acting(lambda: store.delete_customer(leaving))), str(number)
    )
    row = loaded(source)[str(number)]
    assert set(members_of(store, number)) <= set(row["members"])
    assert row["member_count"] == len(members_of(store, number))
    sync_segments(source)
    assert_in_step(source, store)


def test_an_expired_cursor_restarts_the_segment(
    source: Source, store: Store, small_pages: None
) -> None:
    store.segment_faults = SegmentFaults(expired_cursors=1)
    sync_segments(source)
    assert_in_step(source, store)
    assert rejected(source) == {}
    counts = source.progress.counts
    assert counts["segment_members"] == sum(len(members_of(store, n)) for n in store.segments)


def test_an_expired_cursor_restarts_the_list_of_segments(
    source: Source, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "_SEGMENTS_PER_PAGE", 2)
    store.segment_faults = SegmentFaults(expired_cursors=1)
    sync_segments(source)
    assert_in_step(source, store)
    assert source.progress.counts["segments"] == len(store.segments)

    before = loaded(source)
    store.delete_segment(direct(store))
    store.segment_faults = SegmentFaults(expired_cursors=2)
    with pytest.raises(ShopifyQueryError, match="not a valid cursor"):
        sync_segments(source)
    # With half a list, no segment is marked as gone.
    assert loaded(source) == before


def test_a_cursor_that_always_expires_quarantines_the_segment(
    source: Source, store: Store, small_pages: None
) -> None:
    sync_segments(source)
    before = loaded(source)
    number = direct(store)
    store.segment_faults = SegmentFaults(expired_cursors=10**6)
    assert sync_one_segment(source, str(number))
    assert loaded(source) == before
    assert "not a valid cursor" in rejected(source)["segment", str(number)]
    store.segment_faults = SegmentFaults()
    sync_one_segment(source, str(number))
    assert rejected(source) == {}


def test_a_members_query_lost_while_it_is_read_is_started_again(
    source: Source, store: Store, small_pages: None
) -> None:
    number = large(store)
    losing = replace(source, progress=Acting(store.lose_members_queries))
    with stamina.set_testing(True, attempts=3):
        assert sync_one_segment(losing, str(number))
    assert loaded(source)[str(number)]["members"] == members_of(store, number)
    assert rejected(source) == {}


def test_a_members_query_lost_while_it_is_prepared_is_started_again_in_the_same_sync(
    source: Source, store: Store
) -> None:
    """Shopify then answers INTERNAL_SERVER_ERROR, as recorded with 2026-04."""
    store.segment_faults = SegmentFaults(lost_queries=1)
    with stamina.set_testing(True, attempts=3):
        sync_segments(source)
    assert_in_step(source, store)
    assert rejected(source) == {}


def test_a_members_query_that_is_always_lost_quarantines_only_its_segment(
    source: Source, store: Store
) -> None:
    sync_segments(source)
    number = large(store)
    kept = loaded(source)[str(number)]["members"]
    other = direct(store)
    store.update_segment(other, name="Renamed")
    store.segment_faults = SegmentFaults(lost_queries=99)
    with stamina.set_testing(True, attempts=3):
        sync_segments(source)
    assert loaded(source)[str(number)]["members"] == kept
    assert loaded(source)[str(other)]["name"] == "Renamed"
    assert rejected(source) == {
        ("segment", str(number)): "Shopify lost the query that it was preparing."
    }
    store.segment_faults = SegmentFaults()
    sync_segments(source)
    assert rejected(source) == {}


def test_a_members_query_that_never_finishes_quarantines_only_its_segment(
    source: Source, store: Store
) -> None:
    sync_segments(source)
    number = large(store)
    kept = loaded(source)[str(number)]["members"]
    other = direct(store)
    store.update_segment(other, name="Renamed")
    store.segment_faults = SegmentFaults(looks_needed=10**6)
    sync_segments(replace(source, patience=0.5))
    assert loaded(source)[str(number)]["members"] == kept
    assert loaded(source)[str(other)]["name"] == "Renamed"
    assert rejected(source) == {
        ("segment", str(number)): f"Shopify did not prepare the members of segment {number} within"
        " 0 seconds."
    }


def test_a_members_query_of_a_killed_sync_does_not_disturb_the_next(
    source: Source, store: Store
) -> None:
    number = large(store)

    class KilledError(Exception):
        pass

    def die() -> None:
        raise KilledError

    with pytest.raises(KilledError):
        sync_one_segment(replace(source, progress=Acting(die)), str(number))
    assert len(store.members_queries) == 1
    assert loaded(source) == {}
    store.update_segment(number, query="number_of_orders >= 2")
    assert sync_one_segment(source, str(number))
    assert loaded(source)[str(number)]["members"] == members_of(store, number)


def test_one_segment_that_always_fails_does_not_stop_the_others(
    source: Source, store: Store
) -> None:
    sync_segments(source)
    broken = min(store.segments)
    kept = loaded(source)[str(broken)]["members"]
    store.segment_faults = SegmentFaults(broken=frozenset({broken}))
    other = max(store.segments)
    store.update_segment(other, name="Renamed")
    with stamina.set_testing(True, attempts=2):
        sync_segments(source)
        assert loaded(source)[str(broken)]["members"] == kept
        assert loaded(source)[str(broken)]["gone_at"] is None
        assert loaded(source)[str(other)]["name"] == "Renamed"
        assert set(rejected(source)) == {("segment", str(broken))}
        # A sync of one segment is tried again later by its caller.
        with pytest.raises(ShopifyUnavailableError):
            sync_one_segment(source, str(broken))


def test_a_sync_stops_when_shopify_fails_for_segment_after_segment(
    source: Source, store: Store
) -> None:
    store.segment_faults = SegmentFaults(broken=frozenset(store.segments))
    with stamina.set_testing(True, attempts=2), pytest.raises(ShopifyUnavailableError):
        sync_segments(source)
    assert len(rejected(source)) == 2
    assert len(store.segments) > 3


# -- wrong listings -------------------------------------------------------------------------------


def test_a_segment_with_unlisted_members_keeps_its_stored_ones(
    source: Source, store: Store
) -> None:
    sync_segments(source)
    number = direct(store)
    before = loaded(source)
    store.update_segment(number, query="number_of_orders >= 2")
    store.segment_faults = SegmentFaults(phantom_members=50)
    sync_one_segment(source, str(number))
    assert loaded(source) == before
    assert "and listed" in rejected(source)["segment", str(number)]


def test_member_ids_that_are_not_customer_ids_are_not_loaded(source: Source, store: Store) -> None:
    store.segment_faults = SegmentFaults(member_offset=5)
    with pytest.raises(ShopifyError, match="not those of customers") as raised:
        sync_segments(source)
    assert "@" not in raised.value.message
    assert not any(row["members"] for row in loaded(source).values())


def test_member_ids_are_checked_once_per_sync(source: Source, store: Store) -> None:
    large_ones = sum(segment.is_large for segment in store.segments.values())
    sync_segments(source)
    # The list, a page of each segment, one customer; large ones are refused first, then started
    # and polled twice.
    assert source.client.calls == 1 + len(store.segments) + 1 + 4 * large_ones


def test_a_segment_without_addresses_is_checked_by_its_customers(
    source: Source, store: Store
) -> None:
    for number in list(store.customers):
        store.update_customer(number, email=None)
    sync_segments(source)
    assert_in_step(source, store)


def test_unreadable_members_are_quarantined_until_they_can_be_read(
    source: Source, store: Store
) -> None:
    number = direct(store)
    odd = store.members_of(store.segments[number]).rows[2].customer.number
    store.segment_faults = SegmentFaults(odd_members=frozenset({odd}))
    sync_one_segment(source, str(number))
    row = loaded(source)[str(number)]
    assert row["members"] == sorted(set(members_of(store, number)) - {str(odd)})
    # The store's own count.
    assert row["member_count"] == len(row["members"]) + 1
    ((entity, source_id),) = rejected(source)
    assert entity == "segment_member"
    assert source_id.startswith(f"{number}/")
    store.segment_faults = SegmentFaults()
    sync_one_segment(source, str(number))
    assert rejected(source) == {}
    assert loaded(source)[str(number)]["members"] == members_of(store, number)


def test_a_segment_without_a_readable_member_keeps_its_stored_ones(
    source: Source, store: Store
) -> None:
    sync_segments(source)
    before = loaded(source)
    number = direct(store)
    store.segment_faults = SegmentFaults(odd_members=frozenset(store.customers))
    sync_one_segment(source, str(number))
    assert loaded(source) == before
    assert "None of the" in rejected(source)["segment", str(number)]


def test_a_second_sync_only_changes_the_time_of_the_sync(source: Source, store: Store) -> None:
    sync_segments(source)
    before = loaded(source)
    again = replace(source, progress=NullProgress())
    sync_segments(again)
    assert again.progress.counts["written"] == 0
    after = loaded(source)
    assert {key: {**row, "synced_at": None} for key, row in after.items()} == {
        key: {**row, "synced_at": None} for key, row in before.items()
    }
    assert all(after[key]["synced_at"] > row["synced_at"] for key, row in before.items())


# -- jobs and commands ----------------------------------------------------------------------------


def test_a_worker_syncs_the_segments_and_nothing_else(
    shopify_settings: Settings, source: Source, store: Store
) -> None:
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        run = enqueue(conn, source.tenant_id, "segments_sync")
    worker = Worker(shopify_settings, source.pool)
    worker.do(worker.segments_sync, str(source.tenant_id), str(run["run_id"]))
    assert_in_step(source, store)
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        done = conn.execute("select * from app.runs").fetchone()
        orders = conn.execute("select count(*) as n from shopify.orders").fetchone()
    assert done is not None
    assert (done["kind"], done["state"]) == ("segments_sync", "succeeded")
    assert done["counts"]["segments"] == len(store.segments)
    assert orders == {"n": 0}


def test_the_command_line_syncs_a_part_or_all(
    shopify_settings: Settings, source: Source, store: Store
) -> None:
    quintile(shopify_settings, "sync", "shopify", "--only", "segments")
    assert_in_step(source, store)
    quintile(shopify_settings, "sync", "shopify", "--tenant", "kessel")
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        runs = conn.execute("select kind, state from app.runs order by created_at").fetchall()
    assert [(run["kind"], run["state"]) for run in runs] == [
        ("segments_sync", "succeeded"),
        ("shopify_sync", "succeeded"),
        ("segments_sync", "succeeded"),
    ]
    refused = quintile(shopify_settings, "sync", "klaviyo", "--only", "segments", expect=1)
    assert "--only is for Shopify" in refused.stderr


def test_segments_are_dated_by_the_last_sync_of_all(source: Source, store: Store) -> None:
    def reported() -> dict[str, Any]:
        with tenant_transaction(source.pool, source.tenant_id) as conn:
            return one(
                conn.execute(
                    query("api.find_shopify_segments_as_of"), {"tenant_id": source.tenant_id}
                ).fetchone()
            )

    sync_segments(source)
    first = reported()
    assert (first["segments"], first["unread"]) == (len(store.segments), 0)
    assert first["as_of"] <= min(row["synced_at"] for row in loaded(source).values())
    sync_one_segment(source, str(direct(store)))
    assert reported() == first
    store.delete_segment(direct(store))
    store.segment_faults = SegmentFaults(looks_needed=10**6)
    sync_segments(replace(source, patience=0.1))
    assert (reported()["segments"], reported()["unread"]) == (first["segments"] - 1, 1)
    assert reported()["as_of"] > first["as_of"]


def test_the_doctor_says_how_old_the_segments_are(
    shopify_settings: Settings, source: Source, owner: Connection
) -> None:
    owner.execute("update app.connections set connected_at = now() - interval '13 hours'")

    def reported() -> list[str]:
        return [
            f.message
            for f in examine(shopify_settings)
            if f.check == "freshness" and "segm" in f.message
        ]

    (late,) = reported()
    assert late.startswith(
        "kessel: no sync of Shopify segments for 13 hours, over twice the longest gap of"
    )
    quintile(shopify_settings, "sync", "shopify", "--only", "segments")
    assert reported() == ["kessel: last sync of Shopify segments a minute ago"]
