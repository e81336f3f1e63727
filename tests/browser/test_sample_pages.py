"""Sample orders, suggestions, creators and sample settings, in a browser."""

from __future__ import annotations

import re
from uuid import UUID

from playwright.sync_api import Locator, Page, expect

from service.core.config import Settings
from service.core.db import connect_as_owner
from service.tenants.tenants import add_tenant
from tests.browser.conftest import Inspect, Serve, Site
from tests.web import add_samples


def open_list(site: Site, page: Page, query: str = "") -> None:
    page.goto(f"{site.url}/admin/samples{query}")
    expect(page.locator("[data-count]")).not_to_be_empty()


def test_filters_sort_and_download_share_the_url(site: Site, signed_in: Page) -> None:
    page = signed_in
    open_list(site, page, "?type=ugc")
    page.get_by_label("From").fill("2026-01-01")
    page.get_by_role("button", name="Search").click()
    page.wait_for_url("**ordered_from=2026-01-01*")
    page.get_by_label("Sort by").select_option("waiting")
    expect(page.get_by_role("link", name="Download CSV")).to_have_attribute(
        "href", re.compile("sort=waiting")
    )
    waited = [
        int(text.split()[0].replace(",", ""))
        for text in page.locator(".rows tbody [data-label=Waiting]").all_inner_texts()
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
    page.goto(f"{site.url}/admin/samples/creators")
    expect(page.get_by_role("heading", name="No creators yet")).to_be_visible()
    inspect(page)
    page.get_by_role("link", name="Add creator").click()
    assert page.url.endswith("add=1")
    inspect(page)
    page.get_by_label("Handle", exact=True).fill("@Ada.Creates")
    page.get_by_label("Platform").select_option("instagram")
    page.get_by_label("E-mail", exact=True).fill("ada@example.com")
    page.get_by_role("button", name="Add creator").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("@ada.creates")
    inspect(page)
    page.get_by_role("button", name="Edit").click()
    expect(page.get_by_label("Platform")).to_have_value("instagram")
    page.get_by_label("Name", exact=True).fill("Ada")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".facts")).to_contain_text("Ada")
    expect(page.get_by_role("button", name="Edit")).to_be_focused()

    open_list(site, page)
    page.locator(".rows tbody th a").first.click()
    expect(page.get_by_text("Counted as a sample:")).to_be_visible()
    change = page.get_by_role("button", name="Change creator")
    change.click()
    page.get_by_role("combobox", name="Find a creator").press_sequentially("ada")
    page.get_by_role("option", name="@ada.creates").click()
    expect(page.locator(".toast")).to_contain_text("@ada.creates is linked")
    expect(page.locator("[data-creator]")).to_contain_text("@ada.creates")
    expect(page.locator("[data-creator]")).to_contain_text("set manually")
    inspect(page)
    change.click()
    page.get_by_role("button", name="Set no creator").click()
    expect(page.locator("[data-creator]")).to_contain_text("No creator, set manually")
    change.click()
    page.get_by_role("button", name="Match automatically").click()
    expect(page.locator("[data-creator]")).not_to_contain_text("set manually")


def test_what_was_typed_survives_the_end_of_the_session(site: Site, signed_in: Page) -> None:
    page = signed_in
    open_list(site, page)
    page.locator(".rows tbody th a").first.click()
    page.get_by_role("button", name="Change creator").click()
    dialog = page.get_by_role("dialog", name="Creator of")
    dialog.get_by_role("combobox", name="Find a creator").press_sequentially("ada.creates")
    dialog.get_by_role("option", name="Create “ada.creates”").click()
    dialog.get_by_label("Notes").fill("Paints.")
    page.context.clear_cookies()
    dialog.get_by_role("button", name="Create and link").click()
    status = dialog.get_by_role("status")
    expect(status).to_contain_text("Your session has ended.")
    with page.context.expect_page() as opened:
        status.get_by_role("link").click()
    opened.value.goto(site.sign_in_link())
    opened.value.wait_for_url("**/admin")
    expect(dialog.get_by_label("Notes")).to_have_value("Paints.")
    dialog.get_by_role("button", name="Create and link").click()
    expect(page.locator("[data-creator]")).to_contain_text("@ada.creates")

    # A search does not lose the dialog either.
    page.get_by_role("button", name="Change creator").click()
    expect(dialog.get_by_role("option", name="@ada.creates")).to_be_visible()
    page.context.clear_cookies()
    dialog.get_by_role("combobox", name="Find a creator").press_sequentially("eve")
    expect(dialog.get_by_text("Your session has ended.")).to_be_visible()
    expect(dialog.get_by_role("combobox")).to_have_value("eve")


