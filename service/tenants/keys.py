"""Rotation of the encryption keys: sealing every stored secret with the first key of the ring."""

from __future__ import annotations

import base64
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from service.core.config import Settings
from service.core.db import Pool, tenant_transaction
from service.core.errors import InvalidInputError, SealBrokenError
from service.core.queries import query
from service.core.vault import DERIVED, KEY_BYTES, key_ring, open_sealed, seal

# For each kind of stored secret: what locks a tenant's rows, and what stores a newly sealed one.
_STORES = (
    (query("tenants.lock_credentials"), query("tenants.reseal_credential")),
    (query("tenants.lock_webhook_secrets"), query("tenants.reseal_webhook_secret")),
    (query("tenants.lock_exports"), query("tenants.reseal_export")),
    (query("tenants.lock_answers"), query("tenants.reseal_answer")),
)

_KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


@dataclass
class Rotation:
    """Result of a rotation.

    ``in_use`` counts secrets by the key that seals them now; ``broken`` has the reason why a secret
    could not be opened, by tenant and provider.
    """

    resealed: int = 0
    in_use: Counter[str] = field(default_factory=Counter)
    broken: dict[str, str] = field(default_factory=dict)

    def idle_keys(self, settings: Settings) -> list[str]:
        """Keys of the ring that seal nothing and can be removed; never the first."""
        given = [key for key in key_ring(settings) if key != DERIVED]
        return [key for key in given[1:] if not self.in_use[key]]


def rotate_keys(settings: Settings, pool: Pool, tenants: Mapping[str, UUID]) -> Rotation:
    """Seal each tenant's secrets with the first key of the ring, unless they already are.

    What only the former secret key opens is sealed again, too.

    Each secret is opened and sealed in a transaction that locks its row, so a secret that is
    stored at the same time is not overwritten. A secret that cannot be opened is left as it is and
    reported.

    Args:
        settings: The key ring.
        pool: The service's pool.
        tenants: Ids by name, for the report.

    Raises:
        InvalidSettingError: The key ring cannot be read.
    """
    rotation = Rotation()
    newest = next(iter(key_ring(settings)))
    for name, tenant_id in tenants.items():
        with tenant_transaction(pool, tenant_id) as conn:
            stored = (
                (reseal, row)
                for lock, reseal in _STORES
                for row in conn.execute(lock, {"tenant_id": tenant_id}).fetchall()
            )
            for reseal, row in stored:
                provider, key_id = row["provider"], row["key_id"]
                try:
                    opened = open_sealed(settings, tenant_id, provider, row)
                except SealBrokenError as error:
                    rotation.broken[f"{name} to {provider}"] = error.message
                    rotation.in_use[key_id] += 1
                    continue
                rotation.in_use[newest] += 1
                if key_id != newest or opened.is_former:
                    sealed = seal(settings, tenant_id, provider, opened.secret)
                    conn.execute(reseal, {**row, "tenant_id": tenant_id, **sealed})
                    rotation.resealed += 1
    return rotation


def new_key(key_id: str) -> str:
    """A new entry for the front of the key ring, with 32 random bytes.

    Raises:
        InvalidInputError: The id has characters that an entry cannot hold.
    """
    if not _KEY_ID.fullmatch(key_id):
        raise InvalidInputError(
            "A key's id may have letters, digits, dots, - and _, 64 at most.",
            advice="Today's date is a good id: quintile keys new 2026-12-31",
        )
    return f"{key_id}:{base64.b64encode(os.urandom(KEY_BYTES)).decode()}"
