"""GraphQL nodes as rows: what each column means, and what makes a node unreadable."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from service.shopify.parse import (
    number_of,
    parse_customer,
    parse_member,
    parse_order,
    sort_out,
)


def money(amount: str, currency: str = "EUR") -> dict[str, Any]:
    return {"shopMoney": {"amount": amount, "currencyCode": currency}}


ORDER: dict[str, Any] = {
    "id": "gid://shopify/Order/6832000000000",
    "name": "#1401",
    "email": "order@example.org",
    "note": "Leave at desk",
    "tags": ["Free sample", "x"],
    "test": False,
    "processedAt": "2026-04-22T14:05:00Z",
    "updatedAt": "2026-04-23T18:45:00+02:00",
    "cancelledAt": None,
    "currencyCode": "EUR",
    "displayFinancialStatus": "PARTIALLY_REFUNDED",
    "displayFulfillmentStatus": "FULFILLMENT_NOT_REQUIRED",
    "sourceName": "web",
    "attribution": {"displayName": "TikTok Shop"},
    "app": {"name": "TikTok"},
    "publication": {"name": "Online Store"},
    "customer": {
        "id": "gid://shopify/Customer/77",
        "displayName": "Ada L.",
        "defaultEmailAddress": {"emailAddress": "ada@example.org"},
    },
    "totalPriceSet": money("130.0"),
    "subtotalPriceSet": money("120.0"),
    "totalRefundedSet": money("10.55"),
    "currentTotalPriceSet": money("119.45"),
    "currentSubtotalPriceSet": money("109.45"),
    "fulfillments": [
        {"status": "CANCELLED", "createdAt": "2026-04-22T15:00:00Z", "deliveredAt": None},
        {
            "status": "SUCCESS",
            "createdAt": "2026-04-23T09:00:00Z",
            "deliveredAt": "2026-04-25T09:00:00Z",
        },
        {
            "status": "SUCCESS",
            "createdAt": "2026-04-23T08:00:00Z",
            "deliveredAt": "2026-04-26T09:00:00Z",
        },
    ],
    "lineItems": {
        "nodes": [
            {
                "title": "Tea",
                "variantTitle": None,
                "sku": "T-1",
                "product": {"productType": " Loose tea "},
                "quantity": 3,
                "originalUnitPriceSet": money("45.0"),
                "discountedTotalSet": money("120.0"),
            }
        ],
        "pageInfo": {"hasNextPage": False, "endCursor": None},
    },
}


def order(**changes: Any) -> dict[str, Any]:
    return {**deepcopy(ORDER), **changes}


def test_an_order_in_columns() -> None:
    assert parse_order(order()) == {
        "order_id": "6832000000000",
        "order_number": "#1401",
        "customer_id": "77",
        "customer_email": "ada@example.org",
        "customer_phone": None,
        "customer_name": "Ada L.",
        "processed_at": "2026-04-22T14:05:00.000000+00:00",
        "cancelled_at": None,
        "is_test": False,
        "currency": "EUR",
        "total_minor": 13000,
        "subtotal_minor": 12000,
        "refunded_minor": 1055,
        "current_total_minor": 11945,
        "current_subtotal_minor": 10945,
        "financial_status": "PARTIALLY_REFUNDED",
        "fulfillment_status": "FULFILLMENT_NOT_REQUIRED",
        "channel": "TikTok Shop",
        "tags": ["Free sample", "x"],
        "note": "Leave at desk",
        "line_items": [
            {
                "title": "Tea",
                "variant_title": None,
                "sku": "T-1",
                "quantity": 3,
                "unit_price_minor": 4500,
                "total_minor": 12000,
                "product_type": "Loose tea",
            }
        ],
        "first_fulfilled_at": "2026-04-23T08:00:00.000000+00:00",
        "delivered_at": "2026-04-26T09:00:00.000000+00:00",
        "shopify_updated_at": "2026-04-23T16:45:00.000000+00:00",
    }


@pytest.mark.parametrize(
    "product", [None, {"productType": ""}, {"productType": " "}], ids=["none", "unset", "blank"]
)
def test_a_line_without_a_product_type_reads_as_one_without_the_scope(
    product: dict[str, str] | None,
) -> None:
    (line,) = ORDER["lineItems"]["nodes"]
    unread = {name: value for name, value in line.items() if name != "product"}
    lines = {**ORDER["lineItems"], "nodes": [unread, {**line, "product": product}]}
    first, second = parse_order(order(lineItems=lines))["line_items"]
    assert first == second
    assert "product_type" not in first


def test_an_edited_order_keeps_its_first_total_beside_the_current_one() -> None:
    """As recorded: two units were edited to one before they were paid, so nothing is refunded."""
    edited = parse_order(
        order(
            totalPriceSet=money("226.0"),
            subtotalPriceSet=money("200.0"),
            totalRefundedSet=money("0.0"),
            currentTotalPriceSet=money("113.0"),
            currentSubtotalPriceSet=money("100.0"),
        )
    )
    assert (edited["total_minor"], edited["current_total_minor"]) == (22600, 11300)
    assert (edited["subtotal_minor"], edited["current_subtotal_minor"]) == (20000, 10000)


@pytest.mark.parametrize("name", ["currentTotalPriceSet", "currentSubtotalPriceSet"])
@pytest.mark.parametrize("is_absent", [True, False])
def test_current_totals_that_nobody_asked_for_are_unknown(name: str, is_absent: bool) -> None:
    """Files of bulk operations that an earlier release started do not have them."""
    node = order(**{name: None})
    if is_absent:
        del node[name]
    row = parse_order(node)
    assert row["total_minor"] == 13000
    assert (row["current_total_minor"] is None) == (name == "currentTotalPriceSet")
    assert (row["current_subtotal_minor"] is None) == (name == "currentSubtotalPriceSet")


@pytest.mark.parametrize(
    ("missing", "channel"),
    [
        ({"attribution": None}, "TikTok"),
        ({"attribution": None, "app": None}, "Online Store"),
        ({"attribution": None, "app": None, "publication": None}, "web"),
        ({"attribution": None, "app": None, "publication": None, "sourceName": None}, None),
    ],
)
def test_the_channel_falls_back_on_less_specific_names(
    missing: dict[str, Any], channel: str | None
) -> None:
    assert parse_order(order(**missing))["channel"] == channel


def test_a_guest_has_only_the_orders_address() -> None:
    row = parse_order(order(customer=None))
    assert (row["customer_id"], row["customer_name"]) == (None, None)
    assert row["customer_email"] == "order@example.org"


def test_without_a_subtotal_the_lines_are_summed() -> None:
    assert parse_order(order(subtotalPriceSet=None))["subtotal_minor"] == 12000


def test_lines_whose_sum_is_too_large_are_refused() -> None:
    """A page of orders would otherwise end at this one."""
    line = ORDER["lineItems"]["nodes"][0]
    lines = [{**line, "discountedTotalSet": money("90000000000000000.0")}] * 2
    large = order(subtotalPriceSet=None, lineItems={"nodes": lines})
    with pytest.raises(ValueError, match="sum of its lines is too large"):
        parse_order(large)
    parse_order({**large, "subtotalPriceSet": money("120.0")})


def test_an_order_is_delivered_with_its_last_parcel() -> None:
    under_way = {"status": "SUCCESS", "createdAt": "2026-04-24T09:00:00Z", "deliveredAt": None}
    fulfillments = [*ORDER["fulfillments"], under_way]
    assert parse_order(order(fulfillments=fulfillments))["delivered_at"] is None
    row = parse_order(order(fulfillments=[]))
    assert (row["first_fulfilled_at"], row["delivered_at"]) == (None, None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"id": "gid://shopify/Order/x"}, "is not a Shopify id"),
        ({"totalRefundedSet": money("1.0", "USD")}, "amounts in EUR and in USD"),
        ({"currentTotalPriceSet": money("1.0", "USD")}, "amounts in EUR and in USD"),
        ({"totalPriceSet": money("1.005")}, "more decimals"),
        ({"processedAt": "yesterday"}, "Invalid isoformat"),
        ({"processedAt": "2026-04-22T14:05:00"}, "has no time zone"),
        ({"processedAt": None}, "must be str"),
        ({"tags": None}, "not iterable"),
    ],
)
def test_an_unreadable_order_becomes_a_rejection_with_its_reason(
    changes: dict[str, Any], reason: str
) -> None:
    rows, rejections = sort_out([order(), order(**changes)], parse_order)
    assert len(rows) == 1
    (rejection,) = rejections
    assert reason in rejection.reason
    assert rejection.payload["name"] == "#1401"


def test_a_missing_field_is_named() -> None:
    node = order()
    del node["updatedAt"]
    _, (rejection,) = sort_out([node], parse_order)
    assert rejection.source_id == "6832000000000"
    assert "updatedAt" in rejection.reason


@pytest.mark.parametrize("node", [None, {}, {"id": None}], ids=str)
def test_a_record_without_an_id_is_rejected_as_unknown(node: Any) -> None:
    _, (rejection,) = sort_out([node], parse_order)
    assert rejection.source_id == "unknown"


def test_a_members_number_is_the_customers_id() -> None:
    member = {"id": "gid://shopify/CustomerSegmentMember/77", "displayName": "Ada"}
    assert parse_member(member) == {
        "customer_id": "77",
        "email": None,
        "display_name": "Ada",
        "marketing_state": None,
    }


def test_a_customer_without_an_address() -> None:
    row = parse_customer(
        {
            "id": "gid://shopify/Customer/77",
            "displayName": "Ada",
            "tags": [],
            "createdAt": "2026-01-01T00:00:00Z",
            "updatedAt": "2026-01-02T00:00:00Z",
            "defaultEmailAddress": None,
        }
    )
    assert (row["customer_id"], row["email"], row["marketing_state"]) == ("77", None, None)


def test_ids_may_carry_parameters() -> None:
    assert number_of("gid://shopify/Order/7?x=1") == "7"


@pytest.mark.parametrize("kind", ["Order", "Metaobject"])
def test_ids_have_digits_that_postgresql_reads(kind: str) -> None:
    with pytest.raises(ValueError, match="not a Shopify id"):
        number_of(f"gid://shopify/{kind}/\u0667")
