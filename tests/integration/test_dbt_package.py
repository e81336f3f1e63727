"""Quintile as a package of an analytics engineer's own dbt project, in every source layout.

The project is tests/dbt/package. Its fixtures hold the same orders as three loaders land them, and
its expected rows were worked out by hand from the list at the head of fixtures/native.sql.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from service.core.config import Settings
from service.core.db import Connection, connect, connect_as_owner
from tests.conftest import PROJECT_DIR, Cluster
from tests.warm_dbt import plain_environment
from tests.warm_dbt import run as warm_dbt

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
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the analyst's project, with Quintile installed by its path."""
    project = tmp_path_factory.mktemp("package") / "project"
    shutil.copytree(PACKAGE, project)
    plain_dbt(project, "postgresql://nobody@/nowhere?host=/nonexistent", "deps")
    return project


def plain_dbt(project: Path, url: str, *arguments: str, **environment: str) -> str:
    """The dbt command in the project, as the analyst runs it."""
    done = subprocess.run(
        [Path(sys.executable).with_name("dbt"), "--warn-error", *arguments],
        cwd=project,
        env={**plain_environment(), **_environment(url), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _environment(url: str) -> dict[str, str]:
    parts = conninfo_to_dict(url)
    return {
        "QUINTILE_PROJECT_DIR": str(PROJECT_DIR),
        "PGHOST": str(parts["host"]),
        "PGUSER": str(parts["user"]),
        "PGDATABASE": str(parts["dbname"]),
    }


@pytest.fixture(scope="module")
def dbt(project: Path) -> Dbt:
    """dbt in the project, started warm."""

    def run(
        url: str,
        *arguments: str,
        variables: dict[str, Any],
        expect: int | None = 0,
        **environment: str,
    ) -> str:
        # When a build is, is no part of what is parsed.
        parsed = {name: value for name, value in variables.items() if name != "as_of"}
        status, printed = warm_dbt(
            project,
            project / "parsed" / environment["ACME_SCHEMA"],
            parsed,
            *("--warn-error", *arguments, "--vars", json.dumps(variables)),
            environment={**_environment(url), **environment},
        )
        assert expect in (None, status), printed
        return printed

    return run


@pytest.fixture(scope="module")
def database(cluster: Cluster) -> Iterator[str]:
    """A database that knows nothing of Quintile."""
    with cluster.database("template1") as settings:
        yield settings.database_url


def _load(conn: Connection, layout: str) -> None:
    conn.execute("drop schema if exists landed_acme, landed_borealis cascade")
    conn.execute((PACKAGE / "fixtures" / f"{layout}.sql").read_text(encoding="utf-8"))


def _vars(layout: str, **changes: Any) -> dict[str, Any]:
    return {"as_of": AS_OF, **LAYOUTS[layout], **changes}


def _query(text: str, schema: str) -> sql.Composed:
    return sql.SQL(text).format(
        marts=sql.Identifier(f"{schema}__marts"), staging=sql.Identifier(f"{schema}__staging")
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


@pytest.fixture(scope="module")
def built(project: Path, dbt: Dbt, database: str) -> str:
    """The same database with every layout landed and built, each in schemas of its own."""
    with connect(database) as conn:
        for layout in LAYOUTS:
            _load(conn, layout)
            if layout == "native":
                given = json.dumps(_vars(layout))
                out = plain_dbt(project, database, "build", "--vars", given, ACME_SCHEMA=layout)
            else:
                out = dbt(database, "build", variables=_vars(layout), ACME_SCHEMA=layout)
            assert "WARN=0 ERROR=0 SKIP=0" in out
    return database


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_result(layout: str, built: str) -> None:
    """The marts are as expected, and no column that staging gives differs."""
    with connect(built) as conn:
        _assert_expected(conn, layout)
        staged = conn.execute(_query(STAGED, layout)).fetchall()
        assert staged == conn.execute(_query(STAGED, "native")).fetchall()
        assert len(staged) == 15 + 7


def test_nothing_of_the_service_is_there(built: str) -> None:
    """No schema, policy or grant of the service; schemas are named by the installing project."""
    with connect(built) as conn:
        schemas = conn.execute(
            "select nspname::text as name from pg_namespace"
            " where nspname !~ '^pg_|^landed_|^information_schema$|^public$'"
        ).fetchall()
        assert {row["name"] for row in schemas} == {
            f"{layout}{suffix}"
            for layout in LAYOUTS
            for suffix in ("", "__staging", "__intermediate", "__marts")
        }
        assert conn.execute("select * from pg_policy").fetchall() == []
        granted = "select from information_schema.role_table_grants where grantee = 'quintile_app'"
        assert conn.execute(granted).fetchall() == []


def test_the_project_builds_on_the_marts(built: str) -> None:
    sizes = "select sum(customer_count)::int as customers from native.segment_sizes"
    with connect(built) as conn:
        assert conn.execute(sizes).fetchall() == [{"customers": 5}]


def test_one_tenant_is_built_and_the_other_left_alone(dbt: Dbt, built: str) -> None:
    """The strategy that reconciles is found in the package, and tenants are those of the seed."""
    dates = """
        select distinct currency, calculated_at::date::text as as_of
        from {marts}.customer_rfm_segments order by currency
    """
    with connect(built) as conn:
        _load(conn, "fivetran")
        dbt(
            built,
            *("run", "--select", "+customer_rfm_segments"),
            variables=_vars("fivetran", as_of="2026-07-02", tenants=["borealis"]),
            ACME_SCHEMA="fivetran",
        )
        assert conn.execute(_query(dates, "fivetran")).fetchall() == [
            {"currency": "KWD", "as_of": "2026-07-02"},
            {"currency": "USD", "as_of": "2026-07-01"},
        ]


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"source_layout": "stitch"}, "It can be native, fivetran or airbyte"),
        ({"source_schemas": []}, "source_schemas has to list the schemas"),
        ({"tenants": ["nobody"]}, "No tenant is called nobody"),
    ],
)
def test_a_var_that_makes_no_sense_says_so(
    variables: dict[str, Any], reason: str, dbt: Dbt, built: str
) -> None:
    """None of these may read as a build of nothing."""
    out = dbt(
        built,
        *("run", "--select", "base_airbyte__orders"),
        variables=_vars("airbyte", **variables),
        expect=None,
        ACME_SCHEMA="airbyte",
    )
    assert reason in out


