"""Read a cell of a CSV file: an id, an amount, a time, a boolean.

Each function takes a record and a column's name, and raises ValueError with a reason that names the
column, for the line's report.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from service.shopify.money import exponent_of, to_minor
from service.shopify.phones import normalize_phone

LONGEST_ID = 255
_BOOLEANS = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), True),
    **dict.fromkeys(("", "false", "f", "no", "n", "0"), False),
}
_SPACE_BEFORE_OFFSET = re.compile(r"\s+(?=[+-]\d{2}:?\d{2}$|Z$)", re.IGNORECASE)
# 5.4E+12: a spreadsheet shortens a long number like this, and loses its last digits.
_SHORTENED = re.compile(r"\d(?:[.,]\d+)?E\+\d+", re.IGNORECASE)
# 7103.0: a program has read a column of ids as numbers, because some were missing. Up to 2 ** 53
# these are exact.
_FLOAT = re.compile(r"(\d{1,15})\.0+", re.ASCII)
_GID = re.compile(r"gid://shopify/\w+/(\d+)", re.ASCII)
# What programs write where there is no value.
_MISSING = frozenset({"nan", "nat", "null", "none", "n/a", "#n/a", "<na>"})
# 12,50 or 1.234,50. Three digits after a comma may be thousands.
_DECIMAL_COMMA = re.compile(r"(-?\d{1,3}(?:\.\d{3})+|-?\d+),(\d{1,2})", re.ASCII)
# 1.000 where commas separate decimals.
_THOUSANDS = re.compile(r"-?\d{1,3}\.\d{3}", re.ASCII)
_LONGEST_ADDRESS = 320
_LARGEST_QUANTITY = 2**31 - 1
# Python does not read numbers of thousands of digits.
_LONGEST_NUMBER = 255
_UNSEEN = re.compile(
    "[\u00a0\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202f\u2060-\u206f\ufeff]"
)
_THOUSANDS_DIGITS = 3


class ShopDefaults(NamedTuple):
    """What an order has that does not say otherwise: ISO codes of the shop's currency and country.

    The country is None while it is unknown.
    """

    currency: str
    country: str | None


def text_or_none(record: Mapping[str, str], name: str) -> str | None:
    """Text; None when it is empty, missing, or what a program writes for a missing value."""
    text = record.get(name, "")
    return None if not text or text.lower() in _MISSING else text


def address_or_none(record: Mapping[str, str], name: str) -> str | None:
    """An e-mail address; None for text that is none, such as ``-`` or ``no e-mail``.

    Buyers without an address would otherwise all be one customer. Invisible characters are
    no part of it, as loading says too (``app.clean_address``).
    """
    text = _UNSEEN.sub("", record.get(name, "")).strip()
    local, at, domain = text.rpartition("@")
    is_address = local and at and domain and len(text) <= _LONGEST_ADDRESS
    return text if is_address and not any(map(str.isspace, text)) else None


def phone_or_none(
    record: Mapping[str, str], names: Iterable[str], countries: Iterable[str | None]
) -> str | None:
    """The first phone number in these columns, as :func:`normalize_phone` writes it."""
    for name in names:
        text = text_or_none(record, name)
        if text is not None and _SHORTENED.fullmatch(text):
            raise _shortened(name, text)
        if phone := normalize_phone(text and _FLOAT.sub(r"\1", text), *countries):
            return phone
    return None


def identifier(record: Mapping[str, str], name: str) -> str:
    """An id, as text in any form; of a Shopify id and of a number with decimals, the number."""
    text = text_or_none(record, name)
    if text is None:
        raise ValueError(f"{name} is empty")
    if len(text) > LONGEST_ID:
        raise ValueError(f"{name} is longer than {LONGEST_ID} characters")
    if _SHORTENED.fullmatch(text):
        raise _shortened(name, text)
    number = _FLOAT.fullmatch(text) or _GID.fullmatch(text)
    return number[1] if number else text


def _shortened(name: str, text: str) -> ValueError:
    return ValueError(
        f"{name} '{text}' was shortened by a spreadsheet: import the file as it was exported"
    )


def quantity_of(record: Mapping[str, str], name: str) -> int:
    """A number without decimals, not negative, up to the largest quantity that Shopify has."""
    number = _FLOAT.sub(r"\1", record[name])
    if not (number.isascii() and number.isdecimal()):
        raise ValueError(f"{name} '{record[name][:40]}' is not a whole number")
    if len(number) > _LONGEST_NUMBER or int(number) > _LARGEST_QUANTITY:
        raise ValueError(f"{name} {number[:40]} is too large")
    return int(number)


def amount(record: Mapping[str, str], name: str, currency: str, default: int | None = None) -> int:
    """An amount in minor units of the currency, not negative; the default for an empty cell.

    A comma before one or two digits at the end separates decimals, as in ``1.234,50``.
    """
    minor = signed_amount(record, name, currency, default)
    if minor < 0:
        raise ValueError(f"{name} is negative")
    return minor


def signed_amount(
    record: Mapping[str, str], name: str, currency: str, default: int | None = None
) -> int:
    """As :func:`amount`, or below zero."""
    text = record.get(name) if default is None else text_or_none(record, name)
    if not text:
        if default is None:
            raise ValueError(f"{name} is empty")
        return default
    if comma := _DECIMAL_COMMA.fullmatch(text):
        text = f"{comma[1].replace('.', '')}.{comma[2]}"
    try:
        return to_minor(text, currency)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


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
    return instant(record, name) if text_or_none(record, name) else None


def is_ambiguous(amount: str, currency: str) -> bool:
    """Whether an amount such as ``1.000`` may be one thousand, in a file with decimal commas."""
    if not _THOUSANDS.fullmatch(amount):
        return False
    try:
        return exponent_of(currency) != _THOUSANDS_DIGITS
    except ValueError:
        return False


def boolean(record: Mapping[str, str], name: str) -> bool:
    """True or false in the usual spellings; false when it is empty or missing."""
    text = (text_or_none(record, name) or "").lower()
    if text not in _BOOLEANS:
        raise ValueError(f"{name} '{text[:40]}' is neither true nor false")
    return _BOOLEANS[text]
