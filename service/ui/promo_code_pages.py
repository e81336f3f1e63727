"""The pages about promo codes."""

from __future__ import annotations

from typing import Any

from flask import render_template, request
from pydantic import ValidationError

from service.api.access import state, tenant_id, transaction
from service.api.paging import PageQuery
from service.api.problems import BadCursorError
from service.api.promo_codes import (
    PromoCodesQuery,
    read_promo_code_history,
    read_promo_codes,
)
from service.api.tenant import read_tenant
from service.core.db import Connection
from service.core.errors import InvalidInputError, QuintileError
from service.promo_codes import codes
from service.promo_codes.check import Eligibility, check_customer
from service.promo_codes.segments import SegmentTarget, list_targets
from service.ui.blueprint import blueprint

_SOURCES = {"rfm": "RFM", "shopify": "Shopify", "klaviyo": "Klaviyo lists"}
_STATES = {
    "active": ("Active", "good"),
    "scheduled": ("Scheduled", "type"),
    "pending": ("Updating", "busy"),
    "waiting": ("Waiting for members", "warn"),
    "needs_attention": ("Needs attention", "bad"),
    "expired": ("Expired", ""),
    "deactivated": ("Deactivated", ""),
    "deleting": ("Deleting", "busy"),
}
_ACTIONS = {
    "created": "Created in Shopify",
    "targets": "Customers updated",
    "values": "Values changed",
    "ended": "Ended in Shopify",
    "resumed": "Works again",
    "gone": "Found deleted in Shopify",
}


@blueprint.get("/promo-codes")
def promo_codes() -> str:
    """Promo codes. The parameter ``segment`` opens the form for a new one with this segment."""
    with transaction() as conn:
        page = _shared(conn)
        page["cannot_create"] = _why_none_can_be_created(conn)
        listed: dict[str, Any] = {"data": [], "next_cursor": None}
        problem = ""
        try:
            listed = read_promo_codes(conn, tenant_id(), _query())
        except (BadCursorError, ValidationError, InvalidInputError):
            problem = "This page of the list is gone, or a filter is not valid."
    return render_template(
        "promo_codes.html",
        **page,
        codes=listed["data"],
        next_cursor=listed["next_cursor"],
        problem=problem,
        chosen_segment=request.args.get("segment", ""),
    )


@blueprint.get("/promo-codes/<code>")
def promo_code(code: str) -> str:
    """One promo code: who may use it, what changed, and whether a customer may use it."""
    customer = request.args.get("customer", "").strip()
    cursor = request.args.get("cursor") or None
    with transaction() as conn:
        page = _shared(conn)
        found = codes.get_code(conn, tenant_id(), code)
        history = read_promo_code_history(
            conn, tenant_id(), found["promo_code_id"], PageQuery(cursor=cursor, limit=20)
        )
        checked = _check(conn, code, customer) if customer else None
    return render_template(
        "promo_code.html",
        **page,
        code=found,
        history=history["data"],
        next_cursor=history["next_cursor"],
        actions=_ACTIONS,
        customer=customer,
        checked=checked,
    )


def _shared(conn: Connection) -> dict[str, Any]:
    targets = list_targets(conn, tenant_id(), state().settings.promo_code_customers)
    return {
        "tenant": read_tenant(conn, tenant_id()),
        "section": "promo-codes",
        "states": _STATES,
        "labels": {target.id: target.label for target in targets},
        "targets": _by_source(targets),
        "most_customers": state().settings.promo_code_customers,
    }


def _by_source(targets: list[SegmentTarget]) -> list[tuple[str, list[SegmentTarget]]]:
    grouped = [
        (label, [target for target in targets if target.source == source])
        for source, label in _SOURCES.items()
    ]
    return [(label, found) for label, found in grouped if found]


def _query() -> PromoCodesQuery:
    names = {"q": "q", "state": "state", "for": "segment", "cursor": "cursor"}
    given = {field: request.args[name] for name, field in names.items() if request.args.get(name)}
    return PromoCodesQuery.model_validate(given)


def _why_none_can_be_created(conn: Connection) -> QuintileError | None:
    try:
        codes.check_access(conn, tenant_id())
    except QuintileError as error:
        return error
    return None


def _check(conn: Connection, code: str, customer: str) -> Eligibility | None:
    """Whether the customer may use the code; None for text that is no customer's."""
    try:
        return check_customer(conn, tenant_id(), code, customer[:320])
    except InvalidInputError:
        return None
