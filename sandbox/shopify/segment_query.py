"""The subset of Shopify's customer segment language that the sandbox can evaluate.

Clauses joined by AND, each `attribute operator value`:

    number_of_orders > 1 AND last_order_date < -180d AND customer_tags CONTAINS 'creator'
    metafields.loyalty.tier = 'gold' AND metafields.loyalty.points BETWEEN 100 AND 200

Dates are ISO days or offsets from the anchor of the store: days, weeks, months or years (`-180d`,
`-12m`), which from 2026-10 on also stand for the named dates of before (`12_months_ago`).
A metafield is a filter if its definition is filterable; numbers are compared as numbers, texts only
for equality, and a customer without a value meets `IS NULL` only.
"""

from __future__ import annotations

import operator
import re
from calendar import monthrange
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from ..data import Customer
from .metafields import Metafields

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_CONTAINMENTS = {"CONTAINS": True, "NOT CONTAINS": False}
_CLAUSE = re.compile(
    r"(?P<attribute>\w+)\s+(?P<operator>NOT CONTAINS|CONTAINS|!=|>=|<=|=|>|<)\s+"
    r"(?P<value>'[^']*'|-?\d+[dwmy]|\d{4}-\d{2}-\d{2}|-?\d+(?:\.\d+)?)"
)
_METAFIELD = re.compile(
    r"metafields\.(?P<namespace>[\w-]+)\.(?P<key>[\w-]+)\s+"
    r"(?:IS (?P<null>NOT NULL|NULL)"
    r"|BETWEEN\s+(?P<low>-?\d+)\s+AND\s+(?P<high>-?\d+)"
    r"|(?P<operator>!=|>=|<=|=|>|<)\s+(?P<value>'[^']*'|-?\d+))(?=\s|$)"
)
_AND = re.compile(r"\s+AND\s+")
_OFFSET = re.compile(r"(-?\d+)([dwmy])")
_MONTHS = {"m": 1, "y": 12}

_NUMBERS = ("number_of_orders", "amount_spent")
_DATES = ("last_order_date", "first_order_date", "customer_added_date")


class SegmentSyntaxError(ValueError):
    """A segment query that cannot be read; the message says where, in Shopify's words."""


@dataclass(frozen=True, slots=True)
class CustomerFacts:
    """What a segment query can ask about a customer. `amount_spent` is in minor units."""

    customer: Customer
    number_of_orders: int = 0
    amount_spent: int = 0
    first_order_at: datetime | None = None
    last_order_at: datetime | None = None
    last_order_number: int | None = None
    metafields: Mapping[tuple[str, str], str] = field(default_factory=dict)


Predicate = Callable[[CustomerFacts], bool]


def parse_segment_query(
    query: str, anchor: datetime, metafields: Metafields | None = None
) -> Predicate:
    """A predicate that selects the members. Raises SegmentSyntaxError."""
    clauses, position = [], 0
    while True:
        if match := _METAFIELD.match(query, position):
            clauses.append(_metafield_predicate(match, query, metafields or Metafields()))
        elif match := _CLAUSE.match(query, position):
            clauses.append(_predicate(match, query, anchor))
        else:
            raise SegmentSyntaxError(_unexpected(query, position))
        position = match.end()
        if position == len(query):
            return lambda facts: all(clause(facts) for clause in clauses)
        separator = _AND.match(query, position)
        if separator is None:
            raise SegmentSyntaxError(_unexpected(query, position))
        position = separator.end()


def _unexpected(query: str, position: int) -> str:
    """Name the word where an operator should have been: the one after the attribute."""
    words = list(re.finditer(r"\S+", query[position:]))
    if not words:
        return f"Line 1 Column {position}: query is incomplete."
    expected_at = 2 if words[0][0].lower() == "not" else 1
    word = words[min(expected_at, len(words) - 1)]
    return f"Line 1 Column {position + word.start()}: '{word[0]}' is unexpected."


def _predicate(clause: re.Match[str], query: str, anchor: datetime) -> Predicate:
    attribute, sign, raw = clause.group("attribute", "operator", "value")
    text = raw.strip("'")
    if sign in _CONTAINMENTS and attribute == "customer_tags":
        wanted = _CONTAINMENTS[sign]
        return lambda facts: (text in facts.customer.tags) is wanted
    if sign in _CONTAINMENTS:
        raise SegmentSyntaxError(_unexpected(query, clause.start()))
    compare = _COMPARISONS[sign]
    if attribute in _NUMBERS and not raw.startswith("'"):
        # Amounts are written in the currency's major unit.
        scale = 100 if attribute == "amount_spent" else 1
        limit = float(text.rstrip("dwmy")) * scale
        return lambda facts: compare(getattr(facts, attribute), limit)
    if attribute in _DATES and not raw.startswith("'"):
        day = _day(text, anchor)
        return lambda facts: _compare_date(_date_of(facts, attribute), compare, day)
    if attribute == "email_subscription_status":
        return lambda facts: compare(facts.customer.marketing_state, text)
    raise SegmentSyntaxError(
        f"Line 1 Column {clause.start() + 1}: '{attribute}' filter cannot be found."
    )


def _metafield_predicate(clause: re.Match[str], query: str, metafields: Metafields) -> Predicate:
    place = (clause["namespace"], clause["key"])
    definition = metafields.filterable(*place)
    if definition is None:
        raise SegmentSyntaxError(
            f"Line 1 Column {clause.start() + 1}: 'metafields.{place[0]}.{place[1]}' filter cannot"
            " be found."
        )
    if clause["null"]:
        is_wanted = clause["null"] == "NOT NULL"
        return lambda facts: (place in facts.metafields) is is_wanted
    is_number = definition.type == "number_integer"
    if clause["low"] is not None:
        if not is_number:
            raise SegmentSyntaxError(_unexpected(query, clause.start()))
        low, high = int(clause["low"]), int(clause["high"])
        return lambda facts: (
            place in facts.metafields and (low <= int(facts.metafields[place]) <= high)
        )
    sign, raw = clause["operator"], clause["value"]
    if is_number == raw.startswith("'") or (not is_number and sign not in ("=", "!=")):
        raise SegmentSyntaxError(_unexpected(query, clause.start()))
    compare, cast = _COMPARISONS[sign], int if is_number else str
    wanted = cast(raw.strip("'"))
    return lambda facts: (
        place in facts.metafields and compare(cast(facts.metafields[place]), wanted)
    )


def _day(text: str, anchor: datetime) -> datetime:
    if offset := _OFFSET.fullmatch(text):
        number, unit = int(offset[1]), offset[2]
        if unit in _MONTHS:
            return _months_later(anchor, number * _MONTHS[unit])
        return anchor + timedelta(days=number * (7 if unit == "w" else 1))
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _months_later(anchor: datetime, months: int) -> datetime:
    """The same day of another month, or its last day."""
    year, month = divmod(anchor.year * 12 + anchor.month - 1 + months, 12)
    day = min(anchor.day, monthrange(year, month + 1)[1])
    return anchor.replace(year=year, month=month + 1, day=day)


def _date_of(facts: CustomerFacts, attribute: str) -> datetime | None:
    if attribute == "last_order_date":
        return facts.last_order_at
    if attribute == "first_order_date":
        return facts.first_order_at
    return facts.customer.created_at


def _compare_date(
    value: datetime | None, compare: Callable[[Any, Any], bool], day: datetime
) -> bool:
    return value is not None and compare(value, day)
