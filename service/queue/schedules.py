"""Schedules: what runs by itself, when, and who has paused it.

A schedule is a cron expression in a setting. RFM's build follows each tenant's own clock, all else
UTC. What is due is never stored: it is the newest time that the expression names, compared with the
time served last, so a changed setting or time zone counts at once and a time that passed while no
worker ran is made up for, once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import croniter

from service.core.config import Settings
from service.core.db import Connection
from service.core.errors import InvalidInputError
from service.core.queries import query


@dataclass(frozen=True)
class Schedule:
    """One thing that runs by itself.

    ``kind`` is the kind of run that it starts, if it starts one of its own; ``provider`` what a
    tenant must be connected to; ``is_local`` whether its times are of the tenant's own clock;
    ``starts_work`` whether it starts work, or is asked by other work whether it is due.
    """

    name: str
    label: str
    kind: str | None = None
    provider: str | None = None
    is_local: bool = False
    starts_work: bool = True

    def cron(self, settings: Settings) -> str:
        """When it is due, as the setting of its name says."""
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

# Within so much of an instant, the order on the face of a clock is not that of time.
_CHANGE = timedelta(hours=2)


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


# -- when ---------------------------------------------------------------------------------------


def next_time(cron: str, time_zone: str = "UTC", after: datetime | None = None) -> datetime:
    """The first time after another (now, unless given) that a cron expression names, in UTC.

    The expression is read by the clock of the time zone. What it names in an hour that the clock
    leaves out is due as much later; in an hour that comes twice, the first time.
    """
    start = after or datetime.now(UTC)
    zone = zone_of(time_zone)
    face = _face(start, zone)
    times = croniter(cron, face - _CHANGE)
    found: list[datetime] = []
    while True:
        named: datetime = times.get_next(datetime)
        if found and named > face + _CHANGE:
            return min(found)
        placed = _place(named, zone)
        if placed > start:
            found.append(placed)


def previous_time(cron: str, time_zone: str = "UTC", until: datetime | None = None) -> datetime:
    """The last time up to another (now, unless given), as :func:`next_time` reads it."""
    start = until or datetime.now(UTC)
    zone = zone_of(time_zone)
    face = _face(start, zone)
    times = croniter(cron, face + _CHANGE)
    found: list[datetime] = []
    while True:
        named: datetime = times.get_prev(datetime)
        if found and named < face - _CHANGE:
            return max(found)
        placed = _place(named, zone)
        if placed <= start:
            found.append(placed)


def _face(instant: datetime, zone: tzinfo) -> datetime:
    """What a clock of the zone shows: for it, every day has 24 hours."""
    return instant.astimezone(zone).replace(tzinfo=None)


def _place(face: datetime, zone: tzinfo) -> datetime:
    """When a clock of the zone shows this, for the first time if it does so twice."""
    return face.replace(tzinfo=zone).astimezone(UTC)


def zone_of(time_zone: str) -> tzinfo:
    """A time zone by its IANA name; UTC for one that this machine does not know."""
    try:
        return ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


@dataclass(frozen=True)
class NewestTime:
    """When a schedule came due last: for everybody, or by the clock of one time zone."""

    schedule: Schedule
    time_zone: str | None
    at: datetime


def newest_times(conn: Connection, settings: Settings, now: datetime) -> list[NewestTime]:
    """The newest time of each schedule that starts work, by every clock that a tenant goes by.

    Args:
        conn: A connection that sees all tenants.
        settings: When schedules are due.
        now: What time it is.
    """
    zones = [row["time_zone"] for row in conn.execute(query("queue.list_time_zones"))]
    return [
        NewestTime(schedule, zone, previous_time(schedule.cron(settings), zone or "UTC", now))
        for schedule in SCHEDULES
        if schedule.starts_work
        for zone in (zones if schedule.is_local else [None])
    ]


# -- a tenant's own -----------------------------------------------------------------------------


def list_schedules(conn: Connection, settings: Settings, tenant_id: UUID) -> list[dict[str, Any]]:
    """A tenant's schedules with when they are next due, and the newest run of each.

    ``next_at`` is None while a schedule is paused, or what it needs is not connected.

    Args:
        conn: A transaction of the tenant.
        settings: When schedules are due.
        tenant_id: Whose schedules.
    """
    rows = conn.execute(
        query("queue.list_schedules"),
        {
            "tenant_id": tenant_id,
            "names": [schedule.name for schedule in SCHEDULES],
            "kinds": [schedule.kind for schedule in SCHEDULES],
            "providers": [schedule.provider for schedule in SCHEDULES],
        },
    ).fetchall()
    return [_described(settings, row) for row in rows]


def read_schedule(
    conn: Connection, settings: Settings, tenant_id: UUID, name: str
) -> dict[str, Any]:
    """One of a tenant's schedules, as :func:`list_schedules` has it.

    Raises:
        InvalidInputError: There is no such schedule.
    """
    find_schedule(name)
    schedules = list_schedules(conn, settings, tenant_id)
    return next(schedule for schedule in schedules if schedule["name"] == name)


def next_at(conn: Connection, settings: Settings, tenant_id: UUID, name: str) -> datetime | None:
    """When a tenant's schedule is next due; None while it is paused or cannot run."""
    found: datetime | None = read_schedule(conn, settings, tenant_id, name)["next_at"]
    return found


def pause(conn: Connection, tenant_id: UUID, name: str, by: str) -> None:
    """Let a schedule of a tenant come due no more; one that is paused stays as it is.

    Raises:
        InvalidInputError: There is no such schedule.
    """
    find_schedule(name)
    conn.execute(query("queue.pause_schedule"), {"tenant_id": tenant_id, "name": name, "by": by})


def resume(conn: Connection, tenant_id: UUID, name: str) -> None:
    """Let a paused schedule come due again, from its next time on.

    Raises:
        InvalidInputError: There is no such schedule.
    """
    find_schedule(name)
    conn.execute(query("queue.resume_schedule"), {"tenant_id": tenant_id, "name": name})


def is_due(
    conn: Connection, settings: Settings, tenant_id: UUID, name: str, last_at: datetime | None
) -> bool:
    """Whether a schedule that starts no run of its own has come due since it was last served.

    Args:
        conn: A transaction of the tenant.
        settings: When schedules are due.
        tenant_id: Whose schedule.
        name: Which.
        last_at: When the work was last done; None for never.

    Raises:
        InvalidInputError: There is no such schedule.
    """
    schedule = find_schedule(name)
    row = read_schedule(conn, settings, tenant_id, name)
    if row["is_paused"]:
        return False
    return last_at is None or last_at < previous_time(schedule.cron(settings), row["time_zone"])


def _described(settings: Settings, row: dict[str, Any]) -> dict[str, Any]:
    schedule = BY_NAME[row["name"]]
    cron = schedule.cron(settings)
    time_zone = row["time_zone"] if schedule.is_local else "UTC"
    is_active = row["is_connected"] and row["paused_at"] is None
    return {
        "name": schedule.name,
        "label": schedule.label,
        "cron": cron,
        "time_zone": time_zone,
        "next_at": next_time(cron, time_zone) if is_active else None,
        "is_connected": row["is_connected"],
        "is_paused": row["paused_at"] is not None,
        "paused_at": row["paused_at"],
        "paused_by": row["paused_by"],
        "last_run": row["last_run"],
    }
