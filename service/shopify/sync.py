"""One sync of a shop: its settings, customers, orders, and segments with members.

A large number of records is read by a bulk operation first. Then customers and orders are paged in
the order of their changes, from a little before the last change loaded. Each page, and each bulk
operation, is loaded in one transaction with its watermark, so a killed sync resumes where it
stopped. Now and then the loaded ids are compared with the shop's, because deletions are not always
reported.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

import structlog

from service.core.config import Settings
from service.core.db import Pool, tenant_transaction
from service.queue.progress import Progress
from service.shopify.backfill import backfill
from service.shopify.bulk import BulkJob, delete_operation, is_under_way
from service.shopify.client import pages
from service.shopify.compare import Comparison, ComparisonRefusedError, reconcile
from service.shopify.connection import open_connected_shopify, verify_shopify
from service.shopify.loading import (
    advance_watermark,
    load,
    purge_deleted,
    quarantine,
    read_clock,
    read_watermark,
    reassign_orders,
)
from service.shopify.parse import Node, newest, sort_out
from service.shopify.refetch import complete_order, refetch
from service.shopify.resources import CUSTOMERS, ORDERS, Resource
from service.shopify.segments import sync_segments
from service.shopify.shop import ShopInfo
from service.shopify.source import Source

log = structlog.get_logger(__name__)

# Shopify's search index lags behind its data, so records that changed just before the last loaded
# one may not have been listed. Reading this much again costs a page and writes nothing.
_OVERLAP = timedelta(minutes=5)

# The parts of a sync, each with its own schedule; ``orders`` means customers and orders.
Part = Literal["orders", "segments"]


def sync_shopify(
    settings: Settings,
    pool: Pool,
    tenant_id: UUID,
    progress: Progress,
    *,
    only: Part | None = None,
    comparison: Comparison = Comparison.WHEN_DUE,
) -> None:
    """Bring a tenant's loaded data up to date with its shop: all of it, or one part.

    Counts in ``progress``: records read (segments, segment_members, customers, orders), rejected,
    reread, deleted, purged and written rows, and calls to Shopify. orders_limited_to_60_days is 1
    when the token lacks read_all_orders, because a year of RFM over 60 days of orders is wrong;
    unsupported_api_version is 1 when Shopify answered with another version than requested.

    Args:
        settings: How to reach Shopify, and from how many records on to read in bulk.
        pool: The service's pool.
        tenant_id: The tenant.
        progress: Gets the phases and counters.
        only: The part to sync; every part when None.
        comparison: Whether to compare all ids with the shop's, and whether to believe the result
            however many are missing.

    Raises:
        ComparisonRefusedError: Too many records were missing, so none was marked as deleted; all
            else is done.
        NotConnectedError: The tenant has no shop or no access token.
        ShopifyRefusedError: The token is not accepted; the connection now says so.
        ShopifyError: The shop cannot be read; what was loaded before stays.
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
            requested=settings.shopify_api_version,
            served=info.api_version,
            tenant_id=str(source.tenant_id),
        )
    return info


def _sync_records(
    settings: Settings, source: Source, info: ShopInfo, comparison: Comparison
) -> ComparisonRefusedError | None:
    """Sync customers and orders: load changes, compare ids, refetch and purge.

    Returns:
        Why the comparison was refused, if it was; all else is done by then.
    """
    _sync_changes(settings, source, CUSTOMERS, "customers")
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        source.progress.count(written=reassign_orders(conn, source.tenant_id))
    # The last 60 days say nothing about the years before, so they have a watermark of their own:
    # when the token gets the scope for all orders, they are read from the start.
    _sync_changes(settings, source, ORDERS, "orders" if info.has_all_orders else "recent_orders")
    refusal = reconcile(settings, source, comparison, has_all_orders=info.has_all_orders)
    refetch(source)
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        source.progress.count(purged=purge_deleted(conn, source.tenant_id))
    return refusal


def _sync_changes(settings: Settings, source: Source, resource: Resource, watermark: str) -> None:
    search, total = _changes(source, resource, watermark)
    is_large = total is not None and total >= settings.shopify_bulk_from
    if is_large or is_under_way(source, watermark):
        patience = settings.shopify_bulk_patience_seconds
        job = BulkJob(watermark, f"bulk_{resource.name}", resource.name, patience, search)
        if backfill(source, resource, job, _OVERLAP):
            search, total = _changes(source, resource, watermark)
    source.progress.phase(resource.name, total=total)
    read_at = read_clock(source.pool, source.tenant_id)
    for page in pages(
        source.client, resource.name, resource.name, first=resource.per_page, query=search
    ):
        _load_page(source, resource, watermark, page["nodes"], read_at)
    # Everything has been paged, so bulk operations may be tried again next time.
    delete_operation(source, watermark)


def _changes(source: Source, resource: Resource, watermark: str) -> tuple[str | None, int | None]:
    """The search for what has changed in a resource, and how many records that is."""
    with tenant_transaction(source.pool, source.tenant_id, read_only=True) as conn:
        read_to = read_watermark(conn, source.tenant_id, watermark)
    search = None if read_to is None else _changed_since(read_to - _OVERLAP)
    count = source.client.run(f"{resource.name}_count", query=search)[f"{resource.name}Count"]
    return search, count["count"] if count else None


def _load_page(
    source: Source, resource: Resource, watermark: str, nodes: list[Node], read_at: datetime
) -> None:
    if resource is ORDERS:
        for order in nodes:
            complete_order(source.client, order)
    rows, rejections = sort_out(nodes, resource.parse)
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        written = load(conn, source.tenant_id, resource, rows, read_at)
        quarantine(conn, source.tenant_id, resource.entity, rejections)
        advance_watermark(conn, source.tenant_id, watermark, newest(nodes))
    source.progress.count(**{resource.name: len(nodes)}, rejected=len(rejections), written=written)
    source.progress.advance(len(nodes))


def _changed_since(moment: datetime) -> str:
    """Shopify's search for what changed at or after a moment."""
    return f"updated_at:>='{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}'"
