"""What was erased stays so: every landing ends by taking back what it brought of erased people.

To be called in the transaction that lands, after the rows have landed. While a tenant has never
erased anybody, each call is one look at an empty table.
"""

from __future__ import annotations

from uuid import UUID

from service.core.db import Connection, one, query


def forget_erased(conn: Connection, tenant_id: UUID) -> int:
    """Take back the orders and customers of erased people that this transaction has landed.

    Of such an order its figures stay.

    Returns:
        How many rows were changed or deleted.
    """
    return _forgotten(conn, "forget_erased", tenant_id=tenant_id)


def forget_erased_members(conn: Connection, tenant_id: UUID, segment_ids: list[str]) -> int:
    """Take erased people out of segments into which this transaction has landed members."""
    return _forgotten(conn, "forget_erased_members", tenant_id=tenant_id, segment_ids=segment_ids)


def forget_erased_rejections(conn: Connection, tenant_id: UUID) -> int:
    """Forget what this transaction has set aside of erased people."""
    return _forgotten(conn, "forget_erased_rejections", tenant_id=tenant_id)


def _forgotten(conn: Connection, name: str, **parameters: object) -> int:
    return int(one(conn.execute(query(f"privacy/sql/{name}"), parameters).fetchone())["forgotten"])
