"""Check project rules that dbt does not enforce, using the manifest written by `dbt parse`.

Usage: python tests/dbt/check_manifest.py [target/manifest.json]

Prints one line per violation and exits with 1 if there is any. Rules: every model has a
description, a key test and its own .yml file next to it, and a unit test if it calculates
anything; marts have enforced contracts, state their grain and freshness, describe every column and
read no source; tenant_id comes first in columns, keys and indexes; layers read only those before
them. The exceptions for dbt-project-evaluator name models and sources that exist.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

Manifest = dict[str, Any]
Node = dict[str, Any]

EXCEPTIONS = (
    Path(__file__).parents[2]
    / "docs/examples/dbt_project_evaluator/seeds/dbt_project_evaluator_exceptions.csv"
)

# Phrases with which a description states how fresh its rows are.
FRESHNESS = re.compile(r"\b(as of|last build|always current)\b", re.IGNORECASE)

KEY_TESTS = {"unique", "unique_within_tenant"}

# Words of a staging model that does more than to rename, cast and filter.
LOGIC = re.compile(r"\b(join|union|distinct|group by|over|case|coalesce|greatest|least)\b")
COMMENT = re.compile(r"--[^\n]*|\{#.*?#\}", re.DOTALL)
# Models that look up in the database which columns their sources have. In a unit test the sources
# are fixtures, which have none there. tests/integration/test_dbt_package.py and test_connectors.py
# build them on real tables of every layout.
WITHOUT_UNIT_TEST = re.compile(r"base_|stg_shopify__orders$")


def models_of(manifest: Manifest) -> list[Node]:
    """Return the project's own models, sorted by name."""
    project = manifest["metadata"]["project_name"]
    found = [
        node
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model" and node["package_name"] == project
    ]
    return sorted(found, key=lambda node: str(node["name"]))


def is_mart(model: Node) -> bool:
    """Return whether the model is a mart (in models/marts)."""
    return PurePosixPath(model["original_file_path"]).parts[:2] == ("models", "marts")


def calculates(model: Node) -> bool:
    """Return whether a model has logic that a unit test can show.

    Every intermediate model and mart has; a staging model only if it does more than to rename, cast
    and filter.
    """
    if WITHOUT_UNIT_TEST.match(model["name"]):
        return False
    return layer_of(model) != "staging" or bool(
        LOGIC.search(COMMENT.sub("", model["raw_code"].lower()))
    )


def models_with_key_test(manifest: Manifest) -> set[str]:
    """Return the ids of models with a data test for the uniqueness of their key."""
    return {
        node["attached_node"]
        for node in manifest["nodes"].values()
        if node["resource_type"] == "test"
        and (node.get("test_metadata") or {}).get("name") in KEY_TESTS
    }


def models_with_unit_test(manifest: Manifest) -> set[str]:
    """Return the ids of models with a unit test."""
    return {
        parent for test in manifest.get("unit_tests", {}).values() for parent in tested_by(test)
    }


def tested_by(unit_test: Node) -> list[str]:
    """Return the ids of the models that a unit test tests."""
    parents = unit_test["depends_on"]["nodes"]
    return [node for node in parents if node.endswith(f".{unit_test['model']}")]


def breaches_of_model(model: Node, *, has_key_test: bool, has_unit_test: bool) -> Iterator[str]:
    """Yield violations of the rules for all models.

    For an ephemeral model or a view, a unit test may replace the key test. A data test would run
    all of its SQL again, and the tables that it reads and feeds have key tests of their own. An
    ephemeral base model cannot have a unit test either; the table that reads it has a key test.
    """
    if not model["description"].strip():
        yield "has no description"
    config = model["config"]
    if not has_unit_test and calculates(model):
        yield "calculates something and has no unit test"
    is_ephemeral = config.get("materialized") == "ephemeral"
    is_view = config.get("materialized") == "view"
    has_substitute = has_unit_test and (is_ephemeral or is_view)
    is_part = is_ephemeral and WITHOUT_UNIT_TEST.match(model["name"])
    if not (has_key_test or has_substitute or is_part):
        yield "has no key test (unique or unique_within_tenant)"
    sql_path = PurePosixPath(model["original_file_path"])
    yml_path = (model.get("patch_path") or "").partition("://")[2]
    if yml_path != str(sql_path.with_suffix(".yml")):
        yield f"is not described in a file of its own next to it, {sql_path.with_suffix('.yml')}"
    # The strategy reconcile looks up few rows by this index; without it, each reads the table.
    if config.get("materialized") == "incremental" and not any(
        index["columns"] == config.get("unique_key") and index.get("unique")
        for index in config.get("indexes") or []
    ):
        yield "is a table without a unique index on its unique_key"
    yield from breaches_of_tenancy(model)


