"""Delivery of one notification over HTTP, signed as in Standard Webhooks (standardwebhooks.com).

The signature covers the id, the time and the body, so they cannot be altered or replayed. An
example of a receiver's check is in docs/klaviyo.md.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx

from service.core.config import Settings
from service.core.errors import QuintileError
from service.core.http import open_client
from service.notifications.address import look_up
from service.notifications.hooks import SECRET_PREFIX, Hook

_TIMEOUT_SECONDS = 10
_PORTS = {"https": 443, "http": 80}


class NotDeliveredError(QuintileError):
    """The receiver did not accept the notification."""


def deliver(settings: Settings, hook: Hook, row: Mapping[str, Any]) -> None:
    """Send a notification once.

    Args:
        settings: Whether private addresses are allowed.
        hook: The URL, and the secret that signs the notification.
        row: The notification, as the statement ``find_notification`` returns it.

    Raises:
        NotDeliveredError: The connection failed or timed out, or the status is not 2xx.
        UnreachableAddressError: The host is unknown or not on the internet.
    """
    body = json.dumps(document(row), ensure_ascii=False).encode()
    notification_id, timestamp = str(row["notification_id"]), int(time.time())
    headers = {
        "Content-Type": "application/json",
        "webhook-id": notification_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(hook.secret, notification_id, timestamp, body),
    }
    status = _post(settings, hook.url, headers, body)
    if not httpx.codes.is_success(status):
        raise NotDeliveredError(f"The receiver answered with status {status}.")


def sign(secret: str, notification_id: str, timestamp: int, body: bytes) -> str:
    """The header ``webhook-signature``: HMAC-SHA256 over id, time (Unix seconds) and body."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = b".".join((notification_id.encode(), str(timestamp).encode(), body))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def document(row: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a notification: a text, which chat systems show, and data for programs."""
    header = {
        "id": str(row["notification_id"]),
        "type": row["topic"],
        "timestamp": _instant(row["created_at"]),
    }
    if row["config_id"] is None:
        return {**header, "text": f"Notifications of {row['tenant']} arrive here.", "data": {}}
    return {
        **header,
        "text": _sentence(row),
        "data": {
            "tenant": row["tenant"],
            "configuration": {
                "config_id": str(row["config_id"]),
                **{
                    name: row[name] for name in ("segment_key", "list_id", "list_name", "direction")
                },
            },
            "run": {
                "run_id": str(row["run_id"]),
                **{name: row[name] for name in ("run_state", "stopped_for", "run_error", "advice")},
                "counts": row["counts"],
                "finished_at": _instant(row["run_finished_at"]),
            },
        },
    }


def _sentence(row: Mapping[str, Any]) -> str:
    what = f"{row['tenant']}: Klaviyo list '{row['list_name']}' ({row['segment_key']})"
    if row["topic"] == "klaviyo_sync.recovered":
        return f"{what} is in sync again."
    reason = row["run_error"] or "The sync failed."
    return f"{what} is out of sync. {reason} {row['advice'] or ''}".strip()


def _post(settings: Settings, url: str, headers: dict[str, str], body: bytes) -> int:
    """Post a body and return the answer's status; the answer's body is not read."""
    target = httpx.URL(url)
    host = target.raw_host.decode("ascii").strip("[]")
    port = target.port or _PORTS[target.scheme]
    address = look_up(host, port, may_be_private=bool(settings.notify_private_addresses))
    try:
        with (
            open_client({}, timeout=_TIMEOUT_SECONDS) as client,
            client.stream(
                "POST",
                # Connect to the checked IP address; the name goes into Host and TLS.
                target.copy_with(host=address),
                headers={**headers, "Host": target.netloc.decode("ascii")},
                content=body,
                extensions={"sni_hostname": host},
            ) as response,
        ):
            return response.status_code
    except httpx.RequestError as error:
        raise NotDeliveredError(f"The connection failed ({type(error).__name__}).") from None


def _instant(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z") if at else None
