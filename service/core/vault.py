"""Encryption of stored credentials with AES-256-GCM, bound to one tenant and provider.

A sealed secret copied to another tenant's row does not open. Keys form a ring: the first one seals,
all of them open, so a key can be replaced while the service runs.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from typing import Any, NamedTuple, TypedDict
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from service.core.config import Settings
from service.core.errors import InvalidSettingError, SealBrokenError
from service.core.secrets import derive, derive_former

_NONCE_BYTES = 12
KEY_BYTES = 32
DERIVED = "derived"
_PURPOSE = "credential encryption"


class Sealed(TypedDict):
    """A sealed secret as the columns that store it: the key's id and the ciphertext."""

    key_id: str
    sealed_secret: bytes


class Opened(NamedTuple):
    """A secret, and whether the former secret key was needed to open it."""

    secret: str
    is_former: bool


def key_ring(settings: Settings) -> dict[str, bytes]:
    """Keys by id, the sealing key first.

    The key derived from the secret key comes last, so that it still opens what it sealed before
    QUINTILE_ENCRYPTION_KEYS was set.

    Raises:
        InvalidSettingError: QUINTILE_ENCRYPTION_KEYS is not id:base64 with 32-byte keys.
    """
    ring: dict[str, bytes] = {}
    entries = [part.strip() for part in settings.encryption_keys.split(",")]
    for position, entry in enumerate(entries if settings.encryption_keys else [], start=1):
        key_id, _, encoded = entry.partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except ValueError:
            # Not base64, or not ASCII.
            key = b""
        # Named by position: any part of a malformed entry may be the secret.
        if not key_id or len(key) != KEY_BYTES:
            raise _invalid(f"Entry {position} of QUINTILE_ENCRYPTION_KEYS is not id, colon and key")
        if key_id in ring or key_id == DERIVED:
            raise _invalid(f"Entry {position} of QUINTILE_ENCRYPTION_KEYS has an id twice")
        ring[key_id] = key
    ring[DERIVED] = derive(settings, _PURPOSE)
    return ring


def _invalid(problem: str) -> InvalidSettingError:
    return InvalidSettingError(
        f"{problem}.",
        advice="An entry is id:key, where the key is 32 bytes in base64. To create one:"
        " quintile keys new ID",
    )


def seal(settings: Settings, tenant_id: UUID, provider: str, secret: str) -> Sealed:
    """Encrypt a secret for one tenant and provider, with the first key of the ring."""
    key_id, key = next(iter(key_ring(settings).items()))
    nonce = os.urandom(_NONCE_BYTES)
    ciphertext = AESGCM(key).encrypt(nonce, secret.encode(), _bound_to(tenant_id, provider))
    return Sealed(key_id=key_id, sealed_secret=nonce + ciphertext)


def unseal(settings: Settings, tenant_id: UUID, provider: str, sealed: Mapping[str, Any]) -> str:
    """Decrypt the secret in a row with the columns of :class:`Sealed`.

    Raises:
        SealBrokenError: The key is not in the ring, or the secret belongs to another tenant or
            provider, or was altered.
    """
    return open_sealed(settings, tenant_id, provider, sealed).secret


def open_sealed(
    settings: Settings, tenant_id: UUID, provider: str, sealed: Mapping[str, Any]
) -> Opened:
    """As :func:`unseal`, and says whether QUINTILE_FORMER_SECRET_KEY has sealed it."""
    key_id, sealed_secret = sealed["key_id"], sealed["sealed_secret"]
    key = key_ring(settings).get(key_id)
    if key is None:
        raise SealBrokenError(
            f"The stored {provider} credential was sealed with key '{key_id}', which is not in the"
            " key ring.",
            advice="Add that key to QUINTILE_ENCRYPTION_KEYS again, or connect again.",
        )
    # Both keys that are derived have the same id.
    former = derive_former(settings, _PURPOSE) if key_id == DERIVED else None
    nonce, ciphertext = sealed_secret[:_NONCE_BYTES], sealed_secret[_NONCE_BYTES:]
    for each in filter(None, (key, former)):
        try:
            secret = AESGCM(each).decrypt(nonce, ciphertext, _bound_to(tenant_id, provider))
        except InvalidTag:
            continue
        return Opened(secret.decode(), is_former=each is former)
    raise SealBrokenError(
        f"The stored {provider} credential does not open with key '{key_id}'.",
        advice="The secret key or key ring has changed: restore the old one, set"
        " QUINTILE_FORMER_SECRET_KEY to the old secret key, or connect again.",
    )


def _bound_to(tenant_id: UUID, provider: str) -> bytes:
    return f"{tenant_id}|{provider}".encode()
