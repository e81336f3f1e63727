"""Quintile as a package of an analytics engineer's own dbt project, in every source layout.

The project is tests/dbt/package. Its fixtures hold the same orders as three loaders land them, and
its expected rows were worked out by hand from the list at the head of fixtures/native.sql.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any
from uuid import UUID

import pytest
import yaml
from psycopg import sql

from service.api.segment_rules import RfmRuleInput
from service.core.config import Settings
from service.core.db import Connection, connect, connect_as_owner
from service.destinations.configs import change_segment_rule
from tests.conftest import PROJECT_DIR, Cluster
from tests.package import LAYOUTS, PACKAGE, Dbt, in_schemas, layout_vars, load_layout, plain_dbt

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


@pytest.fixture(scope="module")
def database(cluster: Cluster) -> Iterator[str]:
    """A database that knows nothing of Quintile."""
    with cluster.database("template1") as settings:
        yield settings.database_url


def _as_csv(conn: Connection, text: str, schema: str) -> str:
    conn.execute("set time zone 'UTC'")
    copy = sql.SQL("copy ({}) to stdout (format csv, header)").format(in_schemas(text, schema))
    with conn.cursor().copy(copy) as rows:
        return b"".join(rows).decode()


def _save_segment_rules(settings: Settings) -> None:
    """Save the rule that the project's seeds have for a tenant of its own."""
    segments, cells = (
        list(csv.DictReader((PACKAGE / "seeds" / f"{name}.csv").read_text("utf-8").splitlines()))
        for name in ("rfm_segments_by_tenant", "rfm_segment_grid_by_tenant")
    )
    rule = RfmRuleInput.model_validate(
        {
            "segments": [_without_tenant(row) for row in segments],
            "grid": [_without_tenant(row) for row in cells],
        }
    )
    with connect_as_owner(settings) as owner, owner.transaction():
        change_segment_rule(owner, UUID(cells[0]["tenant_id"]), "tests", rule.to_rule())


def _without_tenant(row: dict[str, str]) -> dict[str, str | None]:
    return {
        name: value or (None if name == "m_score" else "")
        for name, value in row.items()
        if name != "tenant_id"
    }


def _assert_expected(conn: Connection, schema: str) -> None:
    for name, text in RESULTS.items():
        expected = (PACKAGE / "expected" / f"{name}.csv").read_text(encoding="utf-8")
        assert _as_csv(conn, text, schema) == expected


@pytest.fixture(scope="module")
def built(project: Path, dbt: Dbt, database: str) -> str:
    """The same database with every layout landed and built, each in schemas of its own."""
    with connect(database) as conn:
        for layout in LAYOUTS:
            load_layout(conn, layout)
            # As an installer's first build runs: dbt also parses.
            if layout == "fivetran":
                given = json.dumps(layout_vars(layout))
                out = plain_dbt(project, database, "build", "--vars", given, ACME_SCHEMA=layout)
            else:
                out = dbt(database, "build", variables=layout_vars(layout), ACME_SCHEMA=layout)
            assert "WARN=0 ERROR=0 SKIP=0" in out
    return database


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_result(layout: str, built: str) -> None:
    """The marts are as expected, and no column that staging gives differs."""
    with connect(built) as conn:
        _assert_expected(conn, layout)
        staged = conn.execute(in_schemas(STAGED, layout)).fetchall()
        assert staged == conn.execute(in_schemas(STAGED, "native")).fetchall()
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
            for suffix in ("", "__staging", "__intermediate", "__marts", "__calendar")
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
        load_layout(conn, "fivetran")
        dbt(
            built,
            *("run", "--select", "+customer_rfm_segments"),
            variables=layout_vars("fivetran", as_of="2026-07-02", tenants=["borealis"]),
            ACME_SCHEMA="fivetran",
        )
        assert conn.execute(in_schemas(dates, "fivetran")).fetchall() == [
            {"currency": "KWD", "as_of": "2026-07-02"},
            {"currency": "USD", "as_of": "2026-07-01"},
        ]


