"""Reading what pages show. A part that cannot be read says why, and the rest of the page stays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psycopg
from flask import request
from pydantic import BaseModel, ValidationError

from service.api.input_errors import field_errors
from service.api.problems import BadCursorError, NotBuiltError, NotFoundError
from service.core.db import Connection
from service.core.errors import InvalidInputError

_Read = TypeVar("_Read")
_Query = TypeVar("_Query", bound=BaseModel)


@dataclass(frozen=True)
class Failure:
    """Why a list cannot be shown, in words for people.

    Attributes:
        errors: What is wrong with filters of the URL, by their names.
        is_lost_page: Whether the first page of the list can be read instead.
    """

    title: str
    message: str = ""
    advice: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)
    is_lost_page: bool = False


_NOT_BUILT = Failure(
    "Not calculated yet",
    "Nothing has been calculated yet.",
    "Sync or import orders, then recalculate under Segments.",
)
_LOST_PAGE = Failure("This page is gone", "The list has no such page any more.", is_lost_page=True)
_TOO_SLOW = Failure("This took too long", "The list could not be read in time.", "Try again.")
_CHECK_FILTERS = "Check the filters"


_EXPLAINED = (
    ValidationError,
    InvalidInputError,
    NotFoundError,
    BadCursorError,
    NotBuiltError,
    psycopg.errors.UndefinedTable,
    psycopg.errors.QueryCanceled,
)


def read_part(conn: Connection, read: Callable[[], _Read]) -> tuple[_Read | None, Failure | None]:
    """What ``read`` returns, or why it cannot be read. The transaction can continue."""
    try:
        with conn.transaction():
            return read(), None
    except _EXPLAINED as error:
        return None, _explain(error)


def _explain(error: Exception) -> Failure:
    if isinstance(error, ValidationError):
        # The first of several faults of one filter.
        return Failure(_CHECK_FILTERS, errors=dict(reversed(field_errors(error))))
    if isinstance(error, InvalidInputError):
        words = f"{error.message} {error.advice}".strip()
        return Failure(_CHECK_FILTERS, errors={error.field: words})
    if isinstance(error, NotFoundError):
        return Failure("Not found", error.message)
    if isinstance(error, BadCursorError):
        return _LOST_PAGE
    return _TOO_SLOW if isinstance(error, psycopg.errors.QueryCanceled) else _NOT_BUILT


def query_of_url(model: type[_Query]) -> _Query:
    """The model's parameters in the page's URL; empty and other ones are left out.

    Raises:
        ValidationError: A value does not fit the model.
    """
    return model.model_validate(filters_of_url(*model.model_fields))


def filters_of_url(*names: str) -> dict[str, Any]:
    """Those parameters of the page's URL that have a value."""
    given = {name: request.args.get(name, "").strip() for name in names}
    return {name: value for name, value in given.items() if value}
