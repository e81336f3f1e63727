"""States of a stored webhook: queued, held, done or quarantined (``set_aside`` in the database).

A held one would delete something that the store has not confirmed: a person decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from service.core.db import Connection, one
from service.core.queries import query
from service.queue.defer import defer_notices, defer_privacy
from service.webhooks.topics import PRIVACY_KINDS, read_notice

_HELD_ADVICE = (
    "Check it with the store's owner. Then run quintile webhooks confirm, or quintile webhooks"
    " reject."
)


def defer_event(
    conn: Connection, tenant_id: UUID, webhook_id: str, kind: str, at: datetime | None = None
) -> None:
    """Queue the job that processes a webhook, in the transaction that stored or changed it."""
    if kind in PRIVACY_KINDS:
        defer_privacy(conn, tenant_id, webhook_id, at)
    else:
        defer_notices(conn, tenant_id, at)


def finish_events(
    conn: Connection, tenant_id: UUID, webhook_ids: Sequence[str], reason: str | None = None
) -> None:
    """Mark webhooks as done and delete what they were about.

    Args:
        conn: A transaction of the tenant.
        tenant_id: The tenant.
        webhook_ids: Its webhooks; those that are not queued stay as they are.
        reason: Why nothing was to be done, if so.
    """
    parameters = {"tenant_id": tenant_id, "webhook_ids": webhook_ids, "reason": reason}
    conn.execute(query("webhooks.finish_events"), parameters)


def postpone_events(
    conn: Connection,
    tenant_id: UUID,
    webhook_ids: Sequence[str],
    kind: str,
    *,
    seconds: float,
    reason: str,
) -> None:
    """Try webhooks of one kind again after a number of seconds; counts an attempt."""
    parameters = {"tenant_id": tenant_id, "webhook_ids": webhook_ids}
    row = conn.execute(
        query("webhooks.postpone_events"), {**parameters, "seconds": seconds, "reason": reason}
    ).fetchone()
    defer_event(conn, tenant_id, webhook_ids[0], kind, one(row)["due_at"])


def quarantine_events(
    conn: Connection, tenant_id: UUID, webhook_ids: Sequence[str], reason: str, advice: str
) -> None:
    """Quarantine webhooks that cannot be processed, with the reason and what to do about it."""
    conn.execute(
        query("webhooks.quarantine_events"),
        {
            "tenant_id": tenant_id,
            "webhook_ids": webhook_ids,
            "reason": reason,
            "advice": advice or None,
        },
    )


def hold_events(conn: Connection, tenant_id: UUID, webhook_ids: Sequence[str], reason: str) -> None:
    """Hold webhooks that would delete something until a person confirms or rejects them."""
    conn.execute(
        query("webhooks.hold_events"),
        {
            "tenant_id": tenant_id,
            "webhook_ids": webhook_ids,
            "reason": reason,
            "advice": _HELD_ADVICE,
        },
    )


def confirm_webhook(conn: Connection, tenant_id: UUID, webhook_id: str) -> dict[str, Any] | None:
    """Queue a held webhook in a person's name; it is then processed without asking the store.

    Returns:
        The webhook in its new state; None if no held one has this id.
    """
    parameters = {"tenant_id": tenant_id, "webhook_id": webhook_id}
    row = conn.execute(query("webhooks.confirm_event"), parameters).fetchone()
    if row is not None:
        defer_event(conn, tenant_id, webhook_id, row.pop("kind"))
    return row


def reject_webhook(conn: Connection, tenant_id: UUID, webhook_id: str) -> dict[str, Any] | None:
    """End a held webhook; nothing of what it says is done.

    Returns:
        The webhook in its new state; None if no held one has this id.
    """
    parameters = {"tenant_id": tenant_id, "webhook_id": webhook_id}
    return conn.execute(query("webhooks.reject_event"), parameters).fetchone()


def retry_webhooks(
    conn: Connection, tenant_id: UUID, webhook_id: str | None = None
) -> list[dict[str, Any]]:
    """Queue quarantined webhooks again: one of them, or all.

    An unreadable one is read again, and stays quarantined if it still cannot be read.

    Returns:
        The webhooks in their new state.
    """
    parameters = {"tenant_id": tenant_id, "webhook_id": webhook_id}
    found = conn.execute(query("webhooks.lock_quarantined"), parameters).fetchall()
    return [_retry(conn, tenant_id, event) for event in found]


def _retry(conn: Connection, tenant_id: UUID, event: dict[str, Any]) -> dict[str, Any]:
    parameters = {"tenant_id": tenant_id, "webhook_id": event["webhook_id"]}
    kind = event["kind"]
    if kind is None:
        try:
            notice = read_notice(event["topic"], event["payload"])
        except ValueError as error:
            still = {**parameters, "reason": str(error)}
            return one(conn.execute(query("webhooks.keep_quarantined"), still).fetchone())
        kind = notice.kind
        conn.execute(query("webhooks.fill_event"), {**parameters, **notice.columns()})
    queued = one(conn.execute(query("webhooks.requeue_event"), parameters).fetchone())
    defer_event(conn, tenant_id, event["webhook_id"], kind)
    return queued
