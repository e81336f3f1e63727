"""Checks of the lists that are synced with Klaviyo, and of the revision of its API."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime

from service.core.config import Settings
from service.core.db import Connection
from service.destinations.configs import lists_to_attend_to
from service.doctor.finding import Finding
from service.klaviyo.client import KlaviyoRevisionError
from service.klaviyo.revision import served_until
from service.tenants.tenants import list_tenants

# A release of Quintile every quarter leaves two of them to move to a newer revision.
_WARNING_DAYS = 180


def check_revision(settings: Settings, today: date | None = None) -> Iterator[Finding]:
    """How long Klaviyo still serves the revision of its API."""
    revision = settings.klaviyo_revision
    ends_on = served_until(revision)
    today = today or datetime.now(UTC).date()
    if ends_on is None:
        message = f"'{revision}' is no revision of Klaviyo's API, which is a date"
        yield Finding("error", "klaviyo", message, KlaviyoRevisionError.advice)
    elif ends_on <= today:
        message = f"Klaviyo retired revision {revision} of its API on {ends_on}"
        yield Finding("error", "klaviyo", message, KlaviyoRevisionError.advice)
    elif (ends_on - today).days <= _WARNING_DAYS:
        message = f"Klaviyo retires revision {revision} of its API on {ends_on}"
        yield Finding("warning", "klaviyo", message, KlaviyoRevisionError.advice)
    else:
        message = f"revision {revision} of Klaviyo's API is supported until {ends_on}"
        yield Finding("ok", "klaviyo", message)


def check_lists(conn: Connection) -> Iterator[Finding]:
    """Synced lists that are paused or wait for approval, and why."""
    for tenant in list_tenants(conn):
        tenant_id, name = tenant["tenant_id"], tenant["name"]
        for item in lists_to_attend_to(conn, tenant_id):
            yield Finding("warning", "klaviyo", f"{name}: {item.message()}", item.advice(name))
