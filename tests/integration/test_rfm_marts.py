"""The RFM marts of the demo stores agree with each other and with the orders."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from psycopg import sql
from psycopg.rows import tuple_row

from sandbox import Sandbox
from service.core.config import Settings
from service.core.db import (
    Connection,
    Pool,
    connect,
    connect_as_owner,
    open_pool,
    tenant_transaction,
)
from service.shopify.orders_csv import import_orders
from service.tenants.tenants import add_tenant
from tests.conftest import NullProgress
from tests.demo import AS_OF


@pytest.fixture
def tenants(built_demo: Settings) -> Iterator[list[tuple[UUID, Pool]]]:
    """Each demo tenant, with the service's pool."""
    with connect_as_owner(built_demo) as owner:
        ids = [row["tenant_id"] for row in owner.execute("select tenant_id from app.tenants")]
    with open_pool(built_demo) as pool:
        yield [(tenant_id, pool) for tenant_id in ids]


def figures(conn: Connection, statement: str) -> tuple[object, ...]:
    row = conn.cursor(row_factory=tuple_row).execute(statement).fetchone()
    assert row is not None
    return row


def test_every_order_counts_or_is_explained(tenants: list[tuple[UUID, Pool]]) -> None:
    for tenant_id, pool in tenants:
        with tenant_transaction(pool, tenant_id, read_only=True) as conn:
            landed, counted, excluded, unreadable = figures(
                conn,
                """
                select
                    (select count(*) from shopify.orders where deleted_at is null),
                    (select sum(frequency_count) from marts.customer_rfm_segments),
                    (
                        select count(*) from marts.rfm_excluded_orders
                        where primary_reason <> 'unreadable'
                    ),
                    (
                        select count(*) from marts.rfm_excluded_orders
                        where primary_reason = 'unreadable'
                    )
                """,
            )
            assert landed == counted + excluded
            assert (
                unreadable
                == figures(
                    conn,
                    """
                    select count(*) from shopify.rejected_rows
                    where entity in ('order', 'csv_line')
                    """,
                )[0]
            )
            reasons = {
                row["primary_reason"]
                for row in conn.execute(
                    "select distinct primary_reason from marts.rfm_excluded_orders"
                )
            }
            assert {"outside_window", "sample", "no_customer"} <= reasons


def test_customers_spent_what_the_shop_says_their_orders_are_worth(
    tenants: list[tuple[UUID, Pool]], sandbox: Sandbox
) -> None:
    """Edited orders count at their current value, without a refund; expired ones do not count."""
    worth = {
        str(order.number): order.current_total
        for store in sandbox.stores.values()
        for order in store.data.orders
    }
    edited = {
        str(order.number)
        for store in sandbox.stores.values()
        for order in store.data.orders
        if order.edited_away and order.current_total
    }
    assert len(edited) > 50
    found = set()
    for tenant_id, pool in tenants:
        with tenant_transaction(pool, tenant_id, read_only=True) as conn:
            spent = {
                row["customer_id"]: row["lifetime_minor"]
                for row in conn.execute(
                    "select customer_id, lifetime_minor from marts.customer_facts"
                    " where lifetime_order_count > 0"
                )
            }
            counted = conn.execute(
                """
                select o.customer_id, o.order_id, o.financial_status
                from shopify.orders as o
                left join marts.rfm_excluded_orders as e on o.order_id = e.order_id
                where
                    o.customer_id = any(%s)
                    and (
                        e.order_id is null
                        or e.exclusion_reasons <@ array['outside_window', 'excluded_customer']
                    )
                """,
                [list(spent)],
            ).fetchall()
        sums = dict.fromkeys(spent, 0)
        for row in counted:
            sums[row["customer_id"]] += worth[row["order_id"]]
            found.add(row["order_id"])
        assert sums == spent
        assert {row["financial_status"] for row in counted}.isdisjoint({"VOIDED", "EXPIRED"})
    assert len(found & edited) > 20


