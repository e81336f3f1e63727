"""What templates draw: lines as coordinates, a matrix as rows and columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import cycle

from service.api.rfm import RfmHistory, RfmMovements
from service.api.schemas import RfmSegment

# The drawing's own units; the page stretches it to the width there is.
WIDTH, HEIGHT = 1000, 200

# A line is told by its colour and by its dashes.
_DASHES = ("", "9 3", "3 3", "12 3 3 3", "1 4", "6 6")


@dataclass(frozen=True)
class Line:
    """One segment over time: SVG points, and its size on the last day."""

    label: str
    colour: str
    dashes: str
    points: str
    last: int


@dataclass(frozen=True)
class Chart:
    """Lines from the first day to the last, between 0 and ``top`` customers."""

    lines: Sequence[Line]
    top: int
    from_on: date
    to_on: date
    width: int = WIDTH
    height: int = HEIGHT


def draw_history(history: RfmHistory, segments: Sequence[RfmSegment]) -> Chart | None:
    """The sizes of the segments over time; None without two days to draw a line between."""
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
    """Where the customers of one segment went; ``place`` is its own column, from 1."""

    label: str
    place: int
    cells: Sequence[int]
    total: int


@dataclass(frozen=True)
class Matrix:
    """Movements by former segment, in rows, and by the later one, in columns."""

    labels: Sequence[str]
    rows: Sequence[MatrixRow]
    totals: Sequence[int]
    moved: int


def arrange_movements(movements: RfmMovements, segments: Sequence[RfmSegment]) -> Matrix:
    """The movements as a table of all segments, those of no customer included."""
    places: dict[str, str] = {
        **{segment.segment: segment.label for segment in segments},
        "none": "No segment",
    }
    found: dict[tuple[str, str], int] = {
        (move.from_segment, move.to_segment): move.customers for move in movements.data
    }
    rows = []
    for place, (name, label) in enumerate(places.items(), start=1):
        cells = [found.get((name, to), 0) for to in places]
        rows.append(MatrixRow(label, place, cells, sum(cells)))
    return Matrix(
        labels=list(places.values()),
        rows=rows,
        totals=[sum(column) for column in zip(*(row.cells for row in rows), strict=True)],
        moved=sum(row.total - row.cells[row.place - 1] for row in rows),
    )


def _round_up(number: int) -> int:
    """The next number that is 2, 4, 6, 8 or 10 times a power of ten: its half is whole."""
    unit = 2
    while number > 5 * unit:
        unit *= 10
    return max(1, -(-number // unit)) * unit
