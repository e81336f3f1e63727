"""What keeps a tenant's numbers from being what they seem."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from service.core.db import Connection
from service.core.queries import query
from service.shopify.report import LIMIT, LIMIT_ADVICE


def read_order_limit(conn: Connection, tenant_id: UUID) -> dict[str, Any] | None:
    """That Shopify shows 60 days of orders and RFM looks further back; None if nothing is missing.

    ``first_order_at`` is the oldest order there is, ``in_words`` and ``advice`` are for people.
    """
    row = conn.execute(query("shopify.find_order_limit"), {"tenant_id": tenant_id}).fetchone()
    if row is None:
        return None
    return {**row, "in_words": LIMIT, "advice": LIMIT_ADVICE}
