"""Keep erased people erased: redact or delete what a load has brought back.

Call these at the end of the transaction that loads. While a tenant has never erased a person, each
call only reads an empty table.
"""

from __future__ import annotations

from uuid import UUID

from service.core.db import Connection
from service.core.queries import query


def redact_erased(conn: Connection, tenant_id: UUID) -> None:
    """Redact the orders and delete the customers of erased people that this transaction loaded.

    The amounts and dates of an order stay.
    """
    conn.execute(query("shopify.redact_erased"), {"tenant_id": tenant_id})


def delete_erased_members(conn: Connection, tenant_id: UUID, segment_ids: list[str]) -> None:
    """Delete erased people from segments whose members this transaction loaded."""
    parameters = {"tenant_id": tenant_id, "segment_ids": segment_ids}
    conn.execute(query("shopify.delete_erased_members"), parameters)


def delete_erased_rejections(conn: Connection, tenant_id: UUID) -> None:
    """Delete what this transaction quarantined of erased people."""
    conn.execute(query("shopify.delete_erased_rejections"), {"tenant_id": tenant_id})
