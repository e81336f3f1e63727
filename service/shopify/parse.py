"""Rows of schema shopify from GraphQL nodes: only names, types and units change.

A row is a dictionary whose keys are the table's columns and whose values fit in JSON. A node that
cannot be read raises; :func:`sort_out` turns it into a rejection.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from service.shopify.money import LARGEST, to_minor

Node = dict[str, Any]
Row = dict[str, Any]

# What parsing raises when a node cannot be read.
UNREADABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)

_GID = re.compile(r"gid://shopify/\w+/(\d+)(?:\?.*)?", re.ASCII)
# What nearly all ids begin with: a look-up is cheaper than a regular expression.
_USUAL_KINDS = frozenset(f"gid://shopify/{kind}" for kind in ("Customer", "LineItem", "Order"))
_SECONDS_IN_UTC = len("2026-07-01T00:00:00Z")
# Enums are open: a fulfilment with any other status has happened.
_FAILED_FULFILLMENTS = frozenset({"CANCELLED", "ERROR", "FAILURE"})


@dataclass(frozen=True)
class Rejection:
    """A record that could not be read, with the reason."""

    source_id: str
    reason: str
    payload: Any


def sort_out(
    nodes: Iterable[Node], parse: Callable[[Node], Row]
) -> tuple[list[Row], list[Rejection]]:
    """Rows of the nodes that can be read, and rejections of the others."""
    rows: list[Row] = []
    rejections: list[Rejection] = []
    for node in nodes:
        try:
            rows.append(parse(node))
        except UNREADABLE as error:
            rejections.append(Rejection(source_id_of(node), reason_of(error), node))
    return rows, rejections


def number_of(gid: str) -> str:
    """The number in a global id, as text: ``7`` of ``gid://shopify/Order/7``.

    Raises:
        ValueError: Not a global id that ends in a number.
    """
    kind, _, number = gid.rpartition("/")
    if kind in _USUAL_KINDS and number.isascii() and number.isdecimal():
        return number
    match = _GID.fullmatch(gid)
    if match is None:
        raise ValueError(f"'{gid[:80]}' is not a Shopify id")
    return match[1]


def parse_segment(node: Node) -> Row:
    """A row of shopify.cached_segments, without the member count."""
    return {
        "segment_id": number_of(node["id"]),
        "name": str(node["name"]),
        "query": str(node["query"]),
        "created_at": _instant(node["creationDate"]),
        "last_edited_at": _instant(node["lastEditDate"]),
    }


def parse_member(node: Node) -> Row:
    """A row of shopify.segment_members; a member's number is the customer's id."""
    address = node.get("defaultEmailAddress") or {}
    return {
        "customer_id": number_of(node["id"]),
        "email": address.get("emailAddress"),
        "display_name": node.get("displayName"),
        "marketing_state": address.get("marketingState"),
    }


def parse_customer(node: Node) -> Row:
    """A row of shopify.customers."""
    return {
        **parse_member(node),
        "tags": [str(tag) for tag in node["tags"]],
        "created_at": _instant(node["createdAt"]),
        "shopify_updated_at": _instant(node["updatedAt"]),
    }


def parse_order(node: Node) -> Row:
    """A row of shopify.orders; all amounts are in the shop's currency."""
    row = parse_order_alone(node)
    found = sorted(node["lineItems"]["nodes"], key=_line_number)
    lines = [_line_item(line, row["currency"]) for line in found]
    if row["subtotal_minor"] is None:
        # Without a subtotal from Shopify it is the sum of the lines.
        total = sum(int(line["total_minor"]) for line in lines)
        if abs(total) > LARGEST:
            raise ValueError("the sum of its lines is too large")
        row["subtotal_minor"] = total
    return {**row, "line_items": lines}


def parse_order_alone(node: Node) -> Row:
    """A row of shopify.orders without its lines; the subtotal is None if it is their sum."""
    currency = node["totalPriceSet"]["shopMoney"]["currencyCode"]
    customer = node.get("customer") or {}
    address = customer.get("defaultEmailAddress") or {}
    shipped = [f for f in node["fulfillments"] if f["status"] not in _FAILED_FULFILLMENTS]
    return {
        "order_id": number_of(node["id"]),
        "order_number": node.get("name"),
        "customer_id": number_of(customer["id"]) if customer else None,
        "customer_email": address.get("emailAddress") or node.get("email"),
        # A field that apps need a further approval for; who orders by phone is a customer.
        "customer_phone": None,
        "customer_name": customer.get("displayName"),
        "processed_at": _instant(node["processedAt"]),
        "cancelled_at": _instant_or_none(node.get("cancelledAt")),
        "is_test": bool(node["test"]),
        "currency": currency,
        "total_minor": _minor(node["totalPriceSet"], currency),
        "subtotal_minor": _minor_or_none(node.get("subtotalPriceSet"), currency),
        "refunded_minor": _minor(node["totalRefundedSet"], currency),
        "current_total_minor": _minor_or_none(node.get("currentTotalPriceSet"), currency),
        "current_subtotal_minor": _minor_or_none(node.get("currentSubtotalPriceSet"), currency),
        "financial_status": node.get("displayFinancialStatus"),
        "fulfillment_status": node.get("displayFulfillmentStatus"),
        "channel": _channel(node),
        "tags": [str(tag) for tag in node["tags"]],
        "note": node.get("note"),
        "first_fulfilled_at": min((_instant(f["createdAt"]) for f in shipped), default=None),
        "delivered_at": _delivered_at(shipped),
        "shopify_updated_at": _instant(node["updatedAt"]),
    }


