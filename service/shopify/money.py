"""Amounts as integer minor units of their currency, as ISO 4217 defines them."""

from __future__ import annotations

import re
from functools import cache, lru_cache

from service.core.seeds import read_seed

_AMOUNT = re.compile(r"(-?)(\d+)(?:\.(\d+))?")
_CURRENCY = re.compile(r"[A-Z]{3}")
_USUAL_EXPONENT = 2
LARGEST = 2**63 - 1


# The same few prices come up in order after order.
@lru_cache(maxsize=16_384)
def to_minor(amount: str, currency: str) -> int:
    """A decimal string such as ``12.5`` in minor units: 1250 for USD, 12500 for KWD.

    Exact: nothing is rounded. Trailing zeros are allowed, as in Shopify's ``120.0`` JPY.

    Raises:
        ValueError: Not a plain decimal, more decimals than the currency has, or beyond bigint.
    """
    match = _AMOUNT.fullmatch(amount.strip())
    if match is None or not amount.isascii():
        raise ValueError(f"'{amount[:40]}' is not an amount")
    sign, whole, fraction = match[1], match[2], (match[3] or "").rstrip("0")
    exponent = exponent_of(currency)
    if len(fraction) > exponent:
        raise ValueError(f"{amount[:40]} has more decimals than {currency}, which has {exponent}")
    minor = int(sign + whole[-30:] + fraction.ljust(exponent, "0"))
    if abs(minor) > LARGEST or len(whole.lstrip("0")) > len(str(LARGEST)):
        raise ValueError(f"{amount[:40]} is too large")
    return minor


def exponent_of(currency: str) -> int:
    """How many decimals the currency has.

    Raises:
        ValueError: Not three capital letters.
    """
    if not _CURRENCY.fullmatch(currency):
        raise ValueError(f"'{currency[:40]}' is not a currency code")
    return _exponents().get(currency, _USUAL_EXPONENT)


@cache
def _exponents() -> dict[str, int]:
    """The currencies that do not have two decimals, from the seed that dbt reads too."""
    return {row["currency"]: int(row["exponent"]) for row in read_seed("currency_exponents")}
