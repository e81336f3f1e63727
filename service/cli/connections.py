"""Connections of a tenant to Shopify and Klaviyo, and the lists that its segments feed."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import click

from service.cli.console import echo, read_secret, recorded, tenant_connection, tenant_pool
from service.core.config import Settings
from service.core.db import Connection, connect_as_owner, find_tenant, open_pool
from service.core.errors import InvalidInputError
from service.tenants.audit import record_command
from service.tenants.tenants import list_tenants

# A person waits, and a wrong token is refused at every attempt.
_CONNECT_ATTEMPTS = 3
_list_option = click.option(
    "--list", "list_id", required=True, metavar="ID", help="Id of the Klaviyo list."
)


def _read_shopify(conn: Connection, tenant_id: UUID) -> dict[str, Any]:
    row = _find(conn, tenant_id)
    return {"shop": row["shop_domain"], "is_connected": "shopify" in row["connected"]}


def _read_klaviyo(conn: Connection, tenant_id: UUID) -> dict[str, Any]:
    return {"is_connected": "klaviyo" in _find(conn, tenant_id)["connected"]}


def _find(conn: Connection, tenant_id: UUID) -> dict[str, Any]:
    return next(row for row in list_tenants(conn) if row["tenant_id"] == tenant_id)


@click.command("connect-shopify", epilog="Example: quintile tenants connect-shopify acme < token")
@click.argument("name")
@click.option("--shop", metavar="x.myshopify.com", help="The store's new domain, if it changed.")
@click.pass_obj
@recorded("shopify.connected", read=_read_shopify)
def connect_shopify_command(settings: Settings, name: str, shop: str | None) -> None:
    """Connect a Shopify store.

    Reads the Admin API access token from standard input. For an expiring token, enter the JSON
    object from Shopify with access_token, refresh_token and expires_in.
    """
    from service.shopify.connection import connect_shopify
    from service.shopify.report import describe_connection

    with connect_as_owner(settings) as conn:
        tenant_id = find_tenant(conn, name)
        known = next(row["shop_domain"] for row in list_tenants(conn) if row["name"] == name)
    if known is None:
        raise InvalidInputError(
            f"Tenant '{name}' has no shop.",
            advice=f"Set it: quintile tenants set {name} --shop x.myshopify.com",
        )
    token = read_secret("Admin API access token", accepts_json=True)
    with open_pool(settings) as pool:
        info = connect_shopify(
            settings, pool, tenant_id, shop or known, token, attempts=_CONNECT_ATTEMPTS
        )
    for line in describe_connection(settings, info):
        echo(line)


@click.command("disconnect-shopify")
@click.argument("name")
@click.pass_obj
@recorded("shopify.disconnected", read=_read_shopify)
def disconnect_shopify_command(settings: Settings, name: str) -> None:
    """Delete a store's access token. Syncs with Shopify stop. The synced data stays."""
    _disconnect(settings, name, "shopify")


@click.command("connect-klaviyo", epilog="Example: quintile tenants connect-klaviyo acme < key")
@click.argument("name")
@click.pass_obj
@recorded("klaviyo.connected", read=_read_klaviyo)
def connect_klaviyo_command(settings: Settings, name: str) -> None:
    """Connect a Klaviyo account. Reads the private API key from standard input."""
    from service.klaviyo.account import OPTIONAL_SCOPES
    from service.klaviyo.connection import connect_klaviyo

    with tenant_pool(settings, name) as (pool, tenant_id):
        account = connect_klaviyo(
            settings,
            pool,
            tenant_id,
            read_secret("private API key"),
            attempts=_CONNECT_ATTEMPTS,
        )
    echo(f"connected {account.name}")
    for scope, why in OPTIONAL_SCOPES.items():
        if scope not in account.scopes:
            echo(f"the key lacks {scope}, for {why}")


@click.command("disconnect-klaviyo")
@click.argument("name")
@click.pass_obj
@recorded("klaviyo.disconnected", read=_read_klaviyo)
def disconnect_klaviyo_command(settings: Settings, name: str) -> None:
    """Delete a store's Klaviyo key. Syncs with Klaviyo stop. Lists in Klaviyo stay as they are."""
    _disconnect(settings, name, "klaviyo")


def _disconnect(settings: Settings, name: str, provider: str) -> None:
    from service.core.credentials import disconnect

    with tenant_connection(settings, name) as (conn, tenant_id):
        was_connected = disconnect(conn, tenant_id, provider, "An operator disconnected it.")
    echo(f"{name} is disconnected" if was_connected else f"{name} was not connected")


@click.command(
    "map-list",
    epilog="Example: quintile tenants map-list acme --segment rfm:champions --list XyZ123",
)
@click.argument("name")
@click.option(
    "--segment", required=True, metavar="KEY", help="rfm:champions or shopify:<segment id>."
)
@_list_option
@click.pass_obj
@recorded("klaviyo_list.added")
def map_list_command(settings: Settings, name: str, segment: str, list_id: str) -> None:
    """Sync a segment to a Klaviyo list.

    The sync is one-way; quintile klaviyo add has more options.
    """
    from service.klaviyo.lists import map_list

    with tenant_pool(settings, name) as (pool, tenant_id):
        list_name = map_list(settings, pool, tenant_id, segment, list_id)
    echo(f"{segment} syncs to list '{list_name}'; start now: quintile sync klaviyo --tenant {name}")


@click.command("unmap-list")
@click.argument("name")
@click.option("--segment", required=True, metavar="KEY", help="Key of the segment.")
@_list_option
@click.pass_obj
def unmap_list_command(settings: Settings, name: str, segment: str, list_id: str) -> None:
    """Stop syncing a segment to a Klaviyo list. Profiles on the list stay there."""
    from service.destinations.configs import auditable, find_config, get_config, unmap_list

    with tenant_connection(settings, name) as (conn, tenant_id):
        config_id = find_config(conn, tenant_id, segment, list_id)
        former = config_id and auditable(get_config(conn, tenant_id, config_id))
        list_name = unmap_list(conn, tenant_id, segment, list_id)
        record_command(conn, tenant_id, "klaviyo_list.removed", subject=config_id, before=former)
    echo(f"{segment} no longer syncs to list '{list_name}'; profiles on the list stay there")
