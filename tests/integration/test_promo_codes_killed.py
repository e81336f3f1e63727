"""``quintile promo-codes apply``, killed at many points: the next run ends as if undisturbed.

Each call to Shopify is a point: the process is killed some time after the call has arrived, at
delays from a random seed (a failure prints it, KILL_SEED repeats it); or after Shopify has accepted
it and before that is recorded, for which the records are locked.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pytest

from sandbox import Fault, Sandbox
from sandbox.data import generate_store
from sandbox.data.specs import KESSEL
from sandbox.shopify import Store
from service.core.config import Settings
from service.core.db import connect, connect_as_owner, open_pool, tenant_transaction
from service.promo_codes.codes import (
    CodeValues,
    ask_for_updates,
    change_code,
    create_code,
    delete_code,
)
from service.shopify.connection import connect_shopify
from service.tenants.tenants import add_tenant
from tests.command import environment_of
from tests.conftest import PROJECT_DIR, Cluster
from tests.promo_codes import add_customers, apply_codes, move_customers

pytestmark = pytest.mark.kill

SEED = int(os.environ.get("KILL_SEED", "20260701"))
# Each answer is late by this much, so that there is time to kill the process.
DELAY_SECONDS = 0.1
STARTS = datetime(2026, 6, 1, tzinfo=UTC)
VALUES = CodeValues("VIP", STARTS, ["rfm:champions"], percentage=Decimal("0.2"))
MEMBERS = 600

Change = Callable[[Settings, UUID], None]


class World:
    """A store, and databases of its tenant in the state before each kill."""

    def __init__(self, cluster: Cluster, template: str, shop: Sandbox, store: Store) -> None:
        self.cluster, self.template, self.shop, self.store = cluster, template, shop, store
        self.buyers = [str(number) for number in sorted(store.customers)]

    @contextmanager
    def database(self, prepare: Change, change: Change) -> Iterator[tuple[Settings, UUID]]:
        """A database with a change to apply, on top of what was applied before."""
        self.store.discounts.clear()
        with self.cluster.database(self.template) as clone, open_pool(clone) as pool:
            settings = replace(clone, shopify_url=self.shop.shopify_url)
            tenant_id = only_tenant(settings)
            prepare(settings, tenant_id)
            apply_codes(settings, pool, tenant_id)
            change(settings, tenant_id)
            yield settings, tenant_id

    def found(self, settings: Settings, tenant_id: UUID) -> dict[str, Any]:
        """What Shopify and the records have; and whether both are the same."""
        with open_pool(settings) as pool, tenant_transaction(pool, tenant_id) as conn:
            codes = conn.execute(
                """
                select
                    code, title, wanted, is_ended, members, problem,
                    requests - requests_done as due,
                    -- One that was ended gets all values again before it works.
                    case when is_ended then 0 else revision - applied_revision end as missing
                from app.promo_codes
                """
            ).fetchall()
            targets = conn.execute(
                "select target_id, state from app.promo_code_targets order by target_id"
            ).fetchall()
            # However often a run was killed, each change is recorded once.
            changes = conn.execute(
                "select target_id, change from app.promo_code_target_changes order by 1, 2"
            ).fetchall()
            (sums,) = conn.execute(
                "select coalesce(sum(added - removed), 0) as left_over from app.promo_code_changes"
            ).fetchall()
        discounts = [
            {
                **{name: getattr(each, name) for name in ("code", "title", "percentage", "amount")},
                "is_ended": each.ends_at is not None,
                "targets": sorted(str(number) for _, number in each.targets),
            }
            for each in self.store.discounts.values()
        ]
        for discount in discounts:
            assert discount["targets"] == [row["target_id"] for row in targets]
            assert sums["left_over"] == len(targets)
        return {"codes": codes, "targets": targets, "changes": changes, "discounts": discounts}


@pytest.fixture(scope="module")
def world(cluster: Cluster, built_template: str) -> Iterator[World]:
    store = Store(generate_store(KESSEL, 1, datetime(2026, 7, 1, tzinfo=UTC)))
    with Sandbox([store], []) as shop:
        world = World(cluster, cluster.create(built_template), shop, store)
        settings = replace(cluster.settings(world.template), shopify_url=shop.shopify_url)
        with connect_as_owner(settings) as owner, open_pool(settings) as pool:
            tenant_id = add_tenant(owner, "kessel", store.data.domain)
            connect_shopify(settings, pool, tenant_id, store.data.domain, store.data.token)
        segments = {"champions": world.buyers[:MEMBERS], "loyal": world.buyers[MEMBERS:]}
        add_customers(settings, tenant_id, segments)
        yield world


def only_tenant(settings: Settings) -> UUID:
    with connect_as_owner(settings) as owner:
        (row,) = owner.execute("select tenant_id from app.tenants").fetchall()
    tenant_id: UUID = row["tenant_id"]
    return tenant_id


def nothing(settings: Settings, tenant_id: UUID) -> None:
    """No code."""


def create(settings: Settings, tenant_id: UUID) -> None:
    """A person asks for a code."""
    with open_pool(settings) as pool, tenant_transaction(pool, tenant_id) as conn:
        create_code(settings, conn, tenant_id, "VIP20", VALUES)


def delete(settings: Settings, tenant_id: UUID) -> None:
    """A person deletes it."""
    with open_pool(settings) as pool, tenant_transaction(pool, tenant_id) as conn:
        delete_code(conn, tenant_id, "VIP20")


def build(world: World, *, keeps: int, brings: int) -> Change:
    """A build after which this many members stay and others come; a person changes the value."""

    def change(settings: Settings, tenant_id: UUID) -> None:
        buyers = world.buyers
        move_customers(settings, tenant_id, buyers[keeps:MEMBERS], "loyal")
        move_customers(settings, tenant_id, buyers[MEMBERS : MEMBERS + brings], "champions")
        with open_pool(settings) as pool, tenant_transaction(pool, tenant_id) as conn:
            ask_for_updates(conn, tenant_id)
            if brings:
                changes = {"amount": Decimal(5), "title": "VIP 5"}
                change_code(settings, conn, tenant_id, "VIP20", changes)

    return change


def kill_at(world: World, settings: Settings, call: int, delay: float | None) -> bool:
    """Run the command and kill it at a call; whether it was killed.

    Args:
        world: The store that it calls.
        settings: Its settings.
        call: Which call to Shopify, counted from 0.
        delay: Seconds after the call's arrival. None: while what Shopify has accepted is recorded.
    """
    command = [sys.executable, "-m", "service", "promo-codes", "apply", "--tenant", "kessel"]
    world.shop.fail_shopify(Fault(delay=DELAY_SECONDS, count=1000))
    before = len(world.shop.shopify_requests())
    with ExitStack() as stack:
        process = subprocess.Popen(
            command,
            cwd=Path(PROJECT_DIR),
            env=environment_of(settings),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        reached = call if delay is None else call + 1
        while process.poll() is None and len(world.shop.shopify_requests()) - before < reached:
            time.sleep(0.002)
        if delay is None:
            conn = stack.enter_context(closing(connect(settings.database_url)))
            with conn.transaction():
                conn.execute("lock table app.promo_codes, app.promo_code_targets in share mode")
                while process.poll() is None and not is_blocked(settings):
                    time.sleep(0.01)
                process.send_signal(signal.SIGKILL)
                process.wait()
        else:
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
        killed = process.wait() == -signal.SIGKILL
    world.shop.reset_faults()
    # A call on its way still arrives.
    time.sleep(2 * DELAY_SECONDS)
    with closing(connect(settings.database_url)) as conn:
        # As after two minutes without a sign of life, the run is taken for dead.
        conn.execute("update app.runs set heartbeat_at = '-infinity' where state = 'running'")
    return killed


def is_blocked(settings: Settings) -> bool:
    """Whether a statement waits for the records."""
    with closing(connect(settings.database_url)) as conn:
        statement = "select from pg_locks where not granted"
        return bool(conn.execute(statement).fetchall())


@pytest.mark.parametrize("name", ["creation", "update", "end", "deletion"])
def test_a_run_killed_anywhere_ends_as_if_undisturbed(world: World, name: str) -> None:
    prepare, change = {
        "creation": (nothing, create),
        "update": (create, build(world, keeps=200, brings=300)),
        "end": (create, build(world, keeps=0, brings=0)),
        "deletion": (create, delete),
    }[name]
    with world.database(prepare, change) as (settings, tenant_id), open_pool(settings) as pool:
        before = len(world.shop.shopify_requests())
        apply_codes(settings, pool, tenant_id)
        calls = len(world.shop.shopify_requests()) - before
        expected = world.found(settings, tenant_id)
    rng = Random(f"{SEED} {name}")  # noqa: S311 - repeatable on purpose
    points = [(call, rng.uniform(0, 1.5 * DELAY_SECONDS)) for call in range(calls)]
    killed = 0
    for call, delay in [*points, *((call, None) for call in range(1, calls + 1))]:
        where = f"seed {SEED}: {name}, call {call}, delay {delay}"
        print(where)
        with world.database(prepare, change) as (settings, tenant_id), open_pool(settings) as pool:
            killed += kill_at(world, settings, call, delay)
            for _ in range(2):
                apply_codes(settings, pool, tenant_id)
            assert world.found(settings, tenant_id) == expected, where
    assert killed >= calls, f"with seed {SEED}, too many came too late"
