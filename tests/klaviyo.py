"""Helpers for tests of Klaviyo syncs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

from service.core.config import Settings
from service.core.db import Pool, tenant_transaction
from service.destinations.configs import request_full_read
from service.destinations.interface import Limits, Person
from service.destinations.push import Target, import_people
from service.destinations.sync_runs import add_rows
from service.klaviyo.client import KlaviyoClient
from service.klaviyo.destination import LIMITS, KlaviyoDestination, sync_klaviyo
from service.queue.progress import Progress
from service.queue.runs import Kind, RunRecorder, record_run, start_run


def sync_once(
    settings: Settings,
    pool: Pool,
    tenant_id: UUID,
    *,
    limits: Limits = LIMITS,
    config_ids: list[UUID] | None = None,
    is_dry_run: bool = False,
    reads_all: bool = False,
) -> dict[str, int]:
    """One sync or dry run, as a worker does it; returns its counts."""
    with begun_run(pool, tenant_id, config_ids, is_dry_run=is_dry_run) as recorder:
        if reads_all:
            with tenant_transaction(pool, tenant_id) as conn:
                request_full_read(conn, tenant_id, config_ids)
        sync_klaviyo(settings, pool, tenant_id, recorder, limits=limits)
    return dict(recorder.counts)


@contextmanager
def begun_run(
    pool: Pool, tenant_id: UUID, config_ids: list[UUID] | None = None, *, is_dry_run: bool = False
) -> Iterator[RunRecorder]:
    """A run whose work is the block."""
    kind: Kind = "klaviyo_plan" if is_dry_run else "klaviyo_sync"
    with tenant_transaction(pool, tenant_id) as conn:
        run_id = start_run(conn, tenant_id, kind, "person").run["run_id"]
        add_rows(conn, tenant_id, run_id, config_ids, is_dry_run=is_dry_run)
    with record_run(pool, tenant_id, run_id) as recorder:
        yield recorder


def last_rows(pool: Pool, tenant_id: UUID) -> list[dict[str, Any]]:
    """The rows of the newest run, in the order of their configurations."""
    with tenant_transaction(pool, tenant_id) as conn:
        return conn.execute(
            """
            select s.*
            from app.klaviyo_sync_runs as s
            inner join app.klaviyo_sync_configs as c
                on s.tenant_id = c.tenant_id and s.config_id = c.config_id
            where s.tenant_id = %(tenant_id)s and s.run_id = (
                select run_id from app.runs
                where tenant_id = %(tenant_id)s and kind like 'klaviyo%%'
                order by created_at desc limit 1
            )
            order by c.created_at, c.config_id
            """,
            {"tenant_id": tenant_id},
        ).fetchall()


def add_and_update(
    target: Target, additions: Iterable[Person], updates: Iterable[Person], progress: Progress
) -> None:
    """What a sync that has read all of the list does with the additions and updates of a plan."""
    import_people(target, additions, "add", progress, is_list_known=True)
    import_people(target, updates, "update", progress)


def klaviyo_target(
    client: KlaviyoClient, pool: Pool, tenant_id: UUID, config_id: UUID, list_id: str
) -> Target:
    """A configuration's list in Klaviyo, to write to."""
    return Target(KlaviyoDestination(client, LIMITS, 5), pool, tenant_id, config_id, list_id)


def via(target: Target, client: KlaviyoClient | None = None, **changes: Any) -> Target:
    """The target through another client, with other limits or ``events_bulk_from``."""
    known = target.destination
    assert isinstance(known, KlaviyoDestination)
    bulk_from = changes.pop("events_bulk_from", 5)
    destination = KlaviyoDestination(
        client or known.client, replace(known.limits, **changes), bulk_from
    )
    return replace(target, destination=destination)
