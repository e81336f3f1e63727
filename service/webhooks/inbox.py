"""Receiving a webhook: verified, then stored together with its job in one transaction.

Shopify signs the body only: topic, shop, time and id are headers that a sender who has seen one
signed body can choose. So a body must be of the shop that the header names, and counts once under
whatever id it comes; what no signed field proves is confirmed with the store when it is processed.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from psycopg.types.json import Jsonb

from service.core.config import Settings, client_secrets
from service.core.db import Connection, Pool, tenant_transaction
from service.core.http import load_json, storable
from service.core.queries import query
from service.tenants.shop_domain import tenant_of_shop
from service.webhooks.events import defer_event
from service.webhooks.signature import NotSignedError, is_signed
from service.webhooks.topics import RECURRING_KINDS, TOPICS, read_notice

# With `includeFields` a body has about a hundred bytes; a subscription made elsewhere may send
# complete orders.
MAX_BODY_BYTES = 8 * 1024 * 1024
# Shopify repeats a webhook for four hours, and may send it up to a day late.
MAX_AGE = timedelta(days=1)
# How far the sender's clock may be ahead of this one.
MAX_AHEAD = timedelta(minutes=5)
_LONGEST_ID = 255
# Shopify dates changes to the second, and its clock is not ours.
_SAME_MOMENT = timedelta(seconds=5)
_DOMAIN_FIELDS = ("shop_domain", "myshopify_domain")

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Delivery:
    """One request: its body and the values of its headers."""

    body: bytes
    signature: str
    topic: str
    shop: str
    webhook_id: str
    triggered_at: datetime | None

    @classmethod
    def of(cls, headers: Mapping[str, str], body: bytes) -> Delivery:
        """Read the headers Shopify sends."""
        topic = headers.get("X-Shopify-Topic", "").strip().lower()
        webhook_id = headers.get("X-Shopify-Webhook-Id", "").strip()
        if not 0 < len(webhook_id) <= _LONGEST_ID or not webhook_id.isprintable():
            # Deliveries of the same webhook have at least the same body.
            digest = hashlib.sha256(topic.encode("utf-8", "replace") + b"\n" + body)
            webhook_id = f"sha256:{digest.hexdigest()}"
        return cls(
            body=body,
            signature=headers.get("X-Shopify-Hmac-Sha256", ""),
            topic=topic,
            shop=headers.get("X-Shopify-Shop-Domain", "").strip().lower(),
            webhook_id=webhook_id,
            triggered_at=_instant(headers.get("X-Shopify-Triggered-At", "")),
        )


def receive(settings: Settings, pool: Pool, delivery: Delivery) -> None:
    """Store a webhook and queue its job in one transaction.

    Nothing is looked up before the signature is verified, so a sender without the secret learns
    nothing. Webhooks of other topics or unknown shops are ignored. An unreadable one is
    quarantined: if it were refused, Shopify would send it again.

    Raises:
        NotSignedError: No client secret of the shop's app gives the signature, the body is of
            another shop, or its time is not within a day.
    """
    if not client_secrets(settings, delivery.shop):
        log.warning("webhook refused", reason="QUINTILE_SHOPIFY_CLIENT_SECRET is not set")
    if not is_signed(settings, delivery.shop, delivery.body, delivery.signature):
        raise NotSignedError
    payload = _decode(delivery.body)
    named = _domains_in(payload)
    if named - {delivery.shop}:
        raise NotSignedError("The webhook was signed for another shop.", advice="")
    _check_time(delivery)
    if delivery.topic not in TOPICS:
        return
    tenant_id = tenant_of_shop(pool, delivery.shop)
    if tenant_id is None:
        # After an error Shopify would send it for two days. For an erased tenant there is nothing
        # to export or erase.
        log.info("webhook ignored", topic=delivery.topic, webhook_id=delivery.webhook_id)
        return
    with tenant_transaction(pool, tenant_id) as conn:
        _store(conn, tenant_id, delivery, payload, is_shop_named=bool(named))


def _check_time(delivery: Delivery) -> None:
    """Refuse a webhook without a time, from the future, or that is too old to be a repetition.

    Raises:
        NotSignedError: The time is out of range.
    """
    now = datetime.now(UTC)
    at = delivery.triggered_at
    if at is None or not now - MAX_AGE <= at <= now + MAX_AHEAD:
        raise NotSignedError(
            "The webhook's time is missing, in the future or more than a day ago.",
            advice="If Shopify sent it now, correct this machine's clock.",
        )


def _store(
    conn: Connection, tenant_id: UUID, delivery: Delivery, payload: Any, *, is_shop_named: bool
) -> None:
    parameters = {
        "tenant_id": tenant_id,
        "webhook_id": delivery.webhook_id,
        "topic": delivery.topic,
        "triggered_at": delivery.triggered_at,
        "signature": base64.b64decode(delivery.signature),
        "is_shop_named": is_shop_named,
    }
    # Two copies of one body must not both find that the other is not there yet.
    conn.execute(query("webhooks.lock_body"), parameters)
    try:
        notice = read_notice(delivery.topic, payload)
    except ValueError as error:
        unreadable = {**parameters, "payload": Jsonb(payload), "reason": str(error)}
        conn.execute(query("webhooks.insert_unreadable"), unreadable)
        ids = {"webhook_id": delivery.webhook_id, "tenant_id": str(tenant_id)}
        log.warning("webhook not understood", topic=delivery.topic, **ids)
        return
    event = {
        **parameters,
        **notice.columns(),
        "may_recur": notice.kind in RECURRING_KINDS,
        "margin": _SAME_MOMENT,
    }
    if conn.execute(query("webhooks.insert_event"), event).fetchone() is not None:
        defer_event(conn, tenant_id, delivery.webhook_id, notice.kind)
        return
    for held in conn.execute(query("webhooks.ask_again"), parameters).fetchall():
        defer_event(conn, tenant_id, held["webhook_id"], held["kind"])


def _decode(body: bytes) -> Any:
    """The body as JSON that PostgreSQL can hold; as text if it is not JSON."""
    text = body.decode("utf-8", "replace")
    try:
        return load_json(text)
    except ValueError:
        return storable(text)


def _domains_in(payload: Any) -> set[str]:
    """The shop's domain in a body, under each of its names; empty for topics without one."""
    if not isinstance(payload, dict):
        return set()
    return {str(payload[name]).strip().lower() for name in _DOMAIN_FIELDS if payload.get(name)}


def _instant(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
