"""The segments page, in a browser: the RFM tab, a recalculation, the Shopify tab."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, expect

from service.config import Settings
from service.db import connect_as_owner
from service.tenants import add_tenant
from tests.browser.conftest import Inspect, Serve, Site

BUILD_PATIENCE_MS = 90_000


@contextmanager
def worker(settings: Settings) -> Iterator[None]:
    """``quintile worker`` on the same database."""
    environment = os.environ | {
        "QUINTILE_DATABASE_URL": settings.database_url,
        "QUINTILE_HOME": settings.home,
        "QUINTILE_SECRET_KEY": settings.secret_key,
    }
    command = [sys.executable, "-c", "from service.cli import main; main()", "worker"]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


def test_the_rfm_tab_shows_all_segments_with_values_as_text(
    site: Site, signed_in: Page, inspect: Inspect
) -> None:
    page = signed_in
    rows = page.locator(".distribution tbody tr")
    expect(rows).to_have_count(6)
    for label in ("Champions", "Loyal", "New", "At risk", "Hibernating", "Potential"):
        row = rows.filter(has=page.get_by_role("link", name=label, exact=True))
        expect(row).to_contain_text(re.compile(r"[\d,]+ [\d.]+%"))
    # The build is as of midnight UTC; the store, and so the page, is in New York.
    expect(page.locator("#summary")).to_contain_text("As of 30 Jun 2026, 20:00, next ")
    expect(page.locator(".rows tbody tr")).to_have_count(50)
    inspect(page)


def test_a_segment_leads_to_its_customers_and_their_next_page(site: Site, signed_in: Page) -> None:
    page = signed_in
    page.get_by_role("link", name="Champions", exact=True).click()
    page.wait_for_url("**segment=champions*")
    expect(page.get_by_role("heading", name="Champions")).to_be_visible()
    rows = page.locator(".rows tbody tr")
    expect(rows).to_have_count(50)
    expect(page.locator(".rows tbody tr td:nth-child(2)", has_text="Champions")).to_have_count(50)
    first = rows.first.inner_text()
    page.get_by_role("link", name="Next page").click()
    page.wait_for_url("**cursor=*")
    expect(rows).to_have_count(50)
    assert rows.first.inner_text() != first
    page.get_by_role("link", name="First page").click()
    expect(rows.first).to_have_text(re.compile(re.escape(first.split()[0])))


def test_the_page_works_by_keyboard(site: Site, signed_in: Page) -> None:
    page = signed_in
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Recalculate")).to_be_focused()


def test_recalculating_shows_its_progress_and_then_the_new_numbers(
    site: Site, signed_in: Page, inspect: Inspect
) -> None:
    page = signed_in
    page.get_by_role("button", name="Recalculate").click()
    expect(page.get_by_role("status")).to_contain_text("Waiting for its turn")
    expect(page.get_by_role("button", name="Recalculate")).to_be_disabled()
    inspect(page)
    page.reload()
    # The run is found again by whoever looks at the page.
    expect(page.get_by_role("status")).to_contain_text("Waiting for its turn")
    with worker(site.settings):
        expect(page.get_by_role("status")).to_contain_text("Done", timeout=BUILD_PATIENCE_MS)
    expect(page.get_by_role("button", name="Recalculate")).to_be_enabled()
    expect(page.locator("#summary")).not_to_contain_text("30 Jun 2026, 20:00")
    inspect(page)


def test_a_run_that_fails_says_why_and_what_to_do(
    site: Site, signed_in: Page, inspect: Inspect
) -> None:
    page = signed_in
    page.get_by_role("button", name="Recalculate").click()
    expect(page.get_by_role("status")).to_contain_text("Waiting for its turn")
    with connect_as_owner(site.settings) as conn:
        conn.execute(
            """
            update app.runs
            set state = 'failed', finished_at = now(), error = 'No disk.', advice = 'Free some.'
            where state = 'queued'
            """
        )
    expect(page.get_by_role("status")).to_have_text("No disk.")
    expect(page.get_by_text("Free some.")).to_be_visible()
    expect(page.get_by_role("button", name="Recalculate")).to_be_enabled()
    inspect(page)


def test_the_shopify_tab_lists_the_stores_segments(
    site: Site, signed_in: Page, inspect: Inspect
) -> None:
    page = signed_in
    page.get_by_role("link", name="Shopify", exact=True).click()
    page.wait_for_url("**tab=shopify")
    rows = page.locator(".rows tbody tr")
    expect(rows.first).to_be_visible()
    total = rows.count()
    expect(page.get_by_text(re.compile("^As of .*, next "))).to_be_visible()
    expect(page.get_by_role("button", name="Sync now")).to_be_visible()
    inspect(page)
    name = rows.last.get_by_role("rowheader").inner_text()
    page.get_by_role("searchbox").fill(name)
    page.get_by_role("button", name="Search").click()
    page.wait_for_url("**q=*")
    expect(page.get_by_role("rowheader", name=name)).to_be_visible()
    assert rows.count() < total


def test_a_new_tenant_is_told_what_to_do(
    built_settings: Settings, page: Page, serve: Serve, inspect: Inspect
) -> None:
    with connect_as_owner(built_settings) as conn:
        add_tenant(conn, "fresh", None)
    with serve(built_settings, "fresh") as site:
        page.goto(site.sign_in_link())
        expect(page.get_by_role("heading", name="Not calculated yet")).to_be_visible()
        inspect(page)
        page.goto(f"{site.url}/admin/segments?tab=shopify")
        expect(page.get_by_role("heading", name="Not connected to Shopify")).to_be_visible()
        inspect(page)
        page.goto(f"{site.url}/admin/samples")
        expect(page.get_by_role("heading", name="No samples yet")).to_be_visible()
        inspect(page)
