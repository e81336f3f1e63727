"""What dbt itself takes for a build of one demo tenant: ``make bench PART=dbt``.

The demo's smaller tenant (851 customers, 1,463 orders), in which nothing has changed since its last
build. ``cpu`` is processor time of dbt's process, ``wall`` the clock, ``database`` the seconds in
which sessions of the database worked. The machine's load is printed, because the clock means
little without it. Every figure is the best of five runs, and the variants of a table take turns.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from service.builds.dbt_runs import ColdDbt, DbtRequest, DbtRun, WarmDbt
from service.builds.run import build
from service.core import embedded
from service.core.config import PROJECT_DIR, Settings, load_settings
from service.core.db import admin_url, connect
from tests.bench import sql

TENANT = "kessel-und-korn"
TIMES = 5
IN_MEMORY = "worker, dbt in memory"


def bench_dbt(_size: int) -> None:
    """Make the demo, and print where the time of a build goes."""
    with tempfile.TemporaryDirectory(prefix="quintile-bench-") as home:
        quintile = Path(sys.executable).with_name("quintile")
        subprocess.run(
            [quintile, "demo", "--once"],
            env={**os.environ, "QUINTILE_HOME": home, "QUINTILE_DATABASE_URL": ""},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        os.environ["QUINTILE_HOME"] = home
        settings = replace(load_settings(), home=home, database_url="")
        embedded.start(settings.home_dir / "pg")
        try:
            measure_builds(settings)
        finally:
            embedded.stop(settings.home_dir / "pg")


def measure_builds(settings: Settings) -> None:
    """Print the tables of a demo whose database runs."""
    _print_builds(settings)
    request = _Seen.request
    assert request is not None
    _print_phases(request)
    _print_variants(settings, request)


class _Seen(ColdDbt):
    """Starts dbt as a command does, and remembers what was asked for."""

    request: DbtRequest | None = None

    @contextmanager
    def start(self, request: DbtRequest) -> Iterator[DbtRun]:
        _Seen.request = request
        with super().start(request) as run:
            yield run


def _print_builds(settings: Settings) -> None:
    """Whole builds: the command, and what a worker does for a job."""
    warm = WarmDbt(600)
    quintile = [Path(sys.executable).with_name("quintile"), "build", "--tenant", TENANT]
    ways: dict[str, Callable[[], object]] = {
        "command `quintile build`": lambda: subprocess.run(
            quintile,
            env={**os.environ, "QUINTILE_HOME": settings.home},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        ),
        "worker, dbt as a new process": lambda: _build(settings, _Seen()),
        IN_MEMORY: lambda: _build(settings, warm),
    }
    # The first build may be a complete one, which the next ones leave things out for.
    for _ in range(2):
        for way in ways.values():
            way()
    best = _best(settings, ways)
    print("| build of one tenant | wall | cpu | database | sessions |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, cost in best.items():
        # A fork of the server is not a child of this process.
        cpu = "" if name == IN_MEMORY else f"{cost.cpu:.2f}"
        print(f"| {name} | {cost.wall:.2f} | {cpu} | {cost.database:.2f} | {cost.sessions} |")
    print(f"\nThe server of dbt holds {_memory(warm.pid)} MB.", f"Load {os.getloadavg()[0]:.1f}.\n")
    warm.close()


def _build(settings: Settings, dbt: Any) -> None:
    build(settings, tenants=[TENANT], quiet=True, dbt=dbt)


@dataclass
class _Cost:
    wall: float = float("inf")
    cpu: float = float("inf")
    database: float = float("inf")
    sessions: int = 0
    more: dict[str, Any] = field(default_factory=dict)


def _best(settings: Settings, ways: dict[str, Callable[[], object]]) -> dict[str, _Cost]:
    best = {name: _Cost() for name in ways}
    with connect(admin_url(settings)) as admin:
        for _ in range(TIMES):
            for name, way in ways.items():
                before, cpu, began = _activity(admin), _children_seconds(), time.perf_counter()
                more = way()
                cost = best[name]
                cost.wall = min(cost.wall, time.perf_counter() - began)
                cost.cpu = min(cost.cpu, _children_seconds() - cpu)
                after = _activity(admin)
                cost.database = min(cost.database, after[0] - before[0])
                cost.sessions = after[1] - before[1]
                if isinstance(more, dict):
                    cost.more = more
    return best


def _activity(admin: Any) -> tuple[float, int]:
    # Sessions report when they end; give the last one its moment.
    time.sleep(0.5)
    row = admin.execute(sql("dbt_activity")).fetchone()
    return float(row["active"]), int(row["sessions"])


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _memory(pid: int | None) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) // 1024


def _print_phases(request: DbtRequest) -> None:
    """The parts of dbt's process, measured inside of it, one node at a time."""
    phases: dict[str, Any] = {}
    for _ in range(TIMES):
        measured = _measure(request, ["--threads", "1"])
        if not phases or measured["total"] < phases["total"]:
            phases = measured
    print("| part of dbt's process, one thread | wall | cpu | queries | in queries |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, (wall, cpu) in phases["phases"].items():
        print(f"| {name} | {wall:.2f} | {cpu:.2f} | | |")
    for kind, node in sorted(phases["nodes"].items(), key=lambda item: -item[1]["wall"]):
        label = f"of it {node['count']} {kind}"
        print(f"| {label} | {node['wall']:.2f} | | {node['queries']} | {node['seconds']:.2f} |")
    print("\nThe ten slowest models: seconds, of them in queries\n")
    for name, wall, seconds, queries in phases["models"][:10]:
        print(f"    {name:<40}{wall:>6.3f}{seconds:>8.3f}{queries:>4} queries")
    print()


def _print_variants(settings: Settings, request: DbtRequest) -> None:
    """What single choices cost: of the build alone, without the start of dbt."""
    plain = [option for option in request.arguments if option != "--no-write-json"]
    with_debug_log = [*request.arguments]
    at = with_debug_log.index("--log-level-file")
    del with_debug_log[at : at + 2]
    variants: dict[str, DbtRequest] = {
        "4 threads, the default": request,
        "nothing left out": replace(
            request,
            guarantees="",
            arguments=tuple(
                option.replace(
                    '"are_relations_unchanged": true', '"are_relations_unchanged": false'
                )
                for option in request.arguments
            ),
        ),
        "2 threads": replace(request, arguments=(*request.arguments, "--threads", "2")),
        "1 thread": replace(request, arguments=(*request.arguments, "--threads", "1")),
        "artifacts are written": replace(request, arguments=tuple(plain)),
        "queries are logged": replace(request, arguments=tuple(with_debug_log)),
        "a session for each node": replace(
            request, environment={**request.environment, "BENCH_NEW_SESSIONS": "1"}
        ),
    }
    ways: dict[str, Callable[[], object]] = {
        name: lambda asked=asked: _measure(asked, [])  # type: ignore[misc]
        for name, asked in variants.items()
    }
    print("| dbt's build, without its start | wall | cpu | database | sessions |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, cost in _best(settings, ways).items():
        wall, cpu = cost.more["phases"]["build"]
        print(f"| {name} | {wall:.2f} | {cpu:.2f} | {cost.database:.2f} | {cost.sessions} |")
    print(f"\nLoad {os.getloadavg()[0]:.1f}.")


def _measure(request: DbtRequest, options: list[str]) -> dict[str, Any]:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.bench.dbt_time", str(time.time())),
            *(request.directory, request.manifest_vars, request.guarantees),
            *(*request.arguments, *options),
        ],
        cwd=PROJECT_DIR,
        env=dict(request.environment),
        stdout=subprocess.PIPE,
        check=True,
    )
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


