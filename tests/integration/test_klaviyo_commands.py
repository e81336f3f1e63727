"""``quintile klaviyo`` and ``quintile sync klaviyo --dry-run``, as an operator uses them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
import stamina

from sandbox import Sandbox
from sandbox.klaviyo import Account
from service.core.config import Settings
from service.core.db import connect, connect_as_owner, open_pool
from service.klaviyo.connection import connect_klaviyo
from service.tenants.tenants import add_tenant
from tests.command import quintile, quintile_process
from tests.web import add_scored_customers

KEY = "pk_sandbox_for_these_tests"
TENANT = ("--tenant", "kessel")


@pytest.fixture
def account() -> Account:
    made = Account(KEY, name="Kessel & Korn", currency="EUR", timezone="UTC", prefix="KK")
    made.add_list("VIP")
    return made


@pytest.fixture
def here(built_settings: Settings, account: Account) -> Iterator[Settings]:
    with Sandbox([], [account]) as sandbox:
        yield replace(built_settings, klaviyo_url=sandbox.klaviyo_url, klaviyo_removal_from=2)


@pytest.fixture
def tenant(here: Settings) -> UUID:
    with connect_as_owner(here) as conn:
        tenant_id = add_tenant(conn, "kessel", None)
    with open_pool(here) as pool:
        connect_klaviyo(here, pool, tenant_id, KEY)
    customers = [(str(number), "champions", "9.00") for number in range(1, 5)]
    add_scored_customers(here, tenant_id, customers)
    return tenant_id


@pytest.mark.usefixtures("tenant")
def test_a_list_is_synced_from_the_command_line(here: Settings, account: Account) -> None:
    vip = account.list_names()[0]["id"]
    with connect(here.database_url) as conn:
        conn.execute(
            "update marts.customer_facts set email = 'a@scs.tiktokw.us' where customer_id = '4'"
        )
    added = quintile_process(
        here,
        "klaviyo",
        "add",
        *TENANT,
        "--segment",
        "rfm:champions",
        "--list",
        vip,
        "--no-schedule",
    )
    config = ("--config", added.stdout.strip())
    shown = quintile_process(here, "klaviyo", "configs", *TENANT).stdout
    assert "rfm:champions -> VIP  not synced yet" in shown

    # The plan, before it is carried out.
    shown = quintile(here, "sync", "klaviyo", "--dry-run", *TENANT).stdout
    assert "kessel: rfm:champions -> VIP: add 3, remove 0, update 0, leave out 1" in shown
    assert "  add: c1@example.com" in shown
    assert "  leave out: 1 relay" in shown
    previewed = quintile_process(here, "klaviyo", "preview", *TENANT, *config, "--json").stdout
    assert json.loads(previewed)[0]["plan"]["add"]["count"] == 3
    assert account.member_emails(vip) == set()

    quintile(here, "sync", "klaviyo", *TENANT)
    rows = quintile(here, "klaviyo", "rows", *TENANT, *config).stdout.splitlines()
    assert [json.loads(row)["email"] for row in rows] == [
        f"c{number}@example.com" for number in (1, 2, 3)
    ]
    found = quintile_process(here, "klaviyo", "rows", *TENANT, *config, "--search", "C2@").stdout
    assert json.loads(found)["state"] == "synced"
    assert quintile(here, "klaviyo", "rows", *TENANT, *config, "--state", "kept").stdout == ""
    standing = json.loads(quintile(here, "klaviyo", "configs", *TENANT, "--json").stdout)
    assert (standing[0]["local_members"], standing[0]["is_scheduled"]) == (3, False)

    # A mass removal stops it until an operator approves.
    with connect(here.database_url) as conn:
        conn.execute("delete from marts.customer_facts where customer_id <> '1'")
    shown = quintile(here, "sync", "klaviyo", "--dry-run", *TENANT).stdout
    assert "  a sync would stop: " in shown
    assert re.search("1 in segment, 3 in Klaviyo, .*; the segment has changed", _configs(here))
    warned = quintile(here, "sync", "klaviyo", *TENANT).stderr
    assert len(account.member_emails(vip)) == 3
    assert "Warning: kessel: list 'VIP' was not synced. This sync would remove 2 of 3" in warned
    approval = f"quintile klaviyo confirm --tenant kessel --config {config[1]}"
    assert approval in warned
    assert approval in quintile(here, "doctor").stdout
    assert "stopped: This sync would remove 2 of 3" in _configs(here)
    agreed = quintile_process(here, "klaviyo", "confirm", *TENANT, *config)
    assert "2 removals approved" in agreed.stderr
    assert "was not synced" not in quintile(here, "sync", "klaviyo", *TENANT).stderr
    assert account.member_emails(vip) == {"c1@example.com"}
    assert re.search("1 in segment, 1 in Klaviyo, synced [0-9: -]+ UTC$", _configs(here))
    former, approved = {"confirmed_removals": None}, {"confirmed_removals": 2}
    assert _audited(here, config[1])[-1] == (former, approved)


@pytest.mark.usefixtures("tenant")
def test_a_list_is_paused_resumed_and_removed(here: Settings, account: Account) -> None:
    vip = account.list_names()[0]["id"]
    options = ("--segment", "rfm:champions", "--list", vip)
    added = quintile(here, "klaviyo", "add", *TENANT, *options)
    config = ("--config", added.stdout.strip())
    # No person removed anyone, so there is nothing to undo.
    undone = quintile_process(
        here, "klaviyo", "undo", *TENANT, *config, "--email", "c1@example.com", expect=1
    )
    assert "This address was not removed from the list." in undone.stderr
    paused = quintile_process(here, "klaviyo", "pause", *TENANT, *config)
    assert "list 'VIP' is paused" in paused.stderr
    assert "paused: " in quintile(here, "klaviyo", "configs", *TENANT).stdout
    resumed = quintile_process(here, "klaviyo", "resume", *TENANT, *config)
    assert "list 'VIP' is synced again" in resumed.stderr
    on, off = {"is_paused": False}, {"is_paused": True}
    assert _audited(here, config[1])[-2:] == [(on, off), (off, on)]
    quintile_process(here, "klaviyo", "remove", *TENANT, *config)
    assert _audited(here, config[1])[-1][0]["list_name"] == "VIP"
    assert quintile(here, "klaviyo", "configs", *TENANT).stdout == ""
    gone = quintile(here, "klaviyo", "remove", *TENANT, *config, expect=1)
    assert "There is no such configuration." in gone.stderr


def _audited(here: Settings, config_id: str) -> list[tuple[Any, Any]]:
    """Values before and after each change of a configuration, oldest first."""
    with connect(here.database_url) as conn:
        rows = conn.execute(
            "select before, after from app.audit_log where subject = %s order by made_at",
            [config_id],
        ).fetchall()
    return [(row["before"], row["after"]) for row in rows]


def _configs(here: Settings) -> str:
    return quintile(here, "klaviyo", "configs", *TENANT).stdout


@pytest.mark.usefixtures("tenant")
def test_a_sync_of_a_refused_key_fails_until_klaviyo_accepts_it(
    here: Settings, account: Account
) -> None:
    vip = account.list_names()[0]["id"]
    quintile(here, "klaviyo", "add", *TENANT, "--segment", "rfm:champions", "--list", vip)
    scopes = account.keys[KEY]
    account.revoke_key(KEY)
    with stamina.set_testing(True, attempts=2):
        for command in (["sync", "klaviyo"], ["sync", "klaviyo"], ["klaviyo", "preview"]):
            failed = quintile(here, *command, *TENANT, expect=1).stderr
            assert "Klaviyo does not accept the API key (status 401)" in failed
            assert "Quintile tries it again by itself, next at " in failed
            assert "connect-klaviyo" in failed
    assert "paused: Klaviyo does not accept" in _configs(here)
    account.add_key(KEY, scopes)
    quintile(here, "sync", "klaviyo", *TENANT)
    assert len(account.member_emails(vip)) == 4
    assert "paused" not in _configs(here)


def test_contradictory_options_are_refused(here: Settings, tenant: UUID) -> None:
    assert tenant
    refused = quintile(here, "sync", "shopify", "--dry-run", expect=1)
    assert "--dry-run is for Klaviyo" in refused.stderr
    refused = quintile(here, "klaviyo", "add", *TENANT, "--list", "KK0001", expect=1)
    assert "--segment" in refused.stderr


def test_commands_for_an_unknown_configuration_are_refused_and_write_nothing(
    here: Settings, tenant: UUID, account: Account
) -> None:
    assert tenant
    vip = account.list_names()[0]["id"]
    quintile(here, "klaviyo", "add", *TENANT, "--segment", "rfm:champions", "--list", vip)
    unknown = ("--config", str(uuid4()))
    for command in (("preview",), ("rows",), ("pause",), ("confirm",)):
        refused = quintile(here, "klaviyo", *command, *TENANT, *unknown, expect=1)
        assert "There is no such configuration." in refused.stderr
        assert refused.stdout == ""
    assert account.member_emails(vip) == set()
