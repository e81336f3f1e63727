"""A Shopify Admin GraphQL API on loopback, strict about everything a client can get wrong."""

from __future__ import annotations

from .app import API_VERSIONS, create_shopify_app, error_body
from .cost import LeakyBucket
from .store import ALL_SCOPES, Store
from .tokens import TokenDesk

__all__ = [
    "ALL_SCOPES",
    "API_VERSIONS",
    "LeakyBucket",
    "Store",
    "TokenDesk",
    "create_shopify_app",
    "error_body",
]
