"""Promo codes as a person asks for them. A change here queues the run that applies it to Shopify.

The row and the job commit together, so a request is never lost and never done twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, cast, get_args
from uuid import UUID
from zoneinfo import ZoneInfo

from service.core.config import Settings
from service.core.db import Connection, one
from service.core.errors import InvalidInputError, NotConnectedError
from service.core.queries import query
from service.promo_codes.plan import count_customers, kind_of, too_many
from service.promo_codes.segments import check_segments, parse_segments
from service.queue.enqueue import enqueue
from service.queue.runs import Trigger
from service.shopify.discounts import PromoCode
from service.shopify.errors import ShopifyDeniedError
from service.shopify.money import exponent_of, to_minor
from service.shopify.scopes import DISCOUNTS_SCOPE, is_granted

State = Literal[
    "pending",
    "waiting",
    "scheduled",
    "active",
    "expired",
    "deactivated",
    "needs_attention",
    "deleting",
]
STATES: Sequence[State] = get_args(State)
# Other characters are changed in links to the checkout (Shopify's help centre, "Discount types").
PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
# Segments of one code: more than a person compares, and few enough for one look-up of a customer.
MOST_SEGMENTS = 25
# Times at the ends of the calendar cannot be converted to every time zone.
_YEARS = range(2000, 2101)
_CODE = re.compile(PATTERN.removesuffix("$") + r"\Z", re.ASCII)


class UnknownCodeError(InvalidInputError):
    """There is no such promo code."""

    def __init__(self, code: str) -> None:
        super().__init__(f"There is no promo code '{code[:100]}'.")


@dataclass(frozen=True)
class CodeValues:
    """What a promo code gives, when, and to whom.

    Attributes:
        title: What the shop's staff see.
        starts_at: When it starts to work.
        segments: Ids of the segments whose members may use it; of at least one.
        percentage: What it takes off, as a share above 0 and up to 1.
        amount: What it takes off an order, in major units of the shop's currency, above 0.
        ends_at: When it ends; never if None.
        usage_limit: How often it may be used in all; without limit if None.
        is_once_per_customer: Whether each customer may use it only once.
        excluded_segments: Ids of the segments whose members may not use it.
    """

    title: str
    starts_at: datetime
    segments: Sequence[str]
    percentage: Decimal | None = None
    amount: Decimal | None = None
    ends_at: datetime | None = None
    usage_limit: int | None = None
    is_once_per_customer: bool = False
    excluded_segments: Sequence[str] = ()


# -- reading ------------------------------------------------------------------------------------


def get_code(conn: Connection, tenant_id: UUID, code: str) -> dict[str, Any]:
    """A promo code with its state and its number of targets.

    Raises:
        UnknownCodeError: The tenant has no promo code of this name.
    """
    check_code(code)
    parameters = {
        **dict.fromkeys(("state", "segment", "pattern", "after_sort_code")),
        "tenant_id": tenant_id,
        "code": code,
        "row_limit": 1,
    }
    row = conn.execute(query("promo_codes.list_codes"), parameters).fetchone()
    if row is None:
        raise UnknownCodeError(code)
    return describe(row)


def check_code(code: str) -> None:
    """Check that a promo code may exist.

    Raises:
        UnknownCodeError: It has characters that no code has.
    """
    if not _CODE.match(code):
        raise UnknownCodeError(code)


def list_codes(conn: Connection, tenant_id: UUID) -> list[dict[str, Any]]:
    """All promo codes of a tenant, as :func:`get_code`."""
    parameters: dict[str, Any] = {
        **dict.fromkeys(("code", "state", "segment", "pattern", "after_sort_code", "row_limit")),
        "tenant_id": tenant_id,
    }
    rows = conn.execute(query("promo_codes.list_codes"), parameters).fetchall()
    return [describe(row) for row in rows]


def find_time_zone(conn: Connection, tenant_id: UUID) -> ZoneInfo:
    """The time zone of the tenant's store."""
    found = conn.execute(query("promo_codes.find_time_zone"), {"tenant_id": tenant_id}).fetchone()
    return ZoneInfo(one(found)["time_zone"])


