"""Prometheus metrics of this process, and who may read them.

Labels are providers, kinds, states and routes, never a tenant, a shop, a person or a path with an
id. Metrics that are queried from the database are in :mod:`service.worker.metrics`.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import re
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from service.core.config import Settings

# Set by service.web_server: a directory of files through which its processes share metrics.
SHARED_DIR = "PROMETHEUS_MULTIPROC_DIR"

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Headers that a proxy adds.
# What proxies and content delivery networks add to a request: names, and how names begin.
_PROXY_HEADERS = frozenset(
    {"forwarded", "via", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip"}
    | {"x-original-forwarded-for", "x-remote-addr", "cdn-loop", "x-amzn-trace-id", "x-arr-log-id"}
)
_PROXY_PREFIXES = ("x-forwarded-", "cf-", "fastly-", "x-envoy-", "x-azure-", "x-appengine-")
_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]", "")
_RUN_BUCKETS = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400)

registry = CollectorRegistry()

_requests = Histogram(
    "quintile_http_request_seconds",
    "Response time of the API and the pages.",
    ("method", "route", "status"),
    registry=registry,
)
_upstream = Histogram(
    "quintile_upstream_request_seconds",
    "Response time of providers; status is 'none' when no answer came.",
    ("provider", "status"),
    registry=registry,
)
_throttled = Counter(
    "quintile_upstream_throttled",
    "Calls that a provider rejected because of its rate limit.",
    ("provider",),
    registry=registry,
)
_runs = Histogram(
    "quintile_run_seconds",
    "Duration of the runs that ended in this process.",
    ("kind", "state"),
    buckets=_RUN_BUCKETS,
    registry=registry,
)


def count_request(method: str, route: str | None, status: int, seconds: float) -> None:
    """Count an answer of the web service; ``route`` is its URL pattern, if one matched."""
    labels = (method if method in _METHODS else "other", route or "none", str(status))
    _requests.labels(*labels).observe(seconds)


def count_upstream(provider: str, status: int | None, seconds: float) -> None:
    """Count a provider's answer; ``status`` is None when none came."""
    _upstream.labels(provider, "none" if status is None else str(status)).observe(seconds)


def count_throttled(provider: str) -> None:
    """Count a call that a provider rejected because of its rate limit."""
    _throttled.labels(provider).inc()


def count_run(kind: str, state: str, seconds: float) -> None:
    """Count a run that ended."""
    _runs.labels(kind, state).observe(seconds)


def process_metrics() -> bytes:
    """Metrics in Prometheus's text format, of this process or all processes of the web service."""
    if SHARED_DIR not in os.environ:
        return generate_latest(registry)
    shared = CollectorRegistry()
    MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
    return generate_latest(shared)


def may_read(settings: Settings, address: str | None, headers: Iterable[tuple[str, str]]) -> bool:
    """Whether a request may read the metrics.

    It needs the token ``QUINTILE_METRICS_TOKEN``. Without that setting it must come from this
    machine, and not through a proxy: to a local name, and without a proxy's headers.

    Args:
        settings: The token.
        address: The request's remote address.
        headers: The request's headers; names in any case.
    """
    named = {name.lower(): value for name, value in headers}
    if settings.metrics_token:
        given = named.get("authorization", "")
        return hmac.compare_digest(given.encode(), f"Bearer {settings.metrics_token}".encode())
    is_forwarded = any(name in _PROXY_HEADERS or name.startswith(_PROXY_PREFIXES) for name in named)
    host = re.sub(r":\d*\Z", "", named.get("host", "").lower())
    return _is_loopback(address) and host in _LOCAL_NAMES and not is_forwarded


def _is_loopback(address: str | None) -> bool:
    try:
        return ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return False
