"""Events."""

from __future__ import annotations

from service.jobs.progress import Progress
from service.klaviyo.push import Target


def send_events(target: Target, progress: Progress, *, bulk_from: int) -> None:
    """To be written."""
