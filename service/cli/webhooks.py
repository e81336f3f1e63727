"""Webhooks that could not be processed."""

from __future__ import annotations

import click

from service.cli.console import echo, print_lines, recorded, tenant_connection, tenant_option
from service.core.config import Settings
from service.core.errors import InvalidInputError
from service.core.queries import query


@click.group()
def webhooks() -> None:
    """List and retry webhooks that could not be processed."""


@webhooks.command("list")
@tenant_option
@click.pass_obj
def webhooks_list(settings: Settings, tenant: str) -> None:
    """List quarantined webhooks with the reason, as JSON lines."""
    with tenant_connection(settings, tenant, read_only=True) as (conn, tenant_id):
        print_lines(conn.execute(query("cli.list_quarantined"), {"tenant_id": tenant_id}))


@webhooks.command("retry", epilog="Example: quintile webhooks retry --tenant acme")
@tenant_option
@click.option("--id", "webhook_id", metavar="ID", help="Only this webhook. Default: all.")
@click.pass_obj
@recorded("webhook.retried", tenant="tenant")
def webhooks_retry(settings: Settings, tenant: str, webhook_id: str | None) -> None:
    """Queue quarantined webhooks again. quintile worker processes them."""
    from service.webhooks.events import retry_webhooks

    with tenant_connection(settings, tenant) as (conn, tenant_id):
        retried = retry_webhooks(conn, tenant_id, webhook_id)
    if webhook_id is not None and not retried:
        raise InvalidInputError(
            f"{tenant} has no quarantined webhook '{webhook_id}'.",
            advice=f"See: quintile webhooks list --tenant {tenant}",
        )
    queued = sum(row["state"] == "queued" for row in retried)
    echo(f"{queued} webhooks queued again, {len(retried) - queued} still cannot be read")
