"""Exports of data requests, stored sealed until they expire."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from service.core.config import Settings
from service.core.db import Connection
from service.core.queries import query
from service.core.vault import unseal
from service.privacy.requests import SEALED_AS


def newest_export(conn: Connection, tenant_id: UUID) -> UUID | None:
    """The id of the tenant's newest export."""
    row = conn.execute(query("privacy.find_newest_export"), {"tenant_id": tenant_id}).fetchone()
    return None if row is None else cast("UUID", row["export_id"])


def open_export(
    settings: Settings, conn: Connection, tenant_id: UUID, export_id: UUID | None
) -> str | None:
    """The document as JSON text; None if no export has this id, or it has expired.

    Raises:
        SealBrokenError: It was sealed with a key that is no longer in the key ring.
    """
    row = conn.execute(
        query("privacy.find_export"), {"tenant_id": tenant_id, "export_id": export_id}
    ).fetchone()
    return None if row is None else unseal(settings, tenant_id, SEALED_AS, row)
