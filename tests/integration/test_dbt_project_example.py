"""The project of docs/package.md, word for word, beside a package of another team.

docs/examples/dbt_project is what the page describes, with no more seeds than it asks for.
tests/dbt/neighbour has views, seeds, a snapshot and tests that know nothing of Quintile.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from service.core.config import Settings
from service.core.db import Connection, connect
from tests.conftest import PROJECT_DIR, Cluster
from tests.package import connection_environment, plain_dbt
from tests.warm_dbt import plain_environment, run
from tests.wheel import build_wheel, install

EXAMPLE = PROJECT_DIR / "docs" / "examples" / "dbt_project"
NEIGHBOUR = PROJECT_DIR / "tests" / "dbt" / "neighbour"
FIXTURES = PROJECT_DIR / "tests" / "dbt" / "package" / "fixtures"
# Everything that dbt reads of Quintile when it is the root project.
OWN = ("dbt_project.yml", "profiles.yml", ".dbtignore", "macros", "models", "seeds", "tests/dbt")

# Indented code; a line between two indented ones may be empty.
BLOCK = re.compile(r"(?:^ {4}.*\n|^\n(?= {4}))+", re.MULTILINE)

# As the expected rows of tests/dbt/package, but without its settings: customer 105 with 888.00 is
# not excluded, and the window is one year, so that customer 102 of borealis is outside.
STORES = [
    {"customers": 4, "revenue": "1070.10"},
    {"customers": 1, "revenue": "12.500"},
]

# The lines of dbt_project.yml that differ by layout.
LAYOUTS = {
    "fivetran": {},
    "airbyte": {"source_layout: fivetran": "source_layout: airbyte"},
    "native": {
        "source_layout: fivetran": "source_layout: native",
        "source_schemas: [shopify_acme, shopify_borealis]": "shopify_schema: shopify_data",
    },
}


def _blocks(heading: str) -> list[str]:
    """The code in a section of the page."""
    page = (PROJECT_DIR / "docs" / "package.md").read_text(encoding="utf-8")
    section = page.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return [dedent(block).strip("\n") for block in BLOCK.findall(section)]


def test_the_page_shows_the_files_of_the_example() -> None:
    files = [path.read_text(encoding="utf-8") for path in EXAMPLE.rglob("*") if path.is_file()]
    copy, *blocks = [*_blocks("Install"), *_blocks("Use the marts in your models")]
    assert copy == f"cp -r quintile/{EXAMPLE.relative_to(PROJECT_DIR)} your_project"
    assert len(blocks) == 4
    assert [block for block in blocks if not any(block in file for file in files)] == []


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a checkout of Quintile and the neighbour, for projects beside them."""
    directory = tmp_path_factory.mktemp("projects")
    (directory / "quintile").symlink_to(PROJECT_DIR)
    (directory / "neighbour").symlink_to(NEIGHBOUR)
    return directory


@pytest.fixture(params=LAYOUTS, scope="module")
def layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def database(layout: str, cluster: Cluster) -> Iterator[str]:
    """A database without Quintile, with the orders of two stores in the schemas of the page."""
    with cluster.database("template1") as settings:
        with connect(settings.database_url) as conn:
            conn.execute(_orders(layout))
        yield settings.database_url


def _orders(layout: str) -> str:
    """Statements that land the orders in the schemas of the page."""
    orders = (FIXTURES / f"{layout}.sql").read_text(encoding="utf-8")
    orders = orders.replace("landed_shopify", "landed_data")
    for schema in ("acme", "borealis", "data"):
        orders = orders.replace(f"landed_{schema}", f"shopify_{schema}")
    return orders


@pytest.fixture(scope="module")
def project(layout: str, projects: Path) -> Path:
    """The example as a user of the layout has it, with the neighbour as a second package."""
    project = projects / f"project_{layout}"
    shutil.copytree(EXAMPLE, project)
    settings = project / "dbt_project.yml"
    text = settings.read_text(encoding="utf-8")
    for line, replacement in LAYOUTS[layout].items():
        assert line in text
        text = text.replace(line, replacement)
    settings.write_text(text, encoding="utf-8")
    with (project / "packages.yml").open("a") as packages:
        packages.write("  - local: ../neighbour\n")
    _install_packages(project, {"PGHOST": "nowhere", "PGUSER": "nobody", "PGDATABASE": "none"})
    return project


def _install_packages(project: Path, environment: dict[str, str]) -> None:
    subprocess.run(
        [Path(sys.executable).with_name("dbt"), "--quiet", "deps"],
        cwd=project,
        env={**plain_environment(), "DBT_PROFILES_DIR": str(project), **environment},
        check=True,
        timeout=120,
    )


