"""sqlfluff over everything that is SQL: ``python -m tests.dbt.lint_sql``.

Models and dbt's tests are compiled by dbt first; plain SQL only has its parameters filled in.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import PROJECT_DIR

# What sqlfluff misreads in plain SQL: .sqlfluff says why, rule by rule.
_MISREAD = "ST06,ST11,LT02,LT14,RF01,RF02,RF03,RF04,AL03"

RUNS = (
    ["models", "tests/dbt"],
    ["--templater", "placeholder", "--exclude-rules", _MISREAD, "sql", "service"],
)


def main() -> int:
    """Lint both kinds; 0 when nothing is to be said."""
    sqlfluff = Path(sys.executable).with_name("sqlfluff")
    # dbt compiles without a database as long as it has somewhere it need not go.
    environment = {"QUINTILE_DATABASE_URL": "postgresql://lint@127.0.0.1:1/lint", **os.environ}
    codes = [
        subprocess.run(
            [sqlfluff, "lint", "--disable-progress-bar", *arguments],
            cwd=PROJECT_DIR,
            env=environment,
            check=False,
        ).returncode
        for arguments in RUNS
    ]
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
