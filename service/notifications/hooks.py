"""A tenant's notification hook: the URL, and the secret that signs what is sent."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from service.core.config import Settings
from service.core.db import Connection
from service.core.queries import query
from service.core.vault import seal, unseal
from service.notifications.address import check_url

# The provider to which the seal of a hook's secret is bound.
_PROVIDER = "notifications"
SECRET_PREFIX = "whsec_"  # noqa: S105 - how Standard Webhooks marks a secret, not one itself
_SECRET_BYTES = 32
_SHOWN_CHARACTERS = 4


@dataclass(frozen=True)
class Hook:
    """The URL that receives notifications, and the secret that signs them."""

    url: str
    secret: str


def set_hook(settings: Settings, conn: Connection, tenant_id: UUID, url: str) -> Hook:
    """Send a tenant's notifications to this URL from now on, with a new secret.

    Notifications of another URL are deleted, sent or not, so that the new one is notified of every
    configuration that fails now.

    Raises:
        InvalidInputError: The URL is invalid or not allowed.
    """
    url = check_url(url, may_be_private=bool(settings.notify_private_addresses))
    hook = Hook(url, SECRET_PREFIX + base64.b64encode(os.urandom(_SECRET_BYTES)).decode())
    parameters = {"tenant_id": tenant_id, "url": hook.url}
    conn.execute(query("notifications.delete_other_address"), parameters)
    conn.execute(
        query("notifications.set_hook"),
        {
            **parameters,
            **seal(settings, tenant_id, _PROVIDER, hook.secret),
            "last_four": hook.secret[-_SHOWN_CHARACTERS:],
        },
    )
    return hook


def find_hook(settings: Settings, conn: Connection, tenant_id: UUID) -> Hook | None:
    """The tenant's hook with its secret, for sending only.

    Raises:
        SealBrokenError: The secret cannot be opened with the current keys.
    """
    row = read_hook(conn, tenant_id)
    if row is None:
        return None
    return Hook(row["url"], unseal(settings, tenant_id, _PROVIDER, row))


def read_hook(conn: Connection, tenant_id: UUID) -> dict[str, Any] | None:
    """The tenant's hook with its sealed secret."""
    return conn.execute(query("notifications.find_hook"), {"tenant_id": tenant_id}).fetchone()


def remove_hook(conn: Connection, tenant_id: UUID) -> bool:
    """Delete the tenant's hook and notifications; returns whether there was a hook."""
    parameters = {"tenant_id": tenant_id, "url": None}
    conn.execute(query("notifications.delete_other_address"), parameters)
    return conn.execute(query("notifications.remove_hook"), parameters).fetchone() is not None
