"""Shopify's own export of orders: one row per item, recognized by its header, grouped in SQL."""

from __future__ import annotations

import csv
import io
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from sandbox import Sandbox
from sandbox.shopify import Store
from service.core.config import Settings
from service.core.db import Pool, tenant_transaction
from service.core.errors import InvalidInputError
from service.shopify.connection import connect_shopify
from service.shopify.loading import load_customers, load_orders, reassign_orders
from service.shopify.sync import sync_shopify
from tests.command import peak_of, quintile, quintile_process
from tests.conftest import AS_OF, MakeTenant, NullProgress
from tests.integration.test_orders_import import Importer, api_order
from tests.shops import small_shop

# The header as Shopify writes it.
HEADER = (
    "Name,Email,Financial Status,Paid at,Fulfillment Status,Fulfilled at,"
    "Accepts Marketing,Currency,Subtotal,Shipping,Taxes,Total,Discount Code,"
    "Discount Amount,Shipping Method,Created at,Lineitem quantity,Lineitem name,"
    "Lineitem price,Lineitem compare at price,Lineitem sku,Lineitem requires shipping,"
    "Lineitem taxable,Lineitem fulfillment status,Billing Name,Billing Street,"
    "Billing Address1,Billing Address2,Billing Company,Billing City,Billing Zip,"
    "Billing Province,Billing Country,Billing Phone,Shipping Name,Shipping Street,"
    "Shipping Address1,Shipping Address2,Shipping Company,Shipping City,Shipping Zip,"
    "Shipping Province,Shipping Country,Shipping Phone,Notes,Note Attributes,Cancelled at,"
    "Payment Method,Payment Reference,Refunded Amount,Vendor,Outstanding Balance,Employee,"
    "Location,Device ID,Id,Tags,Risk Level,Source,Lineitem discount,Tax 1 Name,"
    "Tax 1 Value,Tax 2 Name,Tax 2 Value,Tax 3 Name,Tax 3 Value,Tax 4 Name,Tax 4 Value,"
    "Tax 5 Name,Tax 5 Value,Phone,Receipt Number,Duties,Billing Province Name,"
    "Shipping Province Name,Payment ID,Payment Terms Name,Next Payment Due At,"
    "Payment References"
)
COLUMNS = next(csv.reader([HEADER]))

Cells = dict[str, str]


def first_row(name: str, number: str, **cells: str) -> Cells:
    """The first row of an order of 30.00 by ada@example.com, with the given cells changed."""
    usual = {
        "Name": name,
        "Email": "ada@example.com",
        "Financial Status": "paid",
        "Paid at": "2024-05-01 10:11:12 -0400",
        "Fulfillment Status": "fulfilled",
        "Fulfilled at": "2024-05-02 09:00:00 -0400",
        "Accepts Marketing": "yes",
        "Currency": "USD",
        "Subtotal": "25.00",
        "Shipping": "5.00",
        "Taxes": "0.00",
        "Total": "30.00",
        "Created at": "2024-05-01 10:11:12 -0400",
        "Lineitem quantity": "1",
        "Lineitem name": "Mug - Blue",
        "Lineitem price": "15.00",
        "Lineitem sku": "MUG",
        "Lineitem discount": "0.00",
        "Billing Name": "Ada Lovelace",
        "Refunded Amount": "0.00",
        "Id": number,
        "Source": "web",
    }
    return usual | {key.replace("_", " "): value for key, value in cells.items()}


def further_row(name: str, item: str = "Tea", price: str = "10.00", **cells: str) -> Cells:
    """A row of a further item: it has only the order's name, the address and the item."""
    return {
        "Name": name,
        "Email": "ada@example.com",
        "Lineitem quantity": "1",
        "Lineitem name": item,
        "Lineitem price": price,
        **{key.replace("_", " "): value for key, value in cells.items()},
    }


def export(*rows: Cells, columns: list[str] = COLUMNS) -> str:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, columns, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


@pytest.fixture
def tenant(make_tenant: MakeTenant) -> UUID:
    return make_tenant()


@pytest.fixture
def load(pool: Pool, tenant: UUID) -> Importer:
    return Importer(pool, tenant)


def land_customer(pool: Pool, tenant: UUID, customer_id: str, email: str | None) -> None:
    moment = datetime(2026, 1, 5, tzinfo=UTC).isoformat()
    row = {
        "customer_id": customer_id,
        "email": email,
        "tags": [],
        "created_at": moment,
        "shopify_updated_at": moment,
    }
    with tenant_transaction(pool, tenant) as conn:
        load_customers(conn, tenant, [row], AS_OF)


