"""The command line: help texts, error messages and the basic commands."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import click
import pytest

from service.cli.main import main
from service.cli.web import serve_command
from service.core.config import Settings
from service.core.db import Connection, connect, connect_as_owner, open_pool
from service.tenants.sessions import begin_session
from service.tenants.tenants import RfmChange, add_tenant
from service.tenants.tokens import Access
from tests.command import quintile, quintile_process
from tests.web import add_samples, add_scored_customers


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
def test_the_documented_commands_exist(command: tuple[str, ...]) -> None:
    assert command in COMMANDS


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_and_option_has_a_help_text(path: tuple[str, ...]) -> None:
    command: click.Command = main
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


def test_help_works_without_a_database(settings: Settings) -> None:
    nowhere = replace(settings, database_url="postgresql://127.0.0.1:1/none")
    assert "tenants" in quintile(nowhere, "--help").stdout


def test_token_prints_only_the_token_and_stores_only_its_digest(
    settings: Settings, owner: Connection, make_tenant
) -> None:
    make_tenant("demo")
    done = quintile_process(settings, "tenants", "token", "demo")
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
def test_an_unknown_tenant_is_an_error_that_lists_the_known_ones(
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
        (["tenants", "set", "demo", "--rfm-time-zone", "Mars/Base"], "is not a time zone"),
        (["tenants", "set", "demo", "--minimum-value", "-1"], "is 0 or more"),
        (["tenants", "set", "demo", "--exclude-domain", "a@b.example"], "looks like example.com"),
        (["tenants", "set", "demo"], "There is nothing to change"),
        (["tenants", "set", "demo", "--shop", "https://x.com"], "is not a shop's domain"),
        (["tenants", "set", "demo", "--shop", ""], "is not a shop's domain"),
        (["tenants", "set", "demo", "--exclude-customer", ""], "needs an id"),
        (["tenants", "set", "demo", "--exclude-customer", "7", "--exclude-customer", " "], "an id"),
        (
            ["tenants", "set", "demo", "--exclude-customer", "7", "--no-excluded-customers"],
            "contradict each other",
        ),
        (
            ["tenants", "unmap-list", "demo", "--segment", "rfm:loyal", "--list", "Xy"],
            "feeds no list 'Xy'",
        ),
        (["tenants", "connect-shopify", "demo"], "has no shop"),
        (["tenants", "connect-klaviyo", "demo"], "Standard input is empty"),
        (["sync", "klaviyo"], "No tenant is connected to klaviyo"),
        (["sync", "klaviyo", "--tenant", "demo"], "not connected to Klaviyo"),
        (["build", "--as-of", "yesterday"], "is not a date or time"),
        (["build", "--as-of", "2999-01-01"], "2999-01-01 is in the future"),
        (["backfill", "--from", "2026-01-01", "--as-of", "2999-01-01"], "is in the future"),
        (["db", "stop"], "there is no embedded one to manage"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_input_gets_one_sentence(
    settings: Settings, make_tenant, arguments: list[str], sentence: str
) -> None:
    make_tenant("demo")
    done = quintile(settings, *arguments, expect=1)
    assert sentence in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_tokens_are_listed_and_revoked(settings: Settings, make_tenant) -> None:
    make_tenant("demo")
    made = quintile(settings, "tenants", "token", "demo", "--scope", "read", "--days", "30")
    token = made.stdout.strip()
    (row,) = json.loads(quintile_process(settings, "tenants", "tokens", "demo", "--json").stdout)
    assert (row["scope"], row["state"], row["last_four"]) == ("read", "active", token[-4:])
    assert row["expires_at"] is not None
    listed = quintile(settings, "tenants", "tokens", "demo").stdout
    assert row["token_id"] in listed
    assert token not in listed
    done = quintile_process(settings, "tenants", "revoke-token", "demo", row["token_id"])
    assert "revoked token" in done.stderr
    (row,) = json.loads(quintile(settings, "tenants", "tokens", "demo", "--json").stdout)
    assert row["state"] == "revoked"
    with connect_as_owner(settings) as conn:
        entry = conn.execute(
            "select subject, before from app.audit_log where action = 'token.revoked'"
        ).fetchone()
    former = {"label": "cli", "scope": "read"}
    assert entry == {"subject": row["token_id"], "before": former}
    unknown = str(uuid4())
    done = quintile(settings, "tenants", "revoke-token", "demo", unknown, expect=1)
    assert f"demo has no token {unknown}." in done.stderr


def test_people_are_listed_and_signed_out(
    settings: Settings, owner: Connection, make_tenant
) -> None:
    tenant_id = make_tenant("demo")
    assert "no open sessions" in quintile(settings, "tenants", "sessions", "demo").stderr
    quintile(settings, "tenants", "sign-in-link", "demo", "--person", "Ada Byron")
    (code,) = owner.execute("select person, scope from app.sign_in_codes").fetchall()
    assert code == {"person": "Ada Byron", "scope": "admin"}
    with open_pool(settings) as pool:
        for person in ("Ada Byron", "Bob"):
            begin_session(
                pool,
                Access(tenant_id, "write", "person", person, person=person),
                timedelta(hours=1),
            )
    rows = json.loads(quintile_process(settings, "tenants", "sessions", "demo", "--json").stdout)
    assert [row["person"] for row in rows] == ["Bob", "Ada Byron"]
    assert "Ada Byron" in quintile(settings, "tenants", "sessions", "demo").stdout
    done = quintile(settings, "tenants", "sign-out", "demo", "--person", "Ada Byron")
    assert "demo: ended 1 session\n" in done.stderr
    assert owner.execute("select count(*) as n from app.sign_in_codes").fetchone() == {"n": 0}
    assert "ended 1 session" in quintile_process(settings, "tenants", "sign-out", "demo").stderr


def test_sign_in_link_prints_only_the_link(settings: Settings, make_tenant) -> None:
    make_tenant("demo")
    link = quintile_process(settings, "tenants", "sign-in-link", "demo").stdout
    assert link.endswith("\n")
    assert link.startswith("http://127.0.0.1:8000/admin/sign-in#code=")


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        ({"public_url": "https://quintile.example.com/"}, "https://quintile.example.com/admin/"),
        ({"public_url": "https://example.com/q"}, "https://example.com/q/admin/sign-in#code="),
        ({"host": "0.0.0.0", "port": 8123}, "http://127.0.0.1:8123/admin/"),  # noqa: S104
        ({"host": "::", "port": 8123}, "http://[::1]:8123/admin/"),
        ({"host": "fd00::7"}, "http://[fd00::7]:8000/admin/"),
    ],
    ids=str,
)
def test_a_sign_in_link_leads_to_where_people_open_the_service(
    settings: Settings, make_tenant, changes: dict[str, Any], start: str
) -> None:
    make_tenant("demo")
    link = quintile(replace(settings, **changes), "tenants", "sign-in-link", "demo").stdout
    assert link.startswith(start)


def test_no_link_is_made_for_a_public_address_that_is_no_url(
    settings: Settings, owner: Connection, make_tenant
) -> None:
    make_tenant("demo")
    bad = replace(settings, public_url="quintile.example.com")
    done = quintile(bad, "tenants", "sign-in-link", "demo", expect=1)
    assert "QUINTILE_PUBLIC_URL must be an https:// address." in done.stderr
    assert owner.execute("select count(*) as n from app.sign_in_codes").fetchone() == {"n": 0}


def test_exports_escape_what_a_spreadsheet_would_run(
    built_settings: Settings,
) -> None:
    with connect_as_owner(built_settings) as conn:
        tenant_id = add_tenant(conn, "formulas", None)
    add_scored_customers(built_settings, tenant_id, [("=1+1", "champions", "9.00")])
    tags = ["ugc", "=cmd|' /C calc'!A0"]
    add_samples(built_settings, tenant_id, [{"order_id": "@7", "matched_tags": tags}])
    scored = quintile(built_settings, "segments", "export", "--tenant", "formulas").stdout
    assert scored.splitlines()[1].startswith("'=1+1,")
    samples = quintile(built_settings, "samples", "export", "--tenant", "formulas").stdout
    assert samples.splitlines()[1] == "'@7,true,false,ugc;'=cmd|' /C calc'!A0,\"\",pending"


def test_db_start_and_stop_control_the_embedded_server(tmp_path: Path) -> None:
    settings = Settings(
        home=str(tmp_path / "home"), secret_key="a secret for tests 0123456789abcdef"
    )
    try:
        started = quintile_process(settings, "db", "start")
        assert "is running" in started.stderr
    finally:
        stopped = quintile_process(settings, "db", "stop")
    assert "is stopped" in stopped.stderr
    assert "was not running" in quintile(settings, "db", "stop").stderr


def test_serve_reports_a_taken_port(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = quintile(replace(settings, port=port), "serve", expect=1)
    assert f"Port {port} on 127.0.0.1 is taken." in done.stderr


def test_the_sandbox_reports_a_taken_port(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = quintile(settings, "sandbox", "--shopify-port", str(port), expect=1)
    assert done.stderr.startswith(f"Error: Port {port} on 127.0.0.1 is taken.")
    assert done.stdout == ""


def test_only_the_given_settings_of_a_tenant_change(
    settings: Settings, owner: Connection, make_tenant
) -> None:
    make_tenant("demo")
    other = make_tenant("other")
    quintile(
        *(settings, "tenants", "set", "demo", "--window-days", "90", "--exclude-customer", "7"),
        *("--rfm-time-zone", "Europe/Berlin", "--minimum-value", "500", "--count-samples"),
        *("--exclude-domain", "Brand.example", "--exclude-domain", "agency.example"),
        *("--relay-domain", "Relay*.market.example", "--ugc-samples-free"),
        *("--tiktok-samples-any-price", "--additional-window", "365", "--additional-window", "30"),
    )
    # Other settings stay the same.
    quintile_process(settings, "tenants", "set", "demo", "--no-excluded-customers")
    rows = {
        row.pop("name"): tuple(row.values())
        for row in owner.execute(
            "select t.name, s.window_days, s.time_zone, s.minimum_minor, s.is_sample_counted, "
            "s.excluded_customer_ids, s.excluded_domains, s.relay_domains, "
            "s.additional_window_days, c.zero_price_only, c.ugc_zero_price_only "
            "from app.tenants as t "
            "inner join app.rfm_settings as s on t.tenant_id = s.tenant_id "
            "inner join app.samples_config as c on t.tenant_id = c.tenant_id"
        ).fetchall()
    }
    assert rows == {
        "demo": (
            *(90, "Europe/Berlin", 500, True, [], ["brand.example", "agency.example"]),
            *(["relay*.market.example"], [30, 365], False, True),
        ),
        "other": (365, "UTC", 0, False, [], [], [], [], True, False),
    }
    # The samples page shows who changed the rules, and can restore the former ones.
    changes = owner.execute("select * from app.samples_config_changes").fetchall()
    assert [
        (row["changed_by"], row["former_zero_price_only"], row["former_ugc_zero_price_only"])
        for row in changes
    ] == [("quintile tenants set", True, False)]
    quintile(settings, *("tenants", "set", "demo", "--no-relay-domains", "--no-additional-windows"))
    lists = "select distinct relay_domains, additional_window_days from app.rfm_settings"
    assert owner.execute(lists).fetchall() == [{"relay_domains": [], "additional_window_days": []}]
    assert other


def test_a_changed_setting_rebuilds_that_tenant(
    built_settings: Settings,
) -> None:
    """A worker does it, or the suggested command, which takes the queued run."""
    with connect_as_owner(built_settings) as owner:
        tenant_id = add_tenant(owner, "demo")
        add_tenant(owner, "other")
    with connect(built_settings.database_url) as admin:

        def builds() -> list[tuple[object, ...]]:
            return [
                tuple(row.values())
                for row in admin.execute(
                    """
                    select r.tenant_id, r.state, r.trigger, count(j.id) as jobs
                    from app.runs as r
                    left join jobs.procrastinate_jobs as j
                        on r.run_id::text = j.args ->> 'run_id' and j.status = 'todo'
                    where r.kind = 'build'
                    group by r.run_id, r.tenant_id, r.state, r.trigger
                    """
                ).fetchall()
            ]

        # A setting that RFM does not use starts no build.
        quintile(built_settings, "tenants", "set", "demo", "--time-zone", "Europe/Berlin")
        assert builds() == []
        changed = quintile(built_settings, "tenants", "set", "demo", "--window-days", "90")
        assert "quintile build --tenant demo" in changed.stderr
        quintile(built_settings, "tenants", "set", "demo", "--exclude-customer", "7")
        assert builds() == [(tenant_id, "queued", "cli", 1)]
        quintile(built_settings, "build", "--tenant", "demo")
        assert [(tenant, state) for tenant, state, *_ in builds()] == [(tenant_id, "succeeded")]
        window = admin.execute("select window_days from marts.rfm_builds").fetchall()
        assert [row["window_days"] for row in window] == [90]


def test_excluded_customers_are_replaced_and_cleared(
    settings: Settings, owner: Connection, make_tenant
) -> None:
    tenant_id = make_tenant("demo", rfm=RfmChange(excluded_customer_ids=["6"], window_days=90))

    def kept() -> tuple[int, list[str]]:
        row = owner.execute(
            "select window_days, excluded_customer_ids from app.rfm_settings where tenant_id = %s",
            [tenant_id],
        ).fetchone()
        assert row is not None
        return row["window_days"], row["excluded_customer_ids"]

    change = ("tenants", "set", "demo")
    quintile(settings, *change, "--exclude-customer", "7", "--exclude-customer", " 8 ")
    assert kept() == (90, ["7", "8"])
    quintile(settings, *change, "--window-days", "30")
    assert kept() == (30, ["7", "8"])
    quintile(settings, *change, "--no-excluded-customers")
    assert kept() == (30, [])


def test_the_suggested_command_sets_a_missing_shop(
    settings: Settings, owner: Connection, make_tenant
) -> None:
    added = quintile_process(settings, "tenants", "add", "demo")
    assert "connect-shopify" not in added.stderr
    assert "quintile tenants set demo --shop" in added.stderr
    refused = quintile(settings, "tenants", "connect-shopify", "demo", stdin="x" * 40, expect=1)
    assert "quintile tenants set demo --shop x.myshopify.com" in refused.stderr

    make_tenant("other", "taken.myshopify.com")
    set_shop = ("tenants", "set", "demo", "--shop")
    taken = quintile(settings, *set_shop, "taken.myshopify.com", expect=1)
    assert "There is a tenant with this shop already." in taken.stderr
    # The shop can change until the store is connected, for example to fix a typo.
    quintile(settings, *set_shop, "demmo.myshopify.com")
    done = quintile(settings, *set_shop, "demo.myshopify.com")
    assert "quintile tenants connect-shopify demo" in done.stderr
    # Of a connected store Shopify is asked first (test_shop_domain.py). Without its token nothing
    # changes.
    owner.execute(
        "insert into app.connections (tenant_id, provider, sealed_secret, key_id, last_four) "
        "select tenant_id, 'shopify', 'x', 'k', 'abcd' from app.tenants where name = 'demo'"
    )
    fixed = quintile(settings, *set_shop, "new.myshopify.com", "--currency", "SEK", expect=1)
    assert "connect again" in fixed.stderr
    quintile(settings, *set_shop, "demo.myshopify.com")
    listed = json.loads(quintile_process(settings, "tenants", "list", "--json").stdout)
    assert [(row["name"], row["shop_domain"], row["currency"]) for row in listed] == [
        ("demo", "demo.myshopify.com", None),
        ("other", "taken.myshopify.com", None),
    ]


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (["1,c,never,5"], 1),
        (["1,c,never,5", "2,c,2026-01-01,5"], 0),
        ([], 0),
    ],
    ids=["only bad lines", "bad and good lines", "no lines"],
)
def test_an_import_of_only_invalid_lines_fails(
    settings: Settings, make_tenant, tmp_path: Path, lines: list[str], code: int
) -> None:
    make_tenant("demo")
    file = tmp_path / "orders.csv"
    file.write_text("\n".join(["order_id,customer_id,processed_at,total", *lines]))
    done = quintile(settings, "orders", "import", file, "--tenant", "demo", expect=code)
    assert done.stdout.endswith(f"{int('1,c,never,5' in lines)} rejected\n")
    # An import that changes nothing succeeds too.
    again = quintile(settings, "orders", "import", file, "--tenant", "demo", expect=code)
    assert again.stdout.startswith("0 orders loaded")


def test_the_list_of_tenants(settings: Settings, make_tenant) -> None:
    assert "no tenants yet" in quintile(settings, "tenants", "list").stderr
    make_tenant("demo", "demo.myshopify.com")
    listed = json.loads(quintile(settings, "tenants", "list", "--json").stdout)
    assert [(row["name"], row["shop_domain"], row["connected"]) for row in listed] == [
        ("demo", "demo.myshopify.com", [])
    ]


def test_db_url_connects_as_each_role(settings: Settings) -> None:
    for role in ("app", "transform"):
        url = quintile_process(settings, "db", "url", "--role", role).stdout.strip()
        assert f"quintile_{role}" in url


def test_db_psql_passes_its_arguments_to_psql(settings: Settings) -> None:
    done = quintile_process(settings, "db", "psql", "-Atc", "select 6 * 7")
    assert done.stdout == "42\n"


def test_doctor_finds_no_problem_in_a_fresh_installation(settings: Settings) -> None:
    findings = json.loads(quintile(settings, "doctor", "--json").stdout)["findings"]
    assert {finding["level"] for finding in findings} == {"ok"}
    assert {finding["check"] for finding in findings} == {
        "database",
        "migrations",
        "roles",
        "isolation",
        "klaviyo",
        "pools",
        "versions",
        "worker",
        "clock",
        "disk",
    }


def test_doctor_reports_problems_with_advice(
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


def test_doctor_warns_of_a_paused_list_until_it_is_removed(
    settings: Settings, owner: Connection, make_tenant
) -> None:
    tenant_id = make_tenant("demo")
    make_tenant("other")
    owner.execute(
        "insert into app.klaviyo_sync_configs "
        "(tenant_id, segment_key, list_id, list_name, is_paused, paused_reason) values "
        "(%(t)s, 'rfm:champions', 'Xy', 'VIPs', true, 'The list no longer exists in Klaviyo.'), "
        "(%(t)s, 'rfm:loyal', 'Zz', 'Loyal', false, null)",
        {"t": tenant_id},
    )

    def warnings() -> list[dict[str, str]]:
        findings = json.loads(quintile(settings, "doctor", "--json").stdout)["findings"]
        return [finding for finding in findings if finding["level"] == "warning"]

    (warning,) = warnings()
    assert warning["message"] == (
        "demo: list 'VIPs', fed by rfm:champions, is paused. The list no longer exists in Klaviyo."
    )
    advised = "quintile tenants unmap-list demo --segment rfm:champions --list Xy"
    assert "quintile tenants map-list demo" in warning["advice"]
    assert advised in warning["advice"]
    assert advised.startswith("quintile tenants unmap-list ")
    quintile_process(settings, "tenants", "unmap-list", *advised.split()[3:])
    assert warnings() == []


def test_doctor_reports_an_unreachable_database(settings: Settings, tmp_path: Path) -> None:
    nowhere = replace(settings, database_url="postgresql://x@127.0.0.1:1/none")
    done = quintile(nowhere, "doctor", expect=1)
    assert "cannot be reached" in done.stdout


def test_the_web_service_is_gunicorn_on_the_settings_address(settings: Settings) -> None:
    command = serve_command(replace(settings, port=8123))
    assert command[command.index("--bind") + 1] == "127.0.0.1:8123"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://admin:pa%zzsecret@127.0.0.1/db",
        "postgres//admin:topsecret@127.0.0.1/db",
        "postgresql://admin:top#secret@nowhere.invalid/db",
        "postgresql://admin:top@secret@127.0.0.1:1/db",
        "postgresql://admin:topsecret@127.0.0.1:1/db",
    ],
)
@pytest.mark.parametrize(
    "arguments", [["tenants", "list"], ["migrate"], ["db", "psql"], ["doctor"], ["build"]], ids=str
)
def test_a_wrong_url_never_prints_its_password(
    settings: Settings, url: str, arguments: list[str]
) -> None:
    wrong = replace(settings, database_url=url)
    done = quintile(wrong, *arguments, expect=1)
    assert "secret" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_an_unmigrated_or_unbuilt_database_is_an_error_with_the_command_to_run(
    cluster, settings: Settings, make_tenant
) -> None:
    make_tenant("demo")
    unbuilt = quintile(settings, "segments", "export", "--tenant", "demo", expect=1)
    assert "quintile build" in unbuilt.stderr
    assert "Traceback" not in unbuilt.stderr
    name = cluster.create()
    try:
        empty = quintile(cluster.settings(name), "tenants", "list", expect=1)
        assert empty.stderr.endswith("Run: quintile migrate\n")
    finally:
        cluster.drop(name)


def test_a_build_on_the_command_line_is_recorded_as_a_run(
    built_settings: Settings,
) -> None:
    with connect_as_owner(built_settings) as owner:
        add_tenant(owner, "demo")
        quintile(built_settings, "build", "--as-of", "2026-07-01")
        runs = owner.execute("select kind, trigger, state, done, total from app.runs").fetchall()
    assert [(run["kind"], run["trigger"], run["state"]) for run in runs] == [
        ("build", "cli", "succeeded")
    ]
    assert runs[0]["total"] > 20
    assert runs[0]["done"] == runs[0]["total"]
