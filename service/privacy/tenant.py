"""Erasing a tenant wholly, as shop/redact asks or an operator decides."""

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
    """Erase all that there is of a tenant: landed, built, settings, credentials, ledgers, jobs.

    One transaction, as dbt's role, which may delete tenants while the service's may not; it waits
    for a build of the tenant that is under way, which would write the rows again. What stays is a
    receipt with counts. Whatever else is running for the tenant fails at its next write.
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
