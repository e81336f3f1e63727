"""``/api/admin/customers``: one customer with everything that is known, and all customers."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from apiflask import APIBlueprint
from pydantic import AwareDatetime, Field

from service.api.access import tenant_id, transaction
from service.api.paging import Keyset, PageQuery, SearchQuery, Text
from service.api.problems import NotFoundError
from service.api.schemas import (
    Instant,
    Money,
    Page,
    ResponseModel,
    SampleStatus,
    SampleType,
    Segment,
)
from service.api.segment_members import MEMBER_SORTS
from service.core.db import Connection, rows_of_marts
from service.core.queries import query
from service.segments.ids import Source

blueprint = APIBlueprint("customers", __name__, tag="Customers")

PATH = "/api/admin/customers"
# Of a customer's moves and samples, the newest: a person reads them.
_MOST_MOVES = 100
_MOST_SAMPLES = 100

CustomerSort = Literal["id", "window_spend", "spend", "orders", "last_order", "name", "email"]

_ORDERS = Keyset("customer orders", ordered_at=AwareDatetime, order_id=Text)


class CustomersQuery(SearchQuery):
    """Which page of the customers."""

    sort: CustomerSort = Field(
        "id",
        description="By id, which is the fastest; highest spend in the RFM window or of all time,"
        " most orders or newest order first; or by name or e-mail address.",
    )


class Customer(ResponseModel):
    """A customer, as of the last build."""

    customer_id: str
    name: str | None
    email: str | None
    phone: str | None = Field(description="Only of a customer without an e-mail address.")
    marketing_state: str | None = Field(description="Shopify's e-mail marketing consent state.")
    is_excluded_from_rfm: bool
    orders: int = Field(description="Sales of all time.")
    spent: Money = Field(description="Net value of these sales.")
    first_order_at: Instant | None
    last_order_at: Instant | None
    window_orders: int = Field(description="Orders that count in the RFM window.")
    window_spent: Money = Field(description="Net value of these orders.")
    currency: str | None
    r_score: int | None
    f_score: int | None
    m_score: int | None
    rfm_segment: Segment | None = Field(description="Null without a counted order.")
    samples: int = Field(description="Samples sent to the customer.")


class CustomersPage(Page[Customer]):
    """A page of all customers."""


class CustomerScores(ResponseModel):
    """A customer's scores, and why."""

    segment: Segment
    r_score: int = Field(ge=1, le=5)
    f_score: int = Field(ge=1, le=5)
    m_score: int = Field(ge=1, le=5)
    r_reason: str
    f_reason: str
    m_reason: str
    recency_days: int = Field(description="Whole days since the last order.")
    frequency_count: int = Field(description="Orders in the RFM window.")
    monetary_total: Money = Field(description="Net spend in the RFM window.")
    currency: str


class CustomerMove(ResponseModel):
    """A change of RFM segment."""

    from_segment: Segment | None = Field(description="Null: the customer was in none.")
    to_segment: Segment | None = Field(description="Null: the customer left the RFM window.")
    as_of: Instant


class CustomerSegment(ResponseModel):
    """A segment that the customer is in."""

    id: str = Field(examples=["rfm:champions"])
    source: Source
    name: str
    since: Instant | None = Field(description="Null: since before the segment's first sync.")


class CustomerSegments(ResponseModel):
    """The segments of all sources that a customer is in."""

    customer_id: str
    data: list[CustomerSegment]


class CustomerChange(ResponseModel):
    """A customer entered or left a Shopify segment."""

    id: str = Field(examples=["shopify:1234"])
    name: str | None
    change: Literal["entered", "left"]
    changed_at: Instant


class CustomerList(ResponseModel):
    """A Klaviyo list that a sync has considered the customer's address for."""

    config_id: UUID
    segment_id: str = Field(description="The segment that feeds the list.")
    list_id: str
    list_name: str
    state: Literal["pending", "synced", "rejected", "kept", "removed"]
    error_detail: str | None
    changed_at: Instant


class CustomerSample(ResponseModel):
    """A sample sent to the customer."""

    order_id: str
    order_number: str | None
    types: list[SampleType]
    status: SampleStatus
    evidence: str
    ordered_at: Instant


class CustomerDetail(Customer):
    """A customer with scores, segments, history, samples and lists."""

    scores: CustomerScores | None = Field(description="Null for a customer without a score.")
    segments: list[CustomerSegment]
    history: list[CustomerMove] = Field(
        description="The last 100 changes of RFM segment, newest first."
    )
    shopify_history: list[CustomerChange] = Field(
        description="The last 100 Shopify segments entered or left, newest first."
    )
    sample_orders: list[CustomerSample] = Field(description="The last 100, newest first.")
    lists: list[CustomerList]
    calculated_at: Instant = Field(description="The figures are as of this time.")


class CustomerOrder(ResponseModel):
    """An order of the customer, and whether it counts."""

    order_id: str
    order_number: str | None
    channel: str | None
    tags: list[str]
    financial_status: str | None
    fulfillment_status: str | None
    total_amount: Money | None
    refunded_amount: Money | None
    net_amount: Money | None = Field(description="After refunds, returns and edits.")
    currency: str | None
    is_counted: bool = Field(description="Whether it counts in the RFM window.")
    exclusion_reasons: list[str] = Field(
        description="Why it does not count: test, cancelled, voided, sample, refunded_in_full,"
        " zero_value, foreign_currency, no_customer, excluded_customer, outside_window, or a reason"
        " of the dbt project."
    )
    sample_type: Literal["ugc", "tiktok", "both"] | None
    ordered_at: Instant
    cancelled_at: Instant | None


