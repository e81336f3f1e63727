"""Cursors and search patterns."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AwareDatetime

from service.api.paging import Amount, Bigint, Keyset, Search, Text
from service.api.problems import BadCursorError

BY_TIME = Keyset("samples newest", ordered_at=AwareDatetime, order_id=Text)
BY_RANK = Keyset("samples value", goods_value_rank=Bigint, order_id=Text)
BY_SPEND = Keyset("customers", monetary_total=Amount, customer_id=Text)

ids = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


def cursor_of(*position: str) -> str:
    """A cursor with any content."""
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


@given(
    st.datetimes(min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29)),  # noqa: DTZ001
    st.integers(-12, 14),
    ids,
)
def test_a_cursor_keeps_the_instant_and_the_id(naive: datetime, hours: int, order_id: str) -> None:
    at = naive.replace(tzinfo=UTC) - timedelta(hours=hours)
    cursor = BY_TIME.encode({"ordered_at": at, "order_id": order_id})
    assert BY_TIME.decode(cursor) == {"after_ordered_at": at, "after_order_id": order_id}


@given(st.integers(-(2**63), 2**63 - 1), ids)
def test_a_cursor_keeps_a_rank_of_any_size(rank: int, order_id: str) -> None:
    cursor = BY_RANK.encode({"goods_value_rank": rank, "order_id": order_id})
    assert BY_RANK.decode(cursor) == {"after_goods_value_rank": rank, "after_order_id": order_id}


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=0, places=3, max_value=10**12))
def test_a_cursor_keeps_all_digits_of_an_amount(amount: Decimal) -> None:
    cursor = BY_SPEND.encode({"monetary_total": amount, "customer_id": "7"})
    assert BY_SPEND.decode(cursor) == {"after_monetary_total": amount, "after_customer_id": "7"}


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "!",
        "AAAA",
        "e30",
        BY_SPEND.encode({"monetary_total": Decimal(1), "customer_id": "7"}),
        cursor_of("samples newest", "2026-07-01T00:00:00", "7"),
        cursor_of("samples newest", "2026-07-01T00:00:00Z", "nul\0"),
        cursor_of("samples newest", "2026-07-01T00:00:00Z"),
        "ä" * 20,
    ],
    ids=["empty", "alphabet", "bytes", "object", "other-list", "naive", "nul", "short", "unicode"],
)
def test_a_cursor_that_is_not_of_this_list_is_refused(cursor: str) -> None:
    with pytest.raises(BadCursorError):
        BY_TIME.decode(cursor)


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "1e999999", "9" * 60])
def test_a_cursor_with_an_amount_the_database_cannot_hold_is_refused(amount: str) -> None:
    with pytest.raises(BadCursorError):
        BY_SPEND.decode(BY_SPEND.encode({"monetary_total": amount, "customer_id": "7"}))


def test_the_first_page_has_no_position() -> None:
    assert BY_TIME.decode(None) == {"after_ordered_at": None, "after_order_id": None}


def test_a_search_matches_likes_special_characters_literally() -> None:
    assert Search(q=r"50%_off\now").pattern == r"%50\%\_off\\now%"
    assert Search(q=None).pattern is None


def test_the_last_page_has_no_next() -> None:
    segments = Keyset("segments", sort_name=Text, id=Text)
    rows = [{"id": "1", "sort_name": "a"}, {"id": "2", "sort_name": "b"}]
    assert segments.split(rows, 2) == {"data": rows, "next_cursor": None}
    page = segments.split(rows, 1)
    assert page == {"data": rows[:1], "next_cursor": segments.encode(rows[0])}
    assert segments.decode(page["next_cursor"]) == {"after_sort_name": "a", "after_id": "1"}
