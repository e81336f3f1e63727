"""Orders and customers asked for by their ids: what a comparison found in doubt.

An answer of null is the only proof that something is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import sql

from service.core.db import Connection, one, tenant_transaction
from service.core.queries import query
from service.shopify.client import Data, ShopifyClient, ShopifyQueryError
from service.shopify.loading import load_customers, load_orders, quarantine, read_clock
from service.shopify.parse import Node, Row, parse_customer, parse_order, sort_out
from service.shopify.segments import Source

_AT_ONCE = 50


@dataclass(frozen=True)
class _Kind:
    entity: str
    document: str
    parse: Callable[[Node], Row]
    land: Callable[[Connection, UUID, Sequence[Row], datetime], int]
    mark_missing: sql.SQL


_KINDS = (
    _Kind(
        "customer",
        "customers_by_id",
        parse_customer,
        load_customers,
        query("shopify.mark_missing_customers"),
    ),
    _Kind("order", "orders_by_id", parse_order, load_orders, query("shopify.mark_missing_orders")),
)


def refetch(source: Source) -> None:
    """Ask for everything that is noted to be read again; mark as deleted what is gone.

    Raises:
        ShopifyError: The shop cannot be read; what is left stays noted.
    """
    for kind in _KINDS:
        parameters = {"tenant_id": source.tenant_id, "entity": kind.entity}
        with tenant_transaction(source.pool, source.tenant_id, read_only=True) as conn:
            waiting = one(conn.execute(query("shopify.count_refetches"), parameters).fetchone())
        if waiting["waiting"]:
            source.progress.phase(f"{kind.entity}s one by one", total=waiting["waiting"])
        at_once = _AT_ONCE
        while source_ids := _next(source, kind, at_once):
            read_at = read_clock(source.pool, source.tenant_id)
            try:
                answers = _ask(source.client, kind, source_ids)
            except ShopifyQueryError as error:
                if "MAX_COST_EXCEEDED" not in error.codes or at_once == 1:
                    raise
                at_once //= 2
                continue
            _load(source, kind, source_ids, answers, read_at)
            source.progress.advance(len(source_ids))


def complete_lines(client: ShopifyClient, order: Data) -> None:
    """Fetch the lines of a long order that its page had no room for."""
    lines = order["lineItems"]
    while lines["pageInfo"]["hasNextPage"]:
        after = lines["pageInfo"]["endCursor"]
        found = client.run("order_lines", id=order["id"], after=after)["order"]
        if found is None:
            # Deleted since the page was read: what it had is the last there is to know.
            return
        lines["nodes"] += found["lineItems"]["nodes"]
        lines["pageInfo"] = found["lineItems"]["pageInfo"]


def _next(source: Source, kind: _Kind, at_once: int) -> list[str]:
    with tenant_transaction(source.pool, source.tenant_id, read_only=True) as conn:
        rows = conn.execute(
            query("shopify.list_refetches"),
            {"tenant_id": source.tenant_id, "entity": kind.entity, "at_once": at_once},
        ).fetchall()
    return [row["source_id"] for row in rows]


def _ask(client: ShopifyClient, kind: _Kind, source_ids: list[str]) -> list[Data | None]:
    ids = [f"gid://shopify/{kind.entity.capitalize()}/{source_id}" for source_id in source_ids]
    answers: list[Data | None] = client.run(kind.document, ids=ids)["nodes"]
    for answer in answers:
        if answer is not None and kind.entity == "order":
            complete_lines(client, answer)
    return answers


def _load(
    source: Source,
    kind: _Kind,
    source_ids: list[str],
    answers: list[Data | None],
    read_at: datetime,
) -> None:
    tenant_id = source.tenant_id
    gone = [each for each, answer in zip(source_ids, answers, strict=True) if answer is None]
    rows, rejections = sort_out((answer for answer in answers if answer is not None), kind.parse)
    parameters: dict[str, Any] = {"tenant_id": tenant_id, "entity": kind.entity}
    with tenant_transaction(source.pool, tenant_id) as conn:
        written = kind.land(conn, tenant_id, rows, read_at)
        quarantine(conn, tenant_id, kind.entity, rejections)
        deleted = one(
            conn.execute(
                kind.mark_missing,
                {**parameters, "source_ids": gone},
            ).fetchone()
        )["written"]
        conn.execute(query("shopify.delete_refetches"), {**parameters, "source_ids": source_ids})
    source.progress.count(
        reread=len(rows), rejected=len(rejections), written=written + deleted, deleted=deleted
    )
