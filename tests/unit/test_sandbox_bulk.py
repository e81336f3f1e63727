"""Bulk operations of the sandbox: as strict, as slow and as disorderly as Shopify's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from sandbox import Sandbox
from sandbox.data import generate_store
from sandbox.data.specs import KESSEL
from sandbox.shopify import ALL_SCOPES, Store
from sandbox.shopify.bulk import BulkFault

# Plain HTTP on loopback: loading certificates for each call would take longer than the call.
HTTP = httpx.Client(verify=False)  # noqa: S501
RUN = """
  mutation ($query: String!) {
    bulkOperationRunQuery(query: $query) {
      bulkOperation { id status objectCount url }
      userErrors { field message code }
    }
  }
"""
LOOK = """
  query ($id: ID!) {
    bulkOperation(id: $id) {
      status errorCode objectCount rootObjectCount fileSize url partialDataUrl completedAt
    }
  }
"""
CANCEL = """
  mutation ($id: ID!) {
    bulkOperationCancel(id: $id) { bulkOperation { status } userErrors { message } }
  }
"""
IDS = "{ orders { edges { node { id } } } }"
LINES = "{ orders { edges { node { id lineItems { edges { node { id quantity } } } } } } }"


@pytest.fixture(scope="module")
def shop() -> Iterator[Sandbox]:
    store = Store(generate_store(KESSEL, 1, datetime(2026, 7, 1, tzinfo=UTC)))
    with Sandbox([store], []) as sandbox:
        yield sandbox


@pytest.fixture
def store(shop: Sandbox) -> Store:
    (store,) = shop.stores.values()
    store.bulk.operations.clear()
    store.scopes = ALL_SCOPES
    return store


def ask(shop: Sandbox, store: Store, document: str, **variables: Any) -> Any:
    response = HTTP.post(
        f"{shop.shopify_url}/admin/api/2026-07/graphql.json",
        json={"query": document, "variables": variables},
        headers={"X-Shopify-Access-Token": store.data.token},
    )
    (answer,) = response.json()["data"].values()
    return answer


def start(shop: Sandbox, store: Store, query: str) -> Any:
    return ask(shop, store, RUN, query=query)


def ended(shop: Sandbox, store: Store, query: str) -> Any:
    started = start(shop, store, query)["bulkOperation"]
    while True:
        found = ask(shop, store, LOOK, id=started["id"])
        if found["status"] not in ("CREATED", "RUNNING"):
            return found


def test_an_operation_advances_as_it_is_looked_at(shop: Sandbox, store: Store) -> None:
    started = start(shop, store, IDS)
    assert started["userErrors"] == []
    assert started["bulkOperation"]["status"] == "CREATED"
    gid = started["bulkOperation"]["id"]
    looks = [ask(shop, store, LOOK, id=gid) for _ in range(4)]
    assert [look["status"] for look in looks] == ["CREATED", "RUNNING", "COMPLETED", "COMPLETED"]
    assert [look["url"] is None for look in looks] == [True, True, False, False]
    assert looks[-1]["objectCount"] == looks[-1]["rootObjectCount"] == str(len(store.data.orders))


def test_the_file_holds_parents_and_children_in_no_order(shop: Sandbox, store: Store) -> None:
    found = ended(shop, store, LINES)
    text = HTTP.get(found["url"]).text
    assert r"gid:\/\/shopify\/Order\/" in text
    assert len(text.encode()) == int(found["fileSize"])
    nodes = [json.loads(line) for line in text.splitlines()]
    assert len(nodes) == int(found["objectCount"])
    seen: set[str] = set()
    is_early = []
    for node in nodes:
        if "__parentId" in node:
            is_early.append(node["__parentId"] not in seen)
        seen.add(node["id"])
    assert any(is_early)
    assert not all(is_early)
    lines = [node["id"] for node in nodes if "__parentId" in node]
    assert len(lines) == sum(len(order.line_items) for order in store.data.orders)


def test_a_search_finds_a_part(shop: Sandbox, store: Store) -> None:
    query = IDS.replace("orders", "orders(query: \"updated_at:>='2026-06-01T00:00:00Z'\")")
    found = ended(shop, store, query)
    since = datetime(2026, 6, 1, tzinfo=UTC)
    expected = sum(order.updated_at >= since for order in store.data.orders)
    assert int(found["objectCount"]) == expected > 0


def test_without_rows_there_is_no_file(shop: Sandbox, store: Store) -> None:
    query = IDS.replace("orders", "orders(query: \"updated_at:>='2030-01-01T00:00:00Z'\")")
    found = ended(shop, store, query)
    assert (found["status"], found["url"], found["objectCount"]) == ("COMPLETED", None, "0")


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("", "syntax error"),
        ("{ shop { id } }", "at least one connection"),
        ("{ orders { nodes { id } } }", "`edges` and `node` only"),
        ("{ orders { edges { node { id } } pageInfo { hasNextPage } } }", "`edges` and `node`"),
        ("{ orders { edges { node { nothing } } } }", "Cannot query field"),
        ("{ orders { edges { node { lineItems { edges { node { id } } } } } } }", "'id' field"),
        ("{ orders { edges { node { id } } } customers { edges { node { id } } } }", "one top"),
        ('{ nodes(ids: ["gid://shopify/Order/1"]) { id } }', "top level field"),
        ("query ($a: String) { orders(query: $a) { edges { node { id } } } }", "variables"),
        ('mutation { bulkOperationCancel(id: "a") { userErrors { message } } }', "be a query"),
        (
            "{ orders { edges { node { id"
            + "".join(f" l{n}: lineItems {{ edges {{ node {{ id }} }} }}" for n in range(5))
            + " } } } }",
            "more than 5 connections",
        ),
    ],
)
def test_what_shopify_refuses_in_bulk_is_refused(
    shop: Sandbox, store: Store, query: str, reason: str
) -> None:
    answer = start(shop, store, query)
    assert answer["bulkOperation"] is None
    (error,) = answer["userErrors"]
    assert (error["field"], error["code"]) == (["query"], "INVALID")
    assert reason in error["message"]


def test_five_run_at_once(shop: Sandbox, store: Store) -> None:
    gids = [start(shop, store, IDS)["bulkOperation"]["id"] for _ in range(5)]
    answer = start(shop, store, IDS)
    assert answer["userErrors"][0]["code"] == "OPERATION_IN_PROGRESS"
    assert ask(shop, store, CANCEL, id=gids[0])["bulkOperation"]["status"] == "CANCELING"
    assert start(shop, store, IDS)["bulkOperation"] is None
    assert ask(shop, store, LOOK, id=gids[0])["status"] == "CANCELED"
    assert start(shop, store, IDS)["bulkOperation"]["status"] == "CREATED"


def test_a_missing_scope_fails_the_operation(shop: Sandbox, store: Store) -> None:
    store.scopes = frozenset({"read_customers"})
    found = ended(shop, store, IDS)
    assert (found["status"], found["errorCode"]) == ("FAILED", "ACCESS_DENIED")
    assert found["url"] is found["partialDataUrl"] is None


def test_a_failed_operation_may_leave_a_part(shop: Sandbox, store: Store) -> None:
    store.bulk.faults.append(BulkFault(status="FAILED", error_code="TIMEOUT", partial=0.5))
    found = ended(shop, store, IDS)
    assert (found["status"], found["url"]) == ("FAILED", None)
    text = HTTP.get(found["partialDataUrl"]).text
    assert len(text.splitlines()) == len(store.data.orders) // 2


def test_files_are_served_from_any_byte_and_for_a_week(shop: Sandbox, store: Store) -> None:
    url = ended(shop, store, IDS)["url"]
    whole = HTTP.get(url).content
    part = HTTP.get(url, headers={"Range": "bytes=100-"})
    assert (part.status_code, part.content) == (206, whole[100:])
    assert part.headers["Content-Range"] == f"bytes 100-{len(whole) - 1}/{len(whole)}"
    store.bulk.expire_files()
    assert HTTP.get(url).status_code == 400
    assert HTTP.get(url.replace(".jsonl", "x.jsonl")).status_code == 404


def test_who_shows_the_access_token_to_the_file_server_is_told_off(
    shop: Sandbox, store: Store
) -> None:
    url = ended(shop, store, IDS)["url"]
    leaked = HTTP.get(url, headers={"X-Shopify-Access-Token": store.data.token})
    assert leaked.status_code == 400
