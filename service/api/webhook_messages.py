"""The messages of outgoing webhooks in the OpenAPI document, under ``webhooks``.

The models describe what :mod:`service.notifications.payloads` builds; tests compare them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from service.api.examples import example_of
from service.api.klaviyo_schemas import Direction, StopReason
from service.api.schemas import Instant, ResponseModel, RunTrigger, SampleStatus
from service.notifications.topics import TEST

_JSON = "application/json"
_REFERENCE = "#/components/schemas/"

_Tenant = Annotated[str, Field(description="Name of the tenant.", examples=["acme"])]
_OtherSegment = Annotated[
    str | None, Field(examples=["rfm:loyal"], description="Null for none, and for other sources.")
]

_ProfilesCustomer = Annotated[
    str | None, Field(description="Customer with the profile's address; null if there is none.")
]
_Profile = Annotated[str, Field(description="Klaviyo's id of the profile.")]
_ListSegment = Annotated[str, Field(examples=["klaviyo:XyZ123"])]


class _Batch(ResponseModel):
    """One of the messages about an event."""

    tenant: _Tenant
    batch: int = Field(ge=1, description="Number of the message among those of the event.")
    batches: int = Field(ge=1, description="Messages of the event.")
    is_replay: bool = Field(description="Whether it repeats an earlier message.")


class _Message(ResponseModel):
    """What all messages have."""

    id: UUID = Field(description="As the header `webhook-id`.")
    timestamp: Instant = Field(description="When it happened.")
    text: str = Field(description="The message as a sentence.", examples=["acme: 1 sample found."])


class EnteredSegment(ResponseModel):
    """A customer who entered a segment."""

    customer_id: str
    segment_id: str
    changed_at: Instant
    previous_segment_id: _OtherSegment


class LeftSegment(ResponseModel):
    """A customer who left a segment."""

    customer_id: str
    segment_id: str
    changed_at: Instant
    next_segment_id: _OtherSegment


class EnteredList(ResponseModel):
    """A profile that entered a pulled list."""

    customer_id: _ProfilesCustomer
    profile_id: _Profile
    segment_id: _ListSegment
    changed_at: Instant
    previous_segment_id: _OtherSegment


class LeftList(ResponseModel):
    """A profile that left a pulled list."""

    customer_id: _ProfilesCustomer
    profile_id: _Profile
    segment_id: _ListSegment
    changed_at: Instant
    next_segment_id: _OtherSegment


class EnteredSegments(_Batch):
    """Customers who entered segments."""

    source: Literal["rfm", "shopify"]
    changes: list[EnteredSegment]


class LeftSegments(_Batch):
    """Customers who left segments."""

    source: Literal["rfm", "shopify"]
    changes: list[LeftSegment]


class EnteredLists(_Batch):
    """Profiles that entered pulled lists."""

    source: Literal["klaviyo"]
    changes: list[EnteredList]


class LeftLists(_Batch):
    """Profiles that left pulled lists."""

    source: Literal["klaviyo"]
    changes: list[LeftList]


class MessageSample(ResponseModel):
    """A sample, without personal data."""

    order_id: str
    order_number: str | None
    is_ugc: bool
    is_tiktok: bool
    status: SampleStatus
    ordered_at: Instant
    creator_id: UUID | None


class MessageSamples(_Batch):
    """Samples that were found or fulfilled."""

    samples: list[MessageSample]


class MessageBuild(ResponseModel):
    """The run of a build."""

    run_id: UUID
    trigger: RunTrigger
    started_at: Instant | None
    finished_at: Instant | None


class CompletedBuild(ResponseModel):
    """A build that ended."""

    tenant: _Tenant
    is_replay: bool = Field(description="Whether it repeats an earlier message.")
    run: MessageBuild


class MessageConfiguration(ResponseModel):
    """A synced list."""

    config_id: UUID
    segment_key: str
    list_id: str
    list_name: str
    direction: Direction


class MessageSync(ResponseModel):
    """How the sync of the list ended."""

    run_id: UUID
    run_state: Literal["succeeded", "failed", "stopped", "paused"]
    stopped_for: StopReason | None
    run_error: str | None = Field(description="Without e-mail addresses.")
    advice: str | None
    counts: dict[str, int] = Field(examples=[{"added": 12}])
    finished_at: Instant | None


class SyncedList(ResponseModel):
    """A synced list that began to fail, or works again."""

    tenant: _Tenant
    configuration: MessageConfiguration
    run: MessageSync


class TestData(ResponseModel):
    """Nothing but the tenant."""

    tenant: _Tenant


class SegmentCustomerEnteredMessage(_Message):
    """Customers entered segments."""

    type: Literal["segment.customer_entered"]
    data: Annotated[EnteredSegments | EnteredLists, Field(discriminator="source")]


class SegmentCustomerLeftMessage(_Message):
    """Customers left segments."""

    type: Literal["segment.customer_left"]
    data: Annotated[LeftSegments | LeftLists, Field(discriminator="source")]


class SampleFoundMessage(_Message):
    """Orders were found to be samples."""

    type: Literal["sample.found"]
    data: MessageSamples


class SampleFulfilledMessage(_Message):
    """Samples were fulfilled."""

    type: Literal["sample.fulfilled"]
    data: MessageSamples


class BuildCompletedMessage(_Message):
    """Segments and samples were calculated."""

    type: Literal["build.completed"]
    data: CompletedBuild


class KlaviyoSyncFailedMessage(_Message):
    """A list stopped syncing with Klaviyo."""

    type: Literal["klaviyo_sync.failed"]
    data: SyncedList


class KlaviyoSyncRecoveredMessage(_Message):
    """A list syncs with Klaviyo again."""

    type: Literal["klaviyo_sync.recovered"]
    data: SyncedList


class TestMessage(_Message):
    """A person tries the endpoint."""

    type: Literal["test"]
    data: TestData


MESSAGES: dict[str, type[_Message]] = {
    "segment.customer_entered": SegmentCustomerEnteredMessage,
    "segment.customer_left": SegmentCustomerLeftMessage,
    "sample.found": SampleFoundMessage,
    "sample.fulfilled": SampleFulfilledMessage,
    "build.completed": BuildCompletedMessage,
    "klaviyo_sync.failed": KlaviyoSyncFailedMessage,
    "klaviyo_sync.recovered": KlaviyoSyncRecoveredMessage,
    TEST: TestMessage,
}

_HEADERS: tuple[tuple[str, str, dict[str, str], Any], ...] = (
    (
        "webhook-id",
        "The same for every attempt to deliver the message.",
        {"type": "string", "format": "uuid"},
        "0b6e3c52-6a4e-4d5c-9d1c-2f4f6a0d9e11",
    ),
    (
        "webhook-timestamp",
        "When this attempt was made, in seconds since 1970.",
        {"type": "integer"},
        1782898200,
    ),
    (
        "webhook-signature",
        "Signatures as in Standard Webhooks, separated by spaces.",
        {"type": "string"},
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ),
)
_ANSWERS = {
    "2XX": {"description": "The message has arrived."},
    "410": {"description": "The endpoint is disabled, and gets no more messages."},
    "default": {"description": "The message is sent again later."},
}


def describe_webhooks() -> tuple[dict[str, Any], dict[str, Any]]:
    """The document's ``webhooks`` by topic, and the schemas of their messages by name."""
    schemas: dict[str, Any] = {}
    for model in MESSAGES.values():
        schema = model.model_json_schema(
            mode="serialization", ref_template=f"{_REFERENCE}{{model}}"
        )
        schemas |= schema.pop("$defs")
        schemas[model.__name__] = schema
    return {topic: _describe(topic, model, schemas) for topic, model in MESSAGES.items()}, schemas


def _describe(topic: str, model: type[_Message], schemas: dict[str, Any]) -> dict[str, Any]:
    schema = {"$ref": f"{_REFERENCE}{model.__name__}"}
    operation = {
        "operationId": f"receive_{topic.replace('.', '_')}",
        "summary": model.__doc__,
        "description": "Sent to endpoints with this topic."
        if topic != TEST
        else "Sent to an endpoint on demand.",
        "tags": ["Outgoing webhooks"],
        "security": [],
        "parameters": [
            {
                "name": name,
                "in": "header",
                "required": True,
                "description": description,
                "schema": kind,
                "example": example,
            }
            for name, description, kind, example in _HEADERS
        ],
        "requestBody": {
            "required": True,
            "content": {_JSON: {"schema": schema, "example": example_of(schema, schemas)}},
        },
        "responses": _ANSWERS,
    }
    return {"post": operation}
