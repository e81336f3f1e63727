"""profiles.yml parses a libpq URL as libpq does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from dbt.config.renderer import ProfileRenderer
from dbt_common.context import set_invocation_context
from psycopg.conninfo import conninfo_to_dict

PROFILES = Path(__file__).parents[2] / "profiles.yml"
URL_VARIABLES = ("QUINTILE_TRANSFORM_DATABASE_URL", "QUINTILE_DATABASE_URL")

URLS = [
    "postgresql://ada:secret@db.example.com:6543/shop?sslmode=require",
    "postgres://ada@db.example.com/shop",
    "postgresql://ada:p%40ss%2Fw%3Ard%C3%A9@db.example.com/shop",
    "postgresql://ada%40acme:s%25t@db.example.com/shop?sslmode=verify-full&connect_timeout=5",
    "postgresql://ada@[2001:db8::1]:6543/shop",
    "postgresql://ada@[2001:db8::1]/shop",
    "postgresql://ada@/shop?host=/var/run/postgresql",
    "postgresql://ada:@/shop?host=/var/run/postgresql",
    "postgresql://ada@/shop?host=%2Fsrv%2Fmy%20data&port=6543",
    "postgresql:///shop?user=ada&password=se%26cret&host=/srv/pg",
    "postgresql://ada@%2Fsrv%2Fpg/shop",
]


def rendered(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    for name in (*URL_VARIABLES, "PGUSER", "PGPASSWORD", "PGSSLMODE", "PGSSLROOTCERT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    set_invocation_context(dict(os.environ))
    profile = yaml.safe_load(PROFILES.read_text(encoding="utf-8"))["quintile"]
    output = profile["outputs"][profile["target"]]
    return dict(ProfileRenderer({}).render_data(output))


@pytest.mark.parametrize("url", URLS)
def test_url_parts_equal_those_of_libpq(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = rendered({"QUINTILE_DATABASE_URL": url}, monkeypatch)
    expected = conninfo_to_dict(url)
    assert fields["host"] == expected["host"]
    assert fields["port"] == int(expected.get("port", 5432))
    assert fields["user"] == expected["user"]
    assert fields["password"] == (expected.get("password") or "")
    assert fields["dbname"] == expected["dbname"]
    assert fields["sslmode"] == expected.get("sslmode", "")
    assert fields["role"] == "quintile_transform"


def test_the_transform_url_comes_first_and_an_empty_one_is_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    transform = "postgresql://t@transform.example.com/shop"
    general = "postgresql://a@general.example.com/shop"
    both = {"QUINTILE_TRANSFORM_DATABASE_URL": transform, "QUINTILE_DATABASE_URL": general}
    assert rendered(both, monkeypatch)["host"] == "transform.example.com"
    both["QUINTILE_TRANSFORM_DATABASE_URL"] = ""
    assert rendered(both, monkeypatch)["host"] == "general.example.com"


def test_without_a_url_the_embedded_database_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = rendered({"PWD": "/srv/quintile"}, monkeypatch)
    assert fields["host"] == "/srv/quintile/.quintile/pg"
    assert (fields["user"], fields["dbname"], fields["port"]) == ("postgres", "quintile", 5432)


def test_libpq_variables_fill_in_missing_parts_of_the_url(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment = {
        "QUINTILE_DATABASE_URL": "postgresql://db.example.com/shop",
        "PGUSER": "ada",
        "PGPASSWORD": "100%sure",
    }
    fields = rendered(environment, monkeypatch)
    assert (fields["user"], fields["password"]) == ("ada", "100%sure")


def test_a_password_of_digits_stays_a_string(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = rendered({"QUINTILE_DATABASE_URL": "postgresql://a:007@h/d"}, monkeypatch)
    assert fields["password"] == "007"
