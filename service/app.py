"""The web service: the JSON API and the admin UI."""

from __future__ import annotations

import atexit
import time
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import structlog
from apiflask import APIFlask
from flask import Flask, Response, current_app, g, request
from flask.json.provider import DefaultJSONProvider
from flask.sessions import SecureCookieSessionInterface
from werkzeug.middleware.proxy_fix import ProxyFix

from service import api, ui
from service.api import openapi
from service.api.access import State, require_login
from service.api.admission import admit_request, end_request, release_slot
from service.api.browsers import allow_origin, answer_preflight, read_origins
from service.api.caching import revalidate
from service.api.capacity import Capacity
from service.api.compression import compress
from service.api.created import add_location
from service.api.idempotency import begin_request, finish_request
from service.api.problems import InvalidPartError, NotFoundError, register_problems
from service.api.rate_limits import RateLimits
from service.core.config import Settings, load_settings, public_address
from service.core.db import create_pool
from service.core.errors import InvalidInputError
from service.core.logs import configure_logging
from service.core.metrics import count_request
from service.core.queries import load_queries
from service.core.secrets import derive
from service.tenants.platform_tokens import Issuer

log = structlog.get_logger("service.access")

MAX_BODY_BYTES = 1024 * 1024
_HSTS = "max-age=31536000"
_CONTENT_SECURITY_POLICY = (
    "default-src 'self'; frame-ancestors {frames}; base-uri 'none'; form-action 'self'; "
    "object-src 'none'"
)


def create_app(settings: Settings | None = None) -> APIFlask:
    """The WSGI application, with an open connection pool.

    Args:
        settings: The settings; read from the environment by default.

    Raises:
        OverprivilegedRoleError: The database role has more privileges than the service needs.
        DatabaseUnavailableError: The database does not respond, or is not migrated.
        InvalidSettingError: A setting of the web service is not valid.
    """
    settings = settings or load_settings()
    configure_logging(settings)
    load_queries()
    app = _make_app(settings)
    app.extensions["quintile"] = open_state(settings)
    return app


def open_state(settings: Settings) -> State:
    """What an application opens once for all requests.

    Raises:
        OverprivilegedRoleError: The database role has more privileges than the service needs.
        DatabaseUnavailableError: The database does not respond, or is not migrated.
        InvalidSettingError: A setting of the web service is not valid.
    """
    # Fails now rather than at the first request.
    public_address(settings)
    issuer = Issuer.configured(settings)
    limits = RateLimits(settings.rate_limit_per_minute, settings.failed_logins_per_minute)
    pool = create_pool(settings)
    atexit.register(pool.close)
    return State(settings, pool, limits, issuer, Capacity.of(settings))


def _make_app(settings: Settings) -> APIFlask:
    """The application without its state: it knows neither the database nor the providers."""
    origins = read_origins(settings, "cors_origins")
    app = APIFlask(
        __name__,
        title="Quintile",
        version="1",
        docs_path=None,
        spec_path=openapi.PATH,
        json_errors=False,
        # Only the admin UI has static files. APIFlask's annotation lacks None.
        static_folder=None,  # type: ignore[arg-type]
    )
    _configure(app, settings)
    register_problems(app)
    openapi.configure_openapi(app)
    # This one is first, so that errors of the others have a request id.
    app.before_request(_begin_request)
    app.before_request(admit_request)
    app.before_request(partial(answer_preflight, origins))
    app.before_request(require_login)
    app.before_request(_refuse_ignored_parameters)
    app.before_request(_refuse_null)
    app.before_request(_refuse_nul_characters)
    app.before_request(begin_request)
    app.after_request(end_request)
    app.after_request(partial(_secure, policy=_security_policy(settings)))
    app.after_request(partial(allow_origin, origins=origins))
    app.after_request(_log_access)
    # The last one is first: the tag is that of the plain answer.
    app.after_request(compress)
    app.after_request(revalidate)
    app.after_request(finish_request)
    app.after_request(add_location)
    app.teardown_request(_end_request)
    app.teardown_request(release_slot)
    for blueprint in (*api.blueprints(), ui.blueprint):
        app.register_blueprint(blueprint)
    return app


