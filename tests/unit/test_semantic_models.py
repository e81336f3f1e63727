"""The semantic models name columns of their marts, which dbt does not check until a query runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.conftest import PROJECT_DIR

MODELS = PROJECT_DIR / "models"
# What an expression consists of, besides columns.
NO_COLUMN = re.compile(r"'[^']*'|::\w+|\b(?:case|when|then|else|end|and|or|not|is|null)\b|\b\d+\b")


def _described(kind: str) -> Iterator[dict[str, Any]]:
    for path in MODELS.rglob("*.yml"):
        yield from yaml.safe_load(path.read_text(encoding="utf-8")).get(kind, [])


COLUMNS = {
    model["name"]: {column["name"] for column in model.get("columns", [])}
    for model in _described("models")
}
SEMANTIC_MODELS = list(_described("semantic_models"))


def _columns(expression: str) -> set[str]:
    return set(re.findall(r"\w+", NO_COLUMN.sub(" ", expression)))


def test_the_columns_of_an_expression() -> None:
    expression = "case when is_sale then tenant_id || '/' || customer_id end"
    assert _columns(expression) == {"is_sale", "tenant_id", "customer_id"}
    assert _columns("(lifetime_order_count > 1)::int") == {"lifetime_order_count"}


@pytest.mark.parametrize("semantic", SEMANTIC_MODELS, ids=lambda semantic: semantic["name"])
def test_a_semantic_model_names_columns_that_its_mart_has(semantic: dict[str, Any]) -> None:
    (mart,) = re.fullmatch(r"ref\('(\w+)'\)", semantic["model"]).groups()  # type: ignore[union-attr]
    kinds = ("entities", "dimensions", "measures")
    parts = [part for kind in kinds for part in semantic.get(kind, [])]
    named = {name for part in parts for name in _columns(str(part.get("expr", part["name"])))}
    assert named - COLUMNS[mart] == set()


@pytest.mark.parametrize("semantic", SEMANTIC_MODELS, ids=lambda semantic: semantic["name"])
def test_measures_are_dated_by_a_dimension_of_their_model(semantic: dict[str, Any]) -> None:
    times = {part["name"] for part in semantic["dimensions"] if part["type"] == "time"}
    measures = semantic.get("measures", [])
    default = semantic.get("defaults", {}).get("agg_time_dimension")
    assert {part.get("agg_time_dimension", default) for part in measures} <= times
