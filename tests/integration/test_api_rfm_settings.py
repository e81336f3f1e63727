"""RFM settings over the API: validation, and the build after a change."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

import psycopg
import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from service.core.config import Settings
from service.core.db import connect_as_owner
from tests.web import client_of

PATH = "/api/admin/segments/rfm/settings"
DEFAULTS = {
    "window_days": 365,
    "time_zone": "UTC",
    "minimum_minor": 0,
    "is_sample_counted": False,
    "excluded_customer_ids": [],
    "excluded_domains": [],
    "relay_domains": [],
    "additional_window_days": [],
}


@pytest.fixture
def client(app: APIFlask, settings: Settings, tenants: list[UUID]) -> FlaskClient:
    return client_of(app, settings, tenants[0])


def runs_of(settings: Settings) -> list[tuple[UUID, str, str]]:
    with connect_as_owner(settings) as conn:
        rows = conn.execute("select tenant_id, kind, state from app.runs").fetchall()
    return [(row["tenant_id"], row["kind"], row["state"]) for row in rows]


def test_a_new_tenant_has_the_defaults(client: FlaskClient) -> None:
    answer = client.get(PATH).get_json()
    assert {key: answer[key] for key in DEFAULTS} == DEFAULTS


def test_a_change_is_saved_and_builds_only_that_tenant(
    client: FlaskClient, app: APIFlask, settings: Settings, tenants: list[UUID]
) -> None:
    change = {"window_days": 90, "excluded_domains": ["brand.example"], "minimum_minor": 500}
    answer = client.patch(PATH, json=change)
    assert answer.status_code == 202
    body = answer.get_json()
    expected = DEFAULTS | change
    assert {key: body["settings"][key] for key in DEFAULTS} == expected
    assert (body["run"]["kind"], body["run"]["state"]) == ("build", "queued")
    assert runs_of(settings) == [(tenants[0], "build", "queued")]
    assert {key: client.get(PATH).get_json()[key] for key in DEFAULTS} == expected
    other = client_of(app, settings, tenants[1])
    assert {key: other.get(PATH).get_json()[key] for key in DEFAULTS} == DEFAULTS


def test_relay_domains_are_saved_in_lower_case(client: FlaskClient) -> None:
    change = {"relay_domains": [" Relay*.Market.example ", "*.market.example", "a_b.example"]}
    answer = client.patch(PATH, json=change)
    saved = ["relay*.market.example", "*.market.example", "a_b.example"]
    assert answer.get_json()["settings"]["relay_domains"] == saved


def test_additional_windows_are_saved_in_order(client: FlaskClient) -> None:
    answer = client.patch(PATH, json={"additional_window_days": [180, 30, 3650]})
    assert answer.get_json()["settings"]["additional_window_days"] == [30, 180, 3650]
    answer = client.patch(PATH, json={"window_days": 180, "additional_window_days": [365]})
    assert answer.get_json()["settings"]["additional_window_days"] == [365]


def test_an_exclusion_can_be_removed(client: FlaskClient) -> None:
    client.patch(PATH, json={"excluded_customer_ids": ["7"]})
    answer = client.patch(PATH, json={"excluded_customer_ids": []})
    assert answer.get_json()["settings"]["excluded_customer_ids"] == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"window_days": 0}, "This must be 1 or more."),
        ({"time_zone": "Mars/Base"}, "'Mars/Base' is not a time zone."),
        ({"excluded_domains": ["not a domain"]}, "A domain looks like example.com."),
        (
            {"relay_domains": ["relay.*"]},
            "A relay domain looks like relay.example.com or relay*.example.com: * may stand for any"
            " text before the last two parts.",
        ),
        (
            {"additional_window_days": [90, 90]},
            "Additional windows are up to 5 different lengths of 1 to 3650 days.",
        ),
        (
            {"additional_window_days": [90, 365]},
            "The main window cannot be an additional window too.",
        ),
    ],
    ids=str,
)
def test_an_invalid_value_is_reported_with_its_field(
    client: FlaskClient, change: dict[str, Any], said: str
) -> None:
    (field,) = change
    answer = client.patch(PATH, json=change)
    assert answer.get_json()["errors"] == [{"pointer": f"#/{field}", "detail": said}]


@pytest.mark.parametrize(
    "change",
    [
        {"window_days": 0},
        {"window_days": 3651},
        {"window_days": "many"},
        {"window_days": 1.5},
        {"time_zone": "Mars/Base"},
        {"time_zone": ""},
        {"time_zone": 1},
        {"minimum_minor": -1},
        {"minimum_minor": 2**70},
        {"minimum_minor": "1.50"},
        {"is_sample_counted": "perhaps"},
        {"time_zone": "Europe/Berlin\0"},
        {"excluded_domains": ["not a domain"]},
        {"excluded_domains": ["brand\0.example"]},
        {"relay_domains": ["relay\0.example.com"]},
        {"excluded_customer_ids": ["7\0"]},
        {"excluded_domains": ["@brand.example"]},
        {"excluded_domains": "brand.example"},
        {"excluded_domains": [None]},
        {"excluded_domains": ["brand.example"] * 1001},
        {"relay_domains": ["*"]},
        {"relay_domains": ["*.com"]},
        {"relay_domains": ["relay%.example.com"]},
        {"relay_domains": ["@relay.example.com"]},
        {"relay_domains": [f"relay.{'x' * 250}.com"]},
        {"excluded_customer_ids": [""]},
        {"excluded_customer_ids": [" "]},
        {"excluded_customer_ids": [7]},
        {"excluded_customer_ids": ["x" * 256]},
        {"excluded_customer_ids": ["x"] * 1001},
        {"additional_window_days": 90},
        {"additional_window_days": [0]},
        {"additional_window_days": [3651]},
        {"additional_window_days": [None]},
        {"additional_window_days": [1, 2, 3, 4, 5, 6]},
        {"unknown": 1},
    ],
    ids=str,
)
def test_an_invalid_value_is_refused_and_changes_nothing(
    client: FlaskClient, settings: Settings, change: dict[str, Any]
) -> None:
    answer = client.patch(PATH, json=change)
    assert 400 <= answer.status_code < 500
    assert answer.mimetype == "application/problem+json"
    assert {key: client.get(PATH).get_json()[key] for key in DEFAULTS} == DEFAULTS
    assert runs_of(settings) == []


@pytest.mark.parametrize(
    ("setting", "value", "constraint"),
    [
        ("window_days", "0", "window_days"),
        ("window_days", "3651", "window_days"),
        ("time_zone", "'Mars/Base'", "time_zone"),
        ("time_zone", "''", "time_zone"),
        ("minimum_minor", "-1", "minimum"),
        ("excluded_domains", "'{not a domain}'", "domains"),
        ("excluded_domains", "'{Brand.example}'", "domains"),
        ("excluded_domains", "'{NULL}'", "domains"),
        ("relay_domains", "'{NULL}'", "relay_domains"),
        ("relay_domains", "'{Relay.example}'", "relay_domains"),
        ("relay_domains", "'{relay.ex*mple}'", "relay_domains"),
        ("relay_domains", "'{\"\"}'", "relay_domains"),
        ("additional_window_days", "'{NULL}'", "additional_windows"),
        ("additional_window_days", "'{0}'", "additional_windows"),
        ("additional_window_days", "'{3651}'", "additional_windows"),
        ("additional_window_days", "'{7,7}'", "additional_windows"),
        ("additional_window_days", "'{1,2,3,4,5,6}'", "additional_windows"),
        ("additional_window_days", "'{365}'", "windows_differ"),
        ("excluded_customer_ids", "'{7,NULL}'", "(customer_ids|excluded)"),
        ("excluded_customer_ids", "'{7,\"\"}'", "customer_ids"),
        ("excluded_customer_ids", "'{\" 7\"}'", "customer_ids"),
    ],
    ids=str,
)
def test_the_database_refuses_an_invalid_value(
    settings: Settings, tenants: list[UUID], setting: str, value: str, constraint: str
) -> None:
    """An invalid value would stop the builds of all tenants."""
    with (
        connect_as_owner(settings) as owner,
        pytest.raises(psycopg.errors.CheckViolation) as refused,
    ):
        owner.execute(
            f"update app.rfm_settings set {setting} = {value} where tenant_id = %s",  # type: ignore[arg-type]
            [tenants[0]],
        )
    assert re.fullmatch(f"rfm_settings_{constraint}_check", refused.value.diag.constraint_name)


@pytest.mark.parametrize("setting", DEFAULTS)
def test_the_database_refuses_a_null_setting(
    settings: Settings, tenants: list[UUID], setting: str
) -> None:
    with connect_as_owner(settings) as owner, pytest.raises(psycopg.errors.NotNullViolation):
        owner.execute(
            f"update app.rfm_settings set {setting} = null where tenant_id = %s",  # type: ignore[arg-type]
            [tenants[0]],
        )
