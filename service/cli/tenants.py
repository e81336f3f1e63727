"""Tenants: adding, listing, settings, connections and erasure."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import click

from service.cli.console import confirm_erasure, echo
from service.core.config import Settings
from service.core.db import connect_as_owner, find_tenant, open_pool, tenant_transaction
from service.core.errors import InvalidInputError
from service.tenants.tenants import RfmChange, add_tenant, change_tenant, list_tenants
from service.tenants.tokens import create_sign_in_code, create_token


@click.group()
def tenants() -> None:
    """Add, list and connect tenants."""


@tenants.command("add")
@click.argument("name")
@click.option("--shop", metavar="x.myshopify.com", help="The store's myshopify.com domain.")
@click.pass_obj
def tenants_add(settings: Settings, name: str, shop: str | None) -> None:
    """Add a tenant."""
    with connect_as_owner(settings) as conn:
        add_tenant(conn, name, shop)
    if shop is None:
        echo(
            f"added {name}; next: quintile orders import FILE.csv --tenant {name}, or, to connect "
            f"a store, quintile tenants set {name} --shop x.myshopify.com"
        )
    else:
        echo(
            f"added {name}; next: quintile tenants connect-shopify {name}, "
            f"or quintile orders import FILE.csv --tenant {name}"
        )


@tenants.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
@click.pass_obj
def tenants_list(settings: Settings, as_json: bool) -> None:
    """List the tenants."""
    with connect_as_owner(settings) as conn:
        rows = list_tenants(conn)
    if as_json:
        click.echo(json.dumps(rows, default=str))
        return
    if not rows:
        echo("no tenants yet; add one: quintile tenants add NAME")
    for row in rows:
        connected = ", ".join(row["connected"]) or "not connected"
        click.echo(
            f"{row['name']:<24} {row['shop_domain'] or '-':<40} {row['currency'] or '-':<4} "
            f"{row['time_zone']:<20} {connected}"
        )


@tenants.command("token")
@click.argument("name")
@click.option("--label", default="cli", show_default=True, help="What the token is for.")
@click.pass_obj
def tenants_token(settings: Settings, name: str, label: str) -> None:
    """Make an API token and print only the token; it is never shown again."""
    with connect_as_owner(settings) as conn:
        click.echo(create_token(conn, find_tenant(conn, name), label))


@tenants.command("sign-in-link")
@click.argument("name")
@click.pass_obj
def tenants_sign_in_link(settings: Settings, name: str) -> None:
    """Make a sign-in link for the admin UI: works once, within an hour."""
    click.echo(sign_in_link(settings, name))


@tenants.command("set")
@click.argument("name")
@click.option(
    "--shop",
    metavar="x.myshopify.com",
    help="The store's myshopify.com domain; fixed once the store is connected.",
)
@click.option("--currency", help="ISO 4217 code of the shop's currency.")
@click.option("--time-zone", help="The shop's time zone: an IANA name, such as Europe/Berlin.")
@click.option("--window-days", type=int, help="How many days of orders RFM looks at.")
@click.option("--rfm-time-zone", help="The time zone whose whole days RFM counts; UTC at first.")
@click.option(
    "--minimum-value",
    "minimum_minor",
    type=int,
    metavar="N",
    help="The least net value of an order that counts, in minor units (cents).",
)
@click.option("--count-samples/--ignore-samples", default=None, help="Whether paid samples count.")
@click.option(
    "--exclude-customer",
    "excluded",
    multiple=True,
    metavar="ID",
    help="A customer who is no person, such as a connector's default customer; replaces the list.",
)
@click.option(
    "--exclude-domain",
    "domains",
    multiple=True,
    metavar="DOMAIN",
    help="A domain whose addresses are not to be scored, such as your own; replaces the list.",
)
@click.option(
    "--no-excluded-customers", "exclude_nobody", is_flag=True, help="Exclude no customer."
)
@click.option("--no-excluded-domains", "exclude_no_domain", is_flag=True, help="Exclude no domain.")
@click.pass_obj
def tenants_set(
    settings: Settings,
    name: str,
    shop: str | None,
    currency: str | None,
    time_zone: str | None,
    window_days: int | None,
    rfm_time_zone: str | None,
    minimum_minor: int | None,
    count_samples: bool | None,
    excluded: tuple[str, ...],
    domains: tuple[str, ...],
    exclude_nobody: bool,
    exclude_no_domain: bool,
) -> None:
    """Change a tenant's settings, and queue a build where they change how RFM counts.

    What is not given stays as it is.
    """
    from service.queue.enqueue import enqueue

    if (excluded and exclude_nobody) or (domains and exclude_no_domain):
        raise InvalidInputError("To exclude somebody and to exclude nobody contradict each other.")
    rfm = RfmChange(
        window_days=window_days,
        time_zone=rfm_time_zone,
        minimum_minor=minimum_minor,
        is_sample_counted=count_samples,
        excluded_customer_ids=list(excluded) if excluded or exclude_nobody else None,
        excluded_domains=list(domains) if domains or exclude_no_domain else None,
    )
    with connect_as_owner(settings) as conn:
        tenant_id = find_tenant(conn, name)
        change_tenant(
            conn,
            tenant_id,
            shop=shop,
            currency=currency,
            time_zone=time_zone,
            rfm=rfm,
        )
    if rfm != RfmChange() or currency is not None:
        with open_pool(settings) as pool, tenant_transaction(pool, tenant_id) as conn:
            enqueue(conn, tenant_id, "build", "cli", behind_running=True)
        echo(
            f"changed {name}; a worker builds it with that, and without one: "
            f"quintile build --tenant {name}"
        )
    else:
        echo(f"changed {name}")
    if shop is not None:
        echo(f"its shop is {shop}: quintile tenants connect-shopify {name}")


@tenants.command("erase")
@click.argument("name")
@click.option("--confirm", metavar="NAME", help="The name again, instead of being asked for it.")
@click.pass_obj
def tenants_erase(settings: Settings, name: str, confirm: str | None) -> None:
    """Erase a tenant and everything that is theirs; nothing brings it back."""
    from service.privacy.tenant import erase_tenant

    with connect_as_owner(settings) as conn:
        tenant_id = find_tenant(conn, name)
    confirm_erasure(
        name, confirm, f"This erases {name} for good: orders, segments, settings, access."
    )
    erase_tenant(settings, tenant_id, "operator", datetime.now(UTC))
    echo(f"erased {name}; a receipt without personal data is kept: quintile privacy receipts")


def sign_in_link(settings: Settings, name: str) -> str:
    """A link that signs in once, within the hour.

    The code is in the fragment, which browsers keep to themselves: no log or Referer sees it.
    """
    with connect_as_owner(settings) as conn:
        code = create_sign_in_code(conn, find_tenant(conn, name), timedelta(hours=1))
    return f"http://{settings.host}:{settings.port}/admin/sign-in#code={code}"
