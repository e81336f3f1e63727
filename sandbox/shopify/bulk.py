"""Bulk operations: what runs by itself and leaves a JSONL file behind. Here, queries.

Strict about what Shopify forbids in a bulk query. An operation advances each time it is
polled: CREATED, RUNNING, COMPLETED. Its file lies on disk, is written a page at a time and has its
lines shuffled, so that a child may come before its parent or long after it.
"""

from __future__ import annotations

import gzip
import json
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Literal
from uuid import NAMESPACE_URL, uuid5

from flask import Response, request
from graphql import DocumentNode, execute_sync, parse

from .bulk_query import InvalidBulkQueryError, check_bulk_query, root_key, with_pages
from .paging import Index, connection, window

if TYPE_CHECKING:
    from .store import Store

BULK_PATH = "/bulk-operation-outputs/"
RUNNING_AT_ONCE = 5
_PAGE = 250
# How far a line may be carried from where it would have been.
_SHUFFLED_LINES = 400
_FINAL = frozenset({"CANCELED", "COMPLETED", "EXPIRED", "FAILED"})
_CHUNK_BYTES = 64 * 1024
_FIRST_NUMBER = 7_933_223_000_000
Document = dict[str, Any]
Kind = Literal["QUERY", "MUTATION"]


@dataclass(frozen=True)
class BulkFault:
    """What should go wrong with the next operation.

    `status` is how it ends instead of COMPLETED, `error_code` why; `partial` is the share of its
    lines that a failed one does, and leaves behind. `is_endless` keeps it running; `is_url_expired`
    lets its file be gone when it is asked for, `has_no_file` loses it at once; `extra_line` is
    appended to the file as it is.
    """

    status: str = "COMPLETED"
    error_code: str | None = None
    partial: float | None = None
    is_endless: bool = False
    is_url_expired: bool = False
    has_no_file: bool = False
    extra_line: str | None = None


@dataclass(slots=True)
class BulkOperation:
    """One operation. `looks` counts how often it was polled; `write` writes its file."""

    id: str
    query: str
    created_at: datetime
    is_grouped: bool
    fault: BulkFault
    kind: Kind = "QUERY"
    write: Callable[[Path], None] | None = None
    status: str = "CREATED"
    error_code: str | None = None
    looks: int = 0
    lines: int = 0
    roots: int = 0
    file: Path | None = None
    is_url_expired: bool = False


@dataclass
class BulkJobs:
    """The bulk operations of one store, and what should go wrong with future ones.

    Files are served from the byte that is asked for, unless `has_ranges` is off; `is_compressed`
    sends them packed, whether or not the client likes it.
    """

    operations: dict[str, BulkOperation] = field(default_factory=dict)
    faults: list[BulkFault] = field(default_factory=list)
    has_ranges: bool = True
    is_compressed: bool = False
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="sandbox-bulk-")))

    def __post_init__(self) -> None:
        """Let the files go with the store."""
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def running(self, kind: Kind = "QUERY") -> list[BulkOperation]:
        """Those that hold one of the five places of their kind, oldest first."""
        return [
            each
            for each in self.operations.values()
            if each.kind == kind and each.status not in _FINAL
        ]

    def expire_files(self) -> None:
        """Let a week pass: no file can be had any more."""
        for operation in self.operations.values():
            operation.is_url_expired = True


def run_query(store: Store, query: str, groupObjects: bool = False) -> Document:  # noqa: N803
    """`bulkOperationRunQuery`: start an operation, or say why not."""
    try:
        check_bulk_query(query)
    except InvalidBulkQueryError as error:
        return _refused(["query"], str(error), "INVALID")
    jobs = store.bulk
    if running := jobs.running()[:RUNNING_AT_ONCE]:
        names = ", ".join(each.id for each in running)
        if len(running) == RUNNING_AT_ONCE:
            message = (
                f"A bulk query operation for this app and shop is already in progress: {names}."
            )
            return _refused(None, message, "OPERATION_IN_PROGRESS")
    operation = start(store, query, "QUERY")
    operation.is_grouped = groupObjects
    operation.write = partial(_write, store, operation)
    return {"bulkOperation": document_of(operation), "userErrors": []}


