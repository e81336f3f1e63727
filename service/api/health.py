"""Health checks, redirects, and explanations of problem types. All are public."""

from __future__ import annotations

from typing import Any, Literal

from apiflask import APIBlueprint
from flask import Response, g, redirect, url_for
from flask.typing import ResponseReturnValue

from service.api.access import state
from service.api.problem_docs import can_answer
from service.api.problems import KINDS, NotBuiltError, NotFoundError
from service.api.schemas import ResponseModel
from service.core.db import one
from service.core.queries import query

blueprint = APIBlueprint("health", __name__, tag="Health")

_READY_TIMEOUT_SECONDS = 2.0
_PLAIN_TEXT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The explanation",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}


class Health(ResponseModel):
    """That all is well."""

    status: Literal["ok"]


@blueprint.get("/healthz")
@blueprint.output(Health)
def alive() -> dict[str, str]:
    """Whether the process is running. Does not query the database."""
    g.is_quiet = True
    return {"status": "ok"}


@blueprint.get("/readyz")
@blueprint.output(Health)
@can_answer("database-unavailable", "not-built")
def ready() -> dict[str, str]:
    """Whether the database responds and has the tables that the API reads."""
    g.is_quiet = True
    with state().pool.connection(timeout=_READY_TIMEOUT_SECONDS) as conn:
        row = one(conn.execute(query("api.check_readiness")).fetchone())
    if not row["is_built"]:
        raise NotBuiltError
    return {"status": "ok"}


@blueprint.get("/")
@blueprint.doc(hide=True)
def start() -> ResponseReturnValue:
    """Redirect to the admin UI."""
    return redirect(url_for("admin.home"))


@blueprint.get("/openapi.json")
@blueprint.doc(hide=True)
def former_openapi() -> ResponseReturnValue:
    """Redirect to where the OpenAPI document is now."""
    return redirect(url_for("openapi.spec"), 308)


@blueprint.get("/problems/<slug>")
@blueprint.doc(responses=_PLAIN_TEXT)
def explain_problem(slug: str) -> Response:
    """Explain a problem type."""
    kind = KINDS.get(slug)
    if kind is None:
        raise NotFoundError(f"There is no problem type '{slug[:60]}'.")
    text = f"{kind.status} {kind.title}\n\n{kind.meaning}\n"
    return Response(text, content_type="text/plain; charset=utf-8")
