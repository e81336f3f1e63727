"""Admission of requests: each takes one of the process's places, or is refused (capacity.py)."""

from __future__ import annotations

from flask import Response, g, request

from service.api.access import state
from service.webhooks.inbox import MAX_BODY_BYTES

# What tells how the process is, and files that take no time.
ALWAYS_ANSWERED = frozenset({"health.alive", "metrics.show_metrics", "admin.static"})
_MOST_BYTES = {"webhooks.receive_shopify": MAX_BODY_BYTES}


def admit_request() -> None:
    """Read the request's body, then take its place; before anything that takes time.

    Raises:
        OverloadedError: The process does as much as it may.
        RequestEntityTooLarge: The body is too large.
    """
    if request.endpoint in ALWAYS_ANSWERED:
        return
    if request.content_length or "Transfer-Encoding" in request.headers:
        most = _MOST_BYTES.get(request.endpoint or "")
        if most is not None:
            request.max_content_length = most
        reading = state().capacity.bodies.take()
        try:
            request.get_data()
        finally:
            reading.release()
    g.place = state().capacity.requests.take()


def release_request(response: Response) -> Response:
    """Leave the request's place, as soon as it is answered.

    A download is still being sent; it has another place (csv_answer.py).
    """
    leave_place()
    return response


def leave_place(_error: BaseException | None = None) -> None:
    """Leave the request's place, also after an error that nothing answered."""
    if "place" in g:
        g.place.release()
