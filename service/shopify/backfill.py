"""A shop's history in bulk: a file of a million orders, landed while it is being downloaded.

Each line is parsed by the same functions as a page's. Orders and their lines come apart and in any
order; nearly always a line is near its order. So blocks of the file are copied as they come, and a
block is landed once its neighbours have been copied. Orders with a line farther away are landed
again, with all their lines, at the end. All of it is one transaction, together with the watermark.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

import structlog
from psycopg import sql

from service.core.db import Connection, one, tenant_transaction
from service.core.http import TransientError, read_json
from service.core.queries import query
from service.queue.progress import Progress
from service.shopify.bulk import BulkJob, Result, consume, next_result
from service.shopify.client import ShopifyUnavailableError
from service.shopify.erased import delete_erased_rejections, redact_erased
from service.shopify.jsonl import DamagedFileError, FileGoneError, prefetched, read_blocks
from service.shopify.loading import advance_watermark
from service.shopify.parse import (
    UNREADABLE,
    Node,
    Row,
    parse_customer,
    parse_line_alone,
    parse_order_alone,
    reason_of,
    source_id_of,
)
from service.shopify.segments import Source

log = structlog.get_logger(__name__)

_LAST_BLOCK = 2**31 - 1
# With more lines than this share of its orders astray, a block says that the file has no order.
_SCATTERED = 0.1
# How COPY is told of a null, so that the usual one's backslash does not make every row special.
_NULL = "\N{SYMBOL FOR NULL}"
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
# A line of an order as Shopify writes it, slashes escaped: our query asks for its id first, and
# whose it is comes last. What does not look like this is parsed the long way.
_USUAL_LINE = re.compile(
    r'\{"id":"gid:\\/\\/shopify\\/LineItem\\/([0-9]+)",'
    r'(.*),"__parentId":"gid:\\/\\/shopify\\/Order\\/([0-9]+)"\}'
)
_ANY_LINE = '{{"id":"gid://shopify/LineItem/0",{},"__parentId":"gid://shopify/Order/0"}}'
_QUOTED = re.compile(r'(["\\])')


@dataclass(frozen=True)
class BulkResource:
    """Something read in bulk: its query, its names, and how a line of it becomes a row.

    The row's values are the columns of the temporary table ``bulk_<plural>``, in their order.
    """

    document: str
    entity: str
    plural: str
    parse: Callable[[Node], Row]
    create: sql.SQL
    copy: sql.SQL
    load: sql.SQL
    clear_rejections: sql.SQL


CUSTOMERS = BulkResource(
    "bulk_customers",
    "customer",
    "customers",
    parse_customer,
    create=query("shopify.create_bulk_customers"),
    copy=query("shopify.copy_bulk_customers"),
    load=query("shopify.load_bulk_customers"),
    clear_rejections=query("shopify.clear_bulk_customer_rejections"),
)
ORDERS = BulkResource(
    "bulk_orders",
    "order",
    "orders",
    parse_order_alone,
    create=query("shopify.create_bulk_orders"),
    copy=query("shopify.copy_bulk_orders"),
    load=query("shopify.load_bulk_orders"),
    clear_rejections=query("shopify.clear_bulk_order_rejections"),
)


@dataclass
class Batch:
    """A block of a file as rows in COPY's text format, with what could not be read."""

    number: int
    records: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    rejections: list[str] = field(default_factory=list)
    currencies: set[str] = field(default_factory=set)


def backfill(
    source: Source, resource: BulkResource, watermark: str, job: BulkJob, overlap: timedelta
) -> bool:
    """Land what a shop has of a resource by bulk operations; False when they do not get on.

    What a failed operation has left is landed where nothing has been landed yet, and the next one
    is asked for all. The watermark is the moment before the operation began, by the shop's clock,
    less ``overlap``: what changes from then on is for the sync to page.

    Raises:
        ShopifyError: The shop cannot be read.
    """
    while True:
        source.progress.phase(f"{resource.plural}: waiting for Shopify")
        result = next_result(source, job)
        if result is None:
            return False
        source.progress.phase(resource.plural, total=result.objects)
        try:
            _load_result(source, resource, result, watermark, job.resource, overlap)
        except (FileGoneError, DamagedFileError) as error:
            log.warning("a bulk operation's file is of no use", reason=error.message)
            consume(source, job.resource)
            continue
        except TransientError as error:
            raise ShopifyUnavailableError(f"Shopify keeps failing: {error}.") from None
        if not result.is_partial:
            return True
        consume(source, job.resource)


