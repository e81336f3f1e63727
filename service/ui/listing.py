"""Lists that a page renders on the server: a page of rows, or why there are none.

Filters, sort order and cursor are the parameters of the API's list, in the page's URL. So the list
reads without a script, and its links and forms are ordinary ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeVar
from urllib.parse import urlencode

import psycopg
from flask import request
from pydantic import ValidationError

from service.api.input_errors import field_errors
from service.api.paging import PageQuery
from service.api.problems import BadCursorError, NotBuiltError
from service.core.db import Connection
from service.core.errors import InvalidInputError
from service.ui.blueprint import blueprint

Query = TypeVar("Query", bound=PageQuery)
_Read = TypeVar("_Read")

# Parameters of a list that the page itself decides.
_ROUTE = ("source", "since")
# Parameters that open a dialog. They are not part of what the links of a list lead to.
_DIALOGS = ("add", "settings")


@dataclass(frozen=True)
class Listing:
    """A page of a list for its template.

    Without rows, ``problem`` says why, unless there are none: the page does not exist, the filters
    are not valid (``errors`` by filter), the query took too long, or there was no build yet.
    """

    given: Mapping[str, str]
    data: Sequence[Any] = ()
    next_cursor: str | None = None
    total: int | None = None
    sort: str = ""
    problem: Literal["", "cursor", "filters", "timeout", "not-built"] = ""
    errors: Mapping[str, str] = field(default_factory=dict)
    answer: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_first(self) -> bool:
        """Whether this is the first page."""
        return "cursor" not in self.given

    @property
    def is_filtered(self) -> bool:
        """Whether the URL asks for some of the rows only."""
        return bool(self.given.keys() - {"sort"})


def read_listing(
    conn: Connection,
    model: type[Query],
    read: Callable[[Query], Mapping[str, Any]],
    *,
    names: Mapping[str, str] = MappingProxyType({}),
    **defaults: str,
) -> Listing:
    """Read the page of a list that the URL asks for.

    Args:
        conn: The tenant's transaction. A query that fails is rolled back, so the page can go on.
        model: The parameters of the list. Others in the URL are ignored.
        read: Reads ``data``, ``next_cursor`` and perhaps ``total``.
        names: The URL's names of parameters that have another name in the model.
        defaults: Values of parameters that the URL does not have.
    """
    wanted = {
        field: value
        for field in model.model_fields
        if field not in ("limit", *_ROUTE)
        and (value := request.args.get(names.get(field, field), "").strip())
    }
    given = {names.get(field, field): value for field, value in wanted.items()}
    values = defaults | wanted
    sort = values.get("sort", "")
    try:
        page = model.model_validate(values)
        with conn.transaction():
            answer = read(page)
    except ValidationError as error:
        # The first of several faults of one filter.
        found = {names.get(field, field): text for field, text in reversed(field_errors(error))}
        problem: Literal["cursor", "filters"] = "cursor" if "cursor" in found else "filters"
        return Listing(given, sort=sort, problem=problem, errors=found)
    except InvalidInputError as error:
        words = f"{error.message} {error.advice}".strip()
        return Listing(given, sort=sort, problem="filters", errors={error.field: words})
    except BadCursorError:
        return Listing(given, sort=sort, problem="cursor")
    except psycopg.errors.QueryCanceled:
        return Listing(given, sort=sort, problem="timeout")
    except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege, NotBuiltError):
        return Listing(given, sort=sort, problem="not-built")
    return Listing(
        given,
        data=answer["data"],
        next_cursor=answer["next_cursor"],
        total=answer.get("total"),
        sort=sort,
        answer=answer,
    )


def read_if_built(conn: Connection, read: Callable[[], _Read]) -> _Read | None:
    """What ``read`` returns; None before the first build, or if it takes too long.

    The transaction can go on.
    """
    try:
        with conn.transaction():
            return read()
    except (
        psycopg.errors.UndefinedTable,
        psycopg.errors.InsufficientPrivilege,
        psycopg.errors.QueryCanceled,
    ):
        # The first build makes the marts, and grants their schema to the service.
        return None


@blueprint.app_template_global()
def here(**changes: str | None) -> str:
    """The URL of this page with some parameters changed; None removes a parameter."""
    values = {
        name: value
        for name, value in request.args.items()
        if name not in changes and name not in _DIALOGS
    }
    values |= {name: value for name, value in changes.items() if value is not None}
    return f"{request.path}?{urlencode(values)}" if values else request.path
