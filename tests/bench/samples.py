"""What finding samples costs: ``python -m tests.bench.samples --size 100k|1m|10m``.

The orders of ``tests.bench``, of which 1 % are samples. Times are of the models' own queries, as
dbt compiled them, beside a scan of the orders that each could have read; the largest tenant has
more than a fifth of all orders. Pages and the preview are what the service asks, under row level
security.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

from service import embedded
from service.api.paging import encode_cursor
from service.api.samples import SampleFilters
from service.api.samples_list import list_samples
from service.config import PROJECT_DIR, Settings
from service.db import (
    Connection,
    admin_url,
    connect,
    connect_as_owner,
    find_tenant,
    one,
    open_pool,
    query,
    tenant_transaction,
    transform_url,
)
from service.migrate import migrate
from service.tenants import add_tenant
from tests.bench.__main__ import AS_OF, SIZES, SQL_DIR, TENANTS
from tests.command import environment_of

RUNS = 5
MODELS = {
    "samples": "intermediate/samples/int_orders_matched_as_samples",
    "near misses": "marts/samples/sample_near_misses",
    "sample_orders": "marts/samples/sample_orders",
}
NOTHING = dict.fromkeys(("tiktok_tags", "channel_patterns", "zero_price_only"))


def main() -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.samples")
    parser.add_argument("--size", choices=SIZES, default="1m")
    size = SIZES[parser.parse_args().size]
    home = Path(tempfile.mkdtemp(prefix="quintile-bench-"))
    settings = Settings(home=str(home), secret_key="a secret for benchmarks")
    try:
        migrate(settings)
        _bench(settings, size)
    finally:
        embedded.stop(settings.home_dir / "pg")
        shutil.rmtree(home)
    return 0


def _bench(settings: Settings, size: int) -> None:
    with connect_as_owner(settings) as owner:
        for number in range(1, TENANTS + 1):
            add_tenant(owner, f"tenant_{number:02}")
        tenant_id = find_tenant(owner, "tenant_01")
    with connect(admin_url(settings)) as admin:
        admin.execute(_sql("make_orders"), {"size": size})
        admin.execute("vacuum analyze shopify.orders")
    select = ("--select", "+marts.samples")
    _dbt(settings, ["build", *select, "--resource-type", "model", "--resource-type", "seed"], [])
    with connect(transform_url(settings)) as conn:
        conn.execute("analyze marts.sample_orders")
        conn.execute("analyze intermediate.int_orders_matched_as_samples")
        for who, tenants in (("all tenants", []), ("largest tenant", ["tenant_01"])):
            name = "tenant_scan" if tenants else "all_scan"
            parameters = {"tenant_id": tenant_id}
            scan = _seconds(lambda n=name, p=parameters: conn.execute(_sql(n), p))
            print(f"{who}: scan of the orders {scan:.3f} s")
            _dbt(settings, ["compile", *select], tenants)
            for label, path in MODELS.items():
                model = _compiled(settings, path)
                took = _seconds(lambda m=model: conn.execute(f"select count(*) from ({m}) as q"))
                print(f"  {label:<16}{took:>8.3f} s {took / scan:>7.2f} x scan")
        _bench_service(settings, conn, tenant_id)


def _bench_service(settings: Settings, conn: Connection, tenant_id: UUID) -> None:
    """Pages and a preview of the largest tenant, as the service's role."""
    deep = one(conn.execute(_sql("deep_position"), {"tenant_id": tenant_id}).fetchone())
    cursor = encode_cursor("samples newest", deep["ordered_at"], deep["order_id"])
    with open_pool(settings) as pool, tenant_transaction(pool, tenant_id, read_only=True) as own:

        def page(cursor: str | None, q: str | None = None) -> Any:
            return list_samples(own, tenant_id, SampleFilters(q=q), "newest", cursor, 50)

        def preview() -> Any:
            change = {"tenant_id": tenant_id, "ugc_tags": ["UGC", "gift"], **NOTHING}
            own.execute(query("api/sql/try_samples_settings"), change)
            return own.execute(query("api/sql/preview_samples"), change).fetchone()

        for label, ask in (
            ("first page", lambda: page(None)),
            ("page at 90 %", lambda: page(cursor)),
            ("search, no hit", lambda: page(None, "nobody at all")),
            ("preview", preview),
        ):
            print(f"  {label:<16}{_seconds(ask):>8.3f} s")


def _seconds(work: Callable[[], Any]) -> float:
    """Median seconds of a few runs."""
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def _dbt(settings: Settings, command: list[str], tenants: list[str]) -> None:
    target = settings.home_dir / "target"
    subprocess.run(
        [
            *(Path(sys.executable).with_name("dbt"), "--quiet", *command),
            *("--vars", json.dumps({"as_of": AS_OF, "tenants": tenants})),
        ],
        cwd=PROJECT_DIR,
        env={
            **environment_of(settings),
            "QUINTILE_DATABASE_URL": admin_url(settings),
            "DBT_TARGET_PATH": str(target),
            "DBT_LOG_PATH": str(target),
        },
        stdout=subprocess.DEVNULL,
        check=True,
    )


def _compiled(settings: Settings, path: str) -> str:
    compiled = settings.home_dir / "target" / "compiled" / "quintile" / "models"
    return (compiled / f"{path}.sql").read_text(encoding="utf-8")


def _sql(name: str) -> Any:
    return (SQL_DIR / f"{name}.sql").read_text(encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
