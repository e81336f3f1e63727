"""Cursors and search patterns."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask, g
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AwareDatetime

from service.api.access import Login, State
from service.api.capacity import Capacity
from service.api.cursors import seal, unseal
from service.api.paging import Amount, Bigint, Keyset, Search, Text
from service.api.problems import BadCursorError
from service.api.rate_limits import RateLimits
from service.core.config import Settings, load_settings
from service.tenants.keys import new_key
from service.tenants.tokens import Access

BY_TIME = Keyset("samples newest", ordered_at=AwareDatetime, order_id=Text)
BY_RANK = Keyset("samples value", goods_value_rank=Bigint, order_id=Text)
BY_SPEND = Keyset("customers", monetary_total=Amount, customer_id=Text)

ids = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


SETTINGS = replace(load_settings(), secret_key="for these tests", encryption_keys="")
TENANT = uuid4()
SAMPLES = "/api/admin/samples"


@contextmanager
def requesting(
    path: str = SAMPLES, tenant: UUID = TENANT, settings: Settings = SETTINGS
) -> Iterator[None]:
    """In a request of the API."""
    unused: Any = None
    app = Flask(__name__)
    app.extensions["quintile"] = State(
        settings, unused, RateLimits(0, 0), None, Capacity.of(settings)
    )
    with app.test_request_context(path):
        g.login = Login(Access(tenant, "read", "token", "tests"), "token")
        yield


@pytest.fixture(autouse=True)
def _in_a_request() -> Iterator[None]:
    with requesting():
        yield


def cursor_of(position: str) -> str:
    """A cursor that the list has sealed, with any content."""
    return seal(position.encode(), "samples newest", "")


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
    ["", "!", ".", "AAAA", "AAAA.AAAA", "e30", "ä" * 20, "W10.W10.W10"],
)
def test_a_cursor_that_was_not_given_out_is_refused(cursor: str) -> None:
    with pytest.raises(BadCursorError):
        BY_TIME.decode(cursor)


@pytest.mark.parametrize(
    "position",
    [
        '["2026-07-01T00:00:00", "7"]',
        '["2026-07-01T00:00:00Z", "nul\\u0000"]',
        '["2026-07-01T00:00:00Z"]',
        "{}",
        "no json",
    ],
    ids=["naive", "nul", "short", "object", "no-json"],
)
def test_a_sealed_position_that_is_none_is_refused(position: str) -> None:
    with pytest.raises(BadCursorError):
        BY_TIME.decode(cursor_of(position))


def test_no_part_of_a_cursor_can_be_changed() -> None:
    cursor = BY_RANK.encode({"goods_value_rank": 41, "order_id": "7"})
    assert BY_RANK.decode(cursor)["after_goods_value_rank"] == 41
    for place, character in enumerate(cursor):
        changed = cursor[:place] + ("A" if character != "A" else "Q") + cursor[place + 1 :]
        # The last character of base64 has bits that count for nothing.
        if not _is_same(changed, cursor):
            with pytest.raises(BadCursorError):
                BY_RANK.decode(changed)
    for attempt in (cursor[:-4], cursor[4:], f"{cursor}AAAA", f"AAAA{cursor}"):
        with pytest.raises(BadCursorError):
            BY_RANK.decode(attempt)


def _is_same(one: str, other: str) -> bool:
    return base64.urlsafe_b64decode(f"{one}==") == base64.urlsafe_b64decode(f"{other}==")


def test_a_cursor_tells_nothing_and_is_always_the_same() -> None:
    """It stands in URLs, and a changed one would change the answer's ETag."""
    by_email = Keyset("members by email", sort_email=Text, member_id=Text)
    row = {"sort_email": "1ada@example.com", "member_id": "7013456789012"}
    cursor = by_email.encode(row)
    assert by_email.encode(row) == cursor
    told = base64.urlsafe_b64decode(f"{cursor}==")
    assert b"ada" not in told
    assert b"7013" not in told


