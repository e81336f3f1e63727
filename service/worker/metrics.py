"""The worker's numbers for Prometheus: its own, and what the database says of all tenants."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
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


class InstallationCollector(Collector):
    """Asks the database at every look. Every worker answers the same: take the maximum of them.

    A tenant counts to a class by its customers in the RFM window: ``small`` below 1,000,
    ``medium`` below 50,000, ``large`` from there on, ``unbuilt`` before its first build.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def collect(self) -> Iterable[Metric]:
        """Everything, or only that the database does not answer."""
        is_up = GaugeMetricFamily("quintile_database_up", "Whether the database answers.")
        try:
            with connect(transform_url(self._settings)) as conn:
                found = [
                    *self._tenants(conn),
                    *_queue(conn),
                    *_unfinished(conn),
                    *_written(conn),
                ]
        except (QuintileError, psycopg.Error):
            log.warning("metrics lack what the database knows", exc_info=True)
            is_up.add_metric([], 0)
            return [is_up]
        is_up.add_metric([], 1)
        return [is_up, *found]

    def _tenants(self, conn: Connection) -> Iterator[Metric]:
        sizes = _read_sizes(conn)
        rows = read_freshness(self._settings, conn)
        tenants = GaugeMetricFamily("quintile_tenants", "Tenants by class.", labels=["size"])
        for size in _SIZES:
            tenants.add_metric([size], sum(found == size for found in sizes.values()))
        yield tenants
        lag = GaugeMetricFamily(
            "quintile_lag_seconds",
            "Longest time since a tenant of this class was last served.",
            labels=["kind", "size"],
        )
        late = GaugeMetricFamily(
            "quintile_tenants_late",
            "Tenants that were not served for twice as long as the schedule says.",
            labels=["kind", "size"],
        )
        longest: dict[tuple[str, str], float] = {}
        overdue: dict[tuple[str, str], int] = {}
        for row in rows:
            group = (row["kind"], sizes[row["tenant_id"]])
            longest[group] = max(longest.get(group, 0.0), row["seconds"])
            overdue[group] = overdue.get(group, 0) + row["is_late"]
        for group in sorted(longest):
            lag.add_metric(group, longest[group])
            late.add_metric(group, overdue[group])
        yield lag
        yield late
        if self._settings.metrics_tenant_names:
            yield _by_name(rows)


def _by_name(rows: Iterable[dict[str, Any]]) -> Metric:
    lag = GaugeMetricFamily(
        "quintile_tenant_lag_seconds",
        "Time since a tenant was last served.",
        labels=["tenant", "kind"],
    )
    for row in rows:
        lag.add_metric([row["name"], row["kind"]], row["seconds"])
    return lag


def _read_sizes(conn: Connection) -> dict[UUID, str]:
    is_built = one(conn.execute(query("worker.is_quality_built")).fetchone())["is_built"]
    statement = query("worker.tenant_sizes") if is_built else query("worker.tenant_sizes_unbuilt")
    return {row["tenant_id"]: row["size"] for row in conn.execute(statement).fetchall()}


def _queue(conn: Connection) -> Iterator[Metric]:
    waiting = GaugeMetricFamily(
        "quintile_queue_jobs", "Jobs that are due or at work.", labels=["queue", "state"]
    )
    oldest = GaugeMetricFamily(
        "quintile_queue_oldest_seconds", "How long the oldest due job waits.", labels=["queue"]
    )
    for row in conn.execute(query("worker.queue_depth")).fetchall():
        waiting.add_metric([row["queue_name"], "waiting"], row["waiting"])
        waiting.add_metric([row["queue_name"], "doing"], row["doing"])
        oldest.add_metric([row["queue_name"]], row["oldest_seconds"])
    yield waiting
    yield oldest
    workers = GaugeMetricFamily("quintile_workers", "Workers heard of within a minute.")
    workers.add_metric([], one(conn.execute(query("queue.count_workers")).fetchone())["alive"])
    yield workers


def _unfinished(conn: Connection) -> Iterator[Metric]:
    unfinished = GaugeMetricFamily(
        "quintile_runs_unfinished", "Runs that wait or are at work.", labels=["kind", "state"]
    )
    for row in conn.execute(query("worker.count_unfinished_runs")).fetchall():
        unfinished.add_metric([row["kind"], row["state"]], row["runs"])
    yield unfinished


def _written(conn: Connection) -> Iterator[Metric]:
    written = CounterMetricFamily(
        "quintile_rows_written",
        "Rows inserted, updated and deleted: landed (shopify), built (marts), kept (app).",
        labels=["schema"],
    )
    for row in conn.execute(query("worker.rows_written")).fetchall():
        written.add_metric([row["schema"]], row["rows"])
    yield written


@contextmanager
def serve_metrics(settings: Settings) -> Iterator[None]:
    """Answer ``GET /metrics`` on the worker's own port, if it has one, until the block ends."""
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
            """A look at the numbers is no event."""

    return Handler
