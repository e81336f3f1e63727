"""What a query costs, and the leaky bucket it is paid from.

Shopify publishes the outline (scalars are free, an object costs 1, a connection is sized by
`first`, a mutation costs 10) but not the sizes. Those used here reproduce the `requestedQueryCost`
of the recorded answers we hold, but for a look-up of many types (see tests/contract): a
connection costs 2 plus its node cost times floor(2·ln(first)), amounts of money and page info are
free, and a count costs 10. By the published linear rule 250 products would cost 252; Shopify
answers 13. The actual cost is an estimate: the requested one, in proportion to the nodes that came.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    get_named_type,
    is_composite_type,
    is_interface_type,
    is_object_type,
    value_from_ast_untyped,
)

MAX_QUERY_COST = 1000
_CONNECTION_COST = 2
_MUTATION_COST = 10
_OBJECT_COSTS = {"Count": 10, "MoneyV2": 0, "PageInfo": 0}
_NODE_FIELDS = ("nodes", "edges")


def page_weight(first: int) -> int:
    """How many nodes a page of `first` is charged for."""
    return max(math.floor(2 * math.log(first)), 1) if first > 1 else max(first, 0)


@dataclass(frozen=True, slots=True)
class CostModel:
    """One operation to be priced: before it runs from its text, afterwards from its answer."""

    schema: GraphQLSchema
    operation: OperationDefinitionNode
    fragments: Mapping[str, FragmentDefinitionNode]
    variables: Mapping[str, Any]

    def requested(self) -> int:
        """The most the operation can cost."""
        return self._root(None)

    def actual(self, data: Mapping[str, Any] | None) -> int:
        """What the operation cost, given the `data` of its answer; never more than requested."""
        return min(self._root(data or {}), self.requested())

    def _root(self, data: Mapping[str, Any] | None) -> int:
        if self.operation.operation is OperationType.MUTATION:
            return _MUTATION_COST * sum(1 for _ in self._fields(self.operation.selection_set, None))
        root = self.schema.query_type
        if root is None:
            return 0
        return math.floor(self._selections(root, self.operation.selection_set, data) + 1e-9)

    def _fields(
        self, selections: SelectionSetNode, parent: GraphQLNamedType | None
    ) -> Iterator[tuple[FieldNode, GraphQLNamedType | None]]:
        """The fields selected, with the type each is selected on; fragments are looked through."""
        for selection in selections.selections:
            if isinstance(selection, FieldNode):
                yield selection, parent
                continue
            fragment = selection
            if isinstance(fragment, FragmentSpreadNode):
                fragment = self.fragments[fragment.name.value]  # type: ignore[assignment]
            if isinstance(fragment, InlineFragmentNode | FragmentDefinitionNode):
                condition = fragment.type_condition
                on = self.schema.type_map[condition.name.value] if condition else parent
                yield from self._fields(fragment.selection_set, on)

    def _selections(
        self, parent: GraphQLNamedType, selections: SelectionSetNode, data: Any
    ) -> float:
        """The fields on `parent` itself, plus the dearest of the types it may turn out to be."""
        by_type: dict[str, float] = {}
        for field, on in self._fields(selections, parent):
            if not (is_object_type(on) or is_interface_type(on)) or field.selection_set is None:
                continue
            definition = on.fields.get(field.name.value)
            named = get_named_type(definition.type) if definition else None
            if named is None or not is_composite_type(named):
                continue
            key = (field.alias or field.name).value
            value = None if data is None else data.get(key, _ABSENT)
            if value is not _ABSENT:
                cost = self._field(field, named, field.selection_set, value, data is not None)
                by_type[on.name] = by_type.get(on.name, 0.0) + cost
        own = by_type.pop(parent.name, 0.0)
        return own + max(by_type.values(), default=0.0)

    def _field(
        self,
        field: FieldNode,
        named: GraphQLNamedType,
        selections: SelectionSetNode,
        value: Any,
        is_answered: bool,
    ) -> float:
        own = _OBJECT_COSTS.get(named.name, 1)
        if isinstance(named, GraphQLObjectType) and named.name.endswith("Connection"):
            return self._connection(field, named, selections, value, is_answered)
        if is_answered and value is None:
            return own
        if isinstance(value, list):
            size = self._size(field)
            each = [own + self._selections(named, selections, item) for item in value]
            return sum(each) * (page_weight(size) / size if size else 1)
        weight = page_weight(size) if (size := self._size(field)) else 1
        return weight * (own + self._selections(named, selections, value))

    def _connection(
        self,
        field: FieldNode,
        named: GraphQLObjectType,
        selections: SelectionSetNode,
        value: Any,
        is_answered: bool,
    ) -> float:
        size = self._size(field)
        total = float(_CONNECTION_COST)
        if is_answered and value is None:
            return total
        for inner, _ in self._fields(selections, named):
            if inner.name.value not in _NODE_FIELDS or inner.selection_set is None:
                continue
            inner_type = get_named_type(named.fields[inner.name.value].type)
            # An edge is free: it is the node inside that counts.
            own = 0 if inner.name.value == "edges" else 1
            if not is_answered:
                total += page_weight(size) * (
                    own + self._selections(inner_type, inner.selection_set, None)
                )
                continue
            items = value.get((inner.alias or inner.name).value) or []
            each = sum(own + self._selections(inner_type, inner.selection_set, i) for i in items)
            total += each * page_weight(size) / size if size else 0.0
        return total

    def _size(self, field: FieldNode) -> int:
        for argument in field.arguments or ():
            if argument.name.value in ("first", "last"):
                value = value_from_ast_untyped(argument.value, dict(self.variables))
                return value if isinstance(value, int) and value > 0 else 0
            if argument.name.value == "ids":
                value = value_from_ast_untyped(argument.value, dict(self.variables))
                return len(value) if isinstance(value, list) else 0
        return 0


_ABSENT: Any = object()


def cost_model(
    schema: GraphQLSchema,
    document: DocumentNode,
    variables: Mapping[str, Any],
    operation_name: str | None = None,
) -> CostModel:
    """Price the operation of `document` that would run; its variables' defaults apply.

    Raises ValueError when there is no such operation.
    """
    fragments, chosen = {}, None
    for definition in document.definitions:
        if isinstance(definition, FragmentDefinitionNode):
            fragments[definition.name.value] = definition
        elif isinstance(definition, OperationDefinitionNode):
            name = definition.name.value if definition.name else None
            if operation_name is None or name == operation_name:
                chosen = chosen or definition
    if chosen is None:
        raise ValueError(f"No operation named {operation_name}")
    defaults = {
        variable.variable.name.value: value_from_ast_untyped(variable.default_value)
        for variable in chosen.variable_definitions or ()
        if variable.default_value is not None
    }
    return CostModel(schema, chosen, fragments, {**defaults, **variables})


class LeakyBucket:
    """Points of one store: `maximum` at most, `restore_rate` more each second. Thread-safe."""

    def __init__(
        self, maximum: int, restore_rate: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.maximum = maximum
        self.restore_rate = restore_rate
        self._clock = clock
        self._lock = Lock()
        self._available = float(maximum)
        self._at = clock()

    def take(self, points: int) -> bool:
        """Take `points`, or take nothing and return False when there are not enough."""
        with self._lock:
            self._restore()
            if points > self._available:
                return False
            self._available -= points
            return True

    def give_back(self, points: int) -> None:
        """Return what a query asked for but did not use."""
        with self._lock:
            self._available = min(self._available + points, self.maximum)

    def status(self) -> dict[str, float]:
        """The bucket as `extensions.cost.throttleStatus` tells it."""
        with self._lock:
            self._restore()
            return {
                "maximumAvailable": self.maximum,
                "currentlyAvailable": math.floor(self._available),
                "restoreRate": self.restore_rate,
            }

    def _restore(self) -> None:
        now = self._clock()
        self._available = min(self._available + (now - self._at) * self.restore_rate, self.maximum)
        self._at = now
