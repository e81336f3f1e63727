"""A worker's builds fork from a process that has dbt in memory, and survive every death of it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

import pytest
import structlog

from service.builds import locks
from service.builds.dbt_runs import DbtRequest, DbtRun, WarmDbt
from service.builds.run import build
from service.core.config import PROJECT_DIR, Settings
from service.core.db import admin_url, connect, connect_as_owner
from service.core.errors import BuildFailedError
from service.queue.retry import HandedBackError
from service.tenants.tenants import add_tenant
from tests.warm_dbt import kept_directory

TENANT = "anna"
# Only the fallback looks like this.
NEW_PROCESS = "service.builds.dbt_process"


class KeptWarmDbt(WarmDbt):
    """With the parsed manifest that earlier tests kept; parsing takes seconds."""

    @contextmanager
    def start(self, request: DbtRequest) -> Iterator[DbtRun]:
        directory = kept_directory(request.directory, request.environment)
        with super().start(replace(request, directory=directory)) as run:
            yield run


@dataclass(frozen=True)
class Builds:
    """Builds of one tenant that start warm."""

    settings: Settings
    dbt: WarmDbt

    def build(self, report: Callable[[int, int], None] = lambda _done, _total: None) -> int:
        """Build; the process id of the server that forked dbt."""
        build(self.settings, tenants=[TENANT], quiet=True, report=report, dbt=self.dbt)
        assert self.dbt.pid is not None
        return self.dbt.pid


@pytest.fixture
def builds(built_settings: Settings) -> Iterator[Builds]:
    with connect_as_owner(built_settings) as owner:
        add_tenant(owner, TENANT)
    builds = Builds(built_settings, KeptWarmDbt(600))
    yield builds
    builds.dbt.close()


def _children(pid: int) -> list[int]:
    """Runs that a server has forked; not the tracker of resources, which is another program."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(child) for child in text.split() if "dbt_server" in _command(int(child))]


def _command(pid: int) -> str:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")
    return ""


