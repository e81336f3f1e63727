"""Orders from a CSV file: what is loaded, what is rejected, and what a second import does."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from service.core.config import Settings
from service.core.db import Pool, tenant_transaction
from service.core.errors import InvalidInputError
from service.shopify.csv_file import CsvFile, open_csv
from service.shopify.loading import load_orders
from service.shopify.orders_csv import ImportReport, import_orders
from tests.command import quintile
from tests.conftest import AS_OF, MakeTenant, NullProgress

HEADER = "order_id,customer_id,processed_at,total"


@pytest.fixture
def tenant(make_tenant: MakeTenant) -> UUID:
    return make_tenant()


class Importer:
    def __init__(self, pool: Pool, tenant_id: UUID) -> None:
        self.pool = pool
        self.tenant_id = tenant_id
        self.progress = NullProgress()

    def __call__(self, *lines: str, **options: bool) -> ImportReport:
        return self.text("".join(f"{line}\n" for line in lines), **options)

    def text(self, text: str, **options: bool) -> ImportReport:
        return self.bytes(text.encode(), **options)

    def bytes(self, content: bytes, **options: bool) -> ImportReport:
        # As the command line opens a file.
        file = io.TextIOWrapper(
            io.BytesIO(content), encoding="utf-8-sig", errors="surrogateescape", newline=""
        )
        return import_orders(self.pool, self.tenant_id, file, self.progress, **options)

    def rows(self, table: str = "orders", key: str = "order_id") -> list[dict[str, Any]]:
        with tenant_transaction(self.pool, self.tenant_id) as conn:
            return conn.execute(
                f'select *, xmin::text from shopify.{table} order by {key} collate "C"'
            ).fetchall()

    def rejected(self) -> dict[tuple[str, str], str]:
        return {
            (row["entity"], row["source_id"]): row["reason"]
            for row in self.rows("rejected_rows", "source_id")
        }


@pytest.fixture
def load(pool: Pool, tenant: UUID) -> Importer:
    return Importer(pool, tenant)


# -- loading ------------------------------------------------------------------------------------


def test_the_four_required_columns_are_enough(load: Importer) -> None:
    report = load(HEADER, "A-1,Zoë O'Neill,2006-12-30,12.5", "A-2,,2006-12-31T23:30:00-05:00,7")
    assert report == ImportReport(loaded=2, without_customer=1)
    first, guest = load.rows()
    assert first["customer_id"] == "Zoë O'Neill"
    assert first["processed_at"] == datetime(2006, 12, 30, tzinfo=UTC)
    assert (first["currency"], first["total_minor"], first["subtotal_minor"]) == ("USD", 1250, 1250)
    assert (first["refunded_minor"], first["tags"], first["line_items"]) == (0, [], [])
    assert (first["is_test"], first["source"], first["shopify_updated_at"]) == (False, "csv", None)
    assert guest["customer_id"] is None
    assert guest["processed_at"] == datetime(2007, 1, 1, 4, 30, tzinfo=UTC)
    assert load.progress.counts == {"orders": 2, "rejected": 0, "written": 2}


def test_every_optional_column_is_loaded(load: Importer) -> None:
    load(
        f"{HEADER},customer_email,customer_name,order_number,subtotal,refunded,currency,"
        "financial_status,fulfillment_status,channel,tags,cancelled_at,test,updated_at",
        "1,7,2026-01-02 03:04:05 +0100,1200,a@x.org,Åsa,#1001,1000,0,jpy,paid,fulfilled,TikTok,"
        '"UGC ; ;Free sample;",2026-01-03,TRUE,2026-01-04T00:00:00Z',
    )
    (row,) = load.rows()
    assert row["processed_at"] == datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)
    assert (row["currency"], row["total_minor"], row["subtotal_minor"]) == ("JPY", 1200, 1000)
    assert (row["customer_email"], row["customer_name"]) == ("a@x.org", "Åsa")
    assert (row["financial_status"], row["fulfillment_status"]) == ("PAID", "FULFILLED")
    assert row["tags"] == ["UGC", "Free sample"]
    assert (row["channel"], row["order_number"], row["is_test"]) == ("TikTok", "#1001", True)
    assert row["cancelled_at"] == datetime(2026, 1, 3, tzinfo=UTC)
    assert row["shopify_updated_at"] == datetime(2026, 1, 4, tzinfo=UTC)


def test_columns_may_come_in_any_order_and_unknown_ones_are_named(load: Importer) -> None:
    report = load("Total , colour,PROCESSED_AT,customer_id,order_id", "9.99,red,2026-01-01,c,o")
    assert report.loaded == 1
    assert report.ignored_columns == ("colour",)
    assert load.rows()[0]["total_minor"] == 999


def test_spreadsheets_files_are_read_as_they_come(load: Importer) -> None:
    text = (
        '\ufeff"order_id","customer_id","processed_at","total","customer_name"\r\n'
        '1,c,2026-01-01,5,"Two\r\nlines, ""quoted"""\r\n'
        "\r\n"
        "2,c,2026-01-01,nonsense,x\r\n"
        "3,c,2026-01-01,5,last line without an end"
    )
    for content in (text.encode(), text.removeprefix("\ufeff").encode()):
        report = load.bytes(content)
        # The quoted line break and the blank line count as lines of the file.
        assert [line for line, _ in report.rejected] == [5]
        assert [row["customer_name"] for row in load.rows()] == [
            'Two\r\nlines, "quoted"',
            "last line without an end",
        ]


