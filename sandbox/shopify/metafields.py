"""Metafields of a store's customers, and their definitions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_FIRST_NUMBER = 229_783_175_474

# Which metafield of a customer: the customer's number, the namespace and the key.
Place = tuple[int, str, str]
DefinitionName = tuple[str, str]


@dataclass(slots=True)
class Definition:
    """What the values of one metafield of customers are."""

    number: int
    namespace: str
    key: str
    name: str
    type: str
    description: str | None = None
    is_filterable: bool = False


@dataclass(slots=True)
class Metafields:
    """The metafields of a store's customers, and their definitions.

    `values` are as texts. `is_failing` lets every change of values end in an internal error.
    Values of customers in `undeletable` cannot be deleted.
    """

    definitions: dict[DefinitionName, Definition] = field(default_factory=dict)
    values: dict[Place, str] = field(default_factory=dict)
    is_failing: bool = False
    undeletable: set[int] = field(default_factory=set)
    _defined: int = 0

    def filterable(self, namespace: str, key: str) -> Definition | None:
        """The definition, if segments can filter by it."""
        found = self.definitions.get((namespace, key))
        return found if found is not None and found.is_filterable else None

    def define(self, namespace: str, key: str, **fields: Any) -> Definition:
        """Add a definition."""
        self._defined += 1
        number = _FIRST_NUMBER + 32_768 * self._defined
        added = Definition(number, namespace, key, **fields)
        self.definitions[namespace, key] = added
        return added

    def delete_definition(self, namespace: str, key: str, *, with_values: bool) -> Definition:
        """Delete a definition, as a merchant can too, and maybe what it was for."""
        if with_values:
            self.values = {p: v for p, v in self.values.items() if p[1:] != (namespace, key)}
        return self.definitions.pop((namespace, key))

    def delete_customer(self, number: int) -> None:
        """Delete the metafields of a customer."""
        self.values = {place: v for place, v in self.values.items() if place[0] != number}
