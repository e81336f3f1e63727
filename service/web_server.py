"""How gunicorn runs the web service: ``--config python:service.web_server``.

Each of gunicorn's processes counts for itself; they share the counts through a directory, so that
whichever process is asked for the metrics answers for all of them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any

# Written out, for to import service.core.metrics here would load it before the directory is named.
_SHARED_DIR = "PROMETHEUS_MULTIPROC_DIR"


def on_starting(_server: Any) -> None:
    """Make the directory before the first process starts."""
    os.environ[_SHARED_DIR] = tempfile.mkdtemp(prefix="quintile-metrics-")


def child_exit(_server: Any, worker: Any) -> None:
    """What a process counted stays counted when it ends."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(_server: Any) -> None:
    """The counts end with the service."""
    shutil.rmtree(os.environ[_SHARED_DIR], ignore_errors=True)
