"""Verification of Shopify's signature over a webhook's body."""

from __future__ import annotations

import base64
import hashlib
import hmac

from service.core.config import Settings
from service.core.errors import QuintileError


class NotSignedError(QuintileError):
    """The webhook's signature does not match its body."""

    advice = (
        "Shopify signs webhooks with the app's client secret: set QUINTILE_SHOPIFY_CLIENT_SECRET"
        " to it; during a rotation to both secrets, the new one first."
    )


def is_signed(settings: Settings, body: bytes, signature: str) -> bool:
    """Whether one of the client secrets gives this signature, compared in constant time.

    During a rotation Shopify signs with the old or the new secret. All are tried, even after a
    match.

    Args:
        settings: ``shopify_client_secret`` has the secrets, separated by commas.
        body: The request's body, byte for byte.
        signature: The header ``X-Shopify-Hmac-Sha256``.
    """
    given = signature.encode("utf-8", "replace")
    is_match = False
    for secret in client_secrets(settings):
        is_match |= hmac.compare_digest(sign(secret, body), given)
    return is_match


def client_secrets(settings: Settings) -> list[str]:
    """The app's client secrets, newest first."""
    return [text for part in settings.shopify_client_secret.split(",") if (text := part.strip())]


def sign(secret: str, body: bytes) -> bytes:
    """Shopify's signature: HMAC-SHA-256 of the body with the client secret, in base64."""
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest())
