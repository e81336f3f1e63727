"""``/api/admin/integrations/klaviyo/config`` and ``…/sync``: synced lists, and starting a sync."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apiflask import APIBlueprint
from pydantic import AwareDatetime

from service.api import klaviyo_schemas as models
from service.api.access import require_connection, state, tenant_id, transaction
from service.api.audit_log import record, recording
from service.api.paging import Keyset, PageQuery
from service.api.problem_docs import can_answer
from service.api.runs import answer_accepted
from service.api.schemas import Run
from service.core.db import Connection
from service.core.errors import InvalidInputError
from service.core.queries import query
from service.destinations import configs
from service.destinations.plan import ACTIONS
from service.destinations.status import describe_configs
from service.destinations.sync_runs import request_sync
from service.klaviyo.lists import find_list_name
from service.queue.schedules import read_schedule

blueprint = APIBlueprint("klaviyo", __name__, tag="Klaviyo")

PATH = "/api/admin/integrations/klaviyo"
_BY_TIME = Keyset("klaviyo configs", created_at=AwareDatetime, config_id=UUID)


def read_config(conn: Connection, tenant: UUID, config_id: UUID) -> models.KlaviyoConfig:
    """One synced list.

    Raises:
        UnknownConfigError: The tenant has no synced list with this id.
    """
    return _describe(conn, tenant, [configs.get_config(conn, tenant, config_id)])[0]


def read_configs(conn: Connection, tenant: UUID, page: PageQuery) -> dict[str, Any]:
    """A page of the synced lists, oldest first, and the cursor of the next page."""
    statement = query("destinations.list_configs")
    listed = _BY_TIME.read_page(conn, page, statement, tenant_id=tenant, config_id=None)
    return {**listed, "data": _describe(conn, tenant, listed["data"])}


@blueprint.get(f"{PATH}/config")
@blueprint.input(PageQuery, location="query", arg_name="page")
@blueprint.output(models.KlaviyoConfigsPage)
def list_klaviyo_configs(page: PageQuery) -> dict[str, Any]:
    """List synced lists, oldest first, with their settings, pending changes and last sync."""
    with transaction() as conn:
        return read_configs(conn, tenant_id(), page)


@blueprint.post(f"{PATH}/config")
@blueprint.input(models.NewKlaviyoConfig, arg_name="new")
@blueprint.output(models.KlaviyoConfig, status_code=201)
@can_answer("not-connected", "provider-refused", "provider-unavailable")
def add_klaviyo_config(new: models.NewKlaviyoConfig) -> models.KlaviyoConfig:
    """Sync a segment to a list, starting with the next sync.

    Refused with the reason if it conflicts with another synced list.
    """
    segment_key = new.segment_key
    if segment_key is None:
        if new.direction != "pull":
            raise InvalidInputError("Choose the segment to sync to the list.", field="segment_key")
        segment_key = f"klaviyo:{new.list_id}"
    name = find_list_name(state().settings, state().pool, tenant_id(), new.list_id)
    asked = new.model_dump() | {"segment_key": segment_key, "list_name": name}
    with transaction() as conn:
        config_id = configs.create_config(conn, tenant_id(), configs.NewConfig(**asked))
        record(conn, "klaviyo_list.added", config_id, after=asked)
        return read_config(conn, tenant_id(), config_id)


@blueprint.get(f"{PATH}/config/<uuid:config_id>")
@blueprint.output(models.KlaviyoConfig)
def show_klaviyo_config(config_id: UUID) -> models.KlaviyoConfig:
    """Get a synced list."""
    with transaction() as conn:
        return read_config(conn, tenant_id(), config_id)


@blueprint.patch(f"{PATH}/config/<uuid:config_id>")
@blueprint.input(models.KlaviyoConfigChange, arg_name="change")
@blueprint.output(models.KlaviyoConfig)
def change_klaviyo_config(
    config_id: UUID, change: models.KlaviyoConfigChange
) -> models.KlaviyoConfig:
    """Change the settings of a synced list, or pause or resume it with `is_paused`."""
    with transaction() as conn:
        with recording(
            conn,
            "klaviyo_list.changed",
            config_id,
            read=lambda: _settings_of(conn, config_id, change),
        ):
            configs.change_config(
                conn, tenant_id(), config_id, configs.ConfigChange(**change.model_dump())
            )
        return read_config(conn, tenant_id(), config_id)


@blueprint.delete(f"{PATH}/config/<uuid:config_id>")
@blueprint.output({}, status_code=204)
def delete_klaviyo_config(config_id: UUID) -> str:
    """Stop syncing a list and delete its records. Profiles on the list stay there."""
    with transaction() as conn:
        former = configs.auditable(configs.get_config(conn, tenant_id(), config_id))
        configs.delete_config(conn, tenant_id(), config_id)
        record(conn, "klaviyo_list.removed", config_id, before=former)
    return ""


@blueprint.post(f"{PATH}/config/<uuid:config_id>/confirm")
@blueprint.output(models.ConfirmedRemovals)
def confirm_klaviyo_removals(config_id: UUID) -> dict[str, int]:
    """Approve the number of removals that stopped the last sync.

    The next sync removes them. If there are more by then, it stops again.
    """
    with transaction() as conn:
        former = configs.get_config(conn, tenant_id(), config_id)["confirmed_removals"]
        before = {"confirmed_removals": former}
        confirmed = {"confirmed_removals": configs.confirm_removals(conn, tenant_id(), config_id)}
        record(conn, "klaviyo_list.removals_approved", config_id, before=before, after=confirmed)
        return confirmed


@blueprint.post(f"{PATH}/sync")
@blueprint.input(models.SyncQuery, location="query", arg_name="how")
@blueprint.input(models.KlaviyoSync, arg_name="what")
@blueprint.output(Run, status_code=202)
@can_answer("not-connected", "not-found")
def sync_klaviyo_lists(how: models.SyncQuery, what: models.KlaviyoSync) -> Any:
    """Start a sync of some or all synced lists, or a dry run.

    `config/<config_id>/runs/<run_id>` has the result for each list.
    """
    with transaction() as conn:
        record(conn, "klaviyo_sync.started", after={**how.model_dump(), **what.model_dump()})
        require_connection(conn, "klaviyo")
        run = request_sync(
            conn, tenant_id(), what.config_ids, is_dry_run=how.dry_run, reads_all=how.read_all
        )
    return answer_accepted(run)


def _settings_of(
    conn: Connection, config_id: UUID, change: models.KlaviyoConfigChange
) -> dict[str, Any]:
    """The values that a change gives, as they are now."""
    config = read_config(conn, tenant_id(), config_id).model_dump()
    return {name: config[name] for name in change.model_fields_set if name in config}


def _describe(
    conn: Connection, tenant: UUID, rows: list[dict[str, Any]]
) -> list[models.KlaviyoConfig]:
    schedule = read_schedule(conn, state().settings, tenant, "klaviyo")
    following = schedule["next_at"]
    return [
        models.KlaviyoConfig.model_validate(
            {
                **row,
                "members_here": row["local_members"],
                "members_there": row["list_members"],
                "next_sync_at": following if row["is_scheduled"] and not row["is_paused"] else None,
                "schedule_state": schedule["state"],
                "last_sync": _last_sync(row),
            }
        )
        for row in describe_configs(conn, tenant, rows)
    ]


def _last_sync(row: dict[str, Any]) -> dict[str, Any] | None:
    if row["last_run_id"] is None:
        return None
    columns = ("run_id", "state", "stopped_for", "error", "advice", "counts", "finished_at")
    plan = row["last_plan"]
    stop = (plan or {}).get("stop") or {}
    return {
        **{name: row[f"last_{name}"] for name in columns},
        "planned": plan and {action: plan[action]["count"] for action in ACTIONS},
        "removals": stop.get("removals") if row["last_stopped_for"] else None,
    }
