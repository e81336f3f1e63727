"""Privacy requests: data exports, erasure and receipts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
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
from service.core.db import Connection, connect_as_owner, find_tenant, tenant_transaction
from service.core.errors import InvalidInputError
from service.core.queries import query

if TYPE_CHECKING:
    from service.privacy.requests import Kind


@click.group()
def privacy() -> None:
    """Export or erase a customer's data, and list receipts."""


@privacy.command(
    "export", epilog="Example: quintile privacy export --tenant acme --customer 7103 > data.json"
)
@tenant_option
@click.option("--customer", metavar="ID", help="Make a new export of this customer's data.")
@click.option("--phone", help="The same, of a customer without id and e-mail address.")
@click.option("--id", "export_id", type=click.UUID, help="Print an existing export.")
@click.pass_obj
def privacy_export(
    settings: Settings,
    tenant: str,
    customer: str | None,
    phone: str | None,
    export_id: UUID | None,
) -> None:
    """Print all data about a customer as JSON."""
    from service.privacy.exports import newest_export, open_export
    from service.privacy.requests import process_now

    if sum(given is not None for given in (customer, phone, export_id)) != 1:
        raise InvalidInputError("Give either --customer, --phone or --id.")
    with tenant_pool(settings, tenant) as (pool, tenant_id):
        if export_id is None:
            with tenant_transaction(pool, tenant_id) as conn:
                webhook_id = _add_request(conn, tenant_id, "data_request", customer, phone)
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
@click.option("--customer", metavar="ID", help="The customer's id in Shopify.")
@click.option("--phone", help="Instead of an id: the phone number of a customer without one.")
@click.option(
    "--email", "emails", multiple=True, help="Another address of the customer. Repeatable."
)
@click.option("--confirm", metavar="ID", help="Repeat the id or number to skip the question.")
@click.pass_obj
def privacy_redact(
    settings: Settings,
    tenant: str,
    customer: str | None,
    phone: str | None,
    emails: tuple[str, ...],
    confirm: str | None,
) -> None:
    """Erase a customer's personal data. The amounts of their orders stay."""
    from service.privacy.requests import process_now

    who = customer or phone
    if who is None or (customer and phone):
        raise InvalidInputError("Give either --customer or --phone.")
    addresses = sorted({email.strip().lower() for email in emails})
    warning = f"This permanently erases the data of customer {who} of {tenant}."
    with tenant_pool(settings, tenant) as (pool, tenant_id):
        confirm_erasure(who, confirm, warning)
        with tenant_transaction(pool, tenant_id) as conn:
            webhook_id = _add_request(
                conn, tenant_id, "customer_redact", customer, phone, addresses
            )
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


def _add_request(
    conn: Connection,
    tenant_id: UUID,
    kind: Kind,
    customer: str | None,
    phone: str | None,
    emails: Sequence[str] = (),
) -> str:
    """Store a request about a customer, by id or by phone number; returns the request's id."""
    from service.privacy.requests import add_request, find_customer_of_phone

    phones: list[str] = []
    if phone is not None:
        customer, number = find_customer_of_phone(conn, tenant_id, phone)
        phones.append(number)
    return add_request(conn, tenant_id, kind, customer or "", [*emails], phones)
