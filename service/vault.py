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

from service.config import Settings
from service.errors import InvalidSettingError, SealBrokenError
from service.secrets import derive

_NONCE_BYTES = 12
_KEY_BYTES = 32


@dataclass(frozen=True)
class Sealed:
    """A sealed secret and the id of the key that sealed it."""

    key_id: str
    ciphertext: bytes


def key_ring(settings: Settings) -> dict[str, bytes]:
    """Key ids and keys, the sealing key first.

    Raises:
        InvalidSettingError: QUINTILE_ENCRYPTION_KEYS is not id:base64 with 32-byte keys.
    """
    if not settings.encryption_keys:
        return {"derived": derive(settings, "credential encryption")}
    ring: dict[str, bytes] = {}
    for entry in settings.encryption_keys.split(","):
        key_id, separator, encoded = entry.strip().partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            key = b""
        if not key_id or not separator or len(key) != _KEY_BYTES:
            raise InvalidSettingError(
                "QUINTILE_ENCRYPTION_KEYS must be id:base64,id:base64 with keys of 32 bytes."
            )
        ring[key_id] = key
    return ring


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
