"""The store's webhooks: who has subscribed to what, and the deliveries, signed, over real HTTP.

Deliveries go out one after the other from a thread of their own, as soon as the store changes. A
receiver that does not answer 200 within five seconds gets the same webhook again, with the same id.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

import httpx

from ..data import Customer, Order, Segment

TIMEOUT_SECONDS = 5.0
ATTEMPTS = 3
_RETRY_SECONDS = 0.05
CLIENT_SECRET = "shpss_sandbox_secret"  # noqa: S105 - opens nothing but this sandbox

Payload = dict[str, Any]
Way = Literal["late", "twice", "never"]


@dataclass(slots=True)
class Subscription:
    """One topic (by its name in the API) and where its webhooks go."""

    number: int
    topic: str
    uri: str
    include_fields: list[str]
    filter: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class DeliveryFault:
    """How the next deliveries of a topic go wrong; of any topic when none is named.

    `late` ones are held until :meth:`Webhooks.release`, so that those that follow overtake them;
    `twice` ones arrive two times with one id; `never` ones are lost.
    """

    way: Way
    topic: str | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook on its way."""

    topic: str
    uri: str
    body: bytes
    webhook_id: str
    triggered_at: datetime


@dataclass(slots=True)
class Announced:
    """The members of each segment as subscribers know them; None before anybody subscribed."""

    members: dict[int, set[int]] | None = None


@dataclass(slots=True)
class _State:
    pending: deque[Delivery] = field(default_factory=deque)
    held: list[Delivery] = field(default_factory=list)
    faults: list[tuple[DeliveryFault, int]] = field(default_factory=list)
    answered: list[tuple[str, int]] = field(default_factory=list)
    is_busy: bool = False


