"""A tenant's connections to Shopify and Klaviyo: verified by a live call, then stored sealed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast
from uuid import UUID

from service.config import Settings
from service.db import Connection, Pool, one, query, tenant_transaction
from service.errors import InvalidInputError, NotConnectedError
from service.http import ATTEMPTS
from service.klaviyo.account import NEEDED_SCOPES, KlaviyoAccount, read_account
from service.klaviyo.client import (
    KlaviyoClient,
    KlaviyoRefusedError,
    KlaviyoScopeError,
    open_klaviyo,
)
from service.klaviyo.windows import SharedWindows, hash_account
from service.shopify.bucket import SharedBucket
from service.shopify.client import ShopifyClient, base_url, open_shopify
from service.shopify.domain import check_shop_domain
from service.shopify.errors import ShopifyRefusedError
from service.shopify.landing import save_shop
from service.shopify.shop import ShopInfo, read_shop
from service.shopify.tokens import (
    FixedToken,
    MissingClientError,
    StoredTokens,
    TokenSet,
    parse_tokens,
    read_stored,
)
from service.vault import Sealed, seal, unseal

_NAMES = {"shopify": "Shopify", "klaviyo": "Klaviyo"}
_SECRET = re.compile(r"[\x21-\x7e]{8,512}")
_SHOWN_CHARACTERS = 4


class MissingScopeError(InvalidInputError):
    """The credential lacks rights that Quintile needs."""


class AnotherAccountError(InvalidInputError):
    """The key belongs to another Klaviyo account than the lists that are kept in step."""

    advice = "Give a key of that account, or delete the configurations of its lists first."


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

    The tenant takes over the shop's currency and time zone. A token without ``read_all_orders`` is
    accepted; ``ShopInfo.has_all_orders`` tells.

    Args:
        settings: The service's settings.
        pool: The service's pool.
        tenant_id: Whom to connect.
        shop: The shop's domain, which must be the tenant's.
        token: A token, or the JSON object that Shopify answers with one that expires.
        attempts: How often the shop is asked at most.

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
        raise _lacks_scopes(info)
    with tenant_transaction(pool, tenant_id) as conn:
        save_shop(conn, tenant_id, info)
        _store(
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
def open_connected(
    settings: Settings, pool: Pool, tenant_id: UUID, *, attempts: int = ATTEMPTS
) -> Iterator[ShopifyClient]:
    """The client of a connected tenant: refreshes its token, shares its points, notes a refusal.

    Raises:
        NotConnectedError: The tenant has no shop or no access token.
        SealBrokenError: The stored token cannot be opened with the keys at hand.
        ShopifyRefusedError: The token is not accepted; the connection now says so.
    """
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        shop = shop_domain(conn, tenant_id)
        stored = read_stored(settings, conn, tenant_id)
    if stored is None:
        raise _not_connected("shopify")
    url = f"{base_url(settings, shop)}/admin/oauth/access_token"
    tokens = StoredTokens(settings, pool, tenant_id, url, stored)
    bucket = SharedBucket(pool, tenant_id)
    try:
        with open_shopify(settings, shop, tokens, bucket=bucket, attempts=attempts) as client:
            yield client
    except ShopifyRefusedError as error:
        with tenant_transaction(pool, tenant_id) as conn:
            note_refused(conn, tenant_id, "shopify", error.message)
        raise


def verify_shopify(
    settings: Settings, pool: Pool, tenant_id: UUID, client: ShopifyClient
) -> ShopInfo:
    """Ask the shop who it is and what the token may do, and remember the answer.

    Raises:
        ShopifyRefusedError: The token is not accepted, or belongs to another shop.
        ShopifyError: The shop cannot be reached.
    """
    info = read_shop(client)
    with tenant_transaction(pool, tenant_id) as conn:
        shop = shop_domain(conn, tenant_id)
        if info.shop != shop:
            # Another shop's orders must never land under this tenant.
            raise ShopifyRefusedError(f"The access token belongs to {info.shop}, not to {shop}.")
        save_shop(conn, tenant_id, info)
        conn.execute(
            query("shopify/sql/note_verified"),
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


def disconnect(conn: Connection, tenant_id: UUID, provider: str, reason: str) -> bool:
    """Forget a connection's secret; nothing is synced until it is connected again.

    What has been landed stays, and so does the shop it belongs to.

    Returns:
        Whether there was a connection.
    """
    parameters = {"tenant_id": tenant_id, "provider": provider, "reason": reason}
    return conn.execute(query("sql/disconnect"), parameters).fetchone() is not None


def connect_klaviyo(
    settings: Settings, pool: Pool, tenant_id: UUID, api_key: str, *, attempts: int = ATTEMPTS
) -> KlaviyoAccount:
    """Connect a tenant to its Klaviyo account by a private API key, or replace the key.

    Args:
        settings: The service's settings.
        pool: The service's pool.
        tenant_id: Whom to connect.
        api_key: A private key.
        attempts: How often Klaviyo is asked at most.

    Raises:
        InvalidInputError: The key cannot be one.
        MissingScopeError: It lacks scopes; the message says what each is for.
        AnotherAccountError: Lists of another account are kept in step.
        KlaviyoRefusedError: The key is not accepted.
        KlaviyoError: Klaviyo cannot be reached.
    """
    secret = _checked_secret(api_key, "API key", field="api_key")
    with open_klaviyo(settings, secret, attempts=attempts) as client:
        account = _read_account(client)
    with tenant_transaction(pool, tenant_id) as conn:
        _leave_former_account(conn, tenant_id, account)
        _store(
            settings,
            conn,
            tenant_id,
            "klaviyo",
            account_name=account.name,
            account_id=account.account_id,
            secret=secret,
            last_four=secret[-_SHOWN_CHARACTERS:],
            scopes=sorted(account.scopes),
        )
        conn.execute(query("klaviyo/sql/resume_after_key"), {"tenant_id": tenant_id})
    return account


@contextmanager
def open_connected_klaviyo(
    settings: Settings,
    pool: Pool,
    tenant_id: UUID,
    *,
    attempts: int = ATTEMPTS,
    patience_seconds: float | None = None,
) -> Iterator[KlaviyoClient]:
    """The client of a connected tenant: shares its account's limits, notes a refusal of the key.

    Args:
        settings: The service's settings.
        pool: The service's pool.
        tenant_id: Whose account.
        attempts: How often a call that fails is made at most.
        patience_seconds: How long to wait at most while the limits are used up; None: for ever.

    Raises:
        NotConnectedError: The tenant has no API key.
        SealBrokenError: The stored key cannot be opened with the keys at hand.
        KlaviyoRefusedError: The key is not accepted; the connection now says so.
    """
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        row = _find(conn, tenant_id, "klaviyo")
    api_key = _opened(settings, tenant_id, "klaviyo", row)
    # A connection from before accounts were kept has limits of its own until it is verified.
    account = hash_account(settings, row["account_id"] or f"of tenant {tenant_id}")
    windows = SharedWindows(pool, tenant_id, account, patience_seconds=patience_seconds)
    try:
        with open_klaviyo(settings, api_key, windows=windows, attempts=attempts) as client:
            yield client
    except KlaviyoRefusedError as error:
        with tenant_transaction(pool, tenant_id) as conn:
            note_refused(conn, tenant_id, "klaviyo", error.message)
        raise


def verify_klaviyo(pool: Pool, tenant_id: UUID, client: KlaviyoClient) -> KlaviyoAccount:
    """Ask Klaviyo again whose key it is and what it may do, and remember the answer.

    Raises:
        KlaviyoRefusedError: The key is not accepted, or lacks scopes.
        KlaviyoError: Klaviyo cannot be reached.
    """
    account = read_account(client)
    if account.missing_scopes:
        raise KlaviyoRefusedError(_lacking("API key", account.missing_scopes))
    with tenant_transaction(pool, tenant_id) as conn:
        conn.execute(
            query("klaviyo/sql/note_verified"),
            {
                "tenant_id": tenant_id,
                "account_id": account.account_id,
                "account_name": account.name,
                "scopes": sorted(account.scopes),
            },
        )
        conn.execute(query("klaviyo/sql/resume_after_key"), {"tenant_id": tenant_id})
    return account


def credential(settings: Settings, conn: Connection, tenant_id: UUID, provider: str) -> str:
    """The opened secret of a connection, for use in a request and nowhere else.

    Of a token that expires it is the access token, which may have expired: a client of Shopify
    comes from :func:`open_connected`.

    Raises:
        NotConnectedError: The tenant has not been connected to the provider.
        SealBrokenError: The stored secret cannot be opened with the keys at hand.
    """
    if provider == "shopify":
        stored = read_stored(settings, conn, tenant_id)
        if stored is None:
            raise _not_connected(provider)
        return stored.tokens.access_token
    return _opened(settings, tenant_id, provider, _find(conn, tenant_id, provider))


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


def note_accepted(conn: Connection, tenant_id: UUID, provider: str) -> None:
    """Show that the provider has accepted the credential just now."""
    conn.execute(query("sql/note_accepted"), {"tenant_id": tenant_id, "provider": provider})


def _find(conn: Connection, tenant_id: UUID, provider: str) -> dict[str, Any]:
    row = conn.execute(
        query("sql/find_connection"), {"tenant_id": tenant_id, "provider": provider}
    ).fetchone()
    if row is None:
        raise _not_connected(provider)
    return row


def _opened(settings: Settings, tenant_id: UUID, provider: str, row: dict[str, Any]) -> str:
    return unseal(settings, tenant_id, provider, Sealed(row["key_id"], bytes(row["sealed_secret"])))


def _leave_former_account(conn: Connection, tenant_id: UUID, account: KlaviyoAccount) -> None:
    """Forget what is known of another account's profiles, unless its lists are still in use."""
    parameters = {"tenant_id": tenant_id, "account_id": account.account_id}
    row = conn.execute(query("klaviyo/sql/find_former_account"), parameters).fetchone()
    if row is None:
        return
    if row["is_in_use"]:
        raise AnotherAccountError(
            f"This key belongs to {account.name}, and lists of {row['account_name']} are kept in"
            " step.",
            field="api_key",
        )
    conn.execute(query("klaviyo/sql/forget_profiles"), parameters)
    conn.execute(query("klaviyo/sql/forget_lists"), parameters)


