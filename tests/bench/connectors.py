"""What the source layouts cost who installs the package: Fivetran's and Airbyte's beside native.

The project is that of docs/package.md. It is built in one database once per layout, into schemas of
its own, from the same orders: the connectors' tables are made of the native ones, in one schema per
tenant. Nothing changes before the second build, which still reads everything, because change
tracking needs the service's schemas. The base models combine a connector's tables, and the native
layout has none; their seconds are dbt's for the second build. Those of a build are the seconds in
which the database worked, one statement at a time, for a role without settings of its own; "CPU" is
the server's processor time in a build, which other work on the machine does not lengthen.
"""

from __future__ import annotations

import json
import secrets
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg import sql as psycopg_sql

from service.core import embedded
from service.core.config import PROJECT_DIR, Settings
from service.core.db import Connection, admin_url, connect
from tests.bench import AS_OF, counts, cpu_seconds, execute, make_orders, run_dbt, sql
from tests.package import connection_environment
from tests.warm_dbt import plain_environment

LARGEST = 1_000_000
CONNECTORS = ("fivetran", "airbyte")
_EXAMPLE = PROJECT_DIR / "docs" / "examples" / "dbt_project"


@dataclass(frozen=True)
class Measured:
    """A build: seconds in which the database worked, of its processor, and of the base models."""

    seconds: float
    cpu_seconds: float
    base_seconds: float


def bench_connectors(size: int, layouts: Sequence[str] = CONNECTORS) -> None:
    """Print what so many orders cost in these layouts beside native; at most a million.

    Ends with exit code 1 if the layouts do not give the same result.
    """
    home = Path(tempfile.mkdtemp(prefix="quintile-bench-"))
    settings = Settings(home=str(home), secret_key=secrets.token_hex(32))
    try:
        make_orders(settings, min(size, LARGEST))
        with connect(admin_url(settings)) as admin:
            for layout in layouts:
                execute(admin, f"make_{layout}")
            admin.execute("vacuum analyze")
            print(f"{min(size, LARGEST):,} orders by source layout")
            _compare_layouts(admin, _make_project(home, admin), ("native", *layouts))
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


def _compare_layouts(admin: Connection, project: Path, layouts: Sequence[str]) -> None:
    build = f"{'seconds':>9}{'CPU':>9}{'x native':>10}"
    print(f"{'':<10}{'base models':>12}{build}{build}   first and second build")
    native: tuple[float, float] | None = None
    expected: list[dict[str, Any]] = []
    for layout in layouts:
        first, second = (_build(admin, project, layout) for _ in range(2))
        marts = psycopg_sql.Identifier(f"dbt_{layout}_marts")
        results = psycopg_sql.SQL(sql("layout_results")).format(marts=marts)
        found = admin.execute(results).fetchall()
        native, expected = native or (first.seconds, second.seconds), expected or found
        print(
            f"{layout:<10}{second.base_seconds:>12.2f}",
            *(
                f"{build.seconds:>9.2f}{build.cpu_seconds:>9.2f}{build.seconds / floor:>10.2f}"
                for build, floor in zip((first, second), native, strict=True)
            ),
            sep="",
            flush=True,
        )
        if found != expected:
            sys.exit(f"{layout} does not give the result of native")


def _build(admin: Connection, project: Path, layout: str) -> Measured:
    schemas = [row["name"] for row in admin.execute(sql("landed_schemas")).fetchall()]
    variables = {"source_layout": layout, "source_schemas": schemas, "shopify_schema": "shopify"}
    before, cpu_before = counts(admin)["active_ms"], cpu_seconds(admin)
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
        if ".base_connectors__" in result["unique_id"]
    )
    return Measured(seconds, cpu_seconds(admin) - cpu_before, base)


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
