"""Notifications: stored when a sync fails or recovers, sent by a job, retried on failure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog

from service.core.config import Settings
from service.core.db import Connection, Pool, one, tenant_transaction
from service.core.errors import QuintileError
from service.core.queries import query
from service.notifications.delivery import deliver
from service.notifications.hooks import find_hook
from service.queue.defer import defer
from service.queue.priorities import PRIORITY_SCHEDULE

NOTIFY_TASK = "quintile.notify"
QUEUE = "notifications"

# Time from each failed attempt to the next: six retries in about a day.
_WAITS = (
    timedelta(seconds=30),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=6),
    timedelta(hours=16),
)

log = structlog.get_logger(__name__)


def announce(conn: Connection, tenant_id: UUID, run_id: UUID) -> int:
    """Store notifications of the configurations that began to fail or recovered in a run.

    There is none for a configuration whose state has not changed, nor for a dry run. Calling this
    again for the same run has no effect.

    Args:
        conn: A transaction of the tenant, best the one that ended the run's rows.
        tenant_id: The tenant.
        run_id: A run whose rows in ``app.klaviyo_sync_runs`` have ended.

    Returns:
        The number of notifications to send.
    """
    rows = conn.execute(
        query("notifications.insert_notifications"), {"tenant_id": tenant_id, "run_id": run_id}
    ).fetchall()
    for row in rows:
        _defer(conn, tenant_id, row["notification_id"])
    return len(rows)


def send_test(settings: Settings, pool: Pool, tenant_id: UUID) -> dict[str, object]:
    """Send a test notification at once, without retries; returns its row.

    Raises:
        SealBrokenError: The hook's secret cannot be opened with the current keys.
    """
    with tenant_transaction(pool, tenant_id) as conn:
        added = conn.execute(query("notifications.insert_test"), {"tenant_id": tenant_id})
        notification_id = one(added.fetchone())["notification_id"]
    send_notification(settings, pool, tenant_id, notification_id, is_last=True)
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        return _read(conn, tenant_id, notification_id) or {}


def send_notification(
    settings: Settings,
    pool: Pool,
    tenant_id: UUID,
    notification_id: UUID,
    *,
    is_last: bool = False,
) -> None:
    """Send a pending notification and record the result; on failure, queue a retry.

    Args:
        settings: The keys, and whether private addresses are allowed.
        pool: The service's pool.
        tenant_id: The tenant.
        notification_id: Its notification; nothing happens if it is no longer pending.
        is_last: Do not retry.

    Raises:
        SealBrokenError: The hook's secret cannot be opened with the current keys.
    """
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        row = _read(conn, tenant_id, notification_id)
        hook = find_hook(settings, conn, tenant_id)
    if row is None or row["state"] != "pending" or hook is None:
        # Another job has sent it, or the tenant has removed its hook.
        return
    error: str | None = None
    try:
        # Outside a transaction, because the receiver may be slow.
        deliver(settings, hook, row)
    except QuintileError as failure:
        error = failure.message
    attempts = int(str(row["attempts"])) + 1
    is_over = error is None or is_last or attempts > len(_WAITS)
    with tenant_transaction(pool, tenant_id) as conn:
        conn.execute(
            query("notifications.record_attempt"),
            {
                "tenant_id": tenant_id,
                "notification_id": notification_id,
                "state": ("delivered" if error is None else "failed") if is_over else "pending",
                "error": error,
            },
        )
        if not is_over:
            at = datetime.now(UTC) + _WAITS[attempts - 1]
            _defer(conn, tenant_id, notification_id, at)
    if error is not None:
        ids = {"tenant_id": str(tenant_id), "notification_id": str(notification_id)}
        log.warning("notification not delivered", reason=error, attempts=attempts, **ids)


def _read(conn: Connection, tenant_id: UUID, notification_id: UUID) -> dict[str, object] | None:
    return conn.execute(
        query("notifications.find_notification"),
        {"tenant_id": tenant_id, "notification_id": notification_id},
    ).fetchone()


def _defer(
    conn: Connection, tenant_id: UUID, notification_id: UUID, at: datetime | None = None
) -> None:
    defer(
        conn,
        NOTIFY_TASK,
        queue=QUEUE,
        priority=PRIORITY_SCHEDULE,
        at=at,
        tenant_id=str(tenant_id),
        notification_id=str(notification_id),
    )
