"""Whether Shopify sent a webhook: its signature over the body as it came, byte for byte."""

from __future__ import annotations

import base64
import hashlib
import hmac

from service.core.config import Settings
from service.core.errors import QuintileError


class NotSignedError(QuintileError):
    """The webhook's signature does not fit its body."""

    advice = (
        "Shopify signs webhooks with the app's client secret: set QUINTILE_SHOPIFY_CLIENT_SECRET"
        " to it, and while it is being replaced to both, the new one first."
    )


def is_signed(settings: Settings, body: bytes, signature: str) -> bool:
    """Whether one of the client secrets gives this signature, compared in constant time.

    While a secret is being replaced Shopify signs with the old one or the new one, so all that are
    set count. Every one of them is tried, whichever fits.

    Args:
        settings: ``shopify_client_secret`` holds the secrets, separated by commas.
        body: The request's body, before anything has read it.
        signature: The header ``X-Shopify-Hmac-Sha256``.
    """
    given = signature.encode("utf-8", "replace")
    fits = False
    for secret in client_secrets(settings):
        fits |= hmac.compare_digest(sign(secret, body), given)
    return fits


def client_secrets(settings: Settings) -> list[str]:
    """The app's client secrets, newest first."""
    return [text for part in settings.shopify_client_secret.split(",") if (text := part.strip())]


def sign(secret: str, body: bytes) -> bytes:
    """The signature Shopify sends: HMAC-SHA-256 of the body under the client secret, in base64."""
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest())
