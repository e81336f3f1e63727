"""Rows set down on disk between a conversation over HTTP and the transaction that needs them.

A transaction is never left open while a server is asked for the next page, and a list of a million
members is never held in memory: it waits here, in an unnamed temporary file.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

Row = tuple[str | None, ...]

_IN_MEMORY_BYTES = 1024 * 1024


class Spool:
    """Rows of text that are written once and then read in order, as often as needed."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._length = 0

    def append(self, row: Row) -> None:
        """Add a row after those already there."""
        self._file.write(json.dumps(row))
        self._file.write("\n")
        self._length += 1

    def clear(self) -> None:
        """Forget every row, so that others can be written."""
        self._file.seek(0)
        self._file.truncate()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Row]:
        self._file.seek(0)
        for line in self._file:
            yield tuple(json.loads(line))


@contextmanager
def open_spool() -> Iterator[Spool]:
    """An empty spool, gone at the end of the block."""
    with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES, "w+", encoding="ascii") as file:
        yield Spool(file)
