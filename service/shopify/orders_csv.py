"""Orders from a CSV file, for history the API does not give and shops that are not connected.

The file has the columns below, or is Shopify's own export (``orders_export.py``); its header tells.
It is streamed into a temporary table, good and bad lines alike, and lands from there in one
transaction: all of its readable orders or, if the import is killed, none. Importing it again writes
nothing.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TextIO
from uuid import UUID

from psycopg.types.json import Jsonb

from service.core.db import Connection, Pool, one, tenant_transaction
from service.core.errors import InvalidInputError
from service.core.queries import query
from service.queue.progress import Progress
from service.shopify import orders_export
from service.shopify.csv_cells import LONGEST_ID, amount, identifier, instant, truth
from service.shopify.erased import delete_erased_rejections, redact_erased
from service.shopify.money import exponent_of

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
# How many rejections a report lists; all of them are counted and kept in the database.
REPORTED_REJECTIONS = 1000

_USUAL_CURRENCY = "USD"
_PROGRESS_LINES = 1000
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")

# In the order of the statement copy_csv_orders.
_TYPES = {
    "line_number": "int8",
    "order_id": "text",
    "order_number": "text",
    "customer_id": "text",
    "customer_email": "text",
    "customer_name": "text",
    "processed_at": "timestamptz",
    "cancelled_at": "timestamptz",
    "is_test": "bool",
    "currency": "text",
    "total_minor": "int8",
    "subtotal_minor": "int8",
    "refunded_minor": "int8",
    "financial_status": "text",
    "fulfillment_status": "text",
    "channel": "text",
    "tags": "text[]",
    "note": "text",
    "first_fulfilled_at": "timestamptz",
    "updated_at": "timestamptz",
    "line_item": "jsonb",
    "is_further_item": "bool",
    "reason": "text",
    "payload": "jsonb",
}

_COLUMNS_AFTER_LINE = tuple(_TYPES)[1:]

Record = dict[str, str]
Values = Mapping[str, object]


@dataclass(frozen=True)
class ImportReport:
    """What became of a file's lines: every one that holds an order is in exactly one of these.

    Attributes:
        landed: Orders inserted or changed.
        unchanged: Lines that changed nothing: already landed, repeated further down the file, or
            older than what is there.
        rejected: Line number and reason of the first thousand lines that could not be read.
        rejected_count: How many lines that were in all.
        ignored_columns: Columns of the file that mean nothing here; not told of Shopify's export.
        is_export: Whether the file is Shopify's own export.
    """

    landed: int = 0
    unchanged: int = 0
    rejected: list[tuple[int, str]] = field(default_factory=list)
    rejected_count: int = 0
    ignored_columns: tuple[str, ...] = ()
    is_export: bool = False

    @property
    def is_useless(self) -> bool:
        """Whether the file had nothing but lines that could not be read."""
        return bool(self.rejected_count and not self.landed and not self.unchanged)


def import_orders(pool: Pool, tenant_id: UUID, file: TextIO, progress: Progress) -> ImportReport:
    """Land the orders of a CSV file with a header.

    Times without an offset are UTC. Without a currency an order is in the tenant's, else in US
    dollars; without a subtotal its goods cost its total; without a customer it is a guest's. An
    order that the API has landed is only replaced by a line with a later ``updated_at``. Of an
    order that the file has twice, the last line counts.

    Shopify's export has no customers' ids: an order is the landed customer's whose address it
    carries, else that of an id made of the address, until a customer with the address is landed.

    Args:
        pool: The service's pool.
        tenant_id: Whose orders.
        file: Text opened with ``newline=""``, and with ``errors="surrogateescape"`` so that a line
            which is not UTF-8 is that line's problem only.
        progress: Told the lines read, and the counters orders, rejected and written.

    Raises:
        InvalidInputError: The file has no header, or the header lacks a required column, or the
            file was opened to refuse what is not UTF-8 and holds such bytes.
    """
    reader = csv.reader(file)
    header = _read_header(reader)
    is_export = orders_export.is_export(header)
    progress.phase("orders")
    with tenant_transaction(pool, tenant_id) as conn:
        conn.execute(query("shopify.create_csv_orders"))
        rejected = _copy(conn, tenant_id, reader, header, progress)
        if is_export:
            _gather(conn, tenant_id, rejected)
        outcome = one(
            conn.execute(query("shopify.load_csv_orders"), {"tenant_id": tenant_id}).fetchone()
        )
        conn.execute(query("shopify.reject_csv_lines"), {"tenant_id": tenant_id})
        redact_erased(conn, tenant_id)
        delete_erased_rejections(conn, tenant_id)
    landed, readable = int(outcome["landed"]), int(outcome["readable"])
    progress.count(orders=readable, rejected=rejected.count, written=landed)
    known = {*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS}
    return ImportReport(
        landed=landed,
        unchanged=readable - landed,
        rejected=rejected.first,
        rejected_count=rejected.count,
        ignored_columns=() if is_export else tuple(n for n in header if n not in known),
        is_export=is_export,
    )


@dataclass
class _Rejected:
    count: int = 0
    first: list[tuple[int, str]] = field(default_factory=list)

    def add(self, line: int, reason: str) -> None:
        self.count += 1
        if self.count <= REPORTED_REJECTIONS:
            self.first.append((line, reason))


@dataclass(frozen=True)
class _Line:
    """One record of the file, at the line it begins on; ``fault`` when it is not even a record."""

    number: int
    cells: Sequence[str]
    fault: str | None = None


def _copy(
    conn: Connection,
    tenant_id: UUID,
    reader: Any,
    header: Sequence[str],
    progress: Progress,
) -> _Rejected:
    row = one(conn.execute(query("shopify.find_currency"), {"tenant_id": tenant_id}).fetchone())
    currency = row["currency"] or _USUAL_CURRENCY
    is_export = orders_export.is_export(header)
    parse = _parse_export if is_export else _parse
    rejected = _Rejected()
    lines = _lines(reader)
    with conn.cursor().copy(query("shopify.copy_csv_orders")) as copy:
        copy.set_types(list(_TYPES.values()))
        while chunk := list(islice(lines, _PROGRESS_LINES)):
            for line in chunk:
                record = _record(header, line)
                try:
                    _check_text(header, line)
                    values = parse(record, currency)
                    if is_export:
                        # Further items do not repeat the currency of their order's first row.
                        currency = str(values.get("currency", currency))
                except ValueError as error:
                    rejected.add(line.number, str(error))
                    values = _rejection(record, str(error))
                copy.write_row([line.number, *(values.get(name) for name in _COLUMNS_AFTER_LINE)])
            progress.advance(len(chunk))
    return rejected


def _gather(conn: Connection, tenant_id: UUID, rejected: _Rejected) -> None:
    """Bring the rows of an export together as orders; rows without an order are rejected."""
    conn.execute(query("shopify.analyze_csv_orders"))
    conn.execute(query("shopify.gather_export_rows"))
    conn.execute(query("shopify.find_export_customers"), {"tenant_id": tenant_id})
    orphans = conn.execute(query("shopify.reject_orphaned_rows")).fetchall()
    if orphans:
        listed = rejected.first + [(row["line_number"], row["reason"]) for row in orphans]
        rejected.first = sorted(listed)[:REPORTED_REJECTIONS]
        rejected.count += orphans[0]["orphans"]


def _read_header(reader: Any) -> list[str]:
    try:
        cells: list[str] = next(reader, [])
    except csv.Error:
        cells = []
    except UnicodeDecodeError:
        raise _not_utf8() from None
    # A byte order mark is part of the first name when the caller has not taken it off.
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


def _lines(reader: Any) -> Iterator[_Line]:
    """Every record; an unreadable one is a fault at its line, and reading goes on after it."""
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield _Line(number, (), f"this is not CSV: {error}")
        except UnicodeDecodeError:
            # Only of a file that was opened to refuse such bytes, and then nothing tells the line.
            raise _not_utf8() from None
        else:
            if cells:
                yield _Line(number, cells)


def _record(header: Sequence[str], line: _Line) -> Record:
    return {name: cell.strip() for name, cell in zip(header, line.cells, strict=False)}


def _parse(record: Record, usual_currency: str) -> Values:
    """The columns of the statement copy_csv_orders after the line number.

    Raises:
        ValueError: The line cannot be an order; the message says why.
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
        "cancelled_at": instant(record, "cancelled_at") if record.get("cancelled_at") else None,
        "is_test": truth(record, "test"),
        "currency": currency,
        "total_minor": total,
        "subtotal_minor": amount(record, "subtotal", currency) if record.get("subtotal") else total,
        "refunded_minor": amount(record, "refunded", currency) if record.get("refunded") else 0,
        "financial_status": record.get("financial_status", "").upper() or None,
        "fulfillment_status": record.get("fulfillment_status", "").upper() or None,
        "channel": record.get("channel") or None,
        "tags": [tag for cell in record.get("tags", "").split(";") if (tag := cell.strip())],
        "updated_at": instant(record, "updated_at") if record.get("updated_at") else None,
    }


