"""Times in the store's time zone, written by the server.

format.js then writes them in the reader's language. Without scripts they stay as they are. They are
what format.js writes in British English, so that for most readers nothing changes its width.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flask import g

from service.api.schemas import Schedule

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sept", "Oct", "Nov", "Dec")


def remember_time_zone(_sender: object, *, context: dict[str, Any], **_: object) -> None:
    """Keep the time zone of the page that is about to be rendered, for the filters below."""
    tenant = context.get("tenant")
    if tenant is not None:
        g.time_zone = tenant.time_zone


def moment(at: datetime) -> str:
    """A time such as "30 Nov 2026, 09:41", today "09:41"; in UTC if the zone is not known here."""
    local = _in_store(at)
    zone = " UTC" if local.tzinfo is UTC else ""
    is_today = local.date() == datetime.now(local.tzinfo).date()
    return f"{local:%H:%M}{zone}" if is_today else f"{calendar_day(local)}, {local:%H:%M}{zone}"


def store_day(at: datetime) -> str:
    """The day of a time, such as "30 Nov 2026", where the store is."""
    return calendar_day(_in_store(at))


def zone_of(name: str) -> tzinfo:
    """A time zone by its IANA name; UTC if it is not known here."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def _in_store(at: datetime) -> datetime:
    return at.astimezone(zone_of(g.get("time_zone", "UTC")))


def calendar_day(on: date) -> str:
    """A day such as "30 Nov 2026"."""
    return f"{on.day} {_MONTHS[on.month - 1]} {on.year}"


_CRONS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\*/(\d+) \* \* \* \*"), "every {0} minutes"),
    (re.compile(r"(\d+) \* \* \* \*"), "every hour, at :{minute:02}"),
    (re.compile(r"0 \*/(\d+) \* \* \*"), "every {0} hours"),
    (re.compile(r"(\d+) (\d+) \* \* \*"), "every day at {hour:02}:{minute:02}"),
)


def cron_in_words(schedule: Schedule) -> str:
    """When a schedule starts, in the store's time zone; an unusual expression stays as it is.

    Args:
        schedule: Its next time tells what the expression is in the store's time zone; without one,
            the expression's zone is named.
    """
    for shape, words in _CRONS:
        match = shape.fullmatch(schedule.cron)
        if match is None:
            continue
        if schedule.next_at is not None:
            local = _in_store(schedule.next_at)
            return words.format(*match.groups(), hour=local.hour, minute=local.minute)
        minute, hour = (int(part) for part in (*match.groups(), "0")[:2])
        text = words.format(*match.groups(), hour=hour, minute=minute)
        zone = schedule.time_zone
        return text if zone == g.get("time_zone") or "{hour" not in words else f"{text} {zone}"
    return f"{schedule.cron} ({schedule.time_zone})"
