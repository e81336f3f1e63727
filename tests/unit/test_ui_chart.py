"""Data of the charts: coordinates, and a movement matrix with all rows and columns."""

from __future__ import annotations

from typing import Any

import pytest

from service.api.rfm import RfmHistory, RfmMovements
from service.api.schemas import RfmSegment
from service.ui.chart import arrange_grid, arrange_movements, draw_flow, draw_history

NAMES = ("champions", "loyal", "new", "at_risk", "hibernating", "potential")
SEGMENTS = [
    RfmSegment.model_validate(
        {
            **dict.fromkeys(("description", "suggested_action"), ""),
            **dict.fromkeys(("customers", "share", "revenue", "revenue_share", "orders"), 0),
            **dict.fromkeys(
                ("average_order_value", "median_spend", "median_recency_days", "repeat_rate")
            ),
            "segment": name,
            "label": name.title(),
            "colour": "#000000",
        }
    )
    for name in NAMES
]
NOTHING: dict[str, Any] = dict.fromkeys(
    ("from_on", "to_on", "first_recorded_on", "last_recorded_on", "order_limit")
)


def history(**champions: int) -> RfmHistory:
    """By day (``d_01`` of January), how many champions there were."""
    return RfmHistory.model_validate(
        NOTHING
        | {
            "data": [
                {
                    "recorded_on": f"2026-01-{day[2:]}",
                    "as_of": f"2026-01-{day[2:]}T00:00:00Z",
                    "currency": "EUR",
                    "sizes": [
                        {
                            "segment": name,
                            "customers": size if name == "champions" else 0,
                            "revenue": "0",
                        }
                        for name in NAMES
                    ],
                }
                for day, size in champions.items()
            ]
        }
    )


def test_segments_that_no_longer_exist_keep_their_line_under_their_key() -> None:
    chart = draw_history(history(d_01=0, d_02=5, d_11=10), SEGMENTS[1:])
    assert chart is not None
    assert [line.label for line in chart.lines][-2:] == ["Potential", "champions"]
    assert chart.lines[-1].sizes == [0, 5, 10]


def test_a_new_segment_has_a_line_from_its_first_day_on() -> None:
    days = history(d_01=4, d_02=5)
    days.data[0].sizes[:] = days.data[0].sizes[1:]
    chart = draw_history(days, SEGMENTS)
    assert chart is not None
    assert chart.lines[0].sizes == [None, 5]
    assert chart.lines[0].points == "1000.0,33.3"


def test_lines_run_from_the_first_day_to_the_last_to_scale() -> None:
    chart = draw_history(history(d_01=0, d_02=5, d_11=10), SEGMENTS)
    assert chart is not None
    champions, loyal, *_ = chart.lines
    assert champions.points == "0.0,200.0 100.0,100.0 1000.0,0.0"
    assert loyal.points == "0.0,200.0 100.0,200.0 1000.0,200.0"
    assert (champions.last, loyal.last, chart.top) == (10, 0, 10)
    assert len({line.dashes for line in chart.lines}) == len(NAMES)


@pytest.mark.parametrize(
    ("largest", "top"), [(0, 2), (1, 2), (3, 4), (10, 10), (11, 20), (950, 1000), (1001, 2000)]
)
def test_the_scale_ends_at_a_round_number_whose_half_is_whole(largest: int, top: int) -> None:
    chart = draw_history(history(d_01=0, d_02=largest), SEGMENTS)
    assert chart is not None
    assert chart.top == top


def test_one_day_is_not_enough_for_a_chart() -> None:
    assert draw_history(history(d_01=3), SEGMENTS) is None
    assert draw_history(history(), SEGMENTS) is None


def test_the_matrix_has_every_segment_even_without_movements() -> None:
    moves = [("new", "loyal", 3), ("new", "new", 2), ("none", "new", 1), ("loyal", "none", 4)]
    matrix = arrange_movements(
        RfmMovements.model_validate(
            NOTHING
            | {
                "data": [
                    {"from_segment": before, "to_segment": after, "customers": customers}
                    for before, after, customers in moves
                ]
            }
        ),
        SEGMENTS,
    )
    assert matrix.labels == [*(name.title() for name in NAMES), "No segment"]
    assert [row.total for row in matrix.rows] == [0, 4, 5, 0, 0, 0, 1]
    assert matrix.totals == [0, 3, 3, 0, 0, 0, 4]
    assert (matrix.rows[2].cells, matrix.rows[2].own_column) == ([0, 3, 2, 0, 0, 0, 0], 3)
    assert matrix.moved == 3 + 1 + 4


def moved(*moves: tuple[str, str, int]) -> RfmMovements:
    data = [
        {"from_segment": before, "to_segment": after, "customers": customers}
        for before, after, customers in moves
    ]
    return RfmMovements.model_validate(NOTHING | {"data": data})


def test_a_flow_has_a_bar_for_each_segment_and_a_ribbon_for_each_movement() -> None:
    flow = draw_flow(moved(("new", "loyal", 30), ("new", "new", 60), ("none", "new", 10)), SEGMENTS)
    assert flow is not None
    assert [(end.label, end.customers) for end in flow.before] == [("New", 90), ("No segment", 10)]
    assert [(end.label, end.customers) for end in flow.after] == [("Loyal", 30), ("New", 70)]
    # A bar is as high as its ribbons together, and no bar or label covers the next one.
    loyal, new = flow.after
    assert new.height / loyal.height == pytest.approx(70 / 30)
    assert new.top > loyal.top + loyal.height
    assert flow.before[1].top + 18 <= flow.height
    assert [(ribbon.label, ribbon.has_moved) for ribbon in flow.ribbons] == [
        ("New → New", False),
        ("New → Loyal", True),
        ("No segment → New", True),
    ]
    # The first ribbon of a bar begins at its top, the next one where that ends.
    assert flow.ribbons[1].path.startswith("M0,0.0C")
    assert flow.ribbons[0].path.startswith(f"M0,{loyal.height:.1f}C")


def test_without_movements_there_is_no_flow() -> None:
    assert draw_flow(moved(), SEGMENTS) is None


def test_the_grid_begins_with_the_best_recency_and_the_least_frequency() -> None:
    cells = [
        {
            "r_score": r_score,
            "f_score": f_score,
            "customers": 10 * r_score if f_score == 1 else 0,
            "segments_by_m_score": ["new", "new", "new", "new", "loyal"],
        }
        for r_score in range(5, 0, -1)
        for f_score in range(5, 0, -1)
    ]
    rows = arrange_grid(cells, SEGMENTS)
    assert [(cell.r_score, cell.f_score) for cell in rows[0]] == [(5, f) for f in range(1, 6)]
    first, *_ = rows[0]
    assert (first.customers, first.share, first.shade) == (50, 50 / 150, 1)
    assert rows[4][4].shade == 0
    # The segment of the highest spend first; each knows its place among all segments.
    assert [(each.label, each.place) for each in first.segments] == [("Loyal", 1), ("New", 2)]


def test_without_a_grid_there_is_no_heat_map() -> None:
    assert arrange_grid([], SEGMENTS) == []
