"""Import orders from a CSV file: older ones than the API shows, or of a shop without a connection.

The file has the columns below, or it is Shopify's own export (``orders_export.py``); its header
decides. The lines are streamed into temporary tables, compared there with each other and with the
stored orders, and loaded from there in one transaction, so a killed import has loaded nothing.
Importing the file again writes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
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
    ShopDefaults,
    address_or_none,
    amount,
    boolean,
    identifier,
    instant,
    instant_or_none,
    is_ambiguous,
    phone_or_none,
    text_or_none,
)
from service.shopify.csv_file import CsvFile, clean_cell
from service.shopify.loading import create_incoming, finish_incoming, load_incoming
from service.shopify.money import exponent_of
from service.shopify.parse import Row
from service.shopify.resources import ORDERS

REQUIRED_COLUMNS = ("order_id", "customer_id", "processed_at", "total")
OPTIONAL_COLUMNS = (
    "customer_email",
    "customer_phone",
    "customer_country",
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
_AMOUNT_COLUMNS = ("total", "subtotal", "refunded")
# Columns of the incoming orders that a file may lack, with the file's columns they are from.
_SOURCES = {
    **{name: (name,) for name in ("customer_email", "customer_phone", "customer_name", "tags")},
    **{name: (name,) for name in ("order_number", "channel")},
    **{name: (name,) for name in ("financial_status", "fulfillment_status")},
    "refunded_minor": ("refunded",),
    "cancelled_at": ("cancelled_at",),
    "is_test": ("test",),
}
# How many rejections, and how many orders of an older file, a report lists; all are counted, and
# all rejections are kept in the database.
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
        unchanged: Orders that are stored as they are in the file, or kept (``newer``).
        newer: How many of the unchanged orders the store's sync, or a line with a later
            ``updated_at``, has loaded.
        repeated: Further lines of an order: they repeat it, or were added up.
        older: Line, order and what it would take back, of the first thousand orders that were left
            as they are because the file has an older state of them.
        older_count: The number of all of them.
        without_customer: Orders of no customer: without an id, an e-mail address and a phone
            number.
        by_phone: Orders whose customer only a phone number identifies.
        rejected: Line number and reason of the first thousand lines that could not be read.
        rejected_count: The number of all of them.
        ignored_columns: Unknown columns of the file; always empty for Shopify's export.
        is_export: Whether the file is Shopify's own export.
    """

    loaded: int = 0
    unchanged: int = 0
    newer: int = 0
    repeated: int = 0
    older: list[tuple[int, str, str]] = field(default_factory=list)
    older_count: int = 0
    without_customer: int = 0
    by_phone: int = 0
    rejected: list[tuple[int, str]] = field(default_factory=list)
    rejected_count: int = 0
    ignored_columns: tuple[str, ...] = ()
    is_export: bool = False

    @property
    def is_useless(self) -> bool:
        """Whether no line of the file could be read."""
        return bool(self.rejected_count and not self.loaded and not self.unchanged)


