"""The customer segments of each store; their members follow from the queries."""

from __future__ import annotations

from datetime import timedelta

from .model import Segment
from .orders import Draft

# (name, ShopifyQL, age in days, too large to be read directly)
_LARGER = (
    ("Customers who have purchased", "number_of_orders > 0", 690, True),
    ("Repeat customers", "number_of_orders > 1", 690, False),
    ("High spenders", "amount_spent >= 500", 512, False),
    ("Email subscribers", "email_subscription_status = 'SUBSCRIBED'", 690, False),
    ("Lapsed for half a year", "number_of_orders > 0 AND last_order_date < -180d", 301, False),
    ("New this month", "first_order_date >= -30d", 240, False),
    ("Creators", "customer_tags CONTAINS 'creator'", 188, False),
)
_SMALLER = (
    ("Stammkunden", "number_of_orders >= 3", 400, False),
    ("Newsletter", "email_subscription_status = 'SUBSCRIBED'", 650, False),
    ("Creator", "customer_tags CONTAINS 'creator'", 120, False),
    ("Lange nicht da", "number_of_orders > 0 AND last_order_date < -180d", 90, False),
)
LARGE_STORE_CUSTOMERS = 3000


def make_segments(draft: Draft) -> list[Segment]:
    """The store's segments, oldest first by id."""
    definitions = _LARGER if draft.spec.customers >= LARGE_STORE_CUSTOMERS else _SMALLER
    segments = []
    for position, (name, query, age, is_large) in enumerate(definitions):
        created = draft.anchor - timedelta(days=age, minutes=37 * position)
        segments.append(
            Segment(
                number=draft.spec.id_base // 10 + position * 32_768 + 1,
                name=name,
                query=query,
                creation_date=created,
                last_edit_date=created + timedelta(days=age // 3),
                is_large=is_large,
            )
        )
    return segments
