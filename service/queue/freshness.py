"""How long a tenant may go without a sync or build, and how long each has gone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from croniter import croniter

from service.core.config import Settings
from service.core.db import Connection
from service.core.queries import query
from service.queue.schedules import BY_NAME, newest_times

# By kind of run: the schedule that says when it is due, and what people call it.
EXPECTED = MappingProxyType(
    {
        "shopify_sync": ("orders", "Shopify sync"),
        "segments_sync": ("segments", "sync of Shopify segments"),
        "klaviyo_sync": ("klaviyo", "Klaviyo sync"),
        "build": ("build", "build"),
    }
)
# Any instant does; a fixed one makes the answer always the same.
_SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)
# Enough to see the weekend of a schedule that is due every minute of working days, and the longest
# month.
_DAYS = timedelta(days=9)
_INSTANTS = 100


@cache
def longest_gap(cron: str) -> float:
    """The longest time between two instants of a cron expression, in seconds."""
    times = croniter(cron, _SOME_DAY)
    until = (_SOME_DAY + _DAYS).timestamp()
    instants = [times.get_next(float)]
    while instants[-1] < until or len(instants) < _INSTANTS:
        instants.append(times.get_next(float))
    return float(max(later - earlier for earlier, later in pairwise(instants)))


def allowed_seconds(settings: Settings) -> dict[str, float]:
    """How old the last good run of each kind may be: twice what its schedule leaves between two."""
    return {
        kind: 2 * longest_gap(BY_NAME[schedule].cron(settings))
        for kind, (schedule, _words) in EXPECTED.items()
    }


def read_freshness(settings: Settings, conn: Connection) -> list[dict[str, Any]]:
    """What is expected of each tenant: name, kind, seconds since it was done, whether it is late.

    Args:
        settings: The schedules.
        conn: A connection that sees all tenants.
    """
    allowed = allowed_seconds(settings)
    times = newest_times(conn, settings, datetime.now(UTC))
    parameters = {
        "kinds": list(allowed),
        "schedules": [EXPECTED[kind][0] for kind in allowed],
        "seconds": list(allowed.values()),
        "due_schedules": [time.schedule.name for time in times],
        "due_zones": [time.time_zone for time in times],
        "due_times": [time.at for time in times],
    }
    return conn.execute(query("queue.list_freshness"), parameters).fetchall()
