"""Checks of what shops do not give: fields withheld, and records that could not be read."""

from __future__ import annotations

from collections.abc import Iterator

from service.core.db import Connection
from service.core.queries import query
from service.doctor.finding import Finding
from service.shopify.problems import QUARANTINE_ADVICE, describe_quarantine
from service.shopify.withheld import describe_withheld


def check_records(conn: Connection) -> Iterator[Finding]:
    """Fields that Shopify denies the app, and quarantined records, of every tenant.

    Args:
        conn: The owner's connection, which sees all tenants.
    """
    for row in conn.execute(query("doctor.list_withheld_fields")).fetchall():
        message, advice = describe_withheld(row["fields"])
        yield Finding("warning", "shopify", f"{row['name']}: {message}", advice)
    for row in conn.execute(query("doctor.count_quarantined_records")).fetchall():
        message = describe_quarantine(row["entity"], row["records"], row["last_id"], row["reason"])
        yield Finding("warning", "shopify", f"{row['name']}: {message}", QUARANTINE_ADVICE)