def test_a_line_without_an_order_is_explained_until_it_is_corrected(
    built_settings: Settings, null_progress: NullProgress
) -> None:
    header = "order_id,customer_id,processed_at,total\n"
    explained = """
        select order_id, line_number, exclusion_reasons, detail
        from marts.rfm_excluded_orders
        where tenant_id = %s
        order by line_number nulls first, order_id
    """
    with connect_as_owner(built_settings) as owner:
        tenant_id = add_tenant(owner, "demo")
    with open_pool(built_settings) as pool:

        def load(lines: str) -> list[tuple[object, ...]]:
            import_orders(pool, tenant_id, io.StringIO(header + lines, newline=""), null_progress)
            with tenant_transaction(pool, tenant_id, read_only=True) as conn:
                cursor = conn.cursor(row_factory=tuple_row)
                return cursor.execute(explained, [tenant_id]).fetchall()

        assert load(",ann,2026-06-01,5\n2,ann,never,5\n3,ann,2026-06-01,5\n,bo,2026-06-01\n") == [
            ("2", None, ["unreadable"], "processed_at 'never' is not an ISO date or time"),
            (None, 2, ["unreadable"], "order_id is empty"),
            (None, 5, ["unreadable"], "it has 3 fields, the header 4"),
        ]
        assert load("1,ann,2026-06-01,5\n2,ann,2026-06-01,5\n3,ann,2026-06-01,5\n") == []


def test_the_marts_add_up_to_the_same_customers_and_revenue(
    tenants: list[tuple[UUID, Pool]],
) -> None:
    for tenant_id, pool in tenants:
        with tenant_transaction(pool, tenant_id, read_only=True) as conn:
            expected = figures(
                conn, "select count(*), sum(monetary_total) from marts.customer_rfm_segments"
            )
            assert expected[0] > 0
            for statement in (
                "select sum(customers), sum(revenue) from marts.rfm_segment_summary",
                "select sum(customers), sum(revenue) from marts.rfm_grid",
                """
                select sum(customers), sum(revenue) from marts.rfm_segment_history
                where as_of = (select as_of from marts.rfm_builds)
                """,
                """
                select sum(customers), sum(window_revenue) from marts.rfm_cohorts
                where segment <> 'none'
                """,
                "select count(rfm_segment), sum(window_total) from marts.customers",
            ):
                assert figures(conn, statement) == expected, statement
            assert figures(conn, "select verdict, reasons from marts.rfm_data_quality") == (
                "sufficient",
                [],
            )
            assert figures(conn, "select sum(sample_count) from marts.customers") == figures(
                conn, "select count(*) from marts.sample_orders where customer_id is not null"
            )
            assert figures(
                conn,
                "select sum(cardinality(shopify_segments)) > 0 from marts.customers",
            ) == (True,)


def test_orders_add_up_to_the_figures_of_customers(tenants: list[tuple[UUID, Pool]]) -> None:
    """Sales to lifetime figures, counted orders to the window's, with the reasons of the others."""
    for tenant_id, pool in tenants:
        with tenant_transaction(pool, tenant_id, read_only=True) as conn:
            assert figures(
                conn,
                """
                with sums as (
                    select
                        customer_id,
                        count(*) filter (where is_sale) as sales,
                        coalesce(sum(net_amount) filter (where is_sale), 0) as lifetime_total,
                        min(ordered_at) filter (where is_sale) as first_order_at,
                        max(ordered_at) filter (where is_sale) as last_order_at,
                        count(*) filter (where is_counted) as counted,
                        coalesce(sum(net_amount) filter (where is_counted), 0) as window_total,
                        bool_or(is_first_order) as has_first_order
                    from marts.orders
                    where customer_id is not null
                    group by customer_id
                )

                select
                    count(s.customer_id) > 0,
                    count(*) filter (
                        where (
                            coalesce(s.sales, 0), coalesce(s.lifetime_total, 0), s.first_order_at,
                            s.last_order_at, coalesce(s.counted, 0), coalesce(s.window_total, 0),
                            coalesce(s.has_first_order, false)
                        ) is distinct from (
                            c.lifetime_order_count, c.lifetime_total, c.first_order_at,
                            c.last_order_at, c.window_order_count, c.window_total,
                            c.lifetime_order_count > 0
                        )
                    )
                from marts.customers as c
                full join sums as s on c.customer_id = s.customer_id
                """,
            ) == (True, 0)
            assert figures(
                conn,
                """
                select
                    count(*) filter (where not o.is_counted) > 0,
                    count(*) filter (
                        where (o.exclusion_reasons, o.primary_reason, o.net_amount)
                        is distinct from (
                            coalesce(e.exclusion_reasons, '{}'), e.primary_reason,
                            coalesce(e.net_amount, o.net_amount)
                        )
                        or o.is_counted <> (e.order_id is null)
                    ),
                    count(*) filter (where o.is_counted and not (o.is_sale and o.is_in_window)),
                    count(*) filter (where (s.order_id is not null) <> o.is_sample),
                    count(*) filter (where o.is_sample <> (o.sample_type is not null)),
                    (select count(*) from marts.sample_orders) - count(s.order_id)
                from marts.orders as o
                left join marts.rfm_excluded_orders as e on o.order_id = e.order_id
                left join marts.sample_orders as s on o.order_id = s.order_id
                """,
            ) == (True, 0, 0, 0, 0, 0)


