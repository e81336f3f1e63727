"""Reading webhook payloads, the requested fields, and the signature."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from service.core.config import Settings, client_secrets
from service.webhooks.signature import is_signed, sign
from service.webhooks.topics import PRIVACY_KINDS, TOPICS, Notice, read_notice

SHOP = "kessel.myshopify.com"
PERSON = {"customer": {"id": 7, "email": " Ada@Example.com ", "phone": "1"}}


@pytest.mark.parametrize(
    ("topic", "payload", "notice"),
    [
        (
            "orders/updated",
            {"id": 820982911946154508, "updated_at": "2026-07-01T10:00:00-04:00"},
            Notice(
                "order",
                "820982911946154508",
                store_updated_at=datetime(2026, 7, 1, 14, tzinfo=UTC),
            ),
        ),
        ("orders/cancelled", {"id": 1}, Notice("order", "1")),
        ("orders/delete", {"id": 1}, Notice("order_deleted", "1")),
        ("refunds/create", {"id": 5, "order_id": 9}, Notice("order", "9")),
        ("customers/delete", {"id": 3}, Notice("customer_deleted", "3")),
        ("segments/delete", {"id": 4}, Notice("segment", "4")),
        (
            "segments/update",
            {"admin_graphql_api_id": "gid://shopify/Segment/4"},
            Notice("segment", "4"),
        ),
        (
            "customer.left_segment",
            {"customerId": "gid://shopify/Customer/1", "segmentId": "gid://shopify/Segment/2"},
            Notice("membership", "1", {"segment_id": "2"}),
        ),
        (
            "app/uninstalled",
            {"id": 1, "myshopify_domain": "kessel.myshopify.com"},
            Notice("uninstall", ""),
        ),
        (
            "customers/data_request",
            {**PERSON, "orders_requested": [1, 2]},
            Notice("data_request", "7", {"emails": ["ada@example.com"], "order_ids": ["1", "2"]}),
        ),
        (
            "customers/redact",
            {
                "customer": {"id": 7, "email": None, "phone": "+880 1712-345678"},
                "orders_to_redact": [],
            },
            Notice(
                "customer_redact",
                "7",
                {"emails": [], "phones": ["+8801712345678"], "order_ids": []},
            ),
        ),
        (
            "customers/redact",
            {"customer": {"id": 7}, "orders_to_redact": None},
            Notice("customer_redact", "7", {"emails": [], "order_ids": []}),
        ),
        (
            "shop/redact",
            {"shop_id": 1, "shop_domain": "kessel.myshopify.com"},
            Notice("shop_redact", ""),
        ),
    ],
)
def test_payloads_are_read(topic: str, payload: dict[str, Any], notice: Notice) -> None:
    assert read_notice(topic, payload) == notice


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        "text",
        7,
        {},
        {"id": None},
        {"id": True},
        {"id": -1},
        {"id": 1.5},
        {"id": "gid://shopify/Order/x"},
        {"id": "1" * 30},
        {"id": "\u0661"},
        {"id": 1, "updated_at": "soon"},
        {"id": 1, "updated_at": 5},
    ],
)
def test_an_invalid_payload_is_refused(payload: Any) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_notice("orders/create", payload)


def test_all_topics_are_handled() -> None:
    subscribed = {topic.constant for topic in TOPICS.values() if topic.constant}
    assert subscribed == {
        "ORDERS_CREATE",
        "ORDERS_UPDATED",
        "ORDERS_CANCELLED",
        "ORDERS_DELETE",
        "REFUNDS_CREATE",
        "CUSTOMERS_CREATE",
        "CUSTOMERS_UPDATE",
        "CUSTOMERS_DELETE",
        "CUSTOMERS_MERGE",
        "SEGMENTS_CREATE",
        "SEGMENTS_UPDATE",
        "SEGMENTS_DELETE",
        "CUSTOMER_JOINED_SEGMENT",
        "CUSTOMER_LEFT_SEGMENT",
        "BULK_OPERATIONS_FINISH",
        "APP_UNINSTALLED",
    }
    configured = {name for name, topic in TOPICS.items() if not topic.constant}
    assert configured == {"customers/data_request", "customers/redact", "shop/redact"}
    person = {**PERSON, "orders_to_redact": []}
    store = {"shop_id": 1, "shop_domain": "kessel.myshopify.com"}
    bodies = {name: store if name == "shop/redact" else person for name in configured}
    assert {read_notice(name, body).kind for name, body in bodies.items()} == PRIVACY_KINDS


def test_no_personal_field_is_requested() -> None:
    wanted = {field for topic in TOPICS.values() for field in topic.include_fields}
    assert wanted == {"id", "updated_at", "order_id", "myshopify_domain"}


def test_the_signature_is_as_documented() -> None:
    """HMAC-SHA-256 of the body under the secret, in base64; computed with openssl."""
    expected = b"VnKUjZsLuN5iZWjn5EntcBVCF9kMN43LglzCE1/GSeY="
    settings = Settings(shopify_client_secret=" , hush ,older,")
    assert client_secrets(settings) == ["hush", "older"]
    assert sign("hush", b'{"id":1}') == expected
    assert is_signed(settings, SHOP, b'{"id":1}', expected.decode())
    assert not is_signed(settings, SHOP, b'{"id":1}', expected.decode().rstrip("="))
    assert not is_signed(settings, SHOP, b'{"id":1}', expected.decode().lower())
    assert not is_signed(Settings(), SHOP, b'{"id":1}', sign("", b'{"id":1}').decode())
