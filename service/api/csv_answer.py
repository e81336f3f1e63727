"""Downloads of lists as CSV files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flask import Response, stream_with_context

from service.api.access import state
from service.api.capacity import Slot

# The answer of a download, for OpenAPI.
CSV_RESPONSES: dict[int | str, dict[str, str | dict[str, dict[str, Any]]]] = {
    200: {
        "description": "A CSV file",
        "content": {"text/csv": {"schema": {"type": "string"}}},
    }
}


def answer_csv(blocks: Iterator[bytes], filename: str) -> Response:
    """Send a CSV file while its blocks are read.

    The first block is read at once: an error in it can still be answered with a problem document.

    Raises:
        OverloadedError: As many downloads as may run at the same time are running.
    """
    slot = state().capacity.downloads.take()
    try:
        first = next(blocks)
    except BaseException:
        slot.release()
        raise
    response = Response(
        stream_with_context(_send(first, blocks, slot)),
        mimetype="text/csv",
        headers={"Content-Disposition": f"attachment; filename={filename}"},
    )
    # The client may end the download before its first block.
    response.call_on_close(slot.release)
    return response


def _send(first: bytes, blocks: Iterator[bytes], slot: Slot) -> Iterator[bytes]:
    try:
        yield first
        yield from blocks
    finally:
        slot.release()