def test_the_shops_currency_is_the_usual_one(load: Importer, tenant: UUID, pool: Pool) -> None:
    with tenant_transaction(pool, tenant) as conn:
        conn.execute("update app.tenants set currency = 'KWD'")
    load(HEADER, "1,c,2026-01-01,1.234")
    (row,) = load.rows()
    assert (row["currency"], row["total_minor"]) == ("KWD", 1234)


# -- importing again ----------------------------------------------------------------------------


def test_importing_again_writes_nothing(load: Importer) -> None:
    lines = (f"{HEADER},tags", "1,c,2026-01-01,5,a;b", "2,,2026-01-01,6,", "3,c,never,1,")
    load(*lines)
    before = load.rows(), load.rows("rejected_rows", "source_id")
    again = load(*lines)
    assert (again.loaded, again.unchanged, again.rejected_count) == (0, 2, 1)
    assert (load.rows(), load.rows("rejected_rows", "source_id")) == before


def test_a_changed_line_replaces_an_imported_order_unless_it_is_older(load: Importer) -> None:
    header = f"{HEADER},updated_at"
    load(header, "1,c,2026-01-01,5,2026-01-05")
    assert load(header, "1,c,2026-01-01,6,2026-01-04").loaded == 0
    assert load(header, "1,c,2026-01-01,7,2026-01-06").loaded == 1
    assert load(HEADER, "1,c,2026-01-01,8").loaded == 1
    assert load.rows()[0]["total_minor"] == 800


def api_order(order_id: str, total: int) -> dict[str, Any]:
    moment = datetime(2026, 1, 5, tzinfo=UTC).isoformat()
    return {
        "order_id": order_id,
        "processed_at": moment,
        "is_test": False,
        "currency": "USD",
        "total_minor": total,
        "subtotal_minor": total,
        "refunded_minor": 0,
        "tags": ["kept"],
        "line_items": [{"title": "Tea"}],
        "shopify_updated_at": moment,
    }


def test_a_file_never_overwrites_a_newer_order_from_the_api(
    load: Importer, pool: Pool, tenant: UUID
) -> None:
    with tenant_transaction(pool, tenant) as conn:
        load_orders(conn, tenant, [api_order("1", 100)], AS_OF)
    header = f"{HEADER},updated_at"
    assert load(HEADER, "1,c,2026-01-01,2").loaded == 0
    assert load(header, "1,c,2026-01-01,2,2026-01-05T00:00:00Z").loaded == 0
    (row,) = load.rows()
    assert (row["total_minor"], row["source"], row["tags"]) == (100, "api", ["kept"])

    assert load(header, "1,c,2026-01-01,3,2026-01-06").loaded == 1
    (row,) = load.rows()
    assert (row["total_minor"], row["source"]) == (300, "csv")
    assert row["line_items"] == [{"title": "Tea"}]


def test_a_newer_file_keeps_the_current_totals_that_it_does_not_know(
    load: Importer, pool: Pool, tenant: UUID
) -> None:
    edited = {**api_order("1", 22600), "current_total_minor": 11300, "current_subtotal_minor": 9000}
    with tenant_transaction(pool, tenant) as conn:
        load_orders(conn, tenant, [edited], AS_OF)
    lines = (f"{HEADER},updated_at", "1,c,2026-01-01,226.00,2026-01-06")
    assert load(*lines).loaded == 1
    assert load(*lines).loaded == 0
    (row,) = load.rows()
    assert (row["total_minor"], row["current_total_minor"]) == (22600, 11300)
    assert row["current_subtotal_minor"] == 9000


@pytest.mark.parametrize(
    ("stored", "line", "current"),
    [
        # What an edit took off stays off: of a greater total, of a smaller one, never below zero.
        ((22600, 0, 11300, 9000), "300.00,0", (18700, None)),
        ((22600, 0, 11300, 9000), "150.00,0", (3700, None)),
        ((22600, 0, 11300, 9000), "50.00,0", (0, None)),
        # A refund of what the edit took off takes nothing more off.
        ((22600, 0, 11300, 9000), "226.00,113", (11300, 9000)),
        ((22600, 0, 11300, 9000), "226.00,120", (10600, 9000)),
        # A refund is no edit.
        ((10000, 10000, 0, 0), "100.00,0", (10000, None)),
        ((10000, 2000, 8000, 8000), "100.00,50", (5000, 8000)),
        # The same amounts: exactly what the store said, even where it is more than is left.
        ((10000, 2000, 9000, 0), "100.00,20", (9000, 0)),
        # The store did not tell.
        ((10000, 0, None, None), "150.00,0", (None, None)),
    ],
)
def test_current_totals_follow_the_total_and_the_refund_of_a_newer_file(
    load: Importer,
    pool: Pool,
    tenant: UUID,
    stored: tuple[int, int, int | None, int | None],
    line: str,
    current: tuple[int | None, int | None],
) -> None:
    total, refunded, current_total, current_subtotal = stored
    order = {
        **api_order("1", total),
        "refunded_minor": refunded,
        "current_total_minor": current_total,
        "current_subtotal_minor": current_subtotal,
    }
    with tenant_transaction(pool, tenant) as conn:
        load_orders(conn, tenant, [order], AS_OF)
    lines = (f"{HEADER},refunded,updated_at", f"1,c,2026-01-01,{line},2026-01-06")
    assert load(*lines).loaded == 1
    assert load(*lines).loaded == 0
    (row,) = load.rows()
    assert (row["current_total_minor"], row["current_subtotal_minor"]) == current


