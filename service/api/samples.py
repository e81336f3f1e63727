"""``/api/admin/samples``: sample orders, their statistics and creators."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apiflask import APIBlueprint
from flask import Response
from pydantic import AwareDatetime, Field, model_validator

from service.api.access import actor, state, tenant_id, transaction
from service.api.audit_log import record
from service.api.csv_answer import CSV_RESPONSES, answer_csv
from service.api.paging import Keyset, PageQuery, Text
from service.api.problems import NotFoundError
from service.api.samples_list import (
    SampleFilters,
    SamplesQuery,
    export_samples,
    find_sample,
    list_samples,
)
from service.api.schemas import (
    RequestModel,
    ResponseModel,
    Run,
    SampleDecision,
    SampleDecisionsPage,
    SampleOrderDetail,
    SampleOrdersPage,
    SampleStats,
    SampleSuggestionsPage,
    SuggestionReason,
)
from service.core.db import Connection
from service.core.errors import InvalidInputError
from service.core.queries import query
from service.queue.enqueue import enqueue
from service.queue.schedules import next_at
from service.shopify.order_history import read_order_limit

blueprint = APIBlueprint("samples", __name__, tag="Samples")

_MONTHS = 24
_SUGGESTIONS = Keyset("suggestions", ordered_at=AwareDatetime, order_id=Text)
_DECISIONS = Keyset("sample decisions", decided_at=AwareDatetime, order_id=Text)


class SuggestionsQuery(PageQuery):
    """Which page of the suggestions."""

    reason: SuggestionReason | None = Field(None, description="Only suggestions with this reason.")


class DecisionsQuery(PageQuery):
    """Which page of the decisions."""

    decision: SampleDecision | None = Field(None, description="Only decisions of this kind.")


class SampleChoice(RequestModel):
    """What an order is: a sample of a type, or dismissed."""

    decision: SampleDecision = Field(
        description="ugc or tiktok: a sample of this type; dismissed: not suggested again."
    )


class SampleDecided(ResponseModel):
    """The build that applies a decision."""

    run: Run | None = Field(description="Null if the samples stay the same.")


class CreatorChoice(RequestModel):
    """The creator of a sample. Send one of the two fields."""

    creator_id: UUID | None = Field(None, description="The creator who received the sample.")
    automatic: bool = Field(False, description="Match the creator automatically.")

    @model_validator(mode="after")
    def _has_one_field(self) -> CreatorChoice:
        if (self.creator_id is not None) == self.automatic:
            raise InvalidInputError(
                "Choose a creator, or automatic matching.",
                advice="Exactly one of the two is needed.",
                field="creator_id",
            )
        return self


@blueprint.get("/api/admin/samples")
@blueprint.input(SamplesQuery, location="query", arg_name="page")
@blueprint.output(SampleOrdersPage)
def list_sample_orders(page: SamplesQuery) -> dict[str, Any]:
    """List sample orders, newest first by default.

    `q` searches order numbers, customer names, e-mail addresses and creators.
    """
    with transaction() as conn:
        return list_samples(conn, tenant_id(), page)


@blueprint.get("/api/admin/samples.csv")
@blueprint.input(SampleFilters, location="query", arg_name="filters")
@blueprint.doc(responses=CSV_RESPONSES)
def export_sample_orders(filters: SampleFilters) -> Response:
    """Download all sample orders as a CSV file. Lists are joined with semicolons."""
    return answer_csv(export_samples(state(), tenant_id(), filters), "samples.csv")


def read_sample_stats(conn: Connection) -> SampleStats:
    """The tenant's samples by type, status and month."""
    parameters = {"tenant_id": tenant_id()}
    rows = conn.execute(query("api.find_sample_stats"), parameters).fetchall()
    months = conn.execute(
        query("api.list_sample_months"), {**parameters, "months": _MONTHS}
    ).fetchall()
    unknown = conn.execute(query("api.list_unknown_sample_statuses"), parameters).fetchall()
    return SampleStats.model_validate(
        {
            "data": rows,
            "months": months,
            "unknown_statuses": unknown,
            "as_of": rows[0]["calculated_at"],
            "next_build_at": next_at(conn, state().settings, tenant_id(), "build"),
            "order_limit": read_order_limit(conn, tenant_id()),
        }
    )


@blueprint.get("/api/admin/samples/stats")
@blueprint.output(SampleStats)
def count_sample_orders() -> SampleStats:
    """Get the number and value of samples by type, status and month."""
    with transaction() as conn:
        return read_sample_stats(conn)


@blueprint.get("/api/admin/samples/suggestions")
@blueprint.input(SuggestionsQuery, location="query", arg_name="page")
@blueprint.output(SampleSuggestionsPage)
def list_sample_suggestions(page: SuggestionsQuery) -> dict[str, Any]:
    """List orders that are almost samples, newest first, to find gaps in the settings.

    Orders that somebody has decided about are left out.
    """
    with transaction() as conn:
        return read_suggestions(conn, page)


def read_suggestions(conn: Connection, page: SuggestionsQuery) -> dict[str, Any]:
    """A page of the tenant's suggestions, and the cursor of the next page."""
    statement = query("api.list_sample_suggestions")
    return _SUGGESTIONS.read_page(conn, page, statement, tenant_id=tenant_id(), reason=page.reason)


