"""Queueing the jobs of outgoing webhooks."""

from __future__ import annotations

from uuid import UUID

from service.core.db import Connection
from service.core.queries import query
from service.queue.defer import defer
from service.queue.priorities import PRIORITY_PERSON, PRIORITY_SCHEDULE

COLLECT_TASK = "quintile.collect_events"
DELIVER_TASK = "quintile.deliver_webhooks"
QUEUE = "notifications"

# Deliveries of one tenant at the same time: a receiver that does not answer holds a slot of the
# worker for seconds.
_LANES = 2


def defer_collection(conn: Connection, tenant_id: UUID) -> None:
    """Queue the job that turns a tenant's changes into messages, in the caller's transaction."""
    defer(
        conn,
        COLLECT_TASK,
        queue=QUEUE,
        lock=f"webhook events {tenant_id}",
        priority=PRIORITY_SCHEDULE,
        tenant_id=str(tenant_id),
    )


def defer_delivery(
    conn: Connection, tenant_id: UUID, endpoint_id: UUID, *, is_urgent: bool = False
) -> None:
    """Queue the job that sends what waits for an endpoint, in the caller's transaction.

    Nothing is queued if a job waits already. ``is_urgent`` if a person waits for it.
    """
    priority = PRIORITY_PERSON if is_urgent else PRIORITY_SCHEDULE
    parameters = {
        "tenant_id": str(tenant_id),
        "endpoint_id": str(endpoint_id),
        "task": DELIVER_TASK,
        "priority": priority,
    }
    if conn.execute(query("notifications.find_delivery_job"), parameters).fetchone() is not None:
        return
    defer(
        conn,
        DELIVER_TASK,
        queue=QUEUE,
        # Also keeps an endpoint's messages in order: its jobs never overlap.
        lock=f"webhook deliveries {tenant_id} {endpoint_id.int % _LANES}",
        priority=priority,
        tenant_id=str(tenant_id),
        endpoint_id=str(endpoint_id),
    )
