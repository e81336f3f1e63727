"""Who is asking, and the one transaction in which they are answered.

A request is let in by ``Authorization: Bearer qnt_…`` or by the signed session cookie of the admin
UI. Everything but :data:`PUBLIC_ENDPOINTS` needs one of the two, so a new route is closed unless
it is opened here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, cast
from uuid import UUID

import structlog
from flask import current_app, g, request, session

from service.api.problems import NotSignedInError, RefusedRequestError
from service.core.config import Settings
from service.core.db import Connection, Pool, one, tenant_transaction
from service.core.queries import query
from service.tenants.tokens import API, Credential, find_token, is_token_valid

PUBLIC_ENDPOINTS = frozenset(
    {
        "health.start",
        "health.alive",
        "health.ready",
        "health.explain_problem",
        "openapi.spec",
        # Known by its own token, or by coming from this machine.
        "metrics.show_metrics",
        "admin.static",
        "admin.show_sign_in",
        "admin.sign_in",
        "admin.sign_in_with_code",
        # Whoever sends a webhook is known by its signature.
        "webhooks.receive_shopify",
    }
)

OWN_REQUEST_HEADER = "X-Quintile-Request"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True)
class Login:
    """Whom the request acts for, and how it was let in."""

    tenant_id: UUID
    via: Literal["token", "session"]
    digest: bytes


@dataclass(frozen=True)
class State:
    """What the application opens once and every request uses."""

    settings: Settings
    pool: Pool


def state() -> State:
    """The running application's settings and pool."""
    return cast("State", current_app.extensions["quintile"])


def tenant_id() -> UUID:
    """The tenant this request acts for."""
    return cast("Login", g.login).tenant_id


@contextmanager
def transaction() -> Iterator[Connection]:
    """The request's one transaction: its tenant's rows, read-only unless the method may write."""
    with tenant_transaction(
        state().pool,
        tenant_id(),
        read_only=request.method in _SAFE_METHODS,
        timeout_ms=state().settings.statement_timeout_ms,
    ) as conn:
        yield conn


def who(conn: Connection) -> str:
    """Who is asking, in words to keep beside what they change."""
    login = cast("Login", g.login)
    parameters = {"tenant_id": login.tenant_id, "digest": login.digest}
    return str(one(conn.execute(query("api.find_user"), parameters).fetchone())["who"])


def require_login() -> None:
    """Let nobody in unnoticed; runs before every request.

    Raises:
        NotSignedInError: Neither a valid token nor a live session.
        RefusedRequestError: A session asks for a change, but not from our own pages.
    """
    if request.endpoint is None or request.endpoint in PUBLIC_ENDPOINTS:
        return
    # A token that is sent is the one that counts, even when a session would do.
    login = _login_by_token() if "Authorization" in request.headers else _login_by_session()
    if login is None:
        raise NotSignedInError
    if login.via == "session" and request.method not in _SAFE_METHODS:
        require_own_request()
    g.login = login
    structlog.contextvars.bind_contextvars(tenant_id=str(login.tenant_id))


def require_own_request() -> None:
    """Refuse a change that another site may have made the browser ask for.

    A form of our own pages cannot set a header, so the sign-out form relies on its Origin, which
    every browser sends with a POST; a script's request needs the header, which no other site can
    set without asking first (CORS), and nothing here answers such a question.

    Raises:
        RefusedRequestError: The header is missing or the Origin is another site's.
    """
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("://")[2] != request.host:
        raise RefusedRequestError
    is_own_form = origin is not None and request.mimetype == "application/x-www-form-urlencoded"
    if request.headers.get(OWN_REQUEST_HEADER) != "1" and not is_own_form:
        raise RefusedRequestError


def begin_session(credential: Credential) -> None:
    """Sign the browser in with a credential that has just been checked."""
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
    """The session's tenant, as long as what it was opened with still holds."""
    if "digest" not in session:
        return None
    tenant, digest = UUID(hex=session["tenant"]), bytes.fromhex(session["digest"])
    if session["kind"] == API:
        is_valid = is_token_valid(state().pool, tenant, digest)
    else:
        is_valid = _is_code_session_valid(tenant, digest)
    if not is_valid:
        session.clear()
        return None
    return Login(tenant, "session", digest)


def _is_code_session_valid(tenant: UUID, digest: bytes) -> bool:
    """A code's session ends with its lifetime, or when the code's row is deleted."""
    lifetime = timedelta(hours=state().settings.session_hours)
    with tenant_transaction(state().pool, tenant, read_only=True) as conn:
        row = conn.execute(
            query("api.find_code_session"),
            {"tenant_id": tenant, "code_hash": digest, "lifetime": lifetime},
        ).fetchone()
    return row is not None
