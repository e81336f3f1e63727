"""How long Klaviyo serves the revision of its API that Quintile asks for."""

from __future__ import annotations

import re
from datetime import date

_REVISION = re.compile(r"(\d{4}-\d{2}-\d{2})(?:\.[a-z]+)?")
# Klaviyo's versioning policy: stable for a year, deprecated for another, then retired.
_SERVED_YEARS = 2


def served_until(revision: str) -> date | None:
    """The day from which a revision is retired; None if it is no revision."""
    match = _REVISION.fullmatch(revision)
    if match is None:
        return None
    try:
        released = date.fromisoformat(match[1])
        return released.replace(year=released.year + _SERVED_YEARS)
    except ValueError:
        return None
