"""``quintile klaviyo``: synced lists, previews, and approvals that a sync waits for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, cast
from uuid import UUID

import click

from service.cli.console import echo, recorded, tenant_connection, tenant_option, tenant_pool
from service.core.config import Settings
from service.core.db import Connection, Pool, tenant_transaction
from service.core.errors import AlreadyRunningError, InvalidInputError, QuintileError
from service.core.queries import query
from service.destinations.configs import (
    ConfigChange,
    NewConfig,
    auditable,
    change_config,
    confirm_removals,
    create_config,
    delete_config,
    get_config,
    list_configs,
    undo_removal,
)
from service.destinations.status import describe_configs
from service.destinations.sync_runs import add_rows
from service.queue.runs import record_run, start_run
from service.tenants.audit import command_access, record_command, recording

_ARROWS = {"push": "->", "pull": "<-", "bidirectional": "<->"}
_PARTS = {"add": "add", "remove": "remove", "update": "update", "skip": "leave out"}
_MOST_ROWS = 1000

config_option = click.option(
    "--config", "config_id", required=True, type=click.UUID, help="The configuration's id."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def klaviyo() -> None:
    """Klaviyo lists that are synced with segments."""


@klaviyo.command("configs")
@tenant_option
@json_option
@click.pass_obj
def configs_command(settings: Settings, tenant: str, as_json: bool) -> None:
    """List the synced lists, each with its segment and its last sync."""
    with tenant_connection(settings, tenant) as (conn, tenant_id):
        rows = describe_configs(conn, tenant_id, list_configs(conn, tenant_id))
    if as_json:
        click.echo(json.dumps(rows, default=str))
        return
    for row in rows:
        click.echo(f"{row['config_id']}  {_describe(row)}  {_status(row)}")


@klaviyo.command("add")
@tenant_option
@click.option("--segment", metavar="KEY", help="rfm:champions, shopify:<id> or klaviyo:<list id>.")
@click.option("--list", "list_id", required=True, metavar="ID", help="The Klaviyo list's id.")
@click.option(
    "--direction",
    type=click.Choice(sorted(_ARROWS)),
    default="push",
    show_default=True,
    help="Who decides: the segment (push), the list (pull), or both.",
)
@click.option("--schedule/--no-schedule", default=True, help="Sync it automatically, or by hand.")
@click.option("--events", is_flag=True, help="Send events when people enter or leave the segment.")
@click.option("--fire-flows", is_flag=True, help="Let the first sync trigger the list's flows.")
@click.pass_obj
def add_command(
    settings: Settings,
    tenant: str,
    segment: str | None,
    list_id: str,
    direction: Any,
    schedule: bool,
    events: bool,
    fire_flows: bool,
) -> None:
    """Sync a list with a segment; prints the configuration's id."""
    if segment is None and direction != "pull":
        raise InvalidInputError("A push or bidirectional sync needs a segment: give --segment.")
    # Commands that call providers import them late: they take a while, for the others too.
    from service.klaviyo.lists import find_list_name

    with tenant_pool(settings, tenant) as (pool, tenant_id):
        name = find_list_name(settings, pool, tenant_id, list_id)
        new = NewConfig(
            segment or f"klaviyo:{list_id}",
            list_id,
            name,
            direction=direction,
            is_scheduled=schedule,
            fires_flows_on_first_sync=fire_flows,
            sends_events=events,
        )
        with tenant_transaction(pool, tenant_id) as conn:
            config_id = create_config(conn, tenant_id, new)
            added = asdict(new)
            record_command(conn, tenant_id, "klaviyo_list.added", subject=config_id, after=added)
    click.echo(config_id)


@klaviyo.command("remove")
@tenant_option
@config_option
@click.pass_obj
def remove_command(settings: Settings, tenant: str, config_id: UUID) -> None:
    """Stop syncing a list. The people on it stay on it."""
    with tenant_connection(settings, tenant) as (conn, tenant_id):
        former = auditable(get_config(conn, tenant_id, config_id))
        name = delete_config(conn, tenant_id, config_id)
        record_command(conn, tenant_id, "klaviyo_list.removed", subject=config_id, before=former)
    echo(f"list '{name}' is no longer synced; the people on it stay on it")


