"""JSON:API errors in the shapes Klaviyo gives them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4


@dataclass
class ApiError(Exception):
    """An answer other than success: one HTTP status, one or more error objects."""

    status: int
    errors: list[dict[str, Any]]
    headers: dict[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """The JSON:API document."""
        return {"errors": self.errors}


def error_object(
    status: int,
    code: str,
    title: str,
    detail: str,
    *,
    pointer: str | None = None,
    parameter: str | None = None,
    meta: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """One error; `pointer` is into the body, `parameter` the name of a query parameter."""
    source = {"parameter": parameter} if parameter else {"pointer": pointer or "/data/"}
    return {
        "id": str(uuid4()),
        "status": status,
        "code": code,
        "title": title,
        "detail": detail,
        "source": source,
        "links": {},
        "meta": meta or {},
    }


def invalid(detail: str, *, pointer: str | None = None, parameter: str | None = None) -> ApiError:
    """400: something in the body or the query is not acceptable."""
    error = error_object(
        400, "invalid", "Invalid input.", detail, pointer=pointer, parameter=parameter
    )
    return ApiError(400, [error])


def not_authenticated() -> ApiError:
    """401: no key, or not in the scheme Klaviyo-API-Key."""
    detail = "Missing or invalid authorization scheme. Please use Klaviyo-API-Key."
    title = "Authentication credentials were not provided."
    return ApiError(401, [error_object(401, "not_authenticated", title, detail)])


def authentication_failed() -> ApiError:
    """401: an unknown or revoked key."""
    detail = "Incorrect authentication credentials."
    return ApiError(401, [error_object(401, "authentication_failed", detail, detail)])


def permission_denied(missing: str) -> ApiError:
    """403: the key lacks a scope."""
    title = "You do not have permission to perform this action."
    detail = f"The API key is missing required scopes: {missing}"
    return ApiError(403, [error_object(403, "permission_denied", title, detail)])


def not_found(detail: str = "The path requested could not be found") -> ApiError:
    """404: no such path or object."""
    return ApiError(404, [error_object(404, "not_found", "Not found.", detail)])


def revision_retired(revision: str) -> ApiError:
    """410: a revision that is no longer served."""
    detail = f"The revision {revision} has been retired."
    return ApiError(410, [error_object(410, "gone", "Gone.", detail)])


def duplicate_profile(existing_id: str) -> ApiError:
    """409: an identifier belongs to another profile, named in `meta`."""
    error = error_object(
        409,
        "duplicate_profile",
        "Conflict.",
        "A profile already exists with one of these identifiers.",
        pointer="/data/attributes",
        meta={"duplicate_profile_id": existing_id},
    )
    return ApiError(409, [error])


def too_large(detail: str) -> ApiError:
    """413: the body as a whole is over the limit."""
    return ApiError(413, [error_object(413, "payload_too_large", "Payload too large.", detail)])


def unsupported_media_type(given: str) -> ApiError:
    """415: a body that does not say it is JSON:API."""
    title = "Unsupported media type."
    detail = f"Unsupported media type '{given}' in request."
    return ApiError(415, [error_object(415, "unsupported_media_type", title, detail)])


def throttled(retry_after: int) -> ApiError:
    """429: a rate limit of the account; `retry_after` in whole seconds."""
    title = "Request was throttled."
    unit = "second" if retry_after == 1 else "seconds"
    detail = f"{title} Expected available in {retry_after} {unit}."
    error = error_object(429, "throttled", title, detail)
    return ApiError(429, [error], {"Retry-After": str(retry_after)})


def error_body(status: int) -> dict[str, Any]:
    """The body of a planned failure."""
    if status == 429:  # noqa: PLR2004 - the status itself
        return throttled(1).body()
    title = "A server error occurred."
    return {"errors": [error_object(status, "error", title, title)]}
