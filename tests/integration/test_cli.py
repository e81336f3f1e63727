"""The command line: help for every command, one sentence for every mistake."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from pathlib import Path

import click
import pytest

from service.cli import main, serve_command
from service.config import Settings
from service.db import Connection
from tests.command import quintile


def _commands(group: click.Group, prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for name, command in group.commands.items():
        found.append((*prefix, name))
        if isinstance(command, click.Group):
            found += _commands(command, (*prefix, name))
    return found


COMMANDS = _commands(main)
INTERFACE = [
    ("migrate",),
    ("tenants", "add"),
    ("tenants", "list"),
    ("tenants", "token"),
    ("sync",),
    ("orders", "import"),
    ("build",),
    ("segments", "export"),
    ("samples", "export"),
    ("serve",),
    ("worker",),
    ("sandbox",),
    ("db", "url"),
    ("db", "start"),
    ("db", "stop"),
    ("db", "psql"),
    ("doctor",),
]


@pytest.mark.parametrize("command", INTERFACE, ids=" ".join)
def test_the_fixed_interface_is_there(command: tuple[str, ...]) -> None:
    assert command in COMMANDS


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_and_option_is_explained(path: tuple[str, ...]) -> None:
    command: click.Command = main
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


def test_help_answers_without_a_database(settings: Settings) -> None:
    nowhere = replace(settings, database_url="postgresql://127.0.0.1:1/none")
    assert "tenants" in quintile(nowhere, "--help").stdout


def test_a_token_is_all_that_is_printed_and_only_its_digest_is_kept(
    settings: Settings, owner: Connection, make_tenant
) -> None:
    make_tenant("demo")
    done = quintile(settings, "tenants", "token", "demo")
    token = done.stdout.strip()
    assert done.stdout == f"{token}\n"
    assert token.startswith("qnt_")
    kept = owner.execute("select * from app.api_tokens").fetchone()
    assert kept is not None
    assert token not in str(kept)
    assert kept["last_four"] == token[-4:]


@pytest.mark.parametrize(
    "arguments",
    [
        ["tenants", "token", "nobody"],
        ["segments", "export", "--tenant", "nobody"],
        ["samples", "export", "--tenant", "nobody"],
        ["build", "--tenant", "nobody"],
        ["sync", "shopify", "--tenant", "nobody"],
        ["orders", "import", "README.md", "--tenant", "nobody"],
        ["tenants", "set", "nobody", "--window-days", "90"],
        ["tenants", "connect-klaviyo", "nobody"],
    ],
    ids=" ".join,
)
def test_an_unknown_tenant_is_named_and_the_known_ones_listed(
    settings: Settings, make_tenant, arguments: list[str]
) -> None:
    make_tenant("known")
    done = quintile(settings, *arguments, stdin="x" * 40, expect=1)
    assert "There is no tenant 'nobody'." in done.stderr
    assert "known" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["tenants", "add", "Not A Name"], "cannot be a tenant's name"),
        (["tenants", "add", "demo"], "There is a tenant with this name already"),
        (["tenants", "add", "x", "--shop", "https://x.com"], "is not a shop's domain"),
        (["tenants", "set", "demo", "--currency", "dollars"], "three capital letters"),
        (["tenants", "set", "demo", "--time-zone", "Mars/Base"], "is not a time zone"),
        (["tenants", "set", "demo", "--window-days", "0"], "1 to 3650 days"),
        (["tenants", "connect-shopify", "demo"], "has no shop"),
        (["tenants", "connect-klaviyo", "demo"], "Nothing came on standard input"),
        (["sync", "klaviyo"], "No tenant is connected to klaviyo"),
        (["sync", "klaviyo", "--tenant", "demo"], "not connected to Klaviyo"),
        (["build", "--as-of", "yesterday"], "is not a date or time"),
        (["db", "stop"], "there is no embedded one to manage"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_gets_one_sentence(
    settings: Settings, make_tenant, arguments: list[str], sentence: str
) -> None:
    make_tenant("demo")
    done = quintile(settings, *arguments, expect=1)
    assert sentence in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_said_before_anything_starts(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = quintile(replace(settings, port=port), "serve", expect=1)
    assert f"Port {port} on 127.0.0.1 is taken." in done.stderr


def test_the_sandbox_says_when_its_port_is_taken(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = quintile(settings, "sandbox", "--shopify-port", str(port), expect=1)
    assert done.stderr.startswith(f"Error: Port {port} on 127.0.0.1 is taken.")
    assert done.stdout == ""


def test_settings_of_a_tenant_change_alone(
    settings: Settings, owner: Connection, make_tenant
) -> None:
    make_tenant("demo")
    other = make_tenant("other")
    quintile(
        settings, "tenants", "set", "demo", "--window-days", "90", "--exclude-customer", "7"
    )  # fmt: skip
    rows = {
        row["name"]: (row["window_days"], row["excluded_customer_ids"])
        for row in owner.execute(
            "select t.name, s.window_days, s.excluded_customer_ids from app.tenants as t "
            "inner join app.rfm_settings as s on t.tenant_id = s.tenant_id"
        ).fetchall()
    }
    assert rows == {"demo": (90, ["7"]), "other": (365, [])}
    assert other


def test_the_list_of_tenants(settings: Settings, make_tenant) -> None:
    assert "no tenants yet" in quintile(settings, "tenants", "list").stderr
    make_tenant("demo", "demo.myshopify.com")
    listed = json.loads(quintile(settings, "tenants", "list", "--json").stdout)
    assert [(row["name"], row["shop_domain"], row["connected"]) for row in listed] == [
        ("demo", "demo.myshopify.com", [])
    ]


def test_db_url_connects_as_each_role(settings: Settings) -> None:
    for role in ("app", "transform"):
        url = quintile(settings, "db", "url", "--role", role).stdout.strip()
        assert f"quintile_{role}" in url


def test_psql_passes_its_arguments_on(settings: Settings) -> None:
    done = quintile(settings, "db", "psql", "-Atc", "select 6 * 7")
    assert done.stdout == "42\n"


def test_doctor_is_content_with_a_fresh_installation(settings: Settings) -> None:
    findings = json.loads(quintile(settings, "doctor", "--json").stdout)["findings"]
    assert {finding["level"] for finding in findings} == {"ok"}
    assert {finding["check"] for finding in findings} == {
        "database",
        "migrations",
        "roles",
        "isolation",
    }


def test_doctor_names_what_is_wrong_and_what_to_do(
    settings: Settings, owner: Connection, make_tenant
) -> None:
    tenant_id = make_tenant("demo")
    owner.execute("alter table shopify.orders no force row level security")
    owner.execute(
        "insert into app.connections (tenant_id, provider, sealed_secret, key_id, last_four) "
        "values (%s, 'klaviyo', 'x', 'lost', 'abcd')",
        [tenant_id],
    )
    done = quintile(settings, "doctor", "--json", expect=1)
    errors = [
        finding for finding in json.loads(done.stdout)["findings"] if finding["level"] == "error"
    ]
    assert [(error["check"], bool(error["advice"])) for error in errors] == [
        ("isolation", True),
        ("connections", True),
    ]
    assert "shopify.orders: row level security is not forced" in errors[0]["message"]
    assert "'lost', which is not in the key ring" in errors[1]["message"]


def test_doctor_says_when_nothing_answers(settings: Settings, tmp_path: Path) -> None:
    nowhere = replace(settings, database_url="postgresql://x@127.0.0.1:1/none")
    done = quintile(nowhere, "doctor", expect=1)
    assert "cannot be reached" in done.stdout


def test_the_web_service_is_gunicorn_on_the_settings_address(settings: Settings) -> None:
    command = serve_command(replace(settings, port=8123))
    assert command[command.index("--bind") + 1] == "127.0.0.1:8123"
