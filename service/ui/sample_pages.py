"""The pages about samples and creators."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, Literal
from uuid import UUID

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from service.api.access import tenant_id, transaction
from service.api.creators import read_creator, read_creators
from service.api.paging import SearchQuery
from service.api.samples import SuggestionsQuery, read_sample_stats, read_suggestions
from service.api.samples_list import SamplesQuery, count_samples, list_samples
from service.api.schemas import (
    Creator,
    CreatorsPage,
    SampleFigures,
    SampleOrdersPage,
    SampleStats,
    SampleStatus,
    SampleSuggestionsPage,
)
from service.api.tenant import read_tenant
from service.core.db import Connection
from service.ui.blueprint import blueprint, render
from service.ui.reading import filters_of_url, query_of_url, read_part

_FILTERS = ("type", "status", "q", "creator_id", "ordered_from", "ordered_until", "sort")
# The reasons of suggestions, in words.
_REASONS = {
    "": "Any reason",
    "tag_not_free": "Sample tag, but paid",
    "channel_not_free": "Sample channel, nearly free",
    "tag_looks_like_sample": "Free, with a tag like a sample tag",
}


@blueprint.get("/samples")
def samples() -> str:
    """Sample orders, with their figures as filters."""
    with transaction() as conn:
        tenant = read_tenant(conn, tenant_id())
        stats, _ = read_part(conn, lambda: read_sample_stats(conn))
        page, failure = read_part(conn, lambda: _read_samples(conn))
    return render_template(
        "samples.html",
        tenant=tenant,
        section="samples",
        stats=stats,
        shown=_figures_of_type(stats),
        cards=_cards(stats),
        page=page,
        failure=failure,
        filters=filters_of_url(*_FILTERS),
        address=_address,
    )


@blueprint.get("/samples/orders/<order_id>")
def sample_order(order_id: str) -> str:
    """One sample order."""
    return render("sample_order.html", "samples", order_id=order_id)


@blueprint.get("/samples/suggestions")
def sample_suggestions() -> str:
    """Orders that may be samples but match no rule."""
    with transaction() as conn:
        tenant = read_tenant(conn, tenant_id())
        page, failure = read_part(
            conn,
            lambda: SampleSuggestionsPage.model_validate(
                read_suggestions(conn, query_of_url(SuggestionsQuery))
            ),
        )
    return render_template(
        "sample_suggestions.html",
        tenant=tenant,
        section="samples",
        page=page,
        failure=failure,
        reasons=_REASONS,
        filters=filters_of_url("reason"),
        address=partial(_address, names=("reason",)),
    )


@blueprint.get("/samples/creators")
def creators() -> str:
    """Creators who receive samples."""
    with transaction() as conn:
        tenant = read_tenant(conn, tenant_id())
        page, failure = read_part(
            conn,
            lambda: CreatorsPage.model_validate(read_creators(conn, query_of_url(SearchQuery))),
        )
    return render_template(
        "creators.html",
        tenant=tenant,
        section="samples",
        page=page,
        failure=failure,
        filters=filters_of_url("q"),
        address=partial(_address, names=("q",)),
    )


@blueprint.get("/samples/creators/<uuid:creator_id>")
def creator(creator_id: UUID) -> ResponseReturnValue:
    """One creator, and the samples that they received."""
    with transaction() as conn:
        tenant = read_tenant(conn, tenant_id())
        found, failure = read_part(
            conn, lambda: Creator.model_validate(read_creator(conn, creator_id))
        )
        samples = None
        if found:
            samples, failure = read_part(conn, lambda: _read_samples(conn, creator_id=creator_id))
    page = render_template(
        "creator.html",
        tenant=tenant,
        section="samples",
        creator_id=creator_id,
        creator=found,
        samples=samples,
        failure=failure,
        address=partial(_address, names=(), creator_id=creator_id),
    )
    return page, HTTPStatus.OK if found else HTTPStatus.NOT_FOUND


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
    wanted = filters_of_url("type", "status")

    def of_type(key: Literal["ugc", "tiktok"], label: str) -> Card:
        is_active = wanted.get("type") == key
        address = _address(type=None if is_active else key)
        return Card(key, label, totals.get(key), address, is_active)

    def of_status(key: SampleStatus, label: str) -> Card:
        is_active = wanted.get("status") == key
        value = None if shown is None else int(getattr(shown, key))
        return Card(key, label, value, _address(status=None if is_active else key), is_active)

    everything = _address(type=None, status=None)
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


def _read_samples(conn: Connection, **filters: Any) -> dict[str, Any]:
    """The rows of the list, how many there are in all, and the cursor of the next page.

    Args:
        conn: A connection.
        filters: Filters that replace those of the URL.
    """
    query = query_of_url(SamplesQuery).model_copy(update=filters)
    read = SampleOrdersPage.model_validate(list_samples(conn, tenant_id(), query))
    is_all = query.cursor is None and read.next_cursor is None
    total = len(read.data) if is_all else count_samples(conn, tenant_id(), query)
    return {"rows": read.data, "total": total, "next_cursor": read.next_cursor}


def _address(*, names: tuple[str, ...] = _FILTERS, **changes: Any) -> str:
    """The URL of this page with other filters, from the first page on."""
    return url_for(str(request.endpoint), **{**filters_of_url(*names), **changes})
