"""Events: what becomes a message to the endpoints that want it.

Builds and syncs change tables, and a job compares these with what was announced before
(:func:`collect`). So events need no part in a build, survive a kill, and come from every build,
also plain dbt's. Syncs with Klaviyo store the events about failing lists themselves
(:func:`announce`). A message holds ids and ranges only.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from service.core.db import Connection, one
from service.core.errors import AlreadyRunningError
from service.core.queries import query
from service.notifications.jobs import defer_delivery

# Changes in one message, on average. A hash says which changes belong to a message, so their number
# varies, but does not come near twice this.
BATCH_SIZE = 200
SAMPLES_BATCH_SIZE = 100

Parameters = dict[str, Any]

# Sources whose changes are recorded by syncs and found by snapshots.
SyncedSource = Literal["shopify", "klaviyo"]


def collect(conn: Connection, tenant_id: UUID, *, waits_for_build: bool = True) -> int:
    """Store messages about what builds and syncs have changed since the last call.

    Nothing is announced of the first build, in which every customer enters a segment, of the first
    reading of a Shopify segment or a list, nor of what happened while no endpoint was enabled. A
    build of an earlier date, a repeated build and a backfill change the past and are not announced
    either.

    Args:
        conn: A transaction of the tenant. Another one that collects waits until it ends.
        tenant_id: The tenant.
        waits_for_build: Leave builds alone while one runs, or if the newest one failed.

    Returns:
        How many messages were stored.
    """
    parameters = {"tenant_id": tenant_id, "endpoint_id": None, "is_replay": False}
    progress = _lock_progress(conn, parameters)
    stored = _collect_members(conn, parameters, progress)
    builds = one(conn.execute(query("notifications.find_build_runs"), parameters).fetchone())
    if not (waits_for_build and builds["is_uncertain"]):
        stored += _collect_builds(conn, parameters, progress, builds["finished_at"])
    _defer(conn, tenant_id, stored)
    return len(stored)


def replay(conn: Connection, tenant_id: UUID, endpoint_id: UUID, since: datetime) -> int:
    """Store messages for an endpoint once more about what was announced after an instant.

    They come behind what waits, with new ids, and say that they are repetitions. Those about
    failing lists are not repeated.

    Args:
        conn: A transaction of the tenant.
        tenant_id: The tenant.
        endpoint_id: An endpoint of the tenant, which is enabled.
        since: From when on.

    Returns:
        How many messages were stored.

    Raises:
        AlreadyRunningError: Messages of an earlier replay still wait.
    """
    parameters = {"tenant_id": tenant_id, "endpoint_id": endpoint_id, "is_replay": True}
    progress = _lock_progress(conn, parameters)
    waiting = one(conn.execute(query("notifications.count_replayed"), parameters).fetchone())
    if waiting["messages"]:
        raise AlreadyRunningError(
            f"{waiting['messages']} messages of the last replay still wait.",
            advice="Try again when they are delivered, or given up.",
        )
    found = conn.execute(
        query("notifications.find_snapshots_before"), {**parameters, "since": since}
    )
    before, until = one(found.fetchone()), progress["shopify_snapshot"]
    stored = _insert_member_messages(conn, parameters, "shopify", before["shopify"], until)
    stored += _insert_member_messages(conn, parameters, "klaviyo", before["klaviyo"], until)
    stored += _insert_build_messages(conn, parameters, since, progress["build_finished_at"])
    if is_built(conn):
        stored += _insert_rfm_messages(conn, parameters, since, progress["rfm_as_of"])
        stored += _insert_sample_messages(conn, parameters, since)
    _defer(conn, tenant_id, stored)
    return len(stored)


def announce(conn: Connection, tenant_id: UUID, run_id: UUID) -> int:
    """Store messages about the configurations that began to fail or recovered in a Klaviyo sync.

    There is none for a configuration whose state has not changed for the endpoint, nor for a dry
    run. Calling this again for the same run has no effect.

    Args:
        conn: A transaction of the tenant, best the one that ended the run's rows.
        tenant_id: The tenant.
        run_id: A run whose rows in ``app.klaviyo_sync_runs`` have ended.

    Returns:
        The number of messages.
    """
    stored = conn.execute(
        query("notifications.insert_sync_messages"), {"tenant_id": tenant_id, "run_id": run_id}
    ).fetchall()
    _defer(conn, tenant_id, stored)
    return len(stored)


def is_built(conn: Connection) -> bool:
    """Whether dbt has built the tables that events come from."""
    return bool(one(conn.execute(query("notifications.is_built")).fetchone())["is_built"])


def _lock_progress(conn: Connection, parameters: Parameters) -> dict[str, Any]:
    conn.execute(query("notifications.insert_progress"), parameters)
    return one(conn.execute(query("notifications.lock_progress"), parameters).fetchone())


def _collect_members(
    conn: Connection, parameters: Parameters, progress: dict[str, Any]
) -> list[dict[str, Any]]:
    """Store messages about Shopify segments and pulled lists.

    By snapshots and not by time, because a long transaction commits rows that are older than others
    already read.
    """
    found = conn.execute(
        query("notifications.find_snapshot"),
        {"shopify_snapshot": progress["shopify_snapshot"]},
    )
    span = one(found.fetchone())
    if span["after_snapshot"] is None:
        conn.execute(query("notifications.mark_foreign_changes"), {**parameters, **span})
    conn.execute(query("notifications.record_snapshot"), {**parameters, **span})
    after, until = span["after_snapshot"], span["until_snapshot"]
    stored = _insert_member_messages(conn, parameters, "shopify", after, until)
    return stored + _insert_member_messages(conn, parameters, "klaviyo", after, until)


def _collect_builds(
    conn: Connection,
    parameters: Parameters,
    progress: dict[str, Any],
    finished_at: datetime | None,
) -> list[dict[str, Any]]:
    """Store messages about builds, and what they changed."""
    stored = _insert_build_messages(conn, parameters, progress["build_finished_at"], finished_at)
    are_samples_known: bool = progress["are_samples_known"]
    built: dict[str, Any] = dict.fromkeys(("built_as_of", "rfm_as_of", "samples_as_of"))
    if is_built(conn):
        built = one(conn.execute(query("notifications.find_built"), parameters).fetchone())
        stored += _insert_rfm_messages(conn, parameters, progress["rfm_as_of"], built["rfm_as_of"])
        if built["built_as_of"] is not None:
            is_baseline = not (progress["has_endpoints"] and are_samples_known)
            stored += _collect_samples(conn, parameters, is_baseline=is_baseline)
            # A first build without a run may not have come to the samples yet.
            are_samples_known |= finished_at is not None or built["samples_as_of"] is not None
    conn.execute(
        query("notifications.record_build_progress"),
        {
            **parameters,
            **built,
            "build_finished_at": finished_at,
            "are_samples_known": are_samples_known,
        },
    )
    return stored


def _collect_samples(
    conn: Connection, parameters: Parameters, *, is_baseline: bool
) -> list[dict[str, Any]]:
    """Record new samples and fulfilments, and store messages about them unless they are old."""
    changes = {**parameters, "is_baseline": is_baseline}
    conn.execute(query("notifications.record_fulfilled_samples"), changes)
    conn.execute(query("notifications.record_found_samples"), changes)
    return [] if is_baseline else _insert_sample_messages(conn, parameters, None)


def _insert_member_messages(
    conn: Connection,
    parameters: Parameters,
    source: SyncedSource,
    after: str | None,
    until: str | None,
) -> list[dict[str, Any]]:
    """Between two snapshots; ``after`` is None if nothing counts yet."""
    if after is None or until is None:
        return []
    span = {"after_snapshot": after, "until_snapshot": until, "batch_size": BATCH_SIZE}
    return conn.execute(
        query("notifications.insert_member_messages"), {**parameters, **span, "source": source}
    ).fetchall()


def _insert_build_messages(
    conn: Connection, parameters: Parameters, after: datetime | None, until: datetime | None
) -> list[dict[str, Any]]:
    span = {**parameters, "after": after, "until": until}
    return conn.execute(query("notifications.insert_build_messages"), span).fetchall()


def _insert_rfm_messages(
    conn: Connection, parameters: Parameters, after: datetime | None, until: datetime | None
) -> list[dict[str, Any]]:
    """``after`` is None before the first build."""
    if after is None or until is None:
        return []
    return conn.execute(
        query("notifications.insert_rfm_messages"),
        {**parameters, "after": after, "until": until, "batch_size": BATCH_SIZE},
    ).fetchall()


def _insert_sample_messages(
    conn: Connection, parameters: Parameters, after: datetime | None
) -> list[dict[str, Any]]:
    """About what was recorded after an instant, or in this transaction if there is none."""
    return conn.execute(
        query("notifications.insert_sample_messages"),
        {**parameters, "after": after, "batch_size": SAMPLES_BATCH_SIZE},
    ).fetchall()


def _defer(conn: Connection, tenant_id: UUID, stored: list[dict[str, Any]]) -> None:
    """Queue a job for each endpoint that has got a message."""
    for endpoint_id in sorted({row["endpoint_id"] for row in stored}):
        defer_delivery(conn, tenant_id, endpoint_id)
