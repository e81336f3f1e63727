"""rfm_survival and customer_predictions on published orders: calibration, and when rows are kept.

The orders are those of test_reference_data.py, made up by the R package rfm. They come in seasons:
two dates half a year apart are added up, so that a busy half year and a quiet one are predicted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg.rows import tuple_row

from service.core.config import Settings
from service.core.db import Connection, connect
from tests.command import quintile
from tests.reference import orders_file
from tests.warm_dbt import dbt

# Sums over all customers: how many were expected to order within so many days, and how many did.
CALIBRATION = """
    with customers as (
        select
            p.*,
            (
                select min(o.processed_at) - p.calculated_at
                from shopify.orders as o
                where o.customer_id = p.customer_id and o.processed_at >= p.calculated_at
            ) as waited
        from marts.customer_predictions as p
    )

    select
        count(*) as customers,
        sum(reorder_probability_30d) as expected_30d,
        count(*) filter (where waited < interval '30 days') as actual_30d,
        sum(reorder_probability_90d) as expected_90d,
        count(*) filter (where waited < interval '90 days') as actual_90d,
        sum(1 - churn_risk) as expected,
        count(*) filter (where waited < interval '365 days') as actual,
        count(*) filter (
            where waited < interval '365 days'
            and (calculated_at + waited)::date <= expected_next_order_on
        ) as by_expected_day,
        count(*) - count(churn_risk) as unknown
    from customers
"""


@pytest.fixture
def conn(built_settings: Settings, shared_dir: Path, tmp_path: Path) -> Iterator[Connection]:
    quintile(built_settings, "tenants", "add", "reference")
    file = orders_file(shared_dir, tmp_path)
    quintile(built_settings, "orders", "import", file, "--tenant", "reference")
    with connect(built_settings.database_url) as conn:
        conn.execute("analyze shopify.orders")
        yield conn


def test_predictions_hold_in_the_year_after(
    built_settings: Settings, conn: Connection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And rows are kept for a week, unless settings change or the build is of an earlier day."""

    def build(as_of: str, **variables: object) -> str:
        given = json.dumps({"as_of": as_of, **variables})
        arguments = ("run", "--select", "+customer_predictions", "--vars", given)
        dbt(built_settings.database_url, tmp_path, *arguments)
        rows = conn.cursor(row_factory=tuple_row).execute(
            "select distinct calculated_at::date::text from marts.rfm_survival"
        )
        [(calculated_on,)] = rows.fetchall()
        return str(calculated_on)

    found = []
    for as_of in ("2005-04-01", "2005-10-01"):
        assert build(as_of) == as_of
        found.append(conn.execute(CALIBRATION).fetchone())
    total = {name: sum(row[name] for row in found) for name in found[0]}
    with capsys.disabled():
        print("\n" + ", ".join(f"{name} {value}" for name, value in total.items()))
    assert total["unknown"] == 0
    for days in ("_30d", "_90d", ""):
        assert total[f"expected{days}"] == pytest.approx(total[f"actual{days}"], rel=0.15)
    assert total["by_expected_day"] == pytest.approx(total["actual"] / 2, rel=0.15)

    assert build("2005-10-07") == "2005-10-01"
    assert build("2005-10-08") == "2005-10-08"
    assert build("2005-10-07") == "2005-10-07"
    conn.execute("update app.rfm_settings set minimum_minor = 5000")
    assert build("2005-10-09") == "2005-10-09"
    assert build("2005-10-10", survival_minimum_orders=200) == "2005-10-10"
