"""Checks of this machine: its clock and its disk."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from service.core.config import Settings
from service.core.db import Connection, one
from service.doctor.finding import Finding, Level

_now = partial(datetime.now, UTC)
# Sign-in and expiring tokens tolerate seconds; schedules and watermarks tolerate minutes.
_MAX_SKEW_SECONDS = 10
_ERROR_SKEW_SECONDS = 300
LEAST_FREE_BYTES = 2 * 2**30


def check_clock(conn: Connection, now: Callable[[], datetime] = _now) -> Iterator[Finding]:
    """How much the clocks of this machine and the database differ."""
    asked_at = now()
    row = one(conn.execute("select clock_timestamp() as at").fetchone())
    # The database read its clock at some time between question and answer.
    waited = (now() - asked_at) / 2
    skew = abs((row["at"] - asked_at - waited).total_seconds())
    if skew <= _MAX_SKEW_SECONDS:
        yield Finding("ok", "clock", "this machine and the database agree")
        return
    level: Level = "error" if skew > _ERROR_SKEW_SECONDS else "warning"
    message = f"this machine and the database differ by {skew:,.0f} seconds"
    advice = "Synchronize both by NTP; timedatectl shows whether a machine does."
    yield Finding(level, "clock", message, advice)


def check_disk(settings: Settings, least_bytes: int = LEAST_FREE_BYTES) -> Iterator[Finding]:
    """Whether there is free space where this process writes."""
    home = next(path for path in (settings.home_dir, *settings.home_dir.parents) if path.exists())
    # Bulk operations and imports are spooled to the temporary directory.
    for path in {home, Path(tempfile.gettempdir())}:
        free = shutil.disk_usage(path).free
        if free < least_bytes:
            message = f"{free / 2**30:.1f} GiB are free at {path}"
            advice = f"Free at least {least_bytes / 2**30:.0f} GiB for logs, syncs and dbt."
            yield Finding("warning", "disk", message, advice)
        else:
            yield Finding("ok", "disk", f"{free / 2**30:.0f} GiB are free at {path}")
