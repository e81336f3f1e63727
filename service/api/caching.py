"""Conditional GET: an ``ETag`` for every JSON answer, and 304 for a client that has it."""

from __future__ import annotations

import hashlib
from http import HTTPStatus

from flask import Response, request

_SAFE_METHODS = frozenset({"GET", "HEAD"})


def revalidate(response: Response) -> Response:
    """Give a JSON answer of the API an ``ETag``, or answer 304 if the client has the same one.

    The tag is a digest of the body, so it also works after a restart and on another server. It is
    weak (RFC 9110, 8.8.1), because the compressed and the plain answer share it. The body is still
    calculated: a 304 saves the transfer, not the query.

    Downloads have none: they are streamed, or hold a person's data that no cache should keep.
    """
    if (
        request.method not in _SAFE_METHODS
        or not request.path.startswith("/api/")
        or response.status_code != HTTPStatus.OK
        or response.mimetype != "application/json"
        or response.is_streamed
        or "Content-Disposition" in response.headers
    ):
        return response
    response.set_etag(hashlib.sha256(response.get_data()).hexdigest()[:32], weak=True)
    # The client may keep the answer, and asks each time whether it is still right.
    response.headers["Cache-Control"] = "private, no-cache"
    response.make_conditional(request)
    return response
