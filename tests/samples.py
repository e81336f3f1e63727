"""What the tests of samples share: orders as they land, and the models of samples alone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

from service.core.config import Settings
from service.core.db import Connection
from tests.warm_dbt import dbt

AS_OF = "2026-07-01"
MODELS = ("int_orders_matched_as_samples", "marts.samples")

_ORDER: dict[str, Any] = {
    "order_number": None,
    "customer_id": None,
    "customer_email": None,
    "processed_at": "2026-06-01 12:00+00",
    "subtotal_minor": 0,
    "refunded_minor": 0,
    "channel": None,
    "tags": [],
    "note": None,
    "line_items": "[]",
    "fulfillment_status": None,
    "first_fulfilled_at": None,
}


def land(conn: Connection, tenant_id: UUID, orders: Iterable[dict[str, Any]]) -> None:
    """Land orders, each of which overrides a free one without tags or channel."""
    with conn.cursor() as cursor:
        cursor.executemany(
            """
            insert into shopify.orders (
                tenant_id, order_id, order_number, customer_id, customer_email, processed_at,
                currency, total_minor, subtotal_minor, refunded_minor, channel, tags, note,
                line_items, fulfillment_status, first_fulfilled_at, source
            )
            values (
                %(tenant_id)s, %(order_id)s, %(order_number)s, %(customer_id)s, %(customer_email)s,
                %(processed_at)s, 'EUR', %(subtotal_minor)s, %(subtotal_minor)s,
                %(refunded_minor)s, %(channel)s, %(tags)s, %(note)s, %(line_items)s,
                %(fulfillment_status)s, %(first_fulfilled_at)s, 'api'
            )
            """,
            [{**_ORDER, "tenant_id": tenant_id, **order} for order in orders],
        )


def configure(conn: Connection, tenant_id: UUID, **config: Any) -> None:
    """Give a tenant sample settings; tags and patterns that are not named are empty."""
    conn.execute(
        """
        update app.samples_config
        set
            ugc_tags = %(ugc_tags)s,
            tiktok_tags = %(tiktok_tags)s,
            channel_patterns = %(channel_patterns)s,
            zero_price_only = %(zero_price_only)s,
            ugc_zero_price_only = %(ugc_zero_price_only)s
        where tenant_id = %(tenant_id)s
        """,
        {
            "tenant_id": tenant_id,
            "ugc_tags": [],
            "tiktok_tags": [],
            "channel_patterns": [],
            "zero_price_only": True,
            "ugc_zero_price_only": False,
            **config,
        },
    )


def build_samples(
    settings: Settings, target: Path, command: str = "build", **variables: Any
) -> None:
    """Build and test what samples need, and nothing of RFM; ``run`` only runs the models."""
    dbt(
        settings.database_url,
        target,
        *(command, "--select", *(f"+{name}" for name in MODELS)),
        *(("--exclude-resource-type", "unit_test") if command == "build" else ()),
        *("--vars", json.dumps({"as_of": AS_OF, **variables})),
    )
