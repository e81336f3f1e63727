"""What a first push to a Klaviyo list takes: seconds, calls, and memory, which is to stay flat.

A segment of made-up people feeds an empty list of the sandbox, which runs in a process of its own,
with limits far above Klaviyo's. Another process syncs as a worker does, and says how much memory it
took at most. What Klaviyo itself would take is not in the seconds: its limits allow 150 imports of
10,000 a minute.
"""

from __future__ import annotations

import json
import multiprocessing
import multiprocessing.connection
import resource
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import UUID

from sandbox import Sandbox
from sandbox.klaviyo import Account
from service.builds.run import build
from service.core import embedded
from service.core.config import Settings, load_settings
from service.core.db import admin_url, connect, connect_as_owner, open_pool, tenant_transaction
from service.destinations.configs import NewConfig, create_config
from service.klaviyo.connection import connect_klaviyo
from service.klaviyo.destination import sync_klaviyo
from service.migrate import migrate
from service.tenants.tenants import add_tenant
from tests.bench import AS_OF, sql
from tests.command import environment_of
from tests.klaviyo import begun_run

LARGEST = 1_000_000
_KEY = "pk_sandbox_for_benchmarks"
_LIMITS_SCALE = 10_000
# How much more memory a list ten times as long may take.
_FLAT = 1.25


def bench_klaviyo(size: int) -> None:
    """Print what a first push of so many people takes, and of a tenth; at most a million.

    Ends with exit code 1 when ten times as many people take more than a quarter more memory.
    """
    print("first push to Klaviyo")
    print(f"{'people':>12}{'seconds':>9}{'calls':>7}{'peak MiB':>10}")
    largest = min(size, LARGEST)
    home = Path(tempfile.mkdtemp(prefix="quintile-bench-"))
    settings = Settings(home=str(home), secret_key=secrets.token_hex(32))
    try:
        migrate(settings)
        build(settings, as_of=AS_OF, quiet=True)
        peaks = []
        for people in (largest // 10, largest):
            found = _measure(settings, people)
            peaks.append(found["peak_mib"])
            print(
                f"{people:>12,}{found['seconds']:>9.2f}{found['calls']:>7.0f}"
                f"{found['peak_mib']:>10.0f}"
            )
        if peaks[1] > _FLAT * peaks[0]:
            sys.exit("the memory of a push grows with the list")
    finally:
        embedded.stop(settings.home_dir / "pg")
        shutil.rmtree(home)


def _measure(base: Settings, people: int) -> dict[str, float]:
    """Seconds, calls and peak memory in MiB of a sync that adds so many people to a list."""
    with _sandbox() as (url, list_id):
        settings = replace(base, klaviyo_url=url)
        tenant_id = _prepare(settings, people, list_id)
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.klaviyo", str(tenant_id)],
            env={**environment_of(settings), "QUINTILE_DATABASE_URL": admin_url(settings)},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    if found["added"] != people:
        sys.exit(f"{found['added']} of {people} people were added")
    return found


def _prepare(settings: Settings, people: int, list_id: str) -> UUID:
    with connect_as_owner(settings) as owner:
        tenant_id = add_tenant(owner, f"bench_{people}")
    with connect(admin_url(settings)) as admin:
        admin.execute(sql("make_members"), {"tenant_id": tenant_id, "people": people})  # type: ignore[call-overload]
        admin.execute("vacuum analyze shopify.segment_members")
    with open_pool(settings) as pool:
        connect_klaviyo(settings, pool, tenant_id, _KEY)
        with tenant_transaction(pool, tenant_id) as conn:
            config = NewConfig("shopify:1", list_id, "Everybody", fires_flows_on_first_sync=True)
            create_config(conn, tenant_id, config)
    return tenant_id


@contextmanager
def _sandbox() -> Iterator[tuple[str, str]]:
    """A sandbox in a process of its own: its address, and the id of its empty list."""
    ready, tell = multiprocessing.Pipe(duplex=False)
    server = multiprocessing.get_context("fork").Process(target=_serve, args=(tell,))
    server.start()
    try:
        yield ready.recv()
    finally:
        server.terminate()
        server.join()


def _serve(tell: multiprocessing.connection.Connection) -> None:
    account = Account(
        _KEY,
        name="Bench",
        currency="EUR",
        timezone="UTC",
        prefix="BE",
        rate_limit_scale=_LIMITS_SCALE,
        job_seconds=0,
    )
    made = account.add_list("Everybody")
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    with Sandbox([], [account]) as sandbox:
        tell.send((sandbox.klaviyo_url, made.id))
        stopped.wait()


def _sync(tenant_id: UUID) -> None:
    """Sync as a worker does, and print what it took as JSON."""
    settings = load_settings()
    with open_pool(settings) as pool:
        began = time.perf_counter()
        with begun_run(pool, tenant_id) as recorder:
            sync_klaviyo(settings, pool, tenant_id, recorder)
        seconds = time.perf_counter() - began
    print(
        json.dumps(
            {
                "seconds": seconds,
                "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "calls": recorder.counts["calls"],
                "added": recorder.counts["added"],
            }
        )
    )


if __name__ == "__main__":
    _sync(UUID(sys.argv[1]))
