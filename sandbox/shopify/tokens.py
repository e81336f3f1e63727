"""Access tokens: the permanent one of each store, and pairs that expire and rotate.

As Shopify's, a refresh token brings one pair, and the access token it came with ends then. A spent
refresh token stays good until its replacement is used, so that an answer that was lost can be asked
for again; `is_forgiving=False` lets it die at once, as it did before Shopify was that kind.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

from .store import Store

LIFETIME_SECONDS = 3600
REFRESH_LIFETIME_SECONDS = 90 * 24 * 3600
CLIENT_ID = "sandbox-client"
CLIENT_SECRET = "shpss_sandbox_secret"  # noqa: S105 - opens nothing but this sandbox

Body = dict[str, Any]


@dataclass(slots=True)
class _Pair:
    store: Store
    access_token: str
    refresh_token: str
    ends_at: float
    refresh_ends_at: float
    # The refresh token this pair was exchanged for.
    parent: str | None = None


class TokenDesk:
    """Issues, exchanges and recognises tokens. Thread-safe.

    `lifetime` is in seconds and may be changed at any time; `clock` is in seconds too.
    """

    def __init__(
        self, stores: Iterable[Store], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.lifetime = LIFETIME_SECONDS
        self.is_forgiving = True
        self.client_id = CLIENT_ID
        self.client_secret = CLIENT_SECRET
        self._clock = clock
        self._lock = Lock()
        self._permanent = {store.data.token: store for store in stores}
        self._by_domain = {store.data.domain: store for store in self._permanent.values()}
        self._pairs: dict[str, _Pair] = {}

    def issue(self, shop: str) -> Body:
        """A first pair for a store, as the end of an installation brings it."""
        with self._lock:
            return self._issue(self._by_domain[shop], None)

    def store_of(self, access_token: str) -> Store | None:
        """The store that an access token opens now."""
        with self._lock:
            if access_token in self._permanent:
                return self._permanent[access_token]
            now = self._clock()
            for pair in self._pairs.values():
                if pair.access_token == access_token and now < pair.ends_at:
                    return pair.store
            return None

    def expire_access_tokens(self) -> None:
        """End every access token of a pair now; their refresh tokens stay."""
        with self._lock:
            for pair in self._pairs.values():
                pair.ends_at = self._clock()

    def exchange(self, form: Mapping[str, str]) -> tuple[Body, int]:
        """`POST /admin/oauth/access_token`: a refresh, or the app's own credentials."""
        missing = {"client_id", "client_secret", "grant_type"} - set(form)
        if missing or form["grant_type"] not in ("refresh_token", "client_credentials"):
            return _refusal("invalid_request", "Missing or invalid parameters."), 400
        if form["client_id"] != self.client_id or form["client_secret"] != self.client_secret:
            return _refusal("invalid_client", "The client is unknown."), 401
        if form["grant_type"] == "client_credentials":
            return self._refuse_credentials()
        with self._lock:
            spent = self._pairs.get(form.get("refresh_token", ""))
            if (
                spent is None
                or self._clock() >= spent.refresh_ends_at
                or not spent.store.is_installed
            ):
                description = "This request requires an active refresh_token"
                return _refusal("invalid_request", description), 401
            if spent.parent is not None:
                # Its replacement is in use: the one before is of no use any more.
                self._pairs.pop(spent.parent, None)
            self._forget_unused_replacement(spent.refresh_token)
            spent.ends_at = self._clock()
            body = self._issue(spent.store, spent.refresh_token)
            if not self.is_forgiving:
                del self._pairs[spent.refresh_token]
            return body, 200

    def _refuse_credentials(self) -> tuple[Body, int]:
        """Refuse the app's own credentials, as for stores of another organization.

        All stores have one address here, so only that of a single one is known.
        """
        stores = list(self._by_domain.values())
        if len(stores) == 1 and not stores[0].is_installed:
            description = "The application is not installed on this shop."
            return _refusal("app_not_installed", description), 400
        description = "Client credentials cannot be performed on this shop."
        return _refusal("shop_not_permitted", description), 400

    def _forget_unused_replacement(self, refresh_token: str) -> None:
        for key in [k for k, pair in self._pairs.items() if pair.parent == refresh_token]:
            del self._pairs[key]

    def _issue(self, store: Store, parent: str | None) -> Body:
        now = self._clock()
        pair = _Pair(
            store,
            access_token=f"shpat_{secrets.token_hex(16)}",
            refresh_token=f"shprt_{secrets.token_hex(16)}",
            ends_at=now + self.lifetime,
            refresh_ends_at=now + REFRESH_LIFETIME_SECONDS,
            parent=parent,
        )
        self._pairs[pair.refresh_token] = pair
        return {
            "access_token": pair.access_token,
            "scope": ",".join(sorted(store.scopes)),
            "expires_in": self.lifetime,
            "refresh_token": pair.refresh_token,
            "refresh_token_expires_in": REFRESH_LIFETIME_SECONDS,
        }


def _refusal(error: str, description: str) -> Body:
    return {"error": error, "error_description": description}
