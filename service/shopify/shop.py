"""The shop itself: its name, currency and time zone, and what the access token may read."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from service.shopify.client import ShopifyClient

NEEDED_SCOPES = MappingProxyType(
    {
        "read_orders": "orders, from which RFM segments and samples are computed",
        "read_customers": "customers and Shopify's own segments",
    }
)
ALL_ORDERS_SCOPE = "read_all_orders"


@dataclass(frozen=True)
class ShopInfo:
    """What a shop says of itself. ``currency`` is ISO 4217, ``time_zone`` an IANA name."""

    shop: str
    name: str
    currency: str
    time_zone: str
    scopes: frozenset[str]

    @property
    def missing_scopes(self) -> dict[str, str]:
        """Scopes a sync cannot do without and the token lacks, with what each is for."""
        return {
            scope: purpose for scope, purpose in NEEDED_SCOPES.items() if scope not in self.scopes
        }

    @property
    def has_all_orders(self) -> bool:
        """Whether orders older than 60 days can be read; a year of RFM is wrong without them."""
        return ALL_ORDERS_SCOPE in self.scopes


def read_shop(client: ShopifyClient) -> ShopInfo:
    """Ask the shop who it is.

    Raises:
        ShopifyError: As :meth:`ShopifyClient.run`.
    """
    data = client.run("shop")
    shop = data["shop"]
    return ShopInfo(
        shop=shop["myshopifyDomain"],
        name=shop["name"],
        currency=shop["currencyCode"],
        time_zone=shop["ianaTimezone"],
        scopes=frozenset(
            scope["handle"] for scope in data["currentAppInstallation"]["accessScopes"]
        ),
    )