def test_sample_settings_survive_the_end_of_the_session(site: Site, signed_in: Page) -> None:
    page = signed_in
    dialog = open_settings(site, page)
    free = dialog.get_by_label("UGC samples must be free")
    free.click()
    chosen = free.is_checked()
    page.context.clear_cookies()
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.locator(".dialog-foot")).to_contain_text("Your session has ended.")
    again = page.context.new_page()
    again.goto(site.sign_in_link())
    again.wait_for_url("**/admin")
    again.close()
    assert free.is_checked() == chosen
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)


def add_creator(site: Site, page: Page, handle: str) -> None:
    page.goto(f"{site.url}/admin/samples/creators?add=1")
    page.get_by_label("Handle", exact=True).fill(handle)
    page.get_by_role("button", name="Add creator").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"@{handle}")


def test_creators_show_their_samples_are_merged_and_deleted(
    site: Site, signed_in: Page, neighbour: Page, inspect: Inspect
) -> None:
    page = signed_in
    for handle in ("ada.old", "ada"):
        add_creator(site, page, handle)
    creator = page.url
    page.goto(f"{site.url}/admin/samples")
    page.locator("[data-link-creator]").first.click()
    page.get_by_role("combobox", name="Find a creator").press_sequentially("ada.old")
    page.get_by_role("option", name=re.compile("^@ada.old")).click()
    expect(page.locator(".rows [data-label=Creator]").first).to_contain_text("@ada.old")
    name = page.locator(".rows tbody th").first.inner_text()
    page.goto(f"{site.url}/admin/samples/creators?q=ada")
    rows = page.locator(".rows tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(1).locator("[data-label=Samples]")).to_contain_text("1")
    inspect(page)
    neighbour.goto(f"{site.url}/admin/samples/creators")
    expect(neighbour.get_by_role("heading", name="No creators yet")).to_be_visible()
    neighbour.goto(creator)
    expect(neighbour.get_by_role("main")).to_contain_text("There is no such creator.")

    page.goto(creator)
    expect(page.get_by_role("heading", name="No samples yet")).to_be_visible()
    page.get_by_role("button", name="Merge a duplicate").click()
    page.get_by_role("combobox", name="Other creator").press_sequentially("old")
    expect(page.get_by_role("dialog").get_by_role("option")).to_have_count(1)
    inspect(page)
    page.keyboard.press("Enter")
    confirm = page.get_by_role("dialog", name="Merge @ada.old into this creator?")
    confirm.get_by_role("button", name="Merge").click()
    expect(page.locator(".facts")).to_contain_text("ada.old")
    expect(page.locator(".rows tbody th")).to_have_text(name)
    expect(page.locator("[data-run-status]")).to_contain_text("Waiting to start")
    inspect(page)

    page.get_by_role("button", name="Delete").click()
    confirm = page.get_by_role("dialog", name="Delete this creator?")
    expect(confirm.get_by_role("button", name="Cancel")).to_be_focused()
    confirm.get_by_role("button", name="Delete creator").click()
    expect(page.get_by_role("heading", name="No creators yet")).to_be_visible()


def ugc_tags(page: Page) -> list[str]:
    """The chips of the field UGC tags."""
    return (
        page.locator(".chips", has=page.locator("#ugc_tags")).locator("li .clip").all_inner_texts()
    )


def open_settings(site: Site, page: Page) -> Locator:
    """The dialog of the settings, opened by keyboard."""
    page.goto(f"{site.url}/admin/samples")
    page.get_by_role("main").get_by_role("link", name="Settings").press("Enter")
    expect(page.locator("#ugc_tags")).to_be_focused()
    assert page.url.endswith("settings=open")
    return page.get_by_role("dialog", name="Sample settings")


def test_settings_show_what_matches_and_what_would_change(
    site: Site, signed_in: Page, inspect: Inspect
) -> None:
    page = signed_in
    dialog = open_settings(site, page)
    assert ugc_tags(page) == ["ugc-sample", "ugc", "creator-sample"]
    tiktok_free = dialog.get_by_role("switch", name="TikTok samples must be free")
    ugc_free = dialog.get_by_role("switch", name="UGC samples must be free")
    expect(tiktok_free).to_be_checked()
    expect(ugc_free).not_to_be_checked()
    expect(dialog.get_by_text("Nothing yet.")).to_be_visible()
    expect(dialog.locator(".channels .match").first).to_contain_text("TikTok")
    inspect(page)

    # Only the paid orders with a UGC tag leave.
    ugc_free.check()
    expect(dialog.get_by_role("heading", name="Entering: 0")).to_be_visible()
    expect(dialog.get_by_role("heading", name=re.compile("Leaving: .[1-9]"))).to_be_visible()
    expect(dialog.get_by_role("list", name="Leaving").get_by_role("link").first).to_be_visible()
    inspect(page)

    # A pattern is compared with the store's channels while it is typed.
    matching = dialog.locator(".channels .match")
    expect(matching.first).to_contain_text("TikTok")
    dialog.locator("#channel_patterns").fill("online%")
    expect(matching.first).to_contain_text("Online Store")
    # Orders that are no samples yet have no page.
    dialog.locator("#channel_patterns").press("Enter")
    tiktok_free.uncheck()
    entering = dialog.get_by_role("list", name="Entering").get_by_role("listitem")
    expect(entering.first).to_be_visible()
    expect(entering.get_by_role("link")).to_have_count(0)
    assert changes_of(site) == 0
    dialog.locator("#channel_patterns").fill("tiktok\\")
    expect(dialog.locator(".channels .field-error")).to_contain_text(
        "A pattern must not end in a single"
    )
    inspect(page)


def test_tags_are_chips_that_the_keyboard_adds_and_removes(site: Site, signed_in: Page) -> None:
    page = signed_in
    dialog = open_settings(site, page)
    tags = dialog.locator("#ugc_tags")
    # Chips by keyboard: the last one, one in the middle, several pasted ones, one that is known.
    page.keyboard.press("Backspace")
    assert ugc_tags(page) == ["ugc-sample", "ugc"]
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(dialog.get_by_role("button", name="Remove tag ugc-sample")).to_be_focused()
    page.keyboard.press("Delete")
    expect(dialog.get_by_role("button", name="Remove tag ugc")).to_be_focused()
    page.keyboard.press("Backspace")
    expect(tags).to_be_focused()
    assert ugc_tags(page) == []
    paste(tags, "no-such-tag, Gifted\nno-such-tag ,gifted")
    assert ugc_tags(page) == ["no-such-tag", "Gifted"]
    tags.press_sequentially("third,fourth")
    page.keyboard.press("Enter")
    assert ugc_tags(page) == ["no-such-tag", "Gifted", "third", "fourth"]
    dialog.get_by_role("button", name="Remove tag Gifted").click()
    assert ugc_tags(page) == ["no-such-tag", "third", "fourth"]


def test_settings_are_saved_undone_and_restored(
    site: Site, signed_in: Page, inspect: Inspect
) -> None:
    page = signed_in
    dialog = open_settings(site, page)
    paste(dialog.locator("#ugc_tags"), "no-such-tag\nthird")
    patterns = dialog.locator("#channel_patterns")
    patterns.fill("%")
    patterns.press("Enter")
    confirm = dialog.get_by_label(re.compile("Allow a pattern"))
    dialog.get_by_role("button", name="Save").click()
    expect(confirm).to_have_accessible_description(
        "The pattern % matches every channel. Check the preview, then allow it."
    )
    expect(confirm).to_be_focused()
    inspect(page)

    # Nothing is lost without a question.
    page.keyboard.press("Escape")
    page.get_by_role("dialog", name="Discard your changes?").get_by_text("Cancel").click()
    confirm.check()
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)
    expect(page.locator(".toast")).to_contain_text("Settings saved.")
    expect(page.locator("[data-run-status]")).to_contain_text("Waiting to start")
    assert "settings=" not in page.url
    assert changes_of(site) == 1
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".toast")).to_have_count(0)
    inspect(page)
    assert changes_of(site) == 2
    page.get_by_role("main").get_by_role("link", name="Settings").click()
    expect(dialog.locator(".chips li").first).to_be_visible()
    assert ugc_tags(page) == ["ugc-sample", "ugc", "creator-sample"]
    dialog.get_by_text("Previous settings").click()
    former = dialog.locator(".history .settings-card")
    expect(former).to_have_count(2)
    expect(former.first).to_contain_text("no-such-tag, third")
    former.first.get_by_role("button", name="Restore").click()
    expect(dialog).to_have_count(0)
    assert changes_of(site) == 3


