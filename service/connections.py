"""A tenant's connections to Shopify and Klaviyo: verified by a live call, then stored sealed."""

from __future__ import annotations

import re
from typing import cast
from uuid import UUID

from service.config import Settings
from service.db import Connection, Pool, one, query, tenant_transaction
from service.errors import InvalidInputError, NotConnectedError
from service.klaviyo.account import read_account_name
from service.klaviyo.client import open_klaviyo
from service.shopify.client import open_shopify
from service.shopify.landing import save_shop
from service.shopify.shop import ShopInfo, read_shop
from service.vault import Sealed, seal, unseal

_NAMES = {"shopify": "Shopify", "klaviyo": "Klaviyo"}
_SECRET = re.compile(r"[\x21-\x7e]{8,512}")
_SHOWN_CHARACTERS = 4


class MissingScopeError(InvalidInputError):
    """The credential lacks rights that Quintile needs."""


def connect_shopify(
    settings: Settings, pool: Pool, tenant_id: UUID, shop: str, token: str
) -> ShopInfo:
    """Connect a tenant to its shop by an Admin API access token.

    The tenant takes over the shop's currency and time zone. A token without ``read_all_orders`` is
    accepted; ``ShopInfo.has_all_orders`` tells.

    Raises:
        InvalidInputError: The shop is not this tenant's, or the token is not one.
        MissingScopeError: The token lacks a scope; the message says what each is for.
        ShopifyError: The shop does not accept the token or cannot be reached.
    """
    secret = _checked_secret(token, "access token")
    wanted = shop.strip().lower()
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        _check_shop(shop_domain(conn, tenant_id), wanted)
    with open_shopify(settings, wanted, secret) as client:
        info = read_shop(client)
    _check_shop(wanted, info.shop)
    if info.missing_scopes:
        raise MissingScopeError(
            "The access token lacks "
            + " and ".join(f"{scope} (for {why})" for scope, why in info.missing_scopes.items())
            + ".",
            advice="Give the app these Admin API scopes in Shopify, then connect again.",
        )
    with tenant_transaction(pool, tenant_id) as conn:
        save_shop(conn, tenant_id, info)
        _store(
            settings,
            conn,
            tenant_id,
            "shopify",
            account_name=info.name,
            secret=secret,
            scopes=sorted(info.scopes),
        )
    return info


def connect_klaviyo(settings: Settings, pool: Pool, tenant_id: UUID, api_key: str) -> str:
    """Connect a tenant to its Klaviyo account by a private API key; returns the account's name.

    Klaviyo tells nobody a key's scopes, so each that can be tried without changing anything is.

    Raises:
        InvalidInputError: The key cannot be one.
        KlaviyoRefusedError: The key is not accepted or lacks a scope; the advice names it.
        KlaviyoError: Klaviyo cannot be reached.
    """
    secret = _checked_secret(api_key, "API key")
    with open_klaviyo(settings, secret) as client:
        name = read_account_name(client)
    with tenant_transaction(pool, tenant_id) as conn:
        _store(settings, conn, tenant_id, "klaviyo", account_name=name, secret=secret, scopes=[])
    return name


def credential(settings: Settings, conn: Connection, tenant_id: UUID, provider: str) -> str:
    """The opened secret of a connection, for use in a request and nowhere else.

    Raises:
        NotConnectedError: The tenant has not been connected to the provider.
        SealBrokenError: The stored secret cannot be opened with the keys at hand.
    """
    row = conn.execute(
        query("sql/find_connection"), {"tenant_id": tenant_id, "provider": provider}
    ).fetchone()
    if row is None:
        raise NotConnectedError(
            f"This tenant is not connected to {_NAMES[provider]} yet.",
            advice=f"Connect it first: quintile tenants connect-{provider} NAME",
        )
    return unseal(settings, tenant_id, provider, Sealed(row["key_id"], bytes(row["sealed_secret"])))


def shop_domain(conn: Connection, tenant_id: UUID) -> str:
    """The tenant's shop, such as ``example.myshopify.com``.

    Raises:
        NotConnectedError: The tenant was added without one.
    """
    row = one(conn.execute(query("sql/find_shop"), {"tenant_id": tenant_id}).fetchone())
    if row["shop_domain"] is None:
        raise NotConnectedError(
            "This tenant has no shop.",
            advice="An operator sets it: quintile tenants set NAME --shop example.myshopify.com",
        )
    return cast("str", row["shop_domain"])


def note_refused(conn: Connection, tenant_id: UUID, provider: str, reason: str) -> None:
    """Show that the provider no longer accepts the credential."""
    conn.execute(
        query("sql/note_refused"),
        {"tenant_id": tenant_id, "provider": provider, "reason": reason},
    )


def note_accepted(conn: Connection, tenant_id: UUID, provider: str, scopes: list[str]) -> None:
    """Show that the provider has accepted the credential just now."""
    conn.execute(
        query("sql/note_accepted"),
        {"tenant_id": tenant_id, "provider": provider, "scopes": scopes},
    )


def _checked_secret(text: str, kind: str) -> str:
    secret = text.strip()
    # Refused here because a client library would quote it in its complaint.
    if not _SECRET.fullmatch(secret):
        raise InvalidInputError(
            f"This is not a valid {kind}: it must be 8 to 512 characters without spaces."
        )
    return secret


def _check_shop(expected: str, found: str) -> None:
    if found != expected:
        raise InvalidInputError(
            f"This tenant's shop is {expected}, not {found}.",
            advice="Another shop is another tenant: quintile tenants add NAME --shop DOMAIN",
        )


def _store(
    settings: Settings,
    conn: Connection,
    tenant_id: UUID,
    provider: str,
    *,
    account_name: str,
    secret: str,
    scopes: list[str],
) -> None:
    sealed = seal(settings, tenant_id, provider, secret)
    conn.execute(
        query("sql/store_connection"),
        {
            "tenant_id": tenant_id,
            "provider": provider,
            "account_name": account_name,
            "sealed_secret": sealed.ciphertext,
            "key_id": sealed.key_id,
            "last_four": secret[-_SHOWN_CHARACTERS:],
            "scopes": scopes,
        },
    )
