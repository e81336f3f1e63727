"""Builds share a parsed manifest, which does not depend on their tenants and instant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from service.builds.run import manifest_vars
from tests.integration.test_plain_dbt import dbt

GIVEN = {
    "are_relations_unchanged": True,
    "as_of": "2026-07-01T00:00:00+00:00",
    "backfill": ["2026-05-01T00:00:00+00:00", "2026-06-01T00:00:00+00:00"],
    "has_build_lock": True,
    "tenants": ["north", "south"],
}


def _parsed(target: Path, variables: dict[str, object]) -> dict[str, Any]:
    """The manifest of the project with these vars; parsing needs no database."""
    nowhere = "postgresql://nobody@/nowhere?host=/nonexistent"
    dbt(nowhere, target, "parse", "--vars", json.dumps(variables))
    text = (target / "manifest.json").read_text(encoding="utf-8")
    manifest: dict[str, Any] = json.loads(text, object_hook=_without_created_at)
    del manifest["metadata"]
    return manifest


def _without_created_at(node: dict[str, Any]) -> dict[str, Any]:
    """The node without the time at which it was parsed."""
    is_time = isinstance(node.get("created_at"), float)
    return {name: node[name] for name in node if not (is_time and name == "created_at")}


def test_parsing_with_constant_vars_gives_the_manifest_of_the_given_vars(tmp_path: Path) -> None:
    """Vars that are omitted or replaced by examples must not affect the manifest."""
    manifest = _parsed(tmp_path / "constant", manifest_vars(GIVEN))
    assert manifest == _parsed(tmp_path / "given", GIVEN)
    full_refresh = {
        node["name"]: node["config"]["full_refresh"]
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model"
    }
    assert full_refresh["rfm_grid"] is False


def test_the_manifest_depends_on_which_vars_are_given() -> None:
    other = {**GIVEN, "as_of": "2025-01-01T00:00:00+00:00", "tenants": ["west"]}
    assert manifest_vars(other) == manifest_vars(GIVEN)
    for name in ("backfill", "tenants"):
        assert manifest_vars({**GIVEN, name: []}) != manifest_vars(GIVEN)
    # Other vars are passed on as given.
    assert manifest_vars({"rfm_minimum_customers": 7}) == {"rfm_minimum_customers": 7}
