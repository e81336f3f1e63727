"""Ids of segments: ``rfm:<segment>``, ``shopify:<segment id>`` or ``klaviyo:<list id>``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast

from service.core.errors import InvalidInputError

Source = Literal["rfm", "shopify", "klaviyo"]

# RFM keys as in service/tenants/segment_rules.py, Shopify's numeric ids, Klaviyo's list ids.
PATTERN = r"^(rfm:[a-z][a-z0-9_]{0,39}|shopify:[0-9]{1,20}|klaviyo:[A-Za-z0-9]{1,64})$"

_ID = re.compile(PATTERN.removesuffix("$") + r"\Z", re.ASCII)


@dataclass(frozen=True)
class SegmentId:
    """A segment's source, and its key there."""

    source: Source
    key: str

    def __str__(self) -> str:
        return f"{self.source}:{self.key}"


def parse_segment_id(text: str, *, field: str = "segment") -> SegmentId:
    """The parts of a segment's id; such a segment need not exist.

    Args:
        text: The id.
        field: The field that an error names.

    Raises:
        InvalidInputError: It does not have the form of an id.
    """
    if not _ID.match(text):
        raise InvalidInputError(
            f"'{text[:80]}' is not the id of a segment.",
            advice="An id is rfm:<segment>, shopify:<segment id> or klaviyo:<list id>.",
            field=field,
        )
    source, _, key = text.partition(":")
    return SegmentId(cast("Source", source), key)
