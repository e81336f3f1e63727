"""What the benchmarks share: their orders, and dbt as they run it."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from service.core.config import PROJECT_DIR, Settings
from service.core.db import (
    Connection,
    admin_url,
    connect,
    connect_as_owner,
    one,
    transform_url,
)
from service.migrate import migrate
from service.tenants.tenants import add_tenant
from tests.command import environment_of

SIZES = {"10k": 10_000, "100k": 100_000, "1m": 1_000_000, "5m": 5_000_000, "10m": 10_000_000}
TENANTS = 50
AS_OF = "2026-07-01"
DBT = (str(Path(sys.executable).with_name("dbt")),)


def sql(name: str) -> Any:
    """A statement of this directory."""
    return (Path(__file__).parent / f"{name}.sql").read_text(encoding="utf-8")


def seconds_of(conn: Connection, statement: str, **parameters: object) -> float:
    """What a query takes to its last row and column, none of which is sent anywhere.

    A count over the query would not do: PostgreSQL leaves out columns that are not read.
    """
    explain: Any = f"explain (analyze, timing off, summary on, format json) {statement}"
    (answer,) = one(conn.execute(explain, parameters or None).fetchone()).values()
    return float(answer[0]["Planning Time"] + answer[0]["Execution Time"]) / 1000


def make_orders(settings: Settings, size: int) -> None:
    """Migrate an empty database and fill it with so many orders of the benchmark's tenants."""
    migrate(settings)
    with connect_as_owner(settings) as owner:
        for number in range(1, TENANTS + 1):
            add_tenant(owner, f"tenant_{number:02}")
    with connect(admin_url(settings)) as admin:
        execute(admin, "make_orders", size=size)
        execute(admin, "make_customers")
        for table in ("orders", "customers"):
            admin.execute(f"vacuum analyze shopify.{table}")  # type: ignore[call-overload]


def execute(conn: Connection, name: str, **parameters: object) -> None:
    """Run a statement of this directory."""
    conn.execute(sql(name), parameters or None)


def counts(admin: Connection) -> dict[str, float]:
    """Rows that dbt's tables have had written so far, WAL bytes, and the database's busy time."""
    # Backends report their counts when they end; give the last one its moment.
    time.sleep(1)
    admin.execute("select pg_stat_force_next_flush()")
    return one(admin.execute(sql("counts")).fetchone())


def cpu_seconds(admin: Connection) -> float:
    """Processor time of the server's sessions and workers that have ended so far, or NaN."""
    if sys.platform != "linux":
        return math.nan
    directory = one(admin.execute("show data_directory").fetchone())["data_directory"]
    pid = Path(directory, "postmaster.pid").read_text(encoding="utf-8").split()[0]
    # cutime and cstime of proc(5), the 16th and 17th field; the second is a name in parentheses.
    fields = Path("/proc", pid, "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def dbt(settings: Settings, *command: str, as_of: str, tenants: list[str]) -> None:
    """Run a dbt command, one model at a time; exit when it fails."""
    target = settings.home_dir / "target"
    run_dbt(
        PROJECT_DIR,
        *(*command, "--threads", "1"),
        *("--vars", json.dumps({"as_of": as_of, "tenants": tenants})),
        environment={
            **environment_of(settings),
            # As `quintile build` does: who logs in as another role lacks this one's settings.
            "QUINTILE_TRANSFORM_DATABASE_URL": transform_url(settings),
            "DBT_TARGET_PATH": str(target),
            "DBT_LOG_PATH": str(target),
        },
        program=(sys.executable, "-m", "tests.bench.statements", str(target / "statements.json")),
    )


def seconds_of_models(settings: Settings) -> dict[str, dict[str, float]]:
    """Seconds that the models of the last dbt command waited for the database, by kind."""
    found: dict[str, dict[str, float]] = json.loads(
        (settings.home_dir / "target" / "statements.json").read_bytes()
    )
    return found


def run_dbt(
    project: Path, *command: str, environment: dict[str, str], program: Sequence[str] = DBT
) -> None:
    """Run a dbt command in a project; exit when it fails."""
    done = subprocess.run(
        [*program, "--quiet", "--warn-error", *command],
        cwd=project,
        env=environment,
        stdout=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode != 0:
        log = Path(environment["DBT_LOG_PATH"]) / "dbt.log"
        sys.exit(f"dbt failed:\n{log.read_text(encoding='utf-8')[-3000:]}")


def compiled(settings: Settings, model: str) -> str:
    """The SQL of a model, as dbt compiled it last."""
    models = settings.home_dir / "target" / "compiled" / "quintile" / "models"
    return (models / f"{model}.sql").read_text(encoding="utf-8")
