"""Amounts beside those of dbt_shopify: ``python -m tests.compare_dbt_shopify DIRECTORY``.

The directory has checkouts of dbt_shopify, dbt_fivetran_utils (release 0.4), dbt-utils and
spark-utils. Both packages are built on dbt_shopify's own integration seeds, those of Shopify's REST
API and those of its GraphQL API, and on ``tests/dbt/package/fixtures/order_kinds.sql``. What this
prints is in docs/package.md. No test runs it, because the checkouts belong to others;
``tests/integration/test_order_kinds.py`` holds Quintile to dbt_shopify's formula without them.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from psycopg import sql

from service.core import embedded
from service.core.config import PROJECT_DIR
from service.core.db import Connection, connect
from tests.package import AS_OF, PACKAGE, connection_environment
from tests.warm_dbt import plain_environment

# What each checkout installs, which `dbt deps` would ask the package hub for.
CHECKOUTS = {
    "dbt-utils": [],
    "spark-utils": [],
    "dbt_fivetran_utils": ["dbt-utils"],
    "dbt_shopify": ["dbt_fivetran_utils", "spark-utils", "dbt-utils"],
}
SEEDS = "shopify_integration_tests"
# By schema of the connector's tables: the API, and how seeds and models of it begin.
DATA = {
    "seeds_rest": ("rest", "shopify_", "shopify__"),
    "seeds_graphql": ("graphql", "shopify_gql_", "shopify_gql__"),
    "landed_acme": ("rest", "shopify_", "shopify__"),
}

# The schema's tables by the connector's names, unless they are there.
LACKING = """
    select name, seed
    from (
        select tablename::text as seed,
            replace(replace(tablename, %(prefix)s, ''), '_data', '') as name
        from pg_tables
        where schemaname = %(seeds)s and starts_with(tablename, %(prefix)s)
    ) as s
    where not starts_with(name, 'gql_')
    and to_regclass(format('%%I.%%I', %(schema)s::text, name)) is null
"""
BY_ORDER = """
    select o.order_id, o.currency, round(o.order_adjusted_total::numeric, 2) as dbt_shopify,
        case when e.order_id is null then round(s.net_minor / 100.0, 2) end as quintile,
        case when s.order_id is null then 'not staged' else e.primary_reason end as reason
    from {shopify}.{orders} as o
    left join {staging}.stg_shopify__orders as s on o.order_id::text = s.order_id
    left join {marts}.rfm_excluded_orders as e on o.order_id::text = e.order_id
    order by 1
"""
BY_CUSTOMER = """
    select coalesce(c.customer_id::text, f.customer_id) as customer_id,
        c.lifetime_count_orders as dbt_shopify_orders, f.lifetime_order_count as quintile_orders,
        round(c.lifetime_total_net::numeric, 2) as dbt_shopify,
        round(f.lifetime_minor / 100.0, 2) as quintile
    from {shopify}.{customers} as c
    full join {marts}.customer_facts as f on c.customer_id::text = f.customer_id
    order by 1
"""
BY_KIND = """
    select k.kind, count(o.order_id) as orders, sum(o.dbt_shopify) as dbt_shopify,
        coalesce(sum(o.quintile), 0) as quintile, min(o.reason) as reason
    from landed_acme.kinds as k
    left join ({by_order}) as o on k.number = o.order_id / 1000
    group by k.number, k.kind
    order by k.number