def test_lines_add_up_to_their_orders(tenants: list[tuple[UUID, Pool]]) -> None:
    for tenant_id, pool in tenants:
        with tenant_transaction(pool, tenant_id, read_only=True) as conn:
            assert figures(
                conn,
                """
                with sums as (
                    select
                        order_id,
                        count(*) as lines,
                        sum(total_amount) as total_amount,
                        sum(net_amount) as net_amount
                    from marts.order_lines
                    group by order_id
                )

                select
                    max(s.lines) > 1,
                    count(*) filter (where s.net_amount is null and s.total_amount > 0),
                    count(*) filter (where s.net_amount <> o.net_amount),
                    sum(s.lines) - (
                        select sum(jsonb_array_length(line_items))
                        from shopify.orders where deleted_at is null
                    )
                from sums as s
                inner join marts.orders as o on s.order_id = o.order_id
                """,
            ) == (True, 0, 0, 0)


def test_orders_of_a_customer_are_looked_up_in_an_index(
    tenants: list[tuple[UUID, Pool]],
) -> None:
    """The views pass filters on to the orders, instead of assessing all of them first."""
    tenant_id, pool = tenants[0]
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        (one,) = figures(conn, "select min(customer_id) from marts.orders")
        for mart in ("orders", "order_lines"):
            lines = conn.execute(
                sql.SQL(
                    "explain select * from {} where tenant_id = {} and customer_id = {}"
                ).format(sql.Identifier("marts", mart), sql.Literal(tenant_id), sql.Literal(one))
            ).fetchall()
            plan = "\n".join(str(line) for line in lines)
            assert "orders_customer_idx" in plan
            assert "Seq Scan on orders" not in plan


@pytest.mark.parametrize(
    ("mart", "filtered_by_customer"),
    [
        ("orders", {"orders", "customer_facts"}),
        ("order_lines", {"orders", "customer_facts"}),
        ("customer_predictions", {"customer_facts"}),
        ("rfm_scores_by_window", {"customer_facts", "int_customers_scored_by_window"}),
        ("rfm_by_first_channel", set()),
        ("rfm_by_product_type", set()),
        ("cohort_retention", set()),
    ],
)
def test_a_query_of_a_mart_reads_no_other_tenant(
    mart: str, filtered_by_customer: set[str], built_demo: Settings
) -> None:
    """Every table is read by the tenant, even by a superuser, whom no policy filters."""
    with connect(built_demo.database_url) as conn:
        ids = conn.cursor(row_factory=tuple_row).execute(
            """
            select tenant_id::text, customer_id from marts.customer_facts
            where segment is not null limit 1
            """
        )
        tenant_id, customer_id = ids.fetchone() or ("", "")
        of_tenants = {
            row["table_name"]
            for row in conn.execute(
                "select table_name from information_schema.columns where column_name = 'tenant_id'"
            )
        }

        def scans(where: str) -> list[tuple[str, str]]:
            """Tables of tenants that the plan reads, and by which conditions."""
            found = conn.execute(
                sql.SQL("explain (format json) select * from {} where ").format(
                    sql.Identifier("marts", mart)
                )
                + sql.SQL(where).format(sql.Literal(tenant_id), sql.Literal(customer_id))
            ).fetchone()
            assert found is not None
            conditions = ("Index Cond", "Recheck Cond", "Filter")
            nodes = [found["QUERY PLAN"][0]["Plan"]]
            for node in nodes:
                nodes += node.get("Plans", [])
            return [
                (node["Relation Name"], str([node.get(condition) for condition in conditions]))
                for node in nodes
                if node.get("Relation Name") in of_tenants
            ]

        whole = scans("tenant_id = {}")
        assert len(whole) > 1
        assert [scan for scan in whole if f"tenant_id = '{tenant_id}'" not in scan[1]] == []
        if filtered_by_customer:
            of_one = scans("tenant_id = {} and customer_id = {}")
            assert [scan for scan in of_one if f"tenant_id = '{tenant_id}'" not in scan[1]] == []
            read = [scan for scan in of_one if scan[0] in filtered_by_customer]
            assert {table for table, _ in read} == filtered_by_customer
            assert [scan for scan in read if f"customer_id = '{customer_id}'" not in scan[1]] == []


