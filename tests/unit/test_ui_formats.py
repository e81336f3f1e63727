"""Amounts and shares on pages, as British English has them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from service.ui import formats


@pytest.mark.parametrize(
    ("amount", "currency", "is_rounded", "text"),
    [
        ("1250.00", "USD", False, "US$1,250.00"),
        ("1249.50", "EUR", True, "€1,250"),
        ("-3.5", "CHF", False, "-CHF\u00a03.5"),
        ("1250", None, False, "1,250"),
    ],
)
def test_an_amount_has_the_sign_of_its_currency(
    amount: str, currency: str | None, is_rounded: bool, text: str
) -> None:
    assert formats.money_text(Decimal(amount), currency, is_rounded=is_rounded) == text


def test_a_share_has_at_most_one_decimal() -> None:
    assert [formats.percent_text(share) for share in (0.2114, 1, 0)] == ["21.1%", "100%", "0%"]