# Cells of acme's that cannot be read, beside those of borealis. Two rows have no readable tenant.
FAULTS = """
    update {schema}.tenants_by_schema set time_zone = 'America/New_Yrok' where name = 'acme';
    update {schema}.rfm_settings_by_tenant
    set window_days = 'x', time_zone = 'Mars/Olympus', minimum_minor = '1e99',
        is_sample_counted = 'perhaps', excluded_customer_ids = '7,8',
        excluded_domains = '{{a.example', additional_window_days = '{{99999999999}}'
    where tenant_id like '%a';
    insert into {schema}.rfm_settings_by_tenant (tenant_id, window_days) values ('acme', '30');
    update {schema}.samples_config_by_tenant
    set ugc_tags = '{{null}}', zero_price_only = '2' where tenant_id like '%a';
    insert into {schema}.samples_config_by_tenant (tenant_id, ugc_tags, zero_price_only)
    values ('00000000-0000-4000-8000-00000000000b', '{{"a, b",c d}}', 'no');
    insert into {schema}.rfm_segments_by_tenant (tenant_id, segment, label, colour, priority)
    values ('00000000-0000-4000-8000-00000000000a', 'all', 'All', '#1b7f5c', 'first');
    insert into {schema}.rfm_segment_grid_by_tenant (tenant_id, r_score, f_score, m_score, segment)
    values ('00000000-0000-4000-8000-00000000000a', 'x', '99999', 'x', 'all');
    update {schema}.exchange_rates_by_tenant
    set rate = 'x' where tenant_id like '%a' and starts_on = '2026-06-20';
    update {schema}.exchange_rates_by_tenant
    set starts_on = '2026-02-30' where tenant_id like '%a' and starts_on = '2026-01-01';
"""


@pytest.fixture
def other_database(cluster: Cluster) -> Iterator[str]:
    """A database of the test's own, in which it can land and break what it likes."""
    with cluster.database("template1") as settings:
        yield settings.database_url


def _load_seeds_as_text(conn: Connection, dbt: Callable[..., str], schema: str) -> None:
    """As dbt loads them once a cell of each column is no value of its type."""
    dbt("seed")
    columns = """
        select table_name, column_name from information_schema.columns
        where table_schema = %s and table_name ~ '_by_(tenant|schema)$'
    """
    for column in conn.execute(columns, (schema,)).fetchall():
        conn.execute(
            sql.SQL("alter table {}.{} alter column {} type text").format(
                *map(sql.Identifier, (schema, column["table_name"], column["column_name"]))
            )
        )


