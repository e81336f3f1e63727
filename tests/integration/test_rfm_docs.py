"""dbt's documentation builds, with lineage, and says what a reader of the marts needs to know."""

from __future__ import annotations

import json
from pathlib import Path

from service.core.config import PROJECT_DIR, Settings
from service.core.db import connect_as_owner
from tests.dbt.check_manifest import breaches
from tests.warm_dbt import dbt


def comments(settings: Settings) -> dict[tuple[str, str], str]:
    """The comments of the columns of marts, by their relation's id in the manifest."""
    with connect_as_owner(settings) as owner:
        rows = owner.execute(
            """
            select
                c.relname::text as relation,
                a.attname::text as attribute,
                col_description(c.oid, a.attnum) as text
            from pg_class as c
            inner join pg_attribute as a on c.oid = a.attrelid
            where
                c.relnamespace = 'marts'::regnamespace
                and c.relkind in ('r', 'v')
                and a.attnum > 0
                and not a.attisdropped
            """
        ).fetchall()
    seeds = {path.stem for path in (PROJECT_DIR / "seeds").rglob("*.csv")}
    return {
        (
            f"{'seed' if row['relation'] in seeds else 'model'}.quintile.{row['relation']}",
            row["attribute"],
        ): row["text"]
        for row in rows
    }


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
    # The comments in the database are the same texts, with references to shared ones filled in.
    assert {
        (name, column["name"]): column["description"]
        for name, node in marts.items()
        if node["resource_type"] in {"model", "seed"}
        for column in node["columns"].values()
    } == comments(built_settings)
    # Lineage: from what the store said to what people read.
    ancestors, todo = set(), ["model.quintile.customer_rfm_segments"]
    while todo:
        parents = manifest["parent_map"].get(todo.pop(), [])
        todo += [parent for parent in parents if parent not in ancestors]
        ancestors.update(parents)
    assert {"source.quintile.shopify.orders", "source.quintile.app.rfm_settings"} <= ancestors