class _Phases:
    """Wall clock and processor time between marks, from the start of this process on."""

    def __init__(self, started: float) -> None:
        self.seconds: dict[str, tuple[float, float]] = {}
        self._wall, self._cpu = started, 0.0

    def mark(self, name: str) -> None:
        wall, cpu = time.time(), time.process_time()
        self.seconds[name] = (wall - self._wall, cpu - self._cpu)
        self._wall, self._cpu = wall, cpu


def _run_measured(
    started: float, directory: str, manifest_vars: str, guarantees: str, arguments: list[str]
) -> None:
    """Do what dbt's process does, and print what it took, as JSON."""
    phases = _Phases(started)
    phases.mark("interpreter and service")
    from dbt.adapters.postgres.connections import PostgresConnectionManager
    from dbt.cli.main import dbtRunner

    phases.mark("imports of dbt")
    from service.builds import dbt_process

    gc.disable()
    parsed = dbt_process.parse(directory, manifest_vars)
    gc.freeze()
    phases.mark("reading the manifest")
    gc.set_threshold(50_000, 20, 20)
    gc.enable()
    from dbt.adapters.postgres.impl import PostgresAdapter

    is_new = os.environ.get("BENCH_NEW_SESSIONS")
    PostgresAdapter.ConnectionManager = (
        PostgresConnectionManager if is_new else dbt_process.KeptConnections
    )
    queries: dict[str, list[float]] = defaultdict(list)
    lock = threading.Lock()

    def see(event: Any) -> None:
        if event.info.name == "SQLQueryStatus":
            with lock:
                queries[event.data.node_info.unique_id].append(event.data.elapsed)

    output = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    options = dbt_process.selection(parsed.result, guarantees)
    result = dbtRunner(manifest=parsed.result, callbacks=[see]).invoke([*arguments, *options])
    phases.mark("build")
    assert result.success, result
    nodes: dict[str, Counter[str]] = defaultdict(Counter)
    models = []
    for done in result.result.results:  # type: ignore[union-attr]
        node = done.node
        kind = str(node.resource_type)
        if kind in ("model", "test"):
            kind = {"view": "views", "incremental": "tables"}.get(
                node.config.materialized, "data tests"
            )
        own = queries.get(node.unique_id, [])
        nodes[kind].update(count=1, wall=done.execution_time, queries=len(own), seconds=sum(own))
        if kind == "tables":
            models.append((node.name, done.execution_time, sum(own), len(own)))
    measured = {
        "phases": phases.seconds,
        "total": sum(cpu for _, cpu in phases.seconds.values()),
        "nodes": {kind: dict(counter) for kind, counter in nodes.items()},
        "models": sorted(models, key=lambda model: -model[1]),
    }
    os.write(output, f"{json.dumps(measured)}\n".encode())


if __name__ == "__main__":
    _run_measured(float(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5:])
