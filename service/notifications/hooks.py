"""The address a tenant wants to be told at, and the secret by which it knows that it is us."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from service.core.config import Settings
from service.core.db import Connection
from service.core.queries import query
from service.core.vault import Sealed, seal, unseal
from service.notifications.address import check_url

# What the seal of a hook's secret is bound to besides its tenant.
PROVIDER = "notifications"
SECRET_PREFIX = "whsec_"  # noqa: S105 - how Standard Webhooks marks a secret, not one itself
_SECRET_BYTES = 32
_SHOWN_CHARACTERS = 4


@dataclass(frozen=True)
class Hook:
    """Where to send, and the secret that signs what is sent."""

    url: str
    secret: str


def set_hook(settings: Settings, conn: Connection, tenant_id: UUID, url: str) -> Hook:
    """Tell a tenant at this address from now on, with a new secret.

    What another address was told or was to be told is forgotten, so that this one hears of every
    configuration that fails.

    Raises:
        InvalidInputError: Nothing can or may be sent there.
    """
    hook = Hook(check_url(url, may_be_private=may_be_private(settings)), _new_secret())
    sealed = seal(settings, tenant_id, PROVIDER, hook.secret)
    parameters = {"tenant_id": tenant_id, "url": hook.url}
    conn.execute(query("notifications.delete_other_address"), parameters)
    conn.execute(
        query("notifications.set_hook"),
        {
            **parameters,
            "sealed_secret": sealed.ciphertext,
            "key_id": sealed.key_id,
            "last_four": hook.secret[-_SHOWN_CHARACTERS:],
        },
    )
    return hook


def find_hook(settings: Settings, conn: Connection, tenant_id: UUID) -> Hook | None:
    """The tenant's hook with its secret, for sending and nothing else.

    Raises:
        SealBrokenError: The secret cannot be opened with the keys at hand.
    """
    row = read_hook(conn, tenant_id)
    if row is None:
        return None
    sealed = Sealed(row["key_id"], bytes(row["sealed_secret"]))
    return Hook(row["url"], unseal(settings, tenant_id, PROVIDER, sealed))


def read_hook(conn: Connection, tenant_id: UUID) -> dict[str, Any] | None:
    """The tenant's hook as it is stored."""
    return conn.execute(query("notifications.find_hook"), {"tenant_id": tenant_id}).fetchone()


def remove_hook(conn: Connection, tenant_id: UUID) -> bool:
    """Tell the tenant nothing any more; returns whether there was an address."""
    parameters = {"tenant_id": tenant_id, "url": None}
    conn.execute(query("notifications.delete_other_address"), parameters)
    return conn.execute(query("notifications.remove_hook"), parameters).fetchone() is not None


def may_be_private(settings: Settings) -> bool:
    """Whether notifications may go to http and to private addresses."""
    return settings.notify_private_addresses == 1


def _new_secret() -> str:
    return SECRET_PREFIX + base64.b64encode(os.urandom(_SECRET_BYTES)).decode()