def test_a_cell_that_cannot_be_read_stops_no_store(dbt: Dbt, other_database: str) -> None:
    """It has the default, or leaves its row out, and a data test tells of it."""
    own = yaml.safe_load((PACKAGE / "dbt_project.yml").read_text("utf-8"))["vars"]["quintile"]
    seeds = [*own["own_seeds"], "exchange_rates_by_tenant"]

    def run(*arguments: str, expect: int = 0) -> str:
        variables = layout_vars("native", own_seeds=seeds)
        return dbt(
            other_database, *arguments, variables=variables, expect=expect, ACME_SCHEMA="faulty"
        )

    def found(text: str) -> list[dict[str, Any]]:
        return conn.execute(in_schemas(text, "faulty")).fetchall()

    with connect(other_database) as conn:
        load_layout(conn, "native")
        _load_seeds_as_text(conn, run, "faulty")
        conn.execute(sql.SQL(FAULTS).format(schema=sql.Identifier("faulty")))
        models = ("tenants", "rfm_settings", "samples_config", "rfm_segments", "rfm_segment_grid")
        run(
            *("run", "--select", "+base_seeds__exchange_rates"),
            *(f"+stg_app__{model}" for model in models),
        )
        settings = "select * from {staging}.stg_app__rfm_settings order by tenant_id"
        default = {
            "tenant_id": UUID("00000000-0000-4000-8000-00000000000a"),
            "window_days": 365,
            "time_zone": "UTC",
            "minimum_minor": 0,
            "is_sample_counted": False,
            "excluded_customer_ids": [],
            "excluded_domains": [],
            "relay_domains": [],
            "additional_window_days": [],
        }
        other = {
            "tenant_id": UUID("00000000-0000-4000-8000-00000000000b"),
            "time_zone": "Asia/Kuwait",
        }
        assert found(settings) == [default, default | other | {"window_days": 730}]
        assert found(
            "select ugc_tags, is_zero_price_only, is_ugc_zero_price_only"
            " from {staging}.stg_app__samples_config order by tenant_id"
        ) == [
            {
                "ugc_tags": ["ugc-sample", "ugc", "creator-sample"],
                "is_zero_price_only": True,
                "is_ugc_zero_price_only": True,
            },
            {
                "ugc_tags": ["a, b", "c d"],
                "is_zero_price_only": False,
                "is_ugc_zero_price_only": False,
            },
        ]
        assert found(
            "select priority from {staging}.stg_app__rfm_segments order by tenant_id, segment"
        ) == [{"priority": None}, {"priority": 1}, {"priority": 2}]
        assert found(
            "select r_score, f_score, m_score from {staging}.stg_app__rfm_segment_grid"
            " where tenant_id::text like '%a'"
        ) == [{"r_score": None, "f_score": None, "m_score": 0}]
        assert found(
            "select from_currency, rate::text as rate from {staging}.base_seeds__exchange_rates"
            " order by from_currency"
        ) == [{"from_currency": "CHF", "rate": "1.25"}, {"from_currency": "USD", "rate": "0.3"}]
        # One of tenants, eight of RFM (one without a tenant), two of samples; none of borealis.
        reported = ("test", "--select", "test_name:cells_can_be_read")
        assert sorted(re.findall(r"Got (\d+) result", run(*reported, expect=1))) == ["1", "2", "8"]
        printed = run("test", "--select", "assert_exchange_rates_can_apply", expect=1)
        assert "Got 2 results" in printed

        # Nobody knows which of two rows is right.
        conn.execute(
            "insert into faulty.rfm_settings_by_tenant (tenant_id, window_days)"
            " select tenant_id, '30' from faulty.rfm_settings_by_tenant where tenant_id like '%b'"
        )
        assert found(settings) == [default, default | other]
        # No longer the cells of acme's row alone, but also both rows of borealis.
        assert "Got 10 results" in run(*reported, expect=1)


UNREADABLE = (
    "update faulty.tenants_by_schema set tenant_id = 'x' || tenant_id where name = 'borealis'"
)
TWICE = """
    insert into faulty.tenants_by_schema
    select tenant_id, 'twice' from faulty.tenants_by_schema where name = 'borealis'
"""
ABSENT = "delete from faulty.tenants_by_schema where name = 'borealis'"


