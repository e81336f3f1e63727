"""What runs changed of a promo code in Shopify, and who was added and removed."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from service.core.db import Connection
from service.core.queries import query
from service.promo_codes.codes import get_code


def list_history(conn: Connection, tenant_id: UUID, code: str) -> list[dict[str, Any]]:
    """What runs changed of a promo code in Shopify, newest first.

    Raises:
        UnknownCodeError: The tenant has no promo code of this name.
    """
    parameters: dict[str, Any] = {
        **dict.fromkeys(("after_changed_at", "after_run_id", "after_action", "row_limit")),
        "tenant_id": tenant_id,
        "promo_code_id": get_code(conn, tenant_id, code)["promo_code_id"],
    }
    return conn.execute(query("promo_codes.list_changes"), parameters).fetchall()


def list_target_changes(conn: Connection, tenant_id: UUID, code: str) -> list[dict[str, Any]]:
    """Customers and segments that were added to a promo code and removed, newest first.

    Raises:
        UnknownCodeError: The tenant has no promo code of this name.
    """
    filters = ("customer_ids", "change", "since")
    position = ("after_changed_at", "after_kind", "after_target_id", "after_change", "row_limit")
    parameters: dict[str, Any] = {
        **dict.fromkeys((*filters, *position)),
        "tenant_id": tenant_id,
        "promo_code_id": get_code(conn, tenant_id, code)["promo_code_id"],
    }
    rows = conn.execute(query("promo_codes.list_target_changes"), parameters).fetchall()
    names = ("changed_at", "change", "kind", "id", "name", "email", "run_id")
    return [{name: row[name] for name in names} for row in rows]
