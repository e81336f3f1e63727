"""``/api/admin/webhooks/endpoints`` and ``…/deliveries``: outgoing webhooks and their log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from uuid import UUID

from apiflask import APIBlueprint
from pydantic import AwareDatetime, Field, StringConstraints

from service.api.access import scope, state, tenant_id, transaction
from service.api.audit_log import record
from service.api.paging import Bigint, Keyset, PageQuery
from service.api.problem_docs import can_answer
from service.api.problems import NotFoundError
from service.api.schemas import WITHOUT_NUL, Instant, Page, RequestModel, ResponseModel, Time
from service.core.db import Connection
from service.core.errors import InvalidInputError
from service.core.queries import query
from service.notifications import deliveries, endpoints, events
from service.notifications.endpoints import DisabledReason
from service.notifications.topics import TEST, Topic
from service.segments.ids import PATTERN

blueprint = APIBlueprint("webhook_endpoints", __name__, tag="Outgoing webhooks")

ENDPOINTS = "/api/admin/webhooks/endpoints"
DELIVERIES = "/api/admin/webhooks/deliveries"

_BY_AGE = Keyset("webhook-endpoints", created_at=AwareDatetime, endpoint_id=UUID)
_BY_TIME = Keyset("webhook-deliveries", created_at=AwareDatetime, position=Bigint)
_DESCRIBED = ("topics", "segments", "is_enabled")
_MAX_REPLAY = timedelta(days=30)

SegmentKey = Annotated[str, StringConstraints(pattern=PATTERN)]
DeliveryState = Literal["pending", "delivered", "failed"]


class NewEndpoint(RequestModel):
    """An endpoint to add."""

    url: str = Field(
        min_length=1, max_length=500, pattern=WITHOUT_NUL, description="An https address."
    )
    topics: list[Topic] = Field(min_length=1, max_length=20, description="What it receives.")
    segments: list[SegmentKey] | None = Field(
        None,
        min_length=1,
        max_length=50,
        description="Ids of the segments whose changes it receives; null for all.",
    )


class EndpointChange(RequestModel):
    """What to change of an endpoint; what is omitted stays."""

    url: str | None = Field(
        None, min_length=1, max_length=500, pattern=WITHOUT_NUL, description="An https address."
    )
    topics: list[Topic] | None = Field(
        None, min_length=1, max_length=20, description="What it receives from now on."
    )
    segments: list[SegmentKey] | None = Field(
        None,
        min_length=1,
        max_length=50,
        description="Ids of the segments whose changes it receives from now on; null for all.",
    )
    is_enabled: bool | None = Field(
        None, description="False gives up what waits; true lets it receive what happens from now on"
    )


class SecretRotation(RequestModel):
    """How to replace a secret."""

    keep_hours: int = Field(
        24, ge=0, le=168, description="Hours in which the former secret also signs."
    )


class Replay(RequestModel):
    """What to send once more."""

    since: Time = Field(description="Events after this time; at most 30 days ago.")


class Endpoint(ResponseModel):
    """An endpoint, without its secrets."""

    endpoint_id: UUID
    url: str = Field(
        description="Ends after the host for the scopes `read` and `write`: the rest may be secret."
    )
    topics: list[Topic]
    segments: list[str] | None = Field(
        description="Ids of the segments whose changes it receives; null for all."
    )
    is_enabled: bool
    disabled_reason: DisabledReason | None = Field(
        description="`person`; `gone`: it answered 410; `failing`: no delivery succeeded for days."
    )
    disabled_at: Instant | None
    failing_since: Instant | None = Field(
        description="First failed attempt since the last successful one."
    )
    last_error: str | None = Field(description="Why the last delivery failed, while it is failing.")
    pending: int = Field(description="Messages that wait.")
    secret_last_four: str
    former_secret_expires_at: Instant | None = Field(
        description="Until when messages are signed with a former secret, too."
    )
    created_at: Instant


class EndpointsPage(Page[Endpoint]):
    """A page of the endpoints, oldest first."""


class EndpointWithSecret(Endpoint):
    """An endpoint with its new secret, which is shown only once."""

    secret: str = Field(description="Signs messages as in Standard Webhooks.")


class Delivery(ResponseModel):
    """A message to an endpoint."""

    delivery_id: UUID = Field(description="The header `webhook-id` of every attempt.")
    endpoint_id: UUID
    topic: Topic | Literal["test"]
    occurred_at: Instant
    is_replay: bool
    state: DeliveryState
    attempts: int
    next_attempt_at: Instant | None = Field(
        description="Earliest time of the next attempt; null if there is none."
    )
    response_status: int | None = Field(description="HTTP status of the last answer.")
    error: str | None = Field(description="Why the last attempt failed.")
    created_at: Instant
    finished_at: Instant | None


class DeliveriesQuery(PageQuery):
    """Which page of the log."""

    endpoint_id: UUID | None = Field(None, description="Only messages to this endpoint.")
    topic: Topic | Literal["test"] | None = Field(None, description="Only this topic.")
    state: DeliveryState | None = Field(None, description="Only messages in this state.")


class DeliveriesPage(Page[Delivery]):
    """A page of the log, newest first."""


class Replayed(ResponseModel):
    """How much is sent once more."""

    messages: int


def read_endpoint(conn: Connection, endpoint_id: UUID) -> dict[str, Any]:
    """An endpoint of the request's tenant.

    Raises:
        NotFoundError: There is no such endpoint.
    """
    found = endpoints.find_endpoint(conn, tenant_id(), endpoint_id)
    if found is None:
        raise NotFoundError("There is no endpoint with this id.")
    return found


def read_delivery(conn: Connection, delivery_id: UUID) -> dict[str, Any]:
    """A delivery of the request's tenant.

    Raises:
        NotFoundError: There is no such delivery.
    """
    found = deliveries.find_delivery(conn, tenant_id(), delivery_id)
    if found is None:
        raise NotFoundError("There is no delivery with this id.")
    return found


@blueprint.get(ENDPOINTS)
@blueprint.input(PageQuery, location="query", arg_name="page")
@blueprint.output(EndpointsPage)
def list_webhook_endpoints(page: PageQuery) -> dict[str, Any]:
    """List the endpoints, oldest first, without their secrets."""
    with transaction() as conn:
        return read_endpoints(conn, page)


def read_endpoints(conn: Connection, page: PageQuery) -> dict[str, Any]:
    """A page of the endpoints, as :class:`EndpointsPage`."""
    statement = query("notifications.list_endpoints")
    read = _BY_AGE.read_page(conn, page, statement, tenant_id=tenant_id(), endpoint_id=None)
    return {**read, "data": [_shown(endpoint) for endpoint in read["data"]]}


@blueprint.post(ENDPOINTS)
@blueprint.input(NewEndpoint, arg_name="given")
@blueprint.output(EndpointWithSecret, status_code=201)
def add_webhook_endpoint(given: NewEndpoint) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Add an endpoint and get its secret. It receives what happens from now on."""
    with transaction() as conn:
        endpoint_id, secret = endpoints.add_endpoint(
            state().settings, conn, tenant_id(), given.url, given.topics, given.segments
        )
        endpoint = read_endpoint(conn, endpoint_id)
        record(conn, "webhook_endpoint.added", endpoint_id, after=_described(endpoint))
        headers = {"Location": f"{ENDPOINTS}/{endpoint_id}"}
        return {**endpoint, "secret": secret}, 201, headers