def test_with_the_service_s_schemas_everything_is_protected(dbt: Dbt, settings: Settings) -> None:
    """As quintile_transform, with tenants and settings of schema app and orders of a connector."""
    url = settings.database_url
    with connect(url) as admin:
        _load(admin, "airbyte")
        for schema in ("landed_acme", "landed_borealis"):
            admin.execute(f"grant usage on schema {schema} to quintile_transform")
            admin.execute(f"grant select on all tables in schema {schema} to quintile_transform")
        for schema in ("served", "served__staging", "served__intermediate", "served__marts"):
            admin.execute(f"create schema {schema} authorization quintile_transform")
        with connect_as_owner(settings) as owner:
            for name, last, currency, window in (
                ("acme", "a", "USD", 365),
                ("borealis", "b", "KWD", 730),
            ):
                tenant_id = f"00000000-0000-4000-8000-00000000000{last}"
                owner.execute(
                    "insert into app.tenants (tenant_id, name, currency) values (%s, %s, %s)",
                    (tenant_id, name, currency),
                )
                owner.execute(
                    "insert into app.rfm_settings (tenant_id, window_days, excluded_customer_ids)"
                    " values (%s, %s, '{105}')",
                    (tenant_id, window),
                )
        out = dbt(
            url,
            "build",
            variables=_vars("airbyte", use_service_schemas=True),
            ACME_SCHEMA="served",
            ACME_ROLE="quintile_transform",
        )
        assert "WARN=0 ERROR=0 SKIP=0" in out
        _assert_expected(admin, "served")
        unprotected = admin.execute(
            "select c.relname from pg_class as c"
            " inner join pg_namespace as n on c.relnamespace = n.oid"
            " where n.nspname in ('served__staging', 'served__intermediate', 'served__marts')"
            " and exists (select from app.isolation_findings_of(c.oid))"
        ).fetchall()
        assert unprotected == []
