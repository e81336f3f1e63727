"""Every GraphQL document of ours is valid for Shopify and for the sandbox, and affordable."""

from __future__ import annotations

from pathlib import Path

import pytest
from graphql import (
    DocumentNode,
    GraphQLSchema,
    OperationDefinitionNode,
    parse,
    print_ast,
    validate,
)

from sandbox.shopify.cost import MAX_QUERY_COST, cost_model
from sandbox.shopify.schema import executable_schema
from service.shopify.client import document

DIRECTORY = Path(__file__).resolve().parents[2] / "service" / "shopify" / "graphql"
DOCUMENTS = sorted(path.stem for path in DIRECTORY.glob("*.graphql"))
FRAGMENTS = sorted(DIRECTORY.glob("fragments/*.graphql"))
LARGEST_PAGE = 250


@pytest.fixture(params=DOCUMENTS)
def parsed(request: pytest.FixtureRequest) -> DocumentNode:
    return parse(document(request.param))


def test_there_are_documents_to_check_and_every_fragment_is_used() -> None:
    assert DOCUMENTS
    sent = "".join(document(name) for name in DOCUMENTS)
    assert all(path.read_text(encoding="utf-8") in sent for path in FRAGMENTS)


def test_document_is_valid_for_shopify(
    parsed: DocumentNode, official_shopify: GraphQLSchema
) -> None:
    assert validate(official_shopify, parsed) == []


def test_document_is_valid_for_the_sandbox(parsed: DocumentNode) -> None:
    assert validate(executable_schema(), parsed) == []


def test_document_costs_no_more_than_a_query_may(
    parsed: DocumentNode, official_shopify: GraphQLSchema
) -> None:
    # Variables without a default are taken at their dearest: a full page.
    variables = {
        definition.variable.name.value: LARGEST_PAGE
        for node in parsed.definitions
        if isinstance(node, OperationDefinitionNode)
        for definition in node.variable_definitions or ()
        if definition.default_value is None and print_ast(definition.type).startswith("Int")
    }
    assert cost_model(official_shopify, parsed, variables).requested() <= MAX_QUERY_COST
