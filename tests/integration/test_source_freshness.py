"""``dbt source freshness``: the store furthest behind decides, by watermark or by loaded rows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from service.core.config import Settings
from service.core.db import Connection, connect
from tests.conftest import Cluster
from tests.integration.test_plain_dbt import dbt as plain_dbt
from tests.package import Dbt, layout_vars, load_layout
from tests.warm_dbt import dbt


def _freshness(settings: Settings, target: Path, expect: int) -> dict[str, str]:
    """Status by source table."""
    freshness = ("source", "freshness")
    dbt(settings.database_url, target, *freshness, expect=expect, writes_artifacts=True)
    return _statuses(target)


def _statuses(target: Path) -> dict[str, str]:
    results: list[dict[str, Any]] = json.loads((target / "sources.json").read_text())["results"]
    return {result["unique_id"].rpartition(".")[2]: result["status"] for result in results}


def _connect(owner: Connection, tenant_id: UUID, hours: int) -> None:
    """A store whose orders and customers were read this many hours ago, its segments just now."""
    owner.execute(
        "insert into app.connections (tenant_id, provider, sealed_secret, key_id, last_four)"
        " values (%s, 'shopify', 'x', 'unknown', 'xxxx')",
        [tenant_id],
    )
    for resource, age in (("orders", hours), ("customers", hours), ("segments", 0)):
        owner.execute(
            "insert into shopify.sync_watermarks (tenant_id, resource, synced_at)"
            " values (%s, %s, now() - make_interval(hours => %s))",
            [tenant_id, resource, age],
        )


def test_source_freshness_is_that_of_the_store_furthest_behind(
    settings: Settings, owner: Connection, make_tenant, tmp_path: Path
) -> None:
    unconnected = make_tenant("unconnected")
    plain_dbt(settings.database_url, tmp_path, "source", "freshness")
    assert set(_statuses(tmp_path).values()) == {"pass"}
    _connect(owner, make_tenant("fresh"), 0)
    _connect(owner, make_tenant("behind"), 5)
    owner.execute(
        "insert into shopify.sync_watermarks (tenant_id, resource, synced_at)"
        " values (%s, 'orders', now() - interval '1 year')",
        [unconnected],
    )
    assert _freshness(settings, tmp_path, expect=0) == {
        "orders": "warn",
        "customers": "warn",
        "cached_segments": "pass",
        "segment_members": "pass",
    }
    # A store that was never read is behind since it was connected.
    owner.execute("update app.connections set connected_at = now() - interval '3 days'")
    owner.execute("delete from shopify.sync_watermarks where resource = 'orders'")
    assert _freshness(settings, tmp_path, expect=1)["orders"] == "error"


@pytest.mark.parametrize(
    ("layout", "loaded_at", "orders", "customers"),
    [
        ("fivetran", "_fivetran_synced", '"order"', "customer"),
        ("airbyte", "_airbyte_extracted_at", "orders", "customers"),
    ],
)
def test_a_connector_s_freshness_is_that_of_the_schema_furthest_behind(
    layout: str, loaded_at: str, orders: str, customers: str, dbt: Dbt, cluster: Cluster
) -> None:
    """Only the last load of a schema counts, and a schema without the table does not."""

    def freshness(expect: int = 0, **limits: int) -> list[tuple[str, str]]:
        variables = layout_vars(layout, **limits)
        printed = dbt(
            url, "source", "freshness", variables=variables, expect=expect, ACME_SCHEMA=layout
        )
        return sorted(re.findall(r"(PASS|WARN|ERROR STALE) freshness of \w+\.(\w+)", printed))

    with cluster.database("template1") as settings, connect(settings.database_url) as conn:
        url = settings.database_url
        load_layout(conn, layout)
        conn.execute(
            f"update landed_borealis.{orders} set {loaded_at} = now() - interval '60 hours';"
            f" update landed_borealis.{orders} set {loaded_at} = now() - interval '30 hours'"
            " where id = 1001;"
            f" drop table landed_borealis.{customers}"
        )
        table = orders.strip('"')
        assert freshness() == [("PASS", customers), ("WARN", table)]
        limits = {"source_warn_after_hours": 12, "source_error_after_hours": 29}
        assert freshness(expect=1, **limits) == [("ERROR STALE", table), ("PASS", customers)]
