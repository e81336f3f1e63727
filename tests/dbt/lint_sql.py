"""sqlfluff over everything that is SQL: ``python -m tests.dbt.lint_sql``.

First an empty build into a developer's schemas, so that PostgreSQL has seen every model within
seconds. dbt compiles models and data tests for sqlfluff; plain SQL only has its parameters filled
in. The models of a source layout exist only while that layout is chosen, so each layout is a run of
its own.

What passed once is not linted again: ``.quintile/lint-passed`` has a digest of each plain file, and
of each run over the dbt project, that passed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from service.core import embedded
from service.core.config import PROJECT_DIR, Settings
from service.core.db import admin_url
from service.migrate import migrate

# What sqlfluff misreads in plain SQL: .sqlfluff says why, rule by rule.
_MISREAD = "ST06,ST11,LT02,LT14,RF01,RF02,RF03,RF04,AL03"

_PLAIN_DIRS = ("sql", "service", "tests/dbt/package/fixtures")
_PLAIN_OPTIONS = (
    *("--config", "tests/dbt/plain.sqlfluff", "--templater", "placeholder"),
    *("--exclude-rules", _MISREAD),
)
# What decides how dbt compiles a model, and how sqlfluff judges it.
_DBT_FILES = ("models", "macros", "seeds", "tests/dbt", "dbt_project.yml", "profiles.yml")
_DBT_TESTS = ["tests/dbt/generic", *sorted(map(str, (PROJECT_DIR / "tests" / "dbt").glob("*.sql")))]
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
# Without tests: there is no row to test.
_EMPTY_BUILD = (
    *("--quiet", "--warn-error", "--no-write-json", "build", "--empty", "--target", "dev"),
    *("--exclude-resource-types", "unit_test", "test"),
)
_PASSED = PROJECT_DIR / ".quintile" / "lint-passed"


def main() -> int:
    """Lint what has changed since it last passed; 0 when all passes."""
    passed = set(_PASSED.read_text().split()) if _PASSED.exists() else set()
    plain = {_digest([path]): path for path in _files(_PLAIN_DIRS, [".sql"])}
    project = _digest(_files(_DBT_FILES, [".sql", ".yml", ".csv", ".sqlfluff"]))
    built = f"{project}-built"
    runs = {f"{project}-{number}": run for number, run in enumerate(_COMPILED_RUNS)}
    # Plain SQL needs neither dbt, of which one may use the project's files at a time, nor its
    # database.
    with ThreadPoolExecutor(max_workers=1) as beside:
        files = [str(path) for digest, path in plain.items() if digest not in passed]
        plain_code = beside.submit(_lint, {}, [*_PLAIN_OPTIONS, *files] if files else [])
        with _database(is_needed=not passed.issuperset([built, *runs])) as environment:
            codes = {} if built in passed else {built: _build_empty(environment)}
            codes |= {
                digest: _lint(environment, run)
                for digest, run in runs.items()
                if digest not in passed
            }
    clean = {digest for digest in (built, *runs) if codes.get(digest, 0) == 0}
    if plain_code.result() == 0:
        clean |= set(plain)
    _PASSED.parent.mkdir(exist_ok=True)
    _PASSED.write_text("\n".join(sorted(clean)))
    return max(plain_code.result(), *codes.values(), 0)


@contextmanager
def _database(*, is_needed: bool) -> Iterator[dict[str, str]]:
    """The environment of a database for dbt: compiling an incremental model asks for its table.

    It is the linter's own and new every time, so that a migration may be edited while it is
    written.
    """
    if not is_needed:
        yield {}
        return
    home = Path(tempfile.mkdtemp(prefix="quintile-lint-"))
    settings = Settings(home=str(home), secret_key="the linter's")
    try:
        migrate(settings)
        yield {"QUINTILE_DATABASE_URL": admin_url(settings)}
    finally:
        embedded.stop(settings.home_dir / "pg")
        shutil.rmtree(home)


def _files(names: Iterable[str], suffixes: Sequence[str]) -> list[Path]:
    """The files with these names, and all in the directories with these names."""
    found = (PROJECT_DIR / name for name in names)
    return sorted(
        file
        for path in found
        for file in (path.rglob("*") if path.is_dir() else [path])
        if file.suffix in suffixes
    )


def _digest(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256(f"{version('sqlfluff')} {version('dbt-core')} {_MISREAD}".encode())
    settings = [PROJECT_DIR / name for name in (".sqlfluff", "tests/dbt/plain.sqlfluff")]
    for path in [*settings, *paths]:
        digest.update(f"\n{path.relative_to(PROJECT_DIR)}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _build_empty(environment: dict[str, str]) -> int:
    with tempfile.TemporaryDirectory() as directory:
        artifacts = {"DBT_TARGET_PATH": directory, "DBT_LOG_PATH": directory}
        return _run("dbt", {**environment, **artifacts}, _EMPTY_BUILD)


def _lint(environment: dict[str, str], arguments: Sequence[str]) -> int:
    if not arguments:
        return 0
    return _run("sqlfluff", environment, ["lint", "--disable-progress-bar", *arguments])


def _run(program: str, environment: dict[str, str], arguments: Sequence[str]) -> int:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("QUINTILE_")}
    done = subprocess.run(
        [Path(sys.executable).with_name(program), *arguments],
        cwd=PROJECT_DIR,
        env={**inherited, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    sys.stdout.buffer.write(done.stdout)
    sys.stdout.flush()
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
