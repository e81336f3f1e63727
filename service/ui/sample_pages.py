"""The pages about samples and creators."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal
from uuid import UUID

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from service.api.access import tenant_id, transaction
from service.api.samples import read_sample_stats
from service.api.samples_list import SamplesQuery, count_samples, list_samples
from service.api.schemas import SampleFigures, SampleOrdersPage, SampleStats, SampleStatus
from service.api.tenant import read_tenant
from service.core.db import Connection
from service.ui.blueprint import blueprint, render
from service.ui.reading import filters_of_url, query_of_url, read_part

_FILTERS = ("type", "status", "q", "creator_id", "ordered_from", "ordered_until", "sort")


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
    return render("sample_suggestions.html", "samples")


@blueprint.get("/samples/creators")
def creators() -> str:
    """Creators who receive samples."""
    return render("creators.html", "samples")


@blueprint.get("/samples/creators/<uuid:creator_id>")
def creator(creator_id: UUID) -> str:
    """One creator."""
    return render("creator.html", "samples", creator_id=creator_id)


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


def _read_samples(conn: Connection) -> dict[str, Any]:
    """The rows of the list, how many there are in all, and the cursor of the next page."""
    query = query_of_url(SamplesQuery)
    read = SampleOrdersPage.model_validate(list_samples(conn, tenant_id(), query))
    is_all = query.cursor is None and read.next_cursor is None
    total = len(read.data) if is_all else count_samples(conn, tenant_id(), query)
    return {"rows": read.data, "total": total, "next_cursor": read.next_cursor}


def _address(**changes: str | None) -> str:
    """The URL of this page with other filters, from the first page on."""
    endpoint = str(request.endpoint)
    return url_for(endpoint, **{**filters_of_url(*_FILTERS), **changes})
