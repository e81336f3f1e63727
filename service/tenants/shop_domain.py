"""A shop's domain as people paste it, and what to say when it is not one."""

from __future__ import annotations

import re

from service.core.errors import InvalidInputError

_SHOP = re.compile(r"[a-z0-9][a-z0-9-]*\.myshopify\.com", re.ASCII)
_SHOP_INSIDE = re.compile(
    r"(?<![a-z0-9.-])([a-z0-9][a-z0-9-]*\.myshopify\.com)(?![a-z0-9.-])", re.ASCII
)
_ADMIN = re.compile(r"admin\.shopify\.com/store/([a-z0-9][a-z0-9-]*)", re.ASCII)
_HANDLE = re.compile(r"[a-z0-9][a-z0-9-]*", re.ASCII)


def check_shop_domain(given: str) -> str:
    """The domain, such as ``example.myshopify.com``, without capitals and surrounding space.

    Raises:
        InvalidInputError: It is something else; the advice names the domain that was meant, or
            says where it stands.
    """
    text = given.strip().lower()
    if _SHOP.fullmatch(text):
        return text
    if found := _ADMIN.search(text):
        raise _not_a_domain("This is the address of Shopify's admin.", f"{found[1]}.myshopify.com")
    if found := _SHOP_INSIDE.search(text):
        raise _not_a_domain("This is a web address, not a shop's domain alone.", found[1])
    if _HANDLE.fullmatch(text):
        raise _not_a_domain("This is not a shop's whole domain.", f"{text}.myshopify.com")
    raise InvalidInputError(
        f"'{given.strip()[:80]}' is not a shop's domain; it looks like example.myshopify.com.",
        advice="A shop that customers see under a domain of its own has such a one as well:"
        " Shopify's admin shows it under Settings, Domains.",
        field="shop",
    )


def _not_a_domain(message: str, meant: str) -> InvalidInputError:
    return InvalidInputError(message, advice=f"Give it as: {meant}", field="shop")
