"""The worker's Prometheus metrics: its own, and what the database says about all tenants."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import psycopg
import structlog
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.core.config import Settings
from service.core.db import Connection, connect, one, transform_url
from service.core.errors import QuintileError
from service.core.metrics import may_read, process_metrics
from service.core.queries import query
from service.queue.freshness import read_freshness

log = structlog.get_logger(__name__)

_SIZES = ("unbuilt", "small", "medium", "large")
# Gauges by name: what they measure, and their labels.
_GAUGES = {
    "quintile_database_up": ("Whether the database answers.", ()),
    "quintile_tenants": ("Tenants by size.", ("size",)),
    "quintile_lag_seconds": ("Longest time since a tenant was last served.", ("kind", "size")),
    "quintile_tenants_late": ("Tenants not served for twice their longest gap.", ("kind", "size")),
    "quintile_tenant_lag_seconds": ("Time since a tenant was last served.", ("tenant", "kind")),
    "quintile_queue_jobs": ("Jobs that are due or running.", ("queue", "state")),
    "quintile_queue_oldest_seconds": ("How long the oldest due job has waited.", ("queue",)),
    "quintile_webhooks_pending": ("Outgoing webhooks that wait.", ()),
    "quintile_webhook_endpoints_failing": ("Endpoints whose last delivery failed.", ()),
    "quintile_workers": ("Workers with a heartbeat in the last minute.", ()),
    "quintile_runs_unfinished": ("Runs that are queued or running.", ("kind", "state")),
}


class InstallationCollector(Collector):
    """Reads the database at every scrape. All workers answer the same, so take their maximum.

    A tenant's size counts its customers in the RFM window: ``small`` below 1,000, ``medium`` below
    50,000, ``large`` from there on; ``unbuilt`` before its first build.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def collect(self) -> Iterable[Metric]:
        """All metrics, or only that the database does not answer."""
        try:
            with connect(transform_url(self._settings)) as conn:
                found = [*_tenants(conn, self._settings), *_queue(conn), _written(conn)]
        except (QuintileError, psycopg.Error):
            log.warning("no metrics from the database", exc_info=True)
            return [_gauge("quintile_database_up", [((), 0)])]
        return [_gauge("quintile_database_up", [((), 1)]), *found]


def _gauge(name: str, samples: Iterable[tuple[Sequence[str], float]]) -> Metric:
    documentation, labels = _GAUGES[name]
    gauge = GaugeMetricFamily(name, documentation, labels=labels)
    for values, number in samples:
        gauge.add_metric(values, number)
    return gauge


def _tenants(conn: Connection, settings: Settings) -> Iterator[Metric]:
    sizes = _read_sizes(conn)
    counts = Counter(sizes.values())
    yield _gauge("quintile_tenants", [((size,), counts[size]) for size in _SIZES])
    rows = read_freshness(settings, conn)
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["kind"], sizes[row["tenant_id"]]].append(row)
    lags = [(group, max(row["seconds"] for row in groups[group])) for group in sorted(groups)]
    late = [(group, sum(row["is_late"] for row in groups[group])) for group in sorted(groups)]
    yield _gauge("quintile_lag_seconds", lags)
    yield _gauge("quintile_tenants_late", late)
    if settings.metrics_tenant_names:
        lags_by_name = [((row["name"], row["kind"]), row["seconds"]) for row in rows]
        yield _gauge("quintile_tenant_lag_seconds", lags_by_name)


def _read_sizes(conn: Connection) -> dict[UUID, str]:
    is_built = one(conn.execute(query("worker.is_quality_built")).fetchone())["is_built"]
    statement = query("worker.tenant_sizes") if is_built else query("worker.tenant_sizes_unbuilt")
    return {row["tenant_id"]: row["size"] for row in conn.execute(statement).fetchall()}


def _queue(conn: Connection) -> Iterator[Metric]:
    queues = {row["queue_name"]: row for row in conn.execute(query("worker.queue_depth"))}
    states = ("waiting", "doing")
    jobs = [((name, state), row[state]) for name, row in queues.items() for state in states]
    oldest = [((name,), row["oldest_seconds"]) for name, row in queues.items()]
    yield _gauge("quintile_queue_jobs", jobs)
    yield _gauge("quintile_queue_oldest_seconds", oldest)
    alive = one(conn.execute(query("queue.count_workers")).fetchone())["alive"]
    yield _gauge("quintile_workers", [((), alive)])
    runs = conn.execute(query("worker.count_unfinished_runs")).fetchall()
    unfinished = [((row["kind"], row["state"]), row["runs"]) for row in runs]
    yield _gauge("quintile_runs_unfinished", unfinished)
    webhooks = one(conn.execute(query("worker.count_webhooks")).fetchone())
    yield _gauge("quintile_webhooks_pending", [((), webhooks["pending"])])
    yield _gauge("quintile_webhook_endpoints_failing", [((), webhooks["failing"])])


def _written(conn: Connection) -> Metric:
    documentation = (
        "Rows inserted, updated and deleted: loaded (shopify), built (marts), kept (app)."
    )
    written = CounterMetricFamily("quintile_rows_written", documentation, labels=["schema"])
    for row in conn.execute(query("worker.rows_written")):
        written.add_metric([row["schema"]], row["rows"])
    return written


@contextmanager
def serve_metrics(settings: Settings) -> Iterator[None]:
    """Answer ``GET /metrics`` on the worker's port, if it is set, until the block ends."""
    if not settings.worker_metrics_port:
        yield
        return
    address = (settings.worker_metrics_host, settings.worker_metrics_port)
    with ThreadingHTTPServer(address, _handler(settings)) as server:
        thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()


def _handler(settings: Settings) -> type[BaseHTTPRequestHandler]:
    installation = CollectorRegistry()
    installation.register(InstallationCollector(settings))

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            if self.path != "/metrics":
                self.send_error(HTTPStatus.NOT_FOUND)
            elif not may_read(settings, self.client_address[0], self.headers.items()):
                self.send_error(HTTPStatus.UNAUTHORIZED)
            else:
                self._answer(process_metrics() + generate_latest(installation))

        def _answer(self, body: bytes) -> None:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", CONTENT_TYPE_LATEST)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: object) -> None:
            """Do not log scrapes."""

    return Handler
