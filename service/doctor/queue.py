"""Checks of jobs: freshness, stuck jobs and runs, and whether a worker is alive."""

from __future__ import annotations

from collections.abc import Iterator

from service.core.config import Settings, environment_name
from service.core.db import Connection, connect, one, transform_url
from service.core.queries import query
from service.doctor.finding import Finding
from service.queue.freshness import EXPECTED, read_freshness

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
# After this wait there is no worker, or the workers cannot keep up.
_MAX_WAIT_SECONDS = 900


def check_freshness(settings: Settings) -> Iterator[Finding]:
    """How long ago each connected tenant was synced and each tenant was built, and what is late."""
    with connect(transform_url(settings)) as conn:
        rows = read_freshness(settings, conn)
    for row in rows:
        schedule, label = EXPECTED[row["kind"]]
        name, age = row["name"], _format_seconds(row["seconds"])
        if row["is_late"]:
            setting = environment_name(f"schedule_{schedule}")
            message = f"{name}: no {label} for {age}, over twice the longest gap of {setting}"
            advice = f"See: quintile runs list --tenant {name} --kind {row['kind']}"
            yield Finding("warning", "freshness", message, advice)
        elif row["is_recorded"]:
            yield Finding("ok", "freshness", f"{name}: last {label} {age} ago")
        elif row["is_done"]:
            yield Finding("ok", "freshness", f"{name}: {label} without a run, as of {age} ago")
        else:
            yield Finding("ok", "freshness", f"{name}: no {label} yet ({age} so far)")


def _format_seconds(seconds: float) -> str:
    """A time span in the largest unit of which it has at least two."""
    for name, unit in (("days", _DAY), ("hours", _HOUR), ("minutes", _MINUTE)):
        if seconds >= 2 * unit:
            return f"{int(seconds // unit)} {name}"
    return "a minute"


def check_queue(settings: Settings) -> Iterator[Finding]:
    """Whether workers are alive, and jobs that wait, lost their worker, or failed."""
    with connect(transform_url(settings)) as conn:
        alive = one(conn.execute(query("queue.count_workers")).fetchone())["alive"]
        parameters = {"stale_after": settings.run_stale_seconds}
        state = one(conn.execute(query("doctor.find_stuck_jobs"), parameters).fetchone())
    if alive:
        yield Finding("ok", "worker", f"{alive} alive" if alive > 1 else "one is alive")
    elif not state["waiting"]:
        message = "none is alive and no job waits"
        advice = "Without a worker, another scheduler must start jobs: docs/schedulers.md"
        yield Finding("ok", "worker", message, advice)
    if state["oldest_seconds"] > _MAX_WAIT_SECONDS:
        minutes = int(state["oldest_seconds"] // 60)
        message = f"{state['waiting']} jobs wait, the oldest for {minutes} minutes"
        if alive:
            advice = "Start another worker, or see what runs: quintile runs list --state running"
            yield Finding("warning", "worker", message, advice)
        else:
            advice = "Start one: quintile worker; or once: quintile jobs work"
            yield Finding("error", "worker", message, advice)
    if state["orphaned"]:
        message = f"{state['orphaned']} jobs belong to a worker that died"
        advice = "A running worker requeues them within minutes: quintile worker"
        yield Finding("warning", "worker", message, advice)
    if state["failed"]:
        message = (
            f"{state['failed']} jobs failed within a day and are not retried;"
            f" the last: {state['last_failed']}"
        )
        advice = "See the worker's log, under the job's name."
        yield Finding("warning", "worker", message, advice)


def check_runs(settings: Settings, conn: Connection) -> Iterator[Finding]:
    """Runs whose process sends no heartbeats, by tenant."""
    parameters = {"stale_after": settings.run_stale_seconds}
    for row in conn.execute(query("doctor.list_stuck_runs"), parameters).fetchall():
        run = f"{row['name']}: {row['kind']} {row['run_id']}"
        message = f"{run} has sent no heartbeat for {row['minutes']} minutes"
        advice = "Its process is dead or hangs. The next run of its kind closes it."
        yield Finding("warning", "runs", message, advice)
