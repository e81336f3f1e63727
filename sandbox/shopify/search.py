"""The subset of Shopify's search syntax the sandbox understands: comparisons of times, ANDed.

    updated_at:>='2026-01-01T00:00:00Z' AND updated_at:<2026-02-01

Shopify ignores terms it does not know; the sandbox refuses them, so that a typing error in a filter
cannot look like a full sync.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from .errors import BadRequestError

_OPERATORS: dict[str, Callable[[datetime, datetime], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_TERM = re.compile(r"""(\w+):(>=|<=|>|<)(?:'([^']*)'|"([^"]*)"|(\S+))""")
_BETWEEN = re.compile(r"\s+AND\s+|\s+")


@dataclass(frozen=True, slots=True)
class TimeFilter:
    """`field` compared with an instant."""

    field: str
    compare: Callable[[datetime, datetime], bool]
    instant: datetime

    def matches(self, value: datetime) -> bool:
        """Whether `value` passes."""
        return self.compare(value, self.instant)


def parse_search(query: str | None, fields: Iterable[str]) -> list[TimeFilter]:
    """The filters of `query`, all of which must hold.

    Raises BadRequestError for anything but comparisons of `fields` with ISO 8601 times.
    """
    text, position, filters = (query or "").strip(), 0, []
    allowed = set(fields)
    while position < len(text):
        term = _TERM.match(text, position)
        if term is None or term[1] not in allowed:
            raise BadRequestError(f"The sandbox does not support the search query `{query}`.")
        value = next(part for part in term.groups()[2:] if part is not None)
        filters.append(TimeFilter(term[1], _OPERATORS[term[2]], _instant(term[1], value)))
        position = term.end()
        if between := _BETWEEN.match(text, position):
            position = between.end()
    return filters


def _instant(field: str, value: str) -> datetime:
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        raise BadRequestError(f"Invalid timestamp for query filter `{field}`.") from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
