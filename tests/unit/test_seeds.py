"""The published segment rule: the seeds that both dbt and the service read."""

from __future__ import annotations

from service.core.seeds import read_seed
from service.tenants.segment_rules import find_faults, published_rule


def test_the_published_segments_are_those_of_the_seed_in_order_of_priority() -> None:
    rows = {row["segment"]: row for row in read_seed("rfm_segments")}
    segments = published_rule().segments
    assert [row.priority for row in segments] == list(range(1, len(rows) + 1))
    assert {row.segment: row.label for row in segments} == {
        name: row["label"] for name, row in rows.items()
    }


def test_the_published_rule_has_no_fault() -> None:
    assert find_faults(published_rule()) == []
    assert len(published_rule().grid) == 25
