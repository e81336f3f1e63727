"""The pages about promo codes."""

from __future__ import annotations

from typing import Any

from flask import render_template, request
from pydantic import ValidationError

from service.api.access import state, tenant_id, transaction
from service.api.paging import PageQuery
from service.api.promo_code_history import (
    TargetChangesQuery,
    read_promo_code_history,
    read_target_changes,
)
from service.api.promo_codes import (
    CheckQuery,
    PromoCodesQuery,
    read_promo_codes,
)
from service.api.tenant import read_tenant
from service.core.db import Connection
from service.core.errors import InvalidInputError, QuintileError
from service.promo_codes import codes
from service.promo_codes.check import Eligibility, check_customer
from service.promo_codes.segments import list_target_names
from service.ui.blueprint import blueprint
from service.ui.listing import read_listing

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
_CHANGES = {
    "added": ("Added", "good"),
    "removed": ("Removed", ""),
    "refused": ("Unknown to Shopify", "warn"),
}


@blueprint.get("/promo-codes")
def promo_codes() -> str:
    """Promo codes. The parameter ``segment`` opens the form for a new one with this segment."""
    with transaction() as conn:
        page = _shared(conn)
        page["cannot_create"] = _why_none_can_be_created(conn)
        listing = read_listing(
            conn,
            PromoCodesQuery,
            lambda wanted: read_promo_codes(conn, tenant_id(), wanted),
            names={"segment": "for"},
        )
    return render_template(
        "promo_codes.html",
        **page,
        listing=listing,
        filters={"q": "Search", "state": "Status", "for": "Segment"},
        state_choices=[("", "Any status"), *((key, label) for key, (label, _) in _STATES.items())],
        chosen_segment=request.args.get("segment", ""),
    )


@blueprint.get("/promo-codes/<code>")
def promo_code(code: str) -> str:
    """One promo code: who may use it, what changed, and whether a customer may use it."""
    customer = request.args.get("customer", "").strip()
    with transaction() as conn:
        page = _shared(conn)
        found = codes.get_code(conn, tenant_id(), code)
        history = read_listing(
            conn,
            PageQuery,
            lambda wanted: read_promo_code_history(
                conn, tenant_id(), found["promo_code_id"], wanted
            ),
            limit="20",
        )
        checked = _check(conn, code, customer) if customer else None
    return render_template(
        "promo_code.html",
        **page,
        code=found,
        history=history,
        actions=_ACTIONS,
        customer=customer,
        checked=checked,
    )


@blueprint.get("/promo-codes/<code>/changes")
def promo_code_changes(code: str) -> str:
    """Who was added to a promo code and removed."""
    with transaction() as conn:
        found = codes.get_code(conn, tenant_id(), code)
        listing = read_listing(
            conn,
            TargetChangesQuery,
            lambda wanted: read_target_changes(conn, tenant_id(), found["promo_code_id"], wanted),
        )
        tenant = read_tenant(conn, tenant_id())
    return render_template(
        "promo_code_changes.html",
        tenant=tenant,
        section="promo-codes",
        code=found,
        listing=listing,
        filters={"customer": "Customer", "change": "Change"},
        changes=_CHANGES,
        change_choices=[
            ("", "Any change"),
            *((key, label) for key, (label, _) in _CHANGES.items()),
        ],
        kept_days=state().settings.segment_change_days,
    )


def _shared(conn: Connection) -> dict[str, Any]:
    names = list_target_names(conn, tenant_id())
    return {
        "tenant": read_tenant(conn, tenant_id()),
        "section": "promo-codes",
        "states": _STATES,
        "labels": {name.id: name.label for name in names},
        "targets": [
            (label, [name for name in names if name.source == source])
            for source, label in _SOURCES.items()
        ],
        "most_customers": state().settings.promo_code_customers,
    }


def _why_none_can_be_created(conn: Connection) -> QuintileError | None:
    try:
        codes.check_access(conn, tenant_id())
    except QuintileError as error:
        return error
    return None


def _check(conn: Connection, code: str, customer: str) -> Eligibility | None:
    """Whether the customer may use the code; None for text that is no customer's."""
    try:
        wanted = CheckQuery(customer=customer)
        return check_customer(conn, tenant_id(), code, wanted.customer)
    except (ValidationError, InvalidInputError):
        return None
