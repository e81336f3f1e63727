"""Asking for a sync or a dry run of some configurations, for the job queue to do."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from service.core.db import Connection
from service.klaviyo.configs import get_config, read_all_next_time
from service.klaviyo.sync_runs import add_rows
from service.queue.enqueue import Enqueueable, enqueue
from service.queue.runs import Trigger


def request_sync(
    conn: Connection,
    tenant_id: UUID,
    config_ids: list[UUID] | None = None,
    trigger: Trigger = "person",
    *,
    is_dry_run: bool = False,
    reads_all: bool = False,
) -> dict[str, Any]:
    """Queue a sync of these configurations, or of all that are not paused; returns the run's row.

    What is asked for is added to a run that waits, and queued behind one that is going on.

    Args:
        conn: A transaction of the tenant, in which all of it happens.
        tenant_id: Whose lists.
        config_ids: Which configurations.
        trigger: Who asks.
        is_dry_run: Only plan; the plan is in the rows of app.klaviyo_sync_runs.
        reads_all: Read everybody on the lists, and not only who has joined since the last time.

    Raises:
        UnknownConfigError: The tenant has no configuration of some id.
    """
    for config_id in config_ids or []:
        get_config(conn, tenant_id, config_id)
    if reads_all:
        read_all_next_time(conn, tenant_id, config_ids)
    kind: Enqueueable = "klaviyo_plan" if is_dry_run else "klaviyo_sync"
    run = enqueue(conn, tenant_id, kind, trigger, behind_running=True)
    add_rows(conn, tenant_id, run["run_id"], config_ids, is_dry_run=is_dry_run)
    return run
