"""Load a shop's history by bulk operations: a file is loaded while it is downloaded.

Lines of the file are parsed by the same functions as pages. An order and its lines come separately
and in any order, but a line is nearly always near its order. So the file is copied into temporary
tables in blocks, and a block is loaded once its neighbours have been copied. Orders with a line
farther away are loaded again at the end, with all their lines. One transaction loads the whole file
and advances the watermark.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache, partial
from typing import Any
from uuid import UUID

from service.core.db import Connection, one, tenant_transaction
from service.core.http import read_json
from service.core.queries import query
from service.queue.progress import Progress
from service.shopify.bulk import BulkJob, Result, run_bulk
from service.shopify.copying import as_copied, as_json, copy_rows
from service.shopify.jsonl import DamagedFileError, prefetched, read_blocks
from service.shopify.loading import (
    ALL,
    Span,
    advance_watermark,
    create_incoming,
    finish_incoming,
    load_incoming,
)
from service.shopify.parse import UNREADABLE, parse_line_alone, reason_of, source_id_of
from service.shopify.resources import ORDERS, Resource
from service.shopify.source import Source

# If more of a block's orders than this share have lines far away, the whole file waits for its end.
_SCATTERED = 0.1
# A line of an order as Shopify writes it, slashes escaped: the query selects its id first, and
# Shopify puts the order's id last. Any other line is parsed as JSON as a whole.
_USUAL_LINE = re.compile(
    r'\{"id":"gid:\\/\\/shopify\\/LineItem\\/([0-9]{1,18})",'
    r'(.*),"__parentId":"gid:\\/\\/shopify\\/Order\\/([0-9]+)"\}'
)
_ANY_LINE = '{{"id":"gid://shopify/LineItem/0",{},"__parentId":"gid://shopify/Order/0"}}'


@dataclass
class Batch:
    """A block of a file as rows in COPY's text format, with what could not be read.

    ``needs_sums`` says whether the subtotal of one of its orders is the sum of its lines.
    """

    number: int
    records: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    rejections: list[str] = field(default_factory=list)
    currencies: set[str] = field(default_factory=set)
    needs_sums: bool = False


def backfill(source: Source, resource: Resource, job: BulkJob, overlap: timedelta) -> bool:
    """Load what a shop has of a resource by bulk operations; False when none succeeds.

    What a failed operation has found is loaded only where nothing is stored yet, and the next one
    reads everything. The watermark is the moment before the operation began, by the shop's clock,
    less ``overlap``: the sync pages what changed from then on.

    Raises:
        ShopifyError: The shop cannot be read.
    """
    return run_bulk(source, job, partial(_load_result, source, resource, job, overlap))


def _load_result(
    source: Source, resource: Resource, job: BulkJob, overlap: timedelta, result: Result
) -> None:
    tenant_id = source.tenant_id
    with tenant_transaction(source.pool, tenant_id) as conn:
        counts = {"written": 0, "rejected": 0, resource.name: 0}
        if result.url is not None:
            blocks = read_blocks(result.url, result.size, own=source.client.address)
            counts = load_blocks(
                conn, tenant_id, resource, blocks, result, source.progress, source.client.withheld
            )
        if not result.is_partial:
            parameters = {"tenant_id": tenant_id, "resource": job.resource}
            conn.execute(query("shopify.delete_bulk_operation"), parameters)
            advance_watermark(
                conn,
                tenant_id,
                job.resource,
                result.began_at - overlap,
                scopes=source.client.scopes,
                is_complete=not source.client.withheld,
            )
    source.progress.count(**counts)


def load_blocks(
    conn: Connection,
    tenant_id: UUID,
    resource: Resource,
    blocks: Iterator[bytes],
    result: Result,
    progress: Progress,
    withheld: Collection[str] = (),
) -> dict[str, int]:
    """Load the blocks of a bulk operation's file; how much was read, rejected and written.

    ``withheld`` are fields that were left out of the query; what they would fill stays.

    Raises:
        DamagedFileError: A line is not JSON.
    """
    loader = _Loader(conn, tenant_id, resource, result, withheld)
    with prefetched(parsed(blocks, resource)) as batches:
        for batch in batches:
            loader.take(batch)
            progress.advance(len(batch.records) + len(batch.lines))
    return loader.finish()


class _Loader:
    """Loads one file, in one transaction."""

    def __init__(
        self,
        conn: Connection,
        tenant_id: UUID,
        resource: Resource,
        result: Result,
        withheld: Collection[str],
    ) -> None:
        self._withheld = withheld
        self._conn = conn
        self._tenant_id = tenant_id
        self._resource = resource
        self._has_lines = resource is ORDERS
        self._result = result
        self._copied = 0
        self._loaded = 0
        self._late = 0
        self._is_scattered = False
        self._currencies: set[str] = set()
        self._needs_sums = False
        self._counts = {resource.name: 0, "written": 0}
        create_incoming(conn, resource)
        if self._has_lines:
            conn.execute(query("shopify.create_bulk_late"))

    def take(self, batch: Batch) -> None:
        """Copy a block, and load the one before, whose neighbours have been copied now."""
        copy_rows(self._conn, self._resource.copy, batch.records)
        copy_rows(self._conn, query("shopify.copy_incoming_lines"), batch.lines)
        copy_rows(self._conn, query("shopify.copy_incoming_rejections"), batch.rejections)
        self._counts[self._resource.name] += len(batch.records)
        self._currencies |= batch.currencies
        self._needs_sums |= batch.needs_sums
        self._copied += 1
        if not self._has_lines:
            self._load(batch.number)
        elif self._copied > 1:
            self._load_block(batch.number - 1, len(batch.records))

    def finish(self) -> dict[str, int]:
        """Load what had to wait for the end, and quarantine what could not be read."""
        if self._has_lines and self._copied:
            self._load_block(self._copied - 1, 0)
            if self._late or self._is_scattered:
                parameters = {"first_waiting": self._loaded}
                self._conn.execute(query("shopify.gather_late_orders"), parameters)
                self._load(-1, ALL)
        rejected = finish_incoming(self._conn, self._tenant_id, self._resource)
        return {**self._counts, "rejected": rejected}

    def _load_block(self, block: int, orders: int) -> None:
        """Load a block of orders, unless the lines of this file are far from their orders."""
        recorded = self._conn.execute(query("shopify.record_late_orders"), {"block": block})
        late = one(recorded.fetchone())["late"]
        self._late += late
        self._is_scattered |= late > _SCATTERED * max(orders, 1)
        if not self._is_scattered:
            self._load(block, (block - 1, block + 1))
            self._loaded += 1

    def _load(self, block: int, lines: Span = ALL) -> None:
        """Load the records of a block, with lines in a range of blocks."""
        parameters = {"block": block, "first_line": lines[0], "last_line": lines[1]}
        if len(self._currencies) > 1:
            self._conn.execute(query("shopify.reject_bulk_orders"), parameters)
        if self._needs_sums:
            self._conn.execute(query("shopify.reject_large_orders"), parameters)
        self._counts["written"] += load_incoming(
            self._conn,
            self._tenant_id,
            self._resource,
            (block, block),
            lines,
            read_at=self._result.noted_at,
            is_partial=self._result.is_partial,
            withheld=self._withheld,
        )


def parsed(blocks: Iterator[bytes], resource: Resource) -> Iterator[Batch]:
    """Each block of lines as rows to copy.

    Raises:
        DamagedFileError: A line is not JSON.
    """
    for number, block in enumerate(blocks):
        batch = Batch(number)
        try:
            for text in block.decode().split("\n"):
                if text and not _take_usual_line(text, batch):
                    _take(read_json(text), resource, batch)
        except ValueError:
            raise DamagedFileError("A line of a bulk operation's file is not JSON.") from None
        yield batch


def _take_usual_line(text: str, batch: Batch) -> bool:
    """Add a line of an order in the usual form; False when it has another form or is unreadable."""
    match = _USUAL_LINE.fullmatch(text)
    if match is None:
        return False
    line_id, body, order_id = match.groups()
    try:
        currency, copied = _parse_body(body)
    except UNREADABLE:
        return False
    batch.currencies.add(currency)
    batch.lines.append(f"{batch.number}\t{order_id}\t{line_id}\t{copied}")
    return True


# A shop sells the same items again and again, so what is between a line's ids is mostly in this
# cache; parsing is the bottleneck of a backfill.
@lru_cache(maxsize=16_384)
def _parse_body(body: str) -> tuple[str, str]:
    """The currency of a line without its ids, and its other columns in COPY's text format."""
    row = parse_line_alone(read_json(_ANY_LINE.format(body)))
    return row["currency"], as_copied((row["currency"], row["total_minor"], row["item"]))


def _take(node: Any, resource: Resource, batch: Batch) -> None:
    try:
        if "__parentId" in node:
            row = parse_line_alone(node)
            batch.lines.append(f"{batch.number}\t{as_copied(row.values())}")
        else:
            row = resource.parse_bulk(node)
            batch.records.append(f"{batch.number}\t{as_copied(row.values())}")
            batch.needs_sums |= resource is ORDERS and row["subtotal_minor"] is None
        if "currency" in row:
            batch.currencies.add(row["currency"])
    except UNREADABLE as error:
        batch.rejections.append(_rejection(node, resource, error))


def _rejection(node: Any, resource: Resource, error: Exception) -> str:
    """A record of the rejections; an unreadable line rejects its order."""
    payload = node
    if isinstance(node, dict) and "__parentId" in node:
        payload = {"id": node["__parentId"], "lineItems": [node]}
    values = (0, resource.entity, source_id_of(payload), reason_of(error), as_json(payload))
    return as_copied(values)
