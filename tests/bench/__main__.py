"""What a build costs: ``python -m tests.bench --size 100k|1m|5m|10m``, or ``make bench SIZE=1m``.

Synthetic orders of 50 tenants whose sizes follow Zipf's law, customers skewed within each. Every
figure is a ratio to the floor, measured in the same run on the same table by the same role: the
windowed ``group by tenant, customer`` that any RFM has to do. Seconds are those in which the
database worked for the build, every model and look-up included, one statement at a time; what
dbt itself takes, about five seconds at any size, is not in them. Processor time is that of the
database's sessions. Rows and WAL are PostgreSQL's own counts. A second table has the seconds of the
models that take longest, by the kind of statement.

``full`` fills empty tables; ``settings changed`` measures every customer again in full tables.
Three lines say what such a build is made of. ``window scored`` is the floor with its scores, which
is all that RFM by itself takes; ``customers measured`` is the query of customer_facts, which also
measures lifetimes, joins customers and samples and leaves out what does not count; neither writes.
``rows written, bare`` is the least that PostgreSQL takes to write the rows of the two tables with
a row per customer into tables with the same indexes. The peers make a table of RFM without dbt, end
to end by the wall clock, with the processor time of both ends: ``peers.py``. Builds of the package
in each source layout, a backfill from Shopify, a first push to Klaviyo, requests of the API and the
web service under load come last; ``--part`` runs one of the parts.
"""

from __future__ import annotations

import argparse
import math
import secrets
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from service.core import embedded
from service.core.config import PROJECT_DIR, Settings
from service.core.db import Connection, admin_url, connect, one, transform_url
from tests.bench import (
    AS_OF,
    SIZES,
    TENANTS,
    compiled,
    counts,
    cpu_seconds,
    dbt,
    execute,
    make_orders,
    seconds_of,
    seconds_of_models,
    sql,
)
from tests.bench.api import bench_api
from tests.bench.connectors import CONNECTORS, bench_connectors
from tests.bench.dbt_time import bench_dbt
from tests.bench.klaviyo import bench_klaviyo
from tests.bench.load import bench_load
from tests.bench.pages import bench_pages
from tests.bench.peers import Peer, bench_peers
from tests.bench.samples import bench_samples
from tests.bench.shopify import bench_shopify
from tests.bench.statements import KINDS

NEXT_DAY = "2026-07-02"
FLOOR_RUNS = 3
MODELS_PRINTED = 10
LONG = 120


@dataclass(frozen=True)
class Measured:
    """One build: seconds in the database, rows and megabytes (2**20 bytes) written.

    ``cpu`` is processor time, NaN where it is not measured; ``models`` has the seconds of each
    model by the kind of statement.
    """

    label: str
    seconds: float
    rows: int
    wal_mib: float
    cpu: float = math.nan
    models: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def main() -> int:
    """Run the benchmark, or one part of it, and print its tables."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--size", choices=SIZES, default="1m")
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--layout", choices=CONNECTORS, help="builds no other connector's layout")
    given = parser.parse_args()
    layouts = {"layouts": [given.layout]} if given.layout else {}
    for name, part in PARTS.items():
        if given.part in (None, name):
            part(SIZES[given.size], **(layouts if name == "connectors" else {}))
    return 0


def bench_builds(size: int) -> None:
    """Print what the builds of so many orders cost, and their samples."""
    home = Path(tempfile.mkdtemp(prefix="quintile-bench-"))
    settings = Settings(home=str(home), secret_key=secrets.token_hex(32), log_level="WARNING")
    try:
        _bench(settings, size)
    finally:
        embedded.stop(settings.home_dir / "pg")
        shutil.rmtree(home)


def _bench(settings: Settings, size: int) -> None:
    _say(f"making {size:,} orders of {TENANTS} tenants")
    make_orders(settings, size)
    with connect(admin_url(settings)) as admin:
        floor = _floor(settings, admin)
        _say(f"floor: {floor.seconds:.2f} s")
        _build(settings, admin, "tables and views, made for the smallest", AS_OF, ["tenant_50"])
        builds = [_build(settings, admin, "full", AS_OF)]
        peers = bench_peers(settings, admin)
        execute(admin, "change_orders", share=0.01)
        admin.execute("vacuum analyze shopify.orders")
        builds.append(_build(settings, admin, "1 % changed, a day on", NEXT_DAY))
        builds.append(_build(settings, admin, "nothing changed", NEXT_DAY))
        builds.append(_build(settings, admin, "largest tenant, 22 %", NEXT_DAY, ["tenant_01"]))
        builds.append(_build(settings, admin, "smallest tenant, 0.4 %", NEXT_DAY, ["tenant_50"]))
        execute(admin, "change_settings")
        builds.append(_build(settings, admin, "settings changed", NEXT_DAY))
        builds += _parts(settings)
    print(f"{size:,} orders, {TENANTS} tenants")
    print(
        f"{'build':<24}{'seconds':>9}{'x floor':>9}{'x full':>9}{'CPU s':>9}{'x CPU':>9}"
        f"{'rows written':>14}{'WAL MiB':>9}"
    )
    for build in (floor, *builds, *peers):
        print(
            f"{build.label:<24}{build.seconds:>9.2f}{build.seconds / floor.seconds:>9.2f}"
            f"{build.seconds / builds[0].seconds:>9.2f}{_known(build.cpu)}"
            f"{_known(build.cpu / floor.cpu)}{build.rows:>14,}{build.wal_mib:>9.1f}"
        )
    _print_ratios(builds[:3], peers)
    for build in builds[:3]:
        _print_models(build)
    _print_lines()
    bench_samples(settings)


def _known(value: float) -> str:
    return f"{'' if math.isnan(value) else f'{value:.2f}':>9}"


def _floor(settings: Settings, admin: Connection) -> Measured:
    """The aggregation that no build can avoid, as dbt's role runs it: median, and mean of CPU."""
    counts(admin)  # waits until the sessions before have ended
    before = cpu_seconds(admin)
    with connect(transform_url(settings)) as conn:
        seconds = statistics.median(
            seconds_of(conn, sql("floor"), as_of=AS_OF) for _ in range(FLOOR_RUNS)
        )
    counts(admin)
    return Measured("floor", seconds, 0, 0, (cpu_seconds(admin) - before) / FLOOR_RUNS)


