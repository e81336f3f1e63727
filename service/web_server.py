"""Configuration of gunicorn for the web service: ``--config python:service.web_server``.

Gunicorn's processes share their Prometheus counters through a directory, so that each process can
answer with the metrics of all.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any

# Importing service.core.metrics for the name would load it before the directory is set.
_SHARED_DIR = "PROMETHEUS_MULTIPROC_DIR"


def on_starting(_server: Any) -> None:
    """Create the directory before the first process starts."""
    os.environ[_SHARED_DIR] = tempfile.mkdtemp(prefix="quintile-metrics-")


def child_exit(_server: Any, worker: Any) -> None:
    """Keep the counters of a process after its end."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(_server: Any) -> None:
    """Delete the counters with the service's end."""
    shutil.rmtree(os.environ[_SHARED_DIR], ignore_errors=True)
