"""Receiving a webhook: verified, then stored together with its job in one transaction."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import structlog
from psycopg.types.json import Jsonb

from service.core.config import Settings
from service.core.db import Connection, Pool, tenant_transaction
from service.core.http import storable
from service.core.queries import query
from service.tenants.shop_domain import tenant_of_shop
from service.webhooks.events import defer_event
from service.webhooks.signature import NotSignedError, client_secrets, is_signed
from service.webhooks.topics import TOPICS, read_notice

# With `includeFields` a body has about a hundred bytes; a subscription made elsewhere may send
# complete orders.
MAX_BODY_BYTES = 8 * 1024 * 1024
_LONGEST_ID = 255
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
        NotSignedError: No client secret gives the signature, or the body is of another shop.
    """
    if not client_secrets(settings):
        log.warning("webhook refused", reason="QUINTILE_SHOPIFY_CLIENT_SECRET is not set")
    if not is_signed(settings, delivery.body, delivery.signature):
        raise NotSignedError
    payload = _decode(delivery.body)
    if _domain_in(payload) not in (None, delivery.shop):
        # Headers are not signed: a body of one shop must not reach another shop's tenant.
        raise NotSignedError("The webhook was signed for another shop.", advice="")
    if delivery.topic not in TOPICS:
        return
    tenant_id = tenant_of_shop(pool, delivery.shop)
    if tenant_id is None:
        # After an error Shopify would send it for two days. For an erased tenant there is nothing
        # to export or erase.
        log.info("webhook ignored", topic=delivery.topic, webhook_id=delivery.webhook_id)
        return
    with tenant_transaction(pool, tenant_id) as conn:
        _store(conn, tenant_id, delivery, payload)


def _store(conn: Connection, tenant_id: UUID, delivery: Delivery, payload: Any) -> None:
    parameters = {
        "tenant_id": tenant_id,
        "webhook_id": delivery.webhook_id,
        "topic": delivery.topic,
        "triggered_at": delivery.triggered_at,
    }
    try:
        notice = read_notice(delivery.topic, payload)
    except ValueError as error:
        unreadable = {**parameters, "payload": Jsonb(payload), "reason": str(error)}
        conn.execute(query("webhooks.insert_unreadable"), unreadable)
        ids = {"webhook_id": delivery.webhook_id, "tenant_id": str(tenant_id)}
        log.warning("webhook not understood", topic=delivery.topic, **ids)
        return
    event = {**parameters, **notice.columns()}
    if conn.execute(query("webhooks.insert_event"), event).fetchone() is not None:
        defer_event(conn, tenant_id, delivery.webhook_id, notice.kind)


def _decode(body: bytes) -> Any:
    """The body as JSON that PostgreSQL can hold; as text if it is not JSON."""
    text = body.decode("utf-8", "replace")
    try:
        return storable(json.loads(text))
    except (ValueError, RecursionError):
        return storable(text)


def _domain_in(payload: Any) -> str | None:
    """The shop's domain in a body; None for topics without one."""
    if not isinstance(payload, dict):
        return None
    found = next((payload[name] for name in _DOMAIN_FIELDS if payload.get(name)), None)
    return None if found is None else str(found).strip().lower()


def _instant(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
