"""The peers of the benchmark score as the build does, and it notices when they do not."""

from __future__ import annotations

import pytest

from service.builds.run import build
from service.core.config import Settings
from service.core.db import admin_url, connect, one
from tests.bench import AS_OF, TENANTS, make_orders
from tests.bench.peers import bench_peers

ORDERS = 2_000


def test_the_peers_make_the_rows_of_the_build(built_settings: Settings) -> None:
    make_orders(built_settings, ORDERS)
    build(built_settings, as_of=AS_OF, quiet=True)
    with connect(admin_url(built_settings)) as admin:
        peers = bench_peers(built_settings, admin)
        assert [peer.label for peer in peers] == ["plain SQL table", "polars", "DuckDB"]
        scored = admin.execute(
            "select count(*) as customers from marts.customer_facts where segment is not null"
        )
        assert {peer.rows for peer in peers} == {one(scored.fetchone())["customers"]}
        assert peers[0].rows > TENANTS

        admin.execute(
            "update marts.customer_facts set m_score = m_score % 5 + 1"
            " where (tenant_id, customer_id) = (select tenant_id, customer_id"
            " from marts.customer_facts where segment is not null limit 1)"
        )
        with pytest.raises(RuntimeError, match=r"plain SQL table: 1 of \d+ rows differ"):
            bench_peers(built_settings, admin)
