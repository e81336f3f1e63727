"""Signing of cursors, so that a list only takes cursors that it gave out.

A cursor is ``<position>.<signature>``, both URL-safe base64. The signature covers the position and
what the cursor belongs to: tenant, path, list and filters. It is made with the first encryption key
and checked with all keys of the ring, so cursors survive a key rotation.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json

from flask import request

from service.api.access import state, tenant_id
from service.api.problems import BadCursorError
from service.core.vault import key_ring

_SIGNATURE_BYTES = 16


def sign(position: bytes, *bound_to: str) -> str:
    """The cursor of a position in a list.

    Args:
        position: The position.
        bound_to: What the cursor belongs to, besides the request's tenant and path.
    """
    return f"{_encode(position)}.{_encode(next(iter(_signatures(position, bound_to))))}"


def verify(cursor: str, *bound_to: str) -> bytes:
    """The position that a cursor names.

    Raises:
        BadCursorError: This list did not give the cursor out, or with other filters.
    """
    position, _, signature = cursor.partition(".")
    try:
        raw, signed = _decode(position), _decode(signature)
    except (binascii.Error, ValueError):
        raise BadCursorError from None
    if not any(hmac.compare_digest(signed, valid) for valid in _signatures(raw, bound_to)):
        raise BadCursorError
    return raw


def _signatures(position: bytes, bound_to: tuple[str, ...]) -> list[bytes]:
    """The position's signature with each key of the ring."""
    context = json.dumps([str(tenant_id()), request.path, *bound_to]).encode()
    return [
        hmac.digest(hmac.digest(key, b"cursor", "sha256"), context + b"\0" + position, "sha256")[
            :_SIGNATURE_BYTES
        ]
        for key in key_ring(state().settings).values()
    ]


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
