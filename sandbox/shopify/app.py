"""The HTTP side of the Shopify sandbox: versioned URL, access token, cost, execution."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any
from uuid import uuid4

from flask import Flask, Response, request
from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    execute_sync,
    parse,
    type_from_ast,
    validate,
)
from graphql import get_named_type as named_type

from .bulk import BULK_PATH, download
from .cost import MAX_QUERY_COST, CostModel, cost_model
from .errors import MaxCostExceededError, ThrottledError, as_shopify_reports, invalid_global_id
from .schema import executable_schema
from .store import Store
from .tokens import TokenDesk
from .uploads import UPLOAD_PATH, receive

API_VERSIONS = ("2026-07", "2026-10")
_UNKNOWN_CALLER = "[API] Invalid API key or access token (unrecognized login or wrong password)"
_VERSION = re.compile(r"20\d\d-(?:01|04|07|10)")
_GLOBAL_ID = re.compile(r"gid://shopify/\w+/\S+")
Body = dict[str, Any]


def create_shopify_app(stores: Iterable[Store], tokens: TokenDesk | None = None) -> Flask:
    """A WSGI application that serves each of `stores` to the holder of its token."""
    app = Flask("quintile.sandbox.shopify", static_folder=None)
    every_store = list(stores)
    desk = tokens or TokenDesk(every_store)

    @app.post("/admin/api/<version>/graphql.json")
    def graphql(version: str) -> Response:
        served = served_version(version)
        if served is None:
            return _answer({"errors": "Not Found"}, 404)
        store = desk.store_of(request.headers.get("X-Shopify-Access-Token", ""))
        if store is None or not store.is_installed:
            return _answer({"errors": _UNKNOWN_CALLER}, 401)
        payload = request.get_json(silent=True)
        if not isinstance(payload, dict) or not _is_object(payload.get("variables")):
            return _answer({"errors": "Bad Request"}, 400)
        if _is_too_heavy(store, payload.get("variables") or {}):
            page = "<!doctype html><title>504</title><h1>Gateway time-out</h1>\n"
            return Response(page, 504, content_type="text/html; charset=utf-8")
        body = run_query(store, payload)
        return _answer(body, 200, {"X-Shopify-API-Version": served})

    @app.post("/admin/oauth/access_token")
    def exchange_token() -> Response:
        body, status = desk.exchange(request.form)
        return _answer(body, status)

    @app.get(f"{BULK_PATH}<name>")
    def bulk_output(name: str) -> Response:
        return download(every_store, name)

    @app.post(UPLOAD_PATH)
    def staged_upload() -> Response:
        return receive(every_store)

    @app.errorhandler(404)
    @app.errorhandler(405)
    def not_found(_error: Exception) -> Response:
        return _answer({"errors": "Not Found"}, 404)

    return app


def served_version(asked: str) -> str | None:
    """The version that answers: a retired one is served by the oldest there is, as at Shopify.

    None for a version that does not exist yet, or is none.
    """
    if asked in API_VERSIONS:
        return asked
    return API_VERSIONS[0] if _VERSION.fullmatch(asked) and asked < API_VERSIONS[0] else None


def error_body(status: int) -> Body:
    """Shopify's body for an HTTP error that is not GraphQL's."""
    reasons = {
        429: "Exceeded request limit. Please retry after a while.",
        503: "Service Unavailable",
    }
    return {"errors": reasons.get(status, "Internal Server Error")}


def run_query(store: Store, payload: Mapping[str, Any]) -> Body:
    """Answer one GraphQL request: validated, priced, paid for, executed. Never raises for it."""
    query, variables = payload.get("query"), payload.get("variables") or {}
    if not isinstance(query, str) or not query.strip():
        return {"errors": [{"message": "No query string was present"}]}
    try:
        document, errors = _checked(query)
    except GraphQLSyntaxError as error:
        return {"errors": [dict(error.formatted)]}
    if errors:
        return {"errors": [as_shopify_reports(error) for error in errors]}
    name = payload.get("operationName")
    try:
        model = cost_model(executable_schema(), document, variables, name)
        _check_global_ids(model.operation, variables)
    except ValueError as error:
        return {"errors": [{"message": str(error)}]}
    except GraphQLError as error:
        return {"errors": [dict(error.formatted)]}
    return _run_paid(store, document, model, variables, name)


# A sync repeats a few queries, and to validate one takes about as long as to run it.
@lru_cache(maxsize=256)
def _checked(query: str) -> tuple[DocumentNode, list[GraphQLError]]:
    """The parsed query, and what the schema says is wrong with it.

    Raises:
        GraphQLSyntaxError: It cannot be parsed.
    """
    document = parse(query)
    return document, validate(executable_schema(), document)


def _run_paid(
    store: Store,
    document: DocumentNode,
    model: CostModel,
    variables: Mapping[str, Any],
    name: str | None,
) -> Body:
    requested = model.requested()
    if requested > MAX_QUERY_COST:
        return _refused(store, requested, MaxCostExceededError(requested, MAX_QUERY_COST))
    if not store.bucket.take(requested):
        return _refused(store, requested, ThrottledError())
    with store.lock:
        result = execute_sync(
            executable_schema(),
            document,
            context_value=store,
            variable_values=dict(variables),
            operation_name=name,
        )
    actual = model.actual(result.data)
    store.bucket.give_back(requested - actual)
    return {**_formatted(result), "extensions": _cost(store, requested, actual)}


def _check_global_ids(operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> None:
    """Every variable of type ID must be a global id."""
    for definition in operation.variable_definitions or ():
        name = definition.variable.name.value
        declared = type_from_ast(executable_schema(), definition.type)
        value = variables.get(name)
        if declared is None or named_type(declared).name != "ID" or value is None:
            continue
        for each in value if isinstance(value, list) else [value]:
            if not _GLOBAL_ID.fullmatch(str(each)):
                raise invalid_global_id(name, str(declared), each)


def _is_too_heavy(store: Store, variables: Mapping[str, Any]) -> bool:
    """Whether a page is too large to be answered in time, as planned by a test."""
    heavy_from = store.record_faults.heavy_from
    asked = max(variables.get("first") or 0, len(variables.get("ids") or ()))
    return heavy_from is not None and asked >= heavy_from


def _is_object(variables: object) -> bool:
    return variables is None or isinstance(variables, dict)


def _formatted(result: ExecutionResult) -> Body:
    body: Body = {"data": result.data}
    if result.errors:
        body["errors"] = [dict(error.formatted) for error in result.errors]
    return body


def _refused(store: Store, requested: int, error: GraphQLError) -> Body:
    return {"errors": [dict(error.formatted)], "extensions": _cost(store, requested, None)}


def _cost(store: Store, requested: int, actual: int | None) -> Body:
    return {
        "cost": {
            "requestedQueryCost": requested,
            "actualQueryCost": actual,
            "throttleStatus": store.bucket.status(),
        }
    }


def _answer(body: Body, status: int, headers: Mapping[str, str] | None = None) -> Response:
    response = Response(
        json.dumps(body, ensure_ascii=False, separators=(",", ":")),
        status,
        content_type="application/json; charset=utf-8",
    )
    response.headers["X-Request-Id"] = str(uuid4())
    response.headers.update(headers or {})
    return response
