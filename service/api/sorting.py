"""Lists that callers can sort: statements with ``{is_after}`` and ``{sort_key}``."""

from __future__ import annotations

from typing import Any

from psycopg import sql

from service.api.paging import Keyset, PageQuery
from service.core.db import Connection


class Sort:
    """A sort order of a list. With an index on its columns, every page is fast to find.

    Args:
        name: The list's and the order's name, which its cursors contain.
        column: The column, without nulls. ``table`` is its alias in the statement.
        kind: The column's type in a cursor.
        unique: The column that makes each row unique. It sorts in the same direction.
        is_descending: Whether the highest value comes first.
    """

    def __init__(
        self,
        name: str,
        column: str,
        kind: Any,
        *,
        table: str,
        unique: tuple[str, Any],
        is_descending: bool = True,
    ) -> None:
        last, last_kind = unique
        self._keyset = Keyset(name, **{column: kind, last: last_kind})
        parts = {
            "column": sql.Identifier(table, column),
            "last": sql.Identifier(table, last),
            "direction": sql.SQL("desc" if is_descending else "asc"),
            "comparison": sql.SQL("<" if is_descending else ">"),
            "value": sql.Placeholder(f"after_{column}"),
            "last_value": sql.Placeholder(f"after_{last}"),
        }
        self._order_by = sql.SQL("{column} {direction}, {last} {direction}").format(**parts)
        self._is_after = sql.SQL("({column}, {last}) {comparison} ({value}, {last_value})").format(
            **parts
        )

    def statement(self, template: sql.SQL, *, is_first_page: bool = True) -> sql.Composed:
        """The statement in this order, for all rows or those after a cursor."""
        is_after = sql.SQL("true") if is_first_page else self._is_after
        return template.format(is_after=is_after, sort_key=self._order_by)

    def read_page(
        self, conn: Connection, page: PageQuery, template: sql.SQL, **parameters: Any
    ) -> dict[str, Any]:
        """``data`` and ``next_cursor`` of a page.

        Raises:
            BadCursorError: The cursor is not one of this list in this order.
        """
        statement = self.statement(template, is_first_page=page.cursor is None)
        return self._keyset.read_page(conn, page, statement, **parameters)
