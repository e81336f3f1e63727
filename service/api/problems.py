"""Errors as problem documents (RFC 9457).

Each kind of problem has a slug, the last part of its ``type`` URI. ``GET /problems/<slug>`` and
``docs/api.md`` explain it. The response to an unexpected error contains only the id under which the
error is logged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

import psycopg
import psycopg_pool
import structlog
from apiflask import APIFlask, HTTPError
from flask import Response, g, json, render_template, request
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from service.api.capacity import OverloadedError
from service.api.input_errors import field_errors, summarise
from service.api.rate_limits import TooManyRequestsError
from service.core.errors import (
    AlreadyRunningError,
    DatabaseUnavailableError,
    InvalidInputError,
    NotConnectedError,
    QuintileError,
)
from service.destinations.configs import UnknownConfigError
from service.destinations.interface import DestinationError, DestinationUnavailableError
from service.promo_codes.codes import UnknownCodeError
from service.shopify.errors import ShopifyError, ShopifyUnavailableError
from service.tenants.idempotent_requests import AnswerLostError, KeyInUseError, KeyReusedError
from service.tenants.segment_rules import InvalidRuleError
from service.tenants.signing_keys import KeysUnavailableError
from service.webhooks.signature import NotSignedError

log = structlog.get_logger(__name__)

CONTENT_TYPE = "application/problem+json"
_RETRY_AFTER = {"Retry-After": "5"}


class NotSignedInError(QuintileError):
    """An API token or a session is required."""

    advice = "Send the header Authorization: Bearer <token>, or sign in at /admin/sign-in."


class RefusedRequestError(QuintileError):
    """The request does not come from Quintile's own pages."""

    advice = "Send X-Quintile-Request: 1 from the same origin, or use an API token."


class MissingScopeError(QuintileError):
    """The credential's scope does not allow the request."""

    def __init__(self, needed: str, given: str) -> None:
        super().__init__(
            f"This needs the scope {needed}; yours is {given}.",
            advice=f"Use a token or sign-in link with the scope {needed}.",
        )
        self.needed = needed


class InvalidPartError(QuintileError):
    """A header or query parameter of the request is not valid."""

    def __init__(self, kind: Literal["header", "parameter"], name: str, message: str) -> None:
        super().__init__(f"{name}: {message}")
        self.errors = [{kind: name, "detail": message}]


class NotFoundError(QuintileError):
    """There is no such object."""


class BadCursorError(QuintileError):
    """The cursor is not valid for this list."""

    advice = "Start again without a cursor."


class NotBuiltError(QuintileError):
    """Nothing has been calculated yet."""

    advice = "Run: quintile build"


@dataclass(frozen=True)
class Kind:
    """A kind of problem: HTTP status, title and explanation."""

    status: int
    title: str
    meaning: str


KINDS: dict[str, Kind] = {
    "bad-request": Kind(400, "Bad request", "The request is not valid HTTP or JSON."),
    "bad-cursor": Kind(
        400, "Bad cursor", "The cursor was modified, or belongs to another list or other filters."
    ),
    "sign-in-required": Kind(
        401, "Sign-in required", "The token or session is missing, revoked or expired."
    ),
    "sign-in-failed": Kind(
        401, "Sign-in failed", "The token is not valid, or the sign-in link was used or expired."
    ),
    "not-signed": Kind(
        401, "Not signed", "The webhook's signature does not match its body or its shop."
    ),
    "request-refused": Kind(
        403,
        "Request refused",
        "Changes with a session are accepted only from Quintile's own pages. The request has no"
        " X-Quintile-Request header, or its Origin is another site.",
    ),
    "missing-scope": Kind(
        403,
        "Missing scope",
        "The token or session may not do this. Its scope is read, write or admin; each includes"
        " those before it.",
    ),
    "not-found": Kind(404, "Not found", "Nothing exists at this path, or no object has this id."),
    "method-not-allowed": Kind(
        405, "Method not allowed", "The Allow header lists the methods of this path."
    ),
    "request-timeout": Kind(
        408, "Request timeout", "The request's body did not arrive in time; send it again."
    ),
    "already-running": Kind(409, "Already running", "The same job is already running."),
    "not-connected": Kind(
        409, "Not connected", "This needs a connection to Shopify or Klaviyo that does not exist."
    ),
    "key-in-use": Kind(
        409,
        "Key in use",
        "The first request with this Idempotency-Key is still being worked on; repeat it later.",
    ),
    "answer-lost": Kind(
        409,
        "Answer lost",
        "The first request with this Idempotency-Key changed something, but its answer was lost.",
    ),
    "too-large": Kind(413, "Too large", "The request body is too large."),
    "unsupported-media-type": Kind(
        415, "Unsupported media type", "The request body must be application/json."
    ),
    "invalid-input": Kind(
        422, "Invalid input", "The request contains invalid values; errors lists them."
    ),
    "provider-refused": Kind(
        422, "Provider refused", "Shopify or Klaviyo rejected the credential or the request."
    ),
    "key-reused": Kind(
        422, "Key reused", "The first request with this Idempotency-Key was another one."
    ),
    "too-many-requests": Kind(
        429, "Too many requests", "Wait for the time in the Retry-After header."
    ),
    "internal-error": Kind(
        500, "Internal error", "An unexpected error. The log has it under the id in instance."
    ),
    "failed": Kind(500, "Failed", "The server's operator has to act; see advice."),
    "overloaded": Kind(
        503, "Overloaded", "The service is busy. Wait for the time in the Retry-After header."
    ),
    "database-unavailable": Kind(
        503, "Database unavailable", "The database does not respond; try again soon."
    ),
    "provider-unavailable": Kind(
        503, "Provider unavailable", "Shopify or Klaviyo does not respond; try again soon."
    ),
    "platform-unavailable": Kind(
        503, "Platform unavailable", "The signing keys of your platform cannot be read."
    ),
    "query-timeout": Kind(503, "Query timeout", "The query exceeded the statement timeout."),
    "not-built": Kind(503, "Not built yet", "dbt has not built the tables for this yet."),
}

