"""Refetch customers and orders by their ids.

A comparison finds records that differ; a page leaves out records that Shopify cannot serve, which
are tried again by every sync. Only an answer of null proves that a record is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from service.core.db import one, tenant_transaction
from service.core.queries import query
from service.shopify.client import Data, ShopifyClient
from service.shopify.errors import (
    Failure,
    ShopifyPartialError,
    ShopifyQueryError,
    ShopifyUnservedError,
)
from service.shopify.loading import load_nodes, read_clock
from service.shopify.paging import SPLIT_ATTEMPTS, is_divisible, sift, unserved
from service.shopify.parse import Node, Rejection
from service.shopify.resources import CUSTOMERS, ORDERS, Resource
from service.shopify.source import Source

_AT_ONCE = 50
# Of an order in a page: ``first`` in fragments/order.graphql. The list cannot be paged.
_FULFILLMENTS_PER_ORDER = 10
# Records that Shopify could not serve, tried again per sync and kind: each costs a few calls.
_RETRIES = 20


@dataclass
class Found:
    """What Shopify has of some records, by id.

    ``nodes`` are those it has, and None for those it does not have. ``missing`` are the optional
    fields that some nodes lack; ``unserved`` are records that it has and could not serve, and
    ``lasting`` those of them where the same query will not do better soon.
    """

    nodes: dict[str, Node | None] = field(default_factory=dict)
    missing: dict[str, set[str]] = field(default_factory=dict)
    unserved: dict[str, Rejection] = field(default_factory=dict)
    lasting: set[str] = field(default_factory=set)


# -- records that wait to be refetched ----------------------------------------------------------


def refetch(source: Source, began_at: datetime) -> None:
    """Ask for every record waiting to be refetched; mark as deleted those that are gone.

    Those that Shopify could not serve before ``began_at``, when the sync began, are tried again.

    Raises:
        ShopifyError: The shop cannot be read; what is left keeps waiting.
    """
    for resource in (CUSTOMERS, ORDERS):
        entity = resource.entity
        (counted,) = source.execute(query("shopify.count_refetches"), entity=entity)
        if counted["waiting"]:
            source.progress.phase(f"{resource.name} one by one", total=counted["waiting"])
        while rows := source.execute(
            query("shopify.list_refetches"), entity=entity, at_once=_AT_ONCE
        ):
            _refetch(source, resource, [row["source_id"] for row in rows])
            source.progress.advance(len(rows))
        retries = source.execute(
            query("shopify.list_retries"), entity=entity, before=began_at, at_once=_RETRIES
        )
        if retries:
            _refetch(source, resource, [row["source_id"] for row in retries], SPLIT_ATTEMPTS)


def _refetch(
    source: Source, resource: Resource, source_ids: list[str], attempts: int | None = None
) -> None:
    tenant_id = source.tenant_id
    read_at = read_clock(source.pool, tenant_id)
    found = read_by_ids(source.client, resource, source_ids, attempts)
    gone = [source_id for source_id, node in found.nodes.items() if node is None]
    parameters = {"tenant_id": tenant_id, "entity": resource.entity}
    nodes = [node for node in found.nodes.values() if node is not None]
    with tenant_transaction(source.pool, tenant_id) as conn:
        marked = conn.execute(resource.mark_missing, {**parameters, "source_ids": gone})
        deleted = one(marked.fetchone())["written"]
        conn.execute(query("shopify.clear_rejections"), {**parameters, "source_ids": gone})
        conn.execute(query("shopify.delete_refetches"), {**parameters, "source_ids": source_ids})
        loaded = load_nodes(
            conn,
            tenant_id,
            resource,
            nodes,
            read_at,
            withheld=source.client.withheld,
            missing=found.missing,
            unserved=list(found.unserved.values()),
        )
    source.progress.count(
        reread=loaded.read,
        rejected=loaded.rejected,
        written=loaded.written + deleted,
        deleted=deleted,
    )


# -- reading by ids -----------------------------------------------------------------------------


def read_by_ids(
    client: ShopifyClient,
    resource: Resource,
    source_ids: Sequence[str],
    attempts: int | None = None,
) -> Found:
    """Ask for records by their ids: in smaller parts when Shopify cannot answer, down to one.

    Args:
        client: The shop.
        resource: What the records are.
        source_ids: The numbers in their global ids, as text.
        attempts: The most attempts for one record, if fewer than the client's.

    Raises:
        ShopifyError: The shop cannot be read.
    """
    found = Found()
    _read(client, resource, list(source_ids), found, attempts, is_answering=False)
    return found


def _read(
    client: ShopifyClient,
    resource: Resource,
    source_ids: list[str],
    found: Found,
    attempts: int | None,
    *,
    is_answering: bool,
) -> bool:
    """Add what Shopify has of some records; whether it is known to answer queries at all."""
    gids = [f"gid://shopify/{resource.entity.capitalize()}/{each}" for each in source_ids]
    failures: Sequence[Failure] = ()
    is_lasting = False
    try:
        at_most = SPLIT_ATTEMPTS if len(gids) > 1 else attempts
        nodes = client.run(f"{resource.name}_by_id", attempts=at_most, ids=gids)["nodes"]
    except ShopifyPartialError as error:
        nodes, failures = error.data["nodes"], error.failures
        is_lasting = not error.is_transient
    except (ShopifyQueryError, ShopifyUnservedError) as error:
        if not is_divisible(error):
            raise
        if len(source_ids) == 1:
            if not is_answering:
                client.run(f"{resource.entity}_ids", first=1)
            found.unserved[source_ids[0]] = unserved(gids[0], error.message)
            return True
        middle = len(source_ids) // 2
        for part in (source_ids[:middle], source_ids[middle:]):
            is_answering = _read(client, resource, part, found, attempts, is_answering=is_answering)
        return is_answering
    _take(client, resource, source_ids, nodes, failures, found)
    if is_lasting:
        found.lasting |= found.unserved.keys() & set(source_ids)
    return True


def _take(
    client: ShopifyClient,
    resource: Resource,
    source_ids: list[str],
    nodes: list[Node | None],
    failures: Sequence[Failure],
    found: Found,
) -> None:
    """Add the nodes of an answer, which may have failed at some places."""
    missing, broken = sift(nodes, failures)
    for position, (source_id, node) in enumerate(zip(source_ids, nodes, strict=True)):
        reason = broken.get(position)
        if reason is None and node is not None and resource is ORDERS:
            reason = complete_order(client, node)
        if reason is not None:
            gid = f"gid://shopify/{resource.entity.capitalize()}/{source_id}"
            found.unserved[source_id] = unserved(gid, reason)
            continue
        found.nodes[source_id] = node
        if position in missing:
            found.missing[source_id] = missing[position]


def complete_order(client: ShopifyClient, order: Data) -> str | None:
    """Fetch the lines and fulfilments of a large order that its page had no room for.

    Without all fulfilments, an order would look delivered while some of it is under way.

    Returns:
        Why they cannot be read, if Shopify cannot serve them; None when the order has all.

    Raises:
        ShopifyError: The shop cannot be read.
    """
    try:
        if len(order.get("fulfillments") or ()) >= _FULFILLMENTS_PER_ORDER:
            found = client.run("order_fulfillments", id=order["id"])["order"]
            if found is not None:
                order["fulfillments"] = found["fulfillments"]
        _complete_lines(client, order)
    except (ShopifyQueryError, ShopifyUnservedError) as error:
        return error.message
    return None


def _complete_lines(client: ShopifyClient, order: Data) -> None:
    lines = order["lineItems"]
    while lines["pageInfo"]["hasNextPage"]:
        after = lines["pageInfo"]["endCursor"]
        found = client.run("order_lines", id=order["id"], after=after)["order"]
        if found is None:
            # Deleted since the page was read: keep the lines that the page had.
            return
        lines["nodes"] += found["lineItems"]["nodes"]
        lines["pageInfo"] = info = found["lineItems"]["pageInfo"]
        if info["hasNextPage"] and info["endCursor"] in (None, after):
            raise ShopifyQueryError("Shopify's paging of an order's lines makes no progress.")