@klaviyo.command("pause")
@tenant_option
@config_option
@click.pass_obj
def pause_command(settings: Settings, tenant: str, config_id: UUID) -> None:
    """Pause a list until it is resumed."""
    with tenant_connection(settings, tenant) as (conn, tenant_id):
        row = _change_pause(conn, tenant_id, config_id, is_paused=True)
    echo(f"list '{row['list_name']}' is paused")


@klaviyo.command("resume")
@tenant_option
@config_option
@click.pass_obj
def resume_command(settings: Settings, tenant: str, config_id: UUID) -> None:
    """Resume a paused list."""
    with tenant_connection(settings, tenant) as (conn, tenant_id):
        row = _change_pause(conn, tenant_id, config_id, is_paused=False)
    echo(f"list '{row['list_name']}' is synced again")


@klaviyo.command("preview")
@tenant_option
@click.option(
    "--config", "config_ids", multiple=True, type=click.UUID, help="Only this; repeatable."
)
@json_option
@click.pass_obj
def preview_command(
    settings: Settings, tenant: str, config_ids: tuple[UUID, ...], as_json: bool
) -> None:
    """Show what a sync would change, without changing it."""
    with tenant_pool(settings, tenant) as (pool, tenant_id):
        preview(settings, pool, tenant, tenant_id, list(config_ids) or None, as_json=as_json)


def preview(
    settings: Settings,
    pool: Pool,
    label: str,
    tenant_id: UUID,
    config_ids: list[UUID] | None = None,
    *,
    as_json: bool = False,
) -> UUID:
    """Make a dry run now and print its plans, with counts and examples; returns the run's id.

    Raises:
        UnknownConfigError: The tenant has no configuration with some id.
        AlreadyRunningError: Another dry run of the tenant is running.
        QuintileError: As :func:`service.klaviyo.destination.sync_klaviyo`, after printing the plans
            that were made.
    """
    from service.klaviyo.destination import sync_klaviyo

    with tenant_transaction(pool, tenant_id) as conn:
        for config_id in config_ids or []:
            get_config(conn, tenant_id, config_id)
        run = start_run(conn, tenant_id, "klaviyo_plan", "cli").run
        if run["state"] == "running":
            raise AlreadyRunningError(advice=f"Follow it as run {run['run_id']}.")
        add_rows(conn, tenant_id, run["run_id"], config_ids, is_dry_run=True)
    failure: QuintileError | None = None
    try:
        with record_run(pool, tenant_id, run["run_id"]) as recorder:
            sync_klaviyo(settings, pool, tenant_id, recorder)
    except QuintileError as error:
        failure = error
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        rows = conn.execute(
            query("cli.list_plans"), {"tenant_id": tenant_id, "run_id": run["run_id"]}
        ).fetchall()
    if as_json:
        click.echo(json.dumps(rows, default=str))
    else:
        for row in rows:
            for line in _plan_lines(label, row):
                click.echo(line)
    if failure is not None:
        raise failure
    return cast("UUID", run["run_id"])


@klaviyo.command("confirm")
@tenant_option
@config_option
@click.pass_obj
def confirm_command(settings: Settings, tenant: str, config_id: UUID) -> None:
    """Approve the removals that the last sync stopped for; the next sync carries them out."""
    with tenant_connection(settings, tenant) as (conn, tenant_id):
        former = get_config(conn, tenant_id, config_id)["confirmed_removals"]
        removals = confirm_removals(conn, tenant_id, config_id)
        record_command(
            conn,
            tenant_id,
            "klaviyo_list.removals_approved",
            subject=config_id,
            before={"confirmed_removals": former},
            after={"confirmed_removals": removals},
        )
    echo(f"{removals:,} removals approved; to remove: quintile sync klaviyo --tenant {tenant}")


