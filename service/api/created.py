"""``Location`` of what a request created."""

from __future__ import annotations

from http import HTTPStatus

from flask import Flask, Response, current_app, request, url_for
from werkzeug.routing import Rule


def resource_endpoint(app: Flask, rule: Rule) -> tuple[str, str] | None:
    """The endpoint of one object of a list, and the name of its id; None if there is none.

    For ``/api/admin/tokens`` it is that of ``/api/admin/tokens/<uuid:token_id>``.
    """
    for other in app.url_map.iter_rules():
        start, _, variable = other.rule.rpartition("/")
        if start == rule.rule and variable.startswith("<") and "GET" in (other.methods or ()):
            (name,) = other.arguments - rule.arguments
            return other.endpoint, name
    return None


def add_location(response: Response) -> Response:
    """Add the path of what was created to an answer with 201, if it has one."""
    if response.status_code != HTTPStatus.CREATED or request.url_rule is None:
        return response
    found = resource_endpoint(current_app, request.url_rule)
    body = response.get_json(silent=True)
    if found and isinstance(body, dict) and found[1] in body:
        endpoint, name = found
        values = {**(request.view_args or {}), name: body[name]}
        response.headers.setdefault("Location", url_for(endpoint, **values))
    return response
