"""Syncs with Shopify and Klaviyo, and the import of orders from files."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from uuid import UUID

import click

from service.cli.console import (
    FAILED,
    ConsoleProgress,
    echo,
    report_result,
    result_option,
    run_with_progress,
    tenant_option,
    warn_order_limit,
    warn_problems,
)
from service.cli.klaviyo import preview
from service.core.config import Settings
from service.core.db import Pool, connect_as_owner, find_tenant, open_pool, tenant_transaction
from service.core.errors import InvalidInputError, NotConnectedError, QuintileError
from service.queue.runs import Kind, get_run
from service.tenants.tenants import list_tenants

if TYPE_CHECKING:
    from service.shopify.compare import Comparison
    from service.shopify.orders_csv import ImportReport

_SHOWN_LINES = 20


@click.command()
@click.argument("provider", type=click.Choice(["shopify", "klaviyo"]))
@click.option("--tenant", metavar="T", help="Only this tenant; all connected ones otherwise.")
@click.option(
    "--only",
    type=click.Choice(["orders", "segments"]),
    help="Shopify: sync only customers and orders, or only segments.",
)
@click.option("--compare", is_flag=True, help="Shopify: compare all ids with the shop's now.")
@click.option(
    "--accept-deletions",
    is_flag=True,
    help="With --compare: mark missing records as deleted, however many they are.",
)
@click.option(
    "--dry-run", is_flag=True, help="Klaviyo: print what a sync would do, and change nothing."
)
@result_option
@click.pass_obj
def sync(
    settings: Settings,
    provider: str,
    tenant: str | None,
    only: Literal["orders", "segments"] | None,
    compare: bool,
    accept_deletions: bool,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Sync now, with progress.

    Exits 3 when another process is already syncing a tenant and nothing failed.
    """
    from service.promo_codes.codes import ask_for_updates
    from service.shopify.compare import Comparison

    if dry_run and provider != "klaviyo":
        raise InvalidInputError("--dry-run is for Klaviyo: a sync with Shopify only reads.")
    _check_parts(provider, only, compare=compare, accept_deletions=accept_deletions)
    runs = _sync_runs(provider, only, Comparison.chosen(now=compare, believe=accept_deletions))
    with report_result(f"sync {provider}", as_json=as_json) as result, open_pool(settings) as pool:
        for name, tenant_id in _connected_tenants(settings, provider, tenant).items():
            try:
                if dry_run:
                    run_id = preview(settings, pool, name, tenant_id)
                    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
                        result.add_run(name, get_run(conn, tenant_id, run_id))
                    continue
                for kind, work in runs.items():
                    with run_with_progress(pool, name, tenant_id, kind, result) as progress:
                        work(settings, pool, tenant_id, progress)
                    if kind != "shopify_sync":
                        with tenant_transaction(pool, tenant_id) as conn:
                            ask_for_updates(conn, tenant_id, "person")
            except QuintileError as error:
                # The other tenants are synced all the same.
                click.echo(f"Error: {name}: {error.message}", err=True)
                if error.advice:
                    click.echo(error.advice, err=True)
                result.record_error(error)
            if provider == "klaviyo":
                _warn_not_synced(pool, name, tenant_id)
            else:
                with tenant_transaction(pool, tenant_id, read_only=True) as conn:
                    warn_order_limit(conn, name, tenant_id)
                    warn_problems(conn, name, tenant_id)


def _check_parts(provider: str, only: str | None, *, compare: bool, accept_deletions: bool) -> None:
    if provider == "klaviyo" and only is not None:
        raise InvalidInputError("--only is for Shopify.")
    if (compare and (provider != "shopify" or only == "segments")) or (
        accept_deletions and not compare
    ):
        raise InvalidInputError(
            "--compare is for orders and customers, and --accept-deletions is for --compare."
        )


def _sync_runs(
    provider: str, only: str | None, comparison: Comparison
) -> dict[Kind, Callable[[Settings, Pool, UUID, ConsoleProgress], None]]:
    """The kinds of run that a sync consists of, in order, each with its function."""
    from service.klaviyo.destination import sync_klaviyo
    from service.shopify.sync import sync_shopify

    if provider == "klaviyo":
        return {"klaviyo_sync": sync_klaviyo}
    runs: dict[Kind, Callable[[Settings, Pool, UUID, ConsoleProgress], None]] = {}
    if only != "segments":
        runs["shopify_sync"] = partial(sync_shopify, only="orders", comparison=comparison)
    if only != "orders":
        runs["segments_sync"] = partial(sync_shopify, only="segments")
    return runs


def _warn_not_synced(pool: Pool, name: str, tenant_id: UUID) -> None:
    """Warn at every sync, and not only at the one that paused or stopped for a list."""
    from service.destinations.configs import lists_to_attend_to

    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        items = lists_to_attend_to(conn, tenant_id)
    for item in items:
        echo(f"Warning: {name}: {item.message()}\n{item.advice(name)}")


