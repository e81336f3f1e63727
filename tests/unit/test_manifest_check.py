"""The manifest check finds each kind of breach and nothing in a project that keeps the rules."""

from __future__ import annotations

import copy
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

CHECK = Path(__file__).parents[1] / "dbt" / "check_manifest.py"
MODEL_ID = "model.quintile.sizes"


def load_check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_manifest", CHECK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check = load_check()


def manifest() -> dict[str, Any]:
    """Return a manifest of one mart that keeps every rule."""
    return copy.deepcopy(
        {
            "metadata": {"project_name": "quintile"},
            "nodes": {
                MODEL_ID: {
                    "unique_id": MODEL_ID,
                    "resource_type": "model",
                    "package_name": "quintile",
                    "name": "sizes",
                    "original_file_path": "models/marts/rfm/sizes.sql",
                    "patch_path": "quintile://models/marts/rfm/sizes.yml",
                    "description": "One row per tenant and day, as of the last build.",
                    "columns": {
                        "tenant_id": {"description": "Brand."},
                        "counted_on": {"description": "Day."},
                    },
                    "config": {
                        "contract": {"enforced": True},
                        "unique_key": ["tenant_id", "counted_on"],
                        "indexes": [{"columns": ["tenant_id", "counted_on"], "unique": True}],
                    },
                    "depends_on": {"nodes": ["model.quintile.stg_app__tenants"]},
                    "raw_code": "select * from {{ ref('stg_app__tenants') }}",
                },
                "test.quintile.key": {
                    "resource_type": "test",
                    "name": "key",
                    "attached_node": MODEL_ID,
                    "test_metadata": {"name": "unique_within_tenant"},
                },
            },
            "unit_tests": {
                "unit_test.quintile.sizes.zero": {
                    "model": "sizes",
                    "depends_on": {"nodes": [MODEL_ID]},
                }
            },
        }
    )


def move_to_shared_yml(model: dict[str, Any]) -> None:
    model["patch_path"] = "quintile://models/marts/_models.yml"


def keep_as_a_table(model: dict[str, Any], *, without: str) -> None:
    model["config"]["materialized"] = "incremental"
    if without == "index":
        model["config"]["indexes"] = []
    else:
        del model["config"]["indexes"][0]["unique"]


def put_tenant_second(model: dict[str, Any]) -> None:
    model["columns"] = dict(reversed(model["columns"].items()))


BREACHES: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    ("begin with its grain", lambda m: m.update(description="Sizes as of the last build.")),
    ("how fresh it is", lambda m: m.update(description="One row per tenant and day.")),
    ("file of its own", move_to_shared_yml),
    ("tenant_id as its first column", put_tenant_second),
    ("unique_key counted_on", lambda m: m["config"].update(unique_key="counted_on")),
    ("unique_key ['counted_on'", lambda m: m["config"]["unique_key"].remove("tenant_id")),
    ("index on ['counted_on'", lambda m: m["config"]["indexes"][0]["columns"].remove("tenant_id")),
    ("without a unique index", lambda m: keep_as_a_table(m, without="index")),
    ("a unique index on its", lambda m: keep_as_a_table(m, without="uniqueness")),
    ("without an enforced contract", lambda m: m["config"]["contract"].update(enforced=False)),
    ("without a unique_key", lambda m: m["config"].update(unique_key=None)),
    ("column counted_on has no", lambda m: m["columns"]["counted_on"].update(description="")),
    (
        "only staging may read sources",
        lambda m: m["depends_on"]["nodes"].append("source.quintile.app.tenants"),
    ),
]


def test_a_project_that_keeps_the_rules_has_no_breach() -> None:
    assert check.breaches(manifest()) == []


@pytest.mark.parametrize(("sentence", "damage"), BREACHES, ids=[name for name, _ in BREACHES])
def test_each_breach_is_named_once(
    sentence: str, damage: Callable[[dict[str, Any]], object]
) -> None:
    damaged = manifest()
    damage(damaged["nodes"][MODEL_ID])
    found = check.breaches(damaged)
    assert len(found) == 1
    assert found[0].startswith("sizes ")
    assert sentence in found[0]


def test_a_model_without_a_description_is_a_breach() -> None:
    damaged = manifest()
    damaged["nodes"][MODEL_ID]["description"] = " "
    assert "sizes has no description" in check.breaches(damaged)


def test_a_model_without_a_key_test_is_a_breach() -> None:
    damaged = manifest()
    damaged["nodes"]["test.quintile.key"]["test_metadata"]["name"] = "not_null"
    assert check.breaches(damaged) == ["sizes has no key test (unique or unique_within_tenant)"]


