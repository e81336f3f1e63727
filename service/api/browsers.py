"""What browsers may do from other sites: CORS for scripts, frames for embedding. Off by default."""

from __future__ import annotations

import re

from flask import Response, request

from service.core.config import Settings
from service.core.errors import InvalidSettingError

# As browsers send it: lower case, without the scheme's own port.
_ORIGIN = re.compile(r"https?://([a-z0-9-]+(\.[a-z0-9-]+)*|\[[0-9a-f:]+\])(:[0-9]{1,5})?", re.ASCII)
_DEFAULT_PORTS = (":80", ":443")
_METHODS = "GET, POST, PUT, PATCH, DELETE"
_HEADERS = "Authorization, Content-Type, If-None-Match, Idempotency-Key"
_EXPOSED = "ETag, Idempotent-Replayed, Location, Retry-After, X-Request-Id"
_SECONDS = "600"


def read_origins(settings: Settings, name: str) -> tuple[str, ...]:
    """The origins in a setting, such as ``https://admin.example.com``.

    Raises:
        InvalidSettingError: One is not an origin.
    """
    origins = tuple(str(getattr(settings, name)).replace(",", " ").split())
    for origin in origins:
        if not _ORIGIN.fullmatch(origin) or origin.endswith(_DEFAULT_PORTS):
            raise InvalidSettingError(
                f"QUINTILE_{name.upper()} contains {origin}, which is not an origin.",
                advice="Write it as https://admin.example.com: lower case, without a path.",
            )
    return origins


def answer_preflight(origins: tuple[str, ...]) -> Response | None:
    """The answer to a browser that asks whether another site's script may call the API."""
    is_preflight = request.method == "OPTIONS" and (
        "Access-Control-Request-Method" in request.headers
    )
    if not is_preflight or not _is_allowed(origins):
        return None
    response = Response(status=204)
    response.headers["Access-Control-Allow-Methods"] = _METHODS
    response.headers["Access-Control-Allow-Headers"] = _HEADERS
    response.headers["Access-Control-Max-Age"] = _SECONDS
    return response


def allow_origin(response: Response, *, origins: tuple[str, ...]) -> Response:
    """Let the scripts of the configured sites read a response of the API.

    Credentials of the browser are never allowed: such scripts send a token.
    """
    if origins and request.path.startswith("/api/"):
        response.vary.add("Origin")
    if _is_allowed(origins):
        response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
        response.headers["Access-Control-Expose-Headers"] = _EXPOSED
    return response


def _is_allowed(origins: tuple[str, ...]) -> bool:
    return request.path.startswith("/api/") and request.headers.get("Origin") in origins