def parse_line_alone(node: Node) -> Row:
    """A line of a bulk operation's order: the order's id, the line's number, and the item."""
    currency = node["discountedTotalSet"]["shopMoney"]["currencyCode"]
    item = _line_item(node, currency)
    return {
        "order_id": number_of(node["__parentId"]),
        "line_id": _line_id(node["id"]),
        "currency": currency,
        "total_minor": item["total_minor"],
        "item": item,
    }


def times_of(nodes: Iterable[Node]) -> list[datetime]:
    """When the nodes have changed, in their order; those whose time cannot be read are left out."""
    times: list[datetime] = []
    for node in nodes:
        try:
            times.append(datetime.fromisoformat(_instant(node["updatedAt"])))
        except (LookupError, TypeError, ValueError):
            continue
    return times


def _line_item(node: Node, currency: str) -> Row:
    item = {
        "title": node["title"],
        "variant_title": node.get("variantTitle"),
        "sku": node.get("sku"),
        "quantity": int(node["quantity"]),
        "unit_price_minor": _minor(node["originalUnitPriceSet"], currency),
        "total_minor": _minor(node["discountedTotalSet"], currency),
    }
    # Left out where it is not known, so that a line reads the same with and without the scope.
    product_type = ((node.get("product") or {}).get("productType") or "").strip()
    return {**item, "product_type": product_type} if product_type else item


def _line_number(node: Node) -> int:
    """The number that lines are sorted by."""
    return _line_id(node["id"]) if "id" in node else 0


def _line_id(gid: str) -> int:
    """The number of a line, which is stored as bigint while a bulk operation is loaded.

    Raises:
        ValueError: No global id, or beyond bigint.
    """
    number = int(number_of(gid))
    if number > LARGEST:
        raise ValueError("the id of a line is too large")
    return number


def _channel(node: Node) -> str | None:
    """The sales channel, by the most specific name that Shopify has."""
    names = (
        (node.get("attribution") or {}).get("displayName"),
        (node.get("app") or {}).get("name"),
        (node.get("publication") or {}).get("name"),
        node.get("sourceName"),
    )
    return next((str(name) for name in names if name), None)


def _delivered_at(shipped: list[Node]) -> str | None:
    """When the last parcel was delivered; None while one is under way."""
    arrivals = [_instant_or_none(fulfillment.get("deliveredAt")) for fulfillment in shipped]
    known = [arrival for arrival in arrivals if arrival is not None]
    return max(known) if known and len(known) == len(arrivals) else None


def _minor(money_bag: Node, currency: str) -> int:
    """Shop money in minor units; bulk queries select the currency once per order and line."""
    money = money_bag["shopMoney"]
    if money.get("currencyCode", currency) != currency:
        raise ValueError(f"amounts in {currency} and in {money['currencyCode']}")
    return to_minor(str(money["amount"]), currency)


def _minor_or_none(money_bag: Node | None, currency: str) -> int | None:
    return None if money_bag is None else _minor(money_bag, currency)


# Cached, because the times of an order and its parcels are often the same.
@lru_cache(maxsize=1024)
def _instant(text: str) -> str:
    """ISO 8601 in UTC with microseconds, so that instants compare as text."""
    moment = datetime.fromisoformat(text)
    if len(text) == _SECONDS_IN_UTC and text[7::3] == "-T::Z":
        # Shopify's usual form: the same result as below, at a third of the cost.
        return text[:19] + ".000000+00:00"
    if moment.tzinfo is None:
        raise ValueError(f"'{text[:40]}' has no time zone")
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _instant_or_none(text: str | None) -> str | None:
    return None if text is None else _instant(text)


def source_id_of(node: Any) -> str:
    """The id of a record that could not be read: its number, else the id as it is."""
    gid = str((node.get("id") if isinstance(node, dict) else None) or "unknown")
    match = _GID.fullmatch(gid)
    return match[1] if match else gid[:255]


def reason_of(error: Exception) -> str:
    """Why a record could not be read."""
    if isinstance(error, LookupError):
        return f"{error} is missing"
    return str(error)