class CustomerOrdersPage(Page[CustomerOrder]):
    """A page of a customer's orders, newest first."""


def read_customers(conn: Connection, tenant: UUID, page: CustomersQuery) -> dict[str, Any]:
    """A page of all customers, as :class:`CustomersPage`.

    Raises:
        BadCursorError: The cursor is not valid for this sort order.
    """
    sort = MEMBER_SORTS[page.sort]
    parameters: dict[str, Any] = {
        "tenant_id": tenant,
        "q": page.q,
        "pattern": page.pattern,
        "screen": page.screen,
    }
    listed = None
    if page.q and page.sort == "id":
        listed = sort.read_page(conn, page, query("api.search_first_customers"), **parameters)
    # Only a full page ends here; what else matches is anywhere.
    if listed is None or listed["next_cursor"] is None:
        listed = sort.read_page(conn, page, query("api.list_customers"), **parameters)
    ids = [row["member_id"] for row in listed["data"]]
    found = _describe(conn, tenant, ids)
    return {**listed, "data": [found[one] for one in ids if one in found]}


def read_customer(conn: Connection, tenant: UUID, customer_id: str) -> dict[str, Any]:
    """A customer as :class:`CustomerDetail`.

    Raises:
        NotFoundError: The last build had no such customer.
    """
    parameters = {"tenant_id": tenant, "customer_id": customer_id}
    customer = _find(conn, tenant, customer_id)
    moves = {**parameters, "row_limit": _MOST_MOVES}
    samples = {**parameters, "row_limit": _MOST_SAMPLES}
    return {
        **customer,
        "scores": conn.execute(query("api.find_customer_scores"), parameters).fetchone(),
        "segments": _list_segments(conn, tenant, customer_id),
        "history": conn.execute(query("api.list_customer_moves"), moves).fetchall(),
        "shopify_history": conn.execute(query("api.list_customer_changes"), moves).fetchall(),
        "sample_orders": conn.execute(query("api.list_customer_samples"), samples).fetchall(),
        "lists": conn.execute(query("api.list_customer_lists"), parameters).fetchall(),
    }


def read_orders(
    conn: Connection, tenant: UUID, customer_id: str, page: PageQuery
) -> dict[str, Any]:
    """A page of a customer's orders, as :class:`CustomerOrdersPage`.

    Raises:
        BadCursorError: The cursor is not one of this list.
    """
    statement = query("api.list_customer_orders")
    return _ORDERS.read_page(conn, page, statement, tenant_id=tenant, customer_id=customer_id)


def _find(conn: Connection, tenant: UUID, customer_id: str) -> dict[str, Any]:
    found = _describe(conn, tenant, [customer_id])
    if customer_id not in found:
        raise NotFoundError(
            "There is no such customer.",
            advice="A customer appears with the first build after their order was synced.",
        )
    return found[customer_id]


def _list_segments(conn: Connection, tenant: UUID, customer_id: str) -> list[dict[str, Any]]:
    parameters = {"tenant_id": tenant, "customer_id": customer_id}
    built = rows_of_marts(conn, query("api.find_built_segment"), parameters)
    known = built[0] if built else dict.fromkeys(("segment", "name", "since", "email"))
    return conn.execute(query("api.list_customer_segments"), {**parameters, **known}).fetchall()


def _describe(conn: Connection, tenant: UUID, ids: list[str]) -> dict[str, dict[str, Any]]:
    parameters = {"tenant_id": tenant, "customer_ids": ids}
    rows = conn.execute(query("api.describe_customers"), parameters, prepare=True).fetchall()
    return {row["customer_id"]: row for row in rows}


@blueprint.get(PATH)
@blueprint.input(CustomersQuery, location="query", arg_name="page")
@blueprint.output(CustomersPage)
def list_customers(page: CustomersQuery) -> dict[str, Any]:
    """List all customers, with or without a score.

    `q` searches names, e-mail addresses and phone numbers for the text, and ids for the exact id.
    """
    with transaction() as conn:
        return read_customers(conn, tenant_id(), page)


@blueprint.get(f"{PATH}/<path:customer_id>")
@blueprint.output(CustomerDetail)
def show_customer(customer_id: str) -> dict[str, Any]:
    """Get a customer: scores with their reasons, segments, history, samples and lists."""
    with transaction() as conn:
        return read_customer(conn, tenant_id(), customer_id)


@blueprint.get(f"{PATH}/<path:customer_id>/segments")
@blueprint.output(CustomerSegments)
def list_customer_segments(customer_id: str) -> dict[str, Any]:
    """List the segments of all sources that a customer is in; fast enough for a checkout.

    An unknown customer is in none.
    """
    with transaction() as conn:
        rows = _list_segments(conn, tenant_id(), customer_id)
        return {"customer_id": customer_id, "data": rows}


@blueprint.get(f"{PATH}/<path:customer_id>/orders")
@blueprint.input(PageQuery, location="query", arg_name="page")
@blueprint.output(CustomerOrdersPage)
def list_customer_orders(customer_id: str, page: PageQuery) -> dict[str, Any]:
    """List a customer's orders, newest first: whether each counts, and if not why."""
    with transaction() as conn:
        _find(conn, tenant_id(), customer_id)
        return read_orders(conn, tenant_id(), customer_id, page)
