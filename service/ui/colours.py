"""Segment colours that people choose, made visible on light and on dark pages."""

from __future__ import annotations

from functools import cache

# WCAG 2.2, success criterion 1.4.11: graphical objects need 3:1 against what is next to them.
CONTRAST = 3.0

# --sunken of app.css in the light and the dark scheme, on which bars and lines have least contrast.
_LIGHT, _DARK = "#f1f3f6", "#1e222a"
_STEPS = 20

# sRGB (IEC 61966-2-1) is linear up to this value.
_LINEAR_TO = 0.04045


@cache
def readable(colour: str) -> str:
    """The colour as CSS, darker on light pages and lighter on dark ones if it has to be.

    Args:
        colour: sRGB as ``#rrggbb``.
    """
    light, dark = _away_from(_LIGHT, colour, "#000000"), _away_from(_DARK, colour, "#ffffff")
    return light if light == dark else f"light-dark({light}, {dark})"


def contrast(one: str, other: str) -> float:
    """Contrast of two colours from 1 to 21, as WCAG defines it."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _away_from(background: str, colour: str, towards: str) -> str:
    mixed = (mix(colour, towards, step / _STEPS) for step in range(_STEPS + 1))
    return next(each for each in mixed if contrast(each, background) >= CONTRAST)


def mix(colour: str, towards: str, share: float) -> str:
    """The colour with this share, from 0 to 1, of another one in it."""
    parts = zip(_channels(colour), _channels(towards), strict=True)
    return "#" + "".join(f"{round(own + (other - own) * share):02x}" for own, other in parts)


def _luminance(colour: str) -> float:
    red, green, blue = (
        part / 12.92 if part <= _LINEAR_TO else ((part + 0.055) / 1.055) ** 2.4
        for part in (channel / 255 for channel in _channels(colour))
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
