"""The topics we handle: what each is about and which of its fields we need.

A webhook is taken as a hint that something has changed, never as the news itself: what changed is
read from the store. So a late, doubled or reordered webhook can do no harm, and of a payload
nothing is kept but ids and times.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Payload = Mapping[str, Any]

_GID = re.compile(r"gid://shopify/\w+/(\d+)(?:\?.*)?", re.ASCII)
_NUMBER = re.compile(r"\d{1,20}", re.ASCII)

PRIVACY_KINDS = frozenset({"data_request", "customer_redact", "shop_redact"})


@dataclass(frozen=True)
class Notice:
    """What a webhook asks for: a kind of work, the id it is about, and further ids."""

    kind: str
    subject: str
    details: dict[str, Any] = field(default_factory=dict)
    store_updated_at: datetime | None = None


@dataclass(frozen=True)
class Topic:
    """A topic as its header names it, and how its payload is read.

    ``constant`` is its name in the API, empty for those that are configured on the app.
    ``include_fields`` are all that Shopify is asked to send; empty for everything.
    """

    name: str
    constant: str
    read: Callable[[Payload], Notice]
    include_fields: tuple[str, ...] = ()


def _order_changed(payload: Payload) -> Notice:
    return Notice("order", _id(payload, "id"), store_updated_at=_time(payload.get("updated_at")))


def _order_refunded(payload: Payload) -> Notice:
    return Notice("order", _id(payload, "order_id"))


def _order_deleted(payload: Payload) -> Notice:
    return Notice("order_deleted", _id(payload, "id"))


def _customer_changed(payload: Payload) -> Notice:
    return Notice("customer", _id(payload, "id"), store_updated_at=_time(payload.get("updated_at")))


def _customer_deleted(payload: Payload) -> Notice:
    return Notice("customer_deleted", _id(payload, "id"))


def _customers_merged(payload: Payload) -> Notice:
    gone = _id(payload, "admin_graphql_api_customer_deleted_id")
    kept = _id(payload, "admin_graphql_api_customer_kept_id")
    return Notice("merge", gone, {"kept_id": kept, "status": str(payload.get("status"))})


def _segment_changed(payload: Payload) -> Notice:
    return Notice("segment", _id(payload, "id", "admin_graphql_api_id"))


def _membership_changed(payload: Payload) -> Notice:
    # Unverified: Shopify's documentation shows no payload of these two, and its topics with a dot
    # write names in another case than those with a slash.
    customer = _id(payload, "customer_id", "customerId", "admin_graphql_api_customer_id")
    segment = _id(payload, "segment_id", "segmentId", "admin_graphql_api_segment_id")
    return Notice("membership", customer, {"segment_id": segment})


def _bulk_finished(payload: Payload) -> Notice:
    return Notice("bulk_operation", _id(payload, "admin_graphql_api_id"))


def _uninstalled(_payload: Payload) -> Notice:
    return Notice("uninstall", "")


def _data_requested(payload: Payload) -> Notice:
    return Notice("data_request", *_person(payload, "orders_requested"))


def _customer_to_redact(payload: Payload) -> Notice:
    return Notice("customer_redact", *_person(payload, "orders_to_redact"))


def _shop_to_redact(_payload: Payload) -> Notice:
    return Notice("shop_redact", "")


def _person(payload: Payload, orders: str) -> tuple[str, dict[str, Any]]:
    """A customer's id, with their address and orders as far as they are told."""
    customer = payload["customer"]
    email = str(customer.get("email") or "").strip().lower()
    return _id(customer, "id"), {
        "emails": [email] if email else [],
        "order_ids": [_number(order) for order in payload.get(orders) or []],
    }


TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        Topic("orders/create", "ORDERS_CREATE", _order_changed, ("id", "updated_at")),
        Topic("orders/updated", "ORDERS_UPDATED", _order_changed, ("id", "updated_at")),
        Topic("orders/cancelled", "ORDERS_CANCELLED", _order_changed, ("id", "updated_at")),
        Topic("orders/delete", "ORDERS_DELETE", _order_deleted),
        Topic("refunds/create", "REFUNDS_CREATE", _order_refunded, ("id", "order_id")),
        Topic("customers/create", "CUSTOMERS_CREATE", _customer_changed, ("id", "updated_at")),
        Topic("customers/update", "CUSTOMERS_UPDATE", _customer_changed, ("id", "updated_at")),
        Topic("customers/delete", "CUSTOMERS_DELETE", _customer_deleted),
        Topic("customers/merge", "CUSTOMERS_MERGE", _customers_merged),
        Topic("segments/create", "SEGMENTS_CREATE", _segment_changed),
        Topic("segments/update", "SEGMENTS_UPDATE", _segment_changed),
        Topic("segments/delete", "SEGMENTS_DELETE", _segment_changed),
        Topic("customer.joined_segment", "CUSTOMER_JOINED_SEGMENT", _membership_changed),
        Topic("customer.left_segment", "CUSTOMER_LEFT_SEGMENT", _membership_changed),
        Topic("bulk_operations/finish", "BULK_OPERATIONS_FINISH", _bulk_finished),
        Topic("app/uninstalled", "APP_UNINSTALLED", _uninstalled, ("id", "myshopify_domain")),
        Topic("customers/data_request", "", _data_requested),
        Topic("customers/redact", "", _customer_to_redact),
        Topic("shop/redact", "", _shop_to_redact),
    )
}


def read_notice(topic: str, payload: Any) -> Notice:
    """What a webhook of a topic that we handle asks for.

    Raises:
        ValueError: The payload is not what the topic's payloads are; the message says why.
    """
    try:
        return TOPICS[topic].read(_object(payload))
    except LookupError as error:
        raise ValueError(f"{error} is missing") from None
    except (AttributeError, TypeError) as error:
        raise ValueError(f"the body has another form than expected ({error})") from None


def _object(payload: Any) -> Payload:
    if not isinstance(payload, dict):
        raise TypeError("not a JSON object")
    return payload


def _id(payload: Payload, *names: str) -> str:
    """The id under the first of these names that is there."""
    for name in names:
        if payload.get(name) is not None:
            return _number(payload[name])
    raise LookupError(names[0])


def _number(value: Any) -> str:
    text = str(value)
    match = _GID.fullmatch(text)
    if match is not None:
        return match[1]
    if isinstance(value, bool) or not _NUMBER.fullmatch(text):
        raise ValueError(f"'{text[:40]}' is not an id")
    return text


def _time(value: Any) -> datetime | None:
    if value is None:
        return None
    moment = datetime.fromisoformat(str(value))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
