"""What finding samples costs, in a database that ``tests.bench`` has built: 1 % of its orders are.

Times are of the models' own queries, as dbt compiles them, beside a scan of the orders that each
could have read; the largest tenant has more than a fifth of all orders. Pages and the preview are
what the service asks, under row level security.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from flask import g
from pydantic import AwareDatetime

from service.api.paging import Keyset, Text
from service.api.samples_list import SamplesQuery, list_samples
from service.core.config import Settings
from service.core.db import (
    Connection,
    connect,
    find_tenant,
    one,
    open_pool,
    tenant_transaction,
    transform_url,
)
from service.core.queries import query
from tests.bench import AS_OF, compiled, dbt, seconds_of, sql
from tests.web import running_app

RUNS = 5
MODELS = {
    "samples": "intermediate/samples/int_orders_matched_as_samples",
    "near misses": "marts/samples/sample_near_misses",
    "sample_orders": "marts/samples/sample_orders",
}
NOTHING = dict.fromkeys(
    ("tiktok_tags", "channel_patterns", "zero_price_only", "ugc_zero_price_only")
)


def bench_samples(settings: Settings) -> None:
    """Print what the models of samples cost, for everybody and for the largest tenant."""
    with connect(transform_url(settings)) as conn:
        tenant_id = find_tenant(conn, "tenant_01")
        for who, tenants in (("all tenants", []), ("largest tenant", ["tenant_01"])):
            name = "tenant_scan" if tenants else "all_scan"
            scan = _median(lambda n=name: seconds_of(conn, sql(n), tenant_id=tenant_id))
            print(f"{who}: scan of the orders {scan:.3f} s")
            dbt(settings, "compile", "--select", "+marts.samples", as_of=AS_OF, tenants=tenants)
            for label, path in MODELS.items():
                took = _median(lambda p=path: seconds_of(conn, compiled(settings, p)))
                print(f"  {label:<16}{took:>8.3f} s {took / scan:>7.2f} x scan")
        _bench_service(settings, conn, tenant_id)


def _bench_service(settings: Settings, conn: Connection, tenant_id: UUID) -> None:
    """Pages and a preview of the largest tenant, as the service's role."""
    deep = one(conn.execute(sql("deep_position"), {"tenant_id": tenant_id}).fetchone())
    newest = Keyset("samples newest", ordered_at=AwareDatetime, order_id=Text)
    with (
        running_app(settings) as app,
        app.test_request_context("/api/admin/samples"),
        open_pool(settings) as pool,
        tenant_transaction(pool, tenant_id, read_only=True) as own,
    ):
        # A cursor is sealed for a tenant, an address and filters.
        g.login = SimpleNamespace(tenant_id=tenant_id)
        cursor = newest.encode(deep, filters="{}")

        def page(cursor: str | None, q: str | None = None) -> Any:
            return list_samples(own, tenant_id, SamplesQuery(q=q, cursor=cursor))

        def preview() -> Any:
            change = {"tenant_id": tenant_id, "ugc_tags": ["UGC", "gift"], **NOTHING}
            own.execute(query("api.set_samples_preview"), change)
            return own.execute(query("api.preview_samples"), change).fetchone()

        for label, ask in (
            ("first page", lambda: page(None)),
            ("page at 90 %", lambda: page(cursor)),
            ("search, no hit", lambda: page(None, "nobody at all")),
            ("preview", preview),
        ):
            print(f"  {label:<16}{_median(lambda a=ask: _timed(a)):>8.3f} s")


def _median(measure: Callable[[], float]) -> float:
    return statistics.median(measure() for _ in range(RUNS))


def _timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
