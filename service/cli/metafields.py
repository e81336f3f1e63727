"""RFM in customer metafields of the store: on, off, now, and how it stands."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import asdict
from uuid import UUID

import click

from service.cli.console import (
    echo,
    json_option,
    print_json,
    report_result,
    result_option,
    run_with_progress,
    tenant_connection,
    tenant_option,
    tenant_pool,
)
from service.core.config import Settings
from service.core.db import Connection, tenant_transaction
from service.core.errors import InvalidInputError
from service.shopify.metafields import (
    Status,
    auditable,
    describe_problem,
    queue_metafields,
    read_status,
    retry_refused,
    rewrite,
    turn_off,
    turn_on,
)
from service.tenants.audit import command_access, recording

_CHANGED_BY = "quintile metafields"
# A person waits, so there is only one retry.
_ATTEMPTS = 2


@click.group()
def metafields() -> None:
    """RFM segments and scores in customer metafields, for the store's own segments."""


@metafields.command("on", epilog="Example: quintile metafields on --tenant acme")
@tenant_option
@click.pass_obj
def metafields_on(settings: Settings, tenant: str) -> None:
    """Write segments and scores to the store's customers now and after each build.

    The access token needs the scope write_customers.
    """
    from service.shopify.metafield_sync import refresh_scope

    with tenant_pool(settings, tenant) as (pool, tenant_id):
        refresh_scope(settings, pool, tenant_id, attempts=_ATTEMPTS)
        with tenant_transaction(pool, tenant_id) as conn:
            with _recording(conn, tenant_id):
                turn_on(conn, tenant_id, _CHANGED_BY)
            queue_metafields(conn, tenant_id, "cli")
    echo(f"on for {tenant}; if no worker is running: quintile metafields sync --tenant {tenant}")


@metafields.command("off", epilog="Example: quintile metafields off --tenant acme")
@tenant_option
@click.option(
    "--keep-values",
    is_flag=True,
    help="Leave in the store what was written, instead of removing it.",
)
@click.pass_obj
def metafields_off(settings: Settings, tenant: str, keep_values: bool) -> None:
    """Remove all that was written from the store, with its definitions."""
    with tenant_connection(settings, tenant) as (conn, tenant_id):
        with _recording(conn, tenant_id):
            turn_off(conn, tenant_id, _CHANGED_BY, keep_values=keep_values)
        run = queue_metafields(conn, tenant_id, "cli")
    if run is None:
        echo(f"off for {tenant}")
    else:
        echo(
            f"off for {tenant}; if no worker is running: quintile metafields sync --tenant {tenant}"
        )


@metafields.command("sync", epilog="Example: quintile metafields sync --tenant acme")
@tenant_option
@click.option("--rewrite", "is_rewrite", is_flag=True, help="Write all values again.")
@result_option
@click.pass_obj
def metafields_sync(settings: Settings, tenant: str, is_rewrite: bool, as_json: bool) -> None:
    """Write now what has changed, or remove what is left, with progress.

    For builds that Quintile does not start, such as a plain dbt build.
    """
    from service.shopify.metafield_sync import sync_metafields

    with (
        report_result("metafields sync", as_json=as_json) as result,
        tenant_pool(settings, tenant) as (pool, tenant_id),
    ):
        with tenant_transaction(pool, tenant_id) as conn:
            if read_status(conn, tenant_id).state == "off":
                raise InvalidInputError(
                    f"RFM in customer metafields is turned off for {tenant}.",
                    advice=f"Turn it on: quintile metafields on --tenant {tenant}",
                )
            (rewrite if is_rewrite else retry_refused)(conn, tenant_id)
        with run_with_progress(pool, tenant, tenant_id, "metafields_sync", result) as progress:
            sync_metafields(settings, pool, tenant_id, progress)


@metafields.command("status", epilog="Example: quintile metafields status --tenant acme")
@tenant_option
@json_option
@click.pass_obj
def metafields_status(settings: Settings, tenant: str, as_json: bool) -> None:
    """Print how it stands, and a query for Shopify's segment editor for each RFM segment."""
    with tenant_connection(settings, tenant, read_only=True) as (conn, tenant_id):
        status = read_status(conn, tenant_id)
    problem = describe_problem(status)
    if as_json:
        print_json({**asdict(status), "problem": problem and asdict(problem)})
        return
    _print(status)
    if problem is not None:
        echo(f"Warning: {problem.in_words} {problem.advice}")


def _recording(conn: Connection, tenant_id: UUID) -> AbstractContextManager[None]:
    who = command_access(tenant_id)
    return recording(
        conn, who, "metafields.changed", read=lambda: auditable(read_status(conn, tenant_id))
    )


def _print(status: Status) -> None:
    click.echo(
        f"{status.state}: {status.written:,} customers written, {status.pending:,} pending,"
        f" {status.refused:,} refused"
    )
    for refusal in status.refusals:
        examples = ", ".join(refusal["customer_ids"])
        click.echo(f"refused {refusal['customers']:,}: {refusal['reason']} ({examples})")
    for item in status.queries:
        click.echo(f"{item.label}: {item.query}")
