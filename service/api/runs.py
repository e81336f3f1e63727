"""``/api/admin/runs``: what has been started, how far it is and how it ended."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apiflask import APIBlueprint
from flask import Response, jsonify, request, url_for
from pydantic import Field

from service.api.access import tenant_id, transaction
from service.api.paging import RUNS, PageQuery, decode_cursor, split_page
from service.api.problems import NotFoundError
from service.api.schemas import Run, RunKind, RunsPage, RunState, RunTrigger
from service.core.queries import query
from service.queue.runs import get_run

blueprint = APIBlueprint("runs", __name__, tag="Runs")


class RunsQuery(PageQuery):
    """Which page of the runs."""

    kind: RunKind | None = Field(None, description="Only runs of this kind.")
    state: RunState | None = Field(None, description="Only runs in this state.")
    trigger: RunTrigger | None = Field(None, description="Only runs started in this way.")


def answer_accepted(run: dict[str, Any]) -> tuple[Run, int, dict[str, str]]:
    """202 with a run and where to follow it."""
    location = url_for("runs.show_run", run_id=run["run_id"])
    return Run.model_validate(run), 202, {"Location": location}


@blueprint.get("/api/admin/runs")
@blueprint.input(RunsQuery, location="query", arg_name="page")
@blueprint.output(RunsPage)
def list_runs(page: RunsQuery) -> dict[str, Any]:
    """Runs, newest first."""
    after = decode_cursor(RUNS, page.cursor)
    with transaction() as conn:
        rows = conn.execute(
            query("api.list_runs"),
            {
                "tenant_id": tenant_id(),
                "kind": page.kind,
                "state": page.state,
                "trigger": page.trigger,
                "after_at": after[1] if after else None,
                "after_id": after[2] if after else None,
                "row_limit": page.limit + 1,
            },
        ).fetchall()
    data, next_cursor = split_page(rows, page.limit, "runs", "created_at", "run_id")
    return {"data": data, "next_cursor": next_cursor}


@blueprint.get("/api/admin/runs/<uuid:run_id>")
@blueprint.output(Run)
def show_run(run_id: UUID) -> Response:
    """One run; with If-None-Match, 304 while nothing has changed."""
    with transaction() as conn:
        row = get_run(conn, tenant_id(), run_id)
    if row is None:
        raise NotFoundError("There is no such run.")
    response = jsonify(Run.model_validate(row).model_dump(mode="json"))
    response.add_etag()
    # Kept only to be asked for again, which is what an ETag is for.
    response.headers["Cache-Control"] = "private, no-cache"
    response.make_conditional(request)
    return response
