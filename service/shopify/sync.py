"""One sync of a shop: its settings, customers, orders, and segments with members.

A large number of records is read by a bulk operation first. Then customers and orders are paged in
the order of their changes, from a little before the watermark. Each page is loaded in one
transaction with its position, and each bulk operation with its watermark, so a killed sync resumes
where it stopped. A record that Shopify cannot serve is quarantined and tried again by the next
sync. Now and then the loaded ids are compared with the shop's, because deletions are not always
reported. No part waits for another that fails.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

import structlog

from service.core.config import Settings
from service.core.db import Pool, tenant_transaction
from service.core.errors import QuintileError
from service.queue.progress import Progress
from service.shopify.backfill import backfill
from service.shopify.bulk import BulkJob, delete_operation, is_under_way
from service.shopify.compare import Comparison, reconcile
from service.shopify.connection import open_connected_shopify, verify_shopify
from service.shopify.errors import (
    ShopifyError,
    ShopifyQueryError,
    ShopifyRefusedError,
    ShopifyUnavailableError,
    ShopifyUnservedError,
)
from service.shopify.loading import (
    load_nodes,
    purge_deleted,
    read_clock,
    read_watermark,
    reassign_orders,
)
from service.shopify.paging import Page, pages, unserved
from service.shopify.positions import Position, advance, delete_position, find_position
from service.shopify.problems import insert_withheld, probe, record_withheld, rewind_if_granted
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
    withheld_fields is the number of fields that Shopify denies the app; orders_not_listed is what
    Shopify counts where it lists nothing, and customers_not_listed likewise;
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
        ShopifyError: A part of the shop cannot be read; what was loaded before stays.
    """
    with open_connected_shopify(settings, pool, tenant_id) as client:
        source = Source(client, pool, tenant_id, progress)
        parts = _Parts()
        try:
            info = _sync_shop(settings, source)
            if only != "segments":
                _sync_records(settings, source, info, comparison, parts)
            if only != "orders":
                parts.run("segments", lambda: sync_segments(source))
            record_withheld(source, is_all=only != "segments" and not parts.failures)
            parts.raise_failure()
        finally:
            progress.count(calls=client.calls)


class _InvalidCursorError(ShopifyQueryError):
    """Shopify does not accept the cursor of an earlier sync."""


class _Parts:
    """The parts of a sync, none of which waits for another that fails."""

    def __init__(self) -> None:
        self.failures: list[QuintileError] = []

    def run(self, name: str, work: Callable[[], object]) -> None:
        """Do a part. A failure is kept for the end, unless the others would fail for it too.

        Raises:
            ShopifyRefusedError: The token is not accepted.
            ShopifyUnavailableError: Shopify cannot be reached.
        """
        try:
            work()
        except ShopifyRefusedError:
            raise
        except ShopifyError as error:
            if isinstance(error, ShopifyUnavailableError) and not isinstance(
                error, ShopifyUnservedError
            ):
                raise
            log.warning("a part of a sync failed", part=name, reason=error.message)
            self.failures.append(error)

    def raise_failure(self) -> None:
        """Raise the first failure, and of several one that does not pass by itself."""
        lasting = [failure for failure in self.failures if not failure.is_transient]
        for failure in [*lasting, *self.failures]:
            raise failure


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
    settings: Settings, source: Source, info: ShopInfo, comparison: Comparison, parts: _Parts
) -> None:
    """Sync customers and orders: load changes, compare ids, refetch and purge."""
    began_at = read_clock(source.pool, source.tenant_id)
    rewind_if_granted(source)
    parts.run("customers", lambda: _sync_changes(settings, source, CUSTOMERS, "customers"))
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        source.progress.count(written=reassign_orders(conn, source.tenant_id))
    # The last 60 days say nothing about the years before, so they have a watermark of their own:
    # when the token gets the scope for all orders, they are read from the start.
    watermark = "orders" if info.has_all_orders else "recent_orders"
    parts.run("orders", lambda: _sync_changes(settings, source, ORDERS, watermark))

    def compare() -> None:
        refusal = reconcile(settings, source, comparison, has_all_orders=info.has_all_orders)
        if refusal is not None:
            parts.failures.append(refusal)

    parts.run("comparison", compare)
    parts.run("refetches", lambda: refetch(source, began_at))
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        source.progress.count(purged=purge_deleted(conn, source.tenant_id))


