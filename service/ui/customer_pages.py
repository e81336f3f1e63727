"""The pages about customers."""

from __future__ import annotations

from flask import render_template

from service.api.access import tenant_id, transaction
from service.api.customers import (
    CustomersQuery,
    read_customer,
    read_customers,
    read_orders,
)
from service.api.paging import PageQuery
from service.api.tenant import read_tenant
from service.tenants.segment_rules import read_segments
from service.ui.blueprint import blueprint
from service.ui.listing import read_listing

# Why an order does not count, in words. A dbt project may add reasons of its own.
REASONS = {
    "test": "test order",
    "cancelled": "cancelled",
    "voided": "payment voided or expired",
    "sample": "sample",
    "refunded_in_full": "refunded in full",
    "zero_value": "nothing paid, or less than the minimum",
    "foreign_currency": "other currency than the store's",
    "no_customer": "no customer",
    "excluded_customer": "customer excluded in the settings",
    "outside_window": "outside the RFM window",
}
# What a sync did with the customer's address on a list.
LIST_STATES = {
    "pending": ("Pending", "warn"),
    "synced": ("Synced", "good"),
    "rejected": ("Rejected by Klaviyo", "bad"),
    "kept": ("Already on the list", ""),
    "removed": ("Removed in Klaviyo", "warn"),
}
SAMPLE_STATUSES = {
    "pending": "Pending",
    "partial": "Partly fulfilled",
    "fulfilled": "Fulfilled",
    "cancelled": "Cancelled",
}
CONSENT = {
    "subscribed": ("Subscribed", "good"),
    "unsubscribed": ("Unsubscribed", "warn"),
    "not_subscribed": ("Not subscribed", ""),
    "pending": ("Waiting for confirmation", "warn"),
}


@blueprint.get("/customers")
def customers() -> str:
    """All customers, with or without a score."""
    with transaction() as conn:
        tenant = read_tenant(conn, tenant_id())
        segments = read_segments(conn, tenant_id())
        listing = read_listing(
            conn,
            CustomersQuery,
            lambda page: read_customers(conn, tenant_id(), page),
            sort="window_spend",
        )
    return render_template(
        "customers.html",
        tenant=tenant,
        section="segments",
        listing=listing,
        segments={known.segment: (known, place) for place, known in enumerate(segments)},
        filters={"q": "Search"},
    )


@blueprint.get("/customers/<path:customer_id>")
def customer(customer_id: str) -> str:
    """One customer: why they are in their segment, history, orders, samples and lists."""
    with transaction() as conn:
        tenant = read_tenant(conn, tenant_id())
        row = read_customer(conn, tenant_id(), customer_id)
        segments = read_segments(conn, tenant_id())
        orders = read_listing(
            conn, PageQuery, lambda page: read_orders(conn, tenant_id(), customer_id, page)
        )
    return render_template(
        "customer.html",
        tenant=tenant,
        section="segments",
        customer=row,
        segments={known.segment: (known, place) for place, known in enumerate(segments)},
        orders=orders,
        reasons=REASONS,
        list_states=LIST_STATES,
        statuses=SAMPLE_STATUSES,
        consent=CONSENT,
    )
