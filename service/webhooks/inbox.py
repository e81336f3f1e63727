"""Receiving a webhook: checked, written down with its job in one transaction, and answered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, cast
from uuid import UUID

import structlog
from psycopg.types.json import Jsonb

from service.core.config import Settings
from service.core.db import Connection, Pool, one, tenant_transaction
from service.core.http import storable
from service.core.queries import query
from service.queue.defer import defer_notices, defer_privacy
from service.webhooks.signature import NotSignedError, client_secrets, is_signed
from service.webhooks.topics import PRIVACY_KINDS, TOPICS, Notice, read_notice

# With `includeFields` a webhook has some hundred bytes; a subscription made by other means may send
# whole orders.
MAX_BODY_BYTES = 8 * 1024 * 1024
_LONGEST_ID = 255
_DOMAIN_FIELDS = ("shop_domain", "myshopify_domain")

log = structlog.get_logger(__name__)


class Receipt(Enum):
    """What became of a webhook that was received."""

    QUEUED = "queued"
    DUPLICATE = "a duplicate"
    IGNORED = "of a topic that is not handled"
    NOBODYS = "for a shop that is no tenant's"
    SET_ASIDE = "set aside because it was not understood"


@dataclass(frozen=True)
class Delivery:
    """One request as it came: its body, and what its headers say."""

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
            # Two deliveries of the same thing are at least the same bytes.
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


def receive(settings: Settings, pool: Pool, delivery: Delivery) -> Receipt:
    """Take a webhook in: its event and the job that processes it are one transaction.

    Nothing is looked up before the signature fits, so whoever cannot sign learns nothing. A webhook
    that cannot be understood is kept with the reason; to refuse it would only bring it again.

    Raises:
        NotSignedError: No client secret gives its signature, or it was signed for another shop.
    """
    if not client_secrets(settings):
        log.warning("webhook refused", reason="QUINTILE_SHOPIFY_CLIENT_SECRET is not set")
    if not is_signed(settings, delivery.body, delivery.signature):
        raise NotSignedError
    payload = _decode(delivery.body)
    if _domain_in(payload) not in (None, delivery.shop):
        # The headers are not signed. A body that names its shop may not be sent to another's door.
        raise NotSignedError("The webhook was signed for another shop.", advice="")
    if delivery.topic not in TOPICS:
        return Receipt.IGNORED
    tenant_id = _tenant_of(pool, delivery.shop)
    if tenant_id is None:
        # To fail it would make Shopify send it for two days. Of a tenant that was erased there is
        # nothing to tell and nothing to erase.
        log.info("webhook for nobody", topic=delivery.topic, webhook_id=delivery.webhook_id)
        return Receipt.NOBODYS
    with tenant_transaction(pool, tenant_id) as conn:
        return _write_down(conn, tenant_id, delivery, payload)


def _write_down(conn: Connection, tenant_id: UUID, delivery: Delivery, payload: Any) -> Receipt:
    try:
        notice = read_notice(delivery.topic, payload)
    except ValueError as error:
        return _quarantine(conn, tenant_id, delivery, payload, str(error))
    if not _insert(conn, tenant_id, delivery, notice):
        return Receipt.DUPLICATE
    defer(conn, tenant_id, delivery.webhook_id, notice.kind)
    return Receipt.QUEUED


def defer(conn: Connection, tenant_id: UUID, webhook_id: str, kind: str) -> None:
    """Queue the job that processes an event, in the transaction that wrote the event."""
    if kind in PRIVACY_KINDS:
        defer_privacy(conn, tenant_id, webhook_id)
    else:
        defer_notices(conn, tenant_id)


def _insert(conn: Connection, tenant_id: UUID, delivery: Delivery, notice: Notice) -> bool:
    inserted = conn.execute(
        query("webhooks.insert_event"),
        {
            "tenant_id": tenant_id,
            "webhook_id": delivery.webhook_id,
            "topic": delivery.topic,
            "kind": notice.kind,
            "subject": notice.subject,
            "notice": Jsonb(notice.details),
            "store_updated_at": notice.store_updated_at,
            "triggered_at": delivery.triggered_at,
        },
    ).fetchone()
    return inserted is not None


def _quarantine(
    conn: Connection, tenant_id: UUID, delivery: Delivery, payload: Any, reason: str
) -> Receipt:
    inserted = conn.execute(
        query("webhooks.insert_unreadable"),
        {
            "tenant_id": tenant_id,
            "webhook_id": delivery.webhook_id,
            "topic": delivery.topic,
            "payload": Jsonb(payload),
            "triggered_at": delivery.triggered_at,
            "reason": f"It was not understood: {reason}.",
        },
    ).fetchone()
    log.warning(
        "webhook not understood",
        topic=delivery.topic,
        webhook_id=delivery.webhook_id,
        tenant_id=str(tenant_id),
    )
    return Receipt.DUPLICATE if inserted is None else Receipt.SET_ASIDE


def _tenant_of(pool: Pool, shop: str) -> UUID | None:
    with pool.connection() as conn:
        row = one(conn.execute(query("webhooks.tenant_of_shop"), {"shop": shop}).fetchone())
    return cast("UUID | None", row["tenant_id"])


def _decode(body: bytes) -> Any:
    """The body as JSON that PostgreSQL can hold; what is no JSON, as text."""
    text = body.decode("utf-8", "replace")
    try:
        return storable(json.loads(text))
    except (ValueError, RecursionError):
        return storable(text)


def _domain_in(payload: Any) -> str | None:
    """The shop a body names; None for the topics whose bodies do not."""
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
