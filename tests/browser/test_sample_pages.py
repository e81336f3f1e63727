"""Sample orders, suggestions, creators and sample settings, in a browser."""

from __future__ import annotations

import re
from uuid import UUID

from playwright.sync_api import Page, expect

from service.core.db import connect_as_owner
from tests.browser.conftest import Inspect, Site


def open_list(site: Site, page: Page, query: str = "") -> None:
    page.goto(f"{site.url}/admin/samples{query}")
    expect(page.locator("[data-list]")).to_have_attribute("aria-busy", "false")


def test_filters_sort_and_download_share_the_url(site: Site, signed_in: Page) -> None:
    page = signed_in
    open_list(site, page, "?type=ugc")
    page.get_by_label("Sort by").select_option("waiting")
    page.get_by_label("From").fill("2026-01-01")
    page.get_by_role("button", name="Search").click()
    page.wait_for_url("**sort=waiting*")
    expect(page.locator("[data-list]")).to_have_attribute("aria-busy", "false")
    waited = [
        int(text.split()[0].replace(",", ""))
        for text in page.locator(".rows tbody td:nth-child(6)").all_inner_texts()
        if text[0].isdigit()
    ]
    assert waited == sorted(waited, reverse=True)
    expect(page.get_by_label("From")).to_have_value("2026-01-01")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download CSV").click()
    assert "type=ugc" in download.value.url
    assert "sort=waiting" in download.value.url
    assert download.value.path().read_text(encoding="utf-8").startswith("order_id,order_number,")


def test_a_sample_is_explained_and_given_a_creator(
    site: Site, signed_in: Page, inspect: Inspect
) -> None:
    page = signed_in
    page.goto(f"{site.url}/admin/samples/creators?add=1")
    expect(page.get_by_role("heading", name="No creators yet")).to_be_visible()
    inspect(page)
    page.get_by_label("Handle", exact=True).fill("@Ada.Creates")
    page.get_by_label("Platform").select_option("instagram")
    page.get_by_label("E-mail", exact=True).fill("ada@example.com")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("@ada.creates")
    expect(page.get_by_label("Platform")).to_have_value("instagram")
    inspect(page)

    open_list(site, page)
    page.locator(".rows tbody th a").first.click()
    expect(page.get_by_text("Counted as a sample:")).to_be_visible()
    page.get_by_label(re.compile("Find a creator")).fill("ada")
    page.get_by_role("button", name="Link creator").click()
    expect(page.get_by_text("Creator linked.")).to_be_visible()
    expect(page.locator("[data-creator]")).to_contain_text("@ada.creates")
    expect(page.locator("[data-creator]")).to_contain_text("set manually")
    inspect(page)
    page.get_by_role("button", name="Set no creator").click()
    expect(page.locator("[data-creator]")).to_contain_text("No creator, set manually")
    page.get_by_role("button", name="Match automatically").click()
    expect(page.get_by_text("Automatic matching is on.")).to_be_visible()


def test_creators_are_merged_and_deleted(site: Site, signed_in: Page) -> None:
    page = signed_in
    for handle in ("ada.old", "ada"):
        page.goto(f"{site.url}/admin/samples/creators?add=1")
        page.get_by_label("Handle", exact=True).fill(handle)
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("heading", level=1)).to_have_text(f"@{handle}")
    page.get_by_label("Other creator").select_option(label="@ada.old")
    page.get_by_label("They are the same person").check()
    page.get_by_role("button", name="Merge into this creator").click()
    expect(page.locator("[data-creator]")).to_contain_text("ada.old")
    expect(page.locator("[data-run-status]")).to_contain_text("Waiting to start")
    page.get_by_label("delete this creator").check()
    page.get_by_role("button", name="Delete creator").click()
    expect(page.get_by_role("heading", name="No creators yet")).to_be_visible()


def test_settings_are_previewed_saved_and_restored(
    site: Site, signed_in: Page, inspect: Inspect
) -> None:
    page = signed_in
    page.goto(f"{site.url}/admin/samples/settings")
    tags = page.get_by_label("UGC tags, one per line")
    expect(tags).to_have_value("ugc-sample\nugc\ncreator-sample")
    expect(page.get_by_label("TikTok samples must be free")).to_be_checked()
    ugc_free = page.get_by_label("UGC samples must be free")
    expect(ugc_free).not_to_be_checked()
    expect(page.get_by_text("No changes so far.")).to_be_visible()
    # Only the paid orders with a UGC tag leave.
    ugc_free.check()
    page.get_by_role("button", name="Preview changes").click()
    expect(page.get_by_role("heading", name="Added: 0")).to_be_visible()
    expect(page.get_by_role("heading", name=re.compile("Removed: [1-9]"))).to_be_visible()
    tags.fill("no-such-tag")
    page.get_by_role("button", name="Preview changes").click()
    expect(page.get_by_text("Nothing has been saved.")).to_be_visible()
    removed = page.get_by_role("heading", name=re.compile("^Removed: "))
    expect(removed).to_have_text(re.compile(r"Removed: [1-9]"))
    inspect(page)
    assert changes_of(site) == 0

    confirm = page.get_by_label(re.compile("Allow a pattern"))
    expect(confirm).to_be_hidden()
    page.get_by_label("TikTok channels, one pattern per line").fill("%")
    page.get_by_role("button", name="Save and recalculate").click()
    expect(confirm).to_have_accessible_description(
        "The pattern % matches every channel. Check the preview, then allow it."
    )
    expect(confirm).to_be_focused()
    inspect(page)
    confirm.check()
    page.get_by_role("button", name="Save and recalculate").click()
    expect(page.get_by_text("Samples and RFM segments are being recalculated")).to_be_visible()
    expect(page.get_by_text(re.compile("Changed .* by sign-in link"))).to_be_visible()
    inspect(page)
    assert changes_of(site) == 1

    page.reload()
    expect(tags).to_have_value("no-such-tag")
    expect(ugc_free).to_be_checked()
    former = page.locator("[data-history] .previous")
    expect(former).to_contain_text("TikTok samples must be freeYes")
    expect(former).to_contain_text("UGC samples must be freeNo")
    page.get_by_role("button", name="Restore").click()
    expect(tags).to_have_value("ugc-sample\nugc\ncreator-sample")
    expect(ugc_free).not_to_be_checked()
    assert changes_of(site) == 2


