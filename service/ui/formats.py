"""Amounts and shares as text, as format.js writes them in British English."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

# The signs of Unicode's CLDR for British English. Other currencies are written as their code.
_SIGNS = {
    "AUD": "A$",
    "BRL": "R$",
    "CAD": "CA$",
    "CNY": "CN¥",
    "EUR": "€",
    "GBP": "£",
    "HKD": "HK$",
    "ILS": "₪",
    "INR": "₹",
    "JPY": "JP¥",
    "KRW": "₩",
    "MXN": "MX$",
    "NZD": "NZ$",
    "USD": "US$",
}


def money_text(amount: Decimal, currency: str | None, *, is_rounded: bool = False) -> str:
    """An amount in major units with its currency: ``US$1,250.00``, or ``US$1,250`` if rounded."""
    if is_rounded:
        amount = amount.quantize(Decimal(1), ROUND_HALF_UP)
    sign, value = "-" if amount < 0 else "", f"{abs(amount):,f}"
    if not currency:
        return sign + value
    # A no-break space.
    return sign + _SIGNS.get(currency, f"{currency}\u00a0") + value


def percent_text(share: Decimal | float) -> str:
    """A share from 0 to 1 as percent with at most one decimal: ``21.1%``."""
    return f"{round(float(share) * 100, 1):g}%"
