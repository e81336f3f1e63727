"""Prometheus metrics of the web service."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint
from flask import Response, g, request
from prometheus_client import CONTENT_TYPE_LATEST

from service.api.access import state
from service.api.problem_docs import can_answer
from service.api.problems import NotSignedInError
from service.core.metrics import may_read, process_metrics

_METRICS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Metrics in Prometheus' text format",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}

blueprint = APIBlueprint("metrics", __name__, tag="Health")


@blueprint.get("/metrics")
@blueprint.doc(responses=_METRICS)
@can_answer("sign-in-required")
def show_metrics() -> Response:
    """Metrics of all processes of this service, for this machine or with the metrics token."""
    g.is_quiet = True
    if not may_read(state().settings, request.remote_addr, request.headers.items()):
        raise NotSignedInError(
            "Reading metrics from another machine needs the metrics token.",
            advice="Set QUINTILE_METRICS_TOKEN and send Authorization: Bearer <token>.",
        )
    return Response(process_metrics(), content_type=CONTENT_TYPE_LATEST)