def made_id(pool: Pool, tenant: UUID, address: str) -> str:
    with tenant_transaction(pool, tenant) as conn:
        row = conn.execute("select app.customer_id_of_address(%s) as id", [address]).fetchone()
    assert row is not None
    return str(row["id"])


# -- loading -------------------------------------------------------------------------------------


def test_the_rows_of_an_order_become_one_order(load: Importer) -> None:
    report = load.text(
        export(
            first_row(
                "#1001",
                "5400000000001",
                Notes='Two\nlines, "quoted"',
                Tags="UGC, Free sample",
                Refunded_Amount="7.50",
                Financial_Status="partially_refunded",
                Fulfillment_Status="partial",
                Cancelled_at="2024-05-03 00:00:00 +0530",
            ),
            further_row("#1001", "Tea", "10.00", Lineitem_quantity="2", Lineitem_discount="4.00"),
            first_row("#1002", "5400000000002"),
        )
    )
    assert report.is_export
    assert (report.loaded, report.unchanged, report.rejected_count) == (2, 0, 0)
    order, other = load.rows()
    assert (order["order_id"], order["order_number"]) == ("5400000000001", "#1001")
    assert order["processed_at"] == datetime(2024, 5, 1, 14, 11, 12, tzinfo=UTC)
    assert order["cancelled_at"] == datetime(2024, 5, 2, 18, 30, tzinfo=UTC)
    assert order["first_fulfilled_at"] == datetime(2024, 5, 2, 13, tzinfo=UTC)
    assert (order["total_minor"], order["subtotal_minor"], order["refunded_minor"]) == (
        3000,
        2500,
        750,
    )
    assert (order["financial_status"], order["fulfillment_status"]) == (
        "PARTIALLY_REFUNDED",
        "PARTIALLY_FULFILLED",
    )
    assert (order["tags"], order["channel"]) == (["UGC", "Free sample"], "web")
    assert order["note"] == 'Two\nlines, "quoted"'
    assert (order["customer_email"], order["customer_name"]) == (
        "ada@example.com",
        "Ada Lovelace",
    )
    assert (order["is_test"], order["source"]) == (False, "csv")
    item = {"variant_title": None, "unit_price_minor": 1500, "quantity": 1, "total_minor": 1500}
    assert order["line_items"] == [
        {"title": "Mug - Blue", "sku": "MUG", **item},
        {
            "title": "Tea",
            "sku": None,
            **item,
            "quantity": 2,
            "unit_price_minor": 1000,
            "total_minor": 1600,
        },
    ]
    assert len(other["line_items"]) == 1


@pytest.mark.parametrize(
    ("status", "total", "refunded", "outstanding", "current"),
    [
        # 100 sent back, another of 100 taken: Shopify adds the new one to the total.
        ("paid", "200.00", "0.00", "100.00", 10000),
        # For a dearer one, the difference was paid; exchanged twice; with shipping and taxes.
        ("paid", "648.00", "0.00", "310.00", 33800),
        ("paid", "300.00", "0.00", "200.00", 10000),
        ("paid", "337.05", "0.00", "212.21", 12484),
        # For a cheaper one, the difference was refunded: 198 paid, 9 refunded, 189 kept.
        ("partially_refunded", "387.00", "9.00", "189.00", 18900),
        # Everything came back in the end.
        ("refunded", "576.30", "397.80", "178.50", 0),
        # Paid outside the shop.
        ("paid", "200.00", "0.00", "199.00", 20000),
        ("paid", "200.00", "0.00", "200.00", 20000),
        ("partially_refunded", "200.00", "20.00", "199.00", 18000),
        # Still to be paid, so an ordinary order.
        ("pending", "200.00", "0.00", "200.00", 20000),
        ("partially_paid", "200.00", "0.00", "100.00", 20000),
        ("authorized", "278.00", "0.00", "24.70", 27800),
        # Nothing outstanding, or paid too much.
        ("paid", "200.00", "0.00", "0.00", 20000),
        ("paid", "200.00", "0.00", "", 20000),
        ("paid", "183.26", "0.00", "-0.85", 18326),
        ("refunded", "184.23", "184.60", "0.00", 0),
        ("paid", "0.00", "0.00", "0.00", 0),
    ],
)
def test_an_exchanged_order_counts_what_was_kept(
    load: Importer, status: str, total: str, refunded: str, outstanding: str, current: int
) -> None:
    row = first_row(
        "#1001",
        "5400000000001",
        Financial_Status=status,
        Total=total,
        Refunded_Amount=refunded,
        Outstanding_Balance=outstanding,
    )
    assert load.text(export(row)).loaded == 1
    assert load.text(export(row)).loaded == 0
    (order,) = load.rows()
    assert order["current_total_minor"] == current


