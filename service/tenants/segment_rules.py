"""A tenant's RFM segments and the grid that gives each combination of scores its segment.

A tenant without rows of its own has the published rule, which the dbt project's seeds hold. The
dbt macro ``segment_rule_faults`` checks rules that come from seeds by the same conditions.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from uuid import UUID

import structlog
from psycopg.types.json import Jsonb

from service.core.db import Connection, one
from service.core.errors import InvalidInputError
from service.core.queries import query
from service.core.seeds import read_seed

log = structlog.get_logger(__name__)

# More segments than a person keeps apart in a list, a chart or a row of Klaviyo lists.
MOST_SEGMENTS = 25
# A cell for each combination of recency, frequency and monetary score.
MOST_CELLS = 125
LONGEST_KEY = 40
LONGEST_LABEL = 60
LONGEST_TEXT = 300

SCORES = range(1, 6)

_KEY = re.compile(rf"[a-z][a-z0-9_]{{0,{LONGEST_KEY - 1}}}", re.ASCII)
_COLOUR = re.compile(r"#[0-9a-f]{6}", re.ASCII)


@dataclass(frozen=True)
class RfmSegment:
    """A segment. ``priority`` sorts lists, 1 first; ``colour`` is sRGB as ``#rrggbb``."""

    segment: str
    label: str
    colour: str
    priority: int
    description: str = ""
    suggested_action: str = ""


@dataclass(frozen=True)
class Cell:
    """The segment of one recency, frequency and monetary score; ``m_score`` None means any."""

    r_score: int
    f_score: int
    m_score: int | None
    segment: str


@dataclass(frozen=True)
class SegmentRule:
    """Segments in order of priority, and their cells. The published rule has no last change."""

    segments: Sequence[RfmSegment]
    grid: Sequence[Cell]
    is_published: bool = False
    updated_at: datetime | None = None
    updated_by: str | None = None


@dataclass(frozen=True)
class Fault:
    """What is wrong with a rule: the field, as ``segments.0.label``, and a sentence."""

    field: str
    message: str


class InvalidRuleError(InvalidInputError):
    """The segments and the grid are not a rule."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__(
            " ".join(fault.message for fault in faults),
            advice="Each combination of scores needs exactly one segment.",
        )
        self.faults = faults


@cache
def published_rule() -> SegmentRule:
    """The rule of tenants without their own."""
    segments = [
        RfmSegment(
            segment=row["segment"],
            label=row["label"],
            colour=row["colour"],
            priority=int(row["priority"]),
            description=row["description"],
            suggested_action=row["suggested_action"],
        )
        for row in read_seed("rfm_segments")
    ]
    grid = [
        Cell(int(row["r_score"]), int(row["f_score"]), None, row["segment"])
        for row in read_seed("rfm_segment_grid")
    ]
    return SegmentRule(tuple(sorted(segments, key=_priority)), tuple(grid), is_published=True)


def read_segments(conn: Connection, tenant_id: UUID) -> Sequence[RfmSegment]:
    """The tenant's segments by the saved rule, in order of priority.

    Marts have them from the next build on. Until then, and in history, they have former segments.
    """
    statement = query("tenants.list_rfm_segments")
    rows = conn.execute(statement, {"tenant_id": tenant_id}, prepare=True).fetchall()
    return [RfmSegment(**row) for row in rows] or published_rule().segments


def read_labels(conn: Connection, tenant_id: UUID) -> Mapping[str, str]:
    """Labels of the tenant's segments by key, in order of priority."""
    return {row.segment: row.label for row in read_segments(conn, tenant_id)}


def read_rule(conn: Connection, tenant_id: UUID) -> SegmentRule:
    """The tenant's saved rule."""
    parameters = {"tenant_id": tenant_id}
    statement = query("tenants.list_rfm_segment_grid")
    grid = conn.execute(statement, parameters, prepare=True).fetchall()
    if not grid:
        return published_rule()
    changed = one(conn.execute(query("tenants.find_segment_rule_change"), parameters).fetchone())
    segments = read_segments(conn, tenant_id)
    return SegmentRule(segments, [Cell(**row) for row in grid], **changed)


def find_faults(rule: SegmentRule) -> list[Fault]:
    """What is wrong with a rule, in order of its parts; empty if nothing is."""
    return [
        *_segment_faults(rule),
        *_repetition_faults(rule),
        *_grid_faults(rule),
        *_combination_faults(rule.grid),
    ]


