"""Read a CSV file as stores and spreadsheets write it: delimiters, broken lines, lost cells."""

from __future__ import annotations

import codecs
import csv
import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

from service.core.errors import InvalidInputError

_DELIMITERS = (",", ";", "\t")
# Python's own limit for a cell is 128 KiB.
_LONGEST_CELL = 2**24
# A quotation mark that is never closed makes a record of all lines after it. No record of an order
# is as long as this.
_LONGEST_RECORD_LINES = 200
_HEADER_LINES = 20
# How much of a file shows what it is.
_START_BYTES = 64
# With fewer of them before it, the rest of a cell cannot be told from a record.
_FEWEST_DELIMITERS = 3

_NEVER_CLOSED = "a quotation mark on this line is never closed"
# Lines that Excel and others write above the header: the delimiter's name, or nothing.
_BEFORE_HEADER = re.compile(r"""\ufeff?["']?(sep=.?)?[\s,;"']*""", re.IGNORECASE)
# Invisible characters that str.strip() keeps, such as a byte order mark inside a joined file.
_INVISIBLE = "\ufeff\u200b\u200c\u200d\u200e\u200f\u2060"
_SMART_QUOTES = re.compile("[“„”](.*)[“”]", re.DOTALL)
# What a file begins with that is no text, and what to do with it.
_OTHER_FORMATS = {
    b"PK\x03\x04": ("an Excel workbook or a zip archive", "Unpack it, or save it as CSV UTF-8."),
    b"\xd0\xcf\x11\xe0": ("an Excel workbook", "Save it as CSV UTF-8."),
    b"\x1f\x8b": ("a gzip archive", "Unpack it first."),
}


def open_csv(path: Path, encoding: str | None = None) -> TextIO:
    """Open a CSV file, so that bytes that cannot be decoded cost only their record.

    Args:
        path: The file.
        encoding: Name of its encoding. Otherwise it is UTF-8, or UTF-16 if the file begins with
            that encoding's byte order mark or like text in it.

    Raises:
        InvalidInputError: The encoding is unknown, or the file is a workbook or an archive.
    """
    with path.open("rb") as file:
        start = file.read(_START_BYTES)
    for signature, (what, advice) in _OTHER_FORMATS.items():
        if start.startswith(signature):
            raise InvalidInputError(f"{path.name} is {what}, not CSV.", advice=advice)
    try:
        return path.open(
            encoding=encoding or _find_encoding(start), errors="surrogateescape", newline=""
        )
    except LookupError:
        raise InvalidInputError(
            f"There is no encoding '{encoding}'.",
            advice="Name one such as utf-8, utf-16 or windows-1252.",
        ) from None


def _find_encoding(start: bytes) -> str:
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    even, odd = start[::2], start[1::2]
    # A header in ASCII: every other byte of it is zero in UTF-16.
    if odd and not any(odd) and all(even):
        return "utf-16-le"
    if even and not any(even) and all(odd):
        return "utf-16-be"
    return "utf-8-sig"


def clean_cell(cell: str) -> str:
    """A cell without space, invisible characters and typographic quotation marks around it."""
    text = cell.strip()
    if text.isascii():
        return text
    text = text.strip(_INVISIBLE).strip()
    quoted = _SMART_QUOTES.fullmatch(text)
    return quoted[1].strip() if quoted else text


class CsvFile:
    """A CSV file with a header. Columns are separated by commas, semicolons or tabs.

    Lines above the header that are empty, or that name the delimiter as Excel's ``sep=;`` does, are
    skipped.

    Args:
        file: The file's lines, with their line breaks.
        is_known: Whether a header, in lower case, has the columns that are wanted. It decides which
            delimiter the file has.
    """

    def __init__(self, file: Iterable[str], is_known: Callable[[Sequence[str]], bool]) -> None:
        csv.field_size_limit(_LONGEST_CELL)
        lines = iter(file)
        start = list(islice(lines, _HEADER_LINES))
        above = next(
            (n for n, line in enumerate(start) if not _BEFORE_HEADER.fullmatch(line)), len(start)
        )
        headers = [
            (delimiter, *_split_header(start[above:], delimiter)) for delimiter in _DELIMITERS
        ]
        self.delimiter, self.header, used = next(
            (each for each in headers if is_known(each[1])), headers[0]
        )
        self._is_known = is_known
        self._names = frozenset(self.header)
        self._lines = _Lines(chain(start[above + used :], lines), above + used)
        self._fewest_cells = len(self.header)

    def records(self, required: Collection[str]) -> Iterator[tuple[int, list[str], str | None]]:
        """Every record with the number of its first line, and why it cannot be read, if so.

        A record that is readable has as many cells as the header. A record of several lines that
        is broken costs only its first line: the others are read again, because a quotation mark
        that is not closed takes the lines after it into its cell. Empty records are left out, and
        so is the header where it is repeated, as in files that were joined.

        Args:
            required: Columns that every record must have. Other cells that are missing at its end
                are empty, because spreadsheets leave them out. In a last line without a line break
                they may be cut off, so an earlier record must be as short.

        Raises:
            InvalidInputError: A header of other columns begins in the middle of the file.
        """
        reader = csv.reader(self._lines, delimiter=self.delimiter, strict=True)
        while True:
            number = self._lines.begin()
            try:
                cells, fault = self._check(next(reader), required)
            except StopIteration:
                return
            except csv.Error as error:
                cells, fault = self._recover(error)
            if self._is_header(number, cells):
                continue
            if fault is not None or any(cell.strip() for cell in cells):
                yield number, cells, fault

    def _is_header(self, number: int, cells: Sequence[str]) -> bool:
        """Whether a record is the header again."""
        if not cells or clean_cell(cells[0]).lower() not in self._names:
            return False
        names = [clean_cell(cell).lower() for cell in cells]
        if names == self.header:
            return True
        if self._is_known(names):
            raise InvalidInputError(
                f"Another header begins on line {number}: its columns are not those of the first.",
                advice="Import the files that were joined one by one.",
            )
        return False

    def _check(self, cells: list[str], required: Collection[str]) -> tuple[list[str], str | None]:
        width = len(self.header)
        if self._has_taken_records():
            self._lines.rewind()
            return cells, _NEVER_CLOSED
        missing = self.header[len(cells) :]
        if not any(cell.strip() for cell in cells[width:]):
            # A spreadsheet writes cells to the right of the header, too.
            cells = cells[:width]
        is_blank = not any(cell.strip() for cell in cells)
        is_cut_off = self._lines.is_cut_off and len(cells) < self._fewest_cells
        if missing and not any(name in required for name in missing) and not is_cut_off:
            if not is_blank:
                self._fewest_cells = min(self._fewest_cells, len(cells))
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
        before = len(next(csv.reader([first], delimiter=self.delimiter))) - 1
        return (
            before >= _FEWEST_DELIMITERS
            and last.partition('"')[0].count(self.delimiter) >= before
            and all(line.count(self.delimiter) >= len(self.header) - 1 for line in between)
        )

    def _recover(self, error: csv.Error) -> tuple[list[str], str | None]:
        """Read a line with stray quotation marks as Python's lenient reader does, if it can."""
        if self._lines.is_over or len(self._lines.taken) > _LONGEST_RECORD_LINES:
            self._lines.rewind()
            return [], _NEVER_CLOSED
        first = self._lines.taken[0]
        if self._lines.rewind() == 0 and first.count('"') % 2 == 0:
            cells = next(csv.reader([first], delimiter=self.delimiter), [])
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
    names = [clean_cell(cell.removeprefix("\ufeff")).strip('"').lower() for cell in cells]
    return names, reader.line_num
