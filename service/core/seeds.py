"""The dbt project's seeds that the service uses too, so that each rule is written once."""

from __future__ import annotations

import csv

from service.core.config import PROJECT_DIR


def read_seed(name: str) -> list[dict[str, str]]:
    """The rows of ``seeds/<name>.csv``."""
    path = PROJECT_DIR / "seeds" / f"{name}.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
