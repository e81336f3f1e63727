"""The root fields: who may ask, what is found, how it is paged."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from graphql import GraphQLResolveInfo

from . import bulk, bulk_mutation, documents, metafield_fields, uploads, webhook_fields
from .discounts import (
    create_discount,
    deactivate_discount,
    delete_discount,
    discount_by_code,
    discount_by_id,
    update_discount,
)
from .documents import MAX_PAGE, Document, number_of
from .errors import (
    AccessDeniedError,
    BadRequestError,
    InternalServerError,
    NotApprovedError,
    NotFoundError,
    ShopifyError,
)
from .paging import Index, connection, window
from .search import parse_search
from .segment_query import CustomerFacts, SegmentSyntaxError
from .store import Store, index_members

Resolver = Callable[..., Any]
MAX_MEMBERS_PAGE = 1000
_GID = re.compile(r"gid://shopify/(\w+)/(.+)")

# What a root field gives, where an app may need an approval for it.
_OBJECTS = {"order": "Order", "orders": "Order", "customer": "Customer", "customers": "Customer"}
_ORDER_SORTS = {
    "PROCESSED_AT": "processed_at",
    "UPDATED_AT": "updated_at",
    "CREATED_AT": "created_at",
    "ID": "number",
}
_CUSTOMER_SORTS = {"ID": "number", "UPDATED_AT": "updated_at", "CREATED_AT": "created_at"}
_SEGMENT_SORTS = {
    "ID": "number",
    "CREATION_DATE": "creation_date",
    "LAST_EDIT_DATE": "last_edit_date",
}
_ORDER_TIMES = ("updated_at", "created_at", "processed_at")
_CUSTOMER_TIMES = ("updated_at", "created_at")


def needs(scope: str, resolve: Resolver) -> Resolver:
    """Let `resolve` run only for tokens with `scope`."""

    def guarded(_root: object, info: GraphQLResolveInfo[Any], **args: Any) -> Any:
        store: Store = info.context
        if scope not in store.scopes:
            raise AccessDeniedError(info.field_name, scope)
        if (kind := _OBJECTS.get(info.field_name)) in store.record_faults.withheld:
            raise NotApprovedError(str(kind))
        return resolve(store, **args)

    return guarded


def needs_either(scopes: tuple[str, str], resolve: Resolver) -> Resolver:
    """Let `resolve` run for tokens with one of two scopes; a refusal names the first."""

    def guarded(_root: object, info: GraphQLResolveInfo[Any], **args: Any) -> Any:
        store: Store = info.context
        if not store.scopes.intersection(scopes):
            raise AccessDeniedError(info.field_name, scopes[0])
        return resolve(store, **args)

    return guarded


def open_to_all(resolve: Resolver) -> Resolver:
    """Let `resolve` run for every token."""
    return lambda _root, info, **args: resolve(info.context, **args)


def shop(store: Store) -> Document:
    """`shop`."""
    return documents.shop_document(store.data)


def current_app_installation(store: Store) -> Document:
    """`currentAppInstallation`: the scopes the token was granted."""
    scopes = [{"handle": scope, "description": scope} for scope in sorted(store.scopes)]
    return {"id": documents.gid("AppInstallation", 1), "accessScopes": scopes}


def order(store: Store, id: str) -> Document | None:  # noqa: A002 - Shopify's name
    """`order(id:)`."""
    found = store.order(number_of("Order", id))
    return documents.order_document(store, found) if found else None


def orders(store: Store, **args: Any) -> Document:
    """`orders`, by default in the order they were processed."""
    index = _listed(store, store.orders(_ORDER_SORTS[args["sortKey"]]), args, _ORDER_TIMES)
    return connection(index, window(args, MAX_PAGE), partial(documents.order_document, store))


def orders_count(store: Store, **args: Any) -> Document:
    """`ordersCount`."""
    return _count(len(_searched(store, store.orders("number"), args, _ORDER_TIMES).rows), args)


def customer(store: Store, id: str) -> Document | None:  # noqa: A002 - Shopify's name
    """`customer(id:)`."""
    found = store.customers.get(number_of("Customer", id))
    return documents.customer_document(store, found) if found else None


def customers(store: Store, **args: Any) -> Document:
    """`customers`, by default by id."""
    by = _CUSTOMER_SORTS[args["sortKey"]]
    index = _listed(store, store.customers_by(by), args, _CUSTOMER_TIMES)
    return connection(index, window(args, MAX_PAGE), partial(documents.customer_document, store))


def customers_count(store: Store, **args: Any) -> Document:
    """`customersCount`."""
    return _count(
        len(_searched(store, store.customers_by("number"), args, _CUSTOMER_TIMES).rows), args
    )


def nodes(_root: object, info: GraphQLResolveInfo[Any], ids: list[str]) -> list[Document | None]:
    """`nodes(ids:)` of orders, customers and segments; null in the place of what does not exist."""
    store: Store = info.context
    if len(ids) > MAX_PAGE:
        raise BadRequestError(f"The input array size of {len(ids)} is greater than {MAX_PAGE}.")
    return [_node(store, info, each) for each in ids]


def _node(store: Store, info: GraphQLResolveInfo[Any], global_id: str) -> Document | None:
    match = _GID.fullmatch(global_id)
    kind = match[1] if match else ""
    scope, find = {
        "Order": ("read_orders", order),
        "Customer": ("read_customers", customer),
        "Segment": ("read_customers", segment),
    }.get(kind, ("", None))
    if find is None:
        raise BadRequestError(f"The sandbox finds no {kind or 'node'} by its id.")
    if scope not in store.scopes:
        raise AccessDeniedError(info.field_name, scope)
    found = find(store, global_id)
    return None if found is None else {**found, "__typename": kind}


def segment(store: Store, id: str) -> Document:  # noqa: A002 - Shopify's name
    """`segment(id:)`: unlike orders, a missing segment is an error beside the null."""
    found = store.segments.get(number_of("Segment", id))
    if found is None:
        raise NotFoundError("Segment does not exist")
    return documents.segment_document(store, found)


def segments(store: Store, **args: Any) -> Document:
    """`segments`, by default by id."""
    if args.get("query"):
        raise BadRequestError("The sandbox does not search segments.")
    _check_cursor(store, args)
    index = store.segments_by(_SEGMENT_SORTS[args["sortKey"]])
    return connection(index, window(args, MAX_PAGE), partial(documents.segment_document, store))


def segments_count(store: Store, **args: Any) -> Document:
    """`segmentsCount`."""
    return _count(len(store.segments), args)


def segment_members(store: Store, **args: Any) -> Document:
    """`customerSegmentMembers` of exactly one of a segment, a query, or a finished query."""
    if args.get("sortKey"):
        raise BadRequestError("The sandbox lists segment members by id only.")
    _check_cursor(store, args)
    index = _members(store, args)
    page = connection(
        index,
        window(args, MAX_MEMBERS_PAGE),
        partial(documents.member_document, store),
    )
    statistics = {"attributeStatistics": partial(_attribute_statistics, index)}
    total = len(index.rows) + store.segment_faults.phantom_members
    return {**page, "totalCount": total, "statistics": statistics}


def segment_members_query(store: Store, id: str) -> Document:  # noqa: A002 - Shopify's name
    """`customerSegmentMembersQuery(id:)`; each look brings it closer to done."""
    if id in store.members_queries and store.segment_faults.lost_queries:
        store.segment_faults.lost_queries -= 1
        del store.members_queries[id]
    query = store.members_queries.get(id)
    if query is None:
        # As recorded with 2026-04: not NOT_FOUND, unlike a segment.
        raise InternalServerError("Something went wrong")
    query.looks += 1
    return documents.members_query_document(query)


def segment_membership(
    store: Store,
    customerId: str,  # noqa: N803 - Shopify's name
    segmentIds: list[str],  # noqa: N803 - Shopify's name
) -> Document:
    """`customerSegmentMembership`: a segment that does not exist has no members."""
    number = number_of("Customer", customerId)
    memberships = []
    for segment_id in segmentIds:
        found = store.segments.get(number_of("Segment", segment_id))
        members = store.members_of(found).rows if found else []
        is_member = any(facts.customer.number == number for facts in members)
        memberships.append({"segmentId": segment_id, "isMember": is_member})
    return {"memberships": memberships}


def create_segment_members_query(store: Store, input: dict[str, Any]) -> Document:  # noqa: A002
    """`customerSegmentMembersQueryCreate`."""
    segment_id, query = input.get("segmentId"), input.get("query")
    if segment_id is not None and query is not None:
        return _rejected(["input"], "Providing both segment_id and query is not supported.")
    if segment_id is None and query is None:
        return _rejected(["input"], "You must provide one of segment_id or query.")
    try:
        members = _query_members(store, query) if query is not None else None
    except SegmentSyntaxError as error:
        return _rejected(None, str(error))
    if members is None:
        found = store.segments.get(number_of("Segment", str(segment_id)))
        if found is None:
            return _rejected(["input", "segmentId"], "Segment does not exist")
        members = list(store.members_of(found).rows)
    started = store.start_members_query(members)
    document = documents.members_query_document(started)
    return {"customerSegmentMembersQuery": document, "userErrors": []}


def _check_cursor(store: Store, args: dict[str, Any]) -> None:
    """Refuse a cursor that has expired, as planned by a test."""
    if args.get("after") is not None and store.segment_faults.expired_cursors:
        store.segment_faults.expired_cursors -= 1
        raise BadRequestError(f"`{args['after']}` is not a valid cursor.")


def _rejected(field: list[str] | None, message: str) -> Document:
    error = {"field": field, "code": "INVALID", "message": message}
    return {"customerSegmentMembersQuery": None, "userErrors": [error]}


def _members(store: Store, args: dict[str, Any]) -> Index[CustomerFacts]:
    given = [name for name in ("segmentId", "queryId", "query") if args.get(name) is not None]
    if len(given) != 1:
        raise BadRequestError("you must provide exactly one of segmentId, queryId or query")
    if "queryId" in given:
        return _finished_members(store, args["queryId"])
    if "query" in given:
        try:
            return index_members(_query_members(store, args["query"]))
        except SegmentSyntaxError as error:
            raise ShopifyError(str(error), "INVALID") from None
    found = store.segments.get(number_of("Segment", args["segmentId"]))
    if found is None:
        raise NotFoundError("Segment does not exist")
    if found.number in store.segment_faults.broken:
        raise InternalServerError
    if found.is_large:
        raise ShopifyError(
            "This segment is too large to be read directly: "
            "use the customerSegmentMembersQueryCreate mutation.",
            "USE_CUSTOMER_SEGMENT_MEMBERS_QUERY_CREATE_MUTATION",
        )
    return store.members_of(found)


def _finished_members(store: Store, query_id: str) -> Index[CustomerFacts]:
    query = store.members_queries.get(query_id)
    if query is None:
        raise InternalServerError("Something went wrong")
    if not query.is_done:
        raise BadRequestError("The customer segment members query is not done yet.")
    facts = store.facts()
    return index_members([facts[number] for number in query.members if number in facts])


def _query_members(store: Store, query: str) -> list[CustomerFacts]:
    return store.members_where(store.parse_segment_query(query))


def _attribute_statistics(
    index: Index[CustomerFacts],
    _info: GraphQLResolveInfo[Any],
    attributeName: str,  # noqa: N803 - Shopify's name
) -> Document:
    """Sum and mean over all members; amounts in the currency's major unit."""
    scales = {"amount_spent": 100, "number_of_orders": 1}
    if attributeName not in scales:
        raise BadRequestError(f"The sandbox keeps no statistics of {attributeName}.")
    total = sum(getattr(facts, attributeName) for facts in index.rows) / scales[attributeName]
    return {"sum": total, "average": total / len(index.rows) if index.rows else 0}


