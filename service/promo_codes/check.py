"""Whether a customer may use a promo code now, and why not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal
from uuid import UUID

from service.core.db import Connection, one
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
    "not_in_shopify_yet",
    "no_shopify_customer",
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
        "not_in_shopify_yet": "The next update of the code adds the customer in Shopify.",
        "no_shopify_customer": "The customer is not a customer in Shopify.",
    }
)
_GID = re.compile(r"gid://shopify/Customer/([0-9]+)")


@dataclass(frozen=True)
class Eligibility:
    """Whether a customer may use a code, the reason, and which of its segments they are in."""

    is_eligible: bool
    reason: Reason
    in_words: str
    segments: list[str]
    excluded_by: list[str]


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
    return Eligibility(reason == "eligible", reason, _IN_WORDS[reason], included, excluded)


def _find(
    conn: Connection, tenant_id: UUID, row: Mapping[str, Any], customer: str
) -> dict[str, Any]:
    text = customer.strip()
    if not text:
        raise InvalidInputError("Give a customer's id or e-mail address.", field="customer")
    known = _find_customers(conn, tenant_id, text)
    segments = parse_segments([*row["segments"], *row["excluded_segments"]], "segments")
    parameters = {
        "tenant_id": tenant_id,
        "promo_code_id": row["promo_code_id"],
        # A member of one of Shopify's segments may not have been loaded as a customer yet.
        "customer_ids": [found["customer_id"] for found in known] or [text],
        "rfm": keys_of(segments, "rfm"),
        "shopify": keys_of(segments, "shopify"),
        "klaviyo": keys_of(segments, "klaviyo"),
    }
    found = one(conn.execute(query("promo_codes.check_customer"), parameters).fetchone())
    return {**found, "is_known": bool(known or found["segments"])}


def _find_customers(conn: Connection, tenant_id: UUID, text: str) -> list[dict[str, Any]]:
    # Ids such as email:… of customers whom only files know contain an @, too.
    if "@" in text and not text.startswith(("email:", "phone:")):
        parameters = {"tenant_id": tenant_id, "email": text}
        return conn.execute(query("promo_codes.find_customers_by_email"), parameters).fetchall()
    gid = _GID.fullmatch(text)
    parameters = {"tenant_id": tenant_id, "customer_id": gid[1] if gid else text}
    return conn.execute(query("promo_codes.find_customer_by_id"), parameters).fetchall()


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
        ("unknown_customer", not found["is_known"]),
        ("excluded", bool(excluded)),
        ("not_in_segment", not included),
        ("eligible", is_accepted),
        ("no_shopify_customer", found["target_state"] == "refused"),
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
