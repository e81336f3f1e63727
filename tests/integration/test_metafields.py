"""RFM segments and scores in customer metafields: written by difference, removed, resumed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from threading import Thread
from uuid import UUID

import pytest
import stamina
from psycopg.types.json import Jsonb

from sandbox import Fault, Sandbox
from sandbox.data import Segment
from sandbox.shopify import ALL_SCOPES, Store
from sandbox.shopify.bulk import BulkFault, start
from service.core.config import Settings
from service.core.credentials import MissingScopeError
from service.core.db import Pool, connect_as_owner, create_pool, tenant_transaction
from service.core.errors import NotConnectedError
from service.core.queries import query
from service.shopify.connection import connect_shopify
from service.shopify.errors import ShopifyUnavailableError
from service.shopify.metafields import (
    MetafieldError,
    queue_metafields,
    read_status,
    retry_refused,
    rewrite,
    turn_off,
    turn_on,
)
from service.tenants.tenants import add_tenant
from tests.demo import NullProgress
from tests.metafields import Scored, held, ledger, leftovers, score, switch, write

GRAPHQL = "/graphql.json"
CHAMPION: Scored = ("champions", 5, 5, 5)
SLEEPER: Scored = ("hibernating", 1, 1, 2)


@pytest.fixture
def here(built_settings: Settings, shop: Sandbox) -> Settings:
    return replace(built_settings, shopify_url=shop.shopify_url, shopify_bulk_patience_seconds=1)


@pytest.fixture
def in_bulk(here: Settings) -> Settings:
    return replace(here, shopify_metafields_bulk_from=1)


@pytest.fixture
def pool(here: Settings) -> Iterator[Pool]:
    pool = create_pool(here)
    yield pool
    pool.close()


@pytest.fixture
def tenant(here: Settings, pool: Pool, store: Store) -> UUID:
    with connect_as_owner(here) as owner:
        tenant_id = add_tenant(owner, "kessel", store.data.domain)
    connect_shopify(here, pool, tenant_id, store.data.domain, store.data.token)
    return tenant_id


@pytest.fixture
def numbers(store: Store) -> list[str]:
    return [str(number) for number in sorted(store.customers)]


@pytest.fixture
def scores(numbers: list[str]) -> dict[str, Scored]:
    """Scores of every customer of the store."""
    return {each: (CHAMPION if at % 3 else SLEEPER) for at, each in enumerate(numbers)}


@pytest.fixture
def on(here: Settings, pool: Pool, tenant: UUID, scores: dict[str, Scored]) -> UUID:
    """The tenant, scored and with metafields turned on, and nothing written yet."""
    score(here, tenant, scores)
    switch(pool, tenant, on=True)
    return tenant


def calls(shop: Sandbox) -> int:
    count = sum(1 for each in shop.shopify_requests() if each.path.endswith(GRAPHQL))
    shop.clear_requests()
    return count


def test_a_run_writes_every_customer_and_the_next_only_the_difference(
    here: Settings, pool: Pool, on: UUID, store: Store, shop: Sandbox, scores: dict[str, Scored]
) -> None:
    assert write(here, pool, on)["metafield_customers"] == len(scores)
    assert held(store) == ledger(pool, on) == scores
    shop.clear_requests()
    assert "metafield_customers" not in write(here, pool, on)
    # The shop, and the definitions.
    assert calls(shop) == 2
    # Two scores of one customer change, and one customer leaves the window.
    first, second, *_ = scores
    changed = {**scores, first: ("hibernating", 2, 1, 1)}
    del changed[second]
    score(here, on, changed)
    assert write(here, pool, on) == {"metafield_customers": 1, "metafield_removals": 1, "calls": 4}
    assert held(store) == ledger(pool, on) == changed
    assert leftovers(pool, on) == (0, False)


def test_the_definitions_can_be_filtered_and_the_queries_select_the_segments(
    here: Settings, pool: Pool, on: UUID, store: Store, scores: dict[str, Scored]
) -> None:
    write(here, pool, on)
    assert all(each.is_filterable for each in store.metafields.definitions.values())
    with tenant_transaction(pool, on, read_only=True) as conn:
        queries = {each.segment: each.query for each in read_status(conn, on).queries}
    assert queries["champions"] == "metafields.quintile.rfm_segment = 'champions'"
    for at, (segment, text) in enumerate(queries.items()):
        made = Segment(1000 + at, segment, text, store.now, store.now, is_large=False)
        expected = sorted(number for number, scored in scores.items() if scored[0] == segment)
        assert sorted(str(f.customer.number) for f in store.members_of(made).rows) == expected
    low = store.parse_segment_query("metafields.quintile.rfm_recency <= 2")
    assert len(store.members_where(low)) == sum(scored[1] <= 2 for scored in scores.values())


def test_a_bulk_mutation_writes_the_same_with_few_calls(
    in_bulk: Settings,
    pool: Pool,
    on: UUID,
    store: Store,
    shop: Sandbox,
    scores: dict[str, Scored],
) -> None:
    shop.clear_requests()
    assert write(in_bulk, pool, on)["metafield_customers"] == len(scores)
    assert held(store) == ledger(pool, on) == scores
    (operation,) = store.bulk.operations.values()
    assert operation.kind == "MUTATION"
    assert operation.lines >= len(scores) // 6
    # Shop, definitions, four of them created, where to upload, start, and a few polls.
    assert calls(shop) <= 12
    assert leftovers(pool, on) == (0, False)


def test_ids_that_shopify_does_not_have_are_not_written(
    here: Settings, pool: Pool, on: UUID, store: Store, numbers: list[str]
) -> None:
    score(
        here,
        on,
        {"email:ann@example.org": CHAMPION, "phone:+4930": CHAMPION, numbers[0]: CHAMPION},
    )
    write(here, pool, on)
    assert held(store) == ledger(pool, on) == {numbers[0]: CHAMPION}


def test_turning_off_removes_values_and_definitions_and_on_writes_them_again(
    here: Settings, pool: Pool, on: UUID, store: Store, shop: Sandbox, scores: dict[str, Scored]
) -> None:
    write(here, pool, on)
    switch(pool, on, on=False)
    with tenant_transaction(pool, on, read_only=True) as conn:
        assert read_status(conn, on).state == "removing"
    shop.clear_requests()
    write(here, pool, on)
    # The shop, 62 customers per call, and four definitions.
    assert calls(shop) == 1 + -(-len(scores) // 62) + 4
    assert (held(store), store.metafields.definitions, ledger(pool, on)) == ({}, {}, {})
    with tenant_transaction(pool, on) as conn:
        assert read_status(conn, on).state == "off"
        assert queue_metafields(conn, on) is None
    switch(pool, on, on=True)
    write(here, pool, on)
    assert held(store) == ledger(pool, on) == scores


def test_a_customer_who_leaves_loses_metafields_that_were_to_be_written_again(
    here: Settings, pool: Pool, on: UUID, store: Store, shop: Sandbox, scores: dict[str, Scored]
) -> None:
    write(here, pool, on)
    with tenant_transaction(pool, on) as conn:
        rewrite(conn, on)
    score(here, on, {})
    shop.clear_requests()
    assert write(here, pool, on)["metafield_removals"] == len(scores)
    assert (held(store), ledger(pool, on)) == ({}, {})
    # The shop, the definitions, and 62 customers a call.
    assert calls(shop) == 2 + -(-len(scores) // 62)


def test_a_removal_that_shopify_refuses_holds_up_no_other_change(
    here: Settings, pool: Pool, on: UUID, store: Store, scores: dict[str, Scored]
) -> None:
    write(here, pool, on)
    _, second, _, *others = scores
    store.metafields.undeletable = {int(second)}
    score(here, on, dict.fromkeys(others, SLEEPER))
    counts = write(here, pool, on)
    assert (counts["metafield_removals"], counts["metafield_refusals"]) == (2, 1)
    assert held(store) == {second: scores[second], **dict.fromkeys(others, SLEEPER)}
    with tenant_transaction(pool, on) as conn:
        (refusal,) = read_status(conn, on).refusals
    assert refusal["reason"] == "Metafield cannot be deleted"
    # It is tried again with each run, and is gone with its definition.
    assert write(here, pool, on)["metafield_refusals"] == 1
    switch(pool, on, on=False)
    write(here, pool, on)
    assert (held(store), ledger(pool, on), store.metafields.definitions) == ({}, {}, {})


def test_a_refused_removal_is_forgotten_once_shopify_has_deleted_the_customer(
    here: Settings, pool: Pool, on: UUID, store: Store, scores: dict[str, Scored]
) -> None:
    write(here, pool, on)
    first = next(iter(scores))
    store.metafields.undeletable = {int(first)}
    score(here, on, {number: each for number, each in scores.items() if number != first})
    assert write(here, pool, on)["metafield_refusals"] == 1
    with tenant_transaction(pool, on) as conn:
        conn.execute(
            "insert into shopify.customers (tenant_id, customer_id, deleted_at)"
            " values (%s, %s, now())",
            [on, first],
        )
    assert "metafield_refusals" not in write(here, pool, on)
    with tenant_transaction(pool, on) as conn:
        assert read_status(conn, on).refused == 0


def test_values_can_be_left_in_the_store(
    here: Settings, pool: Pool, on: UUID, store: Store, scores: dict[str, Scored]
) -> None:
    write(here, pool, on)
    with tenant_transaction(pool, on) as conn:
        turn_off(conn, on, "a test", keep_values=True)
        assert read_status(conn, on).state == "off"
        assert queue_metafields(conn, on) is None
    assert held(store) == scores
    assert ledger(pool, on) == {}


def test_a_customer_deleted_in_shopify_is_recorded_and_the_others_are_written(
    here: Settings,
    in_bulk: Settings,
    pool: Pool,
    on: UUID,
    store: Store,
    shop: Sandbox,
    scores: dict[str, Scored],
) -> None:
    gone, late = list(scores)[3], list(scores)[9]
    store.delete_customer(int(gone))
    store.delete_customer(int(late))
    assert write(in_bulk, pool, on)["metafield_refusals"] == 2
    expected = {number: scored for number, scored in scores.items() if number not in (gone, late)}
    assert held(store) == ledger(pool, on) == expected
    with tenant_transaction(pool, on, read_only=True) as conn:
        status = read_status(conn, on)
    assert (status.written, status.pending, status.refused) == (len(expected), 0, 2)
    (refusal,) = status.refusals
    assert refusal["reason"] == "Owner does not exist"
    assert sorted(refusal["customer_ids"]) == sorted([gone, late])
    # It is not tried again for a day, unless a person asks for it.
    shop.clear_requests()
    write(here, pool, on)
    assert calls(shop) == 2
    with tenant_transaction(pool, on) as conn:
        retry_refused(conn, on)
    assert write(here, pool, on)["metafield_refusals"] == 2
    # Once the marts do not have them either, nothing is left of them.
    score(here, on, expected)
    write(here, pool, on)
    with tenant_transaction(pool, on, read_only=True) as conn:
        assert read_status(conn, on).refused == 0


def test_a_definition_deleted_by_hand_is_made_again_with_its_values(
    here: Settings, pool: Pool, on: UUID, store: Store, scores: dict[str, Scored]
) -> None:
    write(here, pool, on)
    store.delete_metafield_definition("quintile", "rfm_segment", with_values=True)
    assert write(here, pool, on)["metafield_customers"] == len(scores)
    assert held(store) == ledger(pool, on) == scores
    assert store.metafields.filterable("quintile", "rfm_segment")


def test_a_definition_deleted_while_a_run_writes_is_made_again(
    here: Settings,
    pool: Pool,
    on: UUID,
    store: Store,
    scores: dict[str, Scored],
) -> None:
    progress = Deleting(store)
    write(here, pool, on, progress)
    assert progress.is_done
    assert held(store) == ledger(pool, on) == scores


class Deleting:
    """A merchant who deletes a definition when the run begins to write."""

    def __init__(self, store: Store) -> None:
        self.store, self.is_done = store, False

    def phase(self, name: str, total: int | None = None) -> None:
        if name == "metafields" and not self.is_done:
            self.store.delete_metafield_definition("quintile", "rfm_monetary", with_values=True)
            self.is_done = True

    def advance(self, done: int = 1) -> None:
        pass

    def count(self, **counts: int) -> None:
        pass


def test_a_definition_that_is_no_filter_is_made_one(
    here: Settings, pool: Pool, on: UUID, store: Store
) -> None:
    store.metafields.define("quintile", "rfm_recency", name="R", type="number_integer")
    write(here, pool, on)
    assert store.metafields.filterable("quintile", "rfm_recency")


def test_a_metafield_of_another_type_is_told_with_the_way_out(
    here: Settings, pool: Pool, on: UUID, store: Store, scores: dict[str, Scored]
) -> None:
    store.metafields.define("quintile", "rfm_segment", name="Mine", type="json")
    with pytest.raises(MetafieldError, match=r"quintile\.rfm_segment, of the type json") as raised:
        write(here, pool, on)
    assert "Delete its definition" in raised.value.advice
    store.delete_metafield_definition("quintile", "rfm_segment", with_values=True)
    write(here, pool, on)
    assert held(store) == scores


def test_definitions_of_a_first_run_that_failed_are_removed_and_the_merchants_stay(
    here: Settings, pool: Pool, on: UUID, store: Store
) -> None:
    mine = store.metafields.define("quintile", "rfm_frequency", name="Mine", type="json")
    with pytest.raises(MetafieldError):
        write(here, pool, on)
    assert len(store.metafields.definitions) == 3
    switch(pool, on, on=False)
    with tenant_transaction(pool, on) as conn:
        assert queue_metafields(conn, on) is not None
    write(here, pool, on)
    assert list(store.metafields.definitions.values()) == [mine]


def test_a_definition_whose_creation_was_never_answered_is_removed(
    here: Settings, pool: Pool, on: UUID, store: Store, shop: Sandbox
) -> None:
    # After the shop and the definitions; the retry does not get through.
    shop.fail_shopify(Fault(lose=True, path=GRAPHQL, after=2))
    shop.fail_shopify(Fault(status=503, path=GRAPHQL, after=2))
    with stamina.set_testing(True, attempts=2), pytest.raises(ShopifyUnavailableError):
        write(here, pool, on)
    assert store.metafields.definitions
    switch(pool, on, on=False)
    write(here, pool, on)
    assert store.metafields.definitions == {}


def test_a_run_does_not_take_back_what_is_left_to_the_store_while_it_defines(
    here: Settings, pool: Pool, on: UUID, store: Store, shop: Sandbox
) -> None:
    # Each answer is late, so that the choice comes while the definitions are made.
    shop.fail_shopify(Fault(delay=0.2, path=GRAPHQL, count=100))

    def leave_to_the_store() -> None:
        while not store.metafields.definitions:
            time.sleep(0.01)
        with tenant_transaction(pool, on) as conn:
            turn_off(conn, on, "a test", keep_values=True)

    person = Thread(target=leave_to_the_store)
    person.start()
    write(here, pool, on)
    person.join()
    assert store.metafields.definitions
    with tenant_transaction(pool, on) as conn:
        assert read_status(conn, on).state == "off"


def test_a_store_without_room_for_another_filter_is_told_so(
    here: Settings, pool: Pool, on: UUID, store: Store
) -> None:
    for number in range(50):
        store.metafields.define(
            "custom", f"f_{number}", name="f", type="boolean", is_filterable=True
        )
    with pytest.raises(MetafieldError, match="You can only use 50") as raised:
        write(here, pool, on)
    assert "Turn off filtering" in raised.value.advice
    assert held(store) == {}


def test_without_the_scope_it_cannot_be_turned_on_and_a_run_says_what_is_missing(
    here: Settings, pool: Pool, on: UUID, store: Store
) -> None:
    store.scopes = ALL_SCOPES - {"write_customers"} | {"read_customers"}
    with pytest.raises(MissingScopeError, match="write_customers") as raised:
        write(here, pool, on)
    assert "Give the app this Admin API scope" in raised.value.advice
    with tenant_transaction(pool, on) as conn:
        assert read_status(conn, on).has_scope is False
        assert turn_off(conn, on, "a test") is True
        with pytest.raises(MissingScopeError):
            turn_on(conn, on, "a test")
        state = conn.execute(
            "select state from app.connections where provider = 'shopify'"
        ).fetchone()
    # The connection is good for everything else.
    assert state == {"state": "active"}


def test_a_tenant_without_a_store_cannot_turn_it_on(here: Settings, pool: Pool) -> None:
    with connect_as_owner(here) as owner:
        tenant_id = add_tenant(owner, "bare")
    with tenant_transaction(pool, tenant_id) as conn:
        with pytest.raises(NotConnectedError):
            turn_on(conn, tenant_id, "a test")
        assert turn_off(conn, tenant_id, "a test") is False


def test_values_edited_in_shopify_are_written_again_when_asked_for(
    here: Settings, pool: Pool, on: UUID, store: Store, scores: dict[str, Scored]
) -> None:
    write(here, pool, on)
    place = (int(next(iter(scores))), "quintile", "rfm_segment")
    store.change_metafields({place: "edited"})
    write(here, pool, on)
    assert store.metafields.values[place] == "edited"
    with tenant_transaction(pool, on) as conn:
        rewrite(conn, on)
    write(here, pool, on)
    assert held(store) == ledger(pool, on) == scores


def test_an_answer_that_is_lost_at_any_call_changes_nothing_in_the_end(
    here: Settings, pool: Pool, tenant: UUID, store: Store, shop: Sandbox, scores: dict[str, Scored]
) -> None:
    few = dict(list(scores.items())[:20])
    score(here, tenant, few)
    in_bulk = replace(here, shopify_metafields_bulk_from=1)
    faults = [Fault(lose=True, path=GRAPHQL, after=after) for after in range(14)]
    with stamina.set_testing(True, attempts=2):
        for fault in [*faults, Fault(lose=True, path="/staged-uploads/")]:
            for settings in (here, in_bulk):
                switch(pool, tenant, on=True)
                shop.fail_shopify(fault)
                write(settings, pool, tenant)
                assert held(store) == ledger(pool, tenant) == few
                assert leftovers(pool, tenant) == (0, False)
                switch(pool, tenant, on=False)
                write(settings, pool, tenant)
                assert (held(store), store.metafields.definitions) == ({}, {})
                shop.reset_faults()


def test_a_run_that_fails_keeps_what_shopify_accepted(
    here: Settings, pool: Pool, on: UUID, store: Store, shop: Sandbox, scores: dict[str, Scored]
) -> None:
    # Shop, definitions, four of them created, three batches.
    shop.fail_shopify(Fault(status=503, path=GRAPHQL, after=9, count=2))
    with stamina.set_testing(True, attempts=2), pytest.raises(ShopifyUnavailableError):
        write(here, pool, on)
    assert 0 < len(ledger(pool, on)) < len(scores)
    assert held(store) == ledger(pool, on)
    counts = write(here, pool, on)
    assert counts["metafield_customers"] < len(scores)
    assert held(store) == ledger(pool, on) == scores


def test_what_shopify_may_have_accepted_is_made_up_for_whatever_the_next_build_says(
    here: Settings, pool: Pool, on: UUID, store: Store, shop: Sandbox, scores: dict[str, Scored]
) -> None:
    first, second, third, *_ = scores
    few = {first: CHAMPION, second: CHAMPION}
    score(here, on, few)
    write(here, pool, on)

    def lose_the_answer(after: int) -> None:
        # The retries do not get through either.
        shop.fail_shopify(Fault(lose=True, path=GRAPHQL, after=after))
        shop.fail_shopify(Fault(status=503, path=GRAPHQL, after=after, count=1))
        with stamina.set_testing(True, attempts=2), pytest.raises(ShopifyUnavailableError):
            write(here, pool, on)
        shop.reset_faults()

    # A score changes and one customer is new; then both changes are taken back.
    score(here, on, {**few, first: SLEEPER, third: CHAMPION})
    lose_the_answer(after=2)
    assert (held(store)[first], held(store)[third]) == (SLEEPER, CHAMPION)
    score(here, on, few)
    write(here, pool, on)
    assert held(store) == ledger(pool, on) == few
    # A customer leaves and comes back as before.
    score(here, on, {first: CHAMPION})
    lose_the_answer(after=2)
    assert held(store) == {first: CHAMPION}
    score(here, on, few)
    write(here, pool, on)
    assert held(store) == ledger(pool, on) == few


@pytest.mark.parametrize(
    "fault",
    [
        BulkFault(status="FAILED", error_code="INTERNAL_SERVER_ERROR", partial=0.4),
        BulkFault(status="FAILED", error_code="TIMEOUT"),
        BulkFault(is_url_expired=True),
        BulkFault(has_no_file=True),
        BulkFault(extra_line='{"data": {"metafieldsSet"'),
        BulkFault(is_endless=True),
    ],
    ids=["partial", "failed", "expired", "no file", "damaged", "endless"],
)
def test_a_bulk_mutation_that_ends_badly_is_made_up_for(
    in_bulk: Settings,
    pool: Pool,
    on: UUID,
    store: Store,
    scores: dict[str, Scored],
    fault: BulkFault,
) -> None:
    store.bulk.faults = [fault, fault]
    write(in_bulk, pool, on)
    assert held(store) == ledger(pool, on) == scores
    assert len(store.bulk.operations) == 2
    assert leftovers(pool, on) == (0, False)


def test_while_other_bulk_mutations_take_all_places_changes_are_sent_call_by_call(
    in_bulk: Settings, pool: Pool, on: UUID, store: Store, scores: dict[str, Scored]
) -> None:
    others = [start(store, "mutation { other }", "MUTATION") for _ in range(5)]
    write(in_bulk, pool, on)
    assert held(store) == ledger(pool, on) == scores
    assert list(store.bulk.operations.values()) == others


def test_an_upload_left_by_a_dead_run_is_found_and_applied(
    in_bulk: Settings,
    pool: Pool,
    on: UUID,
    store: Store,
    scores: dict[str, Scored],
) -> None:
    with pytest.raises(Killed):
        write(in_bulk, pool, on, Killing("metafields: waiting for Shopify", calls=1))
    write(in_bulk, pool, on)
    assert held(store) == ledger(pool, on) == scores
    assert leftovers(pool, on) == (0, False)


class Killed(BaseException):
    """The process died."""


class Killing:
    """Ends the run when it counts, or when a phase begins."""

    def __init__(self, phase: str, calls: int) -> None:
        self.at, self.left = phase, calls

    def phase(self, name: str, total: int | None = None) -> None:
        if name == self.at:
            self.left -= 1
            if self.left < 0:
                raise Killed

    def advance(self, done: int = 1) -> None:
        pass

    def count(self, **counts: int) -> None:
        if "metafield_customers" in counts:
            raise Killed


def test_turning_off_while_a_bulk_mutation_runs_cancels_it_and_removes_what_it_did(
    in_bulk: Settings, pool: Pool, on: UUID, store: Store, shop: Sandbox
) -> None:
    # The run dies when it asks how the operation is.
    shop.fail_shopify(Fault(status=503, path=GRAPHQL, after=8, count=2))
    with stamina.set_testing(True, attempts=2), pytest.raises(ShopifyUnavailableError):
        write(in_bulk, pool, on)
    assert leftovers(pool, on)[1]
    switch(pool, on, on=False)
    write(in_bulk, pool, on)
    (operation,) = store.bulk.operations.values()
    assert operation.status == "CANCELED"
    assert (held(store), ledger(pool, on), store.metafields.definitions) == ({}, {}, {})


def test_a_bulk_mutation_whose_result_is_lost_leaves_nothing_of_a_customer_who_left(
    in_bulk: Settings, pool: Pool, on: UUID, store: Store
) -> None:
    store.bulk.faults = [BulkFault(has_no_file=True)]
    with pytest.raises(Killed):
        write(in_bulk, pool, on, Killing("metafields: waiting for Shopify", calls=1))
    assert held(store)
    score(in_bulk, on, {})
    write(in_bulk, pool, on)
    assert (held(store), ledger(pool, on)) == ({}, {})


class TurningOff(NullProgress):
    """A person who turns metafields off while a run writes them."""

    def __init__(self, pool: Pool, tenant_id: UUID, phase: str) -> None:
        super().__init__()
        self.pool, self.tenant_id, self.at = pool, tenant_id, phase

    def phase(self, name: str, total: int | None = None) -> None:
        if name == self.at:
            switch(self.pool, self.tenant_id, on=False)


def test_turning_off_stops_a_run_that_is_writing_and_removes_what_it_did(
    here: Settings, pool: Pool, on: UUID, store: Store, shop: Sandbox
) -> None:
    shop.clear_requests()
    write(here, pool, on, TurningOff(pool, on, "metafields"))
    # The shop, the definitions, four of them created and deleted: none was written.
    assert calls(shop) == 2 + 4 + 4
    assert (held(store), ledger(pool, on), store.metafields.definitions) == ({}, {}, {})


def test_turning_off_cancels_the_bulk_mutation_of_a_run_that_waits_for_it(
    in_bulk: Settings, pool: Pool, on: UUID, store: Store
) -> None:
    patient = replace(in_bulk, shopify_bulk_patience_seconds=600)
    store.bulk.faults = [BulkFault(is_endless=True)]

    def turn_off_later() -> None:
        while not any(each.looks for each in list(store.bulk.operations.values())):
            time.sleep(0.01)
        switch(pool, on, on=False)

    person = Thread(target=turn_off_later)
    person.start()
    write(patient, pool, on)
    person.join()
    (operation,) = store.bulk.operations.values()
    assert operation.status == "CANCELED"
    assert (held(store), ledger(pool, on), store.metafields.definitions) == ({}, {}, {})


def test_an_erased_customer_gets_no_metafields_and_no_refusal_is_kept(
    here: Settings, pool: Pool, on: UUID, store: Store, scores: dict[str, Scored]
) -> None:
    erased = next(iter(scores))
    with connect_as_owner(here) as owner:
        owner.execute(
            "insert into app.erasure_keys (tenant_id, erasure_key) values (%s, 'key')", [on]
        )
        owner.execute(
            "insert into app.erased_subjects (tenant_id, digest)"
            " values (%s, app.erasure_digest('key', 'customer', %s))",
            [on, erased],
        )
    # The marts still have them.
    write(here, pool, on)
    assert held(store) == {number: each for number, each in scores.items() if number != erased}
    with tenant_transaction(pool, on) as conn:
        conn.execute(
            "insert into app.shopify_metafield_changes (tenant_id, customer_id, is_removal, batch)"
            " values (%s, %s, false, 0)",
            [on, erased],
        )
        refusal = {"customer_id": erased, "reason": "Owner does not exist"}
        conn.execute(
            query("shopify.refuse_changes"), {"tenant_id": on, "refusals": Jsonb([refusal])}
        )
        assert read_status(conn, on).refused == 0


def test_refused_changes_are_tried_again_after_a_day(
    here: Settings, pool: Pool, on: UUID, store: Store, scores: dict[str, Scored]
) -> None:
    number = int(next(iter(scores)))
    customer = store.customers[number]
    store.delete_customer(number)
    write(here, pool, on)
    store.upsert_customer(customer)
    assert "metafield_customers" not in write(here, pool, on)
    with tenant_transaction(pool, on) as conn:
        conn.execute(
            "update app.shopify_customer_metafields set refused_at = refused_at - %s",
            [timedelta(days=1, seconds=1)],
        )
    write(here, pool, on)
    assert held(store) == ledger(pool, on) == scores
