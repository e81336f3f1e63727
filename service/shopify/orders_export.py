"""Shopify's own export of orders: how to recognize it and read its rows.

The export has one row per line item. The first row of an order has the order's values, the others
only its name and their item; other programs may have repeated the values in every row. Customers
have e-mail addresses and no ids.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from service.core.errors import InvalidInputError
from service.shopify.csv_cells import (
    ShopDefaults,
    address_or_none,
    amount,
    identifier,
    instant,
    instant_or_none,
    phone_or_none,
    quantity_of,
    signed_amount,
)
from service.shopify.money import LARGEST, exponent_of
from service.shopify.parse import Row

REQUIRED_COLUMNS = ("name", "id", "created at", "total", "lineitem quantity", "lineitem name")
# Those that every row has.
ITEM_COLUMNS = ("name", "lineitem quantity", "lineitem name")
# The columns that are read; the export has more.
READ_COLUMNS = (
    *REQUIRED_COLUMNS,
    *("email", "billing name", "shipping name", "currency", "subtotal", "refunded amount"),
    *("financial status", "fulfillment status", "fulfilled at", "cancelled at", "source", "tags"),
    *("notes", "payment method", "outstanding balance"),
    *("lineitem price", "lineitem discount", "lineitem sku"),
)
# Only of an order without an e-mail address. What is unreadable in them is no phone number.
_PHONE_COLUMNS = ("phone", "billing phone", "shipping phone")
_COUNTRY_COLUMNS = ("billing country", "shipping country")
AMOUNT_COLUMNS = (
    *("total", "subtotal", "refunded amount", "outstanding balance"),
    *("lineitem price", "lineitem discount"),
)
# Columns of the incoming orders that the export may lack, with the export's columns they are from.
SOURCES = {
    "customer_email": ("email",),
    "customer_phone": _PHONE_COLUMNS,
    "customer_name": ("billing name", "shipping name"),
    "refunded_minor": ("refunded amount",),
    "financial_status": ("financial status",),
    "fulfillment_status": ("fulfillment status",),
    "channel": ("source",),
    "tags": ("tags",),
    "cancelled_at": ("cancelled at",),
    "is_test": ("payment method",),
}
# A header with two of these is taken for the export's.
_SIGNS = frozenset({"lineitem quantity", "lineitem name", "financial status"})
# Other files that Shopify exports, by columns that only they have.
_OTHER_EXPORTS = {
    frozenset({"first name", "last name", "total spent"}): "customers",
    frozenset({"handle", "title", "variant price"}): "products",
    frozenset({"url handle", "title", "vendor"}): "products",
    frozenset({"handle", "title", "location"}): "inventory",
    frozenset({"order", "kind", "gateway", "amount"}): "payments",
    frozenset({"payout date", "amount", "fee"}): "payouts",
}
# Matrixify names its columns by group, such as "Line: Title".
_MATRIXIFY_GROUPS = (
    *("line: ", "price: ", "customer: ", "billing: ", "shipping: ", "fulfillment: "),
    *("transaction: ", "refund: ", "payment: ", "tax: ", "additional details: "),
)
# Draft orders are #D1, #D2 and so on, and not paid.
_DRAFT_NAME = re.compile(r"#?D\d+")
# Nothing more is to be paid for orders of these statuses, whatever is outstanding.
_SETTLED_STATUSES = frozenset({"PAID", "PARTIALLY_REFUNDED", "REFUNDED"})
# In real exports an exchange leaves up to three quarters of the total outstanding. Of a settled
# order with a larger share in tenths outstanding, the payment was made outside the shop.
_MOST_TENTHS_EXCHANGED = 9
_FULFILLMENT_STATUSES = {"PARTIAL": "PARTIALLY_FULFILLED"}


def is_export(header: Sequence[str]) -> bool:
    """Whether a header, in lower case, is that of Shopify's export of orders."""
    return len(_SIGNS.intersection(header)) > 1


class Look:
    """What the rows of an export look like, to tell other exports with the same header apart."""

    def __init__(self, header: Sequence[str]) -> None:
        self._has_status = "financial status" in header
        self._orders = 0
        self._without_status = 0
        self._drafts = 0

    def take(self, record: Mapping[str, str]) -> None:
        """Look at a row."""
        if is_first_row(record):
            self._orders += 1
            self._without_status += not record.get("financial status")
            is_draft = _DRAFT_NAME.fullmatch(record["name"]) and not record.get("paid at")
            self._drafts += bool(is_draft)

    def refuse_other_exports(self) -> None:
        """Refuse the file if all its rows are those of another export.

        Raises:
            InvalidInputError: They are.
        """
        if self._orders and self._drafts == self._orders:
            raise _refused("draft orders")
        if self._has_status and self._orders and self._without_status == self._orders:
            # Only an order has a payment.
            raise _refused("abandoned checkouts")