def describe(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the statement ``list_codes`` with its amount, its targets, and whether it is due."""
    return {
        **row,
        "amount": amount_of(row),
        "once_per_customer": row["is_once_per_customer"],
        "is_queued": row["requests_done"] < row["requests"],
        "targets": {
            "kind": kind_of(row["segments"], row["excluded_segments"]) + "s",
            "planned": row["members"],
            "in_shopify": row["accepted"],
            "to_add": row["adding"] + row["held_back"],
            "to_remove": row["removing"],
            "unreachable": row["unreachable"],
            "refused": row["refused"],
            "as_of": row["planned_at"],
        },
        "problem": row["problem"]
        and {
            "kind": row["problem"],
            "in_words": row["problem_message"],
            "advice": row["problem_advice"],
            "since": row["problem_since"],
        },
    }


def amount_of(row: Mapping[str, Any]) -> Decimal | None:
    """The amount of a stored code in major units of its currency."""
    if row["amount_minor"] is None:
        return None
    return Decimal(row["amount_minor"]).scaleb(-exponent_of(row["currency"]))


def values_of(row: Mapping[str, Any]) -> CodeValues:
    """The values of a stored code."""
    names = ("title", "starts_at", "ends_at", "usage_limit", "is_once_per_customer")
    return CodeValues(
        **{name: row[name] for name in names},
        percentage=row["percentage"],
        amount=amount_of(row),
        segments=row["segments"],
        excluded_segments=row["excluded_segments"],
    )


def auditable(row: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a described code that a person sets, as the audit log has them."""
    names = ("code", "title", "percentage", "amount", "starts_at", "ends_at", "usage_limit")
    more = ("once_per_customer", "segments", "excluded_segments")
    return {name: row[name] for name in (*names, *more)}


def auditable_state(row: Mapping[str, Any]) -> dict[str, Any]:
    """Whether a code is to work, as the audit log has it."""
    return {"is_active": row["wanted"] == "active"}


# -- changing -----------------------------------------------------------------------------------


def create_code(
    settings: Settings, conn: Connection, tenant_id: UUID, code: str, values: CodeValues
) -> dict[str, Any]:
    """Add a promo code and queue its creation in Shopify.

    Raises:
        InvalidInputError: A value is invalid, a segment does not exist, or the code is taken here.
        NotConnectedError: The tenant's shop is not connected.
        ShopifyDeniedError: Its access token lacks the scope ``write_discounts``.
    """
    if not _CODE.match(code):
        raise InvalidInputError(
            f"'{code[:100]}' is not a promo code.",
            advice="It has up to 100 letters, digits, dots, hyphens and underscores.",
            field="code",
        )
    currency = check_access(conn, tenant_id)
    parameters = _check(settings, conn, tenant_id, code, values, currency)
    created = conn.execute(query("promo_codes.create_code"), parameters).fetchone()
    if created is None:
        raise InvalidInputError(
            f"There is a promo code '{code}' already.",
            advice="Change that one, or choose another code.",
            field="code",
        )
    _enqueue(conn, tenant_id, "person")
    return get_code(conn, tenant_id, code)


def change_code(
    settings: Settings, conn: Connection, tenant_id: UUID, code: str, changes: Mapping[str, Any]
) -> dict[str, Any]:
    """Change values of a promo code, and queue the update in Shopify.

    Giving a percentage takes the amount away, and the other way round. A change that changes
    nothing queues nothing.

    Raises:
        UnknownCodeError: The tenant has no such promo code.
        InvalidInputError: A value is invalid, or a segment does not exist.
        NotConnectedError: The tenant's shop is not connected.
        ShopifyDeniedError: Its access token lacks the scope ``write_discounts``.
    """
    row = _lock(conn, tenant_id, code)
    before = values_of(row)
    if changes.get("percentage") is not None and "amount" not in changes:
        changes = {**changes, "amount": None}
    elif changes.get("amount") is not None and "percentage" not in changes:
        changes = {**changes, "percentage": None}
    values = replace(before, **changes)
    if values != before:
        currency = check_access(conn, tenant_id)
        # What the change leaves as it is need not be right any more, such as a deleted segment.
        parameters = _check(settings, conn, tenant_id, row["code"], values, currency, before)
        parameters["promo_code_id"] = row["promo_code_id"]
        conn.execute(query("promo_codes.change_code"), parameters)
        _enqueue(conn, tenant_id, "person")
    return get_code(conn, tenant_id, code)


def deactivate_code(conn: Connection, tenant_id: UUID, code: str) -> dict[str, Any]:
    """End a promo code in Shopify until it is activated again.

    Raises:
        UnknownCodeError: The tenant has no such promo code.
    """
    return _want(conn, tenant_id, _lock(conn, tenant_id, code), "deactivated")


def activate_code(conn: Connection, tenant_id: UUID, code: str) -> dict[str, Any]:
    """Let a deactivated promo code work again, for those who may use it by then.

    Raises:
        UnknownCodeError: The tenant has no such promo code.
    """
    return _want(conn, tenant_id, _lock(conn, tenant_id, code), "active")


def retry_code(conn: Connection, tenant_id: UUID, code: str) -> dict[str, Any]:
    """Try a promo code again that needs attention.

    A discount that was deleted in Shopify is made again. Customers whom Shopify did not know are
    sent again.

    Raises:
        UnknownCodeError: The tenant has no such promo code.
    """
    row = _lock(conn, tenant_id, code, accepts_deleted=True)
    parameters = {
        "tenant_id": tenant_id,
        "promo_code_id": row["promo_code_id"],
        "is_gone": row["problem"] == "discount_deleted",
    }
    conn.execute(query("promo_codes.forget_targets"), parameters)
    conn.execute(query("promo_codes.retry_code"), parameters)
    _enqueue(conn, tenant_id, "person")
    return get_code(conn, tenant_id, code)


def delete_code(
    conn: Connection, tenant_id: UUID, code: str, *, keeps_discount: bool = False
) -> dict[str, Any] | None:
    """Delete a promo code in Shopify and then here; returns it while that lasts.

    Args:
        conn: The tenant's transaction.
        tenant_id: The tenant.
        code: The code.
        keeps_discount: Delete it here only. A discount in Shopify stays as it is.

    Raises:
        UnknownCodeError: The tenant has no such promo code.
    """
    row = _lock(conn, tenant_id, code, accepts_deleted=True)
    is_sent = row["discount_id"] is not None or row["sent_title"] is not None
    if keeps_discount or (not is_sent and row["requests_done"] == row["requests"]):
        parameters = {"tenant_id": tenant_id, "promo_code_id": row["promo_code_id"]}
        conn.execute(query("promo_codes.delete_code"), parameters)
        return None
    return _want(conn, tenant_id, row, "deleted")


def ask_for_updates(conn: Connection, tenant_id: UUID, trigger: Trigger = "schedule") -> bool:
    """Queue an update of the targets of all promo codes that may be used; whether there are any.

    For what changes segments: a build, a sync of Shopify's segments or of lists, a webhook about a
    segment. A deletion or deactivation that met a problem is tried again with them.
    """
    asked = conn.execute(query("promo_codes.ask_for_updates"), {"tenant_id": tenant_id})
    if not asked.fetchall():
        return False
    _enqueue(conn, tenant_id, trigger)
    return True


def check_access(conn: Connection, tenant_id: UUID) -> str:
    """Check that promo codes can be written to the tenant's shop; returns its currency.

    Raises:
        NotConnectedError: The shop is not connected.
        ShopifyDeniedError: Its access token lacks the scope ``write_discounts``.
    """
    found = one(conn.execute(query("promo_codes.find_access"), {"tenant_id": tenant_id}).fetchone())
    if not found["is_connected"] or found["currency"] is None:
        raise NotConnectedError(
            "Shopify is not connected.", advice="Connect it in Quintile under Connections."
        )
    if not is_granted(DISCOUNTS_SCOPE, found["scopes"]):
        raise missing_scope()
    return cast("str", found["currency"])


def missing_scope() -> ShopifyDeniedError:
    """The error of an access token that may not write discounts."""
    return ShopifyDeniedError(
        f"The access token lacks the scope {DISCOUNTS_SCOPE}.",
        advice="Give the app that scope in Shopify, then verify the connection and try again.",
    )


def _want(
    conn: Connection,
    tenant_id: UUID,
    row: Mapping[str, Any],
    wanted: Literal["active", "deactivated", "deleted"],
) -> dict[str, Any]:
    # Asked again after a problem, it is tried again.
    if row["wanted"] != wanted or row["problem"] is not None:
        parameters = {
            "tenant_id": tenant_id,
            "promo_code_id": row["promo_code_id"],
            "wanted": wanted,
        }
        conn.execute(query("promo_codes.want_code"), parameters)
        _enqueue(conn, tenant_id, "person")
    return get_code(conn, tenant_id, row["code"])


def _lock(
    conn: Connection, tenant_id: UUID, code: str, *, accepts_deleted: bool = False
) -> dict[str, Any]:
    """The row of a promo code, locked until the end of the transaction.

    Raises:
        UnknownCodeError: The tenant has no such promo code.
        InvalidInputError: It is being deleted.
    """
    check_code(code)
    parameters = {"tenant_id": tenant_id, "code": code}
    row = conn.execute(query("promo_codes.lock_code"), parameters).fetchone()
    if row is None:
        raise UnknownCodeError(code)
    if row["wanted"] == "deleted" and not accepts_deleted:
        raise InvalidInputError(f"The promo code '{row['code']}' is being deleted.")
    return row


def _enqueue(conn: Connection, tenant_id: UUID, trigger: Trigger) -> None:
    """A run that has begun may have looked before this change, so another one waits behind it."""
    enqueue(conn, tenant_id, "promo_codes", trigger, behind_running=True)


def _check(
    settings: Settings,
    conn: Connection,
    tenant_id: UUID,
    code: str,
    values: CodeValues,
    currency: str,
    before: CodeValues | None = None,
) -> dict[str, Any]:
    """Check the values of a code; returns them as they are stored."""
    # Checks the value and the times.
    PromoCode(
        code, values.title, values.starts_at, values.percentage, values.amount, values.ends_at
    )
    for field, moment in (("starts_at", values.starts_at), ("ends_at", values.ends_at)):
        if moment is not None and moment.year not in _YEARS:
            message = f"This must be a time from {_YEARS[0]} to {_YEARS[-1]}."
            raise InvalidInputError(message, field=field)
    if values.ends_at is not None and values.ends_at <= values.starts_at:
        raise InvalidInputError("A promo code must end after it starts.", field="ends_at")
    checked: dict[str, list[str]] = {}
    for field in ("segments", "excluded_segments"):
        checked[field] = _check_segments(conn, tenant_id, values, before, field)
    if not values.segments:
        raise InvalidInputError(
            "A promo code is for the members of at least one segment.", field="segments"
        )
    if both := set(checked["segments"]) & set(checked["excluded_segments"]):
        raise InvalidInputError(
            f"'{min(both)}' is both included and excluded.", field="excluded_segments"
        )
    has_new_segments = before is None or (
        (values.segments, values.excluded_segments) != (before.segments, before.excluded_segments)
    )
    if has_new_segments and kind_of(values.segments, values.excluded_segments) == "customer":
        _check_size(settings, conn, tenant_id, checked["segments"], checked["excluded_segments"])
    return {
        "tenant_id": tenant_id,
        **asdict(values),
        **checked,
        "code": code,
        "currency": None if values.amount is None else currency,
        "amount_minor": _minor(values.amount, currency),
    }


def _check_segments(
    conn: Connection, tenant_id: UUID, values: CodeValues, before: CodeValues | None, field: str
) -> list[str]:
    given: Iterable[str] = getattr(values, field)
    segments = parse_segments(given, field)
    if len(segments) > MOST_SEGMENTS:
        raise InvalidInputError(f"At most {MOST_SEGMENTS} segments.", field=field)
    known = getattr(before, field) if before is not None else ()
    check_segments(conn, tenant_id, [s for s in segments if str(s) not in known], field)
    return [str(segment) for segment in segments]


def _check_size(
    settings: Settings,
    conn: Connection,
    tenant_id: UUID,
    segments: Sequence[str],
    excluded_segments: Sequence[str],
) -> None:
    customers = count_customers(conn, tenant_id, segments, excluded_segments)
    if customers is not None and customers > settings.promo_code_customers:
        problem = too_many(customers, settings.promo_code_customers)
        raise InvalidInputError(problem.message, advice=problem.advice, field="segments")


def _minor(amount: Decimal | None, currency: str) -> int | None:
    if amount is None:
        return None
    try:
        return to_minor(f"{amount:f}", currency)
    except ValueError as error:
        raise InvalidInputError(f"This is not an amount: {error}.", field="amount") from None