class Webhooks:
    """The subscriptions of one store and its deliveries. Thread-safe.

    `app_uri` is where the privacy topics go, which are configured on the app and not subscribed to.
    `secret` signs; `triggered_at` dates deliveries, now unless a test says otherwise.
    """

    def __init__(self, shop: str, secret: str = CLIENT_SECRET) -> None:
        self.shop = shop
        self.secret = secret
        self.app_uri: str | None = None
        self.triggered_at: Callable[[], datetime] = lambda: datetime.now(UTC)
        self.subscriptions: dict[int, Subscription] = {}
        self._changed = threading.Condition()
        self._state = _State()
        self._thread: threading.Thread | None = None

    # What the store tells

    def emit(self, topic: str, payload: Payload) -> None:
        """Queue a webhook for everybody who has subscribed to a topic (`orders/create`)."""
        constant = topic.upper().replace("/", "_").replace(".", "_")
        for subscription in list(self.subscriptions.values()):
            if subscription.topic == constant:
                wanted = subscription.include_fields
                sent = {k: v for k, v in payload.items() if not wanted or k in wanted}
                self.send(topic, sent, subscription.uri)

    def request(self, topic: str, **payload: Any) -> None:
        """Queue a privacy request (`customers/redact`) for the app."""
        if self.app_uri is None:
            raise ValueError("the app has no address for privacy requests: set app_uri")
        shop = {"shop_id": 1, "shop_domain": self.shop}
        self.send(topic, {**shop, **payload}, self.app_uri)

    def send(self, topic: str, payload: Payload | bytes, uri: str) -> None:
        """Queue one webhook, as JSON or as the very bytes given."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        delivery = Delivery(topic, uri, body, str(uuid4()), self.triggered_at())
        with self._changed:
            self._queue(delivery)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._deliver, name="sandbox-webhooks", daemon=True
                )
                self._thread.start()
            self._changed.notify_all()

    def order_changed(
        self, before: Order | None, order: Order, customers: Mapping[int, Customer]
    ) -> None:
        """Tell of an order that was added or changed."""
        customer = customers.get(order.customer_number or 0)
        payload: Payload = {
            "id": order.number,
            "admin_graphql_api_id": f"gid://shopify/Order/{order.number}",
            "name": order.name,
            "email": order.email,
            "created_at": _time(order.created_at),
            "updated_at": _time(order.updated_at),
            "cancelled_at": _time(order.cancelled_at),
            "test": order.test,
            "tags": ", ".join(order.tags),
            "note": order.note,
            "customer": _customer(customer) if customer else None,
        }
        self.emit("orders/create" if before is None else "orders/updated", payload)
        if order.cancelled_at and not (before and before.cancelled_at):
            self.emit("orders/cancelled", payload)
        if order.refunded > (before.refunded if before else 0):
            self.emit("refunds/create", {"id": order.number + 1, "order_id": order.number})

    def customer_changed(self, before: Customer | None, customer: Customer) -> None:
        """Tell of a customer who was added or changed."""
        topic = "customers/create" if before is None else "customers/update"
        self.emit(topic, _customer(customer))

    def customers_merged(self, kept: int, removed: int) -> None:
        """Tell of a customer who was merged into another."""
        self.emit(
            "customers/merge",
            {
                "admin_graphql_api_customer_kept_id": f"gid://shopify/Customer/{kept}",
                "admin_graphql_api_customer_deleted_id": f"gid://shopify/Customer/{removed}",
                "admin_graphql_api_job_id": None,
                "status": "completed",
                "errors": [],
            },
        )

    def segment_changed(self, topic: str, segment: Segment) -> None:
        """Tell of a segment that was added or changed."""
        self.emit(
            topic,
            {
                "id": segment.number,
                "name": segment.name,
                "query": segment.query,
                "creationDate": _time(segment.creation_date),
                "lastEditDate": _time(segment.last_edit_date),
            },
        )

    def are_members_followed(self) -> bool:
        """Whether anybody has subscribed to joins or leaves."""
        return any(
            subscription.topic in ("CUSTOMER_JOINED_SEGMENT", "CUSTOMER_LEFT_SEGMENT")
            for subscription in self.subscriptions.values()
        )

    def members_changed(self, announced: Announced, members: dict[int, set[int]]) -> None:
        """Report who joined and left; nothing the first time."""
        earlier, announced.members = announced.members, members
        if earlier is None:
            return
        for segment, now in members.items():
            before = earlier.get(segment, set())
            for topic, numbers in (
                ("customer.joined_segment", now - before),
                ("customer.left_segment", before - now),
            ):
                for number in sorted(numbers):
                    self.emit(topic, {"customer_id": number, "segment_id": segment})

    # Delivering

    def fail(self, *faults: DeliveryFault) -> None:
        """Plan how the next deliveries go wrong."""
        with self._changed:
            self._state.faults += [(fault, fault.count) for fault in faults]

    def release(self) -> None:
        """Let those go that were held."""
        with self._changed:
            self._state.pending.extend(self._state.held)
            self._state.held.clear()
            self._changed.notify_all()

    def settle(self, timeout: float = 30.0) -> list[tuple[str, int]]:
        """Wait until nothing is on its way; topics and final answers (0: none) since the last time.

        Raises TimeoutError.
        """
        with self._changed:
            if not self._changed.wait_for(self._is_quiet, timeout):
                raise TimeoutError("webhooks are still on their way")
            answered, self._state.answered = self._state.answered, []
            return answered

    def _is_quiet(self) -> bool:
        return not self._state.pending and not self._state.is_busy

    def _queue(self, delivery: Delivery) -> None:
        way = self._way_of(delivery.topic)
        if way == "late":
            self._state.held.append(delivery)
        elif way != "never":
            self._state.pending.extend([delivery] * (2 if way == "twice" else 1))

    def _way_of(self, topic: str) -> Way | None:
        for position, (fault, left) in enumerate(self._state.faults):
            if fault.topic in (None, topic):
                if left == 1:
                    del self._state.faults[position]
                else:
                    self._state.faults[position] = (fault, left - 1)
                return fault.way
        return None

    def _deliver(self) -> None:
        with httpx.Client(timeout=TIMEOUT_SECONDS) as client:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: bool(self._state.pending))
                    delivery = self._state.pending.popleft()
                    self._state.is_busy = True
                status = self._attempt(client, delivery)
                with self._changed:
                    self._state.answered.append((delivery.topic, status))
                    self._state.is_busy = False
                    self._changed.notify_all()

    def _attempt(self, client: httpx.Client, delivery: Delivery) -> int:
        status = 0
        for _ in range(ATTEMPTS):
            try:
                response = client.post(
                    delivery.uri, content=delivery.body, headers=self.headers(delivery)
                )
            except httpx.HTTPError:
                status = 0
            else:
                status = response.status_code
            if status == httpx.codes.OK:
                break
            time.sleep(_RETRY_SECONDS)
        return status

    def headers(self, delivery: Delivery) -> dict[str, str]:
        """The headers of a delivery."""
        digest = hmac.new(self.secret.encode(), delivery.body, hashlib.sha256).digest()
        return {
            "Content-Type": "application/json",
            "User-Agent": "Shopify-Captain-Hook",
            "X-Shopify-Topic": delivery.topic,
            "X-Shopify-Shop-Domain": self.shop,
            "X-Shopify-API-Version": "2026-07",
            "X-Shopify-Hmac-Sha256": base64.b64encode(digest).decode(),
            "X-Shopify-Webhook-Id": delivery.webhook_id,
            "X-Shopify-Event-Id": str(uuid4()),
            "X-Shopify-Triggered-At": delivery.triggered_at.isoformat(),
        }

    # Subscribing

    def subscribe(self, topic: str, uri: str, include_fields: list[str]) -> Subscription:
        """Add a subscription."""
        with self._changed:
            number = 1_000_001 + max((n - 1_000_000 for n in self.subscriptions), default=0)
            now = datetime.now(UTC)
            added = Subscription(number, topic, uri, include_fields, None, now, now)
            self.subscriptions[number] = added
            return added


def _customer(customer: Customer) -> Payload:
    return {
        "id": customer.number,
        "admin_graphql_api_id": f"gid://shopify/Customer/{customer.number}",
        "email": customer.email,
        "first_name": customer.first_name,
        "last_name": customer.last_name,
        "created_at": _time(customer.created_at),
        "updated_at": _time(customer.updated_at),
        "tags": ", ".join(customer.tags),
    }


def _time(at: datetime | None) -> str | None:
    """With an offset, as in Shopify's REST payloads; to the second."""
    return None if at is None else at.isoformat(timespec="seconds")