def _read_account(client: KlaviyoClient) -> KlaviyoAccount:
    """As :func:`read_account`, of a key that somebody has just given."""
    try:
        account = read_account(client)
    except KlaviyoScopeError:
        raise _klaviyo_lacks({"accounts:read": NEEDED_SCOPES["accounts:read"]}) from None
    if account.missing_scopes:
        raise _klaviyo_lacks(account.missing_scopes)
    return account


def _not_connected(provider: str) -> NotConnectedError:
    return NotConnectedError(
        f"This tenant is not connected to {_NAMES[provider]} yet.",
        advice=f"Connect it first: quintile tenants connect-{provider} NAME",
    )


def _lacks_scopes(info: ShopInfo) -> MissingScopeError:
    return MissingScopeError(
        _lacking("access token", info.missing_scopes),
        advice="Give the app these Admin API scopes in Shopify, then connect again.",
        field="access_token",
    )


def _klaviyo_lacks(scopes: Mapping[str, str]) -> MissingScopeError:
    return MissingScopeError(
        _lacking("API key", scopes),
        advice="A key's scopes cannot be changed: make another private key in Klaviyo, with these.",
        field="api_key",
    )


def _lacking(kind: str, scopes: Mapping[str, str]) -> str:
    named = " and ".join(f"{scope} (for {why})" for scope, why in scopes.items())
    return f"The {kind} lacks {named}."