def refuse_other_exports(header: Sequence[str]) -> None:
    """Refuse the files that are easily mistaken for the export of orders.

    Raises:
        InvalidInputError: The header is that of another of Shopify's exports.
    """
    for signs, what in _OTHER_EXPORTS.items():
        if signs.issubset(header):
            raise _refused(what)
    if sum(name.startswith(_MATRIXIFY_GROUPS) for name in header) > 1:
        raise InvalidInputError(
            "This is Matrixify's export, not Shopify's.",
            advice="In Shopify's admin: Orders, Export, All orders, Plain CSV file.",
        )


def _refused(what: str) -> InvalidInputError:
    return InvalidInputError(
        f"This is Shopify's export of {what}, not of orders.",
        advice="In Shopify's admin: Orders, Export, All orders, Plain CSV file.",
    )


def is_first_row(record: Mapping[str, str]) -> bool:
    """Whether a row has its order's values, and not only a further item and perhaps its id."""
    values = ("id", "total", "financial status")
    return sum(bool(record.get(name)) for name in values) > 1 or bool(record.get("total"))


def parse_order(record: Mapping[str, str], usual: ShopDefaults) -> Row:
    """A row of the incoming orders, in the order of their columns, from the first row of an order.

    Raises:
        ValueError: The row cannot be read; the message says why.
    """
    currency = record.get("currency", "").upper() or usual.currency
    exponent_of(currency)
    total = amount(record, "total", currency)
    refunded = amount(record, "refunded amount", currency, 0)
    email = address_or_none(record, "email")
    countries = (*map(record.get, _COUNTRY_COLUMNS), usual.country)
    status = record.get("fulfillment status", "").upper()
    return {
        "order_id": _order_id(record),
        "order_number": _name(record),
        "customer_id": None,
        "customer_email": email,
        "customer_phone": None if email else phone_or_none(record, _PHONE_COLUMNS, countries),
        "customer_name": record.get("billing name") or record.get("shipping name") or None,
        "processed_at": instant(record, "created at"),
        "cancelled_at": instant_or_none(record, "cancelled at"),
        # The export has no other sign of a test order.
        "is_test": "bogus" in record.get("payment method", "").lower(),
        "currency": currency,
        "total_minor": total,
        "subtotal_minor": amount(record, "subtotal", currency, total),
        "refunded_minor": refunded,
        "current_total_minor": _current_total(record, currency, total, refunded),
        "current_subtotal_minor": None,
        "financial_status": record.get("financial status", "").upper() or None,
        "fulfillment_status": _FULFILLMENT_STATUSES.get(status, status) or None,
        "channel": record.get("source") or None,
        "tags": [tag for cell in record.get("tags", "").split(",") if (tag := cell.strip())],
        "note": record.get("notes") or None,
        "first_fulfilled_at": instant_or_none(record, "fulfilled at"),
        "delivered_at": None,
        "shopify_updated_at": None,
    }


def _current_total(
    record: Mapping[str, str], currency: str, total: int, refunded: int
) -> int | None:
    """What is left of the total after refunds and exchanges, in minor units; None if unknown.

    The export does not have it. An exchange adds the new item to the total and leaves the item that
    was sent back in it. The balance, total less payments, is then outstanding although nothing more
    is to be paid: 100 exchanged for 100 has a total of 200 and 100 outstanding.
    """
    if "outstanding balance" not in record:
        return None
    outstanding = signed_amount(record, "outstanding balance", currency, 0)
    is_settled = record.get("financial status", "").upper() in _SETTLED_STATUSES
    is_exchange = 0 < outstanding * 10 <= total * _MOST_TENTHS_EXCHANGED
    exchanged = outstanding if is_settled and is_exchange else 0
    return max(total - refunded - exchanged, 0)


def parse_item(record: Mapping[str, str], currency: str) -> Row:
    """The item of a row with its order's name, in the order of export_rows' columns.

    Raises:
        ValueError: The row cannot be read; the message says why.
    """
    return {
        "order_number": _name(record),
        "line_item": _line_item(record, currency),
        "is_further_item": not is_first_row(record),
    }


def _name(record: Mapping[str, str]) -> str:
    if not record["name"]:
        raise ValueError("name is empty, so the row belongs to no order")
    return record["name"]


def _order_id(record: Mapping[str, str]) -> str:
    # Exports put a spreadsheet's mark for text before long numbers.
    text = identifier({**record, "id": record["id"].removeprefix("'")}, "id")
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"id '{text[:40]}' is not the number of an order")
    return text


def _line_item(record: Mapping[str, str], currency: str) -> Row | None:
    if not record["lineitem name"]:
        return None
    quantity = quantity_of(record, "lineitem quantity")
    price = amount(record, "lineitem price", currency, 0)
    discount = amount(record, "lineitem discount", currency, 0)
    total = max(price * quantity - discount, 0)
    if total > LARGEST:
        raise ValueError("lineitem price times lineitem quantity is too large")
    return {
        "title": record["lineitem name"],
        "variant_title": None,
        "sku": record.get("lineitem sku") or None,
        "quantity": quantity,
        "unit_price_minor": price,
        "total_minor": total,
    }
