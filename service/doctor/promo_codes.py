"""Checks of promo codes: those that need attention."""

from __future__ import annotations

from collections.abc import Iterator

from service.core.db import Connection
from service.doctor.finding import Finding
from service.promo_codes.codes import list_codes
from service.tenants.tenants import list_tenants


def check_promo_codes(conn: Connection) -> Iterator[Finding]:
    """Promo codes with a problem, and what to do about it."""
    for tenant in list_tenants(conn):
        name = tenant["name"]
        for code in list_codes(conn, tenant["tenant_id"]):
            if problem := code["problem"]:
                retry = f"To try again: quintile promo-codes retry {code['code']} --tenant {name}"
                message = f"{name}: promo code '{code['code']}': {problem['in_words']}"
                advice = f"{problem['advice'] or ''} {retry}".strip()
                yield Finding("warning", "promo codes", message, advice)
