"""What follows a build: updates of promo codes, and of customer metafields in the store.

A build of the service queues them before its run ends. A plain dbt build records no run, so the
scheduler compares the newest build with the one after which they were queued last.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

import structlog

from service.core.config import Settings
from service.core.db import Connection, Pool, connect, one, tenant_transaction, transform_url
from service.core.queries import query
from service.promo_codes.codes import ask_for_updates
from service.queue.runs import RunRecorder
from service.shopify.metafields import queue_metafields

log = structlog.get_logger(__name__)


def queue_followups(pool: Pool, recorders: Iterable[RunRecorder]) -> None:
    """Queue what follows a successful build, before its runs end.

    If the process dies in between, the build is repeated, and so is this.
    """
    for recorder in recorders:
        if not recorder.is_over:
            with tenant_transaction(pool, recorder.tenant_id) as conn:
                _queue(conn, recorder.tenant_id)


def follow_plain_builds(settings: Settings, pool: Pool) -> int:
    """Queue what follows builds that the service did not run; how many tenants had one.

    Called again and again by each worker. A tenant whose build runs, or whose newest one failed, is
    left alone: what is built may not be complete.
    """
    with connect(transform_url(settings)) as conn:
        if not one(conn.execute(query("builds.are_builds_recorded")).fetchone())["are_recorded"]:
            return 0
        tenants = conn.execute(query("builds.list_tenants_to_follow")).fetchall()
    followed = 0
    for row in tenants:
        try:
            with tenant_transaction(pool, row["tenant_id"]) as conn:
                _queue(conn, row["tenant_id"])
            followed += 1
        except Exception:
            # The next tenants are not concerned; this one is tried again at the next check.
            log.exception("build not followed", tenant_id=str(row["tenant_id"]))
    return followed


def _queue(conn: Connection, tenant_id: UUID) -> None:
    ask_for_updates(conn, tenant_id)
    queue_metafields(conn, tenant_id)
    conn.execute(query("builds.record_followed"), {"tenant_id": tenant_id})
