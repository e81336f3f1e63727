"""The home page: what needs attention, what changed since the day before, the first steps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from playwright.sync_api import Page, expect

from sandbox import Sandbox
from sandbox.data import generate_store
from sandbox.data.specs import KESSEL
from sandbox.shopify import Store
from service.core.config import Settings
from service.core.db import (
    connect,
    connect_as_owner,
    find_tenant,
    open_pool,
    tenant_transaction,
    transform_url,
)
from service.core.errors import InvalidInputError
from service.queue.runs import record_run, start_run
from service.shopify.connection import connect_shopify
from service.tenants.tenants import add_tenant
from service.ui.times import calendar_day
from tests.browser.conftest import Inspect, Serve, Site
from tests.web import add_history, add_scored_customers, add_shopify_segments

# The demo's last recorded day gets a day before it: five more champions, who are loyal now.
DAY_BEFORE = """
    insert into marts.rfm_segment_history (
        tenant_id, recorded_on, segment, customers, revenue, currency, as_of
    )
    select
        tenant_id, recorded_on - 1, segment,
        customers + case segment when 'champions' then 5 when 'loyal' then -5 else 0 end,
        revenue, currency, as_of - interval '1 day'
    from marts.rfm_segment_history
    where tenant_id = %(tenant_id)s
"""
DEPARTURES = """
    insert into marts.rfm_segment_transitions (
        tenant_id, customer_id, from_segment, to_segment, as_of
    )
    select f.tenant_id, f.customer_id, 'champions', 'loyal', b.as_of
    from marts.customer_facts as f
    inner join marts.rfm_builds as b on f.tenant_id = b.tenant_id
    where f.tenant_id = %(tenant_id)s and f.segment = 'loyal'
    order by f.customer_id
    limit 5
    on conflict (tenant_id, customer_id, as_of) do update set
        from_segment = excluded.from_segment, to_segment = excluded.to_segment
