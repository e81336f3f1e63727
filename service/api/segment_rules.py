"""``/api/admin/segments/rfm/rule``: your store's RFM segments, and which scores make which."""

from __future__ import annotations

from typing import Annotated, Any

from apiflask import APIBlueprint
from pydantic import Field, StringConstraints

from service.api.access import actor, tenant_id, transaction
from service.api.audit_log import recording
from service.api.input_errors import explained
from service.api.schemas import WITHOUT_NUL, Instant, Line, RequestModel, ResponseModel, Run
from service.core.db import Connection
from service.destinations.configs import change_segment_rule
from service.queue.enqueue import enqueue
from service.tenants.segment_rules import (
    LONGEST_KEY,
    LONGEST_LABEL,
    LONGEST_TEXT,
    MOST_CELLS,
    MOST_SEGMENTS,
    Cell,
    RfmSegment,
    SegmentRule,
    published_rule,
    read_rule,
)

blueprint = APIBlueprint("segment_rules", __name__, tag="Segments")

# pydantic's patterns accept no \Z; the rule's own check refuses a trailing line break.
Key = Annotated[
    str,
    Field(min_length=1, max_length=LONGEST_KEY, pattern=r"^[a-z][a-z0-9_]*$"),
    explained(
        f"A segment's key has 1 to {LONGEST_KEY} of a-z, 0-9 and _, beginning with a letter."
    ),
]
Label = Annotated[Line, StringConstraints(max_length=LONGEST_LABEL)]
Colour = Annotated[
    str,
    StringConstraints(to_lower=True, pattern=r"^#[0-9a-fA-F]{6}$"),
    explained("A colour looks like #1b7f5c."),
]
Text = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=LONGEST_TEXT, pattern=WITHOUT_NUL)
]
Score = Annotated[int, Field(ge=1, le=5)]


class SegmentDefinition(ResponseModel):
    """A segment."""

    segment: str = Field(description="Key of the segment, used in data, URLs and Klaviyo.")
    label: str = Field(description="Display name of the segment.")
    colour: str = Field(description="sRGB colour as #rrggbb.")
    priority: int = Field(description="Sort order in lists; 1 is first.")
    description: str = Field(description="Who is in the segment.")
    suggested_action: str = Field(description="What to do for these customers.")


class GridCell(ResponseModel):
    """The segment of a combination of scores."""

    r_score: int = Field(description="Recency score, 1 to 5.")
    f_score: int = Field(description="Frequency score, 1 to 5.")
    m_score: int | None = Field(description="Monetary score, 1 to 5; null: any.")
    segment: str = Field(description="Key of the segment.")


class RfmRule(ResponseModel):
    """The RFM segments, and the grid that gives each combination of scores one of them."""

    segments: list[SegmentDefinition] = Field(description="In order of priority.")
    grid: list[GridCell]
    is_published: bool = Field(description="Whether this is the published rule, the default.")
    updated_at: Instant | None = Field(description="Null for the published rule.")
    updated_by: str | None = Field(description="Who saved it; null for the published rule.")


class SegmentDefinitionInput(RequestModel):
    """A segment to save."""

    segment: Key
    label: Label
    colour: Colour
    priority: int = Field(ge=1, le=1000)
    description: Text = ""
    suggested_action: Text = ""


class GridCellInput(RequestModel):
    """A cell to save."""

    r_score: Score
    f_score: Score
    m_score: Score | None = None
    segment: Key


class RfmRuleInput(RequestModel):
    """The rule to save. Each of the 125 combinations of scores needs exactly one segment."""

    segments: list[SegmentDefinitionInput] = Field(min_length=1, max_length=MOST_SEGMENTS)
    grid: list[GridCellInput] = Field(min_length=1, max_length=MOST_CELLS)

    def to_rule(self) -> SegmentRule:
        """The rule, not checked as a whole yet."""
        segments = [RfmSegment(**row.model_dump()) for row in self.segments]
        return SegmentRule(segments, [Cell(**cell.model_dump()) for cell in self.grid])


class RfmRuleSaved(ResponseModel):
    """The rule after the change, and the build that applies it."""

    rule: RfmRule
    run: Run


@blueprint.get("/api/admin/segments/rfm/rule")
@blueprint.output(RfmRule)
def show_segment_rule() -> RfmRule:
    """Get your store's RFM segments and the grid that assigns them."""
    with transaction() as conn:
        return _read(conn)


@blueprint.put("/api/admin/segments/rfm/rule")
@blueprint.input(RfmRuleInput, arg_name="rule")
@blueprint.output(RfmRuleSaved, status_code=202)
def replace_segment_rule(rule: RfmRuleInput) -> dict[str, Any]:
    """Replace the RFM segments and the grid, and start a build.

    A segment that feeds a Klaviyo list must stay. Until the build ends, lists and pages show the
    former segments.
    """
    return _save(rule.to_rule())


@blueprint.delete("/api/admin/segments/rfm/rule")
@blueprint.output(RfmRuleSaved, status_code=202)
def restore_published_rule() -> dict[str, Any]:
    """Go back to the published segments and grid, and start a build."""
    return _save(published_rule())


def _save(rule: SegmentRule) -> dict[str, Any]:
    with transaction() as conn:
        with recording(conn, "segment_rule.changed", read=lambda: _read(conn)):
            change_segment_rule(conn, tenant_id(), actor(), rule)
        run = enqueue(conn, tenant_id(), "build", behind_running=True)
        return {"rule": _read(conn), "run": run}


def _read(conn: Connection) -> RfmRule:
    return RfmRule.model_validate(read_rule(conn, tenant_id()), from_attributes=True)
