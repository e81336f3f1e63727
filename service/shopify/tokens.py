"""Access tokens: permanent ones, and pairs that expire and are refreshed.

The access token of a pair lives an hour; its refresh token gets the next pair. Both are encrypted
together in one column, so the stored pair is always complete. One process at a time refreshes: it
takes a lease on the connection's row, and only the holder of the lease stores. The others read what
it stored. No transaction is open during the call to Shopify.

A crash between Shopify's answer and storing it loses a pair that was never used. Shopify accepts
the stored refresh token until its replacement has been used, so the next refresh works.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol
from uuid import UUID, uuid4

import httpx
import structlog
from psycopg import sql

from service.core.config import Settings, client_secrets
from service.core.db import Connection, Pool, tenant_transaction
from service.core.errors import InvalidInputError, QuintileError
from service.core.http import (
    RefusedAnswerError,
    TransientError,
    decode_json,
    is_html_page,
    open_client,
    retry_transient,
    send,
)
from service.core.queries import query
from service.core.vault import seal, unseal
from service.shopify.errors import (
    ShopifyNotInstalledError,
    ShopifyRefusedError,
    ShopifyRefusedRefreshError,
)

log = structlog.get_logger(__name__)

# How long before its end a token is refreshed: longer than a request takes, retries included.
_AHEAD_SECONDS = 300.0
_USUAL_LIFETIME_SECONDS = 3600
# Longer than one attempt can take; each attempt renews the lease.
_LEASE_SECONDS = 90
_REFRESH_ATTEMPTS = 3
_REFRESH_TIMEOUT_SECONDS = 25.0
_LOOK_AGAIN_SECONDS = 0.2
_SHOWN_CHARACTERS = 4
_REFUSED_STATUSES = frozenset({400, 401, 403, 404})
_UNKNOWN_APP = ("invalid_client", "application_cannot_be_found")
_NOT_INSTALLED = "app_not_installed"
# Without it the token endpoint answers errors as web pages.
_JSON = {"Accept": "application/json"}


class _LeaseLostError(Exception):
    """Another process has taken over the refresh."""


class MissingClientError(QuintileError):
    """A token that expires cannot be refreshed without the app's client id and secret."""

    advice = "Set QUINTILE_SHOPIFY_CLIENT_ID and QUINTILE_SHOPIFY_CLIENT_SECRET to your app's."


@dataclass(frozen=True)
class TokenSet:
    """An access token, with a refresh token if it expires. Lifetimes are in seconds."""

    access_token: str
    refresh_token: str | None = None
    expires_in: int | None = None
    refresh_expires_in: int | None = None

    @classmethod
    def expiring(
        cls,
        access_token: str,
        refresh_token: str,
        *,
        expires_in: int | None = None,
        refresh_expires_in: int | None = None,
    ) -> TokenSet:
        """A pair, with Shopify's usual lifetime unless another is given."""
        # Without a lifetime the token would look permanent.
        lifetime = expires_in or _USUAL_LIFETIME_SECONDS
        return cls(access_token, refresh_token, lifetime, refresh_expires_in)

    def __repr__(self) -> str:
        """The last four characters only, because a repr may be logged."""
        return f"TokenSet(…{self.last_four})"

    @property
    def last_four(self) -> str:
        """The only part of the token that is shown."""
        return self.access_token[-_SHOWN_CHARACTERS:]

    def sealable(self) -> str:
        """The text to encrypt: the token, or the pair as JSON."""
        if self.refresh_token is None:
            return self.access_token
        return json.dumps({"access_token": self.access_token, "refresh_token": self.refresh_token})


class Tokens(Protocol):
    """A source of access tokens."""

    def current(self) -> str:
        """A token that should be accepted now."""

    def renew(self, rejected: str) -> bool:
        """Get another token than the rejected one; False if there is none."""


class FixedToken:
    """One token that is never renewed."""

    def __init__(self, token: str) -> None:
        self._token = token

    def current(self) -> str:
        """The token."""
        return self._token

    def renew(self, rejected: str) -> bool:  # noqa: ARG002
        """Never."""
        return False


