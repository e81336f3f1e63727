"""``/api/admin/segments/rfm/…``: what RFM rests on, what its scores take, and how it changes."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from apiflask import APIBlueprint
from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from service.api.access import tenant_id, transaction
from service.api.schemas import (
    Instant,
    Money,
    OrderLimit,
    RequestModel,
    ResponseModel,
    Segment,
)
from service.core.db import Connection, one
from service.core.errors import InvalidInputError
from service.core.queries import query
from service.shopify.order_history import read_order_limit

blueprint = APIBlueprint("rfm", __name__, tag="Segments")

# A month is what a campaign takes to show; a year is what fits into one chart.
MOVEMENT_DAYS = 30
HISTORY_DAYS = 365
# Every day has six sizes: three years of days are what one answer may hold.
MOST_HISTORY_DAYS = 1100

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def _parse_day(given: Any) -> date:
    """Only a calendar date: pydantic alone would take a number of seconds as well."""
    try:
        if isinstance(given, str) and _DAY.fullmatch(given):
            return date.fromisoformat(given)
    except ValueError:
        pass  # such as 30 February
    raise PydanticCustomError("day", "This is not a date; it looks like 2026-12-31.")


Day = Annotated[date, BeforeValidator(_parse_day)]


class DaysQuery(RequestModel):
    """Two dates; any will do, the newest recorded day at or before one stands for it."""

    from_: Day | None = Field(None, alias="from", description="The earlier date.")
    to: Day | None = Field(None, description="The later date; the newest recorded day otherwise.")


class QualityReason(ResponseModel):
    """Why the data are not enough."""

    reason: str = Field(description="As in marts.rfm_data_quality, or orders_limited.")
    in_words: str
    advice: str


class RfmQuality(ResponseModel):
    """Whether the orders are enough for RFM to mean something."""

    verdict: Literal["sufficient", "insufficient"] | None = Field(
        description="Null before the first calculation."
    )
    reasons: list[QualityReason] = Field(description="Why not; empty when they are enough.")
    customers: int | None = Field(description="Customers with an order that counts.")
    history_days: int | None = Field(description="Days since the first sale ever.")
    days_without_order: int | None = Field(description="Days since the last sale.")
    calculated_at: Instant | None


class RfmThreshold(ResponseModel):
    """What a score takes, at least."""

    metric: Literal["recency", "frequency", "monetary"]
    score: int = Field(ge=2, le=5)
    rule_in_words: str
    cut_value: Money = Field(
        description="Days since the last order, at most; or orders, or net spend, to be exceeded."
    )
    currency: str | None = Field(description="Of cut_value of monetary.")
    customers: int = Field(description="Customers with this score or a higher one.")


class RfmThresholds(ResponseModel):
    """What each score from 2 to 5 takes; without any it is 1."""

    data: list[RfmThreshold]
    calculated_at: Instant | None
    order_limit: OrderLimit | None = Field(
        description="Why orders are missing that these should count; null if none are."
    )


class RfmSize(ResponseModel):
    """How large a segment was."""

    segment: Segment
    customers: int
    revenue: Money


class RfmHistoryDay(ResponseModel):
    """The sizes of all segments on one day."""

    recorded_on: date
    as_of: Instant
    currency: str | None
    sizes: list[RfmSize]


class RfmHistory(ResponseModel):
    """Recorded days, the earliest first; all null and empty before the first calculation."""

    data: list[RfmHistoryDay]
    from_on: date | None = Field(description="The recorded day that stands for `from`.")
    to_on: date | None = Field(description="The recorded day that stands for `to`.")
    first_recorded_on: date | None
    last_recorded_on: date | None
    order_limit: OrderLimit | None = Field(
        description="Why orders are missing that these should count; null if none are."
    )


class RfmMovement(ResponseModel):
    """Customers who were in one segment and are in another, or the same."""

    from_segment: Segment | Literal["none"] = Field(description="none: not in the window then.")
    to_segment: Segment | Literal["none"] = Field(description="none: no longer in the window.")
    customers: int


class RfmMovements(ResponseModel):
    """The movement matrix; empty when both dates come to the same recorded day."""

    data: list[RfmMovement]
    from_on: date | None = Field(description="The recorded day that stands for `from`.")
    to_on: date | None = Field(description="The recorded day that stands for `to`.")
    first_recorded_on: date | None
    last_recorded_on: date | None
    order_limit: OrderLimit | None = Field(
        description="Why orders are missing that these should count; null if none are."
    )


def read_rfm_quality(conn: Connection, tenant: UUID) -> RfmQuality:
    """The verdict on a tenant's data, with its reasons in words."""
    row = conn.execute(query("api.find_rfm_quality"), {"tenant_id": tenant}).fetchone()
    if row is None:
        nothing = dict.fromkeys(RfmQuality.model_fields)
        return RfmQuality.model_validate({**nothing, "reasons": []})
    reasons = [_explain(reason, row) for reason in row["reasons"]]
    limit = read_order_limit(conn, tenant)
    if limit is not None and "limited_history" not in row["reasons"]:
        # The orders have outgrown 60 days since, which makes the window no more complete.
        row["verdict"] = "insufficient"
        reasons.append(
            QualityReason(
                reason="orders_limited", in_words=limit["in_words"], advice=limit["advice"]
            )
        )
    return RfmQuality.model_validate({**row, "reasons": reasons})


