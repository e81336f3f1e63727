"""Who may use a promo code: the plan, compared in SQL with what Shopify has accepted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import psycopg

from service.core.db import Connection, one
from service.core.errors import QuintileError
from service.core.queries import query
from service.promo_codes.segments import find_deleted, find_unready, keys_of, parse_segments
from service.segments.ids import SegmentId

Kind = Literal["segment", "customer"]


class NotBuiltError(QuintileError):
    """Segments have not been calculated yet."""

    advice = "Start a build of segments. The promo code is updated after it."


class CodeDeletedError(QuintileError):
    """The promo code was deleted here while it was updated, and its discount was kept."""


@dataclass(frozen=True)
class Problem:
    """Why a promo code is not up to date: a kind for programs, a sentence, and what to do."""

    kind: str
    message: str
    advice: str


@dataclass(frozen=True)
class Plan:
    """Who may use a code.

    ``members`` are the segments or customers, ``unreachable`` members of the segments who are no
    customers in Shopify. With a ``problem`` nobody is added, but who has left is removed.
    """

    kind: Kind
    members: int
    unreachable: int
    problem: Problem | None = None


def kind_of(segments: Sequence[str], excluded_segments: Sequence[str]) -> Kind:
    """What a code is for in Shopify: its segments if that says it all, and customers otherwise."""
    is_shopify = all(text.startswith("shopify:") for text in segments)
    return "segment" if is_shopify and not excluded_segments else "customer"


def plan_targets(
    conn: Connection, tenant_id: UUID, code: Mapping[str, Any], most_customers: int
) -> Plan:
    """Plan the targets of a code, and mark those to add and to remove.

    A segment that is gone would take an exclusion with it, or leave a code without targets. One
    whose members are not known would exclude nobody. So while there is one, nobody is added.

    Args:
        conn: A transaction of the tenant.
        tenant_id: The tenant.
        code: A row of ``app.promo_codes``.
        most_customers: The most customers of one code.

    Raises:
        CodeDeletedError: The code was deleted here meanwhile.
        NotBuiltError: dbt has not built the marts yet.
    """
    hold_code(conn, tenant_id, code["promo_code_id"])
    gone = find_deleted(conn, tenant_id, [*code["segments"], *code["excluded_segments"]])
    kind = kind_of(code["segments"], code["excluded_segments"])
    counts = _fill(conn, tenant_id, kind, code["segments"], code["excluded_segments"], gone)
    segments = parse_segments([*code["segments"], *code["excluded_segments"]], "segments")
    unready = find_unready(conn, tenant_id, segments)
    problem = None
    if gone:
        problem = Problem(
            "segment_deleted",
            f"Segments of the promo code no longer exist: {', '.join(gone)}.",
            "Change its segments. Until then nobody is added, and who has left is removed.",
        )
    elif unready is not None:
        problem = Problem(
            unready.reason,
            f"{unready.in_words} The promo code is for or without: {', '.join(unready.segments)}.",
            f"{unready.advice} Until then nobody is added, and who has left is removed.",
        )
    elif kind == "customer" and counts["members"] > most_customers:
        problem = too_many(counts["members"], most_customers)
    ids = {"tenant_id": tenant_id, "promo_code_id": code["promo_code_id"], "kind": kind}
    conn.execute(query("promo_codes.withdraw_targets"), ids)
    conn.execute(query("promo_codes.forget_refused"), ids)
    if problem is None:
        conn.execute(query("promo_codes.add_targets"), ids)
    held_back = one(conn.execute(query("promo_codes.count_held_back"), ids).fetchone())
    conn.execute(query("promo_codes.record_plan"), {**ids, **counts, **held_back})
    return Plan(kind, counts["members"], counts["unreachable"], problem)


def hold_code(conn: Connection, tenant_id: UUID, promo_code_id: UUID) -> None:
    """Keep a promo code from being changed or deleted until the end of the transaction.

    Raises:
        CodeDeletedError: It was deleted.
    """
    parameters = {"tenant_id": tenant_id, "promo_code_id": promo_code_id}
    if conn.execute(query("promo_codes.hold_code"), parameters).fetchone() is None:
        raise CodeDeletedError("The promo code was deleted.")


def count_customers(
    conn: Connection, tenant_id: UUID, segments: Sequence[str], excluded_segments: Sequence[str]
) -> int | None:
    """How many customers a code for these segments would have; None if that is not known yet."""
    try:
        with conn.transaction():
            return _fill(conn, tenant_id, "customer", segments, excluded_segments, ())["members"]
    except NotBuiltError:
        return None


def too_many(customers: int, most_customers: int) -> Problem:
    """The problem of a code for more customers than one can have."""
    return Problem(
        "too_many_customers",
        f"The promo code would be for {customers:,} customers; the most are {most_customers:,}.",
        "Choose smaller segments, or exclude some. A code for Shopify's own segments only, without"
        " exclusions, has no such limit.",
    )


def _fill(
    conn: Connection,
    tenant_id: UUID,
    kind: Kind,
    segments: Sequence[str],
    excluded_segments: Sequence[str],
    gone: Sequence[str],
) -> dict[str, int]:
    """Fill the table of planned targets; returns how many there are."""
    conn.execute(query("promo_codes.create_planned"))
    lost = {text.partition(" ")[0] for text in gone}
    included = parse_segments((text for text in segments if text not in lost), "segments")
    excluded = parse_segments(excluded_segments, "excluded_segments")
    parameters = {"tenant_id": tenant_id, **_keys(included), **_keys(excluded, "excluded_")}
    if kind == "segment":
        conn.execute(query("promo_codes.plan_segments"), parameters)
    else:
        try:
            conn.execute(query("promo_codes.plan_customers"), parameters)
        except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege):
            # The first build makes the marts, and grants their schema to the service.
            raise NotBuiltError from None
    counts = one(conn.execute(query("promo_codes.count_planned")).fetchone())
    return {name: int(count) for name, count in counts.items()}


def _keys(segments: Sequence[SegmentId], prefix: str = "") -> dict[str, list[str]]:
    return {
        f"{prefix}rfm": keys_of(segments, "rfm"),
        f"{prefix}shopify": keys_of(segments, "shopify"),
        f"{prefix}klaviyo": keys_of(segments, "klaviyo"),
    }
