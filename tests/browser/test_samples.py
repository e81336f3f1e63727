"""The samples page, in a browser."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.conftest import Inspect, Site


def test_samples_show_figures_types_and_rows_of_at_most_two_lines(
    site: Site, signed_in: Page, inspect: Inspect
) -> None:
    page = signed_in
    page.get_by_role("link", name="Samples", exact=True).click()
    rows = page.locator(".rows tbody tr")
    expect(rows).to_have_count(50)
    total = page.locator("[data-card=total]")
    expect(total).to_have_text(re.compile(r"^[\d,]+$"))
    expect(page.locator("[data-tab-count=all]")).to_have_text(total.inner_text())
    expect(page.locator("[data-count]")).to_have_text(
        f"{total.inner_text()} samples, 50 on this page"
    )
    for row in rows.all():
        expect(row.locator("[data-label=Type] .badge").first).to_have_text(
            re.compile("^(UGC|TikTok)$")
        )
        expect(row.locator("[data-label=Type] .badges")).to_have_attribute(
            "title", re.compile("tagged|channel")
        )
    # Two lines of text and the padding.
    assert max(row.bounding_box()["height"] for row in rows.all()) < 70
    shop = rows.first.get_by_role("link", name=re.compile("View in Shopify"))
    expect(shop).to_have_attribute(
        "href", re.compile(r"^https://[a-z-]+\.myshopify\.com/admin/orders/\d+$")
    )
    inspect(page)


def test_cards_and_tabs_filter_and_keep_the_other_filters(site: Site, signed_in: Page) -> None:
    page = signed_in
    page.goto(f"{site.url}/admin/samples?ordered_from=2025-01-01")
    page.get_by_role("link", name=re.compile("^TikTok")).last.click()
    page.wait_for_url("**type=tiktok")
    types = page.locator(".rows tbody [data-label=Type]")
    expect(types.first).to_contain_text("TikTok")
    expect(types.filter(has_not_text="TikTok")).to_have_count(0)
    page.get_by_label("Status", exact=True).select_option("fulfilled")
    page.wait_for_url("**status=fulfilled*")
    assert "type=tiktok" in page.url
    assert "ordered_from=2025-01-01" in page.url
    statuses = page.locator(".rows tbody [data-label=Status]")
    expect(statuses.first).to_have_text("Fulfilled")
    expect(statuses.filter(has_not_text="Fulfilled")).to_have_count(0)

    pending = page.get_by_role("link", name=re.compile("^Pending fulfilment"))
    pending.click()
    page.wait_for_url("**status=pending*")
    expect(pending).to_have_attribute("aria-current", "true")
    expect(pending).to_be_focused()
    expect(page.locator("[data-announce]")).to_have_text(re.compile(r"\d+ samples?\b"))
    expect(statuses.filter(has_not_text="Pending")).to_have_count(0)
    pending.click()
    expect(pending).not_to_have_attribute("aria-current", "true")
    page.go_back()
    page.wait_for_url("**status=pending*")
    expect(pending).to_have_attribute("aria-current", "true")
    page.get_by_role("link", name=re.compile("^All samples")).click()
    page.wait_for_url("**/admin/samples?ordered_from=2025-01-01")


def test_samples_can_be_read_without_scripts_and_stay_in_place(
    site: Site, signed_in: Page, browser: Browser
) -> None:
    signed_in.goto(f"{site.url}/admin/samples")
    shift = signed_in.evaluate(
        """() => new Promise((resolve) => {
            let sum = 0;
            const add = (list) => { for (const entry of list.getEntries()) sum += entry.value; };
            new PerformanceObserver(add).observe({ type: "layout-shift", buffered: true });
            setTimeout(() => resolve(sum), 500);
        })"""
    )
    assert shift < 0.02
    with browser.new_context(
        java_script_enabled=False, storage_state=signed_in.context.storage_state()
    ) as context:
        page = context.new_page()
        page.goto(f"{site.url}/admin/samples")
        page.get_by_role("link", name=re.compile("^Pending fulfilment")).click()
        row = page.locator(".rows tbody tr").first
        expect(row).to_contain_text("Pending")
        expect(row.locator("time")).to_have_text(re.compile(r"^\d{1,2} [A-Z][a-z]{2,3} 20\d\d$"))


def test_a_creator_is_searched_created_linked_and_unlinked_by_keyboard(
    site: Site, signed_in: Page, inspect: Inspect
) -> None:
    page = signed_in
    page.goto(f"{site.url}/admin/samples?type=ugc")
    row = page.locator(".rows tbody tr").first
    name = row.locator("th").inner_text()
    button = page.get_by_role("button", name=re.compile(f"creator of {name}$"))
    button.press("Enter")
    dialog = page.get_by_role("dialog", name=f"Creator of {name}")
    search = dialog.get_by_role("combobox", name="Find a creator")
    expect(search).to_be_focused()
    # Enter right after typing chooses nothing: the list still fits the text before.
    expect(dialog.get_by_role("option").first).to_have_attribute("aria-selected", "true")
    search.evaluate(
        """(field) => {
            field.value = "Ada.Creates";
            field.dispatchEvent(new InputEvent("input", { bubbles: true }));
            const key = { key: "Enter", bubbles: true, cancelable: true };
            field.dispatchEvent(new KeyboardEvent("keydown", key));
        }"""
    )
    expect(dialog.get_by_role("option", name="Create “Ada.Creates”")).to_have_attribute(
        "aria-selected", "true"
    )
    inspect(page)
    search.press("Enter")
    expect(dialog.get_by_label("Handle")).to_have_value("Ada.Creates")
    dialog.get_by_label("E-mail").fill("no address")
    dialog.get_by_role("button", name="Create and link").click()
    expect(dialog.get_by_label("E-mail")).to_have_accessible_description(
        "An e-mail address looks like name@example.com."
    )
    expect(dialog.get_by_label("Handle")).to_have_value("Ada.Creates")
    inspect(page)
    # Closing would lose what was typed, also with a second Escape.
    page.keyboard.press("Escape")
    page.get_by_role("dialog", name="Discard your changes?").wait_for()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(1)
    page.keyboard.press("Escape")
    page.get_by_role("dialog", name="Discard your changes?").get_by_text("Cancel").click()
    dialog.get_by_label("E-mail").fill("ada@example.com")
    dialog.get_by_role("button", name="Create and link").click()
    expect(row.locator("[data-label=Creator]")).to_contain_text("@ada.creates")
    expect(page.locator(".toast")).to_contain_text(f"@ada.creates is linked to {name}.")
    expect(button).to_be_focused()

    other = page.locator(".rows tbody tr").nth(1)
    other.get_by_role("button").click()
    page.get_by_role("combobox", name="Find a creator").press_sequentially("ada")
    page.get_by_role("option", name="Create “ada”").wait_for()
    expect(page.get_by_role("dialog").get_by_role("option").first).to_contain_text("@ada.creates")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(other.locator("[data-label=Creator]")).to_contain_text("@ada.creates")
    page.get_by_role("button", name="Undo").click()
    expect(other.locator("[data-label=Creator]")).not_to_contain_text("set manually")
    expect(page.get_by_role("main")).to_be_focused()

    button.click()
    dialog.get_by_role("button", name="Set no creator").click()
    expect(row.locator("[data-label=Creator]")).to_have_text("No creator, set manually")


def test_a_creator_is_created_once_and_an_undo_that_fails_says_so(
    site: Site, signed_in: Page
) -> None:
    page = signed_in
    page.goto(f"{site.url}/admin/samples")
    page.locator("[data-link-creator]").nth(2).click()
    page.get_by_role("combobox", name="Find a creator").press_sequentially("bea")
    page.get_by_role("option", name="Create “bea”").click()
    # The creator is created, the link fails.
    page.route("**/creator", lambda route: route.abort("connectionreset"))
    page.get_by_role("button", name="Create and link").click()
    expect(page.get_by_text("The service cannot be reached.")).to_be_visible()
    page.unroute("**/creator")
    page.get_by_label("Name", exact=True).fill("Bea Ray")
    page.get_by_role("button", name="Create and link").click()
    expect(page.locator(".toast")).to_contain_text("@bea is linked to")
    page.route("**/creator", lambda route: route.abort("connectionreset"))
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".toast")).to_contain_text("The service cannot be reached.")
    page.goto(f"{site.url}/admin/samples/creators?q=bea")
    expect(page.locator(".rows tbody tr")).to_contain_text(["Bea Ray"])


def test_another_store_sees_neither_these_samples_nor_their_creators(
    site: Site, signed_in: Page, neighbour: Page
) -> None:
    page = signed_in
    page.goto(f"{site.url}/admin/samples")
    page.locator("[data-link-creator]").first.click()
    page.get_by_role("combobox", name="Find a creator").press_sequentially("ada")
    page.get_by_role("option", name="Create “ada”").click()
    page.get_by_role("button", name="Create and link").click()
    expect(page.locator(".rows [data-label=Creator]").first).to_contain_text("@ada")
    name = page.locator(".rows tbody th").first.inner_text()
    address = page.locator(".rows tbody th a").first.get_attribute("href")

    neighbour.goto(f"{site.url}/admin/samples?q={name[1:]}")
    expect(neighbour.locator("[data-list]")).not_to_contain_text(name)
    neighbour.goto(f"{site.url}{address}")
    expect(neighbour.get_by_role("main")).to_contain_text("No sample has this order id.")
    neighbour.goto(f"{site.url}/admin/samples")
    neighbour.locator("[data-link-creator]").first.click()
    neighbour.get_by_role("combobox", name="Find a creator").press_sequentially("ada")
    expect(neighbour.get_by_role("dialog").get_by_role("option")).to_have_text(["Create “ada”"])


def test_every_sample_is_on_exactly_one_page(site: Site, signed_in: Page) -> None:
    page = signed_in
    page.goto(f"{site.url}/admin/samples")
    expect(page.locator("[data-card=total]")).to_have_text(re.compile(r"^[\d,]+$"))
    total = int(page.locator("[data-card=total]").inner_text().replace(",", ""))
    orders: list[str] = []
    while True:
        rows = page.locator(".rows tbody th")
        orders += rows.all_inner_texts()
        if page.get_by_role("link", name="Next page").count() == 0:
            break
        page.get_by_role("link", name="Next page").click()
        expect(rows.first).not_to_have_text(orders[-rows.count()])
    assert len(orders) == len(set(orders)) == total


def test_a_search_finds_an_order_and_says_when_it_finds_none(
    site: Site, signed_in: Page, inspect: Inspect
) -> None:
    page = signed_in
    page.goto(f"{site.url}/admin/samples")
    number = page.locator(".rows tbody th").first.inner_text().strip()
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
    page.goto(f"{site.url}/admin/samples")
    lost: list[Route] = []

    def lose(route: Route) -> None:
        lost.append(route)
        route.abort("connectionreset")

    page.route("**/admin/samples?*", lose)
    page.get_by_role("link", name=re.compile("^Fulfilled")).click()
    expect(page.get_by_role("alert")).to_contain_text("The service cannot be reached.")
    inspect(page)
    page.unroute("**/admin/samples?*")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".rows tbody tr")).to_have_count(50)
    assert page.url.endswith("/admin/samples?status=fulfilled")
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
        "customers?q=" + "x" * 201: "This must have at most 200 characters.",
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
