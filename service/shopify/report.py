"""Sentences about a connection to a shop, for the terminal, the API and the UI."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta

from service.core.config import Settings
from service.shopify.scopes import ALL_ORDERS_SCOPE, NEEDED_SCOPES, OPTIONAL_SCOPES, is_granted
from service.shopify.shop import ShopInfo

LIMIT = (
    f"Without the scope {ALL_ORDERS_SCOPE} Shopify shows only the last 60 days of orders, so"
    " everything that looks further back is incomplete."
)
LIMIT_ADVICE = (
    "Give the app that scope and connect again, or import the older orders with"
    " quintile orders import."
)
VERSION_ADVICE = "Set QUINTILE_SHOPIFY_API_VERSION to a version that Shopify supports."
VERSION_END_ADVICE = (
    "Update Quintile: a newer release asks for a newer version. After the end Shopify answers with"
    " its oldest version, whose fields may mean something else."
)
_VERSION = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])", re.ASCII)
_NEAR_END = timedelta(days=90)


def describe_version(asked: str, served: str | None) -> str | None:
    """The problem with the version of the API; None if there is none."""
    if served in (None, asked):
        return None
    return f"Shopify no longer has version {asked} of its API and answers with {served}."


def version_end(version: str) -> date | None:
    """The day from which Shopify need not answer a version; None for one that is not dated.

    Shopify supports each stable version for at least a year from its release, on the first day of
    the month that it is named after: https://shopify.dev/docs/api/usage/versioning.
    """
    found = _VERSION.fullmatch(version)
    return date(int(found[1]) + 1, int(found[2]), 1) if found else None


def describe_version_end(version: str, today: date) -> str | None:
    """That a version is no longer supported, or not for much longer; None while there is time."""
    end = version_end(version)
    if end is None or today < end - _NEAR_END:
        return None
    if today >= end:
        return f"version {version} of Shopify's API has not been supported since {end:%Y-%m-%d}"
    left = "1 more day" if (days := (end - today).days) == 1 else f"{days} more days"
    return f"version {version} of Shopify's API is supported until {end:%Y-%m-%d}, {left}"


def describe_connection(settings: Settings, info: ShopInfo) -> Iterator[str]:
    """Lines for the terminal: the shop, the scopes, and warnings."""
    yield f"connected {info.name} ({info.currency}, {info.time_zone}, {info.plan} plan)"
    yield f"API version {info.api_version or settings.shopify_api_version}"
    yield f"granted: {', '.join(sorted(info.scopes))}"
    for scope, purpose in OPTIONAL_SCOPES.items():
        if not is_granted(scope, info.scopes):
            yield f"not granted: {scope} ({purpose})"
    if problem := describe_version(settings.shopify_api_version, info.api_version):
        yield f"Warning: {problem} {VERSION_ADVICE}"
    if not info.has_all_orders:
        yield f"Warning: {LIMIT} {LIMIT_ADVICE}"


def scope_purposes() -> dict[str, tuple[str, bool]]:
    """Every scope that Quintile uses: its purpose, and whether it is required."""
    return {
        **{scope: (purpose, True) for scope, purpose in NEEDED_SCOPES.items()},
        **{scope: (purpose, False) for scope, purpose in OPTIONAL_SCOPES.items()},
    }
