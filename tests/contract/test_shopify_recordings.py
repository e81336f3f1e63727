"""The sandbox answers as Shopify was recorded to answer, for the same kind of request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from graphql import GraphQLSchema, parse

from sandbox import Sandbox
from sandbox.shopify.cost import cost_model

from .conftest import SPECS, spec_path

# Plain HTTP on loopback: loading certificates for each call would take longer than the call.
HTTP = httpx.Client(verify=False)  # noqa: S501
UNKNOWN_SEGMENT = "gid://shopify/Segment/999999999999"


def recording(name: str) -> dict[str, Any]:
    text = spec_path("shopify", "recordings", f"{name}.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


def ask(sandbox: Sandbox, query: str, variables: dict[str, Any]) -> dict[str, Any]:
    store = next(iter(sandbox.stores.values()))
    response = HTTP.post(
        f"{sandbox.shopify_url}/admin/api/2026-07/graphql.json",
        json={"query": query, "variables": variables},
        headers={"X-Shopify-Access-Token": store.data.token},
    )
    assert response.status_code == 200
    body: dict[str, Any] = response.json()
    return body


def shape(value: Any) -> Any:
    """Keys and types, without values. An empty list says nothing about its items."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "number"
    return type(value).__name__


def recorded_costs() -> Iterator[Any]:
    """(query, variables, requested cost) of every recorded answer that says what it cost.

    Left out: a look-up of many types at once, whose cost is not documented and which we never make.
    """
    for path in sorted((SPECS / "shopify" / "recordings").glob("*.json")):
        seen = set()
        for query, variables, cost in _costs(json.loads(path.read_text(encoding="utf-8"))):
            if query and "... on Product" not in query and (query, cost) not in seen:
                seen.add((query, cost))
                yield pytest.param(query, variables, cost, id=f"{path.stem}-{len(seen)}")


def _costs(node: Any, query: str = "", variables: Any = None) -> Iterator[tuple[str, Any, int]]:
    if isinstance(node, list):
        for inner in node:
            yield from _costs(inner, query, variables)
    if not isinstance(node, dict):
        return
    asked = node.get("request") if isinstance(node.get("request"), dict) else node
    if isinstance(asked.get("query"), str) and "{" in asked["query"] and "variables" in asked:
        query, variables = asked["query"], asked["variables"]
    extensions = node.get("extensions")
    if isinstance(extensions, dict) and "cost" in extensions:
        yield query, variables, extensions["cost"]["requestedQueryCost"]
        return
    for inner in node.values():
        yield from _costs(inner, query, variables)


@pytest.mark.parametrize(("query", "variables", "recorded"), recorded_costs())
def test_requested_cost_is_what_shopify_asked(
    query: str, variables: Any, recorded: int, official_shopify: GraphQLSchema
) -> None:
    assert cost_model(official_shopify, parse(query), variables or {}).requested() == recorded


def test_members_query_cases_have_the_recorded_shape(sandbox: Sandbox) -> None:
    created: dict[str, str] = {}
    segment = f"gid://shopify/Segment/{next(iter(_store(sandbox).segments))}"
    name = "customer-segment-members-query-create-validation-and-shape"
    for case in recording(name)["cases"]:
        variables = json.loads(json.dumps(case["request"]["variables"]))
        if variables.get("input", {}).get("segmentId") and "query" not in variables["input"]:
            variables["input"]["segmentId"] = segment
        if "id" in variables:
            variables["id"] = created["id"]
        answer = ask(sandbox, case["request"]["query"], variables)
        expected = case["response"]["payload"]
        assert shape(answer) == shape(expected), case["name"]
        payload = answer["data"].get("customerSegmentMembersQueryCreate")
        if payload:
            recorded = expected["data"]["customerSegmentMembersQueryCreate"]
            assert payload["userErrors"] == recorded["userErrors"], case["name"]
            created = payload["customerSegmentMembersQuery"] or created


def test_invalid_and_empty_member_queries_answer_as_recorded(sandbox: Sandbox) -> None:
    cases = {
        case["name"]: case
        for case in recording("customer-segment-members-query-lifecycle")["cases"]
    }
    invalid = cases["customerSegmentMembersQueryCreateInvalidQuery"]
    answer = ask(sandbox, invalid["request"]["query"], invalid["request"]["variables"])
    assert answer["data"] == invalid["response"]["payload"]["data"]

    empty = cases["customerSegmentMembersQueryCreateEmptyNumeric"]
    started = ask(sandbox, empty["request"]["query"], empty["request"]["variables"])
    query = started["data"]["customerSegmentMembersQueryCreate"]["customerSegmentMembersQuery"]
    look = cases["customerSegmentMembersQueryLookupCreated"]["request"]["query"]
    first = ask(sandbox, look, {"id": query["id"]})["data"]["customerSegmentMembersQuery"]
    assert (first["done"], first["currentCount"]) == (False, 0)
    second = ask(sandbox, look, {"id": query["id"]})["data"]["customerSegmentMembersQuery"]
    assert second["done"] is True
    members = cases["customerSegmentMembersByQueryIdEmpty"]
    answer = ask(sandbox, members["request"]["query"], {"queryId": query["id"], "first": 2})
    assert answer["data"] == members["response"]["payload"]["data"]


