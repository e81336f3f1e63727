"""Rows as the objects of the GraphQL schema: plain dictionaries that the executor walks.

Times and 64-bit numbers are written here, as strings: the scalars pass values through.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import partial
from typing import Any

from graphql import GraphQLResolveInfo

from ..data import Channel, Customer, Fulfillment, LineItem, Order, Segment, StoreData
from .errors import AccessDeniedError, InternalServerError, NotApprovedError, ShopifyError
from .paging import Index, connection, window
from .segment_query import CustomerFacts
from .store import MembersQuery, Store

Document = dict[str, Any]
_GID = re.compile(r"gid://shopify/(\w+)/(.+)")
MAX_PAGE = 250


def gid(kind: str, number: int | str) -> str:
    """Shopify's global id."""
    return f"gid://shopify/{kind}/{number}"


def number_of(kind: str, global_id: str) -> int:
    """The number in a global id of `kind`, or -1 when it is of another kind or has none."""
    match = _GID.fullmatch(global_id)
    return int(match[2]) if match and match[1] == kind and match[2].isdecimal() else -1


def time_text(at: datetime | None) -> str | None:
    """ISO 8601 in UTC to the second, as Shopify writes times."""
    return None if at is None else at.isoformat(timespec="seconds").replace("+00:00", "Z")


def decimal(minor: int) -> str:
    """Minor units as Shopify writes amounts: no needless zeros but always one decimal."""
    sign, minor = ("-" if minor < 0 else ""), abs(minor)
    cents = f"{minor % 100:02d}"
    return f"{sign}{minor // 100}.{cents[0] if cents[1] == '0' else cents}"


def money(minor: int, currency: str) -> Document:
    """An amount with its currency."""
    return {"amount": decimal(minor), "currencyCode": currency}


def money_bag(minor: int, currency: str) -> Document:
    """An amount in shop and presentment money; the sandbox sells in shop currency only."""
    amount = money(minor, currency)
    return {"shopMoney": amount, "presentmentMoney": amount}


def shop_document(data: StoreData) -> Document:
    """The store itself."""
    return {
        "id": gid("Shop", data.number),
        "name": data.name,
        "email": data.email,
        "myshopifyDomain": data.domain,
        "currencyCode": data.currency,
        "ianaTimezone": data.timezone,
        "shopAddress": {"id": gid("ShopAddress", data.number), "countryCodeV2": data.country},
        "plan": {"publicDisplayName": data.plan, "shopifyPlus": True},
    }


def _email_address(customer: Customer) -> Document | None:
    if customer.email is None:
        return None
    return {"emailAddress": customer.email, "marketingState": customer.marketing_state}


def _person(facts: CustomerFacts, currency: str) -> Document:
    customer = facts.customer
    return {
        "firstName": customer.first_name or None,
        "lastName": customer.last_name or None,
        "displayName": customer.display_name,
        "defaultEmailAddress": _email_address(customer),
        "defaultPhoneNumber": None,
        "numberOfOrders": str(facts.number_of_orders),
        "amountSpent": money(facts.amount_spent, currency),
    }


def customer_document(store: Store, customer: Customer) -> Document:
    """A customer with what their orders add up to."""
    document = {
        **_person(store.facts()[customer.number], store.data.currency),
        "id": gid("Customer", customer.number),
        "legacyResourceId": str(customer.number),
        "tags": customer.tags,
        "createdAt": time_text(customer.created_at),
        "updatedAt": time_text(customer.updated_at),
        "mergeable": partial(_mergeable, store, customer),
    }
    return _as_served(store, "Customer", customer.number, document)


def _mergeable(store: Store, customer: Customer, info: GraphQLResolveInfo[Any]) -> Document:
    """Whether a customer can be merged, for tokens that may read merges."""
    if "read_customer_merge" not in store.scopes:
        raise AccessDeniedError(info.field_name, "read_customer_merge")
    return {
        "isMergeable": not customer.is_redacted,
        "errorFields": ["REDACTED_AT"] if customer.is_redacted else [],
    }


def _as_served(store: Store, kind: str, number: int, document: Document) -> Document:
    """A record with the fields that fail, as planned by a test."""
    faults = store.record_faults
    failing: Document = {
        name: partial(_fail, NotApprovedError(name)) for name in faults.withheld & document.keys()
    }
    if broken := faults.broken.get((kind, number)):
        failing[broken] = partial(_fail, InternalServerError())
    return {**document, **failing}


def _fail(error: ShopifyError, _info: GraphQLResolveInfo[Any], **_args: Any) -> Any:
    # A fresh one: where it happened is noted on the error.
    raise ShopifyError(error.message, **(error.extensions or {}))


def member_document(store: Store, facts: CustomerFacts) -> Document:
    """A segment member: no tags, no orders, and an id that carries the customer's number."""
    last = facts.last_order_number
    number = facts.customer.number + store.segment_faults.member_offset
    is_odd = facts.customer.number in store.segment_faults.odd_members
    document = {
        **_person(facts, store.data.currency),
        "id": gid("CustomerSegmentMember", f"odd-{number}" if is_odd else number),
        "lastOrderId": gid("Order", last) if last is not None else None,
    }
    return _as_served(store, "CustomerSegmentMember", facts.customer.number, document)


