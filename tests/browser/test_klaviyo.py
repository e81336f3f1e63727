"""Klaviyo's pages: a list is added, previewed, synced, stopped, agreed to, searched and undone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from uuid import UUID

import pytest
from playwright.sync_api import Page, expect
from pytest_httpserver import HTTPServer

from sandbox import Sandbox
from sandbox.klaviyo import Account
from service.core.config import Settings
from service.core.db import connect, connect_as_owner, open_pool, tenant_transaction
from service.klaviyo.configs import NewConfig, create_config
from service.klaviyo.connection import connect_klaviyo
from service.klaviyo.sync_requests import request_sync
from service.tenants.tenants import add_tenant
from tests.browser.conftest import Inspect, Serve, Site
from tests.browser.test_segments import worker
from tests.web import add_scored_customers

KEY = "pk_sandbox_for_these_tests"
RUN_PATIENCE_MS = 30_000
MEMBERS = [(str(number), "champions", "9.00") for number in range(1, 6)]


@pytest.fixture
def account() -> Account:
    made = Account(KEY, name="Kessel & Korn", currency="EUR", timezone="UTC", prefix="KK")
    made.add_list("VIP")
    made.add_list("Newsletter")
    return made


@pytest.fixture
def klaviyo(account: Account) -> Iterator[Sandbox]:
    with Sandbox([], [account]) as sandbox:
        yield sandbox


@pytest.fixture
def here(built_settings: Settings, klaviyo: Sandbox) -> Settings:
    return replace(
        built_settings,
        klaviyo_url=klaviyo.klaviyo_url,
        klaviyo_removal_from=2,
        notify_private_addresses=1,
    )


@pytest.fixture
def tenant(here: Settings) -> UUID:
    with connect_as_owner(here) as conn:
        tenant_id = add_tenant(conn, "kessel", None)
    add_scored_customers(here, tenant_id, MEMBERS)
    return tenant_id


@contextmanager
def connected(here: Settings, tenant: UUID, serve: Serve) -> Iterator[Site]:
    with open_pool(here) as pool:
        connect_klaviyo(here, pool, tenant, KEY)
    with serve(here, "kessel") as site, worker(here):
        yield site


def take_off(account: Account, list_id: str, email: str) -> None:
    """As somebody does in Klaviyo's own pages."""
    profile = account.profile_by_email(email)
    assert profile is not None
    with account.lock:
        del account.lists[list_id].members[profile.id]


def add_list(page: Page, segment: str, list_id: str) -> None:
    """Fill in the form that adds a list, which leads to the list's own page."""
    page.get_by_label("Segment", exact=True).select_option(label=segment)
    page.get_by_label("List in Klaviyo").select_option(value=list_id)
    page.get_by_role("button", name="Add", exact=True).click()
    page.wait_for_url("**/admin/klaviyo/*-*")


def press_sync(page: Page, told: str) -> None:
    page.get_by_role("button", name="Sync now").click()
    expect(page.get_by_role("status").first).to_contain_text(told, timeout=RUN_PATIENCE_MS)


def test_a_list_is_added_previewed_synced_and_given_up(
    here: Settings,
    tenant: UUID,
    account: Account,
    serve: Serve,
    page: Page,
    inspect: Inspect,
) -> None:
    vip = account.list_names()[0]["id"]
    with connected(here, tenant, serve) as site:
        page.goto(site.sign_in_link())
        page.wait_for_url("**/admin/segments")
        page.get_by_role("navigation", name="Main").get_by_role("link", name="Klaviyo").click()
        expect(page.get_by_role("heading", name="No list is kept in step yet")).to_be_visible()
        page.get_by_text("Keep a list in step", exact=True).click()
        expect(page.get_by_role("option", name=re.compile("VIP"))).to_be_attached()
        inspect(page)
        add_list(page, "Champions", vip)
        expect(page.get_by_role("heading", level=1)).to_have_text("Champions → VIP")
        expect(page.get_by_role("heading", name="No address yet")).to_be_visible()

        # Previewed: nothing is written.
        page.get_by_role("button", name="Preview").click()
        preview = page.get_by_role("heading", name="Preview")
        expect(preview).to_be_visible(timeout=RUN_PATIENCE_MS)
        told = page.get_by_role("status").first
        expect(told).to_contain_text("Previewed: nothing has been changed.")
        added = page.locator(".card").filter(has_text="To be added")
        expect(added.locator("dd")).to_have_text("5")
        page.get_by_text("To be added: 5").click()
        expect(page.get_by_text("c1@example.com")).to_be_visible()
        assert account.member_emails(vip) == set()
        inspect(page)

        press_sync(page, "Done: 5 added.")
        expect(page.get_by_role("row").filter(has_text="c3@example.com")).to_contain_text("Synced")
        expect(page.locator("[data-states]")).to_have_text("5 synced")
        assert len(account.member_emails(vip)) == 5
        inspect(page)

        page.get_by_role("link", name="History").click()
        expect(page.get_by_role("row").filter(has_text="5 added")).to_have_count(1)
        expect(page.get_by_role("row").filter(has_text="nothing, only planned")).to_have_count(1)
        inspect(page)

        page.get_by_role("link", name="Settings").click()
        page.get_by_label(re.compile("Keep VIP in step no longer")).check()
        page.get_by_role("button", name="Give up").click()
        expect(page.get_by_role("heading", name="No list is kept in step yet")).to_be_visible()
        assert len(account.member_emails(vip)) == 5


