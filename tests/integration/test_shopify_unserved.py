"""Records that Shopify cannot serve, fields that it withholds, and places in its index."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import stamina

from sandbox import Fault, Sandbox
from sandbox.data import Order
from sandbox.shopify import Store
from sandbox.shopify.bulk import BulkFault
from service.core.config import Settings
from service.core.db import Connection, Pool, tenant_transaction
from service.doctor.examine import examine
from service.shopify import positions
from service.shopify.compare import Comparison
from service.shopify.errors import (
    ShopifyError,
    ShopifyQueryError,
    ShopifyUnapprovedError,
    ShopifyUnavailableError,
)
from service.shopify.problems import read_problems
from service.shopify.refetch import read_by_ids
from service.shopify.resources import ORDERS as ORDER_RESOURCE
from service.shopify.sync import sync_shopify
from service.webhooks.process import process_notices
from tests.command import quintile
from tests.conftest import NullProgress
from tests.hooks import CLIENT_SECRET, events, post_webhook, served
from tests.shops import ORDERS, loaded_rows

Sync = Callable[..., dict[str, int]]
# The shop; customers: count and page; orders: count, the first page, and a long order's lines.
CALLS_BEFORE_PAGE_TWO = 6
FUTURE = datetime(2099, 1, 1, tzinfo=UTC)


@pytest.fixture
def sync(shopify_settings: Settings, pool: Pool, tenant: UUID) -> Sync:
    def run(raises: type[Exception] | None = None, **options: Any) -> dict[str, int]:
        settings = replace(shopify_settings, **options.pop("settings", {}))
        progress = NullProgress()
        with stamina.set_testing(True, attempts=2):
            if raises is None:
                sync_shopify(settings, pool, tenant, progress, **options)
            else:
                with pytest.raises(raises):
                    sync_shopify(settings, pool, tenant, progress, **options)
        return progress.counts

    return run


@pytest.fixture
def by_change(store: Store) -> list[Order]:
    """The orders as the index lists them."""
    return sorted(store.data.orders, key=lambda order: (order.updated_at, order.number))


def rows(pool: Pool, tenant_id: UUID, table: str, key: str) -> dict[str, dict[str, Any]]:
    return {row[key]: row for row in loaded_rows(pool, tenant_id)[table]}


def orders(pool: Pool, tenant_id: UUID) -> dict[str, dict[str, Any]]:
    return rows(pool, tenant_id, "orders", "order_id")


def quarantined(pool: Pool, tenant_id: UUID) -> dict[tuple[str, str], str]:
    found = loaded_rows(pool, tenant_id)["rejected_rows"]
    return {(row["entity"], row["source_id"]): row["reason"] for row in found}


def state(pool: Pool, tenant_id: UUID) -> str:
    with tenant_transaction(pool, tenant_id) as conn:
        row = conn.execute("select state from app.connections").fetchone()
    assert row is not None
    return str(row["state"])


# -- records that cannot be served ----------------------------------------------------------------


@pytest.mark.parametrize(
    "positions_in_index",
    [[0], [3], [ORDERS - 1], [48, 49, 50, 51], list(range(20, 34)), [0, 100, 209]],
    ids=["first", "on a page", "last", "around a page's end", "many in a row", "here and there"],
)
def test_an_order_that_cannot_be_served_stops_no_other(
    sync: Sync,
    pool: Pool,
    tenant: UUID,
    store: Store,
    by_change: list[Order],
    positions_in_index: list[int],
) -> None:
    bad = {by_change[position].number for position in positions_in_index}
    store.fail_records(broken={("Order", number): "totalPriceSet" for number in bad})
    counts = sync()
    loaded = loaded_rows(pool, tenant)
    assert set(orders(pool, tenant)) == {
        str(order.number) for order in by_change if order.number not in bad
    }
    assert len(loaded["cached_segments"]) == len(store.segments)
    reasons = quarantined(pool, tenant)
    assert set(reasons) == {("order", str(number)) for number in bad}
    assert all("internal error" in reason for reason in reasons.values())
    assert counts["rejected"] == len(bad)

    # It stays so while Shopify fails, and recovers by itself although nothing changes.
    sync()
    assert quarantined(pool, tenant).keys() == reasons.keys()
    store.fail_records()
    sync()
    assert len(orders(pool, tenant)) == ORDERS
    assert quarantined(pool, tenant) == {}
    assert sync()["written"] == 0


def test_a_customer_and_a_member_that_cannot_be_served_stop_no_other(
    sync: Sync, pool: Pool, tenant: UUID, store: Store
) -> None:
    sync()
    before = loaded_rows(pool, tenant)["segment_members"]
    segment = next(s for s in store.data.segments if len(store.members_of(s).rows) > 2)
    member = store.members_of(segment).rows[1].customer.number
    store.fail_records(
        broken={("CustomerSegmentMember", member): "displayName", ("Customer", member): "tags"}
    )
    store.update_customer(member, first_name="Changed")
    sync()
    assert ("customer", str(member)) in quarantined(pool, tenant)
    assert ("segment_member", f"{segment.number}/{member}") in quarantined(pool, tenant)
    # Who cannot be served stays a member, as lists would lose them otherwise.
    assert loaded_rows(pool, tenant)["segment_members"] == before
    store.fail_records()
    sync()
    assert quarantined(pool, tenant) == {}
    named = rows(pool, tenant, "customers", "customer_id")[str(member)]["display_name"]
    assert named.startswith("Changed")


def test_a_segment_that_cannot_be_listed_stops_no_other(
    sync: Sync, pool: Pool, tenant: UUID, store: Store
) -> None:
    sync()
    first, second = store.data.segments[0].number, store.data.segments[1].number
    store.fail_records(broken={("Segment", first): "name"})
    store.update_segment(second, name="Renamed")
    sync()
    found = rows(pool, tenant, "cached_segments", "segment_id")
    assert found[str(second)]["name"] == "Renamed"
    assert found[str(first)]["gone_at"] is None
    assert set(quarantined(pool, tenant)) == {("segment", str(first))}


@pytest.mark.parametrize("heavy_from", [2, 13, 50])
def test_a_page_that_takes_too_long_is_halved(
    sync: Sync, pool: Pool, tenant: UUID, store: Store, heavy_from: int
) -> None:
    store.fail_records(heavy_from=heavy_from)
    counts = sync()
    assert len(orders(pool, tenant)) == counts["orders"] == ORDERS
    assert counts["customers"] == len(store.data.customers)
    assert counts["segment_members"] == len(loaded_rows(pool, tenant)["segment_members"])
    assert quarantined(pool, tenant) == {}


def test_what_comes_beside_an_error_at_one_path_is_kept(
    sync: Sync, pool: Pool, tenant: UUID, store: Store, by_change: list[Order]
) -> None:
    noted, nameless = by_change[5], by_change[60]
    store.update_order(noted.number, note="remember", updated_at=noted.updated_at)
    sync()
    store.update_order(noted.number, tags=["new"])
    store.update_order(nameless.number, tags=["new"])
    store.fail_records(
        broken={("Order", noted.number): "note", ("Order", nameless.number): "cancelledAt"}
    )
    sync()
    # A note is not essential, and the stored one stays; a missing cancellation would be wrong.
    row = orders(pool, tenant)[str(noted.number)]
    assert (row["tags"], row["note"]) == (["new"], "remember")
    assert orders(pool, tenant)[str(nameless.number)]["tags"] == nameless.tags
    assert "its note" in quarantined(pool, tenant)["order", str(noted.number)]
    assert ("order", str(nameless.number)) in quarantined(pool, tenant)
    store.fail_records()
    store.update_order(noted.number, note="forget", updated_at=noted.updated_at)
    sync()
    assert quarantined(pool, tenant) == {}
    assert orders(pool, tenant)[str(nameless.number)]["tags"] == ["new"]


def test_a_new_order_without_an_optional_field_is_loaded_and_completed_later(
    sync: Sync, pool: Pool, tenant: UUID, store: Store, by_change: list[Order]
) -> None:
    order = next(each for each in by_change if each.email)
    store.fail_records(broken={("Order", order.number): "email"})
    sync()
    assert len(orders(pool, tenant)) == ORDERS
    store.fail_records()
    sync()
    assert orders(pool, tenant)[str(order.number)]["customer_email"]
    assert quarantined(pool, tenant) == {}


def test_an_order_whose_further_lines_cannot_be_served_stops_no_other(
    sync: Sync, pool: Pool, tenant: UUID, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = next(order for order in store.data.orders if len(order.line_items) > 10)
    from service.shopify.client import ShopifyClient

    run = ShopifyClient.run

    def without_lines(self: ShopifyClient, name: str, **variables: Any) -> Any:
        if name == "order_lines" and str(long.number) in variables["id"]:
            raise ShopifyQueryError("no such lines")
        return run(self, name, **variables)

    monkeypatch.setattr(ShopifyClient, "run", without_lines)
    sync()
    assert set(quarantined(pool, tenant)) == {("order", str(long.number))}
    assert len(orders(pool, tenant)) == ORDERS - 1


def test_an_order_that_cannot_be_served_in_bulk_is_found_by_paging(
    sync: Sync, pool: Pool, tenant: UUID, store: Store, by_change: list[Order]
) -> None:
    bad = by_change[7].number
    store.fail_records(broken={("Order", bad): "totalPriceSet"})
    sync(settings={"shopify_bulk_from": 1, "shopify_bulk_patience_seconds": 1})
    assert len(orders(pool, tenant)) == ORDERS - 1
    assert set(quarantined(pool, tenant)) == {("order", str(bad))}


def test_records_read_by_their_ids_are_split_too(
    sync: Sync, pool: Pool, tenant: UUID, store: Store, by_change: list[Order]
) -> None:
    """The comparison finds records that the search missed, and asks for them by their ids."""
    sync()
    for order in by_change[:30]:
        at = order.updated_at + timedelta(seconds=1)
        store.update_order(order.number, note="missed", updated_at=at)
    bad, partial, heavy = by_change[4].number, by_change[9].number, 20
    store.fail_records(
        broken={("Order", bad): "totalPriceSet", ("Order", partial): "note"}, heavy_from=heavy
    )
    sync(only="orders", comparison=Comparison.NOW)
    loaded = orders(pool, tenant)
    noted = {number for number, row in loaded.items() if row["note"] == "missed"}
    assert len(noted) == 28
    assert set(quarantined(pool, tenant)) == {("order", str(bad)), ("order", str(partial))}
    # Shopify could not serve it, which does not prove that it is gone.
    assert loaded[str(bad)]["deleted_at"] is None
    store.fail_records()
    sync()
    assert quarantined(pool, tenant) == {}
    assert len([1 for row in orders(pool, tenant).values() if row["note"] == "missed"]) == 30


def test_a_quarantined_order_that_is_deleted_is_forgotten(
    sync: Sync, pool: Pool, tenant: UUID, store: Store, by_change: list[Order]
) -> None:
    bad = by_change[3].number
    store.fail_records(broken={("Order", bad): "totalPriceSet"})
    sync()
    store.delete_order(bad)
    sync()
    assert quarantined(pool, tenant) == {}


def test_an_outage_quarantines_nothing(
    sync: Sync, pool: Pool, tenant: UUID, shop: Sandbox, store: Store
) -> None:
    """Only what Shopify still lists, or serves a neighbour of, is at fault itself."""
    shop.fail_shopify(Fault(status=503, html=True, count=10_000, after=2))
    sync(ShopifyUnavailableError)
    assert quarantined(pool, tenant) == {}
    shop.reset_faults()
    store.fail_records(
        broken={("Order", order.number): "totalPriceSet" for order in store.data.orders}
    )
    sync(ShopifyUnavailableError)
    # It stops after a few, when no order at all can be served.
    assert 0 < len(quarantined(pool, tenant)) <= 10
    store.fail_records()
    sync()
    assert len(orders(pool, tenant)) == ORDERS
    assert quarantined(pool, tenant) == {}


def test_orders_do_not_wait_for_customers_nor_segments_for_orders(
    sync: Sync, pool: Pool, tenant: UUID, store: Store
) -> None:
    store.fail_records(withheld=frozenset({"Customer"}))
    sync(ShopifyUnapprovedError)
    loaded = loaded_rows(pool, tenant)
    assert len(loaded["orders"]) == ORDERS
    assert len(loaded["customers"]) == 0
    assert state(pool, tenant) == "active"
    store.fail_records(withheld=frozenset({"Order"}))
    store.update_segment(store.data.segments[0].number, name="Renamed")
    sync(ShopifyUnapprovedError)
    names = {row["name"] for row in loaded_rows(pool, tenant)["cached_segments"]}
    assert "Renamed" in names
    assert len(loaded_rows(pool, tenant)["customers"]) == len(store.data.customers)


def test_a_webhook_about_a_record_that_cannot_be_served_stops_no_other(
    sync: Sync,
    shopify_settings: Settings,
    pool: Pool,
    tenant: UUID,
    store: Store,
    by_change: list[Order],
) -> None:
    sync()
    settings = replace(shopify_settings, shopify_client_secret=CLIENT_SECRET)
    bad = by_change[5].number
    with served(settings) as url:
        for order in by_change[:12]:
            store.update_order(order.number, note="told", updated_at=order.updated_at)
            topic = "orders/updated"
            post_webhook(url, store.data.domain, topic, {"id": order.number})
    store.fail_records(broken={("Order", bad): "totalPriceSet"})
    with stamina.set_testing(True, attempts=2):
        process_notices(settings, pool, tenant, lambda _conn, _tenant: None)
    states = [event["state"] for event in events(pool, tenant)]
    assert sorted(set(states)) == ["done", "due"] or states.count("done") == 11
    assert len([1 for row in orders(pool, tenant).values() if row["note"] == "told"]) == 11


def test_people_see_what_is_quarantined(
    sync: Sync,
    shopify_settings: Settings,
    pool: Pool,
    tenant: UUID,
    store: Store,
    by_change: list[Order],
) -> None:
    bad = by_change[3].number
    store.fail_records(broken={("Order", bad): "totalPriceSet"})
    with stamina.set_testing(True, attempts=2):
        done = quintile(shopify_settings, "sync", "shopify", "--only", "orders")
    printed = done.stdout + done.stderr
    assert f"1 order could not be read ({bad}): Shopify keeps failing" in printed
    with tenant_transaction(pool, tenant) as conn:
        (problem,) = read_problems(conn, tenant)
    assert str(bad) in problem.in_words
    found = [each for each in examine(shopify_settings) if each.check == "shopify"]
    assert [each.level for each in found] == ["warning"]
    assert str(bad) in found[0].message


# -- places in the index --------------------------------------------------------------------------


def test_a_record_newer_than_its_place_loses_none_behind_it(
    sync: Sync,
    pool: Pool,
    tenant: UUID,
    store: Store,
    by_change: list[Order],
    shop: Sandbox,
) -> None:
    """The index does not know yet that an order has just changed, and the next page fails."""
    store.fail_records(listed_at={by_change[2].number: by_change[2].updated_at})
    store.update_order(by_change[2].number, note="changed a second ago")
    shop.fail_shopify(Fault(status=429, retry_after=400, count=100, after=CALLS_BEFORE_PAGE_TWO))
    sync(ShopifyUnavailableError, only="orders")
    assert 0 < len(orders(pool, tenant)) < ORDERS
    shop.reset_faults()
    counts = sync(only="orders")
    assert len(orders(pool, tenant)) == ORDERS
    assert counts["orders"] < ORDERS
    assert loaded_rows(pool, tenant)["sync_positions"] == []


def test_a_whole_page_newer_than_its_place_loses_none_behind_it(
    sync: Sync,
    pool: Pool,
    tenant: UUID,
    store: Store,
    by_change: list[Order],
    shop: Sandbox,
) -> None:
    """An app changes many orders at once, while the index lags behind."""
    store.fail_records(listed_at={each.number: each.updated_at for each in by_change[:50]})
    for order in by_change[:50]:
        store.update_order(order.number, note="all at once")
    shop.fail_shopify(Fault(status=429, retry_after=400, count=100, after=CALLS_BEFORE_PAGE_TWO))
    sync(ShopifyUnavailableError, only="orders")
    assert len(orders(pool, tenant)) == 50
    shop.reset_faults()
    sync(only="orders")
    assert len(orders(pool, tenant)) == ORDERS


@pytest.mark.parametrize("bulk_from", [1, 10**9], ids=["in bulk", "paged"])
@pytest.mark.parametrize("is_listed_so", [True, False], ids=["listed so", "listed as it was"])
def test_a_record_dated_in_the_future_hides_nothing(
    sync: Sync,
    pool: Pool,
    tenant: UUID,
    store: Store,
    by_change: list[Order],
    bulk_from: int,
    is_listed_so: bool,
) -> None:
    bulk = {"shopify_bulk_from": bulk_from, "shopify_bulk_patience_seconds": 1}
    odd = by_change[8]
    if not is_listed_so:
        store.fail_records(listed_at={odd.number: odd.updated_at})
    store.update_order(odd.number, updated_at=FUTURE)
    buyer = store.data.customers[0].number
    store.update_customer(buyer, updated_at=FUTURE)
    sync(settings=bulk)
    other, customer = by_change[100].number, store.data.customers[5].number
    store.update_order(other, note="found")
    store.update_customer(customer, first_name="Found")
    sync(settings=bulk)
    assert orders(pool, tenant)[str(other)]["note"] == "found"
    customers = rows(pool, tenant, "customers", "customer_id")
    assert customers[str(customer)]["display_name"].startswith("Found")

    # Nor is the record itself stuck: its later versions are dated earlier.
    store.fail_records()
    store.update_order(odd.number, note="corrected")
    store.update_customer(buyer, first_name="Corrected")
    sync(settings=bulk)
    assert orders(pool, tenant)[str(odd.number)]["note"] == "corrected"
    customers = rows(pool, tenant, "customers", "customer_id")
    assert customers[str(buyer)]["display_name"].startswith("Corrected")


def test_the_watermark_is_the_oldest_of_the_last_records(
    sync: Sync, pool: Pool, tenant: UUID, by_change: list[Order]
) -> None:
    sync(only="orders")
    (watermark,) = (
        row["watermark"]
        for row in loaded_rows(pool, tenant)["sync_watermarks"]
        if row["resource"] == "orders"
    )
    assert watermark == by_change[-positions._LAST_RECORDS].updated_at.replace(microsecond=0)


def test_a_cursor_that_is_no_longer_accepted_restarts_at_the_watermark(
    sync: Sync, pool: Pool, tenant: UUID, store: Store, shop: Sandbox, owner: Connection
) -> None:
    shop.fail_shopify(Fault(status=429, retry_after=400, count=100, after=CALLS_BEFORE_PAGE_TWO))
    sync(ShopifyUnavailableError, only="orders")
    shop.reset_faults()
    owner.execute("update shopify.sync_positions set cursor = 'of another release'")
    sync(only="orders")
    assert len(orders(pool, tenant)) == ORDERS
    assert loaded_rows(pool, tenant)["sync_positions"] == []


def test_an_order_that_changes_while_pages_are_read_is_seen(
    shopify_settings: Settings, pool: Pool, tenant: UUID, store: Store, by_change: list[Order]
) -> None:
    class Changing(NullProgress):
        def advance(self, done: int = 1) -> None:
            if self.phases[-1] == "orders" and not self.counts.get("changed"):
                self.count(changed=1)
                store.update_order(by_change[150].number, note="amid the sync")

    sync_shopify(shopify_settings, pool, tenant, Changing(), only="orders")
    assert orders(pool, tenant)[str(by_change[150].number)]["note"] == "amid the sync"


def test_empty_lists_are_reported_where_the_count_is_not(
    sync: Sync, pool: Pool, tenant: UUID, store: Store
) -> None:
    store.fail_records(unlisted=True)
    counts = sync()
    assert counts["orders_not_listed"] == ORDERS
    assert counts["customers_not_listed"] == len(store.data.customers)
    store.fail_records()
    counts = sync()
    assert "orders_not_listed" not in counts
    assert len(orders(pool, tenant)) == ORDERS


# -- fields that are withheld ---------------------------------------------------------------------

PROTECTED = frozenset({"defaultEmailAddress", "displayName", "email"})


@pytest.mark.parametrize("bulk_from", [1, 10**9], ids=["in bulk", "paged"])
@pytest.mark.parametrize(
    "withheld",
    [frozenset({"defaultEmailAddress"}), frozenset({"displayName"}), PROTECTED],
    ids=["addresses", "names", "all"],
)
def test_orders_are_loaded_without_withheld_fields_and_completed_after_the_approval(
    sync: Sync,
    shopify_settings: Settings,
    pool: Pool,
    tenant: UUID,
    store: Store,
    withheld: frozenset[str],
    bulk_from: int,
) -> None:
    bulk = {"shopify_bulk_from": bulk_from, "shopify_bulk_patience_seconds": 1}
    store.fail_records(withheld=withheld)
    counts = sync(settings=bulk)
    assert counts["withheld_fields"] > 0
    assert counts["rejected"] == 0
    loaded = loaded_rows(pool, tenant)
    by_id = {str(order.number): order for order in store.data.orders}
    assert len(loaded["orders"]) == ORDERS
    for row in loaded["orders"]:
        number = by_id[row["order_id"]].customer_number
        assert row["customer_id"] == (str(number) if number in store.customers else None)
    assert len(loaded["customers"]) == len(store.data.customers)
    assert len(loaded["segment_members"]) == sum(
        len(store.members_of(segment).rows) for segment in store.data.segments
    )
    if "displayName" in withheld:
        assert {row["display_name"] for row in loaded["customers"]} == {None}
    if "defaultEmailAddress" in withheld:
        assert {row["email"] for row in loaded["segment_members"]} == {None}
    assert state(pool, tenant) == "active"
    with tenant_transaction(pool, tenant) as conn:
        (problem,) = read_problems(conn, tenant)
    assert "Shopify withholds" in problem.in_words
    assert "level 2" in problem.advice
    assert ("Email" in problem.advice) == (withheld != {"displayName"})
    assert ("Name" in problem.advice) == ("displayName" in withheld)

    store.fail_records()
    assert "withheld_fields" not in sync(settings=bulk)
    loaded = loaded_rows(pool, tenant)
    for customer in loaded["customers"]:
        theirs = store.customers[int(customer["customer_id"])]
        assert (customer["email"], customer["display_name"]) == (theirs.email, theirs.display_name)
    assert any(row["customer_email"] for row in loaded["orders"])
    assert any(row["customer_name"] for row in loaded["orders"])
    assert any(row["email"] for row in loaded["segment_members"])
    with tenant_transaction(pool, tenant) as conn:
        assert read_problems(conn, tenant) == []
    assert sync(settings=bulk)["written"] == 0


def test_a_part_of_the_fields_is_granted_first(
    sync: Sync, pool: Pool, tenant: UUID, store: Store
) -> None:
    store.fail_records(withheld=PROTECTED)
    sync()
    store.fail_records(withheld=frozenset({"displayName"}))
    sync()
    loaded = loaded_rows(pool, tenant)["customers"]
    assert {row["display_name"] for row in loaded} == {None}
    assert any(row["email"] for row in loaded)


@pytest.mark.parametrize("bulk_from", [1, 10**9], ids=["in bulk", "paged"])
def test_stored_values_stay_when_access_is_withdrawn(
    sync: Sync, pool: Pool, tenant: UUID, store: Store, bulk_from: int
) -> None:
    bulk = {"shopify_bulk_from": bulk_from, "shopify_bulk_patience_seconds": 1}
    sync(settings=bulk)
    before = loaded_rows(pool, tenant)
    order = next(o for o in store.data.orders if o.customer_number in store.customers)
    store.fail_records(withheld=PROTECTED)
    store.update_order(order.number, note="changed")
    store.update_customer(order.customer_number or 0, tags=["changed"])
    sync(settings=bulk)
    after = loaded_rows(pool, tenant)
    columns = ("customer_id", "customer_email", "customer_name")
    for table, kept in (
        ("orders", columns),
        ("customers", ("email", "display_name", "marketing_state")),
        ("segment_members", ("email", "display_name", "marketing_state")),
    ):
        for old, new in zip(before[table], after[table], strict=True):
            assert [old[name] for name in kept] == [new[name] for name in kept]
    assert orders(pool, tenant)[str(order.number)]["note"] == "changed"


def test_a_bulk_operation_that_is_denied_access_is_followed_by_pages(
    sync: Sync, pool: Pool, tenant: UUID, store: Store
) -> None:
    store.bulk.faults += [BulkFault(status="FAILED", error_code="ACCESS_DENIED")] * 9
    sync(settings={"shopify_bulk_from": 1, "shopify_bulk_patience_seconds": 1})
    assert len(orders(pool, tenant)) == ORDERS
    assert state(pool, tenant) == "active"


def test_an_app_without_any_approval_is_told_what_to_request(
    shopify_settings: Settings, pool: Pool, tenant: UUID, store: Store
) -> None:
    store.fail_records(withheld=frozenset({"Order", "Customer"}))
    with pytest.raises(ShopifyUnapprovedError, match="not approved to access the") as raised:
        sync_shopify(shopify_settings, pool, tenant, NullProgress())
    assert "protected customer data" in raised.value.advice
    assert "level 1" in raised.value.advice
    assert state(pool, tenant) == "active"


def test_people_see_what_is_withheld(
    sync: Sync, shopify_settings: Settings, tenant: UUID, store: Store
) -> None:
    store.fail_records(withheld=PROTECTED)
    done = quintile(shopify_settings, "sync", "shopify", "--only", "orders")
    printed = done.stdout + done.stderr
    assert "Shopify withholds customers' names and e-mail addresses" in printed
    assert "level 2, with the fields Email and Name" in printed
    (found,) = [each for each in examine(shopify_settings) if each.check == "shopify"]
    assert found.level == "warning"
    assert "withholds" in found.message
    assert "protected customer data" in found.advice


def test_a_record_without_an_answer_is_not_taken_for_gone(
    sync: Sync, pool: Pool, tenant: UUID, store: Store, shopify_settings: Settings
) -> None:
    from service.shopify.client import open_shopify

    bad = store.data.orders[0].number
    store.fail_records(broken={("Order", bad): "totalPriceSet"})
    with (
        stamina.set_testing(True, attempts=2),
        open_shopify(shopify_settings, store.data.domain, store.data.token) as client,
    ):
        found = read_by_ids(client, ORDER_RESOURCE, [str(bad), "7"])
    assert found.nodes == {"7": None}
    assert set(found.unserved) == {str(bad)}


def test_a_paging_error_leaves_what_was_read(
    sync: Sync, pool: Pool, tenant: UUID, store: Store
) -> None:
    """Of several failures the sync reports one, after all parts have been tried."""
    store.fail_records(withheld=frozenset({"Customer", "Order"}))
    store.update_segment(store.data.segments[0].number, name="Renamed")
    sync(ShopifyError)
    names = {row["name"] for row in loaded_rows(pool, tenant)["cached_segments"]}
    assert "Renamed" in names or not names
