"""What every operation goes through: key, revision, scopes, rate limit, query, body."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

from flask import Blueprint, Response, current_app, request
from pydantic import BaseModel, ValidationError

from .errors import (
    ApiError,
    authentication_failed,
    error_object,
    invalid,
    not_authenticated,
    permission_denied,
    revision_retired,
    too_large,
    unsupported_media_type,
)
from .limits import Limit
from .state import Account

CONTENT_TYPE = "application/vnd.api+json"
REVISIONS = (
    "2024-10-15",
    "2025-01-15",
    "2025-04-15",
    "2025-07-15",
    "2025-10-15",
    "2026-01-15",
    "2026-04-15",
    "2026-07-15",
    "2026-10-15",
)
# Two years after its release a revision is retired. A request for it is answered by a later one
# (the sandbox has but one behaviour), or with 410 if it has the header below.
RETIRED = ("2024-10-15",)
OPT_OUT_HEADER = "X-Klaviyo-Revision-Fall-Forward-Opt-Out"
_SCHEME = "Klaviyo-API-Key "
MEGABYTE = 1_000_000
KILOBYTE = 1_000

Handler = Callable[..., Response]
Document = dict[str, Any]
Body = TypeVar("Body", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Accounts:
    """The accounts an application serves."""

    accounts: list[Account]

    def of_key(self, key: str) -> Account | None:
        """The account that issued `key` and has not revoked it."""
        return next((each for each in self.accounts if key in each.keys), None)


@dataclass(frozen=True, slots=True)
class Operation:
    """What an operation asks of a caller. `limit` is the usual one, without dear extras."""

    method: str
    path: str
    scopes: frozenset[str]
    limit: Limit


# Every operation served, for comparison with Klaviyo's own description.
OPERATIONS: list[Operation] = []


def operation(
    blueprint: Blueprint,
    method: str,
    path: str,
    *,
    limit: Limit,
    dear: tuple[str, Limit] | None = None,
    scopes: Iterable[str],
    parameters: Iterable[str] = (),
) -> Callable[[Handler], Handler]:
    """Register a handler, which gets the account (locked) and the variables of the path.

    `dear` names a query parameter and the limit that holds, apart, when it is used; `parameters`
    are the query parameters understood.
    """
    required, allowed = frozenset(scopes), frozenset(parameters)
    OPERATIONS.append(Operation(method, path, required, limit))

    def register(handler: Handler) -> Handler:
        @blueprint.route(path, methods=[method], endpoint=handler.__name__)
        @wraps(handler)
        def run(**variables: str) -> Response:
            account = _authorized_account(required)
            _check_revision()
            chosen = dear[1] if dear and dear[0] in request.args else limit
            headers = account.limits.spend(f"{method} {path} {chosen}", chosen)
            try:
                _check_parameters(allowed)
                with account.lock:
                    account.finish_old_jobs()
                    response = handler(account, **variables)
            except ApiError as error:
                error.headers = {**headers, **error.headers}
                raise
            response.headers.update(headers)
            return response

        return handler

    return register


def respond(
    body: Document | None, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON:API answer; None: an empty one."""
    text = "" if body is None else json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Response(text, status, dict(headers or {}), content_type=CONTENT_TYPE)


def read_body(model: type[Body], maximum: int = 100 * KILOBYTE) -> Body:
    """The body of the request as `model`. Raises 400, 413 (over `maximum` bytes) or 415."""
    given = request.headers.get("Content-Type", "")
    if given.split(";")[0].strip() != CONTENT_TYPE:
        raise unsupported_media_type(given)
    raw = request.get_data()
    if len(raw) > maximum:
        raise too_large(f"The request is {len(raw)} bytes; at most {maximum} are accepted.")
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise ApiError(400, [_as_error_object(dict(each)) for each in error.errors()]) from None


def url(path: str) -> str:
    """The absolute address of `path`."""
    return request.host_url.rstrip("/") + path


def _as_error_object(error: dict[str, Any]) -> Document:
    pointer = "/" + "/".join(str(part) for part in error["loc"])
    if error["type"] == "json_invalid":
        return error_object(400, "parse_error", "Malformed request.", str(error["msg"]))
    code = "required" if error["type"] == "missing" else "invalid"
    return error_object(400, code, "Invalid input.", str(error["msg"]), pointer=pointer)


def _authorized_account(required: frozenset[str]) -> Account:
    credentials = request.headers.get("Authorization", "")
    if not credentials.startswith(_SCHEME):
        raise not_authenticated()
    accounts: Accounts = current_app.extensions["sandbox_accounts"]
    key = credentials.removeprefix(_SCHEME).strip()
    account = accounts.of_key(key)
    scopes = account.keys.get(key) if account else None
    if account is None or scopes is None:
        raise authentication_failed()
    if missing := required - scopes:
        raise permission_denied(", ".join(sorted(missing)))
    return account


def _check_revision() -> None:
    revision = request.headers.get("revision")
    if revision is None:
        raise invalid("The revision header is required.", parameter="revision")
    if revision not in REVISIONS:
        raise invalid(f"'{revision}' is not a known API revision.", parameter="revision")
    opt_out = request.headers.get(OPT_OUT_HEADER)
    if opt_out not in (None, "1"):
        raise invalid(f"'{opt_out}' is not 1, the only value.", parameter=OPT_OUT_HEADER)
    if revision in RETIRED and opt_out:
        raise revision_retired(revision)


def _check_parameters(allowed: frozenset[str]) -> None:
    for name in request.args:
        if name not in allowed:
            raise invalid(f"'{name}' is not a valid parameter for this resource.", parameter=name)