def test_retention_has_every_sale_of_the_cohorts_once(tenants: list[tuple[UUID, Pool]]) -> None:
    for tenant_id, pool in tenants:
        with tenant_transaction(pool, tenant_id, read_only=True) as conn:
            cohorts = conn.execute(
                """
                select cohort_month, sum(customers)::int as customers,
                    sum(lifetime_revenue) as revenue
                from marts.rfm_cohorts group by cohort_month order by cohort_month
                """
            ).fetchall()
            retained = conn.execute(
                """
                select cohort_month, max(customers) as customers, sum(revenue) as revenue
                from marts.cohort_retention group by cohort_month order by cohort_month
                """
            ).fetchall()
            assert retained == cohorts
            assert len(cohorts) > 12
            assert figures(
                conn,
                """
                select
                    count(*) filter (where months_since = 0 and retention_rate <> 1),
                    bool_or(months_since > 0 and active_customers > 0),
                    count(*) filter (where not is_complete),
                    max(ordered_month),
                    sum(orders)
                from marts.cohort_retention
                """,
            ) == (
                0,
                True,
                0,
                (AS_OF - timedelta(days=1)).date().replace(day=1),
                *figures(
                    conn,
                    "select sum(lifetime_order_count) from marts.customers"
                    " where not is_excluded_from_rfm",
                ),
            )


def test_first_channels_and_product_types_add_up_to_the_segments(
    tenants: list[tuple[UUID, Pool]],
) -> None:
    for tenant_id, pool in tenants:
        with tenant_transaction(pool, tenant_id, read_only=True) as conn:

            def rows(statement: str, conn: Connection = conn) -> list[tuple[object, ...]]:
                return conn.cursor(row_factory=tuple_row).execute(statement).fetchall()

            segments = rows(
                """
                select segment, count(*), sum(frequency_count), sum(monetary_total)
                from marts.customer_rfm_segments group by segment order by segment
                """
            )
            assert segments
            assert segments == rows(
                """
                select segment, sum(customers), sum(orders), sum(revenue)
                from marts.rfm_by_first_channel group by segment order by segment
                """
            )
            assert [(name, revenue) for name, _, _, revenue in segments] == rows(
                """
                select segment, sum(revenue)
                from marts.rfm_by_product_type group by segment order by segment
                """
            )
            # Each order is found by the type of its lines, in order_lines too.
            assert rows(
                """
                select product_type, sum(revenue), sum(units)
                from marts.rfm_by_product_type group by product_type order by product_type
                """
            ) == rows(
                """
                select coalesce(product_type, 'unknown'), sum(net_amount), sum(quantity)
                from marts.order_lines where is_counted
                group by coalesce(product_type, 'unknown')
                order by coalesce(product_type, 'unknown')
                """
            )
            types, channels = figures(
                conn,
                """
                select
                    (select count(distinct product_type) from marts.rfm_by_product_type),
                    (select count(distinct first_channel) from marts.rfm_by_first_channel)
                """,
            )
            assert types > 3
            assert channels > 2


def test_a_first_build_takes_statistics_of_what_is_joined(built_demo: Settings) -> None:
    with connect(built_demo.database_url) as conn:
        known = figures(
            conn,
            """
            select array_agg(distinct c.relname::text order by c.relname::text)
            from pg_statistic as s
            inner join pg_class as c on s.starelid = c.oid
            where c.relname in ('customer_facts', 'rfm_segment_transitions')
            """,
        )
    assert known == (["customer_facts", "rfm_segment_transitions"],)
