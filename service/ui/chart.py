"""Prepares charts for the templates: lines and flows as coordinates, tables as rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import cycle
from typing import Any

from service.api.rfm import RfmHistory, RfmMovements
from service.api.schemas import RfmSegment

# Size in SVG units; the page stretches the drawing to the available width.
WIDTH, HEIGHT = 1000, 200

# Of segments that no longer exist.
FORMER_COLOUR = "#78818c"

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
    """Lines over ``days``, oldest first. The vertical axis runs from 0 to ``top`` customers.

    ``across`` has each day's place from left to right, in SVG units.
    """

    lines: Sequence[Line]
    top: int
    days: Sequence[date]
    across: Sequence[float]
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def values(self) -> dict[str, Any]:
        """What the script needs that shows the values of a day."""
        return {
            "days": [day.isoformat() for day in self.days],
            "across": [round(x / WIDTH, 4) for x in self.across],
            "top": self.top,
            "height": HEIGHT,
            "lines": [{"label": line.label, "sizes": line.sizes} for line in self.lines],
        }


def draw_history(history: RfmHistory, segments: Sequence[RfmSegment]) -> Chart | None:
    """Draw the sizes of the segments over time. None if fewer than two days are recorded.

    Segments that no longer exist follow the others, under their keys.
    """
    days = history.data
    sizes = [{size.segment: size.customers for size in day.sizes} for day in days]
    colours = {segment.segment: segment.colour for segment in segments}
    named = _labels(segments, [name for by_segment in sizes for name in by_segment])
    return draw_lines(
        [day.recorded_on for day in days],
        [
            (label, colours.get(name, FORMER_COLOUR), [found.get(name) for found in sizes])
            for name, label in named.items()
        ],
    )


def draw_lines(
    days: Sequence[date], series: Sequence[tuple[str, str, Sequence[int | None]]]
) -> Chart | None:
    """Draw sizes over time. None if there are fewer than two days.

    Args:
        days: The recorded days, oldest first.
        series: Label, colour and a size for each day of each line.
    """
    if len(days) <= 1:
        return None
    first, last = days[0], days[-1]
    top = _round_up(max(size or 0 for _, _, sizes in series for size in sizes))
    across = [WIDTH * (day - first) / (last - first) for day in days]
    lines = [
        Line(
            label=label,
            colour=colour,
            dashes=dashes,
            points=" ".join(
                f"{x:.1f},{HEIGHT - HEIGHT * size / top:.1f}"
                for x, size in zip(across, sizes, strict=True)
                if size is not None
            ),
            sizes=sizes,
            last=sizes[-1] or 0,
        )
        for (label, colour, sizes), dashes in zip(series, cycle(_DASHES), strict=False)
    ]
    return Chart(lines, top, days, across)


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
    labels = _movement_labels(movements, segments)
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


@dataclass(frozen=True)
class FlowEnd:
    """A segment on one side of the flow chart: a bar from ``top``, ``height`` high."""

    label: str
    colour: str
    customers: int
    top: float
    height: float


@dataclass(frozen=True)
class Ribbon:
    """Customers who went from one segment to another, or stayed: an SVG path."""

    label: str
    colour: str
    customers: int
    path: str
    has_moved: bool


@dataclass(frozen=True)
class Flow:
    """Movements as a flow chart: ends on the left and right, ribbons between them."""

    before: Sequence[FlowEnd]
    after: Sequence[FlowEnd]
    ribbons: Sequence[Ribbon]
    height: float
    width: int = WIDTH


# Of the flow chart, in pixels: all customers together, the least distance of two labels, and the
# space between two bars.
_FLOW_HEIGHT, _LABEL_HEIGHT, _FLOW_GAP = 220.0, 18.0, 6.0


def draw_flow(movements: RfmMovements, segments: Sequence[RfmSegment]) -> Flow | None:
    """Draw the movements as ribbons as wide as their customers. None without movements."""
    moves = [move for move in movements.data if move.customers]
    if not moves:
        return None
    colours = {segment.segment: segment.colour for segment in segments}
    labels = _movement_labels(movements, segments)
    before, after = dict.fromkeys(labels, 0), dict.fromkeys(labels, 0)
    for move in moves:
        before[move.from_segment] += move.customers
        after[move.to_segment] += move.customers
    scale = _FLOW_HEIGHT / sum(before.values())
    left = _flow_ends(before, labels, colours, scale)
    right = _flow_ends(after, labels, colours, scale)
    # Where the next ribbon of a bar begins.
    start = {name: end.top for name, end in left.items()}
    finish = {name: end.top for name, end in right.items()}
    places = {name: place for place, name in enumerate(labels)}
    ribbons = []
    for move in sorted(moves, key=lambda m: (places[m.from_segment], places[m.to_segment])):
        thickness = move.customers * scale
        ribbons.append(
            Ribbon(
                label=f"{labels[move.from_segment]} → {labels[move.to_segment]}",
                colour=colours.get(move.from_segment, FORMER_COLOUR),
                customers=move.customers,
                path=_ribbon(start[move.from_segment], finish[move.to_segment], thickness),
                has_moved=move.from_segment != move.to_segment,
            )
        )
        start[move.from_segment] += thickness
        finish[move.to_segment] += thickness
    # Those who moved are drawn over those who stayed.
    ribbons.sort(key=lambda ribbon: ribbon.has_moved)
    ends = [*left.values(), *right.values()]
    height = max(end.top + max(end.height, _LABEL_HEIGHT) for end in ends)
    return Flow(list(left.values()), list(right.values()), ribbons, height)


def _flow_ends(
    sizes: Mapping[str, int], labels: Mapping[str, str], colours: Mapping[str, str], scale: float
) -> dict[str, FlowEnd]:
    """The bars of one side from top to bottom, by segment."""
    ends: dict[str, FlowEnd] = {}
    top = 0.0
    for name, customers in sizes.items():
        if customers:
            height = customers * scale
            colour = colours.get(name, FORMER_COLOUR)
            ends[name] = FlowEnd(labels[name], colour, customers, top, height)
            top += max(height, _LABEL_HEIGHT) + _FLOW_GAP
    return ends


def _ribbon(left: float, right: float, thickness: float) -> str:
    """The path of a ribbon from its upper left corner, with the curves of its two edges."""
    middle = WIDTH // 2
    low_left, low_right = left + thickness, right + thickness
    return (
        f"M0,{left:.1f}C{middle},{left:.1f} {middle},{right:.1f} {WIDTH},{right:.1f}"
        f"V{low_right:.1f}"
        f"C{middle},{low_right:.1f} {middle},{low_left:.1f} 0,{low_left:.1f}Z"
    )


@dataclass(frozen=True)
class GridSegment:
    """A segment of a cell, and its place among the segments, from 0."""

    segment: str
    label: str
    colour: str
    place: int


@dataclass(frozen=True)
class GridCell:
    """Customers with a recency and a frequency score. ``shade`` is from 0 to 1, the fullest cell.

    It has several segments if they depend on the spend.
    """

    r_score: int
    f_score: int
    customers: int
    share: float
    shade: float
    segments: Sequence[GridSegment]


def arrange_grid(
    cells: Sequence[Mapping[str, Any]], segments: Sequence[RfmSegment]
) -> list[list[GridCell]]:
    """Arrange the combinations of scores in rows, from the best recency score down.

    Args:
        cells: As :class:`service.api.rfm_figures.GridCell`, highest scores first.
        segments: The segments, in the order of their priority.
    """
    most = max((cell["customers"] for cell in cells), default=0) or 1
    total = sum(cell["customers"] for cell in cells) or 1
    known = {
        row.segment: GridSegment(row.segment, row.label, row.colour, place)
        for place, row in enumerate(segments)
    }
    arranged = {
        (cell["r_score"], cell["f_score"]): GridCell(
            r_score=cell["r_score"],
            f_score=cell["f_score"],
            customers=cell["customers"],
            share=cell["customers"] / total,
            # By area, so that small cells can be told from empty ones.
            shade=(cell["customers"] / most) ** 0.5,
            segments=[
                known.get(name) or GridSegment(name, name, FORMER_COLOUR, len(known))
                for name in dict.fromkeys(reversed(cell["segments_by_m_score"]))
            ],
        )
        for cell in cells
    }
    scores = range(5, 0, -1)
    return [[arranged[r, f] for f in reversed(scores)] for r in scores] if arranged else []


def _movement_labels(movements: RfmMovements, segments: Sequence[RfmSegment]) -> dict[str, str]:
    moved = [name for move in movements.data for name in (move.from_segment, move.to_segment)]
    return {**_labels(segments, [name for name in moved if name != "none"]), "none": "No segment"}


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
