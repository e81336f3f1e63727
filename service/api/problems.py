"""Errors as problem documents (RFC 9457): one table of kinds, one shape for every failure.

Every kind has a slug, which is the end of its ``type`` URI; ``GET /problems/<slug>`` and
``docs/api.md`` explain it. An unforeseen error tells the caller nothing but the id under which the
log has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import psycopg
import psycopg_pool
import structlog
from apiflask import APIFlask, HTTPError
from flask import Response, g, json, render_template, request
from werkzeug.exceptions import HTTPException

from service.core.errors import (
    AlreadyRunningError,
    DatabaseUnavailableError,
    InvalidInputError,
    NotConnectedError,
    QuintileError,
)
from service.destinations.configs import UnknownConfigError
from service.klaviyo.client import KlaviyoError, KlaviyoUnavailableError
from service.shopify.errors import ShopifyError, ShopifyUnavailableError
from service.webhooks.signature import NotSignedError

log = structlog.get_logger(__name__)

CONTENT_TYPE = "application/problem+json"
_RETRY_AFTER_SECONDS = "5"


class NotSignedInError(QuintileError):
    """This needs an API token or a sign-in."""

    advice = "Send the header Authorization: Bearer <token>, or sign in at /admin/sign-in."


class RefusedRequestError(QuintileError):
    """The request does not come from Quintile's own pages."""

    advice = "A signed-in browser sends X-Quintile-Request: 1 from the same origin."


class NotFoundError(QuintileError):
    """There is no such thing here."""


class BadCursorError(QuintileError):
    """The cursor is not one that this list gave."""

    advice = "Start again without a cursor."


class NotBuiltError(QuintileError):
    """Nothing has been calculated yet."""

    advice = "Run: quintile build"


@dataclass(frozen=True)
class Kind:
    """One kind of problem: its HTTP status, its title and what it means."""

    status: int
    title: str
    meaning: str


KINDS: dict[str, Kind] = {
    "bad-request": Kind(400, "Bad request", "The request cannot be read as HTTP or as JSON."),
    "bad-cursor": Kind(400, "Bad cursor", "The cursor was altered, or belongs to another list."),
    "sign-in-required": Kind(
        401, "Sign-in required", "No token or session came along, or it has been revoked or is old."
    ),
    "sign-in-failed": Kind(
        401, "Sign-in failed", "The token is not valid, or the sign-in link was used or is too old."
    ),
    "not-signed": Kind(
        401, "Not signed", "The webhook's signature does not fit its body, or fits another shop's."
    ),
    "request-refused": Kind(
        403,
        "Request refused",
        "A session may change things only from Quintile's own pages: the request lacked the header"
        " X-Quintile-Request, or its Origin is another site.",
    ),
    "not-found": Kind(404, "Not found", "The path or the thing it names does not exist for you."),
    "method-not-allowed": Kind(
        405, "Method not allowed", "The header Allow lists the methods this path has."
    ),
    "already-running": Kind(409, "Already running", "The same job is running for this tenant."),
    "not-connected": Kind(
        409, "Not connected", "The tenant has no connection to the provider that this needs."
    ),
    "too-large": Kind(413, "Too large", "The body is larger than the service accepts."),
    "unsupported-media-type": Kind(
        415, "Unsupported media type", "The body must be application/json."
    ),
    "invalid-input": Kind(
        422, "Invalid input", "The request was understood but not accepted; errors says why."
    ),
    "provider-refused": Kind(
        422,
        "Provider refused",
        "Shopify or Klaviyo does not accept the credential, or does not do what was asked.",
    ),
    "too-many-requests": Kind(
        429, "Too many requests", "Wait as long as the header Retry-After says."
    ),
    "internal-error": Kind(
        500, "Internal error", "Something unforeseen; the log has it under the instance's id."
    ),
    "failed": Kind(500, "Failed", "Something that needs an operator; advice says what to do."),
    "database-unavailable": Kind(
        503, "Database unavailable", "The database does not answer now; try again shortly."
    ),
    "provider-unavailable": Kind(
        503, "Provider unavailable", "Shopify or Klaviyo cannot be reached now; try again."
    ),
    "query-timeout": Kind(
        503, "Query timeout", "The database needed longer than the statement timeout allows."
    ),
    "not-built": Kind(503, "Not built yet", "dbt has not built the tables this reads."),
}

_BY_ERROR: tuple[tuple[type[QuintileError], str], ...] = (
    (BadCursorError, "bad-cursor"),
    (NotSignedInError, "sign-in-required"),
    (RefusedRequestError, "request-refused"),
    (NotSignedError, "not-signed"),
    (NotFoundError, "not-found"),
    (UnknownConfigError, "not-found"),
    (NotConnectedError, "not-connected"),
    (AlreadyRunningError, "already-running"),
    (InvalidInputError, "invalid-input"),
    (ShopifyUnavailableError, "provider-unavailable"),
    (ShopifyError, "provider-refused"),
    (KlaviyoUnavailableError, "provider-unavailable"),
    (KlaviyoError, "provider-refused"),
    (NotBuiltError, "not-built"),
    (DatabaseUnavailableError, "database-unavailable"),
)

_BY_STATUS: dict[int, str] = {
    400: "bad-request",
    401: "sign-in-required",
    403: "request-refused",
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
    415: "unsupported-media-type",
    422: "invalid-input",
    429: "too-many-requests",
    500: "internal-error",
    503: "database-unavailable",
}


