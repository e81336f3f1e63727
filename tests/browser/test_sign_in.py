"""Signing in and out, in a browser."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import Inspect, Site
from tests.web import token_for


def test_a_token_signs_in_and_opens_the_requested_page(
    site: Site, page: Page, inspect: Inspect
) -> None:
    page.goto(f"{site.url}/admin/samples?type=ugc")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    inspect(page)
    page.get_by_label("API token").fill(token_for(site.settings, site.tenant_id))
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/admin/samples?type=ugc")
    expect(page.get_by_role("heading", name="Samples", exact=True)).to_be_visible()


def test_a_wrong_token_is_refused(site: Site, page: Page, inspect: Inspect) -> None:
    page.goto(f"{site.url}/admin/sign-in")
    page.get_by_label("API token").fill("qnt_wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("not valid")
    expect(page.get_by_label("API token")).to_have_value("")
    inspect(page)


def test_a_sign_in_link_works_once_and_stays_out_of_the_url(site: Site, page: Page) -> None:
    link = site.sign_in_link()
    page.goto(link)
    page.wait_for_url("**/admin")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/admin/sign-in")
    page.goto(link)
    expect(page.get_by_role("alert")).to_contain_text("has already been used")
    expect(page.get_by_role("alert")).to_contain_text("quintile tenants sign-in-link")
    expect(page).to_have_url(re.compile(r"/admin/sign-in$"))


def test_signing_out_ends_access(site: Site, signed_in: Page) -> None:
    signed_in.get_by_role("button", name="Sign out").click()
    signed_in.wait_for_url("**/admin/sign-in")
    signed_in.goto(f"{site.url}/admin/segments")
    expect(signed_in.get_by_role("heading", name="Sign in")).to_be_visible()


def test_on_a_narrow_screen_the_navigation_is_a_menu(
    site: Site, signed_in: Page, inspect: Inspect
) -> None:
    page = signed_in
    page.goto(f"{site.url}/admin/activity")
    menu = page.get_by_role("button", name="Menu")
    expect(menu).to_be_hidden()
    expect(page.get_by_role("link", name="Activity")).to_have_attribute("aria-current", "page")
    page.set_viewport_size({"width": 400, "height": 900})
    expect(page.get_by_role("navigation", name="Main")).to_be_hidden()
    menu.click()
    expect(page.get_by_role("link", name="Samples")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("navigation", name="Main")).to_be_hidden()
    expect(menu).to_be_focused()
    menu.click()
    page.get_by_role("link", name="Samples").click()
    page.wait_for_url("**/admin/samples")
    expect(page.get_by_role("navigation", name="Main")).to_be_hidden()
    page.get_by_role("button", name="Menu").click()
    inspect(page)
