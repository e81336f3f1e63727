"""Checks of webhooks: subscriptions of each connected shop, and quarantined webhooks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from service.core.config import Settings, client_secrets
from service.core.db import Connection, Pool, open_pool
from service.core.errors import InvalidSettingError, QuintileError
from service.core.queries import query
from service.doctor.finding import Finding
from service.shopify.connection import open_connected_shopify
from service.webhooks.subscriptions import Deviation, find_deviations, repair, webhook_address


def check_webhooks(settings: Settings, conn: Connection, *, fix: bool) -> Iterator[Finding]:
    """Quarantined webhooks, and the webhook subscriptions of every connected shop.

    Args:
        settings: Where webhooks must go.
        conn: The owner's connection, which sees all tenants.
        fix: Create missing subscriptions and correct wrong ones.
    """
    yield from _check_quarantine(conn)
    connected = conn.execute(query("doctor.list_connected_shops")).fetchall()
    if not connected:
        return
    try:
        address = webhook_address(settings)
    except InvalidSettingError as error:
        yield Finding("error", "webhooks", error.message, error.advice)
        return
    if not address:
        message = "no webhooks: changes in stores are seen at the next sync"
        advice = (
            "To receive changes at once, set QUINTILE_PUBLIC_URL and"
            " QUINTILE_SHOPIFY_CLIENT_SECRET, then run: quintile doctor --fix"
        )
        yield Finding("error" if fix else "ok", "webhooks", message, advice)
        return
    yield from _check_secrets(settings, connected)
    with open_pool(settings) as pool:
        for tenant in connected:
            yield from _check_shop(settings, pool, tenant, address, fix=fix)


def _check_secrets(settings: Settings, connected: list[dict[str, Any]]) -> Iterator[Finding]:
    unsigned = [row["name"] for row in connected if not client_secrets(settings, row["shop"])]
    if unsigned:
        names = "" if len(unsigned) == len(connected) else f" for {', '.join(unsigned)}"
        message = f"webhooks are refused: QUINTILE_SHOPIFY_CLIENT_SECRET is not set{names}"
        advice = "Set it to the client secret of the app in Shopify, which signs webhooks."
        yield Finding("error", "webhooks", message, advice)
    if len(client_secrets(settings)) > 1:
        message = "two client secrets sign webhooks of every store"
        advice = (
            "After a rotation, remove the old one. If one is of an app of one store, bind it to"
            " that store: example.myshopify.com=secret"
        )
        yield Finding("warning", "webhooks", message, advice)


def _check_shop(
    settings: Settings, pool: Pool, tenant: dict[str, Any], address: str, *, fix: bool
) -> Iterator[Finding]:
    try:
        with open_connected_shopify(settings, pool, tenant["tenant_id"], attempts=2) as client:
            deviations = find_deviations(client, address)
            failures = {
                deviation: repair(client, address, deviation) for deviation in deviations if fix
            }
    except QuintileError as error:
        yield Finding("error", "webhooks", f"{tenant['name']}: {error.message}", error.advice)
        return
    for deviation in deviations:
        yield _describe(tenant["name"], deviation, failures.get(deviation))
    if not deviations:
        yield Finding("ok", "webhooks", f"{tenant['name']}: every topic goes to {address}")


def _describe(name: str, deviation: Deviation, failure: str | None) -> Finding:
    """The finding for a deviation; ``failure`` is None if not tried, empty if fixed."""
    message = f"{name}: {deviation.problem}"
    if failure is None:
        advice = deviation.optional or "Run: quintile doctor --fix"
        return Finding("warning", "webhooks", message, advice)
    if not failure:
        return Finding("ok", "webhooks", f"{message}; fixed")
    message = f"{message}, and Shopify refuses to change that: {failure}"
    advice = deviation.optional or "Does the app have the scopes read_orders and read_customers?"
    return Finding("warning" if deviation.optional else "error", "webhooks", message, advice)


def _check_quarantine(conn: Connection) -> Iterator[Finding]:
    for row in conn.execute(query("doctor.count_quarantined")).fetchall():
        name, webhooks = row["name"], f"{row['webhooks']} {row['topic']}"
        if row["is_held"]:
            message = f"{name}: {webhooks} held, for it would delete data: {row['reason']}"
            advice = (
                f"See: quintile webhooks list --tenant {name}. Then run quintile webhooks confirm,"
                " or quintile webhooks reject."
            )
            yield Finding("error", "webhooks", message, advice)
            continue
        message = f"{name}: {webhooks} quarantined; the last: {row['reason']}"
        advice = f"See: quintile webhooks list --tenant {name}"
        yield Finding("error" if row["is_privacy"] else "warning", "webhooks", message, advice)
