"""Privacy requests: export, erasure and receipts."""

from __future__ import annotations

import json
from uuid import UUID

import click

from service.cli.console import confirm_erasure, echo, tenant_connection, tenant_option, tenant_pool
from service.core.config import Settings
from service.core.db import connect_as_owner, find_tenant, open_pool, tenant_transaction
from service.core.errors import InvalidInputError
from service.core.queries import query


@click.group()
def privacy() -> None:
    """What is held of a person: told, erased, and the receipts of it."""


@privacy.command("export")
@tenant_option
@click.option("--customer", metavar="ID", help="Make a new one of this customer.")
@click.option("--id", "export_id", type=click.UUID, help="Print one that was made before.")
@click.pass_obj
def privacy_export(
    settings: Settings, tenant: str, customer: str | None, export_id: UUID | None
) -> None:
    """Print everything held of a customer as JSON."""
    from service.privacy.exports import newest_export, open_export
    from service.privacy.requests import add_request, process_now

    if (customer is None) == (export_id is None):
        raise InvalidInputError("Give one of --customer and --id.")
    with tenant_pool(settings, tenant) as (pool, tenant_id):
        if customer is not None:
            with tenant_transaction(pool, tenant_id) as conn:
                webhook_id = add_request(conn, tenant_id, "data_request", customer, [])
            process_now(settings, pool, tenant_id, webhook_id)
        with tenant_transaction(pool, tenant_id, read_only=True) as conn:
            wanted = export_id or newest_export(conn, tenant_id)
            document = open_export(settings, conn, tenant_id, wanted)
    if document is None:
        raise InvalidInputError(
            "There is no such export, or it has expired.",
            advice=f"See: quintile privacy exports --tenant {tenant}",
        )
    click.echo(document)


@privacy.command("exports")
@tenant_option
@click.pass_obj
def privacy_exports(settings: Settings, tenant: str) -> None:
    """List the answers to data requests that can still be fetched, as JSON lines."""
    with tenant_connection(settings, tenant, read_only=True) as (conn, tenant_id):
        for row in conn.execute(query("cli.list_exports"), {"tenant_id": tenant_id}):
            click.echo(json.dumps(row, default=str))


@privacy.command("redact")
@tenant_option
@click.option("--customer", required=True, metavar="ID", help="The customer's id in Shopify.")
@click.option("--email", "emails", multiple=True, help="A further address of theirs.")
@click.option("--confirm", metavar="ID", help="The id again, instead of being asked for it.")
@click.pass_obj
def privacy_redact(
    settings: Settings, tenant: str, customer: str, emails: tuple[str, ...], confirm: str | None
) -> None:
    """Erase a customer everywhere; of their orders only the figures stay."""
    from service.privacy.requests import add_request, process_now

    with connect_as_owner(settings) as conn:
        tenant_id = find_tenant(conn, tenant)
    confirm_erasure(customer, confirm, f"This erases customer {customer} of {tenant} for good.")
    addresses = sorted({email.strip().lower() for email in emails})
    with open_pool(settings) as pool:
        with tenant_transaction(pool, tenant_id) as conn:
            webhook_id = add_request(conn, tenant_id, "customer_redact", customer, addresses)
        process_now(settings, pool, tenant_id, webhook_id)
    echo(f"erased; the receipt: quintile privacy receipts --tenant {tenant}")


@privacy.command("receipts")
@click.option("--tenant", metavar="T", help="Only this tenant's; all, erased ones too, otherwise.")
@click.pass_obj
def privacy_receipts(settings: Settings, tenant: str | None) -> None:
    """List the receipts of privacy requests that were met, as JSON lines."""
    with connect_as_owner(settings) as conn:
        tenant_id = find_tenant(conn, tenant) if tenant is not None else None
        for row in conn.execute(query("cli.list_receipts"), {"tenant_id": tenant_id}):
            click.echo(json.dumps(row, default=str))
