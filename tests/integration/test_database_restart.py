"""Restarts of the database under load: the service and the worker recover by themselves."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from sandbox import Fault, Sandbox
from sandbox.shopify import Store
from service.core import embedded
from service.core.config import Settings
from service.core.db import connect, connect_as_owner, open_pool, tenant_transaction
from service.migrate import migrate
from service.queue.enqueue import enqueue
from service.shopify.connection import connect_shopify
from service.tenants.tenants import add_tenant
from service.tenants.tokens import create_token
from tests.command import environment_of
from tests.conftest import PROJECT_DIR
from tests.shops import loaded_rows, small_shop
from tests.worker import NO_SCHEDULES, stop, wait_until, worker_process

pytestmark = pytest.mark.kill

SHOPS = ("north", "south")
UNAVAILABLE = (503, "/problems/database-unavailable")


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A separate cluster, which may be stopped. Its socket needs a short path."""
    home = Path(tempfile.mkdtemp(prefix="quintile-restart-"))
    yield home / "pg"
    embedded.stop(home / "pg")
    shutil.rmtree(home)


@pytest.fixture
def shops() -> Iterator[Sandbox]:
    stores = [
        Store(replace(small_shop(), domain=f"{name}.myshopify.com", token=f"shpat_{name}"))
        for name in SHOPS
    ]
    with Sandbox(stores, []) as sandbox:
        yield sandbox


@pytest.fixture
def here(data_dir: Path, shops: Sandbox) -> Settings:
    settings = Settings(
        database_url=embedded.start(data_dir),
        home=str(data_dir.parent),
        secret_key="a secret for tests 0123456789abcdef",
        shopify_url=shops.shopify_url,
        run_retry_seconds=1,
        run_attempts=20,
        run_stale_seconds=12,
        port=_free_port(),
        **NO_SCHEDULES,
    )
    migrate(settings)
    return settings


@pytest.fixture
def tenants(here: Settings, shops: Sandbox) -> dict[str, UUID]:
    found = {}
    with connect_as_owner(here) as owner, open_pool(here) as pool:
        for name, (domain, store) in zip(SHOPS, shops.stores.items(), strict=True):
            found[name] = add_tenant(owner, name, domain)
            connect_shopify(here, pool, found[name], domain, store.data.token)
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def service_process(settings: Settings, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "serve"],
            cwd=PROJECT_DIR,
            env=environment_of(settings),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


class Load(threading.Thread):
    """A client that keeps asking the API for runs and syncs."""

    def __init__(self, url: str, token: str) -> None:
        super().__init__(daemon=True)
        self.client = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30
        )
        self.over = threading.Event()
        self.answers: Counter[tuple[int, str]] = Counter()

    def run(self) -> None:
        while not self.over.wait(0.05):
            self.ask()

    def ask(self) -> None:
        self._count(self.client.get("/api/admin/runs"))
        self._count(self.client.post("/api/admin/segments/shopify/sync"))

    def _count(self, response: httpx.Response) -> None:
        kind = response.json()["type"] if response.status_code >= 400 else ""
        self.answers[response.status_code, kind] += 1

    def stop(self) -> None:
        """Stop asking by itself."""
        self.over.set()
        if self.is_alive():
            self.join()

    def close(self) -> None:
        self.stop()
        self.client.close()


def _is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _read(settings: Settings, statement: str) -> list[dict[str, Any]]:
    with closing(connect(settings.database_url)) as conn:
        return conn.execute(statement).fetchall()  # type: ignore[call-overload, no-any-return]


def _runs(settings: Settings) -> list[dict[str, Any]]:
    return _read(settings, "select kind, state, attempts from app.runs")


def _is_building(settings: Settings) -> bool:
    return bool(_read(settings, "select from app.runs where kind = 'build' and done > 10"))


def _has_unfinished(settings: Settings) -> bool:
    return bool(_read(settings, "select from app.runs where state in ('queued', 'running')"))


def test_service_and_worker_recover_from_a_database_restart_under_load(
    here: Settings, tenants: dict[str, UUID], data_dir: Path, shops: Sandbox, tmp_path: Path
) -> None:
    # Slow enough that every job is running when the database stops.
    shops.fail_shopify(Fault(delay=0.3, count=100_000))
    url = f"http://127.0.0.1:{here.port}"
    with connect_as_owner(here) as owner:
        token = create_token(owner, tenants["north"], "load").token
    with (
        service_process(here, tmp_path / "service.log") as service,
        worker_process(here, tmp_path / "worker.log") as worker,
        closing(Load(url, token)) as load,
    ):
        wait_until(lambda: _is_up(url), "the service answers")
        load.start()
        with open_pool(here) as pool:
            for tenant_id in tenants.values():
                with tenant_transaction(pool, tenant_id) as conn:
                    enqueue(conn, tenant_id, "shopify_sync")
            with tenant_transaction(pool, tenants["south"]) as conn:
                enqueue(conn, tenants["south"], "build")
        wait_until(lambda: _is_building(here), "the build is under way")
        # Once briefly, as in an upgrade of the server, and once long enough for errors.
        embedded.stop(data_dir)
        embedded.start(data_dir)
        time.sleep(1)
        embedded.stop(data_dir)
        wait_until(lambda: load.answers[UNAVAILABLE] > 0, "the service reports the error")
        embedded.start(data_dir)
        before = load.answers.total()
        wait_until(lambda: load.answers.total() > before + 4, "the service answers again")
        load.stop()
        wait_until(lambda: not _has_unfinished(here), "every run has ended")
        assert set(load.answers) == {(200, ""), (202, ""), UNAVAILABLE}
        load.answers.clear()
        load.ask()
        assert load.answers == {(200, ""): 1, (202, ""): 1}
        assert service.poll() is None
        assert stop(worker) == 0
    runs = _runs(here)
    assert {run["state"] for run in runs} <= {"succeeded", "queued"}
    assert {run["kind"] for run in runs} == {"shopify_sync", "segments_sync", "build"}
    # They were running when the database stopped, and were started again.
    assert {run["attempts"] > 1 for run in runs if run["kind"] == "build"} == {True}
    with open_pool(here) as pool:
        orders = [loaded_rows(pool, tenant_id)["orders"] for tenant_id in tenants.values()]
    assert [len(rows) for rows in orders] == [len(small_shop().orders)] * 2
