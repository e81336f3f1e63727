"""The JSON API under ``/api/admin``: a blueprint per area, its SQL in ``sql/`` beside it."""

from __future__ import annotations

from apiflask import APIBlueprint

from service.api import (
    audit_log,
    creators,
    customers,
    health,
    integrations,
    integrations_klaviyo,
    klaviyo,
    klaviyo_lists,
    klaviyo_records,
    metrics,
    notifications,
    people,
    privacy,
    promo_codes,
    rfm,
    rfm_figures,
    rfm_settings,
    runs,
    samples,
    samples_settings,
    schedules,
    segment_list,
    segment_members,
    segment_rules,
    segments,
    segments_klaviyo,
    tenant,
    tokens,
    webhooks,
)


def blueprints() -> tuple[APIBlueprint, ...]:
    """Every area of the API."""
    return (
        health.blueprint,
        metrics.blueprint,
        tenant.blueprint,
        segment_rules.blueprint,
        segment_list.blueprint,
        segment_members.blueprint,
        segments.blueprint,
        customers.blueprint,
        segments_klaviyo.blueprint,
        rfm.blueprint,
        rfm_figures.blueprint,
        rfm_settings.blueprint,
        samples.blueprint,
        samples_settings.blueprint,
        creators.blueprint,
        integrations.blueprint,
        klaviyo_lists.blueprint,
        klaviyo.blueprint,
        klaviyo_records.blueprint,
        promo_codes.blueprint,
        notifications.blueprint,
        integrations_klaviyo.blueprint,
        runs.blueprint,
        schedules.blueprint,
        webhooks.blueprint,
        webhooks.admin_blueprint,
        privacy.blueprint,
        tokens.blueprint,
        audit_log.blueprint,
        people.blueprint,
    )
