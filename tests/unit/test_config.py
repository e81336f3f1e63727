"""Settings are data, and every one of them is documented."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from service.core.config import Settings, environment_name, load_settings, unknown_variables
from service.core.errors import InvalidSettingError
from tests.conftest import PROJECT_DIR


def test_defaults_hold_when_nothing_is_set() -> None:
    assert load_settings({}) == Settings()
    assert load_settings({"QUINTILE_PORT": ""}).port == Settings().port


def test_the_environment_sets_what_it_names() -> None:
    settings = load_settings({"QUINTILE_PORT": "9000", "QUINTILE_LOG_FORMAT": "json"})
    assert (settings.port, settings.log_format) == (9000, "json")


@pytest.mark.parametrize(
    "environ",
    [
        {"QUINTILE_PORT": "many"},
        {"QUINTILE_PORT": "99999"},
        {"QUINTILE_LOG_FORMAT": "xml"},
        {"QUINTILE_LOG_LEVEL": "verbose"},
        {"QUINTILE_SCHEDULE_BUILD": "hourly"},
        # Never; with seconds; and a word that says when it is, not how.
        {"QUINTILE_SCHEDULE_BUILD": "0 0 30 2 *"},
        {"QUINTILE_SCHEDULE_ORDERS": "0 3 * * * 30"},
        {"QUINTILE_SCHEDULE_KLAVIYO": "@hourly"},
        # With one, what people ask for would wait behind the daily build.
        {"QUINTILE_WORKER_BUILDS": "1"},
        {"QUINTILE_WORKER_SLOTS": "1"},
    ],
)
def test_what_cannot_be_read_is_named(environ: dict[str, str]) -> None:
    with pytest.raises(InvalidSettingError, match=next(iter(environ))):
        load_settings(environ)


@pytest.mark.parametrize("setting", [item.name for item in fields(Settings)])
def test_every_setting_has_a_sentence_and_stands_in_the_settings_page(setting: str) -> None:
    item = next(item for item in fields(Settings) if item.name == setting)
    sentence = item.metadata["sentence"]
    assert sentence.endswith(".")
    page = (PROJECT_DIR / "docs" / "settings.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| `{environment_name(setting)}` \|.*$", page, re.MULTILINE)
    assert row is not None
    assert sentence in row[0]


def test_the_settings_page_names_no_setting_that_is_gone() -> None:
    page = (PROJECT_DIR / "docs" / "settings.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `(QUINTILE_[A-Z_]+)` \|", page, re.MULTILINE))
    assert named == {environment_name(item.name) for item in fields(Settings)}


def test_a_misspelt_variable_is_noticed() -> None:
    environ = {"QUINTILE_DATABSE_URL": "x", "QUINTILE_PORT": "1", "QUINTILE_CHROMIUM": "x"}
    assert unknown_variables(environ) == ["QUINTILE_DATABSE_URL"]
