"""Health checks, the start page's redirect, and explanations of problem types. All are public."""

from __future__ import annotations

from apiflask import APIBlueprint
from flask import Response, g, redirect, url_for
from flask.typing import ResponseReturnValue

from service.api.access import state
from service.api.problems import KINDS, NotBuiltError, NotFoundError
from service.core.db import one
from service.core.queries import query

blueprint = APIBlueprint("health", __name__, tag="Health", enable_openapi=False)

_READY_TIMEOUT_SECONDS = 2.0


@blueprint.get("/healthz")
def alive() -> dict[str, str]:
    """Whether the process is running. Does not query the database."""
    g.is_quiet = True
    return {"status": "ok"}


@blueprint.get("/readyz")
def ready() -> dict[str, str]:
    """Whether the database responds and has the tables that the API reads."""
    g.is_quiet = True
    with state().pool.connection(timeout=_READY_TIMEOUT_SECONDS) as conn:
        row = one(conn.execute(query("api.check_readiness")).fetchone())
    if not row["is_built"]:
        raise NotBuiltError
    return {"status": "ok"}


@blueprint.get("/")
def start() -> ResponseReturnValue:
    """Redirect to the admin UI."""
    return redirect(url_for("admin.home"))


@blueprint.get("/problems/<slug>")
def explain_problem(slug: str) -> Response:
    """Explain a problem type."""
    kind = KINDS.get(slug)
    if kind is None:
        raise NotFoundError(f"There is no problem type '{slug[:60]}'.")
    text = f"{kind.status} {kind.title}\n\n{kind.meaning}\n"
    return Response(text, content_type="text/plain; charset=utf-8")
