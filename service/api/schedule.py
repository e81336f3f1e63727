"""When the schedules run next."""

from __future__ import annotations

from datetime import UTC, datetime

from croniter import croniter


def next_time(cron: str, after: datetime | None = None) -> datetime:
    """The first instant after another (now, unless given) that a cron expression names, in UTC."""
    start = after or datetime.now(UTC)
    found: datetime = croniter(cron, start.astimezone(UTC)).get_next(datetime)
    return found
