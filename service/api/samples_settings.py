"""``/api/admin/samples/settings``: what makes an order a sample for this tenant."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from apiflask import APIBlueprint
from pydantic import AfterValidator, Field, StringConstraints

from service.api.access import state, tenant_id, transaction, who
from service.api.paging import WITHOUT_NUL
from service.api.schemas import Instant, RequestModel, ResponseModel, Run, SampleType
from service.core.db import Connection, one, tenant_transaction
from service.core.errors import InvalidInputError
from service.core.queries import query
from service.queue.enqueue import enqueue

blueprint = APIBlueprint("samples_settings", __name__, tag="Samples")

_MOST_TAGS = 100
_HISTORY = 20


def _check_pattern(pattern: str) -> str:
    if (len(pattern) - len(pattern.rstrip("\\"))) % 2:
        raise ValueError(
            r"ends in a lone \, which stands for nothing; write \\ for the sign itself"
        )
    return pattern


Tag = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=255, pattern=WITHOUT_NUL),
]
Pattern = Annotated[Tag, AfterValidator(_check_pattern)]


class SamplesRules(ResponseModel):
    """What makes an order a sample."""

    ugc_tags: list[str] = Field(description="Order tags of samples sent to creators.")
    tiktok_tags: list[str] = Field(description="Order tags of TikTok samples.")
    channel_patterns: list[str] = Field(
        description="Names of the channels of TikTok samples; % is any text, _ any one sign."
    )
    zero_price_only: bool = Field(description="Whether the goods must have cost nothing.")


class SamplesSettings(SamplesRules):
    """What makes an order a sample, and who decided it."""

    updated_at: Instant
    updated_by: str | None = Field(description="Who changed it last; null while nobody has.")


class SamplesChange(RequestModel):
    """What to change; what is left out stays."""

    ugc_tags: list[Tag] | None = Field(None, max_length=_MOST_TAGS)
    tiktok_tags: list[Tag] | None = Field(None, max_length=_MOST_TAGS)
    channel_patterns: list[Pattern] | None = Field(None, max_length=_MOST_TAGS)
    zero_price_only: bool | None = None

    @property
    def broad_patterns(self) -> list[str]:
        """The patterns that fit every channel name, or every one of some length."""
        return [p for p in self.channel_patterns or [] if not p.strip("%_")]


class SamplesSaving(SamplesChange):
    """What to change, and whether a pattern may match everything."""

    confirm_broad: bool = Field(
        False, description="Needed when a pattern has no sign of its own, such as %."
    )


class SamplesUndo(RequestModel):
    """Which change to undo."""

    change_id: UUID | None = Field(None, description="Of the history; the last one unless given.")


class SamplesSaved(ResponseModel):
    """The settings as they are now, and the build that puts them to work."""

    settings: SamplesSettings
    run: Run | None = Field(description="Rebuilds samples and RFM; null when nothing changed.")


class FormerSamplesRules(SamplesRules):
    """Settings that a change replaced."""

    change_id: UUID
    changed_at: Instant
    changed_by: str


class SamplesHistory(ResponseModel):
    """The last changes, newest first, each with the values it replaced."""

    data: list[FormerSamplesRules]


class PreviewedOrder(ResponseModel):
    """An order that settings would make a sample, or no longer."""

    order_id: str
    order_number: str | None
    customer_name: str | None
    ordered_at: Instant
    types: list[SampleType]
    matched_tags: list[str]
    matched_patterns: list[str]


class SamplesPreview(ResponseModel):
    """What settings would change, were they saved."""

    current_count: int = Field(description="Samples of the last build.")
    proposed_count: int = Field(description="Samples that there would be.")
    entering_count: int
    leaving_count: int
    entering: list[PreviewedOrder] = Field(description="Up to ten of them, newest first.")
    leaving: list[PreviewedOrder] = Field(description="Up to ten of them, newest first.")
    needs_confirmation: bool = Field(
        description="Whether saving them takes confirm_broad: a pattern matches everything."
    )


@blueprint.get("/api/admin/samples/settings")
@blueprint.output(SamplesSettings)
def show_samples_settings() -> dict[str, Any]:
    """What makes an order a sample for this tenant."""
    with transaction() as conn:
        return _read(conn)


@blueprint.get("/api/admin/samples/settings/history")
@blueprint.output(SamplesHistory)
def list_samples_changes() -> dict[str, Any]:
    """The last 20 changes, newest first: who, when, and the values that were replaced."""
    with transaction() as conn:
        return {"data": _history(conn, None, _HISTORY)}


@blueprint.patch("/api/admin/samples/settings")
@blueprint.input(SamplesSaving, arg_name="change")
@blueprint.output(SamplesSaved, status_code=202)
def change_samples_settings(change: SamplesSaving) -> dict[str, Any]:
    """Change some of the settings and rebuild this tenant's samples and RFM with them.

    Both happen or neither. RFM is rebuilt as well because samples do not count as purchases. Tags
    that mean the same are kept once.
    """
    if change.broad_patterns and not change.confirm_broad:
        raise InvalidInputError(
            f"The pattern {change.broad_patterns[0]} matches every channel.",
            advice="If that is meant, send confirm_broad: true; a preview shows what it would do.",
        )
    with transaction() as conn:
        return _save(conn, change.model_dump(exclude={"confirm_broad"}))


@blueprint.post("/api/admin/samples/settings/undo")
@blueprint.input(SamplesUndo, arg_name="undo")
@blueprint.output(SamplesSaved, status_code=202)
def undo_samples_change(undo: SamplesUndo) -> dict[str, Any]:
    """Put back the values that a change replaced, the last one unless told which; and rebuild.

    The undoing is a change itself, so it can be undone.
    """
    with transaction() as conn:
        found = _history(conn, undo.change_id, 1)
        if not found:
            raise InvalidInputError(
                "There is no such change to undo.",
                advice="See: GET /api/admin/samples/settings/history",
            )
        return _save(conn, {name: found[0][name] for name in SamplesRules.model_fields})


@blueprint.post("/api/admin/samples/settings/preview")
@blueprint.input(SamplesChange, arg_name="change")
@blueprint.output(SamplesPreview)
def preview_samples_settings(change: SamplesChange) -> dict[str, Any]:
    """How many orders would enter and leave the samples, with ten examples each. Writes nothing."""
    with tenant_transaction(
        state().pool,
        tenant_id(),
        read_only=True,
        timeout_ms=state().settings.statement_timeout_ms,
    ) as conn:
        parameters = {"tenant_id": tenant_id(), **change.model_dump()}
        conn.execute(query("api.try_samples_settings"), parameters)
        previewed = one(conn.execute(query("api.preview_samples"), parameters).fetchone())
    return {**previewed, "needs_confirmation": bool(change.broad_patterns)}


def _read(conn: Connection) -> dict[str, Any]:
    parameters = {"tenant_id": tenant_id()}
    return one(conn.execute(query("api.find_samples_settings"), parameters).fetchone())


def _history(conn: Connection, change_id: UUID | None, limit: int) -> list[dict[str, Any]]:
    return conn.execute(
        query("api.list_samples_settings_history"),
        {"tenant_id": tenant_id(), "change_id": change_id, "row_limit": limit},
    ).fetchall()


def _save(conn: Connection, values: dict[str, Any]) -> dict[str, Any]:
    changed = conn.execute(
        query("api.change_samples_settings"),
        {"tenant_id": tenant_id(), "changed_by": who(conn), **values},
    ).fetchone()
    run = enqueue(conn, tenant_id(), "build", behind_running=True) if changed else None
    return {"settings": _read(conn), "run": run}