def _checked_tokens(settings: Settings, token: str | TokenSet) -> TokenSet:
    tokens = parse_tokens(token) if isinstance(token, str) else token
    _checked_secret(tokens.access_token, "access token", field="access_token")
    if tokens.refresh_token is not None:
        _checked_secret(tokens.refresh_token, "refresh token", field="refresh_token")
        if not settings.shopify_client_id or not settings.shopify_client_secret:
            raise MissingClientError
    return tokens


def _checked_secret(text: str, kind: str, *, field: str = "") -> str:
    secret = text.strip()
    # Refused here because a client library would quote it in its complaint.
    if not _SECRET.fullmatch(secret):
        raise InvalidInputError(
            f"This is not a valid {kind}: it must be 8 to 512 characters without spaces.",
            field=field,
        )
    return secret


def _check_shop(expected: str, found: str) -> None:
    if found != expected:
        raise InvalidInputError(
            f"This tenant's shop is {expected}, not {found}.",
            advice="Another shop is another tenant: quintile tenants add NAME --shop DOMAIN",
            field="shop",
        )


def _store(
    settings: Settings,
    conn: Connection,
    tenant_id: UUID,
    provider: str,
    *,
    secret: str,
    **told: Any,
) -> None:
    sealed = seal(settings, tenant_id, provider, secret)
    nothing = dict.fromkeys(
        (
            "account_id",
            "plan",
            "expires_in",
            "refresh_expires_in",
            "api_version_asked",
            "api_version_served",
        )
    )
    conn.execute(
        query("sql/store_connection"),
        {
            "tenant_id": tenant_id,
            "provider": provider,
            "sealed_secret": sealed.ciphertext,
            "key_id": sealed.key_id,
            "scopes": [],
            **nothing,
            **told,
        },
    )
