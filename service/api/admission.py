"""Admission of requests: each takes one of the process's slots, or is refused (capacity.py)."""

from __future__ import annotations

from flask import Response, g, request

from service.api.access import state
from service.webhooks.inbox import MAX_BODY_BYTES

# Checks of the process itself, and files that take no time.
ALWAYS_ANSWERED = frozenset({"health.alive", "metrics.show_metrics", "admin.static"})
_MAX_BODY_BYTES = {"webhooks.receive_shopify": MAX_BODY_BYTES}


def admit_request() -> None:
    """Read the request's body, then take a slot; before anything that takes time.

    Raises:
        OverloadedError: No slot is free.
        RequestEntityTooLarge: The body is too large.
    """
    if request.endpoint in ALWAYS_ANSWERED:
        return
    if request.content_length or "Transfer-Encoding" in request.headers:
        if request.endpoint in _MAX_BODY_BYTES:
            request.max_content_length = _MAX_BODY_BYTES[request.endpoint]
        reading = state().capacity.bodies.take()
        try:
            request.get_data()
        finally:
            reading.release()
    g.slot = state().capacity.requests.take()


def end_request(response: Response) -> Response:
    """Release the slot as soon as the request is answered.

    A download is still being sent; it has a slot of its own (csv_answer.py).
    """
    release_slot()
    return response


def release_slot(_error: BaseException | None = None) -> None:
    """Release the slot, also after an error that nothing answered."""
    if "slot" in g:
        g.slot.release()
