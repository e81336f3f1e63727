"""Segment colours have enough contrast on light and dark pages."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from service.core.config import PROJECT_DIR
from service.ui.colours import CONTRAST, contrast, readable

# --sunken of the light and the dark scheme.
SUNKEN = re.findall(
    r"--sunken: (#[0-9a-f]{6})", (PROJECT_DIR / "service/ui/static/app.css").read_text()
)


@given(st.integers(0, 0xFFFFFF))
def test_any_colour_can_be_seen_in_both_schemes(number: int) -> None:
    shown = re.findall("#[0-9a-f]{6}", readable(f"#{number:06x}"))
    assert contrast(shown[0], SUNKEN[0]) >= CONTRAST
    assert contrast(shown[-1], SUNKEN[1]) >= CONTRAST


def test_a_colour_is_changed_only_where_it_has_to_be() -> None:
    assert readable("#2f6fb3") == "#2f6fb3"
    assert readable("#ffff00") == "light-dark(#8c8c00, #ffff00)"
    assert readable("#000000").startswith("light-dark(#000000, #")


def test_black_on_white_has_the_contrast_that_wcag_gives() -> None:
    assert contrast("#000000", "#ffffff") == 21
