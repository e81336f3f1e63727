"""Tenants, as operators manage them: on the owner's connection."""

from __future__ import annotations

import re
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
    _check_shop(shop)
    try:
        with conn.transaction():
            row = one(
                conn.execute(query("sql/add_tenant"), {"name": name, "shop": shop}).fetchone()
            )
            tenant_id: UUID = row["tenant_id"]
            conn.execute(query("sql/add_rfm_settings"), {"tenant_id": tenant_id})
            conn.execute(query("sql/add_samples_config"), {"tenant_id": tenant_id})
    except psycopg.errors.UniqueViolation as error:
        raise _taken(error) from None
    return tenant_id


def list_tenants(conn: Connection) -> list[dict[str, Any]]:
    """Every tenant with its shop, currency, time zone and what it is connected to."""
    return conn.execute(query("sql/list_tenants")).fetchall()


def change_tenant(
    conn: Connection,
    tenant_id: UUID,
    *,
    shop: str | None = None,
    currency: str | None = None,
    time_zone: str | None = None,
    window_days: int | None = None,
    excluded_customer_ids: list[str] | None = None,
) -> None:
    """Change what is given and leave the rest.

    Args:
        conn: The owner's connection.
        tenant_id: Whose settings.
        shop: The store's myshopify.com domain; fixed once the store is connected.
        currency: ISO 4217 code.
        time_zone: IANA name.
        window_days: How many days of orders RFM looks at.
        excluded_customer_ids: Customers who are no people; replaces the list, ``[]`` clears it.

    Raises:
        InvalidInputError: Nothing is given, or a value is not possible or taken.
    """
    given = (shop, currency, time_zone, window_days, excluded_customer_ids)
    if all(value is None for value in given):
        raise InvalidInputError(
            "There is nothing to change.", advice="See: quintile tenants set --help"
        )
    _check_shop(shop)
    if excluded_customer_ids is not None:
        excluded_customer_ids = [customer_id.strip() for customer_id in excluded_customer_ids]
        if not all(excluded_customer_ids):
            raise InvalidInputError(
                "A customer to exclude needs an id.",
                advice="To exclude nobody any more: --no-excluded-customers",
            )
    if time_zone is not None and time_zone not in available_timezones():
        raise InvalidInputError(
            f"'{time_zone}' is not a time zone.", advice="It looks like Europe/Berlin."
        )
    try:
        with conn.transaction():
            changed = conn.execute(
                query("sql/change_tenant"),
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
            conn.execute(
                query("sql/change_rfm_settings"),
                {
                    "tenant_id": tenant_id,
                    "window_days": window_days,
                    "excluded_customer_ids": excluded_customer_ids,
                },
            )
    except psycopg.errors.UniqueViolation as error:
        raise _taken(error) from None
    except psycopg.errors.CheckViolation as error:
        what = {
            "tenants_currency_check": "The currency is three capital letters, like EUR.",
            "rfm_settings_window_days_check": "The window is 1 to 3650 days.",
        }
        raise InvalidInputError(
            what.get(error.diag.constraint_name or "", "A value is not possible.")
        ) from None


def _check_shop(shop: str | None) -> None:
    if shop is not None and not _SHOP.fullmatch(shop):
        raise InvalidInputError(
            f"'{shop}' is not a shop's domain.", advice="It looks like my-brand.myshopify.com."
        )


def _taken(error: psycopg.errors.UniqueViolation) -> InvalidInputError:
    taken = "shop" if "shop" in (error.diag.constraint_name or "") else "name"
    return InvalidInputError(
        f"There is a tenant with this {taken} already.", advice="See: quintile tenants list"
    )