@blueprint.put("/api/admin/samples/suggestions/<path:order_id>/decision")
@blueprint.input(SampleChoice, arg_name="choice")
@blueprint.output(SampleDecided, status_code=202)
def decide_sample(order_id: str, choice: SampleChoice) -> dict[str, Any]:
    """Make an order a sample whatever your settings, or dismiss it as a suggestion.

    A build applies it. A dismissed order is not suggested again.
    """
    parameters = {
        "tenant_id": tenant_id(),
        "order_id": order_id,
        "decision": choice.decision,
        "decided_by": actor(),
    }
    with transaction() as conn:
        before = _find_decision(conn, order_id)
        record(conn, "sample.decided", order_id, before=before, after=choice)
        if conn.execute(query("api.decide_sample"), parameters).fetchone() is None:
            raise NotFoundError("No order has this id.")
        return _applied(conn, needs_build=choice.decision != "dismissed")


@blueprint.delete("/api/admin/samples/suggestions/<path:order_id>/decision")
@blueprint.output(SampleDecided, status_code=202)
def withdraw_sample_decision(order_id: str) -> dict[str, Any]:
    """Withdraw a decision about an order. Your settings apply to it again."""
    parameters = {"tenant_id": tenant_id(), "order_id": order_id}
    with transaction() as conn:
        record(conn, "sample.decision_withdrawn", order_id, before=_find_decision(conn, order_id))
        statement = query("api.delete_sample_decision")
        withdrawn = conn.execute(statement, parameters).fetchone()
        if withdrawn is None:
            raise NotFoundError("There is no decision about this order.")
        return _applied(conn, needs_build=withdrawn["decision"] != "dismissed")


@blueprint.get("/api/admin/samples/decisions")
@blueprint.input(DecisionsQuery, location="query", arg_name="page")
@blueprint.output(SampleDecisionsPage)
def list_sample_decisions(page: DecisionsQuery) -> dict[str, Any]:
    """List what people decided about orders, newest first."""
    with transaction() as conn:
        return read_decisions(conn, page)


def read_decisions(conn: Connection, page: DecisionsQuery) -> dict[str, Any]:
    """A page of the tenant's decisions, and the cursor of the next page."""
    statement = query("api.list_sample_decisions")
    return _DECISIONS.read_page(
        conn, page, statement, tenant_id=tenant_id(), decision=page.decision
    )


def _applied(conn: Connection, *, needs_build: bool) -> dict[str, Any]:
    run = enqueue(conn, tenant_id(), "build", behind_running=True) if needs_build else None
    return {"run": run}


@blueprint.get("/api/admin/samples/<path:order_id>")
@blueprint.output(SampleOrderDetail)
def show_sample_order(order_id: str) -> dict[str, Any]:
    """Get a sample order with its evidence, items, note and creator."""
    with transaction() as conn:
        return read_sample(conn, order_id)


@blueprint.post("/api/admin/samples/<path:order_id>/creator")
@blueprint.input(CreatorChoice, arg_name="choice")
@blueprint.output(SampleOrderDetail)
def choose_creator(order_id: str, choice: CreatorChoice) -> dict[str, Any]:
    """Choose the creator of a sample, or match it automatically again.

    Builds keep a chosen creator.
    """
    chosen = choice.model_dump()
    with transaction() as conn:
        before = _find_choice(conn, order_id)
        record(conn, "sample.creator_chosen", order_id, before=before, after=chosen)
        if choice.automatic:
            parameters = {"tenant_id": tenant_id(), "order_id": order_id}
            conn.execute(query("api.delete_chosen_creator"), parameters)
        else:
            _choose(conn, order_id, choice.creator_id)
        return read_sample(conn, order_id)


@blueprint.delete("/api/admin/samples/<path:order_id>/creator")
@blueprint.output(SampleOrderDetail)
def unlink_creator(order_id: str) -> dict[str, Any]:
    """Remove the creator of a sample. Builds do not add one again."""
    with transaction() as conn:
        before, removed = _find_choice(conn, order_id), {"creator_id": None, "automatic": False}
        record(conn, "sample.creator_removed", order_id, before=before, after=removed)
        _choose(conn, order_id, None)
        return read_sample(conn, order_id)


def _find_decision(conn: Connection, order_id: str) -> dict[str, Any] | None:
    """What a person has decided about an order; None if nothing."""
    parameters = {"tenant_id": tenant_id(), "order_id": order_id}
    return conn.execute(query("api.find_sample_decision"), parameters).fetchone()


def _find_choice(conn: Connection, order_id: str) -> dict[str, Any]:
    """How the creator of a sample is chosen, as :class:`CreatorChoice` has it."""
    parameters = {"tenant_id": tenant_id(), "order_id": order_id}
    chosen = conn.execute(query("api.find_chosen_creator"), parameters).fetchone()
    return {"creator_id": chosen and chosen["creator_id"], "automatic": chosen is None}


def _choose(conn: Connection, order_id: str, creator_id: UUID | None) -> None:
    parameters = {"tenant_id": tenant_id(), "order_id": order_id, "creator_id": creator_id}
    statement = query("api.choose_creator")
    chosen = conn.execute(statement, {**parameters, "linked_by": actor()}).fetchone()
    if chosen is None:
        read_sample(conn, order_id)
        raise InvalidInputError(
            "There is no such creator.", advice="Create the creator first.", field="creator_id"
        )


def read_sample(conn: Connection, order_id: str) -> dict[str, Any]:
    """A sample order with its details.

    Raises:
        NotFoundError: The tenant has no such sample.
    """
    found = find_sample(conn, tenant_id(), order_id)
    if found is None:
        raise NotFoundError("No sample has this order id.")
    return found