def _load_result(
    source: Source,
    resource: BulkResource,
    result: Result,
    watermark: str,
    noted_as: str,
    overlap: timedelta,
) -> None:
    tenant_id, progress = source.tenant_id, source.progress
    with tenant_transaction(source.pool, tenant_id) as conn:
        counts = {"written": 0, "rejected": 0, resource.plural: 0}
        if result.url is not None:
            blocks = read_blocks(result.url, result.size)
            counts = load_blocks(conn, tenant_id, resource, blocks, result, progress)
        if not result.is_partial:
            parameters = {"tenant_id": tenant_id, "resource": noted_as}
            conn.execute(query("shopify.delete_bulk_operation"), parameters)
            advance_watermark(conn, tenant_id, watermark, result.began_at - overlap)
    progress.count(**counts)


def load_blocks(
    conn: Connection,
    tenant_id: UUID,
    resource: BulkResource,
    blocks: Iterator[bytes],
    result: Result,
    progress: Progress,
) -> dict[str, int]:
    """Land the blocks of a bulk operation's file and return what was read, rejected and written.

    Raises:
        DamagedFileError: A line is no JSON.
    """
    landing = _Loader(conn, tenant_id, resource, result)
    with prefetched(parsed(blocks, resource)) as batches:
        for batch in batches:
            landing.take(batch)
            progress.advance(len(batch.records) + len(batch.lines))
    return landing.finish()


class _Loader:
    """One file on its way into the tables, in one transaction."""

    def __init__(
        self, conn: Connection, tenant_id: UUID, resource: BulkResource, result: Result
    ) -> None:
        self._conn = conn
        self._tenant_id = tenant_id
        self._resource = resource
        self._has_lines = resource is ORDERS
        self._parameters = {
            "tenant_id": tenant_id,
            "entity": resource.entity,
            "is_partial": result.is_partial,
            "noted_at": result.noted_at,
        }
        self._copied = 0
        self._landed = 0
        self._late = 0
        self._is_scattered = False
        self._currencies: set[str] = set()
        self._counts = {resource.plural: 0, "written": 0}
        # Without parameters, so that one call may create several tables.
        conn.execute(resource.create)
        conn.execute(query("shopify.create_bulk_rejections"))

    def take(self, batch: Batch) -> None:
        """Copy a block, and land the one before, whose neighbours are here now."""
        self._copy(self._resource.copy, batch.records)
        self._copy(query("shopify.copy_bulk_lines"), batch.lines)
        self._copy(query("shopify.copy_bulk_rejections"), batch.rejections)
        self._counts[self._resource.plural] += len(batch.records)
        self._currencies |= batch.currencies
        self._copied += 1
        if not self._has_lines:
            self._load(self._landed, self._landed)
        elif self._copied > 1:
            self._settle(batch.number - 1, len(batch.records))

    def finish(self) -> dict[str, int]:
        """Land what has been waiting for the end, and set aside what could not be read."""
        if self._has_lines and self._copied:
            self._settle(self._copied - 1, 0)
            if self._late or self._is_scattered:
                self._run(query("shopify.gather_late_orders"), first_waiting=self._landed)
                self._load(-1, -1, every_line=True)
        aside = self._run_one(query("shopify.quarantine_bulk_rejections"))
        self._run(self._resource.clear_rejections)
        redact_erased(self._conn, self._tenant_id)
        delete_erased_rejections(self._conn, self._tenant_id)
        return {**self._counts, "rejected": aside["rejected"]}

    def _settle(self, block: int, orders: int) -> None:
        """Land a block of orders, unless the lines of this file are all over the place."""
        late = self._run_one(query("shopify.record_late_orders"), block=block)["late"]
        self._late += late
        self._is_scattered |= late > _SCATTERED * max(orders, 1)
        if not self._is_scattered:
            self._load(block, block)

    def _load(self, first: int, last: int, *, every_line: bool = False) -> None:
        reach = {
            "first_block": first,
            "last_block": last,
            "first_line_block": 0 if every_line else first - 1,
            "last_line_block": _LAST_BLOCK if every_line else last + 1,
        }
        if len(self._currencies) > 1:
            self._run(query("shopify.reject_bulk_orders"), **reach)
        written = self._run_one(self._resource.load, **reach)["written"]
        self._counts["written"] += written
        self._landed += 1

    def _copy(self, statement: sql.SQL, rows: list[str]) -> None:
        if rows:
            with self._conn.cursor().copy(statement) as copy:
                copy.write("".join(rows))

    def _run(self, statement: sql.SQL, **parameters: Any) -> None:
        self._conn.execute(statement, {**self._parameters, **parameters})

    def _run_one(self, statement: sql.SQL, **parameters: Any) -> dict[str, Any]:
        given = {**self._parameters, **parameters}
        return one(self._conn.execute(statement, given).fetchone())


