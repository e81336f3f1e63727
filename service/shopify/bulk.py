"""Bulk operations: started at Shopify, awaited, and resumed after a restart.

An operation is recorded before it is awaited. The record is deleted in the transaction that loads
the result. A failed operation is followed by another one, a few times; then the caller pages.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

import structlog

from service.core.http import TransientError
from service.core.queries import query
from service.shopify.client import Data, ShopifyClient, document
from service.shopify.errors import ShopifyUnavailableError
from service.shopify.jsonl import DamagedFileError, FileGoneError
from service.shopify.source import Source
from service.shopify.withheld import without

log = structlog.get_logger(__name__)

# How many operations are tried before the rows are paged instead.
ATTEMPTS = 3
_FIRST_POLL_SECONDS = 0.1
_SLOWEST_POLL_SECONDS = 10.0
_COMMENT = re.compile(r"^#.*\n", re.MULTILINE)
# Codes of an operation that may be started once another has ended.
BUSY = frozenset({"OPERATION_IN_PROGRESS", "LIMIT_REACHED"})


@dataclass(frozen=True)
class BulkJob:
    """What to read in bulk.

    ``resource`` is the name that the operation is recorded under, ``document`` the query's name,
    ``phase`` what progress calls it, ``patience`` how many seconds an operation may make no
    progress, and ``search`` limits the query.
    """

    resource: str
    document: str
    phase: str
    patience: float
    search: str | None = None


@dataclass(frozen=True)
class Result:
    """What an operation has found.

    ``url`` is None when it found nothing, ``size`` is the file's in bytes, if known, and
    ``objects`` the number of its lines. ``is_partial`` says that the operation failed before its
    end. ``began_at`` is when it began by the shop's clock, ``noted_at`` by the database's.
    """

    url: str | None
    size: int | None
    objects: int
    is_partial: bool
    began_at: datetime
    noted_at: datetime


def is_under_way(source: Source, resource: str) -> bool:
    """Whether an earlier sync has started an operation whose result has not been used."""
    recorded = _find(source, resource)
    return recorded is not None and not recorded["is_spent"]


def run_bulk(source: Source, job: BulkJob, load: Callable[[Result], None]) -> bool:
    """Run bulk operations until ``load`` has loaded a whole result; False when none succeeds.

    ``load`` gets partial results too. It raises DamagedFileError when it cannot use a file.

    Raises:
        ShopifyError: As :meth:`ShopifyClient.run`, or the file cannot be downloaded.
    """
    while True:
        source.progress.phase(f"{job.phase}: waiting for Shopify")
        result = _next_result(source, job)
        if result is None:
            return False
        source.progress.phase(job.phase, total=result.objects)
        try:
            load(result)
            if not result.is_partial:
                return True
        except (FileGoneError, DamagedFileError) as error:
            log.warning("a bulk operation's file cannot be used", reason=error.message)
        except TransientError as error:
            raise ShopifyUnavailableError(f"Shopify keeps failing: {error}.") from None
        _consume(source, job.resource)


def _next_result(source: Source, job: BulkJob) -> Result | None:
    """What the operation under way finds, or a new one; None when none succeeds."""
    text = with_search(job.document, job.search, source.client.left_out)
    recorded = _find(source, job.resource)
    while True:
        if recorded is None or recorded["is_spent"] or recorded["query_hash"] != _hash(text):
            attempt = 1 if recorded is None else recorded["attempt"] + 1
            if attempt > ATTEMPTS:
                return None
            started = _start(source.client, text, job.patience)
            if started is None:
                return None
            recorded = _record(source, job.resource, started, text, attempt)
        ended = wait_for_operation(source.client, recorded["operation_id"], job.patience)
        if ended is not None and ended["errorCode"] == "ACCESS_DENIED":
            # It does not say what it was denied: the caller's pages find out, and do without it.
            log.warning("a bulk operation was denied access; paging instead")
            _consume(source, job.resource)
            return None
        result = None if ended is None else _result(ended, recorded)
        if result is not None:
            return result
        _consume(source, job.resource)
        recorded = {**recorded, "is_spent": True}


def _consume(source: Source, resource: str) -> None:
    """Record that the operation under way has nothing more to give."""
    source.execute(query("shopify.consume_bulk_operation"), resource=resource)


def delete_operation(source: Source, resource: str) -> None:
    """Delete the record of an operation, because its rows have been read in another way."""
    source.execute(query("shopify.delete_bulk_operation"), resource=resource)


def with_search(name: str, search: str | None, left_out: Collection[str] = ()) -> str:
    """A document with its variable ``$query`` written in: bulk queries take no variables.

    ``left_out`` are fields that the app may not ask for.
    """
    text = _COMMENT.sub("", without(document(name), left_out)).replace("($query: String)", "")
    # A JSON string is also a GraphQL string.
    return text.replace("$query", json.dumps(search or ""))


def _hash(text: str) -> str:
    # How a document is laid out does not matter to an operation that is under way.
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()


def _find(source: Source, resource: str) -> Data | None:
    found = source.execute(query("shopify.find_bulk_operation"), resource=resource)
    return found[0] if found else None


def _record(source: Source, resource: str, started: Data, text: str, attempt: int) -> Data:
    (recorded,) = source.execute(
        query("shopify.record_bulk_operation"),
        resource=resource,
        operation_id=started["id"],
        query_hash=_hash(text),
        began_at=started["createdAt"],
        attempt=attempt,
    )
    return recorded


def _start(client: ShopifyClient, text: str, patience: float) -> Data | None:
    """Start an operation; None when no slot is free for too long, or it is not allowed.

    One whose answer was lost is started again; the first one ends by itself.
    """
    give_up_at = time.monotonic() + patience
    pause = _FIRST_POLL_SECONDS
    while True:
        payload = client.run("bulk_run", query=text)["bulkOperationRunQuery"] or {}
        problems = payload.get("userErrors") or []
        if not problems and payload.get("bulkOperation"):
            started: Data = payload["bulkOperation"]
            return started
        if not problems or any(problem["code"] not in BUSY for problem in problems):
            reasons = [problem["message"] for problem in problems]
            log.warning("no bulk operation; paging instead", reasons=reasons)
            return None
        if time.monotonic() >= give_up_at:
            log.info("no free slot for a bulk operation; paging instead")
            return None
        time.sleep(pause)
        pause = min(pause * 2, _SLOWEST_POLL_SECONDS)


def wait_for_operation(
    client: ShopifyClient,
    operation_id: str,
    patience: float,
    is_wanted: Callable[[], bool] = lambda: True,
) -> Data | None:
    """The operation once it has ended; None when Shopify has lost it or it makes no progress.

    It is cancelled once ``is_wanted``, asked before each look, says no. An unknown status is taken
    for one that may change.
    """
    pause = _FIRST_POLL_SECONDS
    seen = None
    is_cancelled = False
    give_up_at = time.monotonic() + patience
    while True:
        if not is_cancelled and not is_wanted():
            client.run("bulk_cancel", id=operation_id)
            is_cancelled = True
        found: Data | None = client.run("bulk_operation", id=operation_id)["bulkOperation"]
        if found is None or found["status"] in ("COMPLETED", "FAILED", "CANCELED", "EXPIRED"):
            return found
        if (at := (found["status"], found["objectCount"])) != seen:
            seen = at
            give_up_at = time.monotonic() + patience
        elif time.monotonic() >= give_up_at:
            log.warning("canceling a bulk operation that makes no progress", status=found["status"])
            client.run("bulk_cancel", id=operation_id)
            return None
        time.sleep(pause)
        pause = min(pause * 2, _SLOWEST_POLL_SECONDS)


def _result(ended: Data, recorded: Data) -> Result | None:
    """What an operation that has ended found; None when that cannot be used."""
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
        began_at=recorded["began_at"],
        noted_at=recorded["noted_at"],
    )
