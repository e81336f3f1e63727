"""Quintile as a package of an analytics engineer's own dbt project, in every source layout.

The project is tests/dbt/package. Its fixtures hold the same orders as three loaders land them, and
its expected rows were worked out by hand from the list at the head of fixtures/native.sql.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from service.db import Connection, connect
from tests.conftest import PROJECT_DIR, Cluster

PACKAGE = PROJECT_DIR / "tests" / "dbt" / "package"
AS_OF = "2026-07-01"

SCHEMAS = ["landed_acme", "landed_borealis"]
LAYOUTS: dict[str, dict[str, Any]] = {
    "native": {"shopify_schema": "landed_shopify"},
    "fivetran": {
        "source_layout": "fivetran",
        "source_schemas": SCHEMAS,
        "absent_tables": ["landed_borealis.customer_tag", "landed_borealis.fulfillment"],
    },
    "airbyte": {"source_layout": "airbyte", "source_schemas": SCHEMAS},
}

# Every column but calculated_at, which is the build's, and line_items, which staging compares.
RESULTS = {
    "customer_rfm_segments": """
        select t.tenant_name as tenant, m.customer_id, m.email, m.r_score, m.f_score, m.m_score,
            m.segment, m.recency_days, m.frequency_count, m.monetary_total, m.currency,
            to_char(m.last_order_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as last_order_at
        from {marts}.customer_rfm_segments as m
        inner join {staging}.stg_app__tenants as t on m.tenant_id = t.tenant_id
        order by 1, 2
    """,
    "sample_orders": """
        select t.tenant_name as tenant, m.order_id, m.order_number, m.customer_id, m.customer_name,
            m.customer_email, m.is_ugc, m.is_tiktok, m.matched_tags, m.matched_patterns, m.status,
            m.fulfillment_status, m.channel, m.tags, m.goods_value, m.currency,
            to_char(m.ordered_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as ordered_at,
            to_char(m.first_fulfilled_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as first_fulfilled_at
        from {marts}.sample_orders as m
        inner join {staging}.stg_app__tenants as t on m.tenant_id = t.tenant_id
        order by 1, 2
    """,
}

# What a layout lands, but for when it did.
STAGED = """
    select to_jsonb(o) - 'landed_at' as staged from {staging}.stg_shopify__orders as o
    union all
    select to_jsonb(c) - 'landed_at' as staged from {staging}.stg_shopify__customers as c
    order by 1
"""

Dbt = Callable[..., str]


@pytest.fixture(scope="module")
def dbt(tmp_path_factory: pytest.TempPathFactory) -> Dbt:
    """dbt in a copy of the analyst's project, with Quintile installed by its path."""
    project = tmp_path_factory.mktemp("package") / "project"
    shutil.copytree(PACKAGE, project)

    def run(url: str, *arguments: str, expect: int = 0, **environment: str) -> str:
        parts = conninfo_to_dict(url)
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("QUINTILE_", "DBT_", "PG"))
        }
        done = subprocess.run(
            [Path(sys.executable).with_name("dbt"), "--warn-error", *arguments],
            cwd=project,
            env={
                **inherited,
                "QUINTILE_PROJECT_DIR": str(PROJECT_DIR),
                "PGHOST": str(parts["host"]),
                "PGUSER": str(parts["user"]),
                "PGDATABASE": str(parts["dbname"]),
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout

    run("postgresql://nobody@/nowhere?host=/nonexistent", "deps")
    return run


@pytest.fixture(scope="module")
def database(cluster: Cluster) -> Iterator[str]:
    """A database that knows nothing of Quintile."""
    with cluster.database("template1") as settings:
        yield settings.database_url


def _land(conn: Connection, layout: str) -> None:
    conn.execute("drop schema if exists landed_acme, landed_borealis cascade")
    conn.execute((PACKAGE / "fixtures" / f"{layout}.sql").read_text(encoding="utf-8"))


def _build(dbt: Dbt, url: str, layout: str, **environment: str) -> str:
    variables = json.dumps({"as_of": AS_OF, **LAYOUTS[layout]})
    return dbt(url, "build", "--vars", variables, ACME_SCHEMA=layout, **environment)


def _query(text: str, schema: str) -> sql.Composed:
    return sql.SQL(text).format(
        marts=sql.Identifier(f"{schema}_marts"), staging=sql.Identifier(f"{schema}_staging")
    )


def _as_csv(conn: Connection, text: str, schema: str) -> str:
    conn.execute("set time zone 'UTC'")
    copy = sql.SQL("copy ({}) to stdout (format csv, header)").format(_query(text, schema))
    with conn.cursor().copy(copy) as rows:
        return b"".join(rows).decode()


def _assert_expected(conn: Connection, schema: str) -> None:
    for name, text in RESULTS.items():
        expected = (PACKAGE / "expected" / f"{name}.csv").read_text(encoding="utf-8")
        assert _as_csv(conn, text, schema) == expected


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_result(layout: str, dbt: Dbt, database: str) -> None:
    """Without roles, row level security or schema app, in the schemas that dbt names."""
    with connect(database) as conn:
        _land(conn, layout)
        out = _build(dbt, database, layout)
        assert "WARN=0 ERROR=0 SKIP=0" in out
        _assert_expected(conn, layout)
        if layout != "native":
            staged = conn.execute(_query(STAGED, layout)).fetchall()
            assert staged == conn.execute(_query(STAGED, "native")).fetchall()
            assert len(staged) == 15 + 7
        assert conn.execute(
            "select count(*)::int as policies, (select count(*)::int from pg_namespace"
            " where nspname in ('app', 'marts', 'staging', 'intermediate')) as schemas"
            " from pg_policy"
        ).fetchall() == [{"policies": 0, "schemas": 0}]
        sizes = conn.execute(
            sql.SQL("select sum(customer_count)::int as customers from {}.segment_sizes").format(
                sql.Identifier(layout)
            )
        ).fetchall()
        assert sizes == [{"customers": 5}]
