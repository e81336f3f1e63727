"""The JSON API's models: what goes in and what comes out, in one place for OpenAPI.

Money is a decimal string in major units beside its ISO 4217 currency; times are ISO 8601 in UTC
with a final Z.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic_core import PydanticKnownError

from service.core.seeds import rfm_segment_labels

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
# A share of a whole, 0 to 1, computed in SQL.
Share = Annotated[
    Decimal,
    PlainSerializer(float, float),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1}),
]


def _check_segment(name: str) -> str:
    names = rfm_segment_labels()
    if name not in names:
        *others, last = (f"'{known}'" for known in names)
        expected = f"{', '.join(others)} or {last}"
        raise PydanticKnownError("literal_error", {"expected": expected})
    return name


# One of the segments of the seed.
Segment = Annotated[
    str,
    AfterValidator(_check_segment),
    WithJsonSchema({"type": "string", "enum": list(rfm_segment_labels())}),
]
SampleType = Literal["ugc", "tiktok"]
SampleStatus = Literal["pending", "partial", "fulfilled", "cancelled"]
SampleSort = Literal["newest", "oldest", "value", "waiting"]
SuggestionReason = Literal["tag_not_free", "channel_not_free", "tag_looks_like_sample"]
CreatorLink = Literal["manual", "email", "handle", "unlinked"]
Platform = Literal["tiktok", "instagram", "youtube", "other"]
RunKind = Literal[
    "shopify_sync", "segments_sync", "klaviyo_sync", "klaviyo_plan", "build", "orders_import"
]
RunState = Literal["queued", "running", "succeeded", "failed"]
RunTrigger = Literal["schedule", "person", "webhook", "cli"]


class RequestModel(BaseModel):
    """Base of what is read from requests: a parameter that is not known is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ResponseModel(BaseModel):
    """Base of what is answered; columns that the model does not name stay inside."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class OrderLimit(ResponseModel):
    """That older orders are missing which the numbers should count."""

    first_order_at: Instant | None = Field(description="The oldest order there is.")
    window_days: int = Field(description="How many days of orders RFM looks at.")
    in_words: str
    advice: str


class Tenant(ResponseModel):
    """The tenant that the token or session belongs to."""

    tenant_id: UUID
    name: str
    shop_domain: str | None
    currency: str | None = Field(description="ISO 4217; null until the shop has told.")
    time_zone: str = Field(description="IANA name, for showing times to people.")
    is_shopify_connected: bool
    last_synced_at: Instant | None = Field(description="End of the last good orders sync.")
    last_built_at: Instant | None = Field(description="End of the last good build.")
    order_limit: OrderLimit | None = Field(
        description="Why orders are missing that the numbers should count; null if none are."
    )


class ShopifySegment(ResponseModel):
    """One of Shopify's own customer segments, as last synced."""

    id: str = Field(description="The number of Shopify's id.")
    name: str
    query: str = Field(description="ShopifyQL, as the store has it.")
    member_count: int
    synced_at: Instant
    gone_at: Instant | None = Field(description="When the store no longer had it.")


class ShopifySegmentsPage(ResponseModel):
    """A page of Shopify's segments, by name."""

    data: list[ShopifySegment]
    next_cursor: str | None
    segments: int = Field(description="Segments the store has, whatever the page shows.")
    unread: int = Field(description="Those that could not be read and keep the members they had.")
    as_of: Instant | None = Field(description="When the last sync of all segments began.")
    next_sync_at: Instant | None = Field(description="Null while that is paused or cannot be.")


class RfmSegment(ResponseModel):
    """One of the RFM segments with its size."""

    segment: Segment
    label: str
    colour: str = Field(description="sRGB as #rrggbb.")
    description: str
    suggested_action: str
    customers: int
    share: Share = Field(description="Part of all scored customers.")
    revenue: Money = Field(description="Net spend of its customers inside the window.")
    revenue_share: Share = Field(description="Part of all scored customers' net spend.")


class RfmSummary(ResponseModel):
    """The RFM segments in order of priority."""

    data: list[RfmSegment]
    customers: int = Field(description="All scored customers.")
    revenue: Money
    currency: str | None
    calculated_at: Instant | None = Field(description="The instant the scores describe.")
    next_build_at: Instant | None = Field(description="Null while that is paused.")
    order_limit: OrderLimit | None = Field(
        description="Why orders are missing that the numbers should count; null if none are."
    )


