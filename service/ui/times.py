"""Times in the store's time zone, written by the server.

format.js then writes them in the reader's language. Without scripts they stay as they are.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flask import g


def remember_time_zone(_sender: object, *, context: dict[str, Any], **_: object) -> None:
    """Keep the time zone of the page that is about to be rendered, for the filters below."""
    tenant = context.get("tenant")
    if tenant is not None:
        g.time_zone = tenant.time_zone


def moment(at: datetime) -> str:
    """A time such as "30 Nov 2026, 09:41"; with its zone if the store's is not known here."""
    local = _in_store(at)
    zone = " UTC" if local.tzinfo is UTC else ""
    return f"{calendar_day(local)}, {local:%H:%M}{zone}"


def store_day(at: datetime) -> str:
    """The day of a time, such as "30 Nov 2026", where the store is."""
    return calendar_day(_in_store(at))


def _in_store(at: datetime) -> datetime:
    try:
        return at.astimezone(ZoneInfo(g.get("time_zone", "UTC")))
    except (ZoneInfoNotFoundError, ValueError):
        return at.astimezone(UTC)


def calendar_day(on: date) -> str:
    """A day such as "30 Nov 2026"."""
    return f"{on.day} {on:%b %Y}"
