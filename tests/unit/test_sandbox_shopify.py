"""The Shopify sandbox is as strict as Shopify: tokens, versions, paging, costs, scopes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import httpx
import pytest

from sandbox import Sandbox
from sandbox.data import StoreData, anchor_at, generate_store
from sandbox.data.specs import KESSEL
from sandbox.shopify import ALL_SCOPES, LeakyBucket, Store
from sandbox.shopify.cost import page_weight
from sandbox.shopify.documents import decimal
from sandbox.shopify.errors import BadRequestError
from sandbox.shopify.search import parse_search

# Plain HTTP on loopback: loading certificates for each call would take longer than the call.
HTTP = httpx.Client(verify=False)  # noqa: S501
ANCHOR = anchor_at(date(2026, 7, 1))
ORDERS = """
  query ($first: Int = 250, $after: String, $query: String, $reverse: Boolean = false) {
    orders(first: $first, after: $after, query: $query, sortKey: UPDATED_AT, reverse: $reverse) {
      nodes { id name updatedAt }
      pageInfo { hasNextPage endCursor }
    }
  }
"""


@dataclass
class Shop:
    """A running sandbox with one small store, and how to ask it."""

    sandbox: Sandbox
    store: Store

    def post(self, content: bytes, version: str = "2026-07", **headers: str) -> httpx.Response:
        token = {"X-Shopify-Access-Token": self.store.data.token}
        return HTTP.post(
            f"{self.sandbox.shopify_url}/admin/api/{version}/graphql.json",
            content=content,
            headers={"Content-Type": "application/json", **token, **headers},
        )

    def ask(self, query: str, /, **variables: Any) -> dict[str, Any]:
        response = HTTP.post(
            f"{self.sandbox.shopify_url}/admin/api/2026-07/graphql.json",
            json={"query": query, "variables": variables},
            headers={"X-Shopify-Access-Token": self.store.data.token},
        )
        assert response.status_code == 200
        body: dict[str, Any] = response.json()
        return body

    def error_code(self, query: str, /, **variables: Any) -> str:
        code: str = self.ask(query, **variables)["errors"][0]["extensions"]["code"]
        return code


@pytest.fixture(scope="module")
def data() -> StoreData:
    return generate_store(KESSEL, 1, ANCHOR)


@pytest.fixture
def store(data: StoreData) -> Store:
    return Store(data)


@pytest.fixture
def shop(store: Store) -> Iterator[Shop]:
    with Sandbox([store], []) as sandbox:
        yield Shop(sandbox, store)


def all_orders(shop: Shop, first: int = 240, **variables: Any) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = []
    after = None
    while True:
        page = shop.ask(ORDERS, first=first, after=after, **variables)["data"]["orders"]
        nodes += page["nodes"]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            return nodes


def test_a_wrong_or_missing_token_is_refused(shop: Shop) -> None:
    for token in ("", "shpat_sandbox_nobody"):
        response = shop.post(b'{"query": "{shop{name}}"}', **{"X-Shopify-Access-Token": token})
        assert response.status_code == 401
        assert response.json()["errors"].startswith("[API] Invalid API key")


def test_a_retired_version_is_served_by_the_oldest_there_is(shop: Shop) -> None:
    for asked, served in (("2026-10", "2026-10"), ("2019-04", "2026-07")):
        answer = shop.post(b'{"query": "{shop{name}}"}', version=asked)
        assert (answer.status_code, answer.headers["X-Shopify-API-Version"]) == (200, served)


@pytest.mark.parametrize("version", ["2031-01", "2019-05", "next"])
def test_an_unknown_version_or_path_is_not_found(shop: Shop, version: str) -> None:
    assert shop.post(b'{"query": "{shop{name}}"}', version=version).status_code == 404
    assert HTTP.get(f"{shop.sandbox.shopify_url}/admin").json() == {"errors": "Not Found"}


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"query=1", b'{"query": "{shop{id}}", "variables": 1}']
)
def test_a_body_that_is_no_json_object_is_refused(content: bytes, shop: Shop) -> None:
    assert shop.post(content).status_code == 400


def test_unknown_fields_and_syntax_errors_are_reported(shop: Shop) -> None:
    assert shop.error_code("{ shop { nmae } }") == "undefinedField"
    assert "Syntax Error" in shop.ask("{ shop {")["errors"][0]["message"]
    assert shop.ask("")["errors"][0]["message"] == "No query string was present"


def test_paging_reaches_every_order_once_in_both_directions(shop: Shop) -> None:
    forwards = all_orders(shop)
    assert len({each["id"] for each in forwards}) == len(forwards) == len(shop.store.data.orders)
    assert [each["updatedAt"] for each in forwards] == sorted(e["updatedAt"] for e in forwards)
    assert all_orders(shop, reverse=True) == forwards[::-1]


def test_rows_changed_while_paging_are_not_lost(shop: Shop) -> None:
    first = shop.ask(ORDERS, first=250)["data"]["orders"]
    moved = first["nodes"][3]["id"]
    shop.store.update_order(int(moved.rsplit("/", 1)[1]), note="changed")
    rest = all_orders(shop)
    after = shop.ask(ORDERS, first=250, after=first["pageInfo"]["endCursor"])["data"]["orders"]
    assert rest[-1]["id"] == moved
    assert after["nodes"][0]["id"] == rest[249]["id"]


@pytest.mark.parametrize(
    "arguments",
    ["", "last: 5", "first: 251", "first: 0", 'first: 5, before: "x"', 'first: 5, after: "x"'],
)
def test_wrong_paging_is_a_bad_request(arguments: str, shop: Shop) -> None:
    field = f"orders({arguments})" if arguments else "orders"
    assert shop.error_code(f"{{ {field} {{ nodes {{ id }} }} }}") == "BAD_REQUEST"


def test_a_time_filter_selects_by_the_second(shop: Shop) -> None:
    everything = all_orders(shop)
    since = everything[-5]["updatedAt"]
    expected = [each for each in everything if each["updatedAt"] >= since]
    assert all_orders(shop, query=f"updated_at:>='{since}'") == expected
    window = f"updated_at:>={since} AND updated_at:<{since}"
    assert all_orders(shop, query=window) == []


@pytest.mark.parametrize("query", ["status:open", "updated_at:>=soon", "tea", "updated_at:2026"])
def test_a_search_the_sandbox_does_not_know_is_refused(query: str) -> None:
    with pytest.raises(BadRequestError):
        parse_search(query, ("updated_at",))


def test_only_recent_orders_are_seen_without_the_scope(data: StoreData) -> None:
    store = Store(data, scopes=ALL_SCOPES - {"read_all_orders"})
    with Sandbox([store], []) as sandbox:
        shop = Shop(sandbox, store)
        count = shop.ask("{ ordersCount(limit: null) { count } }")["data"]["ordersCount"]["count"]
    since = ANCHOR - timedelta(days=60)
    assert count == sum(order.created_at >= since for order in data.orders) > 0


def test_a_missing_scope_denies_the_field(data: StoreData) -> None:
    store = Store(data, scopes=frozenset({"read_orders"}))
    with Sandbox([store], []) as sandbox:
        answer = Shop(sandbox, store).ask("{ customersCount { count } shop { name } }")
    assert answer["errors"][0]["extensions"]["code"] == "ACCESS_DENIED"
    assert answer["data"] == {"customersCount": None, "shop": {"name": data.name}}


def test_the_products_of_lines_need_a_scope_of_their_own(data: StoreData) -> None:
    text = "{ orders(first: 1) { nodes { lineItems(first: 1) { nodes { title%s } } } } }"
    with_product = text % " product { productType }"
    store = Store(data, scopes=ALL_SCOPES - {"read_products"})
    with Sandbox([store], []) as sandbox:
        shop = Shop(sandbox, store)
        without_scope = shop.ask(with_product)
        assert "errors" not in shop.ask(text % "")
        store.scopes = ALL_SCOPES
        with_scope = shop.ask(with_product)
    (error,) = without_scope["errors"]
    assert error["path"] == ["orders", "nodes", 0, "lineItems", "nodes", 0, "product"]
    assert error["extensions"]["code"] == "ACCESS_DENIED"
    assert error["extensions"]["requiredAccess"] == "`read_products` access scope."
    assert without_scope["data"]["orders"]["nodes"][0]["lineItems"]["nodes"][0]["product"] is None
    line = with_scope["data"]["orders"]["nodes"][0]["lineItems"]["nodes"][0]
    types = {each.title: each.product_type for each in KESSEL.catalogue}
    assert line["product"]["productType"] == types[line["title"]]


def test_members_follow_the_query_of_their_segment(shop: Shop) -> None:
    query = """
      query ($id: ID!) {
        customerSegmentMembers(segmentId: $id, first: 1000) {
          totalCount
          edges { node { id displayName numberOfOrders lastOrderId } }
        }
      }
    """
    segment = next(s for s in shop.store.segments.values() if s.name == "Stammkunden")
    segment_id = f"gid://shopify/Segment/{segment.number}"
    members = shop.ask(query, id=segment_id)["data"]["customerSegmentMembers"]
    assert members["totalCount"] == len(members["edges"]) > 5
    assert all(int(edge["node"]["numberOfOrders"]) >= 3 for edge in members["edges"])
    shop.store.update_segment(segment.number, query="number_of_orders >= 1000")
    assert shop.ask(query, id=segment_id)["data"]["customerSegmentMembers"]["totalCount"] == 0


def test_a_large_segment_is_read_by_way_of_a_query(shop: Shop) -> None:
    segment = shop.store.update_segment(next(iter(shop.store.segments)), is_large=True)
    segment_id = f"gid://shopify/Segment/{segment.number}"
    by = "customerSegmentMembers({}: $id, first: 10) {{ totalCount }}"
    direct = f"query ($id: ID!) {{ {by.format('segmentId')} }}"
    code = "USE_CUSTOMER_SEGMENT_MEMBERS_QUERY_CREATE_MUTATION"
    assert shop.error_code(direct, id=segment_id) == code
    create = """
      mutation ($id: ID!) {
        customerSegmentMembersQueryCreate(input: {segmentId: $id}) {
          customerSegmentMembersQuery { id }
        }
      }
    """
    created = shop.ask(create, id=segment_id)["data"]["customerSegmentMembersQueryCreate"]
    query_id = created["customerSegmentMembersQuery"]["id"]
    by_query = f"query ($id: ID!) {{ {by.format('queryId')} }}"
    assert shop.error_code(by_query, id=query_id) == "BAD_REQUEST"
    poll = "query ($id: ID!) { customerSegmentMembersQuery(id: $id) { done currentCount } }"
    looks = [shop.ask(poll, id=query_id)["data"]["customerSegmentMembersQuery"] for _ in "12"]
    assert [look["done"] for look in looks] == [False, True]
    # As recorded with 2026-04: an unknown query is an internal error beside the null.
    missing = shop.ask(poll, id="gid://shopify/CustomerSegmentMembersQuery/999999999999")
    assert missing["data"] == {"customerSegmentMembersQuery": None}
    (problem,) = missing["errors"]
    assert problem["message"] == "Something went wrong"
    assert problem["extensions"] == {"code": "INTERNAL_SERVER_ERROR"}
    assert problem["path"] == ["customerSegmentMembersQuery"]
    members = shop.ask(by_query, id=query_id)["data"]["customerSegmentMembers"]
    assert members["totalCount"] == looks[1]["currentCount"] > 0


def test_line_items_page_within_their_order(shop: Shop) -> None:
    order = max(shop.store.data.orders, key=lambda each: len(each.line_items))
    query = """
      query ($id: ID!, $after: String) {
        order(id: $id) {
          lineItems(first: 10, after: $after) {
            nodes { id discountedTotalSet { shopMoney { amount currencyCode } } }
            pageInfo { hasNextPage endCursor }
          }
        }
      }
    """
    seen: list[str] = []
    after = None
    while len(seen) < len(order.line_items):
        page = shop.ask(query, id=f"gid://shopify/Order/{order.number}", after=after)
        lines = page["data"]["order"]["lineItems"]
        seen += [line["id"] for line in lines["nodes"]]
        after = lines["pageInfo"]["endCursor"]
    assert seen == [f"gid://shopify/LineItem/{line.number}" for line in order.line_items]


def test_changes_to_the_store_are_seen_and_dated(shop: Shop) -> None:
    latest = max(order.updated_at for order in shop.store.data.orders)
    number = shop.store.data.orders[0].number
    changed = shop.store.update_order(number, tags=["changed"])
    assert changed.updated_at > latest
    query = "query ($id: ID!) { order(id: $id) { tags } }"
    gid = f"gid://shopify/Order/{number}"
    assert shop.ask(query, id=gid)["data"]["order"] == {"tags": ["changed"]}
    shop.store.delete_order(number)
    assert shop.ask(query, id=gid)["data"]["order"] is None


def test_a_query_that_is_too_dear_is_refused(shop: Shop) -> None:
    lines = "lineItems(first: 250) { nodes { variant { id } } }"
    wide = " ".join(f"o{n}: orders(first: 250) {{ nodes {{ {lines} }} }}" for n in range(5))
    answer = shop.ask(f"{{ {wide} }}")
    assert answer["errors"][0]["extensions"]["code"] == "MAX_COST_EXCEEDED"
    assert answer["extensions"]["cost"]["requestedQueryCost"] > 1000


def test_an_empty_bucket_throttles_until_it_has_refilled(data: StoreData) -> None:
    clock = [0.0]
    store = Store(data, bucket=LeakyBucket(15, 5, clock=lambda: clock[0]))
    query = "{ orders(first: 250) { nodes { id } } }"
    with Sandbox([store], []) as sandbox:
        shop = Shop(sandbox, store)
        paid = shop.ask(query)["extensions"]["cost"]
        assert (paid["requestedQueryCost"], paid["actualQueryCost"]) == (13, 13)
        assert paid["throttleStatus"] == {
            "maximumAvailable": 15,
            "currentlyAvailable": 2,
            "restoreRate": 5,
        }
        assert shop.error_code(query) == "THROTTLED"
        clock[0] += (13 - 2) / 5
        assert "errors" not in shop.ask(query)


def test_what_a_query_did_not_use_is_given_back(shop: Shop) -> None:
    cost = shop.ask(ORDERS, query="updated_at:>2100-01-01T00:00:00Z")["extensions"]["cost"]
    assert (cost["requestedQueryCost"], cost["actualQueryCost"]) == (13, 2)


@pytest.mark.parametrize(("first", "weight"), [(0, 0), (1, 1), (2, 1), (5, 3), (250, 11)])
def test_pages_weigh_what_was_recorded(first: int, weight: int) -> None:
    assert page_weight(first) == weight


@pytest.mark.parametrize(
    ("minor", "text"), [(0, "0.0"), (12000, "120.0"), (10450, "104.5"), (5, "0.05"), (-250, "-2.5")]
)
def test_amounts_are_written_as_shopify_writes_them(minor: int, text: str) -> None:
    assert decimal(minor) == text