def test_a_current_total_in_another_currency_is_not_kept(
    load: Importer, pool: Pool, tenant: UUID
) -> None:
    edited = {**api_order("1", 22600), "current_total_minor": 11300, "current_subtotal_minor": 9000}
    with tenant_transaction(pool, tenant) as conn:
        load_orders(conn, tenant, [edited], AS_OF)
    load(f"{HEADER},currency,updated_at", "1,c,2026-01-01,226.00,EUR,2026-01-06")
    (row,) = load.rows()
    assert (row["current_total_minor"], row["current_subtotal_minor"]) == (None, None)


def test_the_api_overwrites_an_imported_order(load: Importer, pool: Pool, tenant: UUID) -> None:
    load(f"{HEADER},updated_at", "1,c,2026-01-01,2,2026-02-01")
    with tenant_transaction(pool, tenant) as conn:
        assert load_orders(conn, tenant, [api_order("1", 100)], AS_OF) == 1
    assert load.rows()[0]["source"] == "api"


# -- several lines of an order ------------------------------------------------------------------

LINE_LEVEL = (
    HEADER,
    "INV1,c1,2026-05-01,10.00",
    "INV1,c1,2026-05-01,20.00",
    "INV1,c1,2026-05-01,30.00",
    "INV2,c2,2026-05-02,5.00",
    "INV2,c2,2026-05-02,95.00",
    "INV3,c3,2026-05-03,7.00",
)


def test_a_file_of_line_items_is_refused_with_advice(load: Importer) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        load(*LINE_LEVEL)
    assert refusal.value.message == (
        "The lines of order INV1 (2, 3, 4) have different totals; nothing was loaded."
        " Orders of this kind: 2."
    )
    assert "--sum-lines" in refusal.value.advice
    assert load.rows() == []


def test_the_lines_of_an_order_are_added_up_when_asked(load: Importer) -> None:
    report = load(*LINE_LEVEL, sum_lines=True)
    assert report == ImportReport(loaded=3, repeated=3)
    assert [row["total_minor"] for row in load.rows()] == [6000, 10000, 700]
    again = load(*LINE_LEVEL, sum_lines=True)
    assert again == ImportReport(unchanged=3, repeated=3)


def test_adding_up_takes_every_amount_the_first_date_and_all_tags(load: Importer) -> None:
    load(
        f"{HEADER},subtotal,refunded,tags,cancelled_at,customer_email",
        "1,,2026-05-02,10,9,0,b;a,,",
        "1,c,2026-05-01,10,8,10,c,2026-05-03,a@example.com",
        "2,c,2026-05-01,5,5,0,,2026-05-03,",
        "2,c,2026-05-01,6,6,0,,2026-05-04,",
        sum_lines=True,
    )
    one, two = load.rows()
    assert (one["total_minor"], one["subtotal_minor"], one["refunded_minor"]) == (2000, 1700, 1000)
    assert (one["customer_id"], one["customer_email"]) == ("c", "a@example.com")
    assert one["processed_at"] == datetime(2026, 5, 1, tzinfo=UTC)
    assert (one["tags"], one["cancelled_at"]) == (["a", "b", "c"], None)
    assert two["cancelled_at"] == datetime(2026, 5, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    ("columns", "lines", "difference"),
    [
        ("", ["1,c,2026-05-01,10", "1,c,2026-06-01,10"], "dates"),
        (",subtotal", ["1,c,2026-05-01,10,4", "1,c,2026-05-01,10,6"], "subtotals"),
        (",refunded", ["1,c,2026-05-01,10,1", "1,c,2026-05-01,10,2"], "refunds"),
        (",updated_at", ["1,c,2026-05-01,5,2026-05-02", "1,c,2026-05-01,6,2026-05-02"], "totals"),
    ],
)
def test_line_items_are_recognized_by_other_columns_too(
    load: Importer, columns: str, lines: list[str], difference: str
) -> None:
    with pytest.raises(InvalidInputError, match=f"have different {difference}"):
        load(HEADER + columns, *lines)


def test_lines_that_repeat_an_order_are_one_order_and_are_counted(load: Importer) -> None:
    lines = (
        f"{HEADER},tags",
        *["1,c,2026-01-01,5,a"] * 2,
        "2,c,2026-01-01,1,",
        "1,,2026-01-01,5,b",
    )
    assert load(*lines) == ImportReport(loaded=2, repeated=2)
    assert [(row["customer_id"], row["total_minor"]) for row in load.rows()] == [
        ("c", 500),
        ("c", 100),
    ]
    assert load(*lines) == ImportReport(unchanged=2, repeated=2)


def test_of_states_of_an_order_in_one_file_the_latest_counts(load: Importer) -> None:
    report = load(
        f"{HEADER},refunded,updated_at",
        "1,c,2026-01-01,7,7,2026-01-09",
        "1,c,2026-01-01,5,0,2026-01-07",
        "2,c,2026-01-01,9,9,",
        "2,c,2026-01-01,9,0,",
    )
    assert report == ImportReport(loaded=2, repeated=2)
    assert [(row["total_minor"], row["refunded_minor"]) for row in load.rows()] == [
        (700, 700),
        (900, 900),
    ]


