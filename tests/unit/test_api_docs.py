"""docs/api.md lists every kind of problem."""

from __future__ import annotations

import re
from pathlib import Path

from service.api.problems import KINDS

DOCS = Path(__file__).resolve().parents[2] / "docs" / "api.md"


def test_all_problems_are_documented_with_their_status() -> None:
    documented = re.findall(
        r"^\| `/problems/([a-z-]+)` \| (\d+) \|", DOCS.read_text(), re.MULTILINE
    )
    assert dict(documented) == {slug: str(kind.status) for slug, kind in KINDS.items()}