@pytest.mark.parametrize(
    ("layout", "fault", "warning"),
    [
        ("native", UNREADABLE, "cells_can_be_read_base_seeds__tenants*"),
        ("native", TWICE, "cells_can_be_read_base_seeds__tenants*"),
        ("fivetran", UNREADABLE, "cells_can_be_read_base_seeds__tenants*"),
        ("fivetran", TWICE, "cells_can_be_read_base_seeds__tenants*"),
        ("fivetran", ABSENT, "assert_every_schema_has_one_tenant"),
    ],
)
def test_a_tenant_whose_row_cannot_be_read_keeps_its_rows(
    layout: str, fault: str, warning: str, dbt: Dbt, other_database: str
) -> None:
    """It is not built, and not taken for deleted; the other tenant is built."""

    def run(*arguments: str, expect: int = 0, **changes: Any) -> str:
        variables = layout_vars(layout, **changes)
        return dbt(
            other_database, *arguments, variables=variables, expect=expect, ACME_SCHEMA="faulty"
        )

    def last_days() -> list[tuple[Any, ...]]:
        last_days = """
            select currency, max(calculated_at)::date::text as last_day, count(*) as customers
            from {marts}.customer_rfm_segments group by currency order by currency
        """
        return [tuple(row.values()) for row in conn.execute(in_schemas(last_days, "faulty"))]

    recorded = "select count(distinct tenant_id) as tenants from {marts}.rfm_segment_history"
    models = ("run", "--select", "+customer_rfm_segments", "+rfm_segment_history")
    with connect(other_database) as conn:
        load_layout(conn, layout)
        _load_seeds_as_text(conn, run, "faulty")
        run(*models)
        (_, _, customers), (_, _, others) = last_days()
        conn.execute(fault)
        run(*models, as_of="2026-07-02")
        assert last_days() == [("KWD", "2026-07-01", customers), ("USD", "2026-07-02", others)]
        assert conn.execute(in_schemas(recorded, "faulty")).fetchall() == [{"tenants": 2}]
        printed = run("test", "--select", warning, expect=1)
        assert re.search("Got [12] result", printed)

        # Nothing is left of a tenant that is deleted on purpose.
        conn.execute("delete from faulty.tenants_by_schema where name <> 'acme'")
        left = {"source_schemas": ["landed_acme"]} if layout == "fivetran" else {}
        run(*models, as_of="2026-07-03", **left)
        assert last_days() == [("USD", "2026-07-03", others)]
        assert conn.execute(in_schemas(recorded, "faulty")).fetchall() == [{"tenants": 1}]


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"source_layout": "stitch"}, "It can be native, fivetran or airbyte"),
        ({"source_schemas": []}, "source_schemas has to list the schemas"),
        ({"tenants": ["nobody"]}, "No tenant is called nobody"),
        ({"exclusion_reasons": ["true"]}, "The var exclusion_reasons maps names to SQL conditions"),
    ],
)
def test_a_var_that_makes_no_sense_says_so(
    variables: dict[str, Any], reason: str, dbt: Dbt, built: str
) -> None:
    """None of these may read as a build of nothing."""
    out = dbt(
        built,
        *("run", "--select", "base_connectors__orders"),
        variables=layout_vars("airbyte", **variables),
        expect=None,
        ACME_SCHEMA="airbyte",
    )
    assert reason in out


def _documented_reasons() -> dict[str, str]:
    """The example of docs/package.md, which excludes none of these orders."""
    page = (PROJECT_DIR / "docs" / "package.md").read_text(encoding="utf-8")
    section = page.partition("## Exclusion reasons\n")[2].partition("\n## ")[0]
    example = yaml.safe_load(section[section.index("    vars:") : section.index("\n- ")])
    reasons: dict[str, str] = example["vars"]["quintile"]["exclusion_reasons"]
    assert len(reasons) == 2
    return reasons


def test_a_project_adds_exclusion_reasons(dbt: Dbt, built: str) -> None:
    """By its own name, for whatever is calculated; a build with other rules is not affected."""
    excluded = """
        select order_id, primary_reason, exclusion_reasons from {marts}.rfm_excluded_orders
        where 'to_a_friend' = any(exclusion_reasons) order by order_id
    """
    scored = """
        select window_days, frequency_count, monetary_total::text as monetary_total
        from {marts}.rfm_scores_by_window where customer_id = '101' and currency = 'USD'
        order by window_days
    """
    builds = "select * from {marts}.rfm_builds order by tenant_id"
    # Null for the orders without a note.
    reasons = {
        "to_a_friend": "o.note like 'leave at%' or o.order_number = '#1005'",
        **_documented_reasons(),
    }
    with connect(built) as conn:
        load_layout(conn, "airbyte")
        before = conn.execute(in_schemas(builds, "airbyte")).fetchall()
        variables = layout_vars("airbyte", exclusion_reasons=reasons)
        chosen = ("--select", "+rfm_excluded_orders", "+rfm_scores_by_window")
        no_tests = ("--exclude-resource-type", "test", "unit_test")
        out = dbt(built, "build", *chosen, *no_tests, variables=variables, ACME_SCHEMA="ruled")
        assert "WARN=0 ERROR=0 SKIP=0" in out
        assert conn.execute(in_schemas(excluded, "ruled")).fetchall() == [
            {
                "order_id": "1001",
                "primary_reason": "to_a_friend",
                "exclusion_reasons": ["to_a_friend"],
            },
            {
                "order_id": "1005",
                "primary_reason": "cancelled",
                "exclusion_reasons": ["cancelled", "to_a_friend"],
            },
        ]
        assert conn.execute(in_schemas(scored, "ruled")).fetchall() == [
            {"window_days": 365, "frequency_count": 1, "monetary_total": "40.00"},
            {"window_days": 730, "frequency_count": 1, "monetary_total": "40.00"},
        ]
        _assert_expected(conn, "airbyte")
        assert conn.execute(in_schemas(builds, "airbyte")).fetchall() == before
        keys = "select settings_key from {marts}.rfm_builds"
        rule, others = (
            {row["settings_key"] for row in conn.execute(in_schemas(keys, schema)).fetchall()}
            for schema in ("ruled", "airbyte")
        )
        assert not rule & others