@blueprint.get(f"{ENDPOINTS}/<uuid:endpoint_id>")
@blueprint.output(Endpoint)
def show_webhook_endpoint(endpoint_id: UUID) -> dict[str, Any]:
    """Get an endpoint, without its secrets."""
    with transaction() as conn:
        return _shown(read_endpoint(conn, endpoint_id))


@blueprint.patch(f"{ENDPOINTS}/<uuid:endpoint_id>")
@blueprint.input(EndpointChange, arg_name="change")
@blueprint.output(Endpoint)
def change_webhook_endpoint(endpoint_id: UUID, change: EndpointChange) -> dict[str, Any]:
    """Change an endpoint, disable it or enable it again. Its secret stays."""
    with transaction() as conn:
        before = read_endpoint(conn, endpoint_id)
        endpoints.change_endpoint(
            state().settings,
            conn,
            tenant_id(),
            endpoint_id,
            **change.model_dump(exclude_unset=True),
        )
        after = read_endpoint(conn, endpoint_id)
        if any(before[name] != after[name] for name in ("url", *_DESCRIBED)):
            # The same host may have another path, which is not shown.
            values = {"before": _described(before), "after": _described(after)}
            record(conn, "webhook_endpoint.changed", endpoint_id, **values)
        return after


@blueprint.delete(f"{ENDPOINTS}/<uuid:endpoint_id>")
@blueprint.output({}, status_code=204)
def delete_webhook_endpoint(endpoint_id: UUID) -> str:
    """Delete an endpoint with its log. What waits is not sent."""
    with transaction() as conn:
        endpoint = read_endpoint(conn, endpoint_id)
        endpoints.delete_endpoint(conn, tenant_id(), endpoint_id)
        record(conn, "webhook_endpoint.deleted", endpoint_id, before=_described(endpoint))
    return ""


