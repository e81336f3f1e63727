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
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def stream_csv(
    conn: Connection,
    statement: sql.SQL | sql.Composed,
    parameters: Mapping[str, Any],
    columns: Sequence[str] | None = None,
    *,
    escape_formulas: bool = False,
) -> Iterator[bytes]:
    """The rows of a query as CSV (RFC 4180 with plain newlines), one block of lines at a time.

    The header comes first. Null is an empty field and empty text is ``""``, as in PostgreSQL's
    ``COPY``; the items of a list are joined with semicolons. The rows come through a server-side
    cursor, so memory does not grow with their number, and a statement timeout limits each block
    instead of the whole file, which a slow reader may take long to fetch.

    Args:
        conn: A transaction.
        statement: The query.
        parameters: Its parameters.
        columns: Which columns to write; all of the query's by default.
        escape_formulas: Put ``'`` before text that a spreadsheet would run as a formula.
    """
    with conn.cursor(name="csv") as cursor:
        cursor.execute(statement, parameters)
        names = columns or [column.name for column in cursor.description or ()]
        block = ",".join(names) + "\n"
        while rows := cursor.fetchmany(_ROWS_PER_BLOCK):
            block += "".join(_line([row[name] for name in names], escape_formulas) for row in rows)
            yield block.encode()
            block = ""
        if block:
            yield block.encode()


def _line(values: list[Any], escape_formulas: bool) -> str:
    return ",".join([_field(value, escape_formulas) for value in values]) + "\n"


def _field(value: Any, escape_formulas: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        value = ";".join("" if item is None else str(item) for item in value)
    elif isinstance(value, datetime):
        return value.isoformat()
    elif isinstance(value, Decimal):
        # Never with an exponent, as str() would write a small zero.
        return f"{value:f}"
    elif not isinstance(value, str):
        return str(value)
    is_escaped = escape_formulas and value.startswith(_FORMULA_STARTS)
    text: str = f"'{value}" if is_escaped else value
    return '"' + text.replace('"', '""') + '"' if _NEEDS_QUOTES.search(text) else text