def _parse_export(record: Record, usual_currency: str) -> Values:
    if orders_export.is_first_row(record):
        return orders_export.parse_order(record, usual_currency)
    return orders_export.parse_item(record, usual_currency)


def _rejection(record: Record, reason: str) -> Values:
    order_id = record.get("order_id") or record.get("id") or ""
    return {
        "order_id": _storable(order_id)[:LONGEST_ID] or None,
        "reason": reason,
        "payload": Jsonb({_storable(name): _storable(cell) for name, cell in record.items()}),
    }


def _check_text(header: Sequence[str], line: _Line) -> None:
    if line.fault:
        raise ValueError(line.fault)
    if len(line.cells) != len(header):
        raise ValueError(f"it has {len(line.cells)} fields, the header {len(header)}")
    for name, cell in zip(header, line.cells, strict=True):
        if _HALF_CHARACTER.search(cell):
            raise ValueError(f"{name} is not UTF-8")
        if "\0" in cell:
            raise ValueError(f"{name} holds a NUL character")


def _storable(text: str) -> str:
    return _HALF_CHARACTER.sub("\ufffd", text).replace("\0", "")


def _not_utf8() -> InvalidInputError:
    return InvalidInputError("The file is not UTF-8 text.", advice="Save it as CSV UTF-8.")
