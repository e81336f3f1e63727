"""Privacy requests: data exports, erasure and receipts."""

from __future__ import annotations

from uuid import UUID

import click

from service.cli.console import (
    confirm_erasure,
    echo,
    print_lines,
    tenant_connection,
    tenant_option,
    tenant_pool,
)
from service.core.config import Settings
from service.core.db import connect_as_owner, find_tenant, tenant_transaction
from service.core.errors import InvalidInputError
from service.core.queries import query


@click.group()
def privacy() -> None:
    """Export or erase a customer's data, and list receipts."""


@privacy.command(
    "export", epilog="Example: quintile privacy export --tenant acme --customer 7103 > data.json"
)
@tenant_option
@click.option("--customer", metavar="ID", help="Make a new export of this customer's data.")
@click.option("--id", "export_id", type=click.UUID, help="Print an existing export.")
@click.pass_obj
def privacy_export(
    settings: Settings, tenant: str, customer: str | None, export_id: UUID | None
) -> None:
    """Print all data about a customer as JSON."""
    from service.privacy.exports import newest_export, open_export
    from service.privacy.requests import add_request, process_now

    if (customer is None) == (export_id is None):
        raise InvalidInputError("Give either --customer or --id.")
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
    """List exports that have not expired, as JSON lines."""
    with tenant_connection(settings, tenant, read_only=True) as (conn, tenant_id):
        print_lines(conn.execute(query("cli.list_exports"), {"tenant_id": tenant_id}))


@privacy.command("redact", epilog="Example: quintile privacy redact --tenant acme --customer 7103")
@tenant_option
@click.option("--customer", required=True, metavar="ID", help="The customer's id in Shopify.")
@click.option(
    "--email", "emails", multiple=True, help="Another address of the customer. Repeatable."
)
@click.option("--confirm", metavar="ID", help="Repeat the id to skip the question.")
@click.pass_obj
def privacy_redact(
    settings: Settings, tenant: str, customer: str, emails: tuple[str, ...], confirm: str | None
) -> None:
    """Erase a customer's personal data. The amounts of their orders stay."""
    from service.privacy.requests import add_request, process_now

    addresses = sorted({email.strip().lower() for email in emails})
    warning = f"This permanently erases the data of customer {customer} of {tenant}."
    with tenant_pool(settings, tenant) as (pool, tenant_id):
        confirm_erasure(customer, confirm, warning)
        with tenant_transaction(pool, tenant_id) as conn:
            webhook_id = add_request(conn, tenant_id, "customer_redact", customer, addresses)
        process_now(settings, pool, tenant_id, webhook_id)
    echo(f"erased; receipt: quintile privacy receipts --tenant {tenant}")


@privacy.command("receipts")
@click.option("--tenant", metavar="T", help="Only this tenant. Default: all, even erased ones.")
@click.pass_obj
def privacy_receipts(settings: Settings, tenant: str | None) -> None:
    """List receipts of completed privacy requests, as JSON lines."""
    with connect_as_owner(settings) as conn:
        tenant_id = find_tenant(conn, tenant) if tenant is not None else None
        print_lines(conn.execute(query("cli.list_receipts"), {"tenant_id": tenant_id}))
