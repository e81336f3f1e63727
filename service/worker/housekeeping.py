"""Housekeeping: what has served its time is deleted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from uuid import UUID

from service.core.config import Settings
from service.core.db import Pool, tenant_transaction
from service.core.queries import query
from service.webhooks.housekeeping import purge_jobs, purge_tenant


def housekeep(settings: Settings, pool: Pool, tenants: Iterable[UUID]) -> dict[str, int]:
    """Delete old webhooks, exports and runs of these tenants, and ended jobs of all.

    Harmless at any time and as often as you like, beside the worker too.

    Returns:
        How many of each were deleted.
    """
    deleted: Counter[str] = Counter(webhooks=0, exports=0, runs=0)
    for tenant_id in tenants:
        deleted.update(purge_tenant(settings, pool, tenant_id))
        deleted["runs"] += _purge_runs(settings, pool, tenant_id)
    deleted["jobs"] = purge_jobs(settings)
    return dict(deleted)


def _purge_runs(settings: Settings, pool: Pool, tenant_id: UUID) -> int:
    with tenant_transaction(pool, tenant_id) as conn:
        parameters = {"tenant_id": tenant_id, "days": settings.run_days}
        return conn.execute(query("worker.purge_runs"), parameters).rowcount
