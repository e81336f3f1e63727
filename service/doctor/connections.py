"""Checks of the connections to Shopify and Klaviyo, and of the keys that seal their credentials."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from service.core.config import Settings
from service.core.db import Connection
from service.core.errors import SealBrokenError
from service.core.queries import query
from service.core.vault import key_ring, unseal
from service.doctor.finding import Finding
from service.shopify.shop import ALL_ORDERS_SCOPE, NEEDED_SCOPES, is_granted

_FEW_DAYS = 14


def check_connections(settings: Settings, conn: Connection) -> Iterator[Finding]:
    """Whether each credential opens, is accepted and has its scopes."""
    for row in conn.execute(query("doctor.list_connections")).fetchall():
        label = f"{row['name']} to {row['provider']}"
        try:
            unseal(settings, row["tenant_id"], row["provider"], row)
        except SealBrokenError as error:
            yield Finding("error", "connections", f"{label}: {error.message}", error.advice)
            continue
        if row["state"] == "active":
            yield Finding("ok", "connections", f"{label}: {row['account_name']}")
            yield from _limits(label, row)
        else:
            yield Finding(
                "error",
                "connections",
                f"{label}: {row['state_reason']}",
                f"Run: quintile tenants connect-{row['provider']} {row['name']}",
            )


def _limits(label: str, row: dict[str, Any]) -> Iterator[Finding]:
    """What is wrong with a connection that works all the same."""
    if row["provider"] != "shopify":
        return
    if row["api_version_served"] not in (None, row["api_version_asked"]):
        yield Finding(
            "warning",
            "connections",
            f"{label}: Shopify no longer has version {row['api_version_asked']} of its API and"
            f" answers with {row['api_version_served']}",
            "Set QUINTILE_SHOPIFY_API_VERSION to a version this release was made for.",
        )
    for scope, purpose in NEEDED_SCOPES.items():
        if row["is_verified"] and not is_granted(scope, row["scopes"]):
            yield Finding(
                "error",
                "scopes",
                f"{label}: {scope} is not granted; it is for {purpose}",
                f"Grant it in Shopify, then: quintile tenants connect-shopify {row['name']}",
            )
    if row["is_limited"]:
        yield Finding(
            "warning",
            "connections",
            f"{label}: {ALL_ORDERS_SCOPE} is not granted, so Shopify shows 60 days of orders",
            "Grant it and connect again, or bring older orders in: quintile orders import",
        )
    if row["refresh_days_left"] is not None and row["refresh_days_left"] < _FEW_DAYS:
        yield Finding(
            "warning",
            "connections",
            f"{label}: its refresh token ends in {row['refresh_days_left']} days",
            "Every sync renews it; if none can run, connect again before then.",
        )


def check_keys(settings: Settings, conn: Connection) -> Iterator[Finding]:
    """Which keys of the ring are in use; one that is missing is told with its connection."""
    used = {
        row["key_id"]: row["secrets"] for row in conn.execute(query("doctor.count_keys")).fetchall()
    }
    newest = next(iter(key_ring(settings)))
    if older := sum(count for key_id, count in used.items() if key_id != newest):
        yield Finding(
            "warning",
            "keys",
            f"{older} of {sum(used.values())} secrets are sealed with another key than the first"
            f" of the ring, '{newest}'",
            "Run: quintile keys rotate",
        )
    elif used:
        yield Finding("ok", "keys", f"all {used[newest]} secrets are sealed with key '{newest}'")
