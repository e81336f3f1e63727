"""Deliveries: sent by a job, retried on failure, logged; and what a person does with them.

An endpoint's messages about segments are sent one after the other, in the order of the changes: the
next one waits until the one before is delivered or given up. Other messages do not wait. A message
may arrive twice, with the same id, because an answer may be lost.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any
from uuid import UUID

import structlog

from service.core.config import Settings
from service.core.db import Connection, Pool, connect, one, tenant_transaction, transform_url
from service.core.errors import SealBrokenError
from service.core.queries import query
from service.notifications.delivery import Answer, deliver
from service.notifications.endpoints import Endpoint, disable_endpoint, open_endpoint
from service.notifications.events import collect, is_built
from service.notifications.jobs import defer_collection, defer_delivery
from service.notifications.payloads import build_payload
from service.notifications.topics import TEST

# Time from each failed attempt to the next: six retries in about a day.
_WAITS = (
    timedelta(seconds=30),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=6),
    timedelta(hours=16),
)
# Retries of what failed together are spread over this part of the wait.
_SPREAD = 0.1
# How long a receiver that did not answer is left alone, whatever else waits for it.
_PAUSE = timedelta(seconds=30)
# A job gives its slot to others after this time. With one more attempt, it ends before a stopping
# worker stops waiting.
_JOB_SECONDS = 10.0
# An endpoint without a successful delivery for this long is disabled when it fails a message for
# good.
DISABLE_AFTER = timedelta(days=5)

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Message:
    """A message to send.

    Args:
        delivery: Its row.
        endpoint: Its receiver; None if its secret cannot be opened.
        body: None if what it was about no longer exists.
        problem: Why it cannot be sent, if so.
    """

    delivery: Mapping[str, Any]
    endpoint: Endpoint | None = None
    body: bytes | None = None
    problem: str | None = None

    @property
    def is_void(self) -> bool:
        """Whether there is nothing to send, now and later."""
        return self.endpoint is not None and self.body is None


def send_test(conn: Connection, tenant_id: UUID, endpoint_id: UUID) -> UUID:
    """Queue a test message, which is sent once, also to a disabled endpoint; returns its id."""
    parameters = {"tenant_id": tenant_id, "endpoint_id": endpoint_id, "topic": TEST}
    row = one(conn.execute(query("notifications.insert_test"), parameters).fetchone())
    defer_delivery(conn, tenant_id, endpoint_id, is_urgent=True)
    delivery_id: UUID = row["delivery_id"]
    return delivery_id


def redeliver(conn: Connection, tenant_id: UUID, delivery: Mapping[str, Any]) -> None:
    """Queue a delivery once more, with the same id; one that still waits goes now."""
    parameters = {"tenant_id": tenant_id, "delivery_id": delivery["delivery_id"]}
    conn.execute(query("notifications.reopen_delivery"), parameters)
    defer_delivery(conn, tenant_id, delivery["endpoint_id"], is_urgent=True)


def find_delivery(conn: Connection, tenant_id: UUID, delivery_id: UUID) -> dict[str, Any] | None:
    """One row of the log."""
    parameters = {"tenant_id": tenant_id, "delivery_id": delivery_id}
    return conn.execute(query("notifications.find_delivery"), parameters).fetchone()


def enqueue_webhooks(settings: Settings, pool: Pool) -> int:
    """Queue jobs of tenants with something to announce, and of due deliveries.

    Called again and again by each worker. It finds everything in the database, so nothing depends
    on a job that may get lost.

    Returns:
        How many jobs were queued.
    """
    with connect(transform_url(settings)) as conn:
        changed = conn.execute(query("notifications.list_tenants_with_member_changes")).fetchall()
        if is_built(conn):
            changed += conn.execute(query("notifications.list_tenants_with_builds")).fetchall()
        due = conn.execute(query("notifications.list_due_endpoints")).fetchall()
    tenants = {row["tenant_id"] for row in changed}
    for tenant_id in sorted(tenants):
        with tenant_transaction(pool, tenant_id) as tenant_conn:
            defer_collection(tenant_conn, tenant_id)
    for row in due:
        with tenant_transaction(pool, row["tenant_id"]) as tenant_conn:
            defer_delivery(tenant_conn, row["tenant_id"], row["endpoint_id"])
    return len(tenants) + len(due)


def collect_events(pool: Pool, tenant_id: UUID) -> None:
    """Turn what has changed since the last time into messages."""
    with tenant_transaction(pool, tenant_id) as conn:
        collect(conn, tenant_id)


def deliver_due(settings: Settings, pool: Pool, tenant_id: UUID, endpoint_id: UUID) -> None:
    """Send what waits for an endpoint, for a limited time; queue a job for the rest."""
    until = time.monotonic() + _JOB_SECONDS
    while message := _next_message(settings, pool, tenant_id, endpoint_id):
        # Outside a transaction, because the receiver may be slow.
        answer = _attempt(settings, message)
        with tenant_transaction(pool, tenant_id) as conn:
            _record(conn, message, answer)
            if time.monotonic() > until:
                defer_delivery(conn, tenant_id, endpoint_id)
                return


def _next_message(
    settings: Settings, pool: Pool, tenant_id: UUID, endpoint_id: UUID
) -> _Message | None:
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        parameters = {"tenant_id": tenant_id, "endpoint_id": endpoint_id}
        row = conn.execute(query("notifications.find_next_delivery"), parameters).fetchone()
        if row is None:
            return None
        try:
            endpoint = open_endpoint(settings, conn, tenant_id, endpoint_id)
        except SealBrokenError as error:
            return _Message(row, problem=error.message)
        payload = build_payload(conn, row)
    if payload is None:
        return _Message(row, endpoint, problem="What it was about no longer exists.")
    return _Message(row, endpoint, json.dumps(payload, ensure_ascii=False).encode())


def _attempt(settings: Settings, message: _Message) -> Answer:
    if message.endpoint is None or message.body is None:
        return Answer(error=message.problem)
    return deliver(settings, message.endpoint, str(message.delivery["delivery_id"]), message.body)


def _record(conn: Connection, message: _Message, answer: Answer) -> None:
    """Record an attempt, and what it says about the endpoint."""
    delivery = message.delivery
    tenant_id, endpoint_id = delivery["tenant_id"], delivery["endpoint_id"]
    attempts = delivery["attempts"] + 1
    is_gone = answer.status == HTTPStatus.GONE
    is_over = (
        answer.is_success
        or message.is_void
        or is_gone
        or delivery["topic"] == TEST
        or attempts > len(_WAITS)
    )
    state = ("delivered" if answer.is_success else "failed") if is_over else "pending"
    now = datetime.now(UTC)
    parameters = {
        "tenant_id": tenant_id,
        "endpoint_id": endpoint_id,
        "delivery_id": delivery["delivery_id"],
        "state": state,
        "error": answer.error,
        "response_status": answer.status,
        "next_attempt_at": None if is_over else now + _wait(attempts, answer),
    }
    conn.execute(query("notifications.record_attempt"), parameters)
    if answer.is_success:
        conn.execute(query("notifications.record_success"), parameters)
        return
    ids = {"tenant_id": str(tenant_id), "delivery_id": str(delivery["delivery_id"])}
    log.warning("webhook not delivered", reason=answer.error, attempts=attempts, **ids)
    if is_gone:
        disable_endpoint(conn, tenant_id, endpoint_id, "gone")
    elif not message.is_void and delivery["topic"] != TEST:
        retry_at = now + _PAUSE if answer.status is None else None
        failure = {**parameters, "retry_at": retry_at}
        row = conn.execute(query("notifications.record_failure"), failure).fetchone()
        # The endpoint may have been deleted meanwhile. One failure after a quiet week is no proof.
        if row is not None and is_over and now - row["failing_since"] > DISABLE_AFTER:
            disable_endpoint(conn, tenant_id, endpoint_id, "failing")


def _wait(attempts: int, answer: Answer) -> timedelta:
    """How long to wait after this many attempts, at least as long as the receiver asks."""
    wait = _WAITS[attempts - 1]
    wait += wait * random.uniform(0, _SPREAD)  # noqa: S311 - not for security
    return max(wait, timedelta(seconds=answer.retry_after or 0))
