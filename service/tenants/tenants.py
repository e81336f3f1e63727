"""Tenants, as operators manage them: on the owner's connection."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID
from zoneinfo import available_timezones

import psycopg

from service.core.db import Connection, one
from service.core.errors import InvalidInputError
from service.core.queries import query
from service.tenants.shop_domain import check_shop_domain

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
    shop = None if shop is None else check_shop_domain(shop)
    try:
        with conn.transaction():
            row = one(
                conn.execute(query("tenants.add_tenant"), {"name": name, "shop": shop}).fetchone()
            )
            tenant_id: UUID = row["tenant_id"]
            conn.execute(query("tenants.add_rfm_settings"), {"tenant_id": tenant_id})
            conn.execute(query("tenants.add_samples_config"), {"tenant_id": tenant_id})
    except psycopg.errors.UniqueViolation as error:
        raise _taken(error) from None
    return tenant_id


def list_tenants(conn: Connection) -> list[dict[str, Any]]:
    """Every tenant with its shop, currency, time zone and what it is connected to."""
    return conn.execute(query("tenants.list_tenants")).fetchall()


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


# By constraint: the field and what is wrong with it.
_IMPOSSIBLE = {
    "tenants_currency_check": ("currency", "The currency is three capital letters, like EUR."),
    "rfm_settings_window_days_check": ("window_days", "The window is 1 to 3650 days."),
    "rfm_settings_minimum_check": (
        "minimum_minor",
        "The least value of an order is not below 0.",
    ),
    "rfm_settings_domains_check": ("excluded_domains", "A domain looks like example.com."),
    "rfm_settings_customer_ids_check": (
        "excluded_customer_ids",
        "A customer to exclude needs an id.",
    ),
    "rfm_settings_time_zone_check": ("time_zone", "The database does not know this time zone."),
}


def change_tenant(
    conn: Connection,
    tenant_id: UUID,
    *,
    shop: str | None = None,
    currency: str | None = None,
    time_zone: str | None = None,
    rfm: RfmChange | None = None,
) -> None:
    """Change what is given and leave the rest.

    Args:
        conn: The owner's connection.
        tenant_id: Whose settings.
        shop: The store's myshopify.com domain; fixed once the store is connected.
        currency: ISO 4217 code.
        time_zone: IANA name of the shop's zone.
        rfm: What to change of how RFM counts.

    Raises:
        InvalidInputError: Nothing is given, or a value is not possible or taken.
    """
    rfm = rfm or RfmChange()
    if all(value is None for value in (shop, currency, time_zone, *asdict(rfm).values())):
        raise InvalidInputError(
            "There is nothing to change.", advice="See: quintile tenants set --help"
        )
    shop = None if shop is None else check_shop_domain(shop)
    _check_time_zone(time_zone)
    try:
        with conn.transaction():
            changed = conn.execute(
                query("tenants.change_tenant"),
                {
                    "tenant_id": tenant_id,
                    "shop": shop,
                    "currency": currency,
                    "time_zone": time_zone,
                },
            ).fetchone()
            if changed is None:
                raise InvalidInputError(
                    "This tenant is connected to another shop already.",
                    advice="Another shop is another tenant: quintile tenants add NAME --shop "
                    f"{shop}",
                )
            change_rfm_settings(conn, tenant_id, rfm)
    except psycopg.errors.UniqueViolation as error:
        raise _taken(error) from None
    except psycopg.errors.CheckViolation as error:
        raise _impossible(error) from None


def change_rfm_settings(conn: Connection, tenant_id: UUID, rfm: RfmChange) -> None:
    """Change how RFM counts, in the caller's transaction; what is None stays.

    Raises:
        InvalidInputError: A value is not possible; the transaction is as it was before.
    """
    _check_time_zone(rfm.time_zone)
    values = asdict(rfm)
    if rfm.excluded_customer_ids is not None:
        values["excluded_customer_ids"] = [text.strip() for text in rfm.excluded_customer_ids]
        if not all(values["excluded_customer_ids"]):
            raise InvalidInputError(
                "A customer to exclude needs an id.",
                advice="To exclude nobody any more: --no-excluded-customers",
                field="excluded_customer_ids",
            )
    if rfm.excluded_domains is not None:
        values["excluded_domains"] = [text.strip().lower() for text in rfm.excluded_domains]
    try:
        with conn.transaction():
            conn.execute(query("tenants.change_rfm_settings"), {"tenant_id": tenant_id, **values})
    except psycopg.errors.CheckViolation as error:
        raise _impossible(error) from None
    except psycopg.errors.NumericValueOutOfRange:
        raise InvalidInputError("A number is too large.") from None


def _impossible(error: psycopg.errors.CheckViolation) -> InvalidInputError:
    field, message = _IMPOSSIBLE.get(
        error.diag.constraint_name or "", ("", "A value is not possible.")
    )
    return InvalidInputError(message, field=field)


def _check_time_zone(zone: str | None) -> None:
    if zone is not None and zone not in available_timezones():
        raise InvalidInputError(
            f"'{zone}' is not a time zone.",
            advice="It looks like Europe/Berlin.",
            field="time_zone",
        )


def _taken(error: psycopg.errors.UniqueViolation) -> InvalidInputError:
    taken = "shop" if "shop" in (error.diag.constraint_name or "") else "name"
    return InvalidInputError(
        f"There is a tenant with this {taken} already.", advice="See: quintile tenants list"
    )
