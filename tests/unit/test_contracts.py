"""The contracts of public marts: what breaks them, and what only adds to them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.dbt import contracts

MART: dict[str, Any] = {
    "resource_type": "model",
    "package_name": "quintile",
    "name": "sizes",
    "original_file_path": "models/marts/rfm/sizes.sql",
    "columns": {
        "tenant_id": {"data_type": "uuid"},
        "customers": {"data_type": "int"},
    },
    "config": {"access": "public", "unique_key": ["tenant_id"], "materialized": "view"},
    "version": None,
    "latest_version": None,
    "deprecation_date": None,
}
Change = Callable[[dict[str, Any]], object]


def manifest(*marts: dict[str, Any]) -> dict[str, Any]:
    return {
        "metadata": {"project_name": "quintile"},
        "nodes": {str(number): mart for number, mart in enumerate(marts)},
    }


def changed(change: Change, **values: object) -> dict[str, Any]:
    mart = copy.deepcopy(MART) | values
    change(mart)
    return mart


def unchanged(mart: dict[str, Any]) -> None:
    del mart


def drop(mart: dict[str, Any]) -> None:
    del mart["columns"]["customers"]


RECORDED = contracts.contracts_of(manifest(MART))

BREAKING: list[tuple[str, Change]] = [
    ("customers was integer and is gone", drop),
    (
        "customers was integer and is text",
        lambda mart: mart["columns"]["customers"].update(data_type="text"),
    ),
    (
        "(key) was tenant_id and is tenant_id, day",
        lambda mart: mart["config"]["unique_key"].append("day"),
    ),
    ("sizes has no version 1 any more", lambda mart: mart.update(name="segment_sizes")),
    ("sizes has no version 1 any more", lambda mart: mart["config"].update(access="protected")),
    ("sizes has no version 1 any more", lambda mart: mart.update(version=2, latest_version=2)),
]


@pytest.mark.parametrize(("sentence", "change"), BREAKING)
def test_a_change_that_breaks_readers_is_refused(sentence: str, change: Change) -> None:
    current = contracts.contracts_of(manifest(changed(change)))
    [found] = contracts.broken(RECORDED, current)
    assert found.startswith("sizes")
    assert sentence in found


def test_the_change_is_allowed_in_a_new_version_beside_the_old_one() -> None:
    versions = manifest(
        changed(unchanged, version=1, latest_version=2, deprecation_date="2027-06-30"),
        changed(drop, version=2, latest_version=2),
    )
    assert list(contracts.broken(RECORDED, contracts.contracts_of(versions))) == []
    assert list(contracts.undated(versions)) == []


def test_an_old_version_is_a_view_that_ends_on_a_day() -> None:
    old = changed(unchanged, version=1, latest_version=2)
    old["config"]["materialized"] = "incremental"
    assert list(contracts.undated(manifest(old))) == [
        "sizes has the old version 1 without a deprecation_date.",
        "sizes has the old version 1, which is not a view.",
    ]


def test_new_columns_break_nothing_and_are_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, path = tmp_path / "contracts.csv", tmp_path / "manifest.json"
    contracts.record(RECORDED, file)
    added = changed(lambda mart: mart["columns"].update(revenue={"data_type": "numeric"}))
    path.write_text(json.dumps(manifest(added)), encoding="utf-8")
    assert contracts.main([str(path)], file) == 1
    assert "sizes has revenue, which contracts.csv does not list" in capsys.readouterr().out
    assert contracts.main(["--record", str(path)], file) == 0
    assert contracts.main([str(path)], file) == 0
    path.write_text(json.dumps(manifest(MART)), encoding="utf-8")
    assert contracts.main(["--record", str(path)], file) == 1
    assert "revenue was numeric and is gone" in capsys.readouterr().out
