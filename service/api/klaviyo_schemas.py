"""Models of the Klaviyo endpoints."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from service.api.input_errors import explained
from service.api.paging import MAX_CURSOR_LENGTH, PageQuery, SearchQuery
from service.api.schemas import (
    WITHOUT_NUL,
    Instant,
    Page,
    RequestModel,
    ResponseModel,
    ScheduleState,
)
from service.segments.ids import PATTERN

Direction = Literal["push", "pull", "bidirectional"]
RowState = Literal["pending", "synced", "rejected", "kept", "removed"]
SyncState = Literal["queued", "running", "succeeded", "failed", "stopped", "paused"]
StopReason = Literal["removals", "flows"]
ListId = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9]{1,64}$"), explained("This is not a list's id.")
]
SegmentKey = Annotated[
    str,
    StringConstraints(pattern=PATTERN),
    explained("This is not a segment."),
]


class ListsQuery(RequestModel):
    """Which page of the account's lists. Klaviyo returns ten per page."""

    cursor: str | None = Field(
        None, max_length=MAX_CURSOR_LENGTH, description="next_cursor of the previous page."
    )
    count: bool = Field(
        True, description="Refresh missing or old profile counts, which takes some seconds."
    )


class NewList(RequestModel):
    """A list to create."""

    name: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=WITHOUT_NUL),
    ]


class KlaviyoList(ResponseModel):
    """A list in the account."""

    list_id: str
    name: str
    created_at: str | None
    updated_at: str | None
    profile_count: int | None = Field(description="Null until it was counted.")
    counted_at: Instant | None = Field(description="When profile_count was read.")
    segment_keys: list[str] = Field(description="Segments that sync with the list.")


class KlaviyoListsPage(Page[KlaviyoList]):
    """A page of the account's lists, in Klaviyo's order."""


class NewKlaviyoConfig(RequestModel):
    """A segment and a list to sync."""

    list_id: ListId
    segment_key: SegmentKey | None = Field(
        None,
        description="rfm:champions, shopify:<segment id> or klaviyo:<id of a pulled list>. Omit it"
        " for direction pull: the list itself becomes a segment.",
    )
    direction: Direction = "push"
    is_scheduled: bool = True
    fires_flows_on_first_sync: bool = False
    sends_events: bool = False


class KlaviyoConfigChange(RequestModel):
    """The settings to change; settings that are omitted or null stay the same."""

    direction: Direction | None = None
    is_scheduled: bool | None = None
    fires_flows_on_first_sync: bool | None = None
    sends_events: bool | None = None
    is_paused: bool | None = None


class LastSync(ResponseModel):
    """The last or current sync, without dry runs."""

    run_id: UUID
    state: SyncState
    stopped_for: StopReason | None
    removals: int | None = Field(description="Number of removals that stopped it.")
    error: str | None
    advice: str | None
    counts: dict[str, int] = Field(description="What it changed on this list.")
    planned: dict[str, int] | None = Field(
        description="What its plan adds, removes, updates and skips; null without a plan."
    )
    finished_at: Instant | None


class KlaviyoConfig(ResponseModel):
    """A synced list with its settings and state."""

    config_id: UUID
    segment_key: str
    segment_name: str | None = Field(description="Null if the segment no longer exists.")
    list_id: str
    list_name: str
    direction: Direction
    is_scheduled: bool
    fires_flows_on_first_sync: bool
    sends_events: bool
    is_paused: bool
    paused_by: Literal["person", "sync", "key"] | None
    paused_reason: str | None
    paused_at: Instant | None
    segment_members: int | None = Field(
        description="Members of the segment now; null before its first build or sync."
    )
    segment_as_of: Instant | None = Field(description="Time of segment_members.")
    has_segment_changed: bool | None = Field(
        description="Whether e-mail addresses joined or left the segment since the last plan; null"
        " if that is not known."
    )
    members_here: int | None = Field(
        description="Segment members who can receive e-mail, as of the last plan."
    )
    members_there: int | None = Field(description="Profiles on the list, as of list_as_of.")
    list_as_of: Instant | None = Field(description="When the list was last read or written.")
    drift: int | None = Field(
        description="Pending changes as of the last plan: addresses that are missing on one side."
    )
    planned_at: Instant | None = Field(description="Time of the last plan.")
    confirmed_removals: int | None = Field(
        description="Approved number of removals for the next sync."
    )
    created_at: Instant
    first_synced_at: Instant | None
    last_synced_at: Instant | None
    next_sync_at: Instant | None = Field(description="Null without a schedule or while paused.")
    schedule_state: ScheduleState
    last_sync: LastSync | None


class KlaviyoConfigsPage(Page[KlaviyoConfig]):
    """A page of the synced lists, oldest first."""


class KlaviyoSync(RequestModel):
    """Which lists to sync."""

    config_ids: list[UUID] | None = Field(
        None, min_length=1, max_length=200, description="All that are not paused, by default."
    )