@pytest.mark.parametrize("times", [("07", "07", "09"), ("09", "07", "07"), ("07", "09", "07")])
def test_a_repeated_state_of_an_order_is_no_conflict(
    load: Importer, times: tuple[str, ...]
) -> None:
    states = {"07": "5,0", "09": "7,7"}
    lines = [f"1,c,2026-01-01,{states[day]},2026-01-{day}" for day in times]
    report = load(f"{HEADER},refunded,updated_at", *lines, *["2,c,2026-01-01,5,0,2026-01-07"] * 2)
    assert report == ImportReport(loaded=2, repeated=3)
    row, _ = load.rows()
    assert (row["total_minor"], row["refunded_minor"]) == (700, 700)


@pytest.mark.parametrize(
    "lines",
    [
        # Two different lines of one time.
        ("1,c,2026-01-01,5,2026-01-07", "1,c,2026-01-01,6,2026-01-07"),
        (
            "1,c,2026-01-01,5,2026-01-07",
            "1,c,2026-01-01,6,2026-01-07",
            "1,c,2026-01-01,6,2026-01-09",
        ),
        # One without a time, whether or not the others repeat each other.
        ("1,c,2026-01-01,5,2026-01-07", "1,c,2026-01-01,5,2026-01-07", "1,c,2026-01-01,6,"),
        ("1,c,2026-01-01,5,", "1,c,2026-01-01,6,2026-01-09"),
    ],
)
def test_different_lines_that_their_times_do_not_order_are_refused(
    load: Importer, lines: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidInputError, match="have different totals"):
        load(f"{HEADER},updated_at", *lines)
    assert load.rows() == []


@pytest.mark.parametrize("sum_lines", [True, False])
def test_lines_of_different_customers_are_rejected_and_the_rest_is_loaded(
    load: Importer, sum_lines: bool
) -> None:
    report = load(
        HEADER, "1,a,2026-01-01,5", "1,b,2026-01-01,5", "2,c,2026-01-01,5", sum_lines=sum_lines
    )
    reason = "the lines of order 1 (2, 3) have different customers"
    assert report == ImportReport(loaded=1, rejected=[(2, reason), (3, reason)], rejected_count=2)
    assert load.rejected() == {("order", "1"): reason}


@pytest.mark.parametrize("column", ["total", "subtotal", "refunded"])
def test_a_sum_that_is_too_large_is_rejected(load: Importer, column: str) -> None:
    most = "92233720368547758.07"
    amounts = ",".join(
        most if name == column else "1" for name in ("total", "subtotal", "refunded")
    )
    lines = [f"1,c,2026-01-01,{amounts}"] * 2
    report = load(f"{HEADER},subtotal,refunded", *lines, "2,c,2026-01-01,1,1,0", sum_lines=True)
    said = "the lines of order 1 (2, 3) have amounts whose sum is too large"
    assert report.rejected == [(2, said), (3, said)]
    assert [row["order_id"] for row in load.rows()] == ["2"]


# -- an older file after a newer one ------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "newer", "older", "lost"),
    [
        (",refunded", ",5", ",2", "a refund"),
        (",cancelled_at", ",2026-01-02", ",", "the cancellation"),
        (",financial_status", ",refunded", ",paid", "the status refunded"),
        (",financial_status", ",paid", ",pending", "the status paid"),
        (",financial_status", ",voided", ",authorized", "the status voided"),
        (",fulfillment_status", ",fulfilled", ",unfulfilled", "the status fulfilled"),
    ],
)
def test_an_older_file_takes_nothing_back_and_names_the_order(
    load: Importer, columns: str, newer: str, older: str, lost: str
) -> None:
    load(HEADER + columns, f"1,c,2026-01-01,9{newer}", f"2,c,2026-01-01,9{older}")
    before = load.rows()
    file = (HEADER + columns, f"1,c,2026-01-01,8{older}", f"2,c,2026-01-01,8{older}")
    report = load(*file)
    assert report == ImportReport(loaded=1, older=[(2, "1", lost)], older_count=1)
    assert load.rows()[0] == before[0]
    assert load(*file, accept_older=True).loaded == 1
    assert load.rows()[0]["total_minor"] == 800


def test_a_later_date_may_take_back_what_an_earlier_line_said(load: Importer) -> None:
    header = f"{HEADER},refunded,updated_at"
    load(header, "1,c,2026-01-01,9,5,2026-01-05")
    assert load(header, "1,c,2026-01-01,9,0,2026-01-04").older_count == 1
    assert load(header, "1,c,2026-01-01,9,0,2026-01-06").loaded == 1
    assert load.rows()[0]["refunded_minor"] == 0


def test_a_file_keeps_what_it_has_no_column_for(load: Importer) -> None:
    load(
        f"{HEADER},refunded,cancelled_at,tags,channel,test,customer_email,fulfillment_status",
        "1,c,2026-01-01,9,5,2026-01-02,a;b,web,true,a@example.com,fulfilled",
    )
    before = load.rows()
    assert load(HEADER, "1,c,2026-01-01,9") == ImportReport(unchanged=1)
    assert load.rows() == before
    assert load(HEADER, "1,c,2026-01-01,10").loaded == 1
    (row,) = load.rows()
    assert (row["total_minor"], row["refunded_minor"], row["tags"]) == (1000, 500, ["a", "b"])
    assert (row["channel"], row["is_test"], row["customer_email"]) == ("web", True, "a@example.com")
    assert row["fulfillment_status"] == "FULFILLED"


