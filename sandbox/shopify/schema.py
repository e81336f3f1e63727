"""The executable schema: the SDL of the package with its resolvers attached."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from graphql import GraphQLSchema, build_schema

from .resolvers import MUTATION_RESOLVERS, QUERY_RESOLVERS


def schema_text() -> str:
    """The SDL the sandbox serves."""
    return files("sandbox").joinpath("schema.graphql").read_text(encoding="utf-8")


@cache
def executable_schema() -> GraphQLSchema:
    """The schema, built once; it holds no state of any store."""
    schema = build_schema(schema_text())
    for root, resolvers in (
        (schema.query_type, QUERY_RESOLVERS),
        (schema.mutation_type, MUTATION_RESOLVERS),
    ):
        if root is None or set(root.fields) != set(resolvers):
            raise TypeError("every root field needs a resolver, and every resolver a field")
        for name, resolve in resolvers.items():
            root.fields[name].resolve = resolve
    return schema
