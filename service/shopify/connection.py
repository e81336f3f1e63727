"""A tenant's connection to its Shopify store: verified by a live call, then stored encrypted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast
from uuid import UUID

import psycopg
import structlog

from service.core.config import Settings, client_secrets
from service.core.credentials import (
    MissingScopeError,
    check_secret,
    missing_scopes_message,
    not_connected,
    probe_note,
    record_refused,
    store_connection,
)
from service.core.db import Connection, Pool, one, tenant_transaction
from service.core.errors import InvalidInputError, NotConnectedError
from service.core.http import ATTEMPTS
from service.core.queries import query
from service.shopify.client import ShopifyClient, base_url, open_shopify
from service.shopify.errors import (
    ShopifyError,
    ShopifyMovedError,
    ShopifyRefusedError,
    ShopifyUnavailableError,
)
from service.shopify.loading import save_shop
from service.shopify.rate_limit import SharedBucket
from service.shopify.shop import ShopInfo, read_shop
from service.shopify.tokens import (
    FixedToken,
    MissingClientError,
    Stored,
    StoredTokens,
    TokenSet,
    parse_tokens,
    read_stored,
)
from service.tenants.shop_domain import check_shop_domain

log = structlog.get_logger(__name__)


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
        shop: The shop's domain: the tenant's, or the new one of the same shop.
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
        expected, known_id = shop_domain(conn, tenant_id), _shop_id(conn, tenant_id)
    if known_id is None:
        _check_shop(expected, wanted)
    with open_shopify(
        settings,
        wanted,
        FixedToken(tokens.access_token),
        bucket=SharedBucket(pool, tenant_id),
        attempts=attempts,
    ) as client:
        info = read_shop(client)
    if info.shop_id != known_id:
        _check_shop(wanted, info.shop)
    if wanted != info.shop or info.shop_id != known_id:
        _check_shop(expected, wanted)
    if info.missing_scopes:
        raise MissingScopeError(
            missing_scopes_message("access token", info.missing_scopes),
            advice="Give the app these Admin API scopes in Shopify, then connect again.",
            field="access_token",
        )
    with tenant_transaction(pool, tenant_id) as conn:
        _take_domain(conn, tenant_id, expected, info)
        save_shop(conn, tenant_id, info)
        store_connection(
            settings,
            conn,
            tenant_id,
            "shopify",
            account_id=info.shop_id,
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
    try:
        with _open_stored(settings, pool, tenant_id, shop, stored, attempts=attempts) as client:
            yield client
    except ShopifyRefusedError as error:
        with tenant_transaction(pool, tenant_id) as conn:
            next_probe_at = record_refused(conn, tenant_id, "shopify", error.message)
        error.advice = f"{probe_note(next_probe_at)} {error.advice}"
        raise


def verify_shopify(
    settings: Settings, pool: Pool, tenant_id: UUID, client: ShopifyClient
) -> ShopInfo:
    """Read the shop and what the token may do, and store the answer.

    If Shopify redirects to another domain of the same shop, the tenant gets that domain, and the
    work can be tried again at once.

    Raises:
        ShopifyRefusedError: The token is not accepted, or belongs to another shop.
        ShopifyUnavailableError: The tenant has just got its shop's new domain.
        ShopifyError: The shop cannot be reached.
    """
    try:
        info = read_shop(client)
    except ShopifyMovedError as moved:
        with tenant_transaction(pool, tenant_id, read_only=True) as conn:
            is_known = _shop_id(conn, tenant_id) is not None
        if moved.shop is None or not is_known or not _follow(settings, pool, tenant_id, moved):
            raise
        raise ShopifyUnavailableError(
            f"The shop's domain is now {moved.shop}, where the next attempt asks."
        ) from None
    _record_verified(settings, pool, tenant_id, info)
    return info


def probe_shopify(settings: Settings, pool: Pool, tenant_id: UUID) -> ShopInfo:
    """Try the token of a refused connection again; the connection is active if it is accepted.

    Raises:
        ShopifyRefusedError: It is not accepted, or lacks a scope.
        ShopifyError: The shop cannot be reached.
        NotConnectedError: The tenant is not connected.
    """
    with open_connected_shopify(settings, pool, tenant_id) as client:
        info = read_shop(client)
        if info.missing_scopes:
            # Shopify tells the shop to any token, so this alone proves little.
            raise ShopifyRefusedError(
                missing_scopes_message("access token", info.missing_scopes),
                advice="Give the app these Admin API scopes in Shopify.",
            )
        _record_verified(settings, pool, tenant_id, info)
    return info


def follow_shop(settings: Settings, pool: Pool, tenant_id: UUID, shop: str) -> bool:
    """Give a connected tenant the new domain of its shop; Shopify says whether it is the same shop.

    Args:
        settings: The service's settings.
        pool: The service's pool.
        tenant_id: The tenant.
        shop: The new domain.

    Returns:
        False if there is nothing to follow: the tenant has this domain, or has no token to ask
        with.

    Raises:
        InvalidInputError: It is another shop.
        ShopifyError: Shopify cannot be asked at the new domain.
    """
    wanted = check_shop_domain(shop)
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        row = one(conn.execute(query("shopify.find_shop"), {"tenant_id": tenant_id}).fetchone())
        if row["shop_domain"] == wanted:
            return False
        stored = read_stored(settings, conn, tenant_id)
        if stored is None:
            return False
        expected, known_id = shop_domain(conn, tenant_id), _shop_id(conn, tenant_id)
    with _open_stored(settings, pool, tenant_id, wanted, stored) as client:
        info = read_shop(client)
    # Connections of earlier releases have no id until a sync has read it. Their token proves as
    # much: a token opens one shop only, and this one has opened the tenant's.
    if info.shop != wanted or known_id not in (None, info.shop_id):
        _check_shop(expected, info.shop if info.shop != expected else wanted)
    _record_verified(settings, pool, tenant_id, info, follows=True)
    return True


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


def _follow(settings: Settings, pool: Pool, tenant_id: UUID, moved: ShopifyMovedError) -> bool:
    """Whether the tenant got the domain of a redirect: only if it is the same shop there."""
    try:
        return follow_shop(settings, pool, tenant_id, moved.shop or "")
    except (InvalidInputError, ShopifyError) as error:
        log.warning("redirect not followed", tenant_id=str(tenant_id), reason=error.message)
        return False


@contextmanager
def _open_stored(
    settings: Settings,
    pool: Pool,
    tenant_id: UUID,
    shop: str,
    stored: Stored,
    *,
    attempts: int = ATTEMPTS,
) -> Iterator[ShopifyClient]:
    """A client with the tenant's token, which it refreshes, and its shared rate limit."""
    url = f"{base_url(settings, shop)}/admin/oauth/access_token"
    tokens = StoredTokens(settings, pool, tenant_id, url, stored)
    bucket = SharedBucket(pool, tenant_id)
    with open_shopify(settings, shop, tokens, bucket=bucket, attempts=attempts) as client:
        client.scopes = stored.scopes
        yield client


