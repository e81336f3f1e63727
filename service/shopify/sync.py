"""One sync of a shop: what it is, its customers, its orders, its segments with members.

What there is much of is read by a bulk operation first. Then customers and orders are read in the
order they changed, from a little before the last change landed. Each page, and each bulk operation,
lands in a transaction of its own together with the watermark that vouches for it, so a sync that is
killed goes on where it stopped, and the tables end up the same. Now and then what has landed is
compared with what there is, because nobody tells what is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

import structlog

from service.core.config import Settings
from service.core.db import Connection, Pool, tenant_transaction
from service.queue.progress import Progress
from service.shopify.backfill import CUSTOMERS, ORDERS, BulkResource, backfill
from service.shopify.bulk import BulkJob, delete_operation, is_under_way
from service.shopify.client import pages
from service.shopify.compare import Comparison, ComparisonRefusedError, reconcile
from service.shopify.connection import open_connected_shopify, verify_shopify
from service.shopify.loading import (
    advance_watermark,
    load_customers,
    load_orders,
    purge_deleted,
    quarantine,
    read_clock,
    read_watermark,
    reassign_orders,
)
from service.shopify.parse import Node, Row, newest, parse_customer, parse_order, sort_out
from service.shopify.refetch import complete_lines, refetch
from service.shopify.segments import Source, sync_segments
from service.shopify.shop import ShopInfo

log = structlog.get_logger(__name__)

# Shopify's search index runs behind its data: what changed just before the last change landed may
# not have been listed yet. Reading it twice costs a page and writes nothing.
_OVERLAP = timedelta(minutes=5)

# The parts of a sync, which have schedules of their own; ``orders`` are customers and orders.
Part = Literal["orders", "segments"]


@dataclass(frozen=True)
class _Resource:
    """Something read by updated_at and landed page by page, or in bulk.

    ``watermark`` names how far it has been read; ``name`` is Shopify's.
    """

    name: str
    watermark: str
    entity: str
    per_page: int
    parse: Callable[[Node], Row]
    land: Callable[[Connection, UUID, Sequence[Row], datetime], int]
    bulk: BulkResource


_CUSTOMERS = _Resource(
    "customers", "customers", "customer", 250, parse_customer, load_customers, CUSTOMERS
)
_ORDERS = _Resource("orders", "orders", "order", 50, parse_order, load_orders, ORDERS)
# Having read the last 60 days says nothing of the years before: when the token gets the scope for
# all orders, they are read from the start.
_RECENT_ORDERS = replace(_ORDERS, watermark="recent_orders")


def sync_shopify(
    settings: Settings,
    pool: Pool,
    tenant_id: UUID,
    progress: Progress,
    *,
    only: Part | None = None,
    comparison: Comparison = Comparison.WHEN_DUE,
) -> None:
    """Bring a tenant's landed data up to date with its shop: all of it, or one part.

    Counts, by way of ``progress``: what was read (segments, segment_members, customers, orders),
    rejected records, calls to Shopify, and rows written; orders_limited_to_60_days when the
    token lacks read_all_orders, because a year of RFM over 60 days of orders is wrong;
    unsupported_api_version when Shopify answered with another version than was asked for; and
    deleted, refetch and purged rows.

    Args:
        settings: How to reach Shopify, and from when on to read in bulk.
        pool: The service's pool.
        tenant_id: Whose shop.
        progress: Who is told.
        only: The part to sync; every part when None.
        comparison: Whether to compare all ids with the shop's, and whether to believe the result
            however much of it is gone.

    Raises:
        ComparisonRefusedError: So much seems to be gone that nothing was marked; all else is done.
        NotConnectedError: The tenant has no shop or no access token.
        ShopifyRefusedError: The token is not accepted; the connection now says so.
        ShopifyError: The shop cannot be read; what was landed before stays.
    """
    with open_connected_shopify(settings, pool, tenant_id) as client:
        source = Source(client, pool, tenant_id, progress)
        try:
            info = _sync_shop(settings, source)
            refusal = None
            if only != "segments":
                refusal = _sync_records(settings, source, info, comparison)
            if only != "orders":
                sync_segments(source)
            if refusal is not None:
                raise refusal
        finally:
            progress.count(calls=client.calls)


def _sync_shop(settings: Settings, source: Source) -> ShopInfo:
    source.progress.phase("shop")
    info = verify_shopify(settings, source.pool, source.tenant_id, source.client)
    if not info.has_all_orders:
        source.progress.count(orders_limited_to_60_days=1)
    if info.api_version not in (None, settings.shopify_api_version):
        source.progress.count(unsupported_api_version=1)
        log.warning(
            "unsupported API version",
            asked=settings.shopify_api_version,
            served=info.api_version,
            tenant_id=str(source.tenant_id),
        )
    return info


def _sync_records(
    settings: Settings, source: Source, info: ShopInfo, comparison: Comparison
) -> ComparisonRefusedError | None:
    """Customers and orders: what has changed, what is gone, what is to be read again.

    Returns:
        Why nothing was marked as gone, if the comparison was refused; all else is done by then.
    """
    _sync_changes(settings, source, _CUSTOMERS)
    _reassign_orders(source)
    _sync_changes(settings, source, _ORDERS if info.has_all_orders else _RECENT_ORDERS)
    refusal = reconcile(settings, source, comparison, has_all_orders=info.has_all_orders)
    refetch(source)
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        source.progress.count(purged=purge_deleted(conn, source.tenant_id))
    return refusal


def _reassign_orders(source: Source) -> None:
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        adopted = reassign_orders(conn, source.tenant_id)
    source.progress.count(written=adopted)


def _sync_changes(settings: Settings, source: Source, resource: _Resource) -> None:
    search, total = _changes(source, resource)
    is_large = total is not None and total >= settings.shopify_bulk_from
    if is_large or is_under_way(source, resource.watermark):
        job = BulkJob(
            resource.watermark,
            resource.bulk.document,
            settings.shopify_bulk_patience_seconds,
            search,
        )
        if backfill(source, resource.bulk, resource.watermark, job, _OVERLAP):
            search, total = _changes(source, resource)
    source.progress.phase(resource.name, total=total)
    read_at = read_clock(source.pool, source.tenant_id)
    for page in pages(
        source.client, resource.name, resource.name, first=resource.per_page, query=search
    ):
        _load_page(source, resource, page["nodes"], read_at)
    # Paged to the end: operations that came to nothing are history, and the next may be tried.
    delete_operation(source, resource.watermark)


def _changes(source: Source, resource: _Resource) -> tuple[str | None, int | None]:
    """How to search for what of a resource has not been read, and how much that is."""
    with tenant_transaction(source.pool, source.tenant_id, read_only=True) as conn:
        watermark = read_watermark(conn, source.tenant_id, resource.watermark)
    search = None if watermark is None else _changed_since(watermark - _OVERLAP)
    count = source.client.run(f"{resource.name}_count", query=search)[f"{resource.name}Count"]
    return search, count["count"] if count else None


def _load_page(source: Source, resource: _Resource, nodes: list[Node], read_at: datetime) -> None:
    if resource.name == "orders":
        for order in nodes:
            complete_lines(source.client, order)
    rows, rejections = sort_out(nodes, resource.parse)
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        written = resource.land(conn, source.tenant_id, rows, read_at)
        quarantine(conn, source.tenant_id, resource.entity, rejections)
        advance_watermark(conn, source.tenant_id, resource.watermark, newest(nodes))
    source.progress.count(**{resource.name: len(nodes)}, rejected=len(rejections), written=written)
    source.progress.advance(len(nodes))


def _changed_since(moment: datetime) -> str:
    """Shopify's search for what changed at or after a moment."""
    return f"updated_at:>='{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}'"
