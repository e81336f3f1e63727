"""A query's rows as a CSV file, for the API and the command line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from psycopg import sql

from service.core.db import Connection

_ROWS_PER_BLOCK = 1000
_NEEDS_QUOTES = re.compile(r'[",\r\n]|^$')
# Full-width signs begin a formula too. A signed number, such as a telephone number, is no formula.
_FORMULA = re.compile(r"[=@\t\r\n\uff1d\uff0b\uff0d\uff20]|[+-](?!\d+(\.\d+)?\Z)")


def stream_csv(
    conn: Connection,
    statement: sql.SQL | sql.Composed,
    parameters: Mapping[str, Any],
    columns: Sequence[str] | None = None,
) -> Iterator[bytes]:
    """The rows of a query as CSV (RFC 4180 with plain newlines), one block of lines at a time.

    The header comes first. Null is an empty field and empty text is ``""``, as in PostgreSQL's
    ``COPY``; the items of a list are joined with semicolons. Text that a spreadsheet would run as a
    formula gets a ``'`` before it.

    The rows come through a server-side cursor, so memory does not grow with their number, and a
    statement timeout limits each block instead of the whole file, which a slow reader may take long
    to fetch.

    Args:
        conn: A transaction.
        statement: The query.
        parameters: Its parameters.
        columns: Which columns to write; all of the query's by default.
    """
    with conn.cursor(name="csv") as cursor:
        cursor.execute(statement, parameters)
        names = columns or [column.name for column in cursor.description or ()]
        block = ",".join(names) + "\n"
        while rows := cursor.fetchmany(_ROWS_PER_BLOCK):
            block += "".join(_line([row[name] for name in names]) for row in rows)
            yield block.encode()
            block = ""
        if block:
            yield block.encode()


def _line(values: list[Any]) -> str:
    return ",".join([_field(value) for value in values]) + "\n"


def _field(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        text = ";".join("" if item is None else _escape(str(item)) for item in value)
    elif isinstance(value, datetime):
        text = value.isoformat()
    elif isinstance(value, Decimal):
        # Never with an exponent, as str() would write a small zero.
        text = f"{value:f}"
    elif isinstance(value, str):
        text = _escape(value)
    else:
        text = str(value)
    return '"' + text.replace('"', '""') + '"' if _NEEDS_QUOTES.search(text) else text


def _escape(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) else text
