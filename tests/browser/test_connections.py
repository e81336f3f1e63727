"""The connections page: connect, verify, reject and disconnect. The token is never shown again."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Page, expect

from sandbox import Fault, Sandbox
from sandbox.data import generate_store
from sandbox.data.specs import KESSEL
from sandbox.klaviyo import ALL_SCOPES as KLAVIYO_SCOPES
from sandbox.klaviyo import Account
from sandbox.shopify import ALL_SCOPES, Store
from service.core.config import Settings
from service.core.db import connect_as_owner
from service.tenants.tenants import add_tenant
from tests.browser.conftest import Inspect, Serve
from tests.command import quintile_process
from tests.metafields import held, score

KEY = "pk_sandbox_for_these_tests"


@pytest.fixture
def store() -> Store:
    data = generate_store(KESSEL, 1, datetime(2026, 7, 1, tzinfo=UTC))
    return Store(data, scopes=ALL_SCOPES - {"read_all_orders"})


def test_a_store_is_connected_rejected_verified_and_disconnected(
    built_settings: Settings, shop: Sandbox, page: Page, serve: Serve, inspect: Inspect
) -> None:
    here = replace(built_settings, shopify_url=shop.shopify_url)
    with connect_as_owner(here) as conn:
        add_tenant(conn, "kessel", KESSEL.domain)
    with serve(here, "kessel") as site:
        page.goto(site.sign_in_link())
        page.get_by_role("navigation").get_by_role("link", name="Connections").click()
        shop_part = page.get_by_role("region", name="Shopify")
        expect(shop_part.get_by_role("heading", name="Not connected")).to_be_visible()
        inspect(page)

        status = shop_part.get_by_role("status")
        token = shop_part.get_by_label(re.compile("Admin API access token"))
        token.fill("shpat_nobody_has_this")
        shop_part.get_by_role("button", name="Verify and save").click()
        expect(status).to_contain_text("does not accept the access token")
        expect(token).to_have_value("")

        token.fill(KESSEL.token)
        shop_part.get_by_role("button", name="Verify and save").click()
        expect(status).to_have_text(
            "Connected. A sync of orders, customers and segments is queued."
        )
        # Only what Quintile uses is asked for.
        scopes = shop_part.get_by_role("rowheader")
        expect(scopes).to_have_text(
            [
                "read_orders",
                "read_customers",
                "read_all_orders",
                "read_products",
                "write_discounts",
                "write_customers",
                "read_customer_merge",
            ]
        )
        expect(shop_part.locator("dl.facts")).to_contain_text(KESSEL.name)
        expect(shop_part.locator("dl.facts")).to_contain_text(f"…{KESSEL.token[-4:]}")
        row = shop_part.get_by_role("row").filter(has_text="read_all_orders")
        expect(row).to_contain_text("orders older than 60 days")
        expect(row.locator("td").last).to_have_text("Not granted")
        expect(shop_part.locator(".note.warn")).to_contain_text("only the last 60 days")
        assert KESSEL.token not in page.content()
        inspect(page)

        shop.fail_shopify(Fault(status=403, count=2))
        shop_part.get_by_role("button", name="Verify again").click()
        alert = shop_part.get_by_role("alert")
        expect(alert).to_contain_text("Shopify rejected the connection")
        expect(alert).to_contain_text(re.compile(r"Quintile tries again .*\d"))
        expect(alert.locator("time")).to_be_visible()
        inspect(page)
        shop_part.get_by_role("button", name="Verify again").click()
        expect(status).to_contain_text("Verified.")
        expect(shop_part.get_by_role("alert")).to_have_count(0)

        shop.fail_shopify(Fault(status=503, count=2))
        shop_part.get_by_role("button", name="Verify again").click()
        expect(status).to_contain_text("Shopify keeps failing")

        # Pages whose figures are affected by the limit show it.
        for path in ("segments?tab=rfm", "samples"):
            page.goto(f"{site.url}/admin/{path}")
            expect(page.locator("[data-order-limit]")).to_contain_text("only the last 60 days")
        inspect(page)

        page.goto(f"{site.url}/admin/connections")
        shop_part.get_by_label(re.compile("Delete the token")).check()
        shop_part.get_by_role("button", name="Disconnect").click()
        expect(shop_part.get_by_role("heading", name="Disconnected")).to_be_visible()
        expect(shop_part.locator("dl.facts")).to_have_count(0)
        inspect(page)


def test_a_tenant_without_a_store_shows_how_to_set_one(
    built_settings: Settings, page: Page, serve: Serve, inspect: Inspect
) -> None:
    with connect_as_owner(built_settings) as conn:
        add_tenant(conn, "fresh", None)
    with serve(built_settings, "fresh") as site:
        page.goto(site.sign_in_link())
        page.get_by_role("navigation").get_by_role("link", name="Connections").click()
        expect(page.get_by_role("heading", name="No store set")).to_be_visible()
        inspect(page)


def test_an_account_is_connected_rejected_replaced_and_disconnected(
    built_settings: Settings, page: Page, serve: Serve, inspect: Inspect
) -> None:
    account = Account(
        KEY, name="Kessel & Korn", currency="EUR", timezone="UTC", prefix="KK", rate_limit_scale=50
    )
    account.add_key("pk_sandbox_lacking", KLAVIYO_SCOPES - {"lists:write"})
    account.add_key("pk_sandbox_needed", KLAVIYO_SCOPES - {"flows:read"})
    with Sandbox([], [account]) as klaviyo:
        here = replace(built_settings, klaviyo_url=klaviyo.klaviyo_url)
        with connect_as_owner(here) as conn:
            add_tenant(conn, "kessel", None)
        with serve(here, "kessel") as site:
            page.goto(site.sign_in_link())
            page.get_by_role("navigation").get_by_role("link", name="Connections").click()
            part = page.get_by_role("region", name="Klaviyo")
            expect(part.get_by_role("heading", name="Not connected")).to_be_visible()
            inspect(page)

            status = part.get_by_role("status")
            key = part.get_by_label("Private API key")
            save = part.get_by_role("button", name="Verify and save")
            key.fill("pk_sandbox_lacking")
            save.click()
            expect(status).to_have_text("Not saved. Fix the marked fields.")
            expect(key).to_have_accessible_description(
                re.compile(r"lacks lists:write \(for adding people to lists")
            )
            expect(key).to_have_value("")
            inspect(page)
            key.fill("pk 12345")
            save.click()
            expect(key).to_have_accessible_description(re.compile("without spaces"))

            key.fill("pk_sandbox_needed")
            save.click()
            expect(status).to_contain_text("Connected.")
            expect(part.locator("dl.facts")).to_contain_text("Kessel & Korn")
            expect(part.locator("dl.facts")).to_contain_text("…eded")
            lacking = part.get_by_role("row").filter(has_text="flows:read")
            expect(lacking.locator("td").last).to_have_text("Not granted")
            assert "pk_sandbox" not in page.content()
            inspect(page)

            account.revoke_key("pk_sandbox_needed")
            part.get_by_role("button", name="Verify again").click()
            expect(part.get_by_role("alert")).to_contain_text("Klaviyo rejected the connection")
            expect(part.get_by_role("alert").locator("time")).to_be_visible()
            inspect(page)
            key.fill(KEY)
            save.click()
            expect(status).to_contain_text("Connected.")
            expect(part.get_by_role("alert")).to_have_count(0)
            part.get_by_role("button", name="Verify again").click()
            expect(status).to_contain_text("Verified.")

            part.get_by_label(re.compile("Delete the key")).check()
            part.get_by_role("button", name="Disconnect").click()
            expect(part.get_by_role("heading", name="Disconnected")).to_be_visible()
            expect(part.locator("dl.facts")).to_have_count(0)
            inspect(page)


def test_a_key_never_gets_into_the_url_if_the_script_does_not_load(
    built_settings: Settings, page: Page, serve: Serve
) -> None:
    with connect_as_owner(built_settings) as conn:
        add_tenant(conn, "kessel", KESSEL.domain)
    with serve(built_settings, "kessel") as site:
        page.goto(site.sign_in_link())
        page.wait_for_url("**/admin")
        page.route("**/*.js", lambda route: route.abort())
        page.goto(f"{site.url}/admin/connections")
        at = page.url
        klaviyo = page.get_by_role("region", name="Klaviyo")
        expect(klaviyo.get_by_role("button", name="Verify and save")).to_be_disabled()
        klaviyo.get_by_label("key").fill(KEY)
        klaviyo.get_by_label("key").press("Enter")
        page.wait_for_timeout(300)
        assert page.url == at
        expect(klaviyo.get_by_label("key")).to_have_value(KEY)


def test_metafields_are_turned_on_with_queries_to_paste_and_off(
    built_settings: Settings,
    shop: Sandbox,
    store: Store,
    page: Page,
    serve: Serve,
    inspect: Inspect,
) -> None:
    here = replace(built_settings, shopify_url=shop.shopify_url)
    with connect_as_owner(here) as conn:
        tenant_id = add_tenant(conn, "kessel", KESSEL.domain)
    with serve(here, "kessel") as site:
        page.goto(site.sign_in_link())
        page.get_by_role("navigation").get_by_role("link", name="Connections").click()
        part = page.get_by_role("region", name="Customer metafields")
        expect(part).to_be_hidden()
        shop_part = page.get_by_role("region", name="Shopify")
        shop_part.get_by_label(re.compile("Admin API access token")).fill(KESSEL.token)
        shop_part.get_by_role("button", name="Verify and save").click()
        part.get_by_role("button", name="Turn on").click()
        expect(part.get_by_role("status")).to_have_text("On. A run that writes them is queued.")
        part.get_by_text("Queries for Shopify's segment editor").click()
        expect(part).to_contain_text("metafields.quintile.rfm_segment = 'champions'")
        inspect(page)
        score(here, tenant_id, {str(min(store.customers)): ("champions", 5, 5, 5)})
        quintile_process(here, "metafields", "sync", "--tenant", "kessel")
        page.reload()
        expect(part).to_contain_text("Customers: written for 1, pending for 0.")
        part.get_by_role("button", name="Turn off").click()
        question = page.get_by_role("dialog", name="Turn off customer metafields?")
        expect(question).to_contain_text("removed from every customer in Shopify")
        question.get_by_role("button", name="Cancel").click()
        expect(part.get_by_role("button", name="Turn off")).to_be_enabled()
        part.get_by_role("button", name="Turn off").click()
        question.get_by_role("button", name="Turn off").click()
        expect(part.get_by_role("status")).to_have_text("Off. A run that removes them is queued.")
        expect(part).to_contain_text("Customers: still to be removed from 1.")
        quintile_process(here, "metafields", "sync", "--tenant", "kessel")
        page.reload()
        expect(part.get_by_role("button", name="Turn on")).to_be_enabled()
        assert held(store) == {}
