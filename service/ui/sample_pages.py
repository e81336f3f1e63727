"""The pages about samples and creators."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal
from uuid import UUID

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from service.api.access import tenant_id, transaction
from service.api.creators import read_creator, read_creators
from service.api.paging import PageQuery, SearchQuery
from service.api.samples import (
    DecisionsQuery,
    SuggestionsQuery,
    read_decisions,
    read_sample,
    read_sample_stats,
    read_suggestions,
)
from service.api.samples_list import SampleFilters, SamplesQuery, count_samples, list_samples
from service.api.schemas import (
    Creator,
    CreatorsPage,
    Page,
    SampleDecisionsPage,
    SampleFigures,
    SampleOrderDetail,
    SampleOrdersPage,
    SampleStats,
    SampleStatus,
    SampleSuggestionsPage,
)
from service.api.tenant import read_tenant
from service.core.db import Connection
from service.core.queries import query
from service.ui.blueprint import blueprint
from service.ui.listing import here, read_if_built, read_listing

# What people read of the filters of the samples.
_FILTERS = {
    "type": "Type",
    "status": "Status",
    "creator_id": "Creator",
    "q": "Search",
    "ordered_from": "From",
    "ordered_until": "To",
    "sort": "Sort by",
}
# The reasons of suggestions, in words.
_REASONS = {
    "": "Any reason",
    "tag_not_free": "Sample tag, but paid",
    "channel_not_free": "Sample channel, nearly free",
    "tag_looks_like_sample": "Free, with a tag like a sample tag",
}

# What people decide about an order, in words.
_DECISIONS = {
    "": "Any decision",
    "ugc": "UGC sample",
    "tiktok": "TikTok sample",
    "dismissed": "Dismissed",
}


@blueprint.get("/samples")
def samples() -> str:
    """Sample orders, with their figures as filters."""
    with transaction() as conn:
        tenant = read_tenant(conn, tenant_id())
        stats = read_if_built(conn, lambda: read_sample_stats(conn))
        listing = read_listing(conn, SamplesQuery, lambda page: _read_samples(conn, page))
    return render_template(
        "samples.html",
        tenant=tenant,
        section="samples",
        stats=stats,
        shown=_figures_of_type(stats),
        cards=_cards(stats),
        listing=listing,
        filters=_FILTERS,
        # The file has the same filters and sort order.
        csv={
            name: listing.given[name]
            for name in SampleFilters.model_fields
            if name in listing.given
        },
    )


@blueprint.get("/samples/orders/<path:order_id>")
def sample_order(order_id: str) -> str:
    """One sample order."""
    with transaction() as conn:
        tenant = read_tenant(conn, tenant_id())
        order = SampleOrderDetail.model_validate(read_sample(conn, order_id))
    return render_template("sample_order.html", tenant=tenant, section="samples", order=order)


@blueprint.get("/samples/suggestions")
def sample_suggestions() -> str:
    """Orders that may be samples but match no rule, or what was decided about such orders."""
    if request.args.get("tab") == "decided":
        return _show_decisions()
    with transaction() as conn:
        tenant = read_tenant(conn, tenant_id())
        listing = read_listing(
            conn,
            SuggestionsQuery,
            lambda page: _parsed(SampleSuggestionsPage, read_suggestions(conn, page)),
        )
    return render_template(
        "sample_suggestions.html",
        tenant=tenant,
        section="samples",
        listing=listing,
        reasons=_REASONS,
    )


def _show_decisions() -> str:
    with transaction() as conn:
        tenant = read_tenant(conn, tenant_id())
        listing = read_listing(
            conn,
            DecisionsQuery,
            lambda page: _parsed(SampleDecisionsPage, read_decisions(conn, page)),
        )
        samples = _find_samples(conn, [row.order_id for row in listing.data])
    return render_template(
        "sample_decisions.html",
        tenant=tenant,
        section="samples",
        listing=listing,
        decisions=_DECISIONS,
        samples=samples,
    )


def _find_samples(conn: Connection, order_ids: list[str]) -> set[str]:
    """Those of the orders that have a page of a sample; none before the first build."""
    named = {"tenant_id": tenant_id(), "order_ids": order_ids}
    statement = query("ui.list_orders_with_sample")
    rows = read_if_built(conn, lambda: conn.execute(statement, named).fetchall())
    return {row["order_id"] for row in rows or []}


@blueprint.get("/samples/creators")
def creators() -> str:
    """Creators who receive samples."""
    with transaction() as conn:
        tenant = read_tenant(conn, tenant_id())
        listing = read_listing(
            conn, SearchQuery, lambda page: _parsed(CreatorsPage, read_creators(conn, page))
        )
    return render_template("creators.html", tenant=tenant, section="samples", listing=listing)


@blueprint.get("/samples/creators/<uuid:creator_id>")
def creator(creator_id: UUID) -> str:
    """One creator, and the samples that they received."""

    def read(page: PageQuery) -> dict[str, Any]:
        wanted = {"creator_id": creator_id, "cursor": page.cursor}
        return _read_samples(conn, SamplesQuery.model_validate(wanted))

    with transaction() as conn:
        tenant = read_tenant(conn, tenant_id())
        found = Creator.model_validate(read_creator(conn, creator_id))
        listing = read_listing(conn, PageQuery, read)
    return render_template(
        "creator.html",
        tenant=tenant,
        section="samples",
        creator_id=creator_id,
        creator=found,
        listing=listing,
    )


@blueprint.get("/samples/settings")
def sample_settings() -> ResponseReturnValue:
    """The rules that decide which orders are samples: a dialog over the list."""
    return redirect(url_for("admin.samples", settings="open"), HTTPStatus.SEE_OTHER)


@dataclass(frozen=True)
class Card:
    """A figure that filters the list. The one that is active leads back to all samples."""

    key: str
    label: str
    value: int | None
    address: str
    is_active: bool


def _cards(stats: SampleStats | None) -> list[Card]:
    """All samples, the types, and the statuses among the samples of the chosen type."""
    totals = {row.type: row.total for row in stats.data} if stats else {}
    shown = _figures_of_type(stats)
    wanted = {name: value for name in ("type", "status") if (value := request.args.get(name))}

    def of_type(key: Literal["ugc", "tiktok"], label: str) -> Card:
        is_active = wanted.get("type") == key
        address = here(type=None if is_active else key, cursor=None)
        return Card(key, label, totals.get(key), address, is_active)

    def of_status(key: SampleStatus, label: str) -> Card:
        is_active = wanted.get("status") == key
        value = None if shown is None else int(getattr(shown, key))
        return Card(
            key, label, value, here(status=None if is_active else key, cursor=None), is_active
        )

    everything = here(type=None, status=None, cursor=None)
    return [
        Card("total", "All samples", totals.get("all"), everything, not wanted),
        of_type("ugc", "UGC"),
        of_type("tiktok", "TikTok"),
        of_status("pending", "Pending fulfilment"),
        of_status("partial", "Partial"),
        of_status("fulfilled", "Fulfilled"),
        of_status("cancelled", "Cancelled"),
    ]


def _figures_of_type(stats: SampleStats | None) -> SampleFigures | None:
    """The figures of the chosen type of samples, or of all samples."""
    if stats is None:
        return None
    by_type: dict[str, SampleFigures] = {row.type: row for row in stats.data}
    return by_type.get(request.args.get("type", "all"), by_type["all"])


def _read_samples(conn: Connection, query: SamplesQuery) -> dict[str, Any]:
    """A page of samples, and how many there are in all."""
    read = _parsed(SampleOrdersPage, list_samples(conn, tenant_id(), query))
    is_all = query.cursor is None and read["next_cursor"] is None
    total = len(read["data"]) if is_all else count_samples(conn, tenant_id(), query)
    return {**read, "total": total}


def _parsed(model: type[Page[Any]], answer: dict[str, Any]) -> dict[str, Any]:
    """A page of the API with rows as objects of their model."""
    page = model.model_validate(answer)
    return {"data": page.data, "next_cursor": page.next_cursor}