class RfmCustomer(ResponseModel):
    """A scored customer."""

    customer_id: str
    email: str | None
    segment: Segment
    r_score: int = Field(ge=1, le=5)
    f_score: int = Field(ge=1, le=5)
    m_score: int = Field(ge=1, le=5)
    r_reason: str = Field(description="The recency score in words.")
    f_reason: str = Field(description="The frequency score in words.")
    m_reason: str = Field(description="The monetary score in words.")
    recency_days: int = Field(description="Whole days since the last order.")
    frequency_count: int = Field(description="Orders inside the window.")
    monetary_total: Money = Field(description="Net spend inside the window.")
    currency: str
    previous_segment: Segment | None = Field(
        description="Segment before the last change; null for who was in none."
    )
    segment_changed_on: date = Field(description="Day of the last change, in RFM's time zone.")
    last_order_at: Instant


class RfmCustomersPage(ResponseModel):
    """A page of scored customers, highest net spend first."""

    data: list[RfmCustomer]
    next_cursor: str | None
    order_limit: OrderLimit | None = Field(
        description="Why orders are missing that the numbers should count; null if none are."
    )


class SampleItem(ResponseModel):
    """A line of a sample order."""

    title: str | None = None
    variant_title: str | None = None
    sku: str | None = None
    quantity: int | None = None


class SampleOrder(ResponseModel):
    """An order that is a sample, why, how far it has come and whom it was sent to."""

    order_id: str
    order_number: str | None
    customer_id: str | None
    customer_name: str | None
    customer_email: str | None
    types: list[SampleType] = Field(description="Both may hold at once.")
    matched_tags: list[str] = Field(description="The order's tags that make it a sample.")
    matched_patterns: list[str] = Field(description="The patterns that its channel matches.")
    evidence: str = Field(description="What makes it a sample, in words.")
    status: SampleStatus
    days_waiting: int | None = Field(
        description="Days until something was sent or, while nothing was, until the last build."
    )
    channel: str | None
    items: list[SampleItem]
    goods_value: Money | None = Field(description="Retail value of the goods before discounts.")
    currency: str
    creator_id: UUID | None
    creator_handle: str | None
    creator_name: str | None
    creator_link: CreatorLink | None = Field(
        description="manual, a person chose; email or handle, found by it; unlinked, a person said"
        " that there is nobody; null, nobody was found."
    )
    ordered_at: Instant
    cancelled_at: Instant | None
    first_fulfilled_at: Instant | None
    delivered_at: Instant | None


class SampleOrderDetail(SampleOrder):
    """A sample order with all that is known about it."""

    price_reason: Literal["free", "refunded", "any"] = Field(
        description="Why its price counts: free, refunded since, or the tenant takes any price."
    )
    fulfillment_status: str | None = Field(description="Shopify's own word.")
    tags: list[str] = Field(description="All tags of the order.")
    note: str | None
    linked_by: str | None = Field(description="Who decided about the creator.")
    linked_at: Instant | None


class SampleOrdersPage(ResponseModel):
    """A page of sample orders."""

    data: list[SampleOrder]
    next_cursor: str | None


class SampleCounts(ResponseModel):
    """Sample orders of one type, or of all, by status, and what they are worth."""

    type: Literal["all", "ugc", "tiktok"]
    total: int
    pending: int
    partial: int
    fulfilled: int
    cancelled: int
    goods_value: Money | None = Field(description="Retail value of what was not cancelled.")
    currency: str | None


class SampleFigures(SampleCounts):
    """The counts of all time, how long samples take, and how many there were lately."""

    median_days_to_fulfil: float | None
    last_30_days: int
    previous_30_days: int


class SampleMonth(SampleCounts):
    """The counts of a month."""

    month: date


class UnknownStatus(ResponseModel):
    """A fulfilment status that counts as pending because nobody has said what it means."""

    fulfillment_status: str
    samples: int


class SampleStats(ResponseModel):
    """How many samples there are; an order of both types counts in both but once in all."""

    data: list[SampleFigures]
    months: list[SampleMonth] = Field(description="The last months with samples, newest first.")
    unknown_statuses: list[UnknownStatus] = Field(
        description="Statuses that the seed fulfillment_statuses does not have."
    )
    as_of: Instant | None = Field(description="When they were last known to be built.")
    next_build_at: Instant | None = Field(description="Null while that is paused.")
    order_limit: OrderLimit | None = Field(
        description="Why orders are missing that these should count; null if none are."
    )


