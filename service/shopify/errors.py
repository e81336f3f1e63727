"""Errors of calls to Shopify, with advice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from service.core.errors import QuintileError

# The code of an answer that was refused for its size, with an HTTP status.
TOO_LARGE = "RESPONSE_TOO_LARGE"
_TOO_HEAVY_CODES = frozenset({"MAX_COST_EXCEEDED", "QUERY_TOO_LARGE", TOO_LARGE})


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


class ShopifyUnservedError(ShopifyUnavailableError):
    """Shopify executed a query and kept failing to answer it.

    One record in it, or its size, may be the reason: a smaller query may be answered.
    """


@dataclass(frozen=True)
class Failure:
    """An error inside a list of an answer: where it is, and what Shopify says about it."""

    path: tuple[str | int, ...]
    message: str


class ShopifyPartialError(ShopifyUnservedError):
    """Shopify answered, but for errors at some places inside a list.

    ``data`` is the answer, with null at those places; ``failures`` says where they are.
    """

    def __init__(
        self,
        message: str,
        data: dict[str, Any],
        failures: Sequence[Failure],
        *,
        is_transient: bool = True,
    ) -> None:
        super().__init__(message)
        self.is_transient = is_transient
        self.data = data
        self.failures = failures


class ShopifyUnknownOutcomeError(ShopifyUnavailableError):
    """Shopify's answer to a change was lost, so it may have been made or not.

    Raised only for calls that must not be repeated before checking what is there.
    """

    is_transient = False

    advice = "Before trying again, check in Shopify whether it was done."


class ShopifyRefusedError(ShopifyError):
    """Shopify does not accept the access token."""

    advice = "Connect it again with a valid access token: quintile tenants connect-shopify NAME"


class ShopifyRefusedRefreshError(ShopifyRefusedError):
    """Shopify does not renew the access token: the refresh token is spent, or the app removed."""


class ShopifyNotInstalledError(ShopifyRefusedRefreshError):
    """Shopify says that the app is not installed in the shop."""


class ShopifyDeniedError(ShopifyRefusedError):
    """The access token is valid, but lacks the scope for a call."""

    advice = "Give the app that scope in Shopify, then connect the shop again."


class ShopifyUnapprovedError(ShopifyError):
    """Shopify has not approved the app for protected customer data."""

    advice = (
        "Request access to protected customer data for the app in Shopify's Partner Dashboard (API"
        " access requests): level 1 for orders and customers, level 2 with the fields Name and"
        " Email for names and e-mail addresses. The next sync after the approval reads what is"
        " missing; the store need not be connected again."
    )


class ShopifyQueryError(ShopifyError):
    """Shopify answered a query with errors.

    ``codes`` are the ``extensions.code`` of its errors, which callers may know how to handle.
    """

    def __init__(self, message: str, codes: frozenset[str] = frozenset()) -> None:
        super().__init__(message)
        self.codes = codes

    @property
    def is_too_heavy(self) -> bool:
        """Whether a smaller query may be answered."""
        return bool(self.codes & _TOO_HEAVY_CODES)


class ShopifyUnsupportedVersionError(ShopifyError):
    """Shopify does not have this version of its API."""


class ShopifyMovedError(ShopifyError):
    """Calls for this shop are redirected; ``shop`` is the new domain, if it is a shop's."""

    def __init__(self, message: str, advice: str, shop: str | None = None) -> None:
        super().__init__(message, advice=advice)
        self.shop = shop
