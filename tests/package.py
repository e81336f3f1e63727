"""tests/dbt/package: a project that installs Quintile, and its orders in every layout."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from service.core.config import PROJECT_DIR
from service.core.db import Connection
from tests.warm_dbt import plain_environment

PACKAGE = PROJECT_DIR / "tests" / "dbt" / "package"
AS_OF = "2026-07-01"

SCHEMAS = ["landed_acme", "landed_borealis"]
LAYOUTS: dict[str, dict[str, Any]] = {
    "native": {"shopify_schema": "landed_shopify"},
    "fivetran": {"source_layout": "fivetran", "source_schemas": SCHEMAS},
    # Quintile sees by the columns which of Fivetran's schemas it reads.
    "fivetran_graphql": {"source_layout": "fivetran", "source_schemas": SCHEMAS},
    "airbyte": {"source_layout": "airbyte", "source_schemas": SCHEMAS},
}

Dbt = Callable[..., str]


def plain_dbt(project: Path, url: str, *arguments: str, **environment: str) -> str:
    """The dbt command in the project, as the analyst runs it."""
    done = subprocess.run(
        [Path(sys.executable).with_name("dbt"), "--warn-error", *arguments],
        cwd=project,
        env={**plain_environment(), **connection_environment(url), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def connection_environment(url: str) -> dict[str, str]:
    parts = conninfo_to_dict(url)
    return {
        "QUINTILE_PROJECT_DIR": str(PROJECT_DIR),
        "PGHOST": str(parts["host"]),
        "PGUSER": str(parts["user"]),
        "PGDATABASE": str(parts["dbname"]),
    }


def load_layout(conn: Connection, layout: str) -> None:
    conn.execute("drop schema if exists landed_acme, landed_borealis cascade")
    # What differs between Fivetran's schemas is a file of its own.
    for name in ("fivetran", "fivetran_graphql") if layout == "fivetran_graphql" else (layout,):
        conn.execute((PACKAGE / "fixtures" / f"{name}.sql").read_text(encoding="utf-8"))


def layout_vars(layout: str, **changes: Any) -> dict[str, Any]:
    return {"as_of": AS_OF, **LAYOUTS[layout], **changes}


def in_schemas(text: str, schema: str) -> sql.Composed:
    return sql.SQL(text).format(
        marts=sql.Identifier(f"{schema}__marts"), staging=sql.Identifier(f"{schema}__staging")
    )