def _dbt(project: Path, url: str, *arguments: str, expect: int = 0, **changes: Any) -> str:
    parts = conninfo_to_dict(url)
    given = {"as_of": "2026-07-01", **changes}
    status, printed = run(
        project,
        project / "parsed",
        {name: value for name, value in given.items() if name != "as_of"},
        *("--warn-error", *arguments, "--vars", json.dumps(given)),
        environment={
            "DBT_PROFILES_DIR": str(project),
            "DBT_TARGET_PATH": str(project / "target"),
            "PGHOST": str(parts["host"]),
            "PGUSER": str(parts["user"]),
            "PGDATABASE": str(parts["dbname"]),
        },
    )
    assert status == expect, printed
    return printed


def test_it_builds_twice_and_from_nothing(layout: str, project: Path, database: str) -> None:
    built = []
    # Unit tests check the code, and need no second run.
    no_unit_tests = ("--exclude-resource-type", "unit_test")
    for arguments in ((), no_unit_tests, ("--full-refresh", *no_unit_tests)):
        out = _dbt(project, database, "build", *arguments)
        assert "WARN=0 ERROR=0 SKIP=0" in out
        with connect(database) as conn:
            built.append(_rows(conn))
    assert built[0] == built[1] == built[2]
    assert built[0]["stores"] == STORES
    assert len(built[0]["neighbour"]) == 2
    # The first result of the page.
    with connect(database) as conn:
        [_, query] = _blocks("Build and look at the result")
        first = conn.execute(query).fetchall()
    assert sum(row["customers"] for row in first) == 5


@pytest.mark.parametrize("layout", ["native"], indirect=True, scope="module")
def test_only_runs_that_select_quintile_are_checked(project: Path, database: str) -> None:
    """Quintile's hooks run in every run of the project."""
    ours = "+segments"
    _dbt(project, database, "build", "--exclude-resource-type", "unit_test", "test")
    nobody = {"tenants": ["nobody"]}
    runs: tuple[tuple[str, dict[str, Any], str], ...] = (
        ("build --empty", {}, "would delete the rows of"),
        ("run --sample 3-days", {}, "cannot be built with --sample"),
        ("run", {"as_of": "2999-01-01"}, "2999-01-01, is in the future"),
        ("run", nobody, "No tenant is called nobody"),
    )
    with connect(database) as conn:
        before = conn.execute("select ctid, * from analytics_marts.customer_facts").fetchall()
        assert before
        for command, changes, reason in runs:
            arguments = [word.replace("-days", " days") for word in command.split()]
            theirs = ("segments", "package:neighbour")
            out = _dbt(project, database, *arguments, "--select", *theirs, **changes)
            assert "WARN=0 ERROR=0 SKIP=0" in out
            out = _dbt(project, database, *arguments, "--select", ours, expect=2, **changes)
            assert reason in out
        # A view of Quintile's has no rows to lose.
        out = _dbt(project, database, "run", "--empty", "--select", "customer_rfm_segments")
        assert "WARN=0 ERROR=0 SKIP=0" in out
        after = conn.execute("select ctid, * from analytics_marts.customer_facts").fetchall()
        assert after == before


DISABLED = """
models:
  quintile:
    semantic: {+enabled: false}
    marts:
      customers:
        customer_predictions: {+enabled: false}
      rfm:
        rfm_survival: {+enabled: false}
semantic-models: {quintile: {+enabled: false}}
metrics: {quintile: {+enabled: false}}
"""


@pytest.mark.parametrize("layout", ["native"], indirect=True, scope="module")
def test_a_project_may_disable_a_model_whose_last_build_is_read(
    project: Path, projects: Path, database: str
) -> None:
    without = projects / "project_without_survival"
    shutil.copytree(project, without, symlinks=True, ignore=shutil.ignore_patterns("parsed"))
    with (without / "dbt_project.yml").open("a") as settings:
        settings.write(DISABLED)
    _dbt(without, database, "compile", "--select", "int_orders_timed_to_next")


def test_an_empty_build_checks_all_sql(project: Path, database: str) -> None:
    """In schemas of one's own, as CI runs it, and again in the same ones."""
    empty = ("build", "--empty", "--target", "dev", "--exclude-resource-type", "unit_test")
    for _ in range(2):
        out = plain_dbt(project, database, *empty, USER="ci")
        assert "WARN=0 ERROR=0 SKIP=0" in out
    with connect(database) as conn:
        rows = conn.execute("select count(*) as n from dbt_ci_marts.orders").fetchall()
    assert rows == [{"n": 0}]


