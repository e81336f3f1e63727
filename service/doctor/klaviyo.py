"""Checks of the lists that are synced with Klaviyo."""

from __future__ import annotations

from collections.abc import Iterator

from service.core.db import Connection
from service.destinations.configs import paused_lists
from service.doctor.finding import Finding
from service.tenants.tenants import list_tenants


def check_paused_lists(conn: Connection) -> Iterator[Finding]:
    """Synced lists that are paused, and why."""
    for tenant in list_tenants(conn):
        for paused in paused_lists(conn, tenant["tenant_id"]):
            message = f"{tenant['name']}: {paused.message()}"
            yield Finding("warning", "klaviyo", message, paused.advice(tenant["name"]))
