"""When a schedule is next due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from service.api.schedule import next_time


def test_the_next_instant_of_a_schedule_is_in_utc() -> None:
    after = datetime(2026, 7, 1, 3, 0, tzinfo=UTC)
    assert next_time("0 3 * * *", after) == datetime(2026, 7, 2, 3, 0, tzinfo=UTC)


def test_the_zone_of_the_start_does_not_move_the_schedule() -> None:
    after = datetime(2026, 7, 1, 4, 30, tzinfo=timezone(timedelta(hours=2)))
    assert next_time("0 3 * * *", after) == datetime(2026, 7, 1, 3, 0, tzinfo=UTC)


def test_without_a_start_it_is_in_the_future() -> None:
    assert next_time("*/30 * * * *") > datetime.now(UTC)
