"""Rows in the text format of PostgreSQL's COPY, with ``␀`` for null."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from psycopg import sql

from service.core.db import Connection

# The usual null has a backslash, which would send every row the slow way.
_NULL = "\N{SYMBOL FOR NULL}"
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
_QUOTES = str.maketrans({'"': r"\"", "\\": r"\\"})


def copy_rows(conn: Connection, statement: sql.SQL, rows: Sequence[str]) -> None:
    """Run a ``copy … from stdin`` with these rows."""
    if rows:
        with conn.cursor().copy(statement) as copy:
            copy.write("".join(rows))


def as_copied(values: Iterable[Any]) -> str:
    """A row of text, numbers, booleans, lists of text, and None; objects are written as JSON."""
    given = tuple(values)
    texts = [
        value if value.__class__ is str else _NULL if value is None else _as_text(value)
        for value in given
    ]
    plain = "".join(texts)
    # Few values need escaping, and checking all at once costs a fraction of checking each.
    if "\\" in plain or not plain.isprintable() or plain.count(_NULL) != given.count(None):
        texts = [_NULL if value is None else _escaped(_as_text(value)) for value in given]
    return "\t".join(texts) + "\n"


def _as_text(value: Any) -> str:
    if isinstance(value, list):
        return "{" + ",".join([f'"{each.translate(_QUOTES)}"' for each in value]) + "}"
    return as_json(value) if isinstance(value, dict) else str(value)


def _escaped(value: str) -> str:
    return "\\" + value if value == _NULL else value.translate(_ESCAPES)


def as_json(value: Any) -> str:
    """Compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
