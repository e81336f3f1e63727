"""Adding tenants and changing their settings, on the owner's connection."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
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


@dataclass(frozen=True)
class RfmChange:
    """Changes of a tenant's RFM settings; ``None`` leaves a setting as it is.

    ``minimum_minor`` is in minor units of the tenant's currency, ``time_zone`` an IANA name.
    """

    window_days: int | None = None
    time_zone: str | None = None
    minimum_minor: int | None = None
    is_sample_counted: bool | None = None
    excluded_customer_ids: list[str] | None = None
    excluded_domains: list[str] | None = None
    relay_domains: list[str] | None = None
    additional_window_days: list[int] | None = None


@dataclass(frozen=True)
class SamplesChange:
    """Changes of what makes an order a sample; ``None`` leaves a setting as it is.

    ``zero_price_only`` is about TikTok samples, ``ugc_zero_price_only`` about UGC samples.
    """

    ugc_tags: list[str] | None = None
    tiktok_tags: list[str] | None = None
    channel_patterns: list[str] | None = None
    zero_price_only: bool | None = None
    ugc_zero_price_only: bool | None = None


# By constraint: the field and what is wrong with it.
_VIOLATIONS = {
    "tenants_currency_check": ("currency", "The currency is three capital letters, like EUR."),
    "tenants_country_check": ("country", "The country is two capital letters, like DE."),
    "rfm_settings_window_days_check": ("window_days", "The window is 1 to 3650 days."),
    "rfm_settings_additional_windows_check": (
        "additional_window_days",
        "Additional windows are up to 5 different lengths of 1 to 3650 days.",
    ),
    "rfm_settings_windows_differ_check": (
        "additional_window_days",
        "The main window cannot be an additional window too.",
    ),
    "rfm_settings_minimum_check": ("minimum_minor", "The minimum order value is 0 or more."),
    "rfm_settings_domains_check": ("excluded_domains", "A domain looks like example.com."),
    "rfm_settings_relay_domains_check": (
        "relay_domains",
        "A relay domain looks like relay.example.com or relay*.example.com: * may stand for any"
        " text before the last two parts.",
    ),
    "rfm_settings_customer_ids_check": (
        "excluded_customer_ids",
        "An excluded customer needs an id.",
    ),
    "rfm_settings_time_zone_check": ("time_zone", "The database does not know this time zone."),
}


def add_tenant(conn: Connection, name: str, shop: str | None = None) -> UUID:
    """Add a tenant with the default settings.

    Raises:
        InvalidInputError: The name or the shop's domain is malformed or already used.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInputError(
            f"'{name}' cannot be a tenant's name.",
            advice="Use 1 to 63 lower-case letters, digits, - and _, starting with a letter or"
            " digit.",
        )
    shop = None if shop is None else check_shop_domain(shop)
    with _transaction(conn):
        row = conn.execute(query("tenants.add_tenant"), {"name": name, "shop": shop}).fetchone()
        tenant_id: UUID = one(row)["tenant_id"]
        conn.execute(query("tenants.add_rfm_settings"), {"tenant_id": tenant_id})
        conn.execute(query("tenants.add_samples_config"), {"tenant_id": tenant_id})
    return tenant_id


def list_tenants(conn: Connection) -> list[dict[str, Any]]:
    """Every tenant with its shop, currency, time zone and connected providers."""
    return conn.execute(query("tenants.list_tenants")).fetchall()


def read_settings(conn: Connection, tenant_id: UUID) -> dict[str, Any]:
    """What :func:`change_tenant` can change, as the audit log has it.

    Of excluded customers only the number, because erasing a customer does not search the log.
    """
    return one(conn.execute(query("tenants.read_settings"), {"tenant_id": tenant_id}).fetchone())


