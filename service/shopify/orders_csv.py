"""Import orders from a CSV file: older ones than the API shows, or of a shop without a connection.

The file has the columns below, or it is Shopify's own export (``orders_export.py``); its header
decides. The lines are streamed into temporary tables and loaded from there in one transaction, so a
killed import has loaded nothing. Importing the file again writes nothing.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TextIO
from uuid import UUID

from service.core.db import Connection, Pool, one, tenant_transaction
from service.core.errors import InvalidInputError
from service.core.queries import query
from service.queue.progress import Progress
from service.shopify import orders_export
from service.shopify.copying import as_copied, copy_rows
from service.shopify.csv_cells import (
    LONGEST_ID,
    amount,
    boolean,
    identifier,
    instant,
    instant_or_none,
)
from service.shopify.loading import create_incoming, finish_incoming, load_incoming
from service.shopify.money import exponent_of
from service.shopify.parse import Row
from service.shopify.resources import ORDERS

REQUIRED_COLUMNS = ("order_id", "customer_id", "processed_at", "total")
OPTIONAL_COLUMNS = (
    "customer_email",
    "customer_name",
    "order_number",
    "subtotal",
    "refunded",
    "currency",
    "financial_status",
    "fulfillment_status",
    "channel",
    "tags",
    "cancelled_at",
    "test",
    "updated_at",
)
# How many rejections a report lists; all are counted and kept in the database.
REPORTED_REJECTIONS = 1000

_USUAL_CURRENCY = "USD"
_RECORDS_AT_ONCE = 1000
_SURROGATE = re.compile("[\ud800-\udfff]")

Record = dict[str, str]


@dataclass(frozen=True)
class ImportReport:
    """The outcome of an import; every line with an order is counted exactly once.

    Attributes:
        loaded: Orders inserted or changed.
        unchanged: Lines that changed nothing: already loaded, repeated further down the file, or
            older than the stored order.
        rejected: Line number and reason of the first thousand lines that could not be read.
        rejected_count: The number of all of them.
        ignored_columns: Unknown columns of the file; always empty for Shopify's export.
        is_export: Whether the file is Shopify's own export.
    """

    loaded: int = 0
    unchanged: int = 0
    rejected: list[tuple[int, str]] = field(default_factory=list)
    rejected_count: int = 0
    ignored_columns: tuple[str, ...] = ()
    is_export: bool = False

    @property
    def is_useless(self) -> bool:
        """Whether no line of the file could be read."""
        return bool(self.rejected_count and not self.loaded and not self.unchanged)


def import_orders(pool: Pool, tenant_id: UUID, file: TextIO, progress: Progress) -> ImportReport:
    """Load the orders of a CSV file with a header.

    Times without an offset are UTC. The currency defaults to the tenant's, else to US dollars, and
    the subtotal to the total. An order without a customer is a guest's. A line replaces an order
    from the API only if its ``updated_at`` is later. If the file has an order twice, the last line
    counts.

    Shopify's export has no ids of customers. Its orders get the loaded customer with their e-mail
    address, else an id made of the address until such a customer is loaded.

    Args:
        pool: The service's pool.
        tenant_id: The tenant.
        file: Text opened with ``newline=""``, and with ``errors="surrogateescape"`` so that bytes
            that are not UTF-8 only reject their line.
        progress: Gets the lines read, and the counters orders, rejected and written.

    Raises:
        InvalidInputError: The file has no header, or the header lacks a required column, or the
            file holds bytes that are not UTF-8 and was opened with ``errors="strict"``.
    """
    reader = csv.reader(_decoded(file))
    header = _read_header(reader)
    is_export = orders_export.is_export(header)
    progress.phase("orders")
    with tenant_transaction(pool, tenant_id) as conn:
        create_incoming(conn, ORDERS)
        readable = _read(conn, tenant_id, reader, header, progress)
        if is_export:
            conn.execute(query("shopify.analyze_export"))
            conn.execute(query("shopify.gather_export_items"))
            conn.execute(query("shopify.find_export_customers"), {"tenant_id": tenant_id})
        loaded = load_incoming(conn, tenant_id, ORDERS, source="csv")
        parameters = {"most": REPORTED_REJECTIONS}
        rejected = conn.execute(query("shopify.list_rejected_lines"), parameters).fetchall()
        conn.execute(query("shopify.drop_superseded_rejections"))
        conn.execute(query("shopify.clear_line_rejections"), {"tenant_id": tenant_id})
        finish_incoming(conn, tenant_id, ORDERS)
    rejected_count = rejected[0]["rejected"] if rejected else 0
    progress.count(orders=readable, rejected=rejected_count, written=loaded)
    known = {*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS}
    return ImportReport(
        loaded=loaded,
        unchanged=readable - loaded,
        rejected=[(row["position"], row["reason"]) for row in rejected],
        rejected_count=rejected_count,
        ignored_columns=() if is_export else tuple(n for n in header if n not in known),
        is_export=is_export,
    )


def _read(
    conn: Connection, tenant_id: UUID, reader: Any, header: Sequence[str], progress: Progress
) -> int:
    """Fill the temporary tables of incoming rows, and return the number of readable orders."""
    row = one(conn.execute(query("shopify.find_currency"), {"tenant_id": tenant_id}).fetchone())
    currency = row["currency"] or _USUAL_CURRENCY
    is_export = orders_export.is_export(header)
    if is_export:
        conn.execute(query("shopify.create_export_rows"))
    parse = orders_export.parse_order if is_export else _parse
    readable = 0
    records = _records(reader, header)
    while chunk := list(islice(records, _RECORDS_AT_ONCE)):
        orders: list[str] = []
        items: list[str] = []
        rejections: list[str] = []
        for line, record, fault in chunk:
            try:
                _refuse(fault)
                has_order = not is_export or orders_export.is_first_row(record)
                order = parse(record, currency) if has_order else {}
                if is_export:
                    # Further items do not repeat the currency of their order's first row.
                    item = orders_export.parse_item(record, order.get("currency", currency))
                    items.append(as_copied((line, *item.values())))
                    currency = order.get("currency", currency)
            except ValueError as error:
                rejections.append(_rejection(line, record, str(error)))
            else:
                orders += [as_copied((line, *order.values()))] if order else []
        readable += len(orders)
        copy_rows(conn, ORDERS.copy, orders)
        copy_rows(conn, query("shopify.copy_export_rows"), items)
        copy_rows(conn, query("shopify.copy_incoming_rejections"), rejections)
        progress.advance(len(chunk))
    return readable


def _decoded(file: TextIO) -> Iterator[str]:
    try:
        yield from file
    except UnicodeDecodeError:
        raise InvalidInputError(
            "The file is not UTF-8 text.", advice="Save it as CSV UTF-8."
        ) from None


def _read_header(reader: Any) -> list[str]:
    try:
        cells: list[str] = next(reader, [])
    except csv.Error:
        cells = []
    # The first name begins with the byte order mark if the caller has not removed it.
    header = [cell.removeprefix("\ufeff").strip().strip('"').lower() for cell in cells]
    if not any(header):
        raise InvalidInputError("The file does not begin with a header line of column names.")
    required: tuple[str, ...] = REQUIRED_COLUMNS
    read: tuple[str, ...] = (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS)
    if orders_export.is_export(header):
        required, read = orders_export.REQUIRED_COLUMNS, orders_export.READ_COLUMNS
    else:
        orders_export.refuse_other_exports(header)
    missing = [name for name in required if name not in header]
    if missing:
        raise InvalidInputError(
            f"The file's header lacks {' and '.join(missing)}.",
            advice=f"It needs the columns {', '.join(required)}.",
        )
    for name in read:
        if header.count(name) > 1:
            raise InvalidInputError(f"The file's header has {name} more than once.")
    return header


def _records(reader: Any, header: Sequence[str]) -> Iterator[tuple[int, Record, str | None]]:
    """Every record with the line it begins on, and why it cannot be read, if so."""
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, {}, f"this is not CSV: {error}"
            continue
        if cells:
            record = {name: cell.strip() for name, cell in zip(header, cells, strict=False)}
            yield line, record, _find_fault(header, cells)


def _refuse(fault: str | None) -> None:
    if fault is not None:
        raise ValueError(fault)


def _find_fault(header: Sequence[str], cells: Sequence[str]) -> str | None:
    if len(cells) != len(header):
        return f"it has {len(cells)} fields, the header {len(header)}"
    for name, cell in zip(header, cells, strict=True):
        if _SURROGATE.search(cell):
            return f"{name} is not UTF-8"
        if "\0" in cell:
            return f"{name} holds a NUL character"
    return None


def _parse(record: Record, usual_currency: str) -> Row:
    """A row of the incoming orders, in the order of their columns.

    Raises:
        ValueError: The line cannot be read; the message says why.
    """
    currency = record.get("currency", "").upper() or usual_currency
    exponent_of(currency)
    total = amount(record, "total", currency)
    return {
        "order_id": identifier(record, "order_id"),
        "order_number": record.get("order_number") or None,
        "customer_id": identifier(record, "customer_id") if record["customer_id"] else None,
        "customer_email": record.get("customer_email") or None,
        "customer_name": record.get("customer_name") or None,
        "processed_at": instant(record, "processed_at"),
        "cancelled_at": instant_or_none(record, "cancelled_at"),
        "is_test": boolean(record, "test"),
        "currency": currency,
        "total_minor": total,
        "subtotal_minor": amount(record, "subtotal", currency, total),
        "refunded_minor": amount(record, "refunded", currency, 0),
        "financial_status": record.get("financial_status", "").upper() or None,
        "fulfillment_status": record.get("fulfillment_status", "").upper() or None,
        "channel": record.get("channel") or None,
        "tags": [tag for cell in record.get("tags", "").split(";") if (tag := cell.strip())],
        "note": None,
        "first_fulfilled_at": None,
        "delivered_at": None,
        "shopify_updated_at": instant_or_none(record, "updated_at"),
    }


def _rejection(line: int, record: Record, reason: str) -> str:
    order_id = _storable(record.get("order_id") or record.get("id") or "")[:LONGEST_ID]
    entity, source_id = ("order", order_id) if order_id else ("csv_line", str(line))
    payload = {_storable(name): _storable(cell) for name, cell in record.items()}
    return as_copied((line, entity, source_id, reason, payload))


def _storable(text: str) -> str:
    return _SURROGATE.sub("\ufffd", text).replace("\0", "")
