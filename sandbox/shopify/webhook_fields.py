"""The root fields about webhook subscriptions, worded as Shopify words them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from . import documents
from .documents import MAX_PAGE, Document
from .paging import Index, connection, window
from .store import Store
from .webhooks import Subscription

_ADDRESS = ["webhookSubscription", "callbackUrl"]
_GID = re.compile(r"gid://shopify/WebhookSubscription/(\d+)", re.ASCII)
# Scopes that a topic needs. Every other topic of the sandbox needs none.
_SCOPES = {
    "CUSTOMERS_MERGE": "read_customer_merge",
    **dict.fromkeys(
        (
            "ORDERS_CANCELLED",
            "ORDERS_CREATE",
            "ORDERS_DELETE",
            "ORDERS_UPDATED",
            "REFUNDS_CREATE",
        ),
        "read_orders",
    ),
    **dict.fromkeys(
        (
            "CUSTOMERS_CREATE",
            "CUSTOMERS_DELETE",
            "CUSTOMERS_UPDATE",
            "CUSTOMER_JOINED_SEGMENT",
            "CUSTOMER_LEFT_SEGMENT",
            "SEGMENTS_CREATE",
            "SEGMENTS_DELETE",
            "SEGMENTS_UPDATE",
        ),
        "read_customers",
    ),
}


def subscriptions(store: Store, **args: Any) -> Document:
    """`webhookSubscriptions`, oldest first."""
    topics, uri = args.get("topics"), args.get("uri")
    rows = [
        row
        for row in store.webhooks.subscriptions.values()
        if (topics is None or row.topic in topics) and (uri is None or row.uri == uri)
    ]
    index = Index.build(rows, lambda row: (row.number, row.number))
    return connection(index, window(args, MAX_PAGE), _document)


def create(store: Store, topic: str, webhookSubscription: Document) -> Document:  # noqa: N803
    """`webhookSubscriptionCreate`."""
    uri = webhookSubscription.get("uri")
    if error := _wrong_topic(store, topic) or _wrong_address(store, topic, uri):
        return {"webhookSubscription": None, "userErrors": [error]}
    added = store.webhooks.subscribe(
        topic, str(uri), list(webhookSubscription.get("includeFields") or [])
    )
    added.filter = webhookSubscription.get("filter")
    return {"webhookSubscription": _document(added), "userErrors": []}


def update(store: Store, id: str, webhookSubscription: Document) -> Document:  # noqa: A002, N803
    """`webhookSubscriptionUpdate`: what is not given stays."""
    found = _find(store, id)
    if found is None:
        return {"webhookSubscription": None, "userErrors": [_unknown()]}
    if "uri" in webhookSubscription:
        uri = webhookSubscription["uri"]
        if error := _wrong_address(store, found.topic, uri, found):
            return {"webhookSubscription": None, "userErrors": [error]}
        found.uri = uri
    if "includeFields" in webhookSubscription:
        found.include_fields = list(webhookSubscription["includeFields"] or [])
    if "filter" in webhookSubscription:
        found.filter = webhookSubscription["filter"]
    found.updated_at = datetime.now(UTC)
    return {"webhookSubscription": _document(found), "userErrors": []}


def delete(store: Store, id: str) -> Document:  # noqa: A002 - Shopify's name
    """`webhookSubscriptionDelete`."""
    found = _find(store, id)
    if found is None:
        return {"deletedWebhookSubscriptionId": None, "userErrors": [_unknown()]}
    del store.webhooks.subscriptions[found.number]
    return {"deletedWebhookSubscriptionId": id, "userErrors": []}


def _find(store: Store, global_id: str) -> Subscription | None:
    match = _GID.fullmatch(global_id)
    return store.webhooks.subscriptions.get(int(match[1])) if match else None


def _unknown() -> Document:
    return {"field": ["id"], "message": "Webhook subscription does not exist"}


def _wrong_topic(store: Store, topic: str) -> Document | None:
    scope = _SCOPES.get(topic)
    if scope is None or scope in store.scopes:
        return None
    message = "You cannot create a webhook subscription with the specified topic"
    return {"field": ["webhookSubscription", "topic"], "message": message}


def _wrong_address(
    store: Store, topic: str, uri: Any, changed: Subscription | None = None
) -> Document | None:
    if not uri:
        return {"field": _ADDRESS, "message": "Address can't be blank"}
    parts = urlsplit(str(uri))
    # Shopify takes https only; the sandbox delivers to this machine as well.
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        message = f"Address protocol {parts.scheme}:// is not supported"
        return {"field": _ADDRESS, "message": message}
    for row in store.webhooks.subscriptions.values():
        if row is not changed and (row.topic, row.uri) == (topic, uri):
            return {"field": _ADDRESS, "message": "Address for this topic has already been taken"}
    return None


def _document(row: Subscription) -> Document:
    return {
        "id": documents.gid("WebhookSubscription", row.number),
        "topic": row.topic,
        "uri": row.uri,
        "format": "JSON",
        "includeFields": row.include_fields,
        "filter": row.filter,
        "createdAt": documents.time_text(row.created_at),
        "updatedAt": documents.time_text(row.updated_at),
    }
