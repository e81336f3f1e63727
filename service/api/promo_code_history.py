"""A promo code's history: what runs changed in Shopify, and who was added and removed."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from apiflask import APIBlueprint
from pydantic import AwareDatetime, Field

from service.api.access import tenant_id, transaction
from service.api.paging import Keyset, PageQuery, Text
from service.api.promo_codes import PATH, CustomerText
from service.api.schemas import Instant, Page, ResponseModel, Time
from service.core.db import Connection
from service.core.queries import query
from service.promo_codes import codes
from service.promo_codes.check import find_customer_ids

blueprint = APIBlueprint("promo_code_history", __name__, tag="Promo codes")

_BY_CHANGE = Keyset("promo code changes", changed_at=AwareDatetime, run_id=UUID, action=Text)
_BY_TARGET = Keyset(
    "promo code targets", changed_at=AwareDatetime, kind=Text, target_id=Text, change=Text
)

Change = Literal["added", "removed", "refused"]


class PromoCodeUpdate(ResponseModel):
    """What a run changed of a promo code in Shopify."""

    run_id: UUID
    action: Literal["created", "targets", "values", "ended", "resumed", "gone"] = Field(
        description="`gone`: found deleted in Shopify."
    )
    added: int = Field(description="Targets added.")
    removed: int = Field(description="Targets removed.")
    refused: int = Field(description="Targets that Shopify did not know.")
    targets: int = Field(description="Targets that Shopify had afterwards.")
    changed_at: Instant


class PromoCodeHistory(Page[PromoCodeUpdate]):
    """A page of a promo code's history, newest first."""


class TargetChangesQuery(PageQuery):
    """Which page of the changes of a promo code's targets."""

    customer: CustomerText | None = Field(
        None, description="Only this customer: the id in Shopify, or the e-mail address."
    )
    change: Change | None = Field(None, description="Only these changes.")
    since: Time | None = Field(None, description="Only changes at or after this time.")


class TargetChange(ResponseModel):
    """A customer or segment that was added to a promo code, removed or refused."""

    kind: Literal["customer", "segment"]
    id: str = Field(description="The customer's id in Shopify, or `shopify:<segment id>`.")
    name: str | None = Field(description="Of the customer or segment, as of the last sync.")
    email: str | None = Field(description="The customer's address, as of the last sync.")
    change: Change = Field(
        description="`added`: Shopify has accepted it. `removed`: Shopify no longer has it."
        " `refused`: Shopify does not know it."
    )
    changed_at: Instant = Field(description="When Shopify's answer was recorded.")
    run_id: UUID | None = Field(
        description="The run that recorded it; null if it was accepted before Quintile recorded"
        " these changes, or removed because its discount was deleted in Shopify."
    )


class TargetChangesPage(Page[TargetChange]):
    """A page of the changes of a promo code's targets, newest first."""


def read_promo_code_history(
    conn: Connection, tenant: UUID, promo_code_id: UUID, page: PageQuery
) -> dict[str, Any]:
    """A page of what runs changed of a promo code, as :class:`PromoCodeHistory`."""
    return _BY_CHANGE.read_page(
        conn,
        page,
        query("promo_codes.list_changes"),
        tenant_id=tenant,
        promo_code_id=promo_code_id,
    )


def read_target_changes(
    conn: Connection, tenant: UUID, promo_code_id: UUID, page: TargetChangesQuery
) -> dict[str, Any]:
    """A page of who was added to a promo code and removed, as :class:`TargetChangesPage`."""
    customer = page.customer
    return _BY_TARGET.read_page(
        conn,
        page,
        query("promo_codes.list_target_changes"),
        tenant_id=tenant,
        promo_code_id=promo_code_id,
        customer_ids=None if customer is None else find_customer_ids(conn, tenant, customer),
        change=page.change,
        since=page.since,
    )


@blueprint.get(f"{PATH}/<code>/history")
@blueprint.input(PageQuery, location="query", arg_name="page")
@blueprint.output(PromoCodeHistory)
def list_promo_code_history(code: str, page: PageQuery) -> dict[str, Any]:
    """List what runs changed of a promo code in Shopify, newest first."""
    with transaction() as conn:
        found = codes.get_code(conn, tenant_id(), code)
        return read_promo_code_history(conn, tenant_id(), found["promo_code_id"], page)


@blueprint.get(f"{PATH}/<code>/targets/changes")
@blueprint.input(TargetChangesQuery, location="query", arg_name="page")
@blueprint.output(TargetChangesPage)
def list_promo_code_target_changes(code: str, page: TargetChangesQuery) -> dict[str, Any]:
    """List the customers and segments that were added to a promo code and removed, newest first.

    A customer may use a code from when they were added until they were removed, while the code
    works: its history says when it was ended and resumed. Changes are kept for
    `QUINTILE_SEGMENT_CHANGE_DAYS`.
    """
    with transaction() as conn:
        found = codes.get_code(conn, tenant_id(), code)
        return read_target_changes(conn, tenant_id(), found["promo_code_id"], page)
