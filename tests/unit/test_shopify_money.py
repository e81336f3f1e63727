"""Amounts in minor units: exact, or refused."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.shopify.money import exponent_of, to_minor


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("0", "USD", 0),
        ("12", "USD", 1200),
        ("12.5", "USD", 1250),
        ("12.50", "EUR", 1250),
        ("12.5000", "EUR", 1250),
        ("-0.01", "EUR", -1),
        (" 7.00 ", "EUR", 700),
        ("007", "EUR", 700),
        ("120.0", "JPY", 120),
        ("1.234", "KWD", 1234),
        ("1.2345", "CLF", 12345),
        ("92233720368547758.07", "USD", 2**63 - 1),
    ],
)
def test_amounts_become_integers(amount: str, currency: str, minor: int) -> None:
    assert to_minor(amount, currency) == minor


@pytest.mark.parametrize(
    ("amount", "currency"),
    [
        ("", "USD"),
        (".5", "USD"),
        ("5.", "USD"),
        ("1,5", "USD"),
        ("1 000", "USD"),
        ("1_000", "USD"),
        ("1e2", "USD"),
        ("+1", "USD"),
        ("--1", "USD"),
        ("NaN", "USD"),
        ("Infinity", "USD"),
        ("١٢", "USD"),
        ("0.001", "USD"),
        ("0.5", "JPY"),
        ("1.2345", "KWD"),
        ("92233720368547758.08", "USD"),
        ("1" + "0" * 40, "USD"),
        ("1", "usd"),
        ("1", "US"),
        ("1", ""),
    ],
)
def test_inexact_amounts_are_refused(amount: str, currency: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        to_minor(amount, currency)


@given(st.integers(-(10**15), 10**15), st.sampled_from(["USD", "JPY", "KWD", "CLF"]))
def test_minor_units_survive_a_round_trip(minor: int, currency: str) -> None:
    amount = Decimal(minor).scaleb(-exponent_of(currency))
    assert to_minor(f"{amount:f}", currency) == minor
