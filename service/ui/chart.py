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

# Of segments that no longer exist.
FORMER_COLOUR = "#66707a"

# Lines differ by dashes as well as by colour, for readers who cannot tell colours apart.
_DASHES = ("", "9 3", "3 3", "12 3 3 3", "1 4", "6 6")


@dataclass(frozen=True)
class Line:
    """One segment over time, as SVG points. ``last`` is its size on the last day.

    ``sizes`` has an entry for each day; None if there was no such segment.
    """

    label: str
    colour: str
    dashes: str
    points: str
    sizes: Sequence[int | None]
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
    """Draw the sizes of the segments over time. None if fewer than two days are recorded.

    Segments that no longer exist follow the others, under their keys.
    """
    days = history.data
    if len(days) <= 1:
        return None
    first, last = days[0].recorded_on, days[-1].recorded_on
    sizes = [{size.segment: size.customers for size in day.sizes} for day in days]
    top = _round_up(max(max(by_segment.values()) for by_segment in sizes))
    across = [WIDTH * (day.recorded_on - first) / (last - first) for day in days]
    colours = {segment.segment: segment.colour for segment in segments}
    named = _labels(segments, [name for by_segment in sizes for name in by_segment])
    lines = []
    for (name, label), dashes in zip(named.items(), cycle(_DASHES), strict=False):
        counts = [by_segment.get(name) for by_segment in sizes]
        lines.append(
            Line(
                label=label,
                colour=colours.get(name, FORMER_COLOUR),
                dashes=dashes,
                points=" ".join(
                    f"{x:.1f},{HEIGHT - HEIGHT * count / top:.1f}"
                    for x, count in zip(across, counts, strict=True)
                    if count is not None
                ),
                sizes=counts,
                last=counts[-1] or 0,
            )
        )
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
    """Arrange the movements as a table of all segments, including empty and former ones."""
    moved = [name for move in movements.data for name in (move.from_segment, move.to_segment)]
    labels = _labels(segments, [name for name in moved if name != "none"])
    labels["none"] = "No segment"
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


def _labels(segments: Sequence[RfmSegment], found: Sequence[str]) -> dict[str, str]:
    """Labels by key: of the segments, then of others that were found, which are their keys."""
    labels = {segment.segment: segment.label for segment in segments}
    return labels | {name: name for name in sorted(set(found) - set(labels))}


def _round_up(number: int) -> int:
    """Round up to 2, 4, 6, 8 or 10 times a power of ten, so that half of it is whole."""
    unit = 2
    while number > 5 * unit:
        unit *= 10
    return max(1, -(-number // unit)) * unit
