"""dbt's documentation builds, with lineage, and says what a reader of the marts needs to know."""

from __future__ import annotations

import json
from pathlib import Path

from service.core.config import Settings
from tests.dbt.check_manifest import breaches
from tests.warm_dbt import dbt


def test_docs_describe_every_mart_and_where_it_comes_from(
    built_settings: Settings, tmp_path: Path
) -> None:
    generate = ("docs", "generate")
    dbt(built_settings.database_url, tmp_path, *generate, writes_artifacts=True)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    # Grain, freshness, every column's meaning, among others.
    assert breaches(manifest) == []
    catalog = json.loads((tmp_path / "catalog.json").read_text())["nodes"]
    marts = {
        name: node for name, node in manifest["nodes"].items() if node.get("schema") == "marts"
    }
    assert len(marts) > 15
    for name, node in marts.items():
        if node["resource_type"] not in {"model", "seed"}:
            continue
        assert node["description"].startswith("One row per"), name
        built = catalog[name]["columns"]
        assert {column.strip('"') for column in built} == set(node["columns"]), name
        for column in node["columns"].values():
            assert column["description"], (name, column["name"])
    # Lineage: from what the store said to what people read.
    ancestors, todo = set(), ["model.quintile.customer_rfm_segments"]
    while todo:
        parents = manifest["parent_map"].get(todo.pop(), [])
        todo += [parent for parent in parents if parent not in ancestors]
        ancestors.update(parents)
    assert {"source.quintile.shopify.orders", "source.quintile.app.rfm_settings"} <= ancestors
