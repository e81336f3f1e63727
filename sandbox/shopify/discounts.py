"""Discounts by code: created, changed, ended and found as Shopify does it, for its basic kind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from . import documents
from .documents import Document, gid, time_text
from .errors import ShopifyError
from .store import Store

_LONGEST_TEXT = 255
_MOST_IN_A_LIST = 250
_FIRST_NUMBER = 1_660_000_000_001
_ROOT = "basicCodeDiscount"
Target = tuple[str, int]


@dataclass(slots=True)
class Discount:
    """A basic discount with its code; without targets it is for everybody."""

    number: int
    code: str = ""
    title: str = ""
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    usage_limit: int | None = None
    is_once_per_customer: bool = False
    percentage: float | None = None
    amount: Decimal | None = None
    targets: dict[Target, None] = field(default_factory=dict)


class _UserError(Exception):
    def __init__(self, code: str, message: str, *path: str) -> None:
        super().__init__(message)
        self.document = {
            "field": list(path),
            "code": code,
            "message": message,
            "extraInfo": None,
        }


def discount_by_code(store: Store, code: str) -> Document | None:
    """`codeDiscountNodeByCode`: the code's case does not matter."""
    found = _find(store, code)
    return None if found is None else _node(store, found)


def discount_by_id(store: Store, id: str) -> Document | None:  # noqa: A002 - Shopify's name
    """`codeDiscountNode`."""
    found = store.discounts.get(documents.number_of("DiscountCodeNode", id))
    return None if found is None else _node(store, found)


def create_discount(store: Store, basicCodeDiscount: dict[str, Any]) -> Document:  # noqa: N803
    """`discountCodeBasicCreate`."""
    given = basicCodeDiscount
    _check_sizes(given)
    discount = Discount(max(store.discounts, default=_FIRST_NUMBER - 1) + 1)
    try:
        _check_present(given)
        _change(store, discount, given)
    except _UserError as error:
        return _refused(error)
    store.discounts[discount.number] = discount
    return {"codeDiscountNode": _node(store, discount), "userErrors": []}


def update_discount(store: Store, id: str, basicCodeDiscount: dict[str, Any]) -> Document:  # noqa: A002, N803
    """`discountCodeBasicUpdate`: what is not given stays as it is."""
    _check_sizes(basicCodeDiscount)
    found = store.discounts.get(documents.number_of("DiscountCodeNode", id))
    if found is None:
        return _refused(_UserError("INVALID", "Discount does not exist", "id"))
    try:
        _change(store, found, basicCodeDiscount)
    except _UserError as error:
        return _refused(error)
    return {"codeDiscountNode": _node(store, found), "userErrors": []}


def deactivate_discount(store: Store, id: str) -> Document:  # noqa: A002 - Shopify's name
    """`discountCodeDeactivate`: the discount ends now, if it has not ended before."""
    found = store.discounts.get(documents.number_of("DiscountCodeNode", id))
    if found is None:
        return _refused(_UserError("INVALID", "Discount does not exist", "id"))
    if found.ends_at is None or found.ends_at > store.now:
        found.ends_at = store.now
    return {"codeDiscountNode": _node(store, found), "userErrors": []}


def delete_discount(store: Store, id: str) -> Document:  # noqa: A002 - Shopify's name
    """`discountCodeDelete`."""
    found = store.discounts.pop(documents.number_of("DiscountCodeNode", id), None)
    if found is None:
        error = _UserError("INVALID", "Discount does not exist", "id")
        return {"deletedCodeDiscountId": None, "userErrors": [error.document]}
    return {"deletedCodeDiscountId": gid("DiscountCodeNode", found.number), "userErrors": []}


def _check_present(given: dict[str, Any]) -> None:
    for name in ("code", "title", "startsAt", "customerGets"):
        if not given.get(name):
            what = {"startsAt": "Starts at", "customerGets": "Customer gets"}.get(
                name, name.title()
            )
            raise _UserError("BLANK", f"{what} can't be blank", _ROOT, name)


def _change(store: Store, discount: Discount, given: dict[str, Any]) -> None:
    """Check all that is given, then take it over: a refused change changes nothing."""
    if given.get("context") is not None and given.get("customerSelection") is not None:
        message = "Only one of context or customerSelection can be provided."
        raise _UserError("INVALID", message, _ROOT, "context")
    _check_texts(store, discount, given)
    starts_at = _time(given.get("startsAt"), "startsAt") or discount.starts_at
    ends_at = _time(given["endsAt"], "endsAt") if "endsAt" in given else discount.ends_at
    if starts_at and ends_at and ends_at <= starts_at:
        message = "Ends at needs to be after starts_at"
        # As recorded with 2026-04, though Shopify has a code of its own for it.
        raise _UserError("INVALID", message, _ROOT, "endsAt")
    limit = given.get("usageLimit", discount.usage_limit)
    if limit is not None and limit < 1:
        message = "Usage limit must be greater than 0"
        raise _UserError("GREATER_THAN", message, _ROOT, "usageLimit")
    percentage, amount = _value(given, discount)
    targets = _targets(store, discount, given)
    discount.code = given.get("code") or discount.code
    discount.title = given.get("title") or discount.title
    discount.starts_at, discount.ends_at = starts_at, ends_at
    discount.usage_limit, discount.percentage, discount.amount = limit, percentage, amount
    discount.targets = targets
    once = given.get("appliesOncePerCustomer")
    discount.is_once_per_customer = discount.is_once_per_customer if once is None else once