def test_a_balance_that_cannot_be_read_rejects_its_order_only(load: Importer) -> None:
    report = load.text(
        export(
            first_row("#1001", "5400000000001", Outstanding_Balance="some"),
            first_row("#1002", "5400000000002"),
        )
    )
    assert (report.loaded, report.rejected_count) == (1, 1)
    assert "outstanding balance: 'some' is not an amount" in report.rejected[0][1]


def test_an_export_without_the_balance_keeps_the_exchange_that_is_known(load: Importer) -> None:
    columns = [name for name in COLUMNS if name != "Outstanding Balance"]
    order = first_row("#1001", "5400000000001", Total="200.00", Outstanding_Balance="100.00")
    load.text(export(order))
    without = export({name: order[name] for name in columns if name in order}, columns=columns)
    assert load.text(without).loaded == 0
    assert load.rows()[0]["current_total_minor"] == 10000
    unknown = export(first_row("#1002", "5400000000002"), columns=columns)
    assert load.text(unknown).loaded == 1
    assert load.rows()[1]["current_total_minor"] is None


def test_a_current_total_does_not_outlast_the_amounts_it_is_of(load: Importer) -> None:
    columns = [name for name in COLUMNS if name != "Outstanding Balance"]
    refunded = first_row(
        "#1001",
        "5400000000001",
        Total="100.00",
        Refunded_Amount="100.00",
        Financial_Status="refunded",
        Outstanding_Balance="0.00",
    )
    exchanged = first_row("#1002", "5400000000002", Total="200.00", Outstanding_Balance="100.00")
    load.text(export(refunded, exchanged))
    assert [row["current_total_minor"] for row in load.rows()] == [0, 10000]

    older = {**refunded, "Refunded Amount": "0.00", "Financial Status": "paid"}
    text = export({name: older[name] for name in columns if name in older}, columns=columns)
    assert load.text(text).older_count == 1
    assert load.text(text, accept_older=True).loaded == 1
    header = "order_id,customer_id,processed_at,total"
    assert load(header, "5400000000002,c,2024-05-01,250").loaded == 1
    assert [row["current_total_minor"] for row in load.rows()] == [10000, 15000]


def test_a_greater_total_is_reduced_by_the_refund_that_the_file_does_not_mention(
    load: Importer,
) -> None:
    order = first_row(
        "#1001",
        "5400000000001",
        Total="100.00",
        Refunded_Amount="40.00",
        Financial_Status="partially_refunded",
        Outstanding_Balance="0.00",
    )
    load.text(export(order))
    load("order_id,customer_id,processed_at,total", "5400000000001,c,2024-05-01,150")
    (row,) = load.rows()
    assert (row["refunded_minor"], row["current_total_minor"]) == (4000, 11000)


def test_an_exchange_that_was_paid_since_counts_in_full(load: Importer) -> None:
    """The later export decides, as for every other cell."""
    order = first_row("#1001", "5400000000001", Total="200.00", Outstanding_Balance="100.00")
    load.text(export(order))
    assert load.text(export({**order, "Outstanding Balance": "0.00"})).loaded == 1
    assert load.rows()[0]["current_total_minor"] == 20000


def test_rows_of_an_order_need_not_follow_each_other(load: Importer) -> None:
    report = load.text(
        export(
            further_row("#2", "Above"),
            first_row("#1", "1"),
            first_row("#2", "2"),
            further_row("#1", "First"),
            further_row("#2", "Below"),
            further_row("#1", "Second"),
        )
    )
    assert (report.loaded, report.rejected_count) == (2, 0)
    assert [[item["title"] for item in row["line_items"]] for row in load.rows()] == [
        ["Mug - Blue", "First", "Second"],
        ["Above", "Mug - Blue", "Below"],
    ]


def test_two_orders_with_the_same_name_keep_their_own_items(load: Importer) -> None:
    load.text(
        export(
            first_row("#1", "1"),
            further_row("#1", "of the first"),
            first_row("#1", "2"),
            further_row("#1", "of the second"),
        )
    )
    assert [row["line_items"][-1]["title"] for row in load.rows()] == [
        "of the first",
        "of the second",
    ]


def test_rows_that_repeat_the_orders_values_are_one_order_with_all_items(load: Importer) -> None:
    rows = [
        first_row("#1", "1"),
        first_row("#1", "1", Lineitem_name="Tea"),
        first_row("#1", "1", Lineitem_name="Tea"),
        first_row("#2", "2"),
    ]
    report = load.text(export(*rows))
    assert (report.loaded, report.repeated, report.rejected) == (2, 2, [])
    one, two = load.rows()
    assert (one["total_minor"], two["total_minor"]) == (3000, 3000)
    # A row that is repeated as a whole is not a second item.
    assert [item["title"] for item in one["line_items"]] == ["Mug - Blue", "Tea"]


