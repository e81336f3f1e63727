"""Compare the loaded ids with a bulk listing of the store's, to find deletions it never reported.

A bulk operation lists every id, and SQL compares the row sets. Each id that differs is refetched
(see :mod:`service.shopify.refetch`), so a wrong listing can cost time but no rows. A listing that
lacks far too many ids is refused.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from psycopg import sql

from service.core.config import Settings
from service.core.db import Connection, one, tenant_transaction
from service.core.errors import QuintileError
from service.core.http import TransientError, read_json
from service.core.queries import query
from service.shopify.backfill import as_copied
from service.shopify.bulk import (
    BulkJob,
    Result,
    consume,
    delete_operation,
    is_under_way,
    next_result,
)
from service.shopify.client import ShopifyUnavailableError
from service.shopify.jsonl import DamagedFileError, FileGoneError, read_blocks
from service.shopify.loading import advance_watermark
from service.shopify.parse import UNREADABLE, Node, number_of
from service.shopify.segments import Source

log = structlog.get_logger(__name__)

# Less than this is believed to be gone without a question, and so is less than this share of all.
_FEW = 50
_SHARE = 0.1
# What changed shortly before the listing began may not have been in it.
_MARGIN = timedelta(minutes=5)
# Without read_all_orders, orders created in the last 60 days are listed. An order may have been
# processed, as far as we know, a while after it was created.
_SURELY_LISTED = timedelta(days=30)


class Comparison(enum.Enum):
    """When to compare, and whether to believe that much is gone."""

    WHEN_DUE = "when due"
    NOW = "now"
    NOW_AND_BELIEVE = "now and believe"

    @classmethod
    def chosen(cls, *, now: bool, believe: bool) -> Comparison:
        """What somebody who asks for a sync has chosen."""
        if not now:
            return cls.WHEN_DUE
        return cls.NOW_AND_BELIEVE if believe else cls.NOW


class ComparisonRefusedError(QuintileError):
    """So much of what has landed is not in the shop any more that nothing was marked as deleted."""

    advice = (
        "If the shop has really deleted them: quintile sync shopify --tenant NAME --compare"
        " --accept-deletions"
    )


@dataclass(frozen=True)
class _Listing:
    """Ids of one kind: the bulk query's name, and what a line of it says."""

    resource: str
    entity: str
    find_missing: sql.SQL
    record_differing: sql.SQL
    parse: Callable[[Node], tuple[str, str, str | None]]


def _listed_order(node: Node) -> tuple[str, str, str | None]:
    customer = node.get("customer")
    owner = number_of(customer["id"]) if customer else None
    return number_of(node["id"]), node["updatedAt"], owner


def _listed_customer(node: Node) -> tuple[str, str, str | None]:
    return number_of(node["id"]), node["updatedAt"], None


_LISTINGS = (
    _Listing(
        "bulk_customer_ids",
        "customer",
        query("shopify.find_missing_customers"),
        query("shopify.record_differing_customers"),
        _listed_customer,
    ),
    _Listing(
        "bulk_order_ids",
        "order",
        query("shopify.find_missing_orders"),
        query("shopify.record_differing_orders"),
        _listed_order,
    ),
)


def reconcile(
    settings: Settings, source: Source, comparison: Comparison, *, has_all_orders: bool
) -> ComparisonRefusedError | None:
    """Note what is to be read again because the shop has it otherwise, or has it no more.

    Returns:
        Why a part of it was refused, to be raised once all else is done.

    Raises:
        ShopifyError: The shop cannot be read.
    """
    if comparison is Comparison.WHEN_DUE and not _is_due(settings, source):
        return None
    refusals = []
    for listing in _LISTINGS:
        source.progress.phase(f"ids of {listing.entity}s: waiting for Shopify")
        job = BulkJob(listing.resource, listing.resource, settings.shopify_bulk_patience_seconds)
        while (result := next_result(source, job)) is not None:
            believes = comparison is Comparison.NOW_AND_BELIEVE
            try:
                refusal = _compare(source, listing, result, believes, has_all_orders)
            except (FileGoneError, DamagedFileError) as error:
                log.warning("a listing is of no use", reason=error.message)
                consume(source, listing.resource)
                continue
            except TransientError as error:
                raise ShopifyUnavailableError(f"Shopify keeps failing: {error}.") from None
            refusals += [refusal] if refusal else []
            break
        else:
            log.warning("no listing to compare with", entity=listing.entity)
            delete_operation(source, listing.resource)
            return None
    if refusals:
        return ComparisonRefusedError(" ".join(refusals))
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        advance_watermark(conn, source.tenant_id, "comparison", None)
    return None


def _is_due(settings: Settings, source: Source) -> bool:
    """Whether it is time; the first sync has just read everything, and starts the clock."""
    hours, tenant_id = settings.shopify_compare_hours, source.tenant_id
    if not hours:
        return False
    if any(is_under_way(source, listing.resource) for listing in _LISTINGS):
        return True
    with tenant_transaction(source.pool, tenant_id) as conn:
        row = conn.execute(
            query("shopify.is_comparison_due"), {"tenant_id": tenant_id, "hours": hours}
        ).fetchone()
        if row is None:
            advance_watermark(conn, tenant_id, "comparison", None)
    return row is not None and bool(row["is_due"])


def _compare(
    source: Source, listing: _Listing, result: Result, believes: bool, has_all_orders: bool
) -> str | None:
    if result.is_partial:
        raise DamagedFileError("The listing is incomplete.")
    source.progress.phase(f"ids of {listing.entity}s", total=result.objects)
    parameters = {
        "tenant_id": source.tenant_id,
        "resource": listing.resource,
        "entity": listing.entity,
        "before": result.began_at - _MARGIN,
        "noted_at": result.noted_at,
        "visible_from": None if has_all_orders else result.began_at - _SURELY_LISTED,
    }
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        _copy_listing(conn, source, listing, result)
        found = _run(conn, listing.find_missing, parameters)
        refusal = None if believes else _refusal(listing, **found)
        if refusal is None:
            _run(conn, query("shopify.record_missing"), parameters)
        _run(conn, listing.record_differing, parameters)
        conn.execute(query("shopify.delete_bulk_operation"), parameters)
    return refusal


def _run(conn: Connection, statement: sql.SQL, parameters: dict[str, Any]) -> dict[str, Any]:
    return one(conn.execute(statement, parameters).fetchone())


def _refusal(listing: _Listing, missing: int, compared: int) -> str | None:
    if missing <= max(_FEW, _SHARE * compared):
        return None
    return (
        f"The shop lists {compared - missing:,} of {compared:,} {listing.entity}s that have landed:"
        f" so few that none was marked as deleted."
    )


def _copy_listing(conn: Connection, source: Source, listing: _Listing, result: Result) -> None:
    conn.execute(query("shopify.create_listed"))
    listed = 0
    for rows in _listed_rows(listing, result):
        with conn.cursor().copy(query("shopify.copy_listed")) as copy:
            copy.write("".join(rows))
        listed += len(rows)
        source.progress.advance(len(rows))
    if listed != result.objects:
        raise DamagedFileError(f"A listing of {result.objects} ids came with {listed}.")


def _listed_rows(listing: _Listing, result: Result) -> Iterator[list[str]]:
    if result.url is None:
        return
    for block in read_blocks(result.url, result.size):
        try:
            nodes = (read_json(text) for text in block.decode().split("\n") if text)
            yield [as_copied(listing.parse(node)) for node in nodes]
        except UNREADABLE:
            raise DamagedFileError("A line of a listing cannot be read.") from None
