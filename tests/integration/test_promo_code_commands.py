"""``quintile promo-codes``, run as its user runs it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from sandbox import Sandbox
from sandbox.shopify import Store
from service.core.config import Settings
from service.core.db import connect_as_owner, open_pool
from service.shopify.connection import connect_shopify
from service.tenants.tenants import add_tenant
from tests.command import quintile, quintile_process
from tests.promo_codes import add_customers, move_customers, only_discount, targets_of


@pytest.fixture
def here(built_settings: Settings, shop: Sandbox) -> Settings:
    return replace(built_settings, shopify_url=shop.shopify_url)


@pytest.fixture
def tenant(here: Settings, store: Store) -> UUID:
    with connect_as_owner(here) as conn:
        tenant_id = add_tenant(conn, "kessel", store.data.domain)
    with open_pool(here) as pool:
        connect_shopify(here, pool, tenant_id, store.data.domain, store.data.token)
    return tenant_id


def audited(here: Settings) -> list[dict[str, Any]]:
    """The audit log of promo codes, oldest first."""
    with connect_as_owner(here) as conn:
        return conn.execute(
            "select action, subject, before, after from app.audit_log"
            " where action like 'promo_code.%' order by made_at"
        ).fetchall()


def test_a_code_goes_through_its_life(here: Settings, tenant: UUID, store: Store) -> None:
    buyers = [str(number) for number in sorted(store.customers)]
    add_customers(here, tenant, {"champions": buyers[:3], "loyal": buyers[3:5]})
    listed = quintile_process(here, "promo-codes", "targets", "--tenant", "kessel", "--json").stdout
    rows: list[dict[str, Any]] = [json.loads(line) for line in listed.splitlines()]
    assert (rows[0]["id"], rows[0]["size"], rows[0]["reachable"]) == ("rfm:champions", 3, 3)
    options = ("--percentage", "0.2", "--segment", "rfm:champions", "--starts", "2026-06-01")
    made = quintile_process(here, "promo-codes", "create", "VIP20", "--tenant", "kessel", *options)
    assert "quintile promo-codes apply" in made.stderr
    applied = quintile_process(here, "promo-codes", "apply", "--tenant", "kessel", "--json")
    (run,) = json.loads(applied.stdout)["runs"]
    assert (run["kind"], run["state"], run["counts"]["added"]) == ("promo_codes", "succeeded", 3)
    assert targets_of(only_discount(store)) == set(buyers[:3])
    shown = json.loads(
        quintile_process(here, "promo-codes", "show", "vip20", "--tenant", "kessel").stdout
    )
    assert (shown["state"], shown["targets"]["in_shopify"]) == ("active", 3)
    text = quintile_process(here, "promo-codes", "list", "--tenant", "kessel").stdout
    assert text.split()[:4] == ["VIP20", "active", "3", "customers"]
    checked = quintile_process(
        here, "promo-codes", "check", "VIP20", buyers[3], "--tenant", "kessel"
    )
    assert checked.stdout == "The customer is in none of the code's segments.\n"
    changes = ("--amount", "5", "--exclude", "rfm:loyal")
    quintile_process(here, "promo-codes", "change", "VIP20", "--tenant", "kessel", *changes)
    quintile(here, "promo-codes", "apply", "--tenant", "kessel")
    assert (only_discount(store).percentage, only_discount(store).amount) == (None, 5)
    quintile_process(here, "promo-codes", "deactivate", "VIP20", "--tenant", "kessel")
    quintile(here, "promo-codes", "apply", "--tenant", "kessel")
    assert only_discount(store).ends_at is not None
    quintile_process(here, "promo-codes", "activate", "VIP20", "--tenant", "kessel")
    quintile(here, "promo-codes", "apply", "--tenant", "kessel")
    assert only_discount(store).ends_at is None
    store.discounts.clear()
    quintile_process(here, "promo-codes", "retry", "VIP20", "--tenant", "kessel")
    quintile(here, "promo-codes", "apply", "--tenant", "kessel")
    quintile(here, "promo-codes", "retry", "VIP20", "--tenant", "kessel")
    quintile(here, "promo-codes", "apply", "--tenant", "kessel")
    assert only_discount(store).code == "VIP20"
    quintile_process(here, "promo-codes", "delete", "VIP20", "--tenant", "kessel")
    quintile(here, "promo-codes", "apply", "--tenant", "kessel")
    assert store.discounts == {}
    assert quintile(here, "promo-codes", "list", "--tenant", "kessel").stdout == ""
    entries = audited(here)
    assert [entry["action"].removeprefix("promo_code.") for entry in entries] == [
        *("created", "changed", "deactivated", "activated", "retried", "retried"),
        "deleted",
    ]
    assert {entry["subject"] for entry in entries} == {"VIP20"}
    active, ended = {"is_active": True}, {"is_active": False}
    created, changed, deactivated, activated, *_, deleted = entries
    assert (created["before"], created["after"]["percentage"]) == (None, "0.2")
    assert (changed["before"]["percentage"], changed["after"]["amount"]) == ("0.2", "5.00")
    assert (deactivated["before"], deactivated["after"]) == (active, ended)
    assert (activated["before"], activated["after"]) == (ended, active)
    assert (deleted["before"]["excluded_segments"], deleted["after"]) == (["rfm:loyal"], None)


def test_a_code_that_stays_in_shopify_is_forgotten(
    here: Settings, tenant: UUID, store: Store
) -> None:
    add_customers(here, tenant, {"champions": [str(min(store.customers))]})
    of_tenant = ("--tenant", "kessel")
    options = ("--percentage", "0.2", "--segment", "rfm:champions")
    quintile(here, "promo-codes", "create", "VIP20", *of_tenant, *options)
    quintile(here, "promo-codes", "change", "vip20", *of_tenant, "--title", "VIPs")
    quintile(here, "promo-codes", "delete", "vip20", *of_tenant, "--keep-discount")
    *_, changed, forgotten = audited(here)
    assert (changed["action"], changed["subject"]) == ("promo_code.changed", "VIP20")
    assert (forgotten["action"], forgotten["subject"]) == ("promo_code.forgotten", "VIP20")
    assert forgotten["before"]["title"] == "VIPs"


def test_values_are_taken_away_and_dates_are_of_the_store(
    here: Settings, tenant: UUID, store: Store
) -> None:
    here_and_code = (here, "promo-codes", "change", "VIP20", "--tenant", "kessel")
    add_customers(here, tenant, {"champions": [str(min(store.customers))]})
    quintile(here, "tenants", "set", "kessel", "--time-zone", "America/New_York")
    limits = ("--ends", "2026-12-31", "--usage-limit", "9")
    options = ("--percentage", "0.2", "--segment", "rfm:champions", "--exclude", "rfm:loyal")
    quintile(here, "promo-codes", "create", "VIP20", "--tenant", "kessel", *options, *limits)
    quintile(here, "promo-codes", "apply", "--tenant", "kessel")
    discount = only_discount(store)
    assert (discount.usage_limit, discount.ends_at) == (9, datetime(2026, 12, 31, 5, tzinfo=UTC))
    quintile(*here_and_code, *limits, "--no-ends", expect=2)
    quintile(*here_and_code, "--no-ends", "--no-usage-limit", "--no-exclude")
    quintile(here, "promo-codes", "apply", "--tenant", "kessel")
    assert (discount.usage_limit, discount.ends_at) == (None, None)
    shown = quintile(here, "promo-codes", "show", "VIP20", "--tenant", "kessel").stdout
    assert json.loads(shown)["excluded_segments"] == []
    history = quintile_process(here, "promo-codes", "history", "VIP20", "--tenant", "kessel").stdout
    assert [line.split()[2] for line in history.splitlines()] == ["values", "created"]
    listed = quintile(here, "promo-codes", "history", "VIP20", "--tenant", "kessel", "--json")
    assert json.loads(listed.stdout.splitlines()[-1])["added"] == 1
    of_targets = (here, "promo-codes", "history", "VIP20", "--tenant", "kessel", "--targets")
    assert quintile(*of_targets).stdout.split()[2:] == ["added", str(min(store.customers))]
    (line,) = quintile(*of_targets, "--json").stdout.splitlines()
    assert (json.loads(line)["change"], json.loads(line)["kind"]) == ("added", "customer")


def test_a_sync_of_segments_asks_for_an_update(here: Settings, tenant: UUID, store: Store) -> None:
    buyers = [str(number) for number in sorted(store.customers)]
    add_customers(here, tenant, {"champions": buyers[:3]})
    options = ("--percentage", "0.2", "--segment", "rfm:champions", "--starts", "2026-06-01")
    quintile(here, "promo-codes", "create", "VIP20", "--tenant", "kessel", *options)
    quintile(here, "promo-codes", "apply", "--tenant", "kessel")
    move_customers(here, tenant, buyers[:1], "loyal")
    quintile_process(here, "sync", "shopify", "--only", "segments", "--tenant", "kessel")
    quintile(here, "promo-codes", "apply", "--tenant", "kessel")
    assert targets_of(only_discount(store)) == set(buyers[1:3])


def test_a_wrong_command_says_what_is_wrong(here: Settings, tenant: UUID) -> None:
    options = ("--tenant", "kessel", "--segment", "rfm:champions")
    for code, value, message in (
        ("A B", "0.2", "not a promo code"),
        ("VIP20", "20", "0.2 takes 20 % off"),
    ):
        refused = quintile(
            *(here, "promo-codes", "create", code, "--percentage", value, *options), expect=1
        )
        assert message in refused.stderr
    assert audited(here) == []
    quintile(here, "promo-codes", "create", "X", "--percentage", "a", *options, expect=2)
    quintile(here, "promo-codes", "create", "X", "--starts", "soon", *options, expect=2)
    assert (
        "no promo code"
        in quintile(here, "promo-codes", "show", "X", "--tenant", "kessel", expect=1).stderr
    )
