"""The shop itself: its name, currency, time zone and plan, and what the access token may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.shopify.parse import number_of
from service.shopify.scopes import ALL_ORDERS_SCOPE, NEEDED_SCOPES, is_granted

if TYPE_CHECKING:
    from service.shopify.client import ShopifyClient


@dataclass(frozen=True)
class ShopInfo:
    """A shop's name, settings and scopes.

    ``currency`` is ISO 4217, ``time_zone`` an IANA name, ``country`` ISO 3166 or None.
    ``shop`` is its domain, which may change, and ``shop_id`` the number of its global id, which
    does not.
    ``api_version`` is the version that answered: not the requested one if Shopify has retired that.
    """

    shop: str
    shop_id: str
    name: str
    currency: str
    time_zone: str
    plan: str
    scopes: frozenset[str]
    api_version: str | None
    country: str | None = None

    @property
    def missing_scopes(self) -> dict[str, str]:
        """Required scopes that the token lacks, each with its purpose."""
        return {
            scope: purpose
            for scope, purpose in NEEDED_SCOPES.items()
            if not is_granted(scope, self.scopes)
        }

    @property
    def has_all_orders(self) -> bool:
        """Whether orders older than 60 days can be read; a year of RFM is wrong without them."""
        return ALL_ORDERS_SCOPE in self.scopes


def read_shop(client: ShopifyClient) -> ShopInfo:
    """Read the shop and the token's scopes; from then on the client asks for what they allow.

    Raises:
        ShopifyError: As :meth:`ShopifyClient.run`.
    """
    data = client.run("shop")
    shop = data["shop"]
    client.scopes = frozenset(
        scope["handle"] for scope in data["currentAppInstallation"]["accessScopes"]
    )
    return ShopInfo(
        shop=shop["myshopifyDomain"],
        shop_id=number_of(shop["id"]),
        name=shop["name"],
        currency=shop["currencyCode"],
        time_zone=shop["ianaTimezone"],
        plan=shop["plan"]["publicDisplayName"],
        scopes=client.scopes,
        api_version=client.served_version,
        country=shop["shopAddress"]["countryCodeV2"],
    )