def start(store: Store, text: str, kind: Kind) -> BulkOperation:
    """Add an operation, with what should go wrong with it."""
    jobs = store.bulk
    number = _FIRST_NUMBER + len(jobs.operations) * 32_768
    operation = BulkOperation(
        id=f"gid://shopify/BulkOperation/{number}",
        query=text,
        created_at=store.clock(),
        is_grouped=False,
        kind=kind,
        fault=jobs.faults.pop(0) if jobs.faults else BulkFault(),
    )
    jobs.operations[operation.id] = operation
    return operation


def list_operations(store: Store, **args: Any) -> Document:
    """`bulkOperations`, in the order of their creation."""
    found = list(store.bulk.operations.values())
    index = Index([(position, position) for position in range(len(found))], found)
    return connection(index, window(args, _PAGE), document_of)


def find(store: Store, id: str) -> Document | None:  # noqa: A002 - Shopify's name
    """`bulkOperation(id:)`; each look brings it closer to its end."""
    operation = store.bulk.operations.get(id)
    if operation is None:
        return None
    operation.looks += 1
    if operation.status == "CANCELING":
        operation.status = "CANCELED"
    elif operation.status == "CREATED" and operation.looks > 1:
        operation.status = "RUNNING"
    elif operation.status == "RUNNING" and not operation.fault.is_endless:
        _finish(store, operation)
    return document_of(operation)


def cancel(store: Store, id: str) -> Document:  # noqa: A002 - Shopify's name
    """`bulkOperationCancel`."""
    operation = store.bulk.operations.get(id)
    if operation is None:
        message = "Bulk operation does not exist"
        return {"bulkOperation": None, "userErrors": [{"field": ["id"], "message": message}]}
    if operation.status in _FINAL:
        message = "A bulk operation cannot be canceled when it is " + operation.status.lower()
        error = {"field": None, "message": message}
        return {"bulkOperation": document_of(operation), "userErrors": [error]}
    operation.status = "CANCELING"
    return {"bulkOperation": document_of(operation), "userErrors": []}


def download(stores: list[Store], name: str) -> Response:
    """The file of an operation, from the byte a `Range` header names.

    It is not Shopify that serves these files: who shows it the access token gives it away.
    """
    if "X-Shopify-Access-Token" in request.headers:
        return Response("<Error><Code>TokenLeaked</Code></Error>", 400, content_type="text/xml")
    for store in stores:
        for operation in list(store.bulk.operations.values()):
            if operation.file is not None and operation.file.name == name:
                return _file_response(store.bulk, operation, operation.file)
    return Response("<Error><Code>NoSuchKey</Code></Error>", 404, content_type="text/xml")


def _file_response(jobs: BulkJobs, operation: BulkOperation, file: Path) -> Response:
    if operation.is_url_expired:
        return Response("<Error><Code>ExpiredToken</Code></Error>", 400, content_type="text/xml")
    if jobs.is_compressed:
        packed = gzip.compress(file.read_bytes())
        return Response(packed, headers={"Content-Encoding": "gzip"})
    size = file.stat().st_size
    asked = request.headers.get("Range", "") if jobs.has_ranges else ""
    begin = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
    if begin >= size > 0:
        return Response(status=416, headers={"Content-Range": f"bytes */{size}"})
    response = Response(_chunks(file, begin), 206 if asked else 200)
    response.headers["Content-Type"] = "application/jsonl"
    response.headers["Content-Length"] = str(size - begin)
    response.headers["ETag"] = f'"{file.stem}"'
    if asked:
        response.headers["Content-Range"] = f"bytes {begin}-{size - 1}/{size}"
    return response


