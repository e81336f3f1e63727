"""``/api/admin/segments/rfm/…``: data quality, score thresholds, history and movements."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Annotated, Any, Generic, Literal
from uuid import UUID

from apiflask import APIBlueprint
from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from service.api.access import tenant_id, transaction
from service.api.schemas import (
    Instant,
    Item,
    Money,
    OptionalOrderLimit,
    RequestModel,
    ResponseModel,
    Segment,
)
from service.core.db import Connection, one
from service.core.errors import InvalidInputError
from service.core.queries import query
from service.shopify.order_history import read_order_limit
from service.tenants.segment_rules import read_labels

blueprint = APIBlueprint("rfm", __name__, tag="Segments")

# Default time spans, in days: a campaign shows within a month, and a year fits into a chart.
MOVEMENT_DAYS = 30
HISTORY_DAYS = 365
# The longest history in one response, at a size a day for each segment.
MOST_HISTORY_DAYS = 1100

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def _parse_day(given: Any) -> date:
    """Parse a calendar date only; pydantic itself also accepts a number of seconds."""
    try:
        if isinstance(given, str) and _DAY.fullmatch(given):
            return date.fromisoformat(given)
    except ValueError:
        pass  # such as 30 February
    raise PydanticCustomError("day", "This is not a date like 2026-12-31.")


Day = Annotated[date, BeforeValidator(_parse_day)]


def check_days(first: date | None, last: date | None, field: str) -> None:
    """Check that two days of a request are in order.

    Raises:
        InvalidInputError: The first is after the last, with ``field`` as the name of the first.
    """
    if first and last and first > last:
        raise InvalidInputError(
            "The first date is after the last date.", advice="Swap the two dates.", field=field
        )


class DaysQuery(RequestModel):
    """Two dates. For each date, the newest recorded day at or before it is used."""

    from_: Day | None = Field(None, alias="from", description="The earlier date.")
    to: Day | None = Field(None, description="The later date; the newest recorded day by default.")


class QualityReason(ResponseModel):
    """A reason why the data is insufficient."""

    reason: str = Field(description="Key as in marts.rfm_data_quality, or orders_limited.")
    in_words: str
    advice: str


class RfmQuality(ResponseModel):
    """Whether there is enough data for meaningful RFM segments."""

    verdict: Literal["sufficient", "insufficient"] | None = Field(
        description="Null before the first calculation."
    )
    reasons: list[QualityReason] = Field(description="Empty if the data is sufficient.")
    customers: int | None = Field(description="Customers with at least one counted order.")
    history_days: int | None = Field(description="Days since the first sale.")
    days_without_order: int | None = Field(description="Days since the last sale.")
    calculated_at: Instant | None


class RfmThreshold(ResponseModel):
    """The requirement for a score."""

    metric: Literal["recency", "frequency", "monetary"]
    score: int = Field(ge=2, le=5)
    rule_in_words: str
    cut_value: Money = Field(
        description="For recency, the most days since the last order. For frequency and monetary,"
        " the number of orders or the net spend to exceed."
    )
    currency: str | None = Field(description="Set for the metric monetary.")
    customers: int = Field(description="Customers with this score or a higher one.")


class RfmThresholds(ResponseModel):
    """The requirements for the scores 2 to 5. All other customers have score 1."""

    data: list[RfmThreshold]
    calculated_at: Instant | None
    order_limit: OptionalOrderLimit


class RfmSize(ResponseModel):
    """The size and revenue of a segment."""

    segment: Segment
    customers: int
    revenue: Money


class RfmHistoryDay(ResponseModel):
    """The sizes of the segments that there were on one day."""

    recorded_on: date
    as_of: Instant
    currency: str | None
    sizes: list[RfmSize]


class RecordedDays(ResponseModel, Generic[Item]):
    """Base of figures about recorded days."""

    data: list[Item]
    from_on: date | None = Field(description="The recorded day used for `from`.")
    to_on: date | None = Field(description="The recorded day used for `to`.")
    first_recorded_on: date | None
    last_recorded_on: date | None
    order_limit: OptionalOrderLimit


class RfmHistory(RecordedDays[RfmHistoryDay]):
    """Recorded days, oldest first. Empty before the first calculation."""


class RfmMovement(ResponseModel):
    """Number of customers who moved from one segment to another, or stayed."""

    from_segment: Segment = Field(description="none: not in the RFM window.")
    to_segment: Segment = Field(description="none: no longer in the RFM window.")
    customers: int


class RfmMovements(RecordedDays[RfmMovement]):
    """The movements between two recorded days. Empty if both dates use the same day."""


def read_rfm_quality(conn: Connection, tenant: UUID) -> RfmQuality:
    """Whether the tenant's data is sufficient, with reasons and advice."""
    row = conn.execute(query("api.find_rfm_quality"), {"tenant_id": tenant}).fetchone()
    if row is None:
        empty = dict.fromkeys(RfmQuality.model_fields)
        return RfmQuality.model_validate({**empty, "reasons": []})
    reasons = [_explain(reason, row) for reason in row["reasons"]]
    limit = read_order_limit(conn, tenant)
    if limit is not None and "limited_history" not in row["reasons"]:
        # Newer orders extend the history beyond 60 days, but the window stays incomplete.
        row["verdict"] = "insufficient"
        reasons.append(QualityReason.model_validate({"reason": "orders_limited", **limit}))
    return RfmQuality.model_validate({**row, "reasons": reasons})


