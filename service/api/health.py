"""What a load balancer asks, and what the problems' type URIs lead to. No sign-in needed."""

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
    """The process answers; says nothing about the database."""
    g.is_quiet = True
    return {"status": "ok"}


@blueprint.get("/readyz")
def ready() -> dict[str, str]:
    """The database answers and holds what the API reads."""
    g.is_quiet = True
    with state().pool.connection(timeout=_READY_TIMEOUT_SECONDS) as conn:
        row = one(conn.execute(query("api.check_readiness")).fetchone())
    if not row["is_built"]:
        raise NotBuiltError
    return {"status": "ok"}


@blueprint.get("/")
def start() -> ResponseReturnValue:
    """People who come to the bare address want the admin UI."""
    return redirect(url_for("admin.home"))


@blueprint.get("/problems/<slug>")
def explain_problem(slug: str) -> Response:
    """What a problem's type means."""
    kind = KINDS.get(slug)
    if kind is None:
        raise NotFoundError(f"No problem is called '{slug[:60]}'.")
    text = f"{kind.status} {kind.title}\n\n{kind.meaning}\n"
    return Response(text, content_type="text/plain; charset=utf-8")
