"""``quintile schedules``: list, pause and resume schedules."""

from __future__ import annotations

from uuid import UUID

import click

from service.cli.console import (
    echo,
    json_option,
    print_json,
    tenant_connection,
    tenant_option,
)
from service.core.config import Settings
from service.core.db import Connection
from service.queue.schedules import (
    BY_NAME,
    is_paused,
    list_schedules,
    pause,
    read_schedule,
    resume,
)
from service.tenants.audit import record_command

_name_argument = click.argument("name", metavar="SCHEDULE", type=click.Choice(list(BY_NAME)))


@click.group()
def schedules() -> None:
    """List, pause and resume a tenant's schedules."""


@schedules.command("list")
@tenant_option
@json_option
@click.pass_obj
def schedules_list(settings: Settings, tenant: str, as_json: bool) -> None:
    """List the schedules with their next and last runs."""
    with tenant_connection(settings, tenant) as (conn, tenant_id):
        rows = list_schedules(conn, settings, tenant_id)
    if as_json:
        print_json(rows)
        return
    for row in rows:
        run = row["last_run"]
        last = f"{run['state']} {run['created_at'][:16]}" if run else "-"
        click.echo(f"{row['name']:<16} {row['cron']:<14} {_when(row):<32} {last}")


@schedules.command("pause", epilog="Example: quintile schedules pause klaviyo --tenant acme")
@_name_argument
@tenant_option
@click.pass_obj
def schedules_pause(settings: Settings, name: str, tenant: str) -> None:
    """Pause a schedule. A run that is in progress continues."""
    with tenant_connection(settings, tenant) as (conn, tenant_id):
        _record(conn, tenant_id, "schedule.paused", name, pauses=True)
        pause(conn, tenant_id, name, "command line")
    echo(f"paused; to resume: quintile schedules resume {name} --tenant {tenant}")


@schedules.command("resume")
@_name_argument
@tenant_option
@click.pass_obj
def schedules_resume(settings: Settings, name: str, tenant: str) -> None:
    """Resume a schedule at its next regular time."""
    with tenant_connection(settings, tenant) as (conn, tenant_id):
        _record(conn, tenant_id, "schedule.resumed", name, pauses=False)
        resume(conn, tenant_id, name)
        echo(_when(read_schedule(conn, settings, tenant_id, name)))


def _record(conn: Connection, tenant_id: UUID, action: str, name: str, *, pauses: bool) -> None:
    before = {"is_paused": is_paused(conn, tenant_id, name)}
    after = {"is_paused": pauses}
    record_command(conn, tenant_id, action, subject=name, before=before, after=after)


def _when(row: dict[str, object]) -> str:
    if row["is_paused"]:
        return f"paused by {row['paused_by']}"
    if not row["is_connected"]:
        return "not connected"
    return f"next {row['next_at']:%Y-%m-%d %H:%M} UTC"
