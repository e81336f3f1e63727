"""``/api/admin/runs``: syncs, builds and imports, with their progress and results."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apiflask import APIBlueprint
from flask import url_for
from pydantic import AwareDatetime, Field

from service.api.access import tenant_id, transaction
from service.api.paging import Keyset, PageQuery
from service.api.problems import NotFoundError
from service.api.schemas import Run, RunKind, RunsPage, RunState, RunTrigger
from service.core.db import Connection
from service.core.queries import query
from service.queue.runs import get_run

blueprint = APIBlueprint("runs", __name__, tag="Runs")

_BY_TIME = Keyset("runs", created_at=AwareDatetime, run_id=UUID)


class RunsQuery(PageQuery):
    """Which page of the runs."""

    kind: RunKind | None = Field(None, description="Only runs of this kind.")
    state: RunState | None = Field(None, description="Only runs in this state.")
    trigger: RunTrigger | None = Field(None, description="Only runs with this trigger.")


def answer_accepted(run: dict[str, Any]) -> tuple[Run, int, dict[str, str]]:
    """202 with a run, and its URL in ``Location``."""
    location = url_for("runs.show_run", run_id=run["run_id"])
    return Run.model_validate(run), 202, {"Location": location}


@blueprint.get("/api/admin/runs")
@blueprint.input(RunsQuery, location="query", arg_name="page")
@blueprint.output(RunsPage)
def list_runs(page: RunsQuery) -> dict[str, Any]:
    """List runs, newest first."""
    with transaction() as conn:
        return read_runs(conn, page)


def read_runs(conn: Connection, page: RunsQuery) -> dict[str, Any]:
    """A page of the tenant's runs, and the cursor of the next page."""
    return _BY_TIME.read_page(
        conn,
        page,
        query("api.list_runs"),
        tenant_id=tenant_id(),
        kind=page.kind,
        state=page.state,
        trigger=page.trigger,
    )


@blueprint.get("/api/admin/runs/<uuid:run_id>")
@blueprint.output(Run)
def show_run(run_id: UUID) -> dict[str, Any]:
    """Get a run."""
    with transaction() as conn:
        row = get_run(conn, tenant_id(), run_id)
    if row is None:
        raise NotFoundError("There is no such run.")
    return row
