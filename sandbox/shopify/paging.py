"""Connections: opaque cursors over a sorted index, as Shopify pages.

A cursor holds the sort value and id of the last row, not an offset: rows that appear or change
while a client pages neither shift nor repeat the others.
"""

from __future__ import annotations

import base64
import binascii
import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from .errors import BadRequestError

Row = TypeVar("Row")
SortKey = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Window:
    """The paging arguments of a field, checked."""

    first: int
    after: SortKey | None
    reverse: bool


@dataclass(frozen=True, slots=True)
class Index(Generic[Row]):
    """Rows in ascending order of (sort value, id)."""

    keys: Sequence[SortKey]
    rows: Sequence[Row]

    @classmethod
    def build(cls, rows: Sequence[Row], key: Callable[[Row], SortKey]) -> Index[Row]:
        """Sort `rows` by `key`, which must be unique."""
        ordered = sorted(rows, key=key)
        return cls([key(row) for row in ordered], ordered)

    def only(self, keep: Callable[[Row], bool]) -> Index[Row]:
        """The rows for which `keep` holds, still in order."""
        kept = [(key, row) for key, row in zip(self.keys, self.rows, strict=True) if keep(row)]
        return Index([key for key, _ in kept], [row for _, row in kept])


def window(args: Mapping[str, Any], maximum: int) -> Window:
    """Check paging arguments; `maximum` is the largest `first`. Raises BadRequestError."""
    first, last = args.get("first"), args.get("last")
    if first is not None and last is not None:
        raise BadRequestError("providing both first and last is not supported")
    if last is not None or args.get("before") is not None:
        raise BadRequestError("The sandbox pages forwards only: use first and after.")
    if first is None:
        raise BadRequestError("you must provide one of first or last")
    if not 1 <= first <= maximum:
        raise BadRequestError(f"first must be between 1 and {maximum}, not {first}")
    after = args.get("after")
    return Window(first, None if after is None else _decode(after), bool(args.get("reverse")))


def connection(
    index: Index[Row], page: Window, to_node: Callable[[Row], dict[str, Any]]
) -> dict[str, Any]:
    """One page of `index` as a connection with edges, nodes and pageInfo."""
    size = len(index.rows)
    if page.reverse:
        end = size if page.after is None else bisect_left(index.keys, page.after)
        positions = range(end - 1, max(end - 1 - page.first, -1), -1)
        more, some_before = end - page.first > 0, end < size
    else:
        start = 0 if page.after is None else bisect_right(index.keys, page.after)
        positions = range(start, min(start + page.first, size))
        more, some_before = start + page.first < size, start > 0
    nodes = [to_node(index.rows[position]) for position in positions]
    cursors = [_encode(index.keys[position]) for position in positions]
    return {
        "nodes": nodes,
        "edges": [
            {"cursor": cursor, "node": node} for cursor, node in zip(cursors, nodes, strict=True)
        ],
        "pageInfo": {
            "hasNextPage": more,
            "hasPreviousPage": some_before,
            "startCursor": cursors[0] if cursors else None,
            "endCursor": cursors[-1] if cursors else None,
        },
    }


def _encode(key: SortKey) -> str:
    payload = json.dumps({"last_id": key[1], "last_value": key[0]}, separators=(",", ":"))
    return base64.urlsafe_b64encode(payload.encode()).decode()


def _decode(cursor: str) -> SortKey:
    try:
        payload = json.loads(base64.urlsafe_b64decode(cursor))
        return int(payload["last_value"]), int(payload["last_id"])
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise BadRequestError(f"`{cursor}` is not a valid cursor.") from None
