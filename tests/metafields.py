"""Helpers for tests of RFM in customer metafields."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from sandbox.shopify import Store
from service.core.config import Settings
from service.core.db import Connection, Pool, connect, tenant_transaction, transform_url
from service.queue.progress import Progress
from service.shopify.metafield_sync import sync_metafields
from service.shopify.metafields import FIELDS, NAMESPACE, read_config, turn_off, turn_on
from tests.demo import NullProgress
from tests.web import BUILT, CALCULATED_AT

# Segment and the scores of recency, frequency and monetary value.
Scored = tuple[str, int, int, int]


def score(settings: Settings, tenant_id: UUID, customers: Mapping[str, Scored]) -> None:
    """Have the marts say this of these customers and nothing of others, as a build would."""
    with connect(transform_url(settings)) as conn:
        score_customers(conn, tenant_id, customers)


def score_customers(conn: Connection, tenant_id: UUID, customers: Mapping[str, Scored]) -> None:
    """As :func:`score`, on a connection that may write the marts."""
    conn.execute("delete from marts.customer_facts where tenant_id = %s", [tenant_id])
    with conn.cursor() as cursor:
        cursor.executemany(
            """
            insert into marts.customer_facts (
                tenant_id, customer_id, is_excluded_from_rfm, lifetime_order_count, lifetime_minor,
                window_order_count, window_minor, last_order_at, segment, r_score, f_score, m_score
            )
            values (%s, %s, false, 9, 9900, 9, 9900, '2026-06-01', %s, %s, %s, %s)
            """,
            [(tenant_id, customer_id, *scored) for customer_id, scored in customers.items()],
        )
    conn.execute(BUILT, {"tenant_id": tenant_id, "at": CALCULATED_AT})


def switch(pool: Pool, tenant_id: UUID, *, on: bool) -> None:
    """Turn metafields on or off."""
    with tenant_transaction(pool, tenant_id) as conn:
        (turn_on if on else turn_off)(conn, tenant_id, "a test")


def write(
    settings: Settings, pool: Pool, tenant_id: UUID, progress: Progress | None = None
) -> dict[str, int]:
    """One run; what it counted."""
    counting = NullProgress()
    sync_metafields(settings, pool, tenant_id, progress or counting)
    return counting.counts


def held(store: Store) -> dict[str, Scored]:
    """What the store has of our metafields, by customer; a missing value is empty or 0."""
    found: dict[str, dict[str, str]] = {}
    for (number, namespace, key), value in store.metafields.values.items():
        assert namespace == NAMESPACE
        found.setdefault(str(number), {})[key] = value
    return {
        number: (
            values.get(FIELDS["segment"].key, ""),
            int(values.get(FIELDS["r_score"].key, 0)),
            int(values.get(FIELDS["f_score"].key, 0)),
            int(values.get(FIELDS["m_score"].key, 0)),
        )
        for number, values in found.items()
    }


def ledger(pool: Pool, tenant_id: UUID) -> dict[str, Scored]:
    """What is recorded as written, by customer."""
    with tenant_transaction(pool, tenant_id) as conn:
        rows = conn.execute(
            "select * from app.shopify_customer_metafields where written_at is not null"
        ).fetchall()
    return {
        row["customer_id"]: (row["segment"], row["r_score"], row["f_score"], row["m_score"])
        for row in rows
    }


def leftovers(pool: Pool, tenant_id: UUID) -> tuple[int, bool]:
    """How many changes have still to be made, and whether an upload is under way."""
    with tenant_transaction(pool, tenant_id) as conn:
        row = conn.execute("select count(*) as n from app.shopify_metafield_changes").fetchone()
        assert row is not None
        return row["n"], read_config(conn, tenant_id).upload_id is not None