def test_rows_that_repeat_only_the_id_or_the_status_are_further_items(load: Importer) -> None:
    report = load.text(
        export(
            first_row("#1", "1"),
            further_row("#1", "Tea", Id="1"),
            further_row("#1", "Cup", Financial_Status="paid"),
        )
    )
    assert (report.loaded, report.rejected) == (1, [])
    assert len(load.rows()[0]["line_items"]) == 3


def test_an_order_that_two_joined_exports_have_gets_its_items_once(load: Importer) -> None:
    part = [first_row("#1", "1"), further_row("#1")]
    newer = {**part[0], "Refunded Amount": "30.00"}
    report = load.text(export(newer, part[1], *part))
    assert (report.loaded, report.repeated) == (1, 1)
    (row,) = load.rows()
    assert [item["title"] for item in row["line_items"]] == ["Mug - Blue", "Tea"]
    assert row["refunded_minor"] == 3000


def test_rows_of_an_order_with_different_totals_are_rejected(load: Importer) -> None:
    report = load.text(
        export(first_row("#1", "1"), first_row("#1", "1", Total="31"), first_row("#2", "2"))
    )
    reason = "the lines of order 1 (2, 3) have different totals"
    assert (report.loaded, report.rejected) == (1, [(2, reason), (3, reason)])


def test_the_lines_of_an_export_are_not_added_up(load: Importer) -> None:
    with pytest.raises(InvalidInputError, match="the whole order's total in its first line"):
        load.text(export(first_row("#1", "1")), sum_lines=True)


def test_an_older_export_takes_nothing_back(load: Importer) -> None:
    newer = first_row(
        "#1",
        "1",
        Financial_Status="refunded",
        Cancelled_at="2024-05-03 10:00:00 -0400",
        Refunded_Amount="30.00",
    )
    load.text(export(newer, first_row("#2", "2")))
    before = load.rows()
    older = [
        first_row("#1", "1", Tags="old"),
        first_row("#2", "2", Fulfillment_Status="unfulfilled", Fulfilled_at=""),
        first_row("#3", "3"),
    ]
    report = load.text(export(*older))
    assert (report.loaded, report.unchanged, report.older_count) == (1, 0, 2)
    assert report.older == [
        (2, "#1", "a refund and the cancellation and the status refunded"),
        (3, "#2", "the status fulfilled"),
    ]
    assert load.rows()[:2] == before
    assert load.text(export(*older), accept_older=True).loaded == 2
    assert load.rows()[0]["cancelled_at"] is None


def test_an_export_that_a_program_has_read_as_numbers_is_read(load: Importer) -> None:
    report = load.text(
        export(
            first_row("#1", "5400000001001.0", Lineitem_quantity="2.0"),
            further_row("#1", Lineitem_quantity="1.0"),
        )
    )
    assert (report.loaded, report.rejected) == (1, [])
    (row,) = load.rows()
    assert row["order_id"] == "5400000001001"
    assert [item["quantity"] for item in row["line_items"]] == [2, 1]


def test_a_header_repeated_between_the_parts_of_an_export_is_no_order(load: Importer) -> None:
    parts = [export(first_row(f"#{n}", str(n)), further_row(f"#{n}")) for n in (1, 2)]
    report = load.text("".join(parts))
    assert (report.loaded, report.rejected) == (2, [])


def test_an_older_export_takes_no_exchange_back(load: Importer) -> None:
    before = first_row("#1001", "5400000000001", Total="338.00", Outstanding_Balance="0.00")
    exchanged = {**before, "Total": "648.00", "Outstanding Balance": "310.00"}
    cheaper = first_row("#1002", "5400000000002", Total="198.00", Outstanding_Balance="0.00")
    load.text(export(exchanged, cheaper))
    report = load.text(export(before, {**cheaper, "Total": "187.00"}))
    assert report.older == [(2, "#1001", "an exchange")]
    first, second = load.rows()
    assert (first["total_minor"], first["current_total_minor"]) == (64800, 33800)
    # An edited order without an exchange is whatever the latest file says.
    assert second["total_minor"] == second["current_total_minor"] == 18700
    assert load.text(export(before), accept_older=True).loaded == 1


def test_older_exports_with_fewer_columns_and_a_byte_order_mark_are_read(load: Importer) -> None:
    few = ["Name", "Email", "Financial Status", "Total", "Created at", "Lineitem quantity"]
    text = export(
        {
            key: value
            for key, value in first_row("#1", "1").items()
            if key in [*few, "Lineitem name", "Id"]
        },
        columns=[*few, "Lineitem name", "Id"],
    )
    report = load.bytes(b"\xef\xbb\xbf" + text.encode())
    assert report.loaded == 1
    (row,) = load.rows()
    assert (row["currency"], row["total_minor"], row["subtotal_minor"]) == ("USD", 3000, 3000)


