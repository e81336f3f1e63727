"""How old each tenant's last sync and build are, and how old they may be.

A plain ``dbt build`` leaves no run. Its as-of time in the marts, which is not later than the build,
counts as the time of the tenant's last build if it is newer than that of the last run.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import psycopg
from croniter import croniter

from service.core.config import Settings
from service.core.db import Connection
from service.core.queries import query
from service.queue.schedules import BY_NAME, newest_times

# By kind of run: its schedule, and its name in messages.
EXPECTED = MappingProxyType(
    {
        "shopify_sync": ("orders", "Shopify sync"),
        "segments_sync": ("segments", "sync of Shopify segments"),
        "klaviyo_sync": ("klaviyo", "Klaviyo sync"),
        "build": ("build", "build"),
    }
)
# The longest gap is searched from a fixed day, so that it is always the same: for nine days, which
# include a weekend, and over a hundred times, which for monthly schedules include every month.
_START = datetime(2026, 1, 1, tzinfo=UTC)
_DAYS = timedelta(days=9)
_TIMES = 100


@cache
def longest_gap(cron: str) -> float:
    """The longest time between two consecutive times of a cron expression, in seconds."""
    cron_times = croniter(cron, _START)
    until = (_START + _DAYS).timestamp()
    times = [cron_times.get_next(float)]
    while times[-1] < until or len(times) < _TIMES:
        times.append(cron_times.get_next(float))
    return float(max(later - earlier for earlier, later in pairwise(times)))


def allowed_seconds(settings: Settings) -> dict[str, float]:
    """How old the last successful run of each kind may be: twice its schedule's longest gap."""
    return {
        kind: 2 * longest_gap(BY_NAME[schedule].cron(settings))
        for kind, (schedule, _words) in EXPECTED.items()
    }


def read_freshness(settings: Settings, conn: Connection) -> list[dict[str, Any]]:
    """Each tenant's expected kinds of run: seconds since the last success, and whether it is late.

    ``is_recorded`` is whether a run succeeded, ``is_done`` whether a run or the marts tell of one.
    The connection must see all tenants.
    """
    allowed = allowed_seconds(settings)
    times = newest_times(conn, settings, datetime.now(UTC))
    parameters = {
        **_read_builds(conn),
        "kinds": list(allowed),
        "schedules": [EXPECTED[kind][0] for kind in allowed],
        "seconds": list(allowed.values()),
        "due_schedules": [time.schedule.name for time in times],
        "due_zones": [time.time_zone for time in times],
        "due_times": [time.at for time in times],
    }
    return conn.execute(query("queue.list_freshness"), parameters).fetchall()


def _read_builds(conn: Connection) -> dict[str, list[Any]]:
    """When each tenant's figures in the marts were built as of; nothing before the first build."""
    try:
        with conn.transaction():
            rows = conn.execute(query("queue.list_built_tenants")).fetchall()
    except psycopg.errors.UndefinedTable:
        rows = []
    return {
        "built_tenants": [row["tenant_id"] for row in rows],
        "built_times": [row["as_of"] for row in rows],
    }
