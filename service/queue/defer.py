"""Jobs enter the queue in the caller's transaction, so a job and what it is for commit together.

One job works through all webhooks of a tenant that are due, so that a burst of them needs one job
and one reading of each order.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import procrastinate
from procrastinate import SyncPsycopgConnector

from service.core.db import Connection, one
from service.core.queries import query
from service.queue.priorities import PRIORITY_WEBHOOK

NOTICES_TASK = "quintile.webhooks"
PRIVACY_TASK = "quintile.privacy"
QUEUE = "webhooks"

# Deferring needs no connector of its own: the job goes in on the caller's connection.
_app = procrastinate.App(connector=SyncPsycopgConnector())


def defer(
    conn: Connection,
    task: str,
    *,
    queue: str,
    lock: str | None = None,
    priority: int = PRIORITY_WEBHOOK,
    at: datetime | None = None,
    **arguments: str,
) -> None:
    """Queue a job in the caller's transaction.

    Args:
        conn: The transaction.
        task: The task's name.
        queue: The queue's name.
        lock: Jobs with the same lock run one after the other.
        priority: One of :mod:`service.queue.priorities`.
        at: The earliest time to run it; at once when not given.
        **arguments: The job's arguments: ids only.
    """
    enter_queue(conn)
    _app.configure_task(
        task, connection=conn, queue=queue, lock=lock, priority=priority, schedule_at=at
    ).defer(**arguments)


def enter_queue(conn: Connection) -> None:
    """Let this transaction change jobs: the queue's functions name its tables without a schema."""
    conn.execute("set local search_path = jobs, pg_temp")


def defer_notices(conn: Connection, tenant_id: UUID, at: datetime | None = None) -> None:
    """Queue the job for a tenant's webhooks, unless a waiting one will see what was written here.

    A shared lock keeps a job that starts at this moment from reading before this transaction has
    ended (see :func:`wait_for_receivers`).

    Args:
        conn: A transaction of the tenant, in which the webhook was stored.
        tenant_id: The tenant.
        at: The earliest time to start; at once when not given.
    """
    if at is None:
        parameters = {"tenant_id": str(tenant_id), "task": NOTICES_TASK}
        conn.execute(query("queue.share_receivers"), parameters)
        waiting = conn.execute(query("queue.find_waiting_notices"), parameters).fetchone()
        if one(waiting)["is_waiting"]:
            return
    defer(
        conn,
        NOTICES_TASK,
        queue=QUEUE,
        lock=f"webhooks {tenant_id}",
        at=at,
        tenant_id=str(tenant_id),
    )


def wait_for_receivers(conn: Connection, tenant_id: UUID) -> None:
    """Wait until every transaction that relies on this job reading its webhook has committed."""
    conn.execute(query("queue.wait_for_receivers"), {"tenant_id": str(tenant_id)})


def defer_privacy(
    conn: Connection, tenant_id: UUID, webhook_id: str, at: datetime | None = None
) -> None:
    """Queue the job for one privacy request, which may have to wait for a build to end."""
    defer(
        conn,
        PRIVACY_TASK,
        queue=QUEUE,
        lock=f"privacy {tenant_id}",
        at=at,
        tenant_id=str(tenant_id),
        webhook_id=webhook_id,
    )