def test_segments_and_a_missing_one_answer_as_recorded(sandbox: Sandbox) -> None:
    recorded = recording("segments-baseline")
    known = f"gid://shopify/Segment/{next(iter(_store(sandbox).segments))}"
    query = """
      query ($first: Int!, $known: ID!, $missing: ID!) {
        segments(first: $first) {
          edges { cursor node { id name query creationDate lastEditDate } }
          pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
        }
        knownSegment: segment(id: $known) { id name query creationDate lastEditDate }
        missingSegment: segment(id: $missing) { id name query creationDate lastEditDate }
        segmentsCount { count precision }
      }
    """
    answer = ask(sandbox, query, {"first": 1, "known": known, "missing": UNKNOWN_SEGMENT})
    for field in ("segments", "knownSegment", "missingSegment", "segmentsCount"):
        assert shape(answer["data"][field]) == shape(recorded["data"][field]), field
    [error], [expected] = answer["errors"], recorded["errors"]
    for part in ("message", "extensions", "path"):
        assert error[part] == expected[part]


@pytest.mark.parametrize(
    ("query", "variables", "case"),
    [
        (
            "query ($id: ID!) { segment(id: $id) { id } }",
            {"id": "not-a-shopify-gid"},
            "malformedId",
        ),
        ("{ orders { nodes { id } } }", {}, "bulkOperationsMissingWindow"),
        ("{ orders(first: 1, last: 1) { nodes { id } } }", {}, "bulkOperationsFirstAndLast"),
        ("query Q { segment { id } }", {}, "bulkOperationMissingId"),
    ],
)
def test_mistakes_are_reported_as_recorded(
    query: str, variables: dict[str, Any], case: str, sandbox: Sandbox
) -> None:
    recorded = recording("bulk-operation-status-catalog-cancel")
    cases = {**recorded["reads"], **recorded["validations"]}
    [expected], [error] = (
        cases[case]["response"]["errors"],
        ask(sandbox, query, variables)["errors"],
    )
    assert error["extensions"]["code"] == expected["extensions"]["code"]
    assert set(error["extensions"]) == set(expected["extensions"])
    same_words = {"bulkOperation": "segment", "bulkOperations": "orders"}
    message = expected["message"]
    for theirs, ours in same_words.items():
        message = message.replace(f"'{theirs}'", f"'{ours}'")
    assert error["message"] == message


@pytest.mark.parametrize("case", ["noConnectionWithCode", "emptyQuery"])
def test_bulk_queries_are_refused_as_recorded(case: str, sandbox: Sandbox) -> None:
    recorded = recording("bulk-operation-run-query-user-error-codes")["validations"][case]
    answer = ask(sandbox, recorded["query"], recorded["variables"])
    assert answer["data"] == recorded["response"]["data"]


def test_bulk_operations_run_as_recorded(sandbox: Sandbox) -> None:
    recorded = recording("bulk-operation-run-query-concurrency-limit")
    operations = _store(sandbox).bulk.operations
    operations.clear()
    query = recorded["sixthRun"]["variables"]["query"].replace("products", "orders")
    for run in recorded["successfulRuns"]:
        answer = ask(sandbox, run["query"], {"query": query})
        assert shape(answer) == shape(run["response"])
        assert answer["data"]["bulkOperationRunQuery"]["bulkOperation"]["status"] == "CREATED"
    sixth = ask(sandbox, recorded["sixthRun"]["query"], {"query": query})
    theirs = recorded["sixthRun"]["response"]["data"]["bulkOperationRunQuery"]
    ours = sixth["data"]["bulkOperationRunQuery"]
    assert ours["bulkOperation"] is theirs["bulkOperation"] is None
    assert {**ours["userErrors"][0], "message": ""} == {**theirs["userErrors"][0], "message": ""}
    words = theirs["userErrors"][0]["message"].split(":")[0]
    assert ours["userErrors"][0]["message"].startswith(words)

    cancel = recorded["cancelAttempts"][0]
    answer = ask(sandbox, cancel["query"], {"id": next(iter(operations))})
    assert shape(answer) == shape(cancel["response"])
    operations.clear()


def test_a_bulk_operation_is_polled_as_recorded(sandbox: Sandbox) -> None:
    recorded = recording("bulk-operation-run-query-group-objects")["runs"]
    polls = recorded["runQueryGroupObjectsTrue"]["statusPolls"]
    operations = _store(sandbox).bulk.operations
    operations.clear()
    run = recorded["runQueryGroupObjectsTrue"]["run"]
    query = "{ customers { edges { node { id } } } }"
    started = ask(sandbox, run["query"], {"query": query})["data"]["bulkOperationRunQuery"]
    looks = [ask(sandbox, polls[0]["query"], {"id": started["bulkOperation"]["id"]})]
    while looks[-1]["data"]["bulkOperation"]["status"] != "COMPLETED":
        looks.append(ask(sandbox, polls[0]["query"], {"id": started["bulkOperation"]["id"]}))
    for look, poll in ((looks[0], polls[0]), (looks[-1], polls[-1])):
        assert shape(look) == shape(poll["response"])
    unknown = recording("bulk-operation-status-catalog-cancel")["reads"]["unknownId"]
    answer = ask(sandbox, unknown["query"], unknown["variables"])
    assert answer["data"] == unknown["response"]["data"]
    operations.clear()


def _store(sandbox: Sandbox) -> Any:
    return next(iter(sandbox.stores.values()))
