"""Segments as targets of promo codes: which can be used, how large they are, or why they cannot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal
from uuid import UUID

import psycopg

from service.core.db import Connection
from service.core.errors import InvalidInputError
from service.core.queries import query
from service.segments.find import find_segment
from service.segments.ids import SegmentId, Source, parse_segment_id
from service.tenants.segment_rules import read_labels

Reason = Literal["deleted", "not_built", "not_read", "too_many_customers"]

_REASONS: Mapping[Reason, tuple[str, str]] = MappingProxyType(
    {
        "deleted": ("The segment no longer exists.", "Choose another segment."),
        "not_built": ("Segments have not been calculated yet.", "Start a build of segments."),
        "not_read": ("The list has not been read yet.", "Sync it with Klaviyo first."),
        "too_many_customers": (
            "It has more customers than one promo code can have.",
            "Choose a smaller segment, or make it a segment in Shopify.",
        ),
    }
)


@dataclass(frozen=True)
class SegmentTarget:
    """A segment that a promo code may be for.

    Attributes:
        id: Its id, such as ``rfm:champions``.
        label: Its name.
        source: Where it comes from.
        size: Members; None before its first build or sync.
        reachable: Those who are customers in Shopify; a code can be for them only. None if the last
            build was by a release that did not count them.
        emailable: Members with an address who accept e-mail marketing (``SUBSCRIBED`` in Shopify);
            None as above.
        as_of: When these were counted.
        reason: Why it cannot be used; None if it can.
        place: What they are sorted by, before their id.
    """

    id: str
    label: str
    source: Source
    size: int | None
    reachable: int | None
    emailable: int | None
    as_of: datetime | None
    reason: Reason | None
    place: str

    @property
    def in_words(self) -> str | None:
        """Why it cannot be used, in a sentence."""
        return None if self.reason is None else _REASONS[self.reason][0]

    @property
    def advice(self) -> str | None:
        """What to do about it."""
        return None if self.reason is None else _REASONS[self.reason][1]


@dataclass(frozen=True)
class TargetName:
    """The name of a segment that a promo code may be for, and where it comes from."""

    id: str
    label: str
    source: Source


@dataclass(frozen=True)
class Unready:
    """Segments whose members are not known yet, and why."""

    reason: Literal["not_built", "not_read"]
    segments: Sequence[str]

    @property
    def in_words(self) -> str:
        """Why, in a sentence."""
        return _REASONS[self.reason][0]

    @property
    def advice(self) -> str:
        """What to do about it."""
        return _REASONS[self.reason][1]


def list_target_names(conn: Connection, tenant_id: UUID) -> list[TargetName]:
    """The names of :func:`list_targets`, without counting members: RFM by priority, first."""
    names = [
        TargetName(f"rfm:{key}", label, "rfm")
        for key, label in read_labels(conn, tenant_id).items()
    ]
    rows = conn.execute(query("promo_codes.list_target_names"), {"tenant_id": tenant_id})
    return names + [TargetName(**row) for row in rows]


def list_targets(conn: Connection, tenant_id: UUID, most_customers: int) -> list[SegmentTarget]:
    """All segments of the tenant as targets: RFM by priority, then the others by name.

    Args:
        conn: The tenant's transaction.
        tenant_id: The tenant.
        most_customers: The most customers of one promo code.
    """
    labels = read_labels(conn, tenant_id)
    parameters = {
        "tenant_id": tenant_id,
        "rfm_segments": list(labels),
        "rfm_labels": list(labels.values()),
    }
    try:
        with conn.transaction():
            rows = conn.execute(query("promo_codes.list_targets_rfm"), parameters).fetchall()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege):
        # The first build makes the marts, and grants their schema to the service.
        rows = [
            {
                **dict.fromkeys(("size", "reachable", "emailable", "as_of")),
                "id": f"rfm:{name}",
                "label": label,
                "source": "rfm",
                "is_deleted": False,
            }
            for name, label in labels.items()
        ]
    rows += conn.execute(query("promo_codes.list_targets_shopify"), parameters).fetchall()
    rows += conn.execute(query("promo_codes.list_targets_klaviyo"), parameters).fetchall()
    order = {f"rfm:{name}": f"0 {number:03}" for number, name in enumerate(labels)}
    found = [
        _target(row, order.get(row["id"]) or f"1 {row['label'].casefold()}", most_customers)
        for row in rows
    ]
    return sorted(found, key=lambda target: (target.place, target.id))


def parse_segments(texts: Iterable[str], field: str) -> list[SegmentId]:
    """Segment ids without repetitions, in their order.

    Raises:
        InvalidInputError: One does not have the form of an id.
    """
    return [parse_segment_id(text, field=field) for text in dict.fromkeys(texts)]


def check_segments(
    conn: Connection, tenant_id: UUID, segments: Sequence[SegmentId], field: str
) -> None:
    """Check that segments exist and have data.

    Raises:
        InvalidInputError: One never existed, no longer exists, or has not been calculated or read.
    """
    for segment in segments:
        found = find_segment(conn, tenant_id, segment)
        if found is None or found.is_deleted:
            what = "has no segment" if found is None else "no longer has the segment"
            raise InvalidInputError(
                f"Your store {what} '{segment}'.",
                advice="Choose one of your store's segments; a new one must be synced first.",
                field=field,
            )
    if unready := find_unready(conn, tenant_id, segments):
        raise InvalidInputError(
            f"'{unready.segments[0]}': {unready.in_words}", advice=unready.advice, field=field
        )


def find_unready(
    conn: Connection, tenant_id: UUID, segments: Sequence[SegmentId]
) -> Unready | None:
    """Those of the segments whose members are not known yet; None if those of all are.

    The members of Shopify's segments are known with the segments.
    """
    parameters = {
        "tenant_id": tenant_id,
        "rfm": keys_of(segments, "rfm"),
        "klaviyo": keys_of(segments, "klaviyo"),
    }
    if parameters["rfm"]:
        try:
            with conn.transaction():
                rows = conn.execute(query("promo_codes.list_not_built"), parameters).fetchall()
                keys = [row["segment"] for row in rows]
        except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege):
            # The first build makes the marts, and grants their schema to the service.
            keys = keys_of(segments, "rfm")
        if keys:
            return Unready("not_built", [f"rfm:{key}" for key in keys])
    rows = conn.execute(query("promo_codes.list_not_read"), parameters).fetchall()
    if rows:
        return Unready("not_read", [f"klaviyo:{row['list_id']}" for row in rows])
    return None


def find_deleted(conn: Connection, tenant_id: UUID, ids: Iterable[str]) -> list[str]:
    """Those of the segments that no longer exist, with their name if it is known."""
    gone = []
    for text in ids:
        found = find_segment(conn, tenant_id, parse_segment_id(text))
        if found is None:
            gone.append(text)
        elif found.is_deleted:
            gone.append(f"{text} ({found.name})")
    return gone


def keys_of(segments: Iterable[SegmentId], source: Source) -> list[str]:
    """The keys of the segments that come from one source."""
    return [segment.key for segment in segments if segment.source == source]


def _target(row: Mapping[str, Any], place: str, most_customers: int) -> SegmentTarget:
    is_counted = row["as_of"] is not None
    return SegmentTarget(
        id=row["id"],
        label=row["label"],
        source=row["source"],
        size=row["size"] if is_counted else None,
        reachable=row["reachable"] if is_counted else None,
        emailable=row["emailable"] if is_counted else None,
        as_of=row["as_of"],
        reason=_reason(row, most_customers),
        place=place,
    )


def _reason(row: Mapping[str, Any], most_customers: int) -> Reason | None:
    if row["is_deleted"]:
        return "deleted"
    if row["as_of"] is None:
        return "not_built" if row["source"] == "rfm" else "not_read"
    # Shopify knows who is in a segment of its own.
    if row["source"] != "shopify":
        customers = row["size"] if row["reachable"] is None else row["reachable"]
        if customers > most_customers:
            return "too_many_customers"
    return None
