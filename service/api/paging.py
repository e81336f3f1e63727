"""Keyset paging: a cursor says after which row to go on, so pages never skip or repeat a row.

A cursor is opaque to callers: URL-safe base64 of a JSON array, the list's name first. It is
checked like any input, and one that another list gave is refused.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

from pydantic import AwareDatetime, Field, StringConstraints, TypeAdapter, ValidationError

from service.api.problems import BadCursorError
from service.api.schemas import RequestModel

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
MAX_QUERY_LENGTH = 200
_MAX_CURSOR_LENGTH = 2000
# PostgreSQL's text cannot hold NUL.
WITHOUT_NUL = r"^[^\x00]*$"

Text = Annotated[str, StringConstraints(pattern=WITHOUT_NUL)]
Amount = Annotated[Decimal, Field(max_digits=38)]

Bigint = Annotated[int, Field(ge=-(2**63), lt=2**63)]

Position = TypeVar("Position", bound=tuple[Any, ...])

# What the next page of each list comes after: the list's name, then its sort key.
SegmentPosition = tuple[Literal["segments"], Text, Text]
CustomerPosition = tuple[Literal["customers"], Amount, Text]
SampleTimePosition = tuple[Literal["samples newest", "samples oldest"], AwareDatetime, Text]
SampleRankPosition = tuple[Literal["samples value", "samples waiting"], Bigint, Text]
SuggestionPosition = tuple[Literal["suggestions"], AwareDatetime, Text]
CreatorPosition = tuple[Literal["creators"], Text, UUID]
WebhookPosition = tuple[Literal["webhooks"], AwareDatetime, Text]
ExportPosition = tuple[Literal["privacy exports"], AwareDatetime, UUID]
ReceiptPosition = tuple[Literal["privacy receipts"], AwareDatetime, UUID]
RunPosition = tuple[Literal["runs"], AwareDatetime, UUID]
KlaviyoListPosition = tuple[Literal["klaviyo lists"], Text]
KlaviyoRunPosition = tuple[Literal["klaviyo runs"], AwareDatetime, UUID]
KlaviyoRowPosition = tuple[Literal["klaviyo rows"], Text]
KlaviyoMemberPosition = tuple[Literal["klaviyo members"], Text, Text]

SEGMENTS: TypeAdapter[SegmentPosition] = TypeAdapter(SegmentPosition)
CUSTOMERS: TypeAdapter[CustomerPosition] = TypeAdapter(CustomerPosition)
SAMPLES_BY_TIME: TypeAdapter[SampleTimePosition] = TypeAdapter(SampleTimePosition)
SAMPLES_BY_RANK: TypeAdapter[SampleRankPosition] = TypeAdapter(SampleRankPosition)
SUGGESTIONS: TypeAdapter[SuggestionPosition] = TypeAdapter(SuggestionPosition)
CREATORS: TypeAdapter[CreatorPosition] = TypeAdapter(CreatorPosition)
WEBHOOKS: TypeAdapter[WebhookPosition] = TypeAdapter(WebhookPosition)
EXPORTS: TypeAdapter[ExportPosition] = TypeAdapter(ExportPosition)
RECEIPTS: TypeAdapter[ReceiptPosition] = TypeAdapter(ReceiptPosition)
RUNS: TypeAdapter[RunPosition] = TypeAdapter(RunPosition)
KLAVIYO_LISTS: TypeAdapter[KlaviyoListPosition] = TypeAdapter(KlaviyoListPosition)
KLAVIYO_RUNS: TypeAdapter[KlaviyoRunPosition] = TypeAdapter(KlaviyoRunPosition)
KLAVIYO_ROWS: TypeAdapter[KlaviyoRowPosition] = TypeAdapter(KlaviyoRowPosition)
KLAVIYO_MEMBERS: TypeAdapter[KlaviyoMemberPosition] = TypeAdapter(KlaviyoMemberPosition)


class PageQuery(RequestModel):
    """Which page of a list."""

    cursor: str | None = Field(
        None, max_length=_MAX_CURSOR_LENGTH, description="next_cursor of the page before."
    )
    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Rows per page.")


class Search(RequestModel):
    """Which rows of a list: those that contain a text."""

    q: Annotated[
        str | None,
        Field(None, max_length=MAX_QUERY_LENGTH, description="Text to look for, case ignored."),
        StringConstraints(pattern=WITHOUT_NUL, strip_whitespace=True),
    ]

    @property
    def pattern(self) -> str | None:
        """The text as an ILIKE pattern that finds it anywhere; None when nothing is asked."""
        return f"%{escape_like(self.q)}%" if self.q else None


class SearchQuery(Search, PageQuery):
    """Which page of a list, of the rows that contain a text."""


def escape_like(text: str) -> str:
    r"""The text with LIKE's own characters (``\``, ``%``, ``_``) made literal."""
    return text.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")


def encode_cursor(*position: str | int | Decimal | datetime | UUID) -> str:
    """The cursor of a position: the list's name and the sort key of the page's last row."""
    raw = TypeAdapter(tuple[Any, ...]).dump_json(position)
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decode_cursor(adapter: TypeAdapter[Position], cursor: str | None) -> Position | None:
    """The position of a cursor; None for the first page.

    Raises:
        BadCursorError: It is not a cursor of this list.
    """
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return adapter.validate_json(raw)
    except (binascii.Error, ValueError, ValidationError):
        raise BadCursorError from None


def split_page(
    rows: Sequence[dict[str, Any]], limit: int, list_name: str, *sort_key: str
) -> tuple[Sequence[dict[str, Any]], str | None]:
    """The page's rows and the next page's cursor, from rows of which one more than a page was read.

    Args:
        rows: At most ``limit + 1`` rows in order.
        limit: Rows on a page.
        list_name: The list's name, first in its cursors.
        sort_key: Columns that the list is ordered by.
    """
    if len(rows) <= limit:
        return rows, None
    last = rows[limit - 1]
    return rows[:limit], encode_cursor(list_name, *(last[column] for column in sort_key))
