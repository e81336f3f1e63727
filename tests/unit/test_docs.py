"""The documentation points at files that exist, and lists what there is."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.conftest import PROJECT_DIR

PAGES = [
    *sorted(PROJECT_DIR.glob("*.md")),
    *sorted((PROJECT_DIR / "docs").glob("*.md")),
]
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
PATH = re.compile(
    r"`((?:service|sandbox|models|macros|seeds|sql|tests|docs|deploy)/[\w./-]*\w/?|\.ci/run)`"
)


def named(page: Path) -> str:
    return str(page.relative_to(PROJECT_DIR))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "DECISIONS.md", "docs/architecture.md"])
def test_every_path_that_is_named_exists(name: str) -> None:
    paths = PATH.findall((PROJECT_DIR / name).read_text())
    assert len(paths) > 3
    assert [path for path in paths if not (PROJECT_DIR / path).exists()] == []


def test_the_readme_stays_short() -> None:
    assert len((PROJECT_DIR / "README.md").read_text().splitlines()) <= 150


def test_every_layer_is_described() -> None:
    described = (PROJECT_DIR / "docs" / "architecture.md").read_text()
    packages = [path.parent.name for path in (PROJECT_DIR / "service").glob("*/__init__.py")]
    assert [name for name in packages if f"`{name}/`" not in described] == []


def test_every_mart_is_listed() -> None:
    table = (PROJECT_DIR / "docs/marts.md").read_text().partition("\n## ")[0]
    listed = set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE))
    assert listed == {path.stem for path in (PROJECT_DIR / "models" / "marts").rglob("*.sql")}


def test_a_description_that_models_share_is_a_docs_block() -> None:
    """Written in more than three files, a sentence gets variants and is corrected in one only."""
    written = Counter(
        " ".join(column.get("description", "").split())
        for path in (PROJECT_DIR / "models").rglob("*.yml")
        for model in yaml.safe_load(path.read_text()).get("models", [])
        for column in model.get("columns", [])
    )
    assert [text for text, times in written.items() if times > 3 and "doc(" not in text] == []


def test_every_metric_is_listed_and_has_a_measure_of_a_mart() -> None:
    section = (PROJECT_DIR / "docs/marts.md").read_text().partition("\n## Metrics\n")[2]
    rows = re.findall(r"^\| (`quintile_.*?) \|", section, re.MULTILINE)
    described = [
        yaml.safe_load(path.read_text())
        for path in (PROJECT_DIR / "models" / "semantic").glob("*.yml")
    ]
    metrics = {metric["name"] for file in described for metric in file.get("metrics", [])}
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == metrics
    models = [model["model"] for file in described for model in file.get("semantic_models", [])]
    marts = {path.stem for path in (PROJECT_DIR / "models" / "marts").rglob("*.sql")}
    assert len(models) == 7
    assert {model[len("ref('") : -len("')")] for model in models} - marts == {"stg_app__tenants"}


def test_every_promise_about_security_has_a_test_that_exists() -> None:
    page = (PROJECT_DIR / "docs" / "security.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ") and "---" not in line]
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", page)
    assert sum("::" in row for row in rows) == len(rows) - page.count("| promise |")
    for path, name in named:
        text = (PROJECT_DIR / "tests" / path).read_text(encoding="utf-8")
        assert f"def {name}(" in text, f"{path} has no {name}"
