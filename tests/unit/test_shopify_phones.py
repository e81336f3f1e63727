"""Phone numbers in their usual spellings."""

from __future__ import annotations

import pytest

from service.shopify.phones import normalize_phone


@pytest.mark.parametrize(
    ("text", "countries", "number"),
    [
        # With its country code, in whatever spelling.
        ("+880 1712-345678", (), "+8801712345678"),
        ("'+8801712345678", (), "+8801712345678"),
        ("008801712345678", (), "+8801712345678"),
        ("tel:+14155552671", (), "+14155552671"),
        ("\ufeff+1 (415) 555-2671 ext. 5", ("DE",), "+14155552671"),
        # Without: the buyer's country, else the shop's.
        ("01712-345678", ("BD",), "+8801712345678"),
        ("8801712345678", ("BD",), "+8801712345678"),
        ("٠١٧١٢٣٤٥٦٧٨", ("BD",), "+8801712345678"),
        ("(415) 555-2671", ("", None, "us"), "+14155552671"),
        ("07700 900123", ("GB", "US"), "+447700900123"),
        ("011 44 7700 900123", ("US",), "+447700900123"),
        ("0171 1234567 / 0172 7654321", ("DE",), "+491711234567"),
        # Of an unknown country: its digits.
        ("01712-345678", (), "01712345678"),
        ("07700 900123", ("United Kingdom", "US"), "07700900123"),
        ("555-2671", ("US",), "5552671"),
        # No number, or typed in place of one.
        (None, (), None),
        ("", ("US",), None),
        ("n/a", (), None),
        ("12345", ("US",), None),
        ("0000000000", ("US",), None),
        ("+0000000000", (), None),
        ("5555555555", ("US",), None),
        ("1234567890", (), None),
        ("0123456789", (), None),
        ("9" * 20, (), None),
    ],
)
def test_spellings_of_a_number(
    text: str | None, countries: tuple[str | None, ...], number: str | None
) -> None:
    assert normalize_phone(text, *countries) == number
