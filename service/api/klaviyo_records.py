"""The records of a synced list: sync runs, and the state of each address."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apiflask import APIBlueprint
from pydantic import AwareDatetime

from service.api import klaviyo_schemas as models
from service.api.access import tenant_id, transaction
from service.api.audit_log import record
from service.api.paging import ONE_ROW, Keyset, Text
from service.api.problems import NotFoundError
from service.core.db import Connection
from service.core.queries import query
from service.destinations.configs import get_config, undo_removal

blueprint = APIBlueprint("klaviyo_records", __name__, tag="Klaviyo")

PATH = "/api/admin/integrations/klaviyo/config/<uuid:config_id>"
_RUNS = Keyset("klaviyo runs", requested_at=AwareDatetime, run_id=UUID)
_ROWS = Keyset("klaviyo rows", email=Text)


@blueprint.get(f"{PATH}/runs")
@blueprint.input(models.SyncRunsQuery, location="query", arg_name="page")
@blueprint.output(models.KlaviyoSyncRunsPage)
def list_klaviyo_sync_runs(config_id: UUID, page: models.SyncRunsQuery) -> dict[str, Any]:
    """List the syncs of a synced list, newest first, with counts, errors and duration."""
    with transaction() as conn:
        get_config(conn, tenant_id(), config_id)
        return read_sync_runs(conn, config_id, page)


def read_sync_runs(conn: Connection, config_id: UUID, page: models.SyncRunsQuery) -> dict[str, Any]:
    """A page of the syncs of a synced list, and the cursor of the next page."""
    return _RUNS.read_page(
        conn,
        page,
        query("api.list_klaviyo_sync_runs"),
        **_named(config_id),
        run_id=None,
        with_dry_runs=page.dry_runs,
    )


@blueprint.get(f"{PATH}/runs/<uuid:run_id>")
@blueprint.output(models.KlaviyoSyncRunDetail)
def show_klaviyo_sync_run(config_id: UUID, run_id: UUID) -> dict[str, Any]:
    """Get a sync or dry run of a synced list, with its plan and examples."""
    with transaction() as conn:
        found = _RUNS.read_page(
            conn,
            ONE_ROW,
            query("api.list_klaviyo_sync_runs"),
            **_named(config_id),
            run_id=run_id,
            with_dry_runs=True,
        )
    if not found["data"]:
        raise NotFoundError("This run did not sync this list.")
    return dict(found["data"][0])


@blueprint.get(f"{PATH}/rows")
@blueprint.input(models.RowsQuery, location="query", arg_name="page")
@blueprint.output(models.KlaviyoRowsPage)
def list_klaviyo_rows(config_id: UUID, page: models.RowsQuery) -> dict[str, Any]:
    """List the e-mail addresses that syncs have processed, with the state of each.

    `q` searches addresses for the text, and customer ids for the exact id. Profiles that are on
    the list but not in the segment are left out.
    """
    with transaction() as conn:
        get_config(conn, tenant_id(), config_id)
        return read_rows(conn, config_id, page)


def read_rows(conn: Connection, config_id: UUID, page: models.RowsQuery) -> dict[str, Any]:
    """A page of the addresses of a synced list, and how many there are by state."""
    listed = _ROWS.read_page(
        conn,
        page,
        query("destinations.list_ledger"),
        **_named(config_id),
        state=page.state,
        q=page.q or None,
    )
    states = conn.execute(query("api.count_ledger_states"), _named(config_id)).fetchall()
    return {**listed, "states": {row["state"]: row["addresses"] for row in states}}


@blueprint.post(f"{PATH}/rows/undo")
@blueprint.input(models.RemovedRow, arg_name="row")
@blueprint.output({}, status_code=204)
def undo_klaviyo_removal(config_id: UUID, row: models.RemovedRow) -> str:
    """Undo the removal of an address by a person: the next sync adds it again."""
    # Without the address, which is a person's.
    with transaction() as conn:
        record(conn, "klaviyo_removal.undone", config_id)
        undo_removal(conn, tenant_id(), config_id, row.email)
    return ""


def _named(config_id: UUID) -> dict[str, Any]:
    return {"tenant_id": tenant_id(), "config_id": config_id}
