"""The HTTP side of the Klaviyo sandbox: the resources, and errors as JSON:API everywhere."""

from __future__ import annotations

from collections.abc import Iterable

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from . import accounts as accounts_resource
from . import events, flows, imports, lists, privacy, profiles
from .errors import ApiError, error_object, not_found
from .operations import Accounts, respond
from .state import Account


def create_klaviyo_app(accounts: Iterable[Account]) -> Flask:
    """A WSGI application that serves each of `accounts` to the holder of one of its keys."""
    app = Flask("quintile.sandbox.klaviyo", static_folder=None)
    # A trailing slash is another path, and there is nothing there.
    app.url_map.strict_slashes = True
    app.url_map.merge_slashes = False
    app.extensions["sandbox_accounts"] = Accounts(list(accounts))
    for resource in (accounts_resource, events, flows, imports, lists, privacy, profiles):
        app.register_blueprint(resource.blueprint)

    @app.errorhandler(ApiError)
    def api_error(error: ApiError) -> Response:
        return respond(error.body(), error.status, error.headers)

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        status = error.code or 500
        if status == 404:  # noqa: PLR2004 - the status itself
            return api_error(not_found())
        name = error.name
        code = name.lower().replace(" ", "_")
        return respond({"errors": [error_object(status, code, f"{name}.", name)]}, status)

    return app
