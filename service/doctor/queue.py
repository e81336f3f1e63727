"""What the doctor says of jobs: freshness, jobs that are stuck, and whether a worker is alive."""

from __future__ import annotations

from collections.abc import Iterator

from service.core.config import Settings, environment_name
from service.core.db import Connection, connect, one, transform_url
from service.core.queries import query
from service.doctor.finding import Finding
from service.queue.freshness import EXPECTED, read_freshness

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
# A job that waits longer than this has no worker, or workers that cannot keep up.
_PATIENCE_SECONDS = 900


def check_freshness(settings: Settings, conn: Connection) -> Iterator[Finding]:
    """How long ago each connected tenant was synced and every tenant built.

    Args:
        settings: The schedules, which say how long is too long.
        conn: The owner's connection, which sees all tenants.
    """
    for row in read_freshness(settings, conn):
        schedule, words = EXPECTED[row["kind"]]
        ago = _in_words(row["seconds"])
        if row["is_late"]:
            yield Finding(
                "warning",
                "freshness",
                f"{row['name']}: no {words} for {ago}, twice as long as"
                f" {environment_name(f'schedule_{schedule}')} leaves between two",
                f"See: quintile runs list --tenant {row['name']} --kind {row['kind']}",
            )
        elif row["is_done"]:
            yield Finding("ok", "freshness", f"{row['name']}: last {words} {ago} ago")
        else:
            yield Finding("ok", "freshness", f"{row['name']}: no {words} yet ({ago} so far)")


def _in_words(seconds: float) -> str:
    """A time span in the largest unit of which it has two."""
    for name, unit in (("days", _DAY), ("hours", _HOUR), ("minutes", _MINUTE)):
        if seconds >= 2 * unit:
            return f"{int(seconds // unit)} {name}"
    return "a minute"


def check_queue(settings: Settings) -> Iterator[Finding]:
    """Jobs that nobody does, jobs whose worker died, jobs that failed; and the workers."""
    with connect(transform_url(settings)) as conn:
        alive = one(conn.execute(query("queue.count_workers")).fetchone())["alive"]
        state = one(
            conn.execute(
                query("doctor.find_stuck_jobs"), {"stale_after": settings.run_stale_seconds}
            ).fetchone()
        )
    yield from _worker(alive, state["waiting"])
    if state["oldest_seconds"] > _PATIENCE_SECONDS:
        minutes = int(state["oldest_seconds"] // 60)
        yield Finding(
            "warning" if alive else "error",
            "worker",
            f"{state['waiting']} jobs wait, the oldest for {minutes} minutes",
            "Start another worker, or look at what the others do: quintile runs list"
            " --state running"
            if alive
            else "Start one: quintile worker; or once: quintile jobs work",
        )
    if state["orphaned"]:
        yield Finding(
            "warning",
            "worker",
            f"{state['orphaned']} jobs belong to a worker that died",
            "A worker takes them up again within minutes: quintile worker",
        )
    if state["failed"]:
        yield Finding(
            "warning",
            "worker",
            f"{state['failed']} jobs failed within a day and are not tried again;"
            f" the last: {state['last_failed']}",
            "The worker's log says why, under the job's name.",
        )


def _worker(alive: int, waiting: int) -> Iterator[Finding]:
    if alive:
        yield Finding("ok", "worker", f"{alive} alive" if alive > 1 else "one is alive")
    elif not waiting:
        yield Finding(
            "ok",
            "worker",
            "none is alive and no job waits",
            "Schedules then need another scheduler: docs/schedulers.md",
        )


def check_runs(settings: Settings, conn: Connection) -> Iterator[Finding]:
    """Runs whose process has not been heard of, by tenant."""
    rows = conn.execute(
        query("doctor.list_stuck_runs"), {"stale_after": settings.run_stale_seconds}
    ).fetchall()
    for row in rows:
        yield Finding(
            "warning",
            "runs",
            f"{row['name']}: {row['kind']} {row['run_id']} has not been heard of for"
            f" {row['minutes']} minutes",
            "Its process is dead or hangs. The next one of its kind closes it and goes on.",
        )