def _explain(reason: str, measured: dict[str, Any]) -> QualityReason:
    def counted(number: int, noun: str) -> str:
        return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"

    days = measured["days_without_order"]
    words = {
        "few_customers": (
            f"Only {counted(measured['customers'], 'customer')} ordered in the window.",
            "Bring in older orders or choose a longer window; until then fifths of so few say "
            "little.",
        ),
        "short_history": (
            f"The first order is only {counted(measured['history_days'], 'day')} old.",
            "Import older orders from a file, or give it time.",
        ),
        "limited_history": (
            "The orders reach back no further than Shopify shows without the scope "
            "read_all_orders.",
            "Give the app that scope and sync again, or import older orders from a file.",
        ),
        "no_recent_order": (
            "There is no order yet."
            if days is None
            else f"The last order is {counted(days, 'day')} old.",
            "Check that the store still syncs; if it sold nothing, recency says little.",
        ),
        "mostly_tied": (
            f"{measured['tied_share'] or 0:.0%} of customers have the same number of orders, "
            f"{measured['tied_order_count']}.",
            "Frequency hardly tells them apart: go by spend, or choose another window.",
        ),
    }
    # The models of a newer release may know one more.
    in_words, advice = words.get(reason, (f"{reason.replace('_', ' ').capitalize()}.", ""))
    return QualityReason(reason=reason, in_words=in_words, advice=advice)


def read_rfm_thresholds(conn: Connection, tenant: UUID) -> RfmThresholds:
    """What each score takes."""
    rows = conn.execute(query("api.list_rfm_thresholds"), {"tenant_id": tenant}).fetchall()
    return RfmThresholds.model_validate(
        {
            "data": rows,
            "calculated_at": rows[0]["calculated_at"] if rows else None,
            "order_limit": read_order_limit(conn, tenant),
        }
    )


def read_rfm_history(conn: Connection, tenant: UUID, days: DaysQuery) -> RfmHistory:
    """The sizes of the segments over time.

    Raises:
        InvalidInputError: The dates are in the wrong order, before history or too far apart.
    """
    found = _recorded_days(conn, tenant, days, HISTORY_DAYS)
    span = (found["to_on"] or date.min) - (found["from_on"] or date.min)
    if span > timedelta(days=MOST_HISTORY_DAYS):
        raise InvalidInputError(
            f"These are more than {MOST_HISTORY_DAYS} days.",
            advice="Ask for them in several parts.",
            field="from",
        )
    rows = conn.execute(query("api.list_rfm_history"), {"tenant_id": tenant, **found}).fetchall()
    limit = read_order_limit(conn, tenant)
    return RfmHistory.model_validate({**found, "data": rows, "order_limit": limit})


def read_rfm_movements(conn: Connection, tenant: UUID, days: DaysQuery) -> RfmMovements:
    """Who moved from which segment to which between two recorded days.

    Raises:
        InvalidInputError: The dates are in the wrong order or before history.
    """
    found = _recorded_days(conn, tenant, days, MOVEMENT_DAYS)
    rows = conn.execute(query("api.list_rfm_movements"), {"tenant_id": tenant, **found}).fetchall()
    limit = read_order_limit(conn, tenant)
    return RfmMovements.model_validate({**found, "data": rows, "order_limit": limit})


def _recorded_days(
    conn: Connection, tenant: UUID, days: DaysQuery, days_back: int
) -> dict[str, date | None]:
    if days.from_ and days.to and days.from_ > days.to:
        raise InvalidInputError("The first date is after the second.", field="from")
    found = one(
        conn.execute(
            query("api.list_rfm_recorded_days"),
            {
                "tenant_id": tenant,
                "from_date": days.from_,
                "to_date": days.to,
                "days_back": days_back,
            },
        ).fetchone()
    )
    first = found["first_on"]
    for name, day in (("to", found["to_on"]), ("from", found["from_on"])):
        if first is not None and day is None:
            raise InvalidInputError(
                f"History begins on {first}.",
                advice="Choose a later date; an operator can compute earlier days: "
                "quintile backfill.",
                field=name,
            )
    return {
        "from_on": found["from_on"],
        "to_on": found["to_on"],
        "first_recorded_on": first,
        "last_recorded_on": found["last_on"],
    }


@blueprint.get("/api/admin/segments/rfm/quality")
@blueprint.output(RfmQuality)
def assess_rfm_data() -> RfmQuality:
    """Whether the orders are enough for RFM to mean something, and why not."""
    with transaction() as conn:
        return read_rfm_quality(conn, tenant_id())


@blueprint.get("/api/admin/segments/rfm/thresholds")
@blueprint.output(RfmThresholds)
def list_rfm_thresholds() -> RfmThresholds:
    """What each score takes, in numbers and in words."""
    with transaction() as conn:
        return read_rfm_thresholds(conn, tenant_id())


@blueprint.get("/api/admin/segments/rfm/history")
@blueprint.input(DaysQuery, location="query", arg_name="days")
@blueprint.output(RfmHistory)
def show_rfm_history(days: DaysQuery) -> RfmHistory:
    """The sizes of the segments on each recorded day, a year of them unless dates say otherwise."""
    with transaction() as conn:
        return read_rfm_history(conn, tenant_id(), days)


@blueprint.get("/api/admin/segments/rfm/movements")
@blueprint.input(DaysQuery, location="query", arg_name="days")
@blueprint.output(RfmMovements)
def show_rfm_movements(days: DaysQuery) -> RfmMovements:
    """How many customers moved from which segment to which between two dates, those who stayed too.

    Without `from` it is the newest recorded day that is 30 days before `to` or more, or the first.
    """
    with transaction() as conn:
        return read_rfm_movements(conn, tenant_id(), days)
