"""Signing in and out of the admin UI.

An API token or a single-use code starts a session. A refusal has the same text whatever the reason,
and too many of them from an address are answered with 429.
"""

from __future__ import annotations

import re
from http import HTTPStatus

import structlog
from flask import Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from pydantic import ValidationError

from service.api.access import (
    begin_session,
    check_credential,
    end_session,
    require_own_request,
    session_lifetime,
    state,
)
from service.api.problems import problem
from service.api.schemas import RequestModel
from service.core.errors import InvalidInputError
from service.tenants import sessions
from service.tenants.tokens import find_token

log = structlog.get_logger(__name__)

# Ids of segments and customers have a colon, or the characters of an e-mail address.
_LOCAL_PATH = re.compile(r"/admin(?!.*\.\.)(/[A-Za-z0-9_:.@%+~/-]*)?(\?[^\s\\#]*)?", re.ASCII)


class CodeBody(RequestModel):
    """Body of the request that the sign-in link's page sends."""

    code: str


def show_sign_in() -> ResponseReturnValue:
    """Show the sign-in form. A sign-in link has its code in the fragment, for the script only."""
    return render_template("sign_in.html", next=request.args.get("next", ""), message=None)


def sign_in() -> ResponseReturnValue:
    """Check the submitted token and redirect to the page that was asked for."""
    require_own_request()
    target = request.form.get("next", "")
    token = request.form.get("token", "")
    access = check_credential(lambda: find_token(state().pool, token))
    if access is None:
        log.warning("sign-in refused", how="token")
        page = render_template(
            "sign_in.html",
            next=target,
            message="This token is not valid, has expired or was revoked.",
        )
        return Response(page, HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": "Bearer"})
    secret = sessions.begin_session(state().pool, access, session_lifetime())
    begin_session(access.tenant_id, secret)
    log.info("signed in", how="token", tenant_id=str(access.tenant_id))
    return redirect(local_path(target), HTTPStatus.SEE_OTHER)


def sign_in_with_code() -> ResponseReturnValue:
    """Sign in with the code of a sign-in link, and answer which page to open."""
    require_own_request()
    try:
        body = CodeBody.model_validate(request.get_json())
    except ValidationError:
        raise InvalidInputError('The body must be {"code": "qsi_…"}.') from None
    begun = check_credential(
        lambda: sessions.begin_session_with_code(state().pool, body.code, session_lifetime())
    )
    if begun is None:
        log.warning("sign-in refused", how="code")
        return problem(
            "sign-in-failed",
            "This sign-in link has expired or has already been used.",
            advice="Create a new link with: quintile tenants sign-in-link NAME",
        )
    access, secret = begun
    begin_session(access.tenant_id, secret)
    log.info("signed in", how="code", tenant_id=str(access.tenant_id))
    return {"next": url_for("admin.home")}


def sign_out() -> ResponseReturnValue:
    """End the session and show the sign-in form."""
    end_session()
    return redirect(url_for("admin.show_sign_in"), HTTPStatus.SEE_OTHER)


def local_path(text: str) -> str:
    """Return the path if it is a page of the admin UI, else the UI's first page.

    Anything else is refused, so that a link cannot use the sign-in form as an open redirect.
    """
    is_sign_in = text.startswith(url_for("admin.show_sign_in"))
    if is_sign_in or _LOCAL_PATH.fullmatch(text) is None:
        return url_for("admin.home")
    return text