@pytest.mark.parametrize(("materialized", "needs_key"), [("ephemeral", False), ("table", True)])
def test_a_base_model_that_is_no_table_needs_no_key_test(
    materialized: str, *, needs_key: bool
) -> None:
    changed = manifest()
    model = changed["nodes"][MODEL_ID]
    model.update(name="base_airbyte__sizes")
    model.update(original_file_path="models/staging/airbyte/base_airbyte__sizes.sql")
    model.update(patch_path="quintile://models/staging/airbyte/base_airbyte__sizes.yml")
    model["config"]["materialized"] = materialized
    del changed["unit_tests"]
    del changed["nodes"]["test.quintile.key"]
    breach = "base_airbyte__sizes has no key test (unique or unique_within_tenant)"
    assert check.breaches(changed) == ([breach] if needs_key else [])


@pytest.mark.parametrize(
    ("name", "folder", "code", "needs_unit_test"),
    [
        ("sizes", "marts/rfm", "select 1", True),
        ("int_sizes_counted", "intermediate/rfm", "select 1", True),
        ("stg_app__sizes", "staging/app", "select -- a join\n name as n from {{ x }}", False),
        ("stg_app__sizes", "staging/app", "select 1 from a\nJOIN b using (c)", True),
        ("stg_app__sizes", "staging/app", "select coalesce(a, 1) from b", True),
        ("base_airbyte__sizes", "staging/airbyte", "select coalesce(a, 1) from b", False),
    ],
)
def test_a_model_that_calculates_needs_a_unit_test(
    name: str, folder: str, code: str, *, needs_unit_test: bool
) -> None:
    changed = manifest()
    model = changed["nodes"][MODEL_ID]
    model.update(name=name, raw_code=code, original_file_path=f"models/{folder}/{name}.sql")
    model.update(patch_path=f"quintile://models/{folder}/{name}.yml")
    del changed["unit_tests"]
    breach = f"{name} calculates something and has no unit test"
    assert check.breaches(changed) == ([breach] if needs_unit_test else [])


def test_a_staging_model_reads_no_mart() -> None:
    changed = manifest()
    mart = changed["nodes"][MODEL_ID]
    staging = copy.deepcopy(mart)
    staging.update(unique_id="model.quintile.stg_app__sizes", name="stg_app__sizes")
    staging.update(original_file_path="models/staging/app/stg_app__sizes.sql")
    staging["depends_on"]["nodes"] = [MODEL_ID]
    assert list(check.breaches_of_layers(staging, changed["nodes"])) == [
        f"is a staging model that reads {MODEL_ID}"
    ]


def test_an_exception_for_the_evaluator_has_a_reason_and_matches_something() -> None:
    row = {"fct_name": "fct_root_models", "column_name": "child", "comment": "Empty."}
    assert list(check.stale_exceptions(manifest(), [{**row, "id_to_exclude": "size%"}])) == []
    stale = list(check.stale_exceptions(manifest(), [{**row, "id_to_exclude": "gone_%"}]))
    assert [sentence.partition(": ")[2] for sentence in stale] == [
        "fct_root_models gone_% matches no model or source"
    ]
    blank = {**row, "id_to_exclude": "sizes", "comment": " "}
    assert "has no reason" in next(check.stale_exceptions(manifest(), [blank]))


@pytest.fixture
def _no_exceptions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "exceptions.csv"
    path.write_text("fct_name,column_name,id_to_exclude,comment\n")
    monkeypatch.setattr(check, "EXCEPTIONS", path)


@pytest.mark.usefixtures("_no_exceptions")
def test_the_command_prints_breaches_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "manifest.json"
    damaged = manifest()
    damaged["nodes"][MODEL_ID]["columns"]["counted_on"]["description"] = ""
    path.write_text(json.dumps(damaged), encoding="utf-8")
    assert check.main([str(path)]) == 1
    assert capsys.readouterr().out == "sizes is a mart whose column counted_on has no description\n"


@pytest.mark.usefixtures("_no_exceptions")
def test_the_command_passes_a_clean_manifest(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(manifest()), encoding="utf-8")
    assert check.main([str(path)]) == 0


@pytest.mark.parametrize("content", [None, {"metadata": {"project_name": "quintile"}, "nodes": {}}])
def test_having_nothing_to_check_is_a_failure(
    tmp_path: Path, content: dict[str, Any] | None
) -> None:
    path = tmp_path / "manifest.json"
    if content is not None:
        path.write_text(json.dumps(content), encoding="utf-8")
    assert check.main([str(path)]) == 1
