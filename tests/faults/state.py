"""What a flow leaves in the database, as rows that can be compared."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from psycopg import sql

from service.core.db import connect

Rows = dict[str, list[str]]

# How the work was done, how often and by which run, and not what it led to.
_LEFT_OUT = frozenset(
    {
        "app.audit_log",
        "app.built_project",
        "app.klaviyo_list_changes",
        "app.klaviyo_sync_runs",
        "app.klaviyo_windows",
        "app.promo_code_changes",
        "app.runs",
        "app.shopify_buckets",
        "app.turns",
        "marts.klaviyo_sync_runs",
    }
)
# Times that come from a store or from the day of a build. Of other times only whether there is one
# is compared: they are of the service's clock.
_TIMES = frozenset(
    {
        *("processed_at", "cancelled_at", "first_fulfilled_at", "delivered_at"),
        *("shopify_updated_at", "last_edited_at", "watermark", "starts_at", "ends_at"),
        *("as_of", "rfm_as_of", "built_as_of", "ordered_at", "last_order_at"),
    }
)
# How often something was done or read.
_ATTEMPTS = frozenset({"attempts", "attempt", "calls", "probes", "previous_members"})
# Ids that Klaviyo gives in the order in which profiles arrive.
_PROFILE = re.compile(r"01SANDB0X\w+")
_OF_CHANCE = frozenset({"uuid", "bytea", "xid8", "pg_snapshot"})
_COLUMNS = """
    select
        n.nspname || '.' || c.relname as relation,
        array_agg(array[a.attname::text, format_type(a.atttypid, null)] order by a.attnum)
            as columns
    from pg_class as c
    inner join pg_namespace as n on c.relnamespace = n.oid
    inner join pg_attribute as a on c.oid = a.attrelid
    where
        c.relkind in ('r', 'v')
        and n.nspname in ('app', 'shopify', 'marts')
        and a.attnum > 0
        and not a.attisdropped
    group by 1
    having bool_or(a.attname = 'tenant_id')
    order by 1
"""
# Work that is not finished.
_LEFT_OVER = {
    "unfinished runs": "select kind, state from app.runs where state in ('queued', 'running')",
    "unfinished jobs": "select task_name, status from jobs.procrastinate_jobs"
    " where status <> 'succeeded'",
    # A profile that is about to be removed is recorded as leaving, and enters again if the process
    # dies before (destinations.mark_removing). Together they are as they should be.
    "changes of lists": "select list_id, email, sum(case when has_entered then 1 else -1 end)"
    " from app.klaviyo_list_changes group by 1, 2",
    # How it is divided among runs depends on where they were disturbed.
    "changes of promo codes": "select sum(added - removed) from app.promo_code_changes",
}


def read_rows(url: str) -> Rows:
    """All rows of tenants that a flow may write, without times and ids of its own."""
    with closing(connect(url)) as conn:
        found: Rows = {}
        for relation in conn.execute(_COLUMNS).fetchall():
            name = relation["relation"]
            if name not in _LEFT_OUT:
                rows = conn.execute(_select(name, relation["columns"])).fetchall()
                found[name] = sorted(_PROFILE.sub("a profile", row["line"]) for row in rows)
        for what, statement in _LEFT_OVER.items():
            rows = conn.execute(statement).fetchall()  # type: ignore[call-overload]
            found[what] = sorted(repr(row) for row in rows)
        return found


def _select(relation: str, columns: list[list[str]]) -> sql.Composed:
    schema, _, name = relation.partition(".")
    shown = []
    for column, kind in columns:
        known = sql.Identifier(column)
        if kind in _OF_CHANCE or column in _ATTEMPTS:
            continue
        if kind.startswith("timestamp") and column not in _TIMES:
            shown.append(sql.SQL("({} is not null) as {}").format(known, known))
        else:
            shown.append(known)
    return sql.SQL("select to_jsonb(t)::text as line from (select {} from {}) as t").format(
        sql.SQL(", ").join(shown or [sql.SQL("1")]), sql.Identifier(schema, name)
    )


def pass_time(url: str) -> None:
    """As if the time had passed after which a silent process counts as dead and a retry is due."""
    with closing(connect(url)) as conn:
        for statement in (
            "update app.runs set heartbeat_at = '-infinity' where state = 'running'",
            "update app.runs set next_attempt_at = null where state = 'queued'",
            "update jobs.procrastinate_workers set last_heartbeat = '-infinity'",
            "update jobs.procrastinate_jobs set scheduled_at = null where status = 'todo'",
            "update app.webhook_deliveries set next_attempt_at = now() where state = 'pending'",
            "update app.webhook_endpoints set retry_at = null",
            "update app.webhook_events set due_at = now() where state = 'queued'",
            "update app.connections set refresher_until = null",
            "delete from app.klaviyo_windows",
        ):
            conn.execute(statement)  # type: ignore[call-overload]


def has_work(url: str) -> bool:
    """Whether jobs or messages wait."""
    with closing(connect(url)) as conn:
        statement = (
            "select exists (select from jobs.procrastinate_jobs where status in ('todo', 'doing'))"
            " or exists (select from app.webhook_deliveries where state = 'pending') as has_work"
        )
        row = conn.execute(statement).fetchone()
        return bool(row and row["has_work"])


def differences(expected: dict[str, Any], found: dict[str, Any]) -> Iterator[str]:
    """What is not as expected, in a few lines."""
    for what in sorted(expected.keys() | found.keys()):
        wanted, got = expected.get(what), found.get(what)
        if wanted == got:
            continue
        if isinstance(wanted, list) and isinstance(got, list):
            missing = list((Counter(map(str, wanted)) - Counter(map(str, got))).elements())
            other = list((Counter(map(str, got)) - Counter(map(str, wanted))).elements())
            yield (
                f"{what}: {len(got)} rows instead of {len(wanted)};"
                f" missing {len(missing)}: {missing[:2]}; other {len(other)}: {other[:2]}"
            )
        else:
            yield f"{what}: {got!r} instead of {wanted!r}"
