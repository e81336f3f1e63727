"""The JSON API under ``/api/admin``: a blueprint per area, its SQL in ``sql/`` beside it."""

from __future__ import annotations

from apiflask import APIBlueprint

from service.api import (
    creators,
    health,
    integrations,
    notifications,
    privacy,
    rfm,
    rfm_settings,
    runs,
    samples,
    samples_settings,
    segments,
    tenant,
    webhooks,
)


def blueprints() -> tuple[APIBlueprint, ...]:
    """Every area of the API."""
    return (
        health.blueprint,
        tenant.blueprint,
        segments.blueprint,
        rfm.blueprint,
        rfm_settings.blueprint,
        samples.blueprint,
        samples_settings.blueprint,
        creators.blueprint,
        integrations.blueprint,
        notifications.blueprint,
        runs.blueprint,
        webhooks.blueprint,
        webhooks.admin_blueprint,
        privacy.blueprint,
    )