class StoredTokens:
    """The token of a tenant's connection, refreshed shortly before it expires or when rejected.

    Raises, from either method:
        ShopifyRefusedRefreshError: The refresh token is no longer accepted; as
            ShopifyNotInstalledError, the app is not installed in the shop.
        ShopifyRefusedError: The tenant was disconnected.
        MissingClientError: The app's client id or secret is not set, or is another app's.
        TransientError: Shopify did not answer the refresh, and the token has expired.
    """

    def __init__(
        self, settings: Settings, pool: Pool, tenant_id: UUID, refresh_url: str, stored: Stored
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._tenant_id = tenant_id
        self._url = refresh_url
        self._log = log.bind(tenant_id=str(tenant_id))
        self._take(stored)

    def current(self) -> str:
        """The token, refreshed first if it is about to expire."""
        left = self._ends_at - time.monotonic()
        if left < _AHEAD_SECONDS:
            try:
                self._refresh(self._stored.tokens.access_token)
            except TransientError as error:
                if left <= 0:
                    raise
                # The token is still valid: the next call tries again.
                self._log.warning("token not refreshed yet", reason=str(error))
        return self._stored.tokens.access_token

    def renew(self, rejected: str) -> bool:
        """Take a token that another process stored, or refresh; False for a permanent token."""
        self._take(self._read())
        if self._stored.tokens.access_token == rejected:
            if self._stored.tokens.refresh_token is None:
                return False
            self._refresh(rejected)
        return True

    def _take(self, stored: Stored) -> None:
        self._stored = stored
        left = float("inf") if stored.seconds_left is None else stored.seconds_left
        self._ends_at = time.monotonic() + left

    def _refresh(self, spent: str) -> None:
        """Replace the spent pair: refresh it, or wait for the process that does."""
        lease = uuid4()
        while True:
            stored = self._read()
            if stored.tokens.access_token != spent:
                self._take(stored)
                return
            if not self._lease(lease, stored):
                time.sleep(_LOOK_AGAIN_SECONDS)
                continue
            try:
                self._store(lease, self._fetch(lease, stored))
            except _LeaseLostError:
                continue
            except TransientError as error:
                self._release(lease)
                # The call that needed the token was not made.
                raise TransientError(str(error), is_undone=True) from None
            except BaseException:
                self._release(lease)
                raise

    def _fetch(self, lease: UUID, spent: Stored) -> TokenSet:
        settings = self._settings
        # Tokens that expire are those of the app that serves all shops.
        secrets = client_secrets(settings)
        if not settings.shopify_client_id or not secrets:
            raise MissingClientError
        with open_client(_JSON, provider="shopify", timeout=_REFRESH_TIMEOUT_SECONDS) as http:
            for secret in secrets:
                form = {
                    "grant_type": "refresh_token",
                    "client_id": settings.shopify_client_id,
                    "client_secret": secret,
                    "refresh_token": spent.tokens.refresh_token,
                }
                ask = partial(self._ask, http, form, lease, spent)
                try:
                    fresh = retry_transient(ask, attempts=_REFRESH_ATTEMPTS)
                except RefusedAnswerError as error:
                    if self._is_removed(http, secret):
                        raise ShopifyNotInstalledError(
                            "Shopify says that the app is not installed in this shop."
                        ) from None
                    raise ShopifyRefusedRefreshError(
                        f"Shopify no longer accepts the refresh token ({error})."
                    ) from None
                if fresh is not None:
                    return fresh
        raise MissingClientError("Shopify does not know the app's client id or secret.")

    def _ask(
        self, http: httpx.Client, form: dict[str, Any], lease: UUID, spent: Stored
    ) -> TokenSet | None:
        """Make one attempt under a renewed lease; None if Shopify does not know the app."""
        if not self._lease(lease, spent):
            raise _LeaseLostError
        return _next_pair(send(http, "POST", self._url, data=form), spent.tokens)

    def _is_removed(self, http: httpx.Client, secret: str) -> bool:
        """Whether Shopify says that the app is not installed.

        It is asked as the app, without any token of the shop: a refresh token is refused for other
        reasons, too. A token that it may issue is not used.
        """
        form = {
            "grant_type": "client_credentials",
            "client_id": self._settings.shopify_client_id,
            "client_secret": secret,
        }
        try:
            response = send(http, "POST", self._url, data=form)
        except TransientError:
            return False
        return not response.is_success and _error_body(response).get("error") == _NOT_INSTALLED

    def _read(self) -> Stored:
        with tenant_transaction(self._pool, self._tenant_id, read_only=True) as conn:
            stored = read_stored(self._settings, conn, self._tenant_id)
        if stored is None:
            raise ShopifyRefusedError("The tenant has been disconnected from Shopify.")
        return stored

    def _lease(self, lease: UUID, stored: Stored) -> bool:
        return self._update(
            query("shopify.lease_refresh"),
            lease=lease,
            seconds=_LEASE_SECONDS,
            sealed_secret=stored.sealed_secret,
        )

    def _release(self, lease: UUID) -> None:
        self._update(query("shopify.release_refresh"), lease=lease)

    def _store(self, lease: UUID, fresh: TokenSet) -> None:
        self._update(
            query("shopify.store_refreshed"),
            lease=lease,
            **seal(self._settings, self._tenant_id, "shopify", fresh.sealable()),
            last_four=fresh.last_four,
            expires_in=fresh.expires_in,
            refresh_expires_in=fresh.refresh_expires_in,
        )
        self._log.info("token refreshed")

    def _update(self, statement: sql.SQL, **parameters: object) -> bool:
        """Update the connection's row; False when the statement's conditions do not hold."""
        with tenant_transaction(self._pool, self._tenant_id) as conn:
            updated = conn.execute(statement, {"tenant_id": self._tenant_id, **parameters})
            return updated.rowcount > 0


@dataclass(frozen=True)
class Stored:
    """A stored connection's tokens, with the scopes that it had when it was last verified.

    ``seconds_left`` is None for a permanent token.
    """

    tokens: TokenSet
    sealed_secret: bytes
    seconds_left: float | None
    scopes: frozenset[str]


def read_stored(settings: Settings, conn: Connection, tenant_id: UUID) -> Stored | None:
    """The tenant's token or pair; None when the tenant is not connected.

    Raises:
        SealBrokenError: The stored secret cannot be decrypted with the current keys.
    """
    row = conn.execute(
        query("core.find_connection"), {"tenant_id": tenant_id, "provider": "shopify"}
    ).fetchone()
    if row is None:
        return None
    opened = unseal(settings, tenant_id, "shopify", row)
    scopes = frozenset(row["scopes"])
    if row["seconds_left"] is None:
        return Stored(TokenSet(opened), row["sealed_secret"], None, scopes)
    pair = json.loads(opened)
    tokens = TokenSet(pair["access_token"], pair["refresh_token"])
    return Stored(tokens, row["sealed_secret"], float(row["seconds_left"]), scopes)


def parse_tokens(text: str) -> TokenSet:
    """Read a token as typed, or the JSON object that Shopify's token endpoint answers.

    Raises:
        InvalidInputError: It looks like JSON and is not such an object.
    """
    if not text.strip().startswith("{"):
        return TokenSet(text.strip())
    try:
        given = json.loads(text)
    except ValueError:
        given = None
    if not isinstance(given, dict) or not isinstance(given.get("access_token"), str):
        # The message does not quote the input, which is secret.
        raise InvalidInputError(
            "This is not the JSON object that Shopify answers when it issues a token.",
            advice="It has access_token and, for a token that expires, refresh_token and"
            " expires_in. A token that does not expire can be given alone.",
        ) from None
    return _token_set(given, None)


def _token_set(given: dict[str, Any], old_refresh_token: str | None) -> TokenSet:
    refresh_token = given.get("refresh_token") or old_refresh_token
    if refresh_token is None:
        return TokenSet(str(given["access_token"]))
    return TokenSet.expiring(
        str(given["access_token"]),
        str(refresh_token),
        expires_in=_seconds(given.get("expires_in")),
        refresh_expires_in=_seconds(given.get("refresh_token_expires_in")),
    )


def _seconds(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _next_pair(response: httpx.Response, spent: TokenSet) -> TokenSet | None:
    """The pair that Shopify answers; None when it does not know the app.

    Raises:
        RefusedAnswerError: The refresh token is not accepted.
        TransientError: The answer holds no token.
    """
    body = decode_json(response) if response.is_success else _error_body(response)
    if response.status_code in _REFUSED_STATUSES and not is_html_page(response):
        if body.get("error") in _UNKNOWN_APP:
            return None
        raise RefusedAnswerError(f"status {response.status_code}")
    if not isinstance(body, dict) or not isinstance(body.get("access_token"), str):
        raise TransientError(f"it answered a refresh without a token ({response.status_code})")
    return _token_set(body, spent.refresh_token)


def _error_body(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