def test_whom_a_person_removed_stays_off_until_that_is_undone(
    here: Settings,
    tenant: UUID,
    account: Account,
    serve: Serve,
    page: Page,
    inspect: Inspect,
) -> None:
    vip = account.list_names()[0]["id"]
    with connected(here, tenant, serve) as site:
        page.goto(site.sign_in_link())
        page.wait_for_url("**/admin/segments")
        page.goto(f"{site.url}/admin/klaviyo?add=1")
        add_list(page, "Champions", vip)
        page.get_by_role("link", name="Settings").click()
        page.get_by_label("Direction").select_option(value="bidirectional")
        page.get_by_role("button", name="Save").click()
        expect(page.locator("main > [data-told]")).to_have_text("Saved.")
        inspect(page)
        press_sync(page, "Done: 5 added.")
        # Seen on the list first: what has never been seen there nobody has removed.
        press_sync(page, "Done: nothing had to be changed.")
        take_off(account, vip, "c3@example.com")
        with connect(here.database_url) as conn:
            # As after a night: everybody on the list is read again.
            conn.execute("update app.klaviyo_lists set full_read_at = null")

        page.get_by_role("link", name="Addresses").click()
        press_sync(page, "Done")
        page.get_by_label("State").select_option(value="removed")
        page.get_by_role("button", name="Search").click()
        row = page.get_by_role("row").filter(has_text="c3@example.com")
        expect(row).to_contain_text("Removed by a person")
        inspect(page)
        row.get_by_role("button", name="Put back").click()
        expect(page.locator("main > [data-told]")).to_contain_text("The next sync puts c3")
        expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()
        press_sync(page, "Done: 1 added")
        assert "c3@example.com" in account.member_emails(vip)


def test_a_list_is_paused_and_stops_before_an_upstream_fault_empties_it(
    here: Settings,
    tenant: UUID,
    account: Account,
    serve: Serve,
    page: Page,
    inspect: Inspect,
) -> None:
    vip = account.list_names()[0]["id"]
    with connected(here, tenant, serve) as site:
        page.goto(site.sign_in_link())
        page.wait_for_url("**/admin/segments")
        page.goto(f"{site.url}/admin/klaviyo?add=1")
        add_list(page, "Champions", vip)
        press_sync(page, "Done: 5 added.")
        page.get_by_role("link", name="All lists").click()
        card = page.locator("article")
        expect(card).to_contain_text("In step")
        page.get_by_role("button", name="Pause").click()
        expect(card).to_contain_text("It was paused by a person.")
        inspect(page)
        page.get_by_role("button", name="Go on").click()
        expect(card).to_contain_text("In step")

        with connect(here.database_url) as conn:
            conn.execute("delete from marts.customer_facts where customer_id <> '1'")
        page.get_by_role("button", name="Sync now of").click()
        note = page.locator(".note.warn")
        expect(note).to_contain_text("Stopped before removing many", timeout=RUN_PATIENCE_MS)
        assert len(account.member_emails(vip)) == 5
        inspect(page)
        note.get_by_label("Take 4 profiles off the list").check()
        note.get_by_role("button", name="Agree and sync").click()
        removed = page.get_by_role("status").first
        expect(removed).to_contain_text("4 removed", timeout=RUN_PATIENCE_MS)
        assert account.member_emails(vip) == {"c1@example.com"}
        expect(card).to_contain_text("In step")


def test_a_sync_that_somebody_else_asked_for_is_followed(
    here: Settings, tenant: UUID, account: Account, serve: Serve, page: Page
) -> None:
    vip = account.list_names()[0]["id"]
    with open_pool(here) as pool:
        connect_klaviyo(here, pool, tenant, KEY)
        with tenant_transaction(pool, tenant) as conn:
            config_id = create_config(conn, tenant, NewConfig("rfm:champions", vip, "VIP"))
            request_sync(conn, tenant)
    # No worker is running, so it waits.
    with serve(here, "kessel") as site:
        page.goto(site.sign_in_link())
        page.wait_for_url("**/admin/segments")
        for path in ("klaviyo", f"klaviyo/{config_id}"):
            page.goto(f"{site.url}/admin/{path}")
            expect(page.get_by_role("status").first).to_have_text("Waiting for its turn …")


