"""Query parameters: cursors, filters, sorting, sparse fields."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlencode

from flask import request

from .errors import invalid
from .operations import Document, url

Row = TypeVar("Row")
Getter = Callable[[Any], Any]
# Which operators each field of a collection may be filtered by.
FilterFields = Mapping[str, tuple[str, ...]]

_CLAUSE = re.compile(r"([a-z-]+)\(([\w.\[\]]+),\s*(\[.*?\]|\"[^\"]*\"|'[^']*'|[^()\s,]+)\)")


def page(
    rows: Sequence[Row], key: Callable[[Row], str], *, default: int, maximum: int
) -> tuple[Sequence[Row], Document]:
    """The rows of this page, and its links.

    `rows` come in order; `key` identifies a row. The cursor holds the key of the last row and its
    position, so that rows which join or leave between two requests neither repeat nor hide others.
    """
    size = _page_size(default, maximum)
    start = 0
    if cursor := request.args.get("page[cursor]"):
        start = _position_after(rows, key, cursor)
    chosen = rows[start : start + size]
    following = None
    if start + size < len(rows):
        following = _address({"page[cursor]": _encode(key(chosen[-1]), start + size)})
    return chosen, {"self": _address({}), "next": following, "prev": None}


def filtered(rows: Sequence[Row], fields: FilterFields, get: Getter) -> list[Row]:
    """The rows that pass `filter`; `get(name)` returns a function from row to value."""
    kept = list(rows)
    for operator, name, value in _clauses(fields):
        of = get(name)
        if operator == "equals":
            kept = [row for row in kept if _text(of(row)) == _text(value)]
        elif operator == "any":
            wanted = {_text(each) for each in value}
            kept = [row for row in kept if _text(of(row)) in wanted]
        else:
            instant = _instant(value)
            kept = [row for row in kept if _compare(operator, of(row), instant)]
    return kept


def sort_order(allowed: Sequence[str], default: str) -> tuple[str, bool]:
    """The field to sort by and whether backwards. Raises 400 for a field not `allowed`."""
    asked = request.args.get("sort", default)
    name = asked.removeprefix("-")
    if name not in allowed:
        raise invalid(f"'{asked}' is not a valid sort.", parameter="sort")
    return name, asked.startswith("-")


def sparse(attributes: Document, kind: str) -> Document:
    """Only the attributes `fields[kind]` asks for, if it does."""
    asked = request.args.get(f"fields[{kind}]")
    if asked is None:
        return attributes
    names = set(asked.split(","))
    if unknown := names - set(attributes) - {"id"}:
        raise invalid(f"'{min(unknown)}' is not a field of {kind}.", parameter=f"fields[{kind}]")
    return {name: value for name, value in attributes.items() if name in names}


def write_time(value: datetime | None) -> str | None:
    """ISO 8601 in UTC with microseconds, as filters on `joined_group_at` need."""
    return value.astimezone(UTC).isoformat() if value else None


def _page_size(default: int, maximum: int) -> int:
    raw = request.args.get("page[size]", str(default))
    if not raw.isdecimal() or not 1 <= int(raw) <= maximum:
        detail = f"Page size must be an integer between 1 and {maximum}."
        raise invalid(detail, parameter="page[size]")
    return int(raw)


def _address(changes: Mapping[str, str]) -> str:
    query = urlencode({**request.args.to_dict(), **changes})
    return url(request.path) + (f"?{query}" if query else "")


def _encode(last: str, position: int) -> str:
    """Without padding, so that nothing in a cursor needs quoting in a URL."""
    text = json.dumps([last, position])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _position_after(rows: Sequence[Row], key: Callable[[Row], str], cursor: str) -> int:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        last, position = json.loads(base64.urlsafe_b64decode(padded))
        position = int(position)
    except (binascii.Error, ValueError, TypeError):
        raise invalid("Invalid page cursor.", parameter="page[cursor]") from None
    if 0 < position <= len(rows) and key(rows[position - 1]) == last:
        return position
    keys = [key(row) for row in rows]
    return keys.index(last) + 1 if last in keys else min(position, len(rows))


def _clauses(fields: FilterFields) -> list[tuple[str, str, Any]]:
    text = request.args.get("filter", "").strip()
    if text.startswith("and(") and text.endswith(")"):
        text = text[len("and(") : -1]
    clauses, position = [], 0
    while position < len(text):
        match = _CLAUSE.match(text, position)
        if match is None:
            raise invalid(f"Invalid filter: {text[position:]}", parameter="filter")
        operator, name, raw = match.groups()
        if operator not in fields.get(name, ()):
            raise invalid(f"'{operator}' cannot be used on '{name}'.", parameter="filter")
        clauses.append((operator, name, _value(operator, raw)))
        position = match.end()
        if text.startswith(",", position):
            position += 1
    return clauses


def _value(operator: str, raw: str) -> Any:
    if operator == "any":
        quoted = re.findall(r"\"([^\"]*)\"|'([^']*)'", raw)
        if not raw.startswith("[") or not quoted:
            raise invalid("'any' takes a list of strings.", parameter="filter")
        return [double or single for double, single in quoted]
    return raw.strip("\"'")


def _instant(value: str) -> datetime:
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        raise invalid(f"'{value}' is not a valid datetime.", parameter="filter") from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _compare(operator: str, value: datetime | None, instant: datetime) -> bool:
    if value is None:
        return False
    comparisons = {
        "greater-than": value > instant,
        "greater-or-equal": value >= instant,
        "less-than": value < instant,
        "less-or-equal": value <= instant,
    }
    return comparisons[operator]


def _text(value: Any) -> str:
    return str(value).lower()
