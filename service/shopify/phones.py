"""Phone numbers as they identify the customers of orders without an e-mail address."""

from __future__ import annotations

import re

import phonenumbers

# A column of several numbers, as ``0171 1234567 / 0172 7654321``: the first counts.
_SEVERAL = re.compile(r"[,;/|\n]")
_NOT_DIGITS = re.compile(r"\D")
# E.164 allows at most 15 digits. With fewer than 7, it is no number of a person.
_FEWEST_DIGITS = 7
_MOST_DIGITS = 15
# Numbers that are typed in place of one: 0000000000, 1234567890.
_SEQUENCE = "01234567890123456789"


def normalize_phone(text: str | None, *countries: str | None) -> str | None:
    """A phone number in E.164, such as ``+8801712345678``; two spellings of one are equal.

    Args:
        text: The number as it was written.
        countries: ISO 3166 codes of where the buyer may be; the first that is known counts. It
            tells which country a number without a country code belongs to.

    Returns:
        The number in E.164; its digits alone if its country is unknown; None if it is no number, or
        one that is typed in place of a number, such as ``0000000000``.
    """
    if not text:
        return None
    first = next((part for part in _SEVERAL.split(text) if _digits(part)), "").strip(" '")
    digits = _digits(first)
    if first.startswith("00"):
        first = f"+{digits[2:]}"
    country = next(filter(None, countries), "").strip().upper()
    region = country if country in phonenumbers.SUPPORTED_REGIONS else None
    try:
        number = phonenumbers.parse(first, region)
    except phonenumbers.NumberParseException:
        number = None
    if number is not None and _is_complete(number):
        if _is_placeholder(str(number.national_number)):
            return None
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if _is_placeholder(digits.lstrip("0")) or len(digits) > _MOST_DIGITS:
        return None
    return digits


def _digits(text: str) -> str:
    return "".join(str(int(digit)) for digit in _NOT_DIGITS.sub("", text))


def _is_complete(number: phonenumbers.PhoneNumber) -> bool:
    """Whether its length is possible, and not only for calls within a town."""
    reason = phonenumbers.is_possible_number_with_reason(number)
    return bool(reason == phonenumbers.ValidationResult.IS_POSSIBLE)


def _is_placeholder(digits: str) -> bool:
    return len(digits) < _FEWEST_DIGITS or len(set(digits)) == 1 or digits in _SEQUENCE