_BY_ERROR: tuple[tuple[type[QuintileError], str], ...] = (
    (BadCursorError, "bad-cursor"),
    (NotSignedInError, "sign-in-required"),
    (RefusedRequestError, "request-refused"),
    (MissingScopeError, "missing-scope"),
    (TooManyRequestsError, "too-many-requests"),
    (OverloadedError, "overloaded"),
    (KeysUnavailableError, "platform-unavailable"),
    (NotSignedError, "not-signed"),
    (NotFoundError, "not-found"),
    (UnknownConfigError, "not-found"),
    (UnknownCodeError, "not-found"),
    (NotConnectedError, "not-connected"),
    (AlreadyRunningError, "already-running"),
    (InvalidInputError, "invalid-input"),
    (InvalidPartError, "invalid-input"),
    (KeyInUseError, "key-in-use"),
    (AnswerLostError, "answer-lost"),
    (KeyReusedError, "key-reused"),
    (ShopifyUnavailableError, "provider-unavailable"),
    (ShopifyError, "provider-refused"),
    (DestinationUnavailableError, "provider-unavailable"),
    (DestinationError, "provider-refused"),
    (NotBuiltError, "not-built"),
    (DatabaseUnavailableError, "database-unavailable"),
)

# What people who open a page can do, where the advice is for programs.
_PAGE_ADVICE = {
    "request-refused": "Reload the page at this service's own address, and try again.",
    "not-built": "Sync or import orders, then recalculate under Segments.",
}

# HTTP errors without an error class of their own: the first kind with their status.
_BY_STATUS = {kind.status: slug for slug, kind in reversed(KINDS.items())}