def test_settings_without_a_change_are_cancelled_without_a_question(
    site: Site, signed_in: Page, neighbour: Page
) -> None:
    page = signed_in
    page.goto(f"{site.url}/admin/samples/settings")
    dialog = page.get_by_role("dialog", name="Sample settings")
    tags = dialog.locator("#ugc_tags")
    tags.fill("only-here")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)
    page.get_by_role("main").get_by_role("link", name="Settings").click()
    expect(dialog.get_by_text("only-here")).to_be_visible()
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("main").get_by_role("link", name="Settings")).to_be_focused()

    # Another store has its own settings and channels.
    neighbour.goto(f"{site.url}/admin/samples/settings")
    theirs = neighbour.get_by_role("dialog", name="Sample settings")
    expect(theirs.locator(".channels li").first).to_be_visible()
    expect(theirs.get_by_text("only-here")).to_have_count(0)


def paste(field: Locator, text: str) -> None:
    field.evaluate(
        """(field, text) => {
            const clipboardData = new DataTransfer();
            clipboardData.setData("text", text);
            field.dispatchEvent(
                new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true })
            );
        }""",
        text,
    )


def test_every_sample_form_says_which_field_is_wrong(
    site: Site, signed_in: Page, inspect: Inspect
) -> None:
    page = signed_in

    page.goto(f"{site.url}/admin/samples/creators?add=1")
    add = page.get_by_role("button", name="Add creator")
    handle = page.get_by_label("Handle", exact=True)
    add.click()
    expect(handle).to_have_accessible_description(
        "A creator needs a handle, a name or an e-mail address."
    )
    handle.fill("two words")
    page.get_by_label("Notes").fill("Kept")
    add.click()
    expect(handle).to_have_accessible_description("A handle is one word without @ and /.")
    expect(handle).to_be_focused()
    expect(page.get_by_text("Not saved. Fix the marked fields.")).to_be_visible()
    expect(page.get_by_label("Notes")).to_have_value("Kept")
    inspect(page)
    handle.fill("ada")
    page.get_by_label("E-mail", exact=True).fill("ada@example.com")
    add.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("@ada")

    # Another creator with the same address: the field, and what to do.
    page.goto(f"{site.url}/admin/samples/creators?add=1")
    email = page.get_by_label("E-mail", exact=True)
    email.fill("ada@example.com")
    add.click()
    expect(email).to_have_accessible_description(
        re.compile("Another creator has this e-mail address. If they are the same person, merge")
    )

    page.goto(f"{site.url}/admin/samples/settings")
    tags = page.locator("#ugc_tags")
    tags.fill("x" * 256)
    page.get_by_role("button", name="Save").click()
    expect(tags).to_have_attribute("aria-invalid", "true")
    expect(tags).to_have_accessible_description(
        re.compile("Entry 4: This must have at most 255 characters.")
    )
    expect(tags).to_be_focused()
    inspect(page)
    page.keyboard.press("Backspace")
    expect(tags).not_to_have_attribute("aria-invalid", "true")


