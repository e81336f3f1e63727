"""Errors of calls to Shopify, with advice."""

from __future__ import annotations

from service.core.errors import QuintileError


class ShopifyError(QuintileError):
    """A call to Shopify failed."""


class ShopifyUnavailableError(ShopifyError):
    """Shopify could not be reached, or kept failing.

    ``codes`` are the ``extensions.code`` of its last answer, if that had errors.
    """

    is_transient = True

    advice = "What has been read so far is kept. The next sync continues from there."

    def __init__(self, message: str | None = None, codes: frozenset[str] = frozenset()) -> None:
        super().__init__(message)
        self.codes = codes


class ShopifyUnknownOutcomeError(ShopifyUnavailableError):
    """Shopify's answer to a change was lost, so it may have been made or not.

    Raised only for calls that must not be repeated before checking what is there.
    """

    is_transient = False

    advice = "Before trying again, check in Shopify whether it was done."


class ShopifyRefusedError(ShopifyError):
    """Shopify does not accept the access token."""

    advice = "Connect it again with a valid access token: quintile tenants connect-shopify NAME"


class ShopifyQueryError(ShopifyError):
    """Shopify answered a query with errors.

    ``codes`` are the ``extensions.code`` of its errors, which callers may know how to handle.
    """

    def __init__(self, message: str, codes: frozenset[str] = frozenset()) -> None:
        super().__init__(message)
        self.codes = codes


class ShopifyUnsupportedVersionError(ShopifyError):
    """Shopify does not have this version of its API."""


class ShopifyMovedError(ShopifyError):
    """Shopify redirects calls for this shop to another address."""
