"""What the benchmarks share: their orders, and dbt as they run it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from service.core.config import PROJECT_DIR, Settings
from service.core.db import Connection, one, transform_url
from tests.command import environment_of

SIZES = {"10k": 10_000, "100k": 100_000, "1m": 1_000_000, "10m": 10_000_000}
TENANTS = 50
AS_OF = "2026-07-01"


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


def dbt(settings: Settings, *command: str, as_of: str, tenants: list[str]) -> None:
    """Run a dbt command, one model at a time; exit when it fails."""
    target = settings.home_dir / "target"
    done = subprocess.run(
        [
            *(Path(sys.executable).with_name("dbt"), "--quiet", "--warn-error", *command),
            *("--threads", "1", "--vars", json.dumps({"as_of": as_of, "tenants": tenants})),
        ],
        cwd=PROJECT_DIR,
        env={
            **environment_of(settings),
            # As `quintile build` does: who logs in as another role lacks this one's settings.
            "QUINTILE_TRANSFORM_DATABASE_URL": transform_url(settings),
            "DBT_TARGET_PATH": str(target),
            "DBT_LOG_PATH": str(target),
        },
        stdout=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode != 0:
        log = target / "dbt.log"
        sys.exit(f"dbt failed:\n{log.read_text(encoding='utf-8')[-3000:]}")


def compiled(settings: Settings, model: str) -> str:
    """The SQL of a model, as dbt compiled it last."""
    models = settings.home_dir / "target" / "compiled" / "quintile" / "models"
    return (models / f"{model}.sql").read_text(encoding="utf-8")
