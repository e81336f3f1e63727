"""Housekeeping: delete old records."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from service.core.config import Settings
from service.core.db import Pool, connect, tenant_transaction, transform_url
from service.core.queries import query
from service.queue.defer import enter_queue
from service.tenants.idempotent_requests import KEPT
from service.webhooks.events import defer_event
from service.webhooks.topics import PRIVACY_KINDS, PRIVACY_TOPICS


def housekeep(settings: Settings, pool: Pool, tenants: Iterable[UUID]) -> dict[str, int]:
    """Delete old records of these tenants, and ended jobs of all tenants.

    It may run at any time, also beside a worker. Queued and quarantined privacy requests stay,
    however old they are. Webhooks that have lost their job get a new one.

    Returns:
        How many of each were deleted.
    """
    purges = {
        "webhooks": (query("worker.purge_webhooks"), settings.webhook_days),
        # An export's row has the time at which it expires.
        "exports": (query("worker.purge_exports"), None),
        "runs": (query("worker.purge_runs"), settings.run_days),
        "notifications": (query("notifications.purge_deliveries"), settings.webhook_days),
        # A former secret has the time at which it expires.
        "webhook_secrets": (query("notifications.purge_secrets"), None),
        "klaviyo_events": (query("worker.purge_klaviyo_events"), settings.klaviyo_event_days),
        "segment_changes": (
            query("segments.purge_changes"),
            settings.segment_change_days,
        ),
        "list_changes": (query("segments.purge_list_changes"), settings.segment_change_days),
        "promo_code_changes": (
            query("promo_codes.purge_target_changes"),
            settings.segment_change_days,
        ),
        # Sessions and links have the times at which they end.
        "sessions": (query("tenants.purge_sessions"), None),
        "idempotent_requests": (query("tenants.purge_requests"), None),
    }
    deleted = dict.fromkeys(purges, 0)
    for tenant_id in tenants:
        parameters = {
            "tenant_id": tenant_id,
            "privacy_kinds": sorted(PRIVACY_KINDS),
            "privacy_topics": sorted(PRIVACY_TOPICS),
            "kept": KEPT,
        }
        with tenant_transaction(pool, tenant_id) as conn:
            for row in conn.execute(query("worker.list_lost_events"), parameters).fetchall():
                defer_event(conn, tenant_id, row["webhook_id"], row["kind"])
        with tenant_transaction(pool, tenant_id) as conn:
            for name, (statement, days) in purges.items():
                deleted[name] += conn.execute(statement, {**parameters, "days": days}).rowcount
    with connect(transform_url(settings)) as conn, conn.transaction():
        enter_queue(conn)
        parameters = {"days": settings.webhook_days}
        return {**deleted, "jobs": conn.execute(query("worker.purge_jobs"), parameters).rowcount}
