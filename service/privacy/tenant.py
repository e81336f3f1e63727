"""Erasure of a tenant, requested by ``shop/redact`` or an operator."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import structlog

from service.builds.locks import tenant_lock
from service.core.config import Settings
from service.core.queries import query
from service.queue.defer import enter_queue

log = structlog.get_logger(__name__)


def erase_tenant(
    settings: Settings, tenant_id: UUID, request_id: str, requested_at: datetime
) -> None:
    """Erase everything of a tenant: loaded and built data, settings, credentials, ledgers, jobs.

    This is one transaction of quintile_transform, because the service's role cannot delete tenants.
    It waits for a running build of the tenant, which would write the rows again. A receipt with
    counts stays. Other running work of the tenant fails at its next write.
    """
    with tenant_lock(settings, tenant_id, log.info) as conn, conn.transaction():
        parameters = {
            "tenant_id": tenant_id,
            "webhook_id": request_id,
            "requested_at": requested_at,
        }
        conn.execute(query("privacy.add_shop_receipt"), parameters)
        enter_queue(conn)
        conn.execute(query("privacy.delete_jobs"), {"tenant_id": str(tenant_id)})
        conn.execute(query("privacy.delete_tenant"), parameters)
    log.info("tenant erased", tenant_id=str(tenant_id))
