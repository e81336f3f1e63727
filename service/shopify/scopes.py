"""Scopes of an access token: what each is for, and which fields need one that is optional."""

from __future__ import annotations

from collections.abc import Collection
from types import MappingProxyType

NEEDED_SCOPES = MappingProxyType(
    {
        "read_orders": "orders, from which RFM segments and samples are computed",
        "read_customers": "customers and Shopify's own segments",
    }
)
ALL_ORDERS_SCOPE = "read_all_orders"
PRODUCTS_SCOPE = "read_products"
DISCOUNTS_SCOPE = "write_discounts"
METAFIELDS_SCOPE = "write_customers"
MERGE_SCOPE = "read_customer_merge"
OPTIONAL_SCOPES = MappingProxyType(
    {
        ALL_ORDERS_SCOPE: "orders older than 60 days, without which a year of RFM is wrong",
        PRODUCTS_SCOPE: "the product type of order lines, without which RFM by product type has"
        " only the type unknown",
        DISCOUNTS_SCOPE: "promo codes for segments",
        METAFIELDS_SCOPE: "RFM segments and scores in customer metafields, if you turn that on",
        MERGE_SCOPE: "whether the store has erased a customer, and webhooks about merged customers",
    }
)
# Fields of our documents that are asked for only with an optional scope.
_SCOPES_OF_FIELDS = MappingProxyType({"product": PRODUCTS_SCOPE})


def is_granted(scope: str, scopes: Collection[str]) -> bool:
    """Whether the scopes include this one. A write scope includes its read scope."""
    return scope in scopes or scope.replace("read_", "write_", 1) in scopes


def fields_without_scope(scopes: Collection[str]) -> frozenset[str]:
    """The fields that a token with these scopes may not ask for."""
    return frozenset(
        field for field, scope in _SCOPES_OF_FIELDS.items() if not is_granted(scope, scopes)
    )
