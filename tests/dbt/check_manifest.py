"""Check the rules that dbt itself does not enforce, over the manifest that `dbt parse` writes.

Usage: python tests/dbt/check_manifest.py [target/manifest.json]

Prints one line for each breach and exits with 1 when there is any. The rules are those of the
design: every model has a description, a key test and a .yml of its own beside it; marts have
enforced contracts, say their grain and how fresh they are, describe every column and read no
source; tenant_id comes first everywhere.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

Manifest = dict[str, Any]
Node = dict[str, Any]

# How a description says as of when its rows are.
FRESHNESS = re.compile(
    r"\b(as of|as fresh as|last build|as they are now|current without a build)\b", re.IGNORECASE
)

KEY_TESTS = {"unique", "unique_within_tenant"}


def models_of(manifest: Manifest) -> list[Node]:
    """Return the project's own models, in the order of their names."""
    project = manifest["metadata"]["project_name"]
    found = [
        node
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model" and node["package_name"] == project
    ]
    return sorted(found, key=lambda node: str(node["name"]))


def is_mart(model: Node) -> bool:
    """Say whether people and programs read the model (models/marts)."""
    return PurePosixPath(model["original_file_path"]).parts[:2] == ("models", "marts")


def models_with_key_test(manifest: Manifest) -> set[str]:
    """Return the ids of the models that a data test holds to one row per key."""
    return {
        node["attached_node"]
        for node in manifest["nodes"].values()
        if node["resource_type"] == "test"
        and (node.get("test_metadata") or {}).get("name") in KEY_TESTS
    }


def models_with_unit_test(manifest: Manifest) -> set[str]:
    """Return the ids of the models that a unit test runs."""
    return {
        parent for test in manifest.get("unit_tests", {}).values() for parent in tested_by(test)
    }


def tested_by(unit_test: Node) -> list[str]:
    """Return the ids of the models whose SQL a unit test runs."""
    parents = unit_test["depends_on"]["nodes"]
    return [node for node in parents if node.endswith(f".{unit_test['model']}")]


def breaches_of_model(
    model: Node, *, has_key_test: bool, has_unit_test: bool = False
) -> Iterator[str]:
    """Yield what is wrong with any kind of model.

    An ephemeral model or a view has no rows of its own, and a data test would run all of its SQL
    once more: a unit test may stand in for the key test, which the tables around it have.
    """
    if not model["description"].strip():
        yield "has no description"
    config = model["config"]
    is_proved = has_unit_test and config.get("materialized") in {"ephemeral", "view"}
    if not has_key_test and not is_proved:
        yield "has no key test (unique or unique_within_tenant)"
    sql_path = PurePosixPath(model["original_file_path"])
    yml_path = (model.get("patch_path") or "").partition("://")[2]
    if yml_path != str(sql_path.with_suffix(".yml")):
        yield f"is not described in a file of its own beside it, {sql_path.with_suffix('.yml')}"
    # The strategy reconcile looks up few rows by it, and would read the table once for each.
    if config.get("materialized") == "incremental" and not any(
        index["columns"] == config.get("unique_key") and index.get("unique")
        for index in config.get("indexes") or []
    ):
        yield "is a table without a unique index on its unique_key"
    yield from breaches_of_tenancy(model)


def breaches_of_tenancy(model: Node) -> Iterator[str]:
    """Yield where tenant_id does not come first: among the columns, in the key, in an index."""
    config = model["config"]
    if next(iter(model["columns"]), None) != "tenant_id":
        yield "does not list tenant_id as its first column"
    unique_key = config.get("unique_key")
    if unique_key is not None and (not isinstance(unique_key, list) or _not_led(unique_key)):
        yield f"has the unique_key {unique_key}, which is not led by tenant_id"
    for index in config.get("indexes") or []:
        if _not_led(index["columns"]):
            yield f"has an index on {index['columns']}, which is not led by tenant_id"


def breaches_of_mart(model: Node) -> Iterator[str]:
    """Yield what is wrong with a model that is a mart."""
    if not model["config"]["contract"]["enforced"]:
        yield "is a mart without an enforced contract"
    if model["config"].get("unique_key") is None:
        yield "is a mart without a unique_key"
    if not model["description"].startswith("One row per "):
        yield "is a mart whose description does not begin with its grain, One row per …"
    if not FRESHNESS.search(model["description"]):
        yield "is a mart whose description does not say how fresh it is"
    for name, column in model["columns"].items():
        if not column["description"].strip():
            yield f"is a mart whose column {name} has no description"
    for parent in model["depends_on"]["nodes"]:
        if parent.startswith("source."):
            yield f"is a mart that reads {parent}; staging does that"


def breaches(manifest: Manifest) -> list[str]:
    """Return every breach as a sentence that begins with the model's name."""
    tested = models_with_key_test(manifest)
    run = models_with_unit_test(manifest)
    found = []
    for model in models_of(manifest):
        reasons = list(
            breaches_of_model(
                model,
                has_key_test=model["unique_id"] in tested,
                has_unit_test=model["unique_id"] in run,
            )
        )
        if is_mart(model):
            reasons += breaches_of_mart(model)
        found += [f"{model['name']} {reason}" for reason in reasons]
    return found


def _not_led(columns: list[str]) -> bool:
    return columns[:1] != ["tenant_id"]


def main(arguments: list[str]) -> int:
    """Check the manifest named on the command line; return the exit status."""
    path = Path(arguments[0] if arguments else "target/manifest.json")
    if not path.exists():
        print(f"{path} does not exist: run `dbt parse` first.")
        return 1
    manifest = json.loads(path.read_text(encoding="utf-8"))
    found = breaches(manifest)
    for breach in found:
        print(breach)
    if not models_of(manifest):
        print(f"{path} holds no models: nothing was checked.")
        return 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
