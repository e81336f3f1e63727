"""Authentication of requests, and their database transactions.

A request sends ``Authorization: Bearer qnt_…`` or the admin UI's signed session cookie. Every
endpoint that is not in :data:`PUBLIC_ENDPOINTS` needs one of them, so a new route is closed by
default.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, cast
from uuid import UUID

import structlog
from flask import current_app, g, request, session
from psycopg import sql

from service.api.problems import NotSignedInError, RefusedRequestError
from service.core.config import Settings
from service.core.db import Connection, Pool, one, tenant_transaction
from service.core.errors import NotConnectedError
from service.core.queries import query
from service.tenants.tokens import API, Credential, find_token, is_token_valid

PUBLIC_ENDPOINTS = frozenset(
    {
        "health.start",
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

OWN_REQUEST_HEADER = "X-Quintile-Request"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True)
class Login:
    """The tenant that the request acts for, and the credential that authenticated it."""

    tenant_id: UUID
    via: Literal["token", "session"]
    digest: bytes


@dataclass(frozen=True)
class State:
    """What the application opens once for all requests."""

    settings: Settings
    pool: Pool


def state() -> State:
    """The running application's settings and pool."""
    return cast("State", current_app.extensions["quintile"])


def tenant_id() -> UUID:
    """The tenant that this request acts for."""
    return cast("Login", g.login).tenant_id


@contextmanager
def transaction(*, read_only: bool = False) -> Iterator[Connection]:
    """A transaction that sees the request's tenant only, with the statement timeout.

    Args:
        read_only: Refuse writes, as for every GET request.
    """
    with tenant_transaction(
        state().pool,
        tenant_id(),
        read_only=read_only or request.method in _SAFE_METHODS,
        timeout_ms=state().settings.statement_timeout_ms,
    ) as conn:
        yield conn


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


def actor(conn: Connection) -> str:
    """Who makes the request, in words to record with a change."""
    digest = cast("Login", g.login).digest
    return str(fetch_one(conn, query("api.describe_actor"), digest=digest)["actor"])


def require_login() -> None:
    """Authenticate the request; runs before each one.

    Raises:
        NotSignedInError: There is neither a valid token nor a valid session.
        RefusedRequestError: A session requests a change from another site's page.
    """
    if request.endpoint is None or request.endpoint in PUBLIC_ENDPOINTS:
        return
    # A token takes precedence: an invalid one fails even when there is a session.
    login = _login_by_token() if "Authorization" in request.headers else _login_by_session()
    if login is None:
        raise NotSignedInError
    if login.via == "session" and request.method not in _SAFE_METHODS:
        require_own_request()
    g.login = login
    structlog.contextvars.bind_contextvars(tenant_id=str(login.tenant_id))


def require_own_request() -> None:
    """Refuse cross-site requests (CSRF).

    Other sites cannot set our header without a CORS preflight, which is never granted. A form
    cannot set headers either, so the sign-out form is recognised by its Origin, which browsers
    send with every POST.

    Raises:
        RefusedRequestError: The header is missing or the Origin is another site.
    """
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("://")[2] != request.host:
        raise RefusedRequestError
    is_own_form = origin is not None and request.mimetype == "application/x-www-form-urlencoded"
    if request.headers.get(OWN_REQUEST_HEADER) != "1" and not is_own_form:
        raise RefusedRequestError


def begin_session(credential: Credential) -> None:
    """Sign the browser in with a credential that was just checked."""
    session.clear()
    session.permanent = True
    session["kind"] = credential.kind
    session["tenant"] = credential.tenant_id.hex
    session["digest"] = credential.digest.hex()


def _login_by_token() -> Login | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    credential = find_token(state().pool, token)
    return Login(credential.tenant_id, "token", credential.digest) if credential else None


def _login_by_session() -> Login | None:
    """The session's login, while the token or code that opened the session is valid."""
    if "digest" not in session:
        return None
    tenant, digest = UUID(hex=session["tenant"]), bytes.fromhex(session["digest"])
    is_valid = is_token_valid if session["kind"] == API else _is_code_session_valid
    if not is_valid(state().pool, tenant, digest):
        session.clear()
        return None
    return Login(tenant, "session", digest)


def _is_code_session_valid(pool: Pool, tenant: UUID, digest: bytes) -> bool:
    """A session from a sign-in code ends after the session lifetime, or with the code's row."""
    lifetime = timedelta(hours=state().settings.session_hours)
    with tenant_transaction(pool, tenant, read_only=True) as conn:
        parameters = {"tenant_id": tenant, "code_hash": digest, "lifetime": lifetime}
        return conn.execute(query("api.find_code_session"), parameters).fetchone() is not None