def save_rule(conn: Connection, tenant_id: UUID, changed_by: str, rule: SegmentRule) -> None:
    """Replace the tenant's rule, in the caller's transaction.

    The caller has made sure that no removed segment feeds a list. The published rule is saved as
    none of its own.

    Raises:
        InvalidRuleError: The rule has faults.
    """
    if faults := find_faults(rule):
        raise InvalidRuleError(faults)
    parameters = {
        "tenant_id": tenant_id,
        "changed_by": changed_by,
        "segments": Jsonb([asdict(row) for row in rule.segments]),
        "grid": Jsonb([asdict(row) for row in rule.grid]),
    }
    conn.execute(query("tenants.delete_rfm_segment_grid"), parameters)
    conn.execute(query("tenants.delete_rfm_segments"), parameters)
    if not rule.is_published:
        conn.execute(query("tenants.add_rfm_segments"), parameters)
        conn.execute(query("tenants.add_rfm_segment_grid"), parameters)
    log.info(
        "segment rule changed",
        tenant_id=str(tenant_id),
        changed_by=changed_by,
        segments=[row.segment for row in rule.segments],
        is_published=rule.is_published,
    )


def _priority(row: RfmSegment) -> int:
    return row.priority


def _segment_faults(rule: SegmentRule) -> Iterator[Fault]:
    if len(rule.segments) > MOST_SEGMENTS:
        yield Fault(
            "segments", f"There are {len(rule.segments)} segments; at most {MOST_SEGMENTS} can be."
        )
    for index, row in enumerate(rule.segments):
        at = f"segments.{index}"
        if not _KEY.fullmatch(row.segment) or row.segment == "none":
            yield Fault(
                f"{at}.segment",
                f"'{row.segment}' cannot be a segment's key: use 1 to {LONGEST_KEY} of a-z, 0-9"
                " and _, beginning with a letter, and not none.",
            )
        if not row.label.strip() or len(row.label) > LONGEST_LABEL:
            yield Fault(
                f"{at}.label",
                f"Segment '{row.segment}' needs a label of 1 to {LONGEST_LABEL} characters.",
            )
        if not _COLOUR.fullmatch(row.colour):
            yield Fault(
                f"{at}.colour", f"The colour of segment '{row.segment}' must look like #1b7f5c."
            )
        if row.priority < 1:
            yield Fault(
                f"{at}.priority", f"The priority of segment '{row.segment}' must be 1 or more."
            )


def _repetition_faults(rule: SegmentRule) -> Iterator[Fault]:
    keys = Counter(row.segment for row in rule.segments)
    labels = Counter(row.label.lower() for row in rule.segments)
    priorities = Counter(row.priority for row in rule.segments)
    used = {cell.segment for cell in rule.grid}
    for index, row in enumerate(rule.segments):
        at = f"segments.{index}"
        if keys[row.segment] > 1:
            yield Fault(f"{at}.segment", f"There are several segments '{row.segment}'.")
        if labels[row.label.lower()] > 1:
            yield Fault(f"{at}.label", f"Several segments have the label '{row.label}'.")
        if priorities[row.priority] > 1:
            yield Fault(f"{at}.priority", f"Several segments have the priority {row.priority}.")
        if row.segment not in used:
            yield Fault(f"{at}.segment", f"Segment '{row.segment}' has no cell in the grid.")


def _grid_faults(rule: SegmentRule) -> Iterator[Fault]:
    known = {row.segment for row in rule.segments}
    for index, cell in enumerate(rule.grid):
        if not {cell.r_score, cell.f_score, cell.m_score or 1} <= set(SCORES):
            spend = "" if cell.m_score is None else f", spend {cell.m_score}"
            yield Fault(
                f"grid.{index}",
                f"The grid has recency {cell.r_score}, frequency {cell.f_score}{spend}:"
                " scores are 1 to 5.",
            )
        if cell.segment not in known:
            yield Fault(
                f"grid.{index}.segment",
                f"The grid uses the segment '{cell.segment}', which does not exist.",
            )


def _combination_faults(grid: Sequence[Cell]) -> Iterator[Fault]:
    found = Counter(
        (cell.r_score, cell.f_score, score)
        for cell in grid
        for score in (SCORES if cell.m_score is None else (cell.m_score,))
    )
    for r_score in SCORES:
        for f_score in SCORES:
            counts = {m_score: found[r_score, f_score, m_score] for m_score in SCORES}
            for number in sorted(set(counts.values()) - {1}):
                scores = [str(score) for score, count in counts.items() if count == number]
                spend = f", spend {' and '.join(scores)}" if len(scores) < len(SCORES) else ""
                yield Fault(
                    "grid",
                    f"Recency {r_score}, frequency {f_score}{spend} has"
                    f" {'several segments' if number else 'no segment'}.",
                )