def problem(
    slug: str,
    detail: str,
    *,
    advice: str = "",
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
    status: int | None = None,
) -> Response:
    """A problem document, or an HTML page for a browser that opens a page.

    Args:
        slug: A key of :data:`KINDS`.
        detail: One sentence about this occurrence, without secrets.
        advice: What to do about it.
        errors: One object per invalid value: ``detail``, and ``parameter``, ``pointer`` or
            ``header``.
        headers: Additional headers.
        status: The HTTP status, if it is not that of the kind.
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
        body["advice"] = _PAGE_ADVICE.get(slug, advice)
        page = render_template("problem.html", problem=body, reference=g.request_id)
        response = Response(page, status)
    else:
        response = Response(json.dumps(body), status, content_type=CONTENT_TYPE)
    response.headers.update(headers or {})
    if status == HTTPStatus.UNAUTHORIZED and slug != "not-signed":
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def register_problems(app: APIFlask) -> None:
    """Answer every error of a view with a problem document."""
    app.error_processor(_from_api_error)
    app.register_error_handler(NotSignedInError, _from_missing_sign_in)
    app.register_error_handler(QuintileError, _from_quintile_error)
    app.register_error_handler(HTTPException, _from_http_error)
    app.register_error_handler(psycopg.errors.QueryCanceled, _from_timeout)
    app.register_error_handler(psycopg.OperationalError, _from_database_loss)
    app.register_error_handler(psycopg_pool.PoolTimeout, _from_database_loss)
    app.register_error_handler(psycopg.errors.UndefinedTable, _from_missing_table)
    app.register_error_handler(Exception, _from_unexpected_error)


def _is_page_navigation() -> bool:
    """Whether a browser opens a page of the admin UI."""
    accepted = request.accept_mimetypes.best_match([CONTENT_TYPE, "application/json", "text/html"])
    return request.path.startswith("/admin") and accepted == "text/html"


def _from_api_error(error: HTTPError) -> Any:
    """APIFlask's own errors: input that does not match a view's model."""
    slug = _BY_STATUS.get(error.status_code, "bad-request")
    if not isinstance(error.__cause__, ValidationError):
        return problem(slug, "The request is not valid.", status=error.status_code)
    (location,) = error.detail
    found = field_errors(error.__cause__)
    errors = [_rejected_part(location, field, message) for field, message in found]
    return problem(slug, summarise(found), errors=errors, status=error.status_code)


def _rejected_part(location: str, field: str, message: str) -> dict[str, str]:
    if location == "json":
        pointer = f"#/{field.replace('.', '/')}" if field else "#"
        return {"pointer": pointer, "detail": message}
    return {"parameter": field, "detail": message}


def _from_missing_sign_in(error: NotSignedInError) -> Response:
    if _is_page_navigation():
        # Signing in leads back to this URL.
        page = render_template("sign_in.html", next=request.full_path.rstrip("?"), message=None)
        return Response(page, HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": "Bearer"})
    return _from_quintile_error(error)


def _from_quintile_error(error: QuintileError) -> Response:
    slug = next((slug for kind, slug in _BY_ERROR if isinstance(error, kind)), "failed")
    if slug == "failed":
        log.error("request failed", reason=error.message, exc_info=error)
    elif isinstance(error, OverloadedError):
        log.warning("request refused", reason=error.message)
    headers = {}
    if isinstance(error, TooManyRequestsError):
        headers = {"Retry-After": str(error.seconds)}
    elif isinstance(error, KeysUnavailableError):
        headers = _RETRY_AFTER
    elif isinstance(error, (KeyInUseError, OverloadedError)):
        headers = {"Retry-After": "1"}
    errors = _rejected_field(error)
    detail = error.message
    if isinstance(error, InvalidInputError) and errors and detail.startswith("This "):
        # As for input that does not match a view's model.
        detail = summarise([(error.field, detail)])
    return problem(slug, detail, advice=error.advice, errors=errors, headers=headers)


def _rejected_field(error: QuintileError) -> list[dict[str, str]]:
    location = "query" if request.method in ("GET", "HEAD") else "json"
    if isinstance(error, InvalidPartError):
        return error.errors
    if isinstance(error, InvalidRuleError):
        return [_rejected_part(location, fault.field, fault.message) for fault in error.faults]
    if not isinstance(error, InvalidInputError) or not error.field:
        return []
    return [_rejected_part(location, error.field, error.message)]


def _from_http_error(error: HTTPException) -> Response | HTTPException:
    if error.code is None or error.code < HTTPStatus.BAD_REQUEST:
        return error  # a redirect
    default = "bad-request" if error.code < HTTPStatus.INTERNAL_SERVER_ERROR else "internal-error"
    headers = dict(error.get_headers())
    for name in ("Content-Type", "Content-Length"):
        headers.pop(name, None)
    return problem(
        _BY_STATUS.get(error.code, default),
        error.description or error.name,
        headers=headers,
        status=error.code,
    )


def _from_timeout(error: Exception) -> Response:
    log.warning("query timed out", error=type(error).__name__)
    return problem("query-timeout", "The query took too long.", headers=_RETRY_AFTER)


def _from_database_loss(error: Exception) -> Response:
    log.error("database unavailable", error=type(error).__name__)
    return problem("database-unavailable", "The database does not respond.", headers=_RETRY_AFTER)


def _from_missing_table(error: Exception) -> Response:
    log.warning("table missing", reason=str(error).splitlines()[0])
    return _from_quintile_error(NotBuiltError())


def _from_unexpected_error(error: Exception) -> Response:
    log.error("unexpected error", exc_info=error)
    return problem(
        "internal-error",
        f"An unexpected error occurred. The log has it under {g.request_id}.",
    )
