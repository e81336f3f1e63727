"""The pages Connections and Klaviyo."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import render_template, request

from service.api.access import tenant_id, transaction
from service.api.integrations import read_shopify_connection
from service.api.integrations_klaviyo import read_klaviyo_connection
from service.api.klaviyo import read_config, read_configs
from service.api.klaviyo_records import read_rows, read_sync_runs
from service.api.klaviyo_schemas import (
    KlaviyoRowsPage,
    KlaviyoSyncRunsPage,
    RowsQuery,
    SyncRunsQuery,
)
from service.api.metafields import read_metafields
from service.api.paging import PageQuery
from service.api.tenant import read_tenant
from service.core.db import Connection, one
from service.core.errors import InvalidInputError
from service.core.queries import query
from service.segments.find import FoundSegment, find_segment
from service.segments.ids import parse_segment_id
from service.tenants.segment_rules import read_labels
from service.ui.blueprint import blueprint
from service.ui.listing import read_listing

# States of a profile of a synced list: label, look and what it means.
ROW_STATES = {
    "synced": ("Synced", "good", ""),
    "pending": ("Pending", "warn", "A change is being sent."),
    "rejected": ("Rejected", "bad", ""),
    "kept": ("Already on list", "", "Was on the list before. Never removed."),
    "removed": ("Removed in Klaviyo", "warn", "Not added again unless you restore it."),
}


@blueprint.get("/connections")
def connections() -> str:
    """The connections to Shopify and Klaviyo."""
    with transaction() as conn:
        tenant = read_tenant(conn, tenant_id())
        shopify = read_shopify_connection(conn, tenant_id())
        metafields = read_metafields(conn, tenant_id())
        klaviyo = read_klaviyo_connection(conn, tenant_id())
    return render_template(
        "connections.html",
        tenant=tenant,
        section="connections",
        shopify=shopify,
        metafields=metafields,
        klaviyo=klaviyo,
    )


@blueprint.get("/klaviyo")
def klaviyo() -> str:
    """Klaviyo lists that are synced with segments. ``segment`` in the URL is chosen in the form."""
    wanted = request.args.get("segment", "")
    with transaction() as conn:
        tenant = read_tenant(conn, tenant_id())
        labels = read_labels(conn, tenant_id())
        chosen = find_segment_of_url(conn, wanted)
        listing = read_listing(
            conn, PageQuery, lambda page: read_configs(conn, tenant_id(), page), limit="200"
        )
        connected = one(
            conn.execute(
                query("api.is_connected"), {"tenant_id": tenant_id(), "provider": "klaviyo"}
            ).fetchone()
        )
    return render_template(
        "klaviyo.html",
        tenant=tenant,
        section="klaviyo",
        is_connected=connected["is_connected"],
        listing=listing,
        rfm_labels=labels,
        chosen_id=wanted if chosen else None,
        chosen_name=chosen.name if chosen else None,
    )


def find_segment_of_url(conn: Connection, text: str) -> FoundSegment | None:
    """The segment with this id; None for a text that is no id, as after a mistake in the URL."""
    try:
        return find_segment(conn, tenant_id(), parse_segment_id(text))
    except InvalidInputError:
        return None


@blueprint.get("/klaviyo/<uuid:config_id>")
def klaviyo_config(config_id: UUID) -> str:
    """One synced list: profiles, history or settings, depending on the ``tab`` parameter."""
    wanted = request.args.get("tab", "")

    def read_profiles(page: RowsQuery) -> dict[str, Any]:
        found = KlaviyoRowsPage.model_validate(read_rows(conn, config_id, page))
        return {"data": found.data, "next_cursor": found.next_cursor, "states": found.states}

    def read_history(page: SyncRunsQuery) -> dict[str, Any]:
        found = KlaviyoSyncRunsPage.model_validate(read_sync_runs(conn, config_id, page))
        return {"data": found.data, "next_cursor": found.next_cursor}

    with transaction() as conn:
        tenant = read_tenant(conn, tenant_id())
        config = read_config(conn, tenant_id(), config_id)
        listing = None
        if wanted == "history":
            listing = read_listing(conn, SyncRunsQuery, read_history)
        elif wanted != "settings" and config.direction != "pull":
            listing = read_listing(conn, RowsQuery, read_profiles)
    return render_template(
        "klaviyo_config.html",
        tenant=tenant,
        section="klaviyo",
        config=config,
        listing=listing,
        states=ROW_STATES,
        state_choices=[("", "Any status"), *((key, state[0]) for key, state in ROW_STATES.items())],
        tab=wanted if wanted in ("history", "settings") else "rows",
    )
