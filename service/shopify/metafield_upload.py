"""Many changes of metafields at once: a file of variables, and a bulk mutation that runs over it.

A line of the file is a batch of changes. The upload has an id before Shopify is asked, which is
part of the mutation's name: if the answer is lost, or the process dies, the operation is found by
it. What the operation has done is applied once it has ended; the rest stays, to be sent call by
call.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import IO, Any
from uuid import UUID, uuid4

import httpx
import structlog

from service.core.db import Connection, one, tenant_transaction
from service.core.http import TransientError, open_client, read_json, retry_transient, send
from service.core.queries import query
from service.shopify.bulk import BUSY, wait_for_operation
from service.shopify.client import Data, ShopifyClient, document
from service.shopify.errors import ShopifyUnavailableError, ShopifyUnknownOutcomeError
from service.shopify.jsonl import DamagedFileError, FileGoneError, check_file_url, read_blocks
from service.shopify.metafields import FIELDS, NAMESPACE, Config, read_config
from service.shopify.source import Source

log = structlog.get_logger(__name__)

# Shopify takes files of 100 MB. A batch has at most 25 metafields, of 160 bytes at most: a customer
# id has up to 20 digits, a segment's key up to 40 letters.
MOST_BATCHES = 25_000
# A file has up to 100 MB.
_UPLOAD_SECONDS = 1800.0
_FIRST_POLL_SECONDS = 0.1
_SLOWEST_POLL_SECONDS = 10.0
# How many of the newest operations are searched for one whose id was lost.
_LISTED = 50
_ROWS_PER_FETCH = 5000
_COMMENT = re.compile(r"^#.*\n", re.MULTILINE)
_MUTATION_NAME = "MetafieldsSet"


def current_config(source: Source) -> Config:
    """The tenant's choice at this moment: it may change while a run writes."""
    with tenant_transaction(source.pool, source.tenant_id, read_only=True) as conn:
        return read_config(conn, source.tenant_id)


def metafield_inputs(changes: Iterable[Mapping[str, Any]]) -> list[Data]:
    """Changes of customers as Shopify's ``MetafieldsSetInput``, without a type."""
    return [
        {
            "ownerId": f"gid://shopify/Customer/{change['customer_id']}",
            "namespace": NAMESPACE,
            "key": field.key,
            "value": str(change[column]),
        }
        for change in changes
        for column, field in FIELDS.items()
        if change[column] is not None
    ]


def metafield_identifiers(changes: Iterable[Mapping[str, Any]]) -> list[Data]:
    """All metafields of customers as Shopify's ``MetafieldIdentifierInput``."""
    return [
        {
            "ownerId": f"gid://shopify/Customer/{change['customer_id']}",
            "namespace": NAMESPACE,
            "key": field.key,
        }
        for change in changes
        for field in FIELDS.values()
    ]


def upload_changes(source: Source, batches: int, patience: float) -> float:
    """Set the metafields of the first batches by a bulk mutation; the share that it has set.

    Not all of them if Shopify refuses the operation, or some lines, or ends it early, or if
    metafields are turned off meanwhile.

    Args:
        source: The store and the tenant.
        batches: How many batches, at most MOST_BATCHES.
        patience: Seconds that the operation may wait for a free slot or make no progress.

    Raises:
        ShopifyError: As :meth:`ShopifyClient.run`.
    """
    source.progress.phase("metafields: waiting for Shopify")
    upload_id = uuid4()
    with tempfile.TemporaryFile("w+b") as file:
        with tenant_transaction(source.pool, source.tenant_id) as conn:
            parameters = {
                "tenant_id": source.tenant_id,
                "upload_id": upload_id,
                "batches": batches,
                "is_removal": False,
                "first_batch": 0,
                "last_batch": batches - 1,
            }
            _write_file(conn, parameters, file)
            conn.execute(query("shopify.note_sending"), parameters)
            conn.execute(query("shopify.begin_upload"), parameters)
        path = _upload(source.client, file, f"{upload_id}.jsonl")
    operation_id = None if path is None else _start(source, path, upload_id, patience)
    if operation_id is None:
        source.execute(query("shopify.end_upload"))
        return 0.0
    _record(source, upload_id, operation_id)
    return _finish(source, operation_id, batches, patience)


def finish_upload(source: Source, patience: float) -> None:
    """Apply the result of a bulk mutation that an earlier run has left, if there is one.

    If metafields have been turned off meanwhile, the operation is cancelled.

    Raises:
        ShopifyError: As :meth:`ShopifyClient.run`.
    """
    config = current_config(source)
    if config.upload_id is None:
        return
    source.progress.phase("metafields: waiting for Shopify")
    operation_id = config.operation_id or _find_operation(source.client, config.upload_id)
    if operation_id is None:
        # It was never started.
        source.execute(query("shopify.end_upload"))
        return
    _record(source, config.upload_id, operation_id)
    _finish(source, operation_id, config.upload_batches, patience)


def _write_file(conn: Connection, parameters: Mapping[str, Any], file: IO[bytes]) -> None:
    """A line for each batch: the line's number is the batch's."""
    expected = 0
    with conn.cursor(name="upload") as cursor:
        cursor.itersize = _ROWS_PER_FETCH
        cursor.execute(query("shopify.list_upload"), parameters)
        for batch, changes in groupby(cursor, key=lambda row: row["batch"]):
            # The customers of a batch may have been erased meanwhile.
            file.write(_line([]) * (batch - expected))
            file.write(_line(metafield_inputs(changes)))
            expected = batch + 1


def _line(inputs: list[Data]) -> bytes:
    return json.dumps({"metafields": inputs}, separators=(",", ":")).encode() + b"\n"


