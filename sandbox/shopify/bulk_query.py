"""What may be asked in bulk, and how a bulk query becomes one that can be read in pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from graphql import (
    ArgumentNode,
    DocumentNode,
    FieldNode,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLSyntaxError,
    IntValueNode,
    NamedTypeNode,
    NameNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    TypeInfo,
    TypeInfoVisitor,
    VariableDefinitionNode,
    VariableNode,
    Visitor,
    get_named_type,
    parse,
    validate,
    visit,
)

MAX_CONNECTIONS = 5
MAX_DEPTH = 2
_ROOT = "QueryRoot"
_NEEDS_ID = (
    "The parent 'node' field for a nested connection must select the 'id' field without an alias"
    " and must be of 'ID' return type. Connection fields without 'id': "
)


class InvalidBulkQueryError(ValueError):
    """A query that cannot be run in bulk; the message is the user error's."""


def check_bulk_query(query: str) -> None:
    """Refuse what Shopify refuses in bulk. Raises InvalidBulkQueryError."""
    from .schema import executable_schema

    schema = executable_schema()
    try:
        document = parse(query)
    except GraphQLSyntaxError as error:
        found = "unexpected end of file" if "<EOF>" in error.message else error.message
        raise InvalidBulkQueryError(f"Invalid bulk query: syntax error, {found}") from None
    operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
    if len(document.definitions) != 1 or len(operations) != 1:
        raise InvalidBulkQueryError("Bulk queries must be one operation without fragments.")
    if operations[0].operation is not OperationType.QUERY:
        raise InvalidBulkQueryError("Invalid bulk query: it must be a query.")
    if operations[0].variable_definitions:
        raise InvalidBulkQueryError("Invalid bulk query: variables are not supported.")
    if errors := validate(schema, document):
        raise InvalidBulkQueryError(f"Invalid bulk query: {errors[0].message}")
    if schema.query_type is None:
        raise InvalidBulkQueryError("Invalid bulk query: there is nothing to query.")
    _check_connections(schema.query_type, operations[0].selection_set)


def _check_connections(root: GraphQLObjectType, selections: SelectionSetNode) -> None:
    top = [node for node in selections.selections if isinstance(node, FieldNode)]
    if len(top) != 1 or top[0].name.value in ("node", "nodes"):
        raise InvalidBulkQueryError(
            "Bulk queries can only contain one top level field, and not `node` or `nodes`."
        )
    found = list(_connections(root, selections, depth=1, is_listed=False))
    if not found:
        raise InvalidBulkQueryError("Bulk queries must contain at least one connection.")
    if len(found) > MAX_CONNECTIONS:
        raise InvalidBulkQueryError(
            f"Bulk queries cannot contain more than {MAX_CONNECTIONS} connections."
        )
    if max(depth for depth, _ in found) > MAX_DEPTH:
        raise InvalidBulkQueryError(
            f"Bulk queries cannot contain connections with a nesting depth greater than"
            f" {MAX_DEPTH}."
        )


def _connections(
    parent: Any, selections: SelectionSetNode, depth: int, *, is_listed: bool
) -> Iterator[tuple[int, FieldNode]]:
    """The connections below `parent` with their depth; each is checked on the way."""
    for each in selections.selections:
        if not isinstance(each, FieldNode):
            raise InvalidBulkQueryError("Bulk queries must not contain fragments.")
        if each.selection_set is None:
            continue
        declared = parent.fields[each.name.value].type
        named = get_named_type(declared)
        if not named.name.endswith("Connection"):
            inside = is_listed or _is_list(declared)
            yield from _connections(named, each.selection_set, depth, is_listed=inside)
            continue
        if is_listed:
            raise InvalidBulkQueryError(
                "Bulk queries cannot contain a connection field within a list field."
            )
        yield depth, each
        node, node_type = _node_of(each, named)
        below = list(_connections(node_type, node, depth + 1, is_listed=False))
        if below and not _selects_id(node):
            raise InvalidBulkQueryError(_NEEDS_ID + each.name.value + ".")
        yield from below