def changes_of(site: Site) -> int:
    tenant_id: UUID = site.tenant_id
    with connect_as_owner(site.settings) as conn:
        row = conn.execute(
            "select count(*) as n from app.samples_config_changes where tenant_id = %s",
            [tenant_id],
        ).fetchone()
    assert row is not None
    return int(row["n"])


def test_suggestions_are_added_marked_and_dismissed_and_each_is_undone(
    site: Site, signed_in: Page, neighbour: Page, inspect: Inspect
) -> None:
    page = signed_in
    page.goto(f"{site.url}/admin/samples/suggestions")
    rows = page.locator(".rows tbody tr")
    expect(rows.first).to_contain_text(re.compile("but paid|nearly free|like a sample tag"))
    # Ordinary sales through TikTok are none.
    count = rows.count()
    assert 5 < count < 30
    inspect(page)
    orders = page.locator(".rows tbody th")

    def undo(name: str) -> None:
        expect(orders.filter(has_text=name)).to_have_count(0)
        page.locator(".toast").get_by_role("button", name="Undo").click()
        expect(orders.filter(has_text=name)).to_have_count(1)
        expect(rows).to_have_count(count)

    name = rows.first.get_by_role("button", name="Dismiss").get_attribute("data-name") or ""
    rows.first.get_by_role("button", name="Dismiss").click()
    undo(name)

    page.get_by_label("Reason").select_option("channel_not_free")
    page.wait_for_url("**reason=channel_not_free")
    expect(rows.first).to_contain_text("Sample channel, nearly free")
    count = rows.count()
    mark = rows.first.get_by_role("button", name=re.compile("Mark as TikTok"))
    name = mark.get_attribute("data-name") or ""
    mark.click()
    expect(page.locator(".toast")).to_contain_text(f"{name} is a TikTok sample now.")
    expect(page.locator("[data-run-status]")).to_contain_text("Waiting to start")
    undo(name)

    page.goto(f"{site.url}/admin/samples/suggestions?reason=tag_looks_like_sample")
    count = rows.count()
    add = rows.first.get_by_role("button", name=re.compile("Add tag"))
    name, tag = add.get_attribute("data-name") or "", add.get_attribute("data-tag")
    # Somebody else added it in the meantime: nothing to undo.
    other = page.context.new_page()
    other.goto(page.url)
    add_there = other.locator(f"[data-decide=tag][data-name='{name}']")
    add_there.wait_for()
    add.click()
    expect(page.locator(".toast")).to_contain_text(f"{tag} is one of the UGC tags now.")
    add_there.click()
    expect(other.locator(".toast")).to_have_text("This tag is there already.")
    other.close()
    undo(name)

    rows.first.get_by_role("button", name="Dismiss").click()
    expect(rows).to_have_count(count - 1)
    neighbour.goto(f"{site.url}/admin/samples/suggestions")
    expect(neighbour.locator(".rows tbody tr").first).to_be_visible()
    expect(neighbour.locator(".rows tbody th").filter(has_text=name)).to_have_count(0)
    page.locator(".help").get_by_role("link", name="settings").click()
    expect(page.get_by_role("dialog", name="Sample settings")).to_be_visible()


