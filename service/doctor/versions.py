"""Checks of the versions of the providers' APIs that this release asks for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime

from service.core.config import Settings
from service.doctor.finding import Finding
from service.shopify.report import VERSION_END_ADVICE, describe_version_end, version_end


def check_versions(settings: Settings, today: date | None = None) -> Iterator[Finding]:
    """Whether the version of Shopify's API nears its end; ``today`` is for tests."""
    version = settings.shopify_api_version
    problem = describe_version_end(version, today or datetime.now(UTC).date())
    if problem:
        yield Finding("warning", "versions", problem, VERSION_END_ADVICE)
    elif end := version_end(version):
        message = f"version {version} of Shopify's API is supported until {end:%Y-%m-%d}"
        yield Finding("ok", "versions", message)
