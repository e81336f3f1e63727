"""Promo codes and who may use them: segments, customers or everybody.

Shopify takes at most 250 targets in one call, so a code is created with the first ones and updated
with the others. If the answer to a creation is lost, the code is looked up before it is created
again. Adding or removing a target twice has the same effect as once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from service.core.errors import InvalidInputError
from service.shopify.client import Data, ShopifyClient
from service.shopify.errors import ShopifyError, ShopifyUnavailableError, ShopifyUnknownOutcomeError

# "Due to API input array limits, a maximum of 250 items": Shopify's Admin API, input types.
MOST_TARGETS_PER_CALL = 250
# What clocks may differ by, at most.
_CLOCK_SKEW = timedelta(hours=1)


class DiscountRefusedError(ShopifyError):
    """Shopify refused a promo code.

    ``code`` is Shopify's ``DiscountErrorCode`` of the first error, ``field`` the path of the wrong
    input in Shopify's names, joined by dots; empty when Shopify does not name it.
    """

    def __init__(self, message: str, advice: str, code: str, field: str) -> None:
        super().__init__(message, advice=advice)
        self.code = code
        self.field = field

    @property
    def is_gone(self) -> bool:
        """Whether the shop has no discount with the id that was given."""
        return self.field == "id"

    @property
    def is_unknown_target(self) -> bool:
        """Whether the shop does not have one of the segments or customers that were given."""
        return self.code == "INVALID" and any(
            name in _UNKNOWN_TARGETS for name in self.field.split(".")
        )


class TargetsIncompleteError(ShopifyError):
    """A promo code has some of its targets, and the others could not be added.

    ``discount_id`` is the discount's global id, ``done`` how many targets it has.
    """

    def __init__(self, discount_id: str, done: int, total: int, cause: ShopifyError) -> None:
        super().__init__(
            f"The promo code has {done:,} of its {total:,} targets: {cause.message}",
            advice=cause.advice or "It keeps those it has. Add the others later.",
        )
        self.discount_id = discount_id
        self.done = done


@dataclass(frozen=True)
class Targets:
    """Who may use a code: the members of segments, or customers, or everybody.

    Ids are the numbers in Shopify's global ids, as text. Nobody must never become everybody, so
    everybody has to be asked for.
    """

    segment_ids: Sequence[str] = ()
    customer_ids: Sequence[str] = ()
    is_everybody: bool = False

    def __post_init__(self) -> None:
        if self.segment_ids and self.customer_ids:
            raise InvalidInputError("A promo code is for segments or for customers, not for both.")
        if self.is_everybody == (len(self) > 0):
            raise InvalidInputError("A promo code is for segments, for customers or for everybody.")

    def __len__(self) -> int:
        return len(self.segment_ids) + len(self.customer_ids)


@dataclass(frozen=True)
class PromoCode:
    """A code that discounts the whole order, by a percentage or by an amount.

    Attributes:
        code: What buyers type; its case does not matter.
        title: What the shop's staff see.
        starts_at: When the code starts to work.
        percentage: The discount as a share, above 0 and up to 1.
        amount: The discount in major units of the shop's currency, above 0, once per order.
        ends_at: When it ends; never when None.
        usage_limit: How often it may be used in all; without limit when None.
        is_once_per_customer: Whether each customer may use it only once.
    """

    code: str
    title: str
    starts_at: datetime
    percentage: Decimal | None = None
    amount: Decimal | None = None
    ends_at: datetime | None = None
    usage_limit: int | None = None
    is_once_per_customer: bool = False

    def __post_init__(self) -> None:
        if (self.percentage is None) == (self.amount is None):
            raise InvalidInputError("A promo code has either a percentage or an amount.")
        if self.percentage is not None and not (
            self.percentage.is_finite() and 0 < self.percentage <= 1
        ):
            raise InvalidInputError(
                "A promo code's percentage must be above 0 and at most 1.",
                advice="It is a share: 0.2 takes 20 % off.",
                field="percentage",
            )
        # Shopify accepts 0, a code that discounts nothing, and calls a negative amount too large.
        if self.amount is not None and not (self.amount.is_finite() and self.amount > 0):
            raise InvalidInputError("A promo code's amount must be above 0.", field="amount")
        if self.starts_at.tzinfo is None or (self.ends_at and self.ends_at.tzinfo is None):
            raise InvalidInputError("A promo code's times need a time zone.")


@dataclass(frozen=True)
class Discount:
    """The discount that a code stands for.

    ``discount_id`` is its global id; ``title`` and ``status`` (ACTIVE, EXPIRED, SCHEDULED) are None
    when it is not a basic code discount.
    """

    discount_id: str
    title: str | None
    status: str | None


@dataclass(frozen=True)
class DiscountState:
    """What a discount is in the shop now: its code, its status, and everybody it is for."""

    code: str
    status: str | None
    segment_ids: frozenset[str]
    customer_ids: frozenset[str]
    is_everybody: bool


def create_code(client: ShopifyClient, promo: PromoCode, targets: Targets) -> str:
    """Create a promo code for its targets and return the discount's global id.

    Raises:
        DiscountRefusedError: Shopify refused it, for example because the code is taken.
        TargetsIncompleteError: It was created with some of the targets only.
        ShopifyRefusedError: The token lacks the scope ``write_discounts``.
        ShopifyUnknownOutcomeError: It may have been created or not, and the look-up failed too.
        ShopifyError: As :meth:`ShopifyClient.run`.
    """
    first, *others = _chunks(targets, "add") or [{"all": "ALL"}]
    discount_id = _create_once(client, promo, first)
    done = min(MOST_TARGETS_PER_CALL, len(targets))
    for context in others:
        try:
            _update(client, discount_id, {"context": context})
        except ShopifyError as error:
            raise TargetsIncompleteError(discount_id, done, len(targets), error) from None
        done = min(done + MOST_TARGETS_PER_CALL, len(targets))
    return discount_id


def change_targets(
    client: ShopifyClient,
    discount_id: str,
    *,
    add: Targets | None = None,
    remove: Targets | None = None,
) -> None:
    """Add targets to a promo code and remove others.

    Raises:
        DiscountRefusedError: Shopify refused a change; the changes before it were made.
        ShopifyError: As :meth:`ShopifyClient.run`.
    """
    for targets, change in ((add, "add"), (remove, "remove")):
        for context in _chunks(targets, change) if targets is not None else ():
            _update(client, discount_id, {"context": context})


def change_code(client: ShopifyClient, discount_id: str, promo: PromoCode) -> None:
    """Give a discount the values of a promo code; its targets stay.

    A code that has ended works again if ``promo`` has not ended.

    Raises:
        DiscountRefusedError: Shopify refused a value, or no longer has the discount.
        ShopifyError: As :meth:`ShopifyClient.run`.
    """
    _update(client, discount_id, _discount_input(promo))


def find_code(client: ShopifyClient, code: str) -> Discount | None:
    """The discount that a code stands for, whatever its case; None if there is none.

    Raises:
        ShopifyRefusedError: The token lacks the scope ``read_discounts``.
        ShopifyError: As :meth:`ShopifyClient.run`.
    """
    node = client.run("discount_by_code", code=code)["codeDiscountNodeByCode"]
    if node is None:
        return None
    found = node["codeDiscount"]
    return Discount(node["id"], found.get("title"), found.get("status"))


def read_discount(client: ShopifyClient, discount_id: str) -> DiscountState | None:
    """A basic discount as it is in the shop; None if the shop no longer has it.

    Raises:
        ShopifyRefusedError: The token lacks the scope ``read_discounts`` or ``read_customers``.
        ShopifyError: As :meth:`ShopifyClient.run`.
    """
    node = client.run("discount", id=discount_id)["codeDiscountNode"]
    if node is None:
        return None
    found = node["codeDiscount"]
    codes: list[Data] = found.get("codes", {}).get("nodes") or []
    context: Data = found.get("context") or {}
    return DiscountState(
        code=str(codes[0]["code"]) if codes else "",
        status=found.get("status"),
        segment_ids=frozenset(_number(each["id"]) for each in context.get("segments") or ()),
        customer_ids=frozenset(_number(each["id"]) for each in context.get("customers") or ()),
        is_everybody="all" in context,
    )


def find_existing(client: ShopifyClient, targets: Targets) -> set[str]:
    """Which of these segments or customers the shop has, by the numbers in their ids.

    Raises:
        ShopifyError: As :meth:`ShopifyClient.run`.
    """
    existing: set[str] = set()
    for context in _chunks(targets, "add"):
        for change in context.values():
            nodes = client.run("node_ids", ids=change["add"])["nodes"]
            existing |= {_number(node["id"]) for node in nodes if node is not None}
    return existing


def deactivate_code(client: ShopifyClient, discount_id: str) -> None:
    """End a promo code now, if it has begun and not ended.

    For one that has not begun see :func:`withdraw_code`.

    Raises:
        DiscountRefusedError: The shop has no such discount.
        ShopifyError: As :meth:`ShopifyClient.run`.
    """
    answer = client.run("discount_deactivate", id=discount_id)["discountCodeDeactivate"]
    _raise_user_errors(answer)


def withdraw_code(client: ShopifyClient, discount_id: str) -> None:
    """End a promo code that has not begun: its dates become past ones.

    Ended by :func:`deactivate_code`, it would end before its start, and Shopify refuses every later
    change of such a discount.

    Raises:
        DiscountRefusedError: The shop has no such discount.
        ShopifyError: As :meth:`ShopifyClient.run`.
    """
    now = datetime.now(UTC)
    dates = {"startsAt": _time(now - 2 * _CLOCK_SKEW), "endsAt": _time(now - _CLOCK_SKEW)}
    _update(client, discount_id, dates)


def delete_code(client: ShopifyClient, discount_id: str) -> None:
    """Delete a discount, if the shop still has it.

    Raises:
        DiscountRefusedError: Shopify refused it.
        ShopifyError: As :meth:`ShopifyClient.run`.
    """
    answer = client.run("discount_delete", id=discount_id)["discountCodeDelete"]
    for error in answer["userErrors"]:
        refusal = _refusal(error)
        if not refusal.is_gone:
            raise refusal


def _create_once(client: ShopifyClient, promo: PromoCode, context: Data) -> str:
    try:
        return _create(client, promo, context)
    except ShopifyUnknownOutcomeError as unknown:
        try:
            found = find_code(client, promo.code)
        except ShopifyUnavailableError:
            raise unknown from None
    if found is None:
        # It was not created. If this answer is lost too, the caller gets the error.
        return _create(client, promo, context)
    if found.title != promo.title:
        raise _refusal(
            {"code": "TAKEN", "field": ["basicCodeDiscount", "code"], "message": "Code is taken"}
        )
    return found.discount_id


def _create(client: ShopifyClient, promo: PromoCode, context: Data) -> str:
    discount = {**_discount_input(promo), "context": context}
    answer = client.run("discount_create", is_repeatable=False, discount=discount)
    return _raise_user_errors(answer["discountCodeBasicCreate"])


def _update(client: ShopifyClient, discount_id: str, discount: Data) -> None:
    answer = client.run("discount_update", id=discount_id, discount=discount)
    _raise_user_errors(answer["discountCodeBasicUpdate"])


def _discount_input(promo: PromoCode) -> Data:
    """Shopify's ``DiscountCodeBasicInput``, but for its context."""
    if promo.percentage is not None:
        value: Data = {"percentage": float(promo.percentage)}
    else:
        value = {"discountAmount": {"amount": f"{promo.amount:f}", "appliesOnEachItem": False}}
    return {
        "code": promo.code,
        "title": promo.title,
        "startsAt": _time(promo.starts_at),
        "endsAt": _time(promo.ends_at) if promo.ends_at else None,
        "usageLimit": promo.usage_limit,
        "appliesOncePerCustomer": promo.is_once_per_customer,
        "customerGets": {"value": value, "items": {"all": True}},
    }