def test_test_orders_and_leading_apostrophes(load: Importer) -> None:
    load.text(export(first_row("#1", "'5400000000001", Payment_Method="bogus")))
    (row,) = load.rows()
    assert (row["order_id"], row["is_test"]) == ("5400000000001", True)


# -- customers -----------------------------------------------------------------------------------


def test_an_order_gets_the_loaded_customer_with_its_address(
    load: Importer, pool: Pool, tenant: UUID
) -> None:
    land_customer(pool, tenant, "71", "Ada@Example.com")
    load.text(
        export(
            first_row("#1", "1"),
            first_row("#2", "2", Email="bob@example.com"),
            first_row("#3", "3", Email=" BOB@example.com "),
            first_row("#4", "4", Email=""),
        )
    )
    bob = made_id(pool, tenant, "bob@example.com")
    assert [row["customer_id"] for row in load.rows()] == ["71", bob, bob, None]
    assert "bob" not in bob


def test_an_id_made_of_an_address_is_replaced_by_a_customer_loaded_later(
    load: Importer, pool: Pool, tenant: UUID
) -> None:
    text = export(first_row("#1", "1"), first_row("#2", "2", Email="bob@example.com"))
    load.text(text)
    made = made_id(pool, tenant, "ada@example.com")
    before = load.rows()
    assert before[0]["customer_id"] == made

    land_customer(pool, tenant, "70", None)
    land_customer(pool, tenant, "71", "ada@example.com")
    with tenant_transaction(pool, tenant) as conn:
        assert reassign_orders(conn, tenant) == 1
    ada, bob = load.rows()
    assert (ada["customer_id"], ada["former_customer_ids"]) == ("71", [made])
    assert ada["landed_xid"] != before[0]["landed_xid"]
    assert bob == before[1]
    with tenant_transaction(pool, tenant) as conn:
        assert reassign_orders(conn, tenant) == 0
    # The same file again changes nothing, because it finds the customer.
    assert load.text(text).loaded == 0


def test_a_sync_of_the_shop_brings_orders_and_customers_together(
    settings: Settings, pool: Pool, make_tenant: MakeTenant
) -> None:
    store = Store(small_shop())
    customer = next(each for each in store.data.customers if each.email)
    tenant = make_tenant("kessel", store.data.domain)
    load = Importer(pool, tenant)
    load.text(export(first_row("#1", "1", Email=str(customer.email))))
    assert load.rows()[0]["customer_id"] == made_id(pool, tenant, str(customer.email))
    with Sandbox([store], []) as shop:
        here = replace(settings, shopify_url=shop.shopify_url)
        connect_shopify(here, pool, tenant, store.data.domain, store.data.token)
        sync_shopify(here, pool, tenant, NullProgress(), only="orders")
    assert load.rows()[0]["customer_id"] == str(customer.number)


def test_an_order_without_an_address_gets_an_id_made_of_its_phone_number(load: Importer) -> None:
    text = export(
        first_row("#1", "1", Email="", Phone="'+8801712345678"),
        first_row("#2", "2", Email="", Billing_Phone="01712-345678", Billing_Country="BD"),
        first_row("#3", "3", Email="", Shipping_Phone="01712345678", Shipping_Country="BD"),
        first_row("#4", "4", Email="", Phone="+8801712345679"),
        first_row("#5", "5", Email="", Phone="1111111111"),
        first_row("#6", "6", Phone="+8801712345678"),
    )
    report = load.text(text)
    assert (report.loaded, report.by_phone, report.without_customer) == (6, 4, 1)
    rows = load.rows()
    ids = [row["customer_id"] for row in rows]
    assert ids[0] == ids[1] == ids[2] != ids[3]
    assert ids[0].startswith("phone:")
    assert ids[4] is None
    assert ids[5].startswith("email:")
    assert rows[0]["customer_phone"] == "+8801712345678"
    # Only where it identifies somebody.
    assert rows[5]["customer_phone"] is None
    assert load.text(text).loaded == 0


def test_an_address_that_a_later_export_has_replaces_a_phone_number(load: Importer) -> None:
    load.text(export(first_row("#1", "1", Email="", Phone="+8801712345678")))
    (before,) = load.rows()
    report = load.text(export(first_row("#1", "1", Phone="+8801712345678")))
    assert (report.loaded, report.by_phone) == (1, 0)
    (row,) = load.rows()
    assert row["customer_id"].startswith("email:")
    assert row["former_customer_ids"] == [before["customer_id"]]
    assert row["customer_phone"] is None


