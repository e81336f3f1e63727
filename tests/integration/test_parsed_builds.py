"""Builds share what was parsed, which their tenants and their instant do not change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from service.builds.run import manifest_vars
from tests.integration.test_plain_dbt import dbt

GIVEN = {
    "as_of": "2026-07-01T00:00:00+00:00",
    "backfill": ["2026-05-01T00:00:00+00:00", "2026-06-01T00:00:00+00:00"],
    "has_turn": True,
    "tenants": ["north", "south"],
}


def _parsed(target: Path, variables: dict[str, object]) -> dict[str, Any]:
    """All that a project is parsed into; parsing reaches no database."""
    nowhere = "postgresql://nobody@/nowhere?host=/nonexistent"
    dbt(nowhere, target, "parse", "--vars", json.dumps(variables))
    text = (target / "manifest.json").read_text(encoding="utf-8")
    manifest: dict[str, Any] = json.loads(text, object_hook=_without_its_making)
    del manifest["metadata"]
    return manifest


def _without_its_making(node: dict[str, Any]) -> dict[str, Any]:
    """But for the moment at which it was parsed."""
    is_moment = isinstance(node.get("created_at"), float)
    return {name: node[name] for name in node if not (is_moment and name == "created_at")}


def test_parsing_with_constant_vars_gives_the_manifest_of_the_given_vars(tmp_path: Path) -> None:
    """A var that is left out of parsing, or replaced by an example, must decide nothing there."""
    stands = _parsed(tmp_path / "stands", manifest_vars(GIVEN))
    assert stands == _parsed(tmp_path / "given", GIVEN)
    full_refresh = {
        node["name"]: node["config"]["full_refresh"]
        for node in stands["nodes"].values()
        if node["resource_type"] == "model"
    }
    assert full_refresh["rfm_grid"] is False


def test_the_manifest_depends_on_which_vars_are_given() -> None:
    other = {**GIVEN, "as_of": "2025-01-01T00:00:00+00:00", "tenants": ["west"]}
    assert manifest_vars(other) == manifest_vars(GIVEN)
    for name in ("backfill", "tenants"):
        assert manifest_vars({**GIVEN, name: []}) != manifest_vars(GIVEN)
    # A var that nobody has thought of here is a manifest of its own.
    assert manifest_vars({"rfm_minimum_customers": 7}) == {"rfm_minimum_customers": 7}
