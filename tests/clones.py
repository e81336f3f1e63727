"""Tenants with equal ids: copies of all rows of one tenant, and what of them has changed since."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg import sql

from service.core.db import Connection

# Every table and view with tenants in it, wherever it is.
_RELATIONS = """
    select n.nspname as schema, c.relname as name, c.relkind = 'r' as is_table, c.oid
    from pg_class as c
    inner join pg_namespace as n on c.relnamespace = n.oid
    inner join pg_attribute as a on c.oid = a.attrelid and a.attname = 'tenant_id'
    where c.relkind in ('r', 'v') and n.nspname !~ '^(pg_|information_schema)'
    order by n.nspname, c.relname
"""
# Of each column: whether a unique index that does not lead with the tenant has it, and whether any
# unique index, foreign key or expression has it.
_COLUMNS = """
    select
        a.attname as name,
        format_type(a.atttypid, null) as type,
        exists (
            select from pg_index as i
            where
                i.indrelid = a.attrelid
                and i.indisunique
                and a.attnum = any(i.indkey)
                and not exists (
                    select from pg_attribute as t
                    where
                        t.attrelid = i.indrelid
                        and t.attname = 'tenant_id'
                        and t.attnum = any(i.indkey)
                )
        ) as is_unique_to_all,
        exists (
            select from pg_index as i
            where i.indrelid = a.attrelid and i.indisunique and a.attnum = any(i.indkey)
        ) or exists (
            select from pg_constraint as k
            where k.conrelid = a.attrelid and k.contype in ('f', 'p') and a.attnum = any(k.conkey)
        ) as is_key
    from pg_attribute as a
    where a.attrelid = %s and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
    order by a.attnum
"""
# Words for people, which no rule reads.
_WORDS = frozenset({"display_name", "first_name", "last_name", "name", "note", "title", "label"})
_NUMBERS = frozenset({"bigint", "integer", "numeric"})


def clone_tenant(superuser: Connection, tenant: UUID, mark: int) -> UUID:
    """Add a tenant with copies of all rows of another.

    All ids, addresses and tags are equal. Names end with the mark, and numbers outside of keys are
    higher by it wherever constraints allow that, so that no row of one can pass for the other's.
    """
    clone = uuid4()
    superuser.execute("set session_replication_role = replica")
    for relation in superuser.execute(_RELATIONS).fetchall():
        if not relation["is_table"]:
            continue
        table = sql.Identifier(relation["schema"], relation["name"])
        columns = superuser.execute(_COLUMNS, [relation["oid"]]).fetchall()
        values = [_copied(column, mark) for column in columns]
        superuser.execute(
            sql.SQL(
                "insert into {} ({}) overriding system value"
                " select {} from {} where tenant_id = %(tenant)s"
            ).format(
                table,
                sql.SQL(", ").join(sql.Identifier(column["name"]) for column in columns),
                sql.SQL(", ").join(values),
                table,
            ),
            {"clone": clone, "tenant": tenant},
        )
        for column in columns:
            _mark(superuser, table, clone, column, mark)
    superuser.execute("set session_replication_role = origin")
    return clone


def _copied(column: dict[str, Any], mark: int) -> sql.Composable:
    name, kind = sql.Identifier(column["name"]), column["type"]
    if column["name"] == "tenant_id":
        return sql.SQL("%(clone)s")
    if not column["is_unique_to_all"]:
        return name
    if kind == "uuid":
        return sql.SQL("gen_random_uuid()")
    if kind == "bytea":
        return sql.SQL("sha256({} || {})").format(name, sql.Literal(str(mark).encode()))
    if kind in _NUMBERS:
        return sql.SQL("{} + 1000000 * {}").format(name, sql.Literal(mark))
    return sql.SQL("{} || {}").format(sql.Literal(f"m{mark}-"), name)


def _mark(
    superuser: Connection, table: sql.Identifier, clone: UUID, column: dict[str, Any], mark: int
) -> None:
    name = sql.Identifier(column["name"])
    if column["is_key"] or column["is_unique_to_all"]:
        return
    if column["type"] == "text" and column["name"] in _WORDS:
        marked = sql.SQL("{} || {}").format(name, sql.Literal(f" {mark}"))
    elif column["type"] in _NUMBERS:
        marked = sql.SQL("{} + {}").format(name, sql.Literal(mark))
    else:
        return
    statement = sql.SQL("update {} set {} = {} where tenant_id = %s").format(table, name, marked)
    try:
        with superuser.transaction():
            superuser.execute(statement, [clone])
    except psycopg.errors.CheckViolation:
        # A number with a limit stays as it is, for example a score.
        pass


def digests(superuser: Connection, tenant: UUID) -> dict[str, str]:
    """A digest of all rows of a tenant, by table and view; only those with rows."""
    found = {}
    for relation in superuser.execute(_RELATIONS).fetchall():
        row = superuser.execute(
            sql.SQL(
                "select md5(string_agg(md5(t::text), '' order by md5(t::text))) as digest"
                " from {} as t where tenant_id = %s"
            ).format(sql.Identifier(relation["schema"], relation["name"])),
            [tenant],
        ).fetchone()
        if row and row["digest"]:
            found[f"{relation['schema']}.{relation['name']}"] = row["digest"]
    return found


def open_policies(superuser: Connection) -> None:
    """Let the service read and write every row, so that only its own queries separate tenants."""
    for policy in superuser.execute(
        "select schemaname, tablename from pg_policies where policyname = 'tenant_isolation'"
    ).fetchall():
        superuser.execute(
            sql.SQL("alter policy tenant_isolation on {} using (true) with check (true)").format(
                sql.Identifier(policy["schemaname"], policy["tablename"])
            )
        )
    # Builds check the policies.
    superuser.execute(
        "create or replace view app.isolation_findings as"
        ' select null::text collate "C" as relation, null::text collate "C" as finding where false'
    )
