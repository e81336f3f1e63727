"""Compression of the API's answers and of pages with gzip.

Only answers to GET are compressed. Secrets (a new token, the secret of a webhook) are only in
answers to POST, which pages show with a script, so the length of a compressed answer tells nothing
about one (BREACH).
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator
from http import HTTPStatus

from flask import Response, request

_MIMETYPES = frozenset({"application/json", "text/csv", "text/html"})
_PATHS = ("/api/", "/admin")
# Below this, the headers weigh more than what is saved.
_MIN_BYTES = 1024
# Takes half the time of level 6, the default of most servers, for a tenth more bytes.
_LEVEL = 4
_GZIP_FORMAT = 16 + zlib.MAX_WBITS


def compress(response: Response) -> Response:
    """Compress a page, or a JSON or CSV answer of the API, if the client accepts gzip.

    Streamed answers stay streams: each block is sent as soon as it is compressed.
    """
    if request.method not in ("GET", "HEAD") or not request.path.startswith(_PATHS):
        return response
    if response.mimetype not in _MIMETYPES or "Content-Encoding" in response.headers:
        return response
    response.vary.add("Accept-Encoding")
    if response.status_code != HTTPStatus.OK or not request.accept_encodings["gzip"]:
        return response
    if response.is_streamed:
        response.response = _compress_blocks(response.iter_encoded())
    elif len(body := response.get_data()) >= _MIN_BYTES:
        # Without a time in its header: equal bodies stay equal.
        response.set_data(gzip.compress(body, _LEVEL, mtime=0))
    else:
        return response
    response.headers["Content-Encoding"] = "gzip"
    return response


def _compress_blocks(blocks: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(_LEVEL, wbits=_GZIP_FORMAT)
    for block in blocks:
        yield packer.compress(block) + packer.flush(zlib.Z_SYNC_FLUSH)
    yield packer.flush()
