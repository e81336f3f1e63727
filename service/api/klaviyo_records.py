"""What syncs did: a configuration's runs, its rows by state, and the undo of a removal."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apiflask import APIBlueprint

from service.api.access import tenant_id, transaction
from service.api.klaviyo_schemas import (
    KlaviyoRowsPage,
    KlaviyoSyncRunDetail,
    KlaviyoSyncRunsPage,
    RemovedRow,
    RowsQuery,
    SyncRunsQuery,
)
from service.api.paging import KLAVIYO_ROWS, KLAVIYO_RUNS, decode_cursor, split_page
from service.api.problems import NotFoundError
from service.core.db import Connection
from service.core.queries import query
from service.destinations.configs import get_config, undo_removal

blueprint = APIBlueprint("klaviyo_records", __name__, tag="Klaviyo")

PATH = "/api/admin/integrations/klaviyo/config/<uuid:config_id>"


@blueprint.get(f"{PATH}/runs")
@blueprint.input(SyncRunsQuery, location="query", arg_name="page")
@blueprint.output(KlaviyoSyncRunsPage)
def list_klaviyo_sync_runs(config_id: UUID, page: SyncRunsQuery) -> dict[str, Any]:
    """What each sync did about a configuration, newest first: counts, errors, calls, duration."""
    after = decode_cursor(KLAVIYO_RUNS, page.cursor)
    with transaction() as conn:
        get_config(conn, tenant_id(), config_id)
        rows = _select_runs(
            conn,
            config_id,
            with_dry_runs=page.dry_runs,
            after_at=after[1] if after else None,
            after_id=after[2] if after else None,
            row_limit=page.limit + 1,
        )
    data, next_cursor = split_page(rows, page.limit, "klaviyo runs", "requested_at", "run_id")
    return {"data": data, "next_cursor": next_cursor}


@blueprint.get(f"{PATH}/runs/<uuid:run_id>")
@blueprint.output(KlaviyoSyncRunDetail)
def show_klaviyo_sync_run(config_id: UUID, run_id: UUID) -> dict[str, Any]:
    """What one run did about a configuration, or would have done, with examples."""
    with transaction() as conn:
        found = _select_runs(conn, config_id, run_id=run_id, row_limit=1)
    if not found:
        raise NotFoundError("This run had nothing to do with this configuration.")
    return found[0]


@blueprint.get(f"{PATH}/rows")
@blueprint.input(RowsQuery, location="query", arg_name="page")
@blueprint.output(KlaviyoRowsPage)
def list_klaviyo_rows(config_id: UUID, page: RowsQuery) -> dict[str, Any]:
    """The addresses that a configuration has dealt with, and what became of each.

    `q` finds addresses that contain the text, or the customer of that id. Profiles on the list
    that are no members of the segment are not among them.
    """
    after = decode_cursor(KLAVIYO_ROWS, page.cursor)
    with transaction() as conn:
        get_config(conn, tenant_id(), config_id)
        named = {"tenant_id": tenant_id(), "config_id": config_id}
        rows = conn.execute(
            query("destinations.list_ledger"),
            {
                **named,
                "state": page.state,
                "q": page.q or None,
                "after_email": after[1] if after else None,
                "row_limit": page.limit + 1,
            },
        ).fetchall()
        states = conn.execute(query("api.count_ledger_states"), named).fetchall()
    data, next_cursor = split_page(rows, page.limit, "klaviyo rows", "email")
    return {
        "data": data,
        "next_cursor": next_cursor,
        "states": {row["state"]: row["addresses"] for row in states},
    }


@blueprint.post(f"{PATH}/rows/undo")
@blueprint.input(RemovedRow, arg_name="row")
@blueprint.output({}, status_code=204)
def undo_klaviyo_removal(config_id: UUID, row: RemovedRow) -> str:
    """Let the next sync put back an address that a person has taken off the list."""
    with transaction() as conn:
        undo_removal(conn, tenant_id(), config_id, row.email)
    return ""


def _select_runs(conn: Connection, config_id: UUID, **parameters: Any) -> list[dict[str, Any]]:
    unset = {"run_id": None, "with_dry_runs": True, "after_at": None, "after_id": None}
    return conn.execute(
        query("api.list_klaviyo_sync_runs"),
        {"tenant_id": tenant_id(), "config_id": config_id, **unset, **parameters},
    ).fetchall()
