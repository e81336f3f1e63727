"""The jobs behind webhooks: queued in the transaction that wrote the webhook down.

One job works through all of a tenant's webhooks that are due, so a burst of them needs one job, and
one reading of each order.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import procrastinate
from procrastinate import SyncPsycopgConnector

from service.core.db import Connection, one, query
from service.jobs.fair_queue import TOLD

NOTICES_TASK = "quintile.webhooks"
PRIVACY_TASK = "quintile.privacy"
QUEUE = "webhooks"

_deferring = procrastinate.App(connector=SyncPsycopgConnector())


def defer_notices(conn: Connection, tenant_id: UUID, at: datetime | None = None) -> None:
    """Queue the job for a tenant's webhooks, unless one waits that will see what is written here.

    The shared lock keeps that job, should it begin this moment, from looking before this
    transaction has ended (see :func:`wait_for_receivers`).

    Args:
        conn: A transaction of the tenant, in which the webhook was written down.
        tenant_id: Whose webhooks.
        at: When to begin; at once when not given.
    """
    if at is None:
        parameters = {"tenant_id": str(tenant_id), "task": NOTICES_TASK}
        conn.execute(query("jobs/sql/share_receivers"), parameters)
        waiting = conn.execute(query("jobs/sql/find_waiting_notices"), parameters).fetchone()
        if one(waiting)["is_waiting"]:
            return
    _defer(conn, NOTICES_TASK, f"webhooks {tenant_id}", at, tenant_id=str(tenant_id))


def enter_queue(conn: Connection) -> None:
    """Let this transaction change jobs: the queue's functions name its tables without a schema."""
    conn.execute("set local search_path = jobs, pg_temp")


def wait_for_receivers(conn: Connection, tenant_id: UUID) -> None:
    """Wait until whoever relied on this job having yet to begin has committed."""
    conn.execute(query("jobs/sql/wait_for_receivers"), {"tenant_id": str(tenant_id)})


def defer_privacy(
    conn: Connection, tenant_id: UUID, webhook_id: str, at: datetime | None = None
) -> None:
    """Queue the job for one privacy request, which may have to wait for a build to end."""
    _defer(
        conn,
        PRIVACY_TASK,
        f"privacy {tenant_id}",
        at,
        tenant_id=str(tenant_id),
        webhook_id=webhook_id,
    )


def _defer(conn: Connection, task: str, lock: str, at: datetime | None, **arguments: str) -> None:
    enter_queue(conn)
    _deferring.configure_task(
        task, connection=conn, queue=QUEUE, lock=lock, priority=TOLD, schedule_at=at
    ).defer(**arguments)
