"""Probes: refused connections are tried again by themselves.

A refusal may come by mistake and pass, and a person may repair what was wrong at the provider. So a
refused connection is tried again after five minutes, then less and less often, down to every six
hours. When it is accepted, it is active again, and what its schedules start is queued.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import structlog

from service.core.config import Settings
from service.core.credentials import FIRST_PROBE_PAUSE
from service.core.db import Pool, connect, tenant_transaction, transform_url
from service.core.errors import QuintileError
from service.core.queries import query
from service.klaviyo.connection import open_connected_klaviyo, verify_klaviyo
from service.queue.defer import QUEUE, defer
from service.queue.enqueue import PROBE_TASK, enqueue
from service.queue.priorities import PRIORITY_SCHEDULE
from service.queue.schedules import BY_NAME, list_schedules
from service.shopify.connection import probe_shopify

log = structlog.get_logger(__name__)

LONGEST_PAUSE = timedelta(hours=6)


def enqueue_probes(settings: Settings, pool: Pool, now: datetime) -> int:
    """Queue a probe of each refused connection that is due for one, once for all workers.

    Returns:
        How many were queued.
    """
    with connect(transform_url(settings)) as conn:
        due = conn.execute(query("worker.find_due_probes"), {"now": now}).fetchall()
    return sum(_enqueue(pool, row["tenant_id"], row["provider"], now) for row in due)


def _enqueue(pool: Pool, tenant_id: UUID, provider: str, now: datetime) -> bool:
    parameters = {
        "tenant_id": tenant_id,
        "provider": provider,
        "now": now,
        "first_pause": FIRST_PROBE_PAUSE,
        "longest_pause": LONGEST_PAUSE,
    }
    with tenant_transaction(pool, tenant_id) as conn:
        if conn.execute(query("worker.claim_probe"), parameters).fetchone() is None:
            return False
        defer(
            conn,
            PROBE_TASK,
            queue=QUEUE,
            lock=f"probe {provider} {tenant_id}",
            priority=PRIORITY_SCHEDULE,
            tenant_id=str(tenant_id),
            provider=provider,
        )
    return True


def probe(settings: Settings, pool: Pool, tenant_id: UUID, provider: str) -> bool:
    """Try a refused connection; if it is accepted, queue what its schedules start.

    Returns:
        Whether it is accepted. If not, the connection has the reason.
    """
    ids = {"tenant_id": str(tenant_id), "provider": provider}
    try:
        if provider == "shopify":
            probe_shopify(settings, pool, tenant_id)
        else:
            with open_connected_klaviyo(settings, pool, tenant_id) as client:
                verify_klaviyo(pool, tenant_id, client)
    except QuintileError as error:
        log.info("connection still not accepted", reason=error.message, **ids)
        return False
    log.info("connection accepted again", **ids)
    with tenant_transaction(pool, tenant_id) as conn:
        for row in list_schedules(conn, settings, tenant_id):
            schedule = BY_NAME[row["name"]]
            if schedule.provider == provider and schedule.kind and not row["is_paused"]:
                enqueue(conn, tenant_id, schedule.kind, "schedule")
    return True
