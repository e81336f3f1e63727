"""``quintile build``: a thin wrapper on ``dbt build``."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path

from service.config import PROJECT_DIR, Settings
from service.db import connect, one_at_a_time, transform_url
from service.errors import BuildFailedError, InvalidInputError

Report = Callable[[int, int], None]

# dbt numbers its steps as it starts them: "16:33:29  79 of 89 START test …".
_STEP = re.compile(r" (\d+) of (\d+) START ")


def parse_as_of(text: str) -> str:
    """An ISO 8601 date or time as dbt's ``as_of``; UTC where no offset is given.

    Raises:
        InvalidInputError: It is neither.
    """
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInputError(
            f"'{text}' is not a date or time.", advice="For example 2026-12-31 or 2026-12-31T03:00Z"
        ) from None
    return text


def build(
    settings: Settings,
    *,
    tenants: Sequence[str] = (),
    as_of: str | None = None,
    full_refresh: bool = False,
    quiet: bool = False,
    report: Report = lambda _done, _total: None,
) -> None:
    """Build and test every model, for some tenants (by name) or for all.

    One build runs at a time; a second one waits. ``report`` is told how many of dbt's steps are
    done, of how many.

    Raises:
        BuildFailedError: dbt did not succeed; the message is its last word on why.
    """
    dbt_vars: dict[str, object] = {}
    if tenants:
        dbt_vars["tenants"] = list(tenants)
    if as_of is not None:
        dbt_vars["as_of"] = parse_as_of(as_of)
    command = [
        *(str(Path(sys.executable).with_name("dbt")), "--no-use-colors", "--warn-error", "build"),
        # Unit tests prove the code, not the data: `make test` and plain `dbt build` run them.
        *("--exclude-resource-type", "unit_test"),
        *("--vars", json.dumps(dbt_vars)),
        *(["--full-refresh"] if full_refresh else []),
    ]
    # Two builds would replace each other's views.
    with (
        connect(transform_url(settings)) as conn,
        one_at_a_time(conn, "build", lambda text: print(text, file=sys.stderr)),
    ):
        _run_dbt(command, settings, quiet=quiet, report=report)


def _run_dbt(command: list[str], settings: Settings, *, quiet: bool, report: Report) -> None:
    environment = {
        **os.environ,
        "QUINTILE_TRANSFORM_DATABASE_URL": transform_url(settings),
        "QUINTILE_DBT_THREADS": str(settings.dbt_threads),
        "DBT_PROFILES_DIR": str(PROJECT_DIR),
        # Two installations that share a checkout must not share dbt's caches.
        "DBT_TARGET_PATH": str(settings.home_dir / "dbt" / "target"),
        "DBT_LOG_PATH": str(settings.home_dir / "dbt" / "logs"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }
    tail: deque[str] = deque(maxlen=60)
    with subprocess.Popen(
        command,
        cwd=PROJECT_DIR,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        for line in process.stdout or ():
            tail.append(line.rstrip())
            step = _STEP.search(line)
            if step is not None:
                report(int(step[1]) - 1, int(step[2]))
            if not quiet:
                sys.stderr.write(line)
    if process.returncode != 0:
        raise BuildFailedError(
            f"The dbt build failed: {_reason(tail)}",
            advice=f"dbt's log: {Path(settings.home_dir) / 'dbt' / 'logs' / 'dbt.log'}",
        )


def _reason(tail: Iterable[str]) -> str:
    """The line of dbt's closing words that names the failure."""
    words = [line.partition("  ")[2].strip() or line.strip() for line in tail]
    for line in words:
        if "Error in " in line or "Failure in " in line or " Error" in line:
            return line
    return next((line for line in reversed(words) if line), "no output")
