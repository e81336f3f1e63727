"""``/api/admin/samples``: the sample orders that dbt found, with the evidence."""

from __future__ import annotations

from itertools import chain
from typing import Any
from uuid import UUID

from apiflask import APIBlueprint
from flask import Response, stream_with_context
from pydantic import Field, model_validator

from service.api.access import state, tenant_id, transaction, who
from service.api.paging import (
    SUGGESTIONS,
    PageQuery,
    decode_cursor,
    split_page,
)
from service.api.problems import NotFoundError
from service.api.samples_list import SampleFilters, export_samples, find_sample, list_samples
from service.api.schemas import (
    RequestModel,
    SampleMonth,
    SampleOrderDetail,
    SampleOrdersPage,
    SampleStats,
    SampleSuggestionsPage,
    SuggestionReason,
)
from service.core.db import Connection, one
from service.core.errors import InvalidInputError
from service.core.queries import query
from service.queue.schedules import next_at
from service.shopify.order_history import read_order_limit

blueprint = APIBlueprint("samples", __name__, tag="Samples")

_MONTHS = 24
_CSV: dict[int | str, dict[str, str | dict[str, dict[str, Any]]]] = {
    200: {
        "description": "The sample orders as CSV",
        "content": {"text/csv": {"schema": {"type": "string"}}},
    }
}


class SamplesQuery(SampleFilters, PageQuery):
    """Which page of the sample orders."""


class SuggestionsQuery(PageQuery):
    """Which page of the suggestions."""

    reason: SuggestionReason | None = Field(None, description="Only those with this reason.")


class CreatorChoice(RequestModel):
    """Whose sample it is."""

    creator_id: UUID | None = Field(None, description="The creator it was sent to.")
    automatic: bool = Field(False, description="Instead: leave it to what builds find.")

    @model_validator(mode="after")
    def _one_of_both(self) -> CreatorChoice:
        if (self.creator_id is not None) == self.automatic:
            raise ValueError("send either creator_id or automatic: true")
        return self


@blueprint.get("/api/admin/samples")
@blueprint.input(SamplesQuery, location="query", arg_name="page")
@blueprint.output(SampleOrdersPage)
def list_sample_orders(page: SamplesQuery) -> dict[str, Any]:
    """Sample orders, newest first unless `sort` says otherwise.

    `q` finds orders whose number, customer name, e-mail address or creator contains the text.
    """
    with transaction() as conn:
        return list_samples(conn, tenant_id(), page, page.sort, page.cursor, page.limit)


@blueprint.get("/api/admin/samples.csv")
@blueprint.input(SampleFilters, location="query", arg_name="filters")
@blueprint.doc(responses=_CSV)
def export_sample_orders(filters: SampleFilters) -> Response:
    """The same orders as a CSV file, all of them; lists are joined by semicolons."""
    blocks = export_samples(state(), tenant_id(), filters, filters.sort)
    # An error in the first block can still be answered with a problem document.
    first = next(blocks)
    return Response(
        stream_with_context(chain([first], blocks)),
        mimetype="text/csv",
        headers={"Content-Disposition": "attachment; filename=samples.csv"},
    )


def read_sample_months(conn: Connection) -> list[SampleMonth]:
    """The tenant's samples by month and type, the newest month first."""
    parameters = {"tenant_id": tenant_id(), "months": _MONTHS}
    rows = conn.execute(query("api.list_sample_months"), parameters).fetchall()
    return [SampleMonth.model_validate(row) for row in rows]


@blueprint.get("/api/admin/samples/stats")
@blueprint.output(SampleStats)
def count_sample_orders() -> dict[str, Any]:
    """How many samples there are, how far they have come and what they are worth; by month too."""
    parameters = {"tenant_id": tenant_id()}
    with transaction() as conn:
        rows = conn.execute(query("api.find_sample_stats"), parameters).fetchall()
        months = read_sample_months(conn)
        unknown = conn.execute(query("api.list_unknown_sample_statuses"), parameters).fetchall()
        built = one(conn.execute(query("api.find_sample_stats_as_of"), parameters).fetchone())
        limit = read_order_limit(conn, tenant_id())
        next_build_at = next_at(conn, state().settings, tenant_id(), "build")
    return {
        "data": rows,
        "months": months,
        "unknown_statuses": unknown,
        "as_of": built["as_of"],
        "next_build_at": next_build_at,
        "order_limit": limit,
    }


@blueprint.get("/api/admin/samples/suggestions")
@blueprint.input(SuggestionsQuery, location="query", arg_name="page")
@blueprint.output(SampleSuggestionsPage)
def list_sample_suggestions(page: SuggestionsQuery) -> dict[str, Any]:
    """Orders that are nearly samples, newest first, to see what the settings miss."""
    after = decode_cursor(SUGGESTIONS, page.cursor)
    with transaction() as conn:
        rows = conn.execute(
            query("api.list_sample_suggestions"),
            {
                "tenant_id": tenant_id(),
                "reason": page.reason,
                "after_at": after[1] if after else None,
                "after_id": after[2] if after else None,
                "row_limit": page.limit + 1,
            },
        ).fetchall()
    data, next_cursor = split_page(rows, page.limit, "suggestions", "ordered_at", "order_id")
    return {"data": data, "next_cursor": next_cursor}


@blueprint.get("/api/admin/samples/<order_id>")
@blueprint.output(SampleOrderDetail)
def show_sample_order(order_id: str) -> dict[str, Any]:
    """One sample order with its evidence, items, note and creator."""
    with transaction() as conn:
        return _read(conn, order_id)


@blueprint.post("/api/admin/samples/<order_id>/creator")
@blueprint.input(CreatorChoice, arg_name="choice")
@blueprint.output(SampleOrderDetail)
def choose_creator(order_id: str, choice: CreatorChoice) -> dict[str, Any]:
    """Say whose sample it is, which no build overrides; or leave it to builds again."""
    with transaction() as conn:
        if choice.automatic:
            conn.execute(
                query("api.delete_chosen_creator"),
                {"tenant_id": tenant_id(), "order_id": order_id},
            )
        else:
            _choose(conn, order_id, choice.creator_id)
        return _read(conn, order_id)


@blueprint.delete("/api/admin/samples/<order_id>/creator")
@blueprint.output(SampleOrderDetail)
def unlink_creator(order_id: str) -> dict[str, Any]:
    """Say that it is nobody's sample, which no build overrides."""
    with transaction() as conn:
        _choose(conn, order_id, None)
        return _read(conn, order_id)


def _choose(conn: Connection, order_id: str, creator_id: UUID | None) -> None:
    chosen = conn.execute(
        query("api.choose_creator"),
        {
            "tenant_id": tenant_id(),
            "order_id": order_id,
            "creator_id": creator_id,
            "linked_by": who(conn),
        },
    ).fetchone()
    if chosen is None:
        _read(conn, order_id)
        raise InvalidInputError(
            "There is no such creator.", advice="Add the creator first, then link the order."
        )


def _read(conn: Connection, order_id: str) -> dict[str, Any]:
    found = find_sample(conn, tenant_id(), order_id)
    if found is None:
        raise NotFoundError("No sample has this order id.")
    return found
