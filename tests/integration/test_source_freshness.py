"""``dbt source freshness`` reads the stores' watermarks; the store furthest behind decides."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

from service.core.config import Settings
from service.core.db import Connection, transform_url
from tests.conftest import PROJECT_DIR


def _freshness(settings: Settings, target: Path, expect: int) -> dict[str, str]:
    """Status by source table."""
    done = subprocess.run(
        [Path(sys.executable).with_name("dbt"), "source", "freshness"],
        cwd=PROJECT_DIR,
        env={
            **os.environ,
            "QUINTILE_TRANSFORM_DATABASE_URL": transform_url(settings),
            "DBT_PROFILES_DIR": str(PROJECT_DIR),
            "DBT_TARGET_PATH": str(target),
            "DBT_LOG_PATH": str(target),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == expect, done.stdout + done.stderr
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
    assert set(_freshness(settings, tmp_path, expect=0).values()) == {"pass"}
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
