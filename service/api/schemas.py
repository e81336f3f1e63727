"""Models of the JSON API that several endpoints share.

Money is a decimal string in major units, next to its ISO 4217 currency. Times are ISO 8601 in UTC
and end in Z.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)

from service.api.input_errors import explained
from service.tenants.tokens import Scope

# PostgreSQL's text cannot hold NUL.
WITHOUT_NUL = r"^[^\x00]*$"
Line = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=255, pattern=WITHOUT_NUL),
]
Instant = Annotated[
    datetime,
    PlainSerializer(lambda at: at.astimezone(UTC).isoformat().replace("+00:00", "Z"), str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Money = Annotated[
    Decimal,
    PlainSerializer(lambda amount: f"{amount:f}", str),
    WithJsonSchema({"type": "string", "pattern": r"^-?\d+(\.\d+)?$"}),
]


def _without_numbers(value: Any) -> Any:
    """Pydantic takes a number for seconds since 1970."""
    if isinstance(value, str) and _DATE_AND_TIME.match(value):
        return value
    raise ValueError("no date and time")


def _within_years(at: datetime) -> datetime:
    if at.year not in YEARS:
        raise ValueError("too early or too late")
    return at


# The years 1 and 9999 cannot be written in every time zone.
YEARS = range(1900, 9901)
_DATE_AND_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}", re.ASCII)
# A time in a request.
Time = Annotated[
    AwareDatetime,
    BeforeValidator(_without_numbers),
    AfterValidator(_within_years),
    explained("This must be a time with its zone, such as 2026-07-01T09:30:00Z."),
]
# A share of a whole, from 0 to 1, calculated in SQL.
Share = Annotated[
    Decimal,
    PlainSerializer(float, float),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1}),
]


# The key of one of the tenant's segments. History may have segments that no longer exist.
Segment = Annotated[str, StringConstraints(max_length=40, pattern=r"^[a-z][a-z0-9_]*$")]
SampleType = Literal["ugc", "tiktok"]
SampleStatus = Literal["pending", "partial", "fulfilled", "cancelled"]
SampleSort = Literal["newest", "oldest", "value", "waiting"]
SuggestionReason = Literal["tag_not_free", "channel_not_free", "tag_looks_like_sample"]
SampleDecision = Literal["ugc", "tiktok", "dismissed"]
CreatorLink = Literal["manual", "email", "handle", "unlinked"]
Platform = Literal["tiktok", "instagram", "youtube", "other"]
RunKind = Literal[
    "shopify_sync",
    "segments_sync",
    "klaviyo_sync",
    "klaviyo_plan",
    "build",
    "orders_import",
    "promo_codes",
    "metafields_sync",
]
RunState = Literal["queued", "running", "succeeded", "failed"]
RunTrigger = Literal["schedule", "person", "webhook", "cli"]


class RequestModel(BaseModel):
    """Base of request models; an unknown parameter is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ResponseModel(BaseModel):
    """Base of response models; columns that the model does not name are left out."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


Item = TypeVar("Item", bound=ResponseModel)


class Page(ResponseModel, Generic[Item]):
    """Base of paged responses."""

    data: list[Item]
    next_cursor: str | None


class OrderLimit(ResponseModel):
    """Why older orders are missing from the figures, and what to do about it."""

    first_order_at: Instant | None = Field(description="Time of the oldest order.")
    window_days: int = Field(description="Length of the RFM window in days.")
    in_words: str
    advice: str


OptionalOrderLimit = Annotated[
    OrderLimit | None,
    Field(description="Set when older orders are missing from these figures."),
]
NextBuild = Annotated[
    Instant | None, Field(description="Next scheduled build; null while builds are paused.")
]
NextSync = Annotated[
    Instant | None,
    Field(description="Next scheduled sync; null while it is paused or not connected."),
]
ScheduleState = Annotated[
    Literal["active", "paused", "not_connected"],
    Field(description="Whether the schedule runs, was paused, or lacks its connection."),
]


class Tenant(ResponseModel):
    """The store that the token or session belongs to."""

    tenant_id: UUID
    name: str
    shop_domain: str | None
    currency: str | None = Field(description="ISO 4217; null until the store is connected.")
    time_zone: str = Field(description="IANA name of the time zone for displayed times.")
    is_shopify_connected: bool
    last_synced_at: Instant | None = Field(description="End of the last successful order sync.")
    last_built_at: Instant | None = Field(description="End of the last successful build.")
    scope: Scope = Field(description="What the token or session allows.")
    actor: str = Field(description="Who the history of changes names.")
    order_limit: OptionalOrderLimit


class ShopifySegment(ResponseModel):
    """A customer segment from Shopify, as of the last sync."""

    id: str = Field(description="Shopify's numeric id.")
    name: str
    query: str = Field(description="The segment's ShopifyQL query.")
    member_count: int
    synced_at: Instant
    gone_at: Instant | None = Field(description="When the segment was found deleted in Shopify.")


class ShopifySegmentsPage(Page[ShopifySegment]):
    """A page of Shopify segments, sorted by name."""

    segments: int = Field(description="Total number of segments in the store.")
    unread: int = Field(description="Segments that could not be read; they keep their members.")
    as_of: Instant | None = Field(description="Start of the last complete sync.")
    next_sync_at: NextSync
    schedule_state: ScheduleState


class RfmSegment(ResponseModel):
    """An RFM segment with its size and revenue."""

    segment: Segment
    label: str
    colour: str = Field(description="sRGB colour as #rrggbb.")
    description: str
    suggested_action: str
    customers: int
    share: Share = Field(description="Share of all scored customers.")
    revenue: Money = Field(description="Net spend of its customers in the RFM window.")
    revenue_share: Share = Field(description="Share of the net spend of all scored customers.")
    orders: int = Field(description="Orders of its customers in the RFM window.")
    average_order_value: Money | None = Field(description="Revenue per order.")
    median_spend: Money | None = Field(
        description="Median net spend of its customers in the RFM window."
    )
    median_recency_days: int | None = Field(description="Days since the last order, median.")
    repeat_rate: Share | None = Field(
        description="Share of its customers with several orders in the RFM window."
    )


class RfmSummary(ResponseModel):
    """The RFM segments in priority order."""

    data: list[RfmSegment]
    customers: int = Field(description="Total number of scored customers.")
    revenue: Money
    currency: str | None
    calculated_at: Instant | None = Field(description="The scores are as of this time.")
    next_build_at: NextBuild
    order_limit: OptionalOrderLimit


class RfmCustomer(ResponseModel):
    """A scored customer."""

    customer_id: str = Field(
        description="Id in the store or in the imported file. Without one, made of the e-mail"
        " address (email:…) or else of the phone number (phone:…)."
    )
    email: str | None
    phone: str | None = Field(
        description="Phone number of a customer without an e-mail address in the store, as the"
        " orders have it."
    )
    segment: Segment
    r_score: int = Field(ge=1, le=5)
    f_score: int = Field(ge=1, le=5)
    m_score: int = Field(ge=1, le=5)
    r_reason: str = Field(description="Explains the recency score.")
    f_reason: str = Field(description="Explains the frequency score.")
    m_reason: str = Field(description="Explains the monetary score.")
    recency_days: int = Field(description="Whole days since the last order.")
    frequency_count: int = Field(description="Orders in the RFM window.")
    monetary_total: Money = Field(description="Net spend in the RFM window.")
    currency: str
    previous_segment: Segment | None = Field(
        description="Segment before the last change; null if the customer had none."
    )
    segment_changed_on: date = Field(description="Day of the last change, in RFM's time zone.")
    last_order_at: Instant


class RfmCustomersPage(Page[RfmCustomer]):
    """A page of scored customers, highest net spend first."""

    order_limit: OptionalOrderLimit


class SampleItem(ResponseModel):
    """A line item of a sample order."""

    title: str | None = None
    variant_title: str | None = None
    sku: str | None = None
    quantity: int | None = None


class SampleOrder(ResponseModel):
    """A sample order with its evidence, status and creator."""

    order_id: str
    order_number: str | None
    customer_id: str | None
    customer_name: str | None
    customer_email: str | None
    types: list[SampleType] = Field(description="One or both types.")
    matched_tags: list[str] = Field(description="Order tags that make the order a sample.")
    matched_patterns: list[str] = Field(description="Channel patterns that the order matches.")
    evidence: str = Field(description="Explains why the order is a sample.")
    status: SampleStatus
    days_waiting: int | None = Field(
        description="Days until the first shipment or, without one, until the last build."
    )
    channel: str | None
    items: list[SampleItem]
    goods_value: Money | None = Field(description="Retail value of the goods before discounts.")
    currency: str
    creator_id: UUID | None
    creator_handle: str | None
    creator_name: str | None
    creator_link: CreatorLink | None = Field(
        description="How the creator was found. manual: chosen by a person; email or handle:"
        " matched automatically; unlinked: a person removed the creator; null: no creator found."
    )
    ordered_at: Instant
    cancelled_at: Instant | None
    first_fulfilled_at: Instant | None
    delivered_at: Instant | None


class SampleOrderDetail(SampleOrder):
    """A sample order with all its details."""

    price_reason: Literal["free", "refunded", "any"] = Field(
        description="free: the goods cost nothing; refunded: they were refunded or taken off; any:"
        " they were paid for, and your settings accept any price."
    )
    fulfillment_status: str | None = Field(description="The fulfillment status from Shopify.")
    tags: list[str] = Field(description="All tags of the order.")
    note: str | None
    linked_by: str | None = Field(description="Who chose or removed the creator.")
    linked_at: Instant | None


class SampleOrdersPage(Page[SampleOrder]):
    """A page of sample orders."""


class SampleCounts(ResponseModel):
    """Number of sample orders by status, and their value."""

    type: Literal["all", "ugc", "tiktok"]
    total: int
    pending: int
    partial: int
    fulfilled: int
    cancelled: int
    goods_value: Money | None = Field(description="Retail value without cancelled orders.")
    currency: str | None


class SampleFigures(SampleCounts):
    """All-time counts of one type."""

    median_days_to_fulfil: float | None
    last_30_days: int
    previous_30_days: int


class SampleMonth(SampleCounts):
    """Counts of one type in one month."""

    month: date


class UnknownStatus(ResponseModel):
    """A fulfillment status without a mapping, which counts as pending."""

    fulfillment_status: str
    samples: int


class SampleStats(ResponseModel):
    """Sample counts. An order of both types counts once in each type, and once in all."""

    data: list[SampleFigures]
    months: list[SampleMonth] = Field(description="The last 24 months, newest first.")
    unknown_statuses: list[UnknownStatus] = Field(
        description="Statuses that the seed fulfillment_statuses does not map."
    )
    as_of: Instant | None = Field(description="The figures are as of this time.")
    next_build_at: NextBuild
    order_limit: OptionalOrderLimit


class SampleSuggestion(ResponseModel):
    """An order that is almost a sample, and the reason why it is not one."""

    order_id: str
    order_number: str | None
    customer_name: str | None
    customer_email: str | None
    reason: SuggestionReason
    evidence: list[str] = Field(
        description="The tags behind the reason; for channel_not_free, the channel patterns."
    )
    channel: str | None
    tags: list[str]
    goods_paid: Money
    currency: str
    ordered_at: Instant
    suggested_type: SampleType = Field(description="The type of sample that it probably is.")


class SampleSuggestionsPage(Page[SampleSuggestion]):
    """A page of suggestions, newest first."""


class SampleDecisionRow(ResponseModel):
    """What somebody decided about an order."""

    order_id: str
    order_number: str | None
    customer_name: str | None
    customer_email: str | None
    ordered_at: Instant | None = Field(description="Null if the order no longer exists.")
    decision: SampleDecision = Field(
        description="ugc or tiktok: a sample of this type; dismissed: not suggested again."
    )
    decided_by: str
    decided_at: Instant


class SampleDecisionsPage(Page[SampleDecisionRow]):
    """A page of decisions, newest first."""


class Creator(ResponseModel):
    """A creator with the samples that they receive now, and own orders as of the last build."""

    creator_id: UUID
    handle: str | None = Field(description="Lower-case handle without @.")
    platform: Platform
    name: str | None
    email: str | None
    profile_url: str | None
    notes: str | None
    also_known_as: list[str] = Field(description="Handles and e-mail addresses from merges.")
    samples: int = Field(description="Samples, without cancelled ones.")
    samples_sent: int = Field(description="Samples with at least one shipment.")
    goods_value: Money | None = Field(description="Retail value of the samples.")
    last_sample_at: Instant | None
    last_sent_at: Instant | None
    own_orders: int = Field(description="Orders that the creator paid for.")
    own_orders_total: Money | None
    last_own_order_at: Instant | None
    currency: str | None
    created_at: Instant
    updated_at: Instant


class CreatorsPage(Page[Creator]):
    """A page of creators, sorted by handle or name."""


class Run(ResponseModel):
    """A sync, build or import, with its progress and result."""

    run_id: UUID
    kind: RunKind
    trigger: RunTrigger
    state: RunState
    phase: str | None
    done: int = Field(description="Progress in the current phase, in the unit the phase names.")
    total: int | None
    counts: dict[str, int]
    attempts: int = Field(description="How many times the run was started.")
    error: str | None
    advice: str | None
    created_at: Instant
    started_at: Instant | None
    finished_at: Instant | None
    next_attempt_at: Instant | None = Field(description="When a queued run is retried.")
    is_silent: bool = Field(
        False,
        description="Whether the worker has not reported for a minute. Such a run is resumed or"
        " marked as failed within minutes.",
    )


class RunsPage(Page[Run]):
    """A page of runs, newest first."""


class Schedule(ResponseModel):
    """A schedule with its next and last run."""

    name: str
    label: str
    cron: str = Field(description="Five-field cron expression, evaluated in time_zone.")
    time_zone: str = Field(description="IANA name.")
    next_at: Instant | None = Field(
        description="Next run; null while the schedule is paused or its connection is missing."
    )
    is_connected: bool = Field(description="Whether the connection it needs exists.")
    is_paused: bool
    paused_at: Instant | None
    paused_by: str | None
    last_run: Run | None = Field(description="Most recent run of this kind.")


class SchedulesPage(Page[Schedule]):
    """A page of your store's schedules."""


