"""Lint all SQL with sqlfluff: ``python -m tests.dbt.lint_sql``.

dbt compiles models and dbt tests first; plain SQL only gets its parameters filled in. The models
of a source layout are enabled only if it is selected, so each layout needs a separate run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from service.core import embedded
from service.core.config import PROJECT_DIR, Settings
from service.core.db import admin_url
from service.migrate import migrate

# Rules that sqlfluff applies wrongly to plain SQL; .sqlfluff explains each.
_MISREAD = "ST06,ST11,LT02,LT14,RF01,RF02,RF03,RF04,AL03"

_PLAIN = ["sql", "service", "tests/dbt/package/fixtures"]
_DBT_TESTS = ["tests/dbt/generic", *sorted(map(str, (PROJECT_DIR / "tests" / "dbt").glob("*.sql")))]

_PLAIN_RUN = ["--templater", "placeholder", "--exclude-rules", _MISREAD, *_PLAIN]
_COMPILED_RUNS = (
    ["models", *_DBT_TESTS],
    *(
        [
            *("--config", f"tests/dbt/package/{layout}.sqlfluff"),
            *(f"models/staging/{folder}" for folder in (layout, "connectors", "seeds")),
            "tests/dbt/assert_every_schema_has_one_tenant.sql",
        ]
        for layout in ("fivetran", "airbyte")
    ),
)


def main() -> int:
    """Lint both kinds and return 0 if there are no findings."""
    sqlfluff = Path(sys.executable).with_name("sqlfluff")
    # To compile an incremental model, dbt checks in the database whether the table exists. Use a
    # new database for every run: the linter must not touch the one in use, and migrations that are
    # still in development may change.
    home = Path(tempfile.mkdtemp(prefix="quintile-lint-"))
    settings = Settings(home=str(home), secret_key="the linter's")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("QUINTILE_")}

    def lint(environment: dict[str, str], *arguments: str) -> int:
        done = subprocess.run(
            [sqlfluff, "lint", "--disable-progress-bar", *arguments],
            cwd=PROJECT_DIR,
            env={**inherited, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        sys.stdout.buffer.write(done.stdout)
        sys.stdout.flush()
        return done.returncode

    try:
        # Plain SQL needs neither the database nor dbt, whose files allow one run at a time.
        with ThreadPoolExecutor(max_workers=1) as executor:
            plain = executor.submit(lint, {}, *_PLAIN_RUN)
            migrate(settings)
            server = {"QUINTILE_DATABASE_URL": admin_url(settings)}
            codes = [lint(server, *arguments) for arguments in _COMPILED_RUNS]
            codes.append(plain.result())
    finally:
        embedded.stop(settings.home_dir / "pg")
        shutil.rmtree(home)
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
