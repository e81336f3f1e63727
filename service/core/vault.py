"""Stored credentials: sealed with AES-256-GCM, bound to the tenant and provider they belong to.

A sealed secret copied to another tenant's row does not open. Keys form a ring: the first seals, all
of them open, so a key can be replaced without a moment in which nothing opens.
"""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from service.core.config import Settings
from service.core.errors import InvalidSettingError, SealBrokenError
from service.core.secrets import derive

_NONCE_BYTES = 12
KEY_BYTES = 32
DERIVED = "derived"


@dataclass(frozen=True)
class Sealed:
    """A sealed secret and the id of the key that sealed it."""

    key_id: str
    ciphertext: bytes


def key_ring(settings: Settings) -> dict[str, bytes]:
    """Key ids and keys, the sealing key first.

    The key derived from the secret key closes the ring, so that what it sealed before there were
    others still opens.

    Raises:
        InvalidSettingError: QUINTILE_ENCRYPTION_KEYS is not id:base64 with 32-byte keys.
    """
    ring: dict[str, bytes] = {}
    entries = [part.strip() for part in settings.encryption_keys.split(",")]
    for place, entry in enumerate(entries if settings.encryption_keys else [], start=1):
        key_id, _, encoded = entry.partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            key = b""
        # Named by its place: of a broken entry nobody knows which part is the secret one.
        if not key_id or len(key) != KEY_BYTES:
            raise _unusable(f"Entry {place} of QUINTILE_ENCRYPTION_KEYS is not id, colon and key")
        if key_id in ring or key_id == DERIVED:
            raise _unusable(f"Entry {place} of QUINTILE_ENCRYPTION_KEYS has an id that is taken")
        ring[key_id] = key
    ring[DERIVED] = derive(settings, "credential encryption")
    return ring


def _unusable(problem: str) -> InvalidSettingError:
    return InvalidSettingError(
        f"{problem}.",
        advice="An entry is an id, a colon and 32 bytes in base64; a new one: quintile keys new ID",
    )


def seal(settings: Settings, tenant_id: UUID, provider: str, secret: str) -> Sealed:
    """Seal a secret for one tenant and provider."""
    key_id, key = next(iter(key_ring(settings).items()))
    nonce = os.urandom(_NONCE_BYTES)
    ciphertext = AESGCM(key).encrypt(nonce, secret.encode(), _bound_to(tenant_id, provider))
    return Sealed(key_id=key_id, ciphertext=nonce + ciphertext)


def unseal(settings: Settings, tenant_id: UUID, provider: str, sealed: Sealed) -> str:
    """Open a sealed secret.

    Raises:
        SealBrokenError: The key is not in the ring, or the secret belongs to another tenant or
            provider, or was altered.
    """
    key = key_ring(settings).get(sealed.key_id)
    if key is None:
        raise SealBrokenError(
            f"The stored {provider} credential was sealed with key '{sealed.key_id}', which is"
            " not in the key ring.",
            advice="Put that key back into QUINTILE_ENCRYPTION_KEYS, or connect again.",
        )
    nonce, ciphertext = sealed.ciphertext[:_NONCE_BYTES], sealed.ciphertext[_NONCE_BYTES:]
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, _bound_to(tenant_id, provider)).decode()
    except InvalidTag:
        raise SealBrokenError(
            f"The stored {provider} credential does not open with key '{sealed.key_id}'.",
            advice="The secret key or key ring has changed: put the former back, or connect again.",
        ) from None


def _bound_to(tenant_id: UUID, provider: str) -> bytes:
    return f"{tenant_id}|{provider}".encode()