def _check_texts(store: Store, discount: Discount, given: dict[str, Any]) -> None:
    for name, what in (("code", "Code"), ("title", "Title")):
        if len(given.get(name) or "") > _LONGEST_TEXT:
            message = f"{what} is too long (maximum is {_LONGEST_TEXT} characters)"
            raise _UserError("TOO_LONG", message, _ROOT, name)
    if given.get("code"):
        owner = _find(store, given["code"])
        if owner is not None and owner.number != discount.number:
            message = "Code must be unique. Please try a different code."
            raise _UserError("TAKEN", message, _ROOT, "code")


def _value(given: dict[str, Any], discount: Discount) -> tuple[float | None, Decimal | None]:
    if given.get("customerGets") is None:
        return discount.percentage, discount.amount
    value = given["customerGets"].get("value") or {}
    path = (_ROOT, "customerGets", "value")
    percentage, amount = value.get("percentage"), value.get("discountAmount") or {}
    if (percentage is None) == (not amount):
        raise _UserError("INVALID", "Value must be a percentage or an amount", *path)
    if (given["customerGets"].get("items") or {}).get("all") is not True:
        raise _UserError("INVALID", "The sandbox discounts all items only", _ROOT, "customerGets")
    if percentage is not None:
        if not 0 <= percentage <= 1:
            message = "Value must be between 0.0 and 1.0"
            raise _UserError("VALUE_OUTSIDE_RANGE", message, *path, "percentage")
        return percentage, None
    try:
        taken_off = Decimal(str(amount.get("amount")))
    except InvalidOperation:
        message = "Amount is not a number"
        raise _UserError("INVALID", message, *path, "discountAmount", "amount") from None
    if taken_off < 0:
        # As recorded with 2026-04: Shopify means the amount's negative. It accepts 0.
        message = "Value must be less than or equal to 0"
        raise _UserError("LESS_THAN_OR_EQUAL_TO", message, *path, "discountAmount", "amount")
    return None, taken_off


def _targets(store: Store, discount: Discount, given: dict[str, Any]) -> dict[Target, None]:
    """The targets after the change: another kind of them replaces those there were."""
    name = "context" if given.get("context") is not None else "customerSelection"
    context = given.get(name)
    if context is None:
        return discount.targets
    if context.get("all"):
        return {}
    for key, kind, known in (
        ("customerSegments", "Segment", store.segments),
        ("customers", "Customer", store.customers),
    ):
        change = context.get(key)
        if change is None:
            continue
        kept = [target for target in discount.targets if target[0] == kind]
        added = [(kind, documents.number_of(kind, each)) for each in change.get("add") or ()]
        removed = {(kind, documents.number_of(kind, each)) for each in change.get("remove") or ()}
        for _, number in added:
            if number not in known:
                message = f"{kind} is invalid"
                raise _UserError("INVALID", message, _ROOT, name, key, "add")
        targets = dict.fromkeys(target for target in [*kept, *added] if target not in removed)
        if len(targets) > (store.most_discount_targets or len(targets)):
            message = f"Exceeded maximum of {store.most_discount_targets}"
            raise _UserError("EXCEEDED_MAX", message, _ROOT, name, key, "add")
        return targets
    return discount.targets


def _check_sizes(given: dict[str, Any]) -> None:
    """Shopify refuses a document with a longer list as a whole."""
    for name in ("context", "customerSelection"):
        for change in (given.get(name) or {}).values():
            lists: Iterable[Any] = change.values() if isinstance(change, dict) else ()
            for each in lists:
                if each is not None and len(each) > _MOST_IN_A_LIST:
                    raise ShopifyError(
                        f"The input array size of {len(each)} is greater than the maximum allowed"
                        f" of {_MOST_IN_A_LIST}.",
                        "MAX_INPUT_SIZE_EXCEEDED",
                    )


def _time(text: str | None, name: str) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _UserError("INVALID", f"{text} is not a time", _ROOT, name) from None
    if moment.tzinfo is None:
        raise _UserError("INVALID", f"{text} has no time zone", _ROOT, name)
    return moment


def _find(store: Store, code: str) -> Discount | None:
    wanted = code.casefold()
    return next((d for d in store.discounts.values() if d.code.casefold() == wanted), None)


def _refused(error: _UserError) -> Document:
    return {"codeDiscountNode": None, "userErrors": [error.document]}


def _node(store: Store, discount: Discount) -> Document:
    starts_at, ends_at = discount.starts_at or store.now, discount.ends_at
    status = "SCHEDULED" if starts_at > store.now else "ACTIVE"
    if ends_at is not None and ends_at <= store.now:
        status = "EXPIRED"
    return {
        "id": gid("DiscountCodeNode", discount.number),
        "codeDiscount": {
            "__typename": "DiscountCodeBasic",
            "title": discount.title,
            "codes": {"nodes": [{"code": discount.code}]},
            "status": status,
            "startsAt": time_text(starts_at),
            "endsAt": time_text(ends_at),
            "usageLimit": discount.usage_limit,
            "appliesOncePerCustomer": discount.is_once_per_customer,
            "context": _context(store, discount),
        },
    }


def _context(store: Store, discount: Discount) -> Document:
    kinds = {kind for kind, _ in discount.targets}
    if "Segment" in kinds:
        found = [store.segments[n] for _, n in discount.targets if n in store.segments]
        return {
            "__typename": "DiscountCustomerSegments",
            "segments": [documents.segment_document(store, segment) for segment in found],
        }
    if "Customer" in kinds:
        buyers = [store.customers[n] for _, n in discount.targets if n in store.customers]
        return {
            "__typename": "DiscountCustomers",
            "customers": [documents.customer_document(store, buyer) for buyer in buyers],
        }
    return {"__typename": "DiscountBuyerSelectionAll", "all": "ALL"}
