"""Shop domains: as people paste them, with advice for what is not one, and whose they are."""

from __future__ import annotations

import re
from typing import cast
from uuid import UUID

from service.core.db import Pool, one
from service.core.errors import InvalidInputError
from service.core.queries import query

_SHOP = re.compile(r"[a-z0-9][a-z0-9-]*\.myshopify\.com", re.ASCII)
_SHOP_INSIDE = re.compile(
    r"(?<![a-z0-9.-])([a-z0-9][a-z0-9-]*\.myshopify\.com)(?![a-z0-9.-])", re.ASCII
)
_ADMIN = re.compile(r"admin\.shopify\.com/store/([a-z0-9][a-z0-9-]*)", re.ASCII)
_HANDLE = re.compile(r"[a-z0-9][a-z0-9-]*", re.ASCII)


def is_shop_domain(text: str) -> bool:
    """Whether this is a shop's domain as Shopify writes it, such as ``example.myshopify.com``."""
    return _SHOP.fullmatch(text) is not None


def check_shop_domain(given: str) -> str:
    """The domain, such as ``example.myshopify.com``, in lower case and without surrounding space.

    Raises:
        InvalidInputError: It is something else; the advice has the domain that was probably
            meant, or where to find it.
    """
    text = given.strip().lower()
    if _SHOP.fullmatch(text):
        return text
    if found := _ADMIN.search(text):
        raise _not_a_domain("This is an address of the Shopify admin.", f"{found[1]}.myshopify.com")
    if found := _SHOP_INSIDE.search(text):
        raise _not_a_domain("This is a web address, not only a shop's domain.", found[1])
    if _HANDLE.fullmatch(text):
        raise _not_a_domain("This is only part of a shop's domain.", f"{text}.myshopify.com")
    raise InvalidInputError(
        f"'{given.strip()[:80]}' is not a shop's domain; it looks like example.myshopify.com.",
        advice="A shop with its own domain has a myshopify.com domain too: see Settings, Domains in"
        " the Shopify admin.",
        field="shop",
    )


def _not_a_domain(message: str, meant: str) -> InvalidInputError:
    return InvalidInputError(message, advice=f"Enter: {meant}", field="shop")


def tenant_of_shop(pool: Pool, shop: str) -> UUID | None:
    """The tenant of a shop domain, for what the shop or its platform has signed."""
    with pool.connection() as conn:
        row = one(conn.execute(query("tenants.tenant_of_shop"), {"shop": shop}).fetchone())
    return cast("UUID | None", row["tenant_id"])
