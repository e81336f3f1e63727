"""The sandbox's schema is a subset of Shopify's: a client that works here works there."""

from __future__ import annotations

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    is_introspection_type,
    is_specified_scalar_type,
)

from sandbox.shopify.schema import executable_schema

SANDBOX = executable_schema()
TYPES = sorted(
    name
    for name, each in SANDBOX.type_map.items()
    if not is_introspection_type(each) and not is_specified_scalar_type(each)
)


@pytest.mark.parametrize("name", TYPES)
def test_type_is_a_subset_of_the_official_one(name: str, official_shopify: GraphQLSchema) -> None:
    ours, theirs = SANDBOX.type_map[name], official_shopify.type_map.get(name)
    assert theirs is not None, f"Shopify has no type {name}"
    assert type(ours) is type(theirs)
    if isinstance(ours, GraphQLEnumType) and isinstance(theirs, GraphQLEnumType):
        assert set(ours.values) <= set(theirs.values)
    if isinstance(ours, GraphQLObjectType) and isinstance(theirs, GraphQLObjectType):
        assert {i.name for i in ours.interfaces} <= {i.name for i in theirs.interfaces}
    if isinstance(ours, GraphQLObjectType | GraphQLInterfaceType):
        assert isinstance(theirs, GraphQLObjectType | GraphQLInterfaceType)
        for field, definition in ours.fields.items():
            official = theirs.fields.get(field)
            assert official is not None, f"Shopify has no {name}.{field}"
            assert str(definition.type) == str(official.type), f"{name}.{field}"
            for argument, declared in definition.args.items():
                theirs_declared = official.args.get(argument)
                assert theirs_declared is not None, f"Shopify has no {name}.{field}({argument}:)"
                assert str(declared.type) == str(theirs_declared.type)
                assert repr(declared.default_value) == repr(theirs_declared.default_value)
            ours_missing = set(official.args) - set(definition.args)
            required = {a for a in ours_missing if str(official.args[a].type).endswith("!")}
            assert not required, f"{name}.{field} lacks required arguments {required}"
    if isinstance(ours, GraphQLInputObjectType) and isinstance(theirs, GraphQLInputObjectType):
        for field, declared_input in ours.fields.items():
            assert field in theirs.fields, f"Shopify has no {name}.{field}"
            assert str(declared_input.type) == str(theirs.fields[field].type)


@pytest.mark.parametrize("name", ["OrderDisplayFinancialStatus", "OrderDisplayFulfillmentStatus"])
def test_status_enums_are_complete(name: str, official_shopify: GraphQLSchema) -> None:
    ours, theirs = SANDBOX.type_map[name], official_shopify.type_map[name]
    assert isinstance(ours, GraphQLEnumType)
    assert isinstance(theirs, GraphQLEnumType)
    assert set(ours.values) == set(theirs.values)
