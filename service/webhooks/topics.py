"""The webhook topics that are handled: what each is about, and which of its fields are needed.

A webhook is a hint that something has changed; what has changed is read from the store. So late,
duplicate and reordered webhooks do no harm, and only ids and times of a payload are stored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from psycopg.types.json import Jsonb

from service.shopify.phones import normalize_phone

Payload = Mapping[str, Any]
Reader = Callable[[Payload], "Notice"]

_GID = re.compile(r"gid://shopify/\w+/(\d+)(?:\?.*)?", re.ASCII)
_NUMBER = re.compile(r"\d{1,20}", re.ASCII)

PRIVACY_KINDS = frozenset({"data_request", "customer_redact", "shop_redact"})
PRIVACY_TOPICS = frozenset({"customers/data_request", "customers/redact", "shop/redact"})
# What deletes data, which the store or a person must confirm.
ERASING_KINDS = frozenset({"uninstall", "customer_redact", "shop_redact"})
# Bodies that say the same each time something happens again, such as joining a segment, and that
# hold neither a time nor an id of their own.
RECURRING_KINDS = ERASING_KINDS | {"membership"}


@dataclass(frozen=True)
class Notice:
    """What a webhook asks for: a kind of work, the id it is about, and further ids."""

    kind: str
    subject: str
    details: dict[str, Any] = field(default_factory=dict)
    store_updated_at: datetime | None = None

    def columns(self) -> dict[str, Any]:
        """The notice as columns of ``app.webhook_events``."""
        return {
            "kind": self.kind,
            "subject": self.subject,
            "notice": Jsonb(self.details),
            "store_updated_at": self.store_updated_at,
        }


@dataclass(frozen=True)
class Topic:
    """A topic by the name in its header, and how its payload is read.

    ``constant`` is its name in the API, empty for topics that are configured on the app.
    ``include_fields`` are the fields that Shopify sends; empty for all.
    """

    name: str
    constant: str
    read: Reader
    include_fields: tuple[str, ...] = ()


def _about(kind: str, *id_fields: str) -> Reader:
    """Read the id under the first of these fields that is there."""
    return lambda payload: Notice(kind, _id(payload, *id_fields))


def _deleted(kind: str) -> Reader:
    """Read the id of a deleted record.

    Bodies about a change differ only by their time, and the topic is not signed: the body of a
    change must not delete what it is about.
    """

    def read(payload: Payload) -> Notice:
        if "updated_at" in payload:
            raise ValueError("it is the body of a change, not of a deletion")
        return Notice(kind, _id(payload, "id"))

    return read


def _changed(kind: str) -> Reader:
    """Read the id of a changed record and when it changed."""
    return lambda payload: Notice(
        kind, _id(payload, "id"), store_updated_at=_time(payload.get("updated_at"))
    )


def _customers_merged(payload: Payload) -> Notice:
    gone = _id(payload, "admin_graphql_api_customer_deleted_id")
    kept = _id(payload, "admin_graphql_api_customer_kept_id")
    return Notice("merge", gone, {"kept_id": kept, "status": str(payload.get("status"))})


def _membership_changed(payload: Payload) -> Notice:
    # Unverified: Shopify's documentation shows no payload of these two topics, and topics with a
    # dot write field names in another case than those with a slash.
    customer = _id(payload, "customer_id", "customerId", "admin_graphql_api_customer_id")
    segment = _id(payload, "segment_id", "segmentId", "admin_graphql_api_segment_id")
    return Notice("membership", customer, {"segment_id": segment})


def _about_person(kind: str, orders_field: str) -> Reader:
    """Read a customer's id, address, phone number and orders, as far as they are given."""

    def read(payload: Payload) -> Notice:
        customer = payload["customer"]
        email = str(customer.get("email") or "").strip().lower()
        details = {
            "emails": [email] if email else [],
            "order_ids": [_number(order) for order in payload.get(orders_field) or []],
        }
        if phone := normalize_phone(str(customer.get("phone") or "")):
            details["phones"] = [phone]
        return Notice(kind, _id(customer, "id"), details)

    return read


def _redact_request(payload: Payload) -> Notice:
    """Read the request to erase a customer; bodies of other topics do not list these orders."""
    if "orders_to_redact" not in payload:
        raise LookupError("orders_to_redact")
    return _about_person("customer_redact", "orders_to_redact")(payload)


def _uninstalled(payload: Payload) -> Notice:
    """Read the removal of the app: its body is the store, with its domain."""
    if not payload.get("myshopify_domain"):
        raise LookupError("myshopify_domain")
    return Notice("uninstall", "")


def _shop_redact(payload: Payload) -> Notice:
    """Read the request to erase a store; a body that names a customer is about that person."""
    for name in ("shop_id", "shop_domain"):
        if not payload.get(name):
            raise LookupError(name)
    if "customer" in payload:
        raise ValueError("it is about a customer, not about the store")
    return Notice("shop_redact", "")


_ORDER = _changed("order")
_CUSTOMER = _changed("customer")
_SEGMENT = _about("segment", "id", "admin_graphql_api_id")

TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        Topic("orders/create", "ORDERS_CREATE", _ORDER, ("id", "updated_at")),
        Topic("orders/updated", "ORDERS_UPDATED", _ORDER, ("id", "updated_at")),
        Topic("orders/cancelled", "ORDERS_CANCELLED", _ORDER, ("id", "updated_at")),
        Topic("orders/delete", "ORDERS_DELETE", _deleted("order_deleted")),
        Topic("refunds/create", "REFUNDS_CREATE", _about("order", "order_id"), ("id", "order_id")),
        Topic("customers/create", "CUSTOMERS_CREATE", _CUSTOMER, ("id", "updated_at")),
        Topic("customers/update", "CUSTOMERS_UPDATE", _CUSTOMER, ("id", "updated_at")),
        Topic("customers/delete", "CUSTOMERS_DELETE", _deleted("customer_deleted")),
        Topic("customers/merge", "CUSTOMERS_MERGE", _customers_merged),
        Topic("segments/create", "SEGMENTS_CREATE", _SEGMENT),
        Topic("segments/update", "SEGMENTS_UPDATE", _SEGMENT),
        Topic("segments/delete", "SEGMENTS_DELETE", _SEGMENT),
        Topic("customer.joined_segment", "CUSTOMER_JOINED_SEGMENT", _membership_changed),
        Topic("customer.left_segment", "CUSTOMER_LEFT_SEGMENT", _membership_changed),
        Topic(
            "bulk_operations/finish",
            "BULK_OPERATIONS_FINISH",
            _about("bulk_operation", "admin_graphql_api_id"),
        ),
        Topic("app/uninstalled", "APP_UNINSTALLED", _uninstalled, ("id", "myshopify_domain")),
        Topic("customers/data_request", "", _about_person("data_request", "orders_requested")),
        Topic("customers/redact", "", _redact_request),
        Topic("shop/redact", "", _shop_redact),
    )
}


def read_notice(topic: str, payload: Any) -> Notice:
    """What a webhook of a handled topic asks for.

    Raises:
        ValueError: The payload is not one of the topic's; the message is a sentence that says why.
    """
    try:
        if isinstance(payload, dict):
            return TOPICS[topic].read(payload)
        problem = "not a JSON object"
    except LookupError as error:
        problem = f"{error} is missing"
    except (AttributeError, TypeError) as error:
        problem = f"the body has another form than expected ({error})"
    except ValueError as error:
        problem = str(error)
    raise ValueError(f"It was not understood: {problem}.")


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
