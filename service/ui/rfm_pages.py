"""The RFM tab of the segments, and the pages that decide what it shows: segments and settings."""

from __future__ import annotations

from typing import Any

import psycopg
from flask import render_template, request
from pydantic import ValidationError

from service.api.access import state, tenant_id, transaction
from service.api.problems import NotBuiltError
from service.api.rfm import (
    DaysQuery,
    RfmMovements,
    read_rfm_history,
    read_rfm_movements,
    read_rfm_quality,
    read_rfm_thresholds,
)
from service.api.rfm_figures import read_grid
from service.api.rfm_settings import read_rfm_settings
from service.api.schemas import RfmSummary
from service.api.segment_list import SegmentsQuery, list_segments_of
from service.api.segments import read_rfm_summary
from service.api.tenant import read_tenant
from service.core.db import Connection
from service.core.errors import InvalidInputError
from service.queue.schedules import next_at
from service.segments.definitions import define_rfm_segments
from service.shopify.money import exponent_of
from service.tenants.segment_rules import read_rule
from service.ui.blueprint import blueprint
from service.ui.chart import arrange_grid, arrange_movements, draw_flow, draw_history

# The most that a page of the API has; former segments are beyond what a rule may have.
_MOST_SEGMENTS = 200


def show_rfm_segments() -> str:
    """The RFM tab: segments, scores, history and movements."""
    page: dict[str, Any] = {"tab": "rfm", "section": "segments", "days": _dates_in_url()}
    with transaction() as conn:
        page["tenant"] = read_tenant(conn, tenant_id())
        page["next_build_at"] = next_at(conn, state().settings, tenant_id(), "build")
        page["summary"] = _summary_if_built(conn)
        if page["summary"]:
            page |= _explanations(conn, page["summary"])
    return render_template("segments_rfm.html", **page)


@blueprint.get("/segments/settings")
def rfm_settings() -> str:
    """The settings of RFM: which orders and customers count."""
    with transaction() as conn:
        tenant = read_tenant(conn, tenant_id())
        settings = read_rfm_settings(conn, tenant_id())
        # Imported orders have a currency, even if no store is connected.
        summary = None if tenant.currency else _summary_if_built(conn)
    currency = tenant.currency or (summary.currency if summary else None)
    return render_template(
        "rfm_settings.html",
        tenant=tenant,
        section="segments",
        settings=settings,
        currency=currency,
        exponent=exponent_of(currency) if currency else 0,
    )


@blueprint.get("/segments/rule")
def segment_rule() -> str:
    """The RFM segments, and which scores make which."""
    with transaction() as conn:
        tenant = read_tenant(conn, tenant_id())
        rule = read_rule(conn, tenant_id())
    parts = {"segments": rule.segments, "grid": rule.grid}
    return render_template(
        "segment_rule.html",
        tenant=tenant,
        section="segments",
        rule=rule,
        parts=parts,
        definitions=define_rfm_segments(rule),
    )


def _summary_if_built(conn: Connection) -> RfmSummary | None:
    """The RFM summary. None before the first build."""
    try:
        with conn.transaction():
            return read_rfm_summary(conn, tenant_id())
    except (NotBuiltError, psycopg.errors.UndefinedTable):
        return None


def _explanations(conn: Connection, summary: RfmSummary) -> dict[str, Any]:
    """What the segments are used for, scores, data quality, history and movements."""
    tenant = tenant_id()
    every = SegmentsQuery.model_construct(source="rfm", limit=_MOST_SEGMENTS)
    history = read_rfm_history(conn, tenant, DaysQuery.model_validate({}))
    movements, date_errors = _movements(conn)
    return {
        "listed": {row["id"]: row for row in list_segments_of(conn, tenant, every)["data"]},
        "grid": arrange_grid(read_grid(conn, tenant)["data"], summary.data),
        "quality": read_rfm_quality(conn, tenant),
        "thresholds": read_rfm_thresholds(conn, tenant).data,
        "history": history,
        "chart": draw_history(history, summary.data),
        "movements": movements,
        "matrix": arrange_movements(movements, summary.data) if movements else None,
        "flow": draw_flow(movements, summary.data) if movements else None,
        "date_errors": date_errors,
    }


def _movements(conn: Connection) -> tuple[RfmMovements | None, dict[str, str]]:
    """Movements between the dates in the URL, or an error message for each wrong date."""
    try:
        days = DaysQuery.model_validate(_dates_in_url())
        # This query grows with the time span. If it times out, the rest of the page still loads.
        with conn.transaction():
            return read_rfm_movements(conn, tenant_id(), days), {}
    except ValidationError as error:
        return None, {str(part["loc"][0]): part["msg"] for part in error.errors()}
    except InvalidInputError as error:
        return None, {error.field: f"{error.message} {error.advice}".strip()}
    except psycopg.errors.QueryCanceled:
        return None, {"from": "The query took too long. Choose dates closer together."}


def _dates_in_url() -> dict[str, str]:
    return {name: request.args[name] for name in ("from", "to") if request.args.get(name)}
