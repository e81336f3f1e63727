"""The pages about samples and creators."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg
from flask import render_template, request

from service.api.access import tenant_id, transaction
from service.api.samples import read_sample_months
from service.api.schemas import SampleMonth
from service.api.tenant import read_tenant
from service.ui.blueprint import blueprint, render


@blueprint.get("/samples")
def samples() -> str:
    """Sample orders."""
    with transaction() as conn:
        tenant = read_tenant(conn, tenant_id())
        months = _months_if_built(conn)
    return render_template(
        "samples.html",
        tenant=tenant,
        section="samples",
        type=request.args.get("type", ""),
        status=request.args.get("status", ""),
        months=months,
        most=max((month.total for month in months), default=1),
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
def sample_settings() -> str:
    """The rules that decide which orders are samples."""
    return render("sample_settings.html", "samples")


def _months_if_built(conn: psycopg.Connection[Any]) -> list[SampleMonth]:
    """All samples by month, newest first. Empty before the first build."""
    try:
        with conn.transaction():
            return [month for month in read_sample_months(conn) if month.type == "all"]
    except psycopg.errors.UndefinedTable:
        return []
