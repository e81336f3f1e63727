"""``/api/admin/integrations/klaviyo/config`` and ``…/sync``: what is kept in step, and doing so."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apiflask import APIBlueprint

from service.api.access import state, tenant_id, transaction
from service.api.klaviyo_schemas import (
    ConfirmedRemovals,
    KlaviyoConfig,
    KlaviyoConfigChange,
    KlaviyoConfigs,
    KlaviyoSync,
    NewKlaviyoConfig,
    SyncQuery,
)
from service.api.runs import answer_accepted
from service.api.schemas import Run
from service.core.db import Connection, one
from service.core.errors import InvalidInputError, NotConnectedError
from service.core.queries import query
from service.destinations.configs import (
    ConfigChange,
    NewConfig,
    change_config,
    confirm_removals,
    create_config,
    delete_config,
    get_config,
    list_configs,
)
from service.destinations.sync_runs import request_sync
from service.klaviyo.lists import find_list_name
from service.queue.schedules import next_at

blueprint = APIBlueprint("klaviyo", __name__, tag="Klaviyo")

PATH = "/api/admin/integrations/klaviyo"


def read_configs(conn: Connection, tenant: UUID) -> list[KlaviyoConfig]:
    """All configurations of a tenant, the oldest first."""
    return _describe(conn, tenant, list_configs(conn, tenant))


def read_config(conn: Connection, tenant: UUID, config_id: UUID) -> KlaviyoConfig:
    """One configuration.

    Raises:
        UnknownConfigError: The tenant has none of this id.
    """
    return _describe(conn, tenant, [get_config(conn, tenant, config_id)])[0]


@blueprint.get(f"{PATH}/config")
@blueprint.output(KlaviyoConfigs)
def list_klaviyo_configs() -> dict[str, Any]:
    """Segments that are kept in step with lists: how, since when, and how far apart they are."""
    with transaction() as conn:
        return {"data": read_configs(conn, tenant_id())}


@blueprint.post(f"{PATH}/config")
@blueprint.input(NewKlaviyoConfig, arg_name="new")
@blueprint.output(KlaviyoConfig, status_code=201)
def add_klaviyo_config(new: NewKlaviyoConfig) -> KlaviyoConfig:
    """Keep a list of the account in step with a segment, from the next sync on.

    A configuration that would fight with another over the list is refused with the reason.
    """
    segment_key = new.segment_key
    if segment_key is None:
        if new.direction != "pull":
            raise InvalidInputError("Which segment is to feed the list?", field="segment_key")
        segment_key = f"klaviyo:{new.list_id}"
    name = find_list_name(state().settings, state().pool, tenant_id(), new.list_id)
    asked = new.model_dump() | {"segment_key": segment_key, "list_name": name}
    with transaction() as conn:
        config_id = create_config(conn, tenant_id(), NewConfig(**asked))
        return read_config(conn, tenant_id(), config_id)


@blueprint.get(f"{PATH}/config/<uuid:config_id>")
@blueprint.output(KlaviyoConfig)
def show_klaviyo_config(config_id: UUID) -> KlaviyoConfig:
    """One configuration."""
    with transaction() as conn:
        return read_config(conn, tenant_id(), config_id)


@blueprint.patch(f"{PATH}/config/<uuid:config_id>")
@blueprint.input(KlaviyoConfigChange, arg_name="change")
@blueprint.output(KlaviyoConfig)
def change_klaviyo_config(config_id: UUID, change: KlaviyoConfigChange) -> KlaviyoConfig:
    """Change how a list is kept in step; `is_paused` pauses it or goes on with it."""
    with transaction() as conn:
        change_config(conn, tenant_id(), config_id, ConfigChange(**change.model_dump()))
        return read_config(conn, tenant_id(), config_id)


@blueprint.delete(f"{PATH}/config/<uuid:config_id>")
@blueprint.output({}, status_code=204)
def delete_klaviyo_config(config_id: UUID) -> str:
    """Keep a list in step no longer, and forget what was known of it; who is on it stays."""
    with transaction() as conn:
        delete_config(conn, tenant_id(), config_id)
    return ""


@blueprint.post(f"{PATH}/config/<uuid:config_id>/confirm")
@blueprint.output(ConfirmedRemovals)
def confirm_klaviyo_removals(config_id: UUID) -> dict[str, int]:
    """Agree to as many removals as the last sync stopped for; the next one carries them out.

    Should there be more of them by then, it stops again.
    """
    with transaction() as conn:
        return {"confirmed_removals": confirm_removals(conn, tenant_id(), config_id)}


@blueprint.post(f"{PATH}/sync")
@blueprint.input(SyncQuery, location="query", arg_name="how")
@blueprint.input(KlaviyoSync, arg_name="what")
@blueprint.output(Run, status_code=202)
def sync_klaviyo_lists(how: SyncQuery, what: KlaviyoSync) -> Any:
    """Start a sync of some configurations or of all that are not paused; or plan it only.

    What each did, or would do, is under `config/<config_id>/runs/<run_id>`.
    """
    with transaction() as conn:
        _require_connection(conn)
        run = request_sync(
            conn,
            tenant_id(),
            what.config_ids,
            is_dry_run=how.dry_run,
            reads_all=how.read_all,
        )
    return answer_accepted(run)


def _require_connection(conn: Connection) -> None:
    connected = conn.execute(
        query("api.is_connected"), {"tenant_id": tenant_id(), "provider": "klaviyo"}
    )
    if not one(connected.fetchone())["is_connected"]:
        raise NotConnectedError(
            "This tenant is not connected to a Klaviyo account.",
            advice="Connect it with a private API key, under Connections.",
        )


def _describe(conn: Connection, tenant: UUID, rows: list[dict[str, Any]]) -> list[KlaviyoConfig]:
    keys = {"tenant_id": tenant, "segment_keys": [row["segment_key"] for row in rows]}
    names = {
        row["segment_key"]: row["name"]
        for row in conn.execute(query("api.find_segment_names"), keys).fetchall()
    }
    following = next_at(conn, state().settings, tenant, "klaviyo")
    return [
        KlaviyoConfig.model_validate(
            {
                **row,
                "segment_name": names.get(row["segment_key"]),
                "members_here": row["local_members"],
                "members_there": row["remote_members"],
                "next_sync_at": following if row["is_scheduled"] and not row["is_paused"] else None,
                "last_sync": _last_sync(row),
            }
        )
        for row in rows
    ]


def _last_sync(row: dict[str, Any]) -> dict[str, Any] | None:
    if row["last_run_id"] is None:
        return None
    told = ("run_id", "state", "stopped_for", "error", "advice", "finished_at")
    stop = (row["last_plan"] or {}).get("stop") or {}
    return {
        **{name: row[f"last_{name}"] for name in told},
        "removals": stop.get("removals") if row["last_stopped_for"] else None,
    }
