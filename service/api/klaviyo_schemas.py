"""The models of ``/api/admin/integrations/klaviyo``: lists, configurations, and their records."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from service.api.paging import WITHOUT_NUL, PageQuery, SearchQuery
from service.api.schemas import Instant, RequestModel, ResponseModel

Direction = Literal["push", "pull", "bidirectional"]
RowState = Literal["pending", "synced", "rejected", "kept", "removed"]
SyncState = Literal["queued", "running", "succeeded", "failed", "stopped", "paused"]
StopReason = Literal["removals", "flows"]
ListId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]{1,64}$")]
SegmentKey = Annotated[
    str,
    StringConstraints(
        pattern=r"^(rfm:[a-z_]{1,40}|shopify:[0-9]{1,20}|klaviyo:[A-Za-z0-9]{1,64})$"
    ),
]


# -- lists --------------------------------------------------------------------------------------


class ListsQuery(RequestModel):
    """Which page of the account's lists; ten are on a page, as Klaviyo has them."""

    cursor: str | None = Field(None, max_length=2000, description="next_cursor of the page before.")
    count: bool = Field(
        True, description="Ask for sizes that are missing or old, which takes some seconds."
    )


class NewList(RequestModel):
    """A list to make."""

    name: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=WITHOUT_NUL),
    ]


class KlaviyoList(ResponseModel):
    """A list of the account."""

    list_id: str
    name: str
    created_at: str | None
    updated_at: str | None
    profile_count: int | None = Field(description="Null while it has not been counted.")
    counted_at: Instant | None = Field(description="When it had so many profiles.")
    segment_keys: list[str] = Field(description="Segments that are kept in step with it.")


class KlaviyoListsPage(ResponseModel):
    """A page of the account's lists, in Klaviyo's order."""

    data: list[KlaviyoList]
    next_cursor: str | None


# -- configurations -----------------------------------------------------------------------------


class NewKlaviyoConfig(RequestModel):
    """A segment and a list to keep in step."""

    list_id: ListId
    segment_key: SegmentKey | None = Field(
        None,
        description="rfm:champions, shopify:<segment id> or klaviyo:<id of a list that is pulled>;"
        " of a pull, nothing, for the list is the segment.",
    )
    direction: Direction = "push"
    is_scheduled: bool = True
    fires_flows_on_first_sync: bool = False
    sends_events: bool = False


class KlaviyoConfigChange(RequestModel):
    """What to change; what is left out or null stays."""

    direction: Direction | None = None
    is_scheduled: bool | None = None
    fires_flows_on_first_sync: bool | None = None
    sends_events: bool | None = None
    is_paused: bool | None = None


class LastSync(ResponseModel):
    """The last sync of a configuration, or the one that is going on; never a dry run."""

    run_id: UUID
    state: SyncState
    stopped_for: StopReason | None
    removals: int | None = Field(description="How many removals it stopped for.")
    error: str | None
    advice: str | None
    finished_at: Instant | None


class KlaviyoConfig(ResponseModel):
    """A segment that is kept in step with a list, and how that goes."""

    config_id: UUID
    segment_key: str
    segment_name: str | None = Field(description="Null when the segment is not known any more.")
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
    members_here: int | None = Field(
        description="Members of the segment who can be written to, at the last plan."
    )
    members_there: int | None = Field(description="Profiles on the list after the last sync.")
    drift: int | None = Field(
        description="Addresses on one side only that are meant to be on both, at the last plan."
    )
    confirmed_removals: int | None = Field(
        description="Removals agreed to, which the next sync may carry out."
    )
    created_at: Instant
    first_synced_at: Instant | None
    last_synced_at: Instant | None
    next_sync_at: Instant | None = Field(description="Null while nothing syncs it by itself.")
    last_sync: LastSync | None


class KlaviyoConfigs(ResponseModel):
    """All configurations, the oldest first."""

    data: list[KlaviyoConfig]


class KlaviyoSync(RequestModel):
    """Which configurations to sync."""

    config_ids: list[UUID] | None = Field(
        None, min_length=1, max_length=200, description="All that are not paused, if left out."
    )


class SyncQuery(RequestModel):
    """How to sync."""

    dry_run: bool = Field(False, description="Only plan, and change nothing anywhere.")
    read_all: bool = Field(
        False,
        description="Read everybody on the lists, which notices who has left, and not only who has"
        " joined since the last time.",
    )


