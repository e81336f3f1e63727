"""What the doctor says of webhooks: subscriptions of each connected shop, and what lies aside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from service.core.config import Settings
from service.core.db import Connection, Pool, open_pool
from service.core.errors import InvalidSettingError, QuintileError
from service.core.queries import query
from service.doctor.finding import Finding
from service.shopify.connection import open_connected_shopify
from service.webhooks.signature import client_secrets
from service.webhooks.subscriptions import Deviation, find_deviations, mend, webhook_address


def check_webhooks(settings: Settings, conn: Connection, *, fix: bool) -> Iterator[Finding]:
    """Look at the webhooks of every connected shop, and mend the subscriptions if asked to.

    Args:
        settings: Where webhooks are to go.
        conn: The owner's connection, which sees all tenants.
        fix: Whether to create what is missing and change what is wrong.
    """
    yield from _aside(conn)
    connected = conn.execute(query("doctor.list_connected_shops")).fetchall()
    if not connected:
        return
    try:
        address = webhook_address(settings)
    except InvalidSettingError as error:
        yield Finding("error", "webhooks", error.message, error.advice)
        return
    if not address:
        yield Finding(
            "ok" if not fix else "error",
            "webhooks",
            "no webhooks: changes in stores are seen at the next sync",
            "To hear of them at once, set QUINTILE_PUBLIC_URL and QUINTILE_SHOPIFY_CLIENT_SECRET,"
            " then run: quintile doctor --fix",
        )
        return
    if not client_secrets(settings):
        yield Finding(
            "error",
            "webhooks",
            "webhooks are refused: QUINTILE_SHOPIFY_CLIENT_SECRET is not set",
            "It is the client secret of the app in Shopify, which signs webhooks.",
        )
    with open_pool(settings) as pool:
        for tenant in connected:
            yield from _shop(settings, pool, tenant, address, fix=fix)


def _shop(
    settings: Settings, pool: Pool, tenant: dict[str, Any], address: str, *, fix: bool
) -> Iterator[Finding]:
    try:
        with open_connected_shopify(settings, pool, tenant["tenant_id"], attempts=2) as client:
            deviations = find_deviations(client, address)
            failures = {
                deviation: mend(client, address, deviation) for deviation in deviations if fix
            }
    except QuintileError as error:
        yield Finding("error", "webhooks", f"{tenant['name']}: {error.message}", error.advice)
        return
    for deviation in deviations:
        yield _describe(tenant["name"], deviation, failures.get(deviation) if fix else None)
    if not deviations:
        yield Finding("ok", "webhooks", f"{tenant['name']}: every topic goes to {address}")


def _describe(name: str, deviation: Deviation, failure: str | None) -> Finding:
    """What is said of one deviation; ``failure`` is None if nothing was tried, empty if done."""
    message = f"{name}: {deviation.problem}"
    if failure is None:
        return Finding(
            "warning", "webhooks", message, deviation.optional or "Run: quintile doctor --fix"
        )
    if not failure:
        return Finding("ok", "webhooks", f"{message}; mended")
    return Finding(
        "warning" if deviation.optional else "error",
        "webhooks",
        f"{message}, and Shopify refuses to change that: {failure}",
        deviation.optional or "Does the app have the scopes read_orders and read_customers?",
    )


def _aside(conn: Connection) -> Iterator[Finding]:
    for row in conn.execute(query("doctor.count_quarantined")).fetchall():
        yield Finding(
            "error" if row["is_privacy"] else "warning",
            "webhooks",
            f"{row['name']}: {row['webhooks']} {row['topic']} set aside; the last: {row['reason']}",
            f"See: quintile webhooks list --tenant {row['name']}",
        )
