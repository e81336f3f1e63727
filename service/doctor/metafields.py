"""Checks of RFM in customer metafields: what keeps them from being up to date."""

from __future__ import annotations

from collections.abc import Iterator

from service.core.db import Connection
from service.core.queries import query
from service.doctor.finding import Finding
from service.shopify.metafields import describe_problem, read_status

_REFUSED_ADVICE = "See why, and which customers: quintile metafields status --tenant {tenant}"


def check_metafields(conn: Connection) -> Iterator[Finding]:
    """Stores whose metafields cannot be written or removed, or have refused customers.

    Args:
        conn: The owner's connection, which sees all tenants.
    """
    for tenant in conn.execute(query("doctor.list_metafield_tenants")).fetchall():
        name = tenant["name"]
        status = read_status(conn, tenant["tenant_id"])
        if problem := describe_problem(status):
            yield Finding("warning", "metafields", f"{name}: {problem.in_words}", problem.advice)
        elif status.refused and status.state == "on":
            customers = "1 customer" if status.refused == 1 else f"{status.refused:,} customers"
            message = f"{name}: Shopify refused the metafields of {customers}"
            yield Finding("warning", "metafields", message, _REFUSED_ADVICE.format(tenant=name))