def _record_verified(
    settings: Settings, pool: Pool, tenant_id: UUID, info: ShopInfo, *, follows: bool = False
) -> None:
    """Store what an accepted token has read; ``follows`` is whether its shop is known to be right.

    A shop is known by its id. If only its domain has changed, the tenant gets the new one.

    Raises:
        ShopifyRefusedError: The token belongs to another shop.
    """
    with tenant_transaction(pool, tenant_id) as conn:
        expected = shop_domain(conn, tenant_id)
        if info.shop != expected:
            if not follows and info.shop_id != _shop_id(conn, tenant_id):
                # Another shop's orders must never be loaded for this tenant.
                raise ShopifyRefusedError(
                    f"The access token belongs to {info.shop}, not to {expected}.",
                    advice="If it is the same shop with a new domain: quintile tenants set NAME"
                    f" --shop {info.shop}. If not, connect it with a token of {expected}.",
                )
            _take_domain(conn, tenant_id, expected, info)
        save_shop(conn, tenant_id, info)
        conn.execute(
            query("shopify.record_verified"),
            {
                "tenant_id": tenant_id,
                "account_id": info.shop_id,
                "account_name": info.name,
                "scopes": sorted(info.scopes),
                "plan": info.plan,
                "api_version_asked": settings.shopify_api_version,
                "api_version_served": info.api_version,
            },
        )


def _take_domain(conn: Connection, tenant_id: UUID, expected: str, info: ShopInfo) -> None:
    """Give the tenant the domain that its shop has now."""
    if info.shop == expected:
        return
    parameters = {"tenant_id": tenant_id, "shop": check_shop_domain(info.shop)}
    try:
        with conn.transaction():
            conn.execute(query("shopify.change_domain"), parameters)
    except psycopg.errors.UniqueViolation:
        raise ShopifyError(
            f"The shop's domain is now {info.shop}, which cannot be taken over.",
            advice="An operator looks which tenant has it: quintile tenants list",
        ) from None
    log.info("shop domain changed", tenant_id=str(tenant_id), before=expected, now=info.shop)


def _shop_id(conn: Connection, tenant_id: UUID) -> str | None:
    """The id of the tenant's shop; None before a release that reads it has connected or synced."""
    row = conn.execute(query("shopify.find_shop_id"), {"tenant_id": tenant_id}).fetchone()
    return None if row is None else cast("str | None", row["shop_id"])


def _checked_tokens(settings: Settings, token: str | TokenSet) -> TokenSet:
    tokens = parse_tokens(token) if isinstance(token, str) else token
    check_secret(tokens.access_token, "access token", field="access_token")
    if tokens.refresh_token is not None:
        check_secret(tokens.refresh_token, "refresh token", field="refresh_token")
        if not settings.shopify_client_id or not client_secrets(settings):
            raise MissingClientError
    return tokens


def _check_shop(expected: str, found: str) -> None:
    if found != expected:
        raise InvalidInputError(
            f"This tenant's shop is {expected}, not {found}.",
            advice="Another shop is another tenant: quintile tenants add NAME --shop DOMAIN",
            field="shop",
        )
