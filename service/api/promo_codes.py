"""``/api/admin/promo-codes`` and ``/api/admin/segments/targets``: promo codes for segments."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from apiflask import APIBlueprint
from flask import Response, url_for
from pydantic import Field, StringConstraints

from service.api.access import state, tenant_id, transaction
from service.api.audit_log import record, recording
from service.api.paging import Keyset, SearchQuery, Text
from service.api.problem_docs import can_answer
from service.api.schemas import (
    WITHOUT_NUL,
    Instant,
    Line,
    Money,
    Page,
    RequestModel,
    ResponseModel,
    Time,
)
from service.core.db import Connection
from service.core.errors import InvalidInputError, QuintileError
from service.core.queries import query
from service.promo_codes import codes
from service.promo_codes.check import Reason as CheckReason
from service.promo_codes.check import check_customer
from service.promo_codes.segments import Reason as TargetReason
from service.promo_codes.segments import list_targets
from service.segments.ids import PATTERN, Source

blueprint = APIBlueprint("promo_codes", __name__, tag="Promo codes")

PATH = "/api/admin/promo-codes"
_BY_CODE = Keyset("promo codes", sort_code=Text)
_BY_PLACE = Keyset("segment targets", place=Text, id=Text)

SegmentKey = Annotated[str, StringConstraints(pattern=PATTERN)]
Segments = Annotated[list[SegmentKey], Field(max_length=codes.MOST_SEGMENTS)]
Percentage = Annotated[
    Decimal,
    Field(gt=0, le=1, max_digits=6, decimal_places=4, description="Share taken off: 0.2 is 20 %."),
]
Amount = Annotated[
    Decimal,
    Field(
        gt=0,
        max_digits=18,
        decimal_places=4,
        description="Amount taken off an order, in major units of your store's currency.",
    ),
]
UsageLimit = Annotated[int, Field(ge=1, lt=2**31)]
CustomerText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=320, pattern=WITHOUT_NUL),
]

# What a change may set to null, and what the service calls by another name.
_NULLABLE = frozenset({"percentage", "amount", "ends_at", "usage_limit"})
_NAMES = {"once_per_customer": "is_once_per_customer"}

_SEGMENTS = "Ids of the segments whose members may use the code: being in any of them is enough."
_EXCLUDED = "Ids of the segments whose members may not use it."
_USAGE_LIMIT = "How often it may be used in all; null for no limit."


class NewPromoCode(RequestModel):
    """A promo code to create, with either a percentage or an amount."""

    code: Annotated[str, StringConstraints(strip_whitespace=True, pattern=codes.PATTERN)] = Field(
        description="What buyers type. Its case does not matter."
    )
    title: Line | None = Field(None, description="What your staff see; the code if not given.")
    percentage: Percentage | None = None
    amount: Amount | None = None
    starts_at: Time | None = Field(None, description="Now if not given.")
    ends_at: Time | None = Field(None, description="Null if it does not end.")
    usage_limit: UsageLimit | None = Field(None, description=_USAGE_LIMIT)
    once_per_customer: bool = False
    segments: Segments = Field(min_length=1, description=_SEGMENTS)
    excluded_segments: Segments = Field(default=[], description=_EXCLUDED)

    def to_values(self) -> codes.CodeValues:
        """The values of the code."""
        return codes.CodeValues(
            title=self.title or self.code,
            starts_at=self.starts_at or datetime.now(UTC),
            segments=self.segments,
            percentage=self.percentage,
            amount=self.amount,
            ends_at=self.ends_at,
            usage_limit=self.usage_limit,
            is_once_per_customer=self.once_per_customer,
            excluded_segments=self.excluded_segments,
        )


class PromoCodeChange(RequestModel):
    """What to change of a promo code; what is not given stays. Its code cannot be changed."""

    title: Line | None = Field(None, description="What your staff see.")
    percentage: Percentage | None = None
    amount: Amount | None = None
    starts_at: Time | None = Field(None, description="When it starts to work.")
    ends_at: Time | None = Field(None, description="Null if it does not end.")
    usage_limit: UsageLimit | None = Field(None, description=_USAGE_LIMIT)
    once_per_customer: bool | None = None
    segments: Segments | None = Field(None, min_length=1, description=_SEGMENTS)
    excluded_segments: Segments | None = Field(None, description=_EXCLUDED)

    def given(self) -> dict[str, Any]:
        """The values that were given, by their names in the service.

        Raises:
            InvalidInputError: One is null that a code must have.
        """
        values = {name: getattr(self, name) for name in sorted(self.model_fields_set)}
        for name, value in values.items():
            if value is None and name not in _NULLABLE:
                raise InvalidInputError("This cannot be null.", field=name)
        return {_NAMES.get(name, name): value for name, value in values.items()}


class PromoCodesQuery(SearchQuery):
    """Which page of the promo codes."""

    state: codes.State | None = Field(None, description="Only codes in this state.")
    segment: SegmentKey | None = Field(None, description="Only codes for this segment.")


class CheckQuery(RequestModel):
    """Which customer."""

    customer: CustomerText = Field(
        description="The customer's id in Shopify, or their e-mail address."
    )


class DeleteQuery(RequestModel):
    """How to delete a promo code."""

    keep_discount: bool = Field(
        False, description="Delete it here only. A discount in Shopify stays, and may be used."
    )


class PromoCodeProblem(ResponseModel):
    """What keeps a promo code from being up to date."""

    kind: str = Field(
        description="`code_taken`, `discount_deleted`, `discount_ended`, `discount_renamed`,"
        " `targets_changed`, `segment_deleted`, `too_many_customers`, `scope_missing`,"
        " `token_refused`, `not_connected`, `not_built`, `not_read`, `shopify_unavailable`,"
        " `refused` or `failed`."
    )
    in_words: str
    advice: str | None
    since: Instant


class PromoCodeTargets(ResponseModel):
    """Who may use a code, as last planned, and how much of that Shopify has."""

    kind: Literal["segments", "customers"] = Field(
        description="What Shopify has: its own segments, or customers that every build updates."
    )
    planned: int | None = Field(description="Segments or customers planned; null before the first.")
    in_shopify: int = Field(description="Those that Shopify has now.")
    to_add: int = Field(description="Planned, and not in Shopify yet.")
    to_remove: int = Field(description="No longer planned, and still in Shopify.")
    unreachable: int | None = Field(
        description="Members of the segments who are no customers in Shopify, so that no code can"
        " be for them: people of imported files."
    )
    refused: int = Field(description="Customers whom Shopify does not know.")
    as_of: Instant | None = Field(description="When this was planned.")


class PromoCode(ResponseModel):
    """A promo code, and how far Shopify has it."""

    code: str
    title: str
    state: codes.State = Field(
        description="`pending`: not in Shopify yet. `waiting`: nobody may use it, so it is ended or"
        " not created in Shopify until somebody may. `scheduled`, `active`, `expired`: in Shopify,"
        " by its dates. `deactivated`: ended by a person. `needs_attention`: see `problem`."
        " `deleting`: deleted in Shopify next."
    )
    is_queued: bool = Field(description="Whether an update was asked for and has not ended yet.")
    problem: PromoCodeProblem | None
    percentage: float | None = Field(description="Share taken off, above 0 and up to 1.")
    amount: Money | None = Field(description="Amount taken off an order, in major units.")
    currency: str | None = Field(description="ISO 4217 currency of the amount.")
    starts_at: Instant
    ends_at: Instant | None
    usage_limit: int | None
    once_per_customer: bool
    segments: list[str]
    excluded_segments: list[str]
    targets: PromoCodeTargets
    discount_id: str | None = Field(description="Global id of the discount in Shopify.")
    applied_at: Instant | None = Field(description="When Shopify last had all of this.")
    created_at: Instant
    updated_at: Instant


class PromoCodesPage(Page[PromoCode]):
    """A page of promo codes, sorted by code."""


class Eligibility(ResponseModel):
    """Whether a customer may use a promo code now."""

    is_eligible: bool
    reason: CheckReason
    in_words: str
    segments: list[str] = Field(description="The code's segments that the customer is in.")
    excluded_by: list[str] = Field(description="The excluded segments that the customer is in.")
    added_at: Instant | None = Field(
        description="When Shopify accepted the customer for the code; null unless it has them now."
        " A code for Shopify's own segments has no customers."
    )
    removed_at: Instant | None = Field(
        description="When Shopify last removed the customer; null while it has them, if it never"
        " did, and after `QUINTILE_SEGMENT_CHANGE_DAYS`."
    )


class SegmentTarget(ResponseModel):
    """A segment that a promo code may be for."""

    id: str = Field(description="`rfm:champions`, `shopify:<segment id>` or `klaviyo:<list id>`.")
    label: str
    source: Source
    size: int | None = Field(description="Members; null before the first build or sync.")
    reachable: int | None = Field(
        description="Members who are customers in Shopify: only for them a code can be."
    )
    emailable: int | None = Field(
        description="Members with an e-mail address who accept e-mail marketing, that is, whose"
        " marketing state in Shopify is `SUBSCRIBED`."
    )
    as_of: Instant | None = Field(description="When these were counted.")
    reason: TargetReason | None = Field(description="Why it cannot be used; null if it can.")
    in_words: str | None
    advice: str | None


class SegmentTargetsPage(Page[SegmentTarget]):
    """A page of segments: RFM by priority, then the others by name."""

    cannot_create: str | None = Field(
        description="Why no promo code can be created: Shopify is not connected, or the app lacks"
        " the scope `write_discounts`; null if one can."
    )
    most_customers: int = Field(
        description="Most customers of one code; a code for Shopify's segments has no limit."
    )


@blueprint.get("/api/admin/segments/targets")
@blueprint.input(SearchQuery, location="query", arg_name="page")
@blueprint.output(SegmentTargetsPage)
def list_segment_targets(page: SearchQuery) -> dict[str, Any]:
    """List segments that a promo code may be for, each with its size or why it cannot be used.

    `q` searches the label.
    """
    after = tuple(_BY_PLACE.decode(page.cursor, page.q or "").values())
    most = state().settings.promo_code_customers
    with transaction() as conn:
        cannot_create = None
        try:
            codes.check_access(conn, tenant_id())
        except QuintileError as error:
            cannot_create = error.message
        found = list_targets(conn, tenant_id(), most)
    rows = [
        {name: getattr(target, name) for name in ("place", *SegmentTarget.model_fields)}
        for target in found
        if page.q is None or page.q.casefold() in target.label.casefold()
        if page.cursor is None or (target.place, target.id) > after
    ]
    return {
        **_BY_PLACE.split(rows, page.limit, page.q or ""),
        "cannot_create": cannot_create,
        "most_customers": most,
    }


def read_promo_codes(conn: Connection, tenant: UUID, page: PromoCodesQuery) -> dict[str, Any]:
    """A page of promo codes, as :class:`PromoCodesPage`."""
    listed = _BY_CODE.read_page(
        conn,
        page,
        query("promo_codes.list_codes"),
        tenant_id=tenant,
        code=None,
        state=page.state,
        segment=page.segment,
        pattern=page.pattern,
    )
    return {**listed, "data": [codes.describe(row) for row in listed["data"]]}


@blueprint.get(PATH)
@blueprint.input(PromoCodesQuery, location="query", arg_name="page")
@blueprint.output(PromoCodesPage)
def list_promo_codes(page: PromoCodesQuery) -> dict[str, Any]:
    """List promo codes, sorted by code. `q` searches code and title."""
    with transaction() as conn:
        return read_promo_codes(conn, tenant_id(), page)


@blueprint.post(PATH)
@blueprint.input(NewPromoCode, arg_name="new")
@blueprint.output(PromoCode, status_code=202)
@can_answer("not-connected", "provider-refused")
def create_promo_code(new: NewPromoCode) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Create a promo code for the members of segments.

    A run creates it in Shopify; `Location` has its state. A code for Shopify's own segments only
    is for these segments there. Any other is for the customers who are in the segments now, and is
    updated after every build and every sync of segments.
    """
    with transaction() as conn:
        made = codes.create_code(state().settings, conn, tenant_id(), new.code, new.to_values())
        record(conn, "promo_code.created", made["code"], after=codes.auditable(made))
    return _accepted(made)


