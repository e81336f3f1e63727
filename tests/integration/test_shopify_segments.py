"""Shopify's segments: each read whole or not at all, whatever happens to the store meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from service.config import Settings
from service.connections import connect_shopify
from service.db import Pool, tenant_transaction
from service.sandbox import Sandbox
from service.sandbox.shopify import Store
from service.shopify import segments
from service.shopify.client import (
    open_shopify,
)
from service.shopify.segments import Source, sync_one_segment, sync_segments
from tests.conftest import MakeTenant, NullProgress
from tests.integration.test_shopify_sync import small_shop

Row = dict[str, Any]


@pytest.fixture
def store() -> Store:
    return Store(small_shop())


@pytest.fixture
def shop(store: Store) -> Iterator[Sandbox]:
    with Sandbox([store], []) as sandbox:
        yield sandbox


@pytest.fixture
def source(
    settings: Settings, shop: Sandbox, pool: Pool, make_tenant: MakeTenant, store: Store
) -> Iterator[Source]:
    here = replace(settings, shopify_url=shop.shopify_url)
    tenant_id = make_tenant("kessel", store.data.domain)
    connect_shopify(here, pool, tenant_id, store.data.domain, store.data.token)
    with open_shopify(here, store.data.domain, store.data.token) as client:
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


def landed(source: Source) -> dict[str, Row]:
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
    """Every segment of the store is landed as it is now, and no other is there."""
    rows = {key: row for key, row in landed(source).items() if row["gone_at"] is None}
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


def test_one_segment_is_read_again_and_the_others_are_left_alone(
    source: Source, store: Store
) -> None:
    sync_segments(source)
    before = landed(source)
    number = direct(store)
    store.update_segment(number, name="Renamed", query="number_of_orders >= 2")
    assert sync_one_segment(source, str(number))
    after = landed(source)
    assert after[str(number)]["name"] == "Renamed"
    assert after[str(number)]["members"] == members_of(store, number)
    assert {**after, str(number): None} == {**before, str(number): None}


def test_one_segment_that_is_new_or_large_lands(source: Source, store: Store) -> None:
    for number in (direct(store), large(store)):
        assert sync_one_segment(source, str(number))
        assert landed(source)[str(number)]["members"] == members_of(store, number)


def test_one_segment_that_is_gone_is_marked_and_emptied(source: Source, store: Store) -> None:
    sync_segments(source)
    number = direct(store)
    store.delete_segment(number)
    assert not sync_one_segment(source, str(number))
    row = landed(source)[str(number)]
    assert row["gone_at"] is not None
    assert (row["members"], row["member_count"]) == ([], 0)
    assert not sync_one_segment(source, "999999999999")
    assert_in_step(source, store)


def test_a_segment_that_comes_back_is_no_longer_gone(source: Source, store: Store) -> None:
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
    assert landed(source)[str(number)]["name"] == "Newer"
    assert_in_step(source, store)


def test_a_segment_deleted_during_a_slow_reading_stays_gone(source: Source, store: Store) -> None:
    sync_segments(source)
    number = direct(store)

    def delete_meanwhile() -> None:
        store.delete_segment(number)
        sync_one_segment(replace(source, progress=NullProgress()), str(number))

    sync_one_segment(replace(source, progress=Acting(delete_meanwhile)), str(number))
    assert landed(source)[str(number)]["gone_at"] is not None


def test_a_segment_made_while_all_are_read_is_not_taken_for_gone(
    source: Source, store: Store
) -> None:
    made = replace(store.segments[direct(store)], number=77, name="Made meanwhile")

    def make() -> None:
        store.add_segment(made)
        sync_one_segment(replace(source, progress=NullProgress()), "77")

    sync_segments(replace(source, progress=Acting(make)))
    assert_in_step(source, store)
