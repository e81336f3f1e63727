"""Confirming an erasure with the store before anything is deleted.

A webhook's topic and time are unsigned headers, so a signed body that was captured once could come
as an erasure of something else. What the store does not confirm waits for a person.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from service.core.config import Settings
from service.core.credentials import disconnect
from service.core.db import Pool, tenant_transaction
from service.core.errors import NotConnectedError, QuintileError
from service.core.queries import query
from service.shopify.client import ShopifyClient
from service.shopify.connection import open_connected_shopify
from service.shopify.errors import (
    ShopifyDeniedError,
    ShopifyNotInstalledError,
    ShopifyQueryError,
    ShopifyRefusedError,
    ShopifyRefusedRefreshError,
    ShopifyUnapprovedError,
)
from service.shopify.scopes import MERGE_SCOPE, is_granted

# Few: a store that does not answer is asked again later.
_CALL_ATTEMPTS = 3
# Shopify asks for the erasure of a shop two days after the app was removed. A removal is often
# undone within hours, and is known here up to a few hours late.
_SETTLED_AFTER = timedelta(days=1)
_PERSONAL_FIELDS = ("firstName", "lastName", "defaultEmailAddress", "defaultPhoneNumber")
# As for webhooks about the app's removal.
_REFUSED_ATTEMPTS = 3
_NOT_REMOVED = "The store has not confirmed that the app was removed."
_NO_SHOP = "The message does not name its shop, so it may be about another one."


class HeldError(QuintileError):
    """The store does not confirm the erasure, so a person must."""


class NotSettledError(QuintileError):
    """The app was removed less than a day ago; ``seconds_left`` is the rest of that day."""

    def __init__(self, seconds_left: float) -> None:
        super().__init__("The app was removed less than a day ago.")
        self.seconds_left = seconds_left


def confirm_customer(
    settings: Settings, pool: Pool, tenant_id: UUID, customer_id: str, *, is_shop_named: bool
) -> None:
    """Ask the store whether it has erased or deleted a customer.

    Raises:
        HeldError: It has not, or will not say.
        ShopifyError: It cannot be asked now.
    """
    if not is_shop_named:
        raise HeldError(_NO_SHOP)
    gid = f"gid://shopify/Customer/{customer_id}"
    try:
        with open_connected_shopify(settings, pool, tenant_id, attempts=_CALL_ATTEMPTS) as client:
            try:
                is_erased = _is_erased(client, gid)
            except ShopifyDeniedError as error:
                # Here, because outside the connection would be recorded as refused.
                raise _cannot_be_asked(error) from None
    except (NotConnectedError, ShopifyQueryError, ShopifyUnapprovedError) as error:
        raise _cannot_be_asked(error) from None
    if not is_erased:
        raise HeldError("The store has not erased the customer's personal data.")


def _is_erased(client: ShopifyClient, gid: str) -> bool:
    """Whether the store has no such customer, or none of their personal data.

    Without the scope for the store's own answer, everything personal must be readable and empty.
    """
    if is_granted(MERGE_SCOPE, client.scopes):
        try:
            customer = client.run("customer_erasure", id=gid)["customer"]
        except ShopifyDeniedError:
            pass  # The token has lost the scope since it was last verified.
        else:
            return customer is None or "REDACTED_AT" in customer["mergeable"]["errorFields"]
    customer = client.run("customer_personal_data", id=gid)["customer"]
    # Withheld fields are not in the answer.
    return customer is None or all(
        customer.get(name, "withheld") is None for name in _PERSONAL_FIELDS
    )


def _cannot_be_asked(error: QuintileError) -> HeldError:
    return HeldError(f"The store cannot be asked: {error.message}")


def confirm_shop(
    settings: Settings, pool: Pool, tenant_id: UUID, *, is_shop_named: bool, attempts: int
) -> None:
    """Check that the store has removed the app, which it confirms by refusing the access token.

    If the webhook about that was lost, the store is asked now.

    Raises:
        HeldError: It has not.
        NotSettledError: It has, less than a day ago.
        ShopifyError: It cannot be asked now, or has not refused the token for long enough.
    """
    if not is_shop_named:
        raise HeldError(_NO_SHOP)
    removal = _find_removal(pool, tenant_id)
    if removal is not None and removal["state"] != "disconnected":
        is_lasting = removal["state"] == "refused" and attempts >= _REFUSED_ATTEMPTS
        _check_removed(settings, pool, tenant_id, is_lasting=is_lasting)
        removal = _find_removal(pool, tenant_id)
    if removal is None or not removal["is_removed"]:
        raise HeldError(_NOT_REMOVED)
    if removal["seconds_left"] > 0:
        raise NotSettledError(removal["seconds_left"])


def _find_removal(pool: Pool, tenant_id: UUID) -> dict[str, Any] | None:
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        return conn.execute(
            query("privacy.find_removal"),
            {"tenant_id": tenant_id, "settled_after": _SETTLED_AFTER},
        ).fetchone()


def _check_removed(settings: Settings, pool: Pool, tenant_id: UUID, *, is_lasting: bool) -> None:
    """Ask the store whether it has the app, and record that it was removed."""
    try:
        with open_connected_shopify(settings, pool, tenant_id, attempts=_CALL_ATTEMPTS) as client:
            try:
                client.run("shop")
            except ShopifyDeniedError:
                raise HeldError(_NOT_REMOVED) from None
    except NotConnectedError as error:
        raise _cannot_be_asked(error) from None
    except ShopifyRefusedError as error:
        # As for webhooks about the app's removal.
        is_other = isinstance(error, ShopifyRefusedRefreshError) and not isinstance(
            error, ShopifyNotInstalledError
        )
        if is_other or not is_lasting:
            raise
        with tenant_transaction(pool, tenant_id) as conn:
            conn.execute(query("privacy.record_removal"), {"tenant_id": tenant_id})
            disconnect(conn, tenant_id, "shopify", "The app was removed from the store.")
        return
    raise HeldError(_NOT_REMOVED)
