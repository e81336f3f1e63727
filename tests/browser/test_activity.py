"""The activity page: schedules that can be paused, past runs and current runs."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest
from playwright.sync_api import Page, expect

from service.core.config import Settings
from service.core.db import Pool, connect_as_owner, create_pool, tenant_transaction
from service.core.errors import InvalidInputError
from service.queue.runs import Kind, Trigger, record_run, start_run
from service.tenants.tenants import add_tenant
from tests.browser.conftest import Inspect, Serve, Site


@pytest.fixture
def here(built_settings: Settings) -> Iterator[tuple[Settings, Pool, UUID]]:
    with connect_as_owner(built_settings) as conn:
        tenant_id = add_tenant(conn, "north", None)
    pool = create_pool(built_settings)
    yield built_settings, pool, tenant_id
    pool.close()


def _start(pool: Pool, tenant_id: UUID, kind: Kind, trigger: Trigger = "schedule") -> UUID:
    with tenant_transaction(pool, tenant_id) as conn:
        run_id: UUID = start_run(conn, tenant_id, kind, trigger).run["run_id"]
    return run_id


def _open(page: Page, site: Site) -> None:
    """Sign in and open the page through the navigation."""
    page.goto(site.sign_in_link())
    page.get_by_role("link", name="Activity").click()


def test_the_page_before_any_run(
    here: tuple[Settings, Pool, UUID], page: Page, serve: Serve, inspect: Inspect
) -> None:
    settings, _, _ = here
    with serve(settings, "north") as site:
        _open(page, site)
        expect(page.get_by_role("heading", name="No runs yet")).to_be_visible()
        expect(page.locator("[data-schedule]")).not_to_have_count(0)
        # Without a store there is nothing to sync.
        expect(page.locator("[data-schedule=orders]")).to_contain_text("Once connected")
        inspect(page)


def test_a_schedule_is_paused_and_resumed(
    here: tuple[Settings, Pool, UUID], page: Page, serve: Serve, inspect: Inspect
) -> None:
    settings, _, _ = here
    with serve(settings, "north") as site:
        _open(page, site)
        build = page.locator("[data-schedule=build]")
        expect(build).to_contain_text("every day at 03:00")
        page.get_by_role("button", name="Pause RFM").click()
        expect(page.locator("[data-status]")).to_contain_text(": paused.")
        expect(build).to_contain_text("Paused")
        expect(page.get_by_role("button", name="Resume RFM")).to_be_focused()
        inspect(page)
        page.reload()
        page.get_by_role("button", name="Resume RFM").click()
        expect(page.locator("[data-status]")).to_contain_text(": resumed.")
        expect(build).not_to_contain_text("Paused")


def test_the_end_of_the_session_leaves_the_page_as_it_is(
    here: tuple[Settings, Pool, UUID], page: Page, serve: Serve
) -> None:
    settings, pool, tenant_id = here
    _start(pool, tenant_id, "build")
    with serve(settings, "north") as site:
        _open(page, site)
        expect(page.locator("[data-run]")).to_have_count(1)
        page.evaluate("document.body.dataset.isSame = '1'")
        page.context.clear_cookies()
        status = page.locator("[data-status]")
        expect(status).to_contain_text("Your session has ended.")
        assert page.evaluate("document.body.dataset.isSame") == "1"
        with page.context.expect_page() as opened:
            status.get_by_role("link").click()
        opened.value.goto(site.sign_in_link())
        opened.value.wait_for_url("**/admin")
        page.bring_to_front()
        expect(status).to_be_empty()
        assert page.evaluate("document.body.dataset.isSame") == "1"


def test_runs_are_filtered_followed_live_and_explained(
    here: tuple[Settings, Pool, UUID], page: Page, serve: Serve, inspect: Inspect
) -> None:
    settings, pool, tenant_id = here
    with (
        pytest.raises(InvalidInputError),
        record_run(pool, tenant_id, _start(pool, tenant_id, "klaviyo_sync", "webhook")),
    ):
        raise InvalidInputError("The key was refused.", advice="Connect again.")
    running = _start(pool, tenant_id, "shopify_sync", "person")
    with serve(settings, "north") as site:
        _open(page, site)
        rows = page.locator("[data-list] tbody tr")
        with record_run(pool, tenant_id, running) as recorder:
            recorder.phase("orders", total=4)
            recorder.advance(1)
            recorder.write()
            expect(rows.first).to_contain_text("Orders: 1 of 4")
            expect(rows.first.get_by_role("progressbar")).to_have_attribute("value", "1")
            recorder.advance(2)
            recorder.write()
            expect(rows.first).to_contain_text("Orders: 3 of 4")
            recorder.count(orders=1234)
            inspect(page)
        # The list updates without a reload.
        expect(rows.first).to_contain_text("1,234 orders")
        expect(rows.first).to_contain_text("Succeeded")
        expect(page.locator("[data-status]")).to_contain_text(
            "Shopify customers and orders: succeeded"
        )
        expect(rows.nth(1)).to_contain_text("The key was refused.")
        expect(rows.nth(1)).to_contain_text("Connect again.")
        expect(rows.nth(1)).to_contain_text("Started by a webhook")

        waiting = _start(pool, tenant_id, "build")
        page.get_by_role("button", name="Show newer runs").click()
        expect(rows).to_have_count(3)
        expect(rows.first).to_contain_text("Waiting to start")
        with record_run(pool, tenant_id, waiting):
            expect(rows.first).to_contain_text("Running")
            expect(rows.first).to_contain_text("Calculating…")
            took = rows.first.locator("td.num .stack")
            expect(took).to_have_css("align-items", "flex-end")
        # A build has no counters, but it did something.
        expect(rows.first).to_contain_text("Recalculated")

        page.get_by_label("Status").select_option("failed")
        page.get_by_role("button", name="Filter", exact=True).click()
        expect(rows).to_have_count(1)
        inspect(page)
        page.get_by_label("Type").select_option("build")
        page.get_by_role("button", name="Filter", exact=True).click()
        expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()
        page.get_by_role("link", name="Clear filters").click()
        expect(rows).to_have_count(3)

        without = page.context.browser.new_context(
            storage_state=page.context.storage_state(), java_script_enabled=False
        ).new_page()
        without.goto(f"{site.url}/admin/activity")
        without.get_by_label("Status").select_option("failed")
        without.get_by_role("button", name="Filter", exact=True).click()
        expect(without.locator("[data-list] tbody tr")).to_have_count(1)
        expect(without.locator("[data-list]")).to_contain_text("The key was refused.")
        without.context.close()


def test_a_run_without_a_worker_says_so(
    here: tuple[Settings, Pool, UUID], page: Page, serve: Serve, inspect: Inspect
) -> None:
    """One worker was killed, and no other worker starts the queued run."""
    settings, pool, tenant_id = here
    run_id = _start(pool, tenant_id, "shopify_sync")
    with (
        serve(settings, "north") as site,
        record_run(pool, tenant_id, run_id),
        connect_as_owner(settings) as owner,
    ):
        _start(pool, tenant_id, "build")
        owner.execute("update app.runs set created_at = now() - interval '2 minutes'")
        owner.execute("update app.runs set heartbeat_at = now() - interval '70 seconds'")
        _open(page, site)
        rows = page.locator("[data-list] tbody tr")
        expect(rows.filter(has_text="No progress for a while")).to_have_count(1)
        expect(rows.filter(has_text="Check that quintile worker is running.")).to_have_count(1)
        inspect(page)
        owner.execute("update app.runs set heartbeat_at = now() where run_id = %s", [run_id])
        expect(rows.filter(has_text="No progress for a while")).to_have_count(0)