def problem(
    slug: str,
    detail: str,
    *,
    advice: str = "",
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
    status: int | None = None,
) -> Response:
    """A problem document, or a page that says the same to a browser that navigates.

    Args:
        slug: A key of :data:`KINDS`.
        detail: One sentence about this occurrence, without any secret in it.
        advice: What to do about it, if anything can be done.
        errors: One object per rejected part: ``detail``, and ``parameter`` or ``pointer``.
        headers: Headers to send besides.
        status: The HTTP status, when a generic kind stands for a less common one.
    """
    kind = KINDS[slug]
    status = status or kind.status
    body: dict[str, Any] = {
        "type": f"/problems/{slug}",
        "title": kind.title,
        "status": status,
        "detail": detail,
        "instance": f"urn:uuid:{g.request_id}",
    }
    if advice:
        body["advice"] = advice
    if errors:
        body["errors"] = list(errors)
    if _is_page_navigation():
        response = Response(render_template("problem.html", problem=body), status)
    else:
        response = Response(json.dumps(body), status, content_type=CONTENT_TYPE)
    for name, value in (headers or {}).items():
        response.headers[name] = value
    if status == HTTPStatus.UNAUTHORIZED and slug != "not-signed":
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def register_problems(app: APIFlask) -> None:
    """Turn every error that can leave a view into a problem document."""
    app.error_processor(_from_api_error)
    app.register_error_handler(NotSignedInError, _from_missing_sign_in)
    app.register_error_handler(QuintileError, _from_explained_error)
    app.register_error_handler(HTTPException, _from_http_error)
    app.register_error_handler(psycopg.errors.QueryCanceled, _from_timeout)
    app.register_error_handler(psycopg.OperationalError, _from_lost_database)
    app.register_error_handler(psycopg_pool.PoolTimeout, _from_lost_database)
    app.register_error_handler(psycopg.errors.UndefinedTable, _from_missing_table)
    app.register_error_handler(Exception, _from_unforeseen_error)


def _is_page_navigation() -> bool:
    """Whether a browser asked for a page, as against a program for data."""
    accepted = request.accept_mimetypes.best_match([CONTENT_TYPE, "application/json", "text/html"])
    return request.path.startswith("/admin") and accepted == "text/html"


def _from_api_error(error: HTTPError) -> Any:
    """What APIFlask raises itself: input that a view's model does not accept."""
    errors = [
        _rejected_part(location, field, message)
        for location, fields in (error.detail or {}).items()
        for field, messages in fields.items()
        for message in messages
    ]
    slug = _BY_STATUS.get(error.status_code, "bad-request")
    return problem(slug, "The request was not accepted.", errors=errors, status=error.status_code)


def _rejected_part(location: str, field: str, message: str) -> dict[str, str]:
    if location == "json":
        return {"pointer": f"#/{field.replace('.', '/')}", "detail": message}
    return {"parameter": field, "detail": message}


def _from_missing_sign_in(error: NotSignedInError) -> Response:
    if _is_page_navigation():
        # The address stays what it was, so signing in leads back to it.
        page = render_template("sign_in.html", next=request.full_path.rstrip("?"), message=None)
        return Response(page, HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": "Bearer"})
    return problem("sign-in-required", error.message, advice=error.advice)


def _from_explained_error(error: QuintileError) -> Response:
    slug = next((slug for kind, slug in _BY_ERROR if isinstance(error, kind)), "failed")
    if slug == "failed":
        log.error("request failed", reason=error.message, exc_info=error)
    return problem(slug, error.message, advice=error.advice, errors=_rejected_field(error))


def _rejected_field(error: QuintileError) -> list[dict[str, str]]:
    if not isinstance(error, InvalidInputError) or not error.field:
        return []
    location = "query" if request.method in ("GET", "HEAD") else "json"
    return [_rejected_part(location, error.field, error.message)]


def _from_http_error(error: HTTPException) -> Response | HTTPException:
    if error.code is None or error.code < HTTPStatus.BAD_REQUEST:
        return error  # a redirect
    default = "bad-request" if error.code < HTTPStatus.INTERNAL_SERVER_ERROR else "internal-error"
    headers = {
        name: value
        for name, value in error.get_headers()
        if name not in ("Content-Type", "Content-Length")
    }
    return problem(
        _BY_STATUS.get(error.code, default),
        error.description or error.name,
        headers=headers,
        status=error.code,
    )


def _from_timeout(error: Exception) -> Response:
    log.warning("query timed out", error=type(error).__name__)
    return problem(
        "query-timeout",
        "The database did not finish in time.",
        headers={"Retry-After": _RETRY_AFTER_SECONDS},
    )


def _from_lost_database(error: Exception) -> Response:
    log.error("database unavailable", error=type(error).__name__)
    return problem(
        "database-unavailable",
        "The database does not answer.",
        headers={"Retry-After": _RETRY_AFTER_SECONDS},
    )


def _from_missing_table(error: Exception) -> Response:
    log.warning("table missing", reason=str(error).splitlines()[0])
    return _from_explained_error(NotBuiltError())


def _from_unforeseen_error(error: Exception) -> Response:
    log.error("unforeseen error", exc_info=error)
    return problem(
        "internal-error",
        f"Something unforeseen went wrong. The log has it under {g.request_id}.",
    )
