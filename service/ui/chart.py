"""Prepares charts for the templates: lines as coordinates, the movement matrix as rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import cycle

from service.api.rfm import RfmHistory, RfmMovements
from service.api.schemas import RfmSegment

# Size in SVG units; the page stretches the drawing to the available width.
WIDTH, HEIGHT = 1000, 200

# Lines differ by dashes as well as by colour, for readers who cannot tell colours apart.
_DASHES = ("", "9 3", "3 3", "12 3 3 3", "1 4", "6 6")


@dataclass(frozen=True)
class Line:
    """One segment over time, as SVG points. ``last`` is its size on the last day."""

    label: str
    colour: str
    dashes: str
    points: str
    last: int


@dataclass(frozen=True)
class Chart:
    """Lines from ``from_on`` to ``to_on``. The vertical axis runs from 0 to ``top`` customers."""

    lines: Sequence[Line]
    top: int
    from_on: date
    to_on: date
    width: int = WIDTH
    height: int = HEIGHT


def draw_history(history: RfmHistory, segments: Sequence[RfmSegment]) -> Chart | None:
    """Draw the sizes of the segments over time. None if fewer than two days are recorded."""
    days = history.data
    if len(days) <= 1:
        return None
    first, last = days[0].recorded_on, days[-1].recorded_on
    sizes = [{size.segment: size.customers for size in day.sizes} for day in days]
    top = _round_up(max(max(by_segment.values()) for by_segment in sizes))
    across = [WIDTH * (day.recorded_on - first) / (last - first) for day in days]
    lines = [
        Line(
            label=segment.label,
            colour=segment.colour,
            dashes=dashes,
            points=" ".join(
                f"{x:.1f},{HEIGHT - HEIGHT * by_segment[segment.segment] / top:.1f}"
                for x, by_segment in zip(across, sizes, strict=True)
            ),
            last=sizes[-1][segment.segment],
        )
        for segment, dashes in zip(segments, cycle(_DASHES), strict=False)
    ]
    return Chart(lines, top, first, last)


@dataclass(frozen=True)
class MatrixRow:
    """Where the customers of one segment moved. ``own_column``, from 1, is the same segment."""

    label: str
    own_column: int
    cells: Sequence[int]
    total: int


@dataclass(frozen=True)
class Matrix:
    """Movements: the earlier segment in rows, the later one in columns."""

    labels: Sequence[str]
    rows: Sequence[MatrixRow]
    totals: Sequence[int]
    moved: int


def arrange_movements(movements: RfmMovements, segments: Sequence[RfmSegment]) -> Matrix:
    """Arrange the movements as a table of all segments, including empty ones."""
    labels: dict[str, str] = {
        **{segment.segment: segment.label for segment in segments},
        "none": "No segment",
    }
    found: dict[tuple[str, str], int] = {
        (move.from_segment, move.to_segment): move.customers for move in movements.data
    }
    rows = []
    for column, (name, label) in enumerate(labels.items(), start=1):
        cells = [found.get((name, to), 0) for to in labels]
        rows.append(MatrixRow(label, column, cells, sum(cells)))
    return Matrix(
        labels=list(labels.values()),
        rows=rows,
        totals=[sum(column) for column in zip(*(row.cells for row in rows), strict=True)],
        moved=sum(row.total - row.cells[row.own_column - 1] for row in rows),
    )


def _round_up(number: int) -> int:
    """Round up to 2, 4, 6, 8 or 10 times a power of ten, so that half of it is whole."""
    unit = 2
    while number > 5 * unit:
        unit *= 10
    return max(1, -(-number // unit)) * unit
