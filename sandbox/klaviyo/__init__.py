"""A Klaviyo REST API on loopback, strict about everything a client can get wrong."""

from __future__ import annotations

from .app import create_klaviyo_app
from .errors import error_body
from .operations import CONTENT_TYPE
from .seed import seeded_accounts
from .state import ALL_SCOPES, Account

__all__ = [
    "ALL_SCOPES",
    "CONTENT_TYPE",
    "Account",
    "create_klaviyo_app",
    "error_body",
    "seeded_accounts",
]