def test_orders_that_the_store_or_a_later_line_has_loaded_are_counted(
    load: Importer, pool: Pool, tenant: UUID
) -> None:
    with tenant_transaction(pool, tenant) as conn:
        load_orders(conn, tenant, [api_order("1", 100)], AS_OF)
    header = f"{HEADER},updated_at"
    load(header, "2,c,2026-01-01,5,2026-01-05")
    report = load(header, "1,c,2026-01-01,2,", "2,c,2026-01-01,6,2026-01-04", "3,c,2026-01-01,7,")
    assert report == ImportReport(loaded=1, unchanged=2, newer=2)


# -- customers of orders without their ids ------------------------------------------------------


def test_an_order_without_a_customers_id_is_identified_by_its_address(load: Importer) -> None:
    report = load(
        f"{HEADER},customer_email",
        "1,,2026-01-01,1,Ada@example.com",
        "2,,2026-01-01,1,ada@example.com",
        "3,c,2026-01-01,1,ada@example.com",
        "4,,2026-01-01,1,",
        "5,,2026-01-01,1,no e-mail",
        "6,,2026-01-01,1,-",
        "7,nan,2026-01-01,1,NaN",
    )
    assert report == ImportReport(loaded=7, without_customer=4)
    ids = [row["customer_id"] for row in load.rows()]
    assert ids[0] == ids[1]
    assert ids[0].startswith("email:")
    assert ids[2:] == ["c", None, None, None, None]


def test_an_order_without_an_address_is_identified_by_its_phone_number(
    load: Importer, tenant: UUID, settings: Settings
) -> None:
    header = f"{HEADER},customer_email,customer_phone,customer_country"
    lines = [
        "1,,2026-01-01,1,,+880 1712-345678,",
        "2,,2026-01-01,1,,01712345678,BD",
        "3,,2026-01-01,1,,8801712345678,",
        "4,,2026-01-01,1,,+4915112345678,BD",
        "5,,2026-01-01,1,,0000000000,BD",
        "6,,2026-01-01,1,ada@example.com,+8801712345678,",
        "7,c,2026-01-01,1,,+8801712345678,",
    ]
    report = load(header, *lines)
    assert report == ImportReport(loaded=7, by_phone=4, without_customer=1)
    rows = load.rows()
    ids = [row["customer_id"] for row in rows]
    assert ids[0] == ids[1] == ids[2] != ids[3]
    assert all(each.startswith("phone:") for each in ids[:4])
    assert "712345678" not in ids[0]
    assert ids[4] is None
    # An address counts more than a number, and an id more than both.
    assert ids[5].startswith("email:")
    assert ids[6] == "c"
    assert [row["customer_phone"] for row in rows] == [
        "+8801712345678",
        "+8801712345678",
        "8801712345678",
        "+4915112345678",
        None,
        None,
        "+8801712345678",
    ]
    assert load(header, *lines).loaded == 0


def test_the_shops_country_tells_what_a_number_without_a_code_is(
    load: Importer, settings: Settings
) -> None:
    header = f"{HEADER},customer_phone"
    load(header, "1,,2026-01-01,1,01712345678")
    assert load.rows()[0]["customer_phone"] == "01712345678"
    quintile(settings, "tenants", "set", "demo", "--country", "BD")
    load(header, "2,,2026-01-01,1,01712345678")
    assert load.rows()[1]["customer_phone"] == "+8801712345678"
    refused = quintile(settings, "tenants", "set", "demo", "--country", "Bangladesh", expect=1)
    assert "The country is two capital letters" in refused.stderr


def test_a_number_that_a_spreadsheet_has_shortened_identifies_nobody(load: Importer) -> None:
    report = load(
        f"{HEADER},customer_email,customer_phone",
        "1,,2026-01-01,1,,8.80171E+12",
        "2,,2026-01-01,1,ada@example.com,8.80171E+12",
        "3,,2026-01-01,1,,8801712345678.0",
    )
    assert report.loaded == 2
    ((line, reason),) = report.rejected
    assert line == 2
    assert "customer_phone '8.80171E+12' was shortened by a spreadsheet" in reason
    assert load.rows()[1]["customer_phone"] == "8801712345678"


# -- rejections ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1,c,2026-01-01", "it has 3 fields, the header 4"),
        ("1,c,2026-01-01,5,6", "it has 5 fields, the header 4"),
        (",c,2026-01-01,5", "order_id is empty"),
        (f"{'9' * 256},c,2026-01-01,5", "order_id is longer than 255 characters"),
        ("1,c,,5", "processed_at is empty"),
        ("1,c,01/02/2026,5", "processed_at '01/02/2026' is not an ISO date or time"),
        ("1,c,2026-02-30,5", "processed_at '2026-02-30' is not an ISO date or time"),
        ("1,c,0001-01-01T00:00:00+14:00,5", "is not an ISO date or time"),
        ("1,c,2026-01-01,", "total is empty"),
        ("1,c,2026-01-01,five", "total: 'five' is not an amount"),
        ("1,c,2026-01-01,$5", "total: '$5' is not an amount"),
        ("1,c,2026-01-01,1e3", "total: '1e3' is not an amount"),
        ("1,c,2026-01-01,NaN", "total: 'NaN' is not an amount"),
        ("1,c,2026-01-01,٣", "total: '٣' is not an amount"),
        ("1,c,2026-01-01,5.001", "total: 5.001 has more decimals than USD, which has 2"),
        ("1,c,2026-01-01,-5", "total is negative"),
        (f"1,c,2026-01-01,{'9' * 30}", "is too large"),
        ("1,c,2026-01-01,92233720368547758.08", "is too large"),
        ("1,a\0b,2026-01-01,5", "customer_id holds a NUL character"),
    ],
)
def test_a_bad_line_is_reported_and_the_rest_is_loaded(
    load: Importer, line: str, reason: str
) -> None:
    report = load(HEADER, "0,c,2026-01-01,1", line, "2,c,2026-01-01,1")
    assert report.loaded == 2
    ((number, said),) = report.rejected
    assert number == 3
    assert reason in said
    assert [row["order_id"] for row in load.rows()] == ["0", "2"]
    assert list(load.rejected().values()) == [said]


