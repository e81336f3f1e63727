"""Customer metafields of the sandbox, as strict as Shopify's: messages as recorded with 2026-04."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from sandbox import Sandbox
from sandbox.data import Segment
from sandbox.shopify import ALL_SCOPES, Store
from sandbox.shopify.segment_query import SegmentSyntaxError
from tests.shops import small_shop

# Plain HTTP on loopback: loading certificates for each call would take longer than the call.
HTTP = httpx.Client(verify=False)  # noqa: S501
SET = """
  mutation ($metafields: [MetafieldsSetInput!]!) {
    metafieldsSet(metafields: $metafields) {
      metafields { namespace key type value }
      userErrors { field message code elementIndex }
    }
  }
"""
DELETE = """
  mutation ($metafields: [MetafieldIdentifierInput!]!) {
    metafieldsDelete(metafields: $metafields) {
      deletedMetafields { key namespace ownerId }
      userErrors { field message }
    }
  }
"""
CREATE = """
  mutation ($definition: MetafieldDefinitionInput!) {
    metafieldDefinitionCreate(definition: $definition) {
      createdDefinition { id key capabilities { adminFilterable { enabled eligible status } } }
      userErrors { field message code }
    }
  }
"""
UPDATE = """
  mutation ($definition: MetafieldDefinitionUpdateInput!) {
    metafieldDefinitionUpdate(definition: $definition) {
      updatedDefinition { name capabilities { adminFilterable { enabled } } }
      userErrors { field message code }
    }
  }
"""
DROP = """
  mutation ($identifier: MetafieldDefinitionIdentifierInput!, $all: Boolean!) {
    metafieldDefinitionDelete(identifier: $identifier, deleteAllAssociatedMetafields: $all) {
      deletedDefinition { key }
      userErrors { field message code }
    }
  }
"""
STAGE = """
  mutation ($input: [StagedUploadInput!]!) {
    stagedUploadsCreate(input: $input) {
      stagedTargets { url resourceUrl parameters { name value } }
      userErrors { field message }
    }
  }
"""
RUN = """
  mutation ($mutation: String!, $path: String!) {
    bulkOperationRunMutation(mutation: $mutation, stagedUploadPath: $path) {
      bulkOperation { id status type query }
      userErrors { field message code }
    }
  }
