"""Confirming an erasure with the store before anything is deleted.

A webhook's topic and time are unsigned headers, so a signed body that was captured once could come
as an erasure of something else. What the store does not confirm waits for a person.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from service.core.config import Settings
from service.core.db import Pool, tenant_transaction
from service.core.errors import NotConnectedError, QuintileError
from service.core.queries import query
from service.shopify.connection import open_connected_shopify
from service.shopify.errors import ShopifyError, ShopifyUnavailableError

# Few: a store that does not answer is asked again later.
_CALL_ATTEMPTS = 3
# Shopify asks for the erasure of a shop two days after the app was removed. A removal is often
# undone within hours, and is known here up to a few hours late.
_SETTLED_AFTER = timedelta(days=1)
_NO_SHOP = "The message does not name its shop, so it may be about another one."


class HeldError(QuintileError):
    """The store does not confirm the erasure, so a person must."""


def confirm_customer(
    settings: Settings, pool: Pool, tenant_id: UUID, customer_id: str, *, is_shop_named: bool
) -> None:
    """Ask the store whether it has erased or deleted a customer.

    Raises:
        HeldError: It has not, or cannot be asked.
        ShopifyUnavailableError: It does not answer now.
    """
    if not is_shop_named:
        raise HeldError(_NO_SHOP)
    gid = f"gid://shopify/Customer/{customer_id}"
    try:
        with open_connected_shopify(settings, pool, tenant_id, attempts=_CALL_ATTEMPTS) as client:
            customer = client.run("customer_erasure", id=gid)["customer"]
    except ShopifyUnavailableError:
        raise
    except (NotConnectedError, ShopifyError) as error:
        raise HeldError(f"The store cannot be asked: {error.message}") from None
    if customer is not None and "REDACTED_AT" not in customer["mergeable"]["errorFields"]:
        raise HeldError("The store has not erased the customer's personal data.")


def confirm_shop(pool: Pool, tenant_id: UUID, *, is_shop_named: bool) -> None:
    """Check that the store has removed the app, which it confirmed by refusing the access token.

    Raises:
        HeldError: It has not, or only just.
    """
    if not is_shop_named:
        raise HeldError(_NO_SHOP)
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        removal = conn.execute(
            query("privacy.find_removal"),
            {"tenant_id": tenant_id, "settled_after": _SETTLED_AFTER},
        ).fetchone()
    if removal is None or not removal["is_removed"]:
        raise HeldError("The store has not confirmed that the app was removed.")
    if not removal["is_settled"]:
        raise HeldError("The app was removed less than a day ago.")
