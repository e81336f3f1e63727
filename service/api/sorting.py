"""Lists that callers can sort: statements with ``{is_after}`` and ``{sort_key}``.

With ``{columns}`` a statement returns only what it is sorted by: PostgreSQL then neither calculates
the rest nor joins what only the rest needs.
"""

from __future__ import annotations

from typing import Any

from psycopg import sql

from service.api.paging import Keyset, PageQuery
from service.core.db import Connection


class Sort:
    """A sort order of a list. With an index on its columns, every page is fast to find.

    Args:
        name: The list's and the order's name, which its cursors contain.
        columns: Types of the columns by name, as in :class:`Keyset`. None of them has nulls, the
            last one makes each row unique, and all sort in the same direction.
        table: Their alias in the statement.
        is_descending: Whether the highest values come first.
    """

    def __init__(
        self, name: str, *, table: str, is_descending: bool = True, **columns: Any
    ) -> None:
        self._keyset = Keyset(name, **columns)
        direction = sql.SQL(" desc" if is_descending else " asc")
        names = [sql.Identifier(table, column) for column in columns]
        self._columns = sql.SQL(", ").join(names)
        self._order_by = sql.SQL(", ").join(column + direction for column in names)
        self._is_after = sql.SQL("({columns}) {comparison} ({values})").format(
            columns=self._columns,
            comparison=sql.SQL("<" if is_descending else ">"),
            values=sql.SQL(", ").join(sql.Placeholder(f"after_{column}") for column in columns),
        )

    def statement(self, template: sql.SQL, *, is_first_page: bool = True) -> sql.Composed:
        """The statement in this order, for all rows or those after a cursor."""
        is_after = sql.SQL("true") if is_first_page else self._is_after
        return template.format(columns=self._columns, is_after=is_after, sort_key=self._order_by)

    @staticmethod
    def count(template: sql.SQL) -> sql.Composed:
        """A statement that counts all rows of the list, as ``rows``."""
        # A constant sorts nothing.
        constant = sql.SQL("null::text")
        unsorted = template.format(columns=constant, is_after=sql.SQL("true"), sort_key=constant)
        return sql.SQL("select count(*) as rows from ({}) as c").format(unsorted)

    def read_page(
        self,
        conn: Connection,
        page: PageQuery,
        template: sql.SQL,
        *,
        prepare: bool = False,
        **parameters: Any,
    ) -> dict[str, Any]:
        """``data`` and ``next_cursor`` of a page, as :meth:`Keyset.read_page` reads it.

        Raises:
            BadCursorError: The cursor is not one of this list in this order.
        """
        statement = self.statement(template, is_first_page=page.cursor is None)
        return self._keyset.read_page(conn, page, statement, prepare=prepare, **parameters)