def segment_document(store: Store, segment: Segment) -> Document:
    """A segment; Shopify gives no count of members here."""
    document = {
        "id": gid("Segment", segment.number),
        "name": segment.name,
        "query": segment.query,
        "creationDate": time_text(segment.creation_date),
        "lastEditDate": time_text(segment.last_edit_date),
    }
    return _as_served(store, "Segment", segment.number, document)


def members_query_document(query: MembersQuery) -> Document:
    """An asynchronous members query; the count stays 0 until it is done."""
    return {
        "id": query.id,
        "done": query.is_done,
        "currentCount": len(query.members) if query.is_done else 0,
    }


def order_document(store: Store, order: Order) -> Document:
    """An order; line items and fulfilments take paging arguments."""
    bag = partial(money_bag, currency=store.data.currency)
    customer = store.customers.get(order.customer_number or 0)
    document = {
        "id": gid("Order", order.number),
        "legacyResourceId": str(order.number),
        "name": order.name,
        "email": order.email,
        "note": order.note,
        "tags": order.tags,
        "test": order.test,
        "edited": order.edited_away > 0,
        "createdAt": time_text(order.created_at),
        "processedAt": time_text(order.processed_at),
        "updatedAt": time_text(order.updated_at),
        "cancelledAt": time_text(order.cancelled_at),
        "displayFinancialStatus": order.financial_status,
        "displayFulfillmentStatus": order.fulfillment_status,
        "currencyCode": store.data.currency,
        "customer": customer_document(store, customer) if customer else None,
        "subtotalPriceSet": bag(order.subtotal),
        "totalPriceSet": bag(order.total),
        "currentSubtotalPriceSet": bag(order.current_subtotal),
        "currentTotalPriceSet": bag(order.current_total),
        "totalRefundedSet": bag(order.refunded),
        "totalDiscountsSet": bag(order.goods_discount),
        "totalShippingPriceSet": bag(order.shipping),
        "totalTaxSet": bag(order.tax),
        **_channel_fields(order.channel),
        "lineItems": partial(_line_items, store, order),
        "fulfillments": partial(_fulfillments, order),
    }
    return _as_served(store, "Order", order.number, document)


def _channel_fields(channel: Channel) -> Document:
    """The places a channel shows. The attribution's handle and name come together or not at all."""
    app, publication = channel.app_name, channel.publication_name
    return {
        "sourceName": channel.source_name,
        "app": {"id": gid("OrderApp", sum(app.encode())), "name": app} if app else None,
        "publication": (
            {"id": gid("Publication", sum(publication.encode())), "name": publication}
            if publication
            else None
        ),
        "attribution": (
            {"handle": channel.handle, "displayName": channel.display_name}
            if channel.handle
            else None
        ),
    }


def _line_items(
    store: Store, order: Order, _info: GraphQLResolveInfo[Any], **args: Any
) -> Document:
    lines = order.line_items
    index = Index([(position, line.number) for position, line in enumerate(lines)], lines)
    to_node = partial(_line_item_document, store)
    return connection(index, window(args, MAX_PAGE), to_node)


def _line_item_document(store: Store, line: LineItem) -> Document:
    currency = store.data.currency
    variant_name = line.variant_title or "Default Title"
    return {
        "id": gid("LineItem", line.number),
        "title": line.title,
        "name": f"{line.title} - {line.variant_title}" if line.variant_title else line.title,
        "variantTitle": line.variant_title,
        "sku": line.sku,
        "quantity": line.quantity,
        "currentQuantity": line.quantity,
        "originalUnitPriceSet": money_bag(line.unit_price, currency),
        "originalTotalSet": money_bag(line.original_total, currency),
        "discountedTotalSet": partial(_discounted_total, currency, line),
        "variant": {
            "id": gid("ProductVariant", line.variant_number),
            "title": variant_name,
            "sku": line.sku,
        },
        "product": partial(_product, store, line),
    }


def _product(store: Store, line: LineItem, info: GraphQLResolveInfo[Any]) -> Document | None:
    """The product of a line, for tokens that may read products."""
    if not store.scopes & {"read_products", "write_products"}:
        raise AccessDeniedError(info.field_name, "read_products")
    if "product" in store.record_faults.withheld:
        raise NotApprovedError(info.field_name)
    product = line.product
    if product is None:
        return None
    return {
        "id": gid("Product", product.number),
        "title": product.title,
        "productType": product.product_type,
    }


def _discounted_total(
    currency: str,
    line: LineItem,
    _info: GraphQLResolveInfo[Any],
    withCodeDiscounts: bool = False,  # noqa: N803 - Shopify's name
) -> Document:
    """After line discounts; discounts on the whole order count only when asked for."""
    code = line.code_discount if withCodeDiscounts else 0
    return money_bag(line.original_total - line.line_discount - code, currency)


def _fulfillments(
    order: Order, _info: GraphQLResolveInfo[Any], first: int | None = None
) -> list[Document]:
    return [_fulfillment_document(fulfillment) for fulfillment in order.fulfillments[:first]]


def _fulfillment_document(fulfillment: Fulfillment) -> Document:
    return {
        "id": gid("Fulfillment", fulfillment.number),
        "status": fulfillment.status,
        "displayStatus": fulfillment.display_status,
        "createdAt": time_text(fulfillment.created_at),
        "deliveredAt": time_text(fulfillment.delivered_at),
    }
