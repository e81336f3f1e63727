"""Every page of one store shows nothing of another."""

from __future__ import annotations

from dataclasses import replace

from playwright.sync_api import Page, expect

from service.core.db import connect_as_owner
from tests.browser.conftest import Site
from tests.web import client_of, running_app

ADMIN = "/api/admin"
# In everything that the first store has and the second has not.
MARK = "onlyhere"
MADE = {
    f"{ADMIN}/creators": {"handle": MARK, "platform": "tiktok"},
    f"{ADMIN}/promo-codes": {
        "code": MARK.upper(),
        "percentage": "0.2",
        "segments": ["rfm:champions"],
    },
    f"{ADMIN}/tokens": {"label": f"{MARK}-token"},
    f"{ADMIN}/webhooks/endpoints": {
        "url": f"https://{MARK}.example/hook",
        "topics": ["sample.found"],
    },
    f"{ADMIN}/sign-in-links": {"person": f"{MARK} person"},
}


def test_no_page_shows_anything_of_another_store(
    site: Site, signed_in: Page, neighbour: Page
) -> None:
    made = {}
    with running_app(site.settings) as app:
        client = client_of(app, site.settings, site.tenant_id)
        for path, body in MADE.items():
            answer = client.post(path, json=body)
            assert answer.status_code < 300, answer.text
            made[path] = answer.get_json()
        tags = client.patch(f"{ADMIN}/samples/settings", json={"ugc_tags": [f"{MARK}-tag"]})
        assert tags.status_code == 202, tags.text
        shop = client.get(f"{ADMIN}/me").get_json()["shop_domain"]
        pages = sorted(
            rule.rule
            for rule in app.url_map.iter_rules()
            if rule.endpoint.startswith("admin.")
            and "GET" in (rule.methods or ())
            and not rule.arguments
            and "sign" not in rule.rule
        )
    assert len(pages) > 15
    own, shown = [], []
    for path in pages:
        for page, found in ((signed_in, own), (neighbour, shown)):
            page.goto(f"{site.url}{path}")
            page.wait_for_load_state("networkidle")
            content = page.content().lower()
            found += [f"{path}: {mark}" for mark in (MARK, shop) if mark in content]
    assert shown == []
    # The first store has each of them on a page.
    assert {entry for entry in own if entry.endswith(MARK)} >= {
        f"/admin/{path}: {MARK}"
        for path in (
            "promo-codes",
            "samples/creators",
            "samples/settings",
            "settings/audit-log",
            "settings/tokens",
            "settings/webhooks",
        )
    }
    for address in (
        f"samples/creators/{made[f'{ADMIN}/creators']['creator_id']}",
        f"promo-codes/{MARK}",
    ):
        answer = signed_in.goto(f"{site.url}/admin/{address}")
        assert answer is not None
        assert answer.status == 200, address
        answer = neighbour.goto(f"{site.url}/admin/{address}")
        assert answer is not None
        assert answer.status == 404, address


def test_a_page_of_a_store_does_not_save_into_another(site: Site, signed_in: Page) -> None:
    """Both tabs of a browser have the same cookie."""
    page, endpoints = signed_in, "select tenant_id from app.webhook_endpoints"
    page.goto(f"{site.url}/admin/settings/webhooks")
    expect(page.get_by_text("No webhooks.")).to_be_visible()
    page.get_by_label("Webhook URL (https)").fill("https://example.com/hook")
    page.get_by_label("Samples found").check()
    tab = page.context.new_page()
    with connect_as_owner(site.settings) as conn:
        (other,) = conn.execute(
            "select tenant_id from app.tenants where tenant_id <> %s", [site.tenant_id]
        ).fetchall()
        tab.goto(replace(site, tenant_id=other["tenant_id"]).sign_in_link())
        tab.wait_for_url("**/admin")
        page.get_by_role("button", name="Add webhook").click()
        expect(page.get_by_text("Your session has ended.")).to_be_visible()
        assert conn.execute(endpoints).fetchall() == []
        # What was typed is still there, and is saved after signing in to the store of the page.
        tab.goto(site.sign_in_link())
        tab.wait_for_url("**/admin")
        page.get_by_role("button", name="Add webhook").click()
        expect(page.get_by_role("dialog", name="Signing secret")).to_be_visible()
        assert conn.execute(endpoints).fetchall() == [{"tenant_id": site.tenant_id}]
