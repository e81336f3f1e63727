"""The OpenAPI document: APIFlask's, with authentication and errors added to each operation."""

from __future__ import annotations

from typing import Any, cast

from apiflask import APIFlask

from service.api.problems import CONTENT_TYPE
from service.api.schemas import Problem

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


def configure_openapi(app: APIFlask) -> None:
    """Describe authentication and errors for every operation."""
    app.config.update(
        SECURITY_SCHEMES=SECURITY_SCHEMES,
        # The `default` response below covers all errors.
        AUTO_VALIDATION_ERROR_RESPONSE=False,
        AUTO_AUTH_ERROR_RESPONSE=False,
        AUTO_404_RESPONSE=False,
        AUTO_SERVERS=False,
        AUTO_OPERATION_ID=True,
    )
    app.spec_processor(_complete)


def _complete(document: dict[Any, Any] | str) -> dict[Any, Any] | str:
    spec = cast("dict[str, Any]", document)  # text only when the format is YAML
    spec["components"].setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
    spec["components"]["responses"] = {
        "Problem": {
            "description": "A problem document (RFC 9457)",
            "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    }
    for operations in spec["paths"].values():
        for operation in operations.values():
            operation["security"] = [{"token": []}, {"session": []}]
            operation["responses"]["default"] = {"$ref": "#/components/responses/Problem"}
    return spec
