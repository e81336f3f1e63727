"""Runs flows undisturbed and disturbed, and compares what they leave."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from service.builds.run import build
from service.core.config import Settings
from service.core.db import connect, open_pool, url_parts
from service.migrate import migrate
from tests.cluster import Cluster, models_digest, schema_digest
from tests.demo import AS_OF
from tests.faults.disks import NO_SPACE, Disk, Server, can_mount, tmp_disk
from tests.faults.flows import FLOWS, Flow, Stage, make_tenant
from tests.faults.network import Gate, Point, Proxy, Side
from tests.faults.processes import Command, start
from tests.faults.state import differences, has_work, pass_time, read_rows
from tests.faults.worlds import Served, World
from tests.worker import NO_SCHEDULES

FAULTS = ("kill", "database", "network", "storm", "server disk", "own disk")
# Retried within a call, and longer than any call is retried.
_STORMS = (3, 20)
_AWAY_SECONDS = 1.0
_REFUSING_SECONDS = 0.5
_FULL_SECONDS = 5.0
# A person runs a command once more; jobs are run as often as a worker would.
_MOST_RERUNS = {False: 1, True: 6}


@dataclass(frozen=True)
class Attempt:
    """A flow that was disturbed at one point.

    Args:
        flow: Its name.
        fault: The fault's name.
        where: The point.
        has_struck: Whether the fault hit the process while it worked.
        problems: What is not as without the fault.
    """

    flow: str
    fault: str
    where: str
    has_struck: bool
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Prepared:
    """A flow with the state before it, its length, and what it leaves when undisturbed."""

    flow: Flow
    template: str
    world: World
    messages: dict[str, int]
    expected: dict[str, Any]


class Harness:
    """Flows on one PostgreSQL server, behind proxies."""

    def __init__(self, cluster: Cluster, home: Path, server: Server | None) -> None:
        self.cluster, self.home, self.server = cluster, home, server
        self.gate = Gate()
        self._relief: threading.Timer | None = None
        socket_dir = url_parts(cluster.admin_url)["host"]
        nowhere = ("127.0.0.1", 9)
        self._database = Proxy(
            "database",
            self.gate,
            str(home / ".s.PGSQL.5432"),
            f"{socket_dir}/.s.PGSQL.5432",
        )
        self._upstream = [Proxy("upstream", self.gate, ("127.0.0.1", 0), nowhere) for _ in range(3)]

    def stop(self) -> None:
        for proxy in self.proxies:
            proxy.stop()

    @property
    def proxies(self) -> list[Proxy]:
        return [self._database, *self._upstream]

    # -- flows without faults -----------------------------------------------------------------

    @contextmanager
    def prepared(self, flow: Flow) -> Iterator[Prepared]:
        """The flow, measured undisturbed."""
        base = self._template(is_built=flow.is_built)
        template = self.cluster.create(base)
        world = World()
        settings = replace(self.cluster.settings(template), **self._common(flow))
        with self._served(world), open_pool(settings) as pool:
            tenant_id = make_tenant(settings)
            url = f"{self._upstream[2].url}/"
            flow.prepare(Stage(settings, pool, tenant_id, world, url))
        template = self.cluster.keep(template)
        try:
            with self._running(flow, template, world) as trial:
                before = {**read_rows(trial.direct_url), **flow.outside(trial.served.world)}
                code = trial.start(self.home / "run.log").wait()
                assert code == 0, trial.output
                messages = dict(self.gate.sent)
                expected = trial.result()
                assert expected != before, f"{flow.name} does nothing"
                changed = [*trial.run_again(), *differences(expected, trial.result())]
                assert changed == [], f"{flow.name} run twice: {changed}"
            yield Prepared(flow, template, world, messages, expected)
        finally:
            self.cluster.drop(template)

    def _template(self, *, is_built: bool) -> str:
        migrated = self.cluster.template("migrated", schema_digest(), _migrate)
        if not is_built:
            return migrated
        return self.cluster.template(
            "built",
            models_digest(),
            lambda settings: build(settings, as_of=AS_OF.isoformat(), quiet=True),
            migrated,
        )

    def _common(self, flow: Flow) -> dict[str, Any]:
        return {
            "home": str(self.home / "home"),
            "shopify_url": self._upstream[0].url,
            "klaviyo_url": self._upstream[1].url,
            "notify_private_addresses": 1,
            "shopify_bulk_patience_seconds": 5,
            "run_retry_seconds": 1,
            "klaviyo_removal_from": 10_000,
            **NO_SCHEDULES,
            **flow.settings,
        }

    @contextmanager
    def _served(self, world: World) -> Iterator[Served]:
        with world.served() as served:
            addresses = [
                *(_address(served.sandbox.shopify_url), _address(served.sandbox.klaviyo_url)),
                served.receiver,
            ]
            for proxy, address in zip(self._upstream, addresses, strict=True):
                proxy.target = address
            yield served

    @contextmanager
    def _running(self, flow: Flow, template: str, world: World) -> Iterator[Trial]:
        with (
            self._served(world.copied()) as served,
            self.cluster.database(template) as direct,
        ):
            settings = replace(direct, **self._common(flow))
            database = url_parts(direct.database_url)["dbname"]
            # A copied sequence still has the numbers that the original one has logged ahead. They
            # are logged once more after a checkpoint only; else a crash would give them out again.
            with closing(connect(self.cluster.admin_url)) as conn:
                conn.execute("checkpoint")
            behind = f"postgresql://postgres@/{database}?host={self.home}"
            self.gate.reset()
            yield Trial(
                flow,
                replace(settings, database_url=behind),
                direct.database_url,
                self.cluster.admin_url,
                served,
                self.home,
            )

    # -- faults -------------------------------------------------------------------------------

    def missing(self, fault: str) -> str | None:
        """Why a fault cannot happen here; None if it can."""
        if fault in ("server disk", "own disk") and not can_mount():
            return "only root can mount the disk to fill"
        if fault == "server disk" and (self.server is None or self.server.disk is None):
            return "the server is not on a disk of its own"
        return None

    @staticmethod
    def applies(flow: Flow, fault: str) -> bool:
        """Whether a fault can concern a flow."""
        concerned = {"storm": flow.has_upstream, "own disk": flow.has_files}
        return concerned.get(fault, True)

    def points(self, prepared: Prepared, fault: str, count: int) -> Iterator[Point]:
        """Points that are spread over the flow, on both sides, before messages and answers."""
        sides: list[Side] = ["database"]
        if prepared.messages.get("upstream"):
            sides = ["upstream"] if fault == "storm" else ["upstream", "database"]
        for number in range(count):
            side = sides[number % len(sides)]
            total = prepared.messages[side]
            at = 1 + int((number + 0.5) * total / count)
            is_late = fault != "storm" and number // len(sides) % 2 == 1
            yield Point(side, min(at, total), is_late)

    def disturb(self, prepared: Prepared, fault: str, point: Point, number: int) -> Attempt:
        """Run the flow with a fault at a point, run it again, and compare."""
        flow = prepared.flow
        with self._running(flow, prepared.template, prepared.world) as trial, ExitStack() as stack:
            tmp = None
            if fault == "own disk":
                tmp = stack.enter_context(tmp_disk())
            happened = threading.Event()
            effect: dict[str, int] = {}

            def fire() -> None:
                effect.update(self._happen(fault, trial, tmp, number))
                happened.set()

            before = self.server.complaints() if self.server else 0
            self.gate.reset(point, fire)
            command = trial.start(self.home / "run.log", tmp.path if tmp else None)
            code = command.wait()
            output = command.output
            self.gate.reset()
            if fault == "server disk" and self.server:
                if self._relief is not None:
                    # Else it would free the disk of the next attempt.
                    self._relief.cancel()
                    self._relief.join()
                self.server.relieve()
            elif fault == "database":
                _allow_connections(trial, is_allowed=True)
            if tmp is not None:
                tmp.free()
            failures = trial.served.failures()
            trial.served.calm()
            has_struck = (
                happened.is_set()
                and {
                    "kill": code == -9,
                    "database": effect.get("ended", 0) > 0,
                    "network": effect.get("ended", 0) > 0,
                    "storm": failures > 0,
                    "server disk": self.server is not None and self.server.complaints() > before,
                    "own disk": NO_SPACE in output,
                }[fault]
            )
            problems = [] if code is not None else ["it hung"]
            if fault != "kill" and not flow.is_of_jobs and code and not _is_explained(output):
                problems.append(f"it ended without an explanation: {output.strip()[-1500:]}")
            self._await_network()
            problems += trial.run_again() or differences(prepared.expected, trial.result())
            return Attempt(flow.name, fault, str(point), has_struck, problems)

    def _await_network(self) -> None:
        until = time.monotonic() + 10
        while any(proxy.is_cut for proxy in self.proxies) and time.monotonic() < until:
            time.sleep(0.01)

    def _happen(self, fault: str, trial: Trial, tmp: Disk | None, number: int) -> dict[str, int]:
        """Let a fault happen; what it did."""
        if fault == "kill":
            trial.command.kill()
        elif fault == "database":
            return {"ended": _end_connections(trial)}
        elif fault == "network":
            return {"ended": sum(proxy.cut(_AWAY_SECONDS) for proxy in self.proxies)}
        elif fault == "storm":
            trial.served.storm(_STORMS[number % len(_STORMS)])
        elif fault == "server disk":
            assert self.server is not None
            assert self.server.disk is not None
            self.server.disk.fill()
            # Otherwise small changes find room in what is there already.
            if (number + 1) // 2 % 2 == 1:
                self.server.use_up_log()
            # An operator frees it while jobs still wait for the database.
            self._relief = threading.Timer(_FULL_SECONDS, self.server.relieve)
            self._relief.start()
        elif fault == "own disk":
            assert tmp is not None
            tmp.fill()
        return {}


@dataclass
class Trial:
    """A flow in a database of its own."""

    flow: Flow
    settings: Settings
    direct_url: str
    admin_url: str
    served: Served
    home: Path
    command: Command = field(init=False)

    def start(self, log: Path, tmp: Path | None = None) -> Command:
        """Start the command."""
        settings = self.settings
        if tmp is not None:
            settings = replace(settings, home=str(tmp / "home"))
        self.command = start(settings, self.flow.command, log, tmp)
        return self.command

    @property
    def output(self) -> str:
        return self.command.output

    def run_again(self) -> list[str]:
        """Run the command as a person does after a fault; what went wrong."""
        for _ in range(_MOST_RERUNS[self.flow.is_of_jobs]):
            pass_time(self.direct_url)
            code = self.start(self.home / "again.log").wait()
            if code != 0:
                return [f"run again, it exited with {code}: {self.output.strip()[-1500:]}"]
            if not self.flow.is_of_jobs or not has_work(self.direct_url):
                return []
        return ["jobs are left"]

    def result(self) -> dict[str, Any]:
        """What the flow has left here and in other servers."""
        outside = self.flow.outside(self.served.world)
        if self.flow.is_read_back:
            assert self.run_again() == []
            assert self.flow.outside(self.served.world) == outside, "the next run changed more"
        return {**read_rows(self.direct_url), **outside}

    @property
    def database(self) -> str:
        return url_parts(self.direct_url)["dbname"]


def _end_connections(trial: Trial) -> int:
    """End all connections to the database and refuse new ones for a while, as a restart does."""
    ended = _allow_connections(trial, is_allowed=False)
    timer = threading.Timer(_REFUSING_SECONDS, _allow_connections, (trial,), {"is_allowed": True})
    timer.daemon = True
    timer.start()
    return ended


def _allow_connections(trial: Trial, *, is_allowed: bool) -> int:
    with closing(psycopg.connect(trial.admin_url, autocommit=True)) as conn:
        statement = sql.SQL("alter database {} with allow_connections {}")
        name = sql.Identifier(trial.database)
        conn.execute(statement.format(name, sql.Literal(is_allowed)))
        if is_allowed:
            return 0
        ended = conn.execute(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = %s",
            [trial.database],
        ).fetchone()
        return int(ended[0]) if ended else 0


def _is_explained(output: str) -> bool:
    """Whether a command that failed ends with a message for people, and not with a traceback."""
    end = output.rpartition("Traceback (most recent call last)")[2]
    return any(line.startswith("Error: ") for line in end.splitlines())


def _migrate(settings: Settings) -> None:
    migrate(settings)


def _address(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").partition(":")
    return host, int(port)


@contextmanager
def harness(cluster: Cluster, server: Server | None = None) -> Iterator[Harness]:
    """A harness on a cluster; its sockets and logs lie in a short directory of its own."""
    with tempfile.TemporaryDirectory(prefix="qf-") as home:
        Path(home).chmod(0o755)
        made = Harness(cluster, Path(home), server)
        try:
            yield made
        finally:
            made.stop()


def try_all(
    made: Harness,
    flows: list[str],
    faults: list[str],
    points: int,
    report: Callable[[Attempt], None],
) -> None:
    """Disturb flows by faults at points, and report each attempt."""
    for name in flows:
        with made.prepared(FLOWS[name]) as prepared:
            for fault in faults:
                if made.missing(fault) or not made.applies(prepared.flow, fault):
                    continue
                for number, point in enumerate(made.points(prepared, fault, points)):
                    report(made.disturb(prepared, fault, point, number))
