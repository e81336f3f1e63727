"""`quintile sync shopify`, killed at twenty points: a rerun ends with the same rows all the same.

Where to kill comes from a seed, which a failure prints: a phase of the sync, as its run reports it,
and how long after its start. Each phase is hit, at points that the sync does not prepare for.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pytest

from sandbox import Sandbox
from sandbox.shopify import Store
from service.core.config import Settings
from service.core.db import connect, connect_as_owner, open_pool
from service.shopify.compare import Comparison
from service.shopify.connection import connect_shopify
from service.shopify.sync import sync_shopify
from service.tenants.tenants import add_tenant
from tests.command import environment_of
from tests.conftest import PROJECT_DIR, Cluster, NullProgress
from tests.shops import loaded_rows, small_shop

pytestmark = pytest.mark.kill

SEED = int(os.environ.get("KILL_SEED", "20260701"))
LONGEST_DELAY_SECONDS = 0.3
FIRST_SYNC = (
    "shop",
    "segments",
    "segment members",
    "customers: waiting for Shopify",
    "customers",
    "orders: waiting for Shopify",
    "orders",
)
COMPARING = (
    "customers",
    "orders",
    "ids of customers: waiting for Shopify",
    "ids of orders: waiting for Shopify",
    "ids of orders",
    "customers one by one",
    "orders one by one",
)


def points(phases: tuple[str, ...], seed: int) -> list[tuple[str, float]]:
    """Each phase once; KILL_POINTS gives more."""
    rng = Random(seed)  # noqa: S311 - repeatable on purpose
    more = int(os.environ.get("KILL_POINTS", "0")) - len(phases)
    chosen = [*phases, *rng.choices(phases, k=max(more, 0))]
    return [(phase, round(rng.uniform(0, LONGEST_DELAY_SECONDS), 3)) for phase in chosen]


@pytest.fixture(scope="module")
def store() -> Store:
    return Store(small_shop())


@pytest.fixture(scope="module")
def shop(store: Store) -> Iterator[Sandbox]:
    with Sandbox([store], []) as sandbox:
        yield sandbox


class World:
    """The shop, and databases in the state before the sync."""

    def __init__(self, cluster: Cluster, template: str, shop: Sandbox, store: Store) -> None:
        self.cluster, self.template, self.shop, self.store = cluster, template, shop, store

    @contextmanager
    def database(self) -> Iterator[Settings]:
        # Operations of killed processes would keep the slots that the next one needs.
        self.store.bulk.operations.clear()
        with self.cluster.database(self.template) as settings:
            yield replace(settings, shopify_url=self.shop.shopify_url, shopify_bulk_from=100)


@pytest.fixture(scope="module")
def connected(cluster: Cluster, migrated_template: str, shop: Sandbox, store: Store) -> World:
    """A tenant that has been connected and never synced."""
    world = World(cluster, cluster.create(migrated_template), shop, store)
    settings = replace(cluster.settings(world.template), shopify_url=shop.shopify_url)
    with connect_as_owner(settings) as owner, open_pool(settings) as pool:
        tenant_id = add_tenant(owner, "kessel", store.data.domain)
        connect_shopify(settings, pool, tenant_id, store.data.domain, store.data.token)
    return world


@pytest.fixture(scope="module")
def changed(connected: World, store: Store) -> World:
    """A tenant that was synced before orders were edited and deleted, and customers merged."""
    cluster = connected.cluster
    world = World(cluster, cluster.create(connected.template), connected.shop, store)
    settings = replace(cluster.settings(world.template), shopify_url=connected.shop.shopify_url)
    with open_pool(settings) as pool:
        sync_shopify(settings, pool, only_tenant(settings), NullProgress())
    numbers = [order.number for order in store.data.orders]
    for number in numbers[:60]:
        store.update_order(number, note="edited")
    for number in numbers[60:70]:
        store.delete_order(number)
    kept, gone, *_ = dict.fromkeys(
        order.customer_number for order in store.data.orders[70:] if order.customer_number
    )
    store.merge_customers(kept, gone)
    return world


def only_tenant(settings: Settings) -> UUID:
    with connect_as_owner(settings) as owner:
        row = owner.execute("select tenant_id from app.tenants").fetchone()
    assert row is not None
    tenant_id: UUID = row["tenant_id"]
    return tenant_id


def synced(settings: Settings, comparison: Comparison) -> dict[str, list[dict[str, Any]]]:
    """The rows after a sync that is not killed."""
    tenant_id = only_tenant(settings)
    with open_pool(settings) as pool:
        sync_shopify(settings, pool, tenant_id, NullProgress(), comparison=comparison)
        found = loaded_rows(pool, tenant_id)
    with connect(settings.database_url) as conn:
        for table in ("bulk_operations", "rereads"):
            found[table] = conn.execute(f"select * from shopify.{table}").fetchall()
    for row in found["orders"] + found["customers"]:
        row["deleted_at"] = row["deleted_at"] is not None
    return found


def kill_at(settings: Settings, phase: str, delay: float, *options: str) -> bool:
    """Run the command and kill it this long after a phase began; False when it was too quick."""
    command = [sys.executable, "-m", "service", "sync", "shopify", "--tenant", "kessel", *options]
    process = subprocess.Popen(
        command,
        cwd=Path(PROJECT_DIR),
        env=environment_of(settings),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with closing(connect(settings.database_url)) as conn:
        reached = "select from app.runs where phase = %s and state = 'running'"
        while process.poll() is None and not conn.execute(reached, [phase]).fetchall():
            time.sleep(0.002)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        killed = process.wait() == -signal.SIGKILL
        # As after two minutes without a sign of life, the run is taken for dead.
        conn.execute("update app.runs set heartbeat_at = '-infinity' where state = 'running'")
    return killed


def kill_and_rerun(
    world: World, phases: tuple[str, ...], seed: int, comparison: Comparison, *options: str
) -> None:
    with world.database() as settings:
        expected = synced(settings, comparison)
    killed = 0
    for phase, delay in points(phases, seed):
        where = f"seed {SEED}: {delay} s into '{phase}'"
        print(where)
        with world.database() as settings:
            killed += kill_at(settings, phase, delay, *options)
            found = synced(settings, comparison)
        for table, rows in expected.items():
            assert found[table] == rows, f"{table} after a kill at {where}"
    assert killed >= len(phases) - 2, f"with seed {SEED}, too many came too late"


def test_a_first_sync_killed_anywhere_ends_with_the_same_tables(connected: World) -> None:
    kill_and_rerun(connected, FIRST_SYNC, SEED, Comparison.WHEN_DUE)


def test_a_comparison_killed_anywhere_ends_with_the_same_tables(changed: World) -> None:
    kill_and_rerun(changed, COMPARING, SEED + 1, Comparison.NOW, "--compare")
