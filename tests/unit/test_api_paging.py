"""Cursors and search patterns: what goes out comes back, and nothing else comes in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.paging import (
    CUSTOMERS,
    SAMPLES_BY_RANK,
    SAMPLES_BY_TIME,
    decode_cursor,
    encode_cursor,
    escape_like,
    split_page,
)
from service.api.problems import BadCursorError

ids = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(
    st.datetimes(min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29)),  # noqa: DTZ001
    st.integers(-12, 14),
    ids,
)
def test_a_cursor_leads_back_to_the_same_instant_and_id(
    naive: datetime, hours: int, order_id: str
) -> None:
    at = naive.replace(tzinfo=UTC) - timedelta(hours=hours)
    decoded = decode_cursor(SAMPLES_BY_TIME, encode_cursor("samples newest", at, order_id))
    assert decoded == ("samples newest", at, order_id)


@given(st.integers(-(2**63), 2**63 - 1), ids)
def test_a_cursor_keeps_a_rank_of_any_size(rank: int, order_id: str) -> None:
    decoded = decode_cursor(SAMPLES_BY_RANK, encode_cursor("samples value", rank, order_id))
    assert decoded == ("samples value", rank, order_id)


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=0, places=3, max_value=10**12))
def test_a_cursor_keeps_an_amount_to_the_last_digit(amount: Decimal) -> None:
    decoded = decode_cursor(CUSTOMERS, encode_cursor("customers", amount, "7"))
    assert decoded is not None
    assert decoded[1] == amount


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "!",
        "AAAA",
        "e30",
        encode_cursor("customers", Decimal(1), "7"),
        encode_cursor("samples newest", "2026-07-01T00:00:00", "7"),
        encode_cursor("samples newest", "2026-07-01T00:00:00Z", "nul\0"),
        encode_cursor("samples newest", "2026-07-01T00:00:00Z"),
        "ä" * 20,
    ],
    ids=["empty", "alphabet", "bytes", "object", "other-list", "naive", "nul", "short", "unicode"],
)
def test_a_cursor_that_this_list_did_not_give_is_refused(cursor: str) -> None:
    with pytest.raises(BadCursorError):
        decode_cursor(SAMPLES_BY_TIME, cursor)


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "1e999999", "9" * 60])
def test_a_cursor_with_an_amount_the_database_cannot_hold_is_refused(amount: str) -> None:
    with pytest.raises(BadCursorError):
        decode_cursor(CUSTOMERS, encode_cursor("customers", amount, "7"))


def test_the_first_page_has_no_position() -> None:
    assert decode_cursor(SAMPLES_BY_TIME, None) is None


def test_likes_own_characters_are_taken_literally() -> None:
    assert escape_like(r"50%_off\now") == r"50\%\_off\\now"


def test_the_last_page_has_no_next() -> None:
    rows = [{"id": "1", "sort_name": "a"}, {"id": "2", "sort_name": "b"}]
    assert split_page(rows, 2, "segments", "sort_name", "id") == (rows, None)
    page, cursor = split_page(rows, 1, "segments", "sort_name", "id")
    assert page == rows[:1]
    assert cursor == encode_cursor("segments", "a", "1")
