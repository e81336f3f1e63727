"""Checks of the connections to Shopify and Klaviyo, and of the keys that seal their credentials."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from service.core.config import Settings
from service.core.credentials import probe_note
from service.core.db import Connection
from service.core.errors import SealBrokenError
from service.core.queries import query
from service.core.vault import key_ring, unseal
from service.doctor.finding import Finding
from service.shopify.report import VERSION_ADVICE, describe_version
from service.shopify.scopes import ALL_ORDERS_SCOPE, NEEDED_SCOPES, PRODUCTS_SCOPE, is_granted

_MIN_REFRESH_DAYS = 14


def check_connections(settings: Settings, conn: Connection) -> Iterator[Finding]:
    """Whether each credential can be unsealed, is accepted, and has its scopes."""
    for row in conn.execute(query("doctor.list_connections")).fetchall():
        name, provider = row["name"], row["provider"]
        label = f"{name} to {provider}"
        try:
            unseal(settings, row["tenant_id"], provider, row)
        except SealBrokenError as error:
            yield Finding("error", "connections", f"{label}: {error.message}", error.advice)
            continue
        if row["state"] == "active":
            yield Finding("ok", "connections", f"{label}: {row['account_name']}")
            if provider == "shopify":
                yield from _check_shopify(label, row)
        else:
            # Only refused ones are listed besides active ones.
            advice = (
                f"{probe_note(row['next_probe_at'])} If it was revoked or lacks a scope: quintile"
                f" tenants connect-{provider} {name}"
            )
            yield Finding("error", "connections", f"{label}: {row['state_reason']}", advice)


def _check_shopify(label: str, row: dict[str, Any]) -> Iterator[Finding]:
    """What is wrong with an active connection to Shopify."""
    if problem := describe_version(row["api_version_asked"], row["api_version_served"]):
        yield Finding("warning", "connections", f"{label}: {problem}", VERSION_ADVICE)
    for scope, purpose in NEEDED_SCOPES.items():
        if row["is_verified"] and not is_granted(scope, row["scopes"]):
            message = f"{label}: {scope} is not granted; it is needed for {purpose}"
            advice = f"Grant it in Shopify, then: quintile tenants connect-shopify {row['name']}"
            yield Finding("error", "scopes", message, advice)
    if row["is_limited"]:
        message = f"{label}: {ALL_ORDERS_SCOPE} is not granted, so Shopify shows 60 days of orders"
        advice = "Grant it and connect again, or import older orders: quintile orders import"
        yield Finding("warning", "connections", message, advice)
    if row["is_verified"] and not is_granted(PRODUCTS_SCOPE, row["scopes"]):
        # Nothing is wrong with a store that does without it.
        message = f"{label}: {PRODUCTS_SCOPE} is not granted, so order lines have no product type"
        advice = "Optional, for RFM by product type: grant it in Shopify. The next sync sees it."
        yield Finding("ok", "scopes", message, advice)
    days_left = row["refresh_days_left"]
    if days_left is not None and days_left < _MIN_REFRESH_DAYS:
        message = f"{label}: its refresh token expires in {days_left} days"
        advice = "Every sync renews it. If no sync can run, connect again before then."
        yield Finding("warning", "connections", message, advice)


def check_keys(settings: Settings, conn: Connection) -> Iterator[Finding]:
    """Which keys of the ring are in use; missing keys are findings of their connections."""
    rows = conn.execute(query("doctor.count_keys")).fetchall()
    used = {row["key_id"]: row["secrets"] for row in rows}
    newest = next(iter(key_ring(settings)))
    if settings.former_secret_key:
        message = "QUINTILE_FORMER_SECRET_KEY is set, which is for the time of a rotation only"
        yield Finding("warning", "keys", message, "Run: quintile keys rotate. Then remove it.")
    if older := sum(count for key_id, count in used.items() if key_id != newest):
        message = (
            f"{older} of {sum(used.values())} secrets are not sealed with the first key of the"
            f" ring, '{newest}'"
        )
        yield Finding("warning", "keys", message, "Run: quintile keys rotate")
    elif used:
        yield Finding("ok", "keys", f"all {used[newest]} secrets are sealed with key '{newest}'")
