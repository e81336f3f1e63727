"""Access tokens: permanent ones, and pairs that expire and are exchanged for new ones.

The token of a pair lives an hour; its refresh token brings the next pair. Both are sealed together
in one column, so the stored pair is always a whole one. One process at a time refreshes: it takes a
lease on the connection's row, and only the holder of the lease stores. The others read what it
stored. No transaction is open while Shopify is asked.

A crash between Shopify's answer and the storing of it loses a pair that was never used; Shopify
takes the stored refresh token again for as long as its replacement has not been used, so the next
refresh mends it.
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

from service.core.config import Settings
from service.core.db import Connection, Pool, tenant_transaction
from service.core.errors import InvalidInputError, QuintileError
from service.core.http import TransientError, decode_json, open_client, retry_transient, send
from service.core.queries import query
from service.core.vault import seal, unseal
from service.shopify.errors import ShopifyRefusedError

log = structlog.get_logger(__name__)

# So long before its end a token is exchanged: longer than a request takes, retries included.
_AHEAD_SECONDS = 300.0
_USUAL_LIFETIME_SECONDS = 3600
# Longer than one attempt can take; each begins by taking the lease again.
_LEASE_SECONDS = 90
_REFRESH_ATTEMPTS = 3
_REFRESH_TIMEOUT_SECONDS = 25.0
_LOOK_AGAIN_SECONDS = 0.2
_SHOWN_CHARACTERS = 4
_REFUSED_STATUSES = frozenset({400, 401, 403, 404})
_UNKNOWN_APP = ("invalid_client", "application_cannot_be_found")


class _LeaseLostError(Exception):
    """Another process has taken over the refresh."""


class MissingClientError(QuintileError):
    """A token that expires cannot be refreshed without the app's client id and secret."""

    advice = "Set QUINTILE_SHOPIFY_CLIENT_ID and QUINTILE_SHOPIFY_CLIENT_SECRET to your app's."


@dataclass(frozen=True)
class TokenSet:
    """An access token, and of one that expires what brings the next. Lifetimes are in seconds."""

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
        # An answer that leaves it out must not make a token look permanent.
        expires_in: int = _USUAL_LIFETIME_SECONDS,
        refresh_expires_in: int | None = None,
    ) -> TokenSet:
        """A pair; Shopify's usual lifetime unless another is told."""
        return cls(access_token, refresh_token, expires_in, refresh_expires_in)

    def __repr__(self) -> str:
        """Nothing secret, wherever it may be printed."""
        return f"TokenSet(…{self.last_four})"

    @property
    def last_four(self) -> str:
        """All that is ever shown."""
        return self.access_token[-_SHOWN_CHARACTERS:]

    def sealable(self) -> str:
        """What is sealed: the token, or the pair as one text."""
        if self.refresh_token is None:
            return self.access_token
        return json.dumps({"access_token": self.access_token, "refresh_token": self.refresh_token})


class Tokens(Protocol):
    """Where a client has its access token from."""

    def current(self) -> str:
        """A token that should be accepted now."""

    def renew(self, rejected: str) -> bool:
        """Whether there is another than the one that has been rejected."""


class FixedToken:
    """A token that is what it is."""

    def __init__(self, token: str) -> None:
        self._token = token

    def current(self) -> str:
        """The token."""
        return self._token

    def renew(self, rejected: str) -> bool:  # noqa: ARG002
        """Never."""
        return False


