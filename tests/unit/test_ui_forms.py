"""Forms that only a script can send wait for it: a browser would put fields in the address."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from service import ui

TEMPLATES = sorted((Path(ui.__file__).parent / "templates").glob("*.html"))
FORM = re.compile(r"<form\b(?P<attributes>[^>]*)>(?P<body>.*?)</form>", re.DOTALL)
SUBMIT = re.compile(r'<button\b[^>]*type="submit"[^>]*>')


def scripted_forms() -> list[tuple[str, str]]:
    """Every form without a method of its own: its template and what is in it."""
    return [
        (template.name, form["body"])
        for template in TEMPLATES
        for form in FORM.finditer(template.read_text(encoding="utf-8"))
        if "method=" not in form["attributes"]
    ]


def test_there_are_such_forms() -> None:
    templates = {template for template, _ in scripted_forms()}
    assert {"connections.html", "connections_klaviyo.html"} <= templates


@pytest.mark.parametrize(("template", "body"), scripted_forms())
def test_a_form_that_a_script_sends_is_disabled_until_it_listens(template: str, body: str) -> None:
    buttons = SUBMIT.findall(body)
    assert buttons, f"{template}: how is the form sent?"
    assert all(" disabled" in button for button in buttons), f"{template}: {buttons}"
