"""Tenants: create, list, change and erase them."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from service.cli.access import (
    revoke_token_command,
    sessions_command,
    sign_in_link_command,
    sign_out_command,
    token_command,
    tokens_command,
)
from service.cli.connections import (
    connect_klaviyo_command,
    connect_shopify_command,
    disconnect_klaviyo_command,
    disconnect_shopify_command,
    map_list_command,
    unmap_list_command,
)
from service.cli.console import confirm_erasure, echo, json_option, print_json, recorded
from service.core.config import Settings
from service.core.db import connect_as_owner, find_tenant, open_pool, tenant_transaction
from service.core.errors import InvalidInputError
from service.tenants.tenants import (
    RfmChange,
    SamplesChange,
    add_tenant,
    change_tenant,
    list_tenants,
    read_settings,
)


@click.group()
def tenants() -> None:
    """Manage tenants and their connections."""


for _command in (
    connect_shopify_command,
    disconnect_shopify_command,
    connect_klaviyo_command,
    disconnect_klaviyo_command,
    map_list_command,
    unmap_list_command,
    token_command,
    tokens_command,
    revoke_token_command,
    sign_in_link_command,
    sessions_command,
    sign_out_command,
):
    tenants.add_command(_command)


@tenants.command("add", epilog="Example: quintile tenants add acme --shop acme.myshopify.com")
@click.argument("name")
@click.option("--shop", metavar="x.myshopify.com", help="The store's myshopify.com domain.")
@click.pass_obj
@recorded("tenant.added")
def tenants_add(settings: Settings, name: str, shop: str | None) -> None:
    """Create a tenant. A tenant is one store with its data, settings and connections."""
    with connect_as_owner(settings) as conn:
        add_tenant(conn, name, shop)
    connect = f"set {name} --shop x.myshopify.com" if shop is None else f"connect-shopify {name}"
    echo(
        f"added {name}; next: quintile tenants {connect}, or, to import orders from a file: "
        f"quintile orders import FILE.csv --tenant {name}"
    )


@tenants.command("list")
@json_option
@click.pass_obj
def tenants_list(settings: Settings, as_json: bool) -> None:
    """List the tenants."""
    with connect_as_owner(settings) as conn:
        rows = list_tenants(conn)
    if as_json:
        print_json(rows)
        return
    if not rows:
        echo("no tenants yet; create one: quintile tenants add NAME")
    for row in rows:
        connected = ", ".join(row["connected"]) or "not connected"
        click.echo(
            f"{row['name']:<24} {row['shop_domain'] or '-':<40} {row['currency'] or '-':<4} "
            f"{row['time_zone']:<20} {connected}"
        )


@tenants.command("set", epilog="Example: quintile tenants set acme --window-days 180")
@click.argument("name")
@click.option(
    "--shop",
    metavar="x.myshopify.com",
    help="The store's domain; once connected, only a new domain of the same store.",
)
@click.option("--currency", help="ISO 4217 code of the store's currency.")
@click.option("--time-zone", help="The store's time zone, such as Europe/Berlin.")
@click.option(
    "--country", help="The store's country, such as BD, for phone numbers without a code."
)
@click.option("--window-days", type=int, help="Length of the RFM window in days.")
@click.option(
    "--additional-window",
    "additional_windows",
    type=int,
    multiple=True,
    metavar="DAYS",
    help="Length of a window to score besides, for comparison.",
)
@click.option("--no-additional-windows", is_flag=True, help="Score the RFM window only.")
@click.option("--rfm-time-zone", help="Time zone of RFM's whole days. UTC until set.")
@click.option(
    "--minimum-value",
    "minimum_minor",
    type=int,
    metavar="N",
    help="Minimum net value of a counted order, in minor units (cents).",
)
@click.option("--count-samples/--ignore-samples", default=None, help="Whether paid samples count.")
@click.option(
    "--exclude-customer",
    "excluded",
    multiple=True,
    metavar="ID",
    help="Customer to leave out of RFM.",
)
@click.option(
    "--exclude-domain",
    "domains",
    multiple=True,
    metavar="DOMAIN",
    help="E-mail domain to leave out.",
)
@click.option(
    "--relay-domain",
    "relays",
    multiple=True,
    metavar="DOMAIN",
    help="Domain of a marketplace's relay addresses, such as relay*.example.com.",
)
@click.option("--no-excluded-customers", is_flag=True, help="Clear the list of customers.")
@click.option("--no-excluded-domains", is_flag=True, help="Clear the list of domains.")
@click.option("--no-relay-domains", is_flag=True, help="Clear the list of relay domains.")
@click.option(
    "--tiktok-samples-free/--tiktok-samples-any-price",
    "zero_price_only",
    default=None,
    help="Whether TikTok samples must be free. They must until set.",
)
@click.option(
    "--ugc-samples-free/--ugc-samples-any-price",
    "ugc_zero_price_only",
    default=None,
    help="Whether UGC samples must be free. Any price counts until set.",
)
@click.pass_obj
@recorded("tenant.changed", read=read_settings)
def tenants_set(
    settings: Settings,
    name: str,
    shop: str | None,
    currency: str | None,
    time_zone: str | None,
    country: str | None,
    window_days: int | None,
    additional_windows: tuple[int, ...],
    no_additional_windows: bool,
    rfm_time_zone: str | None,
    minimum_minor: int | None,
    count_samples: bool | None,
    excluded: tuple[str, ...],
    domains: tuple[str, ...],
    relays: tuple[str, ...],
    no_excluded_customers: bool,
    no_excluded_domains: bool,
    no_relay_domains: bool,
    zero_price_only: bool | None,
    ugc_zero_price_only: bool | None,
) -> None:
    """Change a tenant's settings.

    Changes only the given settings, and queues a build if one of them affects RFM or samples. The
    customers, domains or additional windows given replace the previous ones; repeat the option to
    give several. Shopify is asked whether a connected store's new domain is that of the same store.
    """
    from service.queue.enqueue import enqueue
    from service.shopify.connection import follow_shop

    filled = (excluded, domains, relays, additional_windows)
    cleared = (
        no_excluded_customers,
        no_excluded_domains,
        no_relay_domains,
        no_additional_windows,
    )
    if any(values and is_cleared for values, is_cleared in zip(filled, cleared, strict=True)):
        raise InvalidInputError("Options that fill a list and clear it contradict each other.")
    rfm = RfmChange(
        window_days=window_days,
        time_zone=rfm_time_zone,
        minimum_minor=minimum_minor,
        is_sample_counted=count_samples,
        excluded_customer_ids=list(excluded) if excluded or no_excluded_customers else None,
        excluded_domains=list(domains) if domains or no_excluded_domains else None,
        relay_domains=list(relays) if relays or no_relay_domains else None,
        additional_window_days=(
            list(additional_windows) if additional_windows or no_additional_windows else None
        ),
    )
    samples = SamplesChange(
        zero_price_only=zero_price_only, ugc_zero_price_only=ugc_zero_price_only
    )
    with connect_as_owner(settings) as conn:
        tenant_id = find_tenant(conn, name)
    is_followed = False
    if shop is not None:
        with open_pool(settings) as pool:
            is_followed = follow_shop(settings, pool, tenant_id, shop)
    with connect_as_owner(settings) as conn:
        change_tenant(
            conn,
            tenant_id,
            shop=shop,
            currency=currency,
            time_zone=time_zone,
            country=country,
            rfm=rfm,
            samples=samples,
        )
    if rfm != RfmChange() or samples != SamplesChange() or currency is not None:
        with open_pool(settings) as pool, tenant_transaction(pool, tenant_id) as conn:
            enqueue(conn, tenant_id, "build", "cli", behind_running=True)
        echo(f"changed {name}; if no worker is running: quintile build --tenant {name}")
    else:
        echo(f"changed {name}")
    if is_followed:
        echo(f"it is the same shop; its domain is now {shop}")
    elif shop is not None:
        echo(f"next: quintile tenants connect-shopify {name}")


@tenants.command("erase", epilog="Example: quintile tenants erase acme")
@click.argument("name")
@click.option("--confirm", metavar="NAME", help="Repeat the name to skip the question.")
@click.pass_obj
def tenants_erase(settings: Settings, name: str, confirm: str | None) -> None:
    """Permanently erase a tenant and all its data."""
    from service.privacy.tenant import erase_tenant

    with connect_as_owner(settings) as conn:
        tenant_id = find_tenant(conn, name)
    warning = f"This permanently erases {name}: orders, segments, settings and access."
    confirm_erasure(name, confirm, warning)
    erase_tenant(settings, tenant_id, "operator", datetime.now(UTC))
    echo(f"erased {name}; receipt: quintile privacy receipts")
