"""The tabs of the segments, in a browser: all, RFM with its pages, Shopify and its sync."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Dialog, Page, expect

from service.api.segment_list import list_segments_of
from service.core.config import Settings
from service.core.db import connect, connect_as_owner, transform_url
from service.tenants.tenants import add_tenant
from service.ui import rfm_pages
from tests.browser.conftest import Inspect, Serve, Site
from tests.command import environment_of
from tests.web import add_explanations, add_history, add_scored_customers

BUILD_PATIENCE_MS = 90_000


@pytest.fixture
def signed_in(site: Site, signed_in: Page) -> Page:
    """A page that is signed in and shows the segments."""
    signed_in.goto(f"{site.url}/admin/segments")
    return signed_in


@pytest.fixture
def rfm(site: Site, signed_in: Page) -> Page:
    """A page that is signed in and shows the RFM tab."""
    signed_in.goto(f"{site.url}/admin/segments?tab=rfm")
    return signed_in


@pytest.fixture
def rfm_settings(site: Site, signed_in: Page) -> Page:
    """A page that is signed in and shows the RFM settings."""
    signed_in.goto(f"{site.url}/admin/segments/settings")
    return signed_in


@contextmanager
def worker(settings: Settings) -> Iterator[None]:
    """``quintile worker`` on the same database."""
    command = [sys.executable, "-c", "from service.cli.main import main; main()", "worker"]
    process = subprocess.Popen(
        command, env=environment_of(settings), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


def test_the_rfm_tab_shows_all_segments_with_values_as_text(
    site: Site, rfm: Page, inspect: Inspect
) -> None:
    page = rfm
    rows = page.locator(".distribution tbody tr")
    expect(rows).to_have_count(6)
    for label in ("Champions", "Loyal", "New", "At risk", "Hibernating", "Potential"):
        row = rows.filter(has=page.get_by_role("link", name=label, exact=True))
        expect(row).to_contain_text(re.compile(r"[\d,]+ [\d.]+%"))
    # The build is as of midnight UTC; the store, and so the page, is in New York.
    expect(page.locator("#summary")).to_contain_text("As of 30 Jun 2026, 20:00, next ")
    inspect(page)


def test_a_cell_of_the_heat_map_leads_to_its_customers(rfm: Page, inspect: Inspect) -> None:
    page = rfm
    cells = page.get_by_role("region", name="Heat map of scores").locator("tbody td")
    expect(cells).to_have_count(25)
    cell = cells.nth(4)
    expect(cell).to_contain_text("Champions")
    amount = cell.locator(".strong").inner_text()
    cell.get_by_role("link").press("Enter")
    page.wait_for_url("**/admin/segments/rfm:champions?r_score=5&f_score=5#members")
    expect(page.locator("[data-count]")).to_contain_text(f"{amount} customers")
    expect(page.get_by_label("Recency score")).to_have_value("5")
    for scores in page.locator(".rows .scores").all():
        expect(scores).to_contain_text("Recency 5, frequency 5,")


def test_a_chart_tells_the_values_of_a_day_by_keyboard(
    site: Site, rfm: Page, inspect: Inspect
) -> None:
    days = {"2026-05-01": {"x": "new"}, "2026-06-01": {"x": "loyal", "y": "loyal"}}
    add_history(site.settings, site.tenant_id, days)
    page = rfm
    page.reload()
    chart = page.get_by_role("slider", name="Customers by segment over time")
    chart.focus()
    values = page.locator(".plot-values")
    expect(values).to_contain_text("1 Jul 2026")
    chart.press("ArrowLeft")
    expect(values).to_contain_text("1 Jun 2026")
    expect(values.locator("dd").nth(1)).to_have_text("2")
    expect(chart).to_have_attribute("aria-valuetext", re.compile("^1 Jun 2026, .*Loyal 2, New 0"))
    chart.press("Home")
    expect(chart).to_have_attribute("aria-valuenow", "0")
    inspect(page)
    chart.press("Escape")
    expect(values).to_be_hidden()


def test_the_page_works_by_keyboard(site: Site, rfm: Page) -> None:
    page = rfm
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="RFM settings")).to_be_focused()


def test_recalculating_shows_its_progress_and_then_the_new_numbers(
    site: Site, rfm: Page, inspect: Inspect
) -> None:
    page = rfm
    page.get_by_role("button", name="Recalculate").click()
    expect(page.locator("[data-run-text]")).to_contain_text("Waiting to start")
    expect(page.get_by_role("button", name="Recalculate")).to_be_disabled()
    inspect(page)
    page.reload()
    # The run is found again after a reload.
    expect(page.locator("[data-run-text]")).to_contain_text("Waiting to start")
    with worker(site.settings):
        expect(page.locator("[data-run-text]")).to_contain_text("Done", timeout=BUILD_PATIENCE_MS)
    expect(page.get_by_role("button", name="Recalculate")).to_be_enabled()
    expect(page.locator("#summary")).not_to_contain_text("30 Jun 2026, 20:00")
    inspect(page)


def test_recalculating_after_the_session_has_ended_says_so(site: Site, rfm: Page) -> None:
    page = rfm
    page.evaluate("document.body.dataset.isSame = '1'")
    page.context.clear_cookies()
    page.get_by_role("button", name="Recalculate").click()
    text = page.locator("[data-run-text]")
    expect(text).to_contain_text("Your session has ended.")
    again = page.context.new_page()
    again.goto(site.sign_in_link())
    again.wait_for_url("**/admin")
    again.close()
    page.get_by_role("button", name="Recalculate").click()
    expect(text).to_have_text("Waiting to start…")
    assert page.evaluate("document.body.dataset.isSame") == "1"


def test_a_run_that_fails_says_why_and_what_to_do(site: Site, rfm: Page, inspect: Inspect) -> None:
    page = rfm
    page.get_by_role("button", name="Recalculate").click()
    expect(page.locator("[data-run-text]")).to_contain_text("Waiting to start")
    with connect_as_owner(site.settings) as conn:
        conn.execute(
            """
            update app.runs
            set state = 'failed', finished_at = now(), error = 'No disk.', advice = 'Free some.'
            where state = 'queued'
            """
        )
    expect(page.locator("[data-run-text]")).to_have_text("No disk.")
    expect(page.get_by_text("Free some.")).to_be_visible()
    expect(page.get_by_role("button", name="Recalculate")).to_be_enabled()
    inspect(page)


def test_score_cut_offs_are_shown_in_words(site: Site, rfm: Page) -> None:
    rows = rfm.locator("#thresholds tbody tr")
    expect(rows).to_have_count(4)
    for row in rows.all():
        expect(row.locator("td").first).to_contain_text(re.compile(r"last order within \d+ day"))
        expect(row.locator("td").nth(1)).to_contain_text(re.compile("or more orders|no customers"))
        expect(row.locator("td").nth(2)).to_contain_text(re.compile(r"more than (US\$|€)[\d.,]+"))
        # The count includes customers with a higher score.
        expect(row).to_contain_text(re.compile(r"\(reached by [\d,]+ customers?\)"))
    # On a narrow screen nothing is cut off at the side.
    rfm.set_viewport_size({"width": 400, "height": 900})
    table = rfm.locator("#thresholds .scroll")
    assert table.evaluate("panel => panel.scrollWidth <= panel.clientWidth")


def test_trend_and_movements_follow_the_recorded_days(
    site: Site, rfm: Page, inspect: Inspect
) -> None:
    add_history(
        site.settings,
        site.tenant_id,
        {
            "2026-05-01": {"x": "new", "y": "new", "z": "loyal"},
            "2026-06-01": {"x": "loyal", "y": "new", "z": None},
        },
    )
    page = rfm
    page.reload()
    expect(page.get_by_role("img", name="Customers by segment over time")).to_be_visible()
    assert page.locator(".trend polyline").count() == 6
    expect(page.locator(".trend text[data-on]")).to_have_text(["1 May 2026", "1 Jul 2026"])
    page.get_by_text("Show as table").click()
    days = page.locator("#trend tbody tr")
    expect(days.locator("th")).to_have_text(["1 Jul 2026", "1 Jun 2026", "1 May 2026"])
    expect(days.last.locator("td")).to_have_text(["0", "1", "2", "0", "0", "0"])

    # No calculation on either date: the newest one before it stands for it.
    page.get_by_label("From").fill("2026-05-20")
    page.get_by_label("To", exact=True).fill("2026-06-30")
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url("**from=2026-05-20&to=2026-06-30*")
    moves = page.locator("#movements")
    expect(moves).to_contain_text("2 customers moved")
    expect(moves).to_contain_text("between 1 May 2026 and 1 Jun 2026")
    matrix = moves.get_by_role("row")
    expect(matrix.nth(2).locator("td")).to_have_text(["0", "0", "0", "0", "0", "0", "1", "1"])
    expect(matrix.nth(3).locator("td")).to_have_text(["0", "1", "1", "0", "0", "0", "0", "2"])
    expect(matrix.last.locator("td")).to_have_text(["0", "1", "1", "0", "0", "0", "1", ""])
    inspect(page)

    # Drawn as a flow chart too, and the dates stay when the page is opened again.
    flow = page.get_by_role("img", name="Movements as a flow chart")
    expect(flow.locator(".ribbon.moved title")).to_have_text(
        ["Loyal → No segment: 1", "New → Loyal: 1"]
    )
    page.reload()
    expect(moves).to_contain_text("2 customers moved")

    page.get_by_label("From").fill("2026-04-01")
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url("**from=2026-04-01*")
    expect(page.get_by_label("From")).to_have_accessible_description(
        re.compile("^History begins on 2026-05-01.")
    )
    inspect(page)


def test_settings_are_saved_recalculated_and_undone(
    site: Site, rfm_settings: Page, inspect: Inspect
) -> None:
    page = rfm_settings

    def saved() -> tuple[object, ...]:
        with connect_as_owner(site.settings) as conn:
            row = conn.execute(
                """
                select
                    window_days, minimum_minor, excluded_domains, relay_domains,
                    is_sample_counted, additional_window_days
                from app.rfm_settings
                where tenant_id = %s
                """,
                [site.tenant_id],
            ).fetchone()
        assert row is not None
        return tuple(row.values())

    before = saved()
    status = page.locator("[data-settings-status]")
    save = page.get_by_role("button", name="Save settings")
    save.click()
    expect(status).to_have_text("No changes to save.")

    page.get_by_label("Window (days)").fill("90")
    page.get_by_label("Additional windows (days)").fill("365, 30 180")
    page.get_by_label("Minimum order value (USD)").fill("12.5")
    page.get_by_label("Count paid samples").check()
    page.get_by_label("Excluded e-mail domains").fill("Brand.example\n\n  shop.example ")
    page.get_by_label("Relay e-mail domains").fill("Relay*.market.example")
    save.click()
    expect(status).to_contain_text("Saved.")
    assert saved() == (
        *(90, 1250, ["brand.example", "shop.example"], ["relay*.market.example"]),
        *(True, [30, 180, 365]),
    )
    expect(page.get_by_label("Minimum order value (USD)")).to_have_value("12.50")
    expect(page.get_by_label("Additional windows (days)")).to_have_value("30, 180, 365")
    expect(page.locator("[data-run-status]")).to_contain_text("Waiting to start")
    inspect(page)

    page.get_by_role("button", name="Undo").click()
    expect(status).to_have_text("Change undone.")
    assert saved() == before
    expect(page.get_by_label("Window (days)")).to_have_value("365")


def test_a_wrong_setting_shows_an_error_at_its_field(
    site: Site, rfm_settings: Page, inspect: Inspect
) -> None:
    page = rfm_settings
    wrong = {
        "Window (days)": ("0", "This must be 1 or more."),
        "Additional windows (days)": ("90, many", "This must be a whole number."),
        "Time zone": ("Mars/Base", "'Mars/Base' is not a time zone."),
        "Minimum order value (USD)": ("ten", "Enter an amount such as 25.00."),
        "Excluded e-mail domains": ("not a domain", "A domain looks like example.com."),
        "Relay e-mail domains": ("relay.*", "A relay domain looks like relay.example.com"),
    }
    for label, (value, message) in wrong.items():
        field = page.get_by_label(label)
        right = field.input_value()
        field.fill(value)
        page.get_by_role("button", name="Save settings").click()
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(field).to_have_accessible_description(re.compile(re.escape(message)))
        expect(field).to_be_focused()
        expect(page.locator("[data-settings-status]")).to_have_text(
            "Not saved. Fix the marked fields."
        )
        field.fill(right)
    inspect(page)


def test_unsaved_input_survives_the_end_of_a_run(site: Site, rfm_settings: Page) -> None:
    page = rfm_settings
    page.get_by_role("button", name="Recalculate").click()
    expect(page.locator("[data-run-text]")).to_contain_text("Waiting to start")
    page.get_by_label("Window (days)").fill("77")
    with connect_as_owner(site.settings) as conn:
        conn.execute(
            "update app.runs set state = 'succeeded', finished_at = now() where state = 'queued'"
        )
    expect(page.locator("[data-run-text]")).to_contain_text("Done")
    expect(page.get_by_label("Window (days)")).to_have_value("77")
    expect(page.get_by_label("Window (days)")).to_be_focused()
    # The browser asks before the page is left.
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    page.get_by_role("link", name="Edit segments").click(no_wait_after=True)
    expect(page.get_by_label("Window (days)")).to_have_value("77")
    assert asked == ["beforeunload"]


def test_the_rfm_tab_opens_while_a_build_ends(
    built_settings: Settings, page: Page, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect_as_owner(built_settings) as conn:
        tenant_id = add_tenant(conn, "north", None)
    add_scored_customers(built_settings, tenant_id, [("1", "new", "5.00"), ("2", "former", "5.00")])
    add_explanations(built_settings, tenant_id)

    def read_after_the_build(*args: Any) -> dict[str, Any]:
        with connect(transform_url(built_settings)) as conn:
            conn.execute("delete from marts.rfm_segment_summary where segment = 'former'")
        return list_segments_of(*args)

    monkeypatch.setattr(rfm_pages, "list_segments_of", read_after_the_build)
    with serve(built_settings, "north") as site:
        page.goto(site.sign_in_link())
        page.wait_for_url("**/admin")
        page.goto(f"{site.url}/admin/segments?tab=rfm")
        row = page.locator(".distribution tbody tr").filter(has_text="former")
        expect(row).to_have_count(1)


def test_limited_data_and_a_history_of_one_day_are_pointed_out(
    built_settings: Settings, page: Page, serve: Serve, inspect: Inspect
) -> None:
    with connect_as_owner(built_settings) as conn:
        tenant_id = add_tenant(conn, "young", None)
    add_scored_customers(built_settings, tenant_id, [("1", "new", "5.00")])
    add_explanations(
        built_settings, tenant_id, ("few_customers", "short_history"), customers=1, history_days=9
    )
    add_history(built_settings, tenant_id, {"2026-07-01": {"1": "new"}})
    with serve(built_settings, "young") as site:
        page.goto(site.sign_in_link())
        page.wait_for_url("**/admin")
        page.goto(f"{site.url}/admin/segments?tab=rfm")
        warning = page.locator(".quality li")
        expect(warning).to_have_count(2)
        expect(warning.first).to_contain_text("Only 1 customer ordered in the window.")
        expect(warning.last).to_contain_text("Import older orders")
        expect(page.get_by_role("heading", name="Only one day of history")).to_be_visible()
        expect(page.get_by_role("heading", name="Nothing to compare yet")).to_be_visible()
        inspect(page)


def test_the_shopify_tab_lists_the_stores_segments(
    site: Site, signed_in: Page, inspect: Inspect
) -> None:
    page = signed_in
    page.goto(f"{site.url}/admin/segments")
    page.get_by_role("link", name="Shopify", exact=True).click()
    page.wait_for_url("**tab=shopify")
    rows = page.locator(".rows tbody tr")
    total = rows.count()
    expect(page.get_by_text(re.compile("As of .*, next "))).to_be_visible()
    expect(page.get_by_role("button", name="Sync now")).to_be_visible()
    # A query is on one line, and all of it on focus.
    query = rows.first.locator(".one-line")
    assert query.bounding_box()["height"] < 30
    expect(query.locator(".whole-text")).to_be_hidden()
    query.focus()
    expect(query.locator(".whole-text")).to_be_visible()
    inspect(page)
    name = rows.last.get_by_role("rowheader").inner_text()
    page.get_by_role("searchbox").fill(name)
    page.get_by_role("searchbox").press("Enter")
    page.wait_for_url("**q=*")
    expect(page.get_by_role("rowheader", name=name)).to_be_visible()
    assert rows.count() < total
    rows.first.get_by_role("link", name=name).click()
    expect(page.get_by_role("heading", level=1, name=name)).to_be_visible()


def test_all_segments_are_searched_and_sorted_without_a_reload(
    site: Site, signed_in: Page, inspect: Inspect
) -> None:
    page = signed_in
    page.goto(f"{site.url}/admin/segments")
    rows = page.locator(".rows tbody tr")
    expect(rows.filter(has_text="RFM")).to_have_count(6)
    assert rows.filter(has_text="Shopify").count() > 0
    total = rows.count()
    page.evaluate("window.isKept = true")

    heading = page.get_by_role("columnheader", name="Members")
    heading.get_by_role("link").press("Enter")
    page.wait_for_url("**sort=members*")
    expect(heading).to_have_attribute("aria-sort", "descending")
    expect(heading.get_by_role("link")).to_be_focused()
    sizes = [
        int(text.replace(",", "")) for text in rows.locator("td:nth-child(4)").all_inner_texts()
    ]
    assert sizes == sorted(sizes, reverse=True)

    search = page.get_by_role("searchbox")
    search.fill("champ")
    search.press("Enter")
    page.wait_for_url("**q=champ*")
    expect(rows).to_have_count(1)
    expect(page.locator("main > [role=status]")).to_have_text("1 segment")
    search.fill("no such segment")
    search.press("Enter")
    expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()
    inspect(page)
    page.get_by_role("link", name="Clear filters").click()
    expect(rows).to_have_count(total)
    page.go_back()
    expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()
    assert page.evaluate("window.isKept")
    # A parameter that has no field is cleared, too.
    page.goto(f"{site.url}/admin/segments?sort=x")
    page.get_by_role("link", name="Clear filters").click()
    expect(rows).to_have_count(total)


def test_the_actions_of_a_segment_are_in_a_menu(
    site: Site, signed_in: Page, inspect: Inspect
) -> None:
    page = signed_in
    page.goto(f"{site.url}/admin/segments")
    menu = page.get_by_role("group").filter(has_text="for Champions")
    menu.locator("summary").press("Enter")
    targets = {
        "Sync to Klaviyo": "/admin/klaviyo?add=1&segment=rfm:champions",
        "Create promo code": "/admin/promo-codes?segment=rfm:champions",
        "Export CSV": "/api/admin/segments/rfm:champions/customers.csv",
        "Notify by webhook": "/admin/settings/webhooks?segment=rfm:champions",
    }
    for name, href in targets.items():
        expect(menu.get_by_role("link", name=name)).to_have_attribute("href", href)
    inspect(page)
    page.keyboard.press("Escape")
    expect(menu.get_by_role("link", name="Export CSV")).to_be_hidden()
    expect(menu.locator("summary")).to_be_focused()


def test_a_store_sees_none_of_the_segments_and_customers_of_another(
    site: Site, serve: Serve, page: Page, browser: Browser
) -> None:
    with connect(transform_url(site.settings)) as conn:
        rows = conn.execute("select name, tenant_id from app.tenants").fetchall()
        (other,) = (row for row in rows if row["tenant_id"] != site.tenant_id)
        foreign = conn.execute(
            """
            select
                (select min(segment_id) from shopify.cached_segments where tenant_id = %(id)s)
                    as segment,
                (
                    select min(customer_id)
                    from marts.customer_facts as f
                    where f.tenant_id = %(id)s and f.customer_id not in (
                        select customer_id from marts.customer_facts where tenant_id <> %(id)s
                    )
                ) as customer
            """,
            {"id": site.tenant_id},
        ).fetchone()
    assert foreign is not None
    seen: dict[str, str] = {}
    with serve(site.settings, other["name"]) as second:
        page.goto(second.sign_in_link())
        page.wait_for_url("**/admin")
        for path in ("segments", "segments?tab=shopify", "segments/rfm:champions", "customers"):
            page.goto(f"{second.url}/admin/{path}")
            seen[path] = page.locator("main").inner_text()
        for path in (f"segments/shopify:{foreign['segment']}", f"customers/{foreign['customer']}"):
            answer = page.goto(f"{second.url}/admin/{path}")
            assert answer is not None
            assert answer.status == 404
            expect(page.get_by_role("heading", name="Not found")).to_be_visible()
    first = browser.new_page()
    first.goto(site.sign_in_link())
    first.wait_for_url("**/admin")
    for path in ("segments/rfm:champions", "customers"):
        first.goto(f"{site.url}/admin/{path}")
        for address in first.locator(".rows .email").all_inner_texts():
            assert address not in seen[path]
    first.close()


def test_a_segment_sync_shows_its_progress_and_result(
    site: Site, signed_in: Page, inspect: Inspect
) -> None:
    page = signed_in
    page.goto(f"{site.url}/admin/segments?tab=shopify")
    rows = page.locator(".rows tbody tr")
    expect(rows.first).to_be_visible()
    expect(page.get_by_text(f"{rows.count()} segments.")).to_be_visible()
    page.get_by_role("button", name="Sync now").click()
    expect(page.locator("[data-run-text]")).to_contain_text("Waiting to start")
    inspect(page)
    with worker(site.settings):
        expect(page.locator("[data-run-text]")).to_contain_text(
            re.compile(rf"Done: {rows.count()} segments with [\d,]+ members, 0 changed"),
            timeout=BUILD_PATIENCE_MS,
        )
    expect(page.get_by_role("button", name="Sync now")).to_be_enabled()
    inspect(page)


def test_unreadable_and_deleted_segments_are_pointed_out(
    site: Site, signed_in: Page, inspect: Inspect
) -> None:
    with connect_as_owner(site.settings) as conn:
        conn.execute(
            """
            update shopify.cached_segments
            set gone_at = now()
            where segment_id in (select min(segment_id) from shopify.cached_segments)
            """
        )
        conn.execute(
            """
            insert into shopify.rejected_rows (tenant_id, entity, source_id, reason, payload)
            select tenant_id, 'segment', segment_id, 'refused', '{}' from shopify.cached_segments
            """
        )
    page = signed_in
    page.goto(f"{site.url}/admin/segments?tab=shopify")
    expect(page.get_by_text("could not be read")).to_be_visible()
    expect(page.get_by_text("Deleted in Shopify")).to_be_visible()
    inspect(page)


def test_a_new_tenant_sees_what_to_do(
    built_settings: Settings, page: Page, serve: Serve, inspect: Inspect
) -> None:
    with connect_as_owner(built_settings) as conn:
        add_tenant(conn, "fresh", None)
    with serve(built_settings, "fresh") as site:
        page.goto(site.sign_in_link())
        page.wait_for_url("**/admin")
        page.goto(f"{site.url}/admin/segments?tab=rfm")
        expect(page.get_by_role("heading", name="Not calculated yet")).to_be_visible()
        inspect(page)
        page.goto(f"{site.url}/admin/segments/rfm:champions")
        expect(page.get_by_role("heading", name="No history yet")).to_be_visible()
        inspect(page)
        page.goto(f"{site.url}/admin/customers")
        expect(page.get_by_role("heading", name="No customers yet")).to_be_visible()
        inspect(page)
        page.goto(f"{site.url}/admin/segments?tab=shopify")
        expect(page.get_by_role("heading", name="Not connected to Shopify")).to_be_visible()
        inspect(page)
        page.goto(f"{site.url}/admin/samples")
        expect(page.get_by_role("heading", name="No samples yet")).to_be_visible()
        inspect(page)


def test_segments_are_edited_by_keyboard_and_every_fault_is_told(
    site: Site, rfm: Page, inspect: Inspect
) -> None:
    page = rfm
    page.get_by_role("link", name="Edit segments").press("Enter")
    page.wait_for_url("**/segments/rule")
    expect(page.get_by_text("These are the default segments.")).to_be_visible()
    inspect(page)

    page.get_by_role("button", name="Add segment").press("Enter")
    label = page.get_by_label("Label", exact=True).last
    expect(label).to_be_focused()
    page.keyboard.type("Big spenders")
    expect(page.get_by_label("Key", exact=True).last).to_have_value("big_spenders")
    page.get_by_label("Colour", exact=True).last.fill("#ffff00")
    save = page.get_by_role("button", name="Save and recalculate")
    save.press("Enter")
    told = page.get_by_role("alert")
    expect(told).to_contain_text("Segment 'big_spenders' has no cell in the grid.")
    inspect(page)

    cell = page.get_by_label("Recency 5, frequency 5", exact=True)
    expect(cell).to_have_value("champions")
    cell.select_option(label="By spend…")
    page.get_by_label("Recency 5, frequency 5, spend 5").select_option(label="Big spenders")
    page.get_by_role("button", name="Remove Potential").press("Enter")
    expect(page.get_by_label("Recency 3, frequency 1", exact=True)).to_have_value("potential")
    save.press("Enter")
    expect(told).to_contain_text("Choose one where the table has none.")
    for frequency in (1, 2):
        page.get_by_label(f"Recency 3, frequency {frequency}", exact=True).select_option(
            label="Hibernating"
        )
    for _ in range(5):
        page.get_by_role("button", name="Move up Big spenders").press("Enter")
    expect(page.get_by_role("button", name="Move down Big spenders")).to_be_focused()
    save.press("Enter")
    expect(page.locator("[data-rule] [data-status]")).to_contain_text("Saved.")
    expect(page.locator("[data-run-status]")).to_contain_text("Waiting to start")
    expect(page.get_by_label("Label", exact=True).first).to_have_value("Big spenders")
    inspect(page)
    with connect_as_owner(site.settings) as conn:
        saved = conn.execute(
            """
            select r_score, f_score, m_score from app.rfm_segment_grid
            where tenant_id = %s and segment = 'big_spenders'
            """,
            [site.tenant_id],
        ).fetchall()
    assert saved == [{"r_score": 5, "f_score": 5, "m_score": 5}]

    # The new segment is on the page of segments, and can feed a list.
    page.goto(f"{site.url}/admin/segments?tab=rfm")
    expect(page.locator(".distribution tbody tr").first).to_contain_text("Big spenders")
    former = page.locator(".distribution tbody tr").filter(has_text="Replaced;")
    expect(former).to_contain_text("Potential")
    inspect(page)
    page.goto(f"{site.url}/admin/segments/rule")
    page.get_by_role("button", name="Use the default segments").press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Use the default segments").click()
    expect(page.get_by_text("These are the default segments.")).to_be_visible()
    expect(page.get_by_label("Label", exact=True)).to_have_count(6)


@pytest.fixture
def rule(settings: Settings, page: Page, serve: Serve) -> Iterator[Site]:
    """A store with the default segments, and the page that edits them. Nothing was built."""
    with connect_as_owner(settings) as conn:
        add_tenant(conn, "north", None)
    with serve(settings, "north") as site:
        page.goto(site.sign_in_link())
        page.wait_for_url("**/admin")
        page.goto(f"{site.url}/admin/segments/rule")
        yield site


def grid_of(page: Page) -> list[str]:
    """The label that each combination of recency and frequency has."""
    names: list[str] = page.locator("[data-grid] td > select").evaluate_all(
        "cells => cells.map(cell => cell.selectedOptions[0].textContent)"
    )
    return names


def saved_grid_of(site: Site) -> dict[str, int]:
    """How many cells each segment has in the database, by key."""
    with connect_as_owner(site.settings) as conn:
        rows = conn.execute(
            "select segment, count(*) as cells from app.rfm_segment_grid"
            " where tenant_id = %s group by segment",
            [site.tenant_id],
        ).fetchall()
    return {row["segment"]: row["cells"] for row in rows}


def test_a_new_segments_label_and_key_move_no_cells(rule: Site, page: Page) -> None:
    before = grid_of(page)
    assert before.count("New") > 1
    page.get_by_role("button", name="Add segment").click()
    key = page.get_by_label("Key", exact=True).last
    page.keyboard.type("New")
    expect(key).to_have_value("new_2")
    page.keyboard.type(" VIP")
    expect(key).to_have_value("new_vip")
    assert grid_of(page) == before

    # Its cells stay its own while its key is typed, also while that is another segment's.
    page.get_by_label("Recency 5, frequency 5", exact=True).select_option(label="New VIP")
    key.fill("")
    key.press_sequentially("new")
    key.press_sequentially("_vips")
    before[4] = "New VIP"
    assert grid_of(page) == before
    page.get_by_label("Label", exact=True).last.fill("New VIPs")
    expect(key).to_have_value("new_vips")
    page.get_by_role("button", name="Save and recalculate").click()
    expect(page.locator("[data-rule] [data-status]")).to_contain_text("Saved.")
    saved = saved_grid_of(rule)
    assert saved["new_vips"] == 1
    assert saved["new"] == before.count("New")


def test_a_removed_segments_cells_are_not_those_of_a_new_one(rule: Site, page: Page) -> None:
    page.get_by_role("button", name="Remove Potential").click()
    page.get_by_role("button", name="Add segment").click()
    page.keyboard.type("Potential")
    expect(page.get_by_label("Key", exact=True).last).to_have_value("potential")
    page.get_by_label("Recency 3, frequency 1", exact=True).select_option(label="Potential")
    expect(page.locator("[data-grid] [aria-invalid]")).to_have_count(1)
    page.get_by_role("button", name="Save and recalculate").click()
    expect(page.get_by_role("alert")).to_contain_text("Choose one where the table has none.")
    assert saved_grid_of(rule) == {}


def test_edited_segments_are_not_lost_unasked(rule: Site, page: Page, inspect: Inspect) -> None:
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    label = page.get_by_label("Label", exact=True).first
    label.fill("Best")
    page.get_by_role("link", name="Home").click(no_wait_after=True)
    expect(label).to_have_value("Best")
    assert asked == ["beforeunload"]
    with connect_as_owner(rule.settings) as conn:
        conn.execute("delete from app.sessions")
    page.get_by_role("button", name="Save and recalculate").click()
    told = page.get_by_role("alert")
    expect(told).to_contain_text("Your session has ended.")
    inspect(page)
    expect(label).to_have_value("Best")
    assert asked == ["beforeunload"]
    with page.expect_popup() as opened:
        told.get_by_role("link", name="Sign in").click()
    expect(opened.value.get_by_role("heading", name="Sign in")).to_be_visible()
    opened.value.goto(rule.sign_in_link())
    opened.value.wait_for_url("**/admin")
    page.get_by_role("button", name="Save and recalculate").click()
    expect(page.locator("[data-rule] [data-status]")).to_contain_text("Saved.")
    expect(told).to_have_count(0)
    page.get_by_role("link", name="Home").click()
    page.wait_for_url("**/admin")
    assert asked == ["beforeunload"]


def test_a_stores_own_segments_are_replaced_after_a_question_only(
    rule: Site, page: Page, inspect: Inspect
) -> None:
    label = page.get_by_label("Label", exact=True).first
    label.fill("Best")
    page.get_by_role("button", name="Save and recalculate").press("Enter")
    expect(page.get_by_text("Saved by ")).to_be_visible()
    restore = page.get_by_role("button", name="Use the default segments")
    expect(restore).to_have_class("danger")
    restore.press("Enter")
    question = page.get_by_role("dialog", name="Use the default segments?")
    expect(question.get_by_role("button", name="Cancel")).to_be_focused()
    inspect(page)
    page.keyboard.press("Enter")
    expect(question).to_have_count(0)
    expect(label).to_have_value("Best")
    assert saved_grid_of(rule) != {}
    restore.press("Enter")
    question.get_by_role("button", name="Use the default segments").press("Enter")
    expect(page.get_by_text("These are the default segments.")).to_be_visible()
    expect(label).to_have_value("Champions")
    assert saved_grid_of(rule) == {}
