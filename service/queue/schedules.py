"""Schedules: what starts automatically, when it is due, and pausing it.

A schedule is a cron expression in a setting. Builds follow each tenant's time zone, all else UTC.
Due times are not stored: the newest time of the expression is compared with the time served last.
So a changed setting or time zone applies at once, and a time missed while no worker ran is served
once, later.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import croniter

from service.core.config import Settings
from service.core.db import Connection
from service.core.errors import InvalidInputError
from service.core.queries import query
from service.queue.enqueue import Enqueueable

ScheduleState = Literal["active", "paused", "not_connected"]


@dataclass(frozen=True)
class Schedule:
    """Work that starts automatically.

    ``kind`` is the kind of run that it starts, if any; ``provider`` what a tenant must be connected
    to; ``is_local`` whether its times are in the tenant's time zone; ``starts_work`` whether it
    starts work, or other work asks whether it is due.
    """

    name: str
    label: str
    kind: Enqueueable | None = None
    provider: str | None = None
    is_local: bool = False
    starts_work: bool = True

    def cron(self, settings: Settings) -> str:
        """Its cron expression, from the setting of its name."""
        return str(getattr(settings, f"schedule_{self.name}"))


SCHEDULES: tuple[Schedule, ...] = (
    Schedule("orders", "Shopify customers and orders", "shopify_sync", "shopify"),
    Schedule("segments", "Shopify segments", "segments_sync", "shopify"),
    Schedule("build", "RFM segments and samples", "build", is_local=True),
    Schedule("klaviyo", "Klaviyo lists", "klaviyo_sync", "klaviyo"),
    Schedule(
        "klaviyo_members",
        "Full check of Klaviyo lists",
        provider="klaviyo",
        starts_work=False,
    ),
    Schedule("housekeeping", "Data clean-up"),
)
BY_NAME = {schedule.name: schedule for schedule in SCHEDULES}

# By expression and time zone: the newest answer of next_time, and from when on it is the answer.
_next_times: dict[tuple[str, str], tuple[datetime, datetime]] = {}

# Near a change of the clock, the order of local times is not the order of instants. No change is
# longer than this.
_LONGEST_CHANGE = timedelta(hours=2)


def find_schedule(name: str) -> Schedule:
    """The schedule of this name.

    Raises:
        InvalidInputError: There is none.
    """
    if name not in BY_NAME:
        raise InvalidInputError(
            f"There is no schedule '{name[:40]}'.", advice=f"There are: {', '.join(BY_NAME)}."
        )
    return BY_NAME[name]


# -- due times ----------------------------------------------------------------------------------


def next_time(cron: str, time_zone: str = "UTC", after: datetime | None = None) -> datetime:
    """The first time of a cron expression after an instant (now if not given), in UTC.

    The expression is read in the time zone. A time that the clock skips is due as much later; one
    that comes twice is due the first time.
    """
    start = after or datetime.now(UTC)
    # To find one takes longer than a query, and every page of segments needs some.
    since, at = _next_times.get((cron, time_zone), (start, start))
    if not since <= start < at:
        at = _find_time(cron, time_zone, start, forward=True)
        _next_times[cron, time_zone] = (start, at)
    return at


def previous_time(cron: str, time_zone: str = "UTC", until: datetime | None = None) -> datetime:
    """The last time up to an instant (now if not given), as :func:`next_time` reads it."""
    return _find_time(cron, time_zone, until or datetime.now(UTC), forward=False)


def _find_time(cron: str, time_zone: str, start: datetime, *, forward: bool) -> datetime:
    zone = _zone(time_zone)
    local = start.astimezone(zone).replace(tzinfo=None)
    margin = _LONGEST_CHANGE if forward else -_LONGEST_CHANGE
    times = croniter(cron, local - margin)
    step, best = (times.get_next, min) if forward else (times.get_prev, max)
    found: list[datetime] = []
    while True:
        named: datetime = step(datetime)
        is_beyond = named > local + margin if forward else named < local + margin
        if found and is_beyond:
            return best(found)
        # The first of two such moments, where the clock goes back.
        at = named.replace(tzinfo=zone).astimezone(UTC)
        if (at > start) is forward:
            found.append(at)


def _zone(time_zone: str) -> tzinfo:
    """A time zone by its IANA name; UTC if it is not known here."""
    try:
        return ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


@dataclass(frozen=True)
class NewestTime:
    """When a schedule last came due, for all tenants or for those of one time zone."""

    schedule: Schedule
    time_zone: str | None
    at: datetime


def newest_times(conn: Connection, settings: Settings, now: datetime) -> list[NewestTime]:
    """The newest time of each schedule that starts work, in every time zone of a tenant.

    The connection must see all tenants.
    """
    zones = [row["time_zone"] for row in conn.execute(query("queue.list_time_zones"))]
    return [
        NewestTime(schedule, zone, previous_time(schedule.cron(settings), zone or "UTC", now))
        for schedule in SCHEDULES
        if schedule.starts_work
        for zone in (zones if schedule.is_local else [None])
    ]


# -- a tenant's schedules -----------------------------------------------------------------------


def list_schedules(conn: Connection, settings: Settings, tenant_id: UUID) -> list[dict[str, Any]]:
    """A tenant's schedules with their next times and newest runs, in a transaction of the tenant.

    ``next_at`` is None while a schedule is paused, or its provider is not connected; ``state`` says
    which, and a schedule that could not run anyway counts as not connected. While the connection is
    refused, ``next_at`` is the first time after the next probe.
    """
    rows = conn.execute(
        query("queue.list_schedules"),
        {
            "tenant_id": tenant_id,
            "names": [schedule.name for schedule in SCHEDULES],
            "kinds": [schedule.kind for schedule in SCHEDULES],
            "providers": [schedule.provider for schedule in SCHEDULES],
        },
        prepare=True,
    ).fetchall()
    return [_describe(settings, row) for row in rows]


def read_schedule(
    conn: Connection, settings: Settings, tenant_id: UUID, name: str
) -> dict[str, Any]:
    """One of a tenant's schedules, as in :func:`list_schedules`.

    Raises:
        InvalidInputError: There is no such schedule.
    """
    find_schedule(name)
    schedules = list_schedules(conn, settings, tenant_id)
    return next(schedule for schedule in schedules if schedule["name"] == name)


def next_at(conn: Connection, settings: Settings, tenant_id: UUID, name: str) -> datetime | None:
    """When a tenant's schedule is next due; None while it is paused or not connected."""
    found: datetime | None = read_schedule(conn, settings, tenant_id, name)["next_at"]
    return found