class SyncQuery(RequestModel):
    """How to sync."""

    dry_run: bool = Field(False, description="Plan the sync without changing anything.")
    read_all: bool = Field(
        False,
        description="Read all profiles on the lists, which also finds those who left, instead of"
        " only those who joined since the last sync.",
    )


class ConfirmedRemovals(ResponseModel):
    """The approved number of removals."""

    confirmed_removals: int


class PlanExample(ResponseModel):
    """An affected address."""

    email: str | None = None
    customer_id: str | None = None
    reason: str | None = None


class PlanPart(ResponseModel):
    """Number of affected addresses, with reasons and examples."""

    count: int
    reasons: dict[str, int] = Field(default_factory=dict)
    examples: list[PlanExample] = Field(default_factory=list)


class PlanStop(ResponseModel):
    """Why the sync stops until a person approves it."""

    reason: StopReason
    message: str
    advice: str | None = None
    removals: int | None = Field(None, description="Number of removals, for that reason.")

    @model_validator(mode="before")
    @classmethod
    def _as_stored(cls, stored: Any) -> Any:
        return {"reason": stored["for"], **stored} if "for" in stored else stored


class Plan(ResponseModel):
    """The planned changes of a sync."""

    add: PlanPart
    remove: PlanPart
    update: PlanPart
    skip: PlanPart
    stop: PlanStop | None = None


class KlaviyoSyncRun(ResponseModel):
    """A sync of one list, with counts, errors and duration."""

    run_id: UUID
    config_id: UUID
    segment_key: str
    list_id: str
    list_name: str
    direction: Direction
    trigger: Literal["schedule", "person", "cli"]
    is_dry_run: bool
    state: SyncState
    stopped_for: StopReason | None
    counts: dict[str, int]
    errors: dict[str, int] = Field(description="Number of errors by Klaviyo's error code.")
    calls: int = Field(description="Number of requests to Klaviyo.")
    error: str | None
    advice: str | None
    requested_at: Instant
    started_at: Instant | None
    finished_at: Instant | None
    duration_seconds: float | None


class KlaviyoSyncRunDetail(KlaviyoSyncRun):
    """A sync of one list, with its plan."""

    plan: Plan | None = Field(description="Null until the sync is planned.")


class KlaviyoSyncRunsPage(Page[KlaviyoSyncRun]):
    """A page of syncs, newest first."""


class SyncRunsQuery(PageQuery):
    """Which page of the syncs."""

    dry_runs: bool = Field(True, description="Whether to include dry runs.")


class RowsQuery(SearchQuery):
    """Which page of the addresses."""

    state: RowState | None = Field(None, description="Only addresses in this state.")


class KlaviyoRow(ResponseModel):
    """The state of an e-mail address in a synced list."""

    email: str
    customer_id: str | None
    profile_id: str | None
    state: RowState = Field(
        description="pending: a change is in progress; synced: added by Quintile; rejected: refused"
        " by Klaviyo, see error_code; kept: was already on the list; removed: removed by a person."
    )
    is_member: bool = Field(description="Whether it was in the segment at the last sync.")
    error_code: str | None
    error_detail: str | None
    changed_at: Instant


class KlaviyoRowsPage(Page[KlaviyoRow]):
    """A page of addresses, sorted alphabetically."""

    states: dict[str, int] = Field(description="Number of addresses by state, on all pages.")


class RemovedRow(RequestModel):
    """The address to add again. Sent in the body to keep it out of access logs."""

    email: Annotated[
        str,
        StringConstraints(min_length=3, max_length=254, pattern=r"^[^\x00\s]+@[^\x00\s]+$"),
        explained("An e-mail address looks like name@example.com."),
    ]


class KlaviyoSegment(ResponseModel):
    """A pulled list, which is also a segment."""

    id: str = Field(description="Klaviyo's list id. The segment key is klaviyo:<id>.")
    name: str
    member_count: int | None = Field(description="Null until the list was read or written.")
    as_of: Instant | None = Field(description="Time of member_count.")
    direction: Direction = Field(description="pull or bidirectional.")
    synced_at: Instant | None = Field(description="End of the last sync.")
    next_sync_at: Instant | None = Field(
        description="Null while the schedule or the list is paused, not connected or not scheduled."
    )
    full_read_at: Instant | None = Field(description="When all profiles were last read.")
    gone_at: Instant | None = Field(description="When the list was found deleted in Klaviyo.")


class KlaviyoSegmentsPage(Page[KlaviyoSegment]):
    """A page of the pulled lists, sorted by name."""

    as_of: Instant | None = Field(description="The oldest time of a list's size on this page.")
    next_sync_at: Instant | None = Field(
        description="Next scheduled sync of a list on this page; null if none has one."
    )
    schedule_state: ScheduleState


class KlaviyoMember(ResponseModel):
    """A profile on a list."""

    profile_id: str | None = Field(description="Null until the sent address was read back.")
    email: str | None
    joined_at: Instant | None


class KlaviyoMembersPage(Page[KlaviyoMember]):
    """A page of a list's profiles, sorted by e-mail address."""
