"""Subscriptions in a shop: which there should be, which there are, and mending the difference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from service.core.config import Settings
from service.core.errors import InvalidSettingError
from service.shopify.client import ShopifyClient, pages
from service.webhooks.topics import TOPICS, Topic

PATH = "/webhooks/shopify"
# The one topic that needs a scope Quintile does not ask for otherwise.
_OPTIONAL = {
    "CUSTOMERS_MERGE": "It needs the scope read_customer_merge; without it merges are found by"
    " comparing with the store."
}
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Deviation:
    """One topic whose subscription is not what it should be.

    ``subscription_id`` is the one to change, None when there is none to begin with. ``problem`` is
    what a person reads, ``optional`` why it may stay so.
    """

    topic: Topic
    subscription_id: str | None
    problem: str
    optional: str = ""


def webhook_address(settings: Settings) -> str:
    """Where Shopify is to send webhooks; empty when no public address is set.

    Raises:
        InvalidSettingError: The public address is not one that Shopify delivers to.
    """
    base = settings.public_url.strip().rstrip("/")
    if not base:
        return ""
    parts = urlsplit(base)
    is_local = parts.scheme == "http" and parts.hostname in _LOOPBACK
    if not (parts.scheme == "https" or is_local) or not parts.hostname or parts.query:
        raise InvalidSettingError(
            "QUINTILE_PUBLIC_URL must be an https:// address.",
            advice="For example https://quintile.example.com; Shopify delivers to https only.",
        )
    return f"{base}{PATH}"


def find_deviations(client: ShopifyClient, address: str) -> list[Deviation]:
    """Topics that this shop does not tell us of as it should.

    A subscription of another address is left alone, unless its path is ours: then it is what we
    made before we moved.

    Raises:
        ShopifyError: The shop cannot be asked.
    """
    there = list(_existing(client))
    return [
        deviation
        for topic in TOPICS.values()
        if topic.constant and (deviation := _deviation(topic, there, address)) is not None
    ]


def mend(client: ShopifyClient, address: str, deviation: Deviation) -> str:
    """Create or change a subscription; says why not, or nothing when it is done.

    Raises:
        ShopifyError: The shop cannot be asked.
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


def _existing(client: ShopifyClient) -> Iterator[dict[str, Any]]:
    for page in pages(client, "webhook_subscriptions", "webhookSubscriptions", first=250):
        yield from page["nodes"]


def _deviation(topic: Topic, there: list[dict[str, Any]], address: str) -> Deviation | None:
    optional = _OPTIONAL.get(topic.constant, "")
    ours = [
        item
        for item in there
        if item["topic"] == topic.constant and urlsplit(item["uri"]).path.endswith(PATH)
    ]
    here = next((item for item in ours if item["uri"] == address), None)
    if here is None:
        if not ours:
            return Deviation(topic, None, f"{topic.name} is missing", optional)
        moved = ours[0]
        return Deviation(topic, moved["id"], f"{topic.name} goes to {moved['uri']}", optional)
    if here["format"] != "JSON":
        return Deviation(topic, here["id"], f"{topic.name} comes as {here['format']}", optional)
    if here["filter"]:
        return Deviation(topic, here["id"], f"{topic.name} is filtered", optional)
    if sorted(here["includeFields"]) != sorted(topic.include_fields):
        sent = ", ".join(here["includeFields"]) or "everything"
        return Deviation(topic, here["id"], f"{topic.name} sends {sent}", optional)
    return None