def test_bytes_that_are_not_utf8_reject_only_their_line(load: Importer) -> None:
    report = load.bytes(
        HEADER.encode() + b"\n1,c,2026-01-01,1\n2,caf\xe9,2026-01-01,1\n3,c,2026-01-01,1\n"
    )
    assert report.loaded == 2
    assert report.rejected == [(3, "customer_id is not UTF-8: save the file as CSV UTF-8")]


def test_other_columns_are_checked_too(load: Importer) -> None:
    report = load(
        f"{HEADER},test,currency,cancelled_at",
        "1,c,2026-01-01,1,maybe,,",
        "2,c,2026-01-01,1,,US,",
        "3,c,2026-01-01,1,,,soon",
        "4,c,2026-01-01,1.5,,JPY,",
    )
    assert [reason for _, reason in report.rejected] == [
        "test 'maybe' is neither true nor false",
        "'US' is not a currency code",
        "cancelled_at 'soon' is not an ISO date or time",
        "total: 1.5 has more decimals than JPY, which has 0",
    ]


def test_an_unclosed_quote_rejects_its_line_and_no_other(load: Importer) -> None:
    after = "".join(f"{number},c,2026-01-01,1\n" for number in range(2, 10_002))
    report = load.text(f'{HEADER}\n0,c,2026-01-01,1\n1,"c,2026-01-01,1\n{after}')
    assert report.rejected == [(3, "a quotation mark on this line is never closed")]
    assert report.loaded == 10_001


def test_a_quote_that_a_later_line_closes_rejects_these_two_lines(load: Importer) -> None:
    report = load(
        HEADER, '1,"c,2026-01-01,1', "2,c,2026-01-01,1", '3,"c,2026-01-01,1', "4,c,2026-01-01,1"
    )
    assert [line for line, _ in report.rejected] == [2, 4]
    assert [row["order_id"] for row in load.rows()] == ["2", "4"]


def test_an_order_that_an_open_quote_has_taken_into_a_cell_is_read(load: Importer) -> None:
    lines = [
        '1,c,2026-01-01,1,"Al',
        "2,c,2026-01-01,1,Bo",
        '3,c,2026-01-01,1,Cy"',
        "4,c,2026-01-01,1,",
    ]
    report = load(f"{HEADER},customer_name", *lines)
    assert [line for line, _ in report.rejected] == [2]
    assert [row["order_id"] for row in load.rows()] == ["2", "3", "4"]


def test_a_cell_whose_lines_are_no_orders_stays_whole(load: Importer) -> None:
    lines = [
        '1,c,2026-01-01,1,"Ada,',
        '99,c"',
        '2,c,2026-01-01,1,"Al',
        'Bo",too many',
        "3,c,2026-01-01,1,",
    ]
    report = load(f"{HEADER},customer_name", *lines)
    assert report.rejected == [(4, "it has 6 fields, the header 5 (lines to 5)")]
    assert [row["order_id"] for row in load.rows()] == ["1", "3"]


@pytest.mark.parametrize(
    "line", ['1,"c" ,2026-01-01,1', '1,"c "x" d",2026-01-01,1', '1,5" pipe,2026-01-01,1']
)
def test_stray_quotes_inside_a_line_are_read(load: Importer, line: str) -> None:
    assert load(HEADER, line, "2,c,2026-01-01,1").loaded == 2


def test_quotes_that_never_match_up_are_given_up_after_two_hundred_lines() -> None:
    read = 0

    def lines() -> Iterator[str]:
        nonlocal read
        yield "a,b,c\n"
        for _ in range(3000):
            read += 1
            yield 'x",y,"z\n'

    file = CsvFile(lines(), lambda _header: True)
    first = next(file.records(["a"]))
    assert first == (2, [], "a quotation mark on this line is never closed")
    assert read < 300


def test_a_name_in_the_header_may_have_two_lines(load: Importer) -> None:
    report = load(f'{HEADER},"my', 'note"', "1,c,2026-01-01,1,x", "2,,never,1,")
    assert report.loaded == 1
    assert report.rejected[0][0] == 4


def test_a_bad_line_with_the_number_of_an_order_does_not_keep_its_rejection(
    load: Importer,
) -> None:
    load(HEADER, "3,c,never,5")
    assert set(load.rejected()) == {("order", "3")}
    load(HEADER, "3,c,2026-01-01,5", ",c,2026-01-01,5")
    assert set(load.rejected()) == {("csv_line", "3")}


