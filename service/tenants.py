"""Tenants, as operators manage them: on the owner's connection."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID
from zoneinfo import available_timezones

import psycopg

from service.db import Connection, one, query
from service.errors import InvalidInputError

_SHOP = re.compile(r"[a-z0-9][a-z0-9-]*\.myshopify\.com", re.ASCII)
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.ASCII)


def add_tenant(conn: Connection, name: str, shop: str | None = None) -> UUID:
    """Add a tenant with the default settings.

    Raises:
        InvalidInputError: The name or the shop is not of the right form, or taken.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInputError(
            f"'{name}' cannot be a tenant's name.",
            advice="Lower-case letters, digits, - and _, at most 63, starting with no sign.",
        )
    if shop is not None and not _SHOP.fullmatch(shop):
        raise InvalidInputError(
            f"'{shop}' is not a shop's domain.", advice="It looks like my-brand.myshopify.com."
        )
    try:
        with conn.transaction():
            row = one(
                conn.execute(query("sql/add_tenant"), {"name": name, "shop": shop}).fetchone()
            )
            tenant_id: UUID = row["tenant_id"]
            conn.execute(query("sql/add_rfm_settings"), {"tenant_id": tenant_id})
            conn.execute(query("sql/add_samples_config"), {"tenant_id": tenant_id})
    except psycopg.errors.UniqueViolation as error:
        taken = "shop" if "shop" in (error.diag.constraint_name or "") else "name"
        raise InvalidInputError(
            f"There is a tenant with this {taken} already.", advice="See: quintile tenants list"
        ) from None
    return tenant_id


def list_tenants(conn: Connection) -> list[dict[str, Any]]:
    """Every tenant with its shop, currency, time zone and what it is connected to."""
    return conn.execute(query("sql/list_tenants")).fetchall()


@dataclass(frozen=True)
class RfmChange:
    """How RFM is to count for a tenant; ``None`` leaves a setting as it is.

    ``minimum_minor`` is in minor units of the tenant's currency, ``time_zone`` an IANA name.
    """

    window_days: int | None = None
    time_zone: str | None = None
    minimum_minor: int | None = None
    is_sample_counted: bool | None = None
    excluded_customer_ids: list[str] | None = None
    excluded_domains: list[str] | None = None


_IMPOSSIBLE = {
    "tenants_currency_check": "The currency is three capital letters, like EUR.",
    "rfm_settings_window_days_check": "The window is 1 to 3650 days.",
    "rfm_settings_minimum_check": "The least value of an order is not below 0.",
    "rfm_settings_domains_check": "A domain looks like example.com.",
    "rfm_settings_time_zone_check": "The database does not know this time zone.",
}


def change_tenant(
    conn: Connection,
    tenant_id: UUID,
    *,
    currency: str | None = None,
    time_zone: str | None = None,
    rfm: RfmChange | None = None,
) -> None:
    """Change what is given and leave the rest.

    Raises:
        InvalidInputError: A value is not possible.
    """
    rfm = rfm or RfmChange()
    for zone in (time_zone, rfm.time_zone):
        if zone is not None and zone not in available_timezones():
            raise InvalidInputError(
                f"'{zone}' is not a time zone.", advice="It looks like Europe/Berlin."
            )
    try:
        with conn.transaction():
            conn.execute(
                query("sql/change_tenant"),
                {"tenant_id": tenant_id, "currency": currency, "time_zone": time_zone},
            )
            conn.execute(query("sql/change_rfm_settings"), {"tenant_id": tenant_id, **asdict(rfm)})
    except psycopg.errors.CheckViolation as error:
        raise InvalidInputError(
            _IMPOSSIBLE.get(error.diag.constraint_name or "", "A value is not possible.")
        ) from None
    except psycopg.errors.NumericValueOutOfRange:
        raise InvalidInputError("A number is too large.") from None
