"""A database without one of its locks: policies, FORCE, privileges, rights of views.

The isolation check, which doctor, migrations and builds run, has to find each of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import sql

from service.builds.run import build
from service.core.config import PROJECT_DIR, Settings
from service.core.db import Connection, connect
from service.migrate import migrate
from tests.cluster import models_digest, schema_digest, shared_cluster
from tests.conftest import AS_OF
from tests.isolation.test_isolation import TAMPER, finds_breach

# Each table and view with tenants, and what the service may do with it.
_RELATIONS = """
    select
        n.nspname as schema,
        c.relname as name,
        c.relkind = 'v' as is_view,
        array(
            select p.polname::text from pg_policy as p where p.polrelid = c.oid order by p.polname
        ) as policies,
        array(
            select w.privilege
            from unnest(array['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'])
                as w (privilege)
            where not has_table_privilege('quintile_app', c.oid, w.privilege)
        ) as withheld
    from pg_class as c
    inner join pg_namespace as n on c.relnamespace = n.oid
    where
        c.relkind in ('r', 'v')
        and n.nspname in ('app', 'shopify', 'jobs', 'staging', 'intermediate', 'marts')
        and has_schema_privilege('quintile_app', n.oid, 'USAGE')
        and (
            exists (select from pg_policy as p where p.polrelid = c.oid)
            or (
                c.relkind = 'v'
                and exists (
                    select from pg_attribute as a
                    where a.attrelid = c.oid and a.attname = 'tenant_id'
                )
            )
        )
    order by 1, 2
"""


@contextmanager
def database(*, is_built: bool) -> Iterator[Settings]:
    """A database that was migrated, and perhaps built without a tenant."""

    def build_empty(settings: Settings) -> None:
        build(settings, as_of=AS_OF.isoformat(), quiet=True)

    with shared_cluster() as cluster:
        base = cluster.template("migrated", schema_digest(), lambda each: bool(migrate(each)))
        if is_built:
            base = cluster.template("built", models_digest(), build_empty, base)
        with cluster.database(base) as settings:
            yield settings


def removed_locks(superuser: Connection) -> Iterator[tuple[str, sql.Composed]]:
    """A name and a statement for each lock that can be removed from each relation."""
    for row in superuser.execute(_RELATIONS).fetchall():
        relation = sql.Identifier(row["schema"], row["name"])
        statements = {f"drop policy {policy}": _policy(policy) for policy in row["policies"]}
        if row["is_view"]:
            statements["security_invoker"] = sql.SQL("alter view {} set (security_invoker = false)")
        else:
            statements["FORCE"] = sql.SQL("alter table {} no force row level security")
            statements["ENABLE"] = sql.SQL("alter table {} disable row level security")
            statements["tenant_isolation for all rows"] = sql.SQL(
                "alter policy tenant_isolation on {} using (true) with check (true)"
            )
        for privilege in row["withheld"]:
            statements[f"no {privilege}"] = sql.SQL(f"grant {privilege} on {{}} to quintile_app")
        for name, statement in statements.items():
            yield f"{row['schema']}.{row['name']}: {name}", statement.format(relation)


def _policy(name: str) -> sql.SQL:
    return sql.SQL(f"drop policy {name} on {{}}")


def is_found(superuser: Connection, statement: sql.Composed) -> bool:
    """Whether the isolation check has a finding after a statement, which is rolled back."""
    with superuser.transaction(force_rollback=True):
        superuser.execute(statement)
        return (
            superuser.execute("select from app.isolation_findings limit 1").fetchone() is not None
        )


def checks_without_a_part() -> Iterator[tuple[str, str]]:
    """The view of findings without one of its queries, and what that query finds."""
    text = (PROJECT_DIR / "sql" / "rls" / "findings.sql").read_text()
    view = text[: text.index(";\n\ngrant ")]
    # The first query follows the last CTE.
    head, first = view.rsplit("\n)\n\nselect\n", 1)
    queries = ["select\n" + query for query in first.split("\n\nunion all\n\nselect\n")]
    queries = [part for query in queries for part in query.split("\n\nunion all\n\n")]
    for number, query in enumerate(queries):
        kept = queries[:number] + queries[number + 1 :]
        finding = re.search(r"'([^']+)", query)
        yield (
            head + "\n)\n\n" + "\n\nunion all\n\n".join(kept) + ";",
            f"{number}: {finding[1] if finding else query[:40]}",
        )


def survivors_of_the_check() -> tuple[int, list[str]]:
    """How many queries of the isolation check were removed, and which of them no test misses."""
    removed, found = 0, []
    with database(is_built=False) as settings, connect(settings.database_url) as superuser:
        for view, name in checks_without_a_part():
            removed += 1
            with superuser.transaction(force_rollback=True):
                superuser.execute("drop view app.isolation_findings")
                superuser.execute("set local role quintile_owner")
                superuser.execute(view)
                superuser.execute("reset role")
                if all(finds_breach(superuser, statement) for statement in TAMPER):
                    found.append(name)
    return removed, found


def survivors() -> tuple[int, list[str]]:
    """How many locks were removed, and which of them the isolation check does not miss."""
    with database(is_built=True) as settings, connect(settings.database_url) as superuser:
        assert superuser.execute("select from app.isolation_findings").fetchall() == []
        found = {name: is_found(superuser, change) for name, change in removed_locks(superuser)}
    return len(found), [name for name, is_noticed in found.items() if not is_noticed]
