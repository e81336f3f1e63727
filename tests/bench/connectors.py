"""What the source layouts cost who installs the package: Fivetran's and Airbyte's beside native.

The project is that of docs/package.md. It is built in one database once per layout, into schemas of
its own, from the same orders: the connectors' tables are made of the native ones, in one schema per
tenant. Nothing changes before the second build, which still reads everything, because change
tracking needs the service's schemas. The base models combine a connector's tables, and the native
layout has none; their seconds are dbt's for the second build. Those of a build are the seconds in
which the database worked, one statement at a time, for a role without settings of its own.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from psycopg import sql as psycopg_sql

from service.core import embedded
from service.core.config import PROJECT_DIR, Settings
from service.core.db import Connection, admin_url, connect
from tests.bench import AS_OF, counts, execute, make_orders, run_dbt, sql
from tests.package import connection_environment
from tests.warm_dbt import plain_environment

LARGEST = 1_000_000
_EXAMPLE = PROJECT_DIR / "docs" / "examples" / "dbt_project"


def bench_connectors(size: int) -> None:
    """Print what so many orders cost in each source layout; at most a million.

    Ends with exit code 1 if the layouts do not give the same result.
    """
    home = Path(tempfile.mkdtemp(prefix="quintile-bench-"))
    settings = Settings(home=str(home), secret_key="a secret for benchmarks")
    try:
        make_orders(settings, min(size, LARGEST))
        with connect(admin_url(settings)) as admin:
            execute(admin, "make_fivetran")
            execute(admin, "make_airbyte")
            admin.execute("vacuum analyze")
            _compare_layouts(admin, _make_project(home, admin), min(size, LARGEST))
    finally:
        embedded.stop(settings.home_dir / "pg")
        shutil.rmtree(home)


def _make_project(home: Path, admin: Connection) -> Path:
    """The example of docs/package.md beside Quintile, with the tenants of the benchmark."""
    project = home / "project"
    shutil.copytree(_EXAMPLE, project)
    (home / "quintile").symlink_to(PROJECT_DIR)
    with admin.cursor().copy(sql("copy_tenants")) as rows:
        (project / "seeds" / "tenants_by_schema.csv").write_bytes(b"".join(rows))
    run_dbt(project, "deps", environment=_environment(admin, project, "nobody"))
    return project


def _compare_layouts(admin: Connection, project: Path, size: int) -> None:
    print(f"{size:,} orders by source layout")
    print(f"{'':<10}{'base models':>12}{'build':>9}{'x native':>10}{'second':>9}{'x native':>10}")
    native: tuple[float, float] | None = None
    expected: list[dict[str, Any]] = []
    for layout in ("native", "fivetran", "airbyte"):
        first, _ = _build(admin, project, layout)
        second, base = _build(admin, project, layout)
        marts = psycopg_sql.Identifier(f"dbt_{layout}_marts")
        results = psycopg_sql.SQL(sql("layout_results")).format(marts=marts)
        found = admin.execute(results).fetchall()
        native, expected = native or (first, second), expected or found
        print(
            f"{layout:<10}{base:>12.2f}{first:>9.2f}{first / native[0]:>10.2f}"
            f"{second:>9.2f}{second / native[1]:>10.2f}",
            flush=True,
        )
        if found != expected:
            sys.exit(f"{layout} does not give the result of native")


def _build(admin: Connection, project: Path, layout: str) -> tuple[float, float]:
    """Seconds that the database works for a build, and those of the base models in it."""
    schemas = [row["name"] for row in admin.execute(sql("landed_schemas")).fetchall()]
    variables = {"source_layout": layout, "source_schemas": schemas, "shopify_schema": "shopify"}
    before = counts(admin)["active_ms"]
    run_dbt(
        project,
        *("build", "--resource-type", "model", "--resource-type", "seed"),
        *("--target", "dev", "--threads", "1"),
        *("--vars", json.dumps({"as_of": AS_OF, **variables})),
        environment=_environment(admin, project, layout),
    )
    seconds = (counts(admin)["active_ms"] - before) / 1000
    results = json.loads((project / "target" / "run_results.json").read_text(encoding="utf-8"))
    base = sum(
        result["execution_time"]
        for result in results["results"]
        if f".base_{layout}__" in result["unique_id"]
    )
    return seconds, base


def _environment(admin: Connection, project: Path, user: str) -> dict[str, str]:
    """The project's target dev writes to schemas of its user."""
    return {
        **plain_environment(),
        **connection_environment(admin.info.dsn),
        "DBT_PROFILES_DIR": str(project),
        "DBT_TARGET_PATH": str(project / "target"),
        "DBT_LOG_PATH": str(project / "target"),
        "USER": user,
    }
