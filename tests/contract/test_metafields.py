"""What is sent about customer metafields fits Shopify's input types."""

from __future__ import annotations

import json
import tempfile
from typing import Any
from uuid import UUID, uuid4

import pytest
from graphql import GraphQLEnumType, GraphQLSchema, OperationDefinitionNode, parse, validate
from graphql.execution.values import get_variable_values

from service.shopify.client import document
from service.shopify.metafield_definitions import _create, _make_filterable, delete_definitions
from service.shopify.metafield_sync import _refusals
from service.shopify.metafield_upload import (
    _line,
    _upload,
    metafield_identifiers,
    metafield_inputs,
    mutation_text,
)
from service.shopify.metafields import FIELDS, MetafieldError
from service.shopify.source import Source

CHANGE = {"customer_id": "7", "segment": "champions", "r_score": 5, "f_score": None, "m_score": 1}


class Listening:
    """A client that remembers what it was to send, and has answers for that."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def run(self, name: str, **variables: Any) -> dict[str, Any]:
        self.sent.append((name, variables))
        return {
            "metafieldDefinitionCreate": {"createdDefinition": {"id": "1"}, "userErrors": []},
            "metafieldDefinitionUpdate": {"userErrors": []},
            "metafieldDefinitionDelete": {"userErrors": []},
            "stagedUploadsCreate": {"userErrors": [{"message": "no"}]},
        }


class Unrecorded(Source):
    """A source whose statements are not run."""

    def execute(self, *_: Any, **__: Any) -> list[dict[str, Any]]:
        return []


def fitted(schema: GraphQLSchema, text: str, variables: dict[str, Any]) -> None:
    parsed = parse(text)
    assert validate(schema, parsed) == []
    (operation,) = parsed.definitions
    assert isinstance(operation, OperationDefinitionNode)
    found = get_variable_values(schema, operation.variable_definitions or (), variables)
    assert not isinstance(found, list), found


@pytest.fixture
def client() -> Listening:
    return Listening()


def test_definitions_and_uploads_fit_shopifys_input_types(
    client: Listening, official_shopify: GraphQLSchema
) -> None:
    source = Unrecorded(client, None, UUID(int=0), None)  # type: ignore[arg-type]
    plain = {"capabilities": {"adminFilterable": {"enabled": False}}}
    for field in FIELDS.values():
        _create(source, field)
        _make_filterable(source, field, plain)
    delete_definitions(source, [field.key for field in FIELDS.values()])
    with tempfile.TemporaryFile() as file:
        assert _upload(client, file, "lines.jsonl") is None  # type: ignore[arg-type]
    assert len(client.sent) == 3 * len(FIELDS) + 1
    for name, variables in client.sent:
        fitted(official_shopify, document(name), variables)


def test_a_line_of_a_bulk_mutation_holds_its_variables(official_shopify: GraphQLSchema) -> None:
    variables = json.loads(_line(metafield_inputs([CHANGE])))
    # Only what changed, and numbers as texts.
    assert [each["value"] for each in variables["metafields"]] == ["champions", "5", "1"]
    fitted(official_shopify, document("metafields_set"), variables)
    upload_id = uuid4()
    text = mutation_text(upload_id)
    assert text.startswith(f"mutation MetafieldsSet_{upload_id.hex}(")
    fitted(official_shopify, text, variables)


def test_a_removal_fits_shopifys_input_type(official_shopify: GraphQLSchema) -> None:
    identifiers = metafield_identifiers([CHANGE])
    assert [each["key"] for each in identifiers] == [field.key for field in FIELDS.values()]
    fitted(official_shopify, document("metafields_delete"), {"metafields": identifiers})


def test_what_the_app_may_not_do_is_no_fault_of_a_customer(official_shopify: GraphQLSchema) -> None:
    codes = official_shopify.type_map["MetafieldsSetUserErrorCode"]
    assert isinstance(codes, GraphQLEnumType)
    assert {"APP_NOT_AUTHORIZED", "INVALID_VALUE"} <= set(codes.values)
    field = ["metafields", "0", "namespace"]
    refusal = {"code": "APP_NOT_AUTHORIZED", "field": field, "message": "Not the owner."}
    with pytest.raises(MetafieldError, match="does not let the app set metafields: Not the owner"):
        _refusals([CHANGE], [refusal])
    assert _refusals([CHANGE], [{**refusal, "code": "INVALID_VALUE"}]) == [
        {"customer_id": "7", "reason": "Not the owner"}
    ]
