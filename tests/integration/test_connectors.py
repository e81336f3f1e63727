"""Rows of Fivetran's and Airbyte's tables that are not as they should be.

Each test loads the fixture of a layout, as test_dbt_package.py does, changes some cells and builds.
An order that cannot be read is rejected with the reason, and its neighbours are built.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import pytest

from service.core.db import Connection, connect
from tests.conftest import Cluster
from tests.package import Dbt, in_schemas, layout_vars, load_layout

# The models whose rows are looked at.
READ = ("+customers", "+rfm_excluded_orders")

REJECTED = """
    select t.tenant_name as tenant, e.order_id, e.detail
    from {marts}.rfm_excluded_orders as e
    inner join {staging}.stg_app__tenants as t on e.tenant_id = t.tenant_id
    where e.primary_reason = 'unreadable'
    order by 1, 2
"""
SPENT = """
    select t.tenant_name || ' ' || c.customer_id as customer, c.lifetime_minor::int as spent
    from {marts}.customer_facts as c
    inner join {staging}.stg_app__tenants as t on c.tenant_id = t.tenant_id
    where c.lifetime_order_count > 0
"""
# By hand from the head of fixtures/native.sql: customers with counted orders, excluded ones too.
USUAL = {
    "acme 101": 10010 + 4000,
    "acme 102": 3000,
    "acme 103": 3000,
    "acme 104": 1200,
    "acme 105": 88800,
    "borealis 101": 12500,
    "borealis 102": 3250,
}


@pytest.fixture(scope="module")
def database(cluster: Cluster) -> Iterator[str]:
    with cluster.database("template1") as settings:
        yield settings.database_url


class Landed:
    """The fixture of a layout in the database, to be changed and built."""

    def __init__(self, dbt: Dbt, url: str, conn: Connection, layout: str) -> None:
        self._dbt = dbt
        self._url = url
        self._conn = conn
        self._layout = layout
        load_layout(conn, layout)

    def change(self, statements: str) -> None:
        self._conn.execute(statements)

    def build(self, *select: str, expect: int = 0, **variables: Any) -> str:
        return self._dbt(
            self._url,
            *("build", "--exclude-resource-type", "unit_test"),
            *(() if select else ("--exclude-resource-type", "test")),
            *("--select", *(select or READ)),
            variables=layout_vars(self._layout, **variables),
            expect=expect,
            ACME_SCHEMA=self._layout,
        )

    def query(self, text: str) -> list[dict[str, Any]]:
        return self._conn.execute(in_schemas(text, self._layout)).fetchall()

    def rejected(self) -> dict[tuple[str, str], str]:
        return {(row["tenant"], row["order_id"]): row["detail"] for row in self.query(REJECTED)}

    def spent(self) -> dict[str, int]:
        return {row["customer"]: row["spent"] for row in self.query(SPENT)}

    def order(self, order_id: str) -> dict[str, Any]:
        """An order of acme, as staging gives it."""
        (row,) = self.query(
            "select o.* from {staging}.stg_shopify__orders as o"
            " inner join {staging}.stg_app__tenants as t on o.tenant_id = t.tenant_id"
            f" where t.tenant_name = 'acme' and o.order_id = '{order_id}'"
        )
        return row


@pytest.fixture
def fivetran(dbt: Dbt, database: str) -> Iterator[Landed]:
    with connect(database) as conn:
        yield Landed(dbt, database, conn, "fivetran")


@pytest.fixture
def airbyte(dbt: Dbt, database: str) -> Iterator[Landed]:
    with connect(database) as conn:
        yield Landed(dbt, database, conn, "airbyte")


# -- returns and edits ---------------------------------------------------------------------------


def test_fivetran_orders_count_at_their_current_total(fivetran: Landed) -> None:
    """Exchanged for the same price; edited before payment; edited to nothing; partly refunded."""
    fivetran.change(
        """
        alter table landed_acme."order"
        add column current_total_price double precision,
        add column current_subtotal_price double precision;
        update landed_acme."order" set current_total_price = total_price where id <> 1002;
        update landed_acme."order" set current_total_price = 40 where id = 1002;
        insert into landed_acme.customer (id) values (301), (302), (303);
        insert into landed_acme."order" (
            id, name, customer_id, processed_at, total_price, subtotal_price, financial_status,
            current_total_price, current_subtotal_price, test
        )
        values
        (3001, '#3001', 301, '2026-06-20 10:00+00', 200, 200, 'paid', 100, 90, false),
        (3002, '#3002', 302, '2026-06-20 10:00+00', 226, 200, 'pending', 113, 100, false),
        (3003, '#3003', 303, '2026-06-20 10:00+00', 50, 50, 'pending', 0, 0, false);
        """
    )
    fivetran.build()
    assert fivetran.spent() == USUAL | {"acme 301": 10000, "acme 302": 11300}
    assert fivetran.order("3001")["current_subtotal_minor"] == 9000
    assert fivetran.rejected() == {}


def test_airbyte_orders_count_at_their_current_total(airbyte: Landed) -> None:
    airbyte.change(
        """
        alter table landed_acme.orders add column current_total_price numeric;
        update landed_acme.orders set current_total_price = 30.05 where id = 1001;
        -- A refund that the current total does not show yet.
        update landed_acme.orders set current_total_price = 60 where id = 1002;
        alter table landed_borealis.orders add column current_total_price varchar;
        update landed_borealis.orders set current_total_price = '12.000' where id = 1001;
        """
    )
    airbyte.build()
    assert airbyte.spent() == USUAL | {"acme 101": 3005 + 4000, "borealis 101": 12000}


# -- cells ---------------------------------------------------------------------------------------


def test_a_bad_cell_of_fivetran_rejects_its_order_only(fivetran: Landed) -> None:
    fivetran.change(
        """
        alter table landed_acme."order"
        alter column currency type text, alter column processed_at type text,
        alter column subtotal_price type text;
        update landed_acme."order" set total_price = null where id = 1012;
        update landed_acme."order" set total_price = 'NaN' where id = 1001;
        update landed_acme."order" set total_price = 1e300 where id = 1002;
        update landed_acme."order" set processed_at = '2026-02-30 10:00:00' where id = 1003;
        update landed_acme."order" set currency = null where id = 1008;
        update landed_acme."order" set currency = 'dollars' where id = 1013;
        update landed_acme."order" set subtotal_price = 'n/a' where id = 1010;
        update landed_acme."order" set processed_at = null where id = 1004;
        update landed_acme."order" set cancelled_at = '-infinity' where id = 1005;
        insert into landed_acme."order" (id, name, customer_id, processed_at, total_price)
        values
        (3001, '#3001', 101, '2026-06-20T10:00:00Z', 20),
        (3002, '#3002', 101, '2026-06-20 10:00:00 -0400', 30),
        (3003, '#3003', 101, '2026-06-20', 40),
        (3004, '#3004', 101, '2026-06-20 10:00:00.123456+00:00', 7);
        insert into landed_acme.order_line (order_id, id, index, title, quantity, price)
        values
        (3001, 81, 1, 'Soap', null, 5),
        (3002, 82, 1, 'Soap', 1000000000000000, 1e9),
        (3003, 83, 1, 'Soap', 3000000000, 0.01);
        insert into landed_acme.transaction (id, order_id, kind, status, currency, amount)
        values
        (901, 1007, 'refund', 'success', 'USD', null),
        (902, 1009, 'refund', 'success', 'EUR', 5);
        """
    )
    fivetran.build()
    assert fivetran.rejected() == {
        ("acme", "1001"): "total_price NaN is no possible amount",
        ("acme", "1002"): "total_price 1" + "0" * 39 + " is no possible amount",
        ("acme", "1003"): "processed_at '2026-02-30 10:00:00' is not a time",
        ("acme", "1004"): "processed_at is missing",
        ("acme", "1005"): "cancelled_at '-infinity' is not a time",
        ("acme", "1007"): "a refund of transaction: amount is missing",
        ("acme", "1008"): "currency is missing",
        ("acme", "1009"): (
            "a refund of transaction: its currency differs, and total_price_set has no exchange"
            " rate"
        ),
        ("acme", "1010"): "subtotal_price 'n/a' is not a number",
        ("acme", "1012"): "total_price is missing",
        ("acme", "1013"): "currency 'dollars' is not a currency code",
        ("acme", "3001"): "order_line: quantity is missing",
        ("acme", "3002"): "order_line: price times quantity is no possible amount",
    }
    borealis = {name: spent for name, spent in USUAL.items() if name.startswith("borealis")}
    assert fivetran.spent() == borealis | {"acme 101": 4000 + 700}
    times = {number: str(fivetran.order(number)["ordered_at"]) for number in ("3003", "3004")}
    assert times["3003"].startswith("2026-06-20 00:00:00+00")
    assert times["3004"].startswith("2026-06-20 10:00:00.123456+00")


def test_a_bad_cell_of_airbyte_rejects_its_order_only(airbyte: Landed) -> None:
    airbyte.change(
        """
        alter table landed_acme.orders add column _airbyte_meta jsonb default '{"changes": []}';
        update landed_acme.orders set total_price = null where id = 1012;
        update landed_acme.orders set refunds = null, _airbyte_meta = '{"changes": [
            {"field": "refunds", "change": "NULLED", "reason": "DESTINATION_TYPECAST_ERROR"}]}'
        where id = 1002;
        update landed_acme.orders set note = null, _airbyte_meta = '{"changes": [
            {"field": "note", "change": "NULLED", "reason": "DESTINATION_TYPECAST_ERROR"}]}'
        where id = 1001;
        update landed_acme.orders set _airbyte_meta = '{"errors": [
            "Problem with `cancelled_at`"]}' where id = 1003;
        update landed_acme.orders set line_items = '[{"price": "free", "quantity": 1}]'
        where id = 1007;
        update landed_acme.orders set line_items = '"[]"' where id = 1008;
        update landed_acme.orders set fulfillments = '[{"created_at": "yesterday"}]'
        where id = 1010;
        update landed_acme.orders set total_price = 'Infinity' where id = 1013;
        update landed_acme.orders set processed_at = '20.06.2026' where id = 1009;
        update landed_acme.orders set refunds = '[{"transactions": [
            {"kind": "refund", "status": "success", "currency": "USD", "amount": "ten"}]}]'
        where id = 1004;
        """
    )
    # With every data test of every model.
    airbyte.build("*")
    assert airbyte.rejected() == {
        ("acme", "1002"): "Airbyte could not load refunds",
        ("acme", "1003"): "Airbyte could not load cancelled_at",
        ("acme", "1004"): "refunds: amount 'ten' is not a number",
        ("acme", "1007"): "line_items: price 'free' is not a number",
        ("acme", "1008"): "line_items is no array",
        ("acme", "1009"): "processed_at '20.06.2026' is not a time",
        ("acme", "1010"): "fulfillments: created_at 'yesterday' is not a time",
        ("acme", "1012"): "total_price is missing",
        ("acme", "1013"): "total_price Infinity is no possible amount",
    }
    assert airbyte.spent() == {
        "acme 101": 10010,
        "borealis 101": 12500,
        "borealis 102": 3250,
    }


def test_a_missing_subtotal_is_the_sum_of_the_lines(fivetran: Landed) -> None:
    """Without lines either it is the total, so that nothing looks free that was not."""
    fivetran.change(
        """
        update landed_acme."order" set subtotal_price = null where id in (1001, 1009);
        alter table landed_borealis."order" drop column subtotal_price;
        """
    )
    fivetran.build()
    assert fivetran.order("1001")["subtotal_minor"] == 9000
    assert fivetran.order("1009")["subtotal_minor"] == 0
    assert fivetran.spent() == USUAL
    (row,) = fivetran.query(
        "select subtotal_minor from {staging}.stg_shopify__orders"
        " where currency = 'KWD' and order_id = '1001'"
    )
    assert row["subtotal_minor"] == 12500


def test_a_customer_that_cannot_be_read_is_left_out(fivetran: Landed) -> None:
    fivetran.change(
        """
        alter table landed_acme.customer alter column updated_at type text;
        update landed_acme.customer set updated_at = 'never' where id = 101;
        """
    )
    fivetran.build()
    assert fivetran.spent() == USUAL
    rejected = "select entity, source_id, reason from {staging}.stg_shopify__rejected_rows"
    assert fivetran.query(rejected) == [
        {"entity": "customer", "source_id": "101", "reason": "updated_at 'never' is not a time"}
    ]
    # The order has a name and an address of its own.
    known = "select email, display_name from {marts}.customers where customer_id = '101' order by 1"
    assert fivetran.query(known) == [
        {"email": "ada@example.com", "display_name": "Ada Lovelace"},
        {"email": "eve@example.com", "display_name": "Eve Moon"},
    ]


# -- columns and tables --------------------------------------------------------------------------


def test_optional_columns_that_fivetran_lacks_are_null(fivetran: Landed) -> None:
    fivetran.change(
        """
        alter table landed_acme."order" drop column app_id, drop column note;
        alter table landed_acme.customer drop column email_marketing_consent_state;
        alter table landed_borealis."order"
        drop column name, drop column test, drop column cancelled_at, drop column updated_at,
        drop column total_price_set, drop column _fivetran_synced, drop column _fivetran_deleted;
        alter table landed_borealis.order_line
        drop column sku, drop column variant_title, drop column total_discount, drop column id;
        alter table landed_borealis.transaction drop column currency;
        """
    )
    fivetran.build()
    assert fivetran.spent() == USUAL
    assert fivetran.rejected() == {}
    assert fivetran.order("1001")["note"] is None


def test_optional_columns_that_airbyte_lacks_are_null(airbyte: Landed) -> None:
    airbyte.change(
        """
        alter table landed_acme.orders
        drop column app_id, drop column note, drop column total_price_set, drop column email;
        update landed_acme.orders set refunds = '[]' where id = 1003;
        -- json takes what jsonb does not.
        alter table landed_acme.orders
        alter column line_items drop default, alter column line_items type json;
        update landed_acme.orders
        set line_items = '[{"title": "\\u0000Tea", "price": "5.00", "quantity": 2}]'
        where id = 1001;
        alter table landed_borealis.orders
        drop column subtotal_price, drop column deleted_at, drop column fulfillments,
        drop column _airbyte_extracted_at;
        alter table landed_borealis.customers drop column email_marketing_consent, drop column tags;
        """
    )
    airbyte.build()
    assert airbyte.spent() == USUAL | {"acme 102": 4000}
    assert airbyte.rejected() == {}
    assert airbyte.order("1001")["line_items"][0]["title"] == "Tea"


def test_a_product_that_is_there_twice_or_unknown_changes_no_line(airbyte: Landed) -> None:
    airbyte.change(
        """
        insert into landed_acme.products (id, title, product_type)
        values (501, 'Soy candle', ' Candles '), (502, 'Wick trimmer', ' ');
        update landed_acme.orders
        set line_items = '[{"product_id": 501, "title": "Candle", "quantity": 1, "price": 50},
                           {"product_id": 999, "title": "Gone", "quantity": 1, "price": 30},
                           {"title": "Engraving", "quantity": 1, "price": 10}]'
        where id = 1001
        """
    )
    airbyte.build()
    assert airbyte.spent() == USUAL
    assert airbyte.rejected() == {}
    items = airbyte.order("1001")["line_items"]
    assert [(item["title"], item.get("product_type")) for item in items] == [
        ("Candle", "Candles"),
        ("Gone", None),
        ("Engraving", None),
    ]


def test_a_channel_that_is_listed_twice_doubles_no_order(airbyte: Landed) -> None:
    airbyte.build("+base_connectors__orders", "stg_app__tenants")
    airbyte.change(
        "insert into airbyte.sales_channels"
        " select order_source, channel || ' (old)' from airbyte.sales_channels"
    )
    airbyte.build("base_connectors__orders", "stg_shopify__orders")
    assert airbyte.order("1001")["channel"] == "Online Store"


def test_a_table_that_fivetran_has_not_created_has_no_rows(fivetran: Landed) -> None:
    """Of the first store only its orders are there, and nobody lists what is not."""
    fivetran.change(
        """
        drop table landed_acme.customer, landed_acme.customer_tag, landed_acme.order_line,
        landed_acme.order_tag, landed_acme.transaction, landed_acme.fulfillment;
        """
    )
    printed = fivetran.build()
    assert "landed_acme.transaction does not exist, so it counts as empty." in printed
    # Without transactions nothing was refunded, and without tags 1009, at 5.00, is no sample.
    assert fivetran.spent() == USUAL | {
        "acme 101": 10010 + 6000,
        "acme 102": 4000,
        "acme 104": 1200 + 500,
    }
    order = fivetran.order("1001")
    assert (order["line_items"], order["tags"], order["first_fulfilled_at"]) == ([], [], None)
    # The address of an order stands in for that of its customer.
    assert (order["customer_name"], order["customer_email"]) == (None, "older@example.com")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            'alter table landed_borealis."order" drop column customer_id',
            "landed_borealis.order lacks customer_id: have the connector load it.",
        ),
        (
            'drop table landed_acme."order"',
            "landed_acme.order does not exist: the connector creates it with the first row, so list"
            " the schema in the var source_schemas once it has orders.",
        ),
        (
            "drop schema landed_borealis cascade",
            "The var source_schemas lists landed_borealis, and there is no such schema.",
        ),
    ],
)
def test_another_schema_than_fivetran_s_is_refused_in_a_sentence(
    fivetran: Landed, changes: str, sentence: str
) -> None:
    fivetran.change(changes)
    assert sentence in " ".join(fivetran.build(expect=1).split())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            "drop table landed_acme.orders; create table landed_acme.orders ("
            " _airbyte_ab_id text, _airbyte_data jsonb, _airbyte_emitted_at timestamptz)",
            "landed_acme.orders lacks id, customer, currency, total_price, financial_status, tags,"
            " refunds, processed_at and created_at: these are Airbyte's raw tables, and Quintile"
            " reads the typed tables of destination-postgres 2 or newer.",
        ),
        (
            "alter table landed_acme.orders alter column refunds drop default,"
            " alter column refunds type text",
            "landed_acme.orders.refunds is text, not jsonb: Quintile reads the typed tables of"
            " destination-postgres 2 or newer.",
        ),
    ],
)
def test_another_schema_than_airbyte_s_is_refused_in_a_sentence(
    airbyte: Landed, changes: str, sentence: str
) -> None:
    airbyte.change(changes)
    assert sentence in " ".join(airbyte.build(expect=1).split())


# -- discounts and statuses ----------------------------------------------------------------------


def test_an_allocated_discount_reduces_the_total_of_its_line(fivetran: Landed) -> None:
    """borealis has no such table, and it is not listed as absent."""
    fivetran.change(
        """
        create table landed_acme.discount_allocation (
            order_line_id bigint, index bigint, amount double precision,
            discount_application_index bigint
        );
        insert into landed_acme."order" (
            id, name, customer_id, processed_at, total_price, subtotal_price, test
        )
        values (3003, '#3003', 104, '2026-06-20 10:00+00', 5, null, false);
        insert into landed_acme.order_line (
            order_id, id, index, title, quantity, price, total_discount
        )
        values
        (3003, 7001, 1, 'Serum', 2, 25, 0),
        (3003, 7002, 2, 'Tea', 1, 10, 4),
        (3003, 7003, 3, 'Mug', 1, 10, 4);
        insert into landed_acme.discount_allocation values
        (7001, 1, 20, 0), (7001, 2, 30, 1), (7002, 1, 4, 0);
        """
    )
    fivetran.build()
    order = fivetran.order("3003")
    assert [line["total_minor"] for line in order["line_items"]] == [0, 600, 600]
    assert order["subtotal_minor"] == 1200


def test_airbyte_s_line_has_its_own_discount_too(airbyte: Landed) -> None:
    airbyte.change(
        """
        update landed_acme.orders set line_items = '[
            {"price": "25.00", "quantity": 2, "total_discount": "5.00"},
            {"price": "10.00", "quantity": 1, "total_discount": "4.00",
             "discount_allocations": [{"amount": "4.00"}]},
            {"price": "10.00", "quantity": 1, "total_discount": "0.00",
             "discount_allocations": [{"amount": "3.00"}, {"amount": "9.00"}]}]'
        where id = 1001;
        """
    )
    airbyte.build()
    assert [line["total_minor"] for line in airbyte.order("1001")["line_items"]] == [4500, 600, 0]


def test_an_expired_order_counts_like_a_voided_one(airbyte: Landed) -> None:
    airbyte.change("update landed_acme.orders set financial_status = 'expired' where id = 1001")
    airbyte.build()
    assert airbyte.spent() == USUAL | {"acme 101": 4000}
    reasons = (
        "select exclusion_reasons from {marts}.rfm_excluded_orders"
        " where order_id = '1001' and currency = 'USD'"
    )
    assert airbyte.query(reasons) == [{"exclusion_reasons": ["voided"]}]


def test_an_order_that_is_there_twice_ends_the_build(airbyte: Landed) -> None:
    """The sync mode Append instead of Append + Deduped: nobody knows which row is the last."""
    airbyte.change(
        """
        alter table landed_acme.orders drop constraint orders_pkey;
        insert into landed_acme.orders select * from landed_acme.orders where id = 1001;
        """
    )
    printed = airbyte.build("+base_connectors__orders", expect=1)
    assert "unique_within_tenant_base_connectors__orders_order_id" in printed


# -- currencies ----------------------------------------------------------------------------------

OWN_SEEDS = [
    "tenants_by_schema",
    "rfm_settings_by_tenant",
    "samples_config_by_tenant",
    "sales_channels",
]
FOREIGN = {
    "native": """
        update landed_shopify.orders set currency = 'EUR'
        where tenant_id::text ~ 'a$' and order_id = '1001';
        update landed_shopify.orders set currency = 'CHF'
        where tenant_id::text ~ 'a$' and order_id = '1012';
        update landed_shopify.orders
        set currency = 'USD', total_minor = 4000, subtotal_minor = 4000
        where tenant_id::text ~ 'b$' and order_id = '1001';
    """,
    "fivetran": """
        update landed_acme."order" set currency = 'EUR' where id = 1001;
        update landed_acme."order" set currency = 'CHF' where id = 1012;
        update landed_borealis."order"
        set currency = 'USD', total_price = 40, subtotal_price = 40 where id = 1001;
    """,
    "airbyte": """
        update landed_acme.orders set currency = 'EUR' where id = 1001;
        update landed_acme.orders set currency = 'CHF' where id = 1012;
        update landed_borealis.orders
        set currency = 'USD', total_price = 40, subtotal_price = 40 where id = 1001;
    """,
}


@pytest.mark.parametrize("layout", FOREIGN)
def test_orders_in_another_currency_are_left_out_or_converted_at_the_installer_s_rates(
    layout: str, dbt: Dbt, database: str
) -> None:
    """1001 of acme at the rate of its day, and a dinar has three decimals.

    1012 was placed the day before the first rate of its currency.
    """
    with connect(database) as conn:
        landed = Landed(dbt, database, conn, layout)
        landed.change(FOREIGN[layout])
        landed.build(own_seeds=[*OWN_SEEDS, "exchange_rates_by_tenant"])
        counted = USUAL | {"acme 101": 15015 + 4000, "borealis 101": 12000}
        del counted["acme 104"]
        assert landed.spent() == counted
        order = landed.order("1001")
        assert (order["currency"], order["subtotal_minor"], order["net_minor"]) == (
            *("USD", 13500),
            15015,
        )
        (line,) = order["line_items"]
        assert (line["unit_price_minor"], line["total_minor"], line["quantity"]) == (6750, 13500, 2)
        assert landed.order("1012")["currency"] == "CHF"
        if layout == "native":
            landed.build()
            assert landed.spent() == {
                name: spent
                for name, spent in (USUAL | {"acme 101": 4000}).items()
                if name not in ("acme 104", "borealis 101")
            }


def test_a_rate_that_can_apply_to_no_order_fails_a_test(dbt: Dbt, database: str) -> None:
    with connect(database) as conn:
        landed = Landed(dbt, database, conn, "fivetran")
        seed = "+assert_exchange_rates_can_apply"
        own = [*OWN_SEEDS, "exchange_rates_by_tenant"]
        landed.build(seed, own_seeds=own)
        landed.change("update fivetran.exchange_rates_by_tenant set rate = -1 where rate = 2")
        printed = landed.build("assert_exchange_rates_can_apply", expect=1, own_seeds=own)
        assert "Got 1 result" in printed


# -- phone numbers -------------------------------------------------------------------------------

PHONES = {
    "4001": ("phone:", "+8801712345678"),
    "4002": ("phone:", "+8801712345678"),
    "4003": (None, None),
    "4004": (None, None),
    "4005": ("401", "+8801712345678"),
}


def _assert_phones_identify(landed: Landed) -> None:
    found = {number: landed.order(number) for number in PHONES}
    assert {
        number: (
            order["customer_id"] and re.sub("^(phone:)[0-9a-f]{32}$", r"\1", order["customer_id"]),
            order["customer_phone"],
        )
        for number, order in found.items()
    } == PHONES
    made = found["4001"]["customer_id"]
    assert found["4002"]["customer_id"] == made
    # As the service makes it of the same number.
    digest = hashlib.sha256(b"8801712345678").hexdigest()[:32]
    assert made == f"phone:{digest}"
    assert landed.spent() == USUAL | {f"acme {made}": 3000, "acme 401": 1000}
    # By the billing address, or the shipping address where there is none.
    names = f"select display_name from {{marts}}.customers where customer_id = '{made}'"
    assert landed.query(names) == [{"display_name": "Rahim Khan"}]
    assert found["4004"]["customer_name"] == "Gita Rao"


def test_fivetran_orders_without_customer_and_address_are_identified_by_their_phone(
    fivetran: Landed,
) -> None:
    fivetran.change(
        """
        alter table landed_acme."order"
        add column phone text,
        add column billing_address_name text,
        add column shipping_address_name text;
        insert into landed_acme.customer (id, phone) values (401, '+8801712345678');
        insert into landed_acme."order" (
            id, name, customer_id, email, phone, processed_at, total_price, subtotal_price,
            financial_status, test
        )
        values
        (4001, '#1', null, null, '+8801712345678', '2026-06-20 10:00+00', 10, 10, 'paid', false),
        (4002, '#2', null, '', '+880 1712-345678', '2026-06-20 10:00+00', 20, 20, 'paid', false),
        (4003, '#3', null, null, '0000000000', '2026-06-20 10:00+00', 10, 10, 'paid', false),
        (4004, '#4', null, 'g@example.com', '+8801712345678', '2026-06-20', 10, 10, 'paid', false),
        (4005, '#5', 401, null, null, '2026-06-20 10:00+00', 10, 10, 'paid', false);
        update landed_acme."order" set billing_address_name = 'Rahim Khan' where id in (4001, 4002);
        update landed_acme."order"
        set billing_address_name = ' ', shipping_address_name = 'Gita Rao' where id = 4004;
        """
    )
    fivetran.build()
    _assert_phones_identify(fivetran)


def test_airbyte_orders_without_customer_and_address_are_identified_by_their_phone(
    airbyte: Landed,
) -> None:
    airbyte.change(
        """
        alter table landed_acme.orders
        add column phone varchar,
        add column billing_address jsonb,
        add column shipping_address jsonb;
        insert into landed_acme.orders (
            id, name, customer, email, phone, processed_at, total_price, subtotal_price,
            financial_status, test
        )
        values
        (4001, '#1', null, null, '+8801712345678', '2026-06-20 10:00+00', 10, 10, 'paid', false),
        (4002, '#2', null, '', '+880 1712-345678', '2026-06-20 10:00+00', 20, 20, 'paid', false),
        (4003, '#3', null, null, '0000000000', '2026-06-20 10:00+00', 10, 10, 'paid', false),
        (4004, '#4', null, 'g@example.com', '+8801712345678', '2026-06-20', 10, 10, 'paid', false),
        (
            4005, '#5', '{"id": 401, "email": null, "phone": "+8801712345678"}', null, null,
            '2026-06-20 10:00+00', 10, 10, 'paid', false
        );
        update landed_acme.orders set billing_address = '{"name": "Rahim Khan"}'
        where id in (4001, 4002);
        update landed_acme.orders set billing_address = 'null',
            shipping_address = '{"name": "Gita Rao"}' where id = 4004;
        """
    )
    airbyte.build()
    _assert_phones_identify(airbyte)
