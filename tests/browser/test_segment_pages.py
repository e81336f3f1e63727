"""The pages of one segment and of one customer, in a browser."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from service.core.db import connect, transform_url
from tests.browser.conftest import Inspect, Site


@pytest.fixture
def champions(site: Site, signed_in: Page) -> Page:
    """A page that is signed in and shows the segment Champions."""
    signed_in.goto(f"{site.url}/admin/segments/rfm:champions")
    return signed_in


@pytest.fixture
def without_scripts(site: Site, signed_in: Page, browser: Browser) -> Iterator[Page]:
    """A page of the same session in a browser with JavaScript off."""
    context = browser.new_context(java_script_enabled=False, locale="en-GB")
    context.add_cookies(signed_in.context.cookies())
    yield context.new_page()
    context.close()


def test_a_segment_shows_its_definition_and_customers(champions: Page, inspect: Inspect) -> None:
    page = champions
    expect(page.get_by_role("heading", level=1)).to_contain_text("Champions")
    expect(page.get_by_text("R 4-5, F 4-5")).to_be_visible()
    rows = page.locator(".rows tbody tr")
    expect(rows).to_have_count(50)
    total = page.locator(".cards dd").first.inner_text()
    expect(page.locator("[data-count]")).to_have_text(f"{total} customers, 50 on this page")
    expect(rows.first.locator(".scores")).to_have_text(
        re.compile(r"^Recency [45], frequency [45], spend \d")
    )
    inspect(page)


def test_customers_are_sorted_filtered_and_paged_in_the_url(
    champions: Page, inspect: Inspect
) -> None:
    page = champions
    rows = page.locator(".rows tbody tr")
    heading = page.get_by_role("columnheader", name="Orders")
    heading.get_by_role("link").click()
    page.wait_for_url("**sort=orders*")
    expect(heading).to_have_attribute("aria-sort", "descending")
    orders = [int(text) for text in rows.locator("[data-label=Orders]").all_inner_texts()]
    assert orders == sorted(orders, reverse=True)

    first = rows.first.inner_text()
    page.get_by_role("link", name="Next page").click()
    page.wait_for_url("**cursor=*")
    expect(page.locator("[data-count]")).to_have_text("50 customers on this page")
    expect(page.locator("#members")).to_be_focused()
    assert rows.first.inner_text() != first
    page.reload()
    expect(heading).to_have_attribute("aria-sort", "descending")
    page.get_by_role("link", name="First page").click()
    expect(rows.first).to_have_text(re.compile(re.escape(first.split("\n")[0])))

    page.get_by_label("Frequency score").select_option("5")
    page.wait_for_url("**f_score=5*")
    name = rows.first.locator(".strong").inner_text()
    page.get_by_role("searchbox").fill(name)
    page.get_by_role("button", name="Search").click()
    page.wait_for_url("**q=*f_score=5*")
    expect(rows).to_have_count(1)
    for row in rows.all():
        expect(row).to_contain_text(name)
        expect(row.locator(".scores")).to_contain_text("frequency 5")
    # The exported file has the same filters.
    page.reload()
    page.get_by_text("More actions").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Export CSV").click()
    text = download.value.path().read_text("utf-8-sig")
    assert len(list(csv.DictReader(text.splitlines()))) == rows.count()


def test_a_filter_that_is_not_valid_and_a_page_that_is_gone_are_explained(
    site: Site, champions: Page, inspect: Inspect
) -> None:
    page = champions
    page.goto(f"{site.url}/admin/segments/rfm:champions?r_score=9")
    expect(page.locator(".state.bad")).to_contain_text("Recency score: This must be 5 or less.")
    inspect(page)
    page.get_by_role("link", name="Clear filters").click()
    expect(page.locator(".rows tbody tr")).to_have_count(50)
    page.goto(f"{site.url}/admin/segments/rfm:champions?cursor=no-cursor")
    expect(page.get_by_role("heading", name="This page is gone")).to_be_visible()
    inspect(page)
    page.get_by_role("link", name="First page").click()
    expect(page.locator(".rows tbody tr")).to_have_count(50)


def test_who_entered_and_left_is_on_a_tab(site: Site, champions: Page, inspect: Inspect) -> None:
    with connect(transform_url(site.settings)) as conn:
        conn.execute(
            """
            update marts.rfm_segment_transitions
            set as_of = now() - interval '2 days'
            where
                customer_id in (
                    select customer_id from marts.rfm_segment_transitions
                    where tenant_id = %(id)s and to_segment = 'champions' limit 3
                )
                and tenant_id = %(id)s
                and to_segment = 'champions'
            """,
            {"id": site.tenant_id},
        )
    page = champions
    page.get_by_role("link", name="Entered and left").click()
    page.wait_for_url("**tab=changes*")
    rows = page.locator(".rows tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.first).to_contain_text("Entered")
    inspect(page)
    rows.first.get_by_role("link").click()
    page.wait_for_url("**/admin/customers/*")


def test_a_customer_page_explains_the_segment_and_the_orders(
    champions: Page, inspect: Inspect
) -> None:
    page = champions
    link = page.locator(".rows tbody th a").first
    name = link.inner_text()
    link.press("Enter")
    page.wait_for_url("**/admin/customers/*")
    expect(page.get_by_role("heading", level=1)).to_contain_text(name)
    why = page.get_by_role("region", name="Why Champions")
    expect(why.get_by_role("listitem")).to_have_text(
        [
            re.compile(r"Recency\s*[45] of 5\s+\d+ days? since the last order: "),
            re.compile(r"Frequency\s*[45] of 5\s+\d+ orders?: .+ of customers"),
            re.compile(r"Net spend\s*\d of 5\s+(US\$|€)[\d,.]+: .+ of customers"),
        ]
    )
    expect(
        page.get_by_role("region", name="Orders").locator(".rows tbody tr").first
    ).to_contain_text("Counts")
    expect(page.get_by_role("region", name="History of segments")).to_contain_text("Champions")
    segments = page.get_by_role("region", name="Segments", exact=True)
    expect(segments.get_by_role("link", name="Champions")).to_have_attribute(
        "href", "/admin/segments/rfm:champions"
    )
    inspect(page)


def test_a_customer_page_says_why_an_order_does_not_count_and_lists_samples(
    site: Site, signed_in: Page, inspect: Inspect
) -> None:
    with connect(transform_url(site.settings)) as conn:
        row = conn.execute(
            """
            select o.customer_id, o.order_number
            from marts.orders as o
            where
                o.tenant_id = %s
                and o.sample_type is not null
                and o.exclusion_reasons @> array['sample']
                and o.customer_id is not null
            order by o.order_id
            limit 1
            """,
            [site.tenant_id],
        ).fetchone()
    assert row is not None
    page = signed_in
    page.goto(f"{site.url}/admin/customers/{row['customer_id']}")
    order = page.get_by_role("row").filter(has_text=row["order_number"])
    expect(order).to_contain_text("Does not count")
    expect(order).to_contain_text("sample")
    samples = page.get_by_role("region", name="Samples")
    expect(samples.get_by_role("link", name=row["order_number"])).to_be_visible()
    inspect(page)


def test_customers_are_found_by_name(site: Site, signed_in: Page, inspect: Inspect) -> None:
    page = signed_in
    page.goto(f"{site.url}/admin/segments")
    page.get_by_role("link", name="Find a customer").click()
    page.wait_for_url("**/admin/customers")
    rows = page.locator(".rows tbody tr")
    expect(rows).to_have_count(50)
    inspect(page)
    name = rows.nth(7).locator(".strong").inner_text()
    page.get_by_role("searchbox").fill(name)
    page.get_by_role("searchbox").press("Enter")
    page.wait_for_url("**q=*")
    expect(rows.first).to_contain_text(name)
    rows.first.get_by_role("link", name=name).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(name)


@pytest.mark.parametrize(
    "path",
    [
        *("segments", "segments?tab=shopify", "segments?tab=rfm", "segments/rfm:champions"),
        "customers",
    ],
)
def test_lists_can_be_read_without_scripts_and_do_not_move_with_them(
    site: Site, signed_in: Page, without_scripts: Page, path: str
) -> None:
    page = without_scripts
    page.goto(f"{site.url}/admin/{path}")
    assert page.locator(".rows tbody tr").count() > 0
    signed_in.add_init_script(
        """
        window.moved = 0;
        new PerformanceObserver((list) => {
          for (const entry of list.getEntries()) window.moved += entry.value;
        }).observe({ type: "layout-shift", buffered: true });
        """
    )
    for width in (400, 1440):
        signed_in.set_viewport_size({"width": width, "height": 900})
        signed_in.goto(f"{site.url}/admin/{path}", wait_until="networkidle")
        assert signed_in.evaluate("window.moved") < 0.02
