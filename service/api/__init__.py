"""The JSON API under ``/api/admin``: a blueprint per area, its SQL in ``sql/`` beside it."""

from __future__ import annotations

from apiflask import APIBlueprint

from service.api import health, runs, samples, segments, tenant


def blueprints() -> tuple[APIBlueprint, ...]:
    """Every area of the API."""
    return (
        health.blueprint,
        tenant.blueprint,
        segments.blueprint,
        samples.blueprint,
        runs.blueprint,
    )
