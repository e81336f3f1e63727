"""Bulk mutations: one mutation, run once for each line of a staged file of variables.

Each line of the result is the answer to one line of the file, with its number; answers need not
come in the file's order. Messages and codes are those of answers recorded with 2026-04.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    OperationType,
    execute_sync,
    parse,
    validate,
)

from .bulk import RUNNING_AT_ONCE, BulkOperation, document_of, start
from .uploads import MOST_BYTES

if TYPE_CHECKING:
    from .store import Store

# A bulk mutation must not start another operation.
_FORBIDDEN = frozenset({"bulkOperationRunMutation", "bulkOperationRunQuery"})
Document = dict[str, Any]


class _RefusedError(Exception):
    def __init__(self, message: str, code: str | None, field: list[str] | None = None) -> None:
        super().__init__(message)
        self.error = {"field": field, "message": message, "code": code}


def run_mutation(
    store: Store,
    mutation: str,
    stagedUploadPath: str,  # noqa: N803 - Shopify's name
    clientIdentifier: str | None = None,  # noqa: ARG001, N803 - Shopify's name
) -> Document:
    """`bulkOperationRunMutation`: start an operation, or say why not."""
    try:
        document = _checked(mutation)
        lines = _read_lines(store, stagedUploadPath)
        _check_slots(store)
    except _RefusedError as refused:
        return {"bulkOperation": None, "userErrors": [refused.error]}
    operation = start(store, mutation, "MUTATION")
    operation.write = partial(_write, store, operation, document, lines)
    return {"bulkOperation": document_of(operation), "userErrors": []}


def _checked(mutation: str) -> DocumentNode:
    from .schema import executable_schema

    try:
        document = parse(mutation)
    except GraphQLSyntaxError as error:
        message = f"Failed to parse the mutation - {error.message}"
        raise _RefusedError(message, "INVALID_MUTATION") from None
    operation = document.definitions[0]
    if (
        not isinstance(operation, OperationDefinitionNode)
        or operation.operation is not OperationType.MUTATION
    ):
        message = "Invalid operation type. Only `mutation` operations are supported."
        raise _RefusedError(message, "INVALID_MUTATION")
    top = [each for each in operation.selection_set.selections if isinstance(each, FieldNode)]
    if len(document.definitions) != 1 or len(top) != 1:
        message = "You must specify a single top level mutation."
        raise _RefusedError(message, None, ["mutation"])
    if top[0].name.value in _FORBIDDEN:
        raise _RefusedError("You must use an allowed mutation name.", None, ["mutation"])
    if errors := validate(executable_schema(), document):
        raise _RefusedError(errors[0].message, "INVALID_MUTATION")
    return document


def _read_lines(store: Store, path: str) -> list[str]:
    content = store.uploads.files.get(path)
    if content is None:
        raise _RefusedError(
            "The JSONL file could not be found. Try uploading the file again, and check that you've"
            " entered the URL correctly for the stagedUploadPath mutation argument.",
            "NO_SUCH_FILE",
        )
    if not content:
        raise _RefusedError("The input file is empty.", "INVALID_STAGED_UPLOAD_FILE")
    if len(content) > MOST_BYTES:
        message = "The input file size exceeds the maximum allowed size of 100 MB."
        raise _RefusedError(message, "INVALID_STAGED_UPLOAD_FILE")
    return content.decode().splitlines()


def _check_slots(store: Store) -> None:
    running = store.bulk.running("MUTATION")
    if len(running) >= RUNNING_AT_ONCE:
        names = ", ".join(each.id for each in running[:RUNNING_AT_ONCE])
        message = (
            f"A bulk mutation operation for this app and shop is already in progress: {names}."
        )
        raise _RefusedError(message, "OPERATION_IN_PROGRESS")


def _write(
    store: Store, operation: BulkOperation, document: DocumentNode, lines: list[str], path: Path
) -> None:
    """Run the mutation for each line, up to where a failing operation ends; write the answers."""
    from .schema import executable_schema

    partial_share = operation.fault.partial
    last = len(lines) if partial_share is None else int(len(lines) * partial_share)
    answers = []
    for number, line in enumerate(lines[:last]):
        result = execute_sync(
            executable_schema(),
            document,
            context_value=store,
            variable_values=json.loads(line),
        )
        answer: Document = {"data": result.data, "__lineNumber": number}
        if result.errors:
            answer["errors"] = [dict(error.formatted) for error in result.errors]
        answers.append(json.dumps(answer, separators=(",", ":")).replace("/", "\\/"))
    operation.lines = operation.roots = len(answers)
    Random(operation.id).shuffle(answers)  # noqa: S311 - repeatable on purpose
    path.write_text("".join(f"{answer}\n" for answer in answers), encoding="utf-8")