def test_a_cursor_belongs_to_its_list_filters_path_and_tenant() -> None:
    row = {"ordered_at": datetime(2026, 7, 1, tzinfo=UTC), "order_id": "7"}
    cursor = BY_TIME.encode(row, '{"type":"ugc"}')
    assert BY_TIME.decode(cursor, '{"type":"ugc"}')["after_order_id"] == "7"
    oldest = Keyset("samples oldest", ordered_at=AwareDatetime, order_id=Text)
    for keyset, filters in ((oldest, '{"type":"ugc"}'), (BY_TIME, '{"type":"tiktok"}')):
        with pytest.raises(BadCursorError):
            keyset.decode(cursor, filters)
    for path, tenant in (("/api/admin/samples/suggestions", TENANT), (SAMPLES, uuid4())):
        with requesting(path, tenant), pytest.raises(BadCursorError):
            BY_TIME.decode(cursor, '{"type":"ugc"}')


def test_a_cursor_outlives_a_key_until_the_key_leaves_the_ring() -> None:
    old, new = new_key("old"), new_key("new")
    with requesting(settings=replace(SETTINGS, encryption_keys=old)):
        cursor = seal(b"here", "list")
    with requesting(settings=replace(SETTINGS, encryption_keys=f"{new},{old}")):
        assert unseal(cursor, "list") == b"here"
        assert seal(b"here", "list") != cursor
    with (
        requesting(settings=replace(SETTINGS, encryption_keys=new)),
        pytest.raises(BadCursorError),
    ):
        unseal(cursor, "list")


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "1e999999", "9" * 60])
def test_a_cursor_with_an_amount_the_database_cannot_hold_is_refused(amount: str) -> None:
    with pytest.raises(BadCursorError):
        BY_SPEND.decode(BY_SPEND.encode({"monetary_total": amount, "customer_id": "7"}))


def test_the_first_page_has_no_position() -> None:
    assert BY_TIME.decode(None) == {"after_ordered_at": None, "after_order_id": None}


def test_a_search_matches_likes_special_characters_literally() -> None:
    assert Search(q=r"50%_off\now").pattern == r"%50\%\_off\\now%"
    assert Search(q=None).pattern is None


names = st.text(st.sampled_from("aAiIkKzZ%_\\\\ @ßüÜΣσς\u0131İ\u212a\u0307山"), max_size=6)


def is_like(text: str, pattern: str) -> bool:
    """LIKE of PostgreSQL."""
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    wild = {"%": ".*", "_": "."}
    regex = "".join(wild.get(part) or re.escape(part[-1]) for part in parts)
    return re.fullmatch(regex, text, re.DOTALL) is not None


@given(names, names, names)
def test_the_screen_of_a_search_leaves_no_match_out(before: str, text: str, after: str) -> None:
    name = before + text + after
    for q in (text, text.lower(), text.upper()):
        search = Search.model_construct(q=q)
        if q and q.lower() in name.lower():
            assert search.screen is not None
            ascii_lower = "".join(c.lower() if c.isascii() else c for c in name)
            assert is_like(ascii_lower, search.screen)


def test_the_screen_of_a_search_is_lower_case_and_open_where_letters_have_relatives() -> None:
    assert Search(q=r"Mike_50% \Ü").screen == r"%m__e\_50\% \\%%"
    assert Search(q=None).screen is None


def test_the_last_page_has_no_next() -> None:
    segments = Keyset("segments", sort_name=Text, id=Text)
    rows = [{"id": "1", "sort_name": "a"}, {"id": "2", "sort_name": "b"}]
    assert segments.split(rows, 2) == {"data": rows, "next_cursor": None}
    page = segments.split(rows, 1)
    assert page == {"data": rows[:1], "next_cursor": segments.encode(rows[0])}
    assert segments.decode(page["next_cursor"]) == {"after_sort_name": "a", "after_id": "1"}
