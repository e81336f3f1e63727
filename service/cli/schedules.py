"""``quintile schedules``: what runs by itself, and pausing it."""

from __future__ import annotations

import json

import click

from service.cli.console import tenant_connection, tenant_option
from service.core.config import Settings
from service.queue.schedules import BY_NAME, list_schedules, pause, resume

_name_argument = click.argument("name", metavar="SCHEDULE", type=click.Choice(list(BY_NAME)))


@click.group()
def schedules() -> None:
    """What runs by itself for a tenant, when, and pausing it."""


@schedules.command("list")
@tenant_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
@click.pass_obj
def schedules_list(settings: Settings, tenant: str, as_json: bool) -> None:
    """List the schedules: when next, or why not, and how the newest run ended."""
    with tenant_connection(settings, tenant) as (conn, tenant_id):
        rows = list_schedules(conn, settings, tenant_id)
    if as_json:
        click.echo(json.dumps(rows, default=str))
        return
    for row in rows:
        run = row["last_run"]
        last = f"{run['state']} {run['created_at'][:16]}" if run else "-"
        click.echo(f"{row['name']:<16} {row['cron']:<14} {_when(row):<32} {last}")


@schedules.command("pause")
@_name_argument
@tenant_option
@click.pass_obj
def schedules_pause(settings: Settings, name: str, tenant: str) -> None:
    """Let a schedule come due no more; what runs already goes on."""
    with tenant_connection(settings, tenant) as (conn, tenant_id):
        pause(conn, tenant_id, name, "command line")
    click.echo(f"paused; to go on: quintile schedules resume {name} --tenant {tenant}", err=True)


@schedules.command("resume")
@_name_argument
@tenant_option
@click.pass_obj
def schedules_resume(settings: Settings, name: str, tenant: str) -> None:
    """Let a paused schedule come due again, from its next time on."""
    with tenant_connection(settings, tenant) as (conn, tenant_id):
        resume(conn, tenant_id, name)
        rows = list_schedules(conn, settings, tenant_id)
    click.echo(next(_when(row) for row in rows if row["name"] == name), err=True)


def _when(row: dict[str, object]) -> str:
    if row["is_paused"]:
        return f"paused by {row['paused_by']}"
    if not row["is_connected"]:
        return "not connected"
    return f"next {row['next_at']:%Y-%m-%d %H:%M} UTC"