def _listed(
    store: Store, index: Index[Any], args: dict[str, Any], times: tuple[str, ...]
) -> Index[Any]:
    found = _searched(store, index, args, times)
    return Index([], []) if store.record_faults.unlisted else found


def _searched(
    store: Store, index: Index[Any], args: dict[str, Any], times: tuple[str, ...]
) -> Index[Any]:
    filters = parse_search(args.get("query"), times)
    if not filters:
        return index
    return index.only(lambda row: all(f.matches(store.listed_time(row, f.field)) for f in filters))


def _count(exact: int, args: dict[str, Any]) -> Document:
    """A count, exact up to `limit` (null: without limit)."""
    limit = args.get("limit")
    if limit is not None and exact > limit:
        return {"count": limit, "precision": "AT_LEAST"}
    return {"count": exact, "precision": "EXACT"}


QUERY_RESOLVERS: dict[str, Resolver] = {
    "bulkOperation": open_to_all(bulk.find),
    "bulkOperations": open_to_all(bulk.list_operations),
    # A scope to write discounts includes reading them.
    "codeDiscountNode": needs_either(("read_discounts", "write_discounts"), discount_by_id),
    "codeDiscountNodeByCode": needs_either(("read_discounts", "write_discounts"), discount_by_code),
    "currentAppInstallation": open_to_all(current_app_installation),
    "shop": open_to_all(shop),
    "nodes": nodes,
    "order": needs("read_orders", order),
    "orders": needs("read_orders", orders),
    "ordersCount": needs("read_orders", orders_count),
    "customer": needs("read_customers", customer),
    "customers": needs("read_customers", customers),
    "customersCount": needs("read_customers", customers_count),
    "segment": needs("read_customers", segment),
    "segments": needs("read_customers", segments),
    "segmentsCount": needs("read_customers", segments_count),
    "customerSegmentMembers": needs("read_customers", segment_members),
    "customerSegmentMembersQuery": needs("read_customers", segment_members_query),
    "metafieldDefinitions": needs("read_customers", metafield_fields.list_definitions),
    "customerSegmentMembership": needs("read_customers", segment_membership),
    "webhookSubscriptions": open_to_all(webhook_fields.subscriptions),
}
MUTATION_RESOLVERS: dict[str, Resolver] = {
    "bulkOperationCancel": open_to_all(bulk.cancel),
    "bulkOperationRunMutation": open_to_all(bulk_mutation.run_mutation),
    "bulkOperationRunQuery": open_to_all(bulk.run_query),
    "metafieldDefinitionCreate": needs("write_customers", metafield_fields.create_definition),
    "metafieldDefinitionDelete": needs("write_customers", metafield_fields.delete_definition),
    "metafieldDefinitionUpdate": needs("write_customers", metafield_fields.update_definition),
    "metafieldsDelete": needs("write_customers", metafield_fields.delete_metafields),
    "metafieldsSet": needs("write_customers", metafield_fields.set_metafields),
    "stagedUploadsCreate": open_to_all(uploads.create_targets),
    "customerSegmentMembersQueryCreate": needs("read_customers", create_segment_members_query),
    "webhookSubscriptionCreate": open_to_all(webhook_fields.create),
    "webhookSubscriptionDelete": open_to_all(webhook_fields.delete),
    "webhookSubscriptionUpdate": open_to_all(webhook_fields.update),
    "discountCodeBasicCreate": needs("write_discounts", create_discount),
    "discountCodeBasicUpdate": needs("write_discounts", update_discount),
    "discountCodeDeactivate": needs("write_discounts", deactivate_discount),
    "discountCodeDelete": needs("write_discounts", delete_discount),
}