class ConfirmedRemovals(ResponseModel):
    """What has been agreed to."""

    confirmed_removals: int


# -- records ------------------------------------------------------------------------------------


class PlanExample(ResponseModel):
    """One of those whom a part of a plan befalls."""

    email: str | None = None
    customer_id: str | None = None
    reason: str | None = None


class PlanPart(ResponseModel):
    """How many addresses a part of a plan befalls, why, and a few of them."""

    count: int
    reasons: dict[str, int] = Field(default_factory=dict)
    examples: list[PlanExample] = Field(default_factory=list)


class PlanStop(ResponseModel):
    """What a sync stops for until a person agrees."""

    reason: StopReason
    message: str
    advice: str | None = None
    removals: int | None = Field(None, description="How many, where it is for removals.")

    @model_validator(mode="before")
    @classmethod
    def _as_stored(cls, stored: Any) -> Any:
        return {"reason": stored["for"], **stored} if "for" in stored else stored


class Plan(ResponseModel):
    """What a sync does, or would do."""

    add: PlanPart
    remove: PlanPart
    update: PlanPart
    skip: PlanPart
    stop: PlanStop | None = None


class KlaviyoSyncRun(ResponseModel):
    """A configuration in a run: what was done, what went wrong, how long it took."""

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
    errors: dict[str, int] = Field(description="How often each of Klaviyo's error codes came.")
    calls: int = Field(description="Requests made of Klaviyo.")
    error: str | None
    advice: str | None
    requested_at: Instant
    started_at: Instant | None
    finished_at: Instant | None
    duration_seconds: float | None


class KlaviyoSyncRunDetail(KlaviyoSyncRun):
    """The same with its plan."""

    plan: Plan | None = Field(description="Null until it has been made.")


class KlaviyoSyncRunsPage(ResponseModel):
    """A page of a configuration's runs, newest first."""

    data: list[KlaviyoSyncRun]
    next_cursor: str | None


class SyncRunsQuery(PageQuery):
    """Which page of a configuration's runs."""

    dry_runs: bool = Field(True, description="Whether dry runs are among them.")


class RowsQuery(SearchQuery):
    """Which page of a configuration's rows."""

    state: RowState | None = Field(None, description="Only rows in this state.")


class KlaviyoRow(ResponseModel):
    """What a configuration has done about an address."""

    email: str
    customer_id: str | None
    profile_id: str | None
    state: RowState = Field(
        description="pending: a change is on its way; synced: put on the list by Quintile;"
        " rejected: refused, and why; kept: on the list without Quintile; removed: taken off it by"
        " a person."
    )
    is_member: bool = Field(description="Whether it was in the segment at the last sync.")
    error_code: str | None
    error_detail: str | None
    changed_at: Instant


class KlaviyoRowsPage(ResponseModel):
    """A page of rows, by address."""

    data: list[KlaviyoRow]
    next_cursor: str | None
    states: dict[str, int] = Field(description="How many rows are in each state, on all pages.")


class RemovedRow(RequestModel):
    """Whose removal to undo. In the body, for addresses of people do not belong into a log."""

    email: Annotated[
        str, StringConstraints(min_length=3, max_length=254, pattern=r"^[^\x00\s]+@[^\x00\s]+$")
    ]


# -- pulled lists as segments -------------------------------------------------------------------


class KlaviyoSegment(ResponseModel):
    """A list that is read, which is a segment like the others."""

    id: str = Field(description="Klaviyo's id of the list; the segment's key is klaviyo:<id>.")
    name: str
    member_count: int
    direction: Direction = Field(description="pull, or bidirectional.")
    synced_at: Instant | None = Field(description="When it was last read.")
    full_read_at: Instant | None = Field(description="When everybody on it was last read.")
    gone_at: Instant | None = Field(description="When Klaviyo no longer had it.")


class KlaviyoSegments(ResponseModel):
    """Lists that are read, by name."""

    data: list[KlaviyoSegment]
    as_of: Instant | None
    next_sync_at: Instant


class KlaviyoMember(ResponseModel):
    """A profile on a list."""

    profile_id: str
    email: str | None
    joined_at: Instant | None


class KlaviyoMembersPage(ResponseModel):
    """A page of a list's profiles, by address."""

    data: list[KlaviyoMember]
    next_cursor: str | None