@pytest.mark.parametrize("layout", ["native"], indirect=True, scope="module")
def test_without_dispatch_models_build_and_unit_tests_say_what_they_need(
    project: Path, projects: Path, cluster: Cluster, database: str
) -> None:
    without = projects / "project_without_dispatch"
    shutil.copytree(project, without, symlinks=True, ignore=shutil.ignore_patterns("parsed"))
    path = without / "dbt_project.yml"
    kept, _, dispatch = path.read_text(encoding="utf-8").partition("dispatch:")
    assert "search_order: [your_project, quintile, dbt]" in dispatch
    path.write_text(kept, encoding="utf-8")
    with cluster.database("template1") as settings:
        url = settings.database_url
        with connect(url) as conn:
            conn.execute(_orders("native"))
        printed = _dbt(without, url, "build", expect=1)
        assert "unit tests need its override of a macro of dbt: add quintile to dispatch" in printed
        for _ in range(2):
            out = _dbt(without, url, "build", "--exclude-resource-type", "unit_test")
            assert "WARN=0 ERROR=0 SKIP=0" in out
        with connect(url) as conn:
            built = _rows(conn)
    _dbt(project, database, "build", "--exclude-resource-type", "unit_test", "test")
    with connect(database) as conn:
        assert built == _rows(conn)


def test_the_package_is_installed_from_a_wheel(tmp_path: Path, cluster: Cluster) -> None:
    """As the page says: `quintile dbt-project` prints the path. No checkout is read."""
    python = install(build_wheel(PROJECT_DIR, tmp_path / "dist"), tmp_path / "venv")
    plain = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}

    def run_python(*arguments: str, **environment: str) -> str:
        done = subprocess.run(
            [python, *arguments],
            cwd=project,
            env={**plain, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    project = tmp_path / "project"
    shutil.copytree(EXAMPLE, project)
    package = run_python("-m", "service", "dbt-project").strip()
    packages = (project / "packages.yml").read_text(encoding="utf-8")
    (project / "packages.yml").write_text(packages.replace("../quintile", package))
    with cluster.database("template1") as settings, connect(settings.database_url) as conn:
        conn.execute(_orders("fivetran"))
        environment = connection_environment(settings.database_url)
        dbt = ("-m", "dbt.cli.main", "--warn-error")
        run_python(*dbt, "deps", **environment)
        installed = (project / "dbt_packages" / "quintile").resolve()
        assert installed.is_relative_to(tmp_path / "venv")
        no_tests = ("--exclude-resource-type", "unit_test", "test")
        out = run_python(
            *dbt, "build", *no_tests, "--vars", '{"as_of": "2026-07-01"}', **environment
        )
        assert "WARN=0 ERROR=0 SKIP=0" in out
        assert _stores(conn) == STORES


def _rows(conn: Connection) -> dict[str, list[dict[str, Any]]]:
    """What the project and the neighbour have built."""
    return {
        "stores": _stores(conn),
        "neighbour": conn.execute(
            "select c.word, c.amount::text, s.dbt_valid_to from analytics.neighbour_contract as c"
            " inner join analytics.neighbour_snapshot as s using (word)"
            " inner join analytics.neighbour_incremental as i using (word) order by 1"
        ).fetchall(),
    }


def _stores(conn: Connection) -> list[dict[str, Any]]:
    return conn.execute(
        "select sum(customers)::int as customers, sum(revenue)::text as revenue"
        " from analytics.segments group by tenant_id order by tenant_id"
    ).fetchall()


def test_another_package_builds_in_quintile_s_own_project(
    tmp_path: Path, built_settings: Settings
) -> None:
    """Quintile is the root project, so dbt also offers its macros to the other package."""
    project = tmp_path / "quintile"
    for name in OWN:
        source, copy = PROJECT_DIR / name, project / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, copy)
    (project / "packages.yml").write_text(f"packages:\n  - local: {NEIGHBOUR}\n")
    url = built_settings.database_url
    environment = {
        "QUINTILE_DATABASE_URL": url,
        "DBT_PROFILES_DIR": str(project),
        "DBT_TARGET_PATH": str(project / "target"),
    }
    _install_packages(project, environment)
    for arguments in (
        ["build", "--select", "package:neighbour"],
        ["build", "--select", "package:neighbour"],
        ["build", "--select", "package:neighbour", "--full-refresh"],
    ):
        status, printed = run(
            project, project / "parsed", {}, "--warn-error", *arguments, environment=environment
        )
        assert status == 0, printed
    with connect(url) as conn:
        facts = conn.execute(
            "select relname::text as name, relrowsecurity as is_protected,"
            " reloptions::text as options, obj_description(oid) as comment"
            " from pg_class where relname like 'neighbour_%' and relkind in ('r', 'v') order by 1"
        ).fetchall()
    # No row level security, storage parameter or grant of Quintile's.
    assert [(row["name"], row["is_protected"], row["options"]) for row in facts] == [
        (name, False, None)
        for name in (
            "neighbour_contract",
            "neighbour_empty",
            "neighbour_incremental",
            "neighbour_snapshot",
            "neighbour_view",
            "neighbour_words",
        )
    ]
    assert facts[4]["comment"] == "A view of another package."
