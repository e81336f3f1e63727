"""Deleting what is old: webhooks, exports, notifications, Klaviyo's events, failed jobs."""

from __future__ import annotations

from uuid import UUID

from service.core.config import Settings
from service.core.db import Connection, Pool, connect, tenant_transaction, transform_url
from service.core.queries import query
from service.notifications.outbox import purge_notifications
from service.queue.defer import enter_queue
from service.webhooks.inbox import defer
from service.webhooks.topics import PRIVACY_KINDS


def purge_tenant(settings: Settings, pool: Pool, tenant_id: UUID) -> dict[str, int]:
    """Delete a tenant's old webhooks and notifications, expired exports and events long sent.

    Returns:
        How many of each.

    A privacy request that has not been met stays, however old it is.
    """
    with tenant_transaction(pool, tenant_id) as conn:
        webhooks = conn.execute(
            query("webhooks.purge_webhooks"),
            {
                "tenant_id": tenant_id,
                "days": settings.webhook_days,
                "privacy_kinds": sorted(PRIVACY_KINDS),
            },
        ).rowcount
        exports = conn.execute(query("webhooks.purge_exports"), {"tenant_id": tenant_id}).rowcount
        notifications = purge_notifications(conn, tenant_id, settings.webhook_days)
        events = conn.execute(
            query("webhooks.purge_klaviyo_events"),
            {"tenant_id": tenant_id, "days": settings.klaviyo_event_days},
        ).rowcount
        _take_up(conn, tenant_id)
    return {
        "webhooks": webhooks,
        "exports": exports,
        "notifications": notifications,
        "klaviyo_events": events,
    }


def _take_up(conn: Connection, tenant_id: UUID) -> None:
    """Queue jobs for webhooks that wait without one, as after a command that was interrupted."""
    rows = conn.execute(query("webhooks.list_lost_events"), {"tenant_id": tenant_id}).fetchall()
    for row in rows:
        defer(conn, tenant_id, row["webhook_id"], row["kind"])


def purge_jobs(settings: Settings) -> int:
    """Delete jobs of the queue that ended long ago, of all tenants, and count them."""
    with connect(transform_url(settings)) as conn, conn.transaction():
        enter_queue(conn)
        days = {"days": settings.webhook_days}
        return conn.execute(query("webhooks.purge_jobs"), days).rowcount
