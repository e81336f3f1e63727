"""``quintile backfill``: RFM history of past days, computed from the orders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import takewhile
from typing import Literal

import psycopg

from service.builds.run import build, is_future, parse_as_of
from service.core.config import Settings
from service.core.db import connect, one, transform_url
from service.core.errors import InvalidInputError
from service.core.queries import query

Step = Literal["day", "week", "month"]

# One statement reads a window of orders for each instant.
MAX_INSTANTS = 750


def backfill(
    settings: Settings,
    *,
    first: date,
    last: date,
    every: Step = "week",
    tenants: Sequence[str] = (),
    as_of: str | None = None,
    quiet: bool = False,
) -> int:
    """Replace RFM history from ``first`` on, and build the current state.

    History then has ``first`` and every day, week or month after it up to ``last``, as of midnight
    in each tenant's RFM time zone. Later instants that history already has are computed again. One
    dbt run builds them all, each from the orders placed before it. The current state is as of
    ``as_of``; if not given, of the newest build of these tenants, or of now if ``last`` is later.
    Records of builds in the future are removed.

    Returns:
        How many past instants were computed.

    Raises:
        InvalidInputError: The days are in the wrong order, in the future or too many, or ``as_of``
            is in the future.
        BuildFailedError: dbt failed; history is unchanged.
    """
    if last < first:
        raise InvalidInputError(f"The last day, {last}, is before the first, {first}.")
    newest, recorded = _history(settings, last, tenants)
    if as_of:
        ends_at = parse_as_of(as_of)
    else:
        ends_at = datetime.now(UTC) if newest is None or is_future(newest) else newest
    if _midnight(last) > ends_at:
        raise InvalidInputError(f"{last} is in the future.", advice="Choose a day in the past.")
    # Days begin by the tenants' time zones, so the model leaves out what is still in the future for
    # them and finds later instants in their history. Here instants are only counted.
    chosen = [day for day in days(first, last, every) if _midnight(day) < ends_at]
    count = len(chosen) + sum(instant < ends_at for instant in recorded)
    if count > MAX_INSTANTS:
        raise InvalidInputError(
            f"These are {count} days, more than {MAX_INSTANTS}.",
            advice="Start later, or use --every week or --every month.",
        )
    build(
        settings,
        tenants=tenants,
        as_of=ends_at.isoformat(),
        backfill=[day.isoformat() for day in chosen],
        quiet=quiet,
    )
    return count


def days(first: date, last: date, every: Step) -> list[date]:
    """The days from the first to the last by whole steps.

    Where a month has no such day, its last day is taken.
    """
    steps = _months(first) if every == "month" else _by(first, 7 if every == "week" else 1)
    return list(takewhile(lambda day: day <= last, steps))


def _by(first: date, step: int) -> Iterator[date]:
    while True:
        yield first
        first += timedelta(days=step)


def _months(first: date) -> Iterator[date]:
    month = first.replace(day=1)
    while True:
        next_month = (month + timedelta(days=31)).replace(day=1)
        yield min(month + timedelta(days=first.day - 1), next_month - timedelta(days=1))
        month = next_month


def _history(
    settings: Settings, last: date, tenants: Sequence[str]
) -> tuple[datetime | None, set[datetime]]:
    """The newest build and the instants in history, both only if after ``last``."""
    parameters = {"last": last, "tenants": list(tenants) or None}
    with connect(transform_url(settings)) as conn:
        try:
            newest = one(conn.execute(query("builds.find_newest_build"), parameters).fetchone())
            rows = conn.execute(query("builds.list_recorded_instants"), parameters).fetchall()
        except psycopg.errors.UndefinedTable:
            # Nothing has been built yet.
            return None, set()
    return newest["as_of"], {row["as_of"] for row in rows}


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