def _sync_changes(settings: Settings, source: Source, resource: Resource, watermark: str) -> None:
    search, total = _changes(source, resource, watermark)
    is_large = total is not None and total >= settings.shopify_bulk_from
    if is_large or is_under_way(source, watermark):
        # A bulk operation does not say which fields it is denied; a page does.
        probe(source, resource, search)
        patience = settings.shopify_bulk_patience_seconds
        job = BulkJob(watermark, f"bulk_{resource.name}", resource.name, patience, search)
        if backfill(source, resource, job, _OVERLAP):
            search, total = _changes(source, resource, watermark)
    source.progress.phase(resource.name, total=total)
    read = _read_pages(source, resource, watermark, search)
    if total and not read:
        # As in some stores where the app waits for approval.
        source.progress.count(**{f"{resource.name}_not_listed": total})
        log.warning("Shopify lists nothing of what it counts", of=resource.name, counted=total)
    # Everything has been paged, so bulk operations may be tried again next time.
    delete_operation(source, watermark)


def _changes(source: Source, resource: Resource, watermark: str) -> tuple[str | None, int | None]:
    """The search for what has changed in a resource, and how many records that is."""
    with tenant_transaction(source.pool, source.tenant_id, read_only=True) as conn:
        read_to = read_watermark(conn, source.tenant_id, watermark, source.client.scopes)
    search = None if read_to is None else _changed_since(read_to - _OVERLAP)
    count = source.client.run(f"{resource.name}_count", query=search)[f"{resource.name}Count"]
    return search, count["count"] if count else None


def _read_pages(source: Source, resource: Resource, watermark: str, search: str | None) -> int:
    """Page what has changed, from where an earlier sync stopped; how many records there were."""
    resumed = find_position(source, watermark)
    if resumed is not None:
        try:
            return len(resumed.latest) + _page_from(source, resource, watermark, resumed)
        except _InvalidCursorError:
            # For example of another version of the API: from the watermark on nothing is missed.
            delete_position(source, watermark)
    began_at = read_clock(source.pool, source.tenant_id)
    return _page_from(source, resource, watermark, Position(search, began_at))


def _page_from(source: Source, resource: Resource, watermark: str, position: Position) -> int:
    read_at = read_clock(source.pool, source.tenant_id)
    read = 0
    try:
        for page in pages(
            source.client,
            resource.listing,
            first=resource.per_page,
            after=position.cursor,
            query=position.search,
        ):
            position = position.behind(page)
            _load_page(source, resource, watermark, page, position, read_at)
            read += len(page.nodes) + len(page.unserved)
    except ShopifyQueryError as error:
        if read or position.cursor is None:
            raise
        raise _InvalidCursorError(error.message, error.codes) from None
    return read


def _load_page(
    source: Source,
    resource: Resource,
    watermark: str,
    page: Page,
    position: Position,
    read_at: datetime,
) -> None:
    nodes, left_out = page.nodes, list(page.unserved)
    if resource is ORDERS:
        nodes = []
        for order in page.nodes:
            if reason := complete_order(source.client, order):
                left_out.append(unserved(order["id"], reason))
            else:
                nodes.append(order)
    tenant_id = source.tenant_id
    with tenant_transaction(source.pool, tenant_id) as conn:
        loaded = load_nodes(
            conn,
            tenant_id,
            resource,
            nodes,
            read_at,
            withheld=source.client.withheld,
            missing=page.missing,
            unserved=left_out,
        )
        insert_withheld(conn, source)
        advance(
            conn,
            tenant_id,
            watermark,
            position,
            is_end=page.is_last,
            scopes=source.client.scopes,
            is_complete=not source.client.withheld,
        )
    count = len(page.nodes) + len(page.unserved)
    source.progress.count(
        **{resource.name: count}, rejected=loaded.rejected, written=loaded.written
    )
    source.progress.advance(count)


def _changed_since(moment: datetime) -> str:
    """Shopify's search for what changed at or after a moment."""
    return f"updated_at:>='{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}'"
