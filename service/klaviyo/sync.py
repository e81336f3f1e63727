"""One sync of a tenant's Klaviyo lists: read each list, plan in SQL, carry the plan out."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import httpx

from service.config import Settings
from service.connections import credential, note_accepted, note_refused
from service.db import Connection, Pool, query, tenant_transaction
from service.errors import QuintileError
from service.jobs.progress import Progress
from service.klaviyo.client import (
    KlaviyoError,
    KlaviyoRefusedError,
    KlaviyoUnavailableError,
    open_klaviyo,
)
from service.klaviyo.plan import SegmentGoneError, plan, settle
from service.klaviyo.push import Limits, Target, add, remove
from service.spool import Row, Spool, open_spool

_LIST_PROFILES = "/api/lists/{id}/profiles"
_DEFAULT_LIMITS = Limits()


def sync_klaviyo(
    settings: Settings,
    pool: Pool,
    tenant_id: UUID,
    progress: Progress,
    *,
    limits: Limits = _DEFAULT_LIMITS,
) -> None:
    """Bring every list of the tenant that is not paused in step with its segment.

    Counts, by way of ``progress``: addresses added, removed and rejected; skipped, which are
    members that cannot be written to, were rejected before or were taken off the list by a person;
    lists paused; calls to Klaviyo. A list that needs no change costs no writing call.

    A list or segment that no longer exists pauses its configuration with the reason, which
    :func:`service.klaviyo.configs.paused_lists` tells. Trouble with one list does not keep the
    others from being synced; the first of it is raised at the end.

    Raises:
        NotConnectedError: The tenant is not connected to Klaviyo.
        KlaviyoRefusedError: The key is not accepted; the connection now says so.
        KlaviyoUnavailableError: Klaviyo cannot be reached; at once.
        MartsMissingError: dbt has not built the marts yet.
        KlaviyoError: Klaviyo did not do what was asked; what it accepted is recorded.
    """
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        api_key = credential(settings, conn, tenant_id, "klaviyo")
        configs = conn.execute(
            query("klaviyo/sql/list_configs"), {"tenant_id": tenant_id}
        ).fetchall()
    failures: list[QuintileError] = []
    with open_klaviyo(settings, api_key) as client:
        try:
            for config in configs:
                target = Target(client, pool, tenant_id, config["config_id"], config["list_id"])
                progress.phase(f"list {config['list_name']}")
                try:
                    _sync_list(target, config["segment_key"], limits, progress)
                except (KlaviyoRefusedError, KlaviyoUnavailableError):
                    # The next list would meet the same.
                    raise
                except QuintileError as error:
                    failures.append(error)
            if client.calls:
                with tenant_transaction(pool, tenant_id) as conn:
                    note_accepted(conn, tenant_id, "klaviyo")
        except KlaviyoRefusedError as error:
            with tenant_transaction(pool, tenant_id) as conn:
                note_refused(conn, tenant_id, "klaviyo", error.message)
            raise
        finally:
            progress.count(calls=client.calls)
    if failures:
        raise failures[0]


def _sync_list(target: Target, segment_key: str, limits: Limits, progress: Progress) -> None:
    with open_spool() as remote, open_spool() as removals, open_spool() as additions:
        try:
            _read_list(target, remote)
        except KlaviyoError as error:
            if error.status != httpx.codes.NOT_FOUND:
                raise
            _pause(target, "The list no longer exists in Klaviyo.", progress)
            return
        try:
            counts = _plan(target, segment_key, remote, removals, additions)
        except SegmentGoneError as error:
            # An empty segment empties its list, a deleted one must not.
            _pause(target, error.message, progress)
            return
        progress.count(
            added=0,
            removed=0,
            rejected=0,
            skipped=counts["skip"] + counts["unaddressable"],
        )
        progress.phase("changes", total=len(removals) + len(additions))
        # Who has left the segment comes off first, whatever becomes of the additions.
        remove(target, removals, limits, progress)
        add(target, additions, limits, progress)
    _run(target, "note_synced")


def _read_list(target: Target, remote: Spool) -> None:
    """Spool the addresses and ids of the list's profiles; one without an address is not ours."""
    pages = target.client.pages(
        _LIST_PROFILES,
        f"/api/lists/{target.list_id}/profiles",
        {"fields[profile]": "email", "page[size]": 100, "sort": "joined_group_at"},
    )
    for page in pages:
        for profile in page:
            if email := profile["attributes"].get("email"):
                remote.append((email, profile["id"]))


def _plan(
    target: Target, segment_key: str, remote: Spool, removals: Spool, additions: Spool
) -> dict[str, int]:
    """Plan, settle what needs no call, and spool what does."""
    config = {"config_id": target.config_id, "segment_key": segment_key}
    with tenant_transaction(target.pool, target.tenant_id) as conn:
        counts = plan(conn, target.tenant_id, config, remote)
        settle(conn, target.tenant_id, target.config_id)
        for row in _planned(conn, "remove"):
            removals.append(row)
        for row in _planned(conn, "add"):
            additions.append(row)
    return counts


def _planned(conn: Connection, action: str) -> Iterator[Row]:
    """What the plan says is to be done: address, customer id, profile id; never all at once."""
    with conn.cursor(name="planned") as cursor:
        cursor.execute(query("klaviyo/sql/read_plan"), {"action": action})
        for row in cursor:
            yield row["email"], row["customer_id"], row["profile_id"]


def _pause(target: Target, reason: str, progress: Progress) -> None:
    _run(target, "pause_config", reason=reason)
    progress.count(paused=1)


def _run(target: Target, statement: str, **parameters: object) -> None:
    with tenant_transaction(target.pool, target.tenant_id) as conn:
        conn.execute(
            query(f"klaviyo/sql/{statement}"),
            {"tenant_id": target.tenant_id, "config_id": target.config_id, **parameters},
        )
