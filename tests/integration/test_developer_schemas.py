"""Developers build into schemas of their own, in the database of production."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
from psycopg import sql

from service.builds.run import build
from service.core.config import Settings
from service.core.db import Connection, app_url, connect
from service.doctor.database import check_isolation
from service.migrate import migrate
from tests.conftest import PROJECT_DIR
from tests.demo import AS_OF
from tests.warm_dbt import dbt, plain_environment

VARS = ("--vars", json.dumps({"as_of": AS_OF.isoformat()}))
DATA = ("build", "--exclude-resource-type", "unit_test")
SCORED = (
    *("build", "--exclude-resource-types", "unit_test", "test"),
    *("--select", "+customer_rfm_segments", "resource_type:seed"),
)
SCORES = """
    select tenant_id, customer_id, r_score, f_score, m_score, segment
    from {}.customer_rfm_segments order by 1, 2
"""


@pytest.fixture
def demo(built_demo: Settings) -> Settings:
    """The demo's database; a copy of a database does not have its grants, which migrate repeats."""
    migrate(built_demo)
    return built_demo


def as_developer(settings: Settings, target: Path, name: str, *arguments: str, **more: int) -> str:
    """Run dbt with the target dev and another schema; its artifacts are in the directory."""
    return dbt(
        settings.database_url,
        target / name,
        *arguments,
        **more,
        DBT_TARGET="dev",
        QUINTILE_DBT_SCHEMA=name,
    )


def scores(conn: Connection, schema: str) -> list[dict[str, object]]:
    return conn.execute(sql.SQL(SCORES).format(sql.Identifier(schema))).fetchall()


def schemas(conn: Connection) -> set[str]:
    found = conn.execute(
        "select nspname::text as name from pg_namespace"
        " where pg_get_userbyid(nspowner) = 'quintile_transform' and nspname !~ '^pg_'"
    ).fetchall()
    return {row["name"] for row in found}


def test_two_developers_and_production_share_a_database(demo: Settings, tmp_path: Path) -> None:
    with connect(demo.database_url) as conn:
        production = conn.execute("select ctid, * from marts.customer_facts").fetchall()
        as_developer(demo, tmp_path, "dbt_alice", *DATA, *VARS)
        as_developer(demo, tmp_path, "dbt_bob", *SCORED, *VARS)
        assert schemas(conn) == {"staging", "intermediate", "marts"} | {
            f"dbt_{name}{layer}"
            for name in ("alice", "bob")
            for layer in ("_staging", "_intermediate", "_marts")
        }
        assert scores(conn, "dbt_alice_marts") == scores(conn, "marts")
        assert scores(conn, "dbt_bob_marts") == scores(conn, "marts")
        assert conn.execute("select ctid, * from marts.customer_facts").fetchall() == production

        # The service goes on building production, whatever the shell's target is.
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DBT_TARGET", "dev")
            conn.execute("drop schema dbt_bob_marts cascade")
            build(demo, as_of=AS_OF.isoformat(), quiet=True)
        assert "dbt_bob_marts" not in schemas(conn)


def test_what_a_developer_builds_is_isolated(demo: Settings, tmp_path: Path) -> None:
    as_developer(demo, tmp_path, "dbt_alice", *SCORED, *VARS)
    with connect(demo.database_url) as conn:
        assert conn.execute("select * from app.isolation_findings").fetchall() == []
        tenants = [
            row["tenant_id"] for row in conn.execute("select tenant_id from app.tenants").fetchall()
        ]
        assert len(tenants) == 2
        with connect(app_url(demo)) as app:
            assert scores(app, "dbt_alice_marts") == []
            for tenant_id in tenants:
                assert seen_by(app, tenant_id) == {tenant_id}

        # A breach in one developer's schema is a finding, and does not stop production's build.
        conn.execute("alter table dbt_alice_marts.customer_facts disable row level security")
        found = conn.execute("select relation from app.isolation_findings").fetchall()
        assert {row["relation"] for row in found} == {"dbt_alice_marts.customer_facts"}
        test = ("test", "--select", "assert_isolation_holds", *VARS)
        dbt(demo.database_url, tmp_path / "production", *test)
        as_developer(demo, tmp_path, "dbt_bob", *test)
        as_developer(demo, tmp_path, "dbt_alice", *test, expect=1)
        # The developer's next build repairs it.
        as_developer(demo, tmp_path, "dbt_alice", *SCORED, *VARS)
        assert conn.execute("select * from app.isolation_findings").fetchall() == []

        # Nor does what others have in the same database stop it, or a migration.
        conn.execute(
            "grant create on schema public to public;"
            " create table public.theirs (x int); grant select on public.theirs to public;"
            " create schema quintile_reports; create table quintile_reports.r (x int);"
            " grant usage on schema quintile_reports to public;"
            " grant select on quintile_reports.r to public"
        )
        dbt(demo.database_url, tmp_path / "production", *test)
        migrate(demo)
        named = " ".join(finding.message for finding in check_isolation(conn))
        for theirs in ("schema public", "public.theirs", "quintile_reports.r"):
            assert f"{theirs}: " in named


