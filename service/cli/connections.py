"""Connecting tenants to Shopify and Klaviyo, and the lists their segments feed."""

from __future__ import annotations

import click

from service.cli.console import echo, read_secret, tenant_connection, tenant_pool
from service.core.config import Settings
from service.core.db import connect_as_owner, find_tenant, open_pool
from service.core.errors import InvalidInputError
from service.tenants.tenants import list_tenants


@click.command("connect-shopify")
@click.argument("name")
@click.pass_obj
def tenants_connect_shopify(settings: Settings, name: str) -> None:
    """Connect a store: reads its Admin API access token from standard input.

    A token that expires is given as the JSON object Shopify issued it with, in one or more lines:
    access_token, refresh_token, expires_in.
    """
    from service.shopify.connection import connect_shopify
    from service.shopify.report import describe_connection

    with connect_as_owner(settings) as conn:
        tenant_id = find_tenant(conn, name)
        shop = next(row["shop_domain"] for row in list_tenants(conn) if row["name"] == name)
    if shop is None:
        raise InvalidInputError(
            f"Tenant '{name}' has no shop.",
            advice=f"Set it: quintile tenants set {name} --shop x.myshopify.com",
        )
    token = read_secret("Admin API access token", accepts_json=True)
    with open_pool(settings) as pool:
        info = connect_shopify(settings, pool, tenant_id, shop, token)
    for line in describe_connection(settings, info):
        echo(line)


@click.command("disconnect-shopify")
@click.argument("name")
@click.pass_obj
def tenants_disconnect_shopify(settings: Settings, name: str) -> None:
    """Forget a store's access token; what has been landed stays."""
    _disconnect(settings, name, "shopify")


@click.command("connect-klaviyo")
@click.argument("name")
@click.pass_obj
def tenants_connect_klaviyo(settings: Settings, name: str) -> None:
    """Connect a Klaviyo account: reads its private API key from standard input."""
    from service.klaviyo.account import OPTIONAL_SCOPES
    from service.klaviyo.connection import connect_klaviyo

    with connect_as_owner(settings) as conn:
        tenant_id = find_tenant(conn, name)
    key = read_secret("private API key")
    with open_pool(settings) as pool:
        account = connect_klaviyo(settings, pool, tenant_id, key)
    echo(f"connected {account.name}")
    for scope, why in OPTIONAL_SCOPES.items():
        if scope not in account.scopes:
            echo(f"the key lacks {scope}, for {why}")


@click.command("disconnect-klaviyo")
@click.argument("name")
@click.pass_obj
def tenants_disconnect_klaviyo(settings: Settings, name: str) -> None:
    """Forget a tenant's Klaviyo key: nothing is synced any more; lists stay as they are."""
    _disconnect(settings, name, "klaviyo")


def _disconnect(settings: Settings, name: str, provider: str) -> None:
    from service.core.credentials import disconnect

    with tenant_connection(settings, name) as (conn, tenant_id):
        was_connected = disconnect(conn, tenant_id, provider, "An operator disconnected it.")
    echo(f"{name} is disconnected" if was_connected else f"{name} was not connected")


@click.command("map-list")
@click.argument("name")
@click.option(
    "--segment", required=True, metavar="KEY", help="rfm:champions or shopify:<segment id>."
)
@click.option("--list", "list_id", required=True, metavar="ID", help="The Klaviyo list's id.")
@click.pass_obj
def tenants_map_list(settings: Settings, name: str, segment: str, list_id: str) -> None:
    """Keep a Klaviyo list in step with a segment."""
    from service.klaviyo.lists import map_list

    with tenant_pool(settings, name) as (pool, tenant_id):
        list_name = map_list(settings, pool, tenant_id, segment, list_id)
    echo(f"{segment} feeds list '{list_name}'; quintile sync klaviyo --tenant {name} does it now")


@click.command("unmap-list")
@click.argument("name")
@click.option("--segment", required=True, metavar="KEY", help="The segment that feeds the list.")
@click.option("--list", "list_id", required=True, metavar="ID", help="The Klaviyo list's id.")
@click.pass_obj
def tenants_unmap_list(settings: Settings, name: str, segment: str, list_id: str) -> None:
    """Let a segment feed a Klaviyo list no longer; who is on the list stays."""
    from service.destinations.configs import unmap_list

    with tenant_connection(settings, name) as (conn, tenant_id):
        list_name = unmap_list(conn, tenant_id, segment, list_id)
    echo(f"{segment} feeds list '{list_name}' no longer; who is on it stays")