def test_another_tenants_customers_are_not_found(
    load: Importer, pool: Pool, tenant: UUID, make_tenant: MakeTenant
) -> None:
    land_customer(pool, make_tenant("other"), "71", "ada@example.com")
    load.text(export(first_row("#1", "1")))
    assert load.rows()[0]["customer_id"] == made_id(pool, tenant, "ada@example.com")


def test_a_customer_id_from_another_file_is_preferred_to_a_made_one(load: Importer) -> None:
    load("order_id,customer_id,processed_at,total", "1,c-7,2024-05-01,30")
    load.text(export(first_row("#1", "1")))
    (row,) = load.rows()
    assert (row["customer_id"], row["order_number"]) == ("c-7", "#1")


# -- importing again, and the API ----------------------------------------------------------------


def test_importing_an_export_again_writes_nothing(load: Importer) -> None:
    text = export(
        first_row("#1", "1"), further_row("#1"), first_row("#2", "x"), further_row("#9", "lost")
    )
    load.text(text)
    before = load.rows(), load.rows("rejected_rows", "source_id")
    again = load.text(text)
    assert (again.loaded, again.unchanged, again.rejected_count) == (0, 1, 2)
    assert (load.rows(), load.rows("rejected_rows", "source_id")) == before


def test_an_order_from_the_api_is_not_changed(load: Importer, pool: Pool, tenant: UUID) -> None:
    with tenant_transaction(pool, tenant) as conn:
        load_orders(conn, tenant, [api_order("1", 100)], AS_OF)
    report = load.text(export(first_row("#1", "1"), further_row("#1"), first_row("#2", "2")))
    assert (report.loaded, report.unchanged) == (1, 1)
    kept, _ = load.rows()
    assert (kept["source"], kept["total_minor"], kept["tags"]) == ("api", 100, ["kept"])


def test_a_file_without_items_keeps_those_of_an_export(load: Importer) -> None:
    load.text(export(first_row("#1", "1", Notes="gift"), further_row("#1")))
    load("order_id,customer_id,processed_at,total", "1,c,2024-05-01,31")
    (row,) = load.rows()
    assert (row["total_minor"], len(row["line_items"]), row["note"]) == (3100, 2, "gift")


# -- rejections ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"Id": "5.4E+12"}, "id '5.4E+12' was shortened by a spreadsheet"),
        ({"Id": "5,4e+12"}, "id '5,4e+12' was shortened by a spreadsheet"),
        ({"Id": "#1001"}, "id '#1001' is not the number of an order"),
        ({"Id": ""}, "id is empty"),
        ({"Name": ""}, "name is empty, so the row belongs to no order"),
        ({"Total": ""}, "total is empty"),
        ({"Total": "$30"}, "total: '$30' is not an amount"),
        ({"Created at": "01/05/2024"}, "created at '01/05/2024' is not an ISO date or time"),
        ({"Lineitem quantity": "1.5"}, "lineitem quantity '1.5' is not a whole number"),
        ({"Currency": "Dollar"}, "'DOLLAR' is not a currency code"),
    ],
)
def test_a_bad_first_row_is_reported_with_its_further_items(
    load: Importer, cells: Cells, reason: str
) -> None:
    report = load.text(
        export(
            first_row("#1", "1"),
            {**first_row("#2", "2"), **cells},
            further_row("#2"),
            first_row("#3", "3"),
        )
    )
    assert report.loaded == 2
    (line, said), (orphan, why) = report.rejected
    assert (line, orphan) == (3, 4)
    assert reason in said
    assert why == "its order #2 has no readable first line in this file"
    assert [row["order_id"] for row in load.rows()] == ["1", "3"]
    assert len(load.rejected()) == 2


def test_a_bad_further_item_is_reported_and_its_order_is_loaded(load: Importer) -> None:
    report = load.text(
        export(
            first_row("#1", "1", Notes="over\ntwo lines"),
            further_row("#1", price="free"),
            further_row("#1", "Tea"),
        )
    )
    # The note's line break counts as a line of the file.
    assert report.rejected == [(4, "lineitem price: 'free' is not an amount")]
    (row,) = load.rows()
    assert [item["title"] for item in row["line_items"]] == ["Mug - Blue", "Tea"]


