"""The pages about segments."""

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
from service.api.rfm_settings import read_rfm_settings
from service.api.schemas import RfmSummary
from service.api.segments import read_rfm_summary
from service.api.tenant import read_tenant
from service.core.errors import InvalidInputError
from service.queue.schedules import next_at
from service.shopify.money import exponent_of
from service.tenants.segment_rules import read_labels, read_rule
from service.ui.blueprint import blueprint
from service.ui.chart import arrange_movements, draw_history


@blueprint.get("/segments")
def segments() -> str:
    """Shopify segments, RFM segments or Klaviyo lists, depending on the ``tab`` parameter."""
    wanted = request.args.get("tab")
    tab = wanted if wanted in ("shopify", "klaviyo") else "rfm"
    page: dict[str, Any] = {"tab": tab, "section": "segments"}
    with transaction() as conn:
        page["tenant"] = read_tenant(conn, tenant_id())
        labels = dict(read_labels(conn, tenant_id()))
        if tab == "rfm":
            page["settings"] = read_rfm_settings(conn, tenant_id())
            page["next_build_at"] = next_at(conn, state().settings, tenant_id(), "build")
            page["summary"] = _summary_if_built(conn)
            if page["summary"]:
                page |= _explanations(conn, page["summary"])
    if tab == "shopify":
        return render_template("segments_shopify.html", **page)
    if tab == "klaviyo":
        return render_template(
            "segments_klaviyo.html", **page, list_id=request.args.get("list", "")
        )
    page["rfm_labels"] = labels
    page["chosen"] = _selected_segment(page["summary"])
    page["days"] = _dates_in_url()
    page["currency"] = page["tenant"].currency or (page["summary"] and page["summary"].currency)
    page["exponent"] = exponent_of(page["currency"]) if page["currency"] else 0
    return render_template("segments_rfm.html", **page)


@blueprint.get("/segments/rule")
def segment_rule() -> str:
    """The RFM segments, and which scores make which."""
    with transaction() as conn:
        tenant = read_tenant(conn, tenant_id())
        rule = read_rule(conn, tenant_id())
    parts = {"segments": rule.segments, "grid": rule.grid}
    return render_template(
        "segment_rule.html", tenant=tenant, section="segments", rule=rule, parts=parts
    )


def _summary_if_built(conn: psycopg.Connection[Any]) -> RfmSummary | None:
    """The RFM summary. None before the first build."""
    try:
        with conn.transaction():
            return read_rfm_summary(conn, tenant_id())
    except (NotBuiltError, psycopg.errors.UndefinedTable):
        return None


def _explanations(conn: psycopg.Connection[Any], summary: RfmSummary) -> dict[str, Any]:
    """Data quality, score cut-offs, history and movements of the segments."""
    tenant = tenant_id()
    history = read_rfm_history(conn, tenant, DaysQuery.model_validate({}))
    movements, date_errors = _movements(conn)
    return {
        "quality": read_rfm_quality(conn, tenant),
        "thresholds": read_rfm_thresholds(conn, tenant).data,
        "history": history,
        "chart": draw_history(history, summary.data),
        "movements": movements,
        "matrix": arrange_movements(movements, summary.data) if movements else None,
        "date_errors": date_errors,
    }


def _movements(conn: psycopg.Connection[Any]) -> tuple[RfmMovements | None, dict[str, str]]:
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


def _selected_segment(summary: RfmSummary | None) -> Any:
    wanted = request.args.get("segment")
    rows = summary.data if summary else []
    return next((row for row in rows if row.segment == wanted), None)
