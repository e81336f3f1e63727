"""Webhooks that were set aside: tried once more, because an operator says so."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from service.core.db import Connection, one
from service.core.queries import query
from service.webhooks.inbox import defer
from service.webhooks.topics import read_notice


def retry_webhooks(
    conn: Connection, tenant_id: UUID, webhook_id: str | None = None
) -> list[dict[str, Any]]:
    """Queue webhooks that were set aside again: one of them, or all.

    One that was not understood is read again; if it still is not, it stays aside.

    Returns:
        The webhooks as they are now.
    """
    found = conn.execute(
        query("webhooks.lock_quarantined"),
        {"tenant_id": tenant_id, "webhook_id": webhook_id},
    ).fetchall()
    return [_retry(conn, tenant_id, event) for event in found]


def _retry(conn: Connection, tenant_id: UUID, event: dict[str, Any]) -> dict[str, Any]:
    parameters = {"tenant_id": tenant_id, "webhook_id": event["webhook_id"]}
    kind = event["kind"]
    if kind is None:
        try:
            notice = read_notice(event["topic"], event["payload"])
        except ValueError as error:
            reason = f"It was not understood: {error}."
            still = {**parameters, "reason": reason}
            return one(conn.execute(query("webhooks.keep_quarantined"), still).fetchone())
        kind = notice.kind
        conn.execute(
            query("webhooks.fill_event"),
            {
                **parameters,
                "kind": kind,
                "subject": notice.subject,
                "notice": Jsonb(notice.details),
                "store_updated_at": notice.store_updated_at,
            },
        )
    queued = one(conn.execute(query("webhooks.requeue_event"), parameters).fetchone())
    defer(conn, tenant_id, event["webhook_id"], kind)
    return queued
