"""Verification of Shopify's signature over a webhook's body."""

from __future__ import annotations

import base64
import hashlib
import hmac

from service.core.config import Settings, client_secrets
from service.core.errors import QuintileError


class NotSignedError(QuintileError):
    """The webhook's signature does not match its body."""

    advice = (
        "Shopify signs webhooks with the app's client secret: set QUINTILE_SHOPIFY_CLIENT_SECRET"
        " to it; during a rotation to both secrets, the new one first."
    )


def is_signed(settings: Settings, shop: str, body: bytes, signature: str) -> bool:
    """Whether a client secret of the shop's app gives this signature, compared in constant time.

    During a rotation Shopify signs with the old or the new secret. All are tried, even after a
    match.

    Args:
        settings: ``shopify_client_secret`` has the secrets.
        shop: The shop that the request names.
        body: The request's body, byte for byte.
        signature: The header ``X-Shopify-Hmac-Sha256``.
    """
    given = signature.encode("utf-8", "replace")
    is_match = False
    for secret in client_secrets(settings, shop):
        is_match |= hmac.compare_digest(sign(secret, body), given)
    return is_match


def sign(secret: str, body: bytes) -> bytes:
    """Shopify's signature: HMAC-SHA-256 of the body with the client secret, in base64."""
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest())
