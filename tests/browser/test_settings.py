"""The settings: API tokens, people, schedules, the audit log and the danger zone."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from service.core.config import Settings
from service.core.db import connect_as_owner
from service.tenants.tenants import add_tenant
from service.tenants.tokens import SIGN_IN_LIFETIME, create_sign_in_code
from tests.browser.conftest import Inspect, Serve, Site

HOURS = SIGN_IN_LIFETIME


@pytest.fixture
def here(built_settings: Settings, serve: Serve) -> Iterator[tuple[Site, Site]]:
    """Two stores of one installation."""
    with connect_as_owner(built_settings) as conn:
        for name in ("north", "south"):
            add_tenant(conn, name, f"{name}.myshopify.com")
    with serve(built_settings, "north") as north, serve(built_settings, "south") as south:
        yield north, south


def link_of(site: Site, person: str, scope: str = "admin") -> str:
    with connect_as_owner(site.settings) as conn:
        code = create_sign_in_code(conn, site.tenant_id, HOURS, person=person, scope=scope)
    return f"{site.url}/admin/sign-in#code={code}"


def open_page(page: Page, site: Site, path: str, person: str = "Ada Byron") -> None:
    page.goto(link_of(site, person))
    page.wait_for_url("**/admin")
    page.goto(f"{site.url}/admin/settings{path}")


@pytest.fixture
def other(browser: Browser, here: tuple[Site, Site]) -> Iterator[Page]:
    """A page that is signed in to the second store."""
    context = browser.new_context(locale="en-GB")
    page = context.new_page()
    open_page(page, here[1], "", "Grace Other")
    yield page
    context.close()


def status_of(site: Site, token: str) -> int:
    url = f"{site.url}/api/admin/me"
    return httpx.get(url, headers={"Authorization": f"Bearer {token}"}).status_code


def test_a_token_is_created_shown_once_and_revoked(
    here: tuple[Site, Site], page: Page, other: Page, inspect: Inspect
) -> None:
    site, neighbour = here
    open_page(page, site, "")
    inspect(page)
    page.get_by_role("main").get_by_role("link", name="API tokens", exact=True).click()
    expect(page.get_by_role("heading", name="No tokens")).to_be_visible()
    page.get_by_role("button", name="Create token").click()
    dialog = page.get_by_role("dialog")
    name = dialog.get_by_label("Name")
    expect(name).to_be_focused()
    dialog.get_by_role("button", name="Create token").click()
    expect(name).to_have_accessible_description(re.compile("must not be empty"))
    expect(name).to_be_focused()
    inspect(page)
    # What was typed is not lost without a question.
    name.fill("Checkout")
    page.keyboard.press("Escape")
    question = page.get_by_role("dialog", name="Discard your changes?")
    question.get_by_role("button", name="Cancel").click()
    expect(name).to_have_value("Checkout")
    dialog.get_by_label("Write").check()
    dialog.get_by_role("button", name="Create token").click()
    secret = dialog.locator("code.secret")
    expect(secret).to_have_text(re.compile("^qnt_"))
    token = secret.inner_text()
    assert status_of(site, token) == 200
    expect(secret).to_be_focused()
    inspect(page)
    # Escape does not lose it without a question.
    page.keyboard.press("Escape")
    page.get_by_role("dialog", name="Close without a copy?").get_by_text("Cancel").click()
    expect(secret).to_have_text(token)
    dialog.get_by_role("button", name="Done").click()
    row = page.get_by_role("row").filter(has_text="Checkout")
    expect(row).to_contain_text("Write")
    expect(row).to_contain_text("Ada Byron")
    expect(page.locator("body")).not_to_contain_text(token)
    inspect(page)

    other.goto(f"{neighbour.url}/admin/settings/tokens")
    expect(other.get_by_role("heading", name="No tokens")).to_be_visible()

    row.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("heading", name="No tokens")).to_be_visible()
    page.get_by_text("Expired and revoked (1)").click()
    expect(row).to_contain_text("Revoked")
    assert status_of(site, token) == 401
    inspect(page)


def test_people_are_invited_and_signed_out(
    here: tuple[Site, Site], page: Page, browser: Browser, other: Page, inspect: Inspect
) -> None:
    site, neighbour = here
    open_page(page, site, "/people")
    rows = page.get_by_role("row").filter(has_text=re.compile("Ada|Grace"))
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("This browser")
    page.get_by_role("button", name="Create sign-in link").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name of the person").fill("Grace Hopper")
    inspect(page)
    dialog.get_by_role("button", name="Create link").click()
    link = dialog.locator("code.secret").inner_text()
    dialog.get_by_role("button", name="Done").click()
    expect(dialog).to_have_count(0)

    with browser.new_context() as context:
        guest = context.new_page()
        guest.goto(link)
        guest.wait_for_url("**/admin")
        page.reload()
        expect(rows).to_have_count(2)
        expect(rows.first).to_contain_text("Grace Hopper")
        expect(rows.first).to_contain_text("Write")
        inspect(page)
        # Only admins see this page.
        guest.goto(f"{site.url}/admin/settings/people")
        expect(guest.get_by_text("This needs the scope admin")).to_be_visible()
        page.get_by_role("button", name="Sign Grace Hopper out everywhere").click()
        page.get_by_role("dialog").get_by_role("button", name="Sign out everywhere").click()
        expect(rows).to_have_count(1)
        guest.goto(f"{site.url}/admin")
        expect(guest.get_by_role("heading", name="Sign in")).to_be_visible()

    page.get_by_role("button", name="Sign everybody out").click()
    page.get_by_role("dialog").get_by_role("button", name="Sign everybody out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    # The other store is not concerned.
    other.goto(f"{neighbour.url}/admin/settings/people")
    expect(other.get_by_role("row").filter(has_text="Grace Other")).to_have_count(1)


def test_the_audit_log_is_filtered_and_downloaded(
    here: tuple[Site, Site], page: Page, other: Page, inspect: Inspect
) -> None:
    site, neighbour = here
    open_page(page, site, "/schedules")
    for _ in range(2):
        page.locator("[data-schedule=build]").get_by_role("button").click()
        expect(page.locator("[data-status]")).to_contain_text("RFM segments and samples: ")
        page.reload()
    inspect(page)
    page.get_by_role("link", name="Audit log").click()
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("Schedule resumed")
    expect(rows.first).to_contain_text("Ada Byron")
    inspect(page)
    page.get_by_label("What").select_option("Schedule paused")
    page.get_by_role("button", name="Filter", exact=True).click()
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("Schedule paused")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download CSV").click()
    text = download.value.path().read_text()
    assert "schedule.paused" in text
    assert "schedule.resumed" not in text
    page.get_by_label("Since").fill("2090-01-01")
    page.get_by_role("button", name="Filter", exact=True).click()
    expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()
    inspect(page)
    page.get_by_role("link", name="Clear filters").click()
    expect(rows).to_have_count(2)

    other.goto(f"{neighbour.url}/admin/settings/audit-log")
    expect(other.get_by_role("heading", name="No changes yet")).to_be_visible()


@pytest.fixture
def store(settings: Settings, page: Page, serve: Serve) -> Iterator[Site]:
    """A store before its first build, beside another one; the page is signed in to it."""
    with connect_as_owner(settings) as conn:
        for name in ("north", "south"):
            add_tenant(conn, name, f"{name}.myshopify.com")
    with serve(settings, "north") as site:
        open_page(page, site, "")
        yield site


def test_a_year_that_no_change_has_is_told_at_its_field(
    store: Site, page: Page, inspect: Inspect
) -> None:
    page.goto(f"{store.url}/admin/settings/audit-log")
    since = page.get_by_label("Since")
    # What a browser makes of a typed "26".
    since.fill("0026-07-01")
    page.get_by_role("button", name="Filter", exact=True).click()
    expect(since).to_have_attribute("aria-invalid", "true")
    expect(since).to_have_accessible_description("Enter a year from 1900 to 9900.")
    expect(since).to_have_value("0026-07-01")
    # A file without the day would have all changes.
    download = page.get_by_role("link", name="Download CSV")
    expect(download).to_have_count(0)
    expect(page.get_by_role("alert")).to_contain_text("Since: Enter a year from 1900 to 9900.")
    expect(page.get_by_text("This page of the list is gone.")).to_have_count(0)
    inspect(page)
    since.fill("2026-07-01")
    page.get_by_role("button", name="Filter", exact=True).click()
    expect(since).not_to_have_attribute("aria-invalid", "true")
    expect(download).to_have_attribute("href", re.compile("since=2026-07-01"))
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_webhook_can_be_added_for_each_of_many_segments(store: Site, page: Page) -> None:
    with connect_as_owner(store.settings) as conn:
        conn.execute(
            """
            insert into shopify.cached_segments (
                tenant_id, segment_id, name, query, synced_at, gone_at
            )
            select
                t.tenant_id, number::text, 'Segment ' || to_char(number, 'FM000') || ' ' || t.name,
                'q', now(), case number when 205 then now() end
            from app.tenants as t
            cross join generate_series(1, case t.name when 'north' then 205 else 206 end) as number
            """
        )
    chosen = page.get_by_label("Customers of")
    page.goto(f"{store.url}/admin/settings/webhooks?segment=shopify:204")
    expect(chosen).to_have_value("shopify:204")
    expect(chosen.locator("option:checked")).to_have_text("Segment 204 north")
    expect(page.get_by_label("Customers left a segment")).to_be_checked()
    # Deleted; of the other store; of no store; no id.
    for wanted in ("shopify:205", "shopify:206", "shopify:999", "rfm:none", "klaviyo:1", "x"):
        page.goto(f"{store.url}/admin/settings/webhooks?segment={wanted}")
        expect(chosen).to_have_value("")
        expect(page.get_by_label("Customers left a segment")).not_to_be_checked()


def test_a_webhook_is_added_from_the_page_of_a_pulled_list(
    store: Site, page: Page, inspect: Inspect
) -> None:
    with connect_as_owner(store.settings) as conn:
        conn.execute(
            """
            with lists (list_id, direction, segment_key, is_read, is_deleted) as (
                values
                ('L1', 'pull', 'klaviyo:L1', true, false),
                ('L2', 'bidirectional', 'rfm:loyal', false, false),
                ('L3', 'pull', 'klaviyo:L3', true, true),
                ('L4', 'push', 'rfm:loyal', true, false)
            ),
            configs as (
                insert into app.klaviyo_sync_configs (
                    tenant_id, segment_key, list_id, list_name, direction
                )
                select %(tenant)s, l.segment_key, l.list_id, 'List ' || l.list_id, l.direction
                from lists as l
            )
            insert into app.klaviyo_lists (tenant_id, list_id, name, gone_at)
            select
                %(tenant)s, l.list_id, 'List ' || l.list_id, case when l.is_deleted then now() end
            from lists as l
            where l.is_read
            """,
            {"tenant": store.tenant_id},
        )
    page.goto(f"{store.url}/admin/segments/klaviyo:L1")
    page.get_by_text("More actions").click()
    page.get_by_role("link", name="Notify by webhook").click()
    chosen = page.get_by_label("Customers of")
    expect(chosen).to_have_value("klaviyo:L1")
    # Deleted lists and those that are not pulled are no choice.
    lists = chosen.locator("optgroup[label=Klaviyo] option")
    expect(lists).to_have_text(["List L1", "List L2"])
    inspect(page)
    page.get_by_label("Webhook URL (https)").fill("https://hooks.example/list")
    page.get_by_role("button", name="Add webhook").click()
    page.get_by_role("dialog", name="Signing secret").get_by_role("button", name="Done").click()
    added = page.locator("[data-endpoints] > div")
    expect(added).to_contain_text("Customers left a segment. Only customers of List L1.")
    for wanted in ("klaviyo:L3", "klaviyo:L4"):
        page.goto(f"{store.url}/admin/settings/webhooks?segment={wanted}")
        expect(chosen).to_have_value("")


def test_what_cannot_be_undone_asks_for_its_name(
    here: tuple[Site, Site], page: Page, inspect: Inspect
) -> None:
    site, _ = here
    open_page(page, site, "/danger")
    expect(page.get_by_text("Not connected")).to_have_count(2)
    page.get_by_role("button", name="Sign everybody out").click()
    dialog = page.get_by_role("dialog")
    field = dialog.get_by_label("Type north to confirm")
    field.fill("south")
    dialog.get_by_role("button", name="Sign everybody out").click()
    expect(field).to_have_accessible_description(re.compile("This must be north."))
    inspect(page)
    field.fill("north")
    dialog.get_by_role("button", name="Sign everybody out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_pages_for_administrators_are_linked_for_them_only(
    here: tuple[Site, Site], page: Page
) -> None:
    site, _ = here
    names = ("API tokens", "People", "Audit log", "Danger zone")
    for scope, count in (("admin", 2), ("write", 0)):
        page.context.clear_cookies()
        page.goto(link_of(site, "Ada Byron", scope))
        page.wait_for_url("**/admin")
        page.goto(f"{site.url}/admin/settings")
        main = page.get_by_role("main")
        expect(main.get_by_role("link", name=re.compile("Schedules"))).to_have_count(2)
        for name in names:
            expect(main.get_by_role("link", name=re.compile(f"^{name}"))).to_have_count(count)