class SampleSuggestion(ResponseModel):
    """An order that is nearly a sample, and why it is none."""

    order_id: str
    order_number: str | None
    customer_name: str | None
    customer_email: str | None
    reason: SuggestionReason
    evidence: list[str] = Field(description="The tags or, for channel_not_free, the patterns.")
    channel: str | None
    tags: list[str]
    goods_paid: Money
    currency: str
    ordered_at: Instant


class SampleSuggestionsPage(ResponseModel):
    """A page of orders that are nearly samples, newest first."""

    data: list[SampleSuggestion]
    next_cursor: str | None


class Creator(ResponseModel):
    """A person whom samples are sent to, with figures as of the last build."""

    creator_id: UUID
    handle: str | None = Field(description="Name on the platform, in lower case, without @.")
    platform: Platform
    name: str | None
    email: str | None
    profile_url: str | None
    notes: str | None
    also_known_as: list[str] = Field(description="Handles and addresses merged into this one.")
    samples: int = Field(description="Samples that were not cancelled.")
    samples_sent: int = Field(description="Of them, those of which something was sent.")
    goods_value: Money | None = Field(description="Retail value of these samples.")
    last_sample_at: Instant | None
    last_sent_at: Instant | None
    own_orders: int = Field(description="Orders they paid for themselves.")
    own_orders_total: Money | None
    last_own_order_at: Instant | None
    currency: str | None
    created_at: Instant
    updated_at: Instant


class CreatorsPage(ResponseModel):
    """A page of creators, by handle or name."""

    data: list[Creator]
    next_cursor: str | None


class Run(ResponseModel):
    """A sync, build or import: where it is and how it ended."""

    run_id: UUID
    kind: RunKind
    trigger: RunTrigger
    state: RunState
    phase: str | None
    done: int = Field(description="Progress, in the unit that the phase names.")
    total: int | None
    counts: dict[str, int]
    attempts: int = Field(description="How often a process has begun it.")
    error: str | None
    advice: str | None
    created_at: Instant
    started_at: Instant | None
    finished_at: Instant | None
    next_attempt_at: Instant | None = Field(
        description="When it is tried again, while it waits for that."
    )
    is_silent: bool = Field(
        False,
        description="Whether its process has not been heard of for a minute: it is taken up again"
        " or ended as failed within minutes.",
    )


class RunsPage(ResponseModel):
    """A page of runs, newest first."""

    data: list[Run]
    next_cursor: str | None


class Schedule(ResponseModel):
    """What runs by itself."""

    name: str
    label: str
    cron: str = Field(description="When, as five fields of cron, by the clock of time_zone.")
    time_zone: str = Field(description="IANA name.")
    next_at: Instant | None = Field(
        description="When it is next due; null while it is paused or what it needs not connected."
    )
    is_connected: bool = Field(description="Whether the tenant has what it needs.")
    is_paused: bool
    paused_at: Instant | None
    paused_by: str | None
    last_run: Run | None = Field(description="The newest run of its kind, if it has one.")


class Schedules(ResponseModel):
    """What runs by itself for a tenant."""

    data: list[Schedule]


class Webhook(ResponseModel):
    """A webhook that could not be processed, without what it said."""

    webhook_id: str
    topic: str
    state: Literal["queued", "set_aside"]
    attempts: int
    reason: str | None
    advice: str | None
    received_at: Instant
    triggered_at: Instant | None


class WebhooksPage(ResponseModel):
    """A page of webhooks that were set aside, newest first."""

    data: list[Webhook]
    next_cursor: str | None


class PrivacyExport(ResponseModel):
    """The answer to a customer's data request."""

    export_id: UUID
    created_at: Instant
    expires_at: Instant


class PrivacyExportsPage(ResponseModel):
    """A page of answers to data requests that have not expired, newest first."""

    data: list[PrivacyExport]
    next_cursor: str | None


class PrivacyReceipt(ResponseModel):
    """That a privacy request was met; nothing about whom it was."""

    receipt_id: UUID
    kind: Literal["data_request", "customer_redact", "shop_redact"]
    webhook_id: str
    counts: dict[str, int] = Field(description="Rows exported, changed or deleted, by table.")
    requested_at: Instant
    completed_at: Instant


class PrivacyReceiptsPage(ResponseModel):
    """A page of receipts, newest first."""

    data: list[PrivacyReceipt]
    next_cursor: str | None


class Problem(ResponseModel):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str = Field(description="urn:uuid of this occurrence, the id in the log.")
    advice: str | None = None
    errors: list[dict[str, str]] | None = None
