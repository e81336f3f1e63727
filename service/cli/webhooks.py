"""Webhooks that could not be processed."""

from __future__ import annotations

import json

import click

from service.cli.console import echo, tenant_connection, tenant_option
from service.core.config import Settings
from service.core.errors import InvalidInputError
from service.core.queries import query


@click.group()
def webhooks() -> None:
    """Webhooks that could not be processed."""


@webhooks.command("list")
@tenant_option
@click.pass_obj
def webhooks_list(settings: Settings, tenant: str) -> None:
    """List the webhooks that were set aside, with the reason, as JSON lines."""
    with tenant_connection(settings, tenant, read_only=True) as (conn, tenant_id):
        rows = conn.execute(query("cli.list_quarantined"), {"tenant_id": tenant_id})
        for row in rows:
            click.echo(json.dumps(row, default=str))


@webhooks.command("retry")
@tenant_option
@click.option("--id", "webhook_id", metavar="ID", help="Only this one; all of them otherwise.")
@click.pass_obj
def webhooks_retry(settings: Settings, tenant: str, webhook_id: str | None) -> None:
    """Try webhooks that were set aside once more; quintile worker does the work."""
    from service.webhooks.events import retry_webhooks

    with tenant_connection(settings, tenant) as (conn, tenant_id):
        retried = retry_webhooks(conn, tenant_id, webhook_id)
    if webhook_id is not None and not retried:
        raise InvalidInputError(
            f"No webhook '{webhook_id}' of {tenant} has been set aside.",
            advice=f"See: quintile webhooks list --tenant {tenant}",
        )
    queued = sum(row["state"] == "queued" for row in retried)
    echo(f"{queued} webhooks queued again, {len(retried) - queued} still not understood")
