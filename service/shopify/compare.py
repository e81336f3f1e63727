"""Compare the loaded ids with a bulk listing of the store's, to find deletions it never reported.

A bulk operation lists every id, and SQL compares the row sets. Each id that differs is refetched
(see :mod:`service.shopify.refetch`), so a wrong listing can cost time but no rows. A listing that
lacks far too many ids is refused.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from datetime import timedelta
from functools import partial

import structlog

from service.core.config import Settings
from service.core.db import Connection, one, tenant_transaction
from service.core.errors import QuintileError
from service.core.http import read_json
from service.core.queries import query
from service.shopify.bulk import BulkJob, Result, delete_operation, is_under_way, run_bulk
from service.shopify.copying import as_copied, copy_rows
from service.shopify.jsonl import DamagedFileError, read_blocks
from service.shopify.loading import advance_watermark
from service.shopify.parse import UNREADABLE, Node, number_of
from service.shopify.resources import CUSTOMERS, ORDERS, Resource
from service.shopify.source import Source

log = structlog.get_logger(__name__)

# A listing may lack this many ids, or this share of them, without being refused.
_FEW = 50
_SHARE = 0.1
# A record that changed shortly before the listing began may be missing from it.
_MARGIN = timedelta(minutes=5)
# Without read_all_orders, the orders created in the last 60 days are listed. We only know when an
# order was processed, which may be a while after it was created.
_SURELY_LISTED = timedelta(days=30)
# The queries of the listings, which are also what their bulk operations are recorded as.
_LISTINGS = ((CUSTOMERS, "bulk_customer_ids"), (ORDERS, "bulk_order_ids"))


class Comparison(enum.Enum):
    """When to compare, and whether to believe that many records are gone."""

    WHEN_DUE = "when due"
    NOW = "now"
    NOW_AND_BELIEVE = "now and believe"

    @classmethod
    def chosen(cls, *, now: bool, believe: bool) -> Comparison:
        """The comparison that these options ask for."""
        if not now:
            return cls.WHEN_DUE
        return cls.NOW_AND_BELIEVE if believe else cls.NOW


class ComparisonRefusedError(QuintileError):
    """So many loaded records are missing from the store that none was marked as deleted."""

    advice = (
        "If the shop has really deleted them: quintile sync shopify --tenant NAME --compare"
        " --accept-deletions"
    )


def reconcile(
    settings: Settings, source: Source, comparison: Comparison, *, has_all_orders: bool
) -> ComparisonRefusedError | None:
    """Record which ids must be refetched because the store's listing differs.

    Returns:
        Why a part of it was refused, to be raised once all else is done.

    Raises:
        ShopifyError: The shop cannot be read.
    """
    if comparison is Comparison.WHEN_DUE and not _is_due(settings, source):
        return None
    refusals: list[str] = []
    patience = settings.shopify_bulk_patience_seconds
    for resource, document in _LISTINGS:
        job = BulkJob(document, document, f"ids of {resource.name}", patience)
        compare = partial(_compare, source, resource, job, comparison, has_all_orders, refusals)
        if not run_bulk(source, job, compare):
            log.warning("no listing to compare with", entity=resource.entity)
            delete_operation(source, job.resource)
            return None
    if refusals:
        return ComparisonRefusedError(" ".join(refusals))
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        advance_watermark(conn, source.tenant_id, "comparison", None)
    return None


def _is_due(settings: Settings, source: Source) -> bool:
    """Whether it is time. The first sync has just read everything, so it only starts the clock."""
    hours, tenant_id = settings.shopify_compare_hours, source.tenant_id
    if not hours:
        return False
    if any(is_under_way(source, document) for _, document in _LISTINGS):
        return True
    with tenant_transaction(source.pool, tenant_id) as conn:
        row = conn.execute(
            query("shopify.is_comparison_due"), {"tenant_id": tenant_id, "hours": hours}
        ).fetchone()
        if row is None:
            advance_watermark(conn, tenant_id, "comparison", None)
    return row is not None and bool(row["is_due"])


def _compare(
    source: Source,
    resource: Resource,
    job: BulkJob,
    comparison: Comparison,
    has_all_orders: bool,
    refusals: list[str],
    result: Result,
) -> None:
    if result.is_partial:
        raise DamagedFileError("The listing is incomplete.")
    parameters = {
        "tenant_id": source.tenant_id,
        "resource": job.resource,
        "entity": resource.entity,
        "before": result.began_at - _MARGIN,
        "noted_at": result.noted_at,
        "visible_from": None if has_all_orders else result.began_at - _SURELY_LISTED,
    }
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        _copy_listing(conn, source, result)
        found = one(conn.execute(resource.find_missing, parameters).fetchone())
        if comparison is Comparison.NOW_AND_BELIEVE or not _is_refused(**found):
            conn.execute(query("shopify.record_missing"), parameters)
        else:
            listed = found["compared"] - found["missing"]
            refusals.append(
                f"The shop lists only {listed:,} of {found['compared']:,} loaded {resource.name},"
                " so none was marked as deleted."
            )
        conn.execute(resource.record_differing, parameters)
        conn.execute(query("shopify.delete_bulk_operation"), parameters)


def _is_refused(missing: int, compared: int) -> bool:
    return missing > max(_FEW, _SHARE * compared)


def _copy_listing(conn: Connection, source: Source, result: Result) -> None:
    conn.execute(query("shopify.create_listed"))
    listed = 0
    for rows in _listed_rows(source, result):
        copy_rows(conn, query("shopify.copy_listed"), rows)
        listed += len(rows)
        source.progress.advance(len(rows))
    if listed != result.objects:
        raise DamagedFileError(f"A listing of {result.objects} ids came with {listed}.")


def _listed_rows(source: Source, result: Result) -> Iterator[list[str]]:
    if result.url is None:
        return
    for block in read_blocks(result.url, result.size, own=source.client.address):
        try:
            nodes = (read_json(text) for text in block.decode().split("\n") if text)
            yield [as_copied(_listed(node)) for node in nodes]
        except UNREADABLE:
            raise DamagedFileError("A line of a listing cannot be read.") from None


def _listed(node: Node) -> tuple[str, str, str | None]:
    """The id, when it changed, and an order's customer."""
    customer = node.get("customer")
    return number_of(node["id"]), node["updatedAt"], number_of(customer["id"]) if customer else None
