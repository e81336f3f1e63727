"""Signing in and out of the admin UI.

A token or a single-use code opens a session, which is a signed cookie. Both have 256 random bits,
so guessing needs no slowing down, and a wrong one is answered in the same words whatever is wrong
with it.
"""

from __future__ import annotations

import re
from http import HTTPStatus

import structlog
from flask import Response, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from pydantic import ValidationError

from service.api.access import begin_session, require_own_request, state
from service.api.problems import problem
from service.api.schemas import RequestModel
from service.core.errors import InvalidInputError
from service.tenants.tokens import find_token, use_sign_in_code

log = structlog.get_logger(__name__)

_LOCAL_PATH = re.compile(r"/admin(/[A-Za-z0-9_/-]*)?(\?[^\s\\#]*)?", re.ASCII)


class CodeBody(RequestModel):
    """What the sign-in link's page sends."""

    code: str


def show_sign_in() -> ResponseReturnValue:
    """The sign-in form; the code of a sign-in link is in the fragment, which only scripts see."""
    return render_template("sign_in.html", next=request.args.get("next", ""), message=None)


def sign_in() -> ResponseReturnValue:
    """Check the token of the form and go on to where the reader was heading."""
    require_own_request()
    target = request.form.get("next", "")
    credential = find_token(state().pool, request.form.get("token", ""))
    if credential is None:
        log.warning("sign-in refused", how="token")
        page = render_template(
            "sign_in.html", next=target, message="This token is not valid, or has been revoked."
        )
        return Response(page, HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": "Bearer"})
    begin_session(credential)
    log.info("signed in", how="token", tenant_id=str(credential.tenant_id))
    return redirect(local_path(target), HTTPStatus.SEE_OTHER)


def sign_in_with_code() -> ResponseReturnValue:
    """Spend the code of a sign-in link and say where to go."""
    require_own_request()
    try:
        body = CodeBody.model_validate(request.get_json())
    except ValidationError:
        raise InvalidInputError('The body must be {"code": "qsi_…"}.') from None
    credential = use_sign_in_code(state().pool, body.code)
    if credential is None:
        log.warning("sign-in refused", how="code")
        return problem(
            "sign-in-failed",
            "This sign-in link has been used already, or is too old.",
            advice="Ask your operator for a new link, or for an API token: quintile tenants token",
        )
    begin_session(credential)
    log.info("signed in", how="code", tenant_id=str(credential.tenant_id))
    return {"next": url_for("admin.segments")}


def sign_out() -> ResponseReturnValue:
    """End the session and show the sign-in form."""
    session.clear()
    return redirect(url_for("admin.show_sign_in"), HTTPStatus.SEE_OTHER)


def local_path(text: str) -> str:
    """A path of the admin UI to go to after sign-in; its start when the text is none.

    Only the UI's own paths pass, so a link cannot use the sign-in to lead anywhere else.
    """
    leads_back = text.startswith(url_for("admin.show_sign_in"))
    if leads_back or _LOCAL_PATH.fullmatch(text) is None:
        return url_for("admin.segments")
    return text
