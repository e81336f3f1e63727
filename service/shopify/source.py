"""What a sync works on: the shop that is read, and the tenant it is loaded for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import sql

from service.core.db import Pool, tenant_transaction
from service.queue.progress import Progress
from service.shopify.client import ShopifyClient


@dataclass(frozen=True)
class Source:
    """One sync: the shop, the tenant it is loaded for, and the progress.

    ``patience`` is how many seconds Shopify may take to prepare one large segment.
    """

    client: ShopifyClient
    pool: Pool
    tenant_id: UUID
    progress: Progress
    patience: float = 600.0

    def execute(self, statement: sql.SQL, **parameters: Any) -> list[dict[str, Any]]:
        """Run one statement in a transaction of the tenant; the rows that it returns, if any."""
        with tenant_transaction(self.pool, self.tenant_id) as conn:
            cursor = conn.execute(statement, {"tenant_id": self.tenant_id, **parameters})
            return cursor.fetchall() if cursor.description else []
