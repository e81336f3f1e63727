"""``/api/admin/integrations/shopify/metafields``: RFM in customer metafields of the store."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal
from uuid import UUID

from apiflask import APIBlueprint
from pydantic import Field

from service.api.access import access, require_connection, state, tenant_id, transaction
from service.api.audit_log import record, recording
from service.api.integrations import PATH as SHOPIFY_PATH
from service.api.integrations import ShopifyProblem
from service.api.problem_docs import can_answer
from service.api.runs import answer_accepted
from service.api.schemas import Instant, RequestModel, ResponseModel, Run, Segment
from service.core.db import Connection
from service.core.errors import InvalidInputError, NotConnectedError
from service.shopify.metafield_sync import refresh_scope
from service.shopify.metafields import (
    FIELDS,
    NAMESPACE,
    MetafieldsState,
    auditable,
    describe_problem,
    queue_metafields,
    read_status,
    retry_refused,
    rewrite,
    turn_off,
    turn_on,
)
from service.shopify.scopes import METAFIELDS_SCOPE

blueprint = APIBlueprint("metafields", __name__, tag="Integrations")

PATH = f"{SHOPIFY_PATH}/metafields"
# A person waits for the response, so there is only one retry.
_ATTEMPTS = 2


class MetafieldsChange(RequestModel):
    """Whether RFM is written to customer metafields."""

    is_enabled: bool
    keep_values: bool = Field(
        False,
        description="When turning off: leave in the store what was written.",
    )


class MetafieldsSync(RequestModel):
    """Which values a run writes."""

    rewrite: bool = Field(
        False, description="Write all values again, for example after some were edited in Shopify."
    )


class MetafieldDefinition(ResponseModel):
    """A customer metafield in the store."""

    column: Literal["segment", "r_score", "f_score", "m_score"] = Field(
        description="What of the customer it holds."
    )
    namespace: str
    key: str
    name: str = Field(description="Its name in Shopify.")
    type: str = Field(description="Its type in Shopify.")


class MetafieldSegmentQuery(ResponseModel):
    """What to paste into Shopify's segment editor for an RFM segment."""

    segment: Segment
    label: str
    query: str


class MetafieldRefusal(ResponseModel):
    """Why Shopify refused the metafields of some customers."""

    reason: str = Field(description="In Shopify's words.")
    customers: int
    customer_ids: list[str] = Field(description="Up to five of them, the newest first.")
    last_at: Instant


class Metafields(ResponseModel):
    """RFM in customer metafields of the store."""

    is_enabled: bool
    state: MetafieldsState = Field(
        description="`removing` while it is off and something is left in the store."
    )
    changed_at: Instant | None = Field(description="When it was turned on or off last.")
    changed_by: str | None
    required_scope: str
    has_scope: bool | None = Field(
        description="Whether the access token has the scope; null while not connected."
    )
    definitions: list[MetafieldDefinition]
    queries: list[MetafieldSegmentQuery]
    written: int = Field(description="Customers with metafields in the store.")
    pending: int = Field(
        description="Customers whose changes the last run found and has not yet made."
    )
    refused: int = Field(description="Customers whose change was refused; tried again daily.")
    refusals: list[MetafieldRefusal]
    problem: ShopifyProblem | None = Field(description="What keeps it from working, if anything.")
    last_run: Run | None


@blueprint.get(PATH)
@blueprint.output(Metafields)
def show_metafields() -> Metafields:
    """Get whether RFM is in customer metafields, how it stands, and queries for Shopify."""
    with transaction() as conn:
        return read_metafields(conn, tenant_id())


@blueprint.put(PATH)
@blueprint.input(MetafieldsChange, arg_name="given")
@blueprint.output(Metafields)
@can_answer("not-connected", "provider-refused", "provider-unavailable")
def change_metafields(given: MetafieldsChange) -> Metafields:
    """Turn RFM in customer metafields on or off, and queue a run that writes or removes them.

    Turning on needs the scope `write_customers`. A scope that was just granted is read from
    Shopify first.
    """
    if given.is_enabled:
        refresh_scope(state().settings, state().pool, tenant_id(), attempts=_ATTEMPTS)
    with transaction() as conn:
        with recording(
            conn, "metafields.changed", read=lambda: auditable(read_status(conn, tenant_id()))
        ):
            if given.is_enabled:
                turn_on(conn, tenant_id(), access().actor)
            else:
                turn_off(conn, tenant_id(), access().actor, keep_values=given.keep_values)
        queue_metafields(conn, tenant_id(), "person")
        return read_metafields(conn, tenant_id())


@blueprint.post(f"{PATH}/sync")
@blueprint.input(MetafieldsSync, arg_name="given")
@blueprint.output(Run, status_code=202)
@can_answer("not-connected")
def sync_metafields_now(given: MetafieldsSync) -> Any:
    """Start a run that writes what has changed, or removes what is left, and tries refused ones.

    Each build starts one by itself.
    """
    with transaction() as conn:
        require_connection(conn, "shopify")
        record(conn, "metafields_sync.started", after=given.model_dump())
        (rewrite if given.rewrite else retry_refused)(conn, tenant_id())
        run = queue_metafields(conn, tenant_id(), "person")
        if run is None:
            problem = describe_problem(read_status(conn, tenant_id()))
            if problem is not None:
                raise NotConnectedError(problem.in_words, advice=problem.advice)
            raise InvalidInputError(
                "RFM in customer metafields is turned off.", advice="Turn it on first."
            )
        return answer_accepted(run)


def read_metafields(conn: Connection, tenant: UUID) -> Metafields:
    """How a tenant's metafields stand, without a call to Shopify."""
    status = read_status(conn, tenant)
    problem = describe_problem(status)
    return Metafields.model_validate(
        {
            **asdict(status),
            **asdict(status.config),
            "required_scope": METAFIELDS_SCOPE,
            "definitions": [
                {"column": column, "namespace": NAMESPACE, **asdict(field)}
                for column, field in FIELDS.items()
            ],
            "problem": problem and asdict(problem),
        }
    )
