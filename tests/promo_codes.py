"""Helpers for tests of promo codes: scored customers, and runs that apply the codes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sandbox.shopify import Store
from sandbox.shopify.discounts import Discount
from service.core.config import Settings
from service.core.db import (
    Pool,
    connect,
    connect_as_owner,
    tenant_transaction,
    transform_url,
)
from service.promo_codes.apply import apply_promo_codes
from service.queue.runs import record_run, start_run
from tests.web import CALCULATED_AT, SUMMARIZED, add_scored_customers

PATH = "/api/admin/promo-codes"


def apply_codes(settings: Settings, pool: Pool, tenant_id: UUID) -> dict[str, int]:
    """Do the queued run, as a worker does; returns its counts."""
    with tenant_transaction(pool, tenant_id) as conn:
        run_id = start_run(conn, tenant_id, "promo_codes", "person").run["run_id"]
    with record_run(pool, tenant_id, run_id) as recorder:
        apply_promo_codes(settings, pool, tenant_id, recorder)
    return dict(recorder.counts)


def add_customers(settings: Settings, tenant_id: UUID, segments: dict[str, Sequence[str]]) -> None:
    """Put customers of the store into RFM segments, and into the loaded customers."""
    rows = [(number, segment, "9.00") for segment, ids in segments.items() for number in ids]
    add_scored_customers(settings, tenant_id, rows)
    with connect_as_owner(settings) as conn, conn.cursor() as cursor:
        cursor.executemany(
            """
            insert into shopify.customers (tenant_id, customer_id, email, marketing_state)
            values (%s, %s, %s, 'SUBSCRIBED')
            """,
            [(tenant_id, number, f"c{number}@example.com") for number, _, _ in rows],
        )
    with connect(transform_url(settings)) as conn:
        conn.execute(
            "update marts.customer_facts set is_in_shopify = customer_id ~ '^[0-9]{1,20}$'"
            " where tenant_id = %s",
            [tenant_id],
        )
    summarize(settings, tenant_id)


def summarize(settings: Settings, tenant_id: UUID) -> None:
    """Count the segments of the tenant's customers, as a build does."""
    with connect(transform_url(settings)) as conn:
        conn.execute("delete from marts.rfm_segment_summary where tenant_id = %s", [tenant_id])
        conn.execute(SUMMARIZED, {"tenant_id": tenant_id, "at": CALCULATED_AT})


def move_customers(
    settings: Settings, tenant_id: UUID, customers: Iterable[str], segment: str | None
) -> None:
    """Put scored customers into another segment, as a build does."""
    with connect(transform_url(settings)) as conn:
        conn.execute(
            """
            update marts.customer_facts
            set
                segment = %(segment)s,
                r_score = case when %(segment)s::text is null then null else 5 end,
                f_score = case when %(segment)s::text is null then null else 5 end,
                m_score = case when %(segment)s::text is null then null else 5 end
            where tenant_id = %(tenant_id)s and customer_id = any(%(customers)s)
            """,
            {"tenant_id": tenant_id, "customers": list(customers), "segment": segment},
        )
    summarize(settings, tenant_id)


def only_discount(store: Store) -> Discount:
    """The one discount of the store."""
    (discount,) = store.discounts.values()
    return discount


def targets_of(discount: Discount) -> set[str]:
    """The numbers of the segments or customers that a discount is for."""
    return {str(number) for _, number in discount.targets}


def body(**changes: Any) -> dict[str, Any]:
    """A request to create a promo code."""
    return {
        "code": "VIP20",
        "percentage": "0.2",
        # Before the sandbox's present, and before ours.
        "starts_at": "2026-06-01T00:00:00Z",
        "segments": ["rfm:champions"],
    } | changes