def test_every_sample_form_says_which_field_is_wrong(
    site: Site, signed_in: Page, inspect: Inspect
) -> None:
    page = signed_in

    def wrong(label: str, value: str, button: str, message: str) -> None:
        field = page.get_by_label(label, exact=True)
        field.fill(value)
        page.get_by_role("button", name=button).click()
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(field).to_have_accessible_description(re.compile(re.escape(message)))
        expect(field).to_be_focused()
        inspect(page)
        field.fill("")

    page.goto(f"{site.url}/admin/samples/creators?add=1")
    page.get_by_role("button", name="Save").click()
    handle = page.get_by_label("Handle", exact=True)
    expect(handle).to_have_accessible_description(
        "A creator needs a handle, a name or an e-mail address."
    )
    wrong("Handle", "two words", "Save", "A handle is one word without @ and /.")
    expect(page.locator("[data-form-status]")).to_have_text("Not saved. Fix the marked fields.")
    handle.fill("ada")
    page.get_by_label("E-mail", exact=True).fill("ada@example.com")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("@ada")

    # Another creator with the same address: the field, and what to do.
    page.goto(f"{site.url}/admin/samples/creators?add=1")
    address = "Another creator has this e-mail address. If they are the same person, merge"
    wrong("E-mail", "ada@example.com", "Save", address)

    page.goto(f"{site.url}/admin/samples/settings")
    tags = "UGC tags, one per line"
    expect(page.get_by_label(tags)).not_to_have_value("")
    too_long = "Entry 2: This must have at most 255 characters."
    wrong(tags, f"ugc\n{'x' * 256}", "Save and recalculate", too_long)
    wrong(
        "TikTok channels, one pattern per line",
        "tiktok\\",
        "Preview changes",
        "Entry 1: A pattern must not end in a single",
    )

    page.goto(f"{site.url}/admin/samples")
    page.locator(".rows tbody th a").first.click()
    creator = "Find a creator by handle, name or e-mail"
    wrong(creator, "nobody", "Link creator", "No creator found. Choose one from the list")


def changes_of(site: Site) -> int:
    tenant_id: UUID = site.tenant_id
    with connect_as_owner(site.settings) as conn:
        row = conn.execute(
            "select count(*) as n from app.samples_config_changes where tenant_id = %s",
            [tenant_id],
        ).fetchone()
    assert row is not None
    return int(row["n"])


def test_suggestions_show_their_reason_and_link_to_the_settings(
    site: Site, signed_in: Page, inspect: Inspect
) -> None:
    page = signed_in
    page.goto(f"{site.url}/admin/samples/suggestions")
    expect(page.locator("[data-list]")).to_have_attribute("aria-busy", "false")
    rows = page.locator(".rows tbody tr")
    expect(rows.first).to_contain_text(re.compile("but paid|like a sample tag"))
    inspect(page)
    page.get_by_label("Reason").select_option("channel_not_free")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url("**reason=channel_not_free")
    expect(page.locator("[data-list]")).to_have_attribute("aria-busy", "false")
    expect(rows.first).to_contain_text("Sample channel, but paid")
    page.locator(".help").get_by_role("link", name="settings").click()
    expect(page.get_by_role("heading", name="Sample rules")).to_be_visible()


def test_unknown_ids_show_an_error_and_a_link_back(
    site: Site, signed_in: Page, inspect: Inspect
) -> None:
    page = signed_in
    page.goto(f"{site.url}/admin/samples/orders/none")
    expect(page.get_by_role("alert")).to_contain_text("No sample has this order id.")
    inspect(page)
    page.get_by_role("link", name="View all samples").click()
    expect(page.locator(".rows tbody tr")).to_have_count(50)
    page.goto(f"{site.url}/admin/samples/creators/00000000-0000-0000-0000-000000000000")
    expect(page.get_by_role("alert")).to_contain_text("There is no such creator.")
