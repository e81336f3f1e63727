"""Forms that a script sends stay disabled until it is ready, or fields could get into the URL."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from service import ui

TEMPLATES = sorted((Path(ui.__file__).parent / "templates").glob("*.html"))
FORM = re.compile(r"<form\b(?P<attributes>[^>]*)>(?P<body>.*?)</form>", re.DOTALL)
# Nothing of a <template> can be submitted before a script makes it a part of the page.
TEMPLATE = re.compile(r"<template\b.*?</template>", re.DOTALL)
SUBMIT = re.compile(r'<button\b[^>]*type="submit"[^>]*>')


def scripted_forms() -> list[tuple[str, str]]:
    """Every form without a method: the name of its template and its HTML."""
    return [
        (template.name, form["body"])
        for template in TEMPLATES
        for form in FORM.finditer(TEMPLATE.sub("", template.read_text(encoding="utf-8")))
        if "method=" not in form["attributes"]
    ]


def test_scripted_forms_are_found() -> None:
    templates = {template for template, _ in scripted_forms()}
    assert {"connections.html", "connections_klaviyo.html"} <= templates


@pytest.mark.parametrize(("template", "body"), scripted_forms())
def test_scripted_forms_are_disabled_in_the_html(template: str, body: str) -> None:
    buttons = SUBMIT.findall(body)
    assert buttons, f"{template}: the form has no submit button"
    assert all(" disabled" in button for button in buttons), f"{template}: {buttons}"
