"""Bulk operations: started at Shopify, waited for, and gone on with after a restart.

An operation is noted before it is waited for, and forgotten in the transaction that lands what it
found. One that comes to nothing is followed by another one, a few times; then there is paging.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from graphql import (
    OperationDefinitionNode,
    StringValueNode,
    VariableNode,
    Visitor,
    parse,
    print_ast,
    visit,
)

from service.core.db import one, tenant_transaction
from service.core.queries import query
from service.shopify.client import Data, ShopifyClient, ShopifyRefusedError, document
from service.shopify.segments import Source

log = structlog.get_logger(__name__)

# How often an operation may come to nothing before its rows are paged instead.
ATTEMPTS = 3
_FIRST_LOOK_SECONDS = 0.1
_SLOWEST_LOOK_SECONDS = 10.0
_BUSY = frozenset({"OPERATION_IN_PROGRESS", "LIMIT_REACHED"})


@dataclass(frozen=True)
class BulkJob:
    """What is wanted in bulk.

    ``resource`` is what it is noted as, ``document`` the query's name, ``search`` what is searched
    for, and ``patience`` how many seconds an operation may get no further.
    """

    resource: str
    document: str
    patience: float
    search: str | None = None


@dataclass(frozen=True)
class Result:
    """What an operation has found.

    ``url`` is None when it found nothing, ``size`` that of the file in bytes, if known, and
    ``objects`` the number of its lines. ``is_partial`` says that it failed before its end.
    ``began_at`` is when it began by the shop's clock, ``noted_at`` by ours.
    """

    url: str | None
    size: int | None
    objects: int
    is_partial: bool
    began_at: datetime
    noted_at: datetime


def is_under_way(source: Source, resource: str) -> bool:
    """Whether an operation of an earlier sync is to be gone on with."""
    noted = _find(source, resource)
    return noted is not None and not noted["is_spent"]


def next_result(source: Source, job: BulkJob) -> Result | None:
    """What the operation under way finds, or a new one; None when bulk operations do not get on.

    Raises:
        ShopifyRefusedError: The token may not read what is asked for.
        ShopifyError: As :meth:`ShopifyClient.run`.
    """
    text = with_search(job.document, job.search)
    noted = _find(source, job.resource)
    while True:
        if noted is None or noted["is_spent"] or noted["query_hash"] != _hash(text):
            attempt = 1 if noted is None else noted["attempt"] + 1
            if attempt > ATTEMPTS:
                return None
            started = _start(source.client, text, job.patience)
            if started is None:
                return None
            noted = _note(source, job.resource, started, text, attempt)
        ended = _wait(source.client, noted["operation_id"], job.patience)
        result = None if ended is None else _result(ended, noted)
        if result is not None:
            return result
        consume(source, job.resource)
        noted = {**noted, "is_spent": True}


def consume(source: Source, resource: str) -> None:
    """Note that nothing more is to be had of the operation under way."""
    parameters = {"tenant_id": source.tenant_id, "resource": resource}
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        conn.execute(query("shopify.consume_bulk_operation"), parameters)


def delete_operation(source: Source, resource: str) -> None:
    """Forget the operation that was noted, because its rows have been read in another way."""
    parameters = {"tenant_id": source.tenant_id, "resource": resource}
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        conn.execute(query("shopify.delete_bulk_operation"), parameters)


def with_search(name: str, search: str | None) -> str:
    """A document with its variable ``$query`` written in, as a bulk query has to be."""
    return print_ast(visit(parse(document(name)), _WithSearch(search)))


class _WithSearch(Visitor):
    def __init__(self, search: str | None) -> None:
        super().__init__()
        self._search = search or ""

    def enter_operation_definition(
        self, node: OperationDefinitionNode, *_args: Any
    ) -> OperationDefinitionNode:
        return OperationDefinitionNode(
            operation=node.operation,
            name=node.name,
            variable_definitions=(),
            directives=node.directives,
            selection_set=node.selection_set,
        )

    def enter_variable(self, _node: VariableNode, *_args: Any) -> StringValueNode:
        return StringValueNode(value=self._search)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _find(source: Source, resource: str) -> dict[str, Any] | None:
    with tenant_transaction(source.pool, source.tenant_id, read_only=True) as conn:
        return conn.execute(
            query("shopify.find_bulk_operation"),
            {"tenant_id": source.tenant_id, "resource": resource},
        ).fetchone()


def _note(source: Source, resource: str, started: Data, text: str, attempt: int) -> dict[str, Any]:
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        noted = conn.execute(
            query("shopify.record_bulk_operation"),
            {
                "tenant_id": source.tenant_id,
                "resource": resource,
                "operation_id": started["id"],
                "query_hash": _hash(text),
                "began_at": started["createdAt"],
                "attempt": attempt,
            },
        ).fetchone()
    return one(noted)


def _start(client: ShopifyClient, text: str, patience: float) -> Data | None:
    """Start an operation; None when there is no place for it for too long, or it is not allowed.

    One whose answer was lost is started again. The first one ends by itself, and nobody reads it.
    """
    give_up_at = time.monotonic() + patience
    pause = _FIRST_LOOK_SECONDS
    while True:
        payload = client.run("bulk_run", query=text)["bulkOperationRunQuery"] or {}
        problems = payload.get("userErrors") or []
        if not problems and payload.get("bulkOperation"):
            started: Data = payload["bulkOperation"]
            return started
        if not problems or any(problem["code"] not in _BUSY for problem in problems):
            reasons = [problem["message"] for problem in problems]
            log.warning("no bulk operation; paging instead", reasons=reasons)
            return None
        if time.monotonic() >= give_up_at:
            log.info("no place for a bulk operation; paging instead")
            return None
        time.sleep(pause)
        pause = min(pause * 2, _SLOWEST_LOOK_SECONDS)


def _wait(client: ShopifyClient, operation_id: str, patience: float) -> Data | None:
    """The operation once it has ended; None when Shopify has lost it or it got no further.

    A status nobody knows yet is one that may change.
    """
    pause = _FIRST_LOOK_SECONDS
    seen = None
    give_up_at = time.monotonic() + patience
    while True:
        found: Data | None = client.run("bulk_operation", id=operation_id)["bulkOperation"]
        if found is None or found["status"] in ("COMPLETED", "FAILED", "CANCELED", "EXPIRED"):
            return found
        if (at := (found["status"], found["objectCount"])) != seen:
            seen = at
            give_up_at = time.monotonic() + patience
        elif time.monotonic() >= give_up_at:
            log.warning("giving up a bulk operation that does not get on", status=found["status"])
            client.run("bulk_cancel", id=operation_id)
            return None
        time.sleep(pause)
        pause = min(pause * 2, _SLOWEST_LOOK_SECONDS)


def _result(ended: Data, noted: dict[str, Any]) -> Result | None:
    """What an operation that has ended found; None when that is nothing to go by."""
    if ended["errorCode"] == "ACCESS_DENIED":
        raise ShopifyRefusedError(
            "The access token may not read orders and customers in bulk.",
            advice="Give the app read_orders and read_customers in Shopify, then connect the shop"
            " again.",
        )
    is_complete = ended["status"] == "COMPLETED"
    url = ended["url"] if is_complete else ended["partialDataUrl"]
    if not is_complete:
        log.warning("a bulk operation failed", status=ended["status"], code=ended["errorCode"])
        if url is None:
            return None
    objects, size = int(ended["objectCount"]), ended["fileSize"]
    if url is None and objects:
        log.warning("a bulk operation has rows and no file", objects=objects)
        return None
    return Result(
        url=url,
        size=int(size) if is_complete and size is not None else None,
        objects=objects,
        is_partial=not is_complete,
        began_at=noted["began_at"],
        noted_at=noted["noted_at"],
    )