def import_orders(
    pool: Pool,
    tenant_id: UUID,
    file: TextIO,
    progress: Progress,
    *,
    sum_lines: bool = False,
    accept_older: bool = False,
) -> ImportReport:
    """Load the orders of a CSV file with a header.

    Times without an offset are UTC. The currency defaults to the tenant's, else to US dollars, and
    the subtotal to the total. An order without a customer's id gets the loaded customer with its
    e-mail address, else an id made of the address until such a customer is loaded, else one made of
    its phone number; without any of them it is a guest's.

    Several lines of an order repeat it, or have later states of it: the latest counts, by
    ``updated_at`` if all have one, else by what cannot be undone. Lines that differ in their
    amounts or dates and have no ``updated_at`` are refused, or added up.

    What the file has no column for stays as it is stored. A line replaces an order from the API
    only if its ``updated_at`` is later. A line that would take back a refund, a payment, a
    cancellation or a fulfilment of a stored order, and is not later by its ``updated_at``, is of an
    older file: the order stays as it is and is reported.

    Args:
        pool: The service's pool.
        tenant_id: The tenant.
        file: Text opened with ``newline=""``, and with ``errors="surrogateescape"`` so that bytes
            that cannot be decoded reject their line only, and only in a column that counts.
        progress: Gets the lines read, and the counters orders, rejected and written.
        sum_lines: Whether to add up the amounts of an order's lines: each is one of its items.
        accept_older: Whether an older file may take back what a newer one said.

    Raises:
        InvalidInputError: The file has no header, the header lacks a required column, the file is
            another of Shopify's exports, its orders' lines differ and are not to be added up, or it
            holds bytes that cannot be decoded and was opened with ``errors="strict"``.
    """
    csv_file = CsvFile(_decoded(file), _is_known)
    header = csv_file.header
    _check_header(header)
    is_export = orders_export.is_export(header)
    if is_export and sum_lines:
        raise InvalidInputError(
            "This is Shopify's own export, which has the whole order's total in its first line.",
            advice="Import it without --sum-lines.",
        )
    progress.phase("orders")
    with tenant_transaction(pool, tenant_id) as conn:
        create_incoming(conn, ORDERS)
        _read(conn, tenant_id, csv_file, progress)
        lines, orders = _join_lines(conn, is_export=is_export, sum_lines=sum_lines)
        older = _compare(conn, tenant_id, header, accept_older=accept_older)
        conn.execute(query("shopify.find_incoming_customers"), {"tenant_id": tenant_id})
        counted = one(conn.execute(query("shopify.count_customers")).fetchone())
        loaded = load_incoming(conn, tenant_id, ORDERS, source="csv")
        newer = one(conn.execute(query("shopify.count_newer"), {"tenant_id": tenant_id}).fetchone())
        parameters = {"most": REPORTED_REJECTIONS}
        rejected = conn.execute(query("shopify.list_rejected_lines"), parameters).fetchall()
        conn.execute(query("shopify.drop_superseded_rejections"))
        conn.execute(query("shopify.clear_line_rejections"), {"tenant_id": tenant_id})
        finish_incoming(conn, tenant_id, ORDERS)
    rejected_count = rejected[0]["rejected"] if rejected else 0
    older_count = older[0]["orders"] if older else 0
    progress.count(orders=lines, rejected=rejected_count, written=loaded)
    known = {*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS, ""}
    return ImportReport(
        loaded=loaded,
        unchanged=orders - older_count - loaded,
        newer=newer["orders"],
        repeated=lines - orders,
        older=[(row["position"], row["name"], " and ".join(row["lost"])) for row in older],
        older_count=older_count,
        without_customer=counted["without_customer"],
        by_phone=counted["by_phone"],
        rejected=[(row["position"], row["reason"]) for row in rejected],
        rejected_count=rejected_count,
        ignored_columns=() if is_export else tuple(n for n in header if n not in known),
        is_export=is_export,
    )


def _join_lines(conn: Connection, *, is_export: bool, sum_lines: bool) -> tuple[int, int]:
    """Leave one line of each order, and return how many lines and how many orders there were.

    Raises:
        InvalidInputError: Lines of an order differ as only the items of an order do.
    """
    conn.execute(query("shopify.analyze_incoming_orders"))
    parameters = {"sums": sum_lines, "is_export": is_export}
    conflict = conn.execute(query("shopify.reject_conflicting_lines"), parameters).fetchone()
    if conflict is not None and conflict["is_line_level"] and not is_export:
        raise _line_level(conflict)
    if is_export:
        conn.execute(query("shopify.analyze_export"))
        conn.execute(query("shopify.gather_export_items"))
    counted = one(conn.execute(query("shopify.count_lines")).fetchone())
    if sum_lines:
        conn.execute(query("shopify.sum_lines"))
    conn.execute(query("shopify.drop_repeated_lines"))
    return counted["lines"], counted["orders"]


def _line_level(conflict: Row) -> InvalidInputError:
    lines = ", ".join(map(str, conflict["positions"]))
    more = f" Orders of this kind: {conflict['orders']}." if conflict["orders"] > 1 else ""
    return InvalidInputError(
        f"The lines of order {conflict['order_id']} ({lines}) have different"
        f" {' and '.join(conflict['differences'])}; nothing was loaded.{more}",
        advice="If each line is one item, add them up: quintile orders import --sum-lines. If each"
        " line is a state of the order, add the column updated_at. Otherwise keep one line per"
        " order.",
    )


