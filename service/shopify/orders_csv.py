"""Orders from a CSV file, for history the API does not give and shops that are not connected.

The file is streamed into a temporary table, good and bad lines alike, and lands from there in one
transaction: all of its readable orders or, if the import is killed, none. Importing it again writes
nothing.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TextIO
from uuid import UUID

from psycopg.types.json import Jsonb

from service.db import Connection, Pool, one, query, tenant_transaction
from service.errors import InvalidInputError
from service.jobs.progress import Progress
from service.privacy.erased import forget_erased, forget_erased_rejections
from service.shopify.money import exponent_of, to_minor

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

_LONGEST_ID = 255
_USUAL_CURRENCY = "USD"
_PROGRESS_LINES = 1000
_TRUTH = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), True),
    **dict.fromkeys(("", "false", "f", "no", "n", "0"), False),
}
_SPACE_BEFORE_OFFSET = re.compile(r"\s+(?=[+-]\d{2}:?\d{2}$|Z$)", re.IGNORECASE)
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")

# In the order of sql/copy_csv_orders.sql.
_TYPES = (
    "int8", "text", "text", "text", "text", "text", "timestamptz", "timestamptz", "bool", "text",
    "int8", "int8", "int8", "text", "text", "text", "text[]", "timestamptz", "text", "jsonb",
)  # fmt: skip

Record = dict[str, str]


@dataclass(frozen=True)
class ImportReport:
    """What became of a file's lines: every one that holds an order is in exactly one of these.

    Attributes:
        landed: Orders inserted or changed.
        unchanged: Lines that changed nothing: already landed, repeated further down the file, or
            older than what is there.
        rejected: Line number and reason of the first thousand lines that could not be read.
        rejected_count: How many lines that were in all.
        ignored_columns: Columns of the file that mean nothing here.
    """

    landed: int = 0
    unchanged: int = 0
    rejected: list[tuple[int, str]] = field(default_factory=list)
    rejected_count: int = 0
    ignored_columns: tuple[str, ...] = ()


def import_orders(pool: Pool, tenant_id: UUID, file: TextIO, progress: Progress) -> ImportReport:
    """Land the orders of a CSV file with a header.

    Times without an offset are UTC. Without a currency an order is in the tenant's, else in US
    dollars; without a subtotal its goods cost its total; without a customer it is a guest's. An
    order that the API has landed is only replaced by a line with a later ``updated_at``. Of an
    order that the file has twice, the last line counts.

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
    progress.phase("orders")
    with tenant_transaction(pool, tenant_id) as conn:
        conn.execute(query("shopify/sql/create_csv_orders"))
        rejected = _copy(conn, tenant_id, reader, header, progress)
        outcome = one(
            conn.execute(query("shopify/sql/land_csv_orders"), {"tenant_id": tenant_id}).fetchone()
        )
        conn.execute(query("shopify/sql/reject_csv_lines"), {"tenant_id": tenant_id})
        forget_erased(conn, tenant_id)
        forget_erased_rejections(conn, tenant_id)
    landed, readable = int(outcome["landed"]), int(outcome["readable"])
    progress.count(orders=readable, rejected=rejected.count, written=landed)
    known = {*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS}
    return ImportReport(
        landed=landed,
        unchanged=readable - landed,
        rejected=rejected.first,
        rejected_count=rejected.count,
        ignored_columns=tuple(name for name in header if name not in known),
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
    row = one(conn.execute(query("shopify/sql/find_currency"), {"tenant_id": tenant_id}).fetchone())
    currency = row["currency"] or _USUAL_CURRENCY
    rejected = _Rejected()
    lines = _lines(reader)
    with conn.cursor().copy(query("shopify/sql/copy_csv_orders")) as copy:
        copy.set_types(_TYPES)
        while chunk := list(islice(lines, _PROGRESS_LINES)):
            for line in chunk:
                record = _record(header, line)
                try:
                    copy.write_row((line.number, *_parse(header, line, record, currency)))
                except ValueError as error:
                    rejected.add(line.number, str(error))
                    copy.write_row(_rejection(line, record, str(error)))
            progress.advance(len(chunk))
    return rejected


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
    missing = [name for name in REQUIRED_COLUMNS if name not in header]
    if missing:
        raise InvalidInputError(
            f"The file's header lacks {' and '.join(missing)}.",
            advice=f"It needs the columns {', '.join(REQUIRED_COLUMNS)}.",
        )
    for name in (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS):
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


def _parse(
    header: Sequence[str], line: _Line, record: Mapping[str, str], usual_currency: str
) -> tuple[object, ...]:
    """The columns of sql/copy_csv_orders.sql after the line number.

    Raises:
        ValueError: The line cannot be an order; the message says why.
    """
    _check_text(header, line)
    currency = record.get("currency", "").upper() or usual_currency
    exponent_of(currency)
    total = _amount(record, "total", currency)
    return (
        _id(record, "order_id"),
        record.get("order_number") or None,
        _id(record, "customer_id") if record["customer_id"] else None,
        record.get("customer_email") or None,
        record.get("customer_name") or None,
        _instant(record, "processed_at"),
        _instant(record, "cancelled_at") if record.get("cancelled_at") else None,
        _truth(record, "test"),
        currency,
        total,
        _amount(record, "subtotal", currency) if record.get("subtotal") else total,
        _amount(record, "refunded", currency) if record.get("refunded") else 0,
        record.get("financial_status", "").upper() or None,
        record.get("fulfillment_status", "").upper() or None,
        record.get("channel") or None,
        [tag for cell in record.get("tags", "").split(";") if (tag := cell.strip())],
        _instant(record, "updated_at") if record.get("updated_at") else None,
        None,
        None,
    )


def _rejection(line: _Line, record: Mapping[str, str], reason: str) -> tuple[object, ...]:
    order_id = _storable(record.get("order_id", ""))[:_LONGEST_ID] or None
    payload = {_storable(name): _storable(cell) for name, cell in record.items()}
    nothing = (None,) * (len(_TYPES) - 4)
    return (line.number, order_id, *nothing, reason, Jsonb(payload))


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


def _id(record: Mapping[str, str], name: str) -> str:
    if not record[name]:
        raise ValueError(f"{name} is empty")
    if len(record[name]) > _LONGEST_ID:
        raise ValueError(f"{name} is longer than {_LONGEST_ID} characters")
    return record[name]


def _amount(record: Mapping[str, str], name: str, currency: str) -> int:
    if not record[name]:
        raise ValueError(f"{name} is empty")
    try:
        minor = to_minor(record[name], currency)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if minor < 0:
        raise ValueError(f"{name} is negative")
    return minor


def _instant(record: Mapping[str, str], name: str) -> datetime:
    """ISO 8601, a date or a time; without an offset it is UTC."""
    text = record[name]
    if not text:
        raise ValueError(f"{name} is empty")
    try:
        moment = datetime.fromisoformat(_SPACE_BEFORE_OFFSET.sub("", text))
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{name} '{text[:40]}' is not an ISO date or time") from None


def _truth(record: Mapping[str, str], name: str) -> bool:
    text = record.get(name, "").lower()
    if text not in _TRUTH:
        raise ValueError(f"{name} '{text[:40]}' is neither true nor false")
    return _TRUTH[text]


def _storable(text: str) -> str:
    return _HALF_CHARACTER.sub("\ufffd", text).replace("\0", "")


def _not_utf8() -> InvalidInputError:
    return InvalidInputError("The file is not UTF-8 text.", advice="Save it as CSV UTF-8.")
