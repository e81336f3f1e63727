"""What this process counts for Prometheus, and how its page of numbers is guarded.

No label names a tenant, a shop, a person or a path with an id in it: providers, kinds, states and
routes only. What has to be asked of the database about all tenants is in
:mod:`service.worker.metrics` and shown by the worker.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from service.core.config import Settings

# Set by service.web_server: the web service's processes share their numbers through files there.
SHARED_DIR = "PROMETHEUS_MULTIPROC_DIR"

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# What a proxy adds to a request that it passes on.
_PROXY_HEADERS = frozenset({"forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"})
_RUN_BUCKETS = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400)

registry = CollectorRegistry()

_requests = Histogram(
    "quintile_http_request_seconds",
    "How long the API and the pages take to answer.",
    ("method", "route", "status"),
    registry=registry,
)
_upstream = Histogram(
    "quintile_upstream_request_seconds",
    "How long providers take to answer; status is 'none' when no answer came.",
    ("provider", "status"),
    registry=registry,
)
_throttled = Counter(
    "quintile_upstream_throttled",
    "Calls that a provider turned away because there were too many.",
    ("provider",),
    registry=registry,
)
_runs = Histogram(
    "quintile_run_seconds",
    "How long runs took that ended in this process.",
    ("kind", "state"),
    buckets=_RUN_BUCKETS,
    registry=registry,
)


def count_request(method: str, route: str | None, status: int, seconds: float) -> None:
    """An answer of the web service; ``route`` is the pattern of its path, if there is one."""
    labels = (method if method in _METHODS else "other", route or "none", str(status))
    _requests.labels(*labels).observe(seconds)


def count_upstream(provider: str, status: int | None, seconds: float) -> None:
    """A provider's answer; ``status`` is None when none came."""
    _upstream.labels(provider, "none" if status is None else str(status)).observe(seconds)


def count_throttled(provider: str) -> None:
    """A call that a provider turned away because there were too many."""
    _throttled.labels(provider).inc()


def count_run(kind: str, state: str, seconds: float) -> None:
    """A run that ended."""
    _runs.labels(kind, state).observe(seconds)


def own_numbers() -> bytes:
    """Prometheus's text format: this process's numbers, or those of all processes that share."""
    if SHARED_DIR not in os.environ:
        return generate_latest(registry)
    shared = CollectorRegistry()
    MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
    return generate_latest(shared)


def may_read(settings: Settings, address: str | None, headers: Iterable[tuple[str, str]]) -> bool:
    """Whether the numbers are for whoever asks.

    With ``QUINTILE_METRICS_TOKEN`` for those who send it; without, for this machine only, and not
    for what a proxy on this machine passes on.

    Args:
        settings: Whether there is a token.
        address: Where the request came from.
        headers: The request's headers; names in any case.
    """
    named = {name.lower(): value for name, value in headers}
    if settings.metrics_token:
        given = named.get("authorization", "")
        return hmac.compare_digest(given.encode(), f"Bearer {settings.metrics_token}".encode())
    return _is_loopback(address) and not _PROXY_HEADERS & named.keys()


def _is_loopback(address: str | None) -> bool:
    try:
        return ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return False
