"""Commands about jobs: what ran, what runs, and what an external scheduler starts."""

from __future__ import annotations

import json
import sys
import time
from typing import Any, get_args
from uuid import UUID

import click

from service.cli.console import FAILED, report_result, result_option
from service.core.config import Settings
from service.core.db import connect_as_owner, find_tenant, open_pool, tenant_transaction
from service.core.errors import InvalidInputError
from service.core.queries import query
from service.queue.runs import Kind, Trigger, get_run
from service.tenants.tenants import list_tenants

_POLL_SECONDS = 0.5
_UNFINISHED = ("queued", "running")
_STATES = (*_UNFINISHED, "succeeded", "failed")


@click.group(invoke_without_command=True)
@click.pass_context
def runs(ctx: click.Context) -> None:
    """Syncs, builds and imports: what ran, what is running and what waits."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(runs_list)


@runs.command("list")
@click.option("--tenant", metavar="T", help="Only this tenant's.")
@click.option("--kind", type=click.Choice(get_args(Kind)), help="Only runs of this kind.")
@click.option("--state", type=click.Choice(_STATES), help="Only runs in this state.")
@click.option(
    "--trigger", type=click.Choice(get_args(Trigger)), help="Only runs started in this way."
)
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many at most."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
@click.pass_obj
def runs_list(
    settings: Settings,
    tenant: str | None,
    kind: str | None,
    state: str | None,
    trigger: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List runs, newest first."""
    with connect_as_owner(settings) as conn:
        rows = conn.execute(
            query("cli.list_runs"),
            {
                "tenant_id": find_tenant(conn, tenant) if tenant is not None else None,
                "kind": kind,
                "state": state,
                "trigger": trigger,
                "row_limit": limit,
            },
        ).fetchall()
    if as_json:
        click.echo(json.dumps(rows, default=str))
        return
    if not rows:
        click.echo("no such runs", err=True)
    for row in rows:
        click.echo(
            f"{row['created_at']:%Y-%m-%d %H:%M} {row['run_id']} {row['tenant']:<20} "
            f"{row['kind']:<14} {row['trigger']:<8} {row['state']:<9} {_describe(row)}"
        )


@runs.command("follow")
@click.argument("run_id", metavar="ID", type=click.UUID)
@click.option("--json", "as_json", is_flag=True, help="End with the run as one JSON object.")
@click.pass_obj
def runs_follow(settings: Settings, run_id: UUID, as_json: bool) -> None:
    """Follow a run to its end; exits 0 when it succeeds and 1 when it fails."""
    with connect_as_owner(settings) as conn:
        found = conn.execute(query("cli.find_run"), {"run_id": run_id}).fetchone()
    if found is None:
        raise InvalidInputError(f"There is no run {run_id}.", advice="See: quintile runs")
    run = _follow(settings, found["tenant_id"], run_id)
    if as_json:
        click.echo(json.dumps({"tenant": found["tenant"], **run}, default=str))
    if run["state"] == "failed":
        sys.exit(FAILED)


def _follow(settings: Settings, tenant_id: UUID, run_id: UUID) -> dict[str, Any]:
    """Print what changes until the run has ended; the run as it is then."""
    last = ""
    with open_pool(settings) as pool:
        while True:
            with tenant_transaction(pool, tenant_id, read_only=True) as conn:
                run = get_run(conn, tenant_id, run_id)
            if run is None:
                raise InvalidInputError(f"Run {run_id} has been deleted meanwhile.")
            line = f"{run['state']}: {_describe(run)}".rstrip(": ")
            if line != last:
                click.echo(line, err=True)
                last = line
            if run["state"] not in _UNFINISHED:
                return run
            time.sleep(_POLL_SECONDS)


def _describe(run: dict[str, Any]) -> str:
    """How far a run is, or how it ended, in a few words."""
    if run["state"] == "failed":
        return " ".join(filter(None, (run["error"], run["advice"])))
    if run["state"] == "succeeded":
        counts = ", ".join(f"{count:,} {name}" for name, count in run["counts"].items())
        return counts.replace("_", " ")
    if run["next_attempt_at"] is not None and run["error"]:
        return (
            f"{run['error']} Attempt {run['attempts'] + 1} follows at"
            f" {run['next_attempt_at']:%H:%M:%S} UTC."
        )
    if run["phase"] is None:
        return ""
    amount = f" {run['done']:,}" if run["done"] else ""
    total = f" of {run['total']:,}" if run["total"] else ""
    return f"{run['phase']}{amount}{total}{', not heard of for a while' * run['is_silent']}"


@click.group()
def jobs() -> None:
    """The job queue, for installations without a worker that runs all the time."""


@jobs.command("work")
@result_option
@click.pass_obj
def jobs_work(settings: Settings, as_json: bool) -> None:
    """Do every job that waits, then end: webhooks, privacy requests, what the UI has asked for.

    What the schedules do is not among them: that is quintile sync, build and housekeep.
    """
    from service.worker.run_once import run_once

    with report_result("jobs work", as_json=as_json) as result, open_pool(settings) as pool:
        result.counts = run_once(settings, pool)
        if result.counts["failed"]:
            result.set_exit_code(FAILED)
            result.error = "A job failed."
            result.advice = "The log has the details; quintile runs list --state failed"
    counts = ", ".join(f"{count} {name}" for name, count in result.counts.items())
    click.echo(counts, err=True)


@click.command()
@result_option
@click.pass_obj
def housekeep(settings: Settings, as_json: bool) -> None:
    """Delete what has served its time: old webhooks, expired exports, old runs and ended jobs."""
    from service.worker.housekeeping import housekeep as delete_old

    with report_result("housekeep", as_json=as_json) as result, open_pool(settings) as pool:
        with connect_as_owner(settings) as conn:
            tenants = [row["tenant_id"] for row in list_tenants(conn)]
        result.counts = delete_old(settings, pool, tenants)
    counts = ", ".join(f"{count:,} {name}" for name, count in result.counts.items())
    click.echo(f"deleted {counts}", err=True)