def test_a_line_break_inside_quotes_is_part_of_the_cell(load: Importer) -> None:
    report = load(
        f"{HEADER},customer_name", '1,c,2026-01-01,1,"Ada', 'Lovelace"', "2,c,2026-01-01,1,"
    )
    assert report.loaded == 2
    assert load.rows()[0]["customer_name"] == "Ada\nLovelace"


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_semicolons_and_tabs_are_recognized(load: Importer, delimiter: str) -> None:
    lines = [f"{HEADER},tags", '1,c,2026-01-01,12.50,"vip; ugc"']
    report = load(*(line.replace(",", delimiter) for line in lines))
    assert report.loaded == 1
    (row,) = load.rows()
    assert (row["total_minor"], row["tags"]) == (1250, ["vip", "ugc"])


def test_a_bad_byte_or_a_long_cell_in_an_unread_column_costs_nothing(load: Importer) -> None:
    report = load.bytes(
        f"{HEADER},city,story\n".encode()
        + b"1,c,2026-01-01,1,M\xfcnchen,\n2,c,2026-01-01,1,a\0b,"
        + b"x" * 300_000
        + b"\n"
    )
    assert (report.loaded, report.rejected) == (2, [])
    assert report.ignored_columns == ("city", "story")


def test_rows_of_separators_are_no_orders(load: Importer) -> None:
    report = load(HEADER, "1,c,2026-01-01,1", *[",,,"] * 200, " , ,,")
    assert report == ImportReport(loaded=1)


def test_missing_cells_at_the_end_are_empty_if_they_are_optional(load: Importer) -> None:
    report = load(
        f"{HEADER},currency,tags", "1,c,2026-01-01,1", "2,c,2026-01-01,2,EUR", "3,c,2026-01-01"
    )
    assert report.loaded == 2
    assert report.rejected == [(4, "it has 3 fields, the header 6")]
    assert [row["currency"] for row in load.rows()] == ["USD", "EUR"]


def test_the_last_line_of_a_file_that_was_cut_off_is_rejected(load: Importer) -> None:
    report = load.text(f"{HEADER},currency\n1,c,2026-01-01,100.00,USD\n2,c,2026-01-01,10")
    assert report.rejected == [(3, "it has 4 fields, the header 5")]


def test_a_last_line_without_a_line_break_may_be_as_short_as_others(load: Importer) -> None:
    lines = [f"{HEADER},currency,tags", "1,c,2026-01-01,1", "2,c,2026-01-01,2,EUR,a"]
    for last in ("3,c,2026-01-01,3", "3,c,2026-01-01,3,EUR"):
        report = load.text("\n".join([*lines, last]))
        assert (report.rejected, len(load.rows())) == ([], 3)


@pytest.mark.parametrize("short", ["1,c,2026-01-01,1,EUR", ",", "1,c", "1,c,2026-01-01,1,EUR,a"])
def test_a_last_line_that_is_shorter_than_every_other_was_cut_off(
    load: Importer, short: str
) -> None:
    report = load.text(f"{HEADER},currency,tags\n{short}\n2,c,2026-01-01,10")
    assert report.rejected[-1] == (3, "it has 4 fields, the header 6")


def test_lines_above_the_header_are_skipped(load: Importer) -> None:
    header = HEADER.replace(",", ";")
    report = load("\ufeffsep=;", "", ";;;", header, "1;c;2026-01-01;12.50", "2;c;never;1")
    assert report.loaded == 1
    assert [line for line, _ in report.rejected] == [6]


def test_a_header_that_is_repeated_is_no_order(load: Importer) -> None:
    report = load(HEADER, "1,c,2026-01-01,1", f"\ufeff{HEADER.title()}", "2,c,2026-01-01,1")
    assert report == ImportReport(loaded=2)


def test_a_file_joined_of_files_with_other_columns_is_refused(load: Importer) -> None:
    with pytest.raises(InvalidInputError, match="Another header begins on line 3"):
        load(HEADER, "1,c,2026-01-01,1", "order_id,total,processed_at,customer_id", "2,3,4,5")
    assert load.rows() == []


def test_empty_cells_beyond_the_header_cost_nothing(load: Importer) -> None:
    assert load(f"{HEADER},,", "1,c,2026-01-01,1,,", "2,c,2026-01-01,1,,,,").loaded == 2


def test_decimal_commas_are_read(load: Importer) -> None:
    report = load(
        HEADER.replace(",", ";"),
        "1;c;2026-01-01;12,5",
        "2;c;2026-01-01;1.234,50",
        "3;c;2026-01-01;7",
        "4;c;2026-01-01;1.000",
        "5;c;2026-01-01;1,000",
    )
    assert [row["total_minor"] for row in load.rows()] == [1250, 123450, 700]
    assert report.rejected == [
        (5, "total '1.000' may be thousands: write it without a separator of them"),
        (6, "total: '1,000' is not an amount"),
    ]
    assert load(HEADER, '6,c,2026-01-01,"12,50"', "7,c,2026-01-01,1.000").loaded == 2
    assert [row["total_minor"] for row in load.rows()[3:]] == [1250, 100]


def test_a_comma_may_separate_three_decimals_in_a_currency_that_has_them(load: Importer) -> None:
    header = f"{HEADER},currency".replace(",", ";")
    assert load(header, "1;c;2026-01-01;1.000;KWD").loaded == 1
    assert load.rows()[0]["total_minor"] == 1000


