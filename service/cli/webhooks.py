"""Webhooks that were not processed."""

from __future__ import annotations

from typing import Any

import click

from service.cli.console import echo, print_lines, recorded, tenant_connection, tenant_option
from service.core.config import Settings
from service.core.errors import InvalidInputError
from service.core.queries import query


@click.group()
def webhooks() -> None:
    """List webhooks that were not processed; retry, confirm or reject them."""


@webhooks.command("list")
@tenant_option
@click.pass_obj
def webhooks_list(settings: Settings, tenant: str) -> None:
    """List quarantined and held webhooks with the reason, as JSON lines."""
    with tenant_connection(settings, tenant, read_only=True) as (conn, tenant_id):
        print_lines(conn.execute(query("cli.list_quarantined"), {"tenant_id": tenant_id}))


@webhooks.command("retry", epilog="Example: quintile webhooks retry --tenant acme")
@tenant_option
@click.option("--id", "webhook_id", metavar="ID", help="Only this webhook. Default: all.")
@click.pass_obj
@recorded("webhook.retried", tenant="tenant", subject="webhook_id")
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


@webhooks.command("confirm", epilog="Example: quintile webhooks confirm --tenant acme --id w-1")
@tenant_option
@click.option("--id", "webhook_id", metavar="ID", required=True, help="The held webhook.")
@click.pass_obj
@recorded("webhook.confirmed", tenant="tenant", subject="webhook_id")
def webhooks_confirm(settings: Settings, tenant: str, webhook_id: str) -> None:
    """Do what a held webhook says. Deleted data cannot be restored."""
    from service.webhooks.events import confirm_webhook

    with tenant_connection(settings, tenant) as (conn, tenant_id):
        confirmed = confirm_webhook(conn, tenant_id, webhook_id)
    _check_found(confirmed, tenant, webhook_id)
    echo("confirmed; quintile worker processes it")


@webhooks.command("reject", epilog="Example: quintile webhooks reject --tenant acme --id w-1")
@tenant_option
@click.option("--id", "webhook_id", metavar="ID", required=True, help="The held webhook.")
@click.pass_obj
@recorded("webhook.rejected", tenant="tenant", subject="webhook_id")
def webhooks_reject(settings: Settings, tenant: str, webhook_id: str) -> None:
    """Reject a held webhook; nothing of what it says is done."""
    from service.webhooks.events import reject_webhook

    with tenant_connection(settings, tenant) as (conn, tenant_id):
        rejected = reject_webhook(conn, tenant_id, webhook_id)
    _check_found(rejected, tenant, webhook_id)
    echo("rejected; nothing was deleted")


def _check_found(found: dict[str, Any] | None, tenant: str, webhook_id: str) -> None:
    if found is None:
        raise InvalidInputError(
            f"{tenant} has no held webhook '{webhook_id}'.",
            advice=f"See: quintile webhooks list --tenant {tenant}",
        )
