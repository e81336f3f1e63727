"""What the doctor says of this machine: its clock and its disk."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from service.core.config import Settings
from service.core.db import Connection, one
from service.doctor.finding import Finding

# Sign-in, tokens that expire and "as of" live with seconds; schedules and watermarks with minutes.
_SKEW_SECONDS = 10
_WRONG_SECONDS = 300
LEAST_FREE_BYTES = 2 * 2**30


def _now() -> datetime:
    return datetime.now(UTC)


def check_clock(conn: Connection, now: Callable[[], datetime] = _now) -> Iterator[Finding]:
    """How far this machine's clock is from the database's.

    Args:
        conn: A connection to the database.
        now: This machine's clock.
    """
    asked_at = now()
    row = one(conn.execute("select clock_timestamp() as at").fetchone())
    # The database looked at its clock at some time between the question and the answer.
    waited = (now() - asked_at) / 2
    skew = abs((row["at"] - asked_at - waited).total_seconds())
    if skew <= _SKEW_SECONDS:
        yield Finding("ok", "clock", "this machine and the database agree")
        return
    yield Finding(
        "error" if skew > _WRONG_SECONDS else "warning",
        "clock",
        f"this machine and the database differ by {skew:,.0f} seconds",
        "Let both follow NTP; timedatectl says whether a machine does.",
    )


def check_disk(settings: Settings, least_bytes: int = LEAST_FREE_BYTES) -> Iterator[Finding]:
    """Whether there is room where this process writes.

    Args:
        settings: Where the home directory is.
        least_bytes: How many bytes should be free.
    """
    home = next(path for path in (settings.home_dir, *settings.home_dir.parents) if path.exists())
    # Bulk operations and imports are spooled to the directory for temporary files.
    for path in {home, Path(tempfile.gettempdir())}:
        free = shutil.disk_usage(path).free
        if free < least_bytes:
            yield Finding(
                "warning",
                "disk",
                f"{free / 2**30:.1f} GiB are free at {path}",
                f"Make room: {least_bytes / 2**30:.0f} GiB at least for logs, syncs and dbt.",
            )
        else:
            yield Finding("ok", "disk", f"{free / 2**30:.0f} GiB are free at {path}")