def _compare(
    conn: Connection, tenant_id: UUID, header: Sequence[str], *, accept_older: bool
) -> list[Row]:
    """Compare the incoming orders with the stored ones; returns those of an older file."""
    sources = orders_export.SOURCES if orders_export.is_export(header) else _SOURCES
    missing = [name for name, columns in sources.items() if not set(columns) & set(header)]
    conn.execute(
        query("shopify.keep_unmentioned"), {"tenant_id": tenant_id, "unmentioned": missing}
    )
    conn.execute(query("shopify.keep_current_totals"), {"tenant_id": tenant_id})
    if accept_older:
        return []
    return conn.execute(
        query("shopify.take_out_older"), {"tenant_id": tenant_id, "most": REPORTED_REJECTIONS}
    ).fetchall()


def _read(conn: Connection, tenant_id: UUID, file: CsvFile, progress: Progress) -> None:
    """Fill the temporary tables of incoming rows."""
    parameters = {"tenant_id": tenant_id}
    shop = one(conn.execute(query("shopify.find_shop_defaults"), parameters).fetchone())
    usual = ShopDefaults(shop["currency"] or _USUAL_CURRENCY, shop["country"])
    is_export = orders_export.is_export(file.header)
    records = _records(file, usual.currency)
    if is_export:
        conn.execute(query("shopify.create_export_rows"))
    parse = orders_export.parse_order if is_export else _parse
    order_currency = usual.currency
    look = orders_export.Look(file.header) if is_export else None
    while chunk := list(islice(records, _RECORDS_AT_ONCE)):
        orders: list[str] = []
        items: list[str] = []
        rejections: list[str] = []
        for line, record, fault in chunk:
            try:
                _refuse(fault)
                has_order = not is_export or orders_export.is_first_row(record)
                order = parse(record, usual) if has_order else {}
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
        copy_rows(conn, ORDERS.copy, orders)
        copy_rows(conn, query("shopify.copy_export_rows"), items)
        copy_rows(conn, query("shopify.copy_incoming_rejections"), rejections)
        progress.advance(len(chunk))
    if look is not None:
        look.refuse_other_exports()


def _decoded(file: TextIO) -> Iterator[str]:
    try:
        yield from file
    except UnicodeDecodeError:
        raise InvalidInputError(
            "The file is not text in its encoding.",
            advice="Save it as CSV UTF-8, or name its encoding: --encoding windows-1252",
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


def _records(file: CsvFile, usual_currency: str) -> Iterator[tuple[int, Record, str | None]]:
    """Every record with the line it begins on, and why it cannot be read, if so."""
    is_export = orders_export.is_export(file.header)
    required = orders_export.ITEM_COLUMNS if is_export else REQUIRED_COLUMNS
    read = set(_read_columns(file.header))
    amounts = orders_export.AMOUNT_COLUMNS if is_export else _AMOUNT_COLUMNS
    # Semicolons separate columns where commas separate decimals.
    doubtful = amounts if file.delimiter == ";" else ()
    for line, cells, fault in file.records(required):
        record = {name: clean_cell(cell) for name, cell in zip(file.header, cells, strict=False)}
        found = fault or _find_fault(record, read)
        yield line, record, found or _find_ambiguous(record, doubtful, usual_currency)


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


def _find_ambiguous(record: Record, amounts: Sequence[str], usual_currency: str) -> str | None:
    currency = record.get("currency", "").upper() or usual_currency
    for name in amounts:
        if is_ambiguous(record.get(name, ""), currency):
            return f"{name} '{record[name]}' may be thousands: write it without a separator of them"
    return None


def _parse(record: Record, usual: ShopDefaults) -> Row:
    """A row of the incoming orders, in the order of their columns.

    Raises:
        ValueError: The line cannot be read; the message says why.
    """
    currency = record.get("currency", "").upper() or usual.currency
    exponent_of(currency)
    total = amount(record, "total", currency)
    email = address_or_none(record, "customer_email")
    countries = (record.get("customer_country"), usual.country)
    return {
        "order_id": identifier(record, "order_id"),
        "order_number": record.get("order_number") or None,
        "customer_id": identifier(record, "customer_id")
        if text_or_none(record, "customer_id")
        else None,
        "customer_email": email,
        "customer_phone": None if email else phone_or_none(record, ["customer_phone"], countries),
        "customer_name": record.get("customer_name") or None,
        "processed_at": instant(record, "processed_at"),
        "cancelled_at": instant_or_none(record, "cancelled_at"),
        "is_test": boolean(record, "test"),
        "currency": currency,
        "total_minor": total,
        "subtotal_minor": amount(record, "subtotal", currency, total),
        "refunded_minor": amount(record, "refunded", currency, 0),
        "current_total_minor": None,
        "current_subtotal_minor": None,
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
