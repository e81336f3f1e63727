"""Read a cell of a CSV file: an id, an amount, a time, a boolean.

Each function takes a record and a column's name, and raises ValueError with a reason that names the
column, for the line's report.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from service.shopify.money import to_minor

LONGEST_ID = 255
_BOOLEANS = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), True),
    **dict.fromkeys(("", "false", "f", "no", "n", "0"), False),
}
_SPACE_BEFORE_OFFSET = re.compile(r"\s+(?=[+-]\d{2}:?\d{2}$|Z$)", re.IGNORECASE)
# 5.4E+12: a spreadsheet shortens a long number like this, and loses its last digits.
_SHORTENED = re.compile(r"\d(?:[.,]\d+)?E\+\d+", re.IGNORECASE)


def identifier(record: Mapping[str, str], name: str) -> str:
    """An id, as text in any form."""
    text = record[name]
    if not text:
        raise ValueError(f"{name} is empty")
    if len(text) > LONGEST_ID:
        raise ValueError(f"{name} is longer than {LONGEST_ID} characters")
    if _SHORTENED.fullmatch(text):
        raise ValueError(
            f"{name} '{text}' was shortened by a spreadsheet: import the file as it was exported"
        )
    return text


def amount(record: Mapping[str, str], name: str, currency: str, default: int | None = None) -> int:
    """An amount in minor units of the currency, not negative; the default for an empty cell."""
    if not record.get(name):
        if default is None:
            raise ValueError(f"{name} is empty")
        return default
    try:
        minor = to_minor(record[name], currency)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if minor < 0:
        raise ValueError(f"{name} is negative")
    return minor


def instant(record: Mapping[str, str], name: str) -> str:
    """ISO 8601 in UTC, of a date or a time; without an offset it is taken for UTC."""
    text = record[name]
    if not text:
        raise ValueError(f"{name} is empty")
    try:
        moment = datetime.fromisoformat(_SPACE_BEFORE_OFFSET.sub("", text))
        return (moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()
    except (ValueError, OverflowError):
        raise ValueError(f"{name} '{text[:40]}' is not an ISO date or time") from None


def instant_or_none(record: Mapping[str, str], name: str) -> str | None:
    """As :func:`instant`; None when it is empty or missing."""
    return instant(record, name) if record.get(name) else None


def boolean(record: Mapping[str, str], name: str) -> bool:
    """True or false in the usual spellings; false when it is empty or missing."""
    text = record.get(name, "").lower()
    if text not in _BOOLEANS:
        raise ValueError(f"{name} '{text[:40]}' is neither true nor false")
    return _BOOLEANS[text]
