"""The seeds that the service reads: RFM segments have one source for their names and labels."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from service.api.schemas import Segment
from service.core.seeds import read_seed, rfm_segment_labels


def test_segments_come_in_order_of_priority_with_their_labels() -> None:
    rows = read_seed("rfm_segments")
    assert [int(row["priority"]) for row in rows] == list(range(1, len(rows) + 1))
    assert rfm_segment_labels() == {row["segment"]: row["label"] for row in rows}
    assert list(rfm_segment_labels()) == [row["segment"] for row in rows]


def test_the_api_knows_the_segments_of_the_grid_and_no_others() -> None:
    segment = TypeAdapter(Segment)
    in_grid = {row["segment"] for row in read_seed("rfm_segment_grid")}
    assert set(segment.json_schema()["enum"]) == in_grid
    for name in in_grid:
        assert segment.validate_python(name) == name
    with pytest.raises(ValidationError, match=r"Input should be 'champions', .* or 'potential'"):
        segment.validate_python("vip")