def seen_by(app: Connection, tenant_id: UUID) -> set[object]:
    with app.transaction():
        app.execute("select set_config('app.tenant_id', %s, true)", [str(tenant_id)])
        return {row["tenant_id"] for row in scores(app, "dbt_alice_marts")}


@pytest.fixture
def state(demo: Settings, tmp_path: Path) -> Path:
    """A directory with production's manifest, for --state."""
    state = tmp_path / "state"
    subprocess.run(
        [Path(sys.executable).with_name("dbt"), "--quiet", "parse", "--target-path", str(state)],
        cwd=PROJECT_DIR,
        env={**plain_environment(), "QUINTILE_DATABASE_URL": demo.database_url},
        check=True,
        timeout=120,
    )
    return state


def tracked(conn: Connection) -> list[dict[str, object]]:
    """Production's record of the changes that its builds have seen; ctid shows every write."""
    return conn.execute(
        "select b.ctid as build, b.as_of, b.changes_from, w.ctid as window_, w.is_measured_anew"
        " from marts.rfm_builds as b"
        " inner join intermediate.int_windows_built_for_rfm as w using (tenant_id) order by 1, 4"
    ).fetchall()


def kinds(conn: Connection, schema: str) -> dict[str, str]:
    """The tables (r) and views (v) of a schema."""
    found = conn.execute(
        "select c.relname::text as name, c.relkind::text as kind from pg_class as c"
        " where c.relnamespace = to_regnamespace(%s) and c.relkind in ('r', 'v')",
        [schema],
    ).fetchall()
    return {row["name"]: row["kind"] for row in found}


def test_one_model_is_built_on_production_s_others(
    demo: Settings, tmp_path: Path, state: Path
) -> None:
    """With --defer, a developer builds only what changed."""
    deferred = ("--defer", "--state", str(state), *VARS)
    alice = partial(as_developer, demo, tmp_path, "dbt_alice")
    # The other schemas are no change of a model.
    printed = alice("ls", "--select", "state:modified", "--state", str(state), *VARS, expect=2)
    assert "'state:modified' does not match any enabled nodes" in printed
    with connect(demo.database_url) as conn:
        before = tracked(conn)
        alice("run", "--select", "customers", *deferred)
        assert kinds(conn, "dbt_alice_marts") == {"customers": "v"}
        count = "select count(*) as n from {}.customers"
        counts = [
            conn.execute(sql.SQL(count).format(sql.Identifier(schema))).fetchone()
            for schema in ("marts", "dbt_alice_marts")
        ]
        assert counts[0] == counts[1] != {"n": 0}
        # These write to the tables that track changes, which must not be production's.
        for model in ("customer_facts", "int_customers_touched", "int_windows_built_for_rfm"):
            printed = alice("run", "--select", model, *deferred, expect=1)
            assert f"Build both here: --select +{model}" in printed
        alice("run", "--select", "+customer_facts", "customer_rfm_segments", *deferred)
        assert scores(conn, "dbt_alice_marts") == scores(conn, "marts")
        assert tracked(conn) == before


