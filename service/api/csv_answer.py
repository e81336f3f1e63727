"""Downloads of lists as CSV files."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from flask import Response, stream_with_context

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
    """
    first = next(blocks)
    return Response(
        stream_with_context(chain([first], blocks)),
        mimetype="text/csv",
        headers={"Content-Disposition": f"attachment; filename={filename}"},
    )