"""


def main() -> int:
    """Build both packages on each data set and print their results side by side."""
    home = Path(tempfile.mkdtemp(prefix="quintile-compare-"))
    try:
        for name, needs in CHECKOUTS.items():
            shutil.copytree(Path(sys.argv[1], name), home / name)
            _write_packages(home / name, *(home / need for need in needs))
        url = embedded.start(home / "pg")
        _dbt(home / "dbt_shopify" / "integration_tests", url, SEEDS, "seed")
        with connect(url) as conn:
            conn.execute((PACKAGE / "fixtures" / "order_kinds.sql").read_text(encoding="utf-8"))
            for schema in DATA:
                _complete_tables(conn, schema)
                _build_dbt_shopify(home, url, schema)
                _build_quintile(home, url, schema)
                _print_results(conn, schema)
    finally:
        embedded.stop(home / "pg")
        shutil.rmtree(home)
    return 0


def _complete_tables(conn: Connection, schema: str) -> None:
    """Make the tables that a schema lacks: views of the seeds, or of none of their rows."""
    conn.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(schema)))
    rows = sql.SQL("true" if schema.startswith("seeds") else "false")
    given = {"prefix": DATA[schema][1], "seeds": SEEDS, "schema": schema}
    for row in conn.execute(LACKING, given).fetchall():
        view, seed = sql.Identifier(schema, row["name"]), sql.Identifier(SEEDS, row["seed"])
        statement = sql.SQL("create view {} as select * from {} where {}")
        conn.execute(statement.format(view, seed, rows))


def _build_dbt_shopify(home: Path, url: str, schema: str) -> None:
    api, _, models = DATA[schema]
    project = home / f"project_{schema}"
    project.mkdir()
    one_schema = {"staging": {"+schema": "shopify"}}
    (project / "dbt_project.yml").write_text(
        json.dumps(
            {
                "name": "compared",
                "profile": "compared",
                "models": {"shopify": {"+schema": "shopify", "rest": one_schema}},
                "vars": {"shopify_schema": schema, "shopify_api": api},
            }
        )
    )
    _write_packages(project, home / "dbt_shopify")
    _dbt(project, url, schema, "run", "--select", f"+{models}orders", f"+{models}customers")


def _build_quintile(home: Path, url: str, schema: str) -> None:
    project = home / f"quintile_{schema}"
    shutil.copytree(PROJECT_DIR / "docs" / "examples" / "dbt_project", project)
    _write_packages(project, PROJECT_DIR)
    (project / "seeds" / "tenants_by_schema.csv").write_text(
        "tenant_id,name,source_schema,shop_domain,currency,time_zone\n"
        f"00000000-0000-4000-8000-00000000000a,compared,{schema},,,\n"
    )
    given = json.dumps({"source_schemas": [schema], "as_of": AS_OF})
    kinds = ("--resource-type", "seed", "--resource-type", "model")
    _dbt(project, url, f"quintile_{schema}", "build", *kinds, "--vars", given)


def _write_packages(project: Path, *packages: Path) -> None:
    installed = [{"local": str(package)} for package in packages]
    (project / "packages.yml").write_text(json.dumps({"packages": installed}))


def _dbt(project: Path, url: str, schema: str, *command: str) -> None:
    """Install what the project needs and run a command in it, with this target schema."""
    settings = connection_environment(url)
    output = {
        "type": "postgres",
        "host": settings["PGHOST"],
        "port": 5432,
        "user": settings["PGUSER"],
        "password": "",
        "dbname": settings["PGDATABASE"],
        "schema": schema,
        "threads": 2,
    }
    profile = {"target": "compared", "outputs": {"compared": output}}
    names = ("integration_tests", "compared", "your_project")
    (project / "profiles.yml").write_text(json.dumps(dict.fromkeys(names, profile)))
    for arguments in (["deps"], list(command)):
        subprocess.run(
            [Path(sys.executable).with_name("dbt"), "--quiet", *arguments],
            cwd=project,
            env={**plain_environment(), "DBT_PROFILES_DIR": str(project)},
            check=True,
        )


def _print_results(conn: Connection, schema: str) -> None:
    _, _, models = DATA[schema]
    names = {
        "shopify": f"{schema}_shopify",
        "orders": f"{models}orders",
        "customers": f"{models}customers",
        "marts": f"quintile_{schema}_marts",
        "staging": f"quintile_{schema}_staging",
    }
    given = {name: sql.Identifier(value) for name, value in names.items()}
    by_order = sql.SQL(BY_ORDER).format(**given)
    tables = {"order": by_order, "customer": sql.SQL(BY_CUSTOMER).format(**given)}
    if schema == "landed_acme":
        tables = {"kind": sql.SQL(BY_KIND).format(by_order=by_order)}
    for by, query in tables.items():
        rows = conn.execute(query).fetchall()
        print(f"\n{schema} by {by}\n\n| {' | '.join(rows[0])} |\n|{' --- |' * len(rows[0])}")
        for row in rows:
            print(f"| {' | '.join('' if v is None else str(v) for v in row.values())} |")


if __name__ == "__main__":
    sys.exit(main())
