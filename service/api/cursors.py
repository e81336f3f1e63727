"""Sealing of cursors, so that a list only takes cursors that it gave out, and they tell nothing.

A cursor names a row by what the list is sorted by, which may be a customer's name or address, and
it stands in URLs, which are logged. So it is encrypted, with AES-256-SIV: the same position gives
the same cursor, so the answer keeps its ETag. It is bound to what it belongs to: tenant, path, list
and filters. It is sealed with the first encryption key and opens with all keys of the ring, so
cursors survive a key rotation.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from flask import request

from service.api.access import state, tenant_id
from service.api.problems import BadCursorError
from service.core.vault import key_ring


def seal(position: bytes, *bound_to: str) -> str:
    """The cursor of a position in a list, in URL-safe base64.

    Args:
        position: The position; not empty.
        bound_to: What the cursor belongs to, besides the request's tenant and path.
    """
    sealed = next(_ciphers()).encrypt(position, [_context(bound_to)])
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def unseal(cursor: str, *bound_to: str) -> bytes:
    """The position that a cursor names.

    Raises:
        BadCursorError: This list did not give the cursor out, or with other filters.
    """
    try:
        sealed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise BadCursorError from None
    for cipher in _ciphers():
        try:
            return cipher.decrypt(sealed, [_context(bound_to)])
        except InvalidTag:
            continue
    raise BadCursorError


def _ciphers() -> Iterator[AESSIV]:
    """A cipher for each key of the ring, the sealing one first."""
    for key in key_ring(state().settings).values():
        # Two keys of 32 bytes: AES-256-SIV authenticates with one and encrypts with the other.
        yield AESSIV(hmac.digest(key, b"cursor", "sha512"))


def _context(bound_to: tuple[str, ...]) -> bytes:
    return json.dumps([str(tenant_id()), request.path, *bound_to]).encode()