@pytest.mark.parametrize(
    ("name", "condition", "reason"),
    [
        ("Wholesale", "o.channel = 'Wholesale'", "its name has to be lower-case letters"),
        ("sample", "o.channel = 'Wholesale'", "Quintile has a reason of this name"),
        ("unreadable", "o.channel = 'Wholesale'", "Quintile has a reason of this name"),
        ("wholesale", " ", "it has no SQL condition"),
        ("wholesale", "o.channel = 'Wholesale';", "a semicolon or a comment"),
        ("wholesale", "channel = 'o.channel'", "has to use columns of the order"),
        ("wholesale", "o.ordered_at < w.as_of", "has to use columns of the order"),
        ("wholesale", "o.ordered_at < now()", "depends on more than the order"),
        ("wholesale", "o.ordered_at < 'today'", "depends on more than the order"),
        ("wholesale", "age(date(o.ordered_at)) > '1 y'", "depends on more than the order"),
    ],
)
def test_an_exclusion_reason_that_makes_no_sense_says_so(
    name: str, condition: str, reason: str, dbt: Dbt, built: str
) -> None:
    arguments = json.dumps({"name": name, "condition": condition})
    out = dbt(
        built,
        *("run-operation", "quintile.check_exclusion_reason", "--args", arguments),
        variables=layout_vars("airbyte"),
        expect=None,
        ACME_SCHEMA="airbyte",
    )
    assert f"The var exclusion_reasons has the reason '{name}', but " in out
    assert reason in out