def test_a_flow_that_would_start_for_everyone_waits_for_a_person(
    here: Settings,
    tenant: UUID,
    account: Account,
    serve: Serve,
    page: Page,
    inspect: Inspect,
) -> None:
    vip = account.list_names()[0]["id"]
    account.add_flow("Welcome", vip)
    with connected(here, tenant, serve) as site:
        page.goto(site.sign_in_link())
        page.wait_for_url("**/admin/segments")
        page.goto(f"{site.url}/admin/klaviyo?add=1")
        add_list(page, "Champions", vip)
        page.get_by_role("button", name="Sync now").click()
        note = page.locator(".note.warn")
        expect(note).to_contain_text("Stopped before starting a flow", timeout=RUN_PATIENCE_MS)
        expect(note).to_contain_text("Welcome")
        assert account.member_emails(vip) == set()
        inspect(page)
        note.get_by_label("Let the flow start for everyone").check()
        note.get_by_role("button", name="Agree and sync").click()
        expect(page.get_by_role("status").first).to_contain_text(
            "Done: 5 added", timeout=RUN_PATIENCE_MS
        )


def test_a_list_is_made_and_a_list_is_pulled(
    here: Settings,
    tenant: UUID,
    account: Account,
    serve: Serve,
    page: Page,
    inspect: Inspect,
) -> None:
    newsletter = account.list_names()[1]["id"]
    with account.lock:
        profile, _ = account.upsert_profile({"email": "ada@example.com"})
        account.join(account.lists[newsletter], [profile.id])
    with connected(here, tenant, serve) as site:
        page.goto(site.sign_in_link())
        page.wait_for_url("**/admin/segments")
        page.get_by_role("navigation", name="Kinds of segments").get_by_role(
            "link", name="Klaviyo"
        ).click()
        expect(page.get_by_role("heading", name="No list is read yet")).to_be_visible()
        inspect(page)

        page.goto(f"{site.url}/admin/klaviyo?add=1")
        page.get_by_label("Direction").select_option(value="pull")
        expect(page.get_by_label("Segment", exact=True)).to_be_hidden()
        page.get_by_label("List in Klaviyo").select_option(value=newsletter)
        page.get_by_role("button", name="Add", exact=True).click()
        page.wait_for_url("**/admin/klaviyo/*-*")
        page.get_by_role("button", name="Sync now").click()
        told = page.get_by_role("status").first
        expect(told).to_contain_text("Done: 1 joined.", timeout=RUN_PATIENCE_MS)
        page.get_by_role("link", name="Who is on it").click()
        expect(page.get_by_role("row").filter(has_text="ada@example.com")).to_be_visible()
        inspect(page)
        page.get_by_label("E-mail").fill("nobody")
        page.get_by_role("button", name="Search").click()
        expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()
        page.get_by_role("link", name="All lists").click()
        expect(page.get_by_role("row").filter(has_text="Newsletter")).to_contain_text("1")
        inspect(page)

        page.goto(f"{site.url}/admin/klaviyo?add=1")
        # What is pulled can feed another list.
        expect(page.get_by_role("option", name="Newsletter", exact=True)).to_be_attached()
        page.get_by_label("Segment", exact=True).select_option(label="Loyal")
        page.get_by_label("List in Klaviyo").select_option(label="A new list …")
        page.get_by_label("Name of the new list").fill("Made here")
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Loyal → Made here")
        assert "Made here" in {row["name"] for row in account.list_names()}

        # The same again would fight with it.
        made = next(row["id"] for row in account.list_names() if row["name"] == "Made here")
        page.goto(f"{site.url}/admin/klaviyo?add=1")
        page.get_by_label("Segment", exact=True).select_option(label="Loyal")
        page.get_by_label("List in Klaviyo").select_option(value=made)
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.locator("[data-add] [data-told]")).not_to_be_empty()
        inspect(page)


def test_notifications_are_set_tried_and_removed(
    here: Settings, tenant: UUID, serve: Serve, page: Page, inspect: Inspect
) -> None:
    with serve(here, "kessel") as site, HTTPServer(host="127.0.0.1", port=0) as receiver:
        receiver.expect_oneshot_request("/").respond_with_data("")
        page.goto(site.sign_in_link())
        page.wait_for_url("**/admin/segments")
        page.goto(f"{site.url}/admin/klaviyo")
        expect(page.get_by_text("not connected to Klaviyo")).to_be_visible()
        expect(page.get_by_text("Nobody is told.")).to_be_visible()
        told = page.locator("[data-hook-told]")
        page.get_by_label("Address (https)").fill(receiver.url_for("/"))
        page.get_by_role("button", name="Save and make a secret").click()
        expect(page.locator("[data-hook-secret-value]")).to_have_text(re.compile("^whsec_"))
        inspect(page)
        page.get_by_role("button", name="Send a test").click()
        expect(told).to_have_text("It arrived.")
        expect(page.locator("[data-hook-secret-value]")).to_be_empty()
        page.get_by_role("button", name="Send a test").click()
        expect(told).to_contain_text("It did not arrive. The receiver answered with status 500.")
        page.get_by_text("What was told").click()
        expect(page.get_by_role("row").filter(has_text="Test")).to_have_count(2)
        inspect(page)
        page.get_by_role("button", name="Remove").click()
        expect(page.get_by_text("Nobody is told.")).to_be_visible()
