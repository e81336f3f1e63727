"""Reading settings from the environment; every setting is documented."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from service.core.config import Settings, environment_name, load_settings, unknown_variables
from service.core.errors import InvalidSettingError
from tests.conftest import PROJECT_DIR


def test_an_empty_environment_gives_the_defaults() -> None:
    assert load_settings({}) == Settings()
    assert load_settings({"QUINTILE_PORT": ""}).port == Settings().port


def test_a_variable_sets_its_setting() -> None:
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
        # A date that never comes; six fields; an alias instead of fields.
        {"QUINTILE_SCHEDULE_BUILD": "0 0 30 2 *"},
        {"QUINTILE_SCHEDULE_ORDERS": "0 3 * * * 30"},
        {"QUINTILE_SCHEDULE_KLAVIYO": "@hourly"},
        # One slot is reserved for people, so there must be another.
        {"QUINTILE_WORKER_BUILDS": "1"},
        {"QUINTILE_WORKER_SLOTS": "1"},
        {"QUINTILE_SECRET_KEY": "x"},
        {"QUINTILE_SECRET_KEY": "change-me"},
        {"QUINTILE_SECRET_KEY": "0123456789abcdef"},
        {"QUINTILE_SECRET_KEY": "change-me" * 5},
        {"QUINTILE_METRICS_TOKEN": "change-me"},
        # One app has two secrets during a rotation; those of others are bound to their shops.
        {"QUINTILE_SHOPIFY_CLIENT_SECRET": "one,two,three"},
        {"QUINTILE_SHOPIFY_CLIENT_SECRET": "https://example.com=secret"},
    ],
)
def test_an_invalid_value_is_refused_with_the_variable(environ: dict[str, str]) -> None:
    with pytest.raises(InvalidSettingError, match=next(iter(environ))):
        load_settings(environ)


@pytest.mark.parametrize("setting", [item.name for item in fields(Settings)])
def test_every_setting_is_documented(setting: str) -> None:
    item = next(item for item in fields(Settings) if item.name == setting)
    sentence = item.metadata["sentence"]
    assert sentence.endswith(".")
    default = f"`{item.default}`" if item.default != "" else "empty"
    if setting == "home":
        default = ".quintile in a checkout, or ~/.local/share/quintile"
    page = (PROJECT_DIR / "docs" / "settings.md").read_text(encoding="utf-8")
    assert f"\n| `{environment_name(setting)}` | {default} | {sentence} |\n" in page


def test_secrets_are_not_in_the_representation_of_settings() -> None:
    settings = Settings(secret_key="hidden", database_url="postgresql://a:hidden@b/c")
    assert "hidden" not in repr(settings)


def test_the_settings_page_lists_no_unknown_setting() -> None:
    page = (PROJECT_DIR / "docs" / "settings.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `(QUINTILE_[A-Z_]+)` \|", page, re.MULTILINE))
    assert named == {environment_name(item.name) for item in fields(Settings)}


def test_a_misspelt_variable_is_listed() -> None:
    environ = {"QUINTILE_DATABSE_URL": "x", "QUINTILE_PORT": "1", "QUINTILE_CHROMIUM": "x"}
    assert unknown_variables(environ) == ["QUINTILE_DATABSE_URL"]
