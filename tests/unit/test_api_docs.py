"""docs/api.md knows every kind of problem."""

from __future__ import annotations

import re
from pathlib import Path

from service.api.problems import KINDS

DOCS = Path(__file__).resolve().parents[2] / "docs" / "api.md"


def test_every_problem_is_documented_with_its_status_and_no_other_is() -> None:
    documented = re.findall(
        r"^\| `/problems/([a-z-]+)` \| (\d+) \|", DOCS.read_text(), re.MULTILINE
    )
    assert dict(documented) == {slug: str(kind.status) for slug, kind in KINDS.items()}
