"""Read a CSV file as stores and spreadsheets write it: delimiters, broken lines, lost cells."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

_DELIMITERS = (",", ";", "\t")
# Python's own limit for a cell is 128 KiB.
_LONGEST_CELL = 2**24
# A quotation mark that is never closed makes a record of all lines after it. No record of an order
# is as long as this.
_LONGEST_RECORD_LINES = 200
_HEADER_LINES = 20
# With fewer of them before it, the rest of a cell cannot be told from a record.
_FEWEST_DELIMITERS = 3

_NEVER_CLOSED = "a quotation mark on this line is never closed"


class CsvFile:
    """A CSV file with a header. Columns are separated by commas, semicolons or tabs.

    Args:
        file: The file's lines, with their line breaks.
        is_known: Whether a header, in lower case, has the columns that are wanted. It decides which
            delimiter the file has.
    """

    def __init__(self, file: Iterable[str], is_known: Callable[[Sequence[str]], bool]) -> None:
        csv.field_size_limit(_LONGEST_CELL)
        lines = iter(file)
        start = list(islice(lines, _HEADER_LINES))
        headers = [(delimiter, *_split_header(start, delimiter)) for delimiter in _DELIMITERS]
        self._delimiter, self.header, used = next(
            (each for each in headers if is_known(each[1])), headers[0]
        )
        self._lines = _Lines(chain(start[used:], lines), used)

    def records(self, required: Collection[str]) -> Iterator[tuple[int, list[str], str | None]]:
        """Every record with the number of its first line, and why it cannot be read, if so.

        A record that is readable has as many cells as the header. A record of several lines that
        is broken costs only its first line: the others are read again, because a quotation mark
        that is not closed takes the lines after it into its cell. Empty records are left out.

        Args:
            required: Columns that every record must have. Other cells that are missing at its end
                are empty, because spreadsheets leave them out.
        """
        reader = csv.reader(self._lines, delimiter=self._delimiter, strict=True)
        while True:
            number = self._lines.begin()
            try:
                cells, fault = self._check(next(reader), required)
            except StopIteration:
                return
            except csv.Error as error:
                cells, fault = self._recover(error)
            if fault is not None or any(cell.strip() for cell in cells):
                yield number, cells, fault

    def _check(self, cells: list[str], required: Collection[str]) -> tuple[list[str], str | None]:
        width = len(self.header)
        if self._has_taken_records():
            self._lines.rewind()
            return cells, _NEVER_CLOSED
        missing = self.header[len(cells) :]
        is_blank = not any(cell.strip() for cell in cells)
        if missing and not any(name in required for name in missing) and not self._lines.is_cut_off:
            cells = cells + [""] * len(missing)
        if len(cells) != width and not is_blank:
            where = f" (lines to {self._lines.number})" if len(self._lines.taken) > 1 else ""
            return cells, f"it has {len(cells)} fields, the header {width}{where}"
        return cells, None

    def _has_taken_records(self) -> bool:
        """Whether the lines after the first look like records that an open quote has taken.

        Then each has the delimiters of a record, and the last one as many before the mark that
        closes the cell as the first line has before the mark that opens it.
        """
        first, *between = self._lines.taken
        if not between:
            return False
        last = between.pop()
        before = len(next(csv.reader([first], delimiter=self._delimiter))) - 1
        return (
            before >= _FEWEST_DELIMITERS
            and last.partition('"')[0].count(self._delimiter) >= before
            and all(line.count(self._delimiter) >= len(self.header) - 1 for line in between)
        )

    def _recover(self, error: csv.Error) -> tuple[list[str], str | None]:
        """Read a line with stray quotation marks as Python's lenient reader does, if it can."""
        if self._lines.is_over or len(self._lines.taken) > _LONGEST_RECORD_LINES:
            self._lines.rewind()
            return [], _NEVER_CLOSED
        first = self._lines.taken[0]
        if self._lines.rewind() == 0 and first.count('"') % 2 == 0:
            cells = next(csv.reader([first], delimiter=self._delimiter), [])
            if len(cells) == len(self.header):
                return cells, None
        return [], f"this is not CSV: {error}"


class _Lines:
    """The lines of a file, of which those of a broken record can be read again."""

    def __init__(self, lines: Iterator[str], number: int) -> None:
        self._lines = lines
        self._again: deque[str] = deque()
        self.number = number
        self.taken: list[str] = []
        self.is_over = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if len(self.taken) > _LONGEST_RECORD_LINES:
            raise csv.Error(f"a record of more than {_LONGEST_RECORD_LINES} lines")
        try:
            line = self._again.popleft() if self._again else next(self._lines)
        except StopIteration:
            self.is_over = True
            raise
        self.taken.append(line)
        self.number += 1
        return line

    def begin(self) -> int:
        """Begin a record; returns the number of its first line."""
        self.taken.clear()
        self.is_over = False
        return self.number + 1

    def rewind(self) -> int:
        """Give back all lines of the record but the first; returns how many."""
        again = self.taken[1:]
        self._again.extendleft(reversed(again))
        self.number -= len(again)
        return len(again)

    @property
    def is_cut_off(self) -> bool:
        """Whether the record ends without a line break, as in a file that was cut off."""
        return bool(self.taken) and not self.taken[-1].endswith(("\n", "\r"))


def _split_header(start: Sequence[str], delimiter: str) -> tuple[list[str], int]:
    """The header's names in lower case, and how many lines it takes."""
    reader: Any = csv.reader(start, delimiter=delimiter)
    try:
        cells: list[str] = next(reader, [])
    except csv.Error:
        cells = []
    # The first name begins with the byte order mark if the caller has not removed it.
    names = [cell.removeprefix("\ufeff").strip().strip('"').lower() for cell in cells]
    return names, reader.line_num
