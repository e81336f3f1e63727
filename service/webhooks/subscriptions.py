"""Webhook subscriptions of a shop: compared with the topics that are handled, and corrected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from service.core.config import Settings, public_address
from service.shopify.client import ShopifyClient
from service.shopify.paging import Listing, pages
from service.webhooks.topics import TOPICS, Topic

PATH = "/webhooks/shopify"
# The only topic that needs a scope which Quintile does not require.
_OPTIONAL = {
    "CUSTOMERS_MERGE": "It needs the scope read_customer_merge. Without it, merges are found by"
    " comparing with the store."
}
_SUBSCRIPTIONS = Listing("webhook_subscriptions", "webhookSubscriptions")


@dataclass(frozen=True)
class Deviation:
    """A topic whose subscription is missing or wrong.

    ``subscription_id`` is the subscription to change, None if it is missing. ``problem`` describes
    it; ``optional`` says why it may stay so, if it may.
    """

    topic: Topic
    subscription_id: str | None
    problem: str
    optional: str = ""


def webhook_address(settings: Settings) -> str:
    """The URL to which Shopify sends webhooks; empty if no public address is set.

    Raises:
        InvalidSettingError: The public address is not an https URL.
    """
    address = public_address(settings)
    return f"{address}{PATH}" if address else ""


def find_deviations(client: ShopifyClient, address: str) -> list[Deviation]:
    """Topics whose subscription in this shop is missing or wrong.

    A subscription to another address is ignored, unless it has our path: then the service's public
    address has changed.

    Raises:
        ShopifyError: The subscriptions cannot be read.
    """
    existing = [node for page in pages(client, _SUBSCRIPTIONS, first=250) for node in page.nodes]
    return [
        deviation
        for topic in TOPICS.values()
        if topic.constant and (deviation := _deviation(topic, existing, address)) is not None
    ]


def repair(client: ShopifyClient, address: str, deviation: Deviation) -> str:
    """Create or change a subscription; returns Shopify's objections, or an empty text if done.

    Raises:
        ShopifyError: The call failed.
    """
    wanted = {
        "uri": address,
        "format": "JSON",
        "includeFields": list(deviation.topic.include_fields),
        "filter": "",
    }
    if deviation.subscription_id is None:
        answer = client.run(
            "webhook_subscription_create",
            topic=deviation.topic.constant,
            subscription=wanted,
        )["webhookSubscriptionCreate"]
    else:
        answer = client.run(
            "webhook_subscription_update", id=deviation.subscription_id, subscription=wanted
        )["webhookSubscriptionUpdate"]
    return "; ".join(str(error["message"]) for error in (answer or {}).get("userErrors") or [])


def _deviation(topic: Topic, existing: list[dict[str, Any]], address: str) -> Deviation | None:
    ours = [
        item
        for item in existing
        if item["topic"] == topic.constant and urlsplit(item["uri"]).path.endswith(PATH)
    ]
    found = next((item for item in ours if item["uri"] == address), ours[0] if ours else None)
    if found is None:
        problem = "is missing"
    elif found["uri"] != address:
        problem = f"goes to {found['uri']}"
    elif found["format"] != "JSON":
        problem = f"comes as {found['format']}"
    elif found["filter"]:
        problem = "is filtered"
    elif sorted(found["includeFields"]) != sorted(topic.include_fields):
        problem = f"sends {', '.join(found['includeFields']) or 'everything'}"
    else:
        return None
    subscription_id = found["id"] if found else None
    optional = _OPTIONAL.get(topic.constant, "")
    return Deviation(topic, subscription_id, f"{topic.name} {problem}", optional)