def _connected_tenants(settings: Settings, provider: str, tenant: str | None) -> dict[str, UUID]:
    with connect_as_owner(settings) as conn:
        if tenant is not None:
            return {tenant: find_tenant(conn, tenant)}
        rows = list_tenants(conn)
    chosen = {row["name"]: row["tenant_id"] for row in rows if provider in row["connected"]}
    if not chosen:
        raise NotConnectedError(
            f"No tenant is connected to {provider}.",
            advice=f"Connect one: quintile tenants connect-{provider} NAME",
        )
    return chosen


@click.group()
def orders() -> None:
    """Orders."""


@orders.command("import")
@click.argument(
    "files",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@tenant_option
@click.option("--sum-lines", is_flag=True, help="Each line is an item: add up an order's lines.")
@click.option(
    "--accept-older",
    is_flag=True,
    help="Load orders even where that takes back a refund, payment, cancellation or fulfilment.",
)
@click.option("--encoding", metavar="NAME", help="The files' encoding, such as windows-1252.")
@result_option
@click.pass_obj
def orders_import(
    settings: Settings,
    files: tuple[Path, ...],
    tenant: str,
    sum_lines: bool,
    accept_older: bool,
    encoding: str | None,
    as_json: bool,
) -> None:
    """Import orders from CSV files with a header; importing them again changes nothing.

    Lines that cannot be read are printed and left out. Exits 1 when no line of a file can be read.
    Orders that the store's sync has loaded stay as they are. So do orders of which a file has an
    older state: they are printed.

    A file is either Shopify's own export of orders (Orders, Export, Plain CSV file; it may come in
    several parts), where customers are found by their e-mail addresses or else by their phone
    numbers, or it has these columns:

    Required: order_id, customer_id, processed_at, total. Optional: customer_email,
    customer_phone, customer_country (such as DE), customer_name, order_number, subtotal (goods
    after discounts), refunded, currency, financial_status, fulfillment_status, channel, tags
    (separated by ;), cancelled_at, test, updated_at. Times without an offset are UTC.

    Columns are separated by commas, semicolons or tabs; the text is UTF-8 or UTF-16 unless
    --encoding is given.
    """
    from service.shopify.csv_file import open_csv
    from service.shopify.orders_csv import import_orders

    reports = []
    with report_result("orders import", as_json=as_json) as result:
        with connect_as_owner(settings) as conn:
            tenant_id = find_tenant(conn, tenant)
        with (
            open_pool(settings) as pool,
            run_with_progress(pool, tenant, tenant_id, "orders_import", result) as progress,
        ):
            for file in files:
                with open_csv(file, encoding) as stream:
                    reports.append(
                        import_orders(
                            pool,
                            tenant_id,
                            stream,
                            progress,
                            sum_lines=sum_lines,
                            accept_older=accept_older,
                        )
                    )
        for file, report in zip(files, reports, strict=True):
            if len(files) > 1:
                echo(f"{file.name}:")
            _report_import(report)
        if any(report.is_useless for report in reports):
            # Some bad lines are normal; only bad lines mean that it is the wrong file.
            result.set_exit_code(FAILED)


def _report_import(report: ImportReport) -> None:
    if report.is_export:
        echo(
            "this is Shopify's own export: customers are found by their e-mail addresses, or else"
            " by their phone numbers"
        )
    if report.ignored_columns:
        echo(f"ignored columns: {', '.join(report.ignored_columns)}")
    shown = report.rejected[:_SHOWN_LINES]
    for line, reason in shown:
        echo(f"line {line}: {reason}")
    if report.rejected_count > len(shown):
        echo(f"and {report.rejected_count - len(shown)} more rejected lines")
    if any("not UTF-8" in reason for _, reason in report.rejected):
        echo("if the file has another encoding, name it, such as: --encoding windows-1252")
    _report_kept(report)
    click.echo(
        f"{report.loaded} orders loaded, {report.unchanged} unchanged, "
        f"{report.rejected_count} rejected"
    )


def _report_kept(report: ImportReport) -> None:
    """Lines about orders that were joined, left as they are, or have no customer."""
    for line, order, lost in report.older[:_SHOWN_LINES]:
        echo(f"line {line}: order {order} stays as it is: the line would take back {lost}")
    if report.older_count:
        echo(
            f"{report.older_count} orders have an older state in the file than an earlier import"
            " and stay as they are. To load them all the same: --accept-older"
        )
    if report.newer:
        echo(f"{report.newer} orders stay as the store's sync or a later line has loaded them")
    if report.repeated:
        echo(f"{report.repeated} lines belong to an order that another line of the file has, too")
    found = report.loaded + report.unchanged
    if report.by_phone:
        echo(
            f"{report.by_phone} of {found} orders have a phone number and no e-mail address: it"
            " identifies their customers"
        )
    if report.without_customer:
        echo(
            f"Warning: {report.without_customer} of {found} orders have no customer, because they"
            " have no customer id, e-mail address or phone number; no segment counts them"
        )