@pytest.mark.parametrize(
    ("quantity", "price", "reason"),
    [
        ("9", "92233720368547758.07", "lineitem price times lineitem quantity is too large"),
        ("2147483648", "1", "lineitem quantity 2147483648 is too large"),
        ("9" * 5000, "1", f"lineitem quantity {'9' * 40} is too large"),
    ],
    ids=["product", "quantity", "digits"],
)
def test_an_item_that_is_too_large_is_reported_and_the_rest_is_loaded(
    load: Importer, quantity: str, price: str, reason: str
) -> None:
    report = load.text(
        export(
            first_row("#1", "1"),
            further_row("#1", price=price, Lineitem_quantity=quantity),
            first_row("#2", "2"),
        )
    )
    assert (report.loaded, report.rejected) == (2, [(3, reason)])


def test_an_order_whose_items_are_too_much_together_is_rejected(load: Importer) -> None:
    most = "92233720368547758.07"
    rows = [
        first_row("#1", "1", Lineitem_price=most),
        further_row("#1", price=most),
        first_row("#2", "2"),
    ]
    report = load.text(export(*rows))
    reason = "the sum of the items of order #1 is too large"
    assert (report.loaded, report.rejected) == (1, [(2, reason)])
    assert load.rejected() == {("order", "1"): reason}
    # In a file without that item it is loaded.
    report = load.text(export(rows[0], rows[2]))
    assert (report.loaded, report.rejected) == (1, [])
    assert load.rejected() == {}


def test_a_good_file_clears_the_rejections(load: Importer) -> None:
    load.text(export(first_row("#1", "1", Total="?"), further_row("#1")))
    assert set(load.rejected()) == {("order", "1"), ("csv_line", "3")}
    load.text(export(first_row("#1", "1"), further_row("#1")))
    assert load.rejected() == {}