def is_paused(conn: Connection, tenant_id: UUID, name: str) -> bool:
    """Whether a tenant's schedule is paused."""
    parameters = {"tenant_id": tenant_id, "name": name}
    return conn.execute(query("queue.find_pause"), parameters).fetchone() is not None


def pause(conn: Connection, tenant_id: UUID, name: str, by: str) -> None:
    """Pause a tenant's schedule; one that is paused already keeps who paused it.

    Raises:
        InvalidInputError: There is no such schedule.
    """
    find_schedule(name)
    conn.execute(query("queue.pause_schedule"), {"tenant_id": tenant_id, "name": name, "by": by})


def resume(conn: Connection, tenant_id: UUID, name: str) -> None:
    """Resume a paused schedule, from its next time on.

    Raises:
        InvalidInputError: There is no such schedule.
    """
    find_schedule(name)
    conn.execute(query("queue.resume_schedule"), {"tenant_id": tenant_id, "name": name})


def is_due(
    conn: Connection, settings: Settings, tenant_id: UUID, name: str, last_at: datetime | None
) -> bool:
    """Whether a schedule that starts no run has come due since ``last_at`` (None for never).

    Raises:
        InvalidInputError: There is no such schedule.
    """
    row = read_schedule(conn, settings, tenant_id, name)
    if row["is_paused"]:
        return False
    return last_at is None or last_at < previous_time(row["cron"], row["time_zone"])


def _describe(settings: Settings, row: dict[str, Any]) -> dict[str, Any]:
    schedule = BY_NAME[row["name"]]
    cron = schedule.cron(settings)
    time_zone = row["time_zone"] if schedule.is_local else "UTC"
    now = datetime.now(UTC)
    # While its connection is refused, a schedule waits for the next probe.
    after = max(now, row["next_probe_at"] or now)
    state: ScheduleState = "active"
    if not row["is_connected"]:
        state = "not_connected"
    elif row["paused_at"] is not None:
        state = "paused"
    return {
        "name": schedule.name,
        "label": schedule.label,
        "cron": cron,
        "time_zone": time_zone,
        "next_at": next_time(cron, time_zone, after) if state == "active" else None,
        "state": state,
        "is_connected": row["is_connected"],
        "is_paused": row["paused_at"] is not None,
        "paused_at": row["paused_at"],
        "paused_by": row["paused_by"],
        "last_run": row["last_run"],
    }