@klaviyo.command("rows")
@tenant_option
@config_option
@click.option(
    "--state",
    type=click.Choice(["pending", "synced", "rejected", "kept", "removed"]),
    help="Only rows in this state.",
)
@click.option("--search", metavar="TEXT", help="Only addresses that contain the text.")
@click.pass_obj
def rows_command(
    settings: Settings, tenant: str, config_id: UUID, state: str | None, search: str | None
) -> None:
    """Print the state of each address, as JSON lines."""
    with tenant_pool(settings, tenant) as (pool, tenant_id):
        with tenant_transaction(pool, tenant_id, read_only=True) as conn:
            get_config(conn, tenant_id, config_id)
        parameters = {
            "tenant_id": tenant_id,
            "config_id": config_id,
            "state": state,
            "q": search,
            "after_email": None,
            "row_limit": _MOST_ROWS,
        }
        while True:
            with tenant_transaction(pool, tenant_id, read_only=True) as conn:
                rows = conn.execute(query("destinations.list_ledger"), parameters).fetchall()
            for row in rows:
                click.echo(json.dumps(row, default=str))
            if len(rows) < _MOST_ROWS:
                return
            parameters["after_email"] = rows[-1]["email"]


@klaviyo.command("undo")
@tenant_option
@config_option
@click.option("--email", required=True, help="The address that was removed.")
@click.pass_obj
@recorded("klaviyo_removal.undone", tenant="tenant", subject="config_id", without={"email"})
def undo_command(settings: Settings, tenant: str, config_id: UUID, email: str) -> None:
    """Let the next sync add an address again that a person removed from the list."""
    with tenant_connection(settings, tenant) as (conn, tenant_id):
        undo_removal(conn, tenant_id, config_id, email)
    echo(f"the next sync adds {email} to the list again")


def _change_pause(
    conn: Connection, tenant_id: UUID, config_id: UUID, *, is_paused: bool
) -> dict[str, Any]:
    def read() -> dict[str, Any]:
        return {"is_paused": get_config(conn, tenant_id, config_id)["is_paused"]}

    who = command_access(tenant_id)
    with recording(conn, who, "klaviyo_list.changed", subject=config_id, read=read):
        return change_config(conn, tenant_id, config_id, ConfigChange(is_paused=is_paused))


def _describe(row: dict[str, Any]) -> str:
    return f"{row['segment_key']} {_ARROWS[row['direction']]} {row['list_name']}"


def _status(row: dict[str, Any]) -> str:
    if row["is_paused"]:
        return f"paused: {row['paused_reason'] or 'by a person'}"
    if row["last_state"] is None:
        return "not synced yet"
    if row["last_state"] != "succeeded":
        return f"{row['last_state']}: {row['last_error'] or ''}".rstrip(": ")
    if row["last_synced_at"] is None:
        return "not synced yet"
    members = f"{_amount(row['list_members'])} in Klaviyo"
    if row["direction"] != "pull":
        members = f"{_amount(row['segment_members'])} in segment, {members}"
    changed = "; the segment has changed since" if row["has_segment_changed"] else ""
    return f"{members}, synced {row['last_synced_at']:%Y-%m-%d %H:%M} UTC{changed}"


def _amount(members: int | None) -> str:
    return "unknown" if members is None else f"{members:,}"


def _plan_lines(label: str, row: dict[str, Any]) -> Iterator[str]:
    plan = row["plan"]
    head = f"{label}: {_describe(row)}"
    if plan is None:
        yield f"{head}: {row['error'] or 'no plan'}"
        return
    counts = ", ".join(f"{word} {plan[part]['count']:,}" for part, word in _PARTS.items())
    yield f"{head}: {counts}"
    for part, word in _PARTS.items():
        reasons = plan[part].get("reasons") or {}
        if reasons:
            text = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
            yield f"  {word}: {text.replace('_', ' ')}"
        for example in plan[part]["examples"]:
            who = example.get("email") or f"customer {example.get('customer_id')}"
            why = f" ({example['reason'].replace('_', ' ')})" if example.get("reason") else ""
            yield f"  {word}: {who}{why}"
    if plan.get("stop"):
        yield f"  a sync would stop: {plan['stop']['message']} {plan['stop'].get('advice') or ''}"
