"""A sync of segments takes the same memory for any number of segments and members."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from sandbox import Sandbox
from sandbox.data import Customer, Segment, StoreData
from sandbox.shopify import Store
from service.core.config import Settings
from service.core.db import Pool, tenant_transaction
from service.shopify.connection import connect_shopify
from tests.command import peak_of
from tests.conftest import MakeTenant
from tests.shops import small_shop

ANCHOR = datetime(2026, 7, 1, tzinfo=UTC)
# How much more the larger sync may take, in KiB. A list of its members would take over 30 MiB.
SLACK_KIB = 6 * 1024
SIZES = ((5_000, 10), (60_000, 100))


def shop_with(members: int, segments: int) -> StoreData:
    """A shop with one segment of this many members, and this many segments of one member."""
    customers = [
        Customer(
            number=1_000_000 + number,
            first_name="Ada",
            last_name=f"Lovelace the {number}th",
            email=f"customer.number.{number}@example.com",
            marketing_state="SUBSCRIBED" if number else "PENDING",
            tags=["first"] if number == 0 else [],
            created_at=ANCHOR - timedelta(days=10),
            updated_at=ANCHOR - timedelta(days=10),
        )
        for number in range(members)
    ]
    everybody = Segment(1, "Everybody", "number_of_orders = 0", ANCHOR, ANCHOR)
    one_each = [
        replace(everybody, number=2 + n, name=f"No. {n}", query="customer_tags CONTAINS 'first'")
        for n in range(segments)
    ]
    shop = small_shop()
    return replace(shop, customers=customers, orders=[], segments=[everybody, *one_each])


def counts(pool: Pool, tenant: UUID) -> tuple[int, int]:
    with tenant_transaction(pool, tenant) as conn:
        row = conn.execute(
            """
            select
                (select count(*) from shopify.cached_segments) as segments,
                (select count(*) from shopify.segment_members) as members
            """
        ).fetchone()
    assert row is not None
    return row["segments"], row["members"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak where Linux tells it")
def test_memory_does_not_grow_with_members_or_segments(
    settings: Settings, pool: Pool, make_tenant: MakeTenant
) -> None:
    peaks = []
    shop = small_shop().domain
    tenant = make_tenant("kessel", shop)
    for members, segments in SIZES:
        store = Store(shop_with(members, segments))
        with Sandbox([store], []) as sandbox:
            here = replace(settings, shopify_url=sandbox.shopify_url)
            connect_shopify(here, pool, tenant, shop, store.data.token)
            peaks.append(peak_of(here, "sync", "shopify", "--only", "segments"))
        assert counts(pool, tenant) == (1 + segments, members + segments)
    small, large = peaks
    assert large - small < SLACK_KIB, f"{small:,} KiB, then {large:,} KiB"
