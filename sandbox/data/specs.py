"""The two stores: how big each is and how its customers behave."""

from __future__ import annotations

from dataclasses import dataclass

from . import names, products


@dataclass(frozen=True, slots=True)
class StoreSpec:
    """Everything that distinguishes one generated store from the other.

    Counts are exact but for `customers`, whose orders are drawn. Rates are shares of all orders.
    `utc_offset_hours` shifts the daily rhythm only; Shopify reports the IANA time zone.
    """

    name: str
    domain: str
    token: str
    email: str
    currency: str
    country: str
    timezone: str
    utc_offset_hours: int
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]
    catalogue: tuple[products.Product, ...]
    customers: int
    subscribers_without_orders: int
    guest_orders: int
    test_orders: int
    replacement_orders: int
    creators: int
    refundable_samples: int
    tagged_but_paid: int
    tiktok_buyers: int
    default_customer_orders: int
    tiktok_samples: int
    unsettled_orders: int
    shipping: int
    free_shipping_from: int
    tax_rate: float
    id_base: int


NORTHLIGHT = StoreSpec(
    name="Northlight Goods",
    domain="northlight-goods.myshopify.com",
    token="shpat_sandbox_northlight",  # noqa: S106 - opens nothing but this sandbox
    email="hello@northlight.example.com",
    currency="USD",
    country="US",
    timezone="America/New_York",
    utc_offset_hours=-5,
    first_names=names.ENGLISH_FIRST,
    last_names=names.ENGLISH_LAST,
    catalogue=products.OUTDOOR,
    customers=7000,
    subscribers_without_orders=240,
    guest_orders=260,
    test_orders=14,
    replacement_orders=40,
    creators=64,
    refundable_samples=22,
    tagged_but_paid=12,
    tiktok_buyers=260,
    default_customer_orders=90,
    tiktok_samples=150,
    unsettled_orders=5,
    shipping=695,
    free_shipping_from=7500,
    tax_rate=0.07,
    id_base=5_400_000_000_000,
)

KESSEL = StoreSpec(
    name="Kessel & Korn",
    domain="kessel-und-korn.myshopify.com",
    token="shpat_sandbox_kessel",  # noqa: S106
    email="hallo@kessel.example.com",
    currency="EUR",
    country="DE",
    timezone="Europe/Berlin",
    utc_offset_hours=1,
    first_names=names.GERMAN_FIRST,
    last_names=names.GERMAN_LAST,
    catalogue=products.COFFEE,
    customers=800,
    subscribers_without_orders=30,
    guest_orders=24,
    test_orders=4,
    replacement_orders=6,
    creators=12,
    refundable_samples=4,
    tagged_but_paid=3,
    tiktok_buyers=20,
    default_customer_orders=10,
    tiktok_samples=18,
    unsettled_orders=2,
    shipping=490,
    free_shipping_from=4900,
    # German prices include VAT: nothing is added at checkout.
    tax_rate=0.0,
    id_base=6_100_000_000_000,
)
