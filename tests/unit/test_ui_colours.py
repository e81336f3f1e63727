"""Segment colours have enough contrast on light and dark pages."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from service.core.config import PROJECT_DIR
from service.core.seeds import read_seed
from service.ui.colours import CONTRAST, contrast, mix, readable

CSS = (PROJECT_DIR / "service/ui/static/app.css").read_text()


def of_both_schemes(name: str) -> list[str]:
    """A colour of the style sheet in the light and the dark scheme."""
    return re.findall(rf"--{name}: (#[0-9a-f]{{6}})", CSS)


SUNKEN = of_both_schemes("sunken")


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


def test_the_published_segments_have_the_same_colour_in_both_schemes() -> None:
    for row in read_seed("rfm_segments"):
        assert readable(row["colour"]) == row["colour"], row["segment"]


def test_text_on_the_fullest_cell_of_the_heat_map_can_be_read() -> None:
    template = (PROJECT_DIR / "service/ui/templates/rfm_parts.html").read_text()
    (least, more) = re.findall(r"format\((0\.\d+) \+ (0\.\d+) \* cell\.shade\)", template)[0]
    opacity = float(least) + float(more)
    for row in read_seed("rfm_segments"):
        for surface, text in zip(of_both_schemes("surface"), of_both_schemes("text"), strict=True):
            cell = mix(surface, row["colour"], opacity)
            # WCAG 2.2, success criterion 1.4.3.
            assert contrast(text, cell) >= 4.5, (row["segment"], surface)