def test_all_orphans_are_counted_and_the_first_thousand_listed(load: Importer) -> None:
    report = load.text(export(*(further_row("#1") for _ in range(1500)), first_row("#2", "?")))
    assert (report.rejected_count, len(report.rejected)) == (1501, 1000)
    assert report.rejected[0][0] == 2


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("Customer ID,First Name,Last Name,Email,Total Spent,Total Orders", "export of customers"),
        ("Handle,Title,Body (HTML),Vendor,Variant SKU,Variant Price", "export of products"),
        ("Title,URL handle,Description,Vendor,Price", "export of products"),
        ("Handle,Title,Option1 Name,SKU,Location,On hand", "export of inventory"),
        ("Order,Name,Kind,Gateway,Created At,Status,Amount,Currency", "export of payments"),
        ("ID,Name,Command,Processed At,Line: Type,Line: Title,Price: Total", "Matrixify's export"),
        ("ID,Name,Command,Processed At,Price: Total,Customer: Email", "Matrixify's export"),
        ("Name,Financial Status,Total,Created at,Lineitem quantity,Lineitem name", "lacks id"),
        ("Name,Financial Status,Id,Id,Total,Created at,Lineitem quantity,Lineitem name", "id more"),
    ],
)
def test_a_wrong_file_is_named(load: Importer, header: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        load.text(f"{header}\n")


def test_abandoned_checkouts_are_refused_and_nothing_is_loaded(load: Importer) -> None:
    checkouts = export(
        first_row("#38000000000001", "38000000000001", Financial_Status="", Paid_at=""),
        further_row("#38000000000001"),
        first_row("#38000000000002", "38000000000002", Financial_Status="", Paid_at=""),
    )
    with pytest.raises(InvalidInputError, match="export of abandoned checkouts, not of orders"):
        load.text(checkouts)
    assert load.rows() == []


def test_draft_orders_are_refused(load: Importer) -> None:
    with pytest.raises(InvalidInputError, match="export of draft orders"):
        load.text(export(first_row("#D1", "1", Paid_at=""), first_row("#D2", "2", Paid_at="")))


def test_paid_orders_of_a_store_whose_numbers_begin_with_d_are_orders(load: Importer) -> None:
    assert load.text(export(first_row("D1001", "1"), first_row("D1002", "2"))).loaded == 2


def test_one_order_without_a_status_is_still_an_order(load: Importer) -> None:
    report = load.text(export(first_row("#1", "1", Financial_Status=""), first_row("#2", "2")))
    assert report.loaded == 2


def test_a_blank_currency_is_the_shops_and_not_that_of_the_row_before(load: Importer) -> None:
    load.text(
        export(
            first_row("#1", "1", Currency=""),
            first_row("#2", "2", Currency="EUR"),
            further_row("#2"),
            first_row("#3", "3", Currency=""),
        )
    )
    assert [row["currency"] for row in load.rows()] == ["USD", "EUR", "USD"]


def test_an_export_that_a_spreadsheet_saved_is_read(load: Importer) -> None:
    text = export(first_row("#1", "1"), further_row("#1"), first_row("#2", "2"))
    rows = [line.rstrip(",") for line in text.splitlines()]
    # Excel leaves out empty cells at the end, and writes empty rows as separators.
    report = load.text("\r\n".join([*rows, "," * (len(COLUMNS) - 1), ""]))
    assert (report.loaded, report.rejected) == (2, [])


def test_rows_in_yen_have_no_decimals(load: Importer, pool: Pool, tenant: UUID) -> None:
    load.text(
        export(
            first_row("#1", "1", Currency="JPY", Total="3000", Subtotal="3000",
                      Lineitem_price="1500"),
            further_row("#1", price="500"),
        )
    )  # fmt: skip
    (row,) = load.rows()
    assert row["total_minor"] == 3000
    assert [item["unit_price_minor"] for item in row["line_items"]] == [1500, 500]


def test_a_file_in_utf_16_is_read(load: Importer, settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    text = export(first_row("#1", "1", Billing_Name="Zoë Müller")).replace(",", "\t")
    file.write_text(text, encoding="utf-16", newline="")
    quintile(settings, "orders", "import", file, "--tenant", "demo")
    (row,) = load.rows()
    assert row["customer_name"] == "Zoë Müller"


def test_the_command_line_takes_the_parts_of_an_export(
    load: Importer, settings: Settings, tmp_path: Path
) -> None:
    parts = [tmp_path / "orders_export_1.csv", tmp_path / "orders_export_2.csv"]
    parts[0].write_text("\ufeff" + export(first_row("#1", "1"), further_row("#1")))
    parts[1].write_text(export(first_row("#2", "2"), first_row("#3", "5.4E+12")))
    done = quintile_process(settings, "orders", "import", *parts, "--tenant", "demo")
    assert done.stdout.splitlines() == [
        "1 orders loaded, 0 unchanged, 0 rejected",
        "1 orders loaded, 0 unchanged, 1 rejected",
    ]
    assert "have no customer" not in done.stderr
    assert "orders_export_2.csv:" in done.stderr
    assert "line 3: id '5.4E+12' was shortened by a spreadsheet" in done.stderr
    assert [row["order_id"] for row in load.rows()] == ["1", "2"]


def test_the_command_line_reports_what_it_left_as_it_is(
    load: Importer, settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "orders.csv"
    arguments = ("orders", "import", path, "--tenant", "demo")
    path.write_text(
        export(first_row("#1", "1", Refunded_Amount="30"), first_row("#2", "2", Email=""))
    )
    done = quintile_process(settings, *arguments)
    assert "Warning: 1 of 2 orders have no customer" in done.stderr
    path.write_text(export(first_row("#1", "1"), first_row("#2", "2", Email="")))
    done = quintile_process(settings, *arguments)
    assert done.stdout == "0 orders loaded, 1 unchanged, 0 rejected\n"
    assert "line 2: order #1 stays as it is: the line would take back a refund" in done.stderr
    assert "--accept-older" in done.stderr
    done = quintile_process(settings, *arguments, "--accept-older")
    assert done.stdout == "1 orders loaded, 1 unchanged, 0 rejected\n"
    assert load.rows()[0]["refunded_minor"] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak where Linux tells it")
def test_memory_does_not_grow_with_the_file(
    load: Importer, settings: Settings, tmp_path: Path
) -> None:
    peaks = []
    for orders in (1_000, 30_000):
        path = tmp_path / f"{orders}.csv"
        rows = (
            row
            for number in range(orders)
            for row in (
                first_row(f"#{number}", str(number), Email=f"buyer.{number}@example.com"),
                further_row(f"#{number}"),
                further_row(f"#{number + 1}", "not adjacent"),
            )
        )
        path.write_text(export(*rows), encoding="utf-8")
        peaks.append(peak_of(settings, "orders", "import", path, "--tenant", "demo"))
    assert len(load.rows()) == 30_000
    small, large = peaks
    # In KiB. A list of the rows would take 100 MiB.
    assert large - small < 8 * 1024, f"{small:,} KiB, then {large:,} KiB"


def test_text_with_joined_emoji_and_line_breaks_is_kept(load: Importer) -> None:
    """A joiner holds a family together; cleaning cells must not take it apart."""
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    gift = "\U0001f381"
    row = first_row(
        "#1",
        "5400000001001",
        Billing_Name=f"{family} \u00c5ngstr\u00f6m",
        Notes=f"{gift}\n{gift}",
        Tags=f"ugc, {gift}gift",
    )
    load.text(export(row))
    (order,) = load.rows()
    assert order["customer_name"] == f"{family} \u00c5ngstr\u00f6m"
    assert order["note"] == f"{gift}\n{gift}"
    assert order["tags"] == ["ugc", f"{gift}gift"]