def _build(
    settings: Settings, admin: Connection, label: str, as_of: str, tenants: list[str] | None = None
) -> Measured:
    # What went before is on disk, and no build waits for another's writes.
    admin.execute("checkpoint")
    before, cpu_before = counts(admin), cpu_seconds(admin)
    resources = ("--resource-type", "model", "--resource-type", "seed")
    dbt(settings, "build", *resources, as_of=as_of, tenants=tenants or [])
    after = counts(admin)
    seconds = (after["active_ms"] - before["active_ms"]) / 1000
    _say(f"{label}: {seconds:.2f} s")
    rows, wal = after["rows"] - before["rows"], after["wal_bytes"] - before["wal_bytes"]
    cpu = cpu_seconds(admin) - cpu_before
    return Measured(label, seconds, int(rows), wal / 2**20, cpu, seconds_of_models(settings))


def _print_ratios(builds: list[Measured], peers: list[Peer]) -> None:
    """Print how many times as long as each peer our builds take, in seconds."""
    print(f"{'seconds, x peer':<24}" + "".join(f"{peer.label:>18}" for peer in peers))
    for build in builds:
        print(f"{build.label:<24}" + "".join(f"{build.seconds / p.seconds:>18.2f}" for p in peers))


def _print_models(build: Measured) -> None:
    """Print the models of a build that take longest, by what they wait for, as docs/ has them."""
    models = {f"`{name}`" if name else "start, seeds, end": s for name, s in build.models.items()}
    longest = sorted(models, key=lambda name: sum(models[name].values()), reverse=True)
    models["all"] = {k: sum(spent.get(k, 0) for spent in build.models.values()) for k in KINDS}
    print(f"\n| {build.label:<34} | seconds |" + "".join(f" {kind:>7} |" for kind in KINDS))
    print("| --- |" + " ---: |" * (1 + len(KINDS)))
    for name in [*longest[:MODELS_PRINTED], "all"]:
        seconds = (sum(models[name].values()), *(models[name].get(kind, 0) for kind in KINDS))
        print(f"| {name:<34} |" + "".join(f" {value:>7.2f} |" for value in seconds))


def _print_lines() -> None:
    """Print how long the models and macros are."""
    for folder in ("models", "macros"):
        files = (PROJECT_DIR / folder).rglob("*.sql")
        lines = sorted((len(path.read_bytes().splitlines()), path.stem) for path in files)
        print(
            f"{folder}: {sum(count for count, _ in lines):,} lines;"
            f" {sum(count > LONG for count, _ in lines)} of {len(lines)} files over {LONG},"
            f" longest {lines[-1][1]} with {lines[-1][0]}"
        )


def _parts(settings: Settings) -> list[Measured]:
    """What a full build consists of, once more and each part by itself.

    Only right after a build that measured everybody does the query of customer_facts do so.
    """
    everybody = compiled(settings, "marts/customers/customer_facts")
    with connect(transform_url(settings)) as conn:
        parts = [
            Measured("window scored", seconds_of(conn, sql("window_scores"), as_of=AS_OF), 0, 0),
            Measured("customers measured", seconds_of(conn, everybody), 0, 0),
        ]
        before = counts(conn)
        began = time.perf_counter()
        execute(conn, "write_bare")
        seconds = time.perf_counter() - began
        wal = counts(conn)["wal_bytes"] - before["wal_bytes"]
        rows = one(conn.execute(sql("count_bare")).fetchone())["rows"]
        conn.execute("drop table marts.bare_facts, marts.bare_transitions")
    return [*parts, Measured("rows written, bare", seconds, rows, wal / 2**20)]


def _say(text: str) -> None:
    print(text, file=sys.stderr)


PARTS: dict[str, Callable[..., None]] = {
    "builds": bench_builds,
    "connectors": bench_connectors,
    "shopify": bench_shopify,
    "klaviyo": bench_klaviyo,
    "api": bench_api,
    "load": bench_load,
    "pages": bench_pages,
    "dbt": bench_dbt,
}

if __name__ == "__main__":
    sys.exit(main())
