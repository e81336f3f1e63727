"""``/api/admin/samples/settings``: what makes an order a sample in your store."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from apiflask import APIBlueprint
from pydantic import AfterValidator, AwareDatetime, Field

from service.api.access import actor, fetch_one, tenant_id, transaction
from service.api.audit_log import recording
from service.api.paging import ONE_ROW, Keyset, PageQuery
from service.api.schemas import Instant, Line, Page, RequestModel, ResponseModel, Run, SampleType
from service.core.db import Connection
from service.core.errors import InvalidInputError
from service.core.queries import query
from service.queue.enqueue import enqueue
from service.tenants import tenants

blueprint = APIBlueprint("samples_settings", __name__, tag="Samples")

_MOST_TAGS = 100
_MOST_CHANNELS = 200
_BY_TIME = Keyset("samples settings", changed_at=AwareDatetime, change_id=UUID)


def _check_pattern(pattern: str) -> str:
    if (len(pattern) - len(pattern.rstrip("\\"))) % 2:
        raise ValueError(r"A pattern must not end in a single \. Write \\ for a backslash.")
    return pattern


Pattern = Annotated[Line, AfterValidator(_check_pattern)]


class SamplesRules(ResponseModel):
    """What makes an order a sample."""

    ugc_tags: list[str] = Field(description="Order tags of UGC samples.")
    tiktok_tags: list[str] = Field(description="Order tags of TikTok samples.")
    channel_patterns: list[str] = Field(
        description="Channel names of TikTok samples; % matches any text, _ one character."
    )
    zero_price_only: bool = Field(
        description="Whether an order is a TikTok sample only if its goods were free."
    )
    ugc_zero_price_only: bool = Field(
        description="Whether an order is a UGC sample only if its goods were free."
    )


class SamplesSettings(SamplesRules):
    """What makes an order a sample, and the last change."""

    updated_at: Instant
    updated_by: str | None = Field(description="Who made the last change, if any.")


class SamplesChange(RequestModel):
    """The settings to change; omitted settings stay the same."""

    ugc_tags: list[Line] | None = Field(None, max_length=_MOST_TAGS)
    tiktok_tags: list[Line] | None = Field(None, max_length=_MOST_TAGS)
    channel_patterns: list[Pattern] | None = Field(None, max_length=_MOST_TAGS)
    zero_price_only: bool | None = None
    ugc_zero_price_only: bool | None = None

    @property
    def broad_patterns(self) -> list[str]:
        """Patterns that match every channel name, or every one of some length."""
        return [p for p in self.channel_patterns or [] if not p.strip("%_")]


class SamplesSaving(SamplesChange):
    """The settings to change, with a confirmation for broad patterns."""

    confirm_broad: bool = Field(
        False, description="Required for a pattern of wildcards only, such as %."
    )


class SamplesUndo(RequestModel):
    """The change to undo."""

    change_id: UUID | None = Field(None, description="The last change by default.")


class SamplesSaved(ResponseModel):
    """The settings after the change, and the build that applies them."""

    settings: SamplesSettings
    run: Run | None = Field(description="Null if nothing changed.")


class FormerSamplesRules(SamplesRules):
    """The settings before a change."""

    change_id: UUID
    changed_at: Instant
    changed_by: str


class SamplesHistoryPage(Page[FormerSamplesRules]):
    """A page of the changes, newest first, each with the settings before it."""


class PreviewedOrder(ResponseModel):
    """An order that would become a sample, or stop being one."""

    order_id: str
    order_number: str | None
    customer_name: str | None
    ordered_at: Instant
    types: list[SampleType]
    matched_tags: list[str]
    matched_patterns: list[str]


class SamplesPreview(ResponseModel):
    """The effect of settings before they are saved."""

    current_count: int = Field(description="Number of samples now.")
    proposed_count: int = Field(description="Number of samples with the new settings.")
    entering_count: int
    leaving_count: int
    entering: list[PreviewedOrder] = Field(description="Up to ten new samples, newest first.")
    leaving: list[PreviewedOrder] = Field(description="Up to ten former samples, newest first.")
    needs_confirmation: bool = Field(description="Whether saving needs confirm_broad.")


class ChannelPatterns(RequestModel):
    """Patterns to compare with the channels of your store."""

    channel_patterns: list[Pattern] = Field(max_length=_MOST_TAGS)


class MatchedChannel(ResponseModel):
    """A channel of your store, and the patterns that it matches."""

    channel: str
    matched_patterns: list[str]


class MatchedChannels(ResponseModel):
    """The channels of your store."""

    data: list[MatchedChannel] = Field(description="Up to 200 channels, by name.")


@blueprint.get("/api/admin/samples/settings")
@blueprint.output(SamplesSettings)
def show_samples_settings() -> dict[str, Any]:
    """Get the settings for samples in your store."""
    with transaction() as conn:
        return _read(conn)


@blueprint.get("/api/admin/samples/settings/history")
@blueprint.input(PageQuery, location="query", arg_name="page")
@blueprint.output(SamplesHistoryPage)
def list_samples_changes(page: PageQuery) -> dict[str, Any]:
    """List the changes of the settings, newest first."""
    with transaction() as conn:
        return _history(conn, page, None)


@blueprint.patch("/api/admin/samples/settings")
@blueprint.input(SamplesSaving, arg_name="change")
@blueprint.output(SamplesSaved, status_code=202)
def change_samples_settings(change: SamplesSaving) -> dict[str, Any]:
    """Change the settings for samples and start a build.

    RFM is rebuilt too, because samples do not count as purchases. Tags that differ only in case
    are saved once.
    """
    if change.broad_patterns and not change.confirm_broad:
        raise InvalidInputError(
            f"The pattern {change.broad_patterns[0]} matches every channel.",
            advice="Check the preview, then allow it.",
            field="confirm_broad",
        )
    with transaction() as conn:
        return _save(conn, change.model_dump(exclude={"confirm_broad"}))


@blueprint.post("/api/admin/samples/settings/undo")
@blueprint.input(SamplesUndo, arg_name="undo")
@blueprint.output(SamplesSaved, status_code=202)
def undo_samples_change(undo: SamplesUndo) -> dict[str, Any]:
    """Restore the settings from before a change, and start a build. An undo can be undone."""
    with transaction() as conn:
        found = _history(conn, ONE_ROW, undo.change_id)["data"]
        if not found:
            raise InvalidInputError("There is no such change to undo.", field="change_id")
        return _save(conn, {name: found[0][name] for name in SamplesRules.model_fields})


@blueprint.post("/api/admin/samples/settings/preview")
@blueprint.input(SamplesChange, arg_name="change")
@blueprint.output(SamplesPreview)
def preview_samples_settings(change: SamplesChange) -> dict[str, Any]:
    """Preview how many orders the settings would add and remove. Saves nothing."""
    with transaction(read_only=True) as conn:
        fetch_one(conn, query("api.set_samples_preview"), **change.model_dump())
        previewed = fetch_one(conn, query("api.preview_samples"))
    return {**previewed, "needs_confirmation": bool(change.broad_patterns)}


@blueprint.post("/api/admin/samples/settings/channels")
@blueprint.input(ChannelPatterns, arg_name="given")
@blueprint.output(MatchedChannels)
def match_channels(given: ChannelPatterns) -> dict[str, Any]:
    """Compare channel patterns with the channels of your store's orders. Saves nothing."""
    parameters = {
        "tenant_id": tenant_id(),
        "patterns": given.channel_patterns,
        "most": _MOST_CHANNELS,
    }
    with transaction(read_only=True) as conn:
        return {"data": conn.execute(query("api.match_channels"), parameters).fetchall()}


def _read(conn: Connection) -> dict[str, Any]:
    return fetch_one(conn, query("api.find_samples_settings"))


def _history(conn: Connection, page: PageQuery, change_id: UUID | None) -> dict[str, Any]:
    statement = query("api.list_samples_settings_history")
    return _BY_TIME.read_page(conn, page, statement, tenant_id=tenant_id(), change_id=change_id)


def _save(conn: Connection, values: dict[str, Any]) -> dict[str, Any]:
    change = tenants.SamplesChange(**values)
    with recording(conn, "samples_settings.changed", read=lambda: _read(conn)):
        changed = tenants.change_samples_settings(conn, tenant_id(), actor(), change)
    run = enqueue(conn, tenant_id(), "build", behind_running=True) if changed else None
    return {"settings": _read(conn), "run": run}
