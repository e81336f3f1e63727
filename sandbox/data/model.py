"""What a sandbox store holds. Money is integer minor units of its currency; times are UTC."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(slots=True)
class Customer:
    """A customer. `number` is the digits of the Shopify id; `email` may be absent.

    `is_redacted` is whether the merchant has had the personal data erased.
    """

    number: int
    first_name: str
    last_name: str
    email: str | None
    marketing_state: str
    tags: list[str]
    created_at: datetime
    updated_at: datetime
    is_redacted: bool = False

    @property
    def display_name(self) -> str:
        """The name Shopify's admin shows: full name, else the address, else a placeholder."""
        full = f"{self.first_name} {self.last_name}".strip()
        return full or self.email or "Customer"


@dataclass(frozen=True, slots=True)
class SoldProduct:
    """The product of a line; `product_type` is empty where the merchant has set none."""

    number: int
    title: str
    product_type: str


@dataclass(slots=True)
class LineItem:
    """One line of an order; a custom item, and one of a deleted product, has no product.

    `line_discount` applies to this line alone; `code_discount` is the line's share of discounts
    on the whole order. Shopify reports them apart (see `LineItem.discountedTotalSet`).
    """

    number: int
    title: str
    variant_title: str | None
    sku: str
    variant_number: int
    quantity: int
    unit_price: int
    line_discount: int = 0
    code_discount: int = 0
    product: SoldProduct | None = None

    @property
    def original_total(self) -> int:
        """The line before any discount."""
        return self.unit_price * self.quantity


@dataclass(slots=True)
class Fulfillment:
    """A shipment of an order."""

    number: int
    status: str
    display_status: str
    created_at: datetime
    delivered_at: datetime | None


@dataclass(slots=True)
class Channel:
    """Where an order came from, in the four places Shopify says so."""

    source_name: str | None
    app_name: str | None
    publication_name: str | None
    handle: str | None
    display_name: str | None


@dataclass(slots=True)
class Order:
    """An order. `customer_number` is None for a guest; `email` is what the order itself carries."""

    number: int
    name: str
    customer_number: int | None
    email: str | None
    channel: Channel
    processed_at: datetime
    created_at: datetime
    updated_at: datetime
    line_items: list[LineItem]
    tags: list[str] = field(default_factory=list)
    note: str | None = None
    shipping: int = 0
    tax: int = 0
    refunded: int = 0
    edited_away: int = 0
    cancelled_at: datetime | None = None
    test: bool = False
    financial_status: str = "PAID"
    fulfillment_status: str = "FULFILLED"
    fulfillments: list[Fulfillment] = field(default_factory=list)

    @property
    def goods_discount(self) -> int:
        """All that was taken off the goods."""
        return sum(line.line_discount + line.code_discount for line in self.line_items)

    @property
    def subtotal(self) -> int:
        """Goods after all discounts, as the order was placed."""
        return sum(line.original_total for line in self.line_items) - self.goods_discount

    @property
    def total(self) -> int:
        """What the customer was charged: goods, shipping, tax."""
        return self.subtotal + self.shipping + self.tax

    @property
    def current_total(self) -> int:
        """The total after edits and refunds, never below zero; nothing is due once cancelled."""
        if self.cancelled_at is not None:
            return 0
        return max(self.total - self.edited_away - self.refunded, 0)

    @property
    def current_subtotal(self) -> int:
        """The goods after edits and refunds; a refund is taken for one of goods first."""
        if self.cancelled_at is not None:
            return 0
        return max(self.subtotal - self.edited_away - self.refunded, 0)


@dataclass(slots=True)
class Segment:
    """A Shopify customer segment; its members are the customers its query selects.

    `is_large` makes the store answer as Shopify does for segments too big to be read directly.
    """

    number: int
    name: str
    query: str
    creation_date: datetime
    last_edit_date: datetime
    is_large: bool = False


@dataclass(slots=True)
class StoreData:
    """A whole store as generated. `number` is the digits of the shop's id."""

    number: int
    name: str
    domain: str
    token: str
    email: str
    currency: str
    country: str
    timezone: str
    plan: str
    anchor: datetime
    customers: list[Customer]
    orders: list[Order]
    segments: list[Segment]