def test_decisions_are_listed_and_withdrawn_later(
    site: Site, signed_in: Page, neighbour: Page, inspect: Inspect
) -> None:
    page = signed_in
    page.goto(f"{site.url}/admin/samples/suggestions")
    rows = page.locator(".rows tbody tr")
    dismiss = rows.first.get_by_role("button", name="Dismiss")
    name = dismiss.get_attribute("data-name") or ""
    dismiss.click()
    expect(rows.locator("th").filter(has_text=name)).to_have_count(0)
    page.get_by_role("link", name="Decided").click()
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("Dismissed")
    expect(rows.first.locator("th")).to_have_text(name)
    inspect(page)
    neighbour.goto(f"{site.url}/admin/samples/suggestions?tab=decided")
    expect(neighbour.get_by_role("heading", name="No decisions yet")).to_be_visible()
    withdraw = rows.first.get_by_role("button", name=re.compile("Withdraw"))
    withdraw.click()
    expect(page.get_by_role("heading", name="No decisions yet")).to_be_visible()
    page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(rows.first.locator("th")).to_have_text(name)
    page.get_by_label("Decision", exact=True).select_option("ugc")
    expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()
    page.get_by_role("link", name="Clear filters").click()
    withdraw.click()
    page.get_by_role("link", name="To decide").click()
    expect(rows.locator("th").filter(has_text=name)).to_have_count(1)