def _upload(client: ShopifyClient, file: IO[bytes], name: str) -> str | None:
    """Upload a file for a bulk mutation; its path, or None if Shopify refuses it."""
    given = {
        "resource": "BULK_MUTATION_VARIABLES",
        "filename": name,
        "mimeType": "text/jsonl",
        "httpMethod": "POST",
    }
    payload = client.run("staged_upload_create", input=[given])["stagedUploadsCreate"] or {}
    if problems := payload.get("userErrors") or []:
        log.warning("no upload for a bulk mutation", reasons=[each["message"] for each in problems])
        return None
    (target,) = payload["stagedTargets"]
    parameters = {each["name"]: each["value"] for each in target["parameters"]}
    check_file_url(target["url"], client.address)
    # The upload is signed by its parameters, and gets no access token.
    with open_client({}, provider="shopify", within=_UPLOAD_SECONDS) as http:

        def post() -> httpx.Response:
            file.seek(0)
            content = {"file": (name, file, "text/jsonl")}
            return send(http, "POST", target["url"], data=parameters, files=content)

        try:
            response = retry_transient(post)
        except TransientError as error:
            raise ShopifyUnavailableError(
                f"The upload to Shopify keeps failing: {error}."
            ) from None
    if not response.is_success:
        log.warning("an upload for a bulk mutation was refused", status=response.status_code)
        return None
    return str(parameters["key"])


def _start(source: Source, path: str, upload_id: UUID, patience: float) -> str | None:
    """Start the bulk mutation.

    None when no slot is free for too long, it is not allowed, or metafields are turned off.
    """
    client = source.client
    give_up_at = time.monotonic() + patience
    pause = _FIRST_POLL_SECONDS
    mutation = mutation_text(upload_id)
    while current_config(source).is_enabled:
        try:
            payload = client.run(
                "bulk_run_mutation", is_repeatable=False, mutation=mutation, path=path
            )["bulkOperationRunMutation"]
        except ShopifyUnknownOutcomeError:
            if found := _find_operation(client, upload_id):
                return found
            payload = {"userErrors": [{"code": "OPERATION_IN_PROGRESS"}]}
        problems = (payload or {}).get("userErrors") or []
        if not problems and (payload or {}).get("bulkOperation"):
            return str(payload["bulkOperation"]["id"])
        if not problems or any(problem["code"] not in BUSY for problem in problems):
            reasons = [problem["message"] for problem in problems]
            log.warning("no bulk mutation; sending changes call by call", reasons=reasons)
            return None
        if time.monotonic() >= give_up_at:
            log.info("no free slot for a bulk mutation; sending changes call by call")
            return None
        time.sleep(pause)
        pause = min(pause * 2, _SLOWEST_POLL_SECONDS)
    return None


def mutation_text(upload_id: UUID) -> str:
    """The mutation that runs over the lines of an upload, which its name tells."""
    text = _COMMENT.sub("", document("metafields_set"))
    return text.replace(_MUTATION_NAME, f"{_MUTATION_NAME}_{upload_id.hex}", 1)


def _find_operation(client: ShopifyClient, upload_id: UUID) -> str | None:
    """The operation of an upload, if it was started."""
    nodes = client.run("bulk_operations", first=_LISTED)["bulkOperations"]["nodes"]
    name = f"{_MUTATION_NAME}_{upload_id.hex}"
    return next((node["id"] for node in nodes if name in node["query"]), None)


def _record(source: Source, upload_id: UUID, operation_id: str) -> None:
    source.execute(
        query("shopify.record_upload_operation"), upload_id=upload_id, operation_id=operation_id
    )


def _finish(source: Source, operation_id: str, batches: int, patience: float) -> float:
    """Wait for the end of an operation and apply what it has done; the share of its batches."""
    ended = wait_for_operation(
        source.client, operation_id, patience, lambda: current_config(source).is_enabled
    )
    if ended is not None and ended["status"] != "COMPLETED":
        log.warning("a bulk mutation ended early", status=ended["status"], code=ended["errorCode"])
    done: list[int] = []
    if ended is not None and (url := ended["url"] or ended["partialDataUrl"]):
        try:
            done = [number for number in _accepted_lines(source.client, url) if number < batches]
        except (FileGoneError, DamagedFileError, ValueError) as error:
            # Setting a value again does no harm.
            log.warning("a bulk mutation's result cannot be read", reason=type(error).__name__)
        except TransientError as error:
            raise ShopifyUnavailableError(f"Shopify keeps failing: {error}.") from None
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        parameters = {
            "tenant_id": source.tenant_id,
            "is_removal": False,
            "batches": done,
            "customer_ids": None,
        }
        counts = one(conn.execute(query("shopify.accept_changes"), parameters).fetchone())
        conn.execute(query("shopify.end_upload"), parameters)
    source.progress.count(metafield_customers=counts["written"])
    return len(done) / max(batches, 1)


def _accepted_lines(client: ShopifyClient, url: str) -> Iterator[int]:
    """The numbers of the lines that were set; an answer with an error set nothing.

    Raises:
        FileGoneError: The result is not available.
        DamagedFileError: It is incomplete.
        ValueError: It is not as Shopify documents it.
        TransientError: It cannot be read to the end after several attempts.
    """
    for block in read_blocks(url, None, own=client.address):
        for text in block.decode().splitlines():
            answer = read_json(text)
            payload = (answer.get("data") or {}).get("metafieldsSet")
            is_set = payload is not None and not payload["userErrors"]
            if is_set and not answer.get("errors"):
                yield int(answer["__lineNumber"])
