"""Which problems each operation can answer with, for the OpenAPI document.

What holds for every route follows from what the route is: whether it needs a credential, takes a
body, a cursor or an id, or changes something. A view names the rest with :func:`can_answer`. The
tests fail when an answer of any test is not described.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, TypeVar

from service.api.problems import CONTENT_TYPE, KINDS

_View = TypeVar("_View", bound=Callable[..., Any])

_NAMED = "quintile_problems"
_DETAILS = {
    "not-found": "There is no such object.",
    "invalid-input": "limit: This must be 200 or less.",
    "too-many-requests": "This credential has made more than 1,200 requests in a minute.",
    "missing-scope": "This needs the scope write; yours is read.",
}
_REQUEST_ID = "5f0c9a2e-6c1b-4a57-9a7e-0f3b1f0f2d11"


def can_answer(*slugs: str) -> Callable[[_View], _View]:
    """Name the problems that a view answers with, besides those that follow from its route."""
    unknown = set(slugs) - set(KINDS)
    if unknown:
        raise LookupError(f"There are no such problems: {', '.join(sorted(unknown))}.")

    def name(view: _View) -> _View:
        setattr(view, _NAMED, slugs)
        return view

    return name


def list_problems(
    view: object,
    operation: dict[str, Any],
    *,
    is_closed: bool,
    is_change: bool,
    is_limited: bool,
) -> list[str]:
    """The problems of an operation, as slugs, by status.

    Args:
        view: Its view.
        operation: Its description so far.
        is_closed: Whether it needs a credential.
        is_change: Whether it may change something.
        is_limited: Whether a busy service refuses it.
    """
    parameters = {(each["in"], each["name"]) for each in operation.get("parameters", [])}
    locations = {location for location, _ in parameters}
    found = set(getattr(view, _NAMED, ()))
    found |= {"internal-error"}
    if is_limited:
        found |= {"overloaded"}
    if is_limited and "requestBody" in operation:
        found |= {"request-timeout"}
    if is_closed:
        found |= {"sign-in-required", "missing-scope", "too-many-requests", "platform-unavailable"}
        # A repeated query parameter is refused everywhere.
        found |= {"invalid-input", "failed", "database-unavailable", "query-timeout", "not-built"}
    if is_closed and is_change:
        found |= {"request-refused", "key-in-use", "key-reused", "answer-lost", "too-large"}
    if is_closed and "requestBody" in operation:
        found |= {"bad-request"}
    if "path" in locations:
        found |= {"not-found"}
    if ("query", "cursor") in parameters:
        found |= {"bad-cursor"}
    return sorted(found, key=lambda slug: (KINDS[slug].status, slug))


def describe_responses(slugs: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The responses of an operation by status, and the components that they refer to by name."""
    responses: dict[str, Any] = {}
    components: dict[str, Any] = {}
    for status in dict.fromkeys(KINDS[slug].status for slug in slugs):
        kinds = [slug for slug in slugs if KINDS[slug].status == status]
        name = "Or".join(_camel(slug) for slug in kinds)
        components[name] = _describe_response(kinds)
        responses[str(status)] = {"$ref": f"#/components/responses/{name}"}
    return responses, components


def problem_schemas(slugs: set[str], general: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """A schema for each kind of problem, by name: the general one with a fixed type and status."""
    schemas = {}
    for slug in sorted(slugs):
        kind = KINDS[slug]
        fixed = {
            "type": {"type": "string", "const": f"/problems/{slug}"},
            "title": {"type": "string", "const": kind.title},
            "status": {"type": "integer", "const": kind.status},
        }
        properties = general["properties"] | fixed
        schemas[schema_name(slug)] = {
            **general,
            "description": kind.meaning,
            "properties": properties,
        }
    return schemas


def schema_name(slug: str) -> str:
    """The name of the schema of a kind of problem."""
    return f"{_camel(slug)}Problem"


def example_problem(slug: str) -> dict[str, Any]:
    """A problem document of this kind."""
    kind = KINDS[slug]
    example: dict[str, Any] = {
        "type": f"/problems/{slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": _DETAILS.get(slug, kind.meaning),
        "instance": f"urn:uuid:{_REQUEST_ID}",
    }
    if slug == "invalid-input":
        example["errors"] = [{"parameter": "limit", "detail": "This must be 200 or less."}]
    return example


def _describe_response(slugs: list[str]) -> dict[str, Any]:
    references: list[dict[str, str]] = [
        {"$ref": f"#/components/schemas/{schema_name(slug)}"} for slug in slugs
    ]
    headers: dict[str, Any] = {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}}
    status = KINDS[slugs[0]].status
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = {"$ref": "#/components/headers/WwwAuthenticate"}
    if status in (429, 503) or "key-in-use" in slugs:
        headers["Retry-After"] = {"$ref": "#/components/headers/RetryAfter"}
    return {
        "description": " Or: ".join(KINDS[slug].meaning for slug in slugs),
        "headers": headers,
        "content": {
            CONTENT_TYPE: {
                "schema": {"oneOf": references} if references[1:] else references[0],
                "examples": {
                    slug: {"summary": KINDS[slug].title, "value": example_problem(slug)}
                    for slug in slugs
                },
            }
        },
    }


def _camel(slug: str) -> str:
    return "".join(part.capitalize() for part in slug.split("-"))
