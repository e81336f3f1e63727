"""Stored credentials of tenants: one row of ``app.connections`` per tenant and provider.

Secrets are sealed when stored and opened only for a request. What is specific to a provider is in
``service/shopify/connection.py`` and ``service/klaviyo/connection.py``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

from service.core.config import Settings
from service.core.db import Connection
from service.core.errors import InvalidInputError, NotConnectedError
from service.core.queries import query
from service.core.vault import seal

_NAMES = {"shopify": "Shopify", "klaviyo": "Klaviyo"}
# How long after its refusal a credential is tried again; later pauses are longer.
FIRST_PROBE_PAUSE = timedelta(minutes=5)
_SECRET = re.compile(r"[\x21-\x7e]{8,512}")
# Columns that only some providers fill.
_OPTIONAL = (
    "account_id",
    "plan",
    "expires_in",
    "refresh_expires_in",
    "api_version_asked",
    "api_version_served",
)


class MissingScopeError(InvalidInputError):
    """The credential lacks scopes that Quintile needs."""


def find_connection(conn: Connection, tenant_id: UUID, provider: str) -> dict[str, Any]:
    """The row of a connection, with its sealed secret.

    A Shopify token may have to be refreshed before use: to call a store, use
    :func:`service.shopify.connection.open_connected_shopify`.

    Raises:
        NotConnectedError: The tenant is not connected to the provider.
    """
    row = conn.execute(
        query("core.find_connection"), {"tenant_id": tenant_id, "provider": provider}
    ).fetchone()
    if row is None:
        raise not_connected(provider)
    return row


def store_connection(
    settings: Settings,
    conn: Connection,
    tenant_id: UUID,
    provider: str,
    *,
    secret: str,
    **columns: Any,
) -> None:
    """Store a verified credential and what the provider said about it, replacing the old row."""
    conn.execute(
        query("core.store_connection"),
        {
            "tenant_id": tenant_id,
            "provider": provider,
            "scopes": [],
            **seal(settings, tenant_id, provider, secret),
            **dict.fromkeys(_OPTIONAL),
            **columns,
        },
    )


def disconnect(conn: Connection, tenant_id: UUID, provider: str, reason: str) -> bool:
    """Delete a connection's secret; syncs stop until the tenant connects again.

    Data that was read before stays, and so does the shop's domain.

    Returns:
        Whether there was a connection.
    """
    parameters = {"tenant_id": tenant_id, "provider": provider, "reason": reason}
    return conn.execute(query("core.disconnect"), parameters).fetchone() is not None


def record_refused(
    conn: Connection, tenant_id: UUID, provider: str, reason: str
) -> datetime | None:
    """Record that the provider does not accept the credential.

    Workers try it again by themselves: see :mod:`service.worker.probes`.

    Returns:
        When they do so next; None if the tenant has disconnected.
    """
    row = conn.execute(
        query("core.record_refused"),
        {
            "tenant_id": tenant_id,
            "provider": provider,
            "reason": reason,
            "pause": FIRST_PROBE_PAUSE,
        },
    ).fetchone()
    return None if row is None else cast("datetime", row["next_probe_at"])


def probe_note(at: datetime | None) -> str:
    """One sentence: that a refused credential is tried again, and when."""
    when = "soon" if at is None else f"at {at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return f"Quintile tries it again by itself, next {when}."


def record_accepted(conn: Connection, tenant_id: UUID, provider: str) -> None:
    """Record that the provider has just accepted the credential."""
    conn.execute(query("core.record_accepted"), {"tenant_id": tenant_id, "provider": provider})


def not_connected(provider: str) -> NotConnectedError:
    """The error of a tenant without a connection to the provider."""
    return NotConnectedError(
        f"This tenant is not connected to {_NAMES[provider]} yet.",
        advice=f"Connect it first: quintile tenants connect-{provider} NAME",
    )


def missing_scopes_message(kind: str, scopes: Mapping[str, str]) -> str:
    """One sentence that lists the missing scopes and what each is for."""
    listed = " and ".join(f"{scope} (for {purpose})" for scope, purpose in scopes.items())
    return f"The {kind} lacks {listed}."


def check_secret(text: str, kind: str, *, field: str = "") -> str:
    """A secret without surrounding space.

    Checked here because an HTTP library quotes a malformed header in its error.

    Raises:
        InvalidInputError: It is not 8 to 512 printable ASCII characters without spaces.
    """
    secret = text.strip()
    if not _SECRET.fullmatch(secret):
        raise InvalidInputError(
            f"This is not a valid {kind}: it must be 8 to 512 characters without spaces.",
            field=field,
        )
    return secret