def test_ids_that_programs_have_written_in_another_form_are_the_same_ids(load: Importer) -> None:
    load(HEADER, "5400000000001,7103,2026-01-01,1")
    report = load(
        HEADER, "5400000000001.0,gid://shopify/Customer/7103,2026-01-01,1", "2,7103.0,2026-01-01,1"
    )
    assert (report.loaded, report.unchanged) == (1, 1)
    assert {row["customer_id"] for row in load.rows()} == {"7103"}
    assert load(HEADER, "5.4E+12,c,2026-01-01,1").rejected_count == 1


def test_typographic_quotes_and_invisible_characters_are_no_part_of_a_cell(load: Importer) -> None:
    load(f"“{HEADER.replace(',', '”,“')}”", "“1”,\u200b“c”\u00a0,“2026-01-01”,“5”")
    assert [(row["order_id"], row["customer_id"]) for row in load.rows()] == [("1", "c")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8", "utf-8-sig"])
def test_unicode_encodings_are_recognized(load: Importer, tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "orders.csv"
    path.write_text(f"{HEADER}\n1,Zoë,2026-01-01,1\n", encoding=encoding, newline="")
    with open_csv(path) as file:
        import_orders(load.pool, load.tenant_id, file, load.progress)
    assert load.rows()[0]["customer_id"] == "Zoë"


def test_another_encoding_can_be_named(load: Importer, tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text(f"{HEADER}\n1,Zoë,2026-01-01,1\n", encoding="windows-1252", newline="")
    with open_csv(path, "windows-1252") as file:
        import_orders(load.pool, load.tenant_id, file, load.progress)
    assert load.rows()[0]["customer_id"] == "Zoë"
    with pytest.raises(InvalidInputError, match="no encoding 'klingon'"):
        open_csv(path, "klingon")


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"PK\x03\x04", "an Excel workbook or a zip archive"),
        (b"\xd0\xcf\x11\xe0", "an Excel workbook"),
        (b"\x1f\x8b\x08", "a gzip archive"),
    ],
)
def test_a_workbook_or_an_archive_is_refused_by_name(
    tmp_path: Path, start: bytes, what: str
) -> None:
    path = tmp_path / "orders.csv"
    path.write_bytes(start + bytes(100))
    with pytest.raises(InvalidInputError, match=f"orders.csv is {what}, not CSV"):
        open_csv(path)


def test_a_good_line_clears_a_rejection(load: Importer) -> None:
    load(HEADER, "1,c,never,5", ",c,2026-01-01,5")
    assert set(load.rejected()) == {("order", "1"), ("csv_line", "3")}
    load(HEADER, "1,c,2026-01-01,5")
    assert load.rejected() == {}


def test_an_order_with_a_bad_last_line_keeps_the_good_one_and_is_rejected(load: Importer) -> None:
    load(HEADER, "1,c,2026-01-01,5", "1,c,never,6", "2,c,never,6", "2,c,2026-01-01,5")
    assert [row["total_minor"] for row in load.rows()] == [500, 500]
    assert set(load.rejected()) == {("order", "1")}


def test_all_rejections_are_counted_and_the_first_thousand_listed(load: Importer) -> None:
    report = load(HEADER, *(f"{number},c,never,1" for number in range(1500)))
    assert (report.rejected_count, len(report.rejected)) == (1500, 1000)
    assert len(load.rejected()) == 1500


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "header line"),
        ("\n\n", "header line"),
        ("order_id,customer_id,total\n", "lacks processed_at"),
        ("order_id\n", "lacks customer_id and processed_at and total"),
        (f"{HEADER},total\n", "total more than once"),
    ],
)
def test_a_file_without_the_columns_is_refused(load: Importer, text: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        load.text(text)


def test_a_header_alone_is_an_empty_import(load: Importer) -> None:
    assert load(HEADER) == ImportReport()


# -- any file -----------------------------------------------------------------------------------

_cells = st.text(st.characters(codec="utf-8"), max_size=12)
_orders = st.lists(
    st.tuples(
        st.one_of(st.sampled_from(["1", "2", " 3 "]), _cells),
        _cells,
        st.one_of(st.dates().map(str), _cells),
        st.one_of(st.decimals(0, 10**6, places=2).map(str), _cells),
    ),
    max_size=8,
)


@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(_orders)
def test_every_line_is_counted_whatever_its_cells_hold(
    load: Importer, rows: list[tuple[str, ...]]
) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(HEADER.split(","))
    writer.writerows(rows)
    first = load.text(file.getvalue(), sum_lines=True)
    again = load.text(file.getvalue(), sum_lines=True)
    lines = [row for row in rows if any(cell.strip() for cell in row)]
    counted = first.loaded + first.unchanged + first.repeated + first.older_count
    assert counted + first.rejected_count == len(lines)
    assert again.loaded == 0
    assert again.rejected == first.rejected


def test_the_reference_orders_are_loaded_exactly(load: Importer, shared_dir: Path) -> None:
    source = shared_dir / "data" / "rfm" / "rfm_data_orders.csv"
    with source.open(encoding="utf-8", newline="") as file:
        orders = list(csv.DictReader(file))
    report = load(
        HEADER,
        *(
            f'{number},"{order["customer_id"]}",{order["order_date"]},{order["revenue"]}'
            for number, order in enumerate(orders)
        ),
    )
    assert report == ImportReport(loaded=len(orders))
    assert sum(row["total_minor"] for row in load.rows()) == 100 * sum(
        int(order["revenue"]) for order in orders
    )