class StoredTokens:
    """The token of a tenant's connection, refreshed when its end is near or it is rejected.

    Raises, from either method:
        ShopifyRefusedError: The refresh token is not accepted any more.
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
        self._take(stored)

    def current(self) -> str:
        """The token; another pair first if its end is near."""
        left = self._ends_at - time.monotonic()
        if left < _AHEAD_SECONDS:
            try:
                self._refresh(self._stored.tokens.access_token)
            except TransientError as error:
                if left <= 0:
                    raise
                # It is good for a while yet: the next call tries again.
                log.warning("token not refreshed yet", reason=str(error), **self._named())
        return self._stored.tokens.access_token

    def renew(self, rejected: str) -> bool:
        """Whether somebody else has stored another token, or a refresh brought one."""
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
        """Have another pair than the spent one: fetch it, or wait for who is at it."""
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
                self._give_up(lease)
                # What the token was for has certainly not been asked.
                raise TransientError(str(error), is_undone=True) from None
            except BaseException:
                self._give_up(lease)
                raise

    def _fetch(self, lease: UUID, spent: Stored) -> TokenSet:
        settings = self._settings
        secrets = [part.strip() for part in settings.shopify_client_secret.split(",")]
        if not settings.shopify_client_id or not any(secrets):
            raise MissingClientError
        with open_client({}, provider="shopify", timeout=_REFRESH_TIMEOUT_SECONDS) as http:
            for secret in filter(None, secrets):
                form = {
                    "grant_type": "refresh_token",
                    "client_id": settings.shopify_client_id,
                    "client_secret": secret,
                    "refresh_token": spent.tokens.refresh_token,
                }
                ask = partial(self._ask, http, form, lease, spent)
                if (fresh := retry_transient(ask, attempts=_REFRESH_ATTEMPTS)) is not None:
                    return fresh
        raise MissingClientError("Shopify does not know the app's client id or secret.")

    def _ask(
        self, http: httpx.Client, form: dict[str, Any], lease: UUID, spent: Stored
    ) -> TokenSet | None:
        """One attempt, under a lease as long as the attempt; None if the app is unknown."""
        if not self._lease(lease, spent):
            raise _LeaseLostError
        return _next_pair(send(http, "POST", self._url, data=form), spent.tokens)

    def _read(self) -> Stored:
        with tenant_transaction(self._pool, self._tenant_id, read_only=True) as conn:
            stored = read_stored(self._settings, conn, self._tenant_id)
        if stored is None:
            raise ShopifyRefusedError("The tenant has been disconnected from Shopify meanwhile.")
        return stored

    def _lease(self, lease: UUID, stored: Stored) -> bool:
        with tenant_transaction(self._pool, self._tenant_id) as conn:
            row = conn.execute(
                query("shopify.lease_refresh"),
                {
                    "tenant_id": self._tenant_id,
                    "lease": lease,
                    "seconds": _LEASE_SECONDS,
                    "sealed_secret": stored.sealed_secret,
                },
            ).fetchone()
        return row is not None

    def _give_up(self, lease: UUID) -> None:
        with tenant_transaction(self._pool, self._tenant_id) as conn:
            conn.execute(
                query("shopify.release_refresh"), {"tenant_id": self._tenant_id, "lease": lease}
            )

    def _store(self, lease: UUID, fresh: TokenSet) -> None:
        with tenant_transaction(self._pool, self._tenant_id) as conn:
            conn.execute(
                query("shopify.store_refreshed"),
                {
                    "tenant_id": self._tenant_id,
                    "lease": lease,
                    **seal(self._settings, self._tenant_id, "shopify", fresh.sealable()),
                    "last_four": fresh.last_four,
                    "expires_in": fresh.expires_in,
                    "refresh_expires_in": fresh.refresh_expires_in,
                },
            )
        log.info("token refreshed", **self._named())

    def _named(self) -> dict[str, str]:
        return {"tenant_id": str(self._tenant_id)}


@dataclass(frozen=True)
class Stored:
    """What is stored of a connection; ``seconds_left`` is None for a permanent token."""

    tokens: TokenSet
    sealed_secret: bytes
    seconds_left: float | None


def read_stored(settings: Settings, conn: Connection, tenant_id: UUID) -> Stored | None:
    """The tenant's token or pair; None when the tenant is not connected.

    Raises:
        SealBrokenError: The stored secret cannot be opened with the keys at hand.
    """
    row = conn.execute(
        query("core.find_connection"), {"tenant_id": tenant_id, "provider": "shopify"}
    ).fetchone()
    if row is None:
        return None
    opened = unseal(settings, tenant_id, "shopify", row)
    if row["seconds_left"] is None:
        return Stored(TokenSet(opened), row["sealed_secret"], None)
    pair = json.loads(opened)
    tokens = TokenSet(pair["access_token"], pair["refresh_token"])
    return Stored(tokens, row["sealed_secret"], float(row["seconds_left"]))


def parse_tokens(text: str) -> TokenSet:
    """A token as typed, or the JSON object that Shopify's token endpoint answers.

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
        # Without a word of what was given, which is secret.
        raise InvalidInputError(
            "This is not the JSON object that Shopify answers when it issues a token.",
            advice="It has access_token and, for a token that expires, refresh_token and"
            " expires_in; a token alone will do for one that does not expire.",
        ) from None
    return _token_set(given, None)


def _token_set(given: dict[str, Any], former_refresh_token: str | None) -> TokenSet:
    refresh_token = given.get("refresh_token") or former_refresh_token
    if refresh_token is None:
        return TokenSet(str(given["access_token"]))
    return TokenSet.expiring(
        str(given["access_token"]),
        str(refresh_token),
        expires_in=_seconds(given.get("expires_in")) or _USUAL_LIFETIME_SECONDS,
        refresh_expires_in=_seconds(given.get("refresh_token_expires_in")),
    )


def _seconds(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _next_pair(response: httpx.Response, spent: TokenSet) -> TokenSet | None:
    """The pair that Shopify answers; None when it does not know the app.

    Raises:
        ShopifyRefusedError: The refresh token is not accepted any more.
        TransientError: The answer is none.
    """
    body = decode_json(response) if response.is_success else _body_or_nothing(response)
    if response.status_code in _REFUSED_STATUSES:
        if body.get("error") in _UNKNOWN_APP:
            return None
        raise ShopifyRefusedError(
            f"Shopify does not accept the refresh token any more (status {response.status_code})."
        )
    if not isinstance(body, dict) or not isinstance(body.get("access_token"), str):
        raise TransientError(f"it answered a refresh without a token ({response.status_code})")
    return _token_set(body, spent.refresh_token)


def _body_or_nothing(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
