"""What a table of RFM takes without dbt: plain SQL, polars and DuckDB, on the builds' orders.

End to end, and by the wall clock: connect as dbt's role, read the orders of the window, score them
by the tie-safe rule, write the table back, add its primary key, commit. It has one row per customer
with six figures, no segment, reason, sample or history, and is made from nothing every time.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import psycopg2

from service.core.config import Settings
from service.core.db import Connection, one, transform_url
from tests.bench import AS_OF, counts, cpu_seconds, sql

FIELDS = ("tenant_id", "customer_id", "ordered_at", "net_minor")


@dataclass(frozen=True)
class Peer:
    """Wall-clock seconds, processor time of the database and of this process, what was written."""

    label: str
    seconds: float
    cpu: float
    rows: int
    wal_mib: float


def bench_peers(settings: Settings, admin: Connection) -> list[Peer]:
    """Time each peer.

    Raises:
        RuntimeError: A peer's table is not that of the build before, which was for `AS_OF`.
    """
    return [
        _measure(settings, admin, label, work)
        for label, work in (
            ("plain SQL table", _plain),
            ("polars", lambda cursor, home: _through_files(cursor, home, _polars)),
            ("DuckDB", lambda cursor, home: _through_files(cursor, home, _duckdb)),
        )
    ]


def _measure(
    settings: Settings, admin: Connection, label: str, work: Callable[[Any, Path], None]
) -> Peer:
    admin.execute("checkpoint")
    before, cpu_before = counts(admin), cpu_seconds(admin) + _own_cpu()
    began = time.perf_counter()
    with closing(psycopg2.connect(transform_url(settings))) as conn, conn, conn.cursor() as cursor:
        work(cursor, settings.home_dir)
        cursor.execute(sql("peer_key"))
    seconds = time.perf_counter() - began
    own_cpu = _own_cpu()
    after = counts(admin)
    cpu = cpu_seconds(admin) + own_cpu - cpu_before
    found = one(admin.execute(sql("peer_differences")).fetchone())
    if found["differing"] or not found["compared"]:
        raise RuntimeError(f"{label}: {found['differing']} of {found['compared']} rows differ")
    admin.execute("drop table marts.peer_rfm")
    wal_mib = (after["wal_bytes"] - before["wal_bytes"]) / 2**20
    return Peer(label, seconds, cpu, found["compared"], wal_mib)


def _own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _plain(cursor: Any, _home: Path) -> None:
    scores = sql("peer_scores").format(orders=f"({sql('peer_orders')}) as orders")
    cursor.execute(f"create table marts.peer_rfm as {scores}", {"as_of": AS_OF})


def _through_files(cursor: Any, home: Path, score: Callable[[Path, Path], None]) -> None:
    """Copy the orders into a file, and the table from one.

    To read PostgreSQL themselves, polars needs another package and DuckDB a download.
    """
    orders, scored = home / "peer_orders.csv", home / "peer_rfm.csv"
    query = cursor.mogrify(sql("peer_orders"), {"as_of": AS_OF}).decode()
    with orders.open("wb") as file:
        cursor.copy_expert(f"copy ({query}) to stdout (format csv)", file)
    score(orders, scored)
    cursor.execute(sql("peer_table"))
    with scored.open("rb") as file:
        cursor.copy_expert("copy marts.peer_rfm from stdin (format csv)", file)
    orders.unlink()
    scored.unlink()


def _polars(orders: Path, scored: Path) -> None:
    types = (pl.Categorical, pl.String, pl.Datetime("us"), pl.Int64)
    last, count, spent = (
        pl.col("last_order_at"),
        pl.col("frequency_count"),
        pl.col("monetary_minor"),
    )
    (
        pl.scan_csv(orders, has_header=False, schema=dict(zip(FIELDS, types, strict=True)))
        .group_by("tenant_id", "customer_id")
        .agg(
            last_order_at=pl.col("ordered_at").max(),
            frequency_count=pl.len(),
            monetary_minor=pl.col("net_minor").sum(),
        )
        .with_columns(
            r_score=5 - _fifths(last.rank("min", descending=True)),
            f_score=1 + _fifths(count.rank("min")),
            m_score=1 + _fifths(spent.rank("min")),
        )
        .sink_csv(scored, include_header=False)
    )


def _fifths(rank: pl.Expr) -> pl.Expr:
    """How many whole fifths of a tenant's customers are before one of this rank."""
    before = rank.over("tenant_id").cast(pl.Int64) - 1
    return 5 * before // pl.len().over("tenant_id").cast(pl.Int64)


def _duckdb(orders: Path, scored: Path) -> None:
    types = ("uuid", "varchar", "timestamp", "bigint")
    with duckdb.connect() as conn:
        read = conn.read_csv(
            str(orders),
            header=False,
            names=list(FIELDS),
            dtype=dict(zip(FIELDS, types, strict=True)),
        )
        scores = sql("peer_scores").format(orders="orders")
        read.query("orders", scores).write_csv(str(scored), header=False)
