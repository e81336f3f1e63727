"""The job queue: procrastinate's tables in schema ``jobs`` of the same database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from procrastinate.schema import SchemaManager
from psycopg import sql

from service.core.db import Connection, one


def apply_queue_schema(conn: Connection, report: Callable[[str], None]) -> None:
    """Create the queue's tables, or upgrade them to the installed release of procrastinate.

    procrastinate ships its whole schema and the steps between releases; which steps a database has
    had is recorded here, in ``jobs.applied_steps``.
    """
    with conn.transaction():
        conn.execute("create table if not exists jobs.applied_steps (name text primary key)")
        conn.execute("set local search_path = jobs, pg_temp")
        steps = sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))
        applied = {row["name"] for row in conn.execute("select name from jobs.applied_steps")}
        pending = [step for step in steps if step.stem not in applied]
        jobs_table = conn.execute("select to_regclass('jobs.procrastinate_jobs') as found")
        if not one(jobs_table.fetchone())["found"]:
            report("creating the job queue")
            conn.execute(sql.SQL(SchemaManager.get_schema()))
        else:
            for step in pending:
                report(f"upgrading the job queue: {step.stem}")
                conn.execute(sql.SQL(step.read_text(encoding="utf-8")))
        with conn.cursor() as cursor:
            cursor.executemany(
                "insert into jobs.applied_steps (name) values (%s) on conflict do nothing",
                [[step.stem] for step in pending],
            )
