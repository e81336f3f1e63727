"""The Klaviyo pages: add, preview, sync, approve, search and restore."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from uuid import UUID

import pytest
from playwright.sync_api import Locator, Page, expect
from pytest_httpserver import HTTPServer

from sandbox import Sandbox
from sandbox.klaviyo import Account
from service.core.config import Settings
from service.core.credentials import disconnect
from service.core.db import connect, connect_as_owner, open_pool, tenant_transaction
from service.destinations.configs import NewConfig, create_config
from service.destinations.sync_runs import request_sync
from service.klaviyo.connection import connect_klaviyo
from service.tenants.tenants import add_tenant
from tests.browser.conftest import Inspect, Serve, Site
from tests.browser.test_segments import worker
from tests.klaviyo import sync_once
from tests.web import add_scored_customers, add_shopify_segments

KEY = "pk_sandbox_for_these_tests"
RUN_PATIENCE_MS = 30_000
WAITING = """
    insert into app.webhook_deliveries (tenant_id, endpoint_id, topic, next_attempt_at)
    select tenant_id, endpoint_id, 'build.completed', now() + interval '1 day'
    from app.webhook_endpoints
    where url = %(url)s
"""
MEMBERS = [(str(number), "champions", "9.00") for number in range(1, 6)]


@pytest.fixture
def account() -> Account:
    made = Account(KEY, name="Kessel & Korn", currency="EUR", timezone="UTC", prefix="KK")
    made.add_list("VIP")
    made.add_list("Newsletter")
    return made


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


def remove_in_klaviyo(account: Account, list_id: str, email: str) -> None:
    """Remove a profile from a list, as a user of Klaviyo does."""
    profile = account.profile_by_email(email)
    assert profile is not None
    with account.lock:
        del account.lists[list_id].members[profile.id]


def add_list(page: Page, segment: str, list_id: str) -> None:
    """Fill in the form that adds a list, which opens the page of the list."""
    page.get_by_label("Segment", exact=True).select_option(label=segment)
    page.get_by_label("Klaviyo list").select_option(value=list_id)
    page.get_by_role("button", name="Add list", exact=True).click()
    page.wait_for_url("**/admin/klaviyo/*-*")


def sign_in_again(page: Page, site: Site, status: Locator) -> None:
    """Follow the link to the sign-in form, which opens in another tab, and sign in there."""
    with page.context.expect_page() as opened:
        status.get_by_role("link", name="Sign in in a new tab").click()
    expect(opened.value.get_by_role("heading", name="Sign in")).to_be_visible()
    opened.value.goto(site.sign_in_link())
    opened.value.wait_for_url("**/admin")
    opened.value.close()


def press_sync(page: Page, outcome: str) -> None:
    page.get_by_role("button", name="Sync now").click()
    expect(page.get_by_role("status").first).to_contain_text(outcome, timeout=RUN_PATIENCE_MS)


def stop_without_a_session(page: Page) -> None:
    """The session ends, and begins again in another tab: the page stays as it is."""
    cookies = page.context.cookies()
    page.context.clear_cookies()
    page.get_by_role("button", name="Stop syncing").click()
    status = page.locator("main > [data-status]")
    expect(status).to_contain_text("Your session has ended.")
    page.context.add_cookies(cookies)


def test_a_list_is_added_previewed_synced_and_stopped(
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
        page.wait_for_url("**/admin")
        page.get_by_role("navigation", name="Main").get_by_role("link", name="Klaviyo").click()
        expect(page.get_by_role("heading", name="No synced lists yet")).to_be_visible()
        page.get_by_text("Sync a list", exact=True).click()
        expect(page.get_by_role("option", name=re.compile("VIP"))).to_be_attached()
        inspect(page)
        add_list(page, "Champions", vip)
        expect(page.get_by_role("heading", level=1)).to_have_text("Champions → VIP")
        expect(page.get_by_role("heading", name="No profiles yet")).to_be_visible()

        # A preview writes nothing.
        page.get_by_role("button", name="Preview").click()
        preview = page.get_by_role("heading", name="Preview")
        expect(preview).to_be_visible(timeout=RUN_PATIENCE_MS)
        status = page.get_by_role("status").first
        expect(status).to_contain_text("Preview ready. Nothing has been changed.")
        added = page.locator(".card").filter(has_text="To add")
        expect(added.locator("dd")).to_have_text("5")
        page.get_by_text("To add: 5").click()
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
        expect(page.get_by_role("row").filter(has_text="None (preview)")).to_have_count(1)
        inspect(page)
        # Both lists read without scripts.
        plain = page.context.browser.new_context(
            storage_state=page.context.storage_state(), java_script_enabled=False
        ).new_page()
        plain.goto(page.url)
        expect(plain.get_by_role("row").filter(has_text="5 added")).to_have_count(1)
        plain.get_by_role("link", name="Profiles").click()
        plain.get_by_label("Status").select_option("synced")
        plain.get_by_role("button", name="Search").click()
        expect(plain.locator("[data-list] tbody tr")).to_have_count(5)
        plain.context.close()

        page.get_by_role("main").get_by_role("link", name="Settings").click()
        page.get_by_label(re.compile("stop syncing VIP")).check()
        stop_without_a_session(page)
        page.get_by_role("button", name="Stop syncing").click()
        expect(page.get_by_role("heading", name="No synced lists yet")).to_be_visible()
        assert len(account.member_emails(vip)) == 5


def test_a_profile_removed_in_klaviyo_stays_off_until_restored(
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
        page.wait_for_url("**/admin")
        page.goto(f"{site.url}/admin/klaviyo?add=1")
        add_list(page, "Champions", vip)
        page.get_by_role("main").get_by_role("link", name="Settings").click()
        page.get_by_label("Direction").select_option(value="bidirectional")
        page.get_by_role("button", name="Save").click()
        expect(page.locator("main > [data-status]")).to_have_text("Saved.")
        inspect(page)
        press_sync(page, "Done: 5 added.")
        # Only a profile that has been seen on the list can count as removed from it.
        press_sync(page, "Done: no changes needed.")
        remove_in_klaviyo(account, vip, "c3@example.com")
        with connect(here.database_url) as conn:
            # The next sync reads the whole list, as it does once a day.
            conn.execute("update app.klaviyo_lists set full_read_at = null")

        page.get_by_role("link", name="Profiles").click()
        press_sync(page, "Done")
        page.get_by_label("Status").select_option(value="removed")
        page.get_by_role("button", name="Search").click()
        row = page.get_by_role("row").filter(has_text="c3@example.com")
        expect(row).to_contain_text("Removed in Klaviyo")
        inspect(page)
        row.get_by_role("button", name="Restore").click()
        expect(page.locator("main > [data-status]")).to_contain_text("The next sync adds c3")
        expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()
        press_sync(page, "Done: 1 added")
        assert "c3@example.com" in account.member_emails(vip)


def test_a_list_is_paused_and_a_mass_removal_needs_approval(
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
        page.wait_for_url("**/admin")
        page.goto(f"{site.url}/admin/klaviyo?add=1")
        add_list(page, "Champions", vip)
        press_sync(page, "Done: 5 added.")
        page.get_by_role("link", name="All lists").click()
        card = page.locator("article")
        expect(card).to_contain_text("In sync")
        page.get_by_role("button", name="Pause").click()
        expect(card).to_contain_text("Paused by a user.")
        inspect(page)
        page.get_by_role("button", name="Resume").click()
        expect(card).to_contain_text("In sync")

        with connect(here.database_url) as conn:
            conn.execute("delete from marts.customer_facts where customer_id <> '1'")
        page.get_by_role("button", name="Sync now for").click()
        note = page.locator(".note.warn")
        expect(note).to_contain_text("Stopped: too many removals", timeout=RUN_PATIENCE_MS)
        assert len(account.member_emails(vip)) == 5
        # What was stopped is not green, and its figures are those of this list.
        expect(page.get_by_role("status").first).to_have_text(
            "Stopped: 4 to remove. Nothing was changed. It needs your approval."
        )
        expect(page.locator("[data-run-status]")).to_have_class(re.compile(r"\bwarn\b"))
        expect(page.locator("[data-run-status]")).not_to_have_class(re.compile(r"\bgood\b"))
        expect(card.locator(".badge")).to_have_text("Needs your approval")
        inspect(page)
        note.get_by_label("Remove 4 profiles from the list").check()
        note.get_by_role("button", name="Approve and sync").click()
        removed = page.get_by_role("status").first
        expect(removed).to_contain_text("4 removed", timeout=RUN_PATIENCE_MS)
        assert account.member_emails(vip) == {"c1@example.com"}
        expect(card).to_contain_text("In sync")


def test_a_sync_of_all_lists_names_those_that_were_not_synced(
    here: Settings,
    tenant: UUID,
    account: Account,
    serve: Serve,
    page: Page,
    inspect: Inspect,
) -> None:
    vip, newsletter = (row["id"] for row in account.list_names())
    add_scored_customers(here, tenant, [("8", "loyal", "9.00")])
    with connected(here, tenant, serve) as site:
        with open_pool(here) as pool, tenant_transaction(pool, tenant) as conn:
            create_config(conn, tenant, NewConfig("rfm:champions", vip, "VIP"))
            create_config(conn, tenant, NewConfig("rfm:loyal", newsletter, "Newsletter"))
        page.goto(site.sign_in_link())
        page.wait_for_url("**/admin")
        page.goto(f"{site.url}/admin/klaviyo")
        status = page.get_by_role("status").first
        page.get_by_role("button", name="Sync all now").click()
        expect(status).to_have_text("Done: 2 lists, 6 added.", timeout=RUN_PATIENCE_MS)

        # Everyone gets another segment. One list stops; the people whose properties change are on
        # no other list.
        with connect(here.database_url) as conn:
            conn.execute("update marts.customer_facts set segment = 'loyal', r_score = 3")
        page.get_by_role("button", name="Sync all now").click()
        expect(status).to_have_text(
            re.compile(r"^Not synced: VIP \(stopped\)\. 1 synced: 5 added(, 1 updated)?\.$"),
            timeout=RUN_PATIENCE_MS,
        )
        expect(page.locator("[data-run-status]")).to_have_class(re.compile(r"\bwarn\b"))
        inspect(page)
        page.get_by_role("link", name="Activity").click()
        run = page.locator("[data-list] tbody tr").first
        expect(run.locator(".badge")).to_have_text("Succeeded in part")
        expect(run).to_contain_text("1 list needs approval")
        inspect(page)


def test_every_page_has_the_same_numbers_before_and_after_a_build(
    here: Settings,
    tenant: UUID,
    account: Account,
    serve: Serve,
    page: Page,
    inspect: Inspect,
) -> None:
    vip = account.list_names()[0]["id"]
    with connected(here, tenant, serve) as site:
        new = NewConfig("rfm:champions", vip, "VIP", direction="bidirectional")
        with open_pool(here) as pool, tenant_transaction(pool, tenant) as conn:
            create_config(conn, tenant, new)
        page.goto(site.sign_in_link())
        page.wait_for_url("**/admin")
        page.goto(f"{site.url}/admin/klaviyo")
        card = page.locator("article")
        page.get_by_role("button", name="Sync now for").click()
        expect(page.get_by_role("status").first).to_have_text(
            "Done: 5 added.", timeout=RUN_PATIENCE_MS
        )

        def fact(name: str) -> str:
            return card.locator("dl.facts div").filter(has_text=name).locator("dd").inner_text()

        expect(card.locator(".badge")).to_have_text("In sync")
        assert fact("In segment").startswith("5 as of ")
        assert fact("In Klaviyo").startswith("5 as of ")
        assert fact("Pending changes") == "0"
        # The tab has the same size as the list's own page; its page as a segment, what was read.
        page.goto(f"{site.url}/admin/segments?tab=klaviyo")
        expect(page.get_by_role("row").filter(has_text="VIP").locator("td").nth(1)).to_have_text(
            "5"
        )
        expect(page.get_by_text(re.compile("As of .*, next "))).to_be_visible()
        inspect(page)
        page.get_by_role("link", name="VIP").click()
        expect(page.get_by_text("appear once the list has been read")).to_be_visible()
        inspect(page)

        # A build moves most of them to another segment.
        with connect(here.database_url) as conn:
            conn.execute(
                "update marts.customer_facts set segment = 'loyal' where customer_id <> '1'"
            )
        page.goto(f"{site.url}/admin/segments?tab=rfm")
        row = page.locator(".distribution tbody tr").filter(has_text="Champions")
        expect(row.locator("td").first).to_contain_text("1")
        page.goto(f"{site.url}/admin/klaviyo")
        expect(card.locator(".badge")).to_have_text("Segment has changed")
        assert fact("In segment").startswith("1 as of ")
        assert fact("E\u2011mailable").startswith("5 as of ")
        assert fact("Pending changes") == "Known at the next sync"
        inspect(page)
        # The link of a segment's page chooses the segment.
        page.goto(f"{site.url}/admin/klaviyo?add=1&segment=rfm:loyal")
        expect(page.get_by_label("Segment", exact=True)).to_have_value("rfm:loyal")
        expect(page.get_by_role("option", name="VIP (5 profiles)")).to_be_attached()
        page.get_by_label("Klaviyo list").select_option(value=vip)
        expect(page.locator("[data-list-help]")).to_contain_text("Already synced: Champions.")


def test_a_list_of_an_account_that_is_not_connected_is_not_in_sync(
    here: Settings,
    tenant: UUID,
    account: Account,
    serve: Serve,
    page: Page,
    inspect: Inspect,
) -> None:
    vip = account.list_names()[0]["id"]
    new = NewConfig("rfm:champions", vip, "VIP", direction="bidirectional")
    with open_pool(here) as pool:
        connect_klaviyo(here, pool, tenant, KEY)
        with tenant_transaction(pool, tenant) as conn:
            create_config(conn, tenant, new)
        sync_once(here, pool, tenant)
        with tenant_transaction(pool, tenant) as conn:
            disconnect(conn, tenant, "klaviyo", "It was disconnected.")
    with serve(here, "kessel") as site:
        page.goto(site.sign_in_link())
        page.wait_for_url("**/admin")
        page.goto(f"{site.url}/admin/klaviyo")
        card = page.locator("article")
        expect(card.locator(".badge")).to_have_text("Not connected")
        expect(card).to_contain_text("Once connected")
        inspect(page)
        # The list reads without scripts.
        plain = page.context.browser.new_context(
            storage_state=page.context.storage_state(), java_script_enabled=False
        ).new_page()
        plain.goto(f"{site.url}/admin/klaviyo")
        expect(plain.locator("article").get_by_role("heading")).to_contain_text("Champions")
        expect(plain.locator("article .badge")).to_have_text("Not connected")
        plain.context.close()
        for tab in ("klaviyo", "shopify"):
            page.goto(f"{site.url}/admin/segments?tab={tab}")
            expect(page.locator("#segments")).to_contain_text("next once connected")
            expect(page.locator("#segments")).not_to_contain_text("paused")


def test_the_form_says_which_field_is_wrong(
    here: Settings,
    tenant: UUID,
    account: Account,
    serve: Serve,
    page: Page,
    inspect: Inspect,
) -> None:
    vip = account.list_names()[0]["id"]
    with connected(here, tenant, serve) as site:
        with open_pool(here) as pool, tenant_transaction(pool, tenant) as conn:
            create_config(conn, tenant, NewConfig("rfm:champions", vip, "VIP"))
        page.goto(site.sign_in_link())
        page.wait_for_url("**/admin")
        page.goto(f"{site.url}/admin/klaviyo?add=1")
        segment = page.get_by_label("Segment", exact=True)
        direction = page.get_by_label("Direction")
        save = page.get_by_role("button", name="Add list", exact=True)
        segment.select_option(label="Champions")
        page.get_by_label("Klaviyo list").select_option(value=vip)
        save.click()
        expect(segment).to_have_accessible_description(
            "This segment is already synced with list 'VIP'."
        )
        expect(page.locator("[data-add] [data-status]")).to_have_text(
            "Not saved. Fix the marked fields."
        )
        inspect(page)
        segment.select_option(label="Loyal")
        direction.select_option(value="bidirectional")
        save.click()
        expect(direction).to_have_accessible_description(
            re.compile("already has a push sync.* Choose push for this one too")
        )
        expect(segment).not_to_have_attribute("aria-invalid", "true")
        page.get_by_label("Klaviyo list").select_option(label="Create a new list…")
        name = page.get_by_label("New list name")
        name.fill("   ")
        save.click()
        expect(name).to_have_accessible_description("This must not be empty.")
        inspect(page)

        page.get_by_role("link", name="webhook").click()
        hook = page.get_by_label("Webhook URL (https)")
        hook.fill("https://user:word@example.com/")
        page.get_by_role("button", name="Add webhook").click()
        expect(hook).to_have_accessible_description(
            re.compile("must not contain a user name or password.")
        )
        expect(hook).to_be_focused()
        inspect(page)


def test_a_choice_survives_a_search_and_a_page_that_does_not_load(
    here: Settings, tenant: UUID, account: Account, serve: Serve, page: Page
) -> None:
    vip = account.list_names()[0]["id"]
    for number in range(12):
        account.add_list(f"List {number}")
    add_shopify_segments(here, tenant, ["Berlin", "Hamburg"])
    with connected(here, tenant, serve) as site:
        page.goto(site.sign_in_link())
        page.wait_for_url("**/admin")
        page.goto(f"{site.url}/admin/klaviyo?add=1")
        segment = page.get_by_label("Segment", exact=True)
        segment.select_option(label="Berlin (7)")
        find = page.get_by_label("Find a Shopify segment")
        for text, count in (("hamb", "1 matches"), ("berl", "1 matches"), ("none", "0 matches")):
            find.fill(text)
            expect(page.locator("[data-found]")).to_contain_text(count)
            expect(segment).to_have_value("shopify:1")
        # One that was not chosen leaves.
        expect(segment.get_by_role("option", name="Hamburg")).to_have_count(0)

        chosen = page.get_by_label("Klaviyo list")
        chosen.select_option(value=vip)
        page.route("**/lists?cursor=*", lambda route: route.abort())
        more = page.get_by_role("button", name="Load more lists")
        more.click()
        expect(page.locator("[data-add] [data-status]")).to_contain_text("cannot be reached")
        expect(chosen).to_have_value(vip)
        page.unroute("**/lists?cursor=*")
        more.click()
        expect(chosen.get_by_role("option", name="List 11")).to_be_attached()
        expect(chosen).to_have_value(vip)


def test_a_sync_started_elsewhere_is_followed(
    here: Settings, tenant: UUID, account: Account, serve: Serve, page: Page
) -> None:
    vip = account.list_names()[0]["id"]
    with open_pool(here) as pool:
        connect_klaviyo(here, pool, tenant, KEY)
        with tenant_transaction(pool, tenant) as conn:
            config_id = create_config(conn, tenant, NewConfig("rfm:champions", vip, "VIP"))
            request_sync(conn, tenant)
    # No worker is running, so the run stays queued.
    with serve(here, "kessel") as site:
        page.goto(site.sign_in_link())
        page.wait_for_url("**/admin")
        for path in ("klaviyo", f"klaviyo/{config_id}"):
            page.goto(f"{site.url}/admin/{path}")
            expect(page.get_by_role("status").first).to_have_text("Waiting to start…")


def test_a_flow_for_the_whole_segment_needs_approval(
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
        page.wait_for_url("**/admin")
        page.goto(f"{site.url}/admin/klaviyo?add=1")
        add_list(page, "Champions", vip)
        page.get_by_role("button", name="Sync now").click()
        note = page.locator(".note.warn")
        expect(note).to_contain_text("Stopped: would trigger a flow", timeout=RUN_PATIENCE_MS)
        expect(note).to_contain_text("Welcome")
        assert account.member_emails(vip) == set()
        inspect(page)
        note.get_by_label("Trigger the flow for everyone").check()
        note.get_by_role("button", name="Approve and sync").click()
        expect(page.get_by_role("status").first).to_contain_text(
            "Done: 5 added", timeout=RUN_PATIENCE_MS
        )


def test_a_list_is_created_and_a_list_is_pulled(
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
        page.wait_for_url("**/admin")
        page.goto(f"{site.url}/admin/segments?tab=klaviyo")
        expect(page.get_by_role("heading", name="No lists yet")).to_be_visible()
        inspect(page)

        page.goto(f"{site.url}/admin/klaviyo?add=1")
        page.get_by_label("Direction").select_option(value="pull")
        expect(page.get_by_label("Segment", exact=True)).to_be_hidden()
        page.get_by_label("Klaviyo list").select_option(value=newsletter)
        page.get_by_role("button", name="Add list", exact=True).click()
        page.wait_for_url("**/admin/klaviyo/*-*")
        page.get_by_role("button", name="Sync now").click()
        status = page.get_by_role("status").first
        expect(status).to_contain_text("Done: 1 joined.", timeout=RUN_PATIENCE_MS)
        page.get_by_role("link", name="View profiles").click()
        expect(page.get_by_role("row").filter(has_text="ada@example.com")).to_be_visible()
        inspect(page)
        page.get_by_role("searchbox").fill("nobody")
        page.get_by_role("button", name="Search").click()
        expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()
        page.get_by_role("link", name="Klaviyo lists").click()
        expect(page.get_by_role("row").filter(has_text="Newsletter")).to_contain_text("1")
        inspect(page)

        page.goto(f"{site.url}/admin/klaviyo?add=1")
        # A pulled list is a segment for other lists.
        expect(page.get_by_role("option", name="Newsletter", exact=True)).to_be_attached()
        page.get_by_label("Segment", exact=True).select_option(label="Loyal")
        page.get_by_label("Klaviyo list").select_option(label="Create a new list…")
        page.get_by_label("New list name").fill("Made here")
        page.get_by_role("button", name="Add list", exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Loyal → Made here")
        assert "Made here" in {row["name"] for row in account.list_names()}

        # The same segment and list again would conflict.
        made = next(row["id"] for row in account.list_names() if row["name"] == "Made here")
        page.goto(f"{site.url}/admin/klaviyo?add=1")
        page.get_by_label("Segment", exact=True).select_option(label="Loyal")
        page.get_by_label("Klaviyo list").select_option(value=made)
        page.get_by_role("button", name="Add list", exact=True).click()
        expect(page.get_by_label("Segment", exact=True)).to_have_accessible_description(
            "This segment is already synced with list 'Made here'."
        )
        inspect(page)


def test_webhooks_are_added_tested_disabled_and_deleted(
    here: Settings, tenant: UUID, serve: Serve, page: Page, inspect: Inspect
) -> None:
    with (
        serve(here, "kessel") as site,
        HTTPServer(host="127.0.0.1", port=0) as receiver,
        worker(here),
    ):
        receiver.expect_oneshot_request("/one").respond_with_data("")
        page.goto(site.sign_in_link())
        page.wait_for_url("**/admin")
        page.goto(f"{site.url}/admin/klaviyo")
        expect(page.get_by_text("Klaviyo is not connected.")).to_be_visible()
        page.goto(f"{site.url}/admin/settings/webhooks")
        expect(page.get_by_text("No webhooks.")).to_be_visible()
        status = page.locator("[data-webhook-status]")
        one, two = receiver.url_for("/one"), receiver.url_for("/two")
        page.get_by_label("Webhook URL (https)").fill(one)
        page.get_by_role("button", name="Add webhook").click()
        secret = page.get_by_role("dialog", name="Signing secret")
        expect(secret.locator(".secret")).to_have_text(re.compile("^whsec_"))
        inspect(page)
        secret.get_by_role("button", name="Done").click()
        page.get_by_label("Webhook URL (https)").fill(two)
        page.get_by_label("Samples found").check()
        page.get_by_role("button", name="Add webhook").click()
        secret.get_by_role("button", name="Done").click()
        expect(page.get_by_role("button", name=f"Delete: {two}")).to_be_visible()

        page.get_by_role("button", name=f"Edit topics: {two}").click()
        dialog = page.get_by_role("dialog", name="Edit topics")
        expect(dialog.get_by_label("Samples found")).to_be_checked()
        for label in ("Samples found", "Klaviyo sync failed", "Klaviyo sync recovered"):
            dialog.get_by_label(label).uncheck()
        dialog.get_by_role("button", name="Save").click()
        expect(dialog.get_by_role("status")).to_have_text("Choose at least one topic.")
        dialog.get_by_label("Segments calculated").check()
        inspect(page)
        dialog.get_by_role("button", name="Save").click()
        expect(status).to_have_text("Topics changed.")
        expect(page.locator("[data-endpoints] > div").nth(1)).to_contain_text("Segments calculated")
        expect(page.locator("[data-endpoints]")).not_to_contain_text("Samples found")

        page.get_by_role("button", name=f"Send test: {one}").click()
        expect(status).to_have_text("Test delivered.", timeout=RUN_PATIENCE_MS)
        page.get_by_role("button", name=f"Send test: {two}").click()
        expect(status).to_contain_text(
            "Test failed. The receiver answered with status 500.", timeout=RUN_PATIENCE_MS
        )
        page.get_by_text("Delivery log").click()
        expect(page.get_by_role("row").filter(has_text="Test")).to_have_count(2)
        page.get_by_role("button", name=f"Disable: {two}").click()
        page.get_by_role("dialog").get_by_role("button", name="Disable").click()
        expect(page.get_by_role("button", name=f"Enable: {two}")).to_be_visible()
        inspect(page)
        for url in (one, two):
            page.get_by_role("button", name=f"Delete: {url}").click()
            page.get_by_role("dialog").get_by_role("button", name="Delete").click()
            expect(page.get_by_role("button", name=f"Delete: {url}")).to_have_count(0)
        expect(page.get_by_text("No webhooks.")).to_be_visible()


def test_a_webhook_loses_no_secret_and_no_message_without_a_question(
    here: Settings, tenant: UUID, serve: Serve, page: Page, inspect: Inspect
) -> None:
    url = "https://hooks.example/one"
    with serve(here, "kessel") as site:
        page.goto(site.sign_in_link())
        page.wait_for_url("**/admin")
        page.goto(f"{site.url}/admin/settings/webhooks")
        page.get_by_label("Webhook URL (https)").fill(url)
        page.get_by_role("button", name="Add webhook").click()
        secret = page.get_by_role("dialog", name="Signing secret")
        expect(secret).to_contain_text(f"Copy the secret of {url} now.")
        first = secret.locator(".secret").inner_text()
        # Nothing on the page can be clicked before this question is answered.
        page.keyboard.press("Escape")
        question = page.get_by_role("dialog", name="Close without a copy?")
        question.get_by_role("button", name="Cancel").click()
        expect(secret.locator(".secret")).to_have_text(first)
        secret.get_by_role("button", name="Done").click()

        page.get_by_role("button", name="New secret").click()
        question = page.get_by_role("dialog", name="Replace the signing secret?")
        expect(question).to_contain_text("stops working in 24 hours")
        expect(question.get_by_role("button", name="Cancel")).to_be_focused()
        inspect(page)
        question.get_by_role("button", name="Cancel").click()
        endpoint = page.locator("[data-endpoints] > div")
        expect(endpoint).to_contain_text(f"secret …{first[-4:]}")
        page.get_by_role("button", name="New secret").click()
        question.get_by_role("button", name="New secret").click()
        expect(secret.locator(".secret")).not_to_have_text(first)
        secret.get_by_role("button", name="Done").click()

        with connect_as_owner(here) as conn:
            conn.execute(WAITING, {"url": url})
        page.reload()
        page.get_by_role("button", name="Disable").click()
        question = page.get_by_role("dialog", name="Disable this webhook?")
        expect(question).to_contain_text("1 waiting message is not sent, also not later.")
        inspect(page)
        question.get_by_role("button", name="Cancel").click()
        expect(endpoint).to_contain_text("1 waiting.")
        page.get_by_role("button", name="Disable").click()
        question.get_by_role("button", name="Disable").click()
        expect(endpoint).to_contain_text("Disabled.")


def test_a_webhook_is_added_for_the_changes_of_a_segment(
    here: Settings, tenant: UUID, serve: Serve, page: Page, inspect: Inspect
) -> None:
    with serve(here, "kessel") as site:
        page.goto(site.sign_in_link())
        page.wait_for_url("**/admin")
        page.goto(f"{site.url}/admin/settings/webhooks?segment=rfm:loyal")
        expect(page.get_by_label("Customers of")).to_have_value("rfm:loyal")
        expect(page.get_by_label("Customers left a segment")).to_be_checked()
        expect(page.get_by_label("Klaviyo sync failed")).not_to_be_checked()
        page.get_by_label("Webhook URL (https)").fill("https://hooks.example/three")
        # The session ends. What was typed stays, and is saved after signing in in another tab.
        page.context.clear_cookies()
        page.get_by_role("button", name="Add webhook").click()
        status = page.locator("[data-webhook-status]")
        expect(status).to_contain_text("Your session has ended.")
        inspect(page)
        sign_in_again(page, site, status)
        page.get_by_role("button", name="Add webhook").click()
        page.get_by_role("dialog", name="Signing secret").get_by_role("button", name="Done").click()
        added = page.locator("[data-endpoints] > div")
        expect(added).to_contain_text("Customers left a segment. Only customers of Loyal.")
        inspect(page)
        page.get_by_role("button", name="Edit topics").click()
        dialog = page.get_by_role("dialog", name="Edit topics")
        dialog.get_by_label("Samples found").check()
        page.context.clear_cookies()
        dialog.get_by_role("button", name="Save").click()
        sign_in_again(page, site, dialog.get_by_role("status"))
        dialog.get_by_role("button", name="Save").click()
        expect(added).to_contain_text("Samples found")
        added.get_by_role("button", name="Edit topics").click()
        dialog.get_by_label("Samples found").uncheck()
        dialog.get_by_role("button", name="Save").click()
        expect(added).not_to_contain_text("Samples found")
        without = page.context.browser.new_context(
            storage_state=page.context.storage_state(), java_script_enabled=False
        ).new_page()
        without.goto(page.url)
        row = without.locator("noscript tbody tr")
        expect(row).to_contain_text("https://hooks.example/three")
        expect(row).to_contain_text("Customers entered a segment, Customers left a segment")
        without.context.close()
