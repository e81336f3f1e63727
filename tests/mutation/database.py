"""A database without one of its locks: policies, FORCE, privileges, rights of views.

The isolation check, which doctor, migrations and builds run, has to find each of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import sql

from service.builds.run import build
from service.core.config import Settings
from service.core.db import Connection, connect
from service.migrate import migrate
from tests.cluster import models_digest, schema_digest, shared_cluster
from tests.conftest import AS_OF

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
def built_database() -> Iterator[Settings]:
    """A database that was migrated and built without a tenant."""

    def build_empty(settings: Settings) -> None:
        build(settings, as_of=AS_OF.isoformat(), quiet=True)

    with shared_cluster() as cluster:
        migrated = cluster.template("migrated", schema_digest(), lambda each: bool(migrate(each)))
        built = cluster.template("built", models_digest(), build_empty, migrated)
        with cluster.database(built) as settings:
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


def survivors() -> tuple[int, list[str]]:
    """How many locks were removed, and which of them the isolation check does not miss."""
    with built_database() as settings, connect(settings.database_url) as superuser:
        assert superuser.execute("select from app.isolation_findings").fetchall() == []
        found = {name: is_found(superuser, change) for name, change in removed_locks(superuser)}
    return len(found), [name for name, is_noticed in found.items() if not is_noticed]
