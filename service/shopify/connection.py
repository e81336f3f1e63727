"""A tenant's connection to its Shopify store: verified by a live call, then stored encrypted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast
from uuid import UUID

from service.core.config import Settings
from service.core.credentials import (
    MissingScopeError,
    check_secret,
    missing_scopes_message,
    not_connected,
    record_refused,
    store_connection,
)
from service.core.db import Connection, Pool, one, tenant_transaction
from service.core.errors import InvalidInputError, NotConnectedError
from service.core.http import ATTEMPTS
from service.core.queries import query
from service.shopify.client import ShopifyClient, base_url, open_shopify
from service.shopify.errors import ShopifyRefusedError
from service.shopify.loading import save_shop
from service.shopify.rate_limit import SharedBucket
from service.shopify.shop import ShopInfo, read_shop
from service.shopify.tokens import (
    FixedToken,
    MissingClientError,
    StoredTokens,
    TokenSet,
    parse_tokens,
    read_stored,
)
from service.tenants.shop_domain import check_shop_domain


def connect_shopify(
    settings: Settings,
    pool: Pool,
    tenant_id: UUID,
    shop: str,
    token: str | TokenSet,
    *,
    attempts: int = ATTEMPTS,
) -> ShopInfo:
    """Connect a tenant to its shop by an Admin API access token.

    The tenant gets the shop's currency and time zone. A token without ``read_all_orders`` is
    accepted; ``ShopInfo.has_all_orders`` is then False.

    Args:
        settings: The service's settings.
        pool: The service's pool.
        tenant_id: The tenant to connect.
        shop: The shop's domain, which must be the tenant's.
        token: A token, or the JSON object that Shopify answers with one that expires.
        attempts: The most attempts per call.

    Raises:
        InvalidInputError: The shop is not this tenant's, or the token is not one.
        MissingClientError: The token expires and the app's id and secret are not set.
        MissingScopeError: The token lacks a scope; the message says what each is for.
        ShopifyError: The shop does not accept the token or cannot be reached.
    """
    tokens = _checked_tokens(settings, token)
    wanted = check_shop_domain(shop)
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        _check_shop(shop_domain(conn, tenant_id), wanted)
    with open_shopify(
        settings,
        wanted,
        FixedToken(tokens.access_token),
        bucket=SharedBucket(pool, tenant_id),
        attempts=attempts,
    ) as client:
        info = read_shop(client)
    _check_shop(wanted, info.shop)
    if info.missing_scopes:
        raise MissingScopeError(
            missing_scopes_message("access token", info.missing_scopes),
            advice="Give the app these Admin API scopes in Shopify, then connect again.",
            field="access_token",
        )
    with tenant_transaction(pool, tenant_id) as conn:
        save_shop(conn, tenant_id, info)
        store_connection(
            settings,
            conn,
            tenant_id,
            "shopify",
            account_name=info.name,
            secret=tokens.sealable(),
            last_four=tokens.last_four,
            scopes=sorted(info.scopes),
            plan=info.plan,
            expires_in=tokens.expires_in,
            refresh_expires_in=tokens.refresh_expires_in,
            api_version_asked=settings.shopify_api_version,
            api_version_served=info.api_version,
        )
    return info


@contextmanager
def open_connected_shopify(
    settings: Settings, pool: Pool, tenant_id: UUID, *, attempts: int = ATTEMPTS
) -> Iterator[ShopifyClient]:
    """A connected tenant's client: refreshes its token, shares its rate limit, records a refusal.

    Raises:
        NotConnectedError: The tenant has no shop or no access token.
        SealBrokenError: The stored token cannot be decrypted with the current keys.
        ShopifyRefusedError: The token is not accepted; the connection now says so.
    """
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        shop = shop_domain(conn, tenant_id)
        stored = read_stored(settings, conn, tenant_id)
    if stored is None:
        raise not_connected("shopify")
    url = f"{base_url(settings, shop)}/admin/oauth/access_token"
    tokens = StoredTokens(settings, pool, tenant_id, url, stored)
    bucket = SharedBucket(pool, tenant_id)
    try:
        with open_shopify(settings, shop, tokens, bucket=bucket, attempts=attempts) as client:
            yield client
    except ShopifyRefusedError as error:
        with tenant_transaction(pool, tenant_id) as conn:
            record_refused(conn, tenant_id, "shopify", error.message)
        raise


def verify_shopify(
    settings: Settings, pool: Pool, tenant_id: UUID, client: ShopifyClient
) -> ShopInfo:
    """Read the shop and what the token may do, and store the answer.

    Raises:
        ShopifyRefusedError: The token is not accepted, or belongs to another shop.
        ShopifyError: The shop cannot be reached.
    """
    info = read_shop(client)
    with tenant_transaction(pool, tenant_id) as conn:
        shop = shop_domain(conn, tenant_id)
        if info.shop != shop:
            # Another shop's orders must never be loaded for this tenant.
            raise ShopifyRefusedError(f"The access token belongs to {info.shop}, not to {shop}.")
        save_shop(conn, tenant_id, info)
        conn.execute(
            query("shopify.record_verified"),
            {
                "tenant_id": tenant_id,
                "account_name": info.name,
                "scopes": sorted(info.scopes),
                "plan": info.plan,
                "api_version_asked": settings.shopify_api_version,
                "api_version_served": info.api_version,
            },
        )
    return info


def shop_domain(conn: Connection, tenant_id: UUID) -> str:
    """The tenant's shop, such as ``example.myshopify.com``.

    Raises:
        NotConnectedError: The tenant has none.
    """
    row = one(conn.execute(query("shopify.find_shop"), {"tenant_id": tenant_id}).fetchone())
    if row["shop_domain"] is None:
        raise NotConnectedError(
            "This tenant has no shop.",
            advice="An operator sets it: quintile tenants set NAME --shop example.myshopify.com",
        )
    return cast("str", row["shop_domain"])


def _checked_tokens(settings: Settings, token: str | TokenSet) -> TokenSet:
    tokens = parse_tokens(token) if isinstance(token, str) else token
    check_secret(tokens.access_token, "access token", field="access_token")
    if tokens.refresh_token is not None:
        check_secret(tokens.refresh_token, "refresh token", field="refresh_token")
        if not settings.shopify_client_id or not settings.shopify_client_secret:
            raise MissingClientError
    return tokens


def _check_shop(expected: str, found: str) -> None:
    if found != expected:
        raise InvalidInputError(
            f"This tenant's shop is {expected}, not {found}.",
            advice="Another shop is another tenant: quintile tenants add NAME --shop DOMAIN",
            field="shop",
        )
