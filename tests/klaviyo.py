"""What the tests of Klaviyo's syncs share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from service.core.config import Settings
from service.core.db import Pool, tenant_transaction
from service.destinations.configs import read_all_next_time
from service.destinations.sync_runs import add_rows
from service.klaviyo.push import Limits
from service.klaviyo.sync import sync_klaviyo
from service.queue.runs import Kind, RunRecorder, record_run, start_run

_DEFAULT_LIMITS = Limits()


def sync_once(
    settings: Settings,
    pool: Pool,
    tenant_id: UUID,
    *,
    limits: Limits = _DEFAULT_LIMITS,
    config_ids: list[UUID] | None = None,
    is_dry_run: bool = False,
    reads_all: bool = False,
) -> dict[str, int]:
    """One sync, or dry run, as a worker does it; what it has counted."""
    with begun_run(pool, tenant_id, config_ids, is_dry_run=is_dry_run) as recorder:
        if reads_all:
            with tenant_transaction(pool, tenant_id) as conn:
                read_all_next_time(conn, tenant_id, config_ids)
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
    """What the newest run did about each configuration, in the order of their making."""
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