def breaches_of_tenancy(model: Node) -> Iterator[str]:
    """Yield places where tenant_id does not come first: columns, unique_key or an index."""
    config = model["config"]
    if next(iter(model["columns"]), None) != "tenant_id":
        yield "does not list tenant_id as its first column"
    unique_key = config.get("unique_key")
    if unique_key is not None and (
        not isinstance(unique_key, list) or _lacks_leading_tenant(unique_key)
    ):
        yield f"has the unique_key {unique_key}, which does not start with tenant_id"
    for index in config.get("indexes") or []:
        if _lacks_leading_tenant(index["columns"]):
            yield f"has an index on {index['columns']}, which does not start with tenant_id"


def breaches_of_mart(model: Node) -> Iterator[str]:
    """Yield violations of the rules for marts."""
    if not model["config"]["contract"]["enforced"]:
        yield "is a mart without an enforced contract"
    if model["config"].get("unique_key") is None:
        yield "is a mart without a unique_key"
    if not model["description"].startswith("One row per "):
        yield "is a mart whose description does not begin with its grain, One row per …"
    if not FRESHNESS.search(model["description"]):
        yield "is a mart whose description does not state how fresh it is"
    for name, column in model["columns"].items():
        if not column["description"].strip():
            yield f"is a mart whose column {name} has no description"


def breaches_of_layers(model: Node, nodes: dict[str, Node]) -> Iterator[str]:
    """Yield parents that a model of its layer may not read."""
    is_staging = layer_of(model) == "staging"
    for parent in model["depends_on"]["nodes"]:
        if parent.startswith("source.") and not is_staging:
            yield f"reads {parent}; only staging may read sources"
        if (
            is_staging
            and parent.startswith("model.")
            and layer_of(nodes.get(parent, model)) != "staging"
        ):
            yield f"is a staging model that reads {parent}"


def layer_of(model: Node) -> str:
    """Return the directory of a model below models/."""
    return PurePosixPath(model["original_file_path"]).parts[1]


def stale_exceptions(manifest: Manifest, rows: Iterable[dict[str, str]]) -> Iterator[str]:
    """Yield exceptions for dbt-project-evaluator that give no reason or match nothing."""
    nodes = [*manifest["nodes"].values(), *manifest.get("sources", {}).values()]
    nodes += [node for versions in manifest.get("disabled", {}).values() for node in versions]
    names = {
        f"{node['source_name']}.{node['name']}" if "source_name" in node else str(node["name"])
        for node in nodes
    }
    for row in rows:
        pattern = row["id_to_exclude"]
        if not row["comment"].strip():
            yield f"{EXCEPTIONS.name}: {row['fct_name']} {pattern} has no reason"
        is_named = row["column_name"] in {"resource_name", "parent", "child"}
        if is_named and not any(is_like(name, pattern) for name in names):
            yield f"{EXCEPTIONS.name}: {row['fct_name']} {pattern} matches no model or source"


def is_like(name: str, pattern: str) -> bool:
    """Return whether a name matches a pattern of SQL's LIKE; an underscore is itself here."""
    return bool(re.fullmatch(re.escape(pattern).replace("%", ".*"), name))


def breaches(manifest: Manifest) -> list[str]:
    """Return all violations, each as a sentence that starts with the model's name."""
    tested = models_with_key_test(manifest)
    run = models_with_unit_test(manifest)
    found = []
    for model in models_of(manifest):
        # MetricFlow's calendar has no tenant and no logic.
        if model.get("time_spine"):
            continue
        reasons = list(
            breaches_of_model(
                model,
                has_key_test=model["unique_id"] in tested,
                has_unit_test=model["unique_id"] in run,
            )
        )
        if is_mart(model):
            reasons += breaches_of_mart(model)
        reasons += breaches_of_layers(model, manifest["nodes"])
        found += [f"{model['name']} {reason}" for reason in reasons]
    return found


def _lacks_leading_tenant(columns: list[str]) -> bool:
    return columns[:1] != ["tenant_id"]


def main(arguments: list[str]) -> int:
    """Check the manifest given on the command line and return the exit status."""
    path = Path(arguments[0] if arguments else "target/manifest.json")
    if not path.exists():
        print(f"{path} does not exist. Run `dbt parse` first.")
        return 1
    manifest = json.loads(path.read_text(encoding="utf-8"))
    with EXCEPTIONS.open(encoding="utf-8", newline="") as file:
        found = [*breaches(manifest), *stale_exceptions(manifest, csv.DictReader(file))]
    for breach in found:
        print(breach)
    if not models_of(manifest):
        print(f"{path} contains no models. Nothing was checked.")
        return 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
