"""Faults of segment rules, which dbt's check finds too: its unit test has the same rules."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml

from service.core.config import PROJECT_DIR
from service.tenants.segment_rules import Cell, RfmSegment, SegmentRule, find_faults

SCORES = range(1, 6)
PUBLISHED = [RfmSegment("few", "Few", "#111111", 1), RfmSegment("many", "Many", "#222222", 2)]
GRID = [Cell(r, f, None, "few" if f < 3 else "many") for r in SCORES for f in SCORES]

# The tenants of the unit test every_fault_is_a_sentence, by the last digit of their ids.
RULES = {
    "a": SegmentRule(
        [RfmSegment("vip", "VIP", "#abcdef", 1), RfmSegment("other", "Other", "#123456", 9)],
        [
            *(Cell(5, 5, m, "vip" if m == 5 else "other") for m in SCORES),
            *(Cell(r, f, None, "other") for r in SCORES for f in SCORES if (r, f) != (5, 5)),
        ],
    ),
    "b": SegmentRule(
        [
            RfmSegment("few", "Few", "#abcdef", 1),
            RfmSegment("Many!", " ", "red", 1),
            RfmSegment("none", "few", "#123456", 0),
        ],
        GRID,
    ),
    "c": SegmentRule(
        PUBLISHED,
        [
            *(
                replace(cell, segment="few" if cell.f_score < 3 else "lots")
                for cell in GRID
                if (cell.r_score, cell.f_score) not in ((1, 1), (2, 2))
            ),
            Cell(2, 2, 1, "few"),
            Cell(2, 2, 2, "few"),
            Cell(3, 1, 5, "few"),
            Cell(6, 1, None, "few"),
        ],
    ),
}


def _expected() -> list[dict[str, Any]]:
    path = PROJECT_DIR / "models/intermediate/rfm/int_segment_rules_checked.yml"
    (unit_test,) = yaml.safe_load(path.read_text(encoding="utf-8"))["unit_tests"]
    rows: list[dict[str, Any]] = unit_test["expect"]["rows"]
    return rows


@pytest.mark.parametrize("tenant", RULES)
def test_the_service_finds_the_faults_that_dbt_finds(tenant: str) -> None:
    expected = {row["fault"] for row in _expected() if row["tenant_id"].endswith(tenant)}
    assert {fault.message for fault in find_faults(RULES[tenant])} == expected
    assert bool(expected) == (tenant != "a")


def test_faults_name_their_field() -> None:
    fields = {fault.message.split(" ")[0]: fault.field for fault in find_faults(RULES["b"])}
    assert fields["'Many!'"] == "segments.1.segment"
    assert {fault.field for fault in find_faults(RULES["c"])} >= {"grid", "grid.26"}


def test_there_is_a_limit_to_the_number_of_segments() -> None:
    many = [RfmSegment(f"s{n}", f"S {n}", "#123456", n + 1) for n in range(26)]
    grid = [
        Cell(r, f, m, f"s{(25 * r + 5 * f + m) % 26}")
        for r in SCORES
        for f in SCORES
        for m in SCORES
    ]
    assert [fault.message for fault in find_faults(SegmentRule(many, grid))] == [
        "There are 26 segments; at most 25 can be."
    ]