def _chunks(targets: Targets, change: str) -> list[Data]:
    """The targets as Shopify's ``DiscountContextInput``, one for each call."""
    most = MOST_TARGETS_PER_CALL
    return [
        {field: {change: [f"gid://shopify/{kind}/{number}" for number in ids[at : at + most]]}}
        for field, kind, ids in (
            ("customerSegments", "Segment", targets.segment_ids),
            ("customers", "Customer", targets.customer_ids),
        )
        for at in range(0, len(ids), most)
    ]


def _number(global_id: str) -> str:
    """The number in a global id."""
    return global_id.rpartition("/")[2]


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


# -- Shopify's user errors ----------------------------------------------------------------------

_ENDS_BEFORE_START = ("The code would end before it starts.", "Choose an end after the start.")
# (message, advice) by Shopify's error code; {field} is the wrong input.
_EXPLANATIONS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "TAKEN": ("The shop already has this code.", "Choose another code."),
        "DUPLICATE": ("The shop already has this code.", "Choose another code."),
        "BLANK": ("The {field} is missing.", "Give one."),
        "TOO_LONG": ("The {field} is too long.", "At most 255 characters."),
        "TOO_SHORT": ("The {field} is too short.", "Give a longer one."),
        "END_DATE_BEFORE_START_DATE": _ENDS_BEFORE_START,
        "VALUE_OUTSIDE_RANGE": ("The {field} is outside the range Shopify allows.", ""),
        "GREATER_THAN": ("The {field} is too small.", ""),
        "GREATER_THAN_OR_EQUAL_TO": ("The {field} is too small.", ""),
        "LESS_THAN": ("The {field} is too large.", ""),
        "LESS_THAN_OR_EQUAL_TO": ("The {field} is too large.", ""),
        "EXCEEDED_MAX": ("Shopify allows no more of them: {field}.", ""),
        "MAX_APP_DISCOUNTS": (
            "The shop has as many discounts as Shopify allows.",
            "Delete old discounts in Shopify.",
        ),
        "INTERNAL_ERROR": ("Shopify failed to handle the promo code.", "Try again later."),
    }
)
# By code and last part of the path: what the code alone does not tell. Recorded with 2026-04.
_EXPLANATIONS_OF_FIELDS: Mapping[tuple[str, str], tuple[str, str]] = MappingProxyType(
    {
        ("INVALID", "endsAt"): _ENDS_BEFORE_START,
        ("LESS_THAN_OR_EQUAL_TO", "amount"): ("The amount must be above 0.", "Choose another."),
    }
)
# What to call the inputs that Shopify's paths name.
_FIELD_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "percentage": "percentage",
        "amount": "amount",
        "discountAmount": "amount",
        "usageLimit": "usage limit",
        "startsAt": "start",
        "endsAt": "end",
        "customerGets": "value",
    }
)
_UNKNOWN_TARGETS: Mapping[str, str] = MappingProxyType(
    {"customerSegments": "segment", "customers": "customer"}
)