def _explain(reason: str, measured: dict[str, Any]) -> QualityReason:
    def counted(number: int, noun: str) -> str:
        return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"

    days = measured["days_without_order"]
    words = {
        "few_customers": (
            f"Only {counted(measured['customers'], 'customer')} ordered in the window.",
            "Import older orders or choose a longer window. Scores of few customers mean little.",
        ),
        "short_history": (
            f"The first order is only {counted(measured['history_days'], 'day')} old.",
            "Import older orders from a file, or wait for more orders.",
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
            "Check that the store still syncs. Without recent sales, recency means little.",
        ),
        "mostly_tied": (
            f"{measured['tied_share'] or 0:.0%} of customers have the same number of orders, "
            f"{measured['tied_order_count']}.",
            "Frequency hardly separates them: use spend, or choose another window.",
        ),
    }
    # A newer release's models may have other reasons.
    in_words, advice = words.get(reason, (f"{reason.replace('_', ' ').capitalize()}.", ""))
    return QualityReason(reason=reason, in_words=in_words, advice=advice)


def read_rfm_thresholds(conn: Connection, tenant: UUID) -> RfmThresholds:
    """The requirement for each score."""
    rows = conn.execute(query("api.list_rfm_thresholds"), {"tenant_id": tenant}).fetchall()
    return RfmThresholds.model_validate(
        {
            "data": rows,
            "calculated_at": rows[0]["calculated_at"] if rows else None,
            "order_limit": read_order_limit(conn, tenant),
        }
    )


def read_rfm_history(conn: Connection, tenant: UUID, days: DaysQuery) -> RfmHistory:
    """The sizes of the segments on each recorded day.

    Raises:
        InvalidInputError: The dates are in the wrong order, before the history or too far apart.
    """
    found = _recorded_days(conn, tenant, days, HISTORY_DAYS)
    span = (found["to_on"] or date.min) - (found["from_on"] or date.min)
    if span > timedelta(days=MOST_HISTORY_DAYS):
        raise InvalidInputError(
            f"The dates are more than {MOST_HISTORY_DAYS} days apart.",
            advice="Request them in several parts.",
            field="from",
        )
    segments = list(read_labels(conn, tenant))
    parameters = {"tenant_id": tenant, "segments": segments, **found}
    rows = conn.execute(query("api.list_rfm_history"), parameters).fetchall()
    return RfmHistory.model_validate({**found, "data": rows})


def read_rfm_movements(conn: Connection, tenant: UUID, days: DaysQuery) -> RfmMovements:
    """The movements between segments from one recorded day to another.

    Raises:
        InvalidInputError: The dates are in the wrong order or before the history.
    """
    found = _recorded_days(conn, tenant, days, MOVEMENT_DAYS)
    rows = conn.execute(query("api.list_rfm_movements"), {"tenant_id": tenant, **found}).fetchall()
    return RfmMovements.model_validate({**found, "data": rows})


def _recorded_days(
    conn: Connection, tenant: UUID, days: DaysQuery, days_back: int
) -> dict[str, Any]:
    check_days(days.from_, days.to, "from")
    parameters = {"from_date": days.from_, "to_date": days.to, "days_back": days_back}
    statement = query("api.find_rfm_recorded_days")
    found = one(conn.execute(statement, {"tenant_id": tenant, **parameters}).fetchone())
    first = found["first_on"]
    for name, day in (("to", found["to_on"]), ("from", found["from_on"])):
        if first is not None and day is None:
            raise InvalidInputError(
                f"History begins on {first}.",
                advice="Choose a later date. To calculate earlier days, run: quintile backfill",
                field=name,
            )
    return {
        "from_on": found["from_on"],
        "to_on": found["to_on"],
        "first_recorded_on": first,
        "last_recorded_on": found["last_on"],
        "order_limit": read_order_limit(conn, tenant),
    }


@blueprint.get("/api/admin/segments/rfm/quality")
@blueprint.output(RfmQuality)
def assess_rfm_data() -> RfmQuality:
    """Check whether there is enough data for meaningful RFM segments."""
    with transaction() as conn:
        return read_rfm_quality(conn, tenant_id())


@blueprint.get("/api/admin/segments/rfm/thresholds")
@blueprint.output(RfmThresholds)
def list_rfm_thresholds() -> RfmThresholds:
    """List the requirement for each score."""
    with transaction() as conn:
        return read_rfm_thresholds(conn, tenant_id())


@blueprint.get("/api/admin/segments/rfm/history")
@blueprint.input(DaysQuery, location="query", arg_name="days")
@blueprint.output(RfmHistory)
def show_rfm_history(days: DaysQuery) -> RfmHistory:
    """Get the sizes of the segments on each recorded day; the last year by default."""
    with transaction() as conn:
        return read_rfm_history(conn, tenant_id(), days)


@blueprint.get("/api/admin/segments/rfm/movements")
@blueprint.input(DaysQuery, location="query", arg_name="days")
@blueprint.output(RfmMovements)
def show_rfm_movements(days: DaysQuery) -> RfmMovements:
    """Count the customers who moved between segments, or stayed, from one date to another.

    `from` defaults to the newest recorded day at least 30 days before `to`, or the first day.
    """
    with transaction() as conn:
        return read_rfm_movements(conn, tenant_id(), days)
