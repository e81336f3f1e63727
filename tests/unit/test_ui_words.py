"""People read no words of the API: those of problems for programs are replaced in the admin UI."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import service
from service import ui
from service.api.problems import KINDS

STATIC = Path(ui.__file__).parent / "static"
TEMPLATES = Path(ui.__file__).parent / "templates"
SERVICE = Path(service.__file__).parent

# Their messages and advice are plain words, which the UI shows as they are.
PLAIN = {
    "already-running",
    "failed",
    "internal-error",
    "invalid-input",
    "not-connected",
    "not-found",
    "provider-refused",
    "provider-unavailable",
    "sign-in-failed",
    "too-many-requests",
}
# The page reloads and shows the sign-in form; or only Shopify sees it; or the UI sends no keys.
NEVER_SHOWN = {
    *("sign-in-required", "not-signed", "platform-unavailable"),
    *("answer-lost", "key-in-use", "key-reused"),
}

API_WORDS = re.compile(r"\b(GET|POST|PATCH|PUT|DELETE) |/api/|: (true|false)\b|\bJSON\b|\bHTTP\b")
# These packages speak to operators.
OPERATORS = {"cli", "core", "doctor"}
# What only programs can send or get wrong.
FOR_PROGRAMS = (
    "Send the header Authorization",
    'The body must be {"code"',
    "This is not the JSON object that Shopify answers",
    "it answered with something that is not JSON",
    "A line of a bulk operation",
    "The body is not valid HTTP.",
)


def test_every_kind_of_problem_has_words_for_people() -> None:
    words = re.search(r"const WORDS = \{(.*?)\n\};", (STATIC / "api.js").read_text(), re.DOTALL)
    assert words is not None
    replaced = set(re.findall(r'^  "([a-z-]+)": \[', words[1], re.MULTILINE))
    assert replaced.isdisjoint(PLAIN | NEVER_SHOWN)
    assert replaced | PLAIN | NEVER_SHOWN == set(KINDS)


def errors() -> Iterator[tuple[str, str]]:
    """The texts that the service raises errors with, each with its file."""
    for path in sorted(SERVICE.rglob("*.py")):
        if path.relative_to(SERVICE).parts[0] in OPERATORS:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and node.exc is not None:
                for part in ast.walk(node.exc):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        yield path.name, part.value


def test_errors_have_no_words_of_the_api() -> None:
    found = [
        (name, text)
        for name, text in errors()
        if API_WORDS.search(text) and not text.startswith(FOR_PROGRAMS)
    ]
    assert found == []


def test_pages_have_no_words_of_the_api() -> None:
    for path in sorted(TEMPLATES.glob("*.html")):
        # Neither attributes nor what the template computes is read by people.
        text = re.sub(
            r"<[^>]*>|\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", " ", path.read_text(), flags=re.DOTALL
        )
        assert not API_WORDS.search(text), path.name
