"""When a schedule is due, also around daylight saving changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter

from service.queue.schedules import next_time, previous_time

DAILY = "0 3 * * *"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_the_next_time_of_a_schedule_is_in_utc() -> None:
    assert next_time(DAILY, after=at("2026-07-01T03:00Z")) == at("2026-07-02T03:00Z")


def test_the_offset_of_the_start_does_not_move_the_schedule() -> None:
    after = datetime(2026, 7, 1, 4, 30, tzinfo=timezone(timedelta(hours=2)))
    assert next_time(DAILY, after=after) == at("2026-07-01T03:00Z")


def test_without_a_start_the_next_time_is_in_the_future() -> None:
    assert next_time("*/30 * * * *") > datetime.now(UTC)
    assert previous_time("*/30 * * * *") <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("now", "previous"),
    [
        ("2026-07-01T03:00:00Z", "2026-07-01T03:00Z"),
        ("2026-07-01T03:00:00.5Z", "2026-07-01T03:00Z"),
        ("2026-07-01T02:59:59.9Z", "2026-06-30T03:00Z"),
    ],
)
def test_a_schedule_is_due_from_its_exact_second(now: str, previous: str) -> None:
    assert previous_time(DAILY, until=at(now)) == at(previous)


def test_a_schedule_follows_the_time_zone() -> None:
    noon = at("2026-07-01T12:00Z")
    assert next_time(DAILY, "Europe/Berlin", noon) == at("2026-07-02T01:00Z")
    assert previous_time(DAILY, "Europe/Berlin", noon) == at("2026-07-01T01:00Z")
    assert next_time(DAILY, "Pacific/Auckland", noon) == at("2026-07-01T15:00Z")


def test_the_next_time_does_not_depend_on_what_was_asked_before() -> None:
    """It is remembered until it comes; Berlin's clock goes back on 2026-10-25."""
    midnight = at("2026-10-24T00:00Z")
    hours = [midnight + timedelta(hours=number) for number in range(72)]
    dues = [at("2026-10-24T01:00Z"), at("2026-10-25T02:00Z"), at("2026-10-26T02:00Z")]
    dues.append(at("2026-10-27T02:00Z"))
    for asked in (hours, hours[::-1], hours[::5] + hours[3::-1]):
        for hour in asked:
            expected = next(due for due in dues if due > hour)
            assert next_time(DAILY, "Europe/Berlin", hour) == expected
            assert next_time(DAILY, "Asia/Tokyo", hour) != expected


def test_an_unknown_time_zone_counts_as_utc() -> None:
    assert next_time(DAILY, "Mars/Olympus", at("2026-07-01T12:00Z")) == at("2026-07-02T03:00Z")


def test_a_time_that_the_clock_skips_is_due_later() -> None:
    """On 2026-03-29 Berlin goes from 02:00 to 03:00."""
    half_past_two = "30 2 * * *"
    before, after = at("2026-03-29T00:30Z"), at("2026-03-29T01:45Z")
    due = at("2026-03-29T01:30Z")
    assert next_time(half_past_two, "Europe/Berlin", before) == due
    assert previous_time(half_past_two, "Europe/Berlin", after) == due
    assert previous_time(half_past_two, "Europe/Berlin", at("2026-03-29T01:15Z")) == at(
        "2026-03-28T01:30Z"
    )
    assert next_time(half_past_two, "Europe/Berlin", after) == at("2026-03-30T00:30Z")
    # The clock already shows 03:15, and half past two is due later.
    assert next_time(half_past_two, "Europe/Berlin", at("2026-03-29T01:15Z")) == due


def test_a_time_that_comes_twice_is_due_once() -> None:
    """On 2026-10-25 Berlin goes from 03:00 back to 02:00."""
    half_past_two = "30 2 * * *"
    first = at("2026-10-25T00:30Z")
    assert next_time(half_past_two, "Europe/Berlin", at("2026-10-25T00:00Z")) == first
    assert previous_time(half_past_two, "Europe/Berlin", at("2026-10-25T01:45Z")) == first
    assert next_time(half_past_two, "Europe/Berlin", at("2026-10-25T01:15Z")) == at(
        "2026-10-26T01:30Z"
    )
    # The clock shows 02:15 again, after half past two was due.
    assert previous_time(half_past_two, "Europe/Berlin", at("2026-10-25T01:15Z")) == first


@pytest.mark.parametrize(
    ("zone", "change"),
    [
        ("Europe/Berlin", "2026-03-29T01:00Z"),
        ("Europe/Berlin", "2026-10-25T01:00Z"),
        ("America/New_York", "2026-03-08T07:00Z"),
        ("America/New_York", "2026-11-01T06:00Z"),
        # Half an hour, and at midnight.
        ("Australia/Lord_Howe", "2026-04-04T15:00Z"),
        ("Australia/Lord_Howe", "2026-10-03T15:30Z"),
        ("America/Santiago", "2026-09-06T04:00Z"),
        ("America/Santiago", "2026-04-05T03:00Z"),
    ],
)
@pytest.mark.parametrize("cron", [DAILY, "30 2 * * *", "30 1 * * *", "15,45 0-3 * * *"])
def test_no_time_is_missed_or_repeated_around_a_clock_change(
    zone: str, change: str, cron: str
) -> None:
    """Compared with all times in six days, each converted by itself."""
    day = at(change).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    faces = croniter(cron, day - timedelta(days=3))
    placed = set()
    while (face := faces.get_next(datetime)) < day + timedelta(days=3):
        placed.add(face.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC))
    for minutes in range(-300, 300, 5):
        now = at(change) + timedelta(minutes=minutes)
        assert next_time(cron, zone, now) == min(time for time in placed if time > now)
        assert previous_time(cron, zone, now) == max(time for time in placed if time <= now)
