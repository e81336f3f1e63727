"""Queue jobs in the caller's transaction, so that a job and the rows it is for commit together.

One job processes all due webhooks of a tenant, so a burst of webhooks needs one job and reads each
order once.
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

# The connector is never opened: jobs are inserted over the caller's connection.
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
    """Queue a job in the caller's transaction; its arguments are ids only.

    Jobs with the same lock run one after the other. ``priority`` is one of
    :mod:`service.queue.priorities`, ``at`` the earliest time to start (now if not given).
    """
    enter_queue(conn)
    _app.configure_task(
        task, connection=conn, queue=queue, lock=lock, priority=priority, schedule_at=at
    ).defer(**arguments)


def enter_queue(conn: Connection) -> None:
    """Set the search path for changes of jobs: procrastinate's functions name no schema."""
    conn.execute("set local search_path = jobs, pg_temp")


def defer_notices(conn: Connection, tenant_id: UUID, at: datetime | None = None) -> None:
    """Queue the job for a tenant's webhooks, in the transaction that stored one of them.

    Nothing is queued if a waiting job will read it: a shared lock keeps a job that starts now from
    reading before this transaction ends (see :func:`wait_for_receivers`).
    """
    if at is None:
        parameters = {"tenant_id": str(tenant_id), "task": NOTICES_TASK}
        conn.execute(query("queue.share_receivers"), parameters)
        waiting = conn.execute(query("queue.find_waiting_notices"), parameters).fetchone()
        if one(waiting)["is_waiting"]:
            return
    lock = f"webhooks {tenant_id}"
    defer(conn, NOTICES_TASK, queue=QUEUE, lock=lock, at=at, tenant_id=str(tenant_id))


def wait_for_receivers(conn: Connection, tenant_id: UUID) -> None:
    """Wait for the transactions that stored a webhook and rely on the running job to read it."""
    conn.execute(query("queue.wait_for_receivers"), {"tenant_id": str(tenant_id)})


def defer_privacy(
    conn: Connection, tenant_id: UUID, webhook_id: str, at: datetime | None = None
) -> None:
    """Queue the job for one privacy request, which may have to wait for a build to end."""
    tenant = str(tenant_id)
    lock = f"privacy {tenant}"
    defer(
        conn, PRIVACY_TASK, queue=QUEUE, lock=lock, at=at, tenant_id=tenant, webhook_id=webhook_id
    )