def change_tenant(
    conn: Connection,
    tenant_id: UUID,
    *,
    shop: str | None = None,
    currency: str | None = None,
    time_zone: str | None = None,
    country: str | None = None,
    rfm: RfmChange | None = None,
    samples: SamplesChange | None = None,
) -> None:
    """Change a tenant's settings; what is None stays as it is.

    Args:
        conn: The owner's connection.
        tenant_id: The tenant.
        shop: The store's myshopify.com domain; fixed once the store is connected.
        currency: ISO 4217 code.
        time_zone: IANA name of the shop's time zone.
        country: ISO 3166 code of the shop's country.
        rfm: Changes of the RFM settings.
        samples: Changes of what makes an order a sample.

    Raises:
        InvalidInputError: Nothing is given, or a value is invalid or already used.
    """
    rfm, samples = rfm or RfmChange(), samples or SamplesChange()
    changes = (*asdict(rfm).values(), *asdict(samples).values())
    if all(value is None for value in (shop, currency, time_zone, country, *changes)):
        raise InvalidInputError(
            "There is nothing to change.", advice="See: quintile tenants set --help"
        )
    values = {
        "tenant_id": tenant_id,
        "shop": None if shop is None else check_shop_domain(shop),
        "currency": currency,
        "time_zone": time_zone,
        "country": country,
    }
    _check_time_zone(time_zone)
    with _transaction(conn):
        if conn.execute(query("tenants.change_tenant"), values).fetchone() is None:
            raise InvalidInputError(
                "This tenant is connected to another shop already.",
                advice="Each shop is a tenant of its own: quintile tenants add NAME --shop "
                f"{values['shop']}. If it is the same shop with a new domain: quintile tenants "
                f"connect-shopify NAME --shop {values['shop']}",
            )
        change_rfm_settings(conn, tenant_id, rfm)
        change_samples_settings(conn, tenant_id, "quintile tenants set", samples)


def change_rfm_settings(conn: Connection, tenant_id: UUID, rfm: RfmChange) -> None:
    """Change a tenant's RFM settings in the caller's transaction; what is None stays as it is.

    Raises:
        InvalidInputError: A value is invalid; the transaction can go on as if nothing was changed.
    """
    _check_time_zone(rfm.time_zone)
    values = asdict(rfm)
    if rfm.excluded_customer_ids is not None:
        values["excluded_customer_ids"] = [text.strip() for text in rfm.excluded_customer_ids]
        if not all(values["excluded_customer_ids"]):
            raise InvalidInputError(
                "An excluded customer needs an id.",
                advice="To exclude no customers: --no-excluded-customers",
                field="excluded_customer_ids",
            )
    for name in ("excluded_domains", "relay_domains"):
        if values[name] is not None:
            values[name] = [text.strip().lower() for text in values[name]]
    if rfm.additional_window_days is not None:
        values["additional_window_days"] = sorted(rfm.additional_window_days)
    with _transaction(conn):
        conn.execute(query("tenants.change_rfm_settings"), {"tenant_id": tenant_id, **values})


def change_samples_settings(
    conn: Connection, tenant_id: UUID, changed_by: str, samples: SamplesChange
) -> bool:
    """Change what makes an order a sample, in the caller's transaction; None stays as it is.

    The replaced settings are kept in the history with ``changed_by``, in words.

    Returns:
        Whether anything has changed. Tags that differ only in case are saved once.
    """
    values = {"tenant_id": tenant_id, "changed_by": changed_by, **asdict(samples)}
    return conn.execute(query("tenants.change_samples_settings"), values).fetchone() is not None


@contextmanager
def _transaction(conn: Connection) -> Iterator[None]:
    """A transaction, or a savepoint in the caller's, that explains violated constraints."""
    try:
        with conn.transaction():
            yield
    except psycopg.errors.UniqueViolation as error:
        used = "shop" if "shop" in (error.diag.constraint_name or "") else "name"
        raise InvalidInputError(
            f"There is a tenant with this {used} already.", advice="See: quintile tenants list"
        ) from None
    except psycopg.errors.CheckViolation as error:
        constraint = error.diag.constraint_name or ""
        field, message = _VIOLATIONS.get(constraint, ("", "A value is invalid."))
        raise InvalidInputError(message, field=field) from None
    except psycopg.errors.NumericValueOutOfRange:
        raise InvalidInputError("A number is too large.") from None


def _check_time_zone(zone: str | None) -> None:
    if zone is not None and zone not in available_timezones():
        raise InvalidInputError(
            f"'{zone}' is not a time zone.",
            advice="It looks like Europe/Berlin.",
            field="time_zone",
        )
