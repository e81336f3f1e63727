"""Whether a customer may use a promo code now, and why not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal
from uuid import UUID

from service.core.db import Connection, one, rows_of_marts
from service.core.errors import InvalidInputError
from service.core.queries import query
from service.promo_codes.codes import UnknownCodeError, check_code
from service.promo_codes.plan import kind_of
from service.promo_codes.segments import keys_of, parse_segments

Reason = Literal[
    "eligible",
    "code_pending",
    "code_waiting",
    "code_scheduled",
    "code_expired",
    "code_deactivated",
    "unknown_customer",
    "not_in_segment",
    "excluded",
    "no_shopify_customer",
    "code_needs_attention",
    "not_in_shopify_yet",
]

_IN_WORDS: Mapping[Reason, str] = MappingProxyType(
    {
        "eligible": "The customer may use the code.",
        "code_pending": "The code is not in Shopify yet.",
        "code_waiting": "Nobody may use the code at the moment.",
        "code_scheduled": "The code does not work yet.",
        "code_expired": "The code has ended.",
        "code_deactivated": "The code is deactivated.",
        "unknown_customer": "Your store has no such customer.",
        "not_in_segment": "The customer is in none of the code's segments.",
        "excluded": "The customer is in a segment that the code excludes.",
        "no_shopify_customer": "The customer is not a customer in Shopify.",
        "code_needs_attention": "The code takes no new customers until its problem is solved.",
        "not_in_shopify_yet": "The next update of the code adds the customer in Shopify.",
    }
)
_GID = re.compile(r"gid://shopify/Customer/([0-9]+)")


@dataclass(frozen=True)
class Eligibility:
    """Whether a customer may use a code, the reason, and which of its segments they are in.

    ``added_at`` is when Shopify accepted the customer, while it has them; ``removed_at`` is when it
    last removed them, while it does not.
    """

    is_eligible: bool
    reason: Reason
    in_words: str
    segments: list[str]
    excluded_by: list[str]
    added_at: datetime | None
    removed_at: datetime | None


def check_customer(conn: Connection, tenant_id: UUID, code: str, customer: str) -> Eligibility:
    """Whether a customer may use a code, by the last sync and build and what Shopify has accepted.

    Shopify decides at the checkout. It also counts how often the code was used.

    Args:
        conn: A transaction of the tenant.
        tenant_id: The tenant.
        code: The promo code.
        customer: The customer's id, Shopify's global id, or their e-mail address.

    Raises:
        UnknownCodeError: The tenant has no such promo code.
        InvalidInputError: The customer is empty.
    """
    check_code(code)
    parameters = {"tenant_id": tenant_id, "code": code}
    row = conn.execute(query("promo_codes.find_code"), parameters).fetchone()
    if row is None:
        raise UnknownCodeError(code)
    found = _find(conn, tenant_id, row, customer)
    included = [segment for segment in row["segments"] if segment in found["segments"]]
    excluded = [segment for segment in row["excluded_segments"] if segment in found["segments"]]
    reason = _reason(row, found, included, excluded)
    return Eligibility(
        is_eligible=reason == "eligible",
        reason=reason,
        in_words=_IN_WORDS[reason],
        segments=included,
        excluded_by=excluded,
        added_at=found["added_at"],
        removed_at=None if found["added_at"] is not None else found["removed_at"],
    )


def find_customer_ids(conn: Connection, tenant_id: UUID, text: str) -> list[str]:
    """The ids of the customers that a text may mean, whether or not there are such customers.

    Args:
        conn: A transaction of the tenant.
        tenant_id: The tenant.
        text: A customer's id, Shopify's global id, or an e-mail address.
    """
    gid = _GID.fullmatch(text)
    # The ids of customers that only imported files have, such as email:…, contain an @, too.
    if gid or "@" not in text or text.startswith(("email:", "phone:")):
        return [gid[1] if gid else text]
    parameters = {"tenant_id": tenant_id, "email": text}
    found = conn.execute(query("promo_codes.find_customers_by_email"), parameters).fetchall()
    if not found:
        # These read all customers, so only if the index finds none.
        found = conn.execute(query("promo_codes.find_members_by_email"), parameters).fetchall()
        statement = query("promo_codes.find_built_customers_by_email")
        found += rows_of_marts(conn, statement, parameters)
    return [customer["customer_id"] for customer in found]


def _find(
    conn: Connection, tenant_id: UUID, row: Mapping[str, Any], customer: str
) -> dict[str, Any]:
    text = customer.strip()
    if not text:
        raise InvalidInputError("Give a customer's id or e-mail address.", field="customer")
    if "\0" in text:
        raise InvalidInputError("This contains a NUL character.", field="customer")
    customer_ids = find_customer_ids(conn, tenant_id, text)
    segments = parse_segments([*row["segments"], *row["excluded_segments"]], "segments")
    parameters = {
        "tenant_id": tenant_id,
        "promo_code_id": row["promo_code_id"],
        "customer_ids": customer_ids,
        "rfm": keys_of(segments, "rfm"),
        "shopify": keys_of(segments, "shopify"),
        "klaviyo": keys_of(segments, "klaviyo"),
    }
    built = rows_of_marts(conn, query("promo_codes.find_built_customers"), parameters)
    parameters |= {
        "built_segments": [customer["segment"] for customer in built],
        "built_emails": [customer["email"] for customer in built],
    }
    return one(conn.execute(query("promo_codes.check_customer"), parameters).fetchone()) | {
        "is_built": bool(built)
    }


def _reason(
    row: Mapping[str, Any], found: Mapping[str, Any], included: list[str], excluded: list[str]
) -> Reason:
    """The first reason that applies."""
    is_for_segments = kind_of(row["segments"], row["excluded_segments"]) == "segment"
    if is_for_segments:
        is_accepted = bool(set(included) & set(found["accepted_segments"]))
    else:
        is_accepted = found["target_state"] == "accepted"
    reasons: list[tuple[Reason | None, bool]] = [
        (_reason_of_code(row), True),
        ("unknown_customer", not (found["is_built"] or found["is_in_shopify"])),
        ("excluded", bool(excluded)),
        ("not_in_segment", not included),
        ("eligible", is_accepted),
        ("no_shopify_customer", found["target_state"] == "refused"),
        ("no_shopify_customer", not is_for_segments and not found["is_in_shopify"]),
        ("code_needs_attention", row["problem"] is not None),
        ("not_in_shopify_yet", True),
    ]
    return next(reason for reason, applies in reasons if applies and reason is not None)


def _reason_of_code(row: Mapping[str, Any]) -> Reason | None:
    """Why nobody may use the code; one that needs attention may still work in Shopify."""
    now = datetime.now(UTC)
    is_planned = row["requests_done"] > 0 and row["problem"] is None
    reasons: list[tuple[Reason, bool]] = [
        ("code_deactivated", row["wanted"] != "active" or row["problem"] == "discount_ended"),
        ("code_pending", row["problem"] in ("discount_deleted", "discount_renamed")),
        ("code_expired", row["ends_at"] is not None and row["ends_at"] <= now),
        ("code_pending", row["discount_id"] is None and not is_planned),
        ("code_waiting", row["discount_id"] is None or row["is_ended"]),
        ("code_scheduled", row["starts_at"] > now),
    ]
    return next((reason for reason, applies in reasons if applies), None)
