"""The pages of the admin UI.

A page keeps its tab, filters and cursor in the URL only, so every state can be linked to and the
browser's back button works. Charts are rendered on the server; small scripts fill the lists from
the JSON API.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from uuid import UUID

import psycopg
from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from pydantic import ValidationError

from service.api.access import state, tenant_id, transaction
from service.api.integrations import read_shopify_connection
from service.api.integrations_klaviyo import read_klaviyo_connection
from service.api.klaviyo import read_config
from service.api.metafields import read_metafields
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
from service.api.samples import read_sample_months
from service.api.schemas import RfmSummary, SampleMonth
from service.api.segments import read_rfm_summary
from service.api.tenant import read_tenant
from service.core.db import one
from service.core.errors import InvalidInputError
from service.core.queries import query
from service.queue.schedules import next_at
from service.shopify.money import exponent_of
from service.tenants.segment_rules import read_labels, read_rule
from service.ui import sign_in as signing
from service.ui.chart import arrange_movements, draw_history
from service.ui.colours import readable

# Names of the kinds of runs on screen.
RUN_LABELS = {
    "shopify_sync": "Shopify customers and orders",
    "segments_sync": "Shopify segments",
    "klaviyo_sync": "Klaviyo lists",
    "klaviyo_plan": "Klaviyo previews",
    "metafields_sync": "Shopify customer metafields",
    "build": "RFM segments and samples",
    "orders_import": "Order import",
    "promo_codes": "Promo codes",
}

blueprint = Blueprint(
    "admin", __name__, url_prefix="/admin", template_folder="templates", static_folder="static"
)
blueprint.add_app_template_filter(readable)
blueprint.add_url_rule("/sign-in", view_func=signing.show_sign_in)
blueprint.add_url_rule("/sign-in", view_func=signing.sign_in, methods=["POST"])
blueprint.add_url_rule("/sign-in/code", view_func=signing.sign_in_with_code, methods=["POST"])
blueprint.add_url_rule("/sign-out", view_func=signing.sign_out, methods=["POST"])


@blueprint.get("")
def home() -> ResponseReturnValue:
    """Redirect to the segments page."""
    return redirect(url_for("admin.segments"), HTTPStatus.SEE_OTHER)


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
    return _samples_page("sample_order.html", order_id=order_id)


@blueprint.get("/samples/suggestions")
def sample_suggestions() -> str:
    """Orders that may be samples but match no rule."""
    return _samples_page("sample_suggestions.html")


@blueprint.get("/samples/creators")
def creators() -> str:
    """Creators who receive samples."""
    return _samples_page("creators.html")


@blueprint.get("/samples/creators/<uuid:creator_id>")
def creator(creator_id: UUID) -> str:
    """One creator."""
    return _samples_page("creator.html", creator_id=creator_id)


@blueprint.get("/samples/settings")
def sample_settings() -> str:
    """The rules that decide which orders are samples."""
    return _samples_page("sample_settings.html")


@blueprint.get("/activity")
def activity() -> str:
    """Schedules, and past and current runs."""
    with transaction() as conn:
        tenant = read_tenant(conn, tenant_id())
    return render_template(
        "activity.html",
        tenant=tenant,
        section="activity",
        kinds=[("", "All types"), *RUN_LABELS.items()],
        run_days=state().settings.run_days,
    )


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
    """Klaviyo lists that are synced with segments."""
    with transaction() as conn:
        tenant = read_tenant(conn, tenant_id())
        labels = read_labels(conn, tenant_id())
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
        rfm_labels=labels,
    )


@blueprint.get("/klaviyo/<uuid:config_id>")
def klaviyo_config(config_id: UUID) -> str:
    """One synced list: profiles, history or settings, depending on the ``tab`` parameter."""
    wanted = request.args.get("tab", "")
    with transaction() as conn:
        tenant = read_tenant(conn, tenant_id())
        config = read_config(conn, tenant_id(), config_id)
    return render_template(
        "klaviyo_config.html",
        tenant=tenant,
        section="klaviyo",
        config=config,
        tab=wanted if wanted in ("history", "settings") else "rows",
    )


def _samples_page(template: str, **values: Any) -> str:
    with transaction() as conn:
        tenant = read_tenant(conn, tenant_id())
    return render_template(template, tenant=tenant, section="samples", **values)


def _months_if_built(conn: psycopg.Connection[Any]) -> list[SampleMonth]:
    """All samples by month, newest first. Empty before the first build."""
    try:
        with conn.transaction():
            return [month for month in read_sample_months(conn) if month.type == "all"]
    except psycopg.errors.UndefinedTable:
        return []


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