def _chunks(path: Path, begin: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(begin)
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def _refused(where: list[str] | None, message: str, code: str) -> Document:
    error = {"field": where, "message": message, "code": code}
    return {"bulkOperation": None, "userErrors": [error]}


def document_of(operation: BulkOperation) -> Document:
    """The operation as Shopify shows it: counts are strings, and `url` is null without rows."""
    file = operation.file
    url = f"{request.url_root.rstrip('/')}{BULK_PATH}{file.name}" if file else None
    is_complete = operation.status == "COMPLETED"
    has_ended = operation.status in _FINAL
    return {
        "__typename": "BulkOperation",
        "id": operation.id,
        "status": operation.status,
        "type": operation.kind,
        "errorCode": operation.error_code,
        "createdAt": operation.created_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "completedAt": (
            operation.created_at.isoformat(timespec="seconds").replace("+00:00", "Z")
            if has_ended
            else None
        ),
        "objectCount": str(operation.lines),
        "rootObjectCount": str(operation.roots),
        "fileSize": str(file.stat().st_size) if file and is_complete else None,
        "url": f"{url}?Signature=sandbox" if url and is_complete else None,
        "partialDataUrl": f"{url}?Signature=sandbox" if url and not is_complete else None,
        "query": operation.query,
    }


def _finish(store: Store, operation: BulkOperation) -> None:
    fault = operation.fault
    operation.status, operation.error_code = fault.status, fault.error_code
    operation.is_url_expired = fault.is_url_expired
    if fault.status != "COMPLETED" and fault.partial is None:
        return
    name = uuid5(NAMESPACE_URL, f"{store.data.domain}/{operation.id}")
    path = store.bulk.folder / f"{name}.jsonl"
    try:
        if operation.write is not None:
            operation.write(path)
    except _FailedError as error:
        operation.status, operation.error_code = "FAILED", error.code
        path.unlink()
        return
    if fault.partial is not None and operation.kind == "QUERY":
        _cut(path, fault.partial)
    if fault.extra_line is not None:
        with path.open("a", encoding="utf-8") as file:
            file.write(fault.extra_line + "\n")
        operation.lines += 1
    operation.file = path if path.stat().st_size and not fault.has_no_file else None


class _FailedError(Exception):
    """The query fails: the token may not ask for it, or a record cannot be served."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def _write(store: Store, operation: BulkOperation, path: Path) -> None:
    """Write the operation's lines, each at most some hundred places from where it belongs."""
    rng = Random(operation.id)  # noqa: S311 - repeatable on purpose
    document = parse(operation.query)
    held: list[str] = []
    with path.open("w", encoding="utf-8") as file:
        for node in _roots(store, document):
            operation.roots += 1
            for line in _lines(node, None):
                operation.lines += 1
                text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
                held.append(text.replace("/", "\\/"))
                if operation.is_grouped or len(held) > _SHUFFLED_LINES:
                    position = rng.randrange(len(held))  # of one, while lines are grouped
                    held[position], held[-1] = held[-1], held[position]
                    file.write(held.pop() + "\n")
        rng.shuffle(held)
        file.writelines(f"{line}\n" for line in held)


def _cut(path: Path, share: float) -> None:
    """Leave the first lines of a file: what an operation had written when it failed."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[: int(len(lines) * share)]), encoding="utf-8")


def _roots(store: Store, document: DocumentNode) -> Iterator[Document]:
    """Every node of the query's root connection, read a page at a time."""
    from .schema import executable_schema

    schema, key = executable_schema(), root_key(document)
    paged = with_pages(schema, document, _PAGE)
    after: str | None = None
    while True:
        result = execute_sync(
            schema, paged, context_value=store, variable_values={"bulkAfter": after}
        )
        if result.errors or result.data is None:
            codes = {str((each.extensions or {}).get("code")) for each in result.errors or ()}
            is_denied = "ACCESS_DENIED" in codes
            raise _FailedError("ACCESS_DENIED" if is_denied else "INTERNAL_SERVER_ERROR")
        page = result.data[key]
        yield from (edge["node"] for edge in page["edges"])
        if not page["pageInfo"]["hasNextPage"]:
            return
        after = page["pageInfo"]["endCursor"]


def _lines(node: Document, parent_id: str | None) -> Iterator[Document]:
    """A node as a line of its own, followed by those of its connections."""
    children = {key: value for key, value in node.items() if _is_connection(value)}
    line = {key: value for key, value in node.items() if key not in children}
    yield line if parent_id is None else {**line, "__parentId": parent_id}
    for child in children.values():
        for edge in child["edges"]:
            yield from _lines(edge["node"], node["id"])


def _is_connection(value: object) -> bool:
    return isinstance(value, dict) and set(value) == {"edges"}