def test_with_the_service_s_schemas_everything_is_protected(dbt: Dbt, settings: Settings) -> None:
    """As quintile_transform, with tenants and settings of schema app and orders of a connector."""
    url = settings.database_url
    with connect(url) as admin:
        load_layout(admin, "airbyte")
        for schema in ("landed_acme", "landed_borealis"):
            admin.execute(f"grant usage on schema {schema} to quintile_transform")
            admin.execute(f"grant select on all tables in schema {schema} to quintile_transform")
        for suffix in ("", "__staging", "__intermediate", "__marts", "__calendar"):
            admin.execute(f"create schema served{suffix} authorization quintile_transform")
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
        _save_segment_rules(settings)
        out = dbt(
            url,
            "build",
            variables=layout_vars("airbyte", use_service_schemas=True),
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
        # The service may enter the schema of marts, and the one that the project chose for some.
        readable = admin.execute(
            "select nspname::text as name from pg_namespace where nspname like 'served%'"
            " and has_schema_privilege('quintile_app', oid, 'usage') order by 1"
        ).fetchall()
        assert {"served__calendar", "served__marts"} <= {row["name"] for row in readable}


# Records with which settings each table is made.
TABLES_MADE = r"""
    create table public.tables_made (name text, enable_nestloop text, jit text);
    create function public.record_table() returns event_trigger language plpgsql as $$
    begin
        insert into public.tables_made
        select
            regexp_replace(object_identity, '^.*\.|__dbt_tmp[0-9]*$', '', 'g'),
            current_setting('enable_nestloop'),
            current_setting('jit')
        from pg_event_trigger_ddl_commands()
        where object_type = 'table';
    end
    $$;
    create event trigger record_table on ddl_command_end
    when tag in ('CREATE TABLE', 'CREATE TABLE AS') execute function public.record_table();
"""


@pytest.mark.parametrize("layout", ["fivetran", "airbyte"])
def test_connectors_tables_are_made_without_nested_loops(
    layout: str, dbt: Dbt, other_database: str
) -> None:
    """With them, 44,122 orders took 249 s: the planner cannot estimate a connector's columns."""
    models = {"base_connectors__orders", "base_connectors__customers"}
    with connect(other_database) as conn:
        load_layout(conn, layout)
        conn.execute(TABLES_MADE)
        dbt(
            other_database,
            *("build", "--exclude-resource-type", "unit_test", "test"),
            *("--select", *(f"+{model}" for model in models)),
            variables=layout_vars(layout),
            ACME_SCHEMA=layout,
        )
        made = conn.execute("select * from public.tables_made").fetchall()
    settings = {row["name"]: (row["enable_nestloop"], row["jit"]) for row in made}
    assert {name: settings.pop(name) for name in models} == dict.fromkeys(models, ("off", "off"))
    # The settings end with the transaction: seeds are made without them.
    assert set(settings.values()) == {("on", "on")}


def test_a_project_protects_its_own_seeds_as_the_page_says(
    project: Path, tmp_path: Path, settings: Settings
) -> None:
    page = (PROJECT_DIR / "docs" / "package.md").read_text(encoding="utf-8")
    section = page.partition("## With the service's schemas\n")[2].partition("\n## ")[0]
    example = section[section.index("    seeds:") :].replace("your_project", "acme_analytics")
    own = tmp_path / "project"
    shutil.copytree(project, own, symlinks=True, ignore=shutil.ignore_patterns("parsed"))
    with (own / "dbt_project.yml").open("a", encoding="utf-8") as file:
        file.write(dedent(example))
    with connect(settings.database_url) as admin:
        admin.execute("create schema own authorization quintile_transform")
        for _ in range(2):
            plain_dbt(
                *(own, settings.database_url, "seed"),
                *("--select", "tenants_by_schema", "samples_config_by_tenant"),
                *("--vars", json.dumps(layout_vars("airbyte", use_service_schemas=True))),
                ACME_SCHEMA="own",
                ACME_ROLE="quintile_transform",
            )
        found = admin.execute("select distinct relation from app.isolation_findings").fetchall()
        assert found == [{"relation": "own.samples_config_by_tenant"}]
        rows = admin.execute("select count(*) as n from own.tenants_by_schema").fetchall()
        assert rows == [{"n": 2}]


# What a project that wants nothing but the seeds writes.
ALL_DISABLED = """
data_tests: {quintile: {+enabled: false}}
unit_tests: {quintile: {+enabled: false}}
semantic-models: {quintile: {+enabled: false}}
metrics: {quintile: {+enabled: false}}
exposures: {quintile: {+enabled: false}}
"""


def test_hooks_run_for_a_project_that_disables_all_models(
    project: Path, tmp_path: Path, settings: Settings
) -> None:
    """With the service's schemas on, hooks of every run look for the relations to protect."""
    without = tmp_path / "project"
    shutil.copytree(project, without, symlinks=True, ignore=shutil.ignore_patterns("parsed"))
    shutil.rmtree(without / "models")
    path = without / "dbt_project.yml"
    own = yaml.safe_load(path.read_text("utf-8")) | yaml.safe_load(ALL_DISABLED)
    # `+enabled: false` of the whole package would disable its hooks as well.
    folders = ("staging", "intermediate", "marts", "semantic")
    own["models"] = {"quintile": {folder: {"+enabled": False} for folder in folders}}
    own["vars"]["quintile"]["use_service_schemas"] = True
    path.write_text(yaml.safe_dump(own), encoding="utf-8")
    model = without / "models" / "answer.sql"
    model.parent.mkdir()
    model.write_text("select 42 as answer\n", encoding="utf-8")
    with connect(settings.database_url) as admin:
        admin.execute("create schema own authorization quintile_transform")
        given = ("--select", "answer")
        out = plain_dbt(
            *(without, settings.database_url, "run", *given),
            ACME_SCHEMA="own",
            ACME_ROLE="quintile_transform",
        )
        assert "WARN=0 ERROR=0 SKIP=0" in out
        assert admin.execute("select answer from own.answer").fetchall() == [{"answer": 42}]