def test_a_clone_of_production_is_isolated_and_can_be_built_on(
    demo: Settings, tmp_path: Path, state: Path
) -> None:
    alice = partial(as_developer, demo, tmp_path, "dbt_alice")
    with connect(demo.database_url) as conn:
        before = tracked(conn)
        for option in ((), ("--full-refresh",)):
            alice("clone", "--state", str(state), *option, *VARS)
        cloned = kinds(conn, "dbt_alice_marts")
        assert cloned == dict.fromkeys(kinds(conn, "marts"), "v")
        assert conn.execute("select * from app.isolation_findings").fetchall() == []
        [tenant_id] = conn.execute("select tenant_id from app.tenants limit 1").fetchall()
        with connect(app_url(demo)) as app:
            assert scores(app, "dbt_alice_marts") == []
            assert seen_by(app, tenant_id["tenant_id"]) == {tenant_id["tenant_id"]}

        printed = alice("run", "--select", "customer_facts", *VARS, expect=1)
        assert "Build both here: --select +customer_facts" in printed
        alice(*SCORED, *VARS)
        assert scores(conn, "dbt_alice_marts") == scores(conn, "marts")
        built = kinds(conn, "dbt_alice_marts")
        assert (built["customer_facts"], built["rfm_segments"], built["creators"]) == (*"rrv",)
        assert tracked(conn) == before
        assert conn.execute("select * from app.isolation_findings").fetchall() == []


def test_a_failed_build_is_retried_from_the_model_that_failed(
    demo: Settings, tmp_path: Path
) -> None:
    later = ("--vars", json.dumps({"as_of": (AS_OF + timedelta(days=1)).isoformat()}))
    build_times = "select distinct as_of from marts.rfm_builds"
    with connect(demo.database_url) as conn:
        conn.execute(
            "alter table marts.customer_facts add constraint no_row check (false) not valid"
        )
        printed = dbt(demo.database_url, tmp_path, *SCORED, *later, expect=1, writes_artifacts=True)
        assert 'violates check constraint "no_row"' in printed
        # The windows of the later time are there, and no scores yet.
        assert conn.execute(build_times).fetchall() == [{"as_of": AS_OF}]
        conn.execute("alter table marts.customer_facts drop constraint no_row")
        printed = dbt(demo.database_url, tmp_path, "retry")
        assert "WARN=0 ERROR=0 SKIP=0" in printed
        assert "marts.customer_facts" in printed
        assert "int_windows_built_for_rfm" not in printed
        assert conn.execute(build_times).fetchall() == [{"as_of": AS_OF + timedelta(days=1)}]
        as_developer(demo, tmp_path, "dbt_bob", *SCORED, *later)
        assert scores(conn, "marts") == scores(conn, "dbt_bob_marts")
        assert conn.execute("select * from app.isolation_findings").fetchall() == []


def test_an_empty_build_is_for_a_schema_of_one_s_own(demo: Settings, tmp_path: Path) -> None:
    """It checks all SQL without reading a row, and deletes none of production's."""
    empty = ("build", "--empty", "--exclude-resource-type", "unit_test", *VARS)
    with connect(demo.database_url) as conn:
        before = conn.execute("select ctid, * from marts.customer_facts").fetchall()
        printed = dbt(demo.database_url, tmp_path / "production", *empty, expect=2)
        assert "would delete the rows of" in printed
        assert conn.execute("select ctid, * from marts.customer_facts").fetchall() == before
        for _ in range(2):
            out = as_developer(demo, tmp_path, "dbt_ci", *empty)
            assert "WARN=0 ERROR=0 SKIP=0" in out
        assert scores(conn, "dbt_ci_marts") == []
        conn.execute(
            "insert into dbt_ci_intermediate.int_windows_built_for_rfm"
            " select * from intermediate.int_windows_built_for_rfm"
        )
        printed = as_developer(demo, tmp_path, "dbt_ci", *empty, expect=2)
        assert "Drop the schema dbt_ci_intermediate first, or set QUINTILE_DBT_SCHEMA" in printed


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["run", "--sample", "3 days"], "cannot be built with --sample"),
        (["run", "--vars", '{"as_of": "2999-01-01"}'], "2999-01-01, is in the future"),
    ],
)
def test_runs_that_would_leave_wrong_rows_are_refused(
    arguments: list[str], reason: str, demo: Settings, tmp_path: Path
) -> None:
    with connect(demo.database_url) as conn:
        before = conn.execute("select ctid, * from marts.customer_facts").fetchall()
        assert reason in dbt(demo.database_url, tmp_path, *arguments, expect=2)
        assert conn.execute("select ctid, * from marts.customer_facts").fetchall() == before
