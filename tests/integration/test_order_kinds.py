"""Amounts of every kind of order beside those of dbt_shopify, by oracles over the sources.

dbt_shopify's ``order_adjusted_total`` is what was ordered, less the lines that came back and the
adjustments of refunds. Quintile reads neither, and subtracts what was paid back. ``python -m
tests.compare_dbt_shopify`` builds dbt_shopify itself on the same orders.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from service.core.db import Connection, connect
from tests.conftest import Cluster
from tests.package import PACKAGE, Dbt, in_schemas, layout_vars

BY_KIND = """
    with returned as (
        select order_id, sum(amount) as amount
        from (
            select order_id, subtotal + total_tax as amount
            from landed_acme.order_line_refund
            inner join landed_acme.refund on refund_id = refund.id
            union all
            select order_id, -amount - tax_amount from landed_acme.order_adjustment
        ) as parts
        group by order_id
    )
    select k.kind,
        sum(o.total_price - coalesce(r.amount, 0))::numeric(9, 2)::text as adjusted,
        coalesce(sum(s.net_minor) / 100, 0)::numeric(9, 2)::text as net,
        min(e.primary_reason) as reason,
        count(e.order_id)::int as excluded
    from landed_acme."order" as o
    inner join landed_acme.kinds as k on o.id / 1000 = k.number
    left join returned as r on o.id = r.order_id
    left join {staging}.stg_shopify__orders as s on o.id::text = s.order_id
    left join {marts}.rfm_excluded_orders as e on o.id::text = e.order_id
    -- dbt_shopify leaves them out, too.
    where not o.test and not o._fivetran_deleted
    group by k.kind
"""

# What each customer spent, by payments: orders that count, less the refunds that succeeded.
BY_CUSTOMER = """
    select o.customer_id::text, count(*)::int as orders,
        round(sum(100 * (
            case when k.kind = 'edited' then o.current_total_price else o.total_price end
            - coalesce(
                (
                    select sum(t.amount / case when t.currency = 'EUR' then 0.9 else 1 end)
                    from landed_acme.transaction as t
                    where t.order_id = o.id and t.kind = 'refund' and t.status = 'success'
                ), 0
            )
        )))::int as minor
    from landed_acme."order" as o
    inner join landed_acme.kinds as k on o.id / 1000 = k.number
    where k.number <= 10
    group by o.customer_id
    order by 1
"""
COUNTED = """
    select customer_id, lifetime_order_count::int as orders, lifetime_minor::int as minor
    from {marts}.customer_facts
    where lifetime_order_count > 0
    order by 1
"""

# What dbt_shopify counts and Quintile does not, but for refunds in full, which are worth nothing.
REASONS = {
    "refunded in full": "refunded_in_full",
    "cancelled": "cancelled",
    "voided": "voided",
    "without a customer": "no_customer",
    "in another currency": "foreign_currency",
    "sample": "sample",
}


@pytest.fixture(scope="module")
def built(dbt: Dbt, cluster: Cluster) -> Iterator[Connection]:
    with cluster.database("template1") as settings, connect(settings.database_url) as conn:
        fixture = PACKAGE / "fixtures" / "order_kinds.sql"
        conn.execute(fixture.read_text(encoding="utf-8"))
        dbt(
            settings.database_url,
            *("build", "--exclude-resource-type", "unit_test", "--exclude-resource-type", "test"),
            *("--select", "+customer_facts", "+rfm_excluded_orders"),
            variables=layout_vars("fivetran", source_schemas=["landed_acme"]),
            ACME_SCHEMA="fivetran",
        )
        yield conn


def _query(conn: Connection, text: str) -> list[dict[str, Any]]:
    return conn.execute(in_schemas(text, "fivetran")).fetchall()


def test_net_amounts_equal_what_was_ordered_less_returns_and_adjustments(built: Connection) -> None:
    kinds = {row["kind"]: row for row in _query(built, BY_KIND)}
    assert len(kinds) == 16
    differ = {
        kind: (row["adjusted"], row["net"])
        for kind, row in kinds.items()
        if row["adjusted"] != row["net"]
    }
    # 40 orders each, of 50 + n * 1.01 dollars: 2828.20 in all.
    assert differ == {
        # The lines came back, the money did not.
        "refund failed": ("2396.20", "2828.20"),
        # Edited to 10 dollars less, which were not paid back.
        "edited": ("2828.20", "2428.20"),
    }
    reasons = {kind: (row["reason"], row["excluded"]) for kind, row in kinds.items()}
    assert {kind: found for kind, found in reasons.items() if found[1]} == {
        kind: (reason, 40) for kind, reason in REASONS.items()
    }


def test_customers_spent_what_their_counted_orders_were_paid(built: Connection) -> None:
    expected = built.execute(BY_CUSTOMER).fetchall()
    assert len(expected) == 97
    assert sum(row["orders"] for row in expected) == 400
    assert _query(built, COUNTED) == expected