class Webhook(ResponseModel):
    """A webhook that was not processed, without its payload.

    ``set_aside`` is quarantined. ``held`` would delete something that the store has not confirmed:
    confirm or reject it.
    """

    webhook_id: str
    topic: str
    state: Literal["queued", "held", "done", "set_aside"]
    attempts: int
    reason: str | None
    advice: str | None
    received_at: Instant
    triggered_at: Instant | None


class WebhooksPage(Page[Webhook]):
    """A page of quarantined and held webhooks, newest first."""


class PrivacyExport(ResponseModel):
    """The answer to a customer's data request."""

    export_id: UUID
    created_at: Instant
    expires_at: Instant


class PrivacyExportsPage(Page[PrivacyExport]):
    """A page of data exports that have not expired, newest first."""


class PrivacyReceipt(ResponseModel):
    """Proof that a privacy request was completed, without personal data."""

    receipt_id: UUID
    kind: Literal["data_request", "customer_redact", "shop_redact"]
    webhook_id: str
    counts: dict[str, int] = Field(description="Rows exported, changed or deleted, by table.")
    requested_at: Instant
    completed_at: Instant


class PrivacyReceiptsPage(Page[PrivacyReceipt]):
    """A page of receipts, newest first."""


class Problem(ResponseModel):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str = Field(description="urn:uuid: of this occurrence, with the id in the log.")
    advice: str | None = None
    errors: list[dict[str, str]] | None = None