def parsed(blocks: Iterator[bytes], resource: BulkResource) -> Iterator[Batch]:
    """Each block of lines as rows to copy.

    Raises:
        DamagedFileError: A line is no JSON.
    """
    for number, block in enumerate(blocks):
        batch = Batch(number)
        try:
            for text in block.decode().split("\n"):
                if text and not _take_usual_line(text, batch):
                    _take(read_json(text), resource, batch)
        except ValueError:
            raise DamagedFileError("A line of a bulk operation's file is no JSON.") from None
        yield batch


def _take_usual_line(text: str, batch: Batch) -> bool:
    """Take a line of an order that looks like all; False when this is none, or unreadable."""
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


# A shop sells the same things again and again: what is between the ids of a line has nearly always
# been parsed before, and parsing is what a backfill waits for.
@lru_cache(maxsize=16_384)
def _parse_body(body: str) -> tuple[str, str]:
    """The currency of a line without its ids, and its last columns in COPY's text format."""
    row = parse_line_alone(read_json(_ANY_LINE.format(body)))
    return row["currency"], as_copied((row["currency"], row["total_minor"], _as_json(row["item"])))


def _take(node: Any, resource: BulkResource, batch: Batch) -> None:
    try:
        if "__parentId" in node:
            row = parse_line_alone(node)
            row["item"] = _as_json(row["item"])
            batch.lines.append(f"{batch.number}\t{as_copied(row.values())}")
        else:
            row = resource.parse(node)
            batch.records.append(f"{batch.number}\t{as_copied(row.values())}")
        if "currency" in row:
            batch.currencies.add(row["currency"])
    except UNREADABLE as error:
        batch.rejections.append(_rejection(node, error))


def _rejection(node: Any, error: Exception) -> str:
    """An order cannot be read when one of its lines cannot."""
    payload = node
    if isinstance(node, dict) and "__parentId" in node:
        payload = {"id": node["__parentId"], "lineItems": [node]}
    return as_copied((source_id_of(payload), reason_of(error), _as_json(payload)))


def as_copied(values: Iterable[Any]) -> str:
    """A row in COPY's text format, with ``NULL`` for null."""
    given = tuple(values)
    texts = [
        value if value.__class__ is str else _NULL if value is None else _as_text(value)
        for value in given
    ]
    plain = "".join(texts)
    # What no value may hold as it is. Nearly none does, and looking at all of them at once costs a
    # fraction of looking at each.
    if "\\" in plain or not plain.isprintable() or plain.count(_NULL) != given.count(None):
        texts = [_NULL if value is None else _escaped(_as_text(value)) for value in given]
    return "\t".join(texts) + "\n"


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, list):
        return "{" + ",".join('"' + _QUOTED.sub(r"\\\1", each) + '"' for each in value) + "}"
    return str(value)


def _escaped(value: str) -> str:
    return "\\" + value if value == _NULL else value.translate(_ESCAPES)


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
