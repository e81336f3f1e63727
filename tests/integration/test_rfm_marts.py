"""The RFM marts of the demo stores agree with each other and with the orders."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest
from psycopg.rows import tuple_row

from service.config import Settings
from service.db import Connection, Pool, connect_as_owner, open_pool, tenant_transaction


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
                    conn, "select count(*) from shopify.rejected_rows where entity = 'order'"
                )[0]
            )
            reasons = {
                row["primary_reason"]
                for row in conn.execute(
                    "select distinct primary_reason from marts.rfm_excluded_orders"
                )
            }
            assert {"outside_window", "sample", "no_customer"} <= reasons


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
