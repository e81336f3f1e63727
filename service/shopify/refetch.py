"""Refetch customers and orders by their ids, after a comparison found that they differ.

Only an answer of null proves that a record is gone.
"""

from __future__ import annotations

from datetime import datetime

from service.core.db import one, tenant_transaction
from service.core.queries import query
from service.shopify.client import Data, ShopifyClient
from service.shopify.errors import ShopifyQueryError
from service.shopify.loading import load, quarantine, read_clock
from service.shopify.parse import sort_out
from service.shopify.resources import CUSTOMERS, ORDERS, Resource
from service.shopify.source import Source

_AT_ONCE = 50
# Of an order in a page: ``first`` in fragments/order.graphql. The list cannot be paged.
_FULFILLMENTS_PER_ORDER = 10


def refetch(source: Source) -> None:
    """Ask for every record waiting to be refetched; mark as deleted those that are gone.

    Raises:
        ShopifyError: The shop cannot be read; what is left keeps waiting.
    """
    for resource in (CUSTOMERS, ORDERS):
        (counted,) = source.execute(query("shopify.count_refetches"), entity=resource.entity)
        if counted["waiting"]:
            source.progress.phase(f"{resource.name} one by one", total=counted["waiting"])
        at_once = _AT_ONCE
        while rows := source.execute(
            query("shopify.list_refetches"), entity=resource.entity, at_once=at_once
        ):
            source_ids = [row["source_id"] for row in rows]
            read_at = read_clock(source.pool, source.tenant_id)
            try:
                answers = _ask(source.client, resource, source_ids)
            except ShopifyQueryError as error:
                if "MAX_COST_EXCEEDED" not in error.codes or at_once == 1:
                    raise
                at_once //= 2
                continue
            _load(source, resource, source_ids, answers, read_at)
            source.progress.advance(len(source_ids))


def complete_order(client: ShopifyClient, order: Data) -> None:
    """Fetch the lines and fulfilments of a large order that its page had no room for.

    Without all fulfilments, an order would look delivered while some of it is under way.
    """
    if len(order.get("fulfillments") or ()) >= _FULFILLMENTS_PER_ORDER:
        found = client.run("order_fulfillments", id=order["id"])["order"]
        if found is not None:
            order["fulfillments"] = found["fulfillments"]
    _complete_lines(client, order)


def _complete_lines(client: ShopifyClient, order: Data) -> None:
    lines = order["lineItems"]
    while lines["pageInfo"]["hasNextPage"]:
        after = lines["pageInfo"]["endCursor"]
        found = client.run("order_lines", id=order["id"], after=after)["order"]
        if found is None:
            # Deleted since the page was read: keep the lines that the page had.
            return
        lines["nodes"] += found["lineItems"]["nodes"]
        lines["pageInfo"] = found["lineItems"]["pageInfo"]


def _ask(client: ShopifyClient, resource: Resource, source_ids: list[str]) -> list[Data | None]:
    ids = [f"gid://shopify/{resource.entity.capitalize()}/{each}" for each in source_ids]
    answers: list[Data | None] = client.run(f"{resource.name}_by_id", ids=ids)["nodes"]
    if resource is ORDERS:
        for answer in filter(None, answers):
            complete_order(client, answer)
    return answers


def _load(
    source: Source,
    resource: Resource,
    source_ids: list[str],
    answers: list[Data | None],
    read_at: datetime,
) -> None:
    tenant_id = source.tenant_id
    gone = [each for each, answer in zip(source_ids, answers, strict=True) if answer is None]
    rows, rejections = sort_out(filter(None, answers), resource.parse)
    parameters = {"tenant_id": tenant_id, "entity": resource.entity, "source_ids": source_ids}
    with tenant_transaction(source.pool, tenant_id) as conn:
        written = load(conn, tenant_id, resource, rows, read_at)
        quarantine(conn, tenant_id, resource.entity, rejections)
        marked = conn.execute(resource.mark_missing, {**parameters, "source_ids": gone})
        deleted = one(marked.fetchone())["written"]
        conn.execute(query("shopify.delete_refetches"), parameters)
    source.progress.count(
        reread=len(rows), rejected=len(rejections), written=written + deleted, deleted=deleted
    )
