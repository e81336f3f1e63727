"""The OpenAPI document at ``/api/openapi.json``: APIFlask's, completed with what every route does.

Authentication, problems, revalidation, idempotency, headers and examples are added here from what a
route is, so that a new route has them, too.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from copy import deepcopy
from functools import partial
from typing import Any, cast

from apiflask import APIFlask
from werkzeug.routing import Rule

from service.api import idempotency
from service.api.access import PUBLIC_ENDPOINTS, SAFE_METHODS
from service.api.admission import ALWAYS_ANSWERED
from service.api.created import resource_endpoint
from service.api.examples import example_of
from service.api.problem_docs import describe_responses, list_problems, problem_schemas
from service.api.schemas import Problem
from service.api.webhook_messages import describe_webhooks

PATH = "/api/openapi.json"
_REFERENCE = "#/components/schemas/"
_JSON = "application/json"

SECURITY_SCHEMES: dict[str, Any] = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API token (`quintile tenants token NAME`), or a token of your platform.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "quintile_session",
        "description": "The admin UI's session. Changes also need `X-Quintile-Request: 1`.",
    },
}

_HEADERS: dict[str, Any] = {
    "ETag": {
        "description": "Send it as If-None-Match to get 304 while the answer is the same.",
        "schema": {"type": "string"},
        "example": 'W/"3f0f2a9c6a1d4b7e8c5d2e1f0a9b8c7d"',
    },
    "IdempotentReplayed": {
        "description": "`true` if this is the stored answer to an earlier request.",
        "schema": {"type": "string", "const": "true"},
    },
    "Location": {
        "description": "The path of what was created or started.",
        "schema": {"type": "string"},
        "example": "/api/admin/runs/0b6e3c52-6a4e-4d5c-9d1c-2f4f6a0d9e11",
    },
    "RequestId": {
        "description": "The id of the request in the log.",
        "schema": {"type": "string", "format": "uuid"},
    },
    "RetryAfter": {
        "description": "Seconds to wait before repeating the request.",
        "schema": {"type": "integer", "minimum": 1},
        "example": 5,
    },
    "WwwAuthenticate": {
        "description": "How to authenticate.",
        "schema": {"type": "string"},
        "example": "Bearer",
    },
}
_PARAMETERS: dict[str, Any] = {
    "IdempotencyKey": {
        "name": idempotency.HEADER,
        "in": "header",
        "required": False,
        "description": "A key of your choice, such as a UUID. A repeat with the same key within 24"
        " hours changes nothing more and gets the same answer.",
        "schema": {"type": "string", "pattern": idempotency.KEY_PATTERN},
        "example": "8e03978e-40d5-43dd-bc93-6894a57f9324",
    },
    "IfNoneMatch": {
        "name": "If-None-Match",
        "in": "header",
        "required": False,
        "description": "The ETag of the answer that you have.",
        "schema": {"type": "string"},
        "example": 'W/"3f0f2a9c6a1d4b7e8c5d2e1f0a9b8c7d"',
    },
}
_NOT_MODIFIED = {
    "description": "The answer is the one that you have.",
    "headers": {
        "ETag": {"$ref": "#/components/headers/ETag"},
        "X-Request-Id": {"$ref": "#/components/headers/RequestId"},
    },
}


# What Shopify sends.
_SHOPIFY_WEBHOOK: dict[str, Any] = {
    "parameters": [
        {
            "name": name,
            "in": "header",
            "required": is_required,
            "description": description,
            "schema": {"type": "string"},
            "example": example,
        }
        for name, is_required, description, example in (
            (
                "X-Shopify-Hmac-Sha256",
                True,
                "HMAC-SHA-256 of the body with the app's client secret, in base64.",
                "XWmrwMey6OsLMeiZKwP4FppHH3cmAiiJJAweH5Jo4bM=",
            ),
            ("X-Shopify-Topic", False, "What happened.", "orders/updated"),
            ("X-Shopify-Shop-Domain", False, "The store.", "north.myshopify.com"),
            (
                "X-Shopify-Webhook-Id",
                False,
                "The same for every delivery of a webhook.",
                "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
            ),
            (
                "X-Shopify-Triggered-At",
                False,
                "When it happened.",
                "2026-07-01T09:30:00.123456789Z",
            ),
        )
    ],
    "requestBody": {
        "content": {_JSON: {"schema": {"type": "object"}, "example": {"id": 5012345678901}}},
    },
}


def configure_openapi(app: APIFlask) -> None:
    """Describe every route of the API."""
    app.config.update(
        SECURITY_SCHEMES=SECURITY_SCHEMES,
        # Described below.
        AUTO_VALIDATION_ERROR_RESPONSE=False,
        AUTO_AUTH_ERROR_RESPONSE=False,
        AUTO_404_RESPONSE=False,
        AUTO_SERVERS=False,
        AUTO_OPERATION_ID=True,
        INFO={
            "summary": "Customer segments, samples and Klaviyo sync of a Shopify store.",
            "description": "docs/api.md has the conventions: authentication, errors, paging,"
            " idempotency and caching.",
        },
    )
    app.spec_processor(partial(_complete, app))


def _complete(app: APIFlask, document: dict[Any, Any] | str) -> dict[Any, Any] | str:
    spec = cast("dict[str, Any]", document)  # text only when the format is YAML
    spec["tags"] = [{"name": name} for name in sorted({tag["name"] for tag in spec["tags"]})]
    components = spec["components"]
    schemas = components.setdefault("schemas", {})
    spec["components"]["schemas"] = schemas
    components |= {"headers": _HEADERS, "parameters": _PARAMETERS, "responses": {}}
    slugs: set[str] = set()
    for rule, method, operation in _operations(app, spec):
        slugs |= _describe(app, spec, rule, method, operation)
    schemas |= problem_schemas(slugs, Problem.model_json_schema())
    spec["webhooks"], messages = describe_webhooks()
    schemas |= messages
    _name_schemas(spec)
    for _, _, operation in _operations(app, spec):
        _add_examples(operation, spec["components"]["schemas"])
    return spec


def _operations(app: APIFlask, spec: dict[str, Any]) -> Iterator[tuple[Rule, str, dict[str, Any]]]:
    rules = {
        (re.sub(r"<(?:[^:>]+:)?([^>]+)>", r"{\1}", rule.rule), method): rule
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
    }
    for path, operations in spec["paths"].items():
        for method, operation in operations.items():
            yield rules[path, method.upper()], method.upper(), operation


def _describe(
    app: APIFlask, spec: dict[str, Any], rule: Rule, method: str, operation: dict[str, Any]
) -> set[str]:
    """Complete an operation; returns its problems."""
    if rule.endpoint == "webhooks.receive_shopify":
        operation |= deepcopy(_SHOPIFY_WEBHOOK)
    is_closed = rule.endpoint not in PUBLIC_ENDPOINTS
    is_change = method not in SAFE_METHODS
    # The names of views are unique, and read well as those of a client's functions.
    operation["operationId"] = rule.endpoint.partition(".")[2]
    operation["security"] = [{"token": []}, {"session": []}] if is_closed else []
    parameters = operation.setdefault("parameters", [])
    if is_closed and is_change:
        parameters.append({"$ref": "#/components/parameters/IdempotencyKey"})
    for status, response in list(operation["responses"].items()):
        headers = response.setdefault("headers", {})
        headers["X-Request-Id"] = {"$ref": "#/components/headers/RequestId"}
        if is_closed and is_change:
            headers["Idempotent-Replayed"] = {"$ref": "#/components/headers/IdempotentReplayed"}
        if _has_location(app, spec, rule, status, response):
            headers["Location"] = {"$ref": "#/components/headers/Location"}
        if rule.rule.startswith("/api/") and not is_change and _JSON in response.get("content", {}):
            headers["ETag"] = {"$ref": "#/components/headers/ETag"}
            parameters.append({"$ref": "#/components/parameters/IfNoneMatch"})
            operation["responses"]["304"] = _NOT_MODIFIED
    if "requestBody" in operation:
        # No body is no JSON.
        operation["requestBody"]["required"] = True
    given = [each for each in parameters if "$ref" not in each]
    slugs = list_problems(
        app.view_functions[rule.endpoint],
        operation | {"parameters": given},
        is_closed=is_closed,
        is_change=is_change,
        is_limited=rule.endpoint not in ALWAYS_ANSWERED,
    )
    problems, needed = describe_responses(slugs)
    operation["responses"] |= problems
    spec["components"]["responses"] |= needed
    return set(slugs)


def _has_location(
    app: APIFlask, spec: dict[str, Any], rule: Rule, status: str, response: dict[str, Any]
) -> bool:
    """Whether an answer says where to find what was created, or what was started for it."""
    if status == "201":
        return resource_endpoint(app, rule) is not None
    return status == "202" and _schema_of(response) in _resources(spec)


def _resources(spec: dict[str, Any]) -> set[str]:
    """The schemas of objects that have a path of their own."""
    return {
        _schema_of(operations["get"]["responses"]["200"])
        for path, operations in spec["paths"].items()
        if path.endswith("}") and "get" in operations
    } - {""}


def _schema_of(response: dict[str, Any]) -> str:
    schema = response.get("content", {}).get(_JSON, {}).get("schema", {})
    return str(schema.get("$ref", ""))


# -- names of schemas ---------------------------------------------------------------------------


def _name_schemas(spec: dict[str, Any]) -> None:
    """Give each model one schema.

    A model inside of others is described with each of them, as ``Outer.Inner``. If these are the
    same, they become ``Inner``.
    """
    schemas = spec["components"]["schemas"]
    groups: dict[str, list[str]] = defaultdict(list)
    for name in schemas:
        groups[name.rpartition(".")[2]].append(name)
    renamed = {name: name.rpartition(".")[2] for name in schemas}
    for short, names in groups.items():
        shapes = {json.dumps(_renamed(schemas[name], renamed), sort_keys=True) for name in names}
        if len(shapes) > 1:
            renamed |= {name: name.replace(".", "") for name in names if name != short}
    spec["components"]["schemas"] = {
        renamed[name]: _renamed(schema, renamed) for name, schema in schemas.items()
    }
    spec["components"]["responses"] = _renamed(spec["components"]["responses"], renamed)
    spec["paths"] = _renamed(spec["paths"], renamed)
    spec["webhooks"] = _renamed(spec["webhooks"], renamed)


def _is_noise(key: str, value: object) -> bool:
    """Whether a keyword tells nothing: pydantic titles each field, and its default may be null."""
    return (key == "title" and isinstance(value, str)) or (key == "default" and value is None)


# What is under these keywords is no part of the document, but a value.
_VALUES = frozenset({"const", "default", "enum", "example", "examples"})


def _renamed(node: Any, renamed: dict[str, str], *, are_names: bool = False) -> Any:
    """A part of the document with new references, and without what tells nothing.

    Args:
        node: The part.
        renamed: New names of schemas.
        are_names: Whether the part's keys are names of fields instead of keywords.
    """
    if isinstance(node, list):
        return [_renamed(each, renamed) for each in node]
    if not isinstance(node, dict):
        return node
    copy = {
        key: value
        if key in _VALUES and not are_names
        else _renamed(value, renamed, are_names=key == "properties" and not are_names)
        for key, value in node.items()
        if are_names or not _is_noise(key, value)
    }
    if isinstance(reference := copy.get("$ref"), str) and reference.startswith(_REFERENCE):
        name = reference.removeprefix(_REFERENCE)
        copy["$ref"] = _REFERENCE + renamed.get(name, name)
    return copy


# -- examples -----------------------------------------------------------------------------------


def _add_examples(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    for parameter in operation["parameters"]:
        if parameter.get("required"):
            parameter["example"] = example_of(parameter["schema"], schemas, parameter["name"])
    contents = [
        operation.get("requestBody", {}).get("content", {}),
        *(response.get("content", {}) for response in operation["responses"].values()),
    ]
    for content in contents:
        media = content.get(_JSON)
        if media and "example" not in media:
            media["example"] = example_of(media["schema"], schemas)