"""


def _add_a_day(settings: Settings, tenant_id: UUID) -> None:
    with connect(transform_url(settings)) as conn:
        conn.execute("delete from marts.rfm_segment_transitions where tenant_id = %s", [tenant_id])
        conn.execute(DAY_BEFORE, {"tenant_id": tenant_id})
        conn.execute(DEPARTURES, {"tenant_id": tenant_id})


def test_it_shows_what_changed_since_the_day_before(
    site: Site, page: Page, inspect: Inspect
) -> None:
    _add_a_day(site.settings, site.tenant_id)
    with connect(transform_url(site.settings)) as conn:
        left = conn.execute(
            """
            select c.display_name
            from marts.rfm_segment_transitions as t
            inner join marts.customer_facts as c using (tenant_id, customer_id)
            where t.tenant_id = %s
            order by c.lifetime_minor desc, c.customer_id
            """,
            [site.tenant_id],
        ).fetchall()
    page.goto(site.sign_in_link())
    page.wait_for_url("**/admin")
    expect(page.get_by_role("heading", level=1)).to_have_text("Home")
    expect(page.get_by_text("Nothing needs your attention.")).to_be_visible()
    table = page.get_by_role("region", name="Segments").get_by_role("row")
    expect(table.filter(has_text="Champions").locator("td").last).to_contain_text("shrank by 5")
    expect(table.filter(has_text="Loyal").locator("td").last).to_contain_text("grew by 5")
    expect(table.filter(has_text="New").locator("td").last).to_have_text("no change")
    people = page.get_by_role("region", name="Left Champions").get_by_role("listitem")
    expect(people.locator(".who")).to_have_text([row["display_name"] for row in left])
    expect(people.first).to_contain_text("now Loyal")
    inspect(page)
    table.filter(has_text="Champions").get_by_role("link").click()
    page.wait_for_url("**/admin/segments/rfm:champions")


@pytest.fixture
def scored(built_settings: Settings, serve: Serve) -> Iterator[Site]:
    """A store with three customers; one of them left Champions on the second recorded day."""
    with connect_as_owner(built_settings) as conn:
        tenant_id = add_tenant(conn, "north", None)
    now = {"1": "loyal", "2": "champions", "3": "loyal"}
    add_scored_customers(built_settings, tenant_id, [(c, s, "50.00") for c, s in now.items()])
    history = {"2026-06-30": now | {"1": "champions"}, "2026-07-01": now}
    add_history(built_settings, tenant_id, history)
    with connect(transform_url(built_settings)) as conn:
        conn.execute(
            """
            insert into marts.rfm_segment_definitions (
                tenant_id, segment, label, colour, priority, description, suggested_action,
                is_published
            )
            select
                %s, segment, label, colour, priority, description, suggested_action, true
            from marts.rfm_segments
            """,
            [tenant_id],
        )
    with serve(built_settings, "north") as site:
        yield site


def test_it_opens_while_a_build_introduces_a_segment(scored: Site, page: Page) -> None:
    """Models commit one by one: customers are in a segment that has no recorded day yet."""
    with connect(transform_url(scored.settings)) as conn:
        conn.execute(
            """
            insert into marts.rfm_segment_definitions (
                tenant_id, segment, label, colour, priority, description, suggested_action,
                is_published
            )
            values (%s, 'vip', 'VIP', '#2f6fb3', 7, '', '', false)
            """,
            [scored.tenant_id],
        )
        conn.execute(
            "update marts.customer_facts set segment = 'vip'"
            " where tenant_id = %s and customer_id = '1'",
            [scored.tenant_id],
        )
    page.goto(scored.sign_in_link())
    people = page.get_by_role("region", name="Left Champions").get_by_role("listitem")
    expect(people).to_have_count(1)
    expect(people).to_contain_text("now VIP")
    expect(people.locator("svg")).to_have_count(1)


def test_the_total_counts_segments_that_no_longer_exist(scored: Site, page: Page) -> None:
    with connect(transform_url(scored.settings)) as conn:
        # A new rule has replaced a segment of seven customers since, who are loyal now.
        conn.execute(
            """
            insert into marts.rfm_segment_history (
                tenant_id, recorded_on, segment, customers, revenue, currency, as_of
            )
            values (%s, '2026-06-30', 'replaced', 7, 70, 'EUR', '2026-06-30')
            """,
            [scored.tenant_id],
        )
        conn.execute(
            """
            update marts.rfm_segment_history
            set customers = customers + 7
            where tenant_id = %s and segment = 'loyal' and recorded_on = '2026-07-01'
            """,
            [scored.tenant_id],
        )
    page.goto(scored.sign_in_link())
    page.wait_for_url("**/admin")
    tile = page.locator(".tile").filter(has_text="Scored customers")
    expect(tile).to_contain_text("10")
    expect(tile.locator(".note-line")).to_have_text("no change")
    table = page.get_by_role("region", name="Segments").get_by_role("row")
    expect(table.filter(has_text="Loyal").locator("td").last).to_contain_text("grew by 8")


def test_changes_of_other_days_than_the_headings_have_their_days(
    scored: Site, page: Page, inspect: Inspect
) -> None:
    add_shopify_segments(scored.settings, scored.tenant_id, ["Same days", "Other days"])
    named = {"tenant_id": scored.tenant_id}
    with connect(transform_url(scored.settings)) as conn:
        conn.execute(
            """
            update marts.rfm_segment_history
            set recorded_on = recorded_on + (current_date - date '2026-07-01')
            where tenant_id = %(tenant_id)s
            """,
            named,
        )
    with connect_as_owner(scored.settings) as conn:
        row = conn.execute(
            """
            with added as (
                insert into app.segment_sizes (tenant_id, segment_id, recorded_on, members)
                values
                    (%(tenant_id)s, 'shopify:1', current_date - 1, 10),
                    (%(tenant_id)s, 'shopify:1', current_date, 12),
                    (%(tenant_id)s, 'shopify:2', current_date - 9, 10),
                    (%(tenant_id)s, 'shopify:2', current_date - 5, 13)
            )

            select current_date - 5 as last_on, current_date - 9 as previous_on
            """,
            named,
        ).fetchone()
    assert row is not None
    last_on, previous_on = calendar_day(row["last_on"]), calendar_day(row["previous_on"])
    page.goto(scored.sign_in_link())
    page.wait_for_url("**/admin")
    rows = page.get_by_role("region", name="Segments").get_by_role("row")
    same, other = rows.filter(has_text="Same days"), rows.filter(has_text="Other days")
    expect(other).to_contain_text(f"Shopify, as of {last_on}, compared with {previous_on}")
    expect(other).to_contain_text("grew by 3")
    expect(same).not_to_contain_text("as of")
    expect(same).to_contain_text("grew by 2")
    inspect(page)


def test_it_names_what_needs_attention_of_this_store_only(
    site: Site, page: Page, inspect: Inspect
) -> None:
    with connect_as_owner(site.settings) as conn:
        conn.execute(
            "update app.connections set state = 'refused', state_reason = 'The key was deleted.'"
            " where tenant_id = %s and provider = 'klaviyo'",
            [site.tenant_id],
        )
        conn.execute(
            "insert into app.runs (tenant_id, kind, trigger, state, error, finished_at)"
            " select tenant_id, 'build', 'schedule', 'failed', 'Failed in ' || name, now()"
            " from app.tenants"
        )
    page.goto(site.sign_in_link())
    attention = page.get_by_role("region", name="Needs attention").get_by_role("listitem")
    expect(attention).to_have_count(2)
    expect(attention.first).to_contain_text("Klaviyo rejects the connection")
    expect(attention.first).to_contain_text("The key was deleted.")
    with connect_as_owner(site.settings) as conn:
        row = conn.execute(
            "select name from app.tenants where tenant_id = %s", [site.tenant_id]
        ).fetchone()
    assert row is not None
    expect(attention.nth(1)).to_contain_text(f"Failed in {row['name']}")
    inspect(page)
    attention.nth(1).get_by_role("link").click()
    page.wait_for_url("**/admin/activity?kind=build&state=failed")
    expect(page.get_by_text(f"Failed in {row['name']}")).to_be_visible()


def test_a_new_store_gets_its_first_steps(
    built_settings: Settings, page: Page, serve: Serve, inspect: Inspect
) -> None:
    with connect_as_owner(built_settings) as conn:
        add_tenant(conn, "north", "north.myshopify.com")
    with serve(built_settings, "north") as site:
        page.goto(site.sign_in_link())
        steps = page.get_by_role("region", name="Set up Quintile").get_by_role("listitem")
        expect(steps.get_by_role("heading")).to_have_text(
            [
                "Connect Shopify, to do",
                "First sync, to do",
                "First calculation, to do",
                "Connect Klaviyo, to do",
                "First list, to do",
            ]
        )
        expect(steps.locator("a, button")).to_have_count(5)
        inspect(page)
        steps.get_by_role("link", name="Connect Shopify").click()
        page.wait_for_url("**/admin/connections")
        with connect_as_owner(built_settings) as conn:
            tenant_id = find_tenant(conn, "north")
            conn.execute(
                "insert into app.runs (tenant_id, kind, trigger, state, finished_at)"
                " values (%s, 'shopify_sync', 'person', 'succeeded', now())",
                [tenant_id],
            )
        page.get_by_role("link", name="Home").click()
        expect(steps.nth(1)).to_contain_text("First sync, done")
        expect(steps.nth(1).locator("a, button")).to_have_count(0)
        expect(page.get_by_text("1 of 5 done")).to_be_visible()


def test_it_reads_without_scripts(site: Site, page: Page) -> None:
    page.goto(site.sign_in_link())
    page.wait_for_url("**/admin")
    context = page.context.browser.new_context(
        storage_state=page.context.storage_state(), java_script_enabled=False
    )
    plain = context.new_page()
    plain.goto(f"{site.url}/admin")
    expect(plain.get_by_role("region", name="Segments")).to_contain_text("Champions")
    # The list behind the number has as many samples.
    waiting = plain.locator(".tile").filter(has_text="Samples waiting").get_by_role("link")
    number = waiting.inner_text()
    waiting.click()
    expect(plain.locator("[data-count]")).to_have_text(re.compile(f"^{number} samples?$"))
    plain.locator(".rows tbody th a").first.click()
    expect(plain.get_by_text("Counted as a sample:")).to_be_visible()
    plain.goto(f"{site.url}/admin/activity")
    expect(plain.get_by_role("heading", name="No runs yet")).to_be_visible()
    plain.goto(f"{site.url}/admin/segments/rule")
    champions = plain.locator(".rows tbody tr").filter(has_text="Champions")
    expect(champions.locator("code")).to_have_text("R 4-5, F 4-5")
    plain.goto(f"{site.url}/admin/settings/webhooks")
    expect(plain.locator("noscript p").filter(has_text="No webhooks.")).to_be_visible()
    expect(plain.get_by_text("Loading…", exact=True).locator("visible=true")).to_have_count(0)
    context.close()


def test_the_first_sync_has_a_state_and_can_be_started_again(
    built_settings: Settings, shop: Sandbox, page: Page, serve: Serve, inspect: Inspect
) -> None:
    store = Store(generate_store(KESSEL, 1, datetime(2026, 7, 1, tzinfo=UTC)))
    settings = replace(built_settings, shopify_url=shop.shopify_url)
    with connect_as_owner(settings) as conn:
        tenant_id = add_tenant(conn, "kessel", store.data.domain)
    with open_pool(settings) as pool:
        connect_shopify(settings, pool, tenant_id, store.data.domain, store.data.token)
        with tenant_transaction(pool, tenant_id) as conn:
            run_id = start_run(conn, tenant_id, "shopify_sync", "person").run["run_id"]
        with (
            pytest.raises(InvalidInputError),
            record_run(pool, tenant_id, run_id) as recorder,
            serve(settings, "kessel") as site,
        ):
            recorder.phase("orders", total=4)
            recorder.advance(1)
            recorder.write()
            page.goto(site.sign_in_link())
            step = page.get_by_role("listitem").filter(has_text="First sync")
            expect(step).to_contain_text("Running: Orders: 1 of 4")
            expect(step.get_by_role("button", name="Sync now")).to_be_visible()
            raise InvalidInputError("The token was refused.", advice="Connect again.")
        with serve(settings, "kessel") as site:
            page.goto(site.sign_in_link())
            expect(step).to_contain_text("Failed: The token was refused. Connect again.")
            inspect(page)
            step.get_by_role("button", name="Try again").click()
            expect(page.locator("[data-run-status]")).to_contain_text("Waiting to start")
            page.reload()
            expect(step).to_contain_text("Queued: Waiting to start")
