"""The dbt project's seeds that the service uses too, so that each rule is written once."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from service.core.config import PROJECT_DIR


@cache
def rfm_segment_labels() -> Mapping[str, str]:
    """Labels of the RFM segments by name, in order of priority."""
    rows = sorted(read_seed("rfm_segments"), key=lambda row: int(row["priority"]))
    return MappingProxyType({row["segment"]: row["label"] for row in rows})


def read_seed(name: str) -> list[dict[str, str]]:
    """The rows of ``seeds/<name>.csv``."""
    path = PROJECT_DIR / "seeds" / f"{name}.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
