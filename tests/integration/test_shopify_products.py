"""Product types of order lines: read with a scope that a token need not have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest

from sandbox.shopify import Store
from sandbox.shopify.store import ALL_SCOPES
from service.core.config import Settings
from service.core.db import Pool, tenant_transaction
from service.doctor.examine import examine
from service.shopify.problems import read_problems
from service.shopify.sync import sync_shopify
from tests.conftest import NullProgress
from tests.shops import ORDERS, loaded_rows

WITHOUT_PRODUCTS = ALL_SCOPES - {"read_products"}
Sync = Callable[[], dict[str, int]]


@pytest.fixture(params=[1, 10**9], ids=["in bulk", "paged"])
def sync(
    request: pytest.FixtureRequest, shopify_settings: Settings, pool: Pool, tenant: UUID
) -> Sync:
    here = replace(
        shopify_settings, shopify_bulk_from=request.param, shopify_bulk_patience_seconds=1
    )

    def run() -> dict[str, int]:
        progress = NullProgress()
        sync_shopify(here, pool, tenant, progress)
        return progress.counts

    return run


def types(pool: Pool, tenant_id: UUID) -> dict[str, list[str | None]]:
    """The product types of each order's lines."""
    return {
        row["order_id"]: [line.get("product_type") for line in row["line_items"]]
        for row in loaded_rows(pool, tenant_id)["orders"]
    }


def types_in(store: Store) -> dict[str, list[str | None]]:
    return {
        str(order.number): [
            (line.product.product_type if line.product else "") or None for line in order.line_items
        ]
        for order in store.data.orders
    }


def problems(pool: Pool, tenant_id: UUID) -> list[str]:
    with tenant_transaction(pool, tenant_id) as conn:
        return [f"{each.in_words} {each.advice}" for each in read_problems(conn, tenant_id)]


def test_product_types_are_read_once_the_token_has_the_scope(
    sync: Sync, pool: Pool, tenant: UUID, store: Store, settings: Settings
) -> None:
    store.scopes = WITHOUT_PRODUCTS
    counts = sync()
    assert counts["orders"] >= ORDERS
    assert {each for lines in types(pool, tenant).values() for each in lines} == {None}
    # Nothing was denied, because it was not asked for.
    assert "withheld_fields" not in counts
    assert problems(pool, tenant) == []
    (found,) = [each for each in examine(settings) if "read_products" in each.message]
    assert (found.level, found.check) == ("ok", "scopes")
    assert sync()["written"] == 0

    store.scopes = ALL_SCOPES
    assert sync()["orders"] >= ORDERS
    assert types(pool, tenant) == types_in(store)
    assert {None, "Kaffee"} < {each for lines in types(pool, tenant).values() for each in lines}
    counts = sync()
    assert counts["written"] == 0
    assert counts["orders"] < ORDERS / 10

    # Without the scope, the sync goes on where it was; orders that are not read keep their types.
    store.scopes = WITHOUT_PRODUCTS
    changed = str(store.data.orders[7].number)
    store.update_order(int(changed), note="changed")
    read = sync()["orders"]
    kept, theirs = types(pool, tenant), types_in(store)
    assert set(kept[changed]) == {None}
    assert sum(kept[number] != theirs[number] for number in kept) <= read < ORDERS / 10
    store.scopes = ALL_SCOPES
    assert sync()["orders"] >= ORDERS
    assert types(pool, tenant) == types_in(store)


def test_lines_without_a_product_have_no_type(
    sync: Sync, pool: Pool, tenant: UUID, store: Store
) -> None:
    """As of custom items and deleted products."""
    order = store.data.orders[3]
    bare = [replace(line, product=None) for line in order.line_items]
    store.update_order(order.number, line_items=bare)
    sync()
    assert types(pool, tenant)[str(order.number)] == [None] * len(bare)


def test_product_types_that_shopify_withholds_despite_the_scope_are_reported(
    sync: Sync, pool: Pool, tenant: UUID, store: Store
) -> None:
    store.fail_records(withheld=frozenset({"product"}))
    counts = sync()
    assert (counts["withheld_fields"], counts["rejected"]) == (1, 0)
    assert {each for lines in types(pool, tenant).values() for each in lines} == {None}
    (problem,) = problems(pool, tenant)
    assert "Shopify withholds product types" in problem
    assert "read_products" in problem
    assert "level 2" not in problem
    assert sync()["orders"] < ORDERS / 10
    store.fail_records()
    sync()
    assert types(pool, tenant) == types_in(store)
    assert problems(pool, tenant) == []