def _raise_user_errors(payload: Data | None) -> str:
    """The id of the discount in a mutation's answer.

    Raises:
        DiscountRefusedError: The answer has userErrors, or no discount.
    """
    errors: list[Data] = (payload or {}).get("userErrors") or []
    node = (payload or {}).get("codeDiscountNode")
    if errors or node is None:
        raise _refusal(errors[0] if errors else {"message": "the answer has no discount"})
    return str(node["id"])


def _refusal(error: Mapping[str, Any]) -> DiscountRefusedError:
    code, path = str(error.get("code") or ""), [str(name) for name in error.get("field") or ()]
    last = path[-1] if path else ""
    field = next((_FIELD_NAMES[n] for n in reversed(path) if n in _FIELD_NAMES), "")
    field = field or last or "promo code"
    target = next((_UNKNOWN_TARGETS[name] for name in path if name in _UNKNOWN_TARGETS), None)
    if explained := _EXPLANATIONS_OF_FIELDS.get((code, last)) or _EXPLANATIONS.get(code):
        message, advice = explained
    elif code == "INVALID" and target is not None:
        message = f"The shop does not have a {target} that the code is for: {{message}}."
        advice = "Sync the shop, then choose again."
    elif path == ["id"]:
        message, advice = "The shop no longer has this discount.", "Create it again."
    else:
        message, advice = "Shopify refused the {field}: {message}.", ""
    reason = str(error.get("message") or "it gave no reason").rstrip(".")
    return DiscountRefusedError(
        message.format(field=field, message=reason), advice, code, ".".join(path)
    )
