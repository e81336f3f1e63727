"""Import orders from a CSV file: older ones than the API shows, or of a shop without a connection.

The file has the columns below, or it is Shopify's own export (``orders_export.py``); its header
decides. The lines are streamed into temporary tables and loaded from there in one transaction, so a
killed import has loaded nothing. Importing the file again writes nothing.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TextIO
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
from service.shopify.csv_file import CsvFile
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


def open_orders(path: Path) -> TextIO:
    """Open a CSV file in UTF-8, or in UTF-16 with a byte order mark, as spreadsheets write it."""
    with path.open("rb") as file:
        start = file.read(2)
    is_utf16 = start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    # The import reports bytes that cannot be decoded, with their line.
    encoding = "utf-16" if is_utf16 else "utf-8-sig"
    return path.open(encoding=encoding, errors="surrogateescape", newline="")


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
            that are not UTF-8 reject their line only, and only in a column that counts.
        progress: Gets the lines read, and the counters orders, rejected and written.

    Raises:
        InvalidInputError: The file has no header, the header lacks a required column, the file is
            another of Shopify's exports, or it holds bytes that are not UTF-8 and was opened with
            ``errors="strict"``.
    """
    csv_file = CsvFile(_decoded(file), _is_known)
    header = csv_file.header
    _check_header(header)
    is_export = orders_export.is_export(header)
    progress.phase("orders")
    with tenant_transaction(pool, tenant_id) as conn:
        create_incoming(conn, ORDERS)
        readable = _read(conn, tenant_id, csv_file, progress)
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


def _read(conn: Connection, tenant_id: UUID, file: CsvFile, progress: Progress) -> int:
    """Fill the temporary tables of incoming rows, and return the number of readable orders."""
    row = one(conn.execute(query("shopify.find_currency"), {"tenant_id": tenant_id}).fetchone())
    currency = row["currency"] or _USUAL_CURRENCY
    is_export = orders_export.is_export(file.header)
    records = _records(file)
    if is_export:
        conn.execute(query("shopify.create_export_rows"))
    parse = orders_export.parse_order if is_export else _parse
    readable = 0
    order_currency = currency
    look = orders_export.Look(file.header) if is_export else None
    while chunk := list(islice(records, _RECORDS_AT_ONCE)):
        orders: list[str] = []
        items: list[str] = []
        rejections: list[str] = []
        for line, record, fault in chunk:
            try:
                _refuse(fault)
                has_order = not is_export or orders_export.is_first_row(record)
                order = parse(record, currency) if has_order else {}
                if look is not None:
                    look.take(record)
                    # Further items do not repeat the currency of their order's first row.
                    order_currency = order.get("currency", order_currency)
                    item = orders_export.parse_item(record, order_currency)
                    items.append(as_copied((line, *item.values())))
            except ValueError as error:
                rejections.append(_rejection(line, record, str(error)))
            else:
                orders += [as_copied((line, *order.values()))] if order else []
        readable += len(orders)
        copy_rows(conn, ORDERS.copy, orders)
        copy_rows(conn, query("shopify.copy_export_rows"), items)
        copy_rows(conn, query("shopify.copy_incoming_rejections"), rejections)
        progress.advance(len(chunk))
    if look is not None:
        look.refuse_other_exports()
    return readable


def _decoded(file: TextIO) -> Iterator[str]:
    try:
        yield from file
    except UnicodeDecodeError:
        raise InvalidInputError(
            "The file is not text in UTF-8 or UTF-16.", advice="Save it as CSV UTF-8."
        ) from None


def _is_known(header: Sequence[str]) -> bool:
    return orders_export.is_export(header) or {*REQUIRED_COLUMNS}.issubset(header)


def _check_header(header: list[str]) -> None:
    if not any(header):
        raise InvalidInputError("The file does not begin with a header line of column names.")
    required: tuple[str, ...] = REQUIRED_COLUMNS
    if orders_export.is_export(header):
        required = orders_export.REQUIRED_COLUMNS
    else:
        orders_export.refuse_other_exports(header)
    missing = [name for name in required if name not in header]
    if missing:
        raise InvalidInputError(
            f"The file's header lacks {' and '.join(missing)}.",
            advice=f"It needs the columns {', '.join(required)}, separated by commas,"
            " semicolons or tabs.",
        )
    for name in _read_columns(header):
        if header.count(name) > 1:
            raise InvalidInputError(f"The file's header has {name} more than once.")


def _read_columns(header: Sequence[str]) -> tuple[str, ...]:
    """The columns whose cells count, of a file with this header."""
    if orders_export.is_export(header):
        return orders_export.READ_COLUMNS
    return (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS)


def _records(file: CsvFile) -> Iterator[tuple[int, Record, str | None]]:
    """Every record with the line it begins on, and why it cannot be read, if so."""
    is_export = orders_export.is_export(file.header)
    required = orders_export.ITEM_COLUMNS if is_export else REQUIRED_COLUMNS
    read = set(_read_columns(file.header))
    for line, cells, fault in file.records(required):
        record = {name: cell.strip() for name, cell in zip(file.header, cells, strict=False)}
        yield line, record, fault or _find_fault(record, read)


def _refuse(fault: str | None) -> None:
    if fault is not None:
        raise ValueError(fault)


def _find_fault(record: Record, read: set[str]) -> str | None:
    """What is wrong with a cell that counts; the others may hold anything."""
    for name, cell in record.items():
        if name in read and _SURROGATE.search(cell):
            return f"{name} is not UTF-8: save the file as CSV UTF-8"
        if name in read and "\0" in cell:
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
