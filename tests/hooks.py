"""Shared by the tests of webhooks: the service over real HTTP, and signed webhooks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
from werkzeug.serving import make_server

from sandbox.shopify.webhooks import CLIENT_SECRET
from service.core.config import Settings
from service.core.db import Pool, tenant_transaction
from tests.web import running_app

__all__ = [
    "CLIENT_SECRET",
    "events",
    "post_webhook",
    "served",
    "signature",
    "work_until_settled",
]

# What Shopify always sends with the privacy topics, besides the shop's domain.
_PRIVACY_TOPICS: dict[str, dict[str, Any]] = {
    "customers/data_request": {"shop_id": 1, "orders_requested": []},
    "customers/redact": {"shop_id": 1, "orders_to_redact": []},
    "shop/redact": {"shop_id": 1},
}


@contextmanager
def served(settings: Settings) -> Iterator[str]:
    """Serve the application on a free local port; yields its URL."""
    with running_app(settings) as app:
        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, args=[0.02], daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def signature(body: bytes, secret: str = CLIENT_SECRET) -> str:
    """Shopify's signature of a body."""
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


def post_webhook(
    url: str,
    shop: str,
    topic: str,
    payload: Any,
    *,
    webhook_id: str | None = None,
    secret: str = CLIENT_SECRET,
    headers: dict[str, str] | None = None,
    triggered_at: datetime | None = None,
) -> httpx.Response:
    """Send a webhook as Shopify does; a payload of bytes is sent unchanged.

    Bodies of the privacy topics get the fields that Shopify always sends with them.
    """
    if topic in _PRIVACY_TOPICS and isinstance(payload, dict):
        payload = {"shop_domain": shop, **_PRIVACY_TOPICS[topic], **payload}
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return httpx.post(
        f"{url}/webhooks/shopify",
        content=body,
        headers={
            "Content-Type": "application/json",
            "X-Shopify-Topic": topic,
            "X-Shopify-Shop-Domain": shop,
            "X-Shopify-Hmac-Sha256": signature(body, secret),
            "X-Shopify-Webhook-Id": webhook_id or str(uuid4()),
            "X-Shopify-Triggered-At": (triggered_at or datetime.now(UTC)).isoformat(),
            **(headers or {}),
        },
        timeout=30,
    )


def work_until_settled(work: Callable[[], None], pool: Pool, tenant_id: UUID) -> None:
    """Process a tenant's webhooks until none is queued; their pauses are over at once."""
    for _ in range(10):
        work()
        with tenant_transaction(pool, tenant_id) as conn:
            queued = conn.execute(
                "update app.webhook_events set due_at = now() where state = 'queued'"
            )
            if queued.rowcount == 0:
                return


def events(pool: Pool, tenant_id: UUID) -> list[dict[str, Any]]:
    """A tenant's stored webhooks, oldest first."""
    with tenant_transaction(pool, tenant_id) as conn:
        return conn.execute(
            "select * from app.webhook_events order by received_at, webhook_id"
        ).fetchall()
