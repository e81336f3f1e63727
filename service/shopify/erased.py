"""What was erased stays so: every landing ends by taking back what it brought of erased people.

To be called in the transaction that lands, after the rows have landed. While a tenant has never
erased anybody, each call is one look at an empty table.
"""

from __future__ import annotations

from uuid import UUID

from psycopg import sql

from service.core.db import Connection, one
from service.core.queries import query


def redact_erased(conn: Connection, tenant_id: UUID) -> int:
    """Take back the orders and customers of erased people that this transaction has landed.

    Of such an order its figures stay.

    Returns:
        How many rows were changed or deleted.
    """
    return _count(conn, query("shopify.redact_erased"), tenant_id=tenant_id)


def delete_erased_members(conn: Connection, tenant_id: UUID, segment_ids: list[str]) -> int:
    """Take erased people out of segments into which this transaction has landed members."""
    statement = query("shopify.delete_erased_members")
    return _count(conn, statement, tenant_id=tenant_id, segment_ids=segment_ids)


def delete_erased_rejections(conn: Connection, tenant_id: UUID) -> int:
    """Forget what this transaction has set aside of erased people."""
    return _count(conn, query("shopify.delete_erased_rejections"), tenant_id=tenant_id)


def _count(conn: Connection, statement: sql.SQL, **parameters: object) -> int:
    return int(one(conn.execute(statement, parameters).fetchone())["forgotten"])