def test_decisions_about_orders_that_are_no_samples_are_no_links(
    built_settings: Settings, page: Page, serve: Serve, inspect: Inspect
) -> None:
    with connect_as_owner(built_settings) as conn:
        north, south = (add_tenant(conn, name, None) for name in ("north", "south"))
        conn.cursor().executemany(
            "insert into app.sample_decisions (tenant_id, order_id, decision, decided_by)"
            " values (%s, %s, 'ugc', 'Ada')",
            [(north, order_id) for order_id in ("sample", "of south", "gone")],
        )
    add_samples(built_settings, north, [{"order_id": "sample"}])
    add_samples(built_settings, south, [{"order_id": "of south"}])
    with serve(built_settings, "north") as site:
        page.goto(site.sign_in_link())
        page.wait_for_url("**/admin")
        page.goto(f"{site.url}/admin/samples/suggestions?tab=decided")
        expect(page.locator(".rows tbody tr")).to_have_count(3)
        links = page.locator(".rows tbody th a")
        expect(links).to_have_text(["sample"])
        inspect(page)
        links.click()
        expect(page.get_by_text("Counted as a sample:")).to_be_visible()


def test_decisions_open_before_the_first_build(
    settings: Settings, page: Page, serve: Serve
) -> None:
    with connect_as_owner(settings) as conn:
        tenant_id = add_tenant(conn, "north", None)
        conn.execute(
            "insert into app.sample_decisions (tenant_id, order_id, decision, decided_by)"
            " values (%s, 'one', 'ugc', 'Ada')",
            [tenant_id],
        )
    with serve(settings, "north") as site:
        page.goto(site.sign_in_link())
        page.wait_for_url("**/admin")
        page.goto(f"{site.url}/admin/samples/suggestions?tab=decided")
        name = page.locator(".rows tbody th")
        expect(name).to_have_text("one")
        expect(name.get_by_role("link")).to_have_count(0)


def test_unknown_ids_show_an_error_and_a_link_back(
    site: Site, signed_in: Page, inspect: Inspect
) -> None:
    page = signed_in
    page.goto(f"{site.url}/admin/samples/orders/none")
    expect(page.get_by_role("main")).to_contain_text("No sample has this order id.")
    inspect(page)
    page.goto(f"{site.url}/admin/samples/creators/00000000-0000-0000-0000-000000000000")
    expect(page.get_by_role("main")).to_contain_text("There is no such creator.")
