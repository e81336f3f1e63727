"""Rows kept in a temporary file between the HTTP calls that read them and the transaction.

No transaction stays open while a server is asked for the next page, and a list of a million members
is never held in memory.
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
        """Add a row at the end."""
        self._file.write(json.dumps(row))
        self._file.write("\n")
        self._length += 1

    def clear(self) -> None:
        """Delete every row."""
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
    """An empty spool, deleted at the end of the block."""
    with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES, "w+", encoding="ascii") as file:
        yield Spool(file)
