"""The tabs of the segments: all, Shopify, RFM (rfm_pages.py) and Klaviyo lists."""

from __future__ import annotations

from typing import Any

from flask import render_template, request

from service.api.access import fetch_one, state, tenant_id, transaction
from service.api.paging import PageQuery
from service.api.segment_list import SegmentsQuery, list_segments_of
from service.api.segments_klaviyo import read_klaviyo_segments
from service.api.tenant import read_tenant
from service.core.queries import query
from service.queue.schedules import read_schedule
from service.tenants.segment_rules import read_labels
from service.ui.blueprint import blueprint
from service.ui.listing import read_listing
from service.ui.rfm_pages import show_rfm_segments


@blueprint.get("/segments")
def segments() -> str:
    """All segments, or those of one source, depending on the ``tab`` parameter."""
    show = {
        "rfm": show_rfm_segments,
        "shopify": _show_shopify_segments,
        "klaviyo": _show_klaviyo_segments,
    }
    return show.get(request.args.get("tab", ""), _show_all_segments)()


def _show_all_segments() -> str:
    with transaction() as conn:
        tenant = read_tenant(conn, tenant_id())
        places = {f"rfm:{key}": place for place, key in enumerate(read_labels(conn, tenant_id()))}
        listing = read_listing(
            conn, SegmentsQuery, lambda page: list_segments_of(conn, tenant_id(), page), sort="name"
        )
    return _render("segments_all.html", "all", tenant=tenant, listing=listing, places=places)


def _show_shopify_segments() -> str:
    def read(page: SegmentsQuery) -> dict[str, Any]:
        only = page.model_copy(update={"source": "shopify"})
        return list_segments_of(conn, tenant_id(), only)

    with transaction() as conn:
        tenant = read_tenant(conn, tenant_id())
        listing = read_listing(conn, SegmentsQuery, read, sort="name")
        synced = fetch_one(conn, query("api.find_shopify_segments_as_of"))
        schedule = read_schedule(conn, state().settings, tenant_id(), "segments")
    return _render(
        "segments_shopify.html",
        "shopify",
        tenant=tenant,
        listing=listing,
        synced=synced,
        schedule=schedule,
    )


def _show_klaviyo_segments() -> str:
    with transaction() as conn:
        tenant = read_tenant(conn, tenant_id())
        listing = read_listing(
            conn, PageQuery, lambda page: read_klaviyo_segments(conn, tenant_id(), page)
        )
    return _render("segments_klaviyo.html", "klaviyo", tenant=tenant, listing=listing)


def _render(template: str, tab: str, **values: Any) -> str:
    return render_template(template, tab=tab, section="segments", filters={"q": "Search"}, **values)
