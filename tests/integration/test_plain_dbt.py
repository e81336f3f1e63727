"""Plain ``dbt build`` with the shipped profile, as an analytics engineer runs it.

The first build of a database is the plain command, and so is one of some tenants; what comes after
starts warm.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.core.config import Settings
from service.core.db import connect, connect_as_owner, one
from service.migrate import migrate
from service.tenants.tenants import add_tenant
from tests.cluster import wait_for_older_transactions
from tests.conftest import PROJECT_DIR
from tests.external import external_server
from tests.warm_dbt import dbt as warm_dbt

OWNERS_AND_SECURITY = """
    select
        n.nspname || '.' || c.relname as relation,
        r.rolname::text as owner,
        c.relrowsecurity and c.relforcerowsecurity as is_forced,
        (select count(*) from pg_policy as p where p.polrelid = c.oid) as policies,
        obj_description(c.oid) is not null as is_described
    from pg_class as c
    inner join pg_namespace as n on c.relnamespace = n.oid
    inner join pg_roles as r on c.relowner = r.oid
    inner join pg_attribute as a on c.oid = a.attrelid and a.attname = 'tenant_id'
    where n.nspname = 'marts' and c.relkind = 'r'
    order by 1
"""


# Without unit tests, where a build before has run the same ones with the same vars.
BUILD_DATA = ("build", "--exclude-resource-type", "unit_test")


def dbt(url: str, target: Path, *arguments: str, expect: int = 0) -> str:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("QUINTILE_", "DBT_"))}
    done = subprocess.run(
        [Path(sys.executable).with_name("dbt"), "--warn-error", *arguments],
        cwd=PROJECT_DIR,
        env={
            **inherited,
            "QUINTILE_DATABASE_URL": url,
            "DBT_TARGET_PATH": str(target),
            "DBT_LOG_PATH": str(target),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout


def _load(settings: Settings, name: str, customers: int) -> None:
    with connect_as_owner(settings) as owner:
        tenant_id = add_tenant(owner, name)
        owner.execute(
            """
            insert into shopify.orders (
                tenant_id, order_id, customer_id, processed_at, currency,
                total_minor, subtotal_minor, source, tags
            )
            select
                %(tenant_id)s, n::text, 'c' || n %% %(customers)s,
                '2026-06-30 12:00+00'::timestamptz - n * interval '9 hours', 'USD',
                case when n %% 7 = 0 then 0 else 100 * n end,
                case when n %% 7 = 0 then 0 else 100 * n end, 'csv',
                case when n %% 7 = 0 then '{UGC}'::text[] else '{}' end
            from generate_series(1, 5 * %(customers)s) as n
            """,
            {"tenant_id": tenant_id, "customers": customers},
        )


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with external_server() as url:
        yield url


def test_everything_is_built_tested_and_protected(settings: Settings, tmp_path: Path) -> None:
    """On the embedded server, by its socket: unit tests, data tests, warnings as errors."""
    _load(settings, "demo", customers=20)
    variables = json.dumps({"as_of": "2026-07-01"})
    first = dbt(settings.database_url, tmp_path, "build", "--vars", variables)
    assert "unit_test" in first
    assert "WARN=0 ERROR=0 SKIP=0" in first
    with connect(settings.database_url) as conn:
        built = conn.execute(OWNERS_AND_SECURITY).fetchall()
        assert {"marts.customer_facts", "marts.sample_orders"} <= {row["relation"] for row in built}
        for row in built:
            assert row["owner"] == "quintile_transform"
            assert row["is_forced"]
            assert row["policies"] == 2
            assert row["is_described"]
        rows = conn.execute("select ctid, * from marts.customer_facts").fetchall()
        assert len(rows) == 20

        # The same build again writes nothing: not one row has moved.
        warm_dbt(settings.database_url, tmp_path, *BUILD_DATA, "--vars", variables)
        again = conn.execute("select ctid, * from marts.customer_facts").fetchall()
        assert sorted(map(str, again)) == sorted(map(str, rows))
        assert conn.execute(OWNERS_AND_SECURITY).fetchall() == built

        # Policies survive a full refresh.
        warm_dbt(
            settings.database_url, tmp_path, *BUILD_DATA, "--full-refresh", "--vars", variables
        )
        assert conn.execute(OWNERS_AND_SECURITY).fetchall() == built
        assert conn.execute("select * from app.isolation_findings").fetchall() == []

        # A test reports an altered policy, and the next build repairs it, of any models.
        isolation = ("test", "--select", "assert_isolation_holds", "--vars", variables)
        for tampering in (
            "alter policy tenant_isolation on marts.sample_orders using (true)",
            "alter table marts.customer_facts no force row level security",
            "alter view marts.customers set (security_invoker = false)",
        ):
            conn.execute(tampering)  # type: ignore[call-overload]
            warm_dbt(settings.database_url, tmp_path, *isolation, expect=1)
        one_model = ("run", "--select", "stg_app__tenants", "--vars", variables)
        warm_dbt(settings.database_url, tmp_path, *one_model)
        assert conn.execute("select * from app.isolation_findings").fetchall() == []


def test_one_tenant_is_built_and_the_other_left_alone(settings: Settings, tmp_path: Path) -> None:
    _load(settings, "a", customers=10)
    _load(settings, "b", customers=12)
    by_tenant = """
        select t.name, count(*) as customers, max(m.calculated_at)::date::text as as_of
        from marts.customer_rfm_segments as m
        inner join app.tenants as t on m.tenant_id = t.tenant_id
        group by t.name order by t.name
    """
    with connect(settings.database_url) as conn:
        warm_dbt(settings.database_url, tmp_path, *BUILD_DATA, "--vars", '{"as_of": "2026-07-01"}')
        variables = json.dumps({"as_of": "2026-07-02", "tenants": ["a"]})
        dbt(settings.database_url, tmp_path, "build", "--vars", variables)
        assert conn.execute(by_tenant).fetchall() == [
            {"name": "a", "customers": 10, "as_of": "2026-07-02"},
            {"name": "b", "customers": 12, "as_of": "2026-07-01"},
        ]
        # A tenant whose last order left the window is emptied; the other still stands.
        years_later = {"as_of": "2029-07-02", "allow_future_as_of": True}
        variables = json.dumps({**years_later, "tenants": ["a"]})
        warm_dbt(settings.database_url, tmp_path, *BUILD_DATA, "--vars", variables)
        assert conn.execute(by_tenant).fetchall() == [
            {"name": "b", "customers": 12, "as_of": "2026-07-01"},
        ]
        unknown = warm_dbt(
            settings.database_url, tmp_path, *BUILD_DATA, "--vars", '{"tenants": ["c"]}', expect=2
        )
        assert "No tenant is called c" in unknown


def test_samples_are_made_up_for_that_a_build_of_some_models_left_out(
    settings: Settings, tmp_path: Path
) -> None:
    """Customers were measured, and noted as done, before their order was found to be a sample."""
    _load(settings, "demo", customers=8)
    all_models = ("run", "--select", "+customer_facts")
    some = (*all_models, "--exclude", "int_orders_matched_as_samples")
    variables = ("--vars", '{"as_of": "2026-07-01"}')
    known = "select sample_order_ids from marts.customer_facts where customer_id = 'c1'"
    with connect(settings.database_url) as conn:
        warm_dbt(settings.database_url, tmp_path, "build", "--resource-type", "seed", *variables)
        warm_dbt(settings.database_url, tmp_path, *all_models, *variables)
        assert conn.execute(known).fetchall() == [{"sample_order_ids": None}]
        conn.execute(
            "update shopify.orders set tags = '{UGC}', subtotal_minor = 0, landed_xid = default"
            " where order_id = '1'"
        )
        warm_dbt(settings.database_url, tmp_path, *some, *variables)
        assert conn.execute(known).fetchall() == [{"sample_order_ids": None}]
        warm_dbt(settings.database_url, tmp_path, *all_models, *variables)
        assert conn.execute(known).fetchall() == [{"sample_order_ids": ["1"]}]


def test_a_build_without_those_who_were_touched_measures_everybody(
    settings: Settings, tmp_path: Path
) -> None:
    """A mark was published for changes that no build had looked for, and they were lost."""
    _load(settings, "demo", customers=8)

    def run(*selection: str) -> None:
        variables = ("--vars", '{"as_of": "2026-07-01"}')
        warm_dbt(settings.database_url, tmp_path, "run", *selection, *variables)

    known = "select lifetime_minor from marts.customer_facts where customer_id = 'c1'"
    windows = "select is_measured_anew from intermediate.int_windows_built_for_rfm"
    touched = "select customer_id from intermediate.int_customers_touched"
    refund = (
        "update shopify.orders set refunded_minor = refunded_minor + 7, landed_xid = default"
        " where order_id = '1'"
    )
    with connect(settings.database_url) as conn:
        warm_dbt(settings.database_url, tmp_path, "seed")
        # Otherwise what was loaded would count as changed after the first build, too.
        wait_for_older_transactions(conn)
        run("--select", "+customer_facts")
        before = one(conn.execute(known).fetchone())["lifetime_minor"]
        assert conn.execute(windows).fetchall() == [{"is_measured_anew": True}]

        # Of two builds that overlap, one has chosen its customers before the order changed again;
        # by now the windows are the other's, which has not.
        conn.execute(refund)
        run("--select", "int_windows_built_for_rfm", "int_customers_touched")
        assert conn.execute(windows).fetchall() == [{"is_measured_anew": False}]
        assert conn.execute(touched).fetchall() == [{"customer_id": "c1"}]
        conn.execute(refund)
        run("--select", "int_windows_built_for_rfm")
        run("--select", "customer_facts")
        assert conn.execute(known).fetchall() == [{"lifetime_minor": before - 14}]

        # Customers that the earlier build found are not measured twice.
        conn.execute(refund)
        run("--select", "+customer_facts", "--exclude", "int_customers_touched")
        assert conn.execute(touched).fetchall() == [{"customer_id": "c1"}]
        assert conn.execute(known).fetchall() == [{"lifetime_minor": before - 21}]

        # A table that is missing gets every customer, though the windows ask for changed ones.
        run("--select", "int_windows_built_for_rfm", "int_customers_touched")
        assert conn.execute(windows).fetchall() == [{"is_measured_anew": False}]
        customers = "select count(*) as n from marts.customer_facts"
        all_of_them = conn.execute(customers).fetchall()
        conn.execute("drop table marts.customer_facts cascade")
        run("--select", "customer_facts")
        assert conn.execute(customers).fetchall() == all_of_them


def test_a_server_by_url_with_a_password_of_signs(server: str, tmp_path: Path) -> None:
    settings = Settings(
        database_url=server, home=str(tmp_path), secret_key="a secret for tests 0123456789abcdef"
    )
    migrate(settings)
    _load(settings, "demo", customers=8)
    out = dbt(server, tmp_path, "build", "--vars", '{"as_of": "2026-07-01"}')
    assert "WARN=0 ERROR=0 SKIP=0" in out
    with connect(server) as conn:
        for row in conn.execute(OWNERS_AND_SECURITY).fetchall():
            assert row["owner"] == "quintile_transform"
