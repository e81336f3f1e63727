"""``quintile doctor [--fix]``: checking, creating and changing webhook subscriptions."""

from __future__ import annotations

import json
from dataclasses import replace
from uuid import UUID

import pytest

from sandbox import Fault, Sandbox
from sandbox.shopify import ALL_SCOPES, Store
from service.core.config import Settings
from service.core.db import Pool
from service.core.errors import InvalidSettingError
from service.webhooks.subscriptions import webhook_address
from service.webhooks.topics import TOPICS
from tests.command import quintile, quintile_process
from tests.hooks import CLIENT_SECRET, events, post_webhook, served
from tests.shops import small_shop

ADDRESS = "https://quintile.example.com/webhooks/shopify"
WANTED = {topic.constant for topic in TOPICS.values() if topic.constant}


@pytest.fixture
def store() -> Store:
    return Store(small_shop(), scopes=ALL_SCOPES | {"read_customer_merge"})


@pytest.fixture
def here(shopify_settings: Settings) -> Settings:
    return replace(
        shopify_settings,
        shopify_client_secret=CLIENT_SECRET,
        public_url="https://quintile.example.com/",
    )


def webhook_findings(settings: Settings, *arguments: str, expect: int = 0) -> list[dict[str, str]]:
    done = quintile(settings, "doctor", "--json", *arguments, expect=expect)
    findings = json.loads(done.stdout)["findings"]
    return [finding for finding in findings if finding["check"] == "webhooks"]


def test_missing_subscriptions_are_warnings_and_nothing_is_changed(
    here: Settings, tenant: UUID, store: Store
) -> None:
    found = webhook_findings(here)
    assert {finding["level"] for finding in found} == {"warning"}
    assert {finding["message"] for finding in found} == {
        f"kessel: {name} is missing" for name, topic in TOPICS.items() if topic.constant
    }
    assert any(finding["advice"] == "Run: quintile doctor --fix" for finding in found)
    assert store.webhooks.subscriptions == {}


def test_fix_creates_all_subscriptions_once(
    here: Settings, tenant: UUID, store: Store, shop: Sandbox
) -> None:
    found = webhook_findings(here, "--fix")
    assert {finding["level"] for finding in found} == {"ok"}
    made = store.webhooks.subscriptions.values()
    assert {item.topic for item in made} == WANTED
    assert {item.uri for item in made} == {ADDRESS}
    by_topic = {item.topic: item.include_fields for item in made}
    assert by_topic["ORDERS_UPDATED"] == ["id", "updated_at"]
    assert by_topic["CUSTOMERS_MERGE"] == []
    before = list(made)
    (passing,) = webhook_findings(here, "--fix")
    assert passing["message"] == f"kessel: every topic goes to {ADDRESS}"
    assert list(store.webhooks.subscriptions.values()) == before


def test_wrong_subscriptions_are_reported_and_fixed(
    here: Settings, tenant: UUID, store: Store
) -> None:
    webhook_findings(here, "--fix")
    by_topic = {item.topic: item for item in store.webhooks.subscriptions.values()}
    by_topic["ORDERS_CREATE"].uri = "https://old.example.com/webhooks/shopify"
    by_topic["ORDERS_UPDATED"].include_fields = []
    by_topic["CUSTOMERS_UPDATE"].filter = "id:1"
    del store.webhooks.subscriptions[by_topic["SEGMENTS_UPDATE"].number]
    foreign = store.webhooks.subscribe("SEGMENTS_UPDATE", "https://else.example.com/hook", [])
    assert [finding["message"] for finding in webhook_findings(here)] == [
        "kessel: orders/create goes to https://old.example.com/webhooks/shopify",
        "kessel: orders/updated sends everything",
        "kessel: customers/update is filtered",
        "kessel: segments/update is missing",
    ]
    assert {finding["level"] for finding in webhook_findings(here, "--fix")} == {"ok"}
    (passing,) = webhook_findings(here)
    assert passing["level"] == "ok"
    assert store.webhooks.subscriptions[foreign.number] == foreign
    assert len(store.webhooks.subscriptions) == len(WANTED) + 1


def test_a_topic_without_its_scope_is_a_warning(here: Settings, tenant: UUID, store: Store) -> None:
    store.scopes = ALL_SCOPES
    warnings = [finding for finding in webhook_findings(here, "--fix") if finding["level"] != "ok"]
    (merge,) = warnings
    assert merge["level"] == "warning"
    assert "customers/merge" in merge["message"]
    assert "read_customer_merge" in merge["advice"]
    assert len(store.webhooks.subscriptions) == len(WANTED) - 1


def test_a_store_that_does_not_answer_is_a_finding(
    here: Settings, tenant: UUID, shop: Sandbox
) -> None:
    shop.fail_shopify(Fault(status=401, count=9))
    (finding,) = webhook_findings(here, expect=1)
    assert finding["level"] == "error"
    assert "kessel" in finding["message"]


def test_a_missing_address_or_secret_is_reported_with_the_setting(
    here: Settings, tenant: UUID
) -> None:
    (unset,) = webhook_findings(replace(here, public_url=""))
    assert (unset["level"], "QUINTILE_PUBLIC_URL" in unset["advice"]) == ("ok", True)
    (refused,) = webhook_findings(replace(here, public_url=""), "--fix", expect=1)
    assert refused["level"] == "error"
    assert any(
        "QUINTILE_SHOPIFY_CLIENT_SECRET is not set" in finding["message"]
        for finding in webhook_findings(replace(here, shopify_client_secret=""), expect=1)
    )


@pytest.mark.parametrize(
    "address", ["http://quintile.example.com", "quintile.example.com", "ftp://x", "https://"]
)
def test_an_address_without_https_is_refused(address: str) -> None:
    with pytest.raises(InvalidSettingError, match="https"):
        webhook_address(Settings(public_url=address))


def test_quarantined_webhooks_are_a_finding_and_can_be_retried(
    here: Settings, pool: Pool, tenant: UUID, store: Store
) -> None:
    webhook_findings(here, "--fix")
    with served(here) as url:
        post_webhook(url, store.data.domain, "orders/create", {"no": "id"}, webhook_id="w")
    quarantined = webhook_findings(here)[0]
    assert quarantined["level"] == "warning"
    assert quarantined["message"].startswith("kessel: 1 orders/create quarantined")
    (line,) = quintile_process(here, "webhooks", "list", "--tenant", "kessel").stdout.splitlines()
    assert json.loads(line)["payload"] == {"no": "id"}
    done = quintile(here, "webhooks", "retry", "--tenant", "kessel")
    assert "0 webhooks queued again, 1 still cannot be read" in done.stderr
    quintile(here, "webhooks", "retry", "--tenant", "kessel", "--id", "none", expect=1)
    assert [event["attempts"] for event in events(pool, tenant)] == [1]