@blueprint.post(f"{ENDPOINTS}/<uuid:endpoint_id>/rotate-secret")
@blueprint.input(SecretRotation, arg_name="given")
@blueprint.output(EndpointWithSecret)
def rotate_webhook_secret(endpoint_id: UUID, given: SecretRotation) -> dict[str, Any]:
    """Replace an endpoint's secret. For a while, messages have both signatures."""
    with transaction() as conn:
        read_endpoint(conn, endpoint_id)
        secret = endpoints.rotate_secret(
            state().settings, conn, tenant_id(), endpoint_id, keep_hours=given.keep_hours
        )
        record(conn, "webhook_endpoint.secret_rotated", endpoint_id, after=given)
        return {**read_endpoint(conn, endpoint_id), "secret": secret}


@blueprint.post(f"{ENDPOINTS}/<uuid:endpoint_id>/test")
@blueprint.output(Delivery, status_code=202)
def test_webhook_endpoint(endpoint_id: UUID) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Send a test message, once. The worker sends it; the log has the result."""
    with transaction() as conn:
        read_endpoint(conn, endpoint_id)
        record(conn, "webhook_endpoint.tested", endpoint_id)
        delivery_id = deliveries.send_test(conn, tenant_id(), endpoint_id)
    return _accepted(delivery_id)


@blueprint.post(f"{ENDPOINTS}/<uuid:endpoint_id>/replay")
@blueprint.input(Replay, arg_name="given")
@blueprint.output(Replayed, status_code=202)
@can_answer("already-running")
def replay_webhooks(endpoint_id: UUID, given: Replay) -> dict[str, Any]:
    """Send events since a time once more: changes of segments, samples and builds.

    Messages have new ids and `is_replay`. They come behind what waits.
    """
    now = datetime.now(UTC)
    if not now - _MAX_REPLAY <= given.since <= now:
        raise InvalidInputError("Choose a time within the last 30 days.", field="since")
    with transaction() as conn:
        _require_enabled(read_endpoint(conn, endpoint_id))
        messages = events.replay(conn, tenant_id(), endpoint_id, given.since)
        record(conn, "webhook_endpoint.replayed", endpoint_id, after=given)
    return {"messages": messages}


@blueprint.get(DELIVERIES)
@blueprint.input(DeliveriesQuery, location="query", arg_name="page")
@blueprint.output(DeliveriesPage)
def list_webhook_deliveries(page: DeliveriesQuery) -> dict[str, Any]:
    """List messages to endpoints, newest first: state, attempts, and why the last one failed."""
    with transaction() as conn:
        return _BY_TIME.read_page(
            conn,
            page,
            query("api.list_webhook_deliveries"),
            tenant_id=tenant_id(),
            endpoint_id=page.endpoint_id,
            topic=page.topic,
            state=page.state,
        )


@blueprint.get(f"{DELIVERIES}/<uuid:delivery_id>")
@blueprint.output(Delivery)
def show_webhook_delivery(delivery_id: UUID) -> dict[str, Any]:
    """Get a message to an endpoint."""
    with transaction() as conn:
        return read_delivery(conn, delivery_id)


@blueprint.post(f"{DELIVERIES}/<uuid:delivery_id>/redeliver")
@blueprint.output(Delivery, status_code=202)
def redeliver_webhook(delivery_id: UUID) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Send a message once more, with the same id. One that still waits is sent now."""
    with transaction() as conn:
        delivery = read_delivery(conn, delivery_id)
        if delivery["topic"] != TEST:
            _require_enabled(read_endpoint(conn, delivery["endpoint_id"]))
        deliveries.redeliver(conn, tenant_id(), delivery)
        record(conn, "webhook_delivery.redelivered", delivery_id)
    return _accepted(delivery_id)


def _accepted(delivery_id: UUID) -> tuple[dict[str, Any], int, dict[str, str]]:
    """202 with a delivery as it is stored, and its URL in ``Location``."""
    with transaction() as conn:
        row = read_delivery(conn, delivery_id)
    return row, 202, {"Location": f"{DELIVERIES}/{delivery_id}"}


def _require_enabled(endpoint: dict[str, Any]) -> None:
    if not endpoint["is_enabled"]:
        raise InvalidInputError("The endpoint is disabled.", advice="Enable it first.")


def _shown(endpoint: dict[str, Any]) -> dict[str, Any]:
    """An endpoint for the request's scope: a URL of a chat system lets anyone post to it."""
    if scope() == "admin":
        return endpoint
    url = urlsplit(endpoint["url"])
    return {**endpoint, "url": f"{url.scheme}://{url.netloc}"}


def _described(endpoint: dict[str, Any]) -> dict[str, Any]:
    """An endpoint without what may be secret in its URL."""
    host = urlsplit(endpoint["url"]).hostname
    return {"host": host, **{name: endpoint[name] for name in _DESCRIBED}}
