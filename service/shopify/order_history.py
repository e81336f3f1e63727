"""Warn when a tenant's RFM window reaches further back than the orders its token can read."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from service.core.db import Connection
from service.core.queries import query
from service.shopify.report import LIMIT, LIMIT_ADVICE


def read_order_limit(conn: Connection, tenant_id: UUID) -> dict[str, Any] | None:
    """The warning, if Shopify shows only 60 days of orders and RFM needs older ones; else None.

    ``first_order_at`` is the oldest loaded order; ``in_words`` and ``advice`` are sentences.
    """
    statement = query("shopify.find_order_limit")
    row = conn.execute(statement, {"tenant_id": tenant_id}, prepare=True).fetchone()
    if row is None:
        return None
    return {**row, "in_words": LIMIT, "advice": LIMIT_ADVICE}