class _JsonProvider(DefaultJSONProvider):
    """Keeps the order of keys, and writes Unicode characters as they are."""

    sort_keys = False
    ensure_ascii = False
    compact = True

    def loads(self, s: str | bytes, **options: Any) -> Any:
        """Read JSON; nesting that is too deep for the parser is as invalid as other errors.

        Raises:
            ValueError: It is not JSON that can be read.
        """
        try:
            return super().loads(s, **options)
        except RecursionError:
            raise ValueError("nested too deeply") from None


class _SessionInterface(SecureCookieSessionInterface):
    """Marks the session cookie as Secure if the request came over HTTPS."""

    def get_cookie_secure(self, app: Flask) -> bool:  # noqa: ARG002
        return request.is_secure


def _configure(app: APIFlask, settings: Settings) -> None:
    app.json = _JsonProvider(app)
    app.session_interface = _SessionInterface()
    is_embedded = bool(read_origins(settings, "frame_ancestors"))
    if hops := settings.trusted_proxies:
        # Proxies replace X-Forwarded-Proto where they add to X-Forwarded-For.
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=1)  # type: ignore[method-assign]
    app.config.update(
        SECRET_KEY=derive(settings, "session"),
        SESSION_COOKIE_NAME="quintile_session",
        SESSION_COOKIE_HTTPONLY=True,
        # Not Strict, so that a person who follows a link from a chat or mail is signed in. In
        # another site's frame the cookie must be allowed, for that site only (CHIPS).
        SESSION_COOKIE_SAMESITE="None" if is_embedded else "Lax",
        SESSION_COOKIE_PARTITIONED=is_embedded,
        # A session ends after its lifetime, even if it is in use.
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=timedelta(hours=settings.session_hours),
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
    )


def _begin_request() -> None:
    g.request_id = str(uuid4())
    g.started_at = time.perf_counter()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _refuse_ignored_parameters() -> None:
    """Refuse a query parameter that is given twice, or to a view that takes none.

    Other unknown parameters are refused by the view's model.
    """
    if not request.path.startswith("/api/") or request.endpoint is None:
        return
    # As APIFlask stores the models of a view's input.
    description = getattr(current_app.view_functions[request.endpoint], "_spec", {})
    takes_some = any(location == "query" for _, location in description.get("args", ()))
    for name, values in request.args.lists():
        if not takes_some:
            raise InvalidPartError("parameter", name, "There is no such parameter.")
        if len(values) > 1:
            raise InvalidPartError("parameter", name, "This is given more than once.")


def _refuse_null() -> None:
    """Refuse a body that is null, which APIFlask takes for an empty object."""
    is_view = request.path.startswith("/api/") and request.endpoint is not None
    if is_view and request.get_data().strip() == b"null":
        raise InvalidInputError("The body must be an object.")


def _refuse_nul_characters() -> None:
    """Find nothing under an id with a NUL character, which no text of PostgreSQL can have."""
    if any("\0" in str(value) for value in (request.view_args or {}).values()):
        raise NotFoundError("There is nothing at this address.")


def _security_policy(settings: Settings) -> str:
    frames = " ".join(read_origins(settings, "frame_ancestors")) or "'none'"
    return _CONTENT_SECURITY_POLICY.format(frames=frames)


def _secure(response: Response, *, policy: str) -> Response:
    headers = response.headers
    headers["X-Request-Id"] = g.request_id
    headers["Content-Security-Policy"] = policy
    headers["X-Content-Type-Options"] = "nosniff"
    # The forms of our pages need their Origin header, which no-referrer would empty.
    is_page = request.path.startswith("/admin")
    headers["Referrer-Policy"] = "same-origin" if is_page else "no-referrer"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    if request.endpoint != "admin.static":
        headers.setdefault("Cache-Control", "no-store")
    if request.is_secure:
        headers["Strict-Transport-Security"] = _HSTS
    return response


def _log_access(response: Response) -> Response:
    # No query string: it may contain personal data from a search.
    seconds = time.perf_counter() - g.started_at
    route = request.url_rule.rule if request.url_rule else None
    count_request(request.method, route, response.status_code, seconds)
    write = log.debug if g.get("is_quiet") or request.endpoint == "admin.static" else log.info
    write(
        "request",
        method=request.method,
        path=request.path,
        status=response.status_code,
        ms=round(seconds * 1000, 1),
    )
    return response


def _end_request(_error: BaseException | None) -> None:
    structlog.contextvars.clear_contextvars()
