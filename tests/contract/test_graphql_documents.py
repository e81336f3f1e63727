"""Every GraphQL document of ours is valid for Shopify and for the sandbox, and affordable."""

from __future__ import annotations

from pathlib import Path

import pytest
from graphql import GraphQLSchema, OperationDefinitionNode, parse, print_ast, validate

from service.sandbox.shopify.cost import MAX_QUERY_COST, cost_model
from service.sandbox.shopify.schema import executable_schema

SERVICE = Path(__file__).resolve().parents[2] / "service"
DOCUMENTS = sorted(path for path in SERVICE.rglob("*.graphql") if path.name != "schema.graphql")
LARGEST_PAGE = 250


@pytest.fixture(params=DOCUMENTS, ids=lambda path: path.relative_to(SERVICE).as_posix())
def document(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_there_are_documents_to_check() -> None:
    assert DOCUMENTS


def test_document_is_valid_for_shopify(document: Path, official_shopify: GraphQLSchema) -> None:
    assert validate(official_shopify, parse(document.read_text(encoding="utf-8"))) == []


def test_document_is_valid_for_the_sandbox(document: Path) -> None:
    assert validate(executable_schema(), parse(document.read_text(encoding="utf-8"))) == []


def test_document_costs_no_more_than_a_query_may(
    document: Path, official_shopify: GraphQLSchema
) -> None:
    parsed = parse(document.read_text(encoding="utf-8"))
    # Variables without a default are taken at their dearest: a full page.
    variables = {
        definition.variable.name.value: LARGEST_PAGE
        for node in parsed.definitions
        if isinstance(node, OperationDefinitionNode)
        for definition in node.variable_definitions or ()
        if definition.default_value is None and print_ast(definition.type).startswith("Int")
    }
    assert cost_model(official_shopify, parsed, variables).requested() <= MAX_QUERY_COST


@pytest.mark.parametrize(
    ("listed", "by_id"), [("orders", "orders_by_id"), ("customers", "customers_by_id")]
)
def test_a_record_looked_up_is_read_as_a_record_listed(listed: str, by_id: str) -> None:
    """One row comes of both, so both ask for the same fields."""

    def node(name: str) -> str:
        text = (SERVICE / "shopify" / "graphql" / f"{name}.graphql").read_text(encoding="utf-8")
        operation = parse(text).definitions[0]
        assert isinstance(operation, OperationDefinitionNode)
        fields = operation.selection_set.selections[0].selection_set.selections  # type: ignore[union-attr]
        return print_ast(fields[0].selection_set)

    assert node(listed) == node(by_id)
