"""Checks of the lists that are synced with Klaviyo."""

from __future__ import annotations

from collections.abc import Iterator

from service.core.db import Connection
from service.destinations.configs import lists_to_attend_to
from service.doctor.finding import Finding
from service.tenants.tenants import list_tenants


def check_lists(conn: Connection) -> Iterator[Finding]:
    """Synced lists that are paused or wait for approval, and why."""
    for tenant in list_tenants(conn):
        tenant_id, name = tenant["tenant_id"], tenant["name"]
        for item in lists_to_attend_to(conn, tenant_id):
            yield Finding("warning", "klaviyo", f"{name}: {item.message()}", item.advice(name))
