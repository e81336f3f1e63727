"""The promo code pages: create, follow, check a customer, edit, deactivate and delete."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from sandbox import Sandbox
from sandbox.data import generate_store
from sandbox.data.specs import KESSEL
from sandbox.shopify import Store
from service.core.config import Settings
from service.core.db import Pool, connect_as_owner, one, open_pool, tenant_transaction
from service.promo_codes.codes import ask_for_updates
from service.shopify.connection import connect_shopify
from service.tenants.tenants import add_tenant
from tests.browser.conftest import Inspect, Serve, Site
from tests.promo_codes import add_customers, apply_codes, move_customers, only_discount, targets_of

CUSTOMERS = 4


@dataclass(frozen=True)
class Here:
    """A store with segments, and a second one without anything."""

    site: Site
    neighbour: Site
    pool: Pool
    store: Store
    buyers: list[str]

    def apply(self) -> None:
        """Do what is queued, as a worker does."""
        apply_codes(self.site.settings, self.pool, self.site.tenant_id)


@pytest.fixture
def store() -> Store:
    return Store(generate_store(KESSEL, 1, datetime(2026, 7, 1, tzinfo=UTC)))


@pytest.fixture
def here(built_settings: Settings, shop: Sandbox, store: Store, serve: Serve) -> Iterator[Here]:
    settings = replace(built_settings, shopify_url=shop.shopify_url)
    buyers = [str(number) for number in sorted(store.customers)][:CUSTOMERS]
    with connect_as_owner(settings) as conn:
        tenant: UUID = add_tenant(conn, "kessel", store.data.domain)
        add_tenant(conn, "south", "south.myshopify.com")
    with open_pool(settings) as pool:
        connect_shopify(settings, pool, tenant, store.data.domain, store.data.token)
        add_customers(settings, tenant, {"champions": buyers[:3], "at_risk": buyers[3:]})
        with serve(settings, "kessel") as site, serve(settings, "south") as neighbour:
            yield Here(site, neighbour, pool, store, buyers)


def open_codes(page: Page, site: Site, parameters: str = "") -> None:
    page.goto(site.sign_in_link())
    page.wait_for_url("**/admin")
    page.goto(f"{site.url}/admin/promo-codes{parameters}")


def create(page: Page, here: Here, code: str = "VIP20") -> None:
    """Create a code for champions, 20 % off, and apply it."""
    open_codes(page, here.site, "?segment=rfm:champions")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Code").fill(code)
    dialog.get_by_label("Percent").fill("20")
    dialog.get_by_role("button", name="Create promo code").click()
    page.wait_for_url(f"**/admin/promo-codes/{code}")
    here.apply()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{code} Active")


def choose_more(page: Page, action: str) -> None:
    page.get_by_text("More").click()
    page.get_by_role("button", name=action).click()


def test_the_form_starts_with_a_segment_and_says_what_is_wrong(
    here: Here, page: Page, inspect: Inspect
) -> None:
    open_codes(page, here.site)
    expect(page.get_by_role("heading", name="No promo codes yet")).to_be_visible()
    inspect(page)
    page.goto(f"{here.site.url}/admin/promo-codes?segment=rfm:champions")
    dialog = page.get_by_role("dialog", name="Create promo code")
    code, percent = dialog.get_by_label("Code"), dialog.get_by_label("Percent")
    expect(code).to_be_focused()
    expect(page).not_to_have_url(re.compile("segment="))
    champions = dialog.locator("[data-picker=segments]").get_by_label("Champions")
    expect(champions).to_be_checked()
    expect(dialog.get_by_text("3 customers, 0 e-mailable").first).to_be_visible()
    search = dialog.get_by_label("Find a segment: Who may use it")
    search.fill("hib")
    expect(champions).to_be_hidden()
    search.fill("")
    inspect(page)

    # Each error is at its field, and nothing typed is lost.
    code.fill("VIP 20")
    percent.fill("twenty")
    dialog.get_by_label("Title").fill("For champions")
    dialog.get_by_role("button", name="Create promo code").click()
    expect(code).to_have_attribute("aria-invalid", "true")
    expect(percent).to_have_attribute("aria-invalid", "true")
    expect(dialog.get_by_label("Title")).to_have_value("For champions")
    inspect(page)
    page.keyboard.press("Escape")
    question = page.get_by_role("dialog", name="Discard your changes?")
    question.get_by_role("button", name="Cancel").click()
    champions.uncheck()
    percent.fill("20")
    code.fill("VIP20")
    dialog.get_by_role("button", name="Create promo code").click()
    expect(search).to_have_attribute("aria-invalid", "true")
    page.keyboard.press("Escape")
    question.get_by_role("button", name="Discard").click()
    expect(dialog).to_have_count(0)


def test_a_code_is_followed_into_shopify_and_customers_are_checked(
    here: Here, page: Page, browser: Browser, inspect: Inspect
) -> None:
    open_codes(page, here.site, "?segment=rfm:champions")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Code").fill("VIP20")
    dialog.get_by_label("Percent").fill("12.5")
    dialog.get_by_label("Starts").fill("2026-06-01T09:00")
    dialog.get_by_label("Uses in all").fill("500")
    dialog.get_by_label("Once per customer").check()
    dialog.get_by_text("Exclude segments").click()
    dialog.locator("[data-picker=excluded_segments]").get_by_label("At risk").check()
    dialog.get_by_role("button", name="Create promo code").click()
    page.wait_for_url("**/admin/promo-codes/VIP20")
    head = page.get_by_role("heading", level=1)
    expect(head).to_have_text("VIP20 Updating")
    here.apply()
    expect(head).to_have_text("VIP20 Active")
    assert targets_of(only_discount(here.store)) == set(here.buyers[:3])
    values = page.get_by_role("region", name="Values")
    # 09:00 in the store's time zone, shown there, too.
    for text in ("12.5% off", "1 Jun 2026, 09:00", "Champions", "not At risk", "500", "Once"):
        expect(values).to_contain_text(text)
    expect(page.get_by_role("region", name="In Shopify")).to_contain_text("3 of 3 customers")
    expect(page.get_by_role("region", name="History")).to_contain_text("Created in Shopify")
    check = page.get_by_role("region", name="Check a customer")
    for customer, answer in ((here.buyers[0], "May use it"), (here.buyers[3], "May not use it")):
        check.get_by_label("E-mail address or Shopify id").fill(customer)
        check.get_by_role("button", name="Check").click()
        expect(check.locator(".badge")).to_have_text(answer)
    inspect(page)

    # The other store never sees it.
    with browser.new_context() as context:
        other = context.new_page()
        open_codes(other, here.neighbour)
        expect(other.get_by_role("heading", name="No promo codes yet")).to_be_visible()
        expect(other.get_by_text("not connected")).to_be_visible()
        expect(other.get_by_role("button", name="Create promo code")).to_have_count(0)
        other.goto(f"{here.neighbour.url}/admin/promo-codes/VIP20")
        expect(other.get_by_text("There is no promo code 'VIP20'.")).to_be_visible()


def test_who_was_added_and_removed_is_listed_and_found(
    here: Here, page: Page, inspect: Inspect
) -> None:
    open_codes(page, here.site)
    create(page, here)
    page.get_by_role("link", name="Who was added and removed").click()
    expect(page.get_by_role("heading", name="Added and removed")).to_be_visible()
    first = here.buyers[0]
    move_customers(here.site.settings, here.site.tenant_id, [first], "at_risk")
    with tenant_transaction(here.pool, here.site.tenant_id) as conn:
        ask_for_updates(conn, here.site.tenant_id)
    here.apply()
    page.goto(f"{here.site.url}/admin/promo-codes/VIP20")
    check = page.get_by_role("region", name="Check a customer")
    check.get_by_label("E-mail address or Shopify id").fill(first)
    check.get_by_role("button", name="Check").click()
    expect(check).to_contain_text("Removed in Shopify")
    inspect(page)
    check.get_by_role("link", name="When this customer was added and removed").click()
    rows = page.get_by_role("row").filter(has=page.get_by_role("rowheader"))
    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_contain_text(f"c{first}@example.com")
    expect(rows.nth(0)).to_contain_text("Removed")
    expect(rows.nth(1)).to_contain_text("Added")
    page.get_by_role("link", name="Clear").click()
    expect(rows).to_have_count(4)
    page.get_by_label("Change", exact=True).select_option("removed")
    expect(rows).to_have_count(1)
    assert "change=removed" in page.url
    inspect(page)
    page.get_by_label("E-mail address or Shopify id").fill("unknown@example.com")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()
    # Pages of 50.
    with connect_as_owner(here.site.settings) as conn:
        conn.execute(
            "insert into app.promo_code_target_changes"
            " (tenant_id, promo_code_id, changed_at, kind, target_id, change)"
            " select tenant_id, promo_code_id, now(), 'customer', n::text, 'added'"
            " from app.promo_codes cross join generate_series(1, 50) as n"
        )
    page.goto(f"{here.site.url}/admin/promo-codes/VIP20/changes")
    expect(rows).to_have_count(50)
    page.get_by_role("link", name="Next page").click()
    expect(rows).to_have_count(4)
    expect(page.get_by_text("Last page")).to_be_visible()
    inspect(page)
    with connect_as_owner(here.site.settings) as conn:
        conn.execute("delete from app.promo_code_target_changes")
    page.goto(f"{here.site.url}/admin/promo-codes/VIP20/changes")
    expect(page.get_by_role("heading", name="No customers yet")).to_be_visible()
    inspect(page)


def test_a_code_is_updated_edited_and_deactivated(here: Here, page: Page, inspect: Inspect) -> None:
    create(page, here)
    move_customers(here.site.settings, here.site.tenant_id, here.buyers[3:], "champions")
    choose_more(page, "Update now")
    expect(page.get_by_text("Waiting for Shopify…")).to_be_visible()
    # The page follows the update, but not while somebody types.
    field = page.get_by_label("E-mail address or Shopify id")
    field.fill(here.buyers[0])
    here.apply()
    page.wait_for_timeout(2500)
    expect(field).to_have_value(here.buyers[0])
    field.fill("")
    expect(page.get_by_text("Waiting for Shopify…")).to_be_hidden()
    history = page.get_by_role("region", name="History").get_by_role("row")
    expect(history.nth(1)).to_contain_text("Customers updated")
    expect(page.get_by_role("region", name="In Shopify")).to_contain_text("4 of 4 customers")

    page.get_by_role("button", name="Edit").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Percent")).to_have_value("20")
    dialog.get_by_label("Discount").select_option("Amount off the order")
    amount = dialog.get_by_label("EUR")
    # One or a thousand? It is refused rather than guessed.
    amount.fill("1,000")
    dialog.get_by_role("button", name="Save").click()
    expect(amount).to_have_attribute("aria-invalid", "true")
    amount.fill("7,50")
    dialog.get_by_label("Ends").fill("2030-01-01T00:00")
    inspect(page)
    dialog.get_by_role("button", name="Save").click()
    values = page.get_by_role("region", name="Values")
    expect(values).to_contain_text("€7.50 off")
    expect(values).to_contain_text("until 1 Jan 2030, 00:00")
    here.apply()
    head = page.get_by_role("heading", level=1)
    expect(head).to_have_text("VIP20 Active")

    page.get_by_role("button", name="Deactivate").click()
    dialog.get_by_role("button", name="Deactivate").click()
    page.get_by_role("button", name="Activate", exact=True).wait_for()
    here.apply()
    expect(head).to_have_text("VIP20 Deactivated")
    inspect(page)


def test_an_edit_changes_only_what_was_edited(here: Here, page: Page, inspect: Inspect) -> None:
    create(page, here)
    # A segment that was removed later, and a start in the second hour of 02:00 that day.
    change = """
        update app.promo_codes
        set excluded_segments = '{rfm:vip}', starts_at = '2026-10-25 01:30:15.5Z'
        where tenant_id = %s
    """
    read = "select * from app.promo_codes where tenant_id = %s"
    with connect_as_owner(here.site.settings) as conn:
        conn.execute(change, [here.site.tenant_id])

    def edit() -> Locator:
        page.reload()
        page.get_by_role("button", name="Edit").click()
        return page.get_by_role("dialog")

    def save(dialog: Locator) -> dict[str, Any]:
        dialog.get_by_role("button", name="Save").click()
        expect(dialog).to_have_count(0)
        with connect_as_owner(here.site.settings) as conn:
            return one(conn.execute(read, [here.site.tenant_id]).fetchone())

    with connect_as_owner(here.site.settings) as conn:
        before = one(conn.execute(read, [here.site.tenant_id]).fetchone())
    dialog = edit()
    gone = dialog.locator("[data-picker=excluded_segments]").get_by_label("rfm:vip")
    expect(gone).to_be_checked()
    expect(dialog.get_by_text("3 customers").first).to_be_visible()
    expect(dialog.get_by_text("no longer exists")).to_be_visible()
    inspect(page)
    dialog.get_by_label("Ends").fill("2030-01-01T00:00")
    after = save(dialog)
    assert after["ends_at"] == datetime(2029, 12, 31, 23, tzinfo=UTC)
    for name in ("excluded_segments", "segments", "starts_at", "percentage", "title"):
        assert after[name] == before[name], name

    dialog = edit()
    percent = dialog.get_by_label("Percent")
    for typed in ("12.345", "0.005", "1e-1", ""):
        percent.fill(typed)
        with page.expect_response(lambda answer: answer.request.method == "PATCH") as answered:
            dialog.get_by_role("button", name="Save").click()
        assert answered.value.status == 422
        expect(percent).to_have_attribute("aria-invalid", "true")
        expect(percent).to_have_accessible_description(
            "This must be above 0 and up to 100, with at most two decimal places."
        )
    percent.fill("12.34")
    dialog.get_by_label("Title").fill("For champions")
    after = save(dialog)
    assert after["percentage"] == Decimal("0.1234")
    assert after["title"] == "For champions"

    # Empty is the code as title, and the start now, as the form says.
    dialog = edit()
    dialog.get_by_label("Title").fill("")
    dialog.get_by_label("Starts").fill("")
    gone.uncheck()
    after = save(dialog)
    assert after["title"] == "VIP20"
    assert abs(after["starts_at"] - datetime.now(UTC)) < timedelta(minutes=2)
    assert after["excluded_segments"] == []


def test_codes_are_filtered_and_one_is_deleted(here: Here, page: Page, inspect: Inspect) -> None:
    create(page, here)
    page.goto(f"{here.site.url}/admin/promo-codes?state=expired")
    expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()
    page.get_by_role("link", name="Clear filters").click()
    row = page.get_by_role("row").filter(has_text="VIP20")
    expect(row).to_contain_text("3 customers")
    inspect(page)
    row.get_by_role("link", name="VIP20").click()
    choose_more(page, "Delete")
    question = page.get_by_role("dialog", name="Delete VIP20?")
    expect(question.get_by_role("button", name="Cancel")).to_be_focused()
    inspect(page)
    question.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("VIP20 Deleting")
    here.apply()
    page.wait_for_url("**/admin/promo-codes")
    expect(page.get_by_role("heading", name="No promo codes yet")).to_be_visible()
    assert not here.store.discounts


def test_a_problem_says_what_to_do(here: Here, page: Page, inspect: Inspect) -> None:
    create(page, here)
    # Somebody deletes the discount in Shopify.
    here.store.discounts.clear()
    choose_more(page, "Update now")
    expect(page.get_by_text("Waiting for Shopify…")).to_be_visible()
    here.apply()
    page.goto(f"{here.site.url}/admin")
    attention = page.get_by_role("region", name="Needs attention")
    expect(attention).to_contain_text("The promo code VIP20 needs attention")
    attention.get_by_role("link", name="Open promo code").click()
    head = page.get_by_role("heading", level=1)
    expect(head).to_have_text("VIP20 Needs attention")
    inspect(page)
    page.get_by_role("main").get_by_role("button", name="Try again").first.click()
    expect(head).to_have_text("VIP20 Updating")
    here.apply()
    expect(head).to_have_text("VIP20 Active")
    assert len(here.store.discounts) == 1
