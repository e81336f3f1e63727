"""Pages show times in the store's time zone, without scripts too."""

from __future__ import annotations

from datetime import UTC, date, datetime
from types import SimpleNamespace

import pytest
from flask import Flask

from service.ui import times

# Long ago: a time of today is written without its day.
AT = datetime(2025, 11, 30, 9, 41, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("America/New_York", "30 Nov 2025, 04:41"),
        ("Asia/Tokyo", "30 Nov 2025, 18:41"),
        ("Mars/Olympus_Mons", "30 Nov 2025, 09:41 UTC"),
    ],
)
def test_a_time_is_in_the_zone_of_the_page_s_store(zone: str, text: str) -> None:
    with Flask(__name__).test_request_context():
        context = {"tenant": SimpleNamespace(time_zone=zone)}
        times.remember_time_zone(None, context=context, template=None)
        assert times.moment(AT) == text


def test_a_time_of_today_has_no_day() -> None:
    with Flask(__name__).test_request_context():
        assert times.moment(datetime.now(UTC)).count(" ") == 0


def test_the_day_of_a_time_is_that_of_the_store() -> None:
    with Flask(__name__).test_request_context():
        context = {"tenant": SimpleNamespace(time_zone="America/New_York")}
        times.remember_time_zone(None, context=context, template=None)
        assert times.store_day(datetime(2026, 9, 4, 1, tzinfo=UTC)) == "3 Sept 2026"


def test_a_day_has_no_zone() -> None:
    assert times.calendar_day(date(2026, 11, 3)) == "3 Nov 2026"
