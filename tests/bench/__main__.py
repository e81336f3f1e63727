"""What a build costs: ``python -m tests.bench --size 100k|1m|10m``, or ``make bench SIZE=1m``.

Synthetic orders of 50 tenants whose sizes follow Zipf's law, customers skewed within each. Every
figure is a ratio to the floor, measured in the same run on the same table: the windowed
``group by tenant, customer`` that any RFM has to do. Times are dbt's own for the models, without
its start-up and without tests; rows and WAL are PostgreSQL's own counts.
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
from dataclasses import dataclass
from pathlib import Path

from service import embedded
from service.config import PROJECT_DIR, Settings
from service.db import Connection, admin_url, connect, connect_as_owner, one, transform_url
from service.migrate import migrate
from service.tenants import add_tenant
from tests.command import environment_of

SIZES = {"10k": 10_000, "100k": 100_000, "1m": 1_000_000, "10m": 10_000_000}
TENANTS = 50
AS_OF = "2026-07-01"
NEXT_DAY = "2026-07-02"
FLOOR_RUNS = 3
SQL_DIR = Path(__file__).parent


@dataclass(frozen=True)
class Measured:
    """One build: seconds in the models, rows and megabytes written."""

    label: str
    seconds: float
    rows: int
    wal_mib: float


def main() -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(prog="make bench")
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
    _say(f"making {size:,} orders of {TENANTS} tenants")
    with connect_as_owner(settings) as owner:
        for number in range(1, TENANTS + 1):
            add_tenant(owner, f"tenant_{number:02}")
    with connect(admin_url(settings)) as admin:
        _execute(admin, "make_orders", size=size)
        admin.execute("vacuum analyze shopify.orders")
        floor = _floor(settings)
        _say(f"floor: {floor:.2f} s")
        _build(settings, admin, "warm-up of dbt on no tenant's data", AS_OF, ["tenant_50"])
        builds = [_build(settings, admin, "full", AS_OF)]
        _execute(admin, "change_orders", share=0.01)
        admin.execute("analyze shopify.orders")
        builds.append(_build(settings, admin, "1 % changed, a day on", NEXT_DAY))
        builds.append(_build(settings, admin, "nothing changed", NEXT_DAY))
        builds.append(_build(settings, admin, "largest tenant", NEXT_DAY, ["tenant_01"]))
        builds.append(_build(settings, admin, "smallest tenant", NEXT_DAY, ["tenant_50"]))
    print(f"{size:,} orders, {TENANTS} tenants; floor {floor:.2f} s")
    print(f"{'build':<24}{'seconds':>9}{'x floor':>9}{'rows written':>14}{'WAL MiB':>9}")
    for build in builds:
        print(
            f"{build.label:<24}{build.seconds:>9.2f}{build.seconds / floor:>9.2f}"
            f"{build.rows:>14,}{build.wal_mib:>9.1f}"
        )


def _floor(settings: Settings) -> float:
    """Median seconds of the aggregation nobody can avoid, as dbt's role does it."""
    times = []
    with connect(transform_url(settings)) as conn:
        for _ in range(FLOOR_RUNS):
            began = time.perf_counter()
            _execute(conn, "floor", as_of=AS_OF)
            times.append(time.perf_counter() - began)
    return statistics.median(times)


def _build(
    settings: Settings, admin: Connection, label: str, as_of: str, tenants: list[str] | None = None
) -> Measured:
    rows_before, wal_before = _written(admin)
    target = settings.home_dir / "target"
    done = subprocess.run(
        [
            *(Path(sys.executable).with_name("dbt"), "--quiet", "--warn-error", "build"),
            *("--resource-type", "model", "--resource-type", "seed"),
            *("--vars", json.dumps({"as_of": as_of, "tenants": tenants or []})),
        ],
        cwd=PROJECT_DIR,
        env={
            **environment_of(settings),
            "QUINTILE_DATABASE_URL": admin_url(settings),
            "DBT_TARGET_PATH": str(target),
            "DBT_LOG_PATH": str(target),
        },
        check=False,
    )
    if done.returncode != 0:
        sys.exit("the build failed")
    results = json.loads((target / "run_results.json").read_text())["results"]
    seconds = sum(
        result["execution_time"] for result in results if result["unique_id"].startswith("model.")
    )
    rows_after, wal_after = _written(admin)
    measured = Measured(label, seconds, rows_after - rows_before, (wal_after - wal_before) / 2**20)
    _say(f"{label}: {seconds:.2f} s")
    return measured


def _written(admin: Connection) -> tuple[int, int]:
    """Rows that dbt's tables have had written so far, and WAL bytes."""
    # Backends report their counts when they end; give the last one its moment.
    time.sleep(1)
    row = one(admin.execute((SQL_DIR / "written.sql").read_text()).fetchone())  # type: ignore[call-overload]
    return int(row["rows"]), int(row["wal_bytes"])


def _execute(conn: Connection, name: str, **parameters: object) -> None:
    conn.execute((SQL_DIR / f"{name}.sql").read_text(), parameters)  # type: ignore[call-overload]


def _say(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
