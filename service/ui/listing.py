"""Lists that a page renders on the server: a page of rows, or why there are none.

Filters, sort order and cursor are the parameters of the API's list, in the page's URL. So the list
reads without a script, and its links and forms are ordinary ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar
from urllib.parse import urlencode

import psycopg
from flask import request
from pydantic import ValidationError

from service.api.input_errors import field_errors
from service.api.paging import PageQuery
from service.api.problems import BadCursorError
from service.core.db import Connection
from service.core.errors import InvalidInputError
from service.ui.blueprint import blueprint

Query = TypeVar("Query", bound=PageQuery)


@dataclass(frozen=True)
class Listing:
    """A page of a list for its template.

    Without rows, ``problem`` says why, unless there are none: the page does not exist, the filters
    are not valid (``errors`` by filter), the query took too long, or there was no build yet.
    """

    given: Mapping[str, str]
    data: Sequence[Mapping[str, Any]] = ()
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
    **defaults: str,
) -> Listing:
    """Read the page of a list that the URL asks for.

    Args:
        conn: The tenant's transaction. A query that fails is rolled back, so the page can go on.
        model: The parameters of the list. Others in the URL are ignored.
        read: Reads ``data``, ``next_cursor`` and perhaps ``total``.
        defaults: Values of parameters that the URL does not have.
    """
    given = {
        name: value
        for name in model.model_fields
        if name not in ("limit", *_ROUTE) and (value := request.args.get(name, "").strip())
    }
    values = defaults | given
    sort = values.get("sort", "")
    try:
        page = model.model_validate(values)
        with conn.transaction():
            answer = read(page)
    except ValidationError as error:
        return Listing(given, sort=sort, problem="filters", errors=dict(field_errors(error)))
    except InvalidInputError as error:
        return Listing(given, sort=sort, problem="filters", errors={error.field: error.message})
    except BadCursorError:
        return Listing(given, sort=sort, problem="cursor")
    except psycopg.errors.QueryCanceled:
        return Listing(given, sort=sort, problem="timeout")
    except psycopg.errors.UndefinedTable:
        return Listing(given, sort=sort, problem="not-built")
    return Listing(
        given,
        data=answer["data"],
        next_cursor=answer["next_cursor"],
        total=answer.get("total"),
        sort=sort,
        answer=answer,
    )


# Parameters of a list that the page itself decides.
_ROUTE = ("source", "since")


@blueprint.app_template_global()
def here(**changes: str | None) -> str:
    """The URL of this page with some parameters changed; None removes a parameter."""
    values = {name: value for name, value in request.args.items() if name not in changes}
    values |= {name: value for name, value in changes.items() if value is not None}
    return f"{request.path}?{urlencode(values)}" if values else request.path