"""
LOOK = "query ($id: ID!) { bulkOperation(id: $id) { status objectCount url } }"
FILTERABLE = {"adminFilterable": {"enabled": True}}
BULK = SET.replace("mutation (", "mutation Bulk(")


@pytest.fixture
def store() -> Store:
    return Store(small_shop())


@pytest.fixture
def shop(store: Store) -> Iterator[Sandbox]:
    with Sandbox([store], []) as sandbox:
        yield sandbox


@pytest.fixture
def customer(store: Store) -> int:
    return min(store.customers)


def ask(shop: Sandbox, document: str, **variables: Any) -> Any:
    (store,) = shop.stores.values()
    response = HTTP.post(
        f"{shop.shopify_url}/admin/api/2026-07/graphql.json",
        json={"query": document, "variables": variables},
        headers={"X-Shopify-Access-Token": store.data.token},
    )
    body = response.json()
    if "errors" in body:
        return body["errors"]
    (answer,) = body["data"].values()
    return answer


def tier(customer: int, value: str = "gold", **changes: Any) -> dict[str, Any]:
    owner = f"gid://shopify/Customer/{customer}"
    return {"ownerId": owner, "namespace": "loyalty", "key": "tier", "value": value, **changes}


def defined(store: Store) -> None:
    for key, type_name in (("tier", "single_line_text_field"), ("points", "number_integer")):
        store.metafields.define("loyalty", key, name=key, type=type_name, is_filterable=True)


def errors_of(answer: Any) -> list[tuple[list[str] | None, str, str]]:
    return [(each["field"], each["message"], each["code"]) for each in answer["userErrors"]]


def test_setting_is_all_or_nothing(shop: Sandbox, store: Store, customer: int) -> None:
    defined(store)
    answer = ask(shop, SET, metafields=[tier(customer), tier(999)])
    assert answer == {
        "metafields": [],
        "userErrors": [
            {
                "field": ["metafields", "1", "ownerId"],
                "message": "Owner does not exist.",
                "code": "INVALID_VALUE",
                "elementIndex": None,
            }
        ],
    }
    assert store.metafields.values == {}
    answer = ask(shop, SET, metafields=[tier(customer)])
    assert answer["metafields"] == [
        {
            "namespace": "loyalty",
            "key": "tier",
            "type": "single_line_text_field",
            "value": "gold",
        }
    ]


def test_at_most_25_are_set_at_once(shop: Sandbox, store: Store, customer: int) -> None:
    answer = ask(shop, SET, metafields=[tier(customer)] * 26)
    message = "Exceeded the maximum metafields input limit of 25."
    assert answer["metafields"] is None
    assert errors_of(answer) == [(["metafields"], message, "LESS_THAN_OR_EQUAL_TO")]


def test_values_that_do_not_fit_are_refused(shop: Sandbox, store: Store, customer: int) -> None:
    where = ["metafields", "0"]
    answer = ask(shop, SET, metafields=[tier(customer)])
    assert errors_of(answer) == [([*where, "type"], "Type can't be blank", "BLANK")]
    defined(store)
    answer = ask(shop, SET, metafields=[tier(customer, "many", key="points")])
    assert errors_of(answer) == [([*where, "value"], "Value must be an integer.", "INVALID_VALUE")]
    answer = ask(shop, SET, metafields=[tier(customer, "1", type="number_integer")])
    assert errors_of(answer)[0][2] == "INVALID_TYPE"
    answer = ask(shop, SET, metafields=[tier(customer, namespace="ab")])
    message = "Namespace is too short (minimum is 3 characters)"
    assert errors_of(answer) == [([*where, "namespace"], message, "TOO_SHORT")]


def test_deleting_what_is_not_there_is_no_error(shop: Sandbox, store: Store, customer: int) -> None:
    defined(store)
    ask(shop, SET, metafields=[tier(customer)])
    named = {name: each for name, each in tier(customer).items() if name != "value"}
    gone = {**named, "ownerId": "gid://shopify/Customer/999"}
    answer = ask(shop, DELETE, metafields=[named, gone])
    assert answer == {"deletedMetafields": [named, None], "userErrors": []}
    (error,) = ask(shop, DELETE, metafields=[named] * 251)
    assert error["extensions"]["code"] == "MAX_INPUT_SIZE_EXCEEDED"


def test_only_tokens_that_may_write_customers_can(
    shop: Sandbox, store: Store, customer: int
) -> None:
    store.scopes = ALL_SCOPES - {"write_customers"}
    (error,) = ask(shop, SET, metafields=[tier(customer)])
    assert error["message"] == (
        "Access denied for metafieldsSet field. Required access: `write_customers` access scope."
    )


def test_a_definition_is_created_once_and_filters_if_its_type_can(
    shop: Sandbox, store: Store
) -> None:
    given = {
        "ownerType": "CUSTOMER",
        "namespace": "loyalty",
        "key": "tier",
        "name": "Tier",
        "type": "single_line_text_field",
        "capabilities": FILTERABLE,
    }
    created = ask(shop, CREATE, definition=given)["createdDefinition"]
    assert created["capabilities"]["adminFilterable"] == {
        "enabled": True,
        "eligible": True,
        "status": "FILTERABLE",
    }
    message = "Key is in use for Customer metafields on the 'loyalty' namespace."
    assert errors_of(ask(shop, CREATE, definition=given)) == [
        (["definition", "key"], message, "TAKEN")
    ]
    message = "The capability admin_filterable is not valid for this definition."
    answer = ask(shop, CREATE, definition={**given, "key": "log", "type": "json"})
    assert errors_of(answer) == [(["definition"], message, "INVALID_CAPABILITY")]
    answer = ask(shop, CREATE, definition={**given, "key": "a", "type": "json"})
    assert errors_of(answer)[0][2] == "TOO_SHORT"
    answer = ask(
        shop, CREATE, definition={**given, "key": "mine", "access": {"admin": "MERCHANT_READ"}}
    )
    assert errors_of(answer)[0][2] == "ADMIN_ACCESS_INPUT_NOT_ALLOWED"


def test_at_most_50_definitions_filter_customers(shop: Sandbox, store: Store) -> None:
    for number in range(50):
        store.metafields.define("loyalty", f"f_{number}", name="", type="id", is_filterable=True)
    store.metafields.define("loyalty", "plain", name="", type="id")
    change = {"ownerType": "CUSTOMER", "namespace": "loyalty", "key": "plain"}
    answer = ask(shop, UPDATE, definition={**change, "capabilities": FILTERABLE})
    assert errors_of(answer)[0][2] == "OWNER_TYPE_LIMIT_EXCEEDED_FOR_USE_AS_ADMIN_FILTERS"
    off = {"adminFilterable": {"enabled": False}}
    ask(shop, UPDATE, definition={**change, "key": "f_0", "capabilities": off})
    answer = ask(shop, UPDATE, definition={**change, "capabilities": FILTERABLE})
    assert answer["updatedDefinition"]["capabilities"] == FILTERABLE


def test_deleting_a_definition_takes_its_values_along_if_asked(
    shop: Sandbox, store: Store, customer: int
) -> None:
    defined(store)
    ask(shop, SET, metafields=[tier(customer), tier(customer, "7", key="points")])
    identifier = {"ownerType": "CUSTOMER", "namespace": "loyalty", "key": "tier"}
    ask(shop, DROP, identifier=identifier, all=False)
    assert len(store.metafields.values) == 2
    ask(shop, DROP, identifier={**identifier, "key": "points"}, all=True)
    assert list(store.metafields.values) == [(customer, "loyalty", "tier")]
    answer = ask(shop, DROP, identifier=identifier, all=True)
    assert errors_of(answer) == [(["identifier"], "Definition not found.", "NOT_FOUND")]


def test_segments_filter_by_metafields(store: Store) -> None:
    defined(store)
    first, second, third, *others = sorted(store.customers)
    store.change_metafields(
        {
            (first, "loyalty", "tier"): "gold",
            (first, "loyalty", "points"): "100",
            (second, "loyalty", "tier"): "silver",
            (second, "loyalty", "points"): "9",
            (third, "loyalty", "points"): "-3",
        }
    )

    def members(query: str) -> list[int]:
        found = store.members_where(store.parse_segment_query(query))
        return sorted(facts.customer.number for facts in found)

    assert members("metafields.loyalty.tier = 'gold'") == [first]
    assert members("metafields.loyalty.tier != 'gold'") == [second]
    assert members("metafields.loyalty.tier IS NULL") == [third, *others]
    assert members("metafields.loyalty.tier IS NOT NULL") == [first, second]
    # Numbers are no texts: 9 is less than 100.
    assert members("metafields.loyalty.points < 100") == [second, third]
    assert members("metafields.loyalty.points BETWEEN 9 AND 100") == [first, second]
    both = "metafields.loyalty.points >= 0 AND metafields.loyalty.tier = 'silver'"
    assert members(both) == [second]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("metafields.loyalty.log = 'x'", "'metafields.loyalty.log' filter cannot be found."),
        ("metafields.other.tier = 'x'", "'metafields.other.tier' filter cannot be found."),
        ("metafields.loyalty.tier > 'gold'", "'>' is unexpected."),
        ("metafields.loyalty.tier = 5", "'=' is unexpected."),
        ("metafields.loyalty.points = 'many'", "'=' is unexpected."),
        ("metafields.loyalty.tier BETWEEN 1 AND 2", "'BETWEEN' is unexpected."),
    ],
)
def test_filters_that_do_not_fit_are_refused(store: Store, query: str, message: str) -> None:
    defined(store)
    store.metafields.define("loyalty", "log", name="", type="single_line_text_field")
    with pytest.raises(SegmentSyntaxError) as raised:
        store.parse_segment_query(query)
    assert str(raised.value).endswith(message)


def test_a_segment_follows_its_metafields(store: Store, customer: int) -> None:
    defined(store)
    made = Segment(1, "Gold", "metafields.loyalty.tier = 'gold'", store.now, store.now, False)
    store.add_segment(made)
    assert list(store.members_of(made).rows) == []
    before = store.customers[customer].updated_at
    store.change_metafields({(customer, "loyalty", "tier"): "gold"})
    assert [each.customer.number for each in store.members_of(made).rows] == [customer]
    assert store.customers[customer].updated_at > before
    store.delete_metafield_definition("loyalty", "tier", with_values=False)
    assert list(store.members_of(made).rows) == []


def test_metafields_go_with_their_customer(store: Store, customer: int) -> None:
    kept = max(store.customers)
    for number in (customer, kept):
        store.change_metafields({(number, "loyalty", "tier"): "gold"})
    store.merge_customers(kept, customer)
    assert list(store.metafields.values) == [(kept, "loyalty", "tier")]
    store.delete_customer(kept)
    assert store.metafields.values == {}


def stage(shop: Sandbox) -> tuple[str, dict[str, str]]:
    given = {
        "resource": "BULK_MUTATION_VARIABLES",
        "filename": "lines.jsonl",
        "mimeType": "text/jsonl",
        "httpMethod": "POST",
    }
    (target,) = ask(shop, STAGE, input=[given])["stagedTargets"]
    return target["url"], {each["name"]: each["value"] for each in target["parameters"]}


def upload(shop: Sandbox, *lines: Any) -> str:
    url, parameters = stage(shop)
    content = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
    answer = HTTP.post(url, data=parameters, files={"file": ("lines.jsonl", content)})
    assert answer.status_code == 201
    return parameters["key"]


def test_an_upload_needs_the_fields_that_were_given_for_it(shop: Sandbox, store: Store) -> None:
    url, parameters = stage(shop)
    content = {"file": ("lines.jsonl", b"{}\n")}
    wrong = {**parameters, "x-goog-signature": "0"}
    assert HTTP.post(url, data=wrong, files=content).status_code == 403
    token = {"X-Shopify-Access-Token": store.data.token}
    assert HTTP.post(url, data=parameters, files=content, headers=token).status_code == 400
    assert HTTP.post(url, data=parameters).status_code == 400
    assert HTTP.post(url, data=parameters, files=content).status_code == 201


def test_a_bulk_mutation_runs_once_for_each_line_and_answers_with_its_number(
    shop: Sandbox, store: Store, customer: int
) -> None:
    defined(store)
    path = upload(
        shop,
        {"metafields": [tier(customer)]},
        {"metafields": [tier(999)]},
        {"metafields": [tier(customer, "5", key="points")]},
    )
    started = ask(shop, RUN, mutation=BULK, path=path)["bulkOperation"]
    assert (started["status"], started["type"], started["query"]) == ("CREATED", "MUTATION", BULK)
    answer = {"status": None}
    while answer["status"] != "COMPLETED":
        answer = ask(shop, LOOK, id=started["id"])
    assert answer["objectCount"] == "3"
    lines = [json.loads(line) for line in HTTP.get(str(answer["url"])).text.splitlines()]
    failed = {line["__lineNumber"]: line["data"]["metafieldsSet"]["userErrors"] for line in lines}
    assert [bool(failed[number]) for number in range(3)] == [False, True, False]
    assert sorted(store.metafields.values.values()) == ["5", "gold"]


@pytest.mark.parametrize(
    ("mutation", "error"),
    [
        ("mutation { not real", ("INVALID_MUTATION", "Failed to parse the mutation")),
        ("{ shop { id } }", ("INVALID_MUTATION", "Only `mutation` operations are supported.")),
        (RUN, (None, "You must use an allowed mutation name.")),
        (
            "mutation { a: metafieldsSet(metafields: []) { userErrors { code } }"
            " b: metafieldsSet(metafields: []) { userErrors { code } } }",
            (None, "You must specify a single top level mutation."),
        ),
    ],
)
def test_what_cannot_run_in_bulk_is_refused(
    shop: Sandbox, store: Store, mutation: str, error: tuple[str | None, str]
) -> None:
    path = upload(shop, {"metafields": []})
    ((_, message, code),) = errors_of(ask(shop, RUN, mutation=mutation, path=path))
    assert code == error[0]
    assert error[1] in message


def test_a_missing_and_an_empty_file_and_a_sixth_operation_are_refused(
    shop: Sandbox, store: Store
) -> None:
    _, parameters = stage(shop)
    for path, code in (
        (parameters["key"], "NO_SUCH_FILE"),
        (upload(shop), "INVALID_STAGED_UPLOAD_FILE"),
    ):
        ((_, _, found),) = errors_of(ask(shop, RUN, mutation=BULK, path=path))
        assert found == code
    path = upload(shop, {"metafields": []})
    ids = [ask(shop, RUN, mutation=BULK, path=path)["bulkOperation"]["id"] for _ in range(5)]
    ((_, message, code),) = errors_of(ask(shop, RUN, mutation=BULK, path=path))
    assert code == "OPERATION_IN_PROGRESS"
    assert message == (
        f"A bulk mutation operation for this app and shop is already in progress: {', '.join(ids)}."
    )
