"""Authentication of requests, and their database transactions.

A request sends ``Authorization: Bearer qnt_…`` or the admin UI's signed session cookie. Every
endpoint that is not in :data:`PUBLIC_ENDPOINTS` needs one of them, so a new route is closed by
default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeVar, cast
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from flask import current_app, g, request, session
from psycopg import sql

from service.api.capacity import Capacity
from service.api.problems import MissingScopeError, NotSignedInError, RefusedRequestError
from service.api.rate_limits import RateLimits
from service.core.config import Settings, public_address
from service.core.db import Connection, Pool, one, tenant_transaction
from service.core.errors import NotConnectedError
from service.core.queries import query
from service.tenants import sessions
from service.tenants.idempotent_requests import mark_request
from service.tenants.platform_tokens import Issuer, find_platform_access, is_platform_token
from service.tenants.signing_keys import KeysUnavailableError
from service.tenants.tokens import SCOPES, Access, Scope, find_token

PUBLIC_ENDPOINTS = frozenset(
    {
        "health.start",
        "health.former_openapi",
        "health.alive",
        "health.ready",
        "health.explain_problem",
        "openapi.spec",
        # Has its own token; open to requests from this machine.
        "metrics.show_metrics",
        "admin.static",
        "admin.show_sign_in",
        "admin.sign_in",
        "admin.sign_in_with_code",
        # Authenticated by the webhook's signature.
        "webhooks.receive_shopify",
    }
)

_Found = TypeVar("_Found")

OWN_REQUEST_HEADER = "X-Quintile-Request"
TENANT_HEADER = "X-Quintile-Tenant"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

# What needs another scope than its method: reading needs `read`, everything else `write`.
_SCOPES: dict[str, Scope] = {
    # They save nothing.
    "samples_settings.match_channels": "read",
    "samples_settings.preview_samples_settings": "read",
    "admin.sign_out": "read",
    # It reads the store, and leaves the connection as it is.
    "integrations.sync_shopify_orders": "write",
    # They decide about the deletion of data.
    "set_aside_webhooks.confirm_held_webhook": "admin",
    "set_aside_webhooks.reject_held_webhook": "admin",
    # Pages that show what their routes of the API show to this scope only.
    "admin.settings_tokens": "admin",
    "admin.settings_people": "admin",
    "admin.settings_audit_log": "admin",
    "admin.settings_danger": "admin",
}
# Credentials, and what gives access to personal data outside Quintile: also to read.
_ADMIN_BLUEPRINTS = frozenset({"tokens", "people", "audit_log", "privacy"})
# Connections and addresses that data is sent to: to change.
_ADMIN_CHANGES = frozenset({"integrations", "integrations_klaviyo", "webhook_endpoints"})


@dataclass(frozen=True)
class Login:
    """What the request's credential gives, and how it was presented."""

    access: Access
    via: Literal["token", "session"]

    @property
    def tenant_id(self) -> UUID:
        """The tenant that the request acts for."""
        return self.access.tenant_id


@dataclass(frozen=True)
class State:
    """What the application opens once for all requests."""

    settings: Settings
    pool: Pool
    limits: RateLimits
    issuer: Issuer | None
    capacity: Capacity


def state() -> State:
    """The running application's settings and pool."""
    return cast("State", current_app.extensions["quintile"])


def tenant_id() -> UUID:
    """The tenant that this request acts for."""
    return cast("Login", g.login).tenant_id


@contextmanager
def transaction(*, read_only: bool = False) -> Iterator[Connection]:
    """A transaction that sees the request's tenant only, with the statement timeout.

    If it writes, it records so for the request's ``Idempotency-Key``.

    Args:
        read_only: Refuse writes, as for every GET request.

    Raises:
        KeyInUseError: A repeat of the request was processed first; nothing is written.
    """
    read_only = read_only or request.method in SAFE_METHODS
    with tenant_transaction(
        state().pool,
        tenant_id(),
        read_only=read_only,
        timeout_ms=state().settings.statement_timeout_ms,
    ) as conn:
        yield conn
        if not read_only and "idempotent_claim" in g:
            mark_request(conn, g.idempotent_claim)


def begin_outside_change() -> None:
    """Record that the request is about to change something outside of the database.

    A repeat with its ``Idempotency-Key`` then does not change it again, whatever happens to this
    process. To be called before changes that a second call would make twice.
    """
    if "idempotent_claim" in g:
        with tenant_transaction(state().pool, tenant_id()) as conn:
            mark_request(conn, g.idempotent_claim, is_outside=True)


def fetch_one(conn: Connection, statement: sql.SQL, **parameters: Any) -> dict[str, Any]:
    """The row of a statement about the request's tenant that always returns one."""
    return one(conn.execute(statement, {"tenant_id": tenant_id(), **parameters}).fetchone())


def require_connection(conn: Connection, provider: Literal["shopify", "klaviyo"]) -> None:
    """Check that the request's tenant has a connection to a provider.

    Raises:
        NotConnectedError: It has none.
    """
    if not fetch_one(conn, query("api.is_connected"), provider=provider)["is_connected"]:
        raise NotConnectedError(
            f"{provider.capitalize()} is not connected.",
            advice="Connect it in Quintile under Connections.",
        )


