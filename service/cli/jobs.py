"""Runs, and the commands for an external scheduler."""

from __future__ import annotations

import sys
import time
from typing import Any, get_args
from uuid import UUID

import click

from service.cli.console import (
    FAILED,
    describe_counts,
    echo,
    json_option,
    print_json,
    report_result,
    result_option,
)
from service.core.config import Settings
from service.core.db import Pool, connect_as_owner, find_tenant, open_pool, tenant_transaction
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
    """List and follow syncs, builds and imports."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(runs_list)


@runs.command("list", epilog="Example: quintile runs list --tenant acme --state failed")
@click.option("--tenant", metavar="T", help="Only of this tenant.")
@click.option("--kind", type=click.Choice(get_args(Kind)), help="Only of this kind.")
@click.option("--state", type=click.Choice(_STATES), help="Only in this state.")
@click.option("--trigger", type=click.Choice(get_args(Trigger)), help="Only with this trigger.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many runs."
)
@json_option
@click.pass_obj
def runs_list(
    settings: Settings, /, tenant: str | None, limit: int, as_json: bool, **filters: str | None
) -> None:
    """List runs, newest first."""
    with connect_as_owner(settings) as conn:
        tenant_id = find_tenant(conn, tenant) if tenant is not None else None
        parameters = {"tenant_id": tenant_id, "row_limit": limit, **filters}
        rows = conn.execute(query("cli.list_runs"), parameters).fetchall()
    if as_json:
        print_json(rows)
        return
    if not rows:
        echo("no such runs")
    for row in rows:
        click.echo(
            f"{row['created_at']:%Y-%m-%d %H:%M} {row['run_id']} {row['tenant']:<20} "
            f"{row['kind']:<14} {row['trigger']:<8} {row['state']:<9} {_describe(row)}"
        )


@runs.command("follow")
@click.argument("run_id", metavar="ID", type=click.UUID)
@click.option("--json", "as_json", is_flag=True, help="Finish with the run as one JSON object.")
@click.pass_obj
def runs_follow(settings: Settings, run_id: UUID, as_json: bool) -> None:
    """Follow a run until it ends. Exits with 0 if the run succeeds, and with 1 if it fails."""
    with connect_as_owner(settings) as conn:
        found = conn.execute(query("cli.find_run"), {"run_id": run_id}).fetchone()
    if found is None:
        raise InvalidInputError(f"There is no run {run_id}.", advice="See: quintile runs")
    with open_pool(settings) as pool:
        run = _follow(pool, found["tenant_id"], run_id)
    if as_json:
        print_json({"tenant": found["tenant"], **run})
    if run["state"] == "failed":
        sys.exit(FAILED)


def _follow(pool: Pool, tenant_id: UUID, run_id: UUID) -> dict[str, Any]:
    """Print each change of a run until it ends, and return the ended run."""
    last = ""
    while True:
        with tenant_transaction(pool, tenant_id, read_only=True) as conn:
            run = get_run(conn, tenant_id, run_id)
        if run is None:
            raise InvalidInputError(f"Run {run_id} was deleted while it was followed.")
        line = f"{run['state']}: {_describe(run)}".rstrip(": ")
        if line != last:
            echo(line)
            last = line
        if run["state"] not in _UNFINISHED:
            return run
        time.sleep(_POLL_SECONDS)


def _describe(run: dict[str, Any]) -> str:
    """The progress or outcome of a run in a few words."""
    if run["state"] == "failed":
        return " ".join(filter(None, (run["error"], run["advice"])))
    if run["state"] == "succeeded":
        return describe_counts(run["counts"])
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
    """Process the job queue without a permanent worker."""


@jobs.command("work")
@result_option
@click.pass_obj
def jobs_work(settings: Settings, as_json: bool) -> None:
    """Process all queued jobs, then exit.

    The queue has webhooks, privacy requests and jobs started in the UI. Scheduled work has its own
    commands: quintile sync, build and housekeep.
    """
    from service.worker.run_once import run_once

    with report_result("jobs work", as_json=as_json) as result, open_pool(settings) as pool:
        result.counts = run_once(settings, pool)
        if result.counts["failed"]:
            result.set_exit_code(FAILED)
            result.error = "A job failed."
            result.advice = "The log has the details; quintile runs list --state failed"
    echo(describe_counts(result.counts))


@click.command()
@result_option
@click.pass_obj
def housekeep(settings: Settings, as_json: bool) -> None:
    """Delete old data.

    Deletes old webhooks, received and sent, expired exports, old runs and finished jobs.
    """
    from service.worker.housekeeping import housekeep as delete_old

    with report_result("housekeep", as_json=as_json) as result, open_pool(settings) as pool:
        with connect_as_owner(settings) as conn:
            tenants = [row["tenant_id"] for row in list_tenants(conn)]
        result.counts = delete_old(settings, pool, tenants)
    echo(f"deleted {describe_counts(result.counts)}")
