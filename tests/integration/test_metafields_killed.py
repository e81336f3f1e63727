"""`quintile metafields sync`, killed at many points: a rerun ends as if undisturbed.

Where to kill comes from a seed, which a failure prints: a phase of the run, and how long after its
start. The store answers slowly, so that most kills come between two calls or during one.
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
from random import Random
from uuid import UUID

import pytest

from sandbox import Fault, Sandbox
from sandbox.shopify import Store
from sandbox.shopify.metafields import Metafields
from service.core.config import Settings
from service.core.db import Pool, connect, connect_as_owner, create_pool
from service.shopify.connection import connect_shopify
from service.tenants.tenants import add_tenant
from tests.command import environment_of
from tests.conftest import PROJECT_DIR, Cluster
from tests.metafields import Scored, held, ledger, leftovers, score, switch, write
from tests.shops import small_shop

pytestmark = pytest.mark.kill

SEED = int(os.environ.get("KILL_SEED", "20261130"))
POINTS = int(os.environ.get("KILL_POINTS", "4"))
LONGEST_DELAY_SECONDS = 0.6
# Of each answer, so that a run of two dozen calls takes about a second.
ANSWER_SECONDS = 0.03
CHAMPION: Scored = ("champions", 5, 5, 5)
SLEEPER: Scored = ("hibernating", 1, 1, 2)


@pytest.fixture(scope="module")
def store() -> Store:
    return Store(small_shop())


@pytest.fixture(scope="module")
def shop(store: Store) -> Iterator[Sandbox]:
    with Sandbox([store], []) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def scores(store: Store) -> dict[str, Scored]:
    return {str(n): (CHAMPION if at % 3 else SLEEPER) for at, n in enumerate(store.customers)}


class World:
    """The store without metafields, and a tenant that has turned them on."""

    def __init__(self, settings: Settings, pool: Pool, tenant_id: UUID, store: Store) -> None:
        self.settings, self.pool, self.tenant_id, self.store = settings, pool, tenant_id, store

    def write(self) -> None:
        write(self.settings, self.pool, self.tenant_id)

    def score(self, scores: dict[str, Scored]) -> None:
        score(self.settings, self.tenant_id, scores)


@contextmanager
def world(
    cluster: Cluster, template: str, shop: Sandbox, store: Store, bulk_from: int
) -> Iterator[World]:
    store.metafields = Metafields()
    store.bulk.operations.clear()
    with cluster.database(template) as made, closing(create_pool(made)) as pool:
        settings = replace(
            made,
            shopify_url=shop.shopify_url,
            shopify_metafields_bulk_from=bulk_from,
            shopify_bulk_patience_seconds=5,
        )
        with connect_as_owner(settings) as owner:
            tenant_id = add_tenant(owner, "kessel", store.data.domain)
        connect_shopify(settings, pool, tenant_id, store.data.domain, store.data.token)
        yield World(settings, pool, tenant_id, store)


def kill(world: World, shop: Sandbox, phase: str, delay: float) -> bool:
    """Run the command and kill it this long after a phase began; False when it was too quick."""
    shop.fail_shopify(Fault(delay=ANSWER_SECONDS, count=10_000))
    process = subprocess.Popen(
        [sys.executable, "-m", "service", "metafields", "sync", "--tenant", "kessel"],
        cwd=PROJECT_DIR,
        env=environment_of(world.settings),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with closing(connect(world.settings.database_url)) as conn:
        reached = "select from app.runs where phase = %s and state = 'running'"
        while process.poll() is None and not conn.execute(reached, [phase]).fetchall():
            time.sleep(0.002)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        killed = process.wait() == -signal.SIGKILL
        # As after two minutes without a sign of life, the run is taken for dead.
        conn.execute("update app.runs set heartbeat_at = '-infinity' where state = 'running'")
    shop.reset_faults()
    return killed


def points(phases: list[str], seed: int) -> Iterator[tuple[str, float]]:
    rng = Random(seed)  # noqa: S311 - repeatable on purpose
    chosen = [*phases, *rng.choices(phases, k=POINTS - len(phases))]
    for phase in chosen:
        yield phase, round(rng.uniform(0, LONGEST_DELAY_SECONDS), 3)


@pytest.mark.parametrize(
    ("bulk_from", "phases"),
    [
        (10_000, ["shop", "metafields"]),
        (1, ["shop", "metafields: waiting for Shopify", "metafields"]),
    ],
    ids=["call by call", "in bulk"],
)
def test_a_first_run_killed_anywhere_ends_with_the_same_metafields(
    cluster: Cluster,
    built_template: str,
    shop: Sandbox,
    store: Store,
    scores: dict[str, Scored],
    bulk_from: int,
    phases: list[str],
) -> None:
    killed = 0
    for phase, delay in points(phases, SEED + bulk_from):
        where = f"seed {SEED}: {delay} s into '{phase}'"
        print(where)
        with world(cluster, built_template, shop, store, bulk_from) as made:
            made.score(scores)
            switch(made.pool, made.tenant_id, on=True)
            killed += kill(made, shop, phase, delay)
            # The segments may have changed before somebody starts it again.
            later = {**scores, next(iter(scores)): ("loyal", 4, 3, 3)}
            made.score(later)
            made.write()
            assert held(store) == later, where
            assert ledger(made.pool, made.tenant_id) == later, where
            assert leftovers(made.pool, made.tenant_id) == (0, False), where
    assert killed >= POINTS // 2, f"with seed {SEED}, too many came too late"


def test_turning_off_killed_anywhere_leaves_nothing(
    cluster: Cluster, built_template: str, shop: Sandbox, store: Store, scores: dict[str, Scored]
) -> None:
    killed = 0
    for phase, delay in points(["removed metafields", "metafield definitions"], SEED):
        where = f"seed {SEED}: {delay} s into '{phase}'"
        print(where)
        with world(cluster, built_template, shop, store, bulk_from=1) as made:
            made.score(scores)
            switch(made.pool, made.tenant_id, on=True)
            made.write()
            switch(made.pool, made.tenant_id, on=False)
            # At the phase's very beginning: the removal is a few calls.
            killed += kill(made, shop, phase, delay / 6)
            made.write()
            assert (held(store), store.metafields.definitions) == ({}, {}), where
            assert ledger(made.pool, made.tenant_id) == {}, where
    assert killed >= POINTS // 2, f"with seed {SEED}, too many came too late"
