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

from service.core.db import Pool, tenant_transaction
from service.core.errors import InvalidInputError
from service.shopify.csv_file import CsvFile
from service.shopify.loading import load_orders
from service.shopify.orders_csv import ImportReport, import_orders
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

    def __call__(self, *lines: str) -> ImportReport:
        return self.text("".join(f"{line}\n" for line in lines))

    def text(self, text: str) -> ImportReport:
        return self.bytes(text.encode())

    def bytes(self, content: bytes) -> ImportReport:
        # As the command line opens a file.
        file = io.TextIOWrapper(
            io.BytesIO(content), encoding="utf-8-sig", errors="surrogateescape", newline=""
        )
        return import_orders(self.pool, self.tenant_id, file, self.progress)

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
    assert report == ImportReport(loaded=2)
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


def test_if_a_file_has_an_order_twice_the_last_line_counts(load: Importer) -> None:
    lines = (HEADER, "1,c,2026-01-01,5", "2,c,2026-01-01,1", "1,c,2026-01-01,6")
    report = load(*lines)
    assert (report.loaded, report.unchanged) == (2, 1)
    assert load.rows()[0]["total_minor"] == 600
    assert load(*lines).loaded == 0


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


def test_the_api_overwrites_an_imported_order(load: Importer, pool: Pool, tenant: UUID) -> None:
    load(f"{HEADER},updated_at", "1,c,2026-01-01,2,2026-02-01")
    with tenant_transaction(pool, tenant) as conn:
        assert load_orders(conn, tenant, [api_order("1", 100)], AS_OF) == 1
    assert load.rows()[0]["source"] == "api"


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
    first = load.text(file.getvalue())
    again = load.text(file.getvalue())
    lines = [row for row in rows if any(cell.strip() for cell in row)]
    assert first.loaded + first.unchanged + first.rejected_count == len(lines)
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