@blueprint.get(f"{PATH}/<code>")
@blueprint.output(PromoCode)
def show_promo_code(code: str) -> dict[str, Any]:
    """Get a promo code. Its case does not matter."""
    with transaction() as conn:
        return codes.get_code(conn, tenant_id(), code)


@blueprint.patch(f"{PATH}/<code>")
@blueprint.input(PromoCodeChange, arg_name="change")
@blueprint.output(PromoCode, status_code=202)
@can_answer("not-connected", "provider-refused")
def change_promo_code(
    code: str, change: PromoCodeChange
) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Change a promo code. A percentage replaces an amount, and the other way round."""
    settings = state().settings
    with transaction() as conn:
        stored = codes.get_code(conn, tenant_id(), code)["code"]

        def read() -> dict[str, Any]:
            return codes.auditable(codes.get_code(conn, tenant_id(), stored))

        with recording(conn, "promo_code.changed", stored, read=read):
            changed = codes.change_code(settings, conn, tenant_id(), code, change.given())
    return _accepted(changed)


@blueprint.delete(f"{PATH}/<code>")
@blueprint.input(DeleteQuery, location="query", arg_name="how")
@blueprint.output(PromoCode, status_code=202)
@blueprint.doc(responses={204: "It was not in Shopify, or stays there, and is deleted."})
def delete_promo_code(code: str, how: DeleteQuery) -> Any:
    """Delete a promo code, in Shopify first. It cannot be used or restored afterwards.

    Answers 204 if it is deleted at once, because it was never in Shopify or stays there.
    """
    with transaction() as conn:
        former = codes.auditable(codes.get_code(conn, tenant_id(), code))
        deleting = codes.delete_code(conn, tenant_id(), code, keeps_discount=how.keep_discount)
        action = "promo_code.forgotten" if how.keep_discount else "promo_code.deleted"
        record(conn, action, former["code"], before=former)
    return Response(status=204) if deleting is None else _accepted(deleting)


@blueprint.post(f"{PATH}/<code>/deactivate")
@blueprint.output(PromoCode, status_code=202)
def deactivate_promo_code(code: str) -> tuple[dict[str, Any], int, dict[str, str]]:
    """End a promo code in Shopify until it is activated again."""
    with transaction() as conn:
        before = codes.get_code(conn, tenant_id(), code)
        made = codes.deactivate_code(conn, tenant_id(), code)
        values = {"before": codes.auditable_state(before), "after": codes.auditable_state(made)}
        record(conn, "promo_code.deactivated", made["code"], **values)
    return _accepted(made)


@blueprint.post(f"{PATH}/<code>/activate")
@blueprint.output(PromoCode, status_code=202)
def activate_promo_code(code: str) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Let a deactivated promo code work again, for those who may use it by then."""
    with transaction() as conn:
        before = codes.get_code(conn, tenant_id(), code)
        made = codes.activate_code(conn, tenant_id(), code)
        values = {"before": codes.auditable_state(before), "after": codes.auditable_state(made)}
        record(conn, "promo_code.activated", made["code"], **values)
    return _accepted(made)


@blueprint.post(f"{PATH}/<code>/retry")
@blueprint.output(PromoCode, status_code=202)
def retry_promo_code(code: str) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Try a promo code again that needs attention, or update its targets now.

    If its discount was deleted in Shopify, it is created again.
    """
    with transaction() as conn:
        made = codes.retry_code(conn, tenant_id(), code)
        record(conn, "promo_code.retried", made["code"])
    return _accepted(made)


@blueprint.get(f"{PATH}/<code>/check")
@blueprint.input(CheckQuery, location="query", arg_name="who")
@blueprint.output(Eligibility)
def check_promo_code(code: str, who: CheckQuery) -> dict[str, Any]:
    """Check whether a customer may use a promo code now, and why not.

    By the last build and sync, and by what Shopify has accepted. Shopify decides at the checkout;
    it also counts how often a code was used.
    """
    with transaction() as conn:
        return asdict(check_customer(conn, tenant_id(), code, who.customer))


def _accepted(made: dict[str, Any]) -> tuple[dict[str, Any], int, dict[str, str]]:
    location = url_for("promo_codes.show_promo_code", code=made["code"])
    return made, 202, {"Location": location}
