"""The sandbox delivers webhooks as Shopify does: signed, over HTTP, and as wrongly as asked to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import httpx
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from sandbox import Sandbox
from sandbox.data import anchor_at, generate_store
from sandbox.data.specs import KESSEL
from sandbox.shopify import ALL_SCOPES, Store
from sandbox.shopify.webhooks import DeliveryFault
from tests.hooks import signature

HTTP = httpx.Client(verify=False)  # noqa: S501 - plain HTTP on loopback
CREATE = """
  mutation ($topic: WebhookSubscriptionTopic!, $input: WebhookSubscriptionInput!) {
    webhookSubscriptionCreate(topic: $topic, webhookSubscription: $input) {
      webhookSubscription { id topic uri includeFields filter format }
      userErrors { field message }
    }
  }
"""
UPDATE = """
  mutation ($id: ID!, $input: WebhookSubscriptionInput!) {
    webhookSubscriptionUpdate(id: $id, webhookSubscription: $input) {
      webhookSubscription { uri includeFields }
      userErrors { field message }
    }
  }
"""
DELETE = """
  mutation ($id: ID!) {
    webhookSubscriptionDelete(id: $id) {
      deletedWebhookSubscriptionId
      userErrors { field message }
    }
  }
"""
LIST = "{ webhookSubscriptions(first: 50) { nodes { id topic uri } } }"


@dataclass
class Receiver:
    """A server that keeps what it receives and answers as planned."""

    url: str
    taken: list[tuple[str, str, Any]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    def take(self, request: Request) -> Response:
        body = request.get_data()
        assert request.headers["X-Shopify-Hmac-Sha256"] == signature(body)
        topic = request.headers["X-Shopify-Topic"]
        self.taken.append((topic, request.headers["X-Shopify-Webhook-Id"], json.loads(body)))
        return Response(status=self.statuses.pop(0) if self.statuses else 200)

    @property
    def topics(self) -> list[str]:
        return [topic for topic, _, _ in self.taken]


@pytest.fixture
def store() -> Store:
    return Store(generate_store(KESSEL, 1, anchor_at(date(2026, 7, 1))))


@pytest.fixture
def sandbox(store: Store) -> Iterator[Sandbox]:
    with Sandbox([store], []) as sandbox:
        yield sandbox


@pytest.fixture
def receiver(httpserver: HTTPServer) -> Receiver:
    receiver = Receiver(httpserver.url_for("/hooks"))
    httpserver.expect_request("/hooks").respond_with_handler(receiver.take)
    return receiver


def ask(sandbox: Sandbox, store: Store, query: str, /, **variables: Any) -> dict[str, Any]:
    response = HTTP.post(
        f"{sandbox.shopify_url}/admin/api/2026-07/graphql.json",
        json={"query": query, "variables": variables},
        headers={"X-Shopify-Access-Token": store.data.token},
    )
    assert response.status_code == 200
    body: dict[str, Any] = response.json()
    assert "errors" not in body, body
    data: dict[str, Any] = body["data"]
    return data


def subscribe(sandbox: Sandbox, store: Store, topic: str, uri: str, *fields: str) -> str:
    wanted = {"uri": uri, "includeFields": list(fields)}
    made = ask(sandbox, store, CREATE, topic=topic, input=wanted)["webhookSubscriptionCreate"]
    assert made["userErrors"] == []
    return str(made["webhookSubscription"]["id"])


def test_a_change_is_delivered_with_the_fields_asked_for(
    sandbox: Sandbox, store: Store, receiver: Receiver
) -> None:
    subscribe(sandbox, store, "ORDERS_UPDATED", receiver.url, "id", "updated_at")
    subscribe(sandbox, store, "REFUNDS_CREATE", receiver.url)
    order = store.update_order(store.data.orders[0].number, refunded=1)
    assert store.webhooks.settle() == [("orders/updated", 200), ("refunds/create", 200)]
    (_, _, updated), (_, _, refunded) = receiver.taken
    assert updated == {"id": order.number, "updated_at": order.updated_at.isoformat()}
    assert refunded["order_id"] == order.number


def test_each_way_to_go_wrong(sandbox: Sandbox, store: Store, receiver: Receiver) -> None:
    subscribe(sandbox, store, "ORDERS_UPDATED", receiver.url)
    number = store.data.orders[0].number
    for way in ("late", "never", "twice"):
        store.webhooks.fail(DeliveryFault(way))  # type: ignore[arg-type]
        store.update_order(number, note=way)
    store.webhooks.settle()
    assert [body["note"] for _, _, body in receiver.taken] == ["twice", "twice"]
    assert len({webhook_id for _, webhook_id, _ in receiver.taken}) == 1
    store.webhooks.release()
    store.webhooks.settle()
    assert receiver.taken[-1][2]["note"] == "late"


def test_a_refusal_brings_the_same_webhook_again(
    sandbox: Sandbox, store: Store, receiver: Receiver
) -> None:
    subscribe(sandbox, store, "ORDERS_DELETE", receiver.url)
    receiver.statuses = [500, 401]
    store.delete_order(store.data.orders[0].number)
    assert store.webhooks.settle() == [("orders/delete", 200)]
    assert len({webhook_id for _, webhook_id, _ in receiver.taken}) == 1
    assert len(receiver.taken) == 3


def test_everything_a_store_does_has_its_topic(
    sandbox: Sandbox, store: Store, receiver: Receiver
) -> None:
    store.scopes = ALL_SCOPES | {"read_customer_merge"}
    for topic in (
        "CUSTOMERS_MERGE",
        "CUSTOMERS_DELETE",
        "SEGMENTS_UPDATE",
        "SEGMENTS_DELETE",
        "CUSTOMER_JOINED_SEGMENT",
        "CUSTOMER_LEFT_SEGMENT",
        "ORDERS_CANCELLED",
        "APP_UNINSTALLED",
    ):
        subscribe(sandbox, store, topic, receiver.url)
    first, second, third = store.data.customers[:3]
    store.update_customer(first.number)
    store.merge_customers(first.number, second.number)
    store.delete_customer(third.number)
    segment = store.data.segments[1]
    store.update_segment(segment.number, query="number_of_orders > 100000")
    store.delete_segment(segment.number)
    store.update_order(store.data.orders[0].number, cancelled_at=store.now)
    store.uninstall()
    store.webhooks.settle()
    assert set(receiver.topics) == {
        "customers/merge",
        "customers/delete",
        "segments/update",
        "segments/delete",
        "customer.left_segment",
        "orders/cancelled",
        "app/uninstalled",
    }
    assert store.webhooks.subscriptions == {}
    answer = HTTP.post(
        f"{sandbox.shopify_url}/admin/api/2026-07/graphql.json",
        json={"query": "{ shop { id } }"},
        headers={"X-Shopify-Access-Token": store.data.token},
    )
    assert answer.status_code == 401


def test_privacy_requests_go_to_the_app(store: Store, receiver: Receiver) -> None:
    with pytest.raises(ValueError, match="app_uri"):
        store.webhooks.request("shop/redact")
    store.webhooks.app_uri = receiver.url
    store.webhooks.request("customers/redact", customer={"id": 1}, orders_to_redact=[])
    store.webhooks.settle()
    ((topic, _, body),) = receiver.taken
    assert (topic, body["shop_domain"]) == ("customers/redact", store.data.domain)


@pytest.mark.parametrize(
    ("topic", "uri", "message"),
    [
        ("ORDERS_CREATE", "", "Address can't be blank"),
        ("ORDERS_CREATE", None, "Address can't be blank"),
        ("ORDERS_CREATE", "http://example.com", "Address protocol http:// is not supported"),
        ("ORDERS_CREATE", "https://a.example.com", "Address for this topic has already been taken"),
        (
            "CUSTOMERS_MERGE",
            "https://b.example.com",
            "You cannot create a webhook subscription with the specified topic",
        ),
    ],
)
def test_a_subscription_that_shopify_would_refuse_is_refused(
    sandbox: Sandbox, store: Store, topic: str, uri: str | None, message: str
) -> None:
    subscribe(sandbox, store, "ORDERS_CREATE", "https://a.example.com")
    answer = ask(sandbox, store, CREATE, topic=topic, input={"uri": uri})
    made = answer["webhookSubscriptionCreate"]
    assert made["webhookSubscription"] is None
    assert [error["message"] for error in made["userErrors"]] == [message]


def test_subscriptions_are_listed_changed_and_deleted(sandbox: Sandbox, store: Store) -> None:
    made = subscribe(sandbox, store, "ORDERS_CREATE", "https://a.example.com", "id")
    changed = ask(sandbox, store, UPDATE, id=made, input={"uri": "https://b.example.com"})
    assert changed["webhookSubscriptionUpdate"]["webhookSubscription"] == {
        "uri": "https://b.example.com",
        "includeFields": ["id"],
    }
    (listed,) = ask(sandbox, store, LIST)["webhookSubscriptions"]["nodes"]
    assert listed == {"id": made, "topic": "ORDERS_CREATE", "uri": "https://b.example.com"}
    gone = ask(sandbox, store, DELETE, id=made)["webhookSubscriptionDelete"]
    assert gone == {"deletedWebhookSubscriptionId": made, "userErrors": []}
    for document, name in ((DELETE, "Delete"), (UPDATE, "Update")):
        variables = {"id": made} | ({"input": {}} if name == "Update" else {})
        answer = ask(sandbox, store, document, **variables)[f"webhookSubscription{name}"]
        assert answer["userErrors"] == [
            {"field": ["id"], "message": "Webhook subscription does not exist"}
        ]