def _await(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def _sessions(settings: Settings) -> int:
    statement = (
        "select count(*) as n from pg_stat_activity"
        " where datname = current_database() and usename = 'quintile_transform'"
    )
    with connect(admin_url(settings)) as admin:
        row = admin.execute(statement).fetchone()
    assert row
    return int(row["n"])


def test_builds_fork_from_one_process_without_threads_sessions_or_secrets(builds: Builds) -> None:
    steps: list[tuple[int, int]] = []
    seen: list[str] = []

    def report(done: int, total: int) -> None:
        steps.append((done, total))
        if builds.dbt.pid is not None and not seen:
            seen.extend(_command(pid) for pid in [builds.dbt.pid, *_children(builds.dbt.pid)])

    server = builds.build(report)
    # Progress is that of a new process, to the last step.
    assert steps[0][0] == 0
    assert len({total for _, total in steps}) == 1
    assert steps[-1][0] == steps[-1][1] > 50
    assert len(seen) == 2
    assert not any("host=" in command or "postgresql" in command for command in seen)

    assert builds.build() == server
    assert len(list(Path(f"/proc/{server}/task").iterdir())) == 1
    assert _children(server) == []
    # A backend ends a moment after its client.
    _await(lambda: _sessions(builds.settings) == 0)


@pytest.mark.kill
def test_a_build_goes_on_without_its_server_and_the_next_starts_another(builds: Builds) -> None:
    first = builds.build()
    killed: list[int] = []

    def kill_server(done: int, _total: int) -> None:
        if done >= 3 and not killed:
            os.kill(first, signal.SIGKILL)
            killed.append(done)

    assert builds.build(kill_server) == first
    assert killed
    assert builds.build() != first


@pytest.mark.kill
def test_a_killed_run_fails_its_build_and_not_the_next(builds: Builds) -> None:
    server = builds.build()

    def kill_run(done: int, _total: int) -> None:
        if done >= 3:
            for run in _children(server):
                os.kill(run, signal.SIGKILL)

    with pytest.raises(BuildFailedError):
        builds.build(kill_run)
    assert builds.build() == server
    # A backend ends a moment after its client.
    _await(lambda: _sessions(builds.settings) == 0)


@pytest.mark.kill
def test_a_run_is_killed_when_its_build_stops(builds: Builds) -> None:
    server = builds.build()
    stopping = Event()

    def stop(done: int, _total: int) -> None:
        if done >= 3:
            stopping.set()

    with pytest.raises(HandedBackError):
        build(
            builds.settings,
            tenants=[TENANT],
            quiet=True,
            report=stop,
            stopping=stopping,
            dbt=builds.dbt,
        )
    _await(lambda: _children(server) == [])

    def fail(done: int, _total: int) -> None:
        if done >= 3:
            raise KeyError

    with pytest.raises(KeyError):
        builds.build(fail)
    # The build has returned, so nothing of it writes any more.
    assert _children(server) == []
    _await(lambda: _sessions(builds.settings) == 0)
    assert builds.build() == server


@pytest.mark.kill
def test_the_server_and_its_runs_end_with_the_worker(builds: Builds, tmp_path: Path) -> None:
    """A process that only starts the server and a build, and is killed in the middle of it."""
    program = tmp_path / "worker.py"
    program.write_text(
        "import sys\n"
        "from service.builds.run import build\n"
        "from service.core.config import load_settings\n"
        "from tests.integration.test_warm_dbt import KeptWarmDbt, TENANT\n"
        "dbt = KeptWarmDbt(600)\n"
        "def report(done, total):\n"
        "    print(dbt.pid, flush=True)\n"
        "build(load_settings(), tenants=[TENANT], quiet=True, report=report, dbt=dbt)\n",
        encoding="utf-8",
    )
    settings = builds.settings
    with subprocess.Popen(
        [sys.executable, str(program)],
        cwd=PROJECT_DIR,
        env={
            **os.environ,
            "PYTHONPATH": str(PROJECT_DIR),
            "QUINTILE_DATABASE_URL": settings.database_url,
            "QUINTILE_SECRET_KEY": settings.secret_key,
            "QUINTILE_HOME": settings.home,
        },
        stdout=subprocess.PIPE,
        text=True,
    ) as worker:
        assert worker.stdout
        server = int(worker.stdout.readline())
        runs = _children(server)
        assert runs
        worker.kill()
    _await(lambda: not any(map(_command, [server, *runs])))
    _await(lambda: _sessions(settings) == 0)
    builds.build()


def test_another_project_or_release_of_it_starts_another_server(
    builds: Builds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = builds.build()
    for name in ("models", "macros", "seeds"):
        shutil.copytree(PROJECT_DIR / name, tmp_path / name)
    shutil.copy(PROJECT_DIR / "dbt_project.yml", tmp_path)
    monkeypatch.setattr(locks, "PROJECT_DIR", tmp_path)
    assert builds.build() == first
    with (tmp_path / "macros" / "rfm" / "as_of.sql").open("a", encoding="utf-8") as file:
        file.write("\n")
    request = DbtRequest(str(tmp_path), "{}", (), dict(os.environ))
    builds.dbt.socket(request)
    assert builds.dbt.pid != first


def test_the_server_ends_when_it_is_not_used(builds: Builds) -> None:
    idle = Builds(builds.settings, KeptWarmDbt(1))
    first = idle.build()
    _await(lambda: not _command(first) or "Z" in _state(first))
    second = idle.build()
    assert second != first
    idle.dbt.close()
    assert not _command(second)


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]


def test_without_the_server_a_build_starts_a_new_process(builds: Builds) -> None:
    broken = DbtRequest("/nonexistent", "{", (), dict(os.environ))
    dbt = KeptWarmDbt(600, parsed=broken)
    commands: list[str] = []

    def report(_done: int, _total: int) -> None:
        if not commands:
            commands.extend(_command(int(pid)) for pid in _own_children())

    with structlog.testing.capture_logs() as logs:
        build(builds.settings, tenants=[TENANT], quiet=True, report=report, dbt=dbt)
    assert [entry["event"] for entry in logs] == ["the server of dbt does not work"] * 2
    assert any(NEW_PROCESS in command for command in commands)
    assert dbt.pid is None


def _own_children() -> list[str]:
    pid = os.getpid()
    return [
        child
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text(encoding="ascii").split()
    ]


def test_directories_of_servers_are_removed(builds: Builds) -> None:
    builds.build()
    request = DbtRequest("", "{}", (), {})
    directory = builds.dbt.socket(request).parent
    assert directory.stat().st_mode & 0o777 == 0o700
    builds.dbt.close()
    assert not directory.exists()
