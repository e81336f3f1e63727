"""Keyset pagination: a cursor names the last row of a page, so no row is skipped or repeated.

A cursor is opaque to clients: the row's sort key, encrypted. A cursor that the list did not give
out for the same filters is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import GenericAlias
from typing import Annotated, Any

from psycopg import sql
from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from service.api.cursors import seal, unseal
from service.api.problems import BadCursorError
from service.api.schemas import WITHOUT_NUL, RequestModel
from service.core.db import Connection

MAX_CURSOR_LENGTH = 2000

Text = Annotated[str, StringConstraints(pattern=WITHOUT_NUL)]
Amount = Annotated[Decimal, Field(max_digits=38)]
Bigint = Annotated[int, Field(ge=-(2**63), lt=2**63)]
_ANY_POSITION: TypeAdapter[tuple[Any, ...]] = TypeAdapter(tuple[Any, ...])


class PageQuery(RequestModel):
    """Which page of a list."""

    cursor: str | None = Field(
        None, max_length=MAX_CURSOR_LENGTH, description="next_cursor of the previous page."
    )
    limit: int = Field(50, ge=1, le=200, description="Rows per page.")


ONE_ROW = PageQuery.model_construct(limit=1)


class Search(RequestModel):
    """A text search."""

    q: Annotated[
        str | None,
        Field(None, max_length=200, description="Search text, case-insensitive."),
        StringConstraints(pattern=WITHOUT_NUL, strip_whitespace=True),
    ]

    @property
    def pattern(self) -> str | None:
        """The ILIKE pattern that finds the text anywhere; None without a search."""
        if not self.q:
            return None
        return f"%{''.join(map(_escape, self.q))}%"

    @property
    def screen(self) -> str | None:
        """A LIKE pattern for text whose ASCII letters are in lower case; None without a search.

        It finds what ``pattern`` finds, and sometimes more, so it is tested first: lower case of
        ASCII takes less than half of the time of lower case of all characters. Other characters are
        left open, and so are I and K: of the ASCII letters, only they have relatives beyond ASCII
        (U+0130, U+212A and, in Turkish, U+0131).
        """
        if not self.q:
            return None
        return f"%{''.join(map(_screen, self.q))}%"


def _escape(character: str) -> str:
    return f"\\{character}" if character in "\\%_" else character


def _screen(character: str) -> str:
    if not character.isascii():
        # It can be several characters in lower case.
        return "%"
    return "_" if character in "IiKk" else _escape(character.lower())


class SearchQuery(Search, PageQuery):
    """Which page of the rows that match a search."""


class Keyset:
    """The sort order of a list, and the cursors that follow from it.

    Args:
        name: The list's name, to which its cursors belong.
        columns: Types of the sort columns; the last column makes each row unique.
    """

    def __init__(self, name: str, /, **columns: Any) -> None:
        self._name = name
        self._columns = tuple(columns)
        position: Any = GenericAlias(tuple, tuple(columns.values()))
        self._position: TypeAdapter[tuple[Any, ...]] = TypeAdapter(position)

    def encode(self, row: Mapping[str, Any], filters: str = "") -> str:
        """The cursor for the page after this row, with the same filters."""
        position = tuple(row[column] for column in self._columns)
        raw = _ANY_POSITION.dump_json(position)
        return seal(raw, self._name, filters)

    def decode(self, cursor: str | None, filters: str = "") -> dict[str, Any]:
        """Query parameters ``after_<column>`` for a cursor; all None for the first page.

        Raises:
            BadCursorError: It is not a cursor of this list with these filters.
        """
        names = [f"after_{column}" for column in self._columns]
        if cursor is None:
            return dict.fromkeys(names)
        try:
            values = self._position.validate_json(unseal(cursor, self._name, filters))
        except ValidationError:
            # It is from another release.
            raise BadCursorError from None
        return dict(zip(names, values, strict=True))

    def split(
        self, rows: Sequence[dict[str, Any]], limit: int, filters: str = ""
    ) -> dict[str, Any]:
        """``data`` and ``next_cursor`` of a page, from at most ``limit + 1`` rows in order."""
        has_more = len(rows) > limit
        return {
            "data": rows[:limit],
            "next_cursor": self.encode(rows[limit - 1], filters) if has_more else None,
        }

    def read_page(
        self,
        conn: Connection,
        page: PageQuery,
        statement: sql.SQL | sql.Composed,
        *,
        prepare: bool = False,
        **parameters: Any,
    ) -> dict[str, Any]:
        """``data`` and ``next_cursor`` of a page.

        The statement takes ``after_<column>`` for each sort column, and ``row_limit``, and returns
        the rows in this order. To prepare it saves planning, and suits a statement that reads
        little whatever its parameters are: one plan serves all of them.

        Raises:
            BadCursorError: The cursor is not one of this list with the same filters.
        """
        filters = page.model_dump_json(exclude={"cursor", "limit"}, exclude_defaults=True)
        position = self.decode(page.cursor, filters)
        values = {**parameters, **position, "row_limit": page.limit + 1}
        rows = conn.execute(statement, values, prepare=prepare)
        return self.split(rows.fetchall(), page.limit, filters)
