"""The samples page, in a browser."""

from __future__ import annotations

import re

from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Inspect, Site


def test_samples_show_totals_types_and_evidence(
    site: Site, signed_in: Page, inspect: Inspect
) -> None:
    page = signed_in
    page.get_by_role("link", name="Samples", exact=True).click()
    rows = page.locator(".rows tbody tr")
    expect(rows).to_have_count(50)
    total = page.locator("[data-card=total]")
    expect(total).to_have_text(re.compile(r"^[\d,]+$"))
    expect(page.locator("[data-tab-count=all]")).to_have_text(total.inner_text())
    for row in rows.all():
        expect(row.locator(".badge.type").first).to_have_text(re.compile("UGC|TikTok"))
        expect(row.locator(".evidence li").first).to_contain_text(re.compile("Tag|Channel"))
    inspect(page)


def test_type_tabs_and_status_filter_the_list_and_stay_in_the_url(
    site: Site, signed_in: Page
) -> None:
    page = signed_in
    page.goto(f"{site.url}/admin/samples")
    page.get_by_role("link", name=re.compile("^TikTok")).click()
    page.wait_for_url("**type=tiktok")
    types = page.locator(".rows tbody tr td:nth-child(3)")
    expect(types.first).to_contain_text("TikTok")
    expect(types.filter(has_not_text="TikTok")).to_have_count(0)
    page.get_by_label("Status").select_option("fulfilled")
    page.get_by_role("button", name="Search").click()
    page.wait_for_url("**status=fulfilled*")
    assert "type=tiktok" in page.url
    statuses = page.locator(".rows tbody tr td:nth-child(5)")
    expect(statuses.first).to_have_text("Fulfilled")
    expect(statuses.filter(has_not_text="Fulfilled")).to_have_count(0)


def test_every_sample_is_on_exactly_one_page(site: Site, signed_in: Page) -> None:
    page = signed_in
    page.goto(f"{site.url}/admin/samples")
    expect(page.locator("[data-card=total]")).to_have_text(re.compile(r"^[\d,]+$"))
    total = int(page.locator("[data-card=total]").inner_text().replace(",", ""))
    orders: list[str] = []
    while True:
        expect(page.locator("[data-list]")).to_have_attribute("aria-busy", "false")
        orders += page.locator(".rows tbody th").all_inner_texts()
        if page.get_by_role("link", name="Next page").count() == 0:
            break
        page.get_by_role("link", name="Next page").click()
        page.wait_for_load_state()
    assert len(orders) == len(set(orders)) == total


def test_a_search_finds_an_order_and_says_when_it_finds_none(
    site: Site, signed_in: Page, inspect: Inspect
) -> None:
    page = signed_in
    page.goto(f"{site.url}/admin/samples")
    number = page.locator(".rows tbody th").first.inner_text()
    page.get_by_role("searchbox").fill(number)
    page.get_by_role("searchbox").press("Enter")
    page.wait_for_url("**q=*")
    expect(page.locator(".rows tbody tr")).to_have_count(1)
    expect(page.get_by_role("searchbox")).to_have_value(number)
    page.get_by_role("searchbox").fill("no such order")
    page.get_by_role("searchbox").press("Enter")
    expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()
    inspect(page)
    page.get_by_role("link", name="Clear filters").click()
    expect(page.locator(".rows tbody tr")).to_have_count(50)


def test_a_lost_connection_can_be_tried_again(
    site: Site, signed_in: Page, inspect: Inspect
) -> None:
    page = signed_in
    lost: list[Route] = []

    def lose(route: Route) -> None:
        lost.append(route)
        route.abort("connectionreset")

    page.route("**/api/admin/samples?*", lose)
    page.goto(f"{site.url}/admin/samples")
    expect(page.get_by_role("alert")).to_contain_text("The service cannot be reached.")
    inspect(page)
    page.unroute("**/api/admin/samples?*")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".rows tbody tr")).to_have_count(50)
    assert lost


def test_an_invalid_cursor_leads_back_to_the_first_page(site: Site, signed_in: Page) -> None:
    page = signed_in
    page.goto(f"{site.url}/admin/samples?cursor=nonsense")
    expect(page.get_by_role("alert")).to_contain_text("The list has no such page any more.")
    page.get_by_role("link", name="First page").click()
    expect(page.locator(".rows tbody tr")).to_have_count(50)


def test_dates_in_the_wrong_order_are_an_error_at_the_field(
    site: Site, signed_in: Page, inspect: Inspect
) -> None:
    page = signed_in
    page.goto(f"{site.url}/admin/samples")
    page.get_by_label("From").fill("2026-02-02")
    page.get_by_label("to", exact=True).fill("2026-02-01")
    page.get_by_role("button", name="Search").click()
    page.wait_for_url("**ordered_until=2026-02-01*")
    first = page.get_by_label("From")
    expect(first).to_have_attribute("aria-invalid", "true")
    expect(first).to_have_accessible_description(
        "The first date is after the last date. Swap the two dates."
    )
    expect(first).to_be_focused()
    expect(page.get_by_role("alert")).to_contain_text(
        "From: The first date is after the last date."
    )
    expect(page.get_by_role("heading", name="Nothing matches")).to_have_count(0)
    inspect(page)
    first.fill("2026-01-01")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.get_by_label("From")).not_to_have_attribute("aria-invalid", "true")


def test_a_filter_of_the_url_that_is_not_valid_is_named(
    site: Site, signed_in: Page, inspect: Inspect
) -> None:
    page = signed_in
    wrong = {
        "samples?status=lost": "Status: This must be",
        "samples?creator_id=ada": "Creator: This is not a valid id.",
        "activity?trigger=moon": "Started by: This must be",
        "samples/suggestions?reason=none": "Reason: This must be",
        "segments?tab=rfm&q=" + "x" * 201: "This must have at most 200 characters.",
    }
    for path, message in wrong.items():
        page.goto(f"{site.url}/admin/{path}")
        expect(page.get_by_role("alert")).to_contain_text(message)
    inspect(page)
    page.get_by_role("link", name="Clear filters").click()
    expect(page.locator(".rows tbody tr")).to_have_count(50)


def test_a_session_that_has_ended_leads_to_the_sign_in_form(site: Site, signed_in: Page) -> None:
    page = signed_in
    page.goto(f"{site.url}/admin/samples")
    expect(page.locator(".rows tbody tr")).to_have_count(50)
    page.context.clear_cookies()
    page.get_by_role("link", name="Next page").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert "cursor=" in page.locator("input[name=next]").input_value()