def access() -> Access:
    """What the request's credential gives."""
    return cast("Login", g.login).access


def actor() -> str:
    """Who makes the request, in words to record with a change."""
    return access().actor


def scope() -> Scope:
    """What the request's credential allows."""
    return access().scope


def needed_scope(endpoint: str, method: str) -> Scope:
    """The scope that an endpoint needs for a method."""
    blueprint, _, _ = endpoint.partition(".")
    if endpoint in _SCOPES:
        return _SCOPES[endpoint]
    if blueprint in _ADMIN_BLUEPRINTS:
        return "admin"
    if method in SAFE_METHODS:
        return "read"
    return "admin" if blueprint in _ADMIN_CHANGES else "write"


def require_login() -> None:
    """Authenticate the request; runs before each one.

    Raises:
        NotSignedInError: There is neither a valid token nor a valid session, or the session is of
            another tenant than the page that sent the request.
        MissingScopeError: Its scope does not allow the request.
        TooManyRequestsError: The credential, or failed ones of its address, used up their limit.
        RefusedRequestError: A session requests a change from another site's page.
    """
    if request.endpoint is None or request.endpoint in PUBLIC_ENDPOINTS:
        return
    # A token takes precedence: an invalid one fails even when there is a session.
    login = _login_by_token() if "Authorization" in request.headers else _login_by_session()
    if login is None:
        raise NotSignedInError
    # A cookie belongs to all tabs: what one store's page sends must not change another store.
    page_tenant = request.headers.get(TENANT_HEADER, str(login.tenant_id))
    if login.via == "session" and page_tenant != str(login.tenant_id):
        raise NotSignedInError
    if login.via == "session" and request.method not in SAFE_METHODS:
        require_own_request()
    credential = login.access.credential_id or login.access.actor
    state().limits.count_request(f"{login.tenant_id} {credential}")
    needed = needed_scope(request.endpoint, request.method)
    if SCOPES.index(login.access.scope) < SCOPES.index(needed):
        raise MissingScopeError(needed, login.access.scope)
    g.login = login
    structlog.contextvars.bind_contextvars(tenant_id=str(login.tenant_id))


def require_own_request() -> None:
    """Refuse cross-site requests (CSRF).

    Other sites cannot set our header: a CORS preflight never allows it. A form
    cannot set headers either, so the sign-out form is recognised by its Origin, which browsers
    send with every POST.

    Raises:
        RefusedRequestError: The header is missing or the Origin is another site.
    """
    origin = request.headers.get("Origin")
    if origin is not None and origin not in _own_origins():
        raise RefusedRequestError
    is_own_form = origin is not None and request.mimetype == "application/x-www-form-urlencoded"
    if request.headers.get(OWN_REQUEST_HEADER) != "1" and not is_own_form:
        raise RefusedRequestError


def _own_origins() -> set[str]:
    """This service's origin as the request came, and its public one.

    The request's has the scheme http behind a proxy that is not trusted.
    """
    origins = {f"{request.scheme}://{request.host}"}
    if address := public_address(state().settings):
        parts = urlsplit(address)
        origins.add(f"{parts.scheme}://{parts.netloc.lower().removesuffix(':443')}")
    return origins


def begin_session(tenant: UUID, secret: str) -> None:
    """Give the browser the cookie of a session that has just begun, and end its former one."""
    end_session()
    session.permanent = True
    session["tenant"] = tenant.hex
    session["secret"] = secret


def session_lifetime() -> timedelta:
    """How long a session lasts."""
    return timedelta(hours=state().settings.session_hours)


def end_session() -> None:
    """Sign the browser out: its cookie no longer works, even where it was copied."""
    if "secret" in session:
        sessions.end_session(state().pool, UUID(hex=session["tenant"]), session["secret"])
    session.clear()


def _login_by_token() -> Login | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    access = check_credential(lambda: _find_bearer(token))
    return Login(access, "token") if access else None


def check_credential(find: Callable[[], _Found | None]) -> _Found | None:
    """Look a credential up, and count it if it is not valid.

    Raises:
        TooManyRequestsError: It is not, like too many before it from the client's address.
    """
    try:
        found = find()
    except KeysUnavailableError:
        state().limits.count_failure(request.remote_addr or "")
        raise
    if found is None:
        state().limits.count_failure(request.remote_addr or "")
    return found


def _find_bearer(token: str) -> Access | None:
    issuer = state().issuer
    if issuer is not None and is_platform_token(token):
        return find_platform_access(state().pool, issuer, token)
    return find_token(state().pool, token)


def _login_by_session() -> Login | None:
    """The session's login, until it ends or the token that began it does."""
    if "secret" not in session:
        # One of an earlier release has none.
        session.clear()
        return None
    access = sessions.find_session(state().pool, UUID(hex=session["tenant"]), session["secret"])
    if access is None:
        session.clear()
        return None
    return Login(access, "session")