def _node_of(connection: FieldNode, named: Any) -> tuple[SelectionSetNode, Any]:
    """What is selected of a connection's nodes, which must be by way of `edges { node }`."""
    names = [
        field.name.value
        for field in _fields(connection.selection_set)
        if field.name.value != "__typename"
    ]
    edges = next((f for f in _fields(connection.selection_set) if f.name.value == "edges"), None)
    nodes = [f for f in _fields(edges.selection_set) if f.name.value == "node"] if edges else []
    if names != ["edges"] or len(nodes) != 1 or nodes[0].selection_set is None:
        raise InvalidBulkQueryError(
            "Bulk queries must select connections through `edges` and `node` only:"
            f" {connection.name.value}."
        )
    edge_type = get_named_type(named.fields["edges"].type)
    return nodes[0].selection_set, get_named_type(edge_type.fields["node"].type)


def _selects_id(node: SelectionSetNode) -> bool:
    return any(field.name.value == "id" and field.alias is None for field in _fields(node))


def _fields(selections: SelectionSetNode | None) -> list[FieldNode]:
    return [s for s in selections.selections if isinstance(s, FieldNode)] if selections else []


def _is_list(declared: Any) -> bool:
    if isinstance(declared, GraphQLNonNull):
        declared = declared.of_type
    return isinstance(declared, GraphQLList)


def root_key(document: DocumentNode) -> str:
    """Under which key an answer holds the query's one root field."""
    operation = document.definitions[0]
    if not isinstance(operation, OperationDefinitionNode):
        raise TypeError("a bulk query is one operation")
    root = _fields(operation.selection_set)[0]
    return (root.alias or root.name).value


def with_pages(schema: GraphQLSchema, document: DocumentNode, first: int) -> DocumentNode:
    """The query with `first` in every connection, and `$bulkAfter` and pageInfo in the root's.

    Paging arguments that were in it are ignored, as Shopify ignores them.
    """
    info = TypeInfo(schema)
    paged: DocumentNode = visit(document, TypeInfoVisitor(info, _Pages(info, first)))
    return paged


class _Pages(Visitor):
    """Gives connections their paging arguments on the way up."""

    def __init__(self, info: TypeInfo, first: int) -> None:
        super().__init__()
        self._info = info
        self._first = first

    def leave_field(self, node: FieldNode, *_args: Any) -> FieldNode | None:
        named = get_named_type(self._info.get_type())
        if named is None or not named.name.endswith("Connection"):
            return None
        is_root = str(self._info.get_parent_type()) == _ROOT
        kept = [a for a in node.arguments or () if a.name.value not in ("first", "after", "last")]
        kept.append(_argument("first", IntValueNode(value=str(self._first))))
        selections = list(node.selection_set.selections) if node.selection_set else []
        if is_root:
            kept.append(_argument("after", VariableNode(name=NameNode(value="bulkAfter"))))
            page_info = parse("{pageInfo{hasNextPage endCursor}}").definitions[0]
            selections += page_info.selection_set.selections  # type: ignore[attr-defined]
        return FieldNode(
            alias=node.alias,
            name=node.name,
            arguments=tuple(kept),
            directives=node.directives,
            selection_set=SelectionSetNode(selections=tuple(selections)),
        )

    def leave_operation_definition(
        self, node: OperationDefinitionNode, *_args: Any
    ) -> OperationDefinitionNode:
        after = VariableDefinitionNode(
            variable=VariableNode(name=NameNode(value="bulkAfter")),
            type=NamedTypeNode(name=NameNode(value="String")),
            directives=(),
        )
        return OperationDefinitionNode(
            operation=node.operation,
            name=node.name,
            variable_definitions=(after,),
            directives=node.directives,
            selection_set=node.selection_set,
        )


def _argument(name: str, value: Any) -> ArgumentNode:
    return ArgumentNode(name=NameNode(value=name), value=value)
